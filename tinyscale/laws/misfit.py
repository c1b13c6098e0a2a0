"""Does the law miss its own points by more than chance, and is there a pattern in how it misses them?"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from tinyscale.laws.form import Floats
from tinyscale.laws.noise import Noise
from tinyscale.laws.solver import Problem

SIGNIFICANCE = 0.005
"""Chance of a false alarm of each test."""
FAR_ABOVE = 1.5
"""Residuals may deviate this many times as far as seeds before they count as too far."""
LEAST_RESIDUAL = 1e-4
"""Residuals this small are of no concern, whatever their pattern: exact laws leave those of the solver."""
LEAST_SHARE = 0.5
"""Of the residuals' squares that a pattern must explain: on grids of 20 points a significant one does. Among hundreds
of points, faint ones are significant too: the 240 runs of Hoffmann et al. 2022 hold one of 0.3 % in a scatter of
0.75 % (a share of 0.32)."""
POWERS = 3
"""Highest power of an input's log that the residuals are searched for: with four values, any pattern."""


class Fit(Protocol):
    """What every law's fit holds."""

    @property
    def problem(self) -> Problem:
        """The points as the solver sees them."""

    @property
    def theta(self) -> Floats:
        """The optimum as the solver sees it, (p,)."""

    @property
    def residuals(self) -> Floats:
        """Log prediction less log loss of each run, (n,)."""

    @property
    def residual_rms(self) -> float:
        """Root mean square of the log residuals."""


def residual_deviation(fit: Fit) -> float:
    """Standard deviation of the log residuals, the fitted parameters taken off."""
    count = len(fit.residuals)
    return fit.residual_rms * float(np.sqrt(count / max(count - len(fit.theta), 1)))


def misses(fit: Fit, noise: Noise) -> bool:
    """The residuals deviate more than :data:`FAR_ABOVE` times as far as seeds, by an F test of the two variances
    (Draper & Smith 1998, section 2.1)."""
    freedom = len(fit.residuals) - len(fit.theta)
    ratio = (residual_deviation(fit) / (FAR_ABOVE * noise.deviation)) ** 2
    return freedom > 0 and float(f_distribution.sf(ratio, freedom, noise.freedom)) < SIGNIFICANCE


def pattern(fit: Fit, axis: int) -> bool:
    """The residuals follow a curve along the log of an input (axis 0 is the first) that the law cannot take up.

    An extra-sum-of-squares F test (Seber & Wild 2003, section 5.9) of powers of the logs, added to the law made
    linear at its optimum; the noise is that of the same residuals, so no seed need be repeated. It sees what a
    count of runs of equal sign sees, and keeps its power on grids of four values, where that has none.
    """
    count = len(fit.residuals)
    x_n = fit.problem.x_nk[:, axis] / np.abs(fit.problem.x_nk[:, axis]).max()
    law_nc = fit.problem.jacobian(fit.theta)
    wide_nc = np.column_stack([law_nc, *(x_n**power for power in range(POWERS + 1))])
    (plain, plain_rank), (wide, wide_rank) = (_left_over(columns, fit.residuals) for columns in (law_nc, wide_nc))
    extra, freedom = wide_rank - plain_rank, count - wide_rank
    if extra < 1 or freedom < 1 or plain - wide < LEAST_SHARE * plain:
        return False
    ratio = ((plain - wide) / extra) / max(wide / freedom, LEAST_RESIDUAL**2)
    return float(f_distribution.sf(ratio, extra, freedom)) < SIGNIFICANCE


def steepening(N: Floats, D: Floats, log_loss_n: Floats) -> tuple[float, float] | None:
    """The token budgets between which the loss falls faster than just before, most of all; None: it never does.

    Along log D every curve of the law is convex. A loss that falls faster later has met a change of regime, such as
    attention learning to copy (Olsson et al. 2022). The model sizes must agree on it, by Student's t.
    """
    bends: dict[tuple[float, float], list[float]] = {}
    for size in np.unique(N):
        mine = size == N
        budgets = np.unique(D[mine])
        means = np.array([log_loss_n[mine & (budget == D)].mean() for budget in budgets])
        slopes = np.diff(means) / np.diff(np.log(budgets))
        for i in range(1, len(slopes)):
            bends.setdefault((float(budgets[i]), float(budgets[i + 1])), []).append(float(slopes[i - 1] - slopes[i]))
    agreed = {where: float(np.mean(found)) for where, found in bends.items() if _positive(found)}
    return max(agreed, key=lambda where: agreed[where]) if agreed else None


def _positive(values: Sequence[float]) -> bool:
    """The mean lies above zero by Student's t."""
    count = len(values)
    if count < 3:
        return False
    error = float(np.std(values, ddof=1) / np.sqrt(count))
    least = float(t_distribution.isf(SIGNIFICANCE, count - 1)) * error
    return float(np.mean(values)) > max(least, 1e-12)


def _left_over(columns_nc: Floats, residuals_n: Floats) -> tuple[float, int]:
    """Squares that least squares on the columns leaves, and the columns' rank."""
    scaled = columns_nc / np.maximum(np.linalg.norm(columns_nc, axis=0), 1e-12)
    solution, _, rank, _ = np.linalg.lstsq(scaled, residuals_n, rcond=1e-6)
    return float(np.sum((residuals_n - scaled @ solution) ** 2)), int(rank)
