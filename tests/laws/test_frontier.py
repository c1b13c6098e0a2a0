"""The closed form of the compute-optimal split is the minimum along 6 N D = C."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tinyscale.laws import Chinchilla, predict
from tinyscale.laws.frontier import Frontier


@pytest.mark.parametrize("law", [Chinchilla(1.8, 480, 2100, 0.35, 0.37), Chinchilla(0.0, 3.0, 900, 0.1, 0.6)])
@pytest.mark.parametrize("C", [1e12, 1e20])
def test_best_split_of_a_budget(law: Chinchilla, C: float) -> None:
    frontier = Frontier(law)
    searched = minimize_scalar(
        lambda log_n: float(predict(*law, N=np.exp(log_n), D=C / (6 * np.exp(log_n)))), bracket=(1.0, 30.0), tol=1e-12
    )
    assert frontier.loss(C) == pytest.approx(searched.fun, rel=1e-9)
    assert frontier.params(C) == pytest.approx(np.exp(searched.x), rel=1e-3)
    assert 6 * frontier.params(C) * frontier.tokens(C) == pytest.approx(C)
    assert frontier.a + frontier.b == pytest.approx(1)
