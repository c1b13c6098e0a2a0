"""A forecast that was asked for, on the terminal."""

from collections.abc import Iterator

from tinyscale.laws.outlook import Outlook, Split
from tinyscale.report.content import number
from tinyscale.report.listing import duration
from tinyscale.spec import Interval, LawFit, short_count


def outlook_lines(outlook: Outlook, law: LawFit) -> Iterator[str]:
    """The loss with its interval, the best split, the time, and what to doubt, a sentence a line."""
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
    if known := outlook.duration:
        yield f"  time: {duration(3600 * known.hours)} of training ({known.hours:.2g} h), from {known.basis}"
    yield from (f"  warning: {warning}" for warning in outlook.warnings)


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
