"""Who computes a model's ops: Triton kernels or PyTorch."""

from typing import Literal

import torch
from tinyscale_kernels.architecture import architecture_of
from tinyscale_kernels.dispatch import use_triton

from tinyscale.spec.trial import Kernels


def kernels_in_use(kernels: Kernels, device: torch.device) -> Literal["triton", "torch"]:
    """What the switch comes to on a device.

    :raises ValueError: ``triton`` where Triton cannot run.
    """
    return "triton" if use_triton(kernels, torch.empty(0, device=device)) else "torch"


def kernel_rows(device: torch.device) -> str | None:
    """Rows of the launch tables that our kernels take on a card: sm_120, sm_90 or sm_80; None where none can run."""
    return architecture_of(device)
