"""The README's commands run as they stand there, in order, on a small study of the same name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
SMALL = """\
name: quickstart
corpus: {source: builtin, train_stories: 1000, valid_stories: 100}
model: {num_layers: 1, vocab_size: 300, context_length: 32}
train: {batch_size: 8, eval_bytes: 10k}
space:
  - hidden_size: [16, 24, 32]
    tokens: [10k, 20k, 40k]
holdout:
  - {hidden_size: 96, tokens: 60k}
law: {bootstraps: 100}
"""


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("tinyscale ")]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quickstart.yaml").write_text(SMALL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["TINYSCALE_CACHE"] = str(tmp_path / "cache")
    assert len(commands()) >= 6
    for line in commands():
        ran = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        assert ran.stdout.strip(), line


def test_the_readme_names_the_verbs_there_are() -> None:
    from tinyscale.cli import app

    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {line.split()[1] for line in commands()} <= verbs
