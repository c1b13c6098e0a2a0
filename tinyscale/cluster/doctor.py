"""Would a launch work? Asked of every machine before anything starts, and answered a line a check and machine."""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.findings import (
    LEAST_FREE_BYTES,
    Finding,
    check_capacity,
    check_cards,
    check_clock,
    check_mlflow,
    check_room,
    check_versions,
)
from tinyscale.cluster.probe import Probe, versions
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.words import first_line, plain_words
from tinyscale.plan.planner import Plan
from tinyscale.spec.study import Resources, Tracking

if TYPE_CHECKING:
    from ray.actor import ActorHandle

ANSWER_S = 180.0
"""Longest wait for a machine: it fetches our code, starts a worker and imports torch."""
DRIVER = "driver"
NO_FOLDER = (
    "a folder is needed that every machine has mounted (NFS, EFS, Filestore): journals are appended to, files renamed "
    "and locked, and an object store does none of these"
)


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
    if str(storage).partition("/")[0].endswith(":"):  # s3://bucket, as a path
        yield Finding("stop", "storage", DRIVER, f"{storage}: {NO_FOLDER}")
        return
    resources = plan.study.resources if plan else Resources()
    yield check_mlflow(plan.study.tracking if plan else Tracking(), storage)
    with ray_session(address, resources):
        machines = _machines()
        yield check_capacity(resources, [machine["Resources"] for machine in machines.values()])
        probes = {name: _start_probe(machine) for name, machine in machines.items()}
        facts, silent = _ask_all({name: probe.look.remote() for name, probe in probes.items()})
        for name, words in silent.items():
            yield Finding("stop", "answer", name, words)
        mine = versions()
        for name, seen in facts.items():
            yield check_versions(name, seen, mine)
            yield check_cards(name, seen, resources, machines[name]["Resources"].get("GPU", 0))
            yield check_room(name, Path(seen.temporary), seen.free_bytes)
            yield _check_clock(name, probes[name])
        reached = {name: probes[name] for name in facts}
        yield from _check_folder("storage", storage.absolute(), reached)
        yield from _check_folder("cache", cache.absolute(), reached)
    if storage.exists():
        need = sum(quote.disk_bytes for quote in plan.quotes.values()) if plan else 0
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


def _ask_all(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Answers by machine, and why others gave none."""
    import ray

    ready, _ = ray.wait([*asked.values()], num_returns=len(asked), timeout=ANSWER_S)
    answers, silent = {}, {}
    for name, reply in asked.items():
        if reply not in ready:
            silent[name] = f"no answer within {ANSWER_S:.0f} s; `ray status` and Ray's logs there may say why"
            continue
        try:
            answers[name] = ray.get(reply)
        except ray.exceptions.RuntimeEnvSetupError as error:
            silent[name] = f"our code could not be sent there: {first_line(error)}"
        except ray.exceptions.RayError as error:
            silent[name] = plain_words(error)
    return answers, silent


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


def _check_folder(check: str, folder: Path, probes: Mapping[str, "ActorHandle"]) -> Iterator[Finding]:
    """Every machine uses the folder, then every machine looks for every other's file."""
    try:
        with _test_folder(folder) as test:
            files = {name: f"machine-{number}" for number, name in enumerate(probes)}
            (test / DRIVER).touch()
            failed, silent = _ask_all({name: probe.use.remote(test, files[name]) for name, probe in probes.items()})
            wrote = {name: files[name] for name, words in failed.items() if not words}
            expected = [DRIVER, *wrote.values()]
            unseen, lost = _ask_all({name: probes[name].unseen.remote(test, expected) for name in wrote})
            known_here = Probe().unseen(test, expected)
    except OSError as error:
        yield Finding("stop", check, DRIVER, f"{folder}: {first_line(error)}")
        return
    for name in probes:
        words = (silent | lost).get(name) or failed[name] or _unseen_words(unseen[name], files)
        if not words and files[name] in known_here:
            words = "the driver does not see its files: mount the same storage at the same path"
        if words and check == "cache":
            words += "; TINYSCALE_CACHE names this folder"
        done = "written, appended, renamed, locked, read and deleted; all machines see it"
        yield Finding("stop" if words else "ok", check, name, f"{folder}: {words or done}")


def _unseen_words(missing: Sequence[str], files: Mapping[str, str]) -> str:
    names = {file: name for name, file in files.items()} | {DRIVER: "the driver"}
    return f"does not see the files of {', '.join(names[file] for file in missing)}" if missing else ""


@contextmanager
def _test_folder(folder: Path) -> Iterator[Path]:
    test = folder / f".doctor-{uuid.uuid4().hex[:12]}"
    test.mkdir(parents=True)
    try:
        yield test
    finally:
        shutil.rmtree(test)
