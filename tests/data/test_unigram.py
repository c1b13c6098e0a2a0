"""The loss of a model that knows only how often each token stands in the training text."""

import math
from pathlib import Path

import numpy as np
import pytest

from tinyscale.data import prepare
from tinyscale.data.loader import IGNORED, EvalSlice, evaluation_batches
from tinyscale.data.shards import Shards, Split
from tinyscale.data.unigram import unigram_loss
from tinyscale.spec import BuiltinCorpus, Study

STUDY = Study(name="test", corpus=BuiltinCorpus(train_stories=60, valid_stories=20), space=({},))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(STUDY, [300], tmp_path_factory.mktemp("cache")).shards[300]


def test_a_value_worked_out_by_hand() -> None:
    split = Split(np.array([0, 0, 1], np.uint16), np.array([3]), np.array([3]))  # type: ignore[arg-type]
    shards = Shards("digest", split, split, np.array([2, 1, 0]), vocab_size=3, end_of_text=0)
    targets = np.array([[[0, 2, 1, IGNORED]]])
    # Counts 2, 1 and 0, each plus one, of 6 in all: probabilities 1/2, 1/3 and 1/6; the padding does not count.
    expected = (math.log(2) + math.log(6) + math.log(3)) / 3
    assert unigram_loss(shards, EvalSlice(targets, targets, 5, 3)) == pytest.approx(expected, rel=1e-12)


def test_counts_are_those_of_the_training_split(folder: Path) -> None:
    shards = Shards.open(folder)
    assert np.array_equal(shards.train_counts, np.bincount(shards.train.tokens, minlength=300))
    assert len(shards.train_counts) == 300


def test_lies_between_the_entropy_of_the_slice_and_that_of_no_knowledge(folder: Path) -> None:
    shards = Shards.open(folder)
    found = evaluation_batches(shards.valid, max_bytes=10**6, batch_size=4, context_length=16, end_of_text=0)
    share = np.bincount(shards.valid.tokens) / len(shards.valid.tokens)
    entropy = float(-(share[share > 0] * np.log(share[share > 0])).sum())
    assert entropy < unigram_loss(shards, found) < entropy + 0.3 < math.log(300)


def test_counts_that_do_not_add_up_are_no_whole_shards(folder: Path) -> None:
    path = folder / "train.counts.npy"
    whole = path.read_bytes()
    np.save(path, np.zeros(300, np.int64))
    with pytest.raises(ValueError, match=r"not whole token shards .*counts do not add up"):
        Shards.open(folder)
    path.write_bytes(whole)
    path.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match=r"not whole token shards .*train.counts.npy has"):
        Shards.open(folder)
    path.write_bytes(whole)
