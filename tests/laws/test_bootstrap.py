"""The bootstrap resamples trials; test_coverage.py holds its intervals against known laws."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from tinyscale.laws import fit_chinchilla, predict
from tinyscale.laws.batch import descend_all
from tinyscale.laws.bootstrap import bootstrap
from tinyscale.spec import Point

MakePoints = Callable[..., list[Point]]


def columns(points: list[Point]) -> tuple[list[int], list[int], list[float]]:
    return [p.params_total for p in points], [p.tokens for p in points], [p.bpb for p in points]


def test_intervals_shrink_with_the_noise(points: MakePoints) -> None:
    def width(noise: float) -> float:
        table = points(noise=noise)
        found = bootstrap(fit_chinchilla(*columns(table)), [p.trial_id for p in table], draws=40)
        return float(np.ptp(np.quantile(found[:, 4], (0.1, 0.9))))

    assert width(0.0005) < 0.5 * width(0.004)


def test_refits_all_at_once_find_the_minima_of_one_after_another(points: MakePoints) -> None:
    fit = fit_chinchilla(*columns(points()))
    weights = np.random.default_rng(0).multinomial(16, [1 / 16] * 16, size=20).astype(np.float64)
    start = fit.problem.lifted(fit.theta)
    found = descend_all(fit.problem, start, weights, np.tile(fit.problem.log_loss_n, (20, 1)))
    for theta, row in zip(found, weights, strict=True):
        _, least = fit.problem.descend(start, row, rounds=20)
        assert fit.problem.objective(theta, row)[0] <= least * (1 + 1e-3) + 1e-9


def test_a_thousand_draws_of_245_points_take_seconds() -> None:
    rng = np.random.default_rng(7)
    N, D = np.exp(rng.uniform(np.log(6e7), np.log(1.2e10), 245)), np.exp(rng.uniform(np.log(1e9), np.log(3e11), 245))
    loss = predict(1.8, 480.0, 2100.0, 0.35, 0.37, N=N, D=D) * np.exp(0.003 * rng.standard_t(3, 245))
    began = time.process_time()
    bootstrap(fit_chinchilla(N, D, loss), [str(i) for i in range(245)], draws=1_000)
    assert time.process_time() - began < 30


def test_points_of_one_trial_come_and_go_together(points: MakePoints) -> None:
    """Only one trial holds the largest size: where its points are gone, so is what they say."""
    table = points(sizes=(20_000, 40_000, 80_000), budgets=(250_000, 500_000, 1_000_000, 2_000_000, 4_000_000))
    fit = fit_chinchilla(*columns(table))
    alone = bootstrap(fit, [p.trial_id for p in table], draws=40)
    # With three sizes in three clusters, every resample that carries a law would hold all of them exactly once.
    clusters = [f"{p.params_total}" if p.params_total == 80_000 else p.trial_id for p in table]
    together = bootstrap(fit, clusters, draws=40)
    assert not np.allclose(alone, together)
    with pytest.raises(ValueError, match="1 trials cannot show how sure"):
        bootstrap(fit, ["one"] * len(table), draws=40)


def test_few_trials_of_several_points_are_less_sure_of_the_size_than_single_ones(points: MakePoints) -> None:
    """A trial a size: what its points share looks like an effect of the size."""
    table = points(noise=0.001)
    fit = fit_chinchilla(*columns(table))
    alone, shared = (bootstrap(fit, ids, draws=200).std(axis=0) for ids in (
        [p.trial_id for p in table], [str(p.params_total) for p in table]
    ))  # fmt: skip
    assert shared[3] > 1.5 * alone[3]


def test_a_floor_of_zero_can_rise_in_a_resample() -> None:
    """Where the optimum has no floor its gradient vanishes, and draws that start there would all stay without one."""
    N, D = (axis.ravel() for axis in np.meshgrid([2e4, 4e4, 8e4, 16e4], [2.5e5, 5e5, 1e6, 2e6]))
    noise = np.random.default_rng(0).standard_normal(16)
    fit = fit_chinchilla(N, D, predict(0.0, 30.0, 600.0, 0.2, 0.45, N=N, D=D) * np.exp(0.003 * noise))
    assert fit.parameters.E < 1e-3
    found = bootstrap(fit, [str(i) for i in range(16)], draws=60)
    assert (found[:, 0] > 0.05).mean() > 0.1
