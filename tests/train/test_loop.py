import math
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from tinyscale.accounting import count_parameters
from tinyscale.model.store import load_model
from tinyscale.results.journal import read_journal
from tinyscale.results.store import TrialFolder
from tinyscale.spec import TrialResult, read_json
from tinyscale.train.device import pick_device
from tinyscale.train.evaluate import evaluate
from tinyscale.train.loop import JobError, run, train
from tinyscale.train.session import Session


def same_numbers(records):
    """What must not depend on when and how often a trial was interrupted."""
    timed = ("speed/", "memory/")
    return [
        (r.step, r.tokens, {name: value for name, value in r.metrics.items() if not name.startswith(timed)})
        for r in records
    ]


def test_a_trial_ends_with_journal_model_and_result(make_job):
    job = make_job()
    records = []
    result = run(job, records.append)
    folder = TrialFolder(Path(job.folder))
    assert [r.step for r in records] == [4, 8, 10, 12, 16, 20, 24]
    assert records == read_journal(folder.journal)[0]
    assert [r.step for r in records if "eval/bpb" in r.metrics] == [10, 20, 24]
    assert len({name for r in records for name in r.metrics}) < 20
    assert records[0].metrics["train/loss"] == pytest.approx(math.log(300), rel=0.05)
    assert records[-1].metrics["train/loss"] < records[0].metrics["train/loss"]
    assert not folder.checkpoints.exists()

    assert result == read_json(TrialResult, folder.result)
    assert (result.status, result.steps, result.engine, result.workers, result.precision) == (
        "done", 24, "torch", 1, "fp32",
    )  # fmt: skip
    assert result.model_digest == sha256((folder.model / "model.safetensors").read_bytes()).hexdigest()
    assert result.finished_s > result.started_s > 0
    assert result.train_s > 0
    assert result.versions["torch"] == str(torch.__version__)
    assert result.device
    (point,) = result.points
    assert point.params_total == count_parameters(job.trial.model).total
    assert point.tokens == 24 * 8 * 32
    assert point.bpb == records[-1].metrics["eval/bpb"]
    assert point.bpb == pytest.approx(point.loss * result.eval_tokens / (math.log(2) * result.eval_bytes))
    assert 3 < point.unigram_loss < math.log(300)  # some of the 300 tokens are more frequent than others
    assert point.flops == records[-1].metrics["train/flops"]

    validation = Session(job).validation
    found = evaluate(load_model(folder.model), validation, pick_device("fp32"))
    assert found.loss == point.loss


def test_a_finished_trial_is_never_run_again(make_job):
    job = make_job(tokens=4 * 8 * 32)
    first = run(job, lambda record: None)
    assert list(train(job)) == []
    assert run(job, pytest.fail) == first


def test_a_stopped_trial_goes_on_where_it_stood(make_job):
    whole, parts = make_job("whole"), make_job("parts")
    expected = list(train(whole))
    lives = []
    while not TrialFolder(Path(parts.folder)).result.exists():
        asked = iter([False] * 7)  # seven steps a life, in step with neither records nor checkpoints
        lives.append(list(train(parts, lambda asked=asked: next(asked, True))))
    assert len(lives) == 4
    assert same_numbers(record for life in lives for record in life) == same_numbers(expected)
    first, second = (read_json(TrialResult, TrialFolder(Path(job.folder)).result) for job in (whole, parts))
    assert first.model_digest == second.model_digest
    assert second.train_s > 0


def test_a_closed_generator_leaves_a_folder_to_go_on_from(make_job):
    whole, closed = make_job("whole"), make_job("closed")
    expected = list(train(whole))
    records = []
    generator = train(closed)
    for record in generator:
        records.append(record)
        if record.step == 12:
            generator.close()
    assert [r.step for r in read_journal(TrialFolder(Path(closed.folder)).journal)[0]][-1] == 12
    records += train(closed)
    assert same_numbers(records) == same_numbers(expected)


def test_stopping_before_the_first_step_leaves_nothing_behind(make_job):
    job = make_job()
    assert run(job, pytest.fail, stop=lambda: True) is None
    assert not TrialFolder(Path(job.folder)).checkpoints.exists()


def test_how_a_trial_is_watched_does_not_change_it(make_job):
    digests = set()
    for index, watched in enumerate(({"log_every": 3}, {"log_every": 0, "checkpoint_every": 0}, {"eval_every": 0})):
        digests.add(run(make_job(str(index), **watched), lambda record: None).model_digest)
    assert len(digests) == 1


def test_gradient_accumulation_computes_the_same_step(make_job):
    no_dropout = {"dropout": 0.0}
    whole = list(train(make_job("whole", model=no_dropout)))
    parts = list(train(make_job("parts", model=no_dropout, micro_batch_size=2)))
    for a, b in zip(whole, parts, strict=True):
        assert a.metrics["train/loss"] == pytest.approx(b.metrics["train/loss"], rel=1e-5)
        assert a.metrics["train/grad_norm"] == pytest.approx(b.metrics["train/grad_norm"], rel=1e-4)


def test_bf16_trains_under_autocast(make_job):
    fp32 = list(train(make_job("fp32")))
    bf16 = list(train(make_job("bf16", precision="bf16")))
    assert bf16[-1].metrics["eval/loss"] == pytest.approx(fp32[-1].metrics["eval/loss"], rel=0.01)
    assert bf16[-1].metrics["eval/loss"] != fp32[-1].metrics["eval/loss"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"learning_rate": 1e30, "warmup_steps": 0}, "is (nan|inf) at step"), ({"learning_rate": 30.0}, "above 1.5 x")],
)
def test_divergence_ends_a_trial(make_job, changes, reason):
    job = make_job(weight_decay=0.0, tokens=400 * 8 * 32, **changes)
    result = run(job, lambda record: None)
    folder = TrialFolder(Path(job.folder))
    assert result.status == "diverged"
    assert result.points == ()
    assert re.search(reason, result.message)
    assert result.steps < 400
    assert not folder.model.exists()
    assert not folder.checkpoints.exists()
    assert list(train(job)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 2}, "asks for 2 workers, but 1 are running; start it with torchrun"),
        ({"micro_batch_size": 3}, "micro_batch_size=3 does not divide"),
        ({"model": {"vocab_size": 280}}, "300 kinds of tokens"),
        ({"eval_bytes": 1}, "eval_bytes"),
    ],
)
def test_jobs_that_cannot_run_are_refused(make_job, changes, message):
    job = make_job(**changes)
    with pytest.raises(JobError, match=message):
        next(train(job))


@pytest.mark.parametrize("path", ["shards", "tokenizer"])
def test_missing_data_is_named_before_training(make_job, path):
    with pytest.raises(JobError, match=r"nowhere.*`tinyscale prepare`"):
        next(train(replace(make_job(), **{path: "/nowhere"})))


def test_another_trials_checkpoints_are_refused(make_job):
    job = make_job()
    asked = iter([False] * 6)
    list(train(job, lambda: next(asked, True)))
    other = replace(job, trial=replace(job.trial, train=replace(job.trial.train, seed=1)))
    with pytest.raises(JobError, match="give each trial a folder of its own"):
        next(train(other))
