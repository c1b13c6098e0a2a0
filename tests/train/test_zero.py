import gc
import time
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tinyscale.model.transformer import Transformer
from tinyscale.results.store import TrialFolder
from tinyscale.spec import TrialResult, read_json
from tinyscale.train.device import pick_device
from tinyscale.train.engine import Engine
from tinyscale.train.loop import train

STEPS = 12


@pytest.fixture
def make_engine(make_job):
    from tinyscale.train.zero import ZeroEngine

    def make(kind, micro_batches=1, precision="fp32", **changes):
        # A bias of the keys moves all scores of a query alike: its gradient is rounding alone, which Adam blows up.
        trial = make_job(model={"dropout": 0.0, "qkv_bias": False}).trial
        model = Transformer(trial.model)
        config, device = replace(trial.train, **changes), pick_device(precision)
        if kind == "torch":
            return Engine(model, config, device)
        return ZeroEngine(model, config, device, micro_batches=micro_batches, micro_batch_size=8 // micro_batches)

    return make


def batches(micro_batches=1):
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        tokens = torch.randint(0, 300, (8, 33), generator=generator)
        yield list(zip(tokens[:, :-1].chunk(micro_batches), tokens[:, 1:].chunk(micro_batches), strict=True))


def finish(engine, first=0, micro_batches=1):
    outcomes = [engine.step(batch, 1e-2) for batch in list(batches(micro_batches))[first:]]
    measured = [(float(outcome.loss), float(outcome.grad_norm)) for outcome in outcomes]
    state = {name: tensor.clone() for name, tensor in engine.state().items()}
    engine.close()
    return measured, state


@pytest.mark.parametrize("grad_clip", [0.0, 0.2])
@pytest.mark.parametrize(("micro_batches", "precision"), [(1, "fp32"), (4, "fp32"), (2, "bf16")])
def test_zero_agrees_with_plain_torch(make_engine, micro_batches, precision, grad_clip):
    plain, plain_state = finish(make_engine("torch", micro_batches, precision, grad_clip=grad_clip), 0, micro_batches)
    zero, zero_state = finish(make_engine("zero", micro_batches, precision, grad_clip=grad_clip), 0, micro_batches)
    rounding = 1e-5 if precision == "fp32" else 1e-3
    torch.testing.assert_close(torch.tensor(zero), torch.tensor(plain), rtol=rounding, atol=0.0)
    assert max(norm for _, norm in plain) > 0.2  # so that clipping happens
    assert plain_state.keys() == zero_state.keys()
    for name, tensor in plain_state.items():
        torch.testing.assert_close(zero_state[name], tensor, rtol=10 * rounding, atol=rounding)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("writer", ["torch", "zero"])
@pytest.mark.parametrize("reader", ["torch", "zero"])
def test_state_moves_between_engines_bit_by_bit(make_engine, writer, reader, precision):
    _, expected = finish(make_engine(reader, 1, precision))
    first = make_engine(writer, 1, precision)
    for batch in list(batches())[:5]:
        first.step(batch, 1e-2)
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    first.close()
    second = make_engine(reader, 1, precision)
    second.load_state(state, 5)
    for name, tensor in second.state().items():
        assert torch.equal(tensor, state[name])
    _, found = finish(second, first=5)
    for name, tensor in expected.items():
        if writer == reader:
            assert torch.equal(found[name], tensor), name
        else:  # the engines round the clipping factor differently
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)


def test_engines_follow_each_other_in_a_process(make_engine):
    finish(make_engine("zero"))
    alive = []
    started = time.process_time()
    for _ in range(3):
        engine = make_engine("zero")
        alive.append(weakref.ref(engine.model))
        engine.close()
        del engine
    assert time.process_time() - started < 3.0
    gc.collect()
    assert [reference() for reference in alive] == [None, None, None]
    assert torch.distributed.is_initialized()


def test_a_trial_runs_alike_on_both_engines(make_job):
    curves = []
    for engine in ("torch", "zero"):
        job = make_job(engine, engine=engine)
        curves.append([(r.step, r.metrics["train/loss"], r.metrics.get("eval/bpb", 0.0)) for r in train(job)])
        result = read_json(TrialResult, TrialFolder(Path(job.folder)).result)
        assert (result.status, result.engine) == ("done", engine)
        assert ("deepspeed" in result.versions) == (engine == "zero")
    torch.testing.assert_close(torch.tensor(curves[0]), torch.tensor(curves[1]), rtol=1e-5, atol=0.0)


def test_zero_calls_a_gradient_that_is_not_finite_divergence(make_job):
    job = make_job(engine="zero", learning_rate=1e30, warmup_steps=0)
    list(train(job))
    assert read_json(TrialResult, TrialFolder(Path(job.folder)).result).status == "diverged"
