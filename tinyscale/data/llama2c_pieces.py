"""Rows of a llama2.c tokenizer as a ``tokenizer.json``; :mod:`tinyscale.data.llama2c_tokenizer` says what they are."""

import json
import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tinyscale.data.text import END_OF_TEXT

Rows = list[tuple[float, bytes]]
"""Score and piece of each row."""
BEGIN, END, FIRST_BYTE, FIRST_PIECE = 1, 2, 3, 259
"""Rows that run.c knows, and the first that it does not."""
BEGIN_PIECE, END_PIECE = b"\n<s>\n", b"\n</s>\n"


def sentencepiece_json(path: Path, rows: Rows) -> str:
    """The ``tokenizer.json`` of SentencePiece's kind."""
    if (rows[0][1], rows[END][1]) != (b"<unk>", END_PIECE):
        raise ValueError(f"{path}: rows 0 and 2 are {rows[0][1]!r} and {rows[END][1]!r}, not <unk> and {END_PIECE!r}")
    vocab: dict[str, int] = {}
    for row, (_, content) in enumerate(rows):
        try:
            vocab[content.decode()] = row
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: row {row}, {content!r}, is not UTF-8") from error
    if vocab.get(" ", 0) < FIRST_PIECE:
        raise ValueError(f"{path}: no piece is a single space, which run.c puts before each text")
    merges: list[tuple[float, str, str]] = []
    for piece, row in vocab.items():
        if row >= FIRST_PIECE:
            splits = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
            merges += [(rows[row][0], left, right) for left, right in splits
                       if min(vocab.get(left, 0), vocab.get(right, 0)) >= FIRST_PIECE]  # fmt: skip
    merges.sort(key=lambda merge: (-merge[0], -len(merge[1])))
    vocab = {special(row) or piece: row for piece, row in vocab.items()}
    if len(vocab) != len(rows):
        raise ValueError(f"{path}: one of <unk>, {END_OF_TEXT} and </s> is a piece beside the rows of that name")
    return _tokenizer_json(
        vocab,
        [[left, right] for _, left, right in merges],
        specials=[special(row) for row in range(FIRST_BYTE)],
        byte_fallback=True,
        normalizer={"type": "Prepend", "prepend": " "},
        decoder={
            "type": "Sequence",
            "decoders": [
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
    )


def byte_level_json(path: Path, rows: Rows) -> str:
    """The ``tokenizer.json`` of our own kind."""
    chars = byte_chars()
    pieces = ["".join(chars[byte] for byte in content) for _, content in rows]
    pieces[BEGIN], pieces[FIRST_BYTE] = END_OF_TEXT, chars[0]
    vocab = {piece: row for row, piece in enumerate(pieces)}
    if len(vocab) != len(rows):
        raise ValueError(f"{path}: {END_OF_TEXT} is a piece, which only row 1 may be")
    learned = sorted((0, END, *range(FIRST_PIECE, len(rows))), key=lambda row: -rows[row][0])
    place: dict[tuple[str, str], int] = {}
    for row in learned:
        parts = _join(pieces[row], place)
        if len(parts) != 2:
            raise ValueError(
                f"{path}: row {row}, {rows[row][1]!r}, is not two pieces of higher scores; with bytes as its only"
                " characters this must be a file that tinyscale wrote"
            )
        place[parts[0], parts[1]] = len(place)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return _tokenizer_json(
        vocab,
        [list(pair) for pair in place],
        specials=[END_OF_TEXT],
        pre_tokenizer=byte_level,
        decoder={**byte_level, "add_prefix_space": True},
    )


def _join(piece: str, place: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair merges applied to one piece, the earliest first."""
    parts = list(piece)
    while len(parts) > 1:
        pairs = [place.get(pair, math.inf) for pair in pairwise(parts)]
        if (best := min(pairs)) == math.inf:
            break
        at = pairs.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _tokenizer_json(
    vocab: dict[str, int],
    merges: list[list[str]],
    *,
    specials: Iterable[str],
    decoder: dict[str, Any],
    byte_fallback: bool = False,
    normalizer: dict[str, Any] | None = None,
    pre_tokenizer: dict[str, Any] | None = None,
) -> str:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": vocab[token], "content": token, **flags} for token in specials],
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": None,
            "decoder": decoder,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": byte_fallback,
                "ignore_merges": False,
                "vocab": vocab,
                "merges": merges,
            },
        },
        ensure_ascii=False,
    )


def special(row: int) -> str:
    """What the first three rows of SentencePiece's kind are called in a tokenizer.json; empty for any other row."""
    return ("<unk>", END_OF_TEXT, "</s>")[row] if row < FIRST_BYTE else ""


def byte_chars() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary (GPT-2's ``bytes_to_unicode``)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
