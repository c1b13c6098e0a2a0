"""What the compiler and the launch tables need to know of a CUDA architecture. No Triton in here."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Limits of one streaming multiprocessor (SM), from the CUDA programming guide's table."""

    name: str
    """Family whose rows of the launch tables apply: sm_120, sm_90 or sm_80."""
    capability: int
    """What Triton's compiler is told: 10 * major + minor."""
    block_shared_bytes: int
    """Most shared memory one block may use."""
    sm_shared_bytes: int
    """Shared memory of the SM; each block takes 1,024 bytes of it beside its own."""
    sm_warps: int
    """Most warps at a time."""
    sm_registers: int = 65_536
    """32-bit registers."""
    sm_blocks: int = 24
    """Most blocks at a time."""

    def blocks_per_sm(self, *, shared_bytes: int, registers: int, num_warps: int) -> int:
        """Blocks of a kernel that fit an SM together. Registers are handed out to warps in units of 256."""
        warp_registers = -(-registers * 32 // 256) * 256
        return min(
            self.sm_blocks,
            self.sm_warps // num_warps,
            self.sm_registers // (warp_registers * num_warps),
            self.sm_shared_bytes // (shared_bytes + 1024),
        )


SM_120 = Architecture(
    name="sm_120", capability=120, block_shared_bytes=101_376, sm_shared_bytes=102_400, sm_warps=48, sm_blocks=24
)
"""RTX 5090, RTX PRO 6000 Blackwell."""
SM_90 = Architecture(
    name="sm_90", capability=90, block_shared_bytes=232_448, sm_shared_bytes=233_472, sm_warps=64, sm_blocks=32
)
"""H100, H200."""
SM_80 = Architecture(
    name="sm_80", capability=80, block_shared_bytes=101_376, sm_shared_bytes=102_400, sm_warps=48, sm_blocks=16
)
"""A100, RTX 30, RTX 40, L4: the limits are those of sm_86 and sm_89, which A100 exceeds."""
ARCHITECTURES = {architecture.name: architecture for architecture in (SM_120, SM_90, SM_80)}


def architecture_of(device: torch.device) -> str | None:
    """Family of a CUDA card; None for one that Triton does not support (older than Ampere), or that is no CUDA card.

    SM120 is asked for by name: a test for "Hopper or later" would hand it kernels that need wgmma and 227 KiB of
    shared memory. Cards of other names (B200, Orin, and what comes) take the rows of sm_80, whose needs every card
    since Ampere meets.
    """
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    major, _minor = torch.cuda.get_device_capability(device)
    if major == 12:
        return "sm_120"
    if major == 9:
        return "sm_90"
    return "sm_80" if major >= 8 else None
