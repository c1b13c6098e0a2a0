"""Levels of equal compute: their minima, their exponent, and what is refused."""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyscale.laws import Chinchilla, fit_points, predict
from tinyscale.laws.form import Floats
from tinyscale.laws.frontier import Frontier
from tinyscale.laws.isoflop import fit_isoflops
from tinyscale.spec import IsoFlops, Point
from tinyscale.spec.study import LawOptions

AsPoints = Callable[[Floats, Floats, Floats], list[Point]]
QUICK = LawOptions(bootstraps=60)
COMPUTES = (1e12, 4e12, 16e12, 64e12)


def level_points(
    table: AsPoints, truth: Chinchilla, ratios: Sequence[float], *, jitter: float = 0.0, noise: float = 0.001
) -> list[Point]:
    """At each compute, model sizes at these multiples of the best one."""
    rng = np.random.default_rng(0)
    C = np.repeat(COMPUTES, len(ratios))
    N = (np.tile(ratios, len(COMPUTES)) * Frontier(truth).params(C)).round()
    D = (C * np.exp(jitter * rng.uniform(-1, 1, len(C))) / (6 * N)).round()
    return table(N, D, predict(*truth, N=N, D=D) * np.exp(noise * rng.standard_normal(len(N))))


def isoflops(points: list[Point], draws: int = 200) -> IsoFlops:
    return fit_isoflops(points, fit_points(points, options=QUICK), draws=draws)


RATIOS = (0.35, 0.6, 1.0, 1.7, 2.9)


def test_minima_and_exponent_are_those_of_the_law(table: AsPoints, truth: Chinchilla) -> None:
    found = isoflops(level_points(table, truth, RATIOS))
    assert [level.flops for level in found.levels] == pytest.approx(COMPUTES, rel=1e-3)
    for level in found.levels:
        assert level.refused == ""
        assert level.best_params == pytest.approx(float(Frontier(truth).params(level.flops)), rel=0.15)
        c0, c1, c2 = level.coefficients or (0, 0, 0)
        x = np.log(level.params)
        np.testing.assert_allclose(c0 + c1 * x + c2 * x**2, level.loss, rtol=0.01)
        assert np.exp(-c1 / (2 * c2)) == pytest.approx(level.best_params)
    assert found.a is not None
    assert found.a.low < Frontier(truth).a < found.a.high
    assert found.a.high - found.a.low < 0.12
    assert found.law_a.low < Frontier(truth).a < found.law_a.high


def test_compute_that_differs_a_little_is_evened_out_along_the_law(table: AsPoints, truth: Chinchilla) -> None:
    """By 7 %, which alone would move losses by far more than the parabola's bend."""
    even, uneven = (isoflops(level_points(table, truth, RATIOS, jitter=j, noise=1e-5)) for j in (0.0, 0.068))
    assert len(uneven.levels) == len(COMPUTES)
    for straight, moved in zip(even.levels, uneven.levels, strict=True):
        best = float(Frontier(truth).params(moved.flops) / Frontier(truth).params(straight.flops))
        assert moved.best_params == pytest.approx((straight.best_params or 0) * best, rel=0.03)


def test_the_interval_covers_the_exponent(table: AsPoints, truth: Chinchilla) -> None:
    """Of parabolas through exact points of the law, which no parabola is: about where other noise would put it."""
    exact = isoflops(level_points(table, truth, RATIOS, noise=0.0)).a
    assert exact is not None
    clean, covered = level_points(table, truth, RATIOS, noise=0.0), 0
    law = fit_points(clean, options=QUICK)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noisy = [replace(p, bpb=p.bpb * float(np.exp(0.002 * rng.normal()))) for p in clean]
        known = fit_isoflops(noisy, law, draws=400).a
        covered += known is not None and known.low < exact.value < known.high
    assert covered >= 34


def test_refused_levels_say_why(table: AsPoints, truth: Chinchilla) -> None:
    few = isoflops(level_points(table, truth, RATIOS[:4])).levels[0]
    assert few.refused == "4 model sizes: add 1 or more of this compute"
    assert (few.coefficients, few.best_params) == (None, None)
    small = isoflops(level_points(table, truth, (0.1, 0.14, 0.2, 0.28, 0.4)))
    assert "outside the sizes trained: add larger models" in small.levels[0].refused
    assert small.a is None
    humped = [
        replace(p, bpb=p.bpb * (1.2 if 0.9 < p.params_total / float(Frontier(truth).params(p.flops)) < 1.1 else 1.0))
        for p in level_points(table, truth, RATIOS)
    ]
    assert "opens downwards" in isoflops(humped).levels[0].refused


def test_two_minima_give_no_exponent(table: AsPoints, truth: Chinchilla) -> None:
    points = level_points(table, truth, RATIOS)
    law = fit_points(points, options=QUICK)
    found = fit_isoflops([p for p in points if p.flops < 8e12], law)
    assert [level.refused for level in found.levels] == ["", ""]
    assert found.a is None


def test_seeds_are_one_cell(table: AsPoints, truth: Chinchilla) -> None:
    points = level_points(table, truth, RATIOS, noise=0.0)
    pairs = [
        replace(p, trial_id=f"{p.trial_id}-{s}", seed=s, bpb=p.bpb * (1 + 0.01 * (s - 0.5)))
        for p in points
        for s in (0, 1)
    ]
    level = isoflops(pairs).levels[0]
    assert len(level.params) == len(RATIOS)
    assert level.loss == pytest.approx([p.bpb for p in points[: len(RATIOS)]], rel=1e-3)


def test_refuses_where_no_compute_is_equal(table: AsPoints, truth: Chinchilla) -> None:
    points = level_points(table, truth, RATIOS[:2])
    others = level_points(table, truth, RATIOS)
    with pytest.raises(ValueError, match="no 3 of the model sizes fitted were trained with equal compute"):
        fit_isoflops(points, fit_points(others, options=QUICK))


def test_golden_chinchilla_data(table: AsPoints) -> None:
    """Hoffmann et al. 2022, table 2: a = 0.49 (0.462 to 0.534) by approach 2. Here 0.523 from the digitised runs."""
    path = Path(os.environ.get("TINYSCALE_CHINCHILLA_CSV", ""))
    if not path.is_file():
        pytest.skip("TINYSCALE_CHINCHILLA_CSV names no file (svg_extracted_data.csv of Besiroglu et al. 2024)")
    with path.open() as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: float(row["loss"]))[:240]
    N, C, loss = (np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss"))
    points = table(N, C / (6 * N), loss)
    found = isoflops([replace(p, trial_id=str(row)) for row, p in enumerate(points)])
    assert found.a is not None
    assert 0.46 < found.a.value < 0.54
    # Nine computes were trained: 6e18 to 3e21.
    assert sum(not level.refused for level in found.levels) >= 9
