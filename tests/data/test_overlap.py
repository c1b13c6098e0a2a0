"""Validation stories that were trained on are found, whatever the white space, in one pass that is remembered."""

from pathlib import Path

import pytest

from tinyscale.data.corpus import CorpusFiles, prepare_corpus
from tinyscale.data.overlap import Overlap, validation_overlap
from tinyscale.spec import BuiltinCorpus, FilesCorpus

MARK = "\n<|endoftext|>\n"


def corpus_of(folder: Path, train: list[str], valid: list[str]) -> CorpusFiles:
    for name, stories in (("train", train), ("valid", valid)):
        (folder / f"{name}.txt").write_bytes("".join(story + MARK for story in stories).encode())
    files = FilesCorpus(train=(str(folder / "train.txt"),), valid=(str(folder / "valid.txt"),))
    return prepare_corpus(files, folder / "cache")


def test_whole_stories_count_and_white_space_does_not(tmp_path: Path) -> None:
    valid = ["A cat sat.\nIt was größer.", "A dog ran.", "A bird sang."]
    train = ["A  cat sat. It\r\nwas größer.", "A dog ran away.", "a bird sang.", "The A dog ran."]
    overlap = validation_overlap(corpus_of(tmp_path, train, valid), tmp_path)
    size = len(valid[0].encode())
    assert overlap == Overlap(stories=1, bytes=size, valid_stories=3, valid_bytes=size + 10 + 12)
    assert overlap.share == size / (size + 22)


def test_a_story_counts_as_often_as_it_is_measured_however_often_it_was_trained_on(tmp_path: Path) -> None:
    overlap = validation_overlap(corpus_of(tmp_path, ["A cat."] * 5, ["A cat.", "A dog.", "A cat."]), tmp_path)
    assert (overlap.stories, overlap.valid_stories, overlap.bytes) == (2, 3, 12)


def test_a_corpus_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, said = corpus_of(tmp_path, ["A cat."], ["A cat.", "A dog."]), []
    first = validation_overlap(corpus, tmp_path, said.append)
    assert len(said) == 1
    assert "training text" in said[0]
    for path in (*corpus.train, *corpus.valid):
        path.unlink()
    assert validation_overlap(corpus, tmp_path, said.append) == first
    assert len(said) == 1


def test_the_built_in_text_has_none(tmp_path: Path) -> None:
    overlap = validation_overlap(
        prepare_corpus(BuiltinCorpus(train_stories=3000, valid_stories=300), tmp_path), tmp_path
    )
    assert (overlap.stories, overlap.valid_stories) == (0, 300)
