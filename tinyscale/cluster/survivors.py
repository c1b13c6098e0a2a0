"""No cell of learning rates without a result: what is done when the rate that stopped the others is lost itself."""

from collections.abc import Iterable

from tinyscale.plan.arms import rate_arms
from tinyscale.results.journal import read_journal
from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import Trial


def revive(store: StudyStore, trials: Iterable[Trial]) -> list[Trial]:
    """Take back the stop of one arm in each cell whose other arms all diverged or were stopped: it goes on.

    The arm that came furthest, and of these the one with the least loss there. A failed arm is tried again by the next
    launch, so its cell is not lost.

    :returns: those that are to run again; their results are gone, journals and checkpoints stay.
    """
    results = read_results(store)
    revived = []
    for cell in rate_arms(trials):
        ends = [results[trial.id].status if trial.id in results else "open" for trial in cell]
        stopped = [trial for trial, end in zip(cell, ends, strict=True) if end == "pruned"]
        if stopped and set(ends) <= {"pruned", "diverged"}:
            revived.append(min(stopped, key=lambda trial: _standing(store, trial)))
            store.trial(revived[-1].id).result.unlink()
    return revived


def _standing(store: StudyStore, trial: Trial) -> tuple[int, float]:
    records = read_journal(store.trial(trial.id).journal)[0]
    return min((-record.step, record.metrics["eval/bpb"]) for record in records if "eval/bpb" in record.metrics)
