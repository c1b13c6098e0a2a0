"""What a study's law says of any run: its loss, the best split of a compute budget, and how long it would take."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinyscale.laws.bootstrap import interval
from tinyscale.laws.duration import Duration, expected_duration
from tinyscale.laws.forecast import forecast
from tinyscale.laws.form import Floats
from tinyscale.laws.frontier import frontier_exponents
from tinyscale.laws.select import fitted_points, params_of
from tinyscale.laws.verdict import FORECAST_FACTOR
from tinyscale.laws.vocabulary_optimum import best_run
from tinyscale.results.points import points_table
from tinyscale.spec import Interval, LawFit, Point, TrialResult, VocabularyLaw, VocabularyOptimum

MOST = math.log(1e30)
"""Log of more parameters or tokens than anybody has."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The best split of C = 6 N D (:class:`tinyscale.laws.frontier.Frontier`). Where the exponents don't hold, only
    the ends of the intervals of N and D may be shown, and ``a`` and ``G`` are None."""

    flops: float
    """C."""
    params: Interval
    """N*(C)."""
    tokens: Interval
    """D*(C)."""
    a: Interval | None
    """Exponent of N* in C."""
    G: Interval | None
    """N* = G (C/6)^a."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A forecast for a run that is in no plan: not locked, not stored."""

    params: float
    """N, of the kind that the law counts."""
    tokens: float
    """D."""
    loss: Interval
    """What one such run will measure."""
    unit: str
    split: Split | None
    """None where N and D were given."""
    duration: Duration | None
    """None where no finished trial tells a speed."""
    warnings: tuple[str, ...]
    vocabulary: VocabularyOptimum | None = None
    """The best run for the same FLOPs over all vocabularies; None where N and D were given, or no law of the
    vocabulary forecasts."""


def look_ahead(
    law: LawFit,
    results: Iterable[TrialResult],
    *,
    flops: float | None = None,
    params: float | None = None,
    tokens: float | None = None,
    vocabulary: VocabularyLaw | None = None,
) -> Outlook:
    """Forecast a run of ``params`` and ``tokens``, or the best run that ``flops`` (C = 6 N D) buy.

    :param vocabulary: the study's law of the vocabulary, if it has one.
    :param results: the study's, for its largest compute and the speed of its hardware.
    :raises ValueError: the law's forecasts are withheld (with its reasons); or neither or both of flops and params
        with tokens are given, or one is not a positive number; or the law has no best split.
    """
    check_asked(flops=flops, params=params, tokens=tokens)
    if not law.forecast_holds:
        raise ValueError("\n".join(["this law forecasts nothing:", *(f"  {warning}" for warning in law.warnings)]))
    split = None
    if flops is not None:
        split = _split(law, flops)
        params, tokens = split.params.value, split.tokens.value
    assert params is not None
    assert tokens is not None
    done = [result for result in results if result.status == "done"]
    points = points_table({result.trial_id: result for result in done})
    return Outlook(
        params=params,
        tokens=tokens,
        loss=forecast(law, params, tokens),
        unit=law.unit,
        split=split,
        duration=expected_duration(done, law.params, params, tokens),
        warnings=(*law.warnings, *_far(law, fitted_points(law, points), params, tokens)),
        vocabulary=_best_vocabulary(vocabulary, points, flops) if vocabulary and flops else None,
    )


def check_asked(**given: float | None) -> None:
    """:raises ValueError: neither or both of flops and params with tokens are given, or one is not positive."""
    named = {name for name, value in given.items() if value is not None}
    if named not in ({"flops"}, {"params", "tokens"}):
        found = " and ".join(f"--{name}" for name in given if name in named) or "nothing"
        raise ValueError(f"a forecast is of --flops C, or of --params N and --tokens D; given: {found}")
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"--{name} is {value:g}; it must be a positive number")


def _split(law: LawFit, flops: float) -> Split:
    theta = np.array([(law.E, law.A, law.B, law.alpha, law.beta), *law.draws])
    a, log_G = _frontier(theta)
    log_N = log_G + a * math.log(flops / 6)
    log_D = math.log(flops / 6) - log_N
    if min(log_N[0], log_D[0]) < 0 or max(log_N[0], log_D[0]) > MOST:
        # Less than one parameter or token, or absurdly many: a term of the law has vanished.
        raise ValueError(
            f"{flops:g} FLOPs have no best split under this law (N = {_exp(log_N)[0]:.3g}, D = {_exp(log_D)[0]:.3g}): "
            "ask for other FLOPs, or for --params N --tokens D"
        )
    return Split(
        flops=flops,
        params=_of(_exp(log_N)),
        tokens=_of(_exp(log_D)),
        a=_of(a) if law.exponents_hold else None,
        G=_of(_exp(log_G)) if law.exponents_hold else None,
    )


def _frontier(theta: Floats) -> tuple[Floats, Floats]:
    """Exponent a and log G of each law (draws, 5); in logs, as G overflows where a term has all but vanished."""
    _, A, B, alpha, beta = theta.T
    log_G: Floats = (np.log(alpha * A) - np.log(beta * B)) / (alpha + beta)
    return frontier_exponents(theta), log_G


def _best_vocabulary(law: VocabularyLaw, points: Sequence[Point], flops: float) -> VocabularyOptimum | None:
    sizes = [point.params_non_embedding for point in points if point.trial_id in law.trial_ids]
    if not sizes or not law.forecast_holds:
        return None
    return best_run(law, flops, params_fitted=(min(sizes), max(sizes)))


def _of(values: Floats) -> Interval:
    """The optimum, which stands first, with the interval of the draws behind it."""
    return interval(float(values[0]), values[1:])


def _exp(log: Floats) -> Floats:
    """Of a draw whose term has vanished only that it is far off matters, and JSON knows no infinity."""
    found: Floats = np.exp(np.clip(log, -2 * MOST, 2 * MOST))
    return found


def _far(law: LawFit, fitted: Sequence[Point], params: float, tokens: float) -> Iterator[str]:
    N, D = [params_of(point, law.params) for point in fitted], [point.tokens for point in fitted]
    largest = max((6.0 * n * d for n, d in zip(N, D, strict=True)), default=0.0)
    yield from how_far("6 N D", 6 * params * tokens, largest, (("N", params, N), ("D", tokens, D)))


def how_far(
    formula: str, flops: float, largest: float, axes: Sequence[tuple[str, float, Sequence[float]]]
) -> Iterator[str]:
    """How far a run lies from what was fitted, where that is far.

    :param largest: of the computes fitted.
    :param axes: what else tells a run from those fitted: name, value, values fitted.
    """
    if not largest:
        yield "the trials that this law was fitted on are gone, so nothing says how far from them this run lies"
        return
    if (beyond := flops / largest) > FORECAST_FACTOR:
        yield (
            f"{beyond:.3g} times the largest compute fitted ({formula} = {largest:.3g}): the law was judged up to "
            f"{FORECAST_FACTOR:g} times only, and its interval may be too narrow here"
        )
    for name, value, seen in axes:
        if not min(seen) / FORECAST_FACTOR <= value <= max(seen) * FORECAST_FACTOR:
            yield (
                f"{name} = {value:.3g} lies far outside of what was fitted, {min(seen):.3g} to {max(seen):.3g}: "
                "the interval may be too narrow here"
            )
