"""The same study again, in another store or afresh in the same one; on PostgreSQL too, where this machine has it."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinyscale.spec.study import Tracking
from tinyscale.tracking import Origin, find_origin, note_origin, read_origins

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # in MLflow

LAUNCHES = (
    Origin(started_s=1.6e9, user="ada", commit="a" * 40, versions="tinyscale 0.1"),
    Origin(started_s=1.9e9, user="eve", commit="e" * 40, dirty=True, versions="tinyscale 0.2"),
)
"""One before the trials' records, one after."""


def send(projector: Any, lab: Any) -> None:
    assert projector.connect(), lab.said
    for trial in (lab.trial(16), lab.trial(32)):
        assert projector.project(trial, lab.records(300), 15_000), lab.said
        assert projector.finish_trial(trial, lab.result(trial)), lab.said
    assert projector.finish_study({"law/E": 1.0}, [], ended_s=1.8e9), lab.said


def seen(lab: Any) -> list[Any]:
    """All that can be seen of the study, ids left out."""
    runs = lab.runs()
    tags = [{k: v for k, v in r.data.tags.items() if not k.endswith(("runId", "parentRunId"))} for r in runs]
    times = [(r.info.run_name, r.info.status, r.info.start_time, r.info.end_time) for r in runs]
    rows = zip(times, tags, [r.data.params for r in runs], [r.data.metrics for r in runs], strict=True)
    histories = [lab.history(trial) for trial in (lab.trial(16), lab.trial(32))]
    return [*sorted(rows, key=lambda row: row[0]), histories]


def test_rebuilt_runs_are_fresh_and_the_same(lab: Any) -> None:
    send(lab.projector(origins=LAUNCHES), lab)
    before, ids = seen(lab), {run.info.run_id for run in lab.runs()}
    send(lab.projector(origins=LAUNCHES, rebuild=True), lab)
    assert seen(lab) == before
    assert not ids & {run.info.run_id for run in lab.runs()}
    assert lab.history(lab.trial(16)) == lab.expected(lab.records(300))


def test_each_run_names_the_launch_it_was_begun_by(lab: Any) -> None:
    send(lab.projector(origins=LAUNCHES), lab)
    study, trial = lab.runs()[0], lab.run_of(lab.trial(16))
    assert (study.data.tags["mlflow.user"], study.data.tags["tinyscale.versions"]) == ("eve", "tinyscale 0.2")
    assert study.data.tags["mlflow.source.git.dirty"] == "True"
    assert study.info.start_time == 1_600_000_000_000
    assert study.info.end_time == 1_800_000_000_000
    assert (trial.data.tags["mlflow.user"], trial.data.tags["mlflow.source.git.commit"]) == ("ada", "a" * 40)


def test_launches_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "study" / "launches.jsonl"
    assert read_origins(path) == ()
    here = find_origin(Path(__file__).parent)
    note_origin(path, here)
    note_origin(path, LAUNCHES[1])
    with path.open("a") as file:
        file.write('{"started_s": 1')  # a kill in mid-write
    assert read_origins(path) == (here, LAUNCHES[1])
    assert "torch 2." in here.versions
    path.write_text("[]\n")
    with pytest.raises(ValueError, match=r"launches\.jsonl is damaged .*delete it"):
        read_origins(path)


@pytest.fixture
def postgres(free_port: int) -> Iterator[str]:
    """A PostgreSQL server of our own, on a port and a folder of its own; it refuses to run as root."""
    found = importlib.util.find_spec("pgserver")
    if found is None:
        pytest.skip("PostgreSQL's programs (the package pgserver) are not built for this kind of machine")
    (package,) = found.submodule_search_locations or ()
    names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")]
    account = {} if os.getuid() else {"user": names[-1] if "postgres" not in names else "postgres", "group": "nogroup"}
    port, folder = free_port + 1 if free_port < 65_000 else free_port - 1, Path(tempfile.mkdtemp(prefix="pg-"))

    def run(*words: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "timeout": 120}
        command = [str(folder / "pgserver" / "pginstall" / "bin" / words[0]), *words[1:]]
        ran = subprocess.run(command, cwd=folder, check=False, **quiet, **account)
        assert ran.returncode == 0, ran.stderr

    try:
        for name in ("pgserver", "pgserver.libs"):  # the account may not see where packages are installed
            shutil.copytree(Path(package).with_name(name), folder / name, symlinks=True)
        if account:
            shutil.chown(folder, account["user"])
        run("initdb", "-D", f"{folder}/data", "-U", "ada", "-A", "trust", "-N", "-E", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://ada@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", f"{folder}/data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_server_on_postgresql_gets_the_very_same(
    lab: Any, postgres: str, start_server: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    send(lab.projector(origins=LAUNCHES), lab)
    local = seen(lab)
    server = start_server(postgres)
    lab.study = type(lab.study)(
        name="study", question="What?", space=({},), tracking=Tracking(uri=f"http://127.0.0.1:{server.port}")
    )
    for rebuild in (False, True, False):
        send(lab.projector(origins=LAUNCHES, rebuild=rebuild), lab)
        assert seen(lab) == local
        lab.cursor.unlink()  # the last round sends all again, and nothing comes twice
    assert lab.said == []
