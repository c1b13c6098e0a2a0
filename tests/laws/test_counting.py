"""The exponents move with what N counts."""

from collections.abc import Callable

import pytest

from tinyscale.laws import Chinchilla, fit_points
from tinyscale.laws.counting import fit_countings
from tinyscale.spec import Point
from tinyscale.spec.study import LawOptions

QUICK = LawOptions(bootstraps=200)
SHAPES = [(16, 2), (32, 2), (64, 2), (128, 2), (256, 2)]


def test_a_law_in_effective_n_shows_there_and_moves_elsewhere(
    shaped: Callable[..., list[Point]], truth: Chinchilla
) -> None:
    """As in Porian et al. 2024, a rises where the head's FLOPs are left out: tiny models are mostly head."""
    points = shaped(SHAPES, params="effective", vocab_size=2048, noise=0.001)
    law = fit_points(points, options=QUICK)
    total, non_embedding, effective = fit_countings(points, law, bootstraps=200)
    assert [counted.params for counted in (total, non_embedding, effective)] == ["total", "non_embedding", "effective"]
    a = truth.beta / (truth.alpha + truth.beta)
    assert effective.warnings == ()
    assert effective.alpha.low < truth.alpha < effective.alpha.high
    assert effective.a.low < a < effective.a.high
    assert non_embedding.alpha.high < effective.alpha.low
    assert non_embedding.a.low > effective.a.high
    assert non_embedding.a.value - effective.a.value > 0.1
    assert effective.residual_rms < non_embedding.residual_rms


def test_the_count_of_the_law_is_the_law_itself(shaped: Callable[..., list[Point]]) -> None:
    points = shaped(SHAPES)
    for kind in ("total", "non_embedding"):
        law = fit_points(points, options=LawOptions(bootstraps=60, params=kind))
        (own,) = [counted for counted in fit_countings(points, law, bootstraps=60) if counted.params == kind]
        assert (own.alpha, own.a, own.warnings) == (law.intervals["alpha"], law.intervals["a"], law.warnings)


def test_refuses_with_the_count_that_fails(shaped: Callable[..., list[Point]]) -> None:
    """Vocabularies aside, models of one body differ in what they embed alone."""
    points = [p for v in (256, 1024, 4096) for p in shaped([(32, 2)], vocab_size=v)]
    one = [Point(**{**vars(p), "vocab_size": 512, "trial_id": f"{p.params_total}-{p.tokens}"}) for p in points]
    law = fit_points(one, options=LawOptions(bootstraps=60))
    with pytest.raises(ValueError, match=r"with N = non_embedding: .*2 more distinct model size"):
        fit_countings(one, law, bootstraps=60)
