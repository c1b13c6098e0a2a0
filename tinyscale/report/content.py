"""What a report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tinyscale.laws.forecast import forecast_error, measured_outcome
from tinyscale.report.grades import GradesContent
from tinyscale.spec import (
    Analysis,
    Answer,
    Forecast,
    ImportedModel,
    LawFit,
    Point,
    Record,
    Study,
    Trial,
    TrialResult,
    Validation,
    VocabularyFacts,
)
from tinyscale.spec.words import utc

COUNTS = {"total": "all parameters", "non_embedding": "embeddings left out", "effective": "FLOPs a token / 6"}
"""Counts of N in words."""
ANSWER_ROWS = 4
"""Cells drawn of one question; its tables hold all."""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """All that one page tells."""

    study: Study
    trials: Sequence[Trial]
    """Every planned trial, hold-outs included."""
    results: Mapping[str, TrialResult]
    """By trial id; a trial without one has not ended yet."""
    curves: Mapping[str, Sequence[Record]]
    """Journals by trial id."""
    law: LawFit | None
    law_refused: str
    """Why there is no law; empty when there is one."""
    analysis: Analysis
    """What the points say beside the law."""
    answers: Sequence[Answer] = ()
    """What the trials say to the study's questions, in their order."""
    forecasts: Sequence[Forecast]
    stories: Sequence[tuple[str, str]]
    """Prompts and what the model went on to tell."""
    stories_from: str
    """Name of the trial whose model told them."""
    entropy_bpb: float | None
    """Entropy of the validation text in bits per byte, where it is known."""
    commands: Sequence[str]
    """What to type to get the study again."""
    grades: GradesContent | None = None
    """What was graded, or measured without a judge; None: neither, and ``stories`` are shown alone."""
    vocabularies: Sequence[VocabularyFacts] = ()
    """What each vocabulary makes of the training text, ascending; those that were never prepared lack."""
    imported: Sequence[ImportedModel] = ()
    """Models from elsewhere."""
    validations: Mapping[str, Validation] = field(default_factory=dict)
    """Trials whose models were measured on all the validation text, by id."""

    @property
    def asks_for_law(self) -> bool:
        """Whether a law of size and tokens is wanted, and missed where there is none."""
        return asks_for_law(self.study, self.trials)

    @property
    def points(self) -> list[Point]:
        """Points of the trials that are done."""
        done = [self.results[trial.id] for trial in self.trials if trial.id in self.results]
        return [point for result in done if result.status == "done" for point in result.points]


@dataclass(frozen=True, kw_only=True)
class ForecastRow:
    """A locked forecast beside what came of it."""

    forecast: Forecast
    outcome: float | None
    """The measured loss in the forecast's unit; None while there is none."""
    note: str
    """What weakens the forecast, or why there is no outcome; empty when all is well."""

    @property
    def error(self) -> float | None:
        """(forecast - outcome) / outcome."""
        return forecast_error(self.forecast, self.outcome)

    @property
    def inside(self) -> bool | None:
        """Whether the outcome lies in the forecast's 95 % interval; None without the one or the other."""
        span = self.forecast.predicted
        return None if self.outcome is None or span is None else span.low <= self.outcome <= span.high

    @property
    def locked(self) -> str:
        """When it was locked."""
        return utc(self.forecast.locked_s)


def asks_for_law(study: Study, trials: Sequence[Trial]) -> bool:
    """False of a study with questions whose trials have one shape and one token budget: it compares settings."""
    sizes = {(trial.model.hidden_size, trial.model.num_layers, trial.budgets) for trial in trials}
    return not study.questions or len(sizes) > 1


def forecast_rows(forecasts: Sequence[Forecast], results: Mapping[str, TrialResult]) -> list[ForecastRow]:
    """Each forecast with its outcome."""
    return [_row(forecast, results.get(forecast.trial_id)) for forecast in forecasts]


def _row(forecast: Forecast, result: TrialResult | None) -> ForecastRow:
    outcome = measured_outcome(forecast, result)
    if result is None:
        note = "not trained yet"
    elif outcome is None:
        note = f"{result.status}: {result.message}" if result.message else result.status
    elif forecast.locked_s > result.started_s > 0:
        note = "locked after the trial had begun"
    else:
        note = ""
    return ForecastRow(forecast=forecast, outcome=outcome, note=note)
