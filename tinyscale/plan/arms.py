"""Arms of learning rate: the trials that a study tries at several rates, all else equal."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from tinyscale.spec import Trial


def rate_arms(trials: Iterable[Trial]) -> tuple[tuple[Trial, ...], ...]:
    """Cells of trials that compute the same but for the learning rate, each of at least two, in the order given.

    A cell has one seed: its arms see the same weights and the same text. Hold-outs are in none.
    """
    cells: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if not trial.holdout:
            cells[replace(trial, train=replace(trial.train, learning_rate=0.0)).id].append(trial)
    return tuple(tuple(cell) for cell in cells.values() if len(cell) > 1)


def first_rung(trial: Trial) -> int:
    """Step at which an arm may first be stopped: its first evaluation after the warm-up, where rates show.

    0: there is none before the arm has spent its first token budget.
    """
    every, first_end = trial.train.eval_every, trial.lines[0].end
    rung = every * max(1, -(-trial.train.warmup_steps // every)) if every else 0
    return rung if rung < first_end else 0
