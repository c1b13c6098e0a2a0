"""A compiled trial is the same trial: bits, kills, engines, warm workers, and machines without a compiler."""

import gc
import os
import signal
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tinyscale.accounting import training_flops
from tinyscale.results.journal import read_journal
from tinyscale.results.store import TrialFolder
from tinyscale.spec import TrialResult, read_json, write_json
from tinyscale.train import compiling
from tinyscale.train.compiling import compiles
from tinyscale.train.device import Device
from tinyscale.train.loop import JobError, run, train
from tinyscale.train.session import Session

CPU = Device(torch.device("cpu"), "fp32", "a CPU")
SMALL = {"num_layers": 1}
LLAMA = SMALL | {
    "preset": "llama", "norm": "rms", "positions": "rope", "mlp": "swiglu", "qkv_bias": False, "bias": False,
    "num_kv_heads": 1, "dropout": 0.0,
}  # fmt: skip
COMPILED = {"compile": True, "micro_batch_size": 4, "log_every": 1}
"""With one size of micro-batch, all tests that train the same shape find it in the compiler's cache."""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One compiler cache for all tests of the file, for what they compile is mostly the same."""
    folder = tmp_path_factory.getbasetemp() / "compiled"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))


def losses(job):
    return [record.metrics["train/loss"] for record in train(job)]


def result_of(job):
    return read_json(TrialResult, TrialFolder(Path(job.folder)).result)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "zero"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_trial_agrees_and_repeats_bit_by_bit(make_job, engine, precision):
    """With dropout, whose draws are those of the trial uncompiled, and micro-batches."""
    shared = {"engine": engine, "precision": precision, "model": SMALL}
    plain = make_job("plain", **shared, **COMPILED | {"compile": False})
    compiled = [make_job(folder, **shared, **COMPILED) for folder in ("compiled", "again")]
    assert plain.trial.id == compiled[0].trial.id
    expected, found = losses(plain), losses(compiled[0])
    torch.testing.assert_close(
        torch.tensor(found), torch.tensor(expected), rtol=1e-5 if precision == "fp32" else 2e-3, atol=0.0
    )
    assert [result_of(job).compiled for job in (plain, compiled[0])] == [False, True]
    parts = iter([False] * 7 + [True])
    assert run(compiled[1], lambda record: None, lambda: next(parts)) is None
    assert run(compiled[1], lambda record: None).model_digest == result_of(compiled[0]).model_digest


@pytest.mark.slow
def test_a_killed_worker_goes_on_with_the_same_bits_and_leaves_nobody_behind(make_job, start_worker):
    whole, killed = (make_job(folder, model=LLAMA, tokens=200 * 8 * 32, **COMPILED) for folder in ("whole", "killed"))
    list(train(whole))
    folder = TrialFolder(Path(killed.folder))
    write_json(folder.job, killed)
    process = start_worker(folder.job)
    while not any(record.step >= 7 for record in read_journal(folder.journal)[0]):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert children_of(process.pid) == []
    assert not folder.result.exists()
    again = start_worker(folder.job)
    output, complaints = again.communicate()
    assert (again.returncode, complaints) == (0, ""), output
    assert result_of(killed).model_digest == result_of(whole).model_digest


@pytest.mark.slow
def test_two_compiled_workers_train_as_one(make_job, start_pair):
    shared = {"engine": "zero", "model": LLAMA, **COMPILED}
    expected = losses(make_job("alone", **shared))
    pair = make_job("pair", workers=2, **shared)
    folder = TrialFolder(Path(pair.folder))
    write_json(folder.job, pair)
    processes = start_pair(folder.job)
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors for _, errors in outputs)
    assert result_of(pair).compiled
    found = [record.metrics["train/loss"] for record in read_journal(folder.journal)[0]]
    assert found == pytest.approx(expected, rel=1e-4)


def children_of(group):
    """Processes that a worker has started and left: they name it as their parent or their group."""
    listed = subprocess.run(["ps", "-eo", "ppid,pgid,args"], capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [args for parent, pgid, args in found if str(group) in (parent, pgid)]


@pytest.mark.slow
def test_a_warm_worker_keeps_nothing_of_a_compiled_trial(make_job):
    alive = []
    for index in range(2):
        session = Session(make_job(str(index), model=LLAMA, **COMPILED))
        session.advance()
        alive.append(weakref.ref(session.model))
        session.close()
        del session
        gc.collect()
    assert [reference() for reference in alive] == [None, None]


def test_auto_compiles_where_it_pays(make_job):
    long = make_job(tokens=10**9, model={"hidden_size": 64}).trial
    short = replace(long, train=replace(long.train, tokens=10**6))
    assert training_flops(long.model, long.train.tokens) > compiling.CORE_FLOPS["fp32"] * compiling.REPAID_S
    assert compiles(long, CPU, threads=1)
    assert not compiles(long, CPU, threads=10_000)
    assert not compiles(short, CPU, threads=1)
    assert not compiles(long, Device(torch.device("cuda"), "bf16", "a card"), threads=1)


def test_without_a_compiler_auto_goes_on_and_true_says_what_is_missing(make_job, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(compiling, "REPAID_S", 0.0)
    assert not run(make_job("auto", tokens=2 * 8 * 32), lambda record: None).compiled
    with pytest.raises(JobError, match=r"compile=true cannot run here: there is no C\+\+ compiler no-such-compiler"):
        next(train(make_job("true", compile=True)))


@pytest.mark.slow
def test_a_compiler_that_fails_is_a_warning_to_auto_and_an_error_to_true(make_job, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(compiling, "REPAID_S", 0.0)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "false"))
    expected = losses(make_job("plain", compile=False, tokens=8 * 8 * 32))
    auto = make_job("auto", tokens=8 * 8 * 32)
    assert losses(auto) == expected
    assert "trains uncompiled, for torch.compile failed" in caplog.text
    assert not result_of(auto).compiled
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        next(train(make_job("true", compile=True)))


def test_the_cache_of_compiled_code_lies_in_ours(make_job, tmp_path):
    """Asked of a process of its own, for the first use decides."""
    code = (
        "import os\nfrom tinyscale.train.compiling import _configure\n_configure()\n"
        "print(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**environment, "TINYSCALE_CACHE": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "compiled")
