"""What a study answers to its questions: one field varied, all else equal."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tinyscale.spec.codec import canonical
from tinyscale.spec.law import Interval
from tinyscale.spec.study import Question, Setting
from tinyscale.spec.trial import NOT_IDENTITY, Trial

NOT_COMPARED = NOT_IDENTITY | {"seed", "eval_every"}
"""Fields in which variants may differ besides what is varied: those that no outcome hangs on, and the seed."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One setting of what a question varies, and its runs."""

    settings: Mapping[str, Setting]
    """The fields varied, by name; the first names the variant."""
    trial_ids: tuple[str, ...]
    """Its runs, one a seed."""
    params_total: int
    losses: tuple[float, ...]
    """Bits per byte of the runs that are done."""
    loss: Interval | None
    """Their geometric mean and its 95 % interval over seeds; None while none is done."""
    above_best: Interval | None
    """That mean over that of the cell's best variant, less one; None for the best itself, and where no run is done."""
    diverged: tuple[str, ...] = ()
    """What the runs that diverged said of it, one each."""
    missing: int = 0
    """Runs without an outcome: waiting, pruned or failed."""


@dataclass(frozen=True, kw_only=True)
class VariantCell:
    """Variants with all else equal."""

    held: Mapping[str, Setting]
    """What sets this cell apart from the question's others; empty where it is the only one."""
    variants: tuple[Variant, ...]
    """Numbers ascending, words in the order of the study's file."""
    said: str
    """The answer in a sentence or two."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a study has to say to one of its questions."""

    ask: str
    varies: tuple[str, ...]
    cells: tuple[VariantCell, ...]
    """Empty where the study has no trials to compare; ``refused`` says why."""
    refused: str
    seed_noise: float
    """Standard deviation of log losses between seeds that the intervals rest on."""
    seed_freedom: int
    """Degrees of freedom behind it."""
    seed_measured: bool
    """False: no trial of the study was repeated, and it is an assumption."""


def settings_of(trial: Trial) -> dict[str, Setting]:
    """Every field of the trial's model and training by name; budgets of branches as one word."""
    settings = {**vars(trial.model), **vars(trial.train)}
    return {name: canonical(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def compared_trials(question: Question, trials: Iterable[Trial]) -> tuple[tuple[Trial, ...], ...]:
    """Trials that differ in nothing but what the question varies, the seed and :data:`NOT_COMPARED`, by cell.

    Only cells in which it varies; hold-outs are in none, since nobody looks at them before their forecast is locked.
    The tokenizer needs no look: within a study it follows from vocab_size.
    """
    cells: dict[str, list[Trial]] = {}
    for trial in trials:
        if not trial.holdout:
            cells.setdefault(canonical(held_settings(trial, question.varies)), []).append(trial)
    return tuple(
        tuple(cell) for cell in cells.values() if len({varied_settings(trial, question) for trial in cell}) > 1
    )


def held_settings(trial: Trial, varies: Iterable[str] = ()) -> dict[str, Setting]:
    """What the trials of one cell share; with nothing varied, what runs share that differ by the seed alone."""
    return {name: value for name, value in settings_of(trial).items() if name not in {*varies, *NOT_COMPARED}}


def varied_settings(trial: Trial, question: Question) -> tuple[Setting, ...]:
    """What a trial has of the fields that the question varies, in their order."""
    settings = settings_of(trial)
    return tuple(settings[name] for name in question.varies)
