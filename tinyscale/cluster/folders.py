"""Where this room keeps its own notes."""

from pathlib import Path

from tinyscale.results.store import StudyStore


def stop_file(store: StudyStore) -> Path:
    """While it exists, workers checkpoint and return."""
    return store.path.absolute() / ".stop"


def scratch_folder(store: StudyStore) -> Path:
    """Where Tune and Train keep notes that nobody reads; gone when the launch ends."""
    return store.path.absolute() / ".ray"
