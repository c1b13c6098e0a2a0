"""The best model by the grades of its stories: the newest judge's, with its comparisons prompt by prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tinyscale.grading.results import read_summaries
from tinyscale.promote.choice.field import Field, named
from tinyscale.spec import Candidate, Choice, Comparison, GradeSummary, Interval

Pairs = Mapping[frozenset[str], Comparison]
"""Comparisons of the overall grade, by the two models' names."""


def choose_by_grade(field: Field, finalists: int) -> Choice:
    """Rank by the overall grade; a lead counts where the judge's own comparison of the two says so.

    Models of the grading that are no trials of the study are passed over. Trials without a grade are refused: of them
    this judge says nothing.

    :raises ValueError: nothing of the study is graded.
    """
    name = field.study.name
    summary = next(iter(read_summaries(field.store.path)), None)
    graded, refused = _graded(field, summary) if summary else ([], {})
    if summary is None or not graded:
        why = next((f": {reason}" for reason in refused.values() if "withheld" in reason), "")
        raise ValueError(
            f"{name}: no model that may be promoted has a grade{why}; have their stories graded "
            f"(`tinyscale grade {name}`), or choose --by bpb"
        )
    best, *others = graded
    own = [c for c in others if field.kind(c) == field.kind(best)]
    rivals = [c for c in others if c not in own]
    pairs = {frozenset((c.better, c.worse)): c for c in summary.comparisons if c.criterion == "overall"}
    ties = [c for c in rivals if not _shown(pairs, best, c)]
    rival = next(iter(ties or rivals), None)
    seen = _seen(pairs, best, rival) if rival else None
    measured = {c.trial_id: c for c in field.validated({c.trial_id: c for c in [*graded[:finalists], *ties]}.values())}
    return Choice(
        study=name,
        by="grade",
        candidates=tuple(measured.get(c.trial_id, c) for c in graded),
        best=best.trial_id,
        ties=tuple(c.trial_id for c in ties),
        lead=seen.value if seen else None,
        needed=seen.value - seen.low if seen else None,
        yardstick=_yardstick(summary),
        refused={**field.refused, **refused},
        said=" ".join((_verdict(best, rival, ties, seen), *_seeds(own), *_doubts(summary))),
    )


def _graded(field: Field, summary: GradeSummary) -> tuple[list[Candidate], dict[str, str]]:
    """Those with a mean, best first, and why the others have none."""
    scores = {score.model: score for score in summary.scores}
    graded, without = [], {}
    for candidate in field.candidates():
        score = scores.get(candidate.name)
        if score is None:
            without[candidate.trial_id] = (
                "not graded by the newest judge: raise grading.models (0: all) and grade again, or choose --by bpb"
            )
        elif "overall" not in score.means:
            without[candidate.trial_id] = (
                f"grade withheld: {score.withheld or 'it has no overall mean'}; grade again, or choose --by bpb"
            )
        else:
            each = (score.stories + score.ungraded) / score.prompts
            graded.append(replace(candidate, grade=score.means["overall"], stories_per_prompt=each))
    return sorted(graded, key=lambda c: -c.grade.value if c.grade else 0.0), without


def _seen(pairs: Pairs, best: Candidate, other: Candidate) -> Interval | None:
    """The difference best - other, prompt by prompt; None: the two were not compared."""
    pair = pairs.get(frozenset((best.name, other.name)))
    if pair is None or pair.better == best.name:
        return pair.difference if pair else None
    span = pair.difference
    return Interval(value=-span.value, low=-span.high, high=-span.low)


def _shown(pairs: Pairs, best: Candidate, other: Candidate) -> bool:
    """The judge's comparison puts the best one ahead for certain."""
    seen = _seen(pairs, best, other)
    return seen is not None and not pairs[frozenset((best.name, other.name))].tie and seen.value > 0


def _verdict(best: Candidate, rival: Candidate | None, ties: Sequence[Candidate], seen: Interval | None) -> str:
    assert best.grade
    span = best.grade
    grade = f"{span.value:.2f} overall ({span.low:.2f} to {span.high:.2f})"
    if rival is None:
        return f"{best.name} is best at {grade}; no model of another kind has a grade to compare it with."
    if seen is None:
        told = f"the judge's summary does not compare it with {rival.name}"
    else:
        told = (
            f"prompt by prompt it differs from {rival.name} by {seen.value:+.2f} ({seen.low:+.2f} to {seen.high:+.2f})"
        )
    if not ties:
        return f"{best.name} is best at {grade}; {told}, which is more than the choice of prompts explains."
    return (
        f"{best.name} comes first at {grade}, but that is a tie with {named(ties)}: {told}. To tell them apart have "
        "more stories graded (grading.completions, or a file of more prompts); or promote it all the same with --force."
    )


def _seeds(own: Sequence[Candidate]) -> list[str]:
    others = [f"{c.name} ({c.grade.value:.2f})" for c in own if c.grade]
    return [f"Of the same kind, so no rivals: {', '.join(others)}."] if others else []


def _doubts(summary: GradeSummary) -> list[str]:
    if summary.calibration.can_tell is not False:
        return []
    return ["This judge could not tell whole stories from shuffled ones, so its grades say little."]


def _yardstick(summary: GradeSummary) -> str:
    judge = summary.instrument
    prompts = max(score.prompts for score in summary.scores)
    who = f"{judge.model}, protocol {judge.protocol}, instrument {judge.id}" if judge else "unknown judge"
    return (
        f"judge {who}; paired differences over {prompts} prompts, 95 % intervals by bootstrap over prompts; one "
        "training of each model, so it does not say how other seeds would be graded"
    )
