import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.data import prepare
from tinyscale.results.store import StudyStore
from tinyscale.spec import FilesCorpus, Job, ModelConfig, Study, TokenizerSpec, TrainConfig, Trial
from tinyscale.spec.study import Resources

VOCAB_SIZE = 280
MODEL = ModelConfig(
    preset="llama",
    vocab_size=VOCAB_SIZE,
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=2,
    intermediate_size=32,
    context_length=32,
    norm="rms",
    norm_position="pre",
    positions="rope",
    mlp="swiglu",
    qkv_bias=False,
    bias=False,
    tie_embeddings=True,
)
STUDY = Study(name="tiny", space=({},), resources=Resources(engine="torch", max_failures=2))

MakeJobs = Callable[..., list[Job]]
"""(store, seeds, steps) -> jobs in the store's folders; further keywords are fields of Job."""


def write_stories(path: Path, count: int, seed: int) -> str:
    words = ["the", "a", "cat", "dog", "sun", "tree", "ran", "saw", "big", "red", "happy", "and", "it", "was"]
    rng = random.Random(seed)
    stories = (" ".join(rng.choices(words, k=30)) + ".\n<|endoftext|>\n" for _ in range(count))
    path.write_text("".join(stories), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def make_jobs(tmp_path_factory: pytest.TempPathFactory) -> MakeJobs:
    folder = tmp_path_factory.mktemp("corpus")
    corpus = FilesCorpus(
        train=(write_stories(folder / "train.txt", 800, 0),), valid=(write_stories(folder / "valid.txt", 40, 1),)
    )
    prepared = prepare(replace(STUDY, corpus=corpus, tokenizer=TokenizerSpec()), (VOCAB_SIZE,), folder / "cache")

    def make(store: StudyStore, seeds: range, steps: int, **fields: object) -> list[Job]:
        train = TrainConfig(
            tokens=steps * 4 * MODEL.context_length,
            batch_size=4,
            learning_rate=3e-3,
            warmup_steps=5,
            eval_bytes=2_000,
            checkpoint_every=40,
        )
        trials = [
            Trial(
                model=MODEL,
                train=replace(train, seed=seed),
                corpus=prepared.corpus.digest,
                tokenizer=prepared.tokenizer_digests[VOCAB_SIZE],
            )
            for seed in seeds
        ]
        common = {
            "shards": str(prepared.shards[VOCAB_SIZE]),
            "tokenizer": str(prepared.tokenizers[VOCAB_SIZE]),
            "engine": "torch",
        } | fields
        return [Job(trial=t, folder=str(store.trial(t.id).path), **common) for t in trials]  # type: ignore[arg-type]

    return make


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    return StudyStore(tmp_path / "runs" / STUDY.name)
