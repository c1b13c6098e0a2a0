"""What travels between the driver and a worker through Tune: plain JSON both ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tinyscale.cluster.folders import stop_file
from tinyscale.cluster.stop import StopSeen
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Record, from_json, to_json
from tinyscale.spec.study import Share

REPORT_EVERY_S = 0.5
"""A worker's pace of reports. Each costs a round trip to the driver, some milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job, what a worker of it occupies, and where it looks for the wish to stop."""

    job: Job
    cpus: int
    gpus: float
    study_folder: str
    """Seen by every machine: there lies the stop file."""
    storage: str = ""
    """URI of the object store that holds the study, where the machines share no folder."""

    @property
    def bundle(self) -> dict[str, float]:
        """One worker in Ray's terms."""
        return {"CPU": self.cpus, "GPU": self.gpus} if self.gpus else {"CPU": self.cpus}

    @property
    def share(self) -> Share:
        """What all workers occupy."""
        return Share(workers=self.job.workers, cpus=self.cpus, gpus=self.gpus)

    @property
    def trials(self) -> Path:
        """The study's folder of trials: its driver has made it, so where it is missing, the storage is away."""
        return StudyStore(Path(self.study_folder)).trials

    def stop(self) -> StopSeen:
        """The ``stop`` for the training loop."""
        return StopSeen(stop_file(StudyStore(Path(self.study_folder))))

    def to_config(self) -> dict[str, Any]:
        """The trial's entry in Tune's search space."""
        return {"trial_id": self.job.trial.id, "task": to_json(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_config`, after Tune has wrapped it."""
        return from_json(cls, config["trial"]["task"])


def trial_id(config: Mapping[str, Any]) -> str:
    """Which trial a Tune trial is, from its config."""
    return str(config["trial"]["trial_id"])


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one ``step()`` of a worker returns."""

    done: bool
    record: Record | None = None
    """The newest one, if any came."""
    waits: str = ""
    """The storage is away or full: what the trial waits for."""
    error: str = ""
    """The trial cannot succeed: repeating it would repeat this."""

    def to_result(self) -> dict[str, Any]:
        """As a Tune result."""
        result: dict[str, Any] = {"done": self.done, "waits": self.waits, "error": self.error}
        return result | {"record": to_json(self.record)} if self.record else result

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_result`; Tune has added its own keys."""
        record = result.get("record")
        return cls(
            done=bool(result.get("done")),
            record=from_json(Record, record) if record else None,
            waits=str(result.get("waits", "")),
            error=str(result.get("error", "")),
        )
