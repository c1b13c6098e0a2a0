"""Fits loss = E + A/N^alpha + B/D^beta to a table of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinyscale.laws.form import Chinchilla, Floats
from tinyscale.laws.solver import Problem
from tinyscale.laws.table import check_table


@dataclass(frozen=True)
class ChinchillaFit:
    """The optimum, and what the bootstrap starts from."""

    parameters: Chinchilla
    objective: float
    """Sum over the runs of Huber(1e-3) of the log residuals."""
    residuals: Floats
    """Log prediction less log loss of each run, (n,)."""
    problem: Problem
    """The points as the solver sees them."""
    theta: Floats
    """The optimum as the solver sees it, (5,)."""

    @property
    def residual_rms(self) -> float:
        """Root mean square of the log residuals: a fraction of the loss."""
        return float(np.sqrt(np.mean(self.residuals**2)))


def fit_chinchilla(N: ArrayLike, D: ArrayLike, loss: ArrayLike, *, seed: Sequence[int] | None = None) -> ChinchillaFit:
    """The law that minimises the sum of Huber(1e-3) of the log residuals (Hoffmann et al. 2022, approach 3).

    Solved by variable projection on a grid of exponents, then L-BFGS with the analytic gradient
    (:mod:`tinyscale.laws.solver`). The sum rather than the mean of the Huber losses, as Besiroglu et al. 2024
    found the mean to end L-BFGS early. A floor or term that the data don't support comes out as good as zero:
    :func:`tinyscale.laws.fit_points` says so in its warnings.

    :param N: parameters of each run, (n,).
    :param D: training tokens of each run, (n,).
    :param loss: in any unit, (n,); E, A and B have the same.
    :param seed: tells repeated runs of one (N, D) apart.
    :raises ValueError: a value is not finite or not positive, a run stands twice, the loss is constant, or there
        are fewer than 5 distinct points, 3 distinct N or 3 distinct D.
    """
    n, d, y = check_table(N, D, loss, seed)
    problem = Problem.of(np.column_stack([n, d]), y)
    theta, objective = problem.solve()
    return ChinchillaFit(to_parameters(problem, theta), objective, problem.residuals(theta), problem, theta)


def to_parameters(problem: Problem, theta: Floats) -> Chinchilla:
    """The solver's vector (5,) as the law's parameters."""
    floor, (A, B), (alpha, beta) = problem.natural(theta)
    return Chinchilla(floor, float(A), float(B), float(alpha), float(beta))
