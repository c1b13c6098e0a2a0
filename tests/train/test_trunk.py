"""One trunk gives the points of several token budgets, each the one that a run of its own would give."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.accounting import training_flops
from tinyscale.results.journal import read_journal
from tinyscale.results.store import TrialFolder
from tinyscale.spec import TrialResult, read_json
from tinyscale.train.loop import run, train

STEP = 8 * 32
BUDGETS = {"tokens": 24 * STEP, "branches": (10 * STEP, 15 * STEP), "schedule": "trunk"}
LINES = [(0, 8, 10), (8, 12, 15), (12, 19, 24)]
"""Start, fork and end of each, in steps."""


def same_numbers(records):
    timed = ("speed/", "memory/")
    return [
        (r.step, r.tokens, {name: value for name, value in r.metrics.items() if not name.startswith(timed)})
        for r in records
    ]


def result_of(job):
    return read_json(TrialResult, TrialFolder(Path(job.folder)).result)


def test_lines_and_steps_of_a_trunk(make_job):
    trial = make_job(**BUDGETS).trial
    assert [(line.start, line.fork, line.end) for line in trial.lines] == LINES
    assert trial.steps == 10 + 7 + 12
    assert trial.budgets == (10 * STEP, 15 * STEP, 24 * STEP)
    alone = make_job(tokens=24 * STEP).trial
    assert (alone.steps, alone.budgets) == (24, (24 * STEP,))
    assert alone.id != trial.id != replace(trial, train=replace(trial.train, branches=(10 * STEP,))).id


@pytest.mark.parametrize("engine", ["torch", "zero"])
def test_each_branch_is_bit_by_bit_the_run_of_its_budget_alone(make_job, engine):
    trunk = make_job("trunk", engine=engine, **BUDGETS)
    records = list(train(trunk))
    result = result_of(trunk)
    alone = [
        run(make_job(f"alone-{steps}", engine=engine, tokens=steps * STEP, schedule="wsd"), lambda record: None)
        for steps in (10, 15, 24)
    ]
    assert [(p.tokens, p.loss, p.bpb) for p in result.points] == [
        (p.tokens, p.loss, p.bpb) for one in alone for p in one.points
    ]
    assert result.model_digest == alone[-1].model_digest
    assert len({one.model_digest for one in alone}) == 3
    assert result.steps == 29 < sum(one.steps for one in alone)
    assert [p.flops for p in result.points] == [training_flops(trunk.trial.model, p.tokens) for p in result.points]
    assert records[-1].metrics["train/flops"] == training_flops(trunk.trial.model, 29 * STEP)


def test_the_journal_counts_steps_of_the_trial_and_tokens_of_the_model(make_job):
    records = list(train(make_job(log_every=1, **BUDGETS)))
    assert [r.step for r in records] == list(range(1, 30))
    ends = {r.step: r.tokens // STEP for r in records if r.step in (10, 17, 29)}
    assert ends == {10: 10, 17: 15, 29: 24}
    assert all("eval/bpb" in r.metrics for r in records if r.step in ends)
    rates = {r.step: r.metrics["train/learning_rate"] for r in records}
    assert rates[8] == rates[11] == rates[14] == 3e-3  # to the first fork, on from it, to the second
    assert rates[10] == rates[17] == rates[29] == pytest.approx(3e-4)


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_trunk_goes_on_from_wherever_it_was_stopped(make_job, steps):
    whole, parts = make_job("whole", **BUDGETS), make_job("parts", **BUDGETS)
    expected = list(train(whole))
    records, folder = [], TrialFolder(Path(parts.folder))
    while not folder.result.exists():
        asked = iter([False] * steps)
        records += train(parts, lambda asked=asked: next(asked, True))
    assert same_numbers(records) == same_numbers(expected)
    assert result_of(parts).points == result_of(whole).points
    assert result_of(parts).model_digest == result_of(whole).model_digest


@pytest.mark.parametrize("last", [8, 10, 16, 17, 20, 28])
def test_a_trunk_killed_anywhere_ends_with_the_same_points(make_job, last):
    whole, killed = make_job("whole", **BUDGETS), make_job("killed", log_every=1, **BUDGETS)
    run(whole, lambda record: None)
    generator = train(killed)
    for record in generator:
        if record.step == last:
            generator.close()  # saves nothing: what a kill leaves behind
    again = list(train(killed))
    assert again[0].step == last + 1
    assert result_of(killed).points == result_of(whole).points
    journal = read_journal(TrialFolder(Path(killed.folder)).journal)[0]
    assert [r.step for r in journal] == list(range(1, 30))


def test_a_damaged_fork_is_named_with_what_to_do(make_job):
    trunk = make_job(**BUDGETS)
    generator = train(trunk)
    checkpoints = TrialFolder(Path(trunk.folder)).checkpoints
    for record in generator:
        if record.step == 8:  # the first fork is saved after it
            continue
        if record.step == 10:
            (checkpoints / "step-00000008" / "tensors.safetensors").write_bytes(b"damaged")
            break
    with pytest.raises(ValueError, match="not those that were written; the trunk goes on from there: remove"):
        next(generator)


def test_a_fork_outlives_the_checkpoints_of_its_branch(make_job):
    job = make_job(**{**BUDGETS, "branches": (20 * STEP,)}, checkpoint_every=1)
    kept = []
    for record in train(job):
        found = sorted(path.name for path in TrialFolder(Path(job.folder)).checkpoints.glob("step-*"))
        kept.append((record.step, found))
    assert ["step-00000016", "step-00000018", "step-00000019"] in [found for _, found in kept]
    assert not any("step-00000016" in found for step, found in kept if step > 22)
    assert json.loads((Path(job.folder) / "result.json").read_text())["status"] == "done"
