"""The planner: Study -> Plan. It starts nothing and trains nothing."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from tinyscale.data.corpus import corpus_digest
from tinyscale.data.tokenizer import tokenizer_digest
from tinyscale.plan.arms import rate_arms
from tinyscale.plan.budgets import KINDS, Budgets, grids
from tinyscale.plan.check import check_trial
from tinyscale.plan.check_grading import check_grading
from tinyscale.plan.check_questions import check_questions
from tinyscale.plan.quote import Quote, expected_speed, makespan, quote_trial
from tinyscale.plan.recipe import resolve
from tinyscale.plan.share import ASSUMED_CARD, choose_share, local_card, smallest_share
from tinyscale.spec import Study, Trial, TrialResult, short_count, to_json
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
    text_per_token: Mapping[int, float] = field(default_factory=dict)
    """UTF-8 bytes of training text a token, of each vocabulary with a budget of text."""
    provisional: frozenset[str] = frozenset()
    """Ids of trials that will change: their budget is text, and how much of it their vocabulary puts into a token is
    an estimate until the vocabulary is prepared."""

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
                "provisional": trial.id in self.provisional,
                "model": to_json(trial.model),
                "train": to_json(trial.train),
                "quote": to_json(self.quotes[trial.id]),
            }
            for trial in self.trials
        ]


def make_plan(
    study: Study,
    *,
    offline: bool = False,
    measured: Mapping[str, TrialResult] | None = None,
    bytes_per_token: Mapping[int, float] | None = None,
) -> Plan:
    """Resolve every trial of a study.

    :param offline: take a provisional corpus digest where the hub would have to be asked.
    :param measured: results of earlier trials, to quote times from.
    :param bytes_per_token: UTF-8 bytes of training text a token, by vocabulary; None: as the cache's shards have it.
        Budgets of text in a vocabulary that is not known rest on an estimate: those trials are provisional.
    :raises PlanError: the trials don't fit together, or can't be trained; all problems at once.
    :raises ValueError: the corpus is missing or unusable.
    """
    problems = _study_problems(study)
    workers = max(1, study.resources.workers)
    corpus = corpus_digest(study.corpus, offline=offline)
    budgets = Budgets(study, corpus, bytes_per_token)
    trials: dict[str, Trial] = {}
    of_text: dict[str, float] = {}
    for grid, place, holdout in grids(study):
        for trial in _grid_trials(study, grid, place, budgets, holdout, problems):
            if "text_bytes" in grid:
                of_text[trial.id] = budgets.text_per_token[trial.model.vocab_size]
            found = check_trial(trial, workers=workers, on_gpu=study.resources.on_gpu)
            problems += [f"{place}: {trial.shape}: {text}" for text in found]
            trials.setdefault(trial.id, trial)
            problems += [
                f"{place}: {trial.shape} is in space as well; a hold-out must not be fitted"
                for other in trials.values()
                if other.holdout != holdout and _same_outcome(trial, other)
            ]
    problems += check_questions(study.questions, () if problems else [*trials.values()])
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
    quotes = {
        trial.id: quote_trial(trial, speed, shares[trial.id], study.budget, of_text.get(trial.id)) for trial in named
    }
    named.sort(key=lambda trial: (trial.holdout, -quotes[trial.id].seconds))
    return Plan(
        study=study,
        trials=tuple(named),
        quotes=quotes,
        basis=speed.basis,
        card=str(card) if choice else "",
        text_per_token=dict(sorted(budgets.text_per_token.items())),
        provisional=frozenset(t.id for t in named if t.id in of_text and t.model.vocab_size in budgets.estimated),
    )


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


def _grid_trials(
    study: Study, grid: Axes, place: str, budgets: Budgets, holdout: bool, problems: list[str]
) -> Iterator[Trial]:
    """A trial for every combination of a grid's values; on a trunk all its budgets are one trial.

    What can't be resolved is left out, and named in ``problems``.
    """
    axes = {name: value if isinstance(value, tuple) else (value,) for name, value in grid.items()}
    kinds = [name for name in KINDS if name in axes]
    if len(kinds) > 1:
        problems.append(f"{place}: {' and '.join(kinds)} are both given; name the token budgets in one way")
        return
    given = axes.pop(kinds[0]) if kinds else ()
    for combination in product(*axes.values()):
        settings = {**study.model, **study.train, **dict(zip(axes, combination, strict=True))}
        for some in (given,) if settings.get("schedule") == "trunk" or not given else ((each,) for each in given):
            try:
                _check_sizes(settings)
                tokens = [budgets.tokens(kinds[0], each, settings) for each in some]
                yield _trial(study, settings, tokens, budgets.corpus, holdout)
            except ValueError as error:
                problems.append(f"{place}: {error}")


def _check_sizes(settings: Mapping[str, Any]) -> None:
    """What the recipe divides by."""
    for name in ("hidden_size", "num_layers", "num_heads", "vocab_size", "context_length", "batch_size"):
        if settings.get(name, 1) < 1:
            raise ValueError(f"{name} is {settings[name]}; it must be at least 1")


def _trial(study: Study, settings: dict[str, Any], budgets: Sequence[int], corpus: str, holdout: bool) -> Trial:
    """:param budgets: training tokens, on a trunk several; none: ``settings`` has them."""
    if budgets:
        *branches, tokens = sorted({*budgets})
        settings = {**settings, "tokens": tokens, **({"branches": tuple(branches)} if branches else {})}
    if settings.get("tokens", 1) < 1:
        raise ValueError(f"tokens is {settings['tokens']}; it must be at least 1")
    model, train = resolve(settings)
    tokenizer = tokenizer_digest(study.tokenizer, corpus, model.vocab_size)
    return Trial(model=model, train=train, corpus=corpus, tokenizer=tokenizer, holdout=holdout)


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
    """Name apart the trials of equal shape, by the axes of the study in which one is not as most of them are."""
    named_in_grids = ("tokens" if name in KINDS else name for grid, _, _ in grids(study) for name in grid)
    axes = dict.fromkeys((*named_in_grids, "branches"))
    named = []
    for trial in trials:
        own, twins = _settings(trial), [_settings(twin) for twin in trials if twin.shape == trial.shape]
        telling = [name for name in axes if own[name] != _usual([twin[name] for twin in twins])]
        suffix = "".join(f"-{_SHORT.get(name, name + '=')}{_in_name(own[name])}" for name in telling)
        named.append(replace(trial, suffix=suffix))
    return named


def _usual(values: Sequence[Any]) -> Any:
    """The value that more of them are than any other; None where several are equally common."""
    (first, most), *others = Counter(values).most_common(2)
    return None if others and others[0][1] == most else first


def _in_name(value: Any) -> str:
    """A setting within a trial's name; the budgets of branches as ``2M+4M``."""
    return "+".join(map(short_count, value)) if isinstance(value, tuple) else str(value)


def _settings(trial: Trial) -> dict[str, Any]:
    return {**vars(trial.model), **vars(trial.train)}
