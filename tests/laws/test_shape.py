"""Width and depth beside N: an effect is found where there is one, and only there."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinyscale.laws import fit_points, predict
from tinyscale.laws.shape import fit_shape
from tinyscale.spec import LawFit, Point, ShapeLaw
from tinyscale.spec.study import LawOptions

Shaped = Callable[..., list[Point]]
SHAPES = [(16, 1), (16, 4), (32, 2), (64, 1), (64, 4)]
NINE = [(hidden, layers) for hidden in (16, 32, 64) for layers in (1, 2, 4)]


def law_of(points: list[Point]) -> LawFit:
    return fit_points(points, options=LawOptions(bootstraps=60))


def shape_of(points: list[Point], bootstraps: int = 60) -> ShapeLaw:
    return fit_shape(points, law_of(points), bootstraps=bootstraps)


def test_finds_the_exponents_of_width_and_depth(shaped: Shaped) -> None:
    points = [
        replace(p, bpb=float(predict(0.9, 9.0, 600.0, 0.7, 0.45, N=p.hidden_size * p.num_layers**0.4, D=p.tokens)))
        for p in shaped(NINE)
    ]
    rng = np.random.default_rng(0)
    found = shape_of([replace(p, bpb=p.bpb * float(np.exp(0.001 * rng.normal()))) for p in points], 200)
    for known, true in ((found.gamma, 0.7), (found.delta, 0.28), (found.beta, 0.45), (found.ratio, 2.5)):
        assert known.low < true < known.high
        assert known.high - known.low < 0.4 * true
    assert found.residual_rms < 0.0015
    # All parameters counted, these losses are no law of N.
    assert found.law_residual_rms > 0.005
    assert found.matters


@pytest.mark.parametrize("trunk", [False, True])
def test_an_effect_of_shape_is_found_with_its_size(shaped: Shaped, trunk: bool) -> None:
    found = shape_of(shaped(NINE, aspect=0.01, trunk=trunk))
    assert found.matters
    assert found.said.startswith("Shape matters beyond N (all parameters counted): from hidden / layers = 4 to 64")
    # 16^0.01 = 1.028
    moved = float(found.said.split("moves by +")[1].split("%")[0])
    assert moved == pytest.approx(2.8, abs=0.5)


def test_no_effect_is_found_where_there_is_none(shaped: Shaped) -> None:
    """At a chance of 1 % of a false alarm."""
    found = [shape_of(shaped(SHAPES, noise=0.001, seed=seed), 40) for seed in range(1, 9)]
    assert sum(each.matters for each in found) <= 1
    assert sum(each.said.startswith("Shape explains nothing that N does not") for each in found) >= 7


def test_noise_too_large_to_tell_is_said(shaped: Shaped) -> None:
    found = shape_of(shaped(SHAPES, noise=0.02, seed=1))
    assert not found.matters
    assert found.said.startswith("These runs cannot tell whether shape matters beyond N")


@pytest.mark.parametrize("trunk", [False, True])
def test_a_shared_error_is_no_effect_of_the_shape(shaped: Shaped, trunk: bool) -> None:
    """Points of one trunk, or of a shape with a poor learning rate, lie off the law together: as single runs they would
    look like an effect, again and again."""
    alarms = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        shared = {shape: float(np.exp(0.01 * rng.normal())) for shape in NINE}
        points = shaped(NINE, noise=0.0005, trunk=trunk, seed=seed)
        alarms += shape_of([replace(p, bpb=p.bpb * shared[p.hidden_size, p.num_layers]) for p in points], 40).matters
    assert alarms <= 1


def test_refuses_what_cannot_be_told_apart_and_says_what_to_add(shaped: Shaped) -> None:
    def refused(shapes: list[tuple[int, int]], words: str) -> None:
        points = shaped(shapes)
        law = law_of(points)
        with pytest.raises(ValueError, match=words):
            fit_shape(points, law)

    refused([(16, 2), (32, 2), (64, 2), (96, 2)], "every point fitted has num_layers 2: add trials of another")
    refused([(32, 1), (32, 2), (32, 4), (32, 8)], "every point fitted has hidden_size 32: .* num_layers 1 and 8")
    refused(
        [(16, 1), (32, 2), (64, 4), (128, 8)],
        r"move together .*1\.00.* add hidden_size 16 with num_layers 8 and hidden_size 128 with num_layers 1",
    )
    refused([(16, 1), (16, 4), (64, 2)], "hidden / layers follows from N")


def test_refuses_too_few_shapes_of_trunks(shaped: Shaped) -> None:
    points = shaped([(16, 1), (16, 4), (32, 2), (64, 1), (64, 4)], trunk=True)
    law = law_of(points)
    with pytest.raises(ValueError, match="5 trials leave 0 to tell an effect of shape from chance: add 3 or more"):
        fit_shape(points, law)


def test_refuses_few_shapes_that_stray(shaped: Shaped) -> None:
    """As single runs they are many, but only the shapes differ."""
    off = dict(zip(SHAPES, (1.01, 0.99, 1.0, 1.01, 0.98), strict=True))
    points = [replace(p, bpb=p.bpb * off[p.hidden_size, p.num_layers]) for p in shaped(SHAPES, noise=0.0005)]
    law = law_of(points)
    with pytest.raises(ValueError, match="5 shapes, whose trials stray from the law together, leave 0"):
        fit_shape(points, law)
