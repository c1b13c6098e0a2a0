"""What stands in MLflow of grades: plain values, no MLflow."""

from collections.abc import Iterable

from tinyscale.spec import CRITERIA, Grade, GradeSummary, Instrument, ModelScore, Story
from tinyscale.tracking import content
from tinyscale.tracking.runs import Table

STORIES, SUMMARY = "grades.json", "grades_summary.json"
"""Tables of the study's run."""
JUDGE, PROTOCOL, RUBRIC = "tinyscale.judge", "tinyscale.judge_protocol", "tinyscale.judge_rubric"
INSTRUMENT, GRADES, WARNINGS = "tinyscale.judge_instrument", "tinyscale.grades", "tinyscale.judge_warnings"
ALL_METRICS = tuple(
    f"grade/{name}" for name in ("overall", *CRITERIA, "overall_low", "overall_high", "stories", "ungraded")
)
SUMMARY_COLUMNS = ("rank", "model", "criterion", "score", "low", "high", "relative", "stories", "ungraded", "withheld")
STORY_COLUMNS = (
    "prompt", "completion", *CRITERIA, "age", "model", "prompt_id", "sample", "ungraded", "flags", "reasons",
    "judge", "instrument", "story_id",
)  # fmt: skip
"""What a reader looks for first: MLflow's page shows some five columns before one scrolls."""
NOT_GRADED = Grade(
    story_id="", model="", prompt_id="", sample=0, kind="model", repeat=0, instrument="", ungraded="not graded"
)


def grade_metrics(score: ModelScore) -> dict[str, float]:
    """``grade/...`` of one trial's run: its means, the overall interval, and how many stories they rest on."""
    metrics = {f"grade/{name}": round(span.value, 4) for name, span in score.means.items()}
    if overall := score.means.get("overall"):
        metrics |= {"grade/overall_low": round(overall.low, 4), "grade/overall_high": round(overall.high, 4)}
    return metrics | {"grade/stories": float(score.stories), "grade/ungraded": float(score.ungraded)}


def judge_tags(instrument: Instrument) -> dict[str, str]:
    """Which instrument the metrics of a run are of."""
    return {
        JUDGE: f"{instrument.model} at {instrument.base_url}",
        PROTOCOL: instrument.protocol,
        RUBRIC: instrument.rubric,
        INSTRUMENT: instrument.id,
    }


def score_tags(score: ModelScore) -> dict[str, str]:
    """A trial's means with their intervals in words, or why there are none."""
    spans = (f"{name} {s.value:.2f} (95 % interval {s.low:.2f} to {s.high:.2f})" for name, s in score.means.items())
    return {GRADES: (f"withheld: {score.withheld}" if score.withheld else "; ".join(spans))[: content.LONGEST_TAG]}


def study_tags(summary: GradeSummary) -> dict[str, str]:
    """What the study's run says of the judge."""
    said = "; ".join(summary.calibration.warnings) or "none"
    return {WARNINGS: said[: content.LONGEST_TAG]}


def summary_table(summary: GradeSummary) -> Table:
    """A row a model and criterion."""
    rows: list[list[object]] = []
    for rank, score in enumerate(summary.scores, start=1):
        counts = [score.stories, score.ungraded, score.withheld]
        if not score.means:
            rows.append([rank, score.model, "", "", "", "", "", *counts])
        for name, span in score.means.items():
            numbers = [round(value, 3) for value in (span.value, span.low, span.high)]
            relative = round(score.relative[name], 3) if name in score.relative else ""
            rows.append([rank, score.model, name, *numbers, relative, *counts])
    return Table(columns=SUMMARY_COLUMNS, rows=rows)


def story_table(stories: Iterable[Story], grades: Iterable[Grade], judge: str) -> Table:
    """All stories of the models with their first grade."""
    first = {(grade.model, grade.story_id): grade for grade in grades if grade.repeat == 0}
    rows: list[list[object]] = []
    for story in stories:
        grade = first.get((story.model, story.id), NOT_GRADED)
        scores = [grade.scores.get(name, "") for name in CRITERIA]
        reasons = "\n".join(f"{name}: {said}" for name, said in grade.reasons.items())
        rows.append(
            [story.prompt, story.completion, *scores, grade.age_group, story.model, story.prompt_id, story.sample,
             grade.ungraded, "; ".join(grade.flags), reasons, judge, grade.instrument, story.id]
        )  # fmt: skip
    return Table(columns=STORY_COLUMNS, rows=rows)
