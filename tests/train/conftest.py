import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tinyscale.data import prepare
from tinyscale.spec import BuiltinCorpus, Job, ModelConfig, Study, TokenizerSpec, TrainConfig, Trial

VOCAB_SIZE = 300

MODEL = ModelConfig(
    preset="gpt2", vocab_size=VOCAB_SIZE, hidden_size=16, num_layers=2, num_heads=2, num_kv_heads=2,
    intermediate_size=64, context_length=32, norm="layer", norm_position="pre", positions="learned", mlp="gelu",
    qkv_bias=True, bias=True, tie_embeddings=True, dropout=0.1,
)  # fmt: skip

TRAIN = TrainConfig(
    tokens=24 * 8 * 32, batch_size=8, learning_rate=3e-3, warmup_steps=4, eval_every=10, eval_bytes=4000, log_every=4,
    checkpoint_every=5,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    study = Study(
        name="tests",
        corpus=BuiltinCorpus(train_stories=60, valid_stories=12),
        tokenizer=TokenizerSpec(train_bytes=20_000),
        space=(),
    )
    return prepare(study, [VOCAB_SIZE], tmp_path_factory.mktemp("cache"))


@pytest.fixture
def make_job(corpus, tmp_path):
    """A job of 24 steps in a folder of its own; keywords replace fields of the job, the model or the training."""

    def make(folder="trial", *, engine="torch", workers=1, model=None, **train):
        trial = Trial(
            model=replace(MODEL, **(model or {})),
            train=replace(TRAIN, **train),
            corpus=corpus.corpus.digest,
            tokenizer=corpus.tokenizer_digests[VOCAB_SIZE],
        )
        return Job(
            trial=trial, shards=str(corpus.shards[VOCAB_SIZE]), tokenizer=str(corpus.tokenizers[VOCAB_SIZE]),
            folder=str(tmp_path / folder), engine=engine, workers=workers,
        )  # fmt: skip

    return make


@pytest.fixture
def start_worker():
    """Start ``python -P -m tinyscale.train`` with some arguments; whatever still runs at the end is killed."""
    started = []

    def start(*arguments, module=("-m", "tinyscale.train"), **environment):
        command = [sys.executable, "-P", *module, *map(str, arguments)]
        source = str(Path(__file__).parents[2])
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def start_pair(start_worker):
    """Two workers on this machine, as torchrun would start them."""

    def start(*arguments, **options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
        return [start_worker(*arguments, **options, **shared, **rank) for rank in ranks]

    return start
