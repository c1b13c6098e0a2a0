"""Points of made-up studies that obey a known law."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tinyscale.laws import Chinchilla, predict
from tinyscale.spec import Point

TRUTH = Chinchilla(E=0.9, A=30.0, B=600.0, alpha=0.40, beta=0.45)
SIZES = (20_000, 40_000, 80_000, 160_000)
BUDGETS = (250_000, 500_000, 1_000_000, 2_000_000)

MakePoints = Callable[..., list[Point]]


def make_points(
    sizes: Sequence[int] = SIZES,
    budgets: Sequence[int] = BUDGETS,
    *,
    noise: float = 0.003,
    seed: int = 0,
    **changes: Any,
) -> list[Point]:
    generator = np.random.default_rng(seed)
    points = []
    for size in sizes:
        for tokens in budgets:
            bpb = float(predict(*TRUTH, N=size, D=tokens) * np.exp(noise * generator.standard_normal()))
            fields = {
                "trial_id": f"N{size}-D{tokens}",
                "params_total": size,
                "params_non_embedding": size // 2,
                "hidden_size": round(size**0.5),
                "num_layers": 2,
                "vocab_size": 512,
                "tokens": tokens,
                "text_bytes": 3.0 * tokens,
                "flops": 6.0 * size * tokens,
                "loss": 2.0 * bpb,
                "bpb": bpb,
                "learning_rate": 3e-3,
                "seed": 0,
            }
            points.append(Point(**{**fields, **changes}))
    return points


@pytest.fixture(scope="session")
def points() -> MakePoints:
    return make_points


@pytest.fixture(scope="session")
def truth() -> Chinchilla:
    return TRUTH
