"""The minis of the public systems, shortened: each trains, evaluates and reports, from its file as it stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDIES = Path(__file__).parents[2] / "studies"
SHORTER = ["corpus.train_stories=2000", "corpus.valid_stories=200", "space.0.tokens=60k", "train.warmup_steps=5",
           "train.eval_every=10", "train.eval_bytes=30k"]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


@pytest.mark.parametrize("name", ["cs336_23m", "gpt2_124m", "gptneo_41m", "stories260k"])
def test_a_mini_trains_evaluates_and_reports(home: Path, name: str) -> None:
    words = ["launch", str(STUDIES / f"{name}.yaml"), "--profile", "mini"]
    words += [word for setting in SHORTER for word in ("--set", setting)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("tinyscale")), *words],
        cwd=home, env=kept | {"TINYSCALE_CACHE": str(home / "cache")}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    study = home / "runs" / f"{name}-mini"
    assert f"--profile mini --set {SHORTER[0]}" in (study / "report.html").read_text()
    journals = list(study.glob("trials/*/journal.jsonl"))
    assert len(journals) == (3 if name == "gptneo_41m" else 1)
    for journal in journals:
        records = [json.loads(line) for line in journal.read_text().splitlines()]
        found = [record["metrics"]["eval/bpb"] for record in records if "eval/bpb" in record["metrics"]]
        assert len(found) >= 2
        assert found[-1] < found[0] - 0.03
