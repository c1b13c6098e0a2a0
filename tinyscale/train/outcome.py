"""A trial's end: its model and its result."""

import platform
import time
from importlib import metadata
from pathlib import Path

import torch

from tinyscale.accounting import count_parameters, training_flops
from tinyscale.data.unigram import unigram_loss
from tinyscale.model.store import model_digest, save_model
from tinyscale.spec import Line, Point, TrialResult, write_json
from tinyscale.train import workers
from tinyscale.train.checkpoint import remove_checkpoints
from tinyscale.train.monitor import DivergedError
from tinyscale.train.session import Session


def write_outcome(session: Session, diverged: DivergedError | None) -> None:
    """Model (unless diverged), then result, then away with the checkpoints. All workers together; the first writes.

    A kill at any moment leaves either no result, and checkpoints to go on from, or a whole one.
    """
    peak_memory = workers.max_over_workers(session.device.peak_memory_bytes(), session.device.torch_device)
    if workers.rank() == 0:
        weights = "" if diverged else _save_model(session)
        write_json(session.folder.result, _result(session, diverged, weights, peak_memory))
        remove_checkpoints(session.folder.checkpoints)
    workers.from_first(True)  # nobody looks for the result before it is there


def _save_model(session: Session) -> str:
    """Write ``model/``; the digest of its weights."""
    state = {name: value.detach().cpu() for name, value in session.model.state_dict().items()}
    save_model(session.folder.model, session.trial.model, state, Path(session.job.tokenizer))
    return model_digest(session.folder.model)


def _result(session: Session, diverged: DivergedError | None, weights: str, peak_memory: int) -> TrialResult:
    speed, peak = session.clock.median_speed, session.peak
    return TrialResult(
        trial_id=session.trial.id,
        name=session.trial.name,
        status="diverged" if diverged else "done",
        points=() if diverged else tuple(_point(session, line) for line in session.trial.lines),
        steps=session.step,
        train_s=session.clock.train_s,
        tokens_per_s=speed,
        mfu=session.utilisation(speed, peak[0]) if peak else None,
        peak_flops=peak[0] if peak else None,
        peak_source=peak[1] if peak else "",
        peak_memory_bytes=peak_memory,
        device=session.device.name,
        engine=session.engine.name,
        workers=workers.world_size(),
        threads=torch.get_num_threads(),
        precision=session.device.precision,
        kernels=session.kernels,
        compiled=session.compiled_loss is not None and session.compiled_loss.in_use,
        eval_bytes=session.validation.total_bytes,
        eval_tokens=session.validation.total_tokens,
        model_digest=weights,
        message=str(diverged) if diverged else "",
        versions=_versions(session),
        started_s=session.started_s,
        finished_s=time.time(),
    )


def _point(session: Session, line: Line) -> Point:
    model, train = session.trial.model, session.trial.train
    params, evaluation = count_parameters(model), session.evaluations[line.end]
    tokens = line.end * session.trial.batch_tokens
    return Point(
        trial_id=session.trial.id,
        params_total=params.total,
        params_non_embedding=params.non_embedding,
        hidden_size=model.hidden_size,
        num_layers=model.num_layers,
        vocab_size=model.vocab_size,
        tokens=tokens,
        text_bytes=tokens * session.shards.bytes_per_token,
        flops=training_flops(model, tokens),
        loss=evaluation.loss,
        bpb=evaluation.bpb,
        learning_rate=train.learning_rate,
        seed=train.seed,
        unigram_loss=unigram_loss(session.shards, session.validation),
        holdout=session.trial.holdout,
    )


def _versions(session: Session) -> dict[str, str]:
    """Of what computed the result. A source tree that was never installed has no version of its own."""
    packages = ["tinyscale"]
    if session.engine.name == "zero":
        packages.append("deepspeed")
    if session.kernels == "triton":
        packages.append("triton")
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return versions
