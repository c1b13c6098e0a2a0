"""Token shards and tokenizers of trials whose machines share no cache: sent once, brought to each machine once."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from tinyscale.data.cache import cached_folder
from tinyscale.results.objects import ObjectStore
from tinyscale.spec import Job

PLACE = ".inputs"
"""Folder of the storage; its folders have the names of the cache's, which tell their content."""
SHARDS, TOKENIZERS, TOKENIZER = "shards", "tokenizers", "tokenizer.json"
LAST = "meta.json"
"""Of the shards: it tells the sizes of the others."""


def send_inputs(storage: ObjectStore, jobs: Iterable[Job]) -> None:
    """Send what the jobs read and the storage lacks.

    :raises ObjectStoreError: the storage is away; the next call goes on.
    """
    folders = {(SHARDS, Path(job.shards)) for job in jobs} | {(TOKENIZERS, Path(job.tokenizer).parent) for job in jobs}
    for kind, folder in sorted(folders):
        there = storage.list(_place(kind, folder))
        for path in sorted(folder.iterdir(), key=lambda path: (path.name == LAST, path.name)):
            name = f"{_place(kind, folder)}/{path.name}"
            if name not in there or there[name].size != path.stat().st_size:
                storage.upload(path, name)


def bring_inputs(storage: ObjectStore, job: Job, cache: Path) -> Job:
    """The job with the paths of its inputs in this machine's cache.

    :raises ObjectStoreError: the storage is away.
    :raises ValueError: the storage has them not, or not whole.
    """
    from tinyscale.data.shards import Shards
    from tinyscale.data.tokenizer import load_tokenizer

    def bring(kind: str, folder: Path, check: Callable[[Path], object]) -> Path:
        place = _place(kind, folder)

        def build(target: Path) -> None:
            for name in storage.list(place):
                storage.download(name, target / name.removeprefix(f"{place}/"))

        return cached_folder(cache / kind / folder.name, build, check)

    tokenizers = bring(TOKENIZERS, Path(job.tokenizer).parent, lambda folder: load_tokenizer(folder / TOKENIZER))
    shards = bring(SHARDS, Path(job.shards), Shards.open)
    return replace(job, tokenizer=str(tokenizers / TOKENIZER), shards=str(shards))


def _place(kind: str, folder: Path) -> str:
    return f"{PLACE}/{kind}/{folder.name}"
