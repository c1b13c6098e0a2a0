"""Token shards: each split of a corpus as one memory-mapped file of ids, with the stories' boundaries and bytes."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyscale.data.cache import Progress, cached_folder, silent
from tinyscale.data.corpus import CorpusFiles
from tinyscale.data.text import iter_stories
from tinyscale.data.tokenizer import end_of_text_id, load_tokenizer
from tinyscale.spec import digest

BATCH_BYTES = 2 << 20
"""Text encoded at once; bounds the memory."""
FORMAT_VERSION = 2
"""Raised when shards would be written otherwise."""
_PARALLELISM = "TOKENIZERS_PARALLELISM"


@dataclass(frozen=True)
class Split:
    """One split of a corpus in tokens. Story i is ``tokens[token_ends[i - 1] : token_ends[i]]``, end-of-text last."""

    tokens: npt.NDArray[np.uint16 | np.uint32]
    """(tokens,) ids of all stories in the order of the corpus; of shards, mapped from disk."""
    token_ends: npt.NDArray[np.int64]
    """(stories,) where each story ends, after its end-of-text token."""
    story_bytes: npt.NDArray[np.int64]
    """(stories,) UTF-8 bytes of each story's text, end-of-text not counted."""


@dataclass(frozen=True)
class Shards:
    """A corpus in the tokens of one tokenizer."""

    digest: str
    train: Split
    valid: Split
    train_counts: npt.NDArray[np.int64]
    """(vocab_size,) how often each token stands in the training split."""
    vocab_size: int
    end_of_text: int
    """Id of the token that ends every story."""

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of training text per training token, end-of-text tokens counted."""
        return float(self.train.story_bytes.sum() / len(self.train.tokens))

    @classmethod
    def open(cls, folder: Path) -> "Shards":
        """Map the shards of a folder.

        :raises ValueError: the folder is missing, or a file has not the size or form it was written with.
        """
        folder = Path(folder)
        try:
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            for name, size in meta["sizes"].items():
                if (found := (folder / name).stat().st_size) != size:
                    raise ValueError(f"{name} has {found} bytes instead of {size}")
            splits = {name: _open_split(folder, name, meta["dtype"]) for name in ("train", "valid")}
            counts = np.load(folder / "train.counts.npy")
            if counts.shape != (meta["vocab_size"],) or counts.sum() != len(splits["train"].tokens):
                raise ValueError("train: the tokens' counts do not add up to the tokens")
            return cls(meta["digest"], **splits, train_counts=counts, vocab_size=meta["vocab_size"],
                       end_of_text=meta["end_of_text"])  # fmt: skip
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{folder}: not whole token shards ({error}); `tinyscale prepare` makes them again"
            ) from error


def shards_digest(corpus_digest: str, tokenizer_digest: str) -> str:
    """What identifies the shards of a corpus in the tokens of a tokenizer: 64 hex digits."""
    return digest({"corpus": corpus_digest, "tokenizer": tokenizer_digest, "version": FORMAT_VERSION})


def shards_folder(cache: Path, corpus_digest: str, tokenizer_digest: str) -> Path:
    """Where a cache has the shards of a corpus in the tokens of a tokenizer."""
    return cache / "shards" / shards_digest(corpus_digest, tokenizer_digest)[:32]


def prepare_shards(
    files: CorpusFiles, tokenizer_path: Path, tokenizer_digest: str, cache: Path, progress: Progress = silent
) -> Path:
    """The folder of the shards, encoded on all cores unless the cache has it. Memory does not grow with the corpus."""
    key = shards_digest(files.digest, tokenizer_digest)

    def build(folder: Path) -> None:
        tokenizer = load_tokenizer(tokenizer_path)
        vocab_size, end_of_text = tokenizer.get_vocab_size(), end_of_text_id(tokenizer)
        dtype = "uint16" if vocab_size <= 1 << 16 else "uint32"
        with parallel_tokenizers():
            for name, paths in (("train", files.train), ("valid", files.valid)):
                progress(f"encoding the {name} stories in {vocab_size:,} tokens")
                counts = _write_split(folder, name, paths, tokenizer, end_of_text, np.dtype(dtype))
                if name == "train":
                    np.save(folder / "train.counts.npy", counts)
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        meta = {
            "digest": key,
            "corpus": files.digest,
            "tokenizer": tokenizer_digest,
            "vocab_size": vocab_size,
            "end_of_text": end_of_text,
            "dtype": dtype,
            "sizes": sizes,
        }
        (folder / "meta.json").write_text(json.dumps(meta, indent=2), encoding="utf-8")

    def check(folder: Path) -> None:
        if (found := Shards.open(folder).digest) != key:
            raise ValueError(f"{folder}: holds other shards ({found[:12]})")

    return cached_folder(shards_folder(cache, files.digest, tokenizer_digest), build, check, progress)


def _open_split(folder: Path, name: str, dtype: str) -> Split:
    ends, story_bytes = (np.load(folder / f"{name}.{part}.npy") for part in ("token_ends", "story_bytes"))
    tokens: np.memmap[Any, Any] = np.memmap(folder / f"{name}.bin", dtype=dtype, mode="r")
    if len(ends) != len(story_bytes) or ends[-1] != len(tokens):
        raise ValueError(f"{name}: stories do not end where the tokens end")
    return Split(tokens, ends, story_bytes)


def _write_split(
    folder: Path, name: str, paths: Sequence[Path], tokenizer: Any, end_of_text: int, dtype: np.dtype[Any]
) -> npt.NDArray[np.int64]:
    """Write a split and count its tokens, (vocab_size,)."""
    lengths: list[int] = []
    story_bytes: list[int] = []
    counts = np.zeros(tokenizer.get_vocab_size(), np.int64)
    with (folder / f"{name}.bin").open("wb") as file:
        for ids, size in iter_encoded(paths, tokenizer, end_of_text, dtype):
            file.write(ids.tobytes())
            np.add.at(counts, ids, 1)
            lengths.append(len(ids))
            story_bytes.append(size)
    np.save(folder / f"{name}.token_ends.npy", np.cumsum(lengths, dtype=np.int64))
    np.save(folder / f"{name}.story_bytes.npy", np.array(story_bytes, np.int64))
    return counts


def iter_encoded(
    paths: Sequence[Path], tokenizer: Any, end_of_text: int, dtype: npt.DTypeLike
) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """Of each story its ids, end-of-text last, and the UTF-8 bytes of its text."""
    for batch in _batches(paths):
        for story, encoding in zip(batch, tokenizer.encode_batch_fast(batch, add_special_tokens=False), strict=True):
            yield np.array([*encoding.ids, end_of_text], dtype), len(story.encode())


def _batches(paths: Sequence[Path]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for story in iter_stories(paths):
        batch.append(story)
        size += len(story)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def parallel_tokenizers() -> Iterator[None]:
    """Encode on all cores, then turn that off: a process forked later would warn, or wait for threads it hasn't got.

    Where the user has set TOKENIZERS_PARALLELISM, it stays.
    """
    chosen = os.environ.get(_PARALLELISM)
    os.environ[_PARALLELISM] = chosen or "true"
    try:
        yield
    finally:
        os.environ[_PARALLELISM] = chosen or "false"
