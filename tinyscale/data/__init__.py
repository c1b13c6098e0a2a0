"""From a study's corpus to token shards: generated or fetched once, cached by content. Light to import."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinyscale.data.cache import Progress, default_cache, silent
from tinyscale.data.corpus import CorpusFiles, prepare_corpus
from tinyscale.spec import Study

if TYPE_CHECKING:
    from tinyscale.data.shards import Shards

__all__ = ["Prepared", "Progress", "cached_shards", "default_cache", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """Everything a study's trials read."""

    corpus: CorpusFiles
    tokenizers: dict[int, Path]
    """Vocabulary size -> its tokenizer.json."""
    tokenizer_digests: dict[int, str]
    """Vocabulary size -> digest of the tokenizer."""
    shards: dict[int, Path]
    """Vocabulary size -> folder of the token shards."""


def prepare(
    study: Study, vocab_sizes: Iterable[int], cache: Path | None = None, progress: Progress = silent
) -> Prepared:
    """Make what is missing of a study's corpus, tokenizers and shards.

    :raises ValueError: the corpus or tokenizer can't be had as the study asks.
    :raises ConnectionError: it needs the hub, which can't be reached.
    """
    from tinyscale.data.shards import prepare_shards
    from tinyscale.data.tokenizer import prepare_tokenizer, tokenizer_digest

    cache = cache or default_cache()
    corpus = prepare_corpus(study.corpus, cache, progress)
    sizes = sorted(set(vocab_sizes))
    digests = {size: tokenizer_digest(study.tokenizer, corpus.digest, size) for size in sizes}
    tokenizers = prepare_tokenizer(study.tokenizer, corpus, sizes, cache, progress)
    shards = {size: prepare_shards(corpus, tokenizers[size], digests[size], cache, progress) for size in sizes}
    return Prepared(corpus, tokenizers, digests, shards)


def cached_shards(study: Study, corpus_digest: str, vocab_size: int, cache: Path | None = None) -> "Shards | None":
    """The token shards of a vocabulary where the cache has them whole; nothing is made.

    :raises ValueError: a size that the study's tokenizer can't have.
    """
    from tinyscale.data.shards import Shards, shards_folder
    from tinyscale.data.tokenizer import tokenizer_digest

    digest = tokenizer_digest(study.tokenizer, corpus_digest, vocab_size)
    folder = shards_folder(cache or default_cache(), corpus_digest, digest)
    try:
        return Shards.open(folder) if folder.exists() else None
    except ValueError:  # damaged: as good as none, prepare() makes them again
        return None
