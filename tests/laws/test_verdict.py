"""What a fit is good for: of planted bad studies nearly all are flagged, of good ones hardly any."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tinyscale.laws import Chinchilla, fit_points, predict
from tinyscale.laws.forecast import forecast
from tinyscale.laws.form import Floats
from tinyscale.spec import LawFit, Point
from tinyscale.spec.study import LawOptions

QUICK = LawOptions(bootstraps=200)
Table = Callable[..., list[Point]]
Good = Callable[..., Any]
Rng = np.random.Generator


def share(x_n: Floats) -> Floats:
    """Where each value lies between the smallest (0) and the largest (1), on a log axis."""
    log_n = np.log(x_n)
    return (log_n - log_n.min()) / np.ptp(log_n)


def scattered(rng: Rng, loss: Floats, low: float = 0.001, high: float = 0.003) -> Floats:
    return loss * np.exp(rng.uniform(low, high) * rng.standard_normal(len(loss)))


def narrow(rng: Rng, good: Good) -> tuple[Floats, Floats, Floats]:
    """N, or D, over a factor of 1.5 to 4."""
    N, D, _, truth, _ = good(rng)
    factor = rng.uniform(1.5, 4)
    if rng.random() < 0.5:
        N = (N.min() * factor ** share(N)).round()
    else:
        D = (D.min() * factor ** share(D)).round()
    return N, D, scattered(rng, predict(*truth, N=N, D=D))


def proportional(rng: Rng, good: Good) -> tuple[Floats, Floats, Floats]:
    """Tokens in proportion to the size, give or take 10 %."""
    truth = good(rng).truth
    N = np.geomspace(2e4, 2e4 * rng.uniform(16, 64), rng.integers(9, 17)).round()
    D = (rng.uniform(10, 30) * N * np.exp(rng.uniform(-0.1, 0.1, len(N)))).round()
    return N, D, scattered(rng, predict(*truth, N=N, D=D))


def unbounded(rng: Rng, good: Good) -> tuple[Floats, Floats, Floats]:
    """Along one axis the loss does not fall, falls and ends, or falls with the logarithm: no exponent, 3, or 0.01."""
    N, D, _, truth, _ = good(rng)
    of_n = rng.random() < 0.5
    x, other = (N, truth.B * D**-truth.beta) if of_n else (D, truth.A * N**-truth.alpha)
    curve = (
        np.full(len(x), 0.2),
        0.6 * np.exp(-(x / x.min() - 1) * rng.uniform(2, 4)),
        0.6 - 0.5 * share(x) * rng.uniform(0.3, 1),
    )[rng.integers(3)]
    return N, D, scattered(rng, truth.E * (1 + curve) + other)


def induction(rng: Rng, good: Good) -> tuple[Floats, Floats, Floats]:
    """The loss drops by 3 to 20 % between two token budgets, a little sooner in some sizes."""
    N, D, _, truth, _ = good(rng)
    where = rng.choice([0.5, 0.83]) + rng.uniform(-0.1, 0.1) + rng.uniform(-0.15, 0.15) * (share(N) - 0.5)
    drop = rng.uniform(0.03, 0.2) / (1 + np.exp(-(share(D) - where) / rng.uniform(0.01, 0.05)))
    return N, D, scattered(rng, predict(*truth, N=N, D=D) * (1 - drop))


def bent(rng: Rng, good: Good) -> tuple[Floats, Floats, Floats]:
    """Beyond 40 % of an axis the loss bends up by 3 to 10 % (a wrong learning rate), or its fall grows steeper."""
    N, D, _, truth, _ = good(rng)
    of_n = rng.random() < 0.5
    x, other = (share(N), truth.B * D**-truth.beta) if of_n else (share(D), truth.A * N**-truth.alpha)
    if rng.random() < 0.5:
        loss = predict(*truth, N=N, D=D) * (1 + rng.uniform(0.03, 0.1) * np.clip((x - 0.4) / 0.6, 0, None) ** 2)
    else:
        steep = rng.uniform(2, 3.5)
        loss = truth.E * (1 + 0.3 * np.exp(-0.45 * x - (steep - 0.45) * np.clip(x - 0.5, 0, None))) + other
    return N, D, scattered(rng, loss)


def noisy(rng: Rng, good: Good) -> tuple[Floats, Floats, Floats]:
    """Runs scatter by 1.5 to 5 %, where seeds differ by 0.1 to 0.3 %."""
    N, D, _, truth, _ = good(rng)
    return N, D, scattered(rng, predict(*truth, N=N, D=D), 0.015, 0.05)


BAD = (narrow, proportional, unbounded, induction, bent, noisy)


@pytest.mark.slow
def test_bad_studies_are_flagged_and_good_ones_are_not(table: Table, good: Good) -> None:
    """Here 0 of 100 bad ones are missed and 1 of 100 good ones is accused. On other seeds: 2 missed of 600 (one
    induction, one bent), 8 accused of 400 (1 forecast withheld). The thresholds were set on yet others.
    """
    bad_rows = [BAD[seed % len(BAD)](np.random.default_rng(seed), good) for seed in range(100)]
    good_rows = [good(np.random.default_rng(1_000 + seed))[:3] for seed in range(100)]
    bad_laws, good_laws = ([fit_points(table(*rows), options=QUICK) for rows in each] for each in (bad_rows, good_rows))
    missed = [BAD[seed % len(BAD)].__name__ for seed, law in enumerate(bad_laws) if law.exponents_hold]
    accused = [law.warnings for law in good_laws if not law.exponents_hold]
    assert len(missed) <= 5, missed
    assert len(accused) <= 5, accused
    assert sum(not law.forecast_holds for law in good_laws) <= 5


def test_a_good_study_is_trusted(points: Table) -> None:
    law = fit_points(points(noise=0.001), options=QUICK)
    assert (law.warnings, law.forecast_holds, law.verdict) == ((), True, "trusted")


def test_loose_exponents_leave_the_forecast_usable(table: Table) -> None:
    """The twin of a measured miniature study: E at 0 and a anywhere, yet the frontier was off by 0.74 % only."""
    truth = Chinchilla(E=0.1, A=4.2, B=14.0, alpha=0.12, beta=0.2)
    N, D = (axis.ravel() for axis in np.meshgrid([2e4, 4e4, 8e4], [2.5e5, 5e5, 1e6, 2e6]))
    loss = predict(*truth, N=N, D=D) * np.exp(0.003 * np.random.default_rng(1).standard_normal(12))
    law = fit_points(table(N, D, loss), options=QUICK)
    assert law.verdict == "forecast usable, exponents withheld"
    assert "floor E" in " ".join(law.warnings)
    known = forecast(law, 8e4 * 3**0.5, 2e6 * 3**0.5)
    assert known.value == pytest.approx(float(predict(*truth, N=8e4 * 3**0.5, D=2e6 * 3**0.5)), rel=0.01)


def stepped(table: Table, curve: dict[float, float]) -> LawFit:
    """Hidden 16 to 64, whose losses fall alike with the tokens."""
    hidden = {16: 1.13, 32: 1.05, 48: 1.0, 64: 0.975}
    rng = np.random.default_rng(0)
    rows = [
        (24.0 * h * h + 512 * h, tokens, bpb * ratio * np.exp(0.001 * rng.standard_normal()))
        for h, ratio in hidden.items()
        for tokens, bpb in curve.items()
    ]
    return fit_points(table(*np.array(rows).T), options=QUICK)


def test_a_step_between_budgets_withholds_the_forecast(table: Table) -> None:
    """Measured on TinyStories at hidden 48: the law fitted there missed hidden 128 at 8 M tokens by 53 %."""
    law = stepped(table, {2.5e5: 2.296, 5e5: 2.029, 1e6: 1.913, 2e6: 1.697})
    assert (law.exponents_hold, law.forecast_holds) == (False, False)
    assert law.verdict == "forecast withheld, exponents withheld"
    assert "Not yet a power law: forecast withheld; train longer than 2M tokens" in law.warnings[0]
    assert "without the smallest budgets of this study the misfit stays" in law.warnings[0]
    assert "it falls faster from 1M to 2M tokens than before" in law.warnings[0]


def test_a_curve_within_the_seeds_noise_leaves_the_forecast_usable(points: Table) -> None:
    lean = {size: 1.003 if size in (40_000, 80_000) else 0.998 for size in (20_000, 40_000, 80_000, 160_000)}
    table = [replace(p, bpb=p.bpb * lean[p.params_total]) for p in points(noise=0.0003)]
    law = fit_points(table, options=QUICK)
    assert "A faint curve: the law misses its own points" in law.warnings[0]
    assert law.verdict == "forecast usable, exponents withheld"


def test_names_the_budget_from_which_the_law_holds(points: Table) -> None:
    budgets = [2.5e5, 5e5, 1e6, 2e6, 4e6, 8e6]
    early = [replace(p, bpb=p.bpb * (1.12 if p.tokens < 1e6 else 1)) for p in points(budgets=budgets, noise=0.002)]
    law = fit_points(early, options=QUICK)
    assert law.warnings[0].startswith("Not yet a power law: forecast withheld; train longer, drop the points below 1M")
    late = fit_points([p for p in early if p.tokens >= 1e6], options=QUICK)
    assert late.forecast_holds, late.warnings


def test_scatter_is_held_against_the_seeds(points: Table) -> None:
    """1 % passes among seeds that differ as much, and not where repeats show that they do not."""

    def repeated(spread: float) -> list[Point]:
        rng = np.random.default_rng(4)
        return [
            replace(p, trial_id=f"{p.trial_id}-{seed}", seed=seed, bpb=p.bpb * float(np.exp(spread * rng.normal())))
            for p in points(noise=0.012 if spread < 0.01 else 0.0, seed=3)
            for seed in range(3)
        ]

    steady, wild = (fit_points(repeated(spread), options=QUICK) for spread in (0.001, 0.012))
    assert any("where seeds differ by 0.17% (measured)" in said for said in steady.warnings), steady.warnings
    assert not any("seeds differ" in said for said in wild.warnings), wild.warnings
    assert wild.seed_noise > 0.008
