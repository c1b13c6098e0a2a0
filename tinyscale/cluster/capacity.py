"""Whether and how often a trial fits into a cluster, said before Ray would let it wait for ever."""

from collections.abc import Mapping, Sequence

from tinyscale.cluster.events import PreflightError
from tinyscale.spec.study import Share

NodeResources = Mapping[str, float]
"""Of one machine, in Ray's names: CPU, GPU, memory in bytes."""


def concurrent_trials(share: Share, nodes: Sequence[NodeResources]) -> int:
    """Trials that run at once on these machines; a worker stays on one machine, a trial may span several.

    :raises PreflightError: not even one.
    """
    trials = sum(_workers_on(share, node) for node in nodes) // share.workers
    if trials:
        return trials
    wanted = f"{share.workers} worker(s) of {_amount(share.cpus, share.gpus)} each"
    found = ", ".join(_amount(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes) or "none"
    raise PreflightError(
        f"a trial needs {wanted}, and the cluster's machines have: {found}. "
        "Lower resources.workers, resources.cpus or resources.gpus in the study, or give Ray more machines"
    )


def _workers_on(share: Share, node: NodeResources) -> int:
    fits = int(node.get("CPU", 0) // share.cpus)
    if share.gpus <= 0:
        return fits
    gpus = node.get("GPU", 0)
    # A worker's share lies on one GPU when it is below 1, so a fraction such as 0.4 fits twice and not 2.5 times.
    on_gpus = int(gpus) * int(1 / share.gpus + 1e-9) if share.gpus <= 1 else int(gpus // share.gpus)
    return min(fits, on_gpus)


def _amount(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
