"""Tokenizers of Hugging Face folders as ours: a known name for the end of a story, and nothing added unasked."""

import json
from pathlib import Path
from typing import Any, Literal

from tinyscale.data.text import END_OF_TEXT
from tinyscale.data.tokenizer import BEGIN_OF_TEXT, byte_level, read_merges, read_vocab

TOKENIZER, VOCAB, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
CONFIG, GENERATION = "config.json", "generation_config.json"
SETTINGS, SPECIAL = "tokenizer_config.json", "special_tokens_map.json"
FILES = (CONFIG, GENERATION, TOKENIZER, SETTINGS, SPECIAL, VOCAB, MERGES)
"""What of a folder tells how text becomes tokens."""
MAX_BYTES = 128 << 20
"""Of one of these files: several times the largest known, those of vocabularies of 256k tokens."""


def read_hf_tokenizer(folder: Path, vocab_size: int) -> str:
    """The folder's tokenizer as text of a ``tokenizer.json``; one of GPT-2's kind also from its vocabulary and merges.

    The token that ends a text is named ``<|endoftext|>``, and one that begins it, where it is another,
    ``<|beginoftext|>``; ids stay. What adds tokens, cuts or pads is taken out.

    :param vocab_size: of the model, which may have more rows than there are tokens.
    :raises ValueError: a file is missing, too large or damaged; no token ends a text; or the model has fewer rows.
    """
    tokenizer = _read(folder)
    ids = _token_ids(tokenizer, folder)
    if (last := max(ids.values(), default=-1)) >= vocab_size:
        raise ValueError(
            f"{folder}: the tokenizer has a token of id {last}, and the model {vocab_size} rows (vocab_size): they do "
            "not belong together"
        )
    end = _special(folder, "eos", tokenizer, ids, END_OF_TEXT)
    if end is None:
        raise ValueError(
            f"{folder}: no token ends a text: give eos_token_id in {GENERATION} or {CONFIG}, or eos_token in {SETTINGS}"
        )
    begin = _special(folder, "bos", tokenizer, ids, BEGIN_OF_TEXT)
    _name(tokenizer, ids, end, END_OF_TEXT)
    if begin not in (None, end):
        _name(tokenizer, ids, begin, BEGIN_OF_TEXT)
    tokenizer |= {"post_processor": None, "truncation": None, "padding": None}
    _token_ids(tokenizer, folder)
    return json.dumps(tokenizer, ensure_ascii=False)


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that anybody may have written.

    :raises ValueError: the file is too large, or holds something else.
    """
    try:
        found = json.loads(_sized(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: can't be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds a JSON {type(found).__name__}, not an object")
    return found


def _sized(path: Path) -> Path:
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"{path}: has {size:,} bytes; at most {MAX_BYTES:,} are read")
    return path


def _read(folder: Path) -> dict[str, Any]:
    from tokenizers import models

    if (folder / TOKENIZER).is_file():
        return read_json_object(folder / TOKENIZER)
    if not ((folder / VOCAB).is_file() and (folder / MERGES).is_file()):
        raise ValueError(
            f"{folder} holds neither {TOKENIZER} nor {VOCAB} with {MERGES}; have transformers write it: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    vocab = read_vocab(_sized(folder / VOCAB))
    merges = read_merges(_sized(folder / MERGES), vocab)
    made: dict[str, Any] = json.loads(byte_level(models.BPE(vocab=vocab, merges=merges)).to_str())
    return made


def _token_ids(tokenizer: dict[str, Any], folder: Path) -> dict[str, int]:
    """The id of each token, as the library reads them."""
    from tokenizers import Tokenizer

    try:
        ids: dict[str, int] = Tokenizer.from_str(json.dumps(tokenizer)).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{folder}: not a tokenizer: {error}") from error
    return ids


def _special(
    folder: Path, kind: Literal["bos", "eos"], tokenizer: dict[str, Any], ids: dict[str, int], ours: str
) -> int | None:
    """The id of the token that begins or ends a text, from whoever says so first: the settings of generation, the
    model's, the tokenizer's; else of the one that has our name for it.

    Of the ids that a model's settings name, those of ordinary tokens do not count: transformers writes 1 and 2 for a
    Llama, and 50256 for a GPT-2, whose maker named none.
    """
    special = {entry["id"] for entry in tokenizer.get("added_tokens") or ()} or set(ids.values())
    for name in (GENERATION, CONFIG):
        index = _optional(folder / name).get(f"{kind}_token_id")
        if isinstance(index, list):
            index = next(iter(index), None)
        if type(index) is int and index in special:
            return index
    for name in (SETTINGS, SPECIAL):
        token = _optional(folder / name).get(f"{kind}_token")
        if isinstance(token, dict):
            token = token.get("content")
        if isinstance(token, str) and token in ids:
            return ids[token]
    return ids.get(ours)


def _optional(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _name(tokenizer: dict[str, Any], ids: dict[str, int], index: int, name: str) -> None:
    """Give a token a name; another one that had it gets this one's."""
    old = next(token for token, known in ids.items() if known == index)
    swapped = {old: name, name: old}
    if name in ids:
        ids[old] = ids[name]
    else:
        del ids[old]
    ids[name] = index
    added = tokenizer.setdefault("added_tokens", [])
    for entry in added:
        entry["content"] = swapped.get(entry["content"], entry["content"])
    model = tokenizer["model"]
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        model["vocab"] = {swapped.get(token, token): place for token, place in vocab.items()}
    else:  # of a unigram model: pieces with their scores, by place
        model["vocab"] = [[swapped.get(piece, piece), score] for piece, score in vocab]
    if model.get("unk_token") in swapped:
        model["unk_token"] = swapped[model["unk_token"]]
    for entry in added:
        if entry["id"] == index:
            entry["special"] = True
            return
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added.append({"id": index, "content": name, **flags, "special": True})
