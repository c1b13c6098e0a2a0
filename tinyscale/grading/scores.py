"""What a grading says: means with intervals, comparisons, and how far the judge can be trusted."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tinyscale.grading.comparisons import compare
from tinyscale.grading.intervals import LEAST_PROMPTS, by_prompt, mean_interval
from tinyscale.grading.relative import relative_scores
from tinyscale.grading.rubric import TURNS
from tinyscale.grading.trust import calibrate
from tinyscale.grading.verbosity import length_slope, length_warnings
from tinyscale.spec import AGE_GROUPS, CRITERIA, Grade, GradeSummary, Grading, Instrument, ModelScore, Story

OVERALL = ("grammar", "creativity", "consistency", "plot")
"""Their mean is ``overall``; instruct is left out, since few prompts carry instructions."""
MOST_UNGRADED = 0.02
"""Share of a model's stories above which no mean is given: what could not be graded may well be the worst."""


def summarise(
    grades: Iterable[Grade], stories: Iterable[Story], grading: Grading, instrument: Instrument
) -> GradeSummary:
    """All that the grades of one instrument say of the models.

    A story without a grade counts as ungraded, whether the judge failed or was not asked yet.

    :param stories: those told by the models; calibration stories may be among them.
    :raises ValueError: a grade is of another instrument or of no such story, a story was graded twice, one name stands
        for two models, or the anchors of the relative score are not among the models.
    """
    all_grades = list(grades)
    told = [story for story in stories if story.kind == "model"]
    _check(all_grades, told, instrument)
    first = [grade for grade in all_grades if grade.repeat == 0]
    scored = {name: [(g, v) for g in first if (v := score(g, name)) is not None] for name in ("overall", *CRITERIA)}
    of_models = {name: [(g, v) for g, v in found if g.kind == "model"] for name, found in scored.items()}
    found = [_model(model, told, first, of_models, grading) for model in dict.fromkeys(story.model for story in told)]
    found.sort(key=lambda s: (-s.means["overall"].value if "overall" in s.means else 0.0, s.model))
    relative, notes = relative_scores(found, grading.worst, grading.reference)
    scores = tuple(replace(s, relative=relative.get(s.model, {})) for s in found)
    means = {s.model: _prompt_means(s.model, of_models, s.means) for s in scores if s.means}
    comparisons = compare(list(means), means, grading.bootstraps, grading.seed)
    spans = {name: length_slope(of, grading.bootstraps, grading.seed) for name, of in of_models.items()}
    slopes = {name: span for name, span in spans.items() if span is not None}
    last = max((grade.repeat for grade in all_grades if grade.kind != "model"), default=0)
    newest = [grade for grade in all_grades if last and grade.kind != "model" and grade.repeat == last]
    again = {"overall": [(grade, value) for grade in newest if (value := score(grade, "overall")) is not None]}
    trust = calibrate(all_grades, scored, again, grading.bootstraps, grading.seed, MOST_UNGRADED)
    by_length = length_warnings(slopes, comparisons, [g for g in first if g.kind == "model" and g.scores])
    times = [grade.graded_s for grade in all_grades if grade.graded_s > 0]
    return GradeSummary(
        instrument=instrument,
        first_s=min(times, default=0.0),
        last_s=max(times, default=0.0),
        scores=scores,
        comparisons=comparisons,
        calibration=replace(trust, length_slope=slopes, warnings=(*trust.warnings, *by_length)),
        worst=grading.worst,
        reference=grading.reference,
        cost_usd=sum(grade.cost_usd for grade in all_grades),
        priced_on=grading.judge.priced_on,
        calls=len(times) * TURNS[instrument.protocol],
        notes=notes,
    )


def score(grade: Grade, criterion: str) -> float | None:
    """The grade's score on a criterion, or ``overall``; None where the judge gave none."""
    if criterion != "overall":
        return grade.scores.get(criterion)
    if any(name not in grade.scores for name in OVERALL):
        return None
    return sum(grade.scores[name] for name in OVERALL) / len(OVERALL)


def _check(grades: Sequence[Grade], told: Sequence[Story], instrument: Instrument) -> None:
    digests: dict[str, set[str]] = defaultdict(set)
    for story in told:
        digests[story.model].add(story.model_digest)
    if several := [model for model, seen in digests.items() if len(seen) > 1]:
        raise ValueError(
            f"stories of different models bear the name {several[0]!r}: tell them again, or give the models names of "
            "their own"
        )
    ids = {(story.model, story.id) for story in told}
    seen: set[tuple[str, str, str, int]] = set()
    for grade in grades:
        which = f"story {grade.story_id} of {grade.model or grade.kind}"
        if grade.instrument != instrument.id:
            raise ValueError(
                f"{which} was graded by instrument {grade.instrument}, the others by {instrument.id}: scores of "
                "different judges, protocols or rubrics are never put together"
            )
        if grade.kind == "model" and (grade.model, grade.story_id) not in ids:
            raise ValueError(f"{which} has a grade but is not among the stories given")
        key = (grade.kind, grade.model, grade.story_id, grade.repeat)
        if key in seen:
            raise ValueError(f"{which} has two grades of repeat {grade.repeat}")
        seen.add(key)


def _model(
    model: str,
    told: Sequence[Story],
    first: Sequence[Grade],
    scored: Mapping[str, Sequence[tuple[Grade, float]]],
    grading: Grading,
) -> ModelScore:
    mine = [grade for grade in first if grade.kind == "model" and grade.model == model]
    graded = [grade for grade in mine if grade.scores]
    stories, prompts = sum(story.model == model for story in told), len({g.prompt_id for g in graded})
    ungraded = stories - len(graded)
    withheld = ""
    if ungraded > MOST_UNGRADED * stories:
        reasons = Counter(grade.ungraded for grade in mine if not grade.scores)
        reasons["not graded yet"] += stories - len(mine)
        why = "; ".join(f"{count} x {reason or 'no reason given'}" for reason, count in reasons.most_common(3) if count)
        withheld = f"{ungraded} of {stories} stories are ungraded, more than {100 * MOST_UNGRADED:.0f} % ({why})"
    elif prompts < LEAST_PROMPTS:
        withheld = f"{prompts} prompts carry no interval; at least {LEAST_PROMPTS} are needed"
    spans = {
        name: mean_interval(prompt_means, grading.bootstraps, grading.seed)
        for name, prompt_means in _prompt_means(model, scored, () if withheld else scored).items()
    }
    ages = Counter(grade.age_group for grade in graded if grade.age_group)
    return ModelScore(
        model=model,
        prompts=prompts,
        stories=len(graded),
        ungraded=ungraded,
        means={name: span for name, span in spans.items() if span is not None},
        withheld=withheld,
        ages={group: ages[group] for group in AGE_GROUPS if ages[group]},
        flagged=sum(bool(grade.flags) for grade in mine),
    )


def _prompt_means(
    model: str, scored: Mapping[str, Sequence[tuple[Grade, float]]], wanted: Iterable[str]
) -> dict[str, dict[str, float]]:
    """By criterion and prompt."""
    return {name: by_prompt((g.prompt_id, v) for g, v in scored[name] if g.model == model) for name in wanted}
