"""What a trial's folder says, and where this room keeps its own notes."""

from pathlib import Path

from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import TrialResult, read_json


def finished(folder: TrialFolder) -> TrialResult | None:
    """The trial's result if it is over for good; a failed trial is one to try again."""
    if not folder.result.exists():
        return None
    result = read_json(TrialResult, folder.result)
    return None if result.status == "failed" else result


def stop_file(store: StudyStore) -> Path:
    """While it exists, workers checkpoint and return."""
    return store.path.absolute() / ".stop"


def scratch_folder(store: StudyStore) -> Path:
    """Where Tune and Train keep notes that nobody reads; gone when the launch ends."""
    return store.path.absolute() / ".ray"
