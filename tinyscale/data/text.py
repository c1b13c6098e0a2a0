"""Stories in text files: UTF-8, the marker ``<|endoftext|>`` between stories, read in bounded memory."""

import codecs
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tinyscale.data.cache import write_atomically

END_OF_TEXT = "<|endoftext|>"
CHUNK_BYTES = 1 << 20
MAX_STORY_CHARS = 16 << 20
"""A longer stretch without a marker is a file without markers, not a story."""
SCAN_VERSION = 1
"""Raised when a scan would count otherwise, so that stored scans are forgotten."""


@dataclass(frozen=True)
class TextScan:
    """What one pass over a text file finds."""

    sha256: str
    size: int
    """Bytes of the file."""
    stories: int
    story_bytes: int
    """UTF-8 bytes of the stories, without markers and the white space around stories."""


def iter_stories(paths: Iterable[Path]) -> Iterator[str]:
    """The stories of the files in order, stripped of white space around them; empty ones are skipped.

    :raises ValueError: a file is not UTF-8, or holds a stretch without marker longer than MAX_STORY_CHARS.
    """
    for path in paths:
        yield from _split(path, _decoded(path, hashlib.sha256()))


def scan_text(path: Path, cache: Path) -> TextScan:
    """Read a file once to check, count and hash it; remembered in ``cache`` by path, size and modification time.

    :raises ValueError: the file is missing, not UTF-8, or holds no story.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file (current folder: {Path.cwd()})")
    stat = path.stat()
    key = f"{SCAN_VERSION} {path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    known = cache / "scans" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    if known.exists():
        return TextScan(**json.loads(known.read_text(encoding="utf-8")))
    content = hashlib.sha256()
    stories = story_bytes = 0
    for story in _split(path, _decoded(path, content)):
        stories += 1
        story_bytes += len(story.encode())
    if not stories:
        raise ValueError(f"{path}: holds no story; give it text, with a line {END_OF_TEXT} after each story")
    scan = TextScan(content.hexdigest(), stat.st_size, stories, story_bytes)
    write_atomically(known, json.dumps(asdict(scan)))
    return scan


def _decoded(path: Path, content: "hashlib._Hash") -> Iterator[str]:
    """The file's text in pieces, newlines as in the file; its bytes go into ``content``."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            content.update(chunk)
            pending = len(decoder.getstate()[0])
            yield _decode(decoder, chunk, read - pending, path)
            read += len(chunk)
    yield _decode(decoder, b"", read - len(decoder.getstate()[0]), path)


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, offset: int, path: Path) -> str:
    try:
        return decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        bad = error.object[error.start]
        raise ValueError(
            f"{path}: not UTF-8: byte 0x{bad:02x} at offset {offset + error.start} ({error.reason}); save it as UTF-8"
        ) from error


def _split(path: Path, pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *ended, rest = (rest + piece).split(END_OF_TEXT)
        if len(rest) > MAX_STORY_CHARS:
            raise ValueError(
                f"{path}: {MAX_STORY_CHARS} characters without {END_OF_TEXT}; put a line {END_OF_TEXT} after each story"
            )
        yield from filter(None, map(_clean, ended))
    if last := _clean(rest):
        yield last


def _clean(story: str) -> str:
    return story.replace("\r\n", "\n").strip()
