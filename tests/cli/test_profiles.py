"""The minis of the reference studies, shortened: each trains, evaluates and reports, from its file as it stands."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence, Set
from pathlib import Path

import pytest

from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import ResolvedStudy, read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STUDIES = Path(__file__).parents[2] / "studies"
SHORTER = ("corpus.train_stories=2000", "corpus.valid_stories=200", "train.warmup_steps=5", "train.eval_every=10",
           "train.eval_bytes=30k")  # fmt: skip
ONE_GRID = ("space.0.tokens=60k",)
EVERY_ARM = (
    "space.0.tokens_per_param=[1, 2, 4]", "space.1.tokens_per_param=[1, 2, 4]", "space.2.tokens_per_param=[1, 2, 4]",
    "space.3.flops=[1e10, 2e10, 4e10]", "space.4.tokens=50k", "space.5.tokens_per_param=[1, 2]",
    "space.6.text_bytes=[60k, 120k, 240k]", "holdout.0.flops=1.5e11", "space.0.seed=0", "train.eval_every=20",
    "law.bootstraps=100",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


@pytest.mark.parametrize(
    ("name", "settings", "pictures"),
    [
        ("cs336_23m", ONE_GRID, {"curves"}),
        ("gpt2_124m", ONE_GRID, {"curves"}),
        ("gptneo_41m", ONE_GRID, {"vocabulary", "vocabulary_parts"}),
        ("stories260k", ONE_GRID, {"curves"}),
        ("tinystories_grid", ONE_GRID, {"curves"}),
        ("scaling_law", EVERY_ARM, {"law", "isoflop", "shape", "vocabulary", "vocabulary_parts", "regret"}),
        ("ablations", ("train.tokens=40k",), {f"question_{number}" for number in range(1, 6)}),
    ],
)
def test_a_mini_trains_evaluates_and_reports(
    home: Path, name: str, settings: Sequence[str], pictures: Set[str]
) -> None:
    words = ["launch", str(STUDIES / f"{name}.yaml"), "--profile", "mini"]
    words += [word for setting in (*SHORTER, *settings) for word in ("--set", setting)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("tinyscale")), *words],
        cwd=home, env=kept | {"TINYSCALE_CACHE": str(home / "cache")}, capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    store = StudyStore(home / "runs" / f"{name}-mini")
    assert f"--profile mini --set {SHORTER[0]}" in store.report.read_text()
    assert pictures <= {path.stem for path in store.figures.glob("*.png")}
    results = read_results(store)
    assert set(results) == {trial.id for trial in read_json(ResolvedStudy, store.study).trials}
    allowed = {"done", "diverged"} if name == "ablations" else {"done"}
    assert {result.status for result in results.values()} <= allowed, "one study alone tries rates that are too high"
    for trial_id in (trial_id for trial_id, result in results.items() if result.status == "done"):
        records = [json.loads(line) for line in store.trial(trial_id).journal.read_text().splitlines()]
        found = [record["metrics"]["eval/bpb"] for record in records if "eval/bpb" in record["metrics"]]
        assert len(found) >= 2
        assert found[-1] < found[0] - 0.03
