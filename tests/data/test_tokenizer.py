"""Tokenizers: nested vocabularies, exact round trips, GPT-2's files, one training for all sizes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers.pre_tokenizers import ByteLevel

from tinyscale.data.corpus import CorpusFiles, prepare_corpus
from tinyscale.data.text import END_OF_TEXT
from tinyscale.data.tokenizer import (
    GPT2_VOCAB_SIZE,
    MIN_VOCAB_SIZE,
    end_of_text_id,
    load_tokenizer,
    prepare_tokenizer,
    tokenizer_digest,
)
from tinyscale.spec import BuiltinCorpus, FilesCorpus, TokenizerSpec

STRANGE = 'Ünï—"café" 🐈‍⬛\r\n\t  two  spaces\x00 日本語 don\'t\n'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CorpusFiles:
    return prepare_corpus(BuiltinCorpus(train_stories=300, valid_stories=20), tmp_path_factory.mktemp("corpus"))


def test_training_for_a_size_equals_the_beginning_of_a_larger_one(files: CorpusFiles, tmp_path: Path) -> None:
    spec = TokenizerSpec()
    together = prepare_tokenizer(spec, files, [300, 512, 1000], tmp_path / "together")
    for size in (300, 512):
        alone = prepare_tokenizer(spec, files, [size], tmp_path / f"alone{size}")
        assert json.loads(alone[size].read_text()) == json.loads(together[size].read_text())


def test_merges_that_lead_to_a_token_known_already_still_nest(tmp_path: Path) -> None:
    """Text where two ways lead to one token: the trainer lists both merges, and only the first gives a token."""
    words = ["abc"] * 9 + ["ab"] * 7 + ["bc"] * 8 + ["xbc"] * 6 + ["abcd", "abx", "bcx", "cab"] * 5
    path = tmp_path / "text.txt"
    path.write_text("\n<|endoftext|>\n".join([" ".join(words), *words]))
    corpus = prepare_corpus(FilesCorpus(train=(str(path),), valid=(str(path),)), tmp_path)
    sizes = range(MIN_VOCAB_SIZE, 270)
    together = prepare_tokenizer(TokenizerSpec(), corpus, list(sizes), tmp_path / "together")
    for size in sizes:
        alone = prepare_tokenizer(TokenizerSpec(), corpus, [size], tmp_path / f"alone{size}")
        assert json.loads(alone[size].read_text()) == json.loads(together[size].read_text())


def test_ids_are_end_of_text_then_bytes_then_merges(files: CorpusFiles, tmp_path: Path) -> None:
    paths = prepare_tokenizer(TokenizerSpec(), files, [MIN_VOCAB_SIZE, 400], tmp_path)
    small, large = (load_tokenizer(paths[size]) for size in (MIN_VOCAB_SIZE, 400))
    assert end_of_text_id(small) == end_of_text_id(large) == 0
    assert {small.id_to_token(i) for i in range(1, 257)} == set(ByteLevel.alphabet())
    assert all(small.id_to_token(i) == large.id_to_token(i) for i in range(MIN_VOCAB_SIZE))
    assert large.get_vocab_size() == 400


def test_any_text_survives_the_round_trip(files: CorpusFiles, tmp_path: Path) -> None:
    for path in prepare_tokenizer(TokenizerSpec(), files, [MIN_VOCAB_SIZE, 512], tmp_path).values():
        tokenizer = load_tokenizer(path)
        for text in (STRANGE, "word", " word"):
            assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert len(tokenizer.encode(f"a{END_OF_TEXT}b").ids) == 3


def test_a_larger_training_serves_smaller_sizes(files: CorpusFiles, tmp_path: Path) -> None:
    said: list[str] = []
    prepare_tokenizer(TokenizerSpec(), files, [600], tmp_path, said.append)
    assert said == ["learning a vocabulary of 600 tokens"]
    prepare_tokenizer(TokenizerSpec(), files, [300, 500], tmp_path, said.append)
    assert len(said) == 1
    prepare_tokenizer(TokenizerSpec(), files, [700], tmp_path, said.append)
    assert said[1:] == ["learning a vocabulary of 700 tokens"]


def test_only_the_first_bytes_are_learned_on(files: CorpusFiles, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from its first 600 bytes"):
        prepare_tokenizer(TokenizerSpec(train_bytes=600), files, [2000], tmp_path)


def test_too_few_merges_say_how_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abab")
    corpus = prepare_corpus(FilesCorpus(train=(str(path),), valid=(str(path),)), tmp_path)
    with pytest.raises(
        ValueError, match=r"vocab_size 300 needs 43 merges, but the corpus yields only 1 .* at most 258"
    ):
        prepare_tokenizer(TokenizerSpec(), corpus, [300], tmp_path)


def test_damaged_tokenizer_is_made_again(files: CorpusFiles, tmp_path: Path) -> None:
    path = prepare_tokenizer(TokenizerSpec(), files, [300], tmp_path)[300]
    whole = path.read_text()
    path.write_text(whole[:1000])
    said: list[str] = []
    assert prepare_tokenizer(TokenizerSpec(), files, [300], tmp_path, said.append)[300].read_text() == whole
    assert "damaged" in said[0]


def test_digest_names_corpus_and_size_and_checks_the_size() -> None:
    spec = TokenizerSpec()
    digests = {
        tokenizer_digest(s, c, v) for s in (spec, TokenizerSpec(train_bytes=9)) for c in "ab" for v in (300, 301)
    }
    assert len(digests) == 8
    with pytest.raises(ValueError, match="vocab_size is 256; it must be at least 257"):
        tokenizer_digest(spec, "a", 256)
    with pytest.raises(ValueError, match="with the gpt2 tokenizer it must be 50257"):
        tokenizer_digest(TokenizerSpec(source="gpt2"), "a", 512)


def test_transformers_loads_it(files: CorpusFiles, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    path = prepare_tokenizer(TokenizerSpec(), files, [512], tmp_path)[512]
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(path))
    assert theirs(STRANGE)["input_ids"] == load_tokenizer(path).encode(STRANGE).ids
    assert theirs.decode(theirs(STRANGE)["input_ids"], clean_up_tokenization_spaces=False) == STRANGE


@pytest.fixture
def gpt2_files(tmp_path: Path) -> TokenizerSpec:
    """A vocabulary of GPT-2's form and size, with merges of our own and no #version line."""
    tokens = sorted(ByteLevel.alphabet())
    merges = [(left, right) for left in tokens for right in tokens][: GPT2_VOCAB_SIZE - 257]
    tokens += [left + right for left, right in merges] + [END_OF_TEXT]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("\n".join(map(" ".join, merges)) + "\n", encoding="utf-8")
    return TokenizerSpec(
        source="gpt2", vocab_file=str(tmp_path / "vocab.json"), merges_file=str(tmp_path / "merges.txt")
    )


def test_gpt2_from_local_files(gpt2_files: TokenizerSpec, files: CorpusFiles, tmp_path: Path) -> None:
    path = prepare_tokenizer(gpt2_files, files, [GPT2_VOCAB_SIZE], tmp_path)[GPT2_VOCAB_SIZE]
    tokenizer = load_tokenizer(path)
    assert tokenizer.get_vocab_size() == GPT2_VOCAB_SIZE
    assert end_of_text_id(tokenizer) == GPT2_VOCAB_SIZE - 1
    assert tokenizer.decode(tokenizer.encode(STRANGE).ids) == STRANGE
    assert tokenizer.encode(f"x{END_OF_TEXT}").ids[-1] == GPT2_VOCAB_SIZE - 1


def test_gpt2_digest_is_of_the_content(gpt2_files: TokenizerSpec) -> None:
    before = tokenizer_digest(gpt2_files, "any corpus", GPT2_VOCAB_SIZE)
    assert before == tokenizer_digest(gpt2_files, "another corpus", GPT2_VOCAB_SIZE)
    assert before != tokenizer_digest(TokenizerSpec(source="gpt2"), "any corpus", GPT2_VOCAB_SIZE)
    merges = Path(gpt2_files.merges_file)
    merges.write_text("#version: 0.2\n" + merges.read_text(encoding="utf-8"), encoding="utf-8")
    assert before == tokenizer_digest(gpt2_files, "any corpus", GPT2_VOCAB_SIZE)


def test_mixed_is_gpt2_at_its_own_size_and_learned_at_all_others(
    gpt2_files: TokenizerSpec, files: CorpusFiles, tmp_path: Path
) -> None:
    """The learned ones do not ask for the 50,000 merges that this corpus has not."""
    mixed = replace(gpt2_files, source="mixed")
    paths = prepare_tokenizer(mixed, files, [300, GPT2_VOCAB_SIZE], tmp_path)
    for size, source in ((300, "bpe"), (GPT2_VOCAB_SIZE, "gpt2")):
        alone = replace(gpt2_files, source=source)
        assert tokenizer_digest(mixed, files.digest, size) == tokenizer_digest(alone, files.digest, size)
        assert paths[size] == prepare_tokenizer(alone, files, [size], tmp_path)[size]


def test_files_that_are_not_gpt2s_are_refused(gpt2_files: TokenizerSpec, tmp_path: Path) -> None:
    Path(gpt2_files.vocab_file).write_text("{}")
    with pytest.raises(ValueError, match=r"vocab\.json: not GPT-2's"):
        tokenizer_digest(gpt2_files, "c", GPT2_VOCAB_SIZE)
    with pytest.raises(ValueError, match="needs both vocab_file and merges_file"):
        tokenizer_digest(TokenizerSpec(source="gpt2", vocab_file="vocab.json"), "c", GPT2_VOCAB_SIZE)
    with pytest.raises(ValueError, match=r"gone\.json: no such file"):
        tokenizer_digest(TokenizerSpec(source="gpt2", vocab_file="gone.json", merges_file="m"), "c", GPT2_VOCAB_SIZE)
