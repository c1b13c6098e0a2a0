"""Content-addressed cache folders: built once, published whole, rebuilt when damaged, safe between processes."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

Progress = Callable[[str], None]


def silent(message: str) -> None:
    """Progress for callers that want none."""


def default_cache() -> Path:
    """``TINYSCALE_CACHE``, else ``tinyscale`` in the user's cache folder."""
    if chosen := os.environ.get("TINYSCALE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyscale"


def cached_folder(
    folder: Path,
    build: Callable[[Path], None],
    check: Callable[[Path], object],
    progress: Progress = silent,
) -> Path:
    """``folder``, holding what ``build`` writes.

    One process builds in a hidden folder beside it and renames it into place, so no reader sees half of it; others wait
    on its lock and find it finished. ``check`` raises ValueError or OSError where a folder is damaged: it is then built
    again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process to prepare {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            try:
                check(folder)
                return folder
            except (ValueError, OSError) as error:
                progress(f"{folder} is damaged ({error}): building it again")
                shutil.rmtree(folder)
        partial = folder.parent / f".{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            build(partial)
            check(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's text: readers see the old or the new one, whoever else writes at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(partial).replace(path)
