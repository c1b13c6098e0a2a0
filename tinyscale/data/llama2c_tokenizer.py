"""Tokenizers of karpathy's llama2.c (``tokenizer.bin``) both ways.

The file (https://github.com/karpathy/llama2.c, ``tokenizer.py`` writes it, ``run.c`` reads it), little endian: int32
longest piece in bytes; then for each row of the vocabulary float32 score, int32 length, the piece's bytes. ``run.c``
knows three rows by number: 1 begins a text (and ends it when drawn), 2 would end one, byte b of what is no piece is row
3 + b. It then joins, again and again, the two neighbours whose joint text is the piece of the highest score.

Two kinds are written and read:

- SentencePiece's, as llama2.c has them: rows 3 to 258 are ``<0x00>`` to ``<0xFF>``, all else is whole characters. They
  become a BPE with byte fallback that prepends run.c's space.
- our own byte-level BPE, whose only single characters are the bytes. They are written raw: run.c looks up `` `` and
  joins texts, so it could neither find its prefix nor join anything were they ``<0x20>``. Byte 0 alone, which no C
  string holds, is ``<0x00>``. Single bytes of a character that run.c draws are not printed by it, in either form.

run.c reads a text as SentencePiece would, and ours differs in three ways, so a prompt to run.c may have other tokens
than in training: it puts a space before the text, it joins across the words that our pre-tokenizer keeps apart, and it
joins any two pieces whose text is a piece, where we join those that were learned. The space is the one that shows: in
300 built-in and 300 real TinyStories, with vocabularies of 512 to GPT-2's 50,257, nothing else made a difference.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyscale.data.llama2c_pieces import (
    BEGIN,
    BEGIN_PIECE,
    END,
    END_PIECE,
    FIRST_BYTE,
    FIRST_PIECE,
    Rows,
    byte_chars,
    byte_level_json,
    sentencepiece_json,
    special,
)
from tinyscale.data.text import END_OF_TEXT

MAX_FILE_BYTES = 64 << 20
MAX_PIECE_BYTES = 512
LOWEST_SCORE = -1e10
"""run.c joins nothing of this score or below."""


def llama2c_order(tokenizer_json: dict[str, Any]) -> list[int]:
    """Which of the tokenizer's ids stands in each row of the file: row r of the file is row ``order[r]`` of the model.

    Byte-level: ``<|endoftext|>`` becomes row 1, the bytes rows 3 to 258, the two merges learned last rows 0 and 2, the
    others follow as they were learned. So no row is added, and a model computes the same up to order. A tokenizer of
    :func:`read_llama2c_tokenizer` has its rows in place.

    :raises ValueError: not one of the two kinds, or too small.
    """
    vocab, results = _checked(tokenizer_json)
    if _is_sentencepiece(tokenizer_json):
        return list(range(len(vocab)))
    if len(vocab) < FIRST_PIECE:
        raise ValueError(
            f"llama2.c needs at least {FIRST_PIECE} tokens: it keeps rows 0, 1 and 2 for itself and 3 to 258 for the"
            f" bytes, and no row may be added to a trained model; this tokenizer has {len(vocab)}"
        )
    learned = [vocab[piece] for piece in results]
    return [learned[-2], vocab[END_OF_TEXT], learned[-1], *(vocab[char] for char in byte_chars()), *learned[:-2]]


def write_llama2c_tokenizer(path: Path, tokenizer_json: dict[str, Any], order: Sequence[int]) -> None:
    """Write a ``tokenizer.bin`` beside its place, then rename.

    A piece's score is minus its place among the merges, as SentencePiece's is, so run.c joins in their order.

    :param order: of :func:`llama2c_order`.
    :raises ValueError: not one of the two kinds, or rows that run.c could not read.
    """
    vocab, results = _checked(tokenizer_json)
    if sorted(order) != list(range(len(vocab))):
        raise ValueError(f"{path}: the order of {len(order)} rows does not name each of {len(vocab)} tokens once")
    text_of = {index: piece for piece, index in vocab.items()}
    place = {piece: index for index, piece in enumerate(results)}
    sentencepiece = _is_sentencepiece(tokenizer_json)
    to_byte = {char: byte for byte, char in enumerate(byte_chars())}
    rows: Rows = []
    for row, index in enumerate(order):
        piece = text_of[index]
        if row == BEGIN:
            content = BEGIN_PIECE
        elif sentencepiece:
            content = END_PIECE if row == END else piece.encode()
        else:
            content = bytes(to_byte[char] for char in piece)
        if content == b"\0":
            content = b"<0x00>"
        if len(content) > MAX_PIECE_BYTES:
            raise ValueError(f"{path}: token {piece[:40]!r}... has {len(content)} bytes; at most {MAX_PIECE_BYTES}")
        # A piece that is not joined of others, such as a single character, has SentencePiece's score of its row.
        score = float(-place[piece]) if piece in place else float(min(0, FIRST_PIECE - row))
        rows.append((score, content))
    if len({content for _, content in rows}) != len(rows):
        raise ValueError(f"{path}: a token reads {BEGIN_PIECE!r} or <0x00>, which llama2.c has in a row of its own")
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(struct.pack("<i", max(len(content) for _, content in rows)))
        for score, content in rows:
            file.write(struct.pack("<fi", score, len(content)) + content)
    partial.replace(path)


def read_llama2c_tokenizer(path: Path, vocab_size: int) -> str:
    """The ``tokenizer.json`` of a ``tokenizer.bin``, ids as the file's rows; row 1 is renamed ``<|endoftext|>``.

    llama2.c begins each story with row 1 and stops on it. Merges are rebuilt from pieces and scores: of SentencePiece's
    kind all splits of a piece into two, by the score of the piece (as run.c joins, but that run.c takes the leftmost of
    several splits of one score); of our kind the one split that the merges before it lead to.

    :param vocab_size: rows, which only the checkpoint says.
    :raises ValueError: the file is cut, too long, or not a tokenizer of one of the two kinds.
    """
    rows = _read_rows(path, vocab_size)
    pieces = [content for _, content in rows]
    if pieces[BEGIN] != BEGIN_PIECE:
        raise ValueError(f"{path}: row 1 is {pieces[BEGIN]!r}, and llama2.c has {BEGIN_PIECE!r} there")
    byte_rows = pieces[FIRST_BYTE:FIRST_PIECE]
    if byte_rows == [f"<0x{byte:02X}>".encode() for byte in range(256)]:
        return sentencepiece_json(path, rows)
    if byte_rows == [b"<0x00>", *(bytes([byte]) for byte in range(1, 256))]:
        return byte_level_json(path, rows)
    raise ValueError(
        f"{path}: rows 3 to 258 are not the bytes <0x00> to <0xFF>; a file of an old llama2.c is written anew by its"
        " tokenizer.py --tokenizer-model=..."
    )


def _read_rows(path: Path, vocab_size: int) -> Rows:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the tokenizer.bin of the llama2.c model")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: {size:,} bytes are no tokenizer of llama2.c; at most {MAX_FILE_BYTES:,} are read")
    if vocab_size < FIRST_PIECE:
        raise ValueError(f"{path}: a tokenizer of llama2.c has at least {FIRST_PIECE} rows, the model has {vocab_size}")
    data = path.read_bytes()
    if len(data) < 4 + vocab_size * 9:
        raise ValueError(f"{path}: {len(data):,} bytes are too few for {vocab_size:,} pieces; is it another model's?")
    longest, place = struct.unpack_from("<i", data)[0], 4
    rows: Rows = []
    for row in range(vocab_size):
        if place + 8 > len(data):
            raise ValueError(f"{path}: cut in row {row} of {vocab_size}")
        score, length = struct.unpack_from("<fi", data, place)
        content = data[place + 8 : place + 8 + length] if 0 < length <= min(longest, MAX_PIECE_BYTES) else b""
        if len(content) != length or not length:
            raise ValueError(
                f"{path}: row {row} says {length} bytes, with {len(data) - place - 8} left, {longest} in the longest"
                f" piece by the header, and at most {MAX_PIECE_BYTES} allowed"
            )
        if not (math.isfinite(score) and score > LOWEST_SCORE):
            raise ValueError(f"{path}: row {row} has a score of {score}, which run.c could not join by")
        rows.append((score, content))
        place += 8 + length
    if place != len(data):
        raise ValueError(f"{path}: {len(data) - place:,} bytes follow the last of {vocab_size} rows")
    seen: dict[bytes, int] = {}
    for row, (_, content) in enumerate(rows):
        if seen.setdefault(content, row) != row:
            raise ValueError(f"{path}: rows {seen[content]} and {row} are both {content!r}")
    return rows


def _checked(tokenizer_json: dict[str, Any]) -> tuple[dict[str, int], list[str]]:
    """The vocabulary, and the pieces that merges lead to, each once, in the order of the merges.

    :raises ValueError: llama2.c can't have this tokenizer.
    """
    model = tokenizer_json.get("model") or {}
    added = {token["content"]: token["id"] for token in tokenizer_json.get("added_tokens") or ()}
    vocab: dict[str, int] = {**(model.get("vocab") or {}), **added}
    results = list(dict.fromkeys("".join(_pair(merge)) for merge in model.get("merges") or ()))
    if model.get("type") != "BPE" or sorted(vocab.values()) != list(range(len(vocab))):
        raise ValueError(
            f"llama2.c takes a BPE tokenizer with ids 0, 1, ...; this is a {model.get('type')} of {len(vocab)} tokens"
        )
    if _is_sentencepiece(tokenizer_json):
        wanted = {special(row) or f"<0x{row - FIRST_BYTE:02X}>": row for row in range(FIRST_PIECE)}
        if {piece: row for piece, row in vocab.items() if row < FIRST_PIECE} == wanted:
            return vocab, results
    elif (tokenizer_json.get("pre_tokenizer") or {}).get("type") == "ByteLevel":
        others = vocab.keys() - results - {END_OF_TEXT, *byte_chars()}
        if not others and len(vocab) == len(results) + 257:
            return vocab, results
        raise ValueError(
            f"llama2.c has rows for {END_OF_TEXT}, the 256 bytes and merges; this tokenizer also has"
            f" {sorted(others)[:3] or 'a token of two kinds'}"
        )
    raise ValueError(
        "llama2.c takes a byte-level BPE such as tinyscale trains, or a tokenizer that was imported from llama2.c; this"
        " is another kind. Export the model as hf"
    )


def _is_sentencepiece(tokenizer_json: dict[str, Any]) -> bool:
    model, normalizer = tokenizer_json["model"], tokenizer_json.get("normalizer") or {}
    return bool(model.get("byte_fallback")) and normalizer == {"type": "Prepend", "prepend": " "}


def _pair(merge: "str | Sequence[str]") -> Sequence[str]:
    """A merge, as newer files write it or as older ones do."""
    return merge.split(" ") if isinstance(merge, str) else merge
