"""What a fit is good for, and what speaks against it, in sentences that say what to add."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tinyscale.laws.bootstrap import run_interval
from tinyscale.laws.chinchilla import ChinchillaFit
from tinyscale.laws.form import Floats
from tinyscale.laws.noise import PARAMETERS, run_noise, seed_noise
from tinyscale.laws.regime import LEAST_FREEDOM, regime
from tinyscale.laws.solver import EXPONENT_BOUNDS
from tinyscale.spec import Interval

LEAST_RANGE = 3.95
"""Largest over smallest N, and D, that an exponent can be read from: 4, less what the rounding to whole steps takes."""
WIDEST_EXPONENT = 2.5
"""High over low end of an exponent's interval. On 400 simulated good studies (tests/laws/conftest.py, other seeds)
95 % stayed below 1.9, 97 % below 2.3, 99 % below 3."""
WIDEST_FORECAST = 0.15
"""High less low end of the forecast at 3 times the largest compute, as a fraction of it."""
FORECAST_FACTOR = 3.0
"""How far beyond the largest compute the forecast must be steady."""
MOST_CORRELATION = 0.95
"""Of log N and log D."""
NEGLIGIBLE = 1e-3
"""A part of the law below this fraction of the smallest loss counts as zero."""


class Verdict(NamedTuple):
    """See the fields of the same names of :class:`tinyscale.spec.LawFit`."""

    warnings: tuple[str, ...]
    forecast_holds: bool
    seed_noise: float


def judge(
    fit: ChinchillaFit,
    draws: Floats,
    intervals: Mapping[str, Interval],
    N: Floats,
    D: Floats,
    loss: Floats,
    cells: Sequence[Hashable],
    trial_ids: Sequence[str],
) -> Verdict:
    """Exponents hold where nothing speaks against them, forecasts also where only the exponents are loose.

    A forecast is withheld where the points follow another curve than the law's, or where its own interval at three
    times the largest compute is wide. With the exponents loose, or the floor lost, it often stays narrow: along the
    ridge of the fit they trade off without moving the loss.

    :param draws: the bootstrap's, (draws, 5).
    :param cells: what each run is but for its seed, (n,).
    :param trial_ids: the trial of each point, (n,).
    """
    noise = seed_noise(np.log(loss), cells)
    trials = len(set(trial_ids))
    other_curve, misfit = regime(fit, N, D, loss, noise, shared=trials < len(N))
    far = _forecast(fit, draws, N, D, trials)
    said = (*misfit, *far, *_design(N, D), *_parameters(fit, intervals, N, D, loss))
    return Verdict(said, not (other_curve or far), noise.deviation)


def _forecast(fit: ChinchillaFit, draws: Floats, N: Floats, D: Floats, trials: int) -> list[str]:
    largest, step = int(np.argmax(N * D)), FORECAST_FACTOR**0.5
    n, d = float(N[largest] * step), float(D[largest] * step)
    known = run_interval(fit.parameters, draws, run_noise(fit.residual_rms, len(N), trials), N=n, D=d)
    width = (known.high - known.low) / known.value
    if width <= WIDEST_FORECAST:
        return []
    return [
        f"Forecast withheld: at {FORECAST_FACTOR:g} times the largest compute (N = {n:.3g}, D = {d:.3g}) its 95 % "
        f"interval runs from {known.low:.4g} to {known.high:.4g}, {width:.1%} of the loss. Add larger models trained "
        "on more tokens, or more seeds."
    ]


def _design(N: Floats, D: Floats) -> list[str]:
    said: list[str] = []
    freedom = len(N) - PARAMETERS
    if freedom < LEAST_FREEDOM:
        said.append(
            f"{len(N)} points for {PARAMETERS} parameters leave {freedom} to show a misfit: "
            f"add {LEAST_FREEDOM - freedom} or more trials."
        )
    for name, what, values in (("N", "model sizes", N), ("D", "token budgets", D)):
        span = values.max() / values.min()
        if span < LEAST_RANGE:
            said.append(f"{name} spans a factor of {span:.2g} only: add {what} over 4 or more.")
    correlation = float(np.corrcoef(np.log(N), np.log(D))[0, 1])
    if abs(correlation) > MOST_CORRELATION:
        said.append(
            f"N and D move together (correlation of their logs {correlation:.2f}), so their effects cannot be told "
            "apart: add trials that vary one while the other stays."
        )
    return said


def _parameters(fit: ChinchillaFit, intervals: Mapping[str, Interval], N: Floats, D: Floats, loss: Floats) -> list[str]:
    said: list[str] = []
    law, nothing = fit.parameters, NEGLIGIBLE * loss.min()
    floor, floor_low = law.E, intervals["E"].low
    if floor < nothing:
        said.append(
            "The fitted floor E is zero: no curve flattens within these data, so A, B and the exponents stand in for "
            "it. Add larger models trained on more tokens."
        )
    elif floor_low < nothing:
        said.append(
            "The interval of the floor E reaches zero: the data hardly show where the loss levels off. "
            "Add larger models trained on more tokens."
        )
    for exponent, scale, name, values, what in (
        ("alpha", law.A, "N", N, "model sizes"),
        ("beta", law.B, "D", D, "token budgets"),
    ):
        largest_term = scale * values.min() ** -getattr(law, exponent)
        if fault := exponent_fault(exponent, intervals[exponent], name, what, vanished=largest_term < nothing):
            said.append(fault)
    return said


def exponent_fault(exponent: str, known: Interval, of: str, remedy: str, *, vanished: bool) -> str:
    """What speaks against an exponent and what to add, in a sentence; empty: nothing.

    :param of: what it is the exponent of, and ``remedy`` what to add more of.
    :param vanished: its term is as good as zero at every point.
    """
    low, high = EXPONENT_BOUNDS
    if vanished:
        return f"The loss does not fall with {of} here, so {exponent} means nothing: add {remedy} far apart."
    if not low * 1.01 < known.value < high * 0.99:
        return (
            f"{exponent} = {known.value:.3g} lies at the bound of the search ({low:g} .. {high:g}): the loss is no "
            f"power law of {of} in these data. Add {remedy} over a wider range."
        )
    if known.high > WIDEST_EXPONENT * known.low:
        return (
            f"{exponent} is not pinned down: its 95 % interval runs from {known.low:.3g} to {known.high:.3g}. "
            f"Add {remedy} over a wider range, or more seeds."
        )
    return ""
