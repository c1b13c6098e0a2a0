"""Where a worker computes and in which precision."""

import platform
import resource
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from tinyscale.spec.trial import Precision

BF16_WIDTH = 128
"""Narrowest model for which ``auto`` takes bf16 on a CPU: narrower products lose to the casts what they gain.

Speed in bf16 over that in fp32, uncompiled, on one core of an AMD EPYC (Zen 4: avx512_bf16, no AMX), 2 layers,
V 2,048:

width                 64    128    192    256    384
8 x 128 tokens     0.94x  1.25x  1.33x  1.39x  1.53x
16 x 256 tokens    1.25x  1.38x  1.53x  1.60x  1.73x

What it costs, at width 128 after 400 steps of 8 x 128 built-in tokens: -0.0005 bits per byte on average of three seeds,
which differ by 0.0036 among themselves.
"""


@dataclass(frozen=True)
class Device:
    """One accelerator, or the CPU."""

    torch_device: torch.device
    precision: Literal["fp32", "bf16"]
    """bf16: matrix products in bf16 under autocast; weights, gradients and moments stay fp32."""
    name: str
    """Of the card or the processor."""

    def autocast(self) -> AbstractContextManager[object]:
        """The context that forward passes run in."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.torch_device.type, torch.bfloat16)

    def make_deterministic(self) -> None:
        """Allow the process only operations that give the same bits each time; on a CPU that costs nothing."""
        if self.torch_device.type == "cpu":
            torch.use_deterministic_algorithms(True)
            # A debugging aid that does cost.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    def peak_memory_bytes(self) -> int:
        """Largest memory so far: the CUDA allocator's since :func:`pick_device`; on a CPU the process' resident set."""
        if self.torch_device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch_device)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def pick_device(precision: Precision, hidden_size: int = 0) -> Device:
    """The current CUDA device where there is one, else the CPU.

    ``auto`` is bf16 on CUDA cards that have it, and on CPUs that multiply it natively for models of ``BF16_WIDTH`` and
    more; else fp32.

    :raises ValueError: bf16 is asked of a card that lacks it.
    """
    if not torch.cuda.is_available():
        gains = hidden_size >= BF16_WIDTH and multiplies_bf16()
        bf16 = precision == "bf16" or (precision == "auto" and gains)
        return Device(torch.device("cpu"), "bf16" if bf16 else "fp32", processor_name())
    device = torch.device("cuda", torch.cuda.current_device())
    torch.cuda.reset_peak_memory_stats(device)
    name = torch.cuda.get_device_name(device)
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not has_bf16:
        raise ValueError(f"precision=bf16, but {name} has no bf16; set precision to auto or fp32")
    return Device(device, "bf16" if has_bf16 and precision != "fp32" else "fp32", name)


def multiplies_bf16() -> bool:
    """Whether the CPU has instructions for products of bf16, and does not compute them in fp32 after casting."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def processor_name() -> str:
    """The CPU's model name where Linux tells it, else the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
