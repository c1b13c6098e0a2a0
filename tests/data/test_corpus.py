"""Corpora: digests that follow the content, clear errors, generated text that is what it says."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tinyscale.data.corpus import corpus_digest, iter_stories, prepare_corpus
from tinyscale.data.stories import generate_stories
from tinyscale.spec import BuiltinCorpus, FilesCorpus

SMALL = BuiltinCorpus(train_stories=50, valid_stories=20)


def files_corpus(folder: Path, text: bytes = b"A cat sat.\n<|endoftext|>\nA dog ran.\n<|endoftext|>\n") -> FilesCorpus:
    (folder / "train.txt").write_bytes(text)
    (folder / "valid.txt").write_bytes(b"One story without a marker.\n")
    return FilesCorpus(train=(str(folder / "train.txt"),), valid=(str(folder / "valid.txt"),))


def test_builtin_corpus_holds_the_stories_and_the_floor_of_its_validation_text(tmp_path: Path) -> None:
    corpus = prepare_corpus(SMALL, tmp_path)
    train, valid = list(iter_stories(corpus.train)), list(iter_stories(corpus.valid))
    assert (len(train), len(valid)) == (50, 20)
    assert not set(train) & set(valid)
    assert corpus.train_bytes == sum(len(story.encode()) for story in train)
    assert corpus.valid_bytes == sum(len(story.encode()) for story in valid)
    assert corpus.entropy_bpb is not None
    assert 0.2 < corpus.entropy_bpb < 0.6


def test_builtin_digest_changes_with_what_is_asked(tmp_path: Path) -> None:
    others = [
        BuiltinCorpus(train_stories=51, valid_stories=20),
        BuiltinCorpus(train_stories=50, valid_stories=20, seed=1),
    ]
    assert len({corpus_digest(corpus, tmp_path) for corpus in [SMALL, *others]}) == 3
    assert list(tmp_path.iterdir()) == [], "a digest generates nothing"
    with pytest.raises(ValueError, match="at least 1"):
        corpus_digest(BuiltinCorpus(train_stories=0), tmp_path)


def test_damaged_builtin_text_is_made_again(tmp_path: Path) -> None:
    corpus = prepare_corpus(SMALL, tmp_path)
    whole = corpus.train[0].read_bytes()
    corpus.train[0].write_bytes(whole[:-5])
    said: list[str] = []
    assert prepare_corpus(SMALL, tmp_path, said.append).train[0].read_bytes() == whole
    assert any("damaged" in line for line in said)


def test_stories_do_not_depend_on_the_process() -> None:
    code = "from tinyscale.data.stories import *; print([s.text for s in generate_stories(3, 5)])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{[story.text for story in generate_stories(3, 9)][:5]}\n".encode()}


def test_files_are_split_at_markers_and_counted(tmp_path: Path) -> None:
    text = "  Ä cat.\r\nIt sat. <|endoftext|>Second.\n<|endoftext|>\n\n<|endoftext|>\nThird, no marker.".encode()
    corpus = prepare_corpus(files_corpus(tmp_path, text), tmp_path / "cache")
    stories = ["Ä cat.\nIt sat.", "Second.", "Third, no marker."]
    assert list(iter_stories(corpus.train)) == stories
    assert corpus.train_stories == 3
    assert corpus.train_bytes == len("".join(stories).encode())
    assert corpus.entropy_bpb is None


def test_markers_across_read_boundaries_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Älteste Katze.\n<|endoftext|>\nÜber Öl 🐈.\n<|endoftext|>\n"
    expected = ["Älteste Katze.", "Über Öl 🐈."]
    corpus = files_corpus(tmp_path, text.encode())
    for size in range(1, 20):
        monkeypatch.setattr("tinyscale.data.text.CHUNK_BYTES", size)
        assert list(iter_stories([Path(corpus.train[0])])) == expected


def test_files_digest_follows_the_content_not_the_path(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = files_corpus(tmp_path / "a"), files_corpus(tmp_path / "b")
    cache = tmp_path / "cache"
    assert corpus_digest(first, cache) == corpus_digest(second, cache)
    before = corpus_digest(first, cache)
    Path(first.train[0]).write_text("Another cat sat.\n<|endoftext|>\n")
    assert corpus_digest(first, cache) != before


@pytest.mark.parametrize("offset", [3, (1 << 20) - 1, (1 << 20) + 7])
def test_bad_utf8_is_named_by_its_offset(tmp_path: Path, offset: int) -> None:
    text = bytearray(b"x" * ((1 << 20) + 20))
    text[offset] = 0xFF
    with pytest.raises(ValueError, match=rf"train\.txt: not UTF-8: byte 0xff at offset {offset} "):
        corpus_digest(files_corpus(tmp_path, bytes(text)), tmp_path / "cache")


def test_truncated_utf8_is_named_by_its_offset(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="byte 0xc3 at offset 4 "):
        corpus_digest(files_corpus(tmp_path, "caféÄ".encode()[:-1].replace("é".encode(), b"e")), tmp_path / "cache")


@pytest.mark.parametrize("text", [b"", b" \n", b"<|endoftext|>\n<|endoftext|>\n"])
def test_text_without_a_story_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ValueError, match="holds no story"):
        corpus_digest(files_corpus(tmp_path, text), tmp_path / "cache")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.txt: no such file"):
        corpus_digest(FilesCorpus(train=("gone.txt",), valid=("gone.txt",)), tmp_path)


def test_file_without_markers_is_refused_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyscale.data.text.MAX_STORY_CHARS", 100)
    with pytest.raises(ValueError, match=r"100 characters without <\|endoftext\|>"):
        corpus_digest(files_corpus(tmp_path, b"word " * 50), tmp_path / "cache")


def test_importing_stays_light() -> None:
    code = "import sys, tinyscale.data, tinyscale.data.corpus; print([m for m in sys.modules if '.' not in m])"
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.replace(
            "'", '"'
        )
    )
    assert not {"torch", "tokenizers", "huggingface_hub", "numpy", "transformers"} & set(loaded)


def test_log_probabilities_are_those_of_the_choices() -> None:
    assert all(math.isfinite(story.log2_prob) and story.log2_prob < -50 for story in generate_stories(0, 50))
