"""The planner: Study -> Plan. It starts nothing and trains nothing."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from tinyscale.accounting import count_parameters, flops_per_token
from tinyscale.data.corpus import corpus_digest
from tinyscale.data.tokenizer import tokenizer_digest
from tinyscale.plan.arms import rate_arms
from tinyscale.plan.check import check_trial
from tinyscale.plan.check_grading import check_grading
from tinyscale.plan.quote import Quote, expected_speed, makespan, quote_trial
from tinyscale.plan.recipe import resolve
from tinyscale.plan.share import ASSUMED_CARD, choose_share, local_card, smallest_share
from tinyscale.spec import ModelConfig, Study, Trial, TrialResult, short_count, to_json
from tinyscale.spec.study import Axes
from tinyscale.spec.trial import Schedule


class PlanError(ValueError):
    """A study whose trials can't be run as they stand; ``problems`` holds one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All trials of a study, resolved, hold-outs last."""

    study: Study
    trials: tuple[Trial, ...]
    quotes: Mapping[str, Quote]
    """By trial id."""
    basis: str
    """What the expected times rest on."""
    card: str = ""
    """The GPU that shares were chosen for; empty: none were."""

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Every vocabulary, ascending."""
        return tuple(sorted({trial.model.vocab_size for trial in self.trials}))

    def wall_s(self, capacity: float, skip: Collection[str] = ()) -> float:
        """Expected seconds of the study: hold-outs follow the fitted trials.

        :param capacity: GPUs of all machines; CPU cores where trials compute on those.
        :param skip: ids of trials that need not run.
        """
        left = [trial for trial in self.trials if trial.id not in skip]
        phases = [[self.quotes[trial.id] for trial in left if trial.holdout is held] for held in (False, True)]
        return sum(makespan([q.seconds for q in phase], capacity, [q.share.size for q in phase]) for phase in phases)

    def rows(self) -> list[dict[str, Any]]:
        """Every trial with everything derived, as plain data."""
        return [
            {
                "id": trial.id,
                "name": trial.name,
                "holdout": trial.holdout,
                "model": to_json(trial.model),
                "train": to_json(trial.train),
                "quote": to_json(self.quotes[trial.id]),
            }
            for trial in self.trials
        ]


def make_plan(study: Study, *, offline: bool = False, measured: Mapping[str, TrialResult] | None = None) -> Plan:
    """Resolve every trial of a study.

    :param offline: take a provisional corpus digest where the hub would have to be asked.
    :param measured: results of earlier trials, to quote times from.
    :raises PlanError: the trials don't fit together, or can't be trained; all problems at once.
    :raises ValueError: the corpus is missing or unusable.
    """
    problems = _study_problems(study)
    workers = max(1, study.resources.workers)
    corpus = corpus_digest(study.corpus, offline=offline)
    trials: dict[str, Trial] = {}
    for grid, place, holdout in _grids(study):
        for trial in _grid_trials(study, grid, place, corpus, holdout, problems):
            found = check_trial(trial, workers=workers, on_gpu=study.resources.on_gpu)
            problems += [f"{place}: {trial.shape}: {text}" for text in found]
            trials.setdefault(trial.id, trial)
            problems += [
                f"{place}: {trial.shape} is in space as well; a hold-out must not be fitted"
                for other in trials.values()
                if other.holdout != holdout and _same_outcome(trial, other)
            ]
    if study.resources.scheduler == "asha":
        problems += [
            f"{arms[0].shape}: resources.scheduler is asha, which compares learning rates at evaluations on the way, "
            "but train.eval_every is 0 (only at the end): give it a number of steps, leave it out (the recipe's is a "
            "fifth of the trial), or set scheduler to fifo"
            for arms in rate_arms(trials.values())
            if not arms[0].train.eval_every
        ]
    if problems:
        raise PlanError(list(dict.fromkeys(problems)))
    named = _with_suffixes(list(trials.values()), study)
    choice = study.resources.gpus == "auto"
    card = (local_card() if choice else None) or ASSUMED_CARD
    shares = {trial.id: choose_share(trial, study.resources, card) for trial in named}
    speed = expected_speed(study.resources, measured or {}, [(trial, shares[trial.id]) for trial in named])
    quotes = {trial.id: quote_trial(trial, speed, shares[trial.id], study.budget) for trial in named}
    named.sort(key=lambda trial: (trial.holdout, -quotes[trial.id].seconds))
    return Plan(study=study, trials=tuple(named), quotes=quotes, basis=speed.basis, card=str(card) if choice else "")


def _study_problems(study: Study) -> list[str]:
    problems = []
    allowed = study.name.replace("-", "").replace("_", "").replace(".", "")
    if not (allowed.isascii() and allowed.isalnum() and study.name[0] not in ".-" and len(study.name) <= 80):
        problems.append(f"name is {study.name!r}; use at most 80 letters, digits, - _ and . (it names a folder)")
    if not study.space:
        problems.append("space is empty; give at least one grid, such as - {hidden_size: [32, 64], tokens: 1M}")
    least = smallest_share(study.resources)
    if least.workers < 1 or least.cpus < 1 or least.gpus < 0:
        problems.append("resources: workers and cpus must be at least 1 and gpus at least 0, or cpus and gpus auto")
    if least.gpus > 1:
        problems.append(f"resources.gpus is {least.gpus:g}; a worker drives one GPU at most: raise workers")
    if study.resources.engine == "torch" and study.resources.workers > 1:
        problems.append("resources.engine torch runs one worker; use zero for several")
    if study.resources.max_failures < 0:
        problems.append(f"resources.max_failures is {study.resources.max_failures}; it must be at least 0")
    if study.resources.timeout_s < 0:
        problems.append(f"resources.timeout_s is {study.resources.timeout_s:g}; it must be at least 0 (0: no limit)")
    if study.law.bootstraps < 40:
        problems.append(f"law.bootstraps is {study.law.bootstraps}; a 95 % interval needs at least 40")
    if study.budget.wall_s < 0 or study.budget.price_per_device_hour < 0:
        problems.append("budget: wall_s and price_per_device_hour must be at least 0")
    return problems + check_grading(study.grading)


def _grids(study: Study) -> Iterator[tuple[Axes, str, bool]]:
    for section, grids in (("space", study.space), ("holdout", study.holdout)):
        for index, grid in enumerate(grids):
            yield grid, f"{section}.{index}", section == "holdout"


_TOKENS_OF: Mapping[str, Callable[[float, ModelConfig], float]] = {
    "tokens": lambda tokens, model: tokens,
    "flops": lambda flops, model: flops / flops_per_token(model),
    "tokens_per_param": lambda ratio, model: ratio * count_parameters(model).total,
}
"""Tokens of a budget, which may depend on the model (:class:`tinyscale.spec.study.TokenBudget`)."""


def _grid_trials(
    study: Study, grid: Axes, place: str, corpus: str, holdout: bool, problems: list[str]
) -> Iterator[Trial]:
    """A trial for every combination of a grid's values; on a trunk all its budgets are one trial.

    What can't be resolved is left out, and named in ``problems``.
    """
    axes = {name: value if isinstance(value, tuple) else (value,) for name, value in grid.items()}
    kinds = [name for name in _TOKENS_OF if name in axes]
    if len(kinds) > 1:
        problems.append(f"{place}: {' and '.join(kinds)} are both given; name the token budgets in one way")
        return
    budgets = axes.pop(kinds[0]) if kinds else ()
    for combination in product(*axes.values()):
        settings = {**study.model, **study.train, **dict(zip(axes, combination, strict=True))}
        for some in (budgets,) if settings.get("schedule") == "trunk" or not budgets else ((each,) for each in budgets):
            try:
                yield _trial(study, settings, kinds[0] if kinds else "", some, corpus, holdout)
            except ValueError as error:
                problems.append(f"{place}: {error}")


def _trial(
    study: Study, settings: dict[str, Any], kind: str, budgets: Sequence[Any], corpus: str, holdout: bool
) -> Trial:
    """:param budgets: of one kind; none: ``settings`` has the tokens."""
    for name in ("hidden_size", "num_layers", "num_heads", "vocab_size", "context_length", "batch_size"):
        if settings.get(name, 1) < 1:
            raise ValueError(f"{name} is {settings[name]}; it must be at least 1")
    if budgets:
        *branches, tokens = sorted({_tokens(kind, budget, settings) for budget in budgets})
        settings = {**settings, "tokens": tokens, **({"branches": tuple(branches)} if branches else {})}
    if settings.get("tokens", 1) < 1:
        raise ValueError(f"tokens is {settings['tokens']}; it must be at least 1")
    model, train = resolve(settings)
    tokenizer = tokenizer_digest(study.tokenizer, corpus, model.vocab_size)
    return Trial(model=model, train=train, corpus=corpus, tokenizer=tokenizer, holdout=holdout)


def _tokens(kind: str, budget: Any, settings: Mapping[str, Any]) -> int:
    if not budget > 0:
        raise ValueError(f"{kind} is {budget:g}; it must be more than 0")
    model, _ = resolve({**settings, "tokens": 1})
    return round(_TOKENS_OF[kind](budget, model))


def _same_outcome(one: Trial, other: Trial) -> bool:
    """Whether a point of one trial is a point of the other: trunks of one model may share token budgets."""
    if one.id == other.id:
        return True
    same_line = _line(one) == _line(other) and "trunk" in (one.train.schedule, other.train.schedule)
    return same_line and not set(one.budgets).isdisjoint(other.budgets)


def _line(trial: Trial) -> Trial:
    """A trial without its token budgets, and what hangs on them: on one line of training, these agree."""
    schedule: Schedule = "trunk" if trial.train.schedule == "wsd" else trial.train.schedule
    train = replace(
        trial.train, tokens=0, branches=(), schedule=schedule, eval_every=0, log_every=0, checkpoint_every=0
    )
    return replace(trial, train=train, holdout=False, suffix="")


_SHORT = {"learning_rate": "lr", "batch_size": "b", "context_length": "T", "num_heads": "h"}


def _with_suffixes(trials: list[Trial], study: Study) -> list[Trial]:
    """Name apart the trials of equal shape, by the axes of the study in which they differ."""
    named_in_grids = ("tokens" if name in _TOKENS_OF else name for grid, _, _ in _grids(study) for name in grid)
    axes = dict.fromkeys((*named_in_grids, "branches"))
    named = []
    for trial in trials:
        twins = [_settings(twin) for twin in trials if twin.shape == trial.shape]
        differing = [name for name in axes if len({str(twin[name]) for twin in twins}) > 1]
        suffix = "".join(f"-{_SHORT.get(name, name + '=')}{_in_name(_settings(trial)[name])}" for name in differing)
        named.append(replace(trial, suffix=suffix))
    return named


def _in_name(value: Any) -> str:
    """A setting within a trial's name; the budgets of branches as ``2M+4M``."""
    return "+".join(map(short_count, value)) if isinstance(value, tuple) else str(value)


def _settings(trial: Trial) -> dict[str, Any]:
    return {**vars(trial.model), **vars(trial.train)}
