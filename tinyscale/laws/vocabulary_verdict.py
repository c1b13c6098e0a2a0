"""What a law of the vocabulary is good for, and what speaks against it, in the manner of the verdict on L(N, D)."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tinyscale.laws.bootstrap import with_scatter
from tinyscale.laws.form import Floats
from tinyscale.laws.misfit import Fit, misses, pattern, residual_deviation, steepening
from tinyscale.laws.noise import Noise, run_noise, seed_noise
from tinyscale.laws.regime import LEAST_FREEDOM
from tinyscale.laws.verdict import FORECAST_FACTOR, LEAST_RANGE, NEGLIGIBLE, WIDEST_FORECAST, exponent_fault
from tinyscale.laws.vocabulary_form import Terms, predict_bpb
from tinyscale.laws.vocabulary_points import VocabularyPoints
from tinyscale.spec import Interval, short_count

INPUTS = ("N_nv", "V d", "the bytes of text")
REMEDIES = ("model sizes", "vocabularies", "token budgets")


class Verdict(NamedTuple):
    """See the fields of the same names of :class:`tinyscale.spec.VocabularyLaw`."""

    warnings: tuple[str, ...]
    forecast_holds: bool


def judge_vocabulary(
    fit: Fit, law: Terms, draws: Floats, intervals: Mapping[str, Interval], points: VocabularyPoints
) -> Verdict:
    """Exponents hold where nothing speaks against them, forecasts and optima also where only the exponents are loose.

    They are withheld where the points follow another curve than the law's, or where the law's interval at three times
    the largest compute is wide.

    :param draws: the bootstrap's, (draws, 7), in the order of :class:`Terms`.
    """
    noise = seed_noise(np.log(points.bpb), points.cells)
    other_curve, misfit = _regime(fit, points, noise)
    far = list(_forecast(fit, law, draws, points))
    return Verdict((*misfit, *far, *_design(points), *_terms(law, intervals, points)), not (other_curve or far))


def _regime(fit: Fit, points: VocabularyPoints, noise: Noise) -> tuple[bool, list[str]]:
    """As :func:`tinyscale.laws.regime.regime`, without its search for the budget from which the law holds."""
    # Points that share a trial share part of their noise, which then looks like a pattern along N_nv and V d.
    shared = len(set(points.trial_ids)) < len(points.trial_ids)
    axes = [name for axis, name in enumerate(INPUTS) if (axis == 2 or not shared) and pattern(fit, axis)]
    far = misses(fit, noise)
    if not (far or axes):
        return False, []
    missed = (
        f"the law of the vocabulary misses its own points by {residual_deviation(fit):.2%}, where seeds differ by "
        f"{noise.deviation:.2%} ({'measured' if noise.measured else 'assumed'})"
    )
    if axes:
        missed += f", in a pattern along {' and '.join(axes)} that no such law can follow"
    if not far and residual_deviation(fit) <= noise.deviation:
        return False, [f"A faint curve: {missed}, so the exponents hang on which points are fitted."]
    _, of_model = np.unique(points.inputs_nk[:, :2], axis=0, return_inverse=True)
    step = steepening(of_model.astype(np.float64), points.tokens, np.log(points.bpb))
    if not (axes or step):
        return False, [
            f"Scatter: {missed}, without a pattern. Check the learning rate of each size and vocabulary, and repeat "
            "some runs with other seeds."
        ]
    if step:
        low, high = (short_count(round(tokens)) for tokens in step)
        missed += f"; it falls faster from {low} to {high} tokens than before, as when attention learns to copy"
    if step or INPUTS[2] in axes:
        advice = "Not yet a power law: forecast withheld; train longer, and drop the smallest token budgets."
    else:
        advice = "Not a power law of the model: forecast withheld; check the learning rate of each size and vocabulary."
    return True, [f"{advice} {missed[0].upper()}{missed[1:]}."]


def _forecast(fit: Fit, law: Terms, draws: Floats, points: VocabularyPoints) -> Iterator[str]:
    # The model and the text grow alike, and C as their product.
    place = points.inputs_nk[np.argmax(points.flops)] * FORECAST_FACTOR**0.5
    value, *drawn = predict_bpb(np.array([law, *draws]), *place)[:, 0]
    noise = run_noise(fit.residual_rms, len(points.bpb), len(set(points.trial_ids)), len(law))
    known = with_scatter(float(value), np.array(drawn), noise)
    width = (known.high - known.low) / known.value
    if width > WIDEST_FORECAST:
        yield (
            f"Forecast withheld: at {FORECAST_FACTOR:g} times the largest compute its 95 % interval runs from "
            f"{known.low:.4g} to {known.high:.4g} bpb, {width:.1%} of the loss. Add larger models trained on more "
            "text, or more seeds."
        )


def _design(points: VocabularyPoints) -> Iterator[str]:
    count, parameters = len(points.bpb), len(Terms._fields)
    if count - parameters < LEAST_FREEDOM:
        yield f"{count} points for {parameters} parameters leave too few to show a misfit: add trials."
    columns = (points.params_non_vocab, points.vocab_size, points.text_bytes)
    for name, what, values in zip(("N_nv", "V", "the text"), REMEDIES, columns, strict=True):
        span = values.max() / values.min()
        if span < LEAST_RANGE:
            yield f"{name} spans a factor of {span:.2g} only: add {what} over 4 or more."


def _terms(law: Terms, intervals: Mapping[str, Interval], points: VocabularyPoints) -> Iterator[str]:
    nothing = NEGLIGIBLE * points.bpb.min()
    if intervals["E"].low < nothing:
        said = "interval of the floor E reaches" if nothing <= law.E else "fitted floor E is"
        yield (
            f"The {said} zero: the data hardly show where the loss levels off. Add larger models trained on more text."
        )
    scales = (("alpha1", law.A1), ("alpha2", law.A2), ("beta", law.B))
    for (name, scale), what, remedy, values in zip(scales, INPUTS, REMEDIES, points.inputs_nk.T, strict=True):
        largest_term = scale * values.min() ** -getattr(law, name)
        if fault := exponent_fault(name, intervals[name], what, remedy, vanished=largest_term < nothing):
            yield fault
