"""A cluster of two nodes started with ``ray start`` and a token, used from processes of their own.

The second node sees another file system: a mount namespace of its own hides one folder from it. The driver is installed
from a wheel whose code differs from the nodes' by a line, so what runs there shows whose code it is.
"""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef" * 4
STUDY = """\
name: tiny
corpus: {source: builtin, train_stories: 1000, valid_stories: 100}
model: {num_layers: 1, vocab_size: 300, context_length: 32}
train: {batch_size: 8, eval_bytes: 10k}
space:
  - hidden_size: [16, 24]
    tokens: 10k
resources: {engine: torch}  # and no import of DeepSpeed for each launch
law: {bootstraps: 100}
"""
HAS_NAMESPACES = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class Cluster:
    home: Path
    address: str
    dashboard: str
    temporary: Path
    """Of Ray; short, for its sockets."""

    @property
    def hidden(self) -> Path:
        """A folder in which the second node sees another file system."""
        return self.home / "hidden"

    @property
    def site(self) -> Path:
        """The driver's installation."""
        return self.home / "site"

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / words[0]), *words[1:]]
        environment = self.environment() | variables
        return subprocess.run(command, cwd=self.home, env=environment, capture_output=True, text=True, timeout=200)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
        return kept | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.home),  # no token lies there
            "PYTHONPATH": str(self.site),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.home / "token"),
            "TINYSCALE_CACHE": str(self.home / "cache"),
            "OMP_NUM_THREADS": "1",
        }


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


def start(cluster: Cluster, *words: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    command = [*prefix, str(BIN / "ray"), "start", "--block", "--disable-usage-stats", "--num-cpus=1", *words]
    environment = {name: value for name, value in cluster.environment().items() if name != "PYTHONPATH"}
    log = (cluster.home / f"ray-{len([*cluster.home.glob('ray-*')])}.log").open("wb")
    with log:
        return subprocess.Popen(
            command,
            cwd=cluster.home,  # Ray puts a driver's folder on its workers' path, and a job's driver starts in this one
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def install(site: Path, folder: Path) -> None:
    """Our wheel, as `make wheel` builds it and machines install it, and a line that tells it from the checkout."""
    source = folder / "source"
    for name in ("tinyscale", "kernels"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *options, "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    subprocess.run([*pip, "install", *options, "--target", site, *folder.glob("*.whl")], check=True)
    with (site / "tinyscale" / "__init__.py").open("a") as file:
        file.write("# the driver's\n")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("remote")
    port, dashboard, client = free_ports(3)
    made = Cluster(home, f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", Path(tempfile.mkdtemp(prefix="ts-")))
    install(made.site, tmp_path_factory.mktemp("wheel"))
    (home / "token").write_text(TOKEN)
    (home / "tiny.yaml").write_text(STUDY)
    made.hidden.mkdir()
    head = ["--head", f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={made.temporary}"]
    memory = f"--object-store-memory={2**27}"
    nodes = [start(made, *head, memory, "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}")]
    try:
        until_up(made, 1)
        hide = f"mount -t tmpfs none {made.hidden}; " if HAS_NAMESPACES else ""
        prefix = ("unshare", "--mount", "bash", "-c", f'{hide}exec "$@"', "-") if HAS_NAMESPACES else ()
        nodes.append(start(made, f"--address={made.address}", memory, prefix=prefix))
        until_up(made, 2)
        yield made
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait(timeout=60)
        shutil.rmtree(made.temporary, ignore_errors=True)


def until_up(cluster: Cluster, nodes: int) -> None:
    """Ask Ray's own list of nodes, by a process without Ray's connection: it would be a job of the cluster."""
    ask = (
        "import sys; from ray._raylet import GcsClient; "
        "print(sum(node.state == 0 for node in GcsClient(address=sys.argv[1]).get_all_node_info().values()))"
    )
    give_up = time.monotonic() + 60
    while True:
        ran = cluster.run("python", "-c", ask, cluster.address)
        if ran.stdout.strip() == str(nodes):
            return
        assert time.monotonic() < give_up, ran.stdout + ran.stderr
        time.sleep(0.3)


def lines(text: str, check: str) -> list[str]:
    return [line for line in text.splitlines() if line.split()[1:2] == [check]]


def test_doctor_asks_every_node(cluster: Cluster) -> None:
    ran = cluster.run("tinyscale", "doctor", "tiny.yaml", "--address", cluster.address)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert all(line.startswith("ok ") for line in ran.stdout.splitlines())
    for check in ("versions", "gpu", "clock", "storage", "cache"):
        assert len(lines(ran.stdout, check)) == 2, check
    assert len(lines(ran.stdout, "disk")) == 3  # of the driver as well
    (digest,) = {line.rpartition("tinyscale ")[2] for line in lines(ran.stdout, "versions")}
    sent = cluster.home / "cache" / "code" / digest / "tinyscale" / "__init__.py"
    assert sent.read_text() == (cluster.site / "tinyscale" / "__init__.py").read_text()
    assert "2 trial(s) at once" in ran.stdout
    assert not [*cluster.home.glob("*/.doctor-*")]


@pytest.mark.skipif(not HAS_NAMESPACES, reason="mount namespaces need rights that this user has not")
def test_storage_that_one_node_lacks_stops_a_launch_as_does_a_request_that_never_fits(cluster: Cluster) -> None:
    words = ("launch", "tiny.yaml", "--set", "resources.gpus=1", "--storage", str(cluster.hidden))
    ran = cluster.run("tinyscale", *words, "--address", cluster.address)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    stops = [line for line in ran.stderr.splitlines() if line.startswith("stop ")]
    assert len(stops) == 2
    assert "a trial needs 1 worker(s) of 1 CPU and 1 GPU each" in stops[0]
    assert "the driver's test folder is not to be seen there: mount the same storage at the same path" in stops[1]
    assert not [*cluster.hidden.iterdir()], "refused before anything was written"


def check_study(study: Path) -> None:
    results = [json.loads(path.read_text()) for path in study.glob("trials/*/result.json")]
    assert [result["status"] for result in results] == ["done", "done"]


def test_a_wheel_launches(cluster: Cluster) -> None:
    ran = cluster.run("tinyscale", "launch", "tiny.yaml", "--address", cluster.address)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    check_study(cluster.home / "runs" / "tiny")
    arrived = cluster.temporary.glob("session_latest/runtime_resources/py_modules_files/*/tinyscale/__init__.py")
    assert ["# the driver's" in file.read_text() for file in arrived] == [True]


@pytest.mark.skipif(importlib.util.find_spec("aiohttp_cors") is None, reason="ray[default] is not installed")
def test_job_submit_runs_a_launch_on_the_head(cluster: Cluster) -> None:
    storage = cluster.home / "jobs"
    launch = [
        "env",
        f"PYTHONPATH={cluster.site}",
        "tinyscale",
        "launch",
        str(cluster.home / "tiny.yaml"),
        "--address",
        "auto",
        "--storage",
        str(storage),
    ]
    ran = cluster.run("ray", "job", "submit", "--address", cluster.dashboard, "--", *launch)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    check_study(storage / "tiny")
    assert "2 of 2 done" in ran.stdout


@pytest.mark.skipif(importlib.util.find_spec("aiohttp_cors") is None, reason="ray[default] is not installed")
def test_the_dashboard_asks_for_the_token_and_listens_here_alone(cluster: Cluster) -> None:
    page = f"{cluster.dashboard}/api/jobs/"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(page, timeout=10)
    asked = urllib.request.Request(page, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200
    elsewhere = socket.gethostbyname(socket.gethostname())
    if not elsewhere.startswith("127."):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((elsewhere, int(cluster.dashboard.rpartition(":")[2])), timeout=5)


def test_a_missing_token_is_said_in_plain_words(cluster: Cluster) -> None:
    ran = cluster.run("tinyscale", "doctor", "--address", cluster.address, RAY_AUTH_TOKEN_PATH="")
    assert ran.returncode == 3
    assert "no authentication token was found" in ran.stderr
    assert "have the cluster's token in ~/.ray/auth_token" in ran.stderr
