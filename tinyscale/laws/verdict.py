"""What speaks against a fit, in sentences that say what to add."""

from collections.abc import Mapping

import numpy as np

from tinyscale.laws.chinchilla import ChinchillaFit
from tinyscale.laws.form import Floats
from tinyscale.laws.solver import EXPONENT_BOUNDS
from tinyscale.spec import Interval

LEAST_RANGE = 4.0
"""Largest over smallest N, and D, that an exponent can be read from."""
WIDEST_EXPONENT = 2.0
"""High over low end of an exponent's interval."""
LARGEST_RESIDUAL = 0.01
"""Root mean square of the log residuals; seeds of small models differ by 0.1 to 0.3 %."""
LEAST_FREEDOM = 3
"""Points beyond the five parameters."""
MOST_CORRELATION = 0.95
"""Of log N and log D."""
NEGLIGIBLE = 1e-3
"""A part of the law below this fraction of the smallest loss counts as zero."""


def warn(fit: ChinchillaFit, intervals: Mapping[str, Interval], N: Floats, D: Floats, loss: Floats) -> tuple[str, ...]:
    """Reasons not to trust the exponents; empty when nothing here speaks against them."""
    return (*_design(N, D), *_parameters(fit, intervals, N, D, loss), *_residuals(fit.residual_rms))


def _design(N: Floats, D: Floats) -> list[str]:
    said: list[str] = []
    freedom = len(N) - 5
    if freedom < LEAST_FREEDOM:
        said.append(
            f"{len(N)} points for 5 parameters leave {freedom} to show a misfit: "
            f"add {LEAST_FREEDOM - freedom} or more trials."
        )
    for name, what, values in (("N", "model sizes", N), ("D", "token budgets", D)):
        span = values.max() / values.min()
        if span < LEAST_RANGE:
            said.append(f"{name} spans a factor of {span:.2g} only: add {what} over {LEAST_RANGE:g} or more.")
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
        value, known = getattr(law, exponent), intervals[exponent]
        low, high = EXPONENT_BOUNDS
        if scale * values.min() ** -value < nothing:
            said.append(f"The loss does not fall with {name} here, so {exponent} means nothing: add {what} far apart.")
        elif not low * 1.01 < value < high * 0.99:
            said.append(
                f"{exponent} = {value:.3g} lies at the bound of the search ({low:g} .. {high:g}): the loss is no power "
                f"law of {name} in these data. Add {what} over a wider range."
            )
        elif known.high > WIDEST_EXPONENT * known.low:
            said.append(
                f"{exponent} is not pinned down: its 95 % interval runs from {known.low:.3g} to {known.high:.3g}. "
                f"Add {what} over a wider range, or more seeds."
            )
    return said


def _residuals(rms: float) -> list[str]:
    if rms <= LARGEST_RESIDUAL:
        return []
    return [
        f"The law misses its own points by {rms:.1%} (root mean square), far more than seeds differ: not a power law "
        "over this range. Train longer, or leave out the smallest token budgets; check the learning rates of each size."
    ]
