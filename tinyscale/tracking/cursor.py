"""How far each journal has been sent, to each store."""

import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from tinyscale.spec import from_json, write_json


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What one store has of one trial."""

    run_id: str
    """MLflow's id of the run."""
    offset: int = 0
    """Bytes of the journal."""
    finished: str = ""
    """Digest of the result that closed the run; empty while it is open."""


class Cursor:
    """``tracking.json``: a note that spares work. Without it all is sent again, and MLflow drops what it has."""

    def __init__(self, path: Path, store: str) -> None:
        """:raises ValueError: the file isn't one of these."""
        self._path = path
        self._all: dict[str, dict[str, Sent]] = {}
        if path.exists():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
                self._all = {
                    uri: {key: from_json(Sent, sent) for key, sent in of.items()} for uri, of in stored.items()
                }
            except (ValueError, AttributeError) as error:
                raise ValueError(f"{path} is damaged ({error}): delete it, no metric is lost with it") from error
        self._mine = self._all.setdefault(store, {})

    def get(self, trial_id: str) -> Sent | None:
        """What the store has of the trial; None: nothing known."""
        return self._mine.get(trial_id)

    def put(self, trial_id: str, sent: Sent) -> None:
        """Note it, and write the file when that changes anything."""
        if self._mine.get(trial_id) != sent:
            self._mine[trial_id] = sent
            write_json(self._path, self._all)

    def forget(self, trial_id: str) -> None:
        """The trial is to be sent from the start."""
        if self._mine.pop(trial_id, None):
            write_json(self._path, self._all)

    def keep_only(self, run_ids: Container[str]) -> None:
        """Forget the runs that the store no longer has (deleted, or another store now answers at its address)."""
        for trial_id in [key for key, sent in self._mine.items() if sent.run_id not in run_ids]:
            del self._mine[trial_id]
