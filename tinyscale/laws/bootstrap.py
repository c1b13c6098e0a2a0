"""How far the law would move had other runs been drawn."""

from collections.abc import Sequence

import numpy as np

from tinyscale.laws.chinchilla import ChinchillaFit, to_parameters
from tinyscale.laws.form import Floats
from tinyscale.laws.table import LEAST_POINTS, LEAST_VALUES
from tinyscale.spec import Interval

LEAST_DRAWS = 40
"""Below this the 2.5 % quantile is the smallest draw or less."""
LEAST_TRIALS = 7
"""With fewer, nearly every resample that carries a law holds each trial once, and the interval shrinks to nothing."""


def bootstrap(fit: ChinchillaFit, clusters: Sequence[str], *, draws: int = 1_000, seed: int = 0) -> Floats:
    """Parameters (draws, 5) in the order of :class:`Chinchilla`, refitted to resampled trials (Efron 1979).

    Whole trials are drawn with replacement, so the points of one trial come and go together. A resample that
    lost too many sizes or budgets to carry a law is drawn again. Each refit descends from the optimum of all
    points. On simulated grids of 12 and 20 points with noise of 0.3 % this covered the truth more often than
    resampling residuals, random weights or random signs, which were all too sure.

    :param clusters: trial of each point, (n,).
    :raises ValueError: too few draws for a 95 % interval, or too few trials to resample.
    """
    if draws < LEAST_DRAWS:
        raise ValueError(f"{draws} bootstraps give no 95 % interval: ask for {LEAST_DRAWS} at least (1000 is usual)")
    inputs_nk = fit.problem.x_nk
    _, cluster_n = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(cluster_n.max()) + 1
    if count < LEAST_TRIALS:
        raise ValueError(
            f"{count} trials cannot show how sure a law of five parameters is: add at least {LEAST_TRIALS - count}, "
            "at other model sizes N and token budgets D"
        )
    start = fit.problem.lifted(fit.theta)
    generator = np.random.default_rng(seed)
    found: list[Floats] = []
    while len(found) < draws:
        weights_n = np.bincount(generator.integers(count, size=count), minlength=count)[cluster_n].astype(np.float64)
        if _carries_a_law(inputs_nk[weights_n > 0]):
            theta, _ = fit.problem.descend(start, weights_n)
            found.append(np.asarray(to_parameters(fit.problem, theta)))
    return np.stack(found)


def interval(value: float, draws: Floats) -> Interval:
    """A value with the 2.5 % and 97.5 % quantiles of its draws."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))


def _carries_a_law(inputs_nk: Floats) -> bool:
    distinct = [len(np.unique(column)) for column in inputs_nk.T]
    return min(distinct) >= LEAST_VALUES and len(np.unique(inputs_nk, axis=0)) >= LEAST_POINTS
