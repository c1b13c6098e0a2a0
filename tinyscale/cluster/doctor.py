"""Would a launch work? Asked of every machine before anything starts, and answered a line a check and machine."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.findings import (
    LEAST_FREE_BYTES,
    Finding,
    check_capacity,
    check_cards,
    check_clock,
    check_mirrored,
    check_mlflow,
    check_room,
    check_versions,
)
from tinyscale.cluster.probe import Probe, versions
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.sight import ANSWER_S, DRIVER, ask_all, check_folder, check_objects
from tinyscale.cluster.words import plain_words
from tinyscale.plan.planner import Plan
from tinyscale.plan.share import smallest_share
from tinyscale.results.storage import storage_uri
from tinyscale.spec.study import Resources, Tracking

if TYPE_CHECKING:
    from ray.actor import ActorHandle


def preflight(plan: Plan, storage: Path, cache: Path, address: str, say: Callable[[str], None]) -> None:
    """The checks before a launch on a cluster; notes are said.

    :raises PreflightError: something would stop it; the message has every such line.
    """
    findings = [*diagnose(address, storage, cache, plan)]
    for finding in findings:
        if finding.level == "note":
            say(str(finding))
    if stops := [str(finding) for finding in findings if finding.level == "stop"]:
        raise PreflightError("\n".join(["the cluster cannot run this study:", *stops]))


def diagnose(address: str | None, storage: Path, cache: Path, plan: Plan | None = None) -> Iterator[Finding]:
    """Check the cluster at ``address``, or this machine where that is None, for a launch (of ``plan``, if given).

    :param cache: where the token shards lie, which every machine reads.
    :raises PreflightError: no cluster answers at the address.
    """
    resources = plan.study.resources if plan else Resources()
    yield check_mlflow(plan.study.tracking if plan else Tracking(), storage)
    with ray_session(address, resources):
        machines = _machines()
        shares = {quote.share for quote in plan.quotes.values()} if plan else {smallest_share(resources)}
        yield check_capacity(shares, [machine["Resources"] for machine in machines.values()])
        probes = {name: _start_probe(machine) for name, machine in machines.items()}
        facts, silent = ask_all({name: probe.look.remote() for name, probe in probes.items()})
        for name, words in silent.items():
            yield Finding("stop", "answer", name, words)
        mine = versions()
        for name, seen in facts.items():
            yield check_versions(name, seen, mine)
            yield check_cards(name, seen, resources, machines[name]["Resources"].get("GPU", 0))
            yield check_room(name, Path(seen.temporary), seen.free_bytes)
            yield _check_clock(name, probes[name])
        reached = {name: probes[name] for name in facts}
        quoted = [quote.disk_bytes for quote in plan.quotes.values()] if plan else []
        uri = storage_uri(storage)
        if uri:
            yield check_mirrored(storage, resources)
            yield from check_objects(uri, max(quoted, default=0), reached)
        else:
            yield from check_folder("storage", storage.absolute(), reached)
            yield from check_folder("cache", cache.absolute(), reached)
    if storage.exists():
        need = 0 if uri else sum(quoted)
        yield check_room(DRIVER, storage.absolute(), shutil.disk_usage(storage).free, max(LEAST_FREE_BYTES, need))


def _machines() -> dict[str, Mapping[str, Any]]:
    """Ray's nodes that are up, by host name and address."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    names = [f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in alive]
    # Several nodes of one machine, as in tests, have one name.
    return {
        name if names.count(name) == 1 else f"{name} {node['NodeID'][:6]}": node
        for name, node in zip(names, alive, strict=True)
    }


def _start_probe(machine: Mapping[str, Any]) -> "ActorHandle":
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(machine["NodeID"], soft=False)
    return ray.remote(Probe).options(num_cpus=0, scheduling_strategy=there).remote()  # busy machines answer as well


def _check_clock(name: str, probe: "ActorHandle") -> Finding:
    """The machine's clock against ours, from the quickest of some answers: it is right to half its round trip."""
    import ray

    trips = []
    for _ in range(3):
        sent = time.time()
        try:
            there = ray.get(probe.now.remote(), timeout=ANSWER_S)
        except ray.exceptions.RayError as error:
            return Finding("stop", "clock", name, plain_words(error))
        trips.append((time.time() - sent, there - sent))
    trip, ahead = min(trips)
    return check_clock(name, ahead - trip / 2, trip / 2)
