"""Points of made-up studies, most of which obey a known law."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinyscale.accounting import count_parameters, training_flops
from tinyscale.laws import Chinchilla, predict
from tinyscale.laws.form import Floats
from tinyscale.plan.recipe import resolve
from tinyscale.spec import Point

TRUTH = Chinchilla(E=0.9, A=30.0, B=600.0, alpha=0.40, beta=0.45)
SIZES = (20_000, 40_000, 80_000, 160_000)
BUDGETS = (250_000, 500_000, 1_000_000, 2_000_000)

MakePoints = Callable[..., list[Point]]
AsPoints = Callable[[Floats, Floats, Floats], list[Point]]


class Study(NamedTuple):
    """A simulated study."""

    N: Floats
    D: Floats
    loss: Floats
    truth: Chinchilla
    noise: float
    """Standard deviation of the log losses."""


def as_points(N: Floats, D: Floats, loss: Floats, **changes: Any) -> list[Point]:
    """One trial for each row."""
    points = []
    for size, tokens, bpb in zip(N, D, loss, strict=True):
        fields = {
            "trial_id": f"N{size:.0f}-D{tokens:.0f}",
            "params_total": int(size),
            "params_non_embedding": int(size) // 2,
            "hidden_size": round(size**0.5),
            "num_layers": 2,
            "vocab_size": 512,
            "tokens": int(tokens),
            "text_bytes": 3.0 * tokens,
            "flops": 6.0 * size * tokens,
            "loss": 2.0 * float(bpb),
            "bpb": float(bpb),
            "learning_rate": 3e-3,
            "seed": 0,
        }
        points.append(Point(**{**fields, **changes}))
    return points


def make_points(
    sizes: Sequence[int] = SIZES,
    budgets: Sequence[int] = BUDGETS,
    *,
    noise: float = 0.003,
    seed: int = 0,
    **changes: Any,
) -> list[Point]:
    """A grid that obeys TRUTH."""
    D, N = (axis.ravel() for axis in np.meshgrid(budgets, sizes))
    loss = predict(*TRUTH, N=N, D=D) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(N)))
    return as_points(N, D, loss, **changes)


def make_shapes(
    shapes: Sequence[tuple[int, int]],
    *,
    budgets: Sequence[int] = (500_000, 1_000_000, 2_000_000, 4_000_000),
    params: str = "total",
    aspect: float = 0.0,
    noise: float = 0.002,
    vocab_size: int = 512,
    seed: int = 0,
    trunk: bool = False,
) -> list[Point]:
    """Real models of these (hidden_size, num_layers), whose losses obey TRUTH in one count of N.

    :param aspect: the loss is multiplied by (hidden / layers)^aspect.
    :param trunk: one trial a shape.
    """
    rng, points = np.random.default_rng(seed), []
    for hidden, layers in shapes:
        for tokens in budgets:
            settings = {"hidden_size": hidden, "num_layers": layers, "vocab_size": vocab_size, "context_length": 128}
            model, _ = resolve({**settings, "tokens": tokens})
            counted, flops = count_parameters(model), training_flops(model, tokens)
            N = {"total": counted.total, "non_embedding": counted.non_embedding, "effective": flops / tokens / 6}[
                params
            ]
            bpb = float(predict(*TRUTH, N=N, D=tokens)) * (hidden / layers) ** aspect * np.exp(noise * rng.normal())
            point = as_points(np.array([N]), np.array([tokens]), np.array([bpb]))[0]
            points.append(
                replace(
                    point,
                    trial_id=f"d{hidden}-L{layers}" + ("" if trunk else f"-D{tokens}"),
                    params_total=counted.total,
                    params_non_embedding=counted.non_embedding,
                    hidden_size=hidden,
                    num_layers=layers,
                    vocab_size=vocab_size,
                    flops=flops,
                )
            )
    return points


def good_study(generator: np.random.Generator) -> Study:
    """A 4x4 or 5x4 grid over a factor of 16 to 64 in N and 8 to 32 in D, noise of 0.1 to 0.3 %, a law at random.

    Exponents in 0.25 .. 0.65; the smallest model, and the smallest budget, cost 0.2 to 1.5 times the floor: in the
    240 runs of Hoffmann et al. 2022 they cost about half.
    """
    sizes = np.geomspace(2e4, 2e4 * generator.uniform(16, 64), generator.choice([4, 5])).round()
    budgets = np.geomspace(2.5e5, 2.5e5 * generator.uniform(8, 32), 4).round()
    N, D = (axis.ravel() for axis in np.meshgrid(sizes, budgets))
    E, (a, b), (alpha, beta) = (
        generator.uniform(0.5, 2),
        generator.uniform(0.2, 1.5, 2),
        generator.uniform(0.25, 0.65, 2),
    )
    truth = Chinchilla(E, E * a * sizes[0] ** alpha, E * b * budgets[0] ** beta, alpha, beta)
    noise = generator.uniform(0.001, 0.003)
    loss = predict(*truth, N=N, D=D) * np.exp(noise * generator.standard_normal(len(N)))
    return Study(N, D, loss, truth, noise)


@pytest.fixture(scope="session")
def points() -> MakePoints:
    return make_points


@pytest.fixture(scope="session")
def shaped() -> Callable[..., list[Point]]:
    return make_shapes


@pytest.fixture(scope="session")
def truth() -> Chinchilla:
    return TRUTH


@pytest.fixture(scope="session")
def table() -> AsPoints:
    return as_points


@pytest.fixture(scope="session")
def good() -> Callable[[np.random.Generator], Study]:
    return good_study
