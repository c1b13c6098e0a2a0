"""The judge's own test: validation stories whose quality is known, each as it is, shuffled and truncated.

reference: a real beginning with its real ending.
shuffled: the same beginning; each sentence of the ending is replaced by one from the ending of another story. Grammar
stays, sentence by sentence; consistency and plot go. The ending's own sentences in another order would not do: in
stories this short they often still make sense, and a judge that then sees no difference is not wrong.
truncated: the same beginning; the ending stops in mid-sentence, about half-way.

The three share a prompt id, so that they can be compared in pairs. A judge is never told which is which.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tinyscale.spec.grading import Story

MODEL = "calibration"
"""Name of the model that "told" these stories."""
MIN_BEGINNING, MIN_ENDING = 2, 4
"""Sentences that a story must have before and after the cut."""
_BEGINNING_SHARE = 1 / 3
_SENTENCE = re.compile(r".+?[.!?]+[\"'”’)]*\s+(?=[\"'“‘(]?[A-Z0-9])|.+", re.DOTALL)
"""A sentence with the white space behind it; one ends where a capital letter or a digit follows."""
_ENDED = re.compile(r"[.!?][\"'”’)]*$")


def calibration_stories(texts: Sequence[str], count: int, seed: int) -> list[Story]:
    """``3 * count`` stories: for each of ``count`` texts its reference, shuffled and truncated version, in this order.

    Equal arguments give equal stories.

    :param texts: of the validation text, one story each.
    :raises ValueError: too few of them are different, finished and long enough.
    """
    if count < 0:
        raise ValueError(f"{count} calibration stories: give 0 or more")
    if not count:
        return []
    usable = {text: halves for text in sorted(set(map(str.strip, texts))) if (halves := _halves(text))}
    needed = max(count, MIN_ENDING + 1)
    if len(usable) < needed:
        raise ValueError(
            f"{count} calibration stories need {needed} different, finished stories of the validation text with "
            f"{MIN_BEGINNING + MIN_ENDING} sentences or more; {len(usable)} of the {len(texts)} given are so: give a "
            f"larger validation text, or lower grading.calibration (0: none)"
        )
    draw = random.Random(f"calibration {seed}")
    chosen = draw.sample(list(usable), count)
    return [story for index, text in enumerate(chosen) for story in _versions(index, usable[text], usable, draw)]


_Halves = tuple[str, list[str]]


def _versions(index: int, halves: _Halves, usable: Mapping[str, _Halves], draw: random.Random) -> list[Story]:
    beginning, ending = halves
    reference = Story(
        model=MODEL,
        model_digest="",
        prompt_id=f"{MODEL}-{index:03d}",
        prompt=beginning,
        completion="".join(ending),
        kind="reference",
    )
    others = [other for _, other in usable.values() if other is not ending]
    return [
        reference,
        replace(reference, kind="shuffled", completion=_shuffled(ending, others, draw)),
        replace(reference, kind="truncated", completion=_truncated(ending), stop="length"),
    ]


def _shuffled(ending: list[str], others: list[list[str]], draw: random.Random) -> str:
    """A sentence of another ending in the place of each, givers by turns, in the same white space."""
    givers = draw.sample(others, min(len(others), len(ending)))
    drawn = [draw.choice(givers[at % len(givers)]).strip() for at in range(len(ending))]
    return "".join(own.replace(own.strip(), new) for own, new in zip(ending, drawn, strict=True))


def _truncated(ending: list[str]) -> str:
    """Half of the words of the first sentence past the middle that has two."""
    cut = next(at for at in range(len(ending) // 2, len(ending)) if len(ending[at].split()) > 1)
    words = re.findall(r"\s*\S+", ending[cut])
    return ("".join(ending[:cut]) + "".join(words[: len(words) // 2])).rstrip(".,!?;: ")


def _halves(text: str) -> _Halves | None:
    """The beginning, and the sentences of the ending, cut about a third in; None: too short, or no end."""
    sentences = _sentences(text)
    at = max(MIN_BEGINNING, round(len(sentences) * _BEGINNING_SHARE))
    beginning, ending = "".join(sentences[:at]), sentences[at:]
    if len(ending) < MIN_ENDING or not _ENDED.search(text):
        return None
    if all(len(sentence.split()) < 2 for sentence in ending[len(ending) // 2 :]):
        return None  # nothing to stop in the middle of
    ending[0] = beginning[len(beginning.rstrip()) :] + ending[0]
    return beginning.rstrip(), ending


def _sentences(text: str) -> list[str]:
    """The text in sentences; what stands between quotation marks is not parted."""
    sentences: list[str] = []
    pending = ""
    for piece in _SENTENCE.findall(text):
        pending += piece
        if pending.count('"') % 2 == 0 and pending.count("“") == pending.count("”"):
            sentences.append(pending)
            pending = ""
    return [*sentences, pending] if pending else sentences
