"""How far the law would move had other runs been drawn."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyscale.laws.batch import descend_all
from tinyscale.laws.chinchilla import ChinchillaFit, to_parameters
from tinyscale.laws.form import Chinchilla, Floats, predict
from tinyscale.laws.noise import LEAST_TRIALS, Noise, run_noise
from tinyscale.laws.solver import Problem
from tinyscale.laws.table import LEAST_VALUES
from tinyscale.spec import Interval

Integers = NDArray[np.int64]

LEAST_DRAWS = 40
"""Below this the 2.5 % quantile is the smallest draw or less."""
LEAST_RUNS = 7
"""Points, fewer of which cannot show how sure a law of five parameters is."""
SHARED = 0.5
"""Of the noise's variance that the points of one trial share, where too few trials are there to be resampled. They
share the weights' start and the text up to the branch. Measured on trunks with budgets of 250k, 500k and 1M tokens on
the built-in text, two widths and seven seeds: the log losses of one trunk correlate by 0.58, of separate runs of one
seed by 0.30."""


def bootstrap(fit: ChinchillaFit, clusters: Sequence[str], *, draws: int = 1_000, seed: int = 0) -> Floats:
    """Parameters (draws, 5) in the order of :class:`Chinchilla`, refitted to resampled trials (:func:`refit`)."""
    theta_dp = refit(fit.problem, fit.theta, clusters, draws=draws, seed=seed)
    return np.array([to_parameters(fit.problem, theta_p) for theta_p in theta_dp])


def refit(
    problem: Problem,
    theta_p: Floats,
    clusters: Sequence[str],
    *,
    draws: int = 1_000,
    seed: int = 0,
    axes_na: Floats | None = None,
) -> Floats:
    """Parameters (draws, p) of the solver, refitted to resampled trials (Efron 1979).

    Whole trials are drawn with replacement, so the points of one trial come and go together. A resample that
    lost too many sizes or budgets to carry a law is drawn again. Each refit descends from the optimum of all
    points.

    Measured on 600 simulated 4x4 and 5x4 grids with noise of 0.1 to 0.3 %, 300 draws each: the plain percentiles
    of these draws cover E, alpha, beta, a and the loss at 3 x C in 94.5 to 96.8 %. Tried and left: the same draws
    with bias correction (92.5 to 95.3 %) or reflected (the basic bootstrap, 90 to 93 %), normal noise of the
    residuals' deviation, freedom corrected (91 to 94 %), and such noise with Student's t (94 to 96 %), which is as
    good but takes the noise to be the same everywhere.

    Fewer than 7 trials, of several points each, cannot be resampled: there the law is refitted to its predictions
    with noise (a parametric bootstrap) of the residuals' deviation, pooled with the seeds' default, half of it
    shared within a trial. On 150 simulated 3x3 to 4x4 grids with one trial a size, whose noise was so shared, such
    draws cover in 97 to 99 %; noise of the residuals' deviation, not shared, covered in 71 to 97 %.

    :param theta_p: the optimum of all points.
    :param clusters: trial of each point, (n,).
    :param axes_na: what must keep three values in each resample, (n, a); None: the problem's inputs.
    :raises ValueError: too few draws for a 95 % interval, or too few trials to resample.
    """
    if draws < LEAST_DRAWS:
        raise ValueError(f"{draws} bootstraps give no 95 % interval: ask for {LEAST_DRAWS} at least (1000 is usual)")
    _, cluster_n = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(cluster_n.max()) + 1
    if len(cluster_n) < LEAST_RUNS or count < LEAST_VALUES:
        lacking = max(LEAST_RUNS - len(cluster_n), LEAST_VALUES - count)
        raise ValueError(
            f"{count} trials cannot show how sure a law of five parameters is: add at least {lacking}, "
            "at other model sizes N and token budgets D"
        )
    generator = np.random.default_rng(seed)
    weights_dn, log_loss_dn = np.ones((draws, len(cluster_n))), np.tile(problem.log_loss_n, (draws, 1))
    if count < LEAST_TRIALS:
        residuals_n = problem.residuals(theta_p)
        noise = run_noise(float(np.sqrt(np.mean(residuals_n**2))), len(cluster_n), count, len(theta_p))
        log_loss_dn += residuals_n + shared_noise(generator, noise, cluster_n, draws)
    else:
        axes_na = problem.x_nk if axes_na is None else axes_na
        weights_dn = _resampled(generator, axes_na, cluster_n, draws, len(theta_p))
    return descend_all(problem, problem.lifted(theta_p), weights_dn, log_loss_dn)


def _resampled(generator: np.random.Generator, axes_na: Floats, cluster_n: Integers, draws: int, least: int) -> Floats:
    """How often each point stands in each resample of the trials, (draws, n); each holds ``least`` places or more."""
    count = int(cluster_n.max()) + 1
    # An input with two values, such as a depth, must keep both.
    values_a = [min(LEAST_VALUES, len(np.unique(column))) for column in axes_na.T]
    found: list[Floats] = []
    while len(found) < draws:
        weights_n = np.bincount(generator.integers(count, size=count), minlength=count)[cluster_n].astype(np.float64)
        if _carries_a_law(axes_na[weights_n > 0], values_a, least):
            found.append(weights_n)
    return np.stack(found)


def shared_noise(generator: np.random.Generator, noise: Noise, cluster_n: Integers, draws: int) -> Floats:
    """Normal noise (draws, n), :data:`SHARED` within a trial; its deviation is as uncertain as its freedom says."""
    of_trial_dn = generator.standard_normal((draws, int(cluster_n.max()) + 1))[:, cluster_n]
    of_point_dn = generator.standard_normal((draws, len(cluster_n)))
    deviation_d = noise.deviation * np.sqrt(noise.freedom / generator.chisquare(noise.freedom, draws))
    drawn: Floats = deviation_d[:, None] * (SHARED**0.5 * of_trial_dn + (1 - SHARED) ** 0.5 * of_point_dn)
    return drawn


def interval(value: float, draws: Floats) -> Interval:
    """A value with the 2.5 % and 97.5 % quantiles of its draws."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))


def run_interval(law: Chinchilla, draws: Floats, noise: Noise, *, N: float, D: float) -> Interval:
    """Loss of one new run of N parameters on D tokens, with the 95 % interval of what it will measure.

    :param draws: of the law, (draws, 5).
    """
    return with_scatter(float(predict(*law, N=N, D=D)), predict(*draws.T, N=N, D=D), noise)


def with_scatter(value: float, draws: Floats, noise: Noise) -> Interval:
    """A law's loss, and that of its draws, (draws,), as one new run will measure it.

    The interval holds both doubts: where the law lies and how far one run falls from it (Student's t with the noise's
    deviation and degrees of freedom, in the log loss).
    """
    scatter = np.exp(noise.deviation * np.random.default_rng(0).standard_t(noise.freedom, len(draws)))
    return interval(value, draws * scatter)


def _carries_a_law(axes_na: Floats, values_a: Sequence[int], least: int) -> bool:
    enough = all(len(np.unique(column)) >= values for column, values in zip(axes_na.T, values_a, strict=True))
    return enough and len(np.unique(axes_na, axis=0)) >= least
