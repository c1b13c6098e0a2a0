"""The only room that imports ray: it runs trials, and tells its caller what happens to them.

Importing it is light: Ray itself is imported when :func:`run_trials` is called.
"""

from tinyscale.cluster.events import (
    Event,
    Outcome,
    PreflightError,
    TrialEnded,
    TrialFailed,
    TrialReported,
    TrialRestarted,
    TrialStarted,
    TrialWaits,
)
from tinyscale.cluster.lock import StudyLock, StudyLockedError
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.stop import request_stop
from tinyscale.cluster.trials import run_trials

__all__ = [
    "Event",
    "Outcome",
    "PreflightError",
    "StudyLock",
    "StudyLockedError",
    "TrialEnded",
    "TrialFailed",
    "TrialReported",
    "TrialRestarted",
    "TrialStarted",
    "TrialWaits",
    "ray_session",
    "request_stop",
    "run_trials",
]
