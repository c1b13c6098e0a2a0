"""A model from elsewhere among a study's own, from the command line to the page: measured, told, graded, drawn."""

import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tinyscale.accounting import count_parameters
from tinyscale.cluster.grade import told_stories
from tinyscale.cluster.subject import expected_stories, of_path, of_study
from tinyscale.data import prepare
from tinyscale.grading.prompts import load_prompts
from tinyscale.grading.results import write_grading
from tinyscale.grading.stories import read_stories, tell, write_stories
from tinyscale.model.hf_folder import write_hf_folder
from tinyscale.model.llama2c import write_llama2c
from tinyscale.model.presets import preset_defaults
from tinyscale.model.store import model_digest, save_model
from tinyscale.model.transformer import Transformer
from tinyscale.report.grades import read_grades_content
from tinyscale.results.imported import import_folder, read_imported
from tinyscale.results.store import StudyStore
from tinyscale.spec import (
    FilesCorpus,
    GradeSummary,
    Grading,
    Instrument,
    Interval,
    Job,
    ModelConfig,
    ModelScore,
    Point,
    ResolvedStudy,
    Study,
    TokenizerSpec,
    TrainConfig,
    Trial,
    TrialResult,
    Validation,
    read_json,
    write_json,
)

VOCAB_SIZE = 280
SIZES = {"vocab_size": VOCAB_SIZE, "hidden_size": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 2,
         "intermediate_size": 40, "context_length": 32}  # fmt: skip
GRADING = Grading(completions=1, max_tokens=12, models=1, calibration=0)


@dataclass(frozen=True)
class Lab:
    """A folder with a study of two trials that were never trained, and a model of one of them as a foreign folder."""

    home: Path
    store: StudyStore
    resolved: ResolvedStudy
    theirs: Path

    def tinyscale(self, *words: str, code: int = 0) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment = kept | {"TINYSCALE_CACHE": str(self.home / "cache")}
        command = [str(Path(sys.executable).with_name("tinyscale")), *words]
        ran = subprocess.run(command, cwd=self.home, env=environment, capture_output=True, text=True, timeout=120)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr


def write_text(path: Path, count: int) -> str:
    words = ["the", "a", "cat", "dog", "sun", "tree", "ran", "saw", "big", "red", "happy", "and", "it", "was"]
    stories = (" ".join(random.Random(seed).choices(words, k=25)) + ".\n<|endoftext|>\n" for seed in range(count))
    path.write_text("".join(stories), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("lab")
    corpus = FilesCorpus(train=(write_text(home / "train.txt", 300),), valid=(write_text(home / "valid.txt", 30),))
    study = Study(name="tiny", space=({},), corpus=corpus, tokenizer=TokenizerSpec())
    prepared = prepare(study, [VOCAB_SIZE], home / "cache")
    store = StudyStore(home / "runs" / "tiny")
    config = ModelConfig(**{"preset": "llama", **preset_defaults("llama"), **SIZES})  # type: ignore[arg-type]
    train = TrainConfig(tokens=4096, batch_size=4, learning_rate=1e-3, warmup_steps=1)
    trials = tuple(
        Trial(
            model=config,
            train=replace(train, seed=seed),
            corpus=prepared.corpus.digest,
            tokenizer=prepared.tokenizer_digests[VOCAB_SIZE],
        )
        for seed in range(2)
    )
    for trial in trials:
        folder = store.trial(trial.id)
        folder.path.mkdir(parents=True)
        model = Transformer(replace(config, init_std=0.3))
        model.init_weights(trial.train.seed)
        save_model(folder.model, config, model.state_dict(), prepared.tokenizers[VOCAB_SIZE])
        write_json(
            folder.job,
            Job(trial=trial, shards=str(prepared.shards[VOCAB_SIZE]), tokenizer=str(prepared.tokenizers[VOCAB_SIZE]),
                folder=str(folder.path), engine="torch"),
        )  # fmt: skip
        counted = count_parameters(config)
        point = Point(
            trial_id=trial.id, params_total=counted.total, params_non_embedding=counted.non_embedding, hidden_size=16,
            num_layers=1, vocab_size=VOCAB_SIZE, tokens=4096, text_bytes=9e3, flops=1e9, loss=5.0,
            bpb=3.0 + trial.train.seed, learning_rate=1e-3, seed=trial.train.seed,
        )  # fmt: skip
        result = TrialResult(trial_id=trial.id, name=trial.name, status="done", points=(point,),
                             model_digest=model_digest(folder.model))  # fmt: skip
        write_json(folder.result, result)
    resolved = ResolvedStudy(study=study, trials=trials)
    write_json(store.study, resolved)
    theirs = home / "theirs"
    theirs.mkdir()
    worse = store.trial(trials[1].id).model
    write_hf_folder(theirs, config, load_file(worse / "model.safetensors"), worse / "tokenizer.json", dtype="fp32")
    return Lab(home, store, resolved, theirs)


@pytest.fixture(scope="module")
def said(lab: Lab) -> str:
    """What the import printed."""
    return lab.tinyscale("import", "theirs", "--study", "tiny", "--name", "visitor")


def test_an_import_is_measured_as_the_trials_are(lab: Lab, said: str) -> None:
    (imported,) = read_imported(lab.store)
    best, twin = lab.resolved.trials
    assert imported.validation
    assert f"visitor: {imported.validation.bpb.value:.4f} bits per byte, 95 % interval" in said
    measured = read_json(Validation, lab.store.trial(best.id).validation)
    assert f"{best.name}, the study's best: {measured.bpb.value:.4f} bits per byte" in said
    assert imported.model_digest == read_json(TrialResult, lab.store.trial(twin.id).result).model_digest
    assert (imported.validation.stories, imported.validation.context_length) == (30, 32)


def test_the_page_has_it_beside_the_study(lab: Lab, said: str) -> None:
    page = lab.store.report.read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    (imported,) = read_imported(lab.store)
    assert imported.validation
    assert "Models from elsewhere, on the same text" in text
    assert f"visitor llama, d16, L1 {lab.theirs} " in text
    assert f"{lab.resolved.trials[0].name} llama, d16, L1 this study " in text
    assert f"{imported.validation.bpb.value:.4g}"[:5] in text
    assert (lab.store.figures / "imported.png").exists()


def test_the_same_again_measures_nothing(lab: Lab, said: str) -> None:
    folder = import_folder(lab.store, "visitor")
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    lab.tinyscale("import", "theirs", "--study", "tiny", "--name", "visitor")
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_it_tells_stories(lab: Lab, said: str) -> None:
    words = ["--prompt", "the cat", "--temperature", "0", "--tokens", "20"]
    told = lab.tinyscale("generate", "runs/tiny/imports/visitor", *words)
    twin = lab.store.trial(lab.resolved.trials[1].id).path
    assert told == lab.tinyscale("generate", str(twin), *words)
    assert told.startswith("the cat")


def test_it_is_graded_beside_the_best_trials(lab: Lab, said: str) -> None:
    """In this process: the trial's stories are there, so Ray is not asked for, and the imported model is no trial."""
    best = lab.resolved.trials[0]
    prompts = load_prompts("builtin")
    folder = lab.store.trial(best.id)
    write_stories(folder.stories, tell(folder.model, prompts, GRADING, name=best.name))
    subject = of_study(lab.store, lab.resolved, GRADING)
    assert len(expected_stories(subject)) == 2 * len(prompts)
    heard: list[str] = []

    def told(should_stop: Callable[[], bool] = lambda: False) -> tuple[list[str], bool]:
        stories, stopped = told_stories(subject, address=None, say=heard.append, should_stop=should_stop)
        return list(dict.fromkeys(story.model for story in stories)), stopped

    assert told(lambda: True) == ([best.name], True)
    assert told() == ([best.name, "visitor"], False)
    assert heard == [f"telling {len(prompts)} stories with visitor"]
    assert told() == ([best.name, "visitor"], False)
    assert len(heard) == 1, "stories that are there are not told again"
    stories = read_stories(import_folder(lab.store, "visitor").stories)
    assert {story.model_digest for story in stories} == {read_imported(lab.store)[0].model_digest}

    judge = Instrument(model="m", base_url="u", protocol="strict", temperature=0.0, seed=0, max_tokens=9, rubric="r")
    means = {"overall": Interval(value=5.0, low=4.0, high=6.0)}
    scores = tuple(
        ModelScore(model=name, means=means, stories=9, prompts=9, ungraded=0) for name in ("visitor", best.name)
    )
    write_grading(lab.store.path, GradeSummary(instrument=judge, scores=scores))
    content = read_grades_content(lab.store, [read_json(TrialResult, folder.result)], read_imported(lab.store))
    assert content
    assert [told.story.model for told in content.beside[0].told] == ["visitor", best.name]


def test_alone_it_is_held_against_the_studys_training_text(lab: Lab, said: str) -> None:
    subject = of_path(lab.store.imports / "visitor", GRADING)
    assert subject.resolved == lab.resolved
    assert subject.model == lab.store.imports / "visitor" / "model"


def test_without_a_study_it_goes_where_it_is_told(lab: Lab) -> None:
    told = lab.tinyscale("import", "theirs", "--to", "taken/in")
    assert "not measured on any text" in told
    assert {path.name for path in (lab.home / "taken" / "in").iterdir()} == {"model", "import.json"}
    told = lab.tinyscale("generate", "taken/in", "--prompt", "the cat", "--temperature", "0", "--tokens", "5")
    assert told.startswith("the cat")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["theirs"], "--study STUDY, or --to DIR: one of the two"),
        (["theirs", "--to", "x", "--study", "tiny"], "--study STUDY, or --to DIR: one of the two"),
        (["theirs", "--study", "nobody"], "nobody: not launched into runs; known there: tiny"),
        (["theirs", "--study", "tiny", "--name", "d16-L1-V280-D4.1k-s0"], "a trial of the study is named d16-"),
        (["theirs", "--study", "tiny", "--name", "../trials"], "letters, digits"),
        (["nowhere/at/all", "--study", "tiny"], "nowhere/at/all: no file or folder"),
    ],
)
def test_bad_input_is_named_before_anything_is_written(lab: Lab, words: list[str], expected: str) -> None:
    before = sorted(lab.store.path.rglob("*"))
    assert expected in lab.tinyscale("import", *words, code=2)
    assert sorted(lab.store.path.rglob("*")) == before


def write_stories260k(folder: Path) -> None:
    """Two files of the form of karpathy's stories260K: its shape with weights of our own, and a tokenizer of 512 pieces
    as SentencePiece has them, the joined ones first, then letters."""
    sizes = {"vocab_size": 512, "hidden_size": 64, "num_layers": 5, "num_heads": 8, "num_kv_heads": 4,
             "intermediate_size": 172, "context_length": 512}  # fmt: skip
    config = ModelConfig(**{"preset": "llama", **preset_defaults("llama"), **sizes})  # type: ignore[arg-type]
    model = Transformer(replace(config, init_std=0.3))
    model.init_weights(0)
    write_llama2c(folder / "stories260K.bin", config, model.state_dict(), version=0)
    letters = " .abcdefghijklmnopqrstuvwxyz"
    joined = [left + right for left in letters for right in letters[2:]][: 512 - 259 - len(letters)]
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{byte:02X}>" for byte in range(256)), *joined, *letters]
    rows = (struct.pack("<fI", min(0, 259 - row), len(piece)) + piece.encode() for row, piece in enumerate(pieces))
    (folder / "tok512.bin").write_bytes(struct.pack("<I", max(map(len, pieces))) + b"".join(rows))


@pytest.mark.slow
def test_stories260k_is_taken_in_measured_and_told_from(lab: Lab) -> None:
    write_stories260k(lab.home)
    shutil.copytree(lab.home / "runs", lab.home / "runs260k")
    place = ["--study", "tiny", "--storage", "runs260k"]
    told = lab.tinyscale("import", "stories260K.bin", "--tokenizer", "tok512.bin", *place)
    found = {model.name: model for model in read_imported(StudyStore(lab.home / "runs260k" / "tiny"))}["stories260K"]
    assert found.params_total == 260_032
    assert (found.model.vocab_size, found.model.context_length) == (512, 512)
    assert found.validation
    assert f"stories260K: {found.validation.bpb.value:.4f} bits per byte, 95 % interval" in told
    assert "stories260K llama, d64, L5" in re.sub(r"\s+", " ", re.sub(
        r"<[^>]+>", " ", (lab.home / "runs260k" / "tiny" / "report.html").read_text(encoding="utf-8")))  # fmt: skip

    def tell(temperature: float, seed: int) -> str:
        words = ["--prompt", "once upon a time", "--tokens", "40", "--top-p", "0.9", "--seed", str(seed)]
        model = "runs260k/tiny/imports/stories260K"
        return lab.tinyscale("generate", model, *words, "--temperature", str(temperature))

    assert tell(0, seed=1) == tell(0, seed=2), "greedy is greedy"
    sampled = tell(1.0, seed=1)
    assert sampled.startswith("once upon a time")
    assert sampled == tell(1.0, seed=1) != tell(1.0, seed=2)
