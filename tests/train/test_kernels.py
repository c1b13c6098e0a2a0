"""A trial with Triton's kernels (interpreted, where there is no card) beside the same trial with PyTorch's."""

import os
import subprocess
import sys

import pytest
import torch

from tinyscale.model.presets import preset_defaults
from tinyscale.spec import write_json
from tinyscale.train.loop import run
from tinyscale.train.session import Session

LLAMA = {"preset": "llama", "num_kv_heads": 1, "dropout": 0.0, **preset_defaults("llama")}


def first_step(job):
    """Loss and gradient of every parameter of a job's first batch."""
    session = Session(job)
    [(tokens, targets)] = session._micro_batches()
    torch.manual_seed(0)  # dropout
    with session.device.autocast():
        loss = session.model.loss(tokens, targets)
    loss.backward()
    gradients = {name: weight.grad for name, weight in session.model.named_parameters()}
    session.close()
    return session.kernels, loss.detach(), gradients


@pytest.mark.parametrize("model", [{}, LLAMA], ids=["gpt2 with dropout", "llama"])
def test_first_loss_and_gradients_are_equal(make_job, model):
    [(torch_name, torch_loss, torch_gradients), (triton_name, triton_loss, triton_gradients)] = (
        first_step(make_job(kernels, model=model, kernels=kernels, precision="fp32")) for kernels in ("torch", "triton")
    )
    assert (torch_name, triton_name) == ("torch", "triton")
    torch.testing.assert_close(triton_loss, torch_loss, rtol=1e-6, atol=0)
    for name, gradient in torch_gradients.items():
        torch.testing.assert_close(triton_gradients[name], gradient, rtol=1e-4, atol=1e-7)


def test_a_trial_trains_to_the_same_end(make_job):
    """Also: the switch is no part of a trial's identity, and the result says who computed."""
    jobs = [
        make_job(kernels, model=LLAMA, kernels=kernels, tokens=4 * 8 * 32, eval_bytes=600)
        for kernels in ("torch", "triton")
    ]
    assert jobs[0].trial.id == jobs[1].trial.id
    records = [[], []]
    results = [run(job, found.append) for job, found in zip(jobs, records, strict=True)]
    assert [result.kernels for result in results] == ["torch", "triton"]
    assert "triton" in results[1].versions
    for ours, theirs in zip(records[1], records[0], strict=True):
        for metric in ("train/loss", "train/grad_norm"):
            assert ours.metrics[metric] == pytest.approx(theirs.metrics[metric], rel=1e-5)
    assert results[1].points[0].loss == pytest.approx(results[0].points[0].loss, rel=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton runs on the card")
def test_without_a_card_a_worker_says_so_before_it_starts(make_job, start_worker, tmp_path):
    write_json(tmp_path / "trial.json", make_job(kernels="triton"))
    process = start_worker(tmp_path / "trial.json")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "kernels=triton cannot run here: the device is a CPU" in errors
    assert "choose auto or torch" in errors


def test_the_benchmark_of_whole_steps_runs():
    environment = {**os.environ} if torch.cuda.is_available() else {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-P", "-m", "tinyscale.train.bench", "--models", "tiny", "--rounds", "1"]
    command += ["--variants", "ours-torch", "ours-triton"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("  ours-")]
    assert len(losses) == 2
    assert losses[0] == losses[1]
