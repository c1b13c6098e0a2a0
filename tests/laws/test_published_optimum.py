"""The compute-optimal table of Hoffmann et al. 2022 (approach 1) against C = 6 N D and against a published law."""

import numpy as np
import pytest

from tinyscale.laws.form import Chinchilla
from tinyscale.laws.frontier import Frontier

TABLE = (
    # Parameters, FLOPs, tokens: table 3 of the paper.
    (400e6, 1.92e19, 8.0e9),
    (1e9, 1.21e20, 20.2e9),
    (10e9, 1.23e22, 205.1e9),
    (67e9, 5.76e23, 1.5e12),
    (175e9, 3.85e24, 3.7e12),
)
REFITTED = Chinchilla(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
"""Besiroglu et al. 2024: the paper's 240 runs, fitted again."""


@pytest.mark.parametrize(("params", "flops", "tokens"), TABLE)
def test_compute_is_six_times_parameters_times_tokens(params: float, flops: float, tokens: float) -> None:
    """To 5 %: the table rounds tokens to two digits."""
    assert 6 * params * tokens == pytest.approx(flops, rel=0.05)


@pytest.mark.parametrize(("params", "flops", "tokens"), TABLE)
def test_the_refitted_law_wants_sizes_like_the_table(params: float, flops: float, tokens: float) -> None:
    """Approach 1 is another method on the same runs, and its table rounds: within 15 %."""
    best = Frontier(REFITTED)
    assert float(best.params(flops)) == pytest.approx(params, rel=0.15)
    assert float(best.tokens(flops)) == pytest.approx(tokens, rel=0.15)


def test_the_tables_exponent_is_that_of_the_paper() -> None:
    """N grows as C^0.50 (approach 1, table 2)."""
    params, flops, _ = np.array(TABLE).T
    assert np.polyfit(np.log(flops), np.log(params), 1)[0] == pytest.approx(0.50, abs=0.005)
