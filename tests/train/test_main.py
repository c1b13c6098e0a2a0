import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.results.journal import read_journal
from tinyscale.results.store import TrialFolder
from tinyscale.spec import TrialResult, read_json, write_json
from tinyscale.train.loop import train

STEPS = 40
LONG = {"tokens": STEPS * 8 * 32, "log_every": 1, "eval_every": 15, "checkpoint_every": 7}
NO_DROPOUT = {"dropout": 0.0}


def folder_of(job):
    return TrialFolder(Path(job.folder))


def write_job(job):
    write_json(folder_of(job).job, job)
    return folder_of(job).job


def journal_of(job):
    timed = ("speed/", "memory/")
    records, _ = read_journal(folder_of(job).journal)
    return [(r.step, {name: value for name, value in r.metrics.items() if not name.startswith(timed)}) for r in records]


def result_of(job):
    return read_json(TrialResult, folder_of(job).result)


def wait_for_step(job, step, process):
    deadline = time.monotonic() + 120
    while not any(record.step >= step for record in read_journal(folder_of(job).journal)[0]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "zero"])
def test_a_trial_killed_at_any_step_ends_as_if_it_never_was(make_job, start_worker, engine):
    whole, killed = make_job("whole", engine=engine, **LONG), make_job("killed", engine=engine, **LONG)
    list(train(whole))
    path = write_job(killed)
    for step in sorted(random.sample(range(1, STEPS - 8), 2)):
        process = start_worker(path)
        wait_for_step(killed, step, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not folder_of(killed).result.exists()
    process = start_worker(path)
    output, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert complaints == ""
    assert all(line.startswith(("step ", "done")) for line in output.splitlines())  # not a word of DeepSpeed's
    assert journal_of(killed) == journal_of(whole)
    assert result_of(killed).model_digest == result_of(whole).model_digest
    assert result_of(killed).points == result_of(whole).points


@pytest.mark.slow
def test_two_workers_train_as_one_and_one_goes_on_alone(make_job, start_pair):
    alone = make_job("alone", engine="zero", model=NO_DROPOUT, **LONG)
    list(train(alone))
    pair = make_job("pair", engine="zero", workers=2, model=NO_DROPOUT, **LONG)
    processes = start_pair(write_job(pair))
    wait_for_step(pair, 5, processes[0])
    processes[1].terminate()  # one is told, both stop
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [1, 128 + signal.SIGTERM]
    stopped_at = journal_of(pair)[-1][0]
    assert 5 <= stopped_at < STEPS
    assert read_journal(folder_of(pair).journal)[0][-1].tokens == stopped_at * 8 * 32
    list(train(replace(pair, workers=1)))
    assert_same_curve(journal_of(pair), journal_of(alone))


@pytest.mark.slow
def test_one_worker_begins_and_two_go_on(make_job, start_pair):
    alone = make_job("alone", engine="zero", model=NO_DROPOUT, **LONG)
    list(train(alone))
    job = make_job("handed", engine="zero", model=NO_DROPOUT, **LONG)
    asked = iter([False] * 16)
    list(train(job, lambda: next(asked, True)))
    assert journal_of(job)[-1][0] == 16
    processes = start_pair(write_job(replace(job, workers=2)))
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors for _, errors in outputs)
    assert outputs[1][0] == ""
    assert_same_curve(journal_of(job), journal_of(alone))
    assert result_of(job).workers == 2
    assert result_of(job).points[0].bpb == pytest.approx(result_of(alone).points[0].bpb, rel=1e-5)


def assert_same_curve(found, expected):
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


PARTITION = """
import torch
import torch.distributed as dist
from tinyscale.spec import Job, read_json
from tinyscale.train.__main__ import join_torchrun
from tinyscale.train.session import Session
import sys
from pathlib import Path

join_torchrun()
session = Session(read_json(Job, Path(sys.argv[1])))
session.advance()
parameters = sum(weight.numel() for weight in session.model.parameters())
print(dist.get_rank(), parameters, session.engine.partition_numel())
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_each_of_two_workers_holds_half_of_the_optimizer_state(make_job, start_pair):
    processes = start_pair(write_job(make_job(engine="zero", workers=2)), module=("-c", PARTITION))
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors for _, errors in outputs)
    for rank, (output, _) in enumerate(outputs):
        said, parameters, held = map(int, output.split())
        assert said == rank
        assert held == pytest.approx(parameters / 2, rel=0.01)


def test_signals_stop_at_a_checkpoint(make_job, start_worker):
    job = make_job(**LONG | {"tokens": 20_000 * 8 * 32})
    path = write_job(job)
    process = start_worker(path)
    wait_for_step(job, 3, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in output
    assert any(folder_of(job).checkpoints.iterdir())
    assert not folder_of(job).result.exists()


BARE = """
import importlib.abc
import sys
from pathlib import Path

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ray", "mlflow", "deepspeed", "pydantic", "typer", "huggingface_hub"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name.split(".")[0])

sys.meta_path.insert(0, Blocker())
import tinyscale.train.engine
from tinyscale.spec import Job, read_json
from tinyscale.train.loop import JobError, run
from dataclasses import replace

job = read_json(Job, Path(sys.argv[1]))
try:
    run(replace(job, engine="zero"), print)
except JobError as error:
    print(error)
print(run(job, lambda record: None).status)
"""


def test_the_loop_runs_on_a_bare_machine(make_job, start_worker):
    process = start_worker(write_job(make_job(tokens=3 * 8 * 32)), module=("-c", BARE))
    output, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert output.splitlines() == ["engine=zero needs DeepSpeed, which is not installed here; use engine=torch", "done"]


def test_exit_codes(make_job, tmp_path, monkeypatch, capsys):
    from tinyscale.train import __main__ as program

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["tinyscale.train", *map(str, arguments)])
        monkeypatch.setattr("signal.signal", lambda number, handler: None)
        return program.main()

    assert call(tmp_path / "missing.json") == 2
    (tmp_path / "bad.json").write_text('{"trials": 1}')
    assert call(tmp_path / "bad.json") == 2
    assert "not a Job" in capsys.readouterr().err
    assert call(write_job(make_job("pair", workers=2))) == 2
    assert "torchrun" in capsys.readouterr().err
    diverging = make_job("diverging", engine="zero", learning_rate=1e30, warmup_steps=0)
    assert call(write_job(diverging), "--engine", "torch") == 1
    assert "diverged" in capsys.readouterr().out
    assert result_of(diverging).engine == "torch"
    assert call(write_job(make_job("fine", tokens=3 * 8 * 32))) == 0
    assert capsys.readouterr().out.startswith("step 3/3  tokens 768  loss ")
