"""The state of a trial as its folder tells it, for whoever looks from outside."""

from dataclasses import dataclass
from typing import Literal

from tinyscale.results.journal import read_journal
from tinyscale.results.lock import FileLock
from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import Record, TrialResult, read_json

State = Literal["waiting", "running", "stopped", "done", "diverged", "failed"]


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
    if FileLock(folder.lock).held():
        return TrialState("running", None, last, last_eval)
    if folder.result.exists():
        result = read_json(TrialResult, folder.result)
        return TrialState(result.status, result, last, last_eval)
    return TrialState("stopped" if folder.job.exists() else "waiting", None, last, last_eval)


def finished(folder: TrialFolder) -> TrialResult | None:
    """The trial's result if it is over for good, as done or diverged; a failed trial is one to try again."""
    result = read_json(TrialResult, folder.result) if folder.result.exists() else None
    return result if result and _final(result) else None


def finished_ids(store: StudyStore) -> set[str]:
    """The trials of a study that are over for good."""
    return {trial_id for trial_id, result in read_results(store).items() if _final(result)}


def _final(result: TrialResult) -> bool:
    return result.status != "failed"
