"""Ablations: what one field does with all else equal, with the luck of seeds as the yardstick.

Between two equal variants of n and m runs the logarithms of the mean losses differ by luck with a standard deviation of
sd * sqrt(1 / n + 1 / m), and 95 % of the time by less than t(0.975, freedom) times that (Student 1908). Of k equal ones
the luckiest and the unluckiest differ by more: with k = 5 they pass that t in one study of five. So for k variants t
gives way to q(0.95, k, freedom) / sqrt(2), the quantile of the range of k (Tukey 1949, Kramer 1956); at k = 2 the two
are the same number.

sd is taken to be one for all variants: it is pooled over everything that the study repeats, and with a cautious
default, since few seeds measure it badly and here luck must not pass for an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from math import exp, expm1, log, sqrt
from statistics import fmean

import numpy as np
from scipy.stats import studentized_range
from scipy.stats import t as t_distribution

from tinyscale.accounting import count_parameters
from tinyscale.laws.ablation_words import say_cell
from tinyscale.laws.noise import CAUTIOUS, Noise, seed_noise
from tinyscale.spec import Answer, Interval, Question, Study, Trial, TrialResult, Variant, VariantCell, canonical
from tinyscale.spec.ablation import compared_trials, held_settings, varied_settings
from tinyscale.spec.study import Setting

CONFIDENCE = 0.95
"""Of an interval; of all the comparisons within a cell together."""
Results = Mapping[str, TrialResult]


def answer_questions(study: Study, trials: Sequence[Trial], results: Results) -> tuple[Answer, ...]:
    """What the finished trials say to each of the study's questions, in its order.

    A variant's loss is the bits per byte at the end of its runs (of a trunk, at its largest budget). A run that
    diverged is an answer of its own and has no loss. The best variant is the one with the least loss among those of
    which no run diverged, or among all where there is none: the mean over survivors flatters.

    :param trials: all of the study; hold-outs are never looked at.
    :param results: by trial id, as far as there are any.
    """
    noise = _seed_noise(trials, results)
    return tuple(_answer(question, study, trials, results, noise) for question in study.questions)


def _answer(question: Question, study: Study, trials: Sequence[Trial], results: Results, noise: Noise) -> Answer:
    compared = compared_trials(question, trials)
    held = [held_settings(cell[0], question.varies) for cell in compared]
    apart = [name for name in (held[0] if held else ()) if len({str(each[name]) for each in held}) > 1]
    pairs = [({name: own[name] for name in apart}, cell) for own, cell in zip(held, compared, strict=True)]
    pairs.sort(key=lambda pair: [_place(value, _named(study, name)) for name, value in pair[0].items()])
    cells = tuple(_cell(own, cell, question, study, results, noise) for own, cell in pairs)
    return Answer(
        ask=question.ask,
        varies=question.varies,
        cells=cells,
        refused="" if cells else f"no two trials of this study differ in {' and '.join(question.varies)} alone",
        seed_noise=noise.deviation,
        seed_freedom=noise.freedom,
        seed_measured=noise.measured,
    )


def _cell(
    held: Mapping[str, Setting],
    trials: Sequence[Trial],
    question: Question,
    study: Study,
    results: Results,
    noise: Noise,
) -> VariantCell:
    runs: dict[tuple[Setting, ...], dict[int, Trial]] = {}
    for trial in trials:
        runs.setdefault(varied_settings(trial, question), {}).setdefault(trial.train.seed, trial)
    named = [_named(study, name) for name in question.varies]
    ordered = sorted(runs, key=lambda values: [_place(*each) for each in zip(values, named, strict=True)])
    variants = [_variant(question, values, [*runs[values].values()], results, noise) for values in ordered]
    scored = [variant for variant in variants if variant.loss]
    best = min([v for v in scored if not v.diverged] or scored, key=_mean_log, default=None)
    if best:
        variants = [
            replace(v, above_best=_above(v, best, len(scored), noise)) if v.losses and v is not best else v
            for v in variants
        ]
    idle = [variant for variant in variants if _learned_nothing(variant, results)]
    return VariantCell(held=held, variants=tuple(variants), said=say_cell(variants, best, idle))


def _variant(
    question: Question, values: tuple[Setting, ...], trials: Sequence[Trial], results: Results, noise: Noise
) -> Variant:
    ended = [results[trial.id] for trial in trials if trial.id in results]
    done = [result.points[-1] for result in ended if result.status == "done"]
    diverged = tuple(result.message or "no word why" for result in ended if result.status == "diverged")
    losses = tuple(point.bpb for point in done)
    return Variant(
        settings=dict(zip(question.varies, values, strict=True)),
        trial_ids=tuple(trial.id for trial in trials),
        params_total=count_parameters(trials[0].model).total,
        losses=losses,
        loss=_spread(losses, noise),
        above_best=None,
        diverged=diverged,
        missing=len(trials) - len(done) - len(diverged),
    )


def _seed_noise(trials: Sequence[Trial], results: Results) -> Noise:
    """From every kind of run that the study repeats, at the end of training."""
    ends: dict[tuple[str, int], float] = {}
    for trial in trials:
        result = results.get(trial.id)
        if result and result.status == "done" and not trial.holdout:
            ends.setdefault((canonical(held_settings(trial)), trial.train.seed), log(result.points[-1].bpb))
    return seed_noise(np.array([*ends.values()]), [kind for kind, _ in ends], default=CAUTIOUS)


def _spread(losses: Sequence[float], noise: Noise) -> Interval | None:
    """Geometric mean, and where that of many more seeds would lie."""
    if not losses:
        return None
    one_run = float(t_distribution.ppf((1 + CONFIDENCE) / 2, noise.freedom)) * noise.deviation
    mean, away = fmean(map(log, losses)), one_run / sqrt(len(losses))
    return Interval(value=exp(mean), low=exp(mean - away), high=exp(mean + away))


def _above(variant: Variant, best: Variant, count: int, noise: Noise) -> Interval:
    """How far a variant lies above the best of ``count``."""
    lag = _mean_log(variant) - _mean_log(best)
    away = _widest(count, noise.freedom) * noise.deviation * sqrt(1 / len(variant.losses) + 1 / len(best.losses))
    return Interval(value=expm1(lag), low=expm1(lag - away), high=expm1(lag + away))


@cache
def _widest(count: int, freedom: int) -> float:
    """What t is for two variants, for the range of ``count``."""
    return float(studentized_range.ppf(CONFIDENCE, count, freedom)) / sqrt(2)


def _mean_log(variant: Variant) -> float:
    return fmean(map(log, variant.losses))


def _learned_nothing(variant: Variant, results: Results) -> bool:
    """Every finished run ended at or above the loss of the tokens' frequencies alone."""
    done = [results[id_] for id_ in variant.trial_ids if id_ in results and results[id_].status == "done"]
    ends = [result.points[-1] for result in done]
    return bool(ends) and all(0 < point.unigram_loss <= point.loss for point in ends)


def _named(study: Study, name: str) -> list[Setting]:
    """The values of a field in the order in which the study's file names them; presets and recipe name others."""
    sections = (study.model, study.train, *study.space)
    values = chain.from_iterable(
        value if isinstance(value := section[name], tuple) else (value,) for section in sections if name in section
    )
    return list(dict.fromkeys(values))


def _place(value: Setting, named: Sequence[Setting]) -> float:
    """Where a value stands among variants: what the file does not name is first."""
    if isinstance(value, str):
        return named.index(value) if value in named else -1
    return float(value)
