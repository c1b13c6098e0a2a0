"""A study in an object store, on machines that share no file system: moto speaks S3, pyarrow's own client asks it.

Two machines of Ray, each with a cache of its own and place for one trial. The drivers are processes with caches of
their own as well, so each launch comes from another machine.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from tinyscale.results.journal import read_journal
from tinyscale.results.objects import ObjectStore
from tinyscale.spec import Job, TrialResult, from_json, read_json
from tinyscale.train.loop import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BIN = Path(sys.executable).parent
BUCKET = "studies"
STEPS = 3_000
STUDY = f"""\
name: tiny
corpus: {{source: builtin, train_stories: 500, valid_stories: 50}}
model: {{num_layers: 1, vocab_size: 300, context_length: 32}}
train: {{batch_size: 8, eval_bytes: 5k, checkpoint_every: 100, log_every: 10, tokens: {STEPS * 256}}}
space:
  - hidden_size: [16, 24]
law: {{bootstraps: 50}}
resources: {{engine: torch, max_failures: 1}}
"""
TWO_RANKS = ("--set", "resources.workers=2", "--set", "resources.engine=zero")


@dataclass
class Lab:
    home: Path
    port: int
    server: subprocess.Popen[bytes]
    address: str = ""
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    launches: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return self.uri_of(f"{BUCKET}/runs")

    def uri_of(self, path: str) -> str:
        return f"s3://{path}?scheme=http&endpoint_override=127.0.0.1:{self.port}&region=us-east-1"

    def environment(self, machine: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "AWS_"))}
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.home / "token")}
        return kept | AWS | token | {"TINYSCALE_CACHE": str(self.home / machine), "OMP_NUM_THREADS": "1"}

    def command(self, *words: str) -> list[str]:
        storage = [] if words[0] == "generate" or "--storage" in words else ["--storage", self.uri]
        return [str(BIN / "tinyscale"), *words, *storage]

    def run(self, machine: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment(machine)
        return subprocess.run(
            self.command(*words), cwd=self.home, env=environment, capture_output=True, text=True, timeout=200
        )

    def launch(self, machine: str) -> "Launch":
        log = self.home / f"{machine}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                self.command("launch", "tiny.yaml", "--address", self.address),
                cwd=self.home,
                env=self.environment(machine),
                stdout=file,
                stderr=file,
                text=True,
            )
        self.launches.append(process)
        return Launch(process, log)

    def workers(self) -> list[psutil.Process]:
        below = [process for node in self.nodes for process in psutil.Process(node.pid).children(recursive=True)]
        return [process for process in below if "TrialWorker" in name_of(process)]

    def there(self) -> ObjectStore:
        return ObjectStore(self.uri)


@dataclass
class Launch:
    process: subprocess.Popen[str]
    log: Path

    def wait_for(self, condition: Callable[[], object], limit_s: float = 150) -> None:
        give_up = time.monotonic() + limit_s
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up, self.log.read_text()
            time.sleep(0.3)

    def says(self, words: str) -> bool:
        return re.search(words, self.log.read_text(), re.MULTILINE) is not None


AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_EC2_METADATA_DISABLED": "true"}


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home, port, ray_port = tmp_path_factory.mktemp("lab"), free_port(), free_port()
    (home / "tiny.yaml").write_text(STUDY)
    (home / "token").write_text("0123456789abcdef" * 4)
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
    made = Lab(home, port, server, address=f"127.0.0.1:{ray_port}")
    temporary = Path(tempfile.mkdtemp(prefix="ts-"))
    patch = pytest.MonkeyPatch()
    try:
        for name, value in AWS.items():
            patch.setenv(name, value)
        until(lambda: answers(port))
        from pyarrow.fs import FileSystem

        FileSystem.from_uri(made.uri_of(BUCKET) + "&allow_bucket_creation=true")[0].create_dir(BUCKET)
        head = ["--head", f"--port={ray_port}", f"--temp-dir={temporary}", "--include-dashboard=false"]
        start(made, "node-1", *head)
        until(lambda: nodes_up(made) == 1)
        start(made, "node-2", f"--address={made.address}")
        until(lambda: nodes_up(made) == 2)
        yield made
    finally:
        patch.undo()
        server.send_signal(signal.SIGCONT)
        for process in made.launches:
            process.kill()
        for process in (*reversed(made.nodes), server):
            process.terminate()
        for process in (*made.launches, *made.nodes, server):
            process.wait(timeout=60)
        shutil.rmtree(temporary, ignore_errors=True)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5):
            return True
    except urllib.error.URLError:
        return False


def start(lab: Lab, machine: str, *words: str) -> None:
    command = [
        str(BIN / "ray"),
        "start",
        "--block",
        "--disable-usage-stats",
        "--num-cpus=1",
        f"--object-store-memory={2**27}",
        *words,
    ]
    with (lab.home / f"ray-{machine}.log").open("wb") as log:
        lab.nodes.append(subprocess.Popen(command, cwd=lab.home, env=lab.environment(machine), stdout=log, stderr=log))


def nodes_up(lab: Lab) -> int:
    ask = "import sys; from ray._raylet import GcsClient; "
    ask += "print(sum(n.state == 0 for n in GcsClient(address=sys.argv[1]).get_all_node_info().values()))"
    command = [sys.executable, "-c", ask, lab.address]
    asked = subprocess.run(command, env=lab.environment("asking"), capture_output=True, text=True, timeout=60)
    return int(asked.stdout or 0)


def until(condition: Callable[[], object], limit_s: float = 150) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def steps(lab: Lab) -> list[int]:
    """The newest step in the store of each trial."""
    names = [name for name in lab.there().list() if name.endswith("/journal.jsonl")]
    contents = [lab.there().read(name) or b"" for name in names]
    return [json.loads(content.splitlines()[-1])["step"] for content in contents if content]


def checkpoints(lab: Lab) -> set[str]:
    return {name.split("/")[2] for name in lab.there().list() if name.endswith("/state.json")}


def test_a_study_outlives_its_machines_and_an_outage_of_the_store(lab: Lab, tmp_path: Path) -> None:
    first = lab.launch("driver-1")
    first.wait_for(lambda: len(checkpoints(lab)) == 2)
    lab.server.send_signal(signal.SIGSTOP)
    try:
        lab.workers()[0].kill()
        first.wait_for(lambda: first.says("^waits .* the storage does not answer: s3://.*; trying again in"))
    finally:
        lab.server.send_signal(signal.SIGCONT)
    reached = sum(steps(lab))
    first.wait_for(lambda: sum(steps(lab)) > reached)
    assert first.says("^again .* failures so far: 1$"), "the outage counts for none"
    first.process.kill()
    for worker in lab.workers():
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    for machine in ("driver-1/stores", "node-1", "node-2"):
        shutil.rmtree(lab.home / machine)

    second = lab.launch("driver-2")
    trials = {Path(name).parent.name for name in lab.there().list() if name.endswith("/trial.json")}
    digests = {trial: alone(lab, trial, tmp_path / trial) for trial in trials}
    assert len(digests) == 2
    assert second.process.wait(timeout=300) == 0, second.log.read_text()
    assert not second.says("^again ")
    for trial, digest in digests.items():
        (journal,) = lab.home.glob(f"driver-2/stores/*/tiny/trials/{trial}/journal.jsonl")
        assert [record.step for record in read_journal(journal)[0]] == list(range(10, STEPS + 1, 10))
        assert read_json(TrialResult, journal.with_name("result.json")).model_digest == digest


def alone(lab: Lab, trial: str, folder: Path) -> str:
    """The digest of the model that the trial yields in a plain folder, with the inputs of the first driver."""
    job = from_json(Job, json.loads(lab.there().read(f"tiny/trials/{trial}/trial.json") or b""))
    cache, tokenizer = lab.home / "driver-1", Path(job.tokenizer)
    inputs = {
        "shards": str(cache / "shards" / Path(job.shards).name),
        "tokenizer": str(cache / "tokenizers" / tokenizer.parent.name / tokenizer.name),
    }
    result = run(replace(job, folder=str(folder), **inputs), lambda record: None)
    assert result is not None
    return result.model_digest


def test_any_machine_reads_what_came_out(lab: Lab) -> None:
    """After the study above."""
    there = lab.there().list()
    left = [name for name in there if re.search(r"checkpoints|\.worker|\.driver|\.stop", name)]
    assert not left, "nothing of the work under way is left in the store"
    assert {"tiny/report.html", "tiny/study.json", "tiny/figures/curves.png"} <= {*there}
    assert lab.run("guest", "status", "tiny").stdout.rstrip().endswith("tiny: 2 done")
    assert "no law: 2 distinct point(s)" in lab.run("guest", "fit", "tiny").stdout
    trial = next(name.rpartition("/")[0] for name in there if name.endswith("result.json"))
    told = lab.run("guest", "generate", lab.uri_of(f"{BUCKET}/runs/{trial}"), "--prompt", "Once", "--tokens", "5")
    assert told.stdout.startswith("Once"), told.stderr
    assert lab.run("guest", "report", "tiny").returncode == 0
    assert lab.run("guest", "logs", "tiny", Path(trial).name).returncode == 0
    assert lab.run("guest", "stop", "tiny").stdout.startswith("tiny: nothing runs")
    unknown = lab.run("guest", "status", "other")
    assert f"other: not launched into s3://{BUCKET}/runs; known there: tiny" in unknown.stderr


def test_doctor_asks_every_machine_and_a_missing_bucket_is_said(lab: Lab) -> None:
    seen = lab.run("guest", "doctor", "--address", lab.address)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert len(re.findall(r"^ok +storage .*: objects written, read and deleted; all machines", seen.stdout, re.M)) == 2
    assert not [name for name in lab.there().list() if ".doctor" in name]
    ranks = lab.run("guest", "launch", "tiny.yaml", "--address", lab.address, *TWO_RANKS)
    assert (ranks.returncode, "every worker of a trial reads the same checkpoint" in ranks.stderr) == (3, True)
    missing = lab.run("guest", "status", "tiny", "--storage", lab.uri_of("nowhere/runs"))
    assert missing.returncode == 2
    assert "there is no bucket nowhere" in " ".join(missing.stderr.replace("│", " ").split())
