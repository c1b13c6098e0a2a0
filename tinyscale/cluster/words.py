"""Errors of Ray and of trials, in a line a person can use."""


def first_line(error: BaseException) -> str:
    """``ValueError: hidden_size 65 is no multiple of ...``: the kind and the first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def plain_words(error: BaseException | None) -> str:
    """What ended a worker: the trial's own exception, or the death of its process."""
    from ray.exceptions import RayActorError, RayTaskError

    from tinyscale.cluster.preemption import preempted

    if error is None:
        return "the worker was lost"
    cause = error.cause if isinstance(error, RayTaskError) else error
    if preempted(cause):
        return f"{first_line(cause).removeprefix('PreemptedError: ')}; not counted as a failure"
    if isinstance(error, RayTaskError):
        return first_line(cause)
    if isinstance(error, RayActorError):
        return "the worker's process died (killed, out of memory, or its machine was lost)"
    return first_line(error)
