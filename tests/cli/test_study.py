"""A whole study through the command line, as a user runs it: launch, look, launch again, extend, kill, go on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

README = Path(__file__).parents[2] / "README.md"
JUDGE = Path(__file__).parents[1] / "grading" / "judge_server.py"
HUB = Path(__file__).parents[1] / "promote" / "hub_server.py"
HUB_TOKEN = "hf_adasTokenForTests"
STRANGER = """\
from transformers import AutoModelForCausalLM, pipeline
model = AutoModelForCausalLM.from_pretrained("ada/tiny", revision="quickstart")
print(type(model).__name__, pipeline("text-generation", model="ada/tiny")("Once upon a time")[0]["generated_text"])
"""
STUDY = """\
name: quickstart
question: Does the whole path work?
corpus: {source: builtin, train_stories: 1000, valid_stories: 100}
model: {num_layers: 1, vocab_size: 300, context_length: 32}
train: {batch_size: 8, eval_bytes: 10k, checkpoint_every: 20}
space:
  - hidden_size: [16, 24, 32]
    tokens: [10k, 20k, 40k]
holdout:
  - {hidden_size: 96, tokens: 60k}
law: {bootstraps: 100}
grading: {completions: 1, max_tokens: 30, models: 2, calibration: 5, bootstraps: 100}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "studies").mkdir()
    (folder / "studies" / "quickstart.yaml").write_text(STUDY)
    return folder


def tinyscale(home: Path, *words: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """:param more: environment variables."""
    ran = subprocess.run(
        command(*words), cwd=home, env=environment(home) | more, capture_output=True, text=True, timeout=400
    )
    if check:
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


def command(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("tinyscale")), *words]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "HF_"))}
    return kept | {"TINYSCALE_CACHE": str(home / "cache")}


def readme_commands() -> list[str]:
    """The tinyscale commands of the README, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("tinyscale ")]


@pytest.fixture(scope="module")
def said(home: Path) -> dict[str, str]:
    """The README's commands run as they stand there, on a small study of the same name: what each verb printed."""
    words = environment(home)
    words["PATH"] = f"{Path(sys.executable).parent}:{words['PATH']}"
    printed = {}
    for line in readme_commands():
        ran = subprocess.run(["bash", "-c", line], cwd=home, env=words, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        printed[line.split()[1]] = ran.stdout
    return printed


@pytest.fixture(scope="module")
def launched(said: dict[str, str]) -> str:
    """The study, launched undisturbed; what the terminal said."""
    return said["launch"]


def losses(study: Path) -> dict[str, float]:
    results = [json.loads(path.read_text()) for path in study.glob("trials/*/result.json")]
    return {result["trial_id"]: result["points"][0]["bpb"] for result in results}


def test_a_launch_ends_with_verdict_and_report(home: Path, launched: str) -> None:
    """Models of 40k tokens obey no law yet, so nothing is forecast and no exponent printed."""
    assert launched.count("\ndone ") == 10
    assert "forecast withheld: d96-L1-V300-D60k-s0 at " in launched
    assert re.search(r"forecast of d96-L1-V300-D60k-s0 at .* withheld, locked .*; measured [\d.]+ bpb", launched)
    assert "bpb = E + A / N^alpha + B / D^beta " in launched
    assert "verdict: forecast withheld, exponents withheld" in launched
    assert "mlflow ui --backend-store-uri sqlite:///" in launched
    study = home / "runs" / "quickstart"
    assert len(losses(study)) == 10
    assert json.loads((study / "study.json").read_text())["study"]["name"] == "quickstart"
    page = (study / "report.html").read_text()
    assert "Does the whole path work?" in page
    trial = next((study / "trials").glob("d32-L1-V300-D40k-*"))
    names = {path.name for path in trial.iterdir()}
    assert {"trial.json", "journal.jsonl", "result.json", "model", "log.txt"} <= names
    log = (trial / "log.txt").read_text()
    assert "d32-L1-V300-D40k-s0 on " in log
    assert re.search(r"step 156/156  .* bits/byte", log)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_mlflow_has_the_journal_of_every_trial(home: Path, launched: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("quickstart")
    runs = client.search_runs([experiment.experiment_id])
    children = {run.data.tags["tinyscale.trial_id"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert len(runs) == 11
    for trial_id, bpb in losses(home / "runs" / "quickstart").items():
        run = children[trial_id]
        assert run.info.status == "FINISHED"
        assert run.data.metrics["final/bpb"] == bpb
        lines = (home / "runs" / "quickstart" / "trials" / trial_id / "journal.jsonl").read_text().splitlines()
        journal = [
            (r["step"], r["metrics"]["train/loss"]) for r in map(json.loads, lines) if "train/loss" in r["metrics"]
        ]
        assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "train/loss")] == journal


def test_a_forecast_is_locked_before_its_holdout_is_trained(home: Path, launched: str, tmp_path: Path) -> None:
    """The study's models, were they to obey a law: their results are rewritten to one, and a new hold-out is added."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "runs" / "quickstart").glob("trials/*/result.json"):
        result = json.loads(path.read_text())
        for point in result["points"]:
            point["bpb"] = 0.9 + 60 / point["params_total"] ** 0.5 + 90 / point["tokens"] ** 0.45
        path.write_text(json.dumps(result))
    new = "holdout=[{hidden_size: 40, tokens: 40k}]"
    said = tinyscale(tmp_path, "launch", "studies/quickstart.yaml", "--set", new).stdout
    assert said.count("\ndone ") == 1
    locked = said.index("forecast locked: d40-L1-V300-D40k-s0 at 39.9k tokens: ")
    done = said.index("\ndone   d40-L1-V300-D40k-s0")
    assert locked < done
    assert re.search(
        r"forecast of d40-L1-V300-D40k-s0 at 39.9k tokens: .* measured [\d.]+: error [+-][\d.]+%, outside", said
    )
    assert "verdict: forecast usable, exponents withheld" in said  # N spans a factor of 2.7 only


def test_launching_again_runs_nothing(home: Path, launched: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.glob("runs/quickstart/trials/*/*")}
    again = tinyscale(home, "launch", "studies/quickstart.yaml").stdout
    assert not re.search(r"^(start|done) ", again, re.MULTILINE)
    assert {path: path.stat().st_mtime_ns for path in home.glob("runs/quickstart/trials/*/*")} == before


def test_an_added_size_runs_only_its_trials(home: Path, launched: str) -> None:
    storage = home / "extended"
    shutil.copytree(home / "runs" / "quickstart", storage / "quickstart")
    said = tinyscale(
        home,
        "launch",
        "studies/quickstart.yaml",
        "--storage",
        "extended",
        "--set",
        "space.0.hidden_size=[16, 24, 32, 40]",
    ).stdout
    started = re.findall(r"^start  (\S+)", said, re.MULTILINE)
    assert sorted(started) == ["d40-L1-V300-D10k-s0", "d40-L1-V300-D20k-s0", "d40-L1-V300-D40k-s0"]
    ours = losses(storage / "quickstart")
    assert len(ours) == 13
    assert losses(home / "runs" / "quickstart").items() <= ours.items()


def test_the_readme_shows_every_job_there_is(said: dict[str, str]) -> None:
    verbs = ["plan", "launch", "status", "fit", "report", "track", "generate", "grade", "choose", "promote"]
    assert list(said) == verbs
    assert "to run: 10 of 10 trials" in said["plan"]
    assert "10 done" in said["status"]
    assert "9 points" in said["fit"]
    assert said["report"].strip() == "runs/quickstart/report.html"
    assert said["generate"].startswith("Once upon a time")
    assert "no judge asked" in said["grade"]
    assert "d96-L1-V300-D60k-s0 is best at " in said["choose"]
    assert "proved: LlamaForCausalLM of transformers" in said["promote"]
    assert "nothing was pushed" in said["promote"]


def test_fit_and_status_as_json_and_a_story_again(home: Path, said: dict[str, str]) -> None:
    rows = json.loads(tinyscale(home, "status", "quickstart", "--json").stdout)
    assert [row["state"] for row in rows] == ["done"] * 10
    law = json.loads(tinyscale(home, "fit", "studies/quickstart.yaml", "--json").stdout)["law"]
    assert len(law["trial_ids"]) == 9
    model = next((home / "runs" / "quickstart" / "trials").glob("d96-*"))
    told = tinyscale(home, "generate", str(model / "model"), "--prompt", "Once upon a time").stdout
    assert told == said["generate"]
    assert len(told) > 30


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_grades_stand_in_the_report_and_in_mlflow(home: Path, said: dict[str, str]) -> None:
    from mlflow.tracking import MlflowClient

    words = [sys.executable, str(JUDGE), "--follow-stdin"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        judge = ["--set", "judge.model=m", "--set", f"judge.base_url={server.stdout.readline().strip()}"]
        graded = tinyscale(home, "grade", "quickstart", *judge, "--set", "judge.requests_per_minute=60000").stdout
        server.stdin.close()
    assert "told " not in graded, "the stories were told before"
    assert "instrument" in graded
    study = home / "runs" / "quickstart"
    assert "Stories and their grades" in (study / "report.html").read_text()
    (summary,) = study.glob("grades/*/summary.json")
    scores = json.loads(summary.read_text())["scores"]
    client = MlflowClient(f"sqlite:///{home / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("quickstart")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    for score in scores:
        assert runs[score["model"]].data.metrics["grade/overall"] == score["means"]["overall"]["value"]
    assert "grades.json" in [file.path for file in client.list_artifacts(runs["quickstart"].info.run_id)]
    assert len(scores) == 2


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_promoted_model_is_on_the_hub_and_the_champion_in_mlflow(home: Path, said: dict[str, str]) -> None:
    from mlflow.tracking import MlflowClient

    command_line = [sys.executable, str(HUB), "--follow-stdin"]
    with subprocess.Popen(command_line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        hub = {"HF_ENDPOINT": server.stdout.readline().strip(), "HF_HOME": str(home / "hf"),
               "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
        refused = tinyscale(home, "promote", "quickstart", "--to", "ada/tiny", check=False, **hub)
        assert (refused.returncode, "hf auth login" in refused.stderr) == (3, True)
        hub["HF_TOKEN"] = HUB_TOKEN
        first = tinyscale(home, "promote", "quickstart", "--to", "ada/tiny", **hub)
        again = tinyscale(home, "promote", "quickstart", "--to", "ada/tiny", **hub)
        told = subprocess.run([sys.executable, "-c", STRANGER], env=os.environ | hub, capture_output=True, text=True)
    assert told.stdout.startswith("LlamaForCausalLM Once upon a time"), told.stderr
    assert f"on the hub: {hub['HF_ENDPOINT']}/ada/tiny/tree/quickstart" in first.stdout
    assert "ada/tiny holds it all already" in again.stdout
    assert not [path for path in home.rglob("*") if path.is_file() and HUB_TOKEN.encode() in path.read_bytes()]
    assert HUB_TOKEN not in first.stdout + first.stderr + again.stdout + again.stderr
    promotion = json.loads((home / "runs" / "quickstart" / "promotions" / "ada--tiny.json").read_text())
    client = MlflowClient(f"sqlite:///{home / 'runs' / 'mlflow.db'}")
    champion = client.get_model_version_by_alias("quickstart", "champion")
    assert promotion["registered"] == f"quickstart version {champion.version}" == "quickstart version 1"
    assert champion.tags["tinyscale.commit"] == promotion["commit"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("quickstart", "--to", "tiny"), "'tiny' has no owner"),
        (("quickstart", "--to", "ada/tiny", "--license", "none"), "the hub knows no licence 'none'"),
        (("quickstart/d17-L1-V300-D40k-s0", "--to", "ada/tiny"), "did you mean d"),
        (("quickstart/d32-L1-V300-D40k-s0", "--to", "ada/tiny"), "d96-L1-V300-D60k-s0 is; promote it all the same"),
        (("quickstart", "--to", "ada/tiny", "--by", "pareto"), "there is no single best: give one of the front"),
    ],
)
def test_what_cannot_be_promoted_is_refused_with_a_remedy(
    home: Path, said: dict[str, str], words: tuple[str, ...], message: str
) -> None:
    ran = tinyscale(home, "promote", *words, "--dry-run", check=False)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr


def test_generate_asks_until_an_empty_line(home: Path, launched: str) -> None:
    model = next((home / "runs" / "quickstart" / "trials").glob("d96-*"))
    ran = subprocess.run(
        command("generate", str(model), "--tokens", "5"),
        cwd=home,
        env=environment(home),
        input="One day\nThe cat\n\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert "One day" in ran.stdout
    assert "The cat" in ran.stdout


def test_a_killed_driver_is_continued_with_the_same_numbers(home: Path, launched: str) -> None:
    study = home / "killed" / "quickstart"
    words = command("launch", "studies/quickstart.yaml", "--storage", "killed")
    driver = subprocess.Popen(words, cwd=home, env=environment(home), stdout=subprocess.DEVNULL, text=True)
    try:
        wait_for(lambda: len(losses(study)) >= 2 and list(study.glob("trials/*/checkpoints/*")), driver)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert 2 <= len(losses(study)) < 10
    tinyscale(home, "launch", "studies/quickstart.yaml", "--storage", "killed")
    assert losses(study) == losses(home / "runs" / "quickstart")


def test_sigterm_stops_at_a_checkpoint(home: Path, launched: str) -> None:
    study = home / "stopped" / "quickstart"
    words = command("launch", "studies/quickstart.yaml", "--storage", "stopped")
    driver = subprocess.Popen(words, cwd=home, env=environment(home), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: losses(study), driver)
    driver.send_signal(signal.SIGTERM)
    printed, _ = driver.communicate(timeout=200)
    assert driver.returncode == 130, printed
    assert "launch again to go on" in printed
    assert len(losses(study)) < 10
    begun = [path.parent for path in study.glob("trials/*/journal.jsonl") if not (path.parent / "result.json").exists()]
    assert all(list(folder.glob("checkpoints/step-*")) for folder in begun)


def wait_for(condition, process: subprocess.Popen[str], limit_s: float = 200) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert process.poll() is None, "the launch ended too soon"
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_second_driver_is_refused(home: Path, launched: str) -> None:
    import fcntl

    with (home / "runs" / "quickstart" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = tinyscale(home, "launch", "studies/quickstart.yaml", check=False)
    assert refused.returncode == 3
    assert "is being run by" in refused.stderr


def test_what_cannot_run_here_is_refused_before_it_starts(home: Path) -> None:
    refused = tinyscale(
        home,
        "launch",
        "studies/quickstart.yaml",
        "--storage",
        "toolarge",
        "--set",
        "resources={cpus: 4096}",
        check=False,
    )
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "4096" in refused.stderr
    assert not list((home / "toolarge").glob("quickstart/trials/*/journal.jsonl"))


def test_a_spent_budget_ends_with_its_own_code(home: Path, launched: str) -> None:
    spent = tinyscale(
        home, "launch", "studies/quickstart.yaml", "--storage", "spent", "--set", "budget.wall_s=0.5", check=False
    )
    assert spent.returncode == 5, spent.stdout + spent.stderr
    assert "budget reached" in spent.stdout


def test_a_trunk_gives_a_point_for_each_of_its_budgets(home: Path, launched: str) -> None:
    trunk = ["launch", "studies/quickstart.yaml", "--set", "name=trunks", "--set", "train.schedule=trunk"]
    said = tinyscale(home, *trunk).stdout
    assert said.count("\ndone ") == 4
    law = json.loads((home / "runs" / "trunks" / "law.json").read_text())
    assert len(law["trial_ids"]) == 9
    assert len(set(law["trial_ids"])) == 3
    results = [json.loads(path.read_text()) for path in (home / "runs" / "trunks").glob("trials/*/result.json")]
    fitted = [result for result in results if result["trial_id"] in law["trial_ids"]]
    assert [[point["tokens"] for point in result["points"]] for result in fitted] == [[9984, 19968, 39936]] * 3
    for result in fitted:
        losses = [point["bpb"] for point in result["points"]]
        assert losses == sorted(losses, reverse=True)
    again = tinyscale(home, *trunk).stdout
    assert "trials to run" not in again
