"""Bits per byte on all the validation text: the trials' own number on their slice, and intervals that cover."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tinyscale.data import Prepared, prepare
from tinyscale.data.corpus import CorpusFiles, iter_stories
from tinyscale.data.encode import encode_stories
from tinyscale.data.tokenizer import load_tokenizer
from tinyscale.model.presets import preset_defaults
from tinyscale.model.store import load_model, save_model
from tinyscale.model.transformer import Transformer
from tinyscale.promote import validate
from tinyscale.promote.validate import ratio_interval, story_nats, study_corpus, trial_validation, validate_model
from tinyscale.results.store import TrialFolder
from tinyscale.spec import (
    BuiltinCorpus,
    Job,
    ModelConfig,
    ResolvedStudy,
    Study,
    TokenizerSpec,
    TrainConfig,
    Trial,
    TrialResult,
    read_json,
    write_json,
)
from tinyscale.train.device import pick_device
from tinyscale.train.loop import run

VOCAB_SIZE, EVAL_BYTES = 300, 4000
SIZES = {"vocab_size": VOCAB_SIZE, "hidden_size": 16, "num_layers": 2, "num_heads": 2, "num_kv_heads": 2,
         "intermediate_size": 40, "context_length": 32}  # fmt: skip
CPU = pick_device("fp32")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    torch.set_num_threads(1)
    study = Study(
        name="tests",
        corpus=BuiltinCorpus(train_stories=60, valid_stories=40),
        tokenizer=TokenizerSpec(train_bytes=20_000),
        space=(),
    )
    return prepare(study, [VOCAB_SIZE], tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def trial(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> TrialFolder:
    """A trial of 20 steps."""
    config = ModelConfig(**{"preset": "llama", **preset_defaults("llama"), **SIZES})  # type: ignore[arg-type]
    train = TrainConfig(tokens=20 * 8 * 32, batch_size=8, learning_rate=1e-2, warmup_steps=2, eval_bytes=EVAL_BYTES)
    trial = Trial(
        model=config, train=train, corpus=prepared.corpus.digest, tokenizer=prepared.tokenizer_digests[VOCAB_SIZE]
    )
    folder = TrialFolder(tmp_path_factory.mktemp("runs") / "trials" / trial.id)
    folder.path.mkdir(parents=True)
    job = Job(trial=trial, shards=str(prepared.shards[VOCAB_SIZE]), tokenizer=str(prepared.tokenizers[VOCAB_SIZE]),
              folder=str(folder.path), engine="torch")  # fmt: skip
    write_json(folder.job, job)
    run(job, lambda record: None)
    return folder


@pytest.fixture(scope="module")
def tokenizer(trial: TrialFolder) -> Tokenizer:
    return load_tokenizer(trial.model / "tokenizer.json")


def write_slice(corpus: CorpusFiles, folder: Path) -> CorpusFiles:
    """The corpus with the stories alone that the trial's evaluations read."""
    kept: list[str] = []
    for story in iter_stories(corpus.valid):
        if sum(len(text.encode()) for text in (*kept, story)) > EVAL_BYTES:
            break
        kept.append(story)
    (folder / "slice.txt").write_text("".join(f"{story}\n<|endoftext|>\n" for story in kept), encoding="utf-8")
    return replace(corpus, valid=(folder / "slice.txt",))


def test_the_slice_gives_the_trials_own_loss(trial: TrialFolder, prepared: Prepared, tmp_path: Path) -> None:
    result = read_json(TrialResult, trial.result)
    measured = validate_model(trial.model, write_slice(prepared.corpus, tmp_path))
    (point,) = result.points
    assert measured.bpb.value == pytest.approx(point.bpb, rel=1e-6)
    assert measured.loss.value == pytest.approx(point.loss, rel=1e-6)
    assert (measured.bytes, measured.tokens) == (result.eval_bytes, result.eval_tokens)
    assert measured.model_digest == result.model_digest
    assert measured.context_length == 32
    assert measured.bpb.low < measured.bpb.value < measured.bpb.high


def by_hand(model: Transformer, stories: list[list[int]], begin: int, end: int) -> list[float]:
    """Nats of each story from plain logits, window by window."""
    stream = [begin]
    owners = [-1]
    for index, story in enumerate(stories):
        if begin != end and index:
            stream.append(begin)
            owners.append(-1)
        stream += [*story, end]
        owners += [index] * (len(story) + 1)
    nats = [0.0] * len(stories)
    context = model.config.context_length
    for start in range(0, len(stream) - 1, context):
        window = torch.tensor(stream[start : start + context + 1])
        with torch.no_grad():
            logs = model(window[None, :context][:, : len(window) - 1])[0].log_softmax(dim=-1)
        for place, target in enumerate(window[1:].tolist()):
            if owners[start + place + 1] >= 0:
                nats[owners[start + place + 1]] -= float(logs[place, target])
    return nats


@pytest.mark.parametrize("begin", [0, 7], ids=["begins as it ends", "begins with a token of its own"])
@pytest.mark.parametrize("logit_bytes", [1, validate.LOGIT_BYTES], ids=["a window at a time", "many"])
def test_nats_of_stories_are_those_of_plain_logits(
    trial: TrialFolder,
    tokenizer: Tokenizer,
    prepared: Prepared,
    begin: int,
    logit_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(validate, "LOGIT_BYTES", logit_bytes)
    model = load_model(trial.model)
    texts = list(iter_stories(prepared.corpus.valid))
    expected = by_hand(model, [tokenizer.encode(text).ids for text in texts], begin, 0)
    seen: list[int] = []
    loss = model.loss
    monkeypatch.setattr(model, "loss", lambda x, y, **how: seen.append(len(x)) or loss(x, y, **how))
    nats = story_nats(model, encode_stories(prepared.corpus.valid, tokenizer), begin, CPU)
    np.testing.assert_allclose(nats, expected, rtol=1e-5)
    assert max(seen) == (1 if logit_bytes == 1 else validate.MOST_ROWS), "batches bound the memory"


def test_stories_in_tokens_have_their_bytes_and_ends(tokenizer: Tokenizer, prepared: Prepared) -> None:
    texts = list(iter_stories(prepared.corpus.valid))
    split = encode_stories(prepared.corpus.valid, tokenizer)
    pieces = np.split(split.tokens, split.token_ends[:-1])
    assert [tokenizer.decode(piece.tolist()[:-1]) for piece in pieces] == texts
    assert {int(piece[-1]) for piece in pieces} == {0}
    assert split.story_bytes.tolist() == [len(text.encode()) for text in texts]
    with pytest.raises(ValueError, match="no story to encode"):
        encode_stories((), tokenizer)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Stories of very different length, long ones easier to predict: a ratio of sums, far from a mean of ratios."""
    generator = np.random.default_rng(0)
    sizes = np.round(np.exp(generator.normal(6.5, 0.6, 200_000)))
    nats = sizes * (0.8 * (sizes / 700) ** -0.1 * np.exp(generator.normal(0, 0.25, len(sizes))))
    truth = nats.sum() / sizes.sum()
    drawn = [generator.integers(len(sizes), size=60) for _ in range(2_000)]
    spans = [ratio_interval(nats[stories], sizes[stories]) for stories in drawn]
    covered = np.mean([span.low <= truth <= span.high for span in spans])
    assert 0.935 < covered < 0.96
    errors = [(span.high - span.low) / 2 / 2.001 for span in spans]  # t of 59 degrees of freedom
    assert np.mean(errors) == pytest.approx(np.std([span.value for span in spans]), rel=0.05)


def test_the_interval_is_cochrans() -> None:
    span = ratio_interval(np.array([2.0, 4.0, 9.0]), np.array([1, 2, 3]))
    assert span.value == 2.5
    error = math.sqrt(3 / 2 * (0.5**2 + 1.0**2 + 1.5**2)) / 6
    assert (span.high - span.value) / error == pytest.approx(4.3027, rel=1e-4)
    with pytest.raises(ValueError, match="at least 2 validation stories"):
        ratio_interval(np.array([2.0]), np.array([1]))


def test_a_trial_is_measured_once_a_model_and_a_text(
    trial: TrialFolder, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trial_validation(trial, prepared.corpus)
    assert json.loads(trial.validation.read_text())["stories"] == 40
    asked: list[str] = []
    monkeypatch.setattr(
        validate, "validate_model", lambda folder, corpus, **how: asked.append(how["precision"]) or first
    )
    assert trial_validation(trial, prepared.corpus) == first
    assert asked == []
    trial_validation(trial, replace(prepared.corpus, digest="another text"))
    write_json(trial.validation, replace(first, model_digest="another model"))
    trial_validation(trial, prepared.corpus)
    assert asked == ["auto", "auto"]


def test_a_loss_that_is_not_finite_is_refused(trial: TrialFolder, prepared: Prepared, tmp_path: Path) -> None:
    model = load_model(trial.model)
    state = model.state_dict()
    state["token_embedding.weight"][5] = float("nan")
    save_model(tmp_path / "model", model.config, state, trial.model / "tokenizer.json")
    with pytest.raises(ValueError, match="the loss of 40 stories is not finite"):
        validate_model(tmp_path / "model", prepared.corpus)


def test_a_corpus_that_has_changed_is_not_the_studys(
    prepared: Prepared, trial: TrialFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYSCALE_CACHE", str(tmp_path))
    job = read_json(Job, trial.job)
    study = Study(name="tests", corpus=BuiltinCorpus(train_stories=60, valid_stories=40), space=())
    assert study_corpus(ResolvedStudy(study=study, trials=(job.trial,))).digest == prepared.corpus.digest
    other = replace(study, corpus=BuiltinCorpus(train_stories=60, valid_stories=41))
    with pytest.raises(ValueError, match="tests: the corpus has changed since the launch"):
        study_corpus(ResolvedStudy(study=other, trials=(job.trial,)))


def test_importing_it_loads_neither_torch_nor_scipy() -> None:
    code = "import sys, tinyscale.promote.validate; assert not {'torch', 'scipy', 'tokenizers'} & {*sys.modules}"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
