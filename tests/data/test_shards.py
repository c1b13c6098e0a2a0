"""Shards and the loader: boundaries, order, exact bytes; damage found; two processes at once."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from tinyscale.data import Prepared, prepare
from tinyscale.data.corpus import iter_stories
from tinyscale.data.loader import IGNORED, Loader, evaluation_batches
from tinyscale.data.shards import Shards, Split, prepare_shards
from tinyscale.data.tokenizer import load_tokenizer
from tinyscale.spec import BuiltinCorpus, Study

STUDY = Study(name="test", corpus=BuiltinCorpus(train_stories=120, valid_stories=30), space=({},))
SIZES = (300, 500)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def prepared(cache: Path) -> Prepared:
    return prepare(STUDY, SIZES, cache)


@pytest.fixture(scope="module")
def shards(prepared: Prepared) -> Shards:
    return Shards.open(prepared.shards[500])


def test_shards_hold_every_story_and_its_bytes(prepared: Prepared) -> None:
    for size in SIZES:
        shards, tokenizer = Shards.open(prepared.shards[size]), load_tokenizer(prepared.tokenizers[size])
        assert (shards.vocab_size, shards.end_of_text, shards.train.tokens.dtype) == (size, 0, np.uint16)
        for split, paths in ((shards.train, prepared.corpus.train), (shards.valid, prepared.corpus.valid)):
            pieces = np.split(split.tokens, split.token_ends[:-1])
            texts = list(iter_stories(paths))
            assert [tokenizer.decode(piece[:-1].tolist()) for piece in pieces] == texts
            assert all(piece[-1] == 0 and 0 not in piece[:-1] for piece in pieces)
            assert split.story_bytes.tolist() == [len(text.encode()) for text in texts]
        assert shards.bytes_per_token == prepared.corpus.train_bytes / len(shards.train.tokens)


def test_preparing_again_does_nothing(prepared: Prepared, cache: Path) -> None:
    said: list[str] = []
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.bin")}
    assert prepare(STUDY, SIZES, cache, said.append) == prepared
    assert said == []
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.bin")} == before


def test_batches_of_any_size_encode_the_same(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyscale.data.shards.BATCH_BYTES", 1000)
    folder = prepare_shards(prepared.corpus, prepared.tokenizers[300], prepared.tokenizer_digests[300], tmp_path)
    assert (folder / "train.bin").read_bytes() == (prepared.shards[300] / "train.bin").read_bytes()


@pytest.mark.parametrize("name", ["train.bin", "valid.token_ends.npy", "meta.json"])
def test_truncated_shards_are_noticed_and_made_again(prepared: Prepared, cache: Path, name: str) -> None:
    folder = prepared.shards[300]
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not whole token shards"):
        Shards.open(folder)
    said: list[str] = []
    prepare(STUDY, SIZES, cache, said.append)
    assert any("damaged" in line for line in said)
    assert (folder / name).read_bytes() == whole


def test_missing_shards_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone: not whole token shards .*tinyscale prepare"):
        Shards.open(tmp_path / "gone")


def test_two_processes_at_once_make_one_cache(tmp_path: Path) -> None:
    code = f"""if True:
        from pathlib import Path
        from tinyscale.data import prepare
        from tinyscale.spec import BuiltinCorpus, Study
        study = Study(name="test", corpus=BuiltinCorpus(train_stories=120, valid_stories=30), space=({{}},))
        print(prepare(study, [300], Path({str(tmp_path)!r})).shards[300])
    """
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=60)[0] for process in both)
    assert first == second != ""
    assert Shards.open(Path(first.strip())).vocab_size == 300
    assert not list(tmp_path.rglob("*.partial"))


def test_forking_afterwards_is_quiet(prepared: Prepared, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prepare_shards(prepared.corpus, prepared.tokenizers[300], prepared.tokenizer_digests[300], tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside other threads is what is tried here
        child = os.fork()
    if child == 0:
        ids = load_tokenizer(prepared.tokenizers[300]).encode_batch(["a cat"] * 8)
        os._exit(0 if len(ids) == 8 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "fork" not in capfd.readouterr().err


def stream(loader: Loader, steps: range) -> np.ndarray:
    return np.concatenate([loader.batch(step)[0].reshape(-1) for step in steps])


def test_an_epoch_reads_every_story_once_in_another_order(shards: Shards) -> None:
    split = shards.train
    total = len(split.tokens)
    loader = Loader(split, batch_size=1, context_length=total, seed=3)
    stories = [piece.tobytes() for piece in np.split(split.tokens.astype(np.int64), split.token_ends[:-1])]
    orders = []
    for epoch in range(2):
        tokens = loader.batch(epoch)[0].reshape(-1)
        ends = np.flatnonzero(tokens == shards.end_of_text) + 1
        orders.append([stories.index(piece.tobytes()) for piece in np.split(tokens, ends[:-1])])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(len(stories)))
    assert orders[0] != orders[1] != list(range(len(stories)))


def test_steps_are_contiguous_and_need_no_history(shards: Shards) -> None:
    total = len(shards.train.tokens)
    loader = Loader(shards.train, batch_size=3, context_length=17, seed=5)
    steps = range(0, 3 * total // 51)
    whole = stream(Loader(shards.train, batch_size=1, context_length=total, seed=5), range(4))
    assert np.array_equal(stream(loader, steps), whole[: 51 * len(steps)])
    for step in (steps[-1], 0, total // 51):
        inputs, targets = Loader(shards.train, batch_size=3, context_length=17, seed=5).batch(step)
        assert inputs.dtype == targets.dtype == np.int64
        assert np.array_equal(inputs, whole[step * 51 : step * 51 + 51].reshape(3, 17))
        assert np.array_equal(targets, whole[step * 51 + 1 : step * 51 + 52].reshape(3, 17))
    assert loader.epoch(0) == 0
    assert loader.epoch(total) == 51


def test_every_vocabulary_reads_the_same_text(prepared: Prepared) -> None:
    texts = []
    for size in SIZES:
        split = Shards.open(prepared.shards[size]).train
        loader = Loader(split, batch_size=1, context_length=len(split.tokens), seed=1)
        tokens = loader.batch(0)[0][0].tolist()
        texts.append(load_tokenizer(prepared.tokenizers[size]).decode(tokens, skip_special_tokens=False))
    assert texts[0] == texts[1]


def test_order_is_fixed_for_ever() -> None:
    """The very numbers: a library that changed them would change every result."""
    split = Split(np.arange(20, dtype=np.uint16), np.arange(2, 21, 2), np.ones(10, np.int64))  # type: ignore[arg-type]
    assert Loader(split, batch_size=1, context_length=20, seed=0).batch(0)[0][0, ::2].tolist() == ORDER
    assert Loader(split, batch_size=1, context_length=20, seed=1).batch(0)[0][0, ::2].tolist() != ORDER


ORDER = [6, 4, 2, 16, 12, 0, 14, 8, 10, 18]


def test_evaluation_predicts_every_token_of_the_first_stories_once(shards: Shards, prepared: Prepared) -> None:
    texts = list(iter_stories(prepared.corpus.valid))
    fits = sum(len(text.encode()) for text in texts[:7])
    for max_bytes, stories in ((fits, 7), (fits - 1, 6), (10**9, len(texts))):
        found = evaluation_batches(shards.valid, max_bytes=max_bytes, batch_size=4, context_length=16, end_of_text=0)
        assert found.inputs.shape == found.targets.shape == (found.inputs.shape[0], 4, 16)
        count = shards.valid.token_ends[stories - 1]
        targets, inputs = found.targets.reshape(-1), found.inputs.reshape(-1)
        assert np.array_equal(targets[:count], shards.valid.tokens[:count])
        assert (targets[count:] == IGNORED).all()
        assert np.array_equal(inputs[: count + 1][:count], [0, *shards.valid.tokens[: count - 1]])
        assert found.total_tokens == count == (targets != IGNORED).sum()
        assert found.total_bytes == sum(len(text.encode()) for text in texts[:stories])
        assert len(targets) - count < 64


def test_slice_too_small_for_a_story_is_refused(shards: Shards) -> None:
    with pytest.raises(ValueError, match="eval_bytes 10: the first validation story alone has"):
        evaluation_batches(shards.valid, max_bytes=10, batch_size=1, context_length=8, end_of_text=0)


def test_evaluation_bytes_are_the_same_for_every_vocabulary(prepared: Prepared) -> None:
    slices = [
        evaluation_batches(
            Shards.open(prepared.shards[size]).valid, max_bytes=4000, batch_size=2, context_length=8, end_of_text=0
        )
        for size in SIZES
    ]
    assert slices[0].total_bytes == slices[1].total_bytes
    assert slices[0].total_tokens > slices[1].total_tokens
