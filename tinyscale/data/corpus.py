"""A corpus: training and validation stories, told apart from every other by one digest."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyscale.data.cache import Progress, cached_folder, default_cache, silent
from tinyscale.data.hub import download, recorded_commit, resolve_commit
from tinyscale.data.stories import generate_stories, generator_version
from tinyscale.data.text import END_OF_TEXT, TextScan, iter_stories, scan_text
from tinyscale.spec import BuiltinCorpus, Corpus, FilesCorpus, HubCorpus, digest

__all__ = ["CorpusFiles", "corpus_digest", "iter_stories", "prepare_corpus"]


@dataclass(frozen=True)
class CorpusFiles:
    """A corpus on disk."""

    digest: str
    train: tuple[Path, ...]
    valid: tuple[Path, ...]
    train_bytes: int
    """UTF-8 bytes of the training stories, markers left out."""
    valid_bytes: int
    train_stories: int
    valid_stories: int
    entropy_bpb: float | None = None
    """Builtin only: bits per byte of the validation stories under the generator that wrote them, exact.

    No model beats it in expectation; see :mod:`tinyscale.data.stories`.
    """


def corpus_digest(corpus: Corpus, cache: Path | None = None, *, offline: bool = False) -> str:
    """What identifies a corpus: 64 hex digits.

    Builtin: the numbers asked for and the generator's own version; nothing is generated. Files: their contents. Hub:
    the commit that the revision leads to; with ``offline`` the network is left alone, and a revision never resolved
    here gives a provisional digest of its name, which says nothing of the contents.

    :raises ValueError: a file is missing, not UTF-8 or without a story; the hub lacks repository, revision or file.
    :raises ConnectionError: the hub can't be reached.
    """
    cache = cache or default_cache()
    match corpus:
        case BuiltinCorpus():
            if min(corpus.train_stories, corpus.valid_stories) < 1:
                raise ValueError(
                    f"builtin corpus of {corpus.train_stories} training and {corpus.valid_stories} validation stories:"
                    " ask for at least 1 of each"
                )
            return digest({"corpus": corpus, "generator": generator_version()})
        case FilesCorpus():
            train, valid = (_scans(tuple(map(Path, names)), cache) for names in (corpus.train, corpus.valid))
            return digest({"train": [scan.sha256 for scan in train], "valid": [scan.sha256 for scan in valid]})
        case HubCorpus():
            files = (*corpus.train, *corpus.valid)
            if offline:
                commit = recorded_commit(corpus.repo, corpus.revision, cache) or f"unresolved {corpus.revision}"
            else:
                commit = resolve_commit(corpus.repo, corpus.revision, files, cache)
            return _hub_digest(corpus, commit)


def prepare_corpus(corpus: Corpus, cache: Path | None = None, progress: Progress = silent) -> CorpusFiles:
    """The corpus on disk: generated, found or downloaded, checked and counted. Raises as :func:`corpus_digest` does."""
    cache = cache or default_cache()
    match corpus:
        case BuiltinCorpus():
            return _prepare_builtin(corpus, cache, progress)
        case FilesCorpus():
            train, valid = (tuple(map(Path, names)) for names in (corpus.train, corpus.valid))
            return _counted(corpus_digest(corpus, cache), train, valid, cache)
        case HubCorpus():
            files = (*corpus.train, *corpus.valid)
            commit = resolve_commit(corpus.repo, corpus.revision, files, cache, progress)
            progress(f"data set {corpus.repo} at commit {commit}")
            paths = {name: download(corpus.repo, name, commit, "dataset") for name in files}
            train, valid = (tuple(paths[name] for name in names) for names in (corpus.train, corpus.valid))
            return _counted(_hub_digest(corpus, commit), train, valid, cache)


def _hub_digest(corpus: HubCorpus, commit: str) -> str:
    return digest({"repo": corpus.repo, "commit": commit, "train": corpus.train, "valid": corpus.valid})


def _scans(paths: tuple[Path, ...], cache: Path) -> list[TextScan]:
    if not paths:
        raise ValueError("corpus without files: name at least one training and one validation file")
    return [scan_text(path, cache) for path in paths]


def _counted(key: str, train: tuple[Path, ...], valid: tuple[Path, ...], cache: Path) -> CorpusFiles:
    in_train, in_valid = _scans(train, cache), _scans(valid, cache)
    return CorpusFiles(
        digest=key,
        train=tuple(path.resolve() for path in train),
        valid=tuple(path.resolve() for path in valid),
        train_bytes=sum(scan.story_bytes for scan in in_train),
        valid_bytes=sum(scan.story_bytes for scan in in_valid),
        train_stories=sum(scan.stories for scan in in_train),
        valid_stories=sum(scan.stories for scan in in_valid),
    )


def _prepare_builtin(corpus: BuiltinCorpus, cache: Path, progress: Progress) -> CorpusFiles:
    key = corpus_digest(corpus, cache)
    counts = {"train": corpus.train_stories, "valid": corpus.valid_stories}

    def build(folder: Path) -> None:
        progress(f"writing {corpus.train_stories:,} training and {corpus.valid_stories:,} validation stories")
        meta = {name: _write_stories(folder / f"{name}.txt", corpus.seed, name, n) for name, n in counts.items()}
        (folder / "meta.json").write_text(json.dumps(meta, indent=2), encoding="utf-8")

    folder = cached_folder(cache / "corpora" / key[:32], build, _read_builtin, progress)
    meta = _read_builtin(folder)
    return CorpusFiles(
        digest=key,
        train=(folder / "train.txt",),
        valid=(folder / "valid.txt",),
        train_bytes=meta["train"]["story_bytes"],
        valid_bytes=meta["valid"]["story_bytes"],
        train_stories=corpus.train_stories,
        valid_stories=corpus.valid_stories,
        entropy_bpb=meta["valid"]["bits"] / meta["valid"]["story_bytes"],
    )


def _write_stories(path: Path, seed: int, split: str, count: int) -> dict[str, float]:
    """Write one split. Training and validation draw from generators seeded apart, whatever the seed."""
    story_bytes, bits = 0, 0.0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for story in generate_stories(int(digest([split, seed]), 16), count):
            file.write(f"{story.text}\n{END_OF_TEXT}\n")
            story_bytes += len(story.text.encode())
            bits -= story.log2_prob
    return {"size": path.stat().st_size, "story_bytes": story_bytes, "bits": bits}


def _read_builtin(folder: Path) -> dict[str, dict[str, Any]]:
    """The counts beside the generated text.

    :raises ValueError: a file has not the size it was written with.
    """
    meta: dict[str, dict[str, Any]] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    for name in ("train", "valid"):
        if (folder / f"{name}.txt").stat().st_size != meta[name]["size"]:
            raise ValueError(f"{name}.txt has not the size it was written with")
    return meta
