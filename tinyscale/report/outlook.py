"""A forecast that was asked for, on the terminal."""

from collections.abc import Iterator

from tinyscale.laws.duration import Duration
from tinyscale.laws.outlook import Outlook, Split
from tinyscale.laws.vocabulary_form import Terms
from tinyscale.laws.vocabulary_outlook import VocabularyOutlook
from tinyscale.report.listing import duration
from tinyscale.spec import Interval, LawFit, VocabularyLaw, VocabularyOptimum, short_count
from tinyscale.spec.words import number


def forecast_lines(
    outlook: Outlook | VocabularyOutlook, law: LawFit, vocabulary: VocabularyLaw | None
) -> Iterator[str]:
    """The loss with its interval, the best split, the time, and what to doubt, a sentence a line.

    :param law: the study's law L(N, D).
    :param vocabulary: the study's law of the vocabulary, if it has one.
    """
    if isinstance(outlook, Outlook):
        return _outlook_lines(outlook, law, vocabulary)
    assert vocabulary is not None  # it spoke
    return _vocabulary_outlook_lines(outlook, vocabulary, law.params)


def _outlook_lines(outlook: Outlook, law: LawFit, vocabulary: VocabularyLaw | None) -> Iterator[str]:
    kind = law.params.replace("_", "-")
    loss = f"{law.unit} = {_with_span(outlook.loss)}"
    fitted = f"   (V = {law.vocab_size}, {len(law.trial_ids)} points fitted)"
    if split := outlook.split:
        yield f"best {loss} for C = 6 N D = {split.flops:.3g} FLOPs{fitted}"
        yield from _split_lines(split, kind)
    else:
        run = f"N = {_count(outlook.params)} {kind} parameters and D = {_count(outlook.tokens)} tokens"
        yield f"{loss} for {run}{fitted}"
    if not law.exponents_hold:
        yield "  exponents withheld: see the warnings"
    yield from _time_lines(outlook.duration)
    if vocabulary and (best := outlook.vocabulary):
        yield (
            f"  over all vocabularies: {best_vocabulary(best, vocabulary)}, {_best_size(best, vocabulary)}, "
            f"D = {_place(best.tokens, vocabulary)}, bpb = {_with_span(best.bpb)}"
        )
        yield from _edge_lines(best)
    yield from (f"  warning: {warning}" for warning in outlook.warnings)


def _vocabulary_outlook_lines(outlook: VocabularyOutlook, law: VocabularyLaw, kind: str) -> Iterator[str]:
    loss = f"bpb = {_with_span(outlook.loss)}"
    fitted = f"   (V = {outlook.vocab_size:,}, law of the vocabulary, {len(law.trial_ids)} points fitted)"
    if split := outlook.split:
        yield f"best {loss} for C = 6 (N_nv + V d) D = {split.flops:.3g} FLOPs{fitted}"
        yield f"  best {_best_size(split, law)}"
        yield f"  best D = {_place(split.tokens, law)}"
        yield from _edge_lines(split)
    else:
        run = (
            f"N = {_count(outlook.params)} {kind.replace('_', '-')} parameters and D = {_count(outlook.tokens)} tokens"
        )
        yield f"{loss} for {run}{fitted}"
    if not outlook.exponents_hold:
        yield "  exponents withheld: see the warnings"
    yield from _time_lines(outlook.duration)
    yield from (f"  warning: {warning}" for warning in outlook.warnings)


def vocabulary_lines(law: VocabularyLaw) -> Iterator[str]:
    """The law of the vocabulary with its intervals, the best vocabularies and the warnings, a sentence a line."""
    low, high = law.vocab_range
    about = f"({len(law.trial_ids)} points, V = {low:,} to {high:,}, residual {law.residual_rms:.2%})"
    if law.warnings:
        yield f"bpb = E + A1 / N_nv^alpha1 + A2 / (V d)^alpha2 + B / bytes^beta   {about}"
        yield f"  verdict: forecast {'usable' if law.forecast_holds else 'withheld'}, exponents withheld"
    else:
        terms = ((law.A1, "N_nv", law.alpha1), (law.A2, "(V d)", law.alpha2), (law.B, "bytes", law.beta))
        said = " + ".join(f"{number(scale)} / {of}^{number(power)}" for scale, of, power in terms)
        yield f"bpb = {number(law.E)} + {said}   {about}"
        yield from (f"  {name} = {_with_span(law.intervals[name])}" for name in Terms._fields)
        yield "  verdict: trusted"
    for best in law.sizes:
        size = f"N_nv = {_count(best.params_non_vocab.value)}, C = {best.flops:.3g} FLOPs"
        yield f"  {best_vocabulary(best, law)} for {size}"
        yield from _edge_lines(best)
    for best in law.budgets:
        yield f"  {best_vocabulary(best, law)}, {_best_size(best, law)} for C = {best.flops:.3g} FLOPs"
        yield from _edge_lines(best)
    yield from (f"  warning: {warning}" for warning in law.warnings)


def best_vocabulary(best: VocabularyOptimum, law: VocabularyLaw) -> str:
    """The best V in words: a number only where it lies inside what was searched and the law's exponents hold."""
    known = best.vocab_size
    if best.edge.startswith("the best V lies at"):
        return "best V at the end of what was searched"
    if law.warnings:
        return f"best V somewhere from {known.low:,.0f} to {known.high:,.0f}"
    return f"best V = {known.value:,.0f} (95 % interval {known.low:,.0f} to {known.high:,.0f})"


def _best_size(best: VocabularyOptimum, law: VocabularyLaw) -> str:
    if "the best N_nv lies at" in best.edge:
        return "N_nv at the end of what was searched"
    return f"N_nv = {_place(best.params_non_vocab, law)}"


def _edge_lines(best: VocabularyOptimum) -> Iterator[str]:
    if best.edge:
        yield f"    but {best.edge}"


def _time_lines(known: Duration | None) -> Iterator[str]:
    if known:
        yield f"  time: {duration(3600 * known.hours)} of training ({known.hours:.2g} h), from {known.basis}"


def _place(known: Interval, law: VocabularyLaw) -> str:
    span = f"{_count(known.low)} to {_count(known.high)}"
    return f"somewhere from {span}" if law.warnings else f"{_count(known.value)} (95 % interval {span})"


def _split_lines(split: Split, kind: str) -> Iterator[str]:
    for name, known, what in (("N", split.params, f"{kind} parameters"), ("D", split.tokens, "tokens")):
        span = f"{_count(known.low)} to {_count(known.high)}"
        if split.a:
            yield f"  best {name} = {_count(known.value)} {what}, 95 % interval {span}"
        else:
            yield f"  best {name} somewhere from {span} {what}"
    if split.a and split.G:
        yield f"  N = G (C/6)^a and D = C / (6 N), a = {_with_span(split.a)}, G = {_with_span(split.G)}"


def _with_span(known: Interval) -> str:
    return f"{number(known.value)} (95 % interval {number(known.low)} to {number(known.high)})"


def _count(value: float) -> str:
    return short_count(round(value)) if value < 1e12 else f"{value:.3g}"
