"""Training state on disk, in one format whichever engine and however many workers wrote it.

A checkpoint is a folder ``step-00000200``: ``tensors.safetensors`` with ``weight/NAME``, ``exp_avg/NAME`` and
``exp_avg_sq/NAME`` for every parameter, whole and in fp32 (AdamW's own step count is the number of steps), and
``state.json`` with the step, the loop's own few numbers and the SHA-256 of the tensors. No random state is in it:
data order and dropout depend on seed and step alone.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from safetensors.torch import load
from torch import Tensor

from tinyscale.model.store import save_tensors

FORMAT = 1
KEEP = 2
"""Checkpoints kept: the newest, and the one before in case that is torn."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a trial needs to go on as if it had never stopped."""

    trial_id: str
    step: int
    """Optimizer steps of the trial taken."""
    tensors: Mapping[str, Tensor]
    """Weights and moments, as the module's docstring says."""
    loop: Mapping[str, Any]
    """JSON values of the loop."""


class BrokenCheckpointError(ValueError):
    """Torn, altered, or of another version."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, fork: int | None = None) -> None:
    """Write atomically: a kill at any moment leaves the older ones whole. Keeps the last two.

    :param fork: step of one to be kept as well, for training will go back to it.
    """
    folder.mkdir(exist_ok=True)  # and nothing above it: a storage that is away must not be made up
    for leftover in folder.glob(".partial-*"):
        shutil.rmtree(leftover)
    target = _path(folder, checkpoint.step)
    partial = folder / f".partial-{target.name}"
    partial.mkdir()
    try:
        _write(partial, checkpoint)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # the disk may be full, and others need the room
        raise
    if target.exists():  # a broken one, which this life's resume has passed over
        shutil.rmtree(target)
    partial.rename(target)
    _sync_folder(folder)
    for old in _steps(folder)[KEEP:]:
        if old != fork:
            shutil.rmtree(_path(folder, old))


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    save_tensors(checkpoint.tensors, folder / "tensors.safetensors")
    with (folder / "tensors.safetensors").open("rb") as file:
        tensors_sha256 = file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    head = {"format": FORMAT, "trial_id": checkpoint.trial_id, "step": checkpoint.step, "loop": checkpoint.loop}
    with (folder / "state.json").open("w", encoding="utf-8") as file:
        json.dump({**head, "tensors_sha256": tensors_sha256}, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(folder: Path, step: int) -> Checkpoint:
    """Read and verify the checkpoint of a step.

    :raises BrokenCheckpointError: it is torn, altered or of another version.
    """
    path = _path(folder, step)
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        data = (path / "tensors.safetensors").read_bytes()
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']}, this version reads {FORMAT}")
        if sha256(data).hexdigest() != state["tensors_sha256"]:
            raise ValueError("the tensors are not those that were written")
        return Checkpoint(trial_id=state["trial_id"], step=state["step"], tensors=load(data), loop=state["loop"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenCheckpointError(f"{path}: {error}") from error


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint; None where there is none. One that is broken is logged and passed over."""
    for step in _steps(folder):
        try:
            return load_checkpoint(folder, step)
        except BrokenCheckpointError as error:
            logger.warning("checkpoint passed over: %s", error)
    return None


def remove_checkpoints(folder: Path) -> None:
    """Take the whole folder away, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _steps(folder: Path) -> list[int]:
    """Newest first."""
    return sorted((int(path.name.removeprefix("step-")) for path in folder.glob("step-*")), reverse=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
