"""One trial over two nodes of a Ray cluster on this machine; a node is lost in mid-trial.

Where it may, the test gives each node a network namespace with an address of its own, so that what its workers say to
each other goes over a network, and an address that means another machine there (that of the host's name) leads nowhere.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from tinyscale.cluster import Event, TrialReported, TrialRestarted, run_trials
from tinyscale.cluster.session import OBJECT_STORE_BYTES, ray_session
from tinyscale.results.journal import read_journal
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Study, TrialResult, read_json, write_json
from tinyscale.spec.study import Resources

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
STEPS = 200
RAY = str(Path(sys.executable).with_name("ray"))
OPEN = os.environ | {"RAY_AUTH_MODE": "disabled"}
"""For nodes and driver alike, whatever token lies in the home folder: Ray turns tokens on where it finds one."""
NETWORK = f"198.18.{os.getpid() % 256}"
"""Of the addresses set aside for tests of networks (RFC 2544)."""
BRIDGE = f"ts{os.getpid()}"


def ip(*words: str) -> bool:
    """Whether ``ip WORDS`` did it."""
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def may_make_namespaces() -> bool:
    return bool(not os.geteuid() and shutil.which("ip") and ip("netns", "add", BRIDGE) and ip("netns", "del", BRIDGE))


SEVERAL_NETWORKS = may_make_namespaces()


@dataclass
class Machines:
    """Nodes of a cluster: number 1 is the head, without a CPU, the others have one each."""

    in_namespaces: bool
    temporary: str
    """Of Ray; short, for its sockets."""
    port: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """``ray start`` by the node's name."""

    @property
    def address(self) -> str:
        return f"{self.ip_of(1)}:{self.port}"

    def ip_of(self, number: int) -> str:
        return f"{NETWORK}.{number}" if self.in_namespaces else "127.0.0.1"

    def plug_in(self, number: int) -> None:
        """A network namespace with one cable to the bridge, on which the head's namespace, ours, has its address."""
        name = f"{BRIDGE}-{number}"  # of the namespace, and of our end of the cable
        assert ip("netns", "add", name)
        assert ip("link", "add", name, "type", "veth", "peer", "name", f"ray{number}", "netns", name)
        assert ip("link", "set", name, "master", BRIDGE, "up")
        assert ip("-n", name, "addr", "add", f"{self.ip_of(number)}/24", "dev", f"ray{number}")
        assert ip("-n", name, "link", "set", f"ray{number}", "up")
        assert ip("-n", name, "link", "set", "lo", "up")
        assert ip("-n", name, "route", "add", "default", "via", self.ip_of(1))  # Ray asks which way the world lies

    def start(self, number: int) -> None:
        place = []
        if self.in_namespaces and number > 1:  # with a folder for Ray of its own: two that start at once would clash
            own_folder = f'mount -t tmpfs none {self.temporary} && exec "$@"'
            place = ["ip", "netns", "exec", f"{BRIDGE}-{number}", "sh", "-c", own_folder, "-"]
        if number == 1:
            words = ["--head", f"--port={self.port}", f"--temp-dir={self.temporary}", "--include-dashboard=false"]
        else:
            words = [f"--address={self.address}"]
        name = f"node-{number}"
        words += [f"--node-ip-address={self.ip_of(number)}", f"--num-cpus={int(number > 1)}", f"--node-name={name}"]
        command = [*place, RAY, "start", "--block", "--disable-usage-stats", *words]
        with Path(self.temporary, f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [*command, f"--object-store-memory={OBJECT_STORE_BYTES}"],
                cwd=self.temporary,
                env=OPEN,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if number == 1 or not self.in_namespaces:
            self.until_started(name)

    def until_started(self, name: str) -> None:
        log, give_up = Path(self.temporary, f"{name}.log"), time.monotonic() + 60
        while "Ray runtime started" not in log.read_text():
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.1)

    def end(self, name: str) -> None:
        node = self.running.pop(name)
        cut_off(node.pid)
        node.wait()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in Path(self.temporary).glob("node-*.log"))


@pytest.fixture(params=["a network each", "one address"])
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    """A head without CPUs and three nodes of one each: a trial of two workers needs two of them, one is to spare."""
    in_namespaces = request.param == "a network each"
    if in_namespaces and not SEVERAL_NETWORKS:
        pytest.skip("making network namespaces needs root and `ip`")
    if SEVERAL_NETWORKS and not in_namespaces:
        pytest.skip("only for where no network namespaces can be made")
    with ExitStack() as stack:
        made = Machines(in_namespaces, stack.enter_context(tempfile.TemporaryDirectory(prefix="ts-")))
        stack.callback(lambda: [made.end(name) for name in [*made.running]])
        if in_namespaces:
            stack.callback(ip, "link", "del", BRIDGE)
            assert ip("link", "add", BRIDGE, "type", "bridge")
            assert ip("addr", "add", f"{made.ip_of(1)}/24", "dev", BRIDGE)
            assert ip("link", "set", BRIDGE, "up")
        made.start(1)
        for number in (2, 3, 4):
            if in_namespaces:
                stack.callback(ip, "netns", "del", f"{BRIDGE}-{number}")
                stack.callback(ip, "link", "del", f"{BRIDGE}-{number}")
                made.plug_in(number)
            made.start(number)
        yield made


def busy_nodes() -> set[str]:
    """Names of the nodes that a worker of the trial occupies."""
    free = ray._private.state.available_resources_per_node()
    return {
        node["NodeName"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU") and not free.get(node["NodeID"], {}).get("CPU")
    }


def cut_off(pid: int) -> None:
    """A node, as when its power fails."""
    node = psutil.Process(pid)
    for process in [*node.children(recursive=True), node]:
        process.kill()


def drive(address: str, store: StudyStore, job: Job, pids: dict[str, int]) -> dict[str, Any]:
    """Run a trial, cutting off one of its nodes; in a process of its own, as every launch has one."""
    study = Study(name="tiny", space=({},), resources=Resources(workers=2, engine="zero", max_failures=2))
    lost: list[str] = []
    restarts: list[str] = []
    used: list[list[str]] = []
    """Nodes occupied at each report since the loss: at first the lost one may still count, at last none need be."""

    def on_event(event: Event) -> None:
        if isinstance(event, TrialRestarted):
            restarts.append(event.message)
        if isinstance(event, TrialReported):
            used.append(sorted(busy_nodes()))
            if event.record.step >= 50 and not lost and len(used[-1]) == 2:
                lost.append(used[-1][-1])
                used.clear()
                cut_off(pids[lost[0]])

    with ray_session(address, study.resources):
        give_up = time.monotonic() + 60
        while len([node for node in ray.nodes() if node["Alive"]]) < len(pids) and time.monotonic() < give_up:
            time.sleep(0.2)
        addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
        outcome = run_trials(store, [job], study, on_event=on_event, should_stop=lambda: False)
    return {
        "finished": outcome.finished,
        "failed": outcome.failed,
        "restarts": restarts,
        "lost": lost,
        "used": used,
        "addresses": len(addresses),
    }


def trained_by_torchrun(job: Job, folder: Path) -> TrialResult:
    """The same trial, with two processes of one machine and no Ray."""
    write_json(folder / "job.json", replace(job, folder=str(folder)))
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *launcher, "-m", "tinyscale.train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    ran = subprocess.run([*command, str(folder / "job.json")], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return read_json(TrialResult, folder / "result.json")


def test_a_trial_over_two_nodes_outlives_one_of_them(machines, store, make_jobs, tmp_path):
    (job,) = make_jobs(store, range(1), steps=STEPS, engine="zero", workers=2)
    write_json(tmp_path / "job.json", job)
    pids = {name: node.pid for name, node in machines.running.items()}
    arguments = [machines.address, str(store.path), str(tmp_path / "job.json"), json.dumps(pids)]
    ran = subprocess.run([sys.executable, __file__, *arguments], env=OPEN, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    said = f"{told}\n{machines.logs()}"
    assert told["addresses"] == (4 if machines.in_namespaces else 1)
    assert told["finished"] == [job.trial.id], said
    assert told["restarts"], said
    assert sorted({"node-2", "node-3", "node-4"} - {*told["lost"]}) in told["used"], "it goes on at the two left"
    folder = store.trial(job.trial.id)
    assert [record.step for record in read_journal(folder.journal)[0]] == list(range(10, STEPS + 1, 10))
    result, alone = read_json(TrialResult, folder.result), trained_by_torchrun(job, tmp_path / "alone")
    assert (result.workers, result.points) == (2, alone.points)
    assert result.model_digest == alone.model_digest


if __name__ == "__main__":
    the_address, the_store, the_job, the_pids = sys.argv[1:]
    print(
        json.dumps(drive(the_address, StudyStore(Path(the_store)), read_json(Job, Path(the_job)), json.loads(the_pids)))
    )
