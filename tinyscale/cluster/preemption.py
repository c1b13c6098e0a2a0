"""A worker that is sent away, and not by a fault of its trial: the trial goes on elsewhere, and no failure is counted.

Ray says itself of a drained node that it was preempted; Tune does not count what such an error ends. A worker that is
sent SIGTERM, as by a node's shutdown, says it in the same way.
"""

from ray.exceptions import RayActorError
from ray.train import WorkerGroupError


class PreemptedError(RayActorError):  # type: ignore[misc]  # ray is not typed
    """The worker was told to go; its trial is at a checkpoint, or goes on from the last one."""

    def __init__(self) -> None:
        super().__init__(error_msg="told to go (SIGTERM, or its node was drained)", preempted=True)

    def __reduce__(self) -> tuple[type["PreemptedError"], tuple[()]]:
        """Ray pickles it on its way to the driver."""
        return PreemptedError, ()


def preempted(error: BaseException | None) -> bool:
    """Whether an error of a trial, or one of a rank of it, is a preemption."""
    if isinstance(error, WorkerGroupError):
        return any(preempted(failure) for failure in error.worker_failures.values())
    return isinstance(error, RayActorError) and bool(error.preempted)
