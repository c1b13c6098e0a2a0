"""What the judge's own test says of it: stories known to be good, and spoilt, and asked for again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from tinyscale.grading.intervals import by_prompt, mean_interval
from tinyscale.grading.repeatability import repeatability
from tinyscale.spec import Calibration, Grade, Interval, KindScore
from tinyscale.spec.grading import StoryKind

KINDS = tuple(kind for kind in get_args(StoryKind) if kind != "model")
SPOILT = {"shuffled": "shuffled endings from real ones", "truncated": "stories cut off in the middle from whole ones"}
LOW_KAPPA = 0.4
"""Below it agreement is called poor to fair (Landis & Koch 1977)."""
LEAST_REPEATS = 10
"""Stories below which a low kappa is no news."""

Scored = Mapping[str, Sequence[tuple[Grade, float]]]
"""By criterion: first grades with their score."""


def calibrate(
    grades: Sequence[Grade], scored: Scored, again: Scored, bootstraps: int, seed: int, most_ungraded: float
) -> Calibration:
    """Means by kind of calibration story, whether the judge tells them apart, and how far it agrees with itself.

    :param grades: all, repeats included.
    :param scored: first grades by criterion.
    :param again: those of the calibration stories in the last session, if it is not the first.
    :param most_ungraded: share of a kind above which nothing is said of it.
    """
    first = [grade for grade in grades if grade.repeat == 0]
    total = Counter(grade.kind for grade in first)
    failed = Counter(grade.kind for grade in first if not grade.scores)
    means = {
        kind: {name: by_prompt((g.prompt_id, v) for g, v in found if g.kind == kind) for name, found in scored.items()}
        for kind in KINDS
        if total[kind] and failed[kind] <= most_ungraded * total[kind]
    }
    kappa, repeats = repeatability(grades)
    warnings = [
        f"{failed[kind]} of {total[kind]} {kind} calibration stories are ungraded: nothing is said of them"
        for kind in KINDS
        if total[kind] and kind not in means
    ]
    told = {}
    for kind, words in SPOILT.items():
        apart = _above(means, kind, bootstraps, seed)
        told[kind] = None if apart is None else apart.low > 0
        if apart is not None and apart.low <= 0:
            warnings.append(
                f"the judge does not tell {words} (reference - {kind}: {apart.value:+.2f}, interval {apart.low:+.2f} "
                f"to {apart.high:+.2f}): do not trust these scores"
            )
    if told["shuffled"] is None:
        warnings.append(
            "the judge was not tested on shuffled endings: whether it tells good stories from bad is unknown"
        )
    drift = _drift(scored, again, bootstraps, seed)
    if drift is not None and not drift.low <= 0 <= drift.high:
        warnings.append(
            f"the judge has drifted: its own test scores {drift.value:+.2f} (interval {drift.low:+.2f} to "
            f"{drift.high:+.2f}) against the first session, so scores of then and now do not compare"
        )
    answered_by = tuple(sorted({grade.answered_by for grade in grades if grade.answered_by}))
    if len(answered_by) > 1:
        warnings.append(
            f"the judge changed under way: the endpoint says that {', '.join(answered_by)} answered, and scores of "
            "different judges do not compare"
        )
    warnings += [
        f"the judge does not agree with itself in {name}: kappa {value:.2f} over {repeats} stories graded again"
        for name, value in kappa.items()
        if value < LOW_KAPPA and repeats >= LEAST_REPEATS
    ]
    return Calibration(
        kinds=tuple(_kind(kind, total[kind] - failed[kind], of, bootstraps, seed) for kind, of in means.items()),
        drift=drift,
        can_tell=told["shuffled"],
        kappa=kappa,
        repeats=repeats,
        answered_by=answered_by,
        warnings=tuple(warnings),
    )


def _kind(
    kind: StoryKind, stories: int, means: Mapping[str, Mapping[str, float]], bootstraps: int, seed: int
) -> KindScore:
    spans = {name: mean_interval(of, bootstraps, seed) for name, of in means.items()}
    return KindScore(kind=kind, stories=stories, means={name: span for name, span in spans.items() if span})


def _drift(scored: Scored, again: Scored, bootstraps: int, seed: int) -> Interval | None:
    """Overall score in the last session less that in the first, story by story; None: there was but one session."""
    first = scored.get("overall", ())
    then: dict[tuple[str, str], float] = {(g.kind, g.story_id): value for g, value in first if g.kind != "model"}
    now = [(g, value) for g, value in again.get("overall", ()) if (g.kind, g.story_id) in then]
    apart = [(g.prompt_id, value - then[g.kind, g.story_id]) for g, value in now]
    return mean_interval(by_prompt(apart), bootstraps, seed)


def _above(
    means: Mapping[StoryKind, Mapping[str, Mapping[str, float]]], kind: str, bootstraps: int, seed: int
) -> Interval | None:
    """Overall score of the references less that of the same stories spoilt; None where too few pairs are there."""
    whole, spoilt = (means.get(which, {}).get("overall", {}) for which in ("reference", kind))  # type: ignore[call-overload]
    return mean_interval({key: whole[key] - spoilt[key] for key in whole.keys() & spoilt.keys()}, bootstraps, seed)
