"""The state of a trial as its folder tells it, for whoever looks from outside."""

import time
from dataclasses import dataclass
from typing import Literal

from tinyscale.results.journal import read_journal
from tinyscale.results.lock import FileLock
from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import Record, TrialResult, read_json
from tinyscale.spec.study import SchedulerName

State = Literal["waiting", "running", "stopped", "done", "diverged", "pruned", "failed"]

SILENT_S = 60.0
"""After so long without a word, a driver elsewhere counts as gone: its words' times are another machine's."""


@dataclass(frozen=True)
class TrialState:
    """Where a trial stands."""

    state: State
    """waiting: never started; stopped: begun, and no worker on it now."""
    result: TrialResult | None = None
    last: Record | None = None
    """Newest record of the journal."""
    last_eval: Record | None = None
    """Newest record with an evaluation."""


def trial_state(folder: TrialFolder) -> TrialState:
    """Read a trial's state from its folder."""
    records = read_journal(folder.journal)[0] if folder.journal.exists() else []
    last = records[-1] if records else None
    last_eval = next((record for record in reversed(records) if "eval/bpb" in record.metrics), None)
    if worked_on(folder):
        return TrialState("running", None, last, last_eval)
    if folder.result.exists():
        result = read_json(TrialResult, folder.result)
        return TrialState(result.status, result, last, last_eval)
    return TrialState("stopped" if folder.job.exists() else "waiting", None, last, last_eval)


def driven(store: StudyStore) -> bool:
    """Whether a driver runs the study; of a mirrored one, as far as was last fetched."""
    if FileLock(store.lock).held():
        return True
    return store.driver.exists() and time.time() - store.driver.stat().st_mtime < SILENT_S


def worked_on(folder: TrialFolder) -> bool:
    """Whether a worker has the trial; of a mirrored study, as far as was last fetched and while somebody drives."""
    if FileLock(folder.lock).held():
        return True
    return folder.worker.exists() and driven(StudyStore(folder.path.parent.parent))


def finished(folder: TrialFolder, scheduler: SchedulerName = "fifo") -> TrialResult | None:
    """The trial's result if it is over, as done or diverged; a failed trial is one to try again.

    :param scheduler: of the study: a trial that ASHA stopped early is over under asha alone.
    """
    result = read_json(TrialResult, folder.result) if folder.result.exists() else None
    return result if result and _final(result, scheduler) else None


def finished_ids(store: StudyStore, scheduler: SchedulerName = "fifo") -> set[str]:
    """The trials of a study that are over, as :func:`finished` has it."""
    return {trial_id for trial_id, result in read_results(store).items() if _final(result, scheduler)}


def _final(result: TrialResult, scheduler: SchedulerName) -> bool:
    return result.status in ("done", "diverged") or (result.status == "pruned" and scheduler == "asha")
