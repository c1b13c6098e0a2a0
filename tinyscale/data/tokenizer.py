"""Byte-level BPE for any vocabulary size from one training, and GPT-2's own.

Byte-pair merges nest: a training for V tokens takes the same merges in the same order as one for more, and stops
earlier. So the merges are learned once, for the largest vocabulary of a study, and each smaller tokenizer is their
beginning. Ids: 0 is ``<|endoftext|>``, 1..256 are the bytes, the rest are merges in the order they were learned.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscale.data.cache import Progress, cached_folder, silent
from tinyscale.data.corpus import CorpusFiles
from tinyscale.data.hub import download
from tinyscale.data.text import END_OF_TEXT, iter_stories
from tinyscale.spec import TokenizerSpec, digest
from tinyscale.spec.study import GPT2_VOCAB_SIZE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BEGIN_OF_TEXT = "<|beginoftext|>"
"""Begins each story of a model from elsewhere whose stories begin and end with different tokens."""
MIN_VOCAB_SIZE = 257
"""End of text and the 256 bytes."""
MIN_FREQUENCY = 2
"""A pair seen less often than this is not merged."""
GPT2_REPO = "openai-community/gpt2"
GPT2_CONTENT = "189a8db8c2678d0d6b7eebf20882214d46b7cce5c56cc1ea3f8008e710f8fcbd"
"""Digest of the vocabulary and merges that OpenAI published."""


def tokenizer_digest(spec: TokenizerSpec, corpus_digest: str, vocab_size: int) -> str:
    """What identifies a tokenizer: 64 hex digits, without training it or asking the network.

    bpe: the corpus, the text learned on and the size. gpt2: its vocabulary and merges, wherever they come from. mixed:
    as the one or the other.

    :raises ValueError: a size that the tokenizer can't have, or local files that are missing or not GPT-2's kind.
    """
    if spec.source_for(vocab_size) == "gpt2":
        if vocab_size != GPT2_VOCAB_SIZE:
            raise ValueError(f"vocab_size is {vocab_size}; with the gpt2 tokenizer it must be {GPT2_VOCAB_SIZE}")
        content = _gpt2_content(*_local_gpt2(spec)) if spec.vocab_file or spec.merges_file else GPT2_CONTENT
        return digest({"source": "gpt2", "content": content})
    if vocab_size < MIN_VOCAB_SIZE:
        raise ValueError(
            f"vocab_size is {vocab_size}; it must be at least {MIN_VOCAB_SIZE}: 256 bytes and {END_OF_TEXT}"
        )
    return digest(
        {
            "corpus": corpus_digest,
            "train_bytes": spec.train_bytes,
            "min_frequency": MIN_FREQUENCY,
            "source": "bpe",
            "vocab_size": vocab_size,
        }
    )


def prepare_tokenizer(
    spec: TokenizerSpec, files: CorpusFiles, vocab_sizes: Sequence[int], cache: Path, progress: Progress = silent
) -> dict[int, Path]:
    """The ``tokenizer.json`` of each size: cached, cut from merges learned before, or from one new training.

    :raises ValueError: as :func:`tokenizer_digest`; or the corpus yields fewer merges than a size needs.
    :raises ConnectionError: gpt2 from the hub, and the hub can't be reached.
    """
    paths = {}
    largest = max((size for size in vocab_sizes if spec.source_for(size) == "bpe"), default=0)
    for size in sorted(set(vocab_sizes), reverse=True):

        def build(folder: Path, size: int = size) -> None:
            if spec.source_for(size) == "gpt2":
                tokenizer = _load_gpt2(spec)
            else:
                trained = _train(spec, files, largest, cache, progress)
                tokenizer = _cut(json.loads(trained.read_text(encoding="utf-8")), size)
            (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")

        def check(folder: Path, size: int = size) -> None:
            found = load_tokenizer(folder / "tokenizer.json").get_vocab_size()
            if found != size:
                raise ValueError(f"holds {found} tokens, not {size}")

        folder = cache / "tokenizers" / tokenizer_digest(spec, files.digest, size)[:32]
        paths[size] = cached_folder(folder, build, check, progress) / "tokenizer.json"
    return paths


def load_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer of a ``tokenizer.json``.

    :raises ValueError: the file is missing or damaged.
    """
    from tokenizers import Tokenizer

    if not path.is_file():
        raise ValueError(f"{path}: no such tokenizer")
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{path}: not a tokenizer: {error}") from error


def end_of_text_id(tokenizer: "Tokenizer") -> int:
    """The id of ``<|endoftext|>``.

    :raises ValueError: the tokenizer has no such token.
    """
    found = tokenizer.token_to_id(END_OF_TEXT)
    if found is None:
        raise ValueError(f"the tokenizer has no {END_OF_TEXT}")
    return int(found)


def begin_of_text_id(tokenizer: "Tokenizer") -> int:
    """The id of the token that each story begins with: ``<|beginoftext|>`` where there is one, else ``<|endoftext|>``.

    :raises ValueError: the tokenizer has neither.
    """
    found = tokenizer.token_to_id(BEGIN_OF_TEXT)
    return end_of_text_id(tokenizer) if found is None else int(found)


def decode_continuation(tokenizer: "Tokenizer", prompt: Sequence[int], ids: Sequence[int]) -> str:
    """The text by which ``ids`` continue that of ``prompt``.

    They are decoded together: many tokenizers, those of Llama among them, take the space off the front of a text.
    """
    return str(tokenizer.decode([*prompt, *ids]))[len(tokenizer.decode(prompt)) :]


def byte_level(model: Any) -> "Tokenizer":
    """A tokenizer over bytes in GPT-2's spelling, around a model of the tokenizers library."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _train(spec: TokenizerSpec, files: CorpusFiles, vocab_size: int, cache: Path, progress: Progress) -> Path:
    """A trained ``tokenizer.json`` of at least ``vocab_size`` tokens, the smallest that the cache has, or a new one."""
    key = digest({"corpus": files.digest, "train_bytes": spec.train_bytes, "min_frequency": MIN_FREQUENCY})[:32]
    trainings = cache / "merges" / key
    sizes = (int(folder.name) for folder in trainings.glob("[0-9]*") if (folder / "tokenizer.json").is_file())
    size = min((size for size in sizes if size >= vocab_size), default=vocab_size)

    def build(folder: Path) -> None:
        from tokenizers import models, pre_tokenizers, trainers

        progress(f"learning a vocabulary of {size:,} tokens")
        tokenizer = byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=MIN_FREQUENCY,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_first_stories(files.train, spec.train_bytes), trainer)
        if (found := tokenizer.get_vocab_size()) < size:
            raise ValueError(
                f"vocab_size {size} needs {size - MIN_VOCAB_SIZE} merges, but the corpus yields only"
                f" {found - MIN_VOCAB_SIZE} from its first {spec.train_bytes:,} bytes: ask for at most {found}, or"
                " give more text"
            )
        (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")

    return cached_folder(trainings / str(size), build, lambda f: load_tokenizer(f / "tokenizer.json"), progress) / (
        "tokenizer.json"
    )


def _first_stories(paths: Sequence[Path], max_bytes: int) -> Iterator[str]:
    left = max_bytes
    for story in iter_stories(paths):
        left -= len(story.encode())
        if left < 0:
            return
        yield story


def _cut(trained: dict[str, Any], vocab_size: int) -> str:
    """The tokenizer.json of the first ``vocab_size`` tokens.

    A merge may lead to a token that an earlier one made already, so merges are counted by the new tokens they give:
    the trainer stops right after the merge that gives the last.
    """
    model = trained["model"]
    vocab = {token: index for token, index in model["vocab"].items() if index < vocab_size}
    merges = []
    known = MIN_VOCAB_SIZE
    for left, right in model["merges"]:
        if known == vocab_size:
            break
        merges.append([left, right])
        known = max(known, vocab[left + right] + 1)
    return json.dumps({**trained, "model": {**model, "vocab": vocab, "merges": merges}}, ensure_ascii=False)


def _local_gpt2(spec: TokenizerSpec) -> tuple[Path, Path]:
    if not (spec.vocab_file and spec.merges_file):
        raise ValueError("the gpt2 tokenizer from local files needs both vocab_file and merges_file")
    return Path(spec.vocab_file), Path(spec.merges_file)


def read_vocab(path: Path) -> dict[str, int]:
    """The ids of tokens from a ``vocab.json`` of GPT-2's kind.

    :raises ValueError: the file is missing, or maps no tokens to ids.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file (current folder: {Path.cwd()})")
    try:
        vocab = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(vocab, dict) or not all(type(index) is int and index >= 0 for index in vocab.values()):
        raise ValueError(f"{path}: not a vocabulary: it maps tokens to ids")
    return vocab


def read_merges(path: Path, vocab: Mapping[str, int]) -> list[tuple[str, str]]:
    """The merges of a ``merges.txt`` of GPT-2's kind, in order.

    :raises ValueError: the file is missing, or a line is no merge of two tokens into one of the vocabulary.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file (current folder: {Path.cwd()})")
    lines = path.read_text(encoding="utf-8").split("\n")
    merges: list[tuple[str, str]] = []
    for line in lines:
        if not line or line.startswith("#version"):
            continue
        left, _, right = line.partition(" ")
        if not {left, right, left + right} <= vocab.keys():
            raise ValueError(f"{path}: {line!r} is no merge of two tokens into one of the vocabulary")
        merges.append((left, right))
    return merges


def _read_gpt2(vocab_file: Path, merges_file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    vocab = read_vocab(vocab_file)
    if len(vocab) != GPT2_VOCAB_SIZE or END_OF_TEXT not in vocab:
        raise ValueError(
            f"{vocab_file}: not GPT-2's: it maps {GPT2_VOCAB_SIZE} tokens to ids, {END_OF_TEXT} one of them"
        )
    return vocab, read_merges(merges_file, vocab)


def _gpt2_content(vocab_file: Path, merges_file: Path) -> str:
    vocab, merges = _read_gpt2(vocab_file, merges_file)
    content = json.dumps([vocab, [" ".join(merge) for merge in merges]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _load_gpt2(spec: TokenizerSpec) -> str:
    from tokenizers import AddedToken, models

    if spec.vocab_file or spec.merges_file:
        files = _local_gpt2(spec)
    else:
        files = (download(GPT2_REPO, "vocab.json", "main", "model"), download(GPT2_REPO, "merges.txt", "main", "model"))
        if _gpt2_content(*files) != GPT2_CONTENT:
            raise ValueError(f"{GPT2_REPO} holds other files than OpenAI's; name vocab_file and merges_file")
    vocab, merges = _read_gpt2(*files)
    tokenizer = byte_level(models.BPE(vocab=vocab, merges=merges))
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True)])
    return str(tokenizer.to_str())
