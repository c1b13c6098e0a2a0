"""Who computes an op: our kernel, or PyTorch."""

import logging
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor

from tinyscale_kernels._triton import INSTALLED, INTERPRETED
from tinyscale_kernels.architecture import architecture_of
from tinyscale_kernels.launch import current_recording

Implementation = Literal["auto", "triton", "torch"]
"""auto: our kernel on CUDA cards, but for what torch does faster; triton: our kernel or an error; torch: PyTorch."""

_log = logging.getLogger(__name__)


def use_triton(implementation: Implementation, tensor: Tensor, *, slower: bool = False) -> bool:
    """Whether our kernel is to run on ``tensor``; ``slower``: torch is known to win here, so ``auto`` leaves it to it.

    :raises ValueError: ``implementation`` is no known word, or it is ``triton`` and Triton cannot run here.
    """
    if implementation == "torch":
        return False
    if not torch.compiler.is_compiling() and current_recording():  # torch.compile cannot trace a ContextVar
        return True
    if implementation not in get_args(Implementation):
        raise ValueError(f"implementation is {implementation!r}; choose one of {', '.join(get_args(Implementation))}")
    obstacle = obstacle_to_triton(tensor.device)
    if implementation == "triton":
        if obstacle:
            raise ValueError(f"kernels=triton cannot run here: {obstacle}; choose auto or torch")
        return True
    return obstacle is None and tensor.device.type == "cuda" and not slower


def obstacle_to_triton(device: torch.device) -> str | None:
    """Why Triton kernels cannot run on a device, or None; logged once, as a warning where there is a CUDA card."""
    return _logged_obstacle(device)


# torch.compile can trace neither cache nor log, so it takes the answer for a constant. The decorator for that,
# torch.compiler.assume_constant_result, sets just this, but imports torch._dynamo: 1.3 s at every start.
obstacle_to_triton._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def _logged_obstacle(device: torch.device) -> str | None:
    obstacle = _obstacle(device)
    if obstacle:
        level = logging.WARNING if device.type == "cuda" else logging.INFO
        _log.log(level, "PyTorch computes every op on %s: %s", device, obstacle)
    return obstacle


def _obstacle(device: torch.device) -> str | None:
    if not INSTALLED:
        return "the package triton is not installed"
    if device.type == "cpu":
        return None if INTERPRETED else "the device is a CPU (TRITON_INTERPRET=1 runs them there, for tests)"
    if architecture_of(device) is None:
        return f"{device} is no CUDA card of compute capability 8.0 or later"
    return None


def launch_architecture(tensor: Tensor) -> str:
    """Family whose launch rows apply to a tensor's device; the interpreter takes those of sm_120."""
    recording = current_recording()
    if recording:
        return recording.architecture
    return architecture_of(tensor.device) or "sm_120"


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """What autocast has matrix products computed in on the tensor's device; None outside of autocast."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
