"""The answer to an ablation in words."""

from collections.abc import Iterator, Sequence

from tinyscale.spec import Interval, Variant, VariantCell, short_count
from tinyscale.spec.study import Setting
from tinyscale.spec.words import number

UNEQUAL = 1.01
"""Ratio of parameter counts from which on the answer says that they differ."""


def variant_names(variants: Sequence[Variant]) -> list[str]:
    """Each variant by the value of its first field (``no norm`` where that is none); by the values of all its fields
    where that does not tell them apart."""
    named = [[_short(*setting) for setting in variant.settings.items()] for variant in variants]
    firsts = [first for first, *_ in named]
    return firsts if len({*firsts}) == len(firsts) else [", ".join(names) for names in named]


def field_words(name: str) -> str:
    """A field of a study within a sentence: ``learning rate``."""
    return name.replace("_", " ")


def setting_words(value: Setting) -> str:
    """A value as it is written in a study: 0.001, 2016, true, swiglu."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def held_words(cell: VariantCell) -> str:
    """What sets a cell apart from the question's others: ``learning rate 0.001``."""
    return ", ".join(_called(field_words(name), _short(name, value)) for name, value in cell.held.items())


def _short(name: str, value: Setting) -> str:
    return f"no {field_words(name)}" if value == "none" else setting_words(value)


def _called(field: str, name: str) -> str:
    """A variant's name with its field before it, where it does not hold that."""
    return name if name.startswith(f"no {field}") else f"{field} {name}"


def percent(share: float) -> str:
    """A share, two decimals below 10 %: ``0.43 %``, ``-1.20 %``, ``35 %``."""
    return f"{100 * share:.{2 if abs(share) < 0.0995 else 0}f} %"


def numbers_of(variants: Sequence[Variant]) -> list[float] | None:
    """What the variants are named by, where it is a number that tells them apart, as learning rates do."""
    values = [next(iter(variant.settings.values())) for variant in variants]
    plain = [value for value in values if not isinstance(value, (str, bool))]
    return [float(value) for value in plain] if len({*plain}) == len(values) else None


def say_cell(variants: Sequence[Variant], best: Variant | None, idle: Sequence[Variant]) -> str:
    """Who is best, by how much the others are worse, what diverged, and what weakens the answer.

    :param best: one of the variants; None while none has a loss.
    :param idle: variants that learned nothing.
    """
    names = dict(zip(map(id, variants), variant_names(variants), strict=True))
    field = field_words(next(iter(variants[0].settings)))
    sentences = [
        *_ranking(variants, best, names, field),
        *_divergence(variants, names, field),
        *_edge(variants, best, names, field),
        *(f"With {_called(field, names[id(v)])} it learned nothing beyond the tokens' frequencies." for v in idle),
    ]
    if waiting := [names[id(variant)] for variant in variants if variant.missing]:
        sentences.append(f"Without an outcome: {_called(field, _listed(waiting))}.")
    params = [variant.params_total for variant in variants]
    if max(params) > UNEQUAL * min(params):
        sentences.append(f"Parameters are not equal: {short_count(min(params))} to {short_count(max(params))}.")
    return " ".join(sentences)


def _ranking(variants: Sequence[Variant], best: Variant | None, names: dict[int, str], field: str) -> Iterator[str]:
    if best is None or best.loss is None:
        yield "No run was trained to its end." if any(v.diverged for v in variants) else "No run has an outcome yet."
        return
    span = (
        f"{number(best.loss.value)} bits per byte (95 % interval {number(best.loss.low)} to {number(best.loss.high)})"
    )
    rivals = [(names[id(v)], v.above_best) for v in variants if v.above_best and not v.diverged]
    near = [f"{name} ({_above(above)})" for name, above in rivals if above.low <= 0]
    behind = [
        f"{name} by {percent(above.value)} ({percent(above.low)} to {percent(above.high)})"
        for name, above in rivals
        if above.low > 0
    ]
    first = _called(field, names[id(best)])
    if not rivals:
        yield f"Only {first} has a loss to show: {span}."
    elif near:
        yield f"First comes {first}, at {span}, but seeds explain its lead over {_listed(near)}: no difference found."
    else:
        yield f"Best is {first}, at {span}; seeds do not explain its lead."
    if behind:
        yield f"Worse: {'; '.join(behind)}."


def _above(above: Interval) -> str:
    return f"{'+' if above.value >= 0 else ''}{percent(above.value)}, {percent(above.low)} to {percent(above.high)}"


def _divergence(variants: Sequence[Variant], names: dict[int, str], field: str) -> Iterator[str]:
    gone = [variant for variant in variants if variant.diverged]
    numbers = numbers_of(variants)
    if gone:
        told = "; ".join(f"{names[id(variant)]} ({_how(variant)})" for variant in gone)
        onwards = numbers and gone == list(variants[-len(gone) :]) and not any(v.losses for v in gone)
        if onwards:
            yield f"Runs diverge from {field} {names[id(gone[0])]} on: {told}."
        else:
            yield f"Runs diverged with {_called(field, told)}."
    elif numbers and field == field_words("learning_rate") and not any(variant.missing for variant in variants):
        yield f"No run diverged, up to {field} {names[id(variants[-1])]}."


def _how(variant: Variant) -> str:
    """What the runs that diverged said, how many of how many they are, and where the others ended."""
    said, runs = variant.diverged[0], len(variant.trial_ids)
    if runs > 1:
        said = f"{len(variant.diverged)} of {runs} runs, the first: {said}"
    return f"{said}; the others {_above(variant.above_best)}" if variant.above_best else said


def _edge(variants: Sequence[Variant], best: Variant | None, names: dict[int, str], field: str) -> Iterator[str]:
    """Whether a better value may lie beyond those tried; one that diverged or was stopped early was tried."""
    if best is None or numbers_of(variants) is None:
        return
    for end, word in ((0, "smallest"), (-1, "largest")):
        if best is variants[end]:
            yield f"{names[id(best)]} is the {word} {field} tried: a better one may lie beyond."


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
