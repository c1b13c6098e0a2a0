"""Bootstrap intervals cover the truth about as often as they claim."""

from collections.abc import Callable

import numpy as np
import pytest

from tinyscale.laws import Chinchilla, fit_chinchilla, predict
from tinyscale.laws.bootstrap import bootstrap
from tinyscale.spec import Point

MakePoints = Callable[..., list[Point]]


def columns(points: list[Point]) -> tuple[list[int], list[int], list[float]]:
    return [p.params_total for p in points], [p.tokens for p in points], [p.bpb for p in points]


@pytest.mark.slow
def test_intervals_cover_the_truth(points: MakePoints, truth: Chinchilla) -> None:
    studies, draws = 25, 60
    covered = np.zeros(6)
    for seed in range(studies):
        table = points(noise=0.003, seed=seed)
        found = bootstrap(fit_chinchilla(*columns(table)), [p.trial_id for p in table], draws=draws)
        forecasts = predict(*found.T, N=320_000, D=4_000_000)
        low, high = np.quantile(np.column_stack([found, forecasts]), (0.025, 0.975), axis=0)
        true = np.array([*truth, predict(*truth, N=320_000, D=4_000_000)])
        covered += (low <= true) & (true <= high)
    assert (covered >= 0.8 * studies).all(), covered / studies


def test_intervals_shrink_with_the_noise(points: MakePoints) -> None:
    def width(noise: float) -> float:
        table = points(noise=noise)
        found = bootstrap(fit_chinchilla(*columns(table)), [p.trial_id for p in table], draws=40)
        return float(np.ptp(np.quantile(found[:, 4], (0.1, 0.9))))

    assert width(0.0005) < 0.5 * width(0.004)


def test_points_of_one_trial_come_and_go_together(points: MakePoints) -> None:
    """Only one trial holds the largest size: where its points are gone, so is what they say."""
    table = points(sizes=(20_000, 40_000, 80_000), budgets=(250_000, 500_000, 1_000_000, 2_000_000, 4_000_000))
    fit = fit_chinchilla(*columns(table))
    alone = bootstrap(fit, [p.trial_id for p in table], draws=40)
    # With three sizes in three clusters, every resample that carries a law would hold all of them exactly once.
    clusters = [f"{p.params_total}" if p.params_total == 80_000 else p.trial_id for p in table]
    together = bootstrap(fit, clusters, draws=40)
    assert not np.allclose(alone, together)
    for trials in ([f"{p.params_total}" for p in table], ["one"] * len(table)):
        with pytest.raises(ValueError, match="trials cannot show how sure"):
            bootstrap(fit, trials, draws=40)


def test_a_floor_of_zero_can_rise_in_a_resample() -> None:
    """Where the optimum has no floor its gradient vanishes, and draws that start there would all stay without one."""
    N, D = (axis.ravel() for axis in np.meshgrid([2e4, 4e4, 8e4, 16e4], [2.5e5, 5e5, 1e6, 2e6]))
    noise = np.random.default_rng(0).standard_normal(16)
    fit = fit_chinchilla(N, D, predict(0.0, 30.0, 600.0, 0.2, 0.45, N=N, D=D) * np.exp(0.003 * noise))
    assert fit.parameters.E < 1e-3
    found = bootstrap(fit, [str(i) for i in range(16)], draws=60)
    assert (found[:, 0] > 0.05).mean() > 0.1
