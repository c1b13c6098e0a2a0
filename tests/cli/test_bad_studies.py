"""Every bad study: a clear message that names the place, exit code 2, and nothing started."""

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """\
name: good
corpus: {source: builtin, train_stories: 100, valid_stories: 10}
model: {num_layers: 2, vocab_size: 512, context_length: 64}
train: {tokens: 1M}
space:
  - hidden_size: [32, 64]
"""

BAD: dict[str, tuple[str, str, str]] = {
    # what is wrong: (text replaced, replacement, words that the message must hold)
    "unknown field": (
        "name: good",
        "name: good\nmodle: {}",
        "study.yaml:2: modle: unknown field; did you mean 'model'",
    ),
    "unknown nested field": ("num_layers: 2", "num_layer: 2", "study.yaml:3: model.num_layer: unknown field; did you"),
    "unknown axis": ("hidden_size: [32", "hiden_size: [32", "study.yaml:6: space.0.hiden_size: unknown field; did you"),
    "field twice": ("name: good", "name: good\nname: again", "study.yaml:2: name is given twice"),
    "not YAML": ("train: {tokens: 1M}", "train: {tokens: 1M", "not valid YAML"),
    "a list": (GOOD, "- 1\n- 2\n", "a study is a mapping"),
    "empty file": (GOOD, "", "a study is a mapping"),
    "no name": ("name: good\n", "", "name: missing"),
    "bad name": ("name: good", "name: ../evil", "name is '../evil'"),
    "no space": ("space:\n  - hidden_size: [32, 64]\n", "", "space: missing"),
    "empty space": ("  - hidden_size: [32, 64]\n", "  []\n", "space is empty"),
    "empty axis": ("[32, 64]", "[]", "space.0.hidden_size"),
    "word for a number": ("[32, 64]", "[32, wide]", "space.0.hidden_size.1"),
    "yes for a number": ("tokens: 1M", "tokens: yes", "train.tokens"),
    "fraction for a count": ("num_layers: 2", "num_layers: 2.5", "model.num_layers"),
    "negative": ("num_layers: 2", "num_layers: -2", "num_layers is -2"),
    "budgets in two ways": ("[32, 64]", "[32, 64]\n    tokens: 1M\n    flops: 1e12", "tokens and flops are both given"),
    "no compute": ("[32, 64]", "[32, 64]\n    flops: 0", "flops is 0; it must be more than 0"),
    "zero width": ("[32, 64]", "[0]", "hidden_size is 0"),
    "infinite rate": ("tokens: 1M", "tokens: 1M, learning_rate: .inf", "train.learning_rate"),
    "rate of zero": ("tokens: 1M", "tokens: 1M, learning_rate: 0.0", "learning_rate is 0.0"),
    "heads do not divide": ("num_layers: 2", "num_layers: 2, num_heads: 5", "num_heads is 5 and does not divide"),
    "kv heads do not divide": ("num_layers: 2", "num_layers: 2, num_heads: 4, num_kv_heads: 3", "num_kv_heads is 3"),
    "odd rotary head": ("[32, 64]", "[33]", "rotary positions need an even number"),
    "vocabulary too small": ("vocab_size: 512", "vocab_size: 200", "vocab_size is 200"),
    "gpt2 has one vocabulary": ("name: good", "name: good\ntokenizer: {source: gpt2}", "it must be 50257"),
    "less than one batch": ("tokens: 1M", "tokens: 1000, batch_size: 64", "less than one batch of 4096"),
    "batch among workers": ("tokens: 1M", "tokens: 1M, batch_size: 9}\nresources: {workers: 2", "among 2 workers"),
    "micro-batch": ("tokens: 1M", "tokens: 1M, batch_size: 8, micro_batch_size: 3", "micro_batch_size is 3"),
    "kernels without a GPU": ("tokens: 1M", "tokens: 1M, kernels: triton", "kernels is triton, but resources.gpus"),
    "unknown kernels": ("tokens: 1M", "tokens: 1M, kernels: cuda", "train.kernels"),
    "warm-up too long": ("tokens: 1M", "tokens: 1M, warmup_steps: 1000000", "warmup_steps is 1000000"),
    "unknown schedule": ("tokens: 1M", "tokens: 1M, schedule: cosin", "train.schedule"),
    "unknown preset": ("num_layers: 2", "num_layers: 2, preset: bert", "model.preset"),
    "unknown corpus": ("source: builtin", "source: web", "allowed are builtin, files and hub"),
    "corpus missing": (
        "{source: builtin, train_stories: 100, valid_stories: 10}",
        "{source: files, train: [no.txt], valid: [no.txt]}",
        "no.txt",
    ),
    "dropout of one": ("num_layers: 2", "num_layers: 2, dropout: 1.0", "dropout is 1.0"),
    "no tokens": ("train: {tokens: 1M}\n", "", "tokens is not given"),
    "hold-out in space": ("[32, 64]", "[32, 64]\nholdout:\n  - hidden_size: 64", "hold-out must not be fitted"),
    "two GPUs a worker": ("tokens: 1M}", "tokens: 1M}\nresources: {gpus: 2}", "one GPU at most"),
    "torch engine, two workers": ("tokens: 1M}", "tokens: 1M}\nresources: {engine: torch, workers: 2}", "engine torch"),
}


@pytest.mark.parametrize("what", BAD)
def test_refused_with_place_and_remedy(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    old, new, words = BAD[what]
    assert old in GOOD
    study = tmp_path / "study.yaml"
    study.write_text(GOOD.replace(old, new, 1))
    code, err = run_plan(["launch", str(study), "--storage", str(tmp_path / "runs")], monkeypatch, capsys)
    assert code == 2, err
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def run_plan(argv: list[str], monkeypatch, capsys) -> tuple[int, str]:
    from tinyscale.cli import main

    monkeypatch.setattr(sys, "argv", ["tinyscale", *argv])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0), capsys.readouterr().err


def test_corpus_not_utf8(tmp_path: Path, monkeypatch, capsys) -> None:
    text = tmp_path / "latin.txt"
    text.write_bytes("Once upon a time, a caf\xe9.\n<|endoftext|>\n".encode("latin-1"))
    study = tmp_path / "study.yaml"
    study.write_text(GOOD)
    corpus = f"corpus={{source: files, train: [{text}], valid: [{text}]}}"
    code, err = run_plan(["launch", str(study), "--set", corpus], monkeypatch, capsys)
    assert code == 2
    assert "latin.txt" in err
    assert "UTF-8" in err


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.tokens", "write it as path=value"),
        ("train.toknes=1M", "did you mean 'tokens'"),
        ("space.3.x=1", "index it"),
    ],
)
def test_bad_override(override: str, words: str, tmp_path: Path, monkeypatch, capsys) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(GOOD)
    code, err = run_plan(["plan", str(study), "--set", override], monkeypatch, capsys)
    assert code == 2
    assert words in err


def test_missing_file(tmp_path: Path, monkeypatch, capsys) -> None:
    code, err = run_plan(["plan", str(tmp_path / "nowhere.yaml")], monkeypatch, capsys)
    assert code == 2
    assert "nowhere.yaml" in err


def test_all_problems_at_once(tmp_path: Path, monkeypatch, capsys) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(GOOD.replace("num_layers", "num_layer").replace("1M", "yes"))
    _, err = run_plan(["plan", str(study)], monkeypatch, capsys)
    assert "model.num_layer" in err
    assert "train.tokens" in err


def test_a_refused_study_starts_nothing_heavy(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(GOOD.replace("num_layers: 2", "num_layers: -2"))
    script = (
        "import sys\n"
        "from tinyscale.cli import main\n"
        f"sys.argv = ['tinyscale', 'launch', {str(study)!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n"
        "    heavy = {'ray', 'torch', 'mlflow', 'deepspeed', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "    print(stop.code, sorted(heavy))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert ran.stdout.strip() == "2 []", ran.stderr
