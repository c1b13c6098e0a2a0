"""A folder's files beside those of a repository, and the words of a dry run: what a push would do. No network."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tinyscale.spec.words import size
from tinyscale.tracking import mask

DEFAULT_ENDPOINT = "https://huggingface.co"
KEPT = ".gitattributes"
"""The hub's own file: it decides what goes through LFS."""
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file to push."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    git_oid: str
    """SHA-1 of it as a git blob: what the hub tells of a file that is not in LFS."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of the repository."""

    size: int
    """Bytes."""
    sha256: str
    """Empty: the file is not in LFS."""
    git_oid: str
    """SHA-1 of the git blob; in LFS, of the pointer."""
    ours: bool
    """A promotion changed it last, nobody since."""

    def equals(self, local: LocalFile) -> bool:
        """Both have the same content."""
        known, expected = (self.sha256, local.sha256) if self.sha256 else (self.git_oid, local.git_oid)
        return self.size == local.size and known == expected


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What one commit changes, by the files' names."""

    write: tuple[str, ...]
    """New or with another content."""
    delete: tuple[str, ...]
    """Pushed by an earlier promotion, and not among the files any more."""
    overwritten: tuple[str, ...]
    """Of those written, what somebody else wrote last; git keeps their text."""
    foreign: tuple[str, ...]
    """Somebody else's, and kept."""

    @property
    def nothing(self) -> bool:
        """The repository holds it all already."""
        return not (self.write or self.delete)


def compare(local: Mapping[str, LocalFile], there: Mapping[str, HubFile]) -> Changes:
    """What makes the repository's files those of the folder, and leaves others' alone."""
    write = tuple(name for name, file in local.items() if name not in there or not there[name].equals(file))
    gone = [name for name in there if name not in local and name != KEPT]
    return Changes(
        write=write,
        delete=tuple(name for name in gone if there[name].ours),
        overwritten=tuple(name for name in write if name in there and not there[name].ours),
        foreign=tuple(name for name in gone if not there[name].ours),
    )


def read_folder(folder: Path) -> dict[str, LocalFile]:
    """The files of a staged folder by their name in the repository, in the order of names.

    :raises ValueError: it holds nothing, a link, a hidden file or anything that is no plain file.
    """
    files: dict[str, LocalFile] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path} is a link or a special file; what is pushed are plain files alone: remove it")
        if path.name.startswith("."):
            raise ValueError(f"{path} is hidden, and may hold what nobody means to publish: remove it")
        if path.is_file():
            files[name] = _read(path)
    if not files:
        raise ValueError(f"{folder} holds no files to push")
    return files


def tag_name(study: str) -> str:
    """The study's name as a git tag that no branch or commit can be mistaken for."""
    name = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9._+-]", "-", study)).strip(".-")
    name = name.removesuffix(".lock").strip(".")
    if not name or name in ("main", "HEAD") or re.fullmatch(r"[0-9a-fA-F]{4,40}", name):
        name = f"study-{name}".rstrip("-")
    return name


def plan_lines(folder: Path, *, repo: str, tag: str, public: bool) -> list[str]:
    """What a dry run prints: where the files would go, who could read them, and each with its size.

    :raises ValueError: as :func:`read_folder`.
    """
    files = read_folder(folder)
    width = max(map(len, files))
    seen = "public: everybody may read it (an existing private repository stays private)"
    lines = [
        f"repository  {repo} at {mask(endpoint())}",
        f"visibility  {seen if public else 'private (an existing public repository is refused without --public)'}",
        f"tag         {tag_name(tag)}",
        *(f"  {name:<{width}}  {size(file.size):>9}" for name, file in files.items()),
        f"total       {len(files)} files, {size(sum(file.size for file in files.values()))}, in one commit",
    ]
    return lines


def endpoint() -> str:
    """Where the hub is: HF_ENDPOINT, else huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def _read(path: Path) -> LocalFile:
    length = path.stat().st_size
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % length)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
            git.update(chunk)
    return LocalFile(path=path, size=length, sha256=sha256.hexdigest(), git_oid=git.hexdigest())
