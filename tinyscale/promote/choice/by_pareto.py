"""The front of bits per byte, size and speed: the models that no other beats in all three."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from tinyscale.promote.choice.field import Field, full_bpb
from tinyscale.promote.choice.luck import mean_log, percent
from tinyscale.promote.choice.speed import EQUAL, generation_speeds, how_measured
from tinyscale.spec import Candidate, Choice

NOT_DOMINATED = "no other is as good in bits per byte, size and speed, and better in one of them"


def choose_by_pareto(field: Field) -> Choice:
    """The front, smallest first, and then the others. It names no single best.

    A model is off the front where another has no more bits per byte (on the validation slice), no more parameters and
    no less speed, and beats it in one of the three; speeds within :data:`EQUAL <tinyscale.promote.choice.speed.EQUAL>`
    of each other count as equal. Speed is text a second, tokens a second times the bytes of a token, since a token of
    a large vocabulary tells more.

    All shapes are measured, also those that a smaller one beats in bits per byte: with fewer layers they may still be
    faster. But one model each is enough, as the trained weights do not change the speed.
    """
    candidates = field.candidates()
    shape = {c.trial_id: field.trials[c.trial_id].model for c in candidates}
    firsts = {shape[c.trial_id]: c for c in reversed(candidates)}
    field.say(f"measuring how fast {len(firsts)} shape(s) of model tell a story")
    speeds = generation_speeds({model: field.fetched_model(c) for model, c in firsts.items()})
    timed = [replace(c, generation_tokens_per_s=speeds[shape[c.trial_id]]) for c in candidates]
    text = {c.trial_id: speeds[shape[c.trial_id]] * field.bytes_per_token(c) for c in timed}
    on = [c for c in timed if not any(_dominates(other, c, text) for other in timed)]
    front = sorted(field.validated(on), key=lambda c: (c.params_total, full_bpb(c)))
    luck = field.luck()
    names = {c.trial_id for c in front}
    speed = f"speed of {how_measured()}, as text (tokens x bytes of a token), equal within {100 * EQUAL:.0f} %"
    return Choice(
        study=field.study.name,
        by="pareto",
        candidates=(*front, *(c for c in timed if c.trial_id not in names)),
        front=tuple(c.trial_id for c in front),
        needed=luck.needed(),
        yardstick=f"{luck.said}; {speed}",
        refused=field.refused,
        said=" ".join(_said(front, text, len(timed), luck.needed(), luck.said)),
    )


def _dominates(one: Candidate, other: Candidate, text: Mapping[str, float]) -> bool:
    ratio = text[one.trial_id] / text[other.trial_id]
    least = 1 / (1 + EQUAL)
    as_good = one.slice_bpb <= other.slice_bpb and one.params_total <= other.params_total and ratio >= least
    better = one.slice_bpb < other.slice_bpb or one.params_total < other.params_total or ratio > 1 + EQUAL
    return as_good and better


def _said(front: list[Candidate], text: Mapping[str, float], of: int, needed: float, yardstick: str) -> list[str]:
    """How many are on the front, and which owe their place to luck, maybe: the larger of two neighbours that is neither
    faster nor better by more than seeds explain."""
    sentences = [f"{len(front)} of {of} models are on the front: {NOT_DOMINATED}."]
    for small, large in pairwise(front):
        lead = mean_log([full_bpb(small)]) - mean_log([full_bpb(large)])
        if lead <= needed and text[large.trial_id] <= (1 + EQUAL) * text[small.trial_id]:
            ahead = f"better by {percent(lead)}" if lead > 0 else f"behind by {percent(-lead)}"
            sentences.append(
                f"{large.name} is a tie in bits per byte with the smaller {small.name}: {ahead}, where seeds explain "
                f"up to {percent(needed)} ({yardstick})."
            )
    return sentences
