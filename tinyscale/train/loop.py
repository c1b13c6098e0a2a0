"""The loop of one trial."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from tinyscale.results.journal import Journal
from tinyscale.results.state import finished
from tinyscale.results.store import TrialFolder
from tinyscale.spec import Job, Record, TrialResult
from tinyscale.train import workers
from tinyscale.train.checkpoint import remove_checkpoints
from tinyscale.train.lock import hold_folder
from tinyscale.train.monitor import DivergedError
from tinyscale.train.outcome import write_outcome
from tinyscale.train.session import Session

READ_EVERY = 50
"""Steps after which losses are read from the device and judged, where no record is due earlier."""
ASK_EVERY = 10
"""Steps between the questions of several workers whether one was told to stop; a lone worker asks at each."""


class JobError(ValueError):
    """The job cannot run like this, and trying again will not help."""


def never() -> bool:
    """No reason to stop."""
    return False


def run(job: Job, report: Callable[[Record], None], stop: Callable[[], bool] = never) -> TrialResult | None:
    """Train to the end, handing each new record to ``report``; the result, or None when ``stop`` ended it earlier."""
    for record in train(job, stop):
        report(record)
    return finished(TrialFolder(Path(job.folder)))


def train(job: Job, stop: Callable[[], bool] = never) -> Iterator[Record]:
    """Train a trial from its newest checkpoint on, yielding each record when it stands in the journal.

    Every worker of the process group runs it and yields the same steps; the first one writes the files. A record is
    due every ``log_every`` steps, at every evaluation and where a token budget is spent. At the end ``result.json`` is
    there: done, with ``model/``, or diverged. A folder that has it yields nothing.

    When ``stop()`` turns true the state is saved and the generator ends without a result. Killed or closed at any
    moment, the folder is left so that the next call ends with the same weights and the same records, those that were
    yielded before left out.

    :raises JobError: the job cannot run like this.
    :raises FolderLockedError: another process trains in the folder.
    :raises OSError: the storage is full or away; the next call goes on.
    """
    folder = TrialFolder(Path(job.folder))
    first = workers.rank() == 0
    with ExitStack() as stack:
        if first:
            stack.enter_context(hold_folder(folder.path))
        if workers.from_first(first and finished(folder) is not None):
            if first:
                remove_checkpoints(folder.checkpoints)  # left by a kill just after the result was written
            return
        session = stack.enter_context(closing(_open(job)))
        journal = stack.enter_context(Journal(folder.journal)) if first else None
        last_step = workers.from_first(journal.last_step if journal else -1)
        diverged = None
        try:
            while session.step < job.trial.steps:
                if _told_to_stop(stop, session):
                    session.settle()
                    _save(session, journal)
                    return
                session.advance()
                record = _observe(session)
                if record and record.step > last_step:
                    if journal:
                        journal.append(record)
                    yield record
                save = session.step == session.fork or due(session.step, job.trial.train.checkpoint_every)
                if save and session.step < job.trial.steps:
                    session.settle()
                    _save(session, journal)
        except DivergedError as error:
            session.clock.pause()
            diverged = error
        if journal:
            journal.sync()
        write_outcome(session, diverged)


def _open(job: Job) -> Session:
    try:
        return Session(job)
    except ValueError as error:
        raise JobError(str(error)) from error


def due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps (0: never) happens after ``step``."""
    return every > 0 and step % every == 0


def _observe(session: Session) -> Record | None:
    """The record of the step just taken, if one is due."""
    config = session.trial.train
    evaluation_due = session.at_end_of_line or due(session.step, config.eval_every)
    if not evaluation_due and not due(session.step, config.log_every):
        if due(session.step, READ_EVERY):
            session.monitor.read()
        return None
    session.settle()
    record = session.record(with_evaluation=evaluation_due)
    if not all(math.isfinite(value) for value in record.metrics.values()):
        raise DivergedError(session.step, f"validation loss is not finite at step {session.step}")
    return record


def _told_to_stop(stop: Callable[[], bool], session: Session) -> bool:
    """Whether any worker was told to stop, the same answer on all."""
    if workers.world_size() == 1:
        return stop()
    if not due(session.step, ASK_EVERY):
        return False
    return workers.max_over_workers(int(stop()), session.device.torch_device) > 0


def _save(session: Session, journal: Journal | None) -> None:
    """A checkpoint, and before it the journal: a step that is not computed again must not lose its record."""
    if session.step == session.saved_step:
        return
    if journal:
        journal.sync()
    session.save_checkpoint()
