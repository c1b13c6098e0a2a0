"""Who computes a model's ops: Triton kernels or PyTorch."""

from typing import Literal

import torch
from tinyscale_kernels.dispatch import use_triton

from tinyscale.spec.trial import Kernels


def kernels_in_use(kernels: Kernels, device: torch.device) -> Literal["triton", "torch"]:
    """What the switch comes to on a device.

    :raises ValueError: ``triton`` where Triton cannot run.
    """
    return "triton" if use_triton(kernels, torch.empty(0, device=device)) else "torch"
