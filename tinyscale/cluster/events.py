"""What the caller of :func:`tinyscale.cluster.run_trials` hears while trials run, and is handed at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyscale.spec import Record, TrialResult


class PreflightError(Exception):
    """The trials cannot run here, and nothing was started: no cluster, or not the resources that a trial asks for."""


@dataclass(frozen=True)
class TrialStarted:
    """A worker is about to take the trial's first step, or its next one after a restart."""

    trial_id: str


@dataclass(frozen=True)
class TrialReported:
    """The newest record of a trial's journal. Not every record is reported: the journal has them all."""

    trial_id: str
    record: Record
    host: str
    """Machine of the worker (of rank 0's supervisor, with several)."""
    pid: int
    """Process of the worker there."""


@dataclass(frozen=True)
class TrialEnded:
    """The trial is over, as done, diverged or stopped early by ASHA."""

    trial_id: str
    result: TrialResult


@dataclass(frozen=True)
class TrialWaits:
    """The storage is away or full. The trial's worker tries again until it is not, and counts no failure."""

    trial_id: str
    message: str


@dataclass(frozen=True)
class TrialRestarted:
    """A worker died, hung, raised or was sent away; the trial goes on from its newest checkpoint."""

    trial_id: str
    message: str
    failures: int
    """Failures so far in this launch; a worker that was sent away is none."""


@dataclass(frozen=True)
class TrialFailed:
    """Given up for this launch; the next one tries again from the newest checkpoint."""

    trial_id: str
    message: str
    """First line of the error; the trial's log.txt has the traceback."""


Event = TrialStarted | TrialReported | TrialEnded | TrialWaits | TrialRestarted | TrialFailed


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run of trials came out. Trials in neither list were stopped, and a later run continues them."""

    finished: tuple[str, ...] = ()
    """Trials with a result: done, diverged or, under asha, stopped early."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Trials given up, with the first line of the error."""
    interrupted: bool = False
    """The caller asked to stop, and trials are left."""
    budget_reached: bool = False
    """The deadline passed, and trials are left."""
