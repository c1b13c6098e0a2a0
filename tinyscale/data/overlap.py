"""Contamination of the measurement: validation stories that stand, word for word, in the training text too."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tinyscale.data.cache import Progress, default_cache, silent, write_atomically
from tinyscale.data.corpus import CorpusFiles
from tinyscale.data.text import iter_stories

OVERLAP_VERSION = 1
"""Raised when an overlap would be counted otherwise, so that stored ones are forgotten."""


@dataclass(frozen=True)
class Overlap:
    """The validation stories that the training text holds whole."""

    stories: int
    bytes: int
    """UTF-8 bytes of these stories."""
    valid_stories: int
    """All stories of the validation text; one that stands there twice counts twice, above as well."""
    valid_bytes: int

    @property
    def share(self) -> float:
        """Of the validation text's bytes, 0 to 1."""
        return self.bytes / self.valid_bytes


def validation_overlap(corpus: CorpusFiles, cache: Path | None = None, progress: Progress = silent) -> Overlap:
    """How much of the validation text was trained on; counted once a corpus, then remembered in ``cache``.

    Stories are equal where their words are, whatever the white space between them; a story that was changed in one
    word is another one. The training text is read once as a stream, and of the validation stories 16 bytes each are
    held (BLAKE2b), so memory grows with their number alone. Reads 50 MB/s on one core.

    :raises ValueError: a file is not UTF-8, or holds no markers between its stories.
    """
    known = (cache or default_cache()) / "overlaps" / f"{OVERLAP_VERSION}-{corpus.digest[:32]}.json"
    if known.exists():
        return Overlap(**json.loads(known.read_text(encoding="utf-8")))
    progress(f"looking for the validation stories in {corpus.train_bytes / 1e6:,.0f} MB of training text")
    sizes: dict[bytes, list[int]] = {}
    for story in iter_stories(corpus.valid):
        sizes.setdefault(_key(story), []).append(len(story.encode()))
    trained_on = {key for story in iter_stories(corpus.train) if (key := _key(story)) in sizes}
    overlap = Overlap(
        stories=sum(len(sizes[key]) for key in trained_on),
        bytes=sum(sum(sizes[key]) for key in trained_on),
        valid_stories=sum(map(len, sizes.values())),
        valid_bytes=sum(map(sum, sizes.values())),
    )
    write_atomically(known, json.dumps(asdict(overlap)))
    return overlap


def _key(story: str) -> bytes:
    return hashlib.blake2b(" ".join(story.split()).encode(), digest_size=16).digest()
