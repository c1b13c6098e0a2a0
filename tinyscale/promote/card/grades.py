"""What was said of one model's stories, with or without a judge."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from tinyscale.grading.comparisons import in_words
from tinyscale.grading.results import read_judge_free, read_summaries
from tinyscale.grading.stories import read_stories
from tinyscale.results.store import StudyStore
from tinyscale.spec import GradeSummary, Instrument, JudgeFree, ModelScore, Story, Trial, TrialResult, to_json


@dataclass(frozen=True, kw_only=True)
class CardGrades:
    """The newest judge's grades of this model, its judge-free measures, and the stories they are of."""

    summary: GradeSummary | None = None
    """Of the newest judge that graded this model; None: no judge did."""
    score: ModelScore | None = None
    free: JudgeFree | None = None
    stories: tuple[Story, ...] = ()
    comparisons: tuple[str, ...] = ()
    """Of the overall grade, with the other models of the study, in words."""
    asked: Mapping[str, float] = field(default_factory=dict)
    """How the stories were told: ``temperature``, ``max_tokens``; empty where they are not all alike."""

    @property
    def host(self) -> str:
        """Of the judge's endpoint, without anything that could be a secret."""
        return (
            urlsplit(self.summary.instrument.base_url).hostname or ""
            if self.summary and self.summary.instrument
            else ""
        )


def read_grades(store: StudyStore, trial: Trial, result: TrialResult) -> CardGrades:
    """What a study's folder holds; nothing of stories that other weights than these told.

    :raises ValueError: a file of a grading is damaged.
    """
    path = store.trial(trial.id).stories
    told = read_stories(path) if path.exists() else []
    stories = tuple(s for s in told if s.kind == "model" and s.model_digest == result.model_digest)
    if not stories:
        return CardGrades()
    free = read_judge_free(store.path)
    summaries = read_summaries(store.path)
    found = next(((s, score) for s in summaries for score in s.scores if score.model == trial.name), None)
    measures = [*(found[0].judge_free if found else ()), *(free.judge_free if free else ())]
    ways = {(story.temperature, story.max_tokens) for story in stories}
    return CardGrades(
        summary=found[0] if found else None,
        score=found[1] if found else None,
        free=next((each for each in measures if each.model == trial.name), None),
        stories=stories,
        comparisons=tuple(
            in_words(each)
            for each in (found[0].comparisons if found else ())
            if each.criterion == "overall" and trial.name in (each.better, each.worse)
        ),
        asked=dict(zip(("temperature", "max_tokens"), next(iter(ways)), strict=True)) if len(ways) == 1 else {},
    )


def grades_json(grades: CardGrades) -> dict[str, Any]:
    """What ``grades.json`` holds: the score with all that decides what it means."""
    summary = grades.summary
    return {
        "instrument": to_json(_public(summary.instrument)) if summary and summary.instrument else None,
        "instrument_id": summary.instrument.id if summary and summary.instrument else "",
        "first_s": summary.first_s if summary else 0.0,
        "last_s": summary.last_s if summary else 0.0,
        "score": to_json(grades.score),
        "calibration": to_json(summary.calibration) if summary else None,
        "judge_free": to_json(grades.free),
    }


def _public(instrument: Instrument) -> Instrument:
    return replace(instrument, base_url=public_url(instrument.base_url))


def public_url(url: str) -> str:
    """Scheme, host and path of a URL: user, password and query stay at home."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else ""
