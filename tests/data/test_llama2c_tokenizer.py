"""llama2.c's tokenizers: encodings are those of a C program of our own that follows run.c's algorithm."""

import json
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tinyscale.data.llama2c_tokenizer import llama2c_order, read_llama2c_tokenizer, write_llama2c_tokenizer
from tinyscale.data.stories import generate_stories
from tinyscale.data.text import END_OF_TEXT

READER = Path(__file__).parent.parent / "promote" / "llama2c_reader.c"
STORIES = [story.text for story in generate_stories(3, 250)]
ODD = [
    "naïve — “quoted”",
    "  two   spaces",
    "tab\tand\nline",
    "猫 🐱!",
    " leading",
    "x" * 40,
    "aaaaa aaaaaaa",
    "1 < 0x41",
]


@pytest.fixture(scope="module")
def c_encode(tmp_path_factory):
    """Texts -> ids as run.c would have them, without its first token."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    program = tmp_path_factory.mktemp("reader") / "llama2c_reader"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", program, READER, "-lm"], check=True)

    def encode(path, vocab_size, texts):
        given = b"".join(text.encode() + b"\0" for text in texts)
        done = subprocess.run([program, "encode", path, str(vocab_size)], input=given, capture_output=True, check=True)
        return [[int(word) for word in line.split()] for line in done.stdout.decode().splitlines()]

    return encode


def byte_level(vocab_size, end_last=False):
    """A tokenizer as tinyscale trains it; ``end_last``: with its ids in GPT-2's order, end of text last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(STORIES, trainer)
    found = json.loads(tokenizer.to_str())
    if end_last:
        vocab = {piece: (index - 1) % vocab_size for piece, index in found["model"]["vocab"].items()}
        found["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
        found["added_tokens"][0]["id"] = vocab_size - 1
    return found


@pytest.fixture(scope="module", params=[259, 512, 1000, "gpt2"])
def ours(request):
    return byte_level(600, end_last=True) if request.param == "gpt2" else byte_level(request.param)


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory):
    """A file as llama2.c's tokenizer.py writes it, of a SentencePiece-like BPE: merges first, then characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    alphabet = [char for char in {*"".join(STORIES), "▁"} if char not in " qz"]  # q and z fall back to bytes
    trainer = trainers.BpeTrainer(vocab_size=500, limit_alphabet=len(alphabet), initial_alphabet=alphabet)
    trainer.show_progress = False
    tokenizer.train_from_iterator([text.translate({ord("q"): None, ord("z"): None}) for text in STORIES], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    joined = list(dict.fromkeys("".join(merge) for merge in model["merges"]))
    chars = [piece for piece in model["vocab"] if len(piece) == 1]
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{byte:02X}>" for byte in range(256)), *joined, *chars]
    path = tmp_path_factory.mktemp("sp") / "tokenizer.bin"
    path.write_bytes(
        packed([(min(0, 259 - row), piece.replace("▁", " ").encode()) for row, piece in enumerate(pieces)])
    )
    return path, len(pieces)


def packed(rows):
    longest = max(len(piece) for _, piece in rows)
    return struct.pack("I", longest) + b"".join(struct.pack("fI", score, len(p)) + p for score, p in rows)


def unpacked(data):
    rows, at = [], 4
    while at < len(data):
        score, length = struct.unpack_from("fI", data, at)
        rows.append((score, data[at + 8 : at + 8 + length]))
        at += 8 + length
    return rows


def test_sentencepiece_encodes_as_run_c_does(sentencepiece, c_encode):
    path, size = sentencepiece
    tokenizer = Tokenizer.from_str(read_llama2c_tokenizer(path, size))
    texts = [*STORIES[:60], *ODD]
    expected = c_encode(path, size, texts)
    assert [tokenizer.encode(text).ids for text in texts] == expected
    assert [tokenizer.decode(ids) for ids in expected] == texts
    fallback = sum(3 <= token < 259 for ids in expected for token in ids)
    merged = sum(token >= 259 for ids in expected for token in ids)
    assert fallback > 30
    assert merged > 3000
    assert tokenizer.encode("").ids == []


def test_random_text_too_encodes_as_run_c_does(sentencepiece, c_encode):
    path, size = sentencepiece
    tokenizer = Tokenizer.from_str(read_llama2c_tokenizer(path, size))
    dice = random.Random(0)
    texts = ["".join(dice.choices(" aehinorstq\n😀é", k=60)) for _ in range(200)]
    assert [tokenizer.encode(text).ids for text in texts] == c_encode(path, size, texts)


def test_sentencepiece_names_its_tokens_as_ours(sentencepiece):
    path, size = sentencepiece
    tokenizer = Tokenizer.from_str(read_llama2c_tokenizer(path, size))
    assert tokenizer.get_vocab_size() == size
    assert [tokenizer.id_to_token(row) for row in range(4)] == ["<unk>", END_OF_TEXT, "</s>", "<0x00>"]
    assert tokenizer.encode(f"a{END_OF_TEXT}").ids[-1] == 1


def test_sentencepiece_is_written_again_to_the_byte(sentencepiece, tmp_path):
    path, size = sentencepiece
    found = json.loads(read_llama2c_tokenizer(path, size))
    assert llama2c_order(found) == list(range(size))
    write_llama2c_tokenizer(tmp_path / "again.bin", found, llama2c_order(found))
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()


def test_rows_of_ours_are_where_run_c_looks(ours, tmp_path):
    order = llama2c_order(ours)
    size = len(ours["model"]["vocab"])
    assert sorted(order) == list(range(size))
    write_llama2c_tokenizer(tmp_path / "t.bin", ours, order)
    rows = unpacked((tmp_path / "t.bin").read_bytes())
    tokenizer = Tokenizer.from_str(json.dumps(ours))
    assert order[1] == tokenizer.token_to_id(END_OF_TEXT)
    assert [piece for _, piece in rows[3:259]] == [b"<0x00>", *(bytes([byte]) for byte in range(1, 256))]
    words = [rows[row][1] for row in (0, 2, *range(259, size))]
    assert {word.decode() for word in words} == {tokenizer.decode([order[row]]) for row in (0, 2, *range(259, size))}
    assert sorted((score for score, _ in rows), reverse=True) == [0.0] * 257 + [-float(i) for i in range(size - 257)]


def test_a_file_of_ours_comes_back_the_same(ours, tmp_path):
    """Pieces, merges and so every encoding, ids being the file's rows; and the second file is the first."""
    order = llama2c_order(ours)
    write_llama2c_tokenizer(tmp_path / "t.bin", ours, order)
    back = json.loads(read_llama2c_tokenizer(tmp_path / "t.bin", len(order)))
    assert back["model"]["merges"] == ours["model"]["merges"]
    assert {piece: order[row] for piece, row in back["model"]["vocab"].items()} == ours["model"]["vocab"]
    first, second = Tokenizer.from_str(json.dumps(ours)), Tokenizer.from_str(json.dumps(back))
    for text in [*STORIES[:20], *ODD, f"one{END_OF_TEXT}two"]:
        assert [order[row] for row in second.encode(text).ids] == first.encode(text).ids
        assert second.decode(second.encode(text).ids) == first.decode(first.encode(text).ids)
    assert llama2c_order(back) == list(range(len(order)))
    write_llama2c_tokenizer(tmp_path / "again.bin", back, llama2c_order(back))
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "t.bin").read_bytes()


def test_run_c_reads_stories_as_we_do_after_its_space(ours, c_encode, tmp_path):
    order = llama2c_order(ours)
    write_llama2c_tokenizer(tmp_path / "t.bin", ours, order)
    tokenizer = Tokenizer.from_str(json.dumps(ours))
    found = c_encode(tmp_path / "t.bin", len(order), STORIES[:60])
    assert [[order[row] for row in rows] for rows in found] == [
        tokenizer.encode(f" {text}").ids for text in STORIES[:60]
    ]


def rows_of(path):
    return unpacked(path.read_bytes())


def changed(row, score=None, piece=None):
    def change(rows):
        rows[row] = (rows[row][0] if score is None else score, rows[row][1] if piece is None else piece)
        return packed(rows)

    return change


HOSTILE = {
    "empty": (lambda rows: b"", "too few"),
    "cut": (lambda rows: packed(rows)[:-1], "row 499 says"),
    "longer": (lambda rows: packed(rows) + b"x", "1 bytes follow"),
    "one row more": (lambda rows: packed([*rows, (0.0, b"extra")]), "13 bytes follow the last"),
    "empty piece": (changed(300, piece=b""), "row 300 says 0 bytes"),
    "long piece": (changed(300, piece=b"x" * 513), "row 300 says 513 bytes.* at most 512"),
    "negative length": (lambda rows: packed(rows)[:8] + struct.pack("i", -5) + packed(rows)[12:], "row 0 says -5"),
    "huge length": (lambda rows: packed(rows)[:8] + struct.pack("i", 2**31 - 1) + packed(rows)[12:], "row 0 says"),
    "longest lies": (lambda rows: struct.pack("i", 2) + packed(rows)[4:], "row 0 says 5 bytes"),
    "nan": (changed(301, score=float("nan")), "row 301 has a score of nan"),
    "inf": (changed(301, score=float("inf")), "row 301 has a score of inf"),
    "too low": (changed(301, score=-2e10), "row 301 has a score"),
    "twice": (lambda rows: changed(310, piece=rows[320][1])(rows), "rows 310 and 320 are both"),
    "no utf-8": (changed(302, piece=b"\xff\xfe"), "row 302.* is not UTF-8"),
    "no begin": (changed(1, piece=b"hello"), "row 1 is b'hello'"),
    "no unknown": (changed(0, piece=b"hello"), "rows 0 and 2"),
    "no space": (lambda rows: packed([(s, b"!!" if p == b" " else p) for s, p in rows]), "single space"),
    "bytes elsewhere": (changed(50, piece=b"abc"), "rows 3 to 258 are not the bytes"),
    "our end as a piece": (changed(303, piece=END_OF_TEXT.encode()), "beside the rows of that name"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(sentencepiece, tmp_path, name):
    path, size = sentencepiece
    change, words = HOSTILE[name]
    bad = tmp_path / "tokenizer.bin"
    bad.write_bytes(change(rows_of(path)))
    with pytest.raises(ValueError, match=words.replace("499", str(size - 1))) as refused:
        read_llama2c_tokenizer(bad, size)
    assert str(bad) in str(refused.value)


@pytest.mark.parametrize(
    ("size", "words"), [(258, "at least 259"), (10**9, "too few for 1,000,000,000"), (-3, "at least")]
)
def test_impossible_sizes_are_refused(sentencepiece, size, words):
    with pytest.raises(ValueError, match=words):
        read_llama2c_tokenizer(sentencepiece[0], size)


def test_merges_that_lead_nowhere_are_refused(tmp_path):
    ours = byte_level(400)
    write_llama2c_tokenizer(tmp_path / "t.bin", ours, llama2c_order(ours))
    rows = rows_of(tmp_path / "t.bin")
    rows[259] = (rows[259][0], b"wxyz")
    (tmp_path / "t.bin").write_bytes(packed(rows))
    with pytest.raises(ValueError, match="row 259, b'wxyz', is not two pieces of higher scores"):
        read_llama2c_tokenizer(tmp_path / "t.bin", 400)


def test_tokenizers_without_a_place_in_llama2c_are_refused():
    with pytest.raises(ValueError, match=r"at least 259 tokens.*this tokenizer has 258"):
        llama2c_order(byte_level(258))
    other = byte_level(300)
    other["added_tokens"].append({"id": 300, "content": "<|beginoftext|>"})
    with pytest.raises(ValueError, match=r"also has.*beginoftext"):
        llama2c_order(other)
    with pytest.raises(ValueError, match=r"is another kind\. Export the model as hf"):
        llama2c_order(byte_level(300) | {"pre_tokenizer": {"type": "Whitespace"}})
    with pytest.raises(ValueError, match="takes a BPE tokenizer"):
        llama2c_order({"model": {"type": "Unigram", "vocab": {}}})
    with pytest.raises(ValueError, match="does not name each of 300 tokens once"):
        write_llama2c_tokenizer(Path("nowhere"), byte_level(300), [0] * 300)
