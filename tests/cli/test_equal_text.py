"""A study of two vocabularies at equal text, launched by its file into an empty cache, then from a cleared one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDY = """\
name: equal
question: Which vocabulary at equal text?
corpus: {source: builtin, train_stories: 500, valid_stories: 60}
model: {num_layers: 1, hidden_size: 16, context_length: 32}
train: {batch_size: 4, eval_bytes: 5k}
space: [{vocab_size: [300, 600], text_bytes: 60k}]
holdout: [{vocab_size: 300, hidden_size: 24, text_bytes: 120k}]
resources: {engine: torch}
"""


def launch(home: Path) -> tuple[str, Any]:
    """What was said, and the stored study."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("tinyscale")), "launch", "equal.yaml"],
        cwd=home, env=kept | {"TINYSCALE_CACHE": str(home / "cache")}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout, json.loads((home / "runs" / "equal" / "study.json").read_text())


def test_vocabularies_read_equal_text_and_what_they_are_is_kept(tmp_path: Path) -> None:
    (tmp_path / "equal.yaml").write_text(STUDY)
    said, study = launch(tmp_path)
    assert said.count("learning a vocabulary") == 1, "one training of merges serves both"
    facts = {each["vocab_size"]: each for each in study["vocabularies"]}
    assert [*facts] == [300, 600]
    assert 300 in dict(facts[600]["coverage"])
    read = []
    for path in (tmp_path / "runs" / "equal" / "trials").glob("*/result.json"):
        (point,) = json.loads(path.read_text())["points"]
        per_token = facts[point["vocab_size"]]["bytes_per_token"]
        assert point["text_bytes"] == pytest.approx(point["tokens"] * per_token)
        read.append((point["holdout"], point["vocab_size"], point["text_bytes"]))
    step = 4 * 32 * facts[600]["bytes_per_token"]
    assert [(held, size) for held, size, _ in sorted(read)] == [(False, 300), (False, 600), (True, 300)]
    assert [text for *_, text in sorted(read)] == pytest.approx([60_000, 60_000, 120_000], abs=step / 2)
    figures = tmp_path / "runs" / "equal" / "figures"
    assert {"vocabulary.png", "vocabulary_parts.png"} <= {path.name for path in figures.iterdir()}

    shutil.rmtree(tmp_path / "cache" / "shards")
    again, after = launch(tmp_path)
    assert "trials to run" not in again
    assert after == study
