"""What is said of a vocabulary: counted again from the text's own tokens."""

from collections import Counter
from pathlib import Path

import pytest

from tinyscale.data import Prepared, cached_shards, prepare
from tinyscale.data.coverage import vocabulary_facts
from tinyscale.data.shards import Shards
from tinyscale.data.text_per_token import estimated_bytes_per_token
from tinyscale.data.tokenizer import GPT2_VOCAB_SIZE, MIN_VOCAB_SIZE
from tinyscale.spec import BuiltinCorpus, Study, TokenizerSpec, VocabularyFacts, read_json, write_json

STUDY = Study(name="test", corpus=BuiltinCorpus(train_stories=600, valid_stories=30), space=({},))
SIZES = (300, 512, 777)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def prepared(cache: Path) -> Prepared:
    return prepare(STUDY, SIZES, cache)


def test_coverage_is_the_share_of_the_most_frequent_tokens(prepared: Prepared) -> None:
    shards = Shards.open(prepared.shards[777])
    facts = vocabulary_facts(shards, SIZES)
    assert [k for k, _ in facts.coverage] == [16, 32, 64, 128, 256, 300, 512, 777]
    counted = Counter(shards.train.tokens.tolist())
    for k, share in facts.coverage:
        most = sum(count for _, count in counted.most_common(k))
        assert share == pytest.approx(most / len(shards.train.tokens), abs=1e-12)
    assert facts.coverage[-1] == (777, 1.0)
    assert facts.bytes_per_token == prepared.corpus.train_bytes / len(shards.train.tokens)


def test_larger_vocabularies_of_the_study_are_no_rows_of_a_smaller_one(prepared: Prepared) -> None:
    facts = vocabulary_facts(Shards.open(prepared.shards[512]), SIZES)
    assert [k for k, _ in facts.coverage] == [16, 32, 64, 128, 256, 300, 512]


def test_facts_survive_their_file(prepared: Prepared, tmp_path: Path) -> None:
    facts = vocabulary_facts(Shards.open(prepared.shards[300]))
    write_json(tmp_path / "facts.json", facts)
    assert read_json(VocabularyFacts, tmp_path / "facts.json") == facts


def test_shards_are_found_without_being_made(prepared: Prepared, cache: Path, tmp_path: Path) -> None:
    digest = prepared.corpus.digest
    found = cached_shards(STUDY, digest, 512, cache)
    assert found is not None
    assert found.vocab_size == 512
    assert cached_shards(STUDY, digest, 513, cache) is None
    assert cached_shards(STUDY, digest, 512, tmp_path) is None
    assert not any(tmp_path.iterdir())


def test_damaged_shards_are_as_good_as_none(tmp_path: Path) -> None:
    made = prepare(STUDY, [290], tmp_path)
    (made.shards[290] / "train.bin").write_bytes(b"torn")
    assert cached_shards(STUDY, made.corpus.digest, 290, tmp_path) is None


def test_an_estimate_is_near_what_is_counted(prepared: Prepared) -> None:
    """600 built-in stories are not the text that the table was made of, so only nearly."""
    for size in SIZES:
        counted = Shards.open(prepared.shards[size]).bytes_per_token
        assert estimated_bytes_per_token(TokenizerSpec(), size) == pytest.approx(counted, rel=0.12)


def test_estimates_grow_with_the_vocabulary_and_end_where_the_table_does() -> None:
    guesses = [estimated_bytes_per_token(TokenizerSpec(), size) for size in (MIN_VOCAB_SIZE, 400, 512, 3000, 10_000)]
    assert guesses == sorted(set(guesses))
    assert estimated_bytes_per_token(TokenizerSpec(), GPT2_VOCAB_SIZE) == guesses[-1]
    assert estimated_bytes_per_token(TokenizerSpec(source="gpt2"), GPT2_VOCAB_SIZE) != guesses[-1]
