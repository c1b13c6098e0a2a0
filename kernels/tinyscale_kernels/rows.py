"""Launch rows of the kernels that work on whole rows of the residual stream, the norms, and how many programs loop."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tinyscale_kernels.dispatch import launch_architecture
from tinyscale_kernels.launch import Row, current_recording


@dataclass(frozen=True, kw_only=True)
class _NormRow:
    """How rows of up to so many columns are normed. A tile is so many elements: one row, or several short ones."""

    forward_warps: int
    backward_warps: int
    stages: int
    """Tiles of a backward program that are on their way or at work; those on their way lie in shared memory."""
    programs_per_sm: int
    """Programs of a backward pass for each SM. They loop over the rows, so more than fit at a time would queue."""
    why: str


# Columns, padded to a power of two -> row. What the compiler said covers both norms, with and without the residual, in
# bf16, in fp32, and in bf16 with the residual stream in fp32, at widths of 64 to 1,024 and at the powers of two above.
# "In flight": bytes that the blocks of an SM ask for together, at the least, with the residual; to keep its memory
# busy, an SM needs about 8 KiB of them on an RTX 5090 and 18 KiB on an H100 (bandwidth times 700 ns, over the SMs).
_NORM_ROWS = {
    "sm_120": {
        1024: _NormRow(
            forward_warps=1,
            backward_warps=4,
            stages=2,
            programs_per_sm=5,
            why="Forward: no barrier, since a row lies in one warp; 60-122 registers, 16-24 blocks an SM, 72 KiB in "
            "flight. Backward: 40-96 registers, 5-11 blocks, 16,384 bytes shared, 22 KiB in flight at any time; "
            "without the second stage as many registers, and nothing in flight while a block computes. No spills.",
        ),
        2048: _NormRow(
            forward_warps=4,
            backward_warps=8,
            stages=2,
            programs_per_sm=3,
            why="Forward: 40-48 registers, 10 blocks an SM. Backward: 59-80, 3 blocks. No spills.",
        ),
        4096: _NormRow(
            forward_warps=8,
            backward_warps=16,
            stages=2,
            programs_per_sm=1,
            why="Forward: 40-48 registers, 5 blocks an SM. Backward: 59-90, 1 block. No spills.",
        ),
        8192: _NormRow(
            forward_warps=16,
            backward_warps=16,
            stages=1,
            programs_per_sm=1,
            why="Forward: 39-55 registers, 2 blocks an SM. Backward: 103-128, 1 block. No spills. A "
            "second stage takes 114,688 bytes shared: too many.",
        ),
    },
    "sm_90": {
        1024: _NormRow(
            forward_warps=1,
            backward_warps=4,
            stages=3,
            programs_per_sm=5,
            why="Forward: no barrier, since a row lies in one warp; 60-127 registers, 16-32 blocks an SM, 84 KiB in "
            "flight. Backward: 40-96 registers, 5-12 blocks, 28,672 bytes shared, 45 KiB in flight at any time; two "
            "stages have half of that, with as many registers. No spills.",
        ),
        2048: _NormRow(
            forward_warps=4,
            backward_warps=8,
            stages=3,
            programs_per_sm=3,
            why="Forward: 34-48 registers, 10 blocks an SM; 2 warps spill 8 bytes. Backward: 59-80, 3 blocks, no "
            "spills.",
        ),
        4096: _NormRow(
            forward_warps=8,
            backward_warps=16,
            stages=3,
            programs_per_sm=1,
            why="Forward: 34-48 registers, 5 blocks an SM. Backward: 59-94, 1 block. No spills.",
        ),
        8192: _NormRow(
            forward_warps=16,
            backward_warps=16,
            stages=2,
            programs_per_sm=1,
            why="Forward: 40-55 registers, 2 blocks an SM. Backward: 101-128, 1 block. No spills.",
        ),
    },
    "sm_80": {
        1024: _NormRow(
            forward_warps=1,
            backward_warps=4,
            stages=2,
            programs_per_sm=5,
            why="Forward: no barrier, since a row lies in one warp; 59-108 registers, no spills, 16 blocks an SM, 48 "
            "KiB in flight. Backward: 40-94 registers, at most 8 bytes spilled, 5-11 blocks, 16,384 bytes shared, 22 "
            "KiB in flight at any time.",
        ),
        2048: _NormRow(
            forward_warps=4,
            backward_warps=8,
            stages=2,
            programs_per_sm=3,
            why="Forward: 36-48 registers, 10 blocks an SM. Backward: 48-64, 3 blocks, at most 8 bytes spilled.",
        ),
        4096: _NormRow(
            forward_warps=8,
            backward_warps=16,
            stages=2,
            programs_per_sm=1,
            why="Forward: 36-48 registers, 5 blocks an SM. Backward: 61-86, 1 block, at most 8 bytes spilled.",
        ),
        8192: _NormRow(
            forward_warps=16,
            backward_warps=16,
            stages=1,
            programs_per_sm=1,
            why="Forward: 40-52 registers, 2 blocks an SM. Backward: 99-128, 1 block. No spills.",
        ),
    },
}

_WIDEST = 8192
"""Wider rows work with the last line of the table, but spill registers."""

_SMS = {"sm_120": 170, "sm_90": 132, "sm_80": 108}
"""SMs of an RTX 5090, an H100 and an A100, for which launches are recorded."""
_INTERPRETED_SMS = 2
"""Few, so that programs in the interpreter loop as those on a card do."""


def norm_forward_row(x: Tensor, hidden_size: int) -> Row:
    """The launch of a norm's forward kernel on rows of ``hidden_size``."""
    row, blocks = _norm_row(x, hidden_size)
    return Row(blocks, row.forward_warps, 1, row.why)


def norm_backward_row(x: Tensor, hidden_size: int) -> tuple[Row, int]:
    """The launch of a norm's backward kernel on rows of ``hidden_size``, and the number of programs at most."""
    row, blocks = _norm_row(x, hidden_size)
    stages = row.stages if blocks["BLOCK_E"] <= _WIDEST else 1  # wider ones would pass 99 KiB of shared memory
    return Row(blocks, row.backward_warps, stages, row.why), resident_programs(x, row.programs_per_sm)


def _norm_row(x: Tensor, hidden_size: int) -> tuple[_NormRow, dict[str, int]]:
    rows = _NORM_ROWS[launch_architecture(x)]
    columns = max(16, 1 << (hidden_size - 1).bit_length())
    tile = next((elements for elements in rows if columns <= elements), _WIDEST)
    return rows[tile], {"BLOCK_N": max(1, tile // columns), "BLOCK_E": columns}


def resident_programs(x: Tensor, per_sm: int) -> int:
    """Programs that fill the card of ``x`` once, at so many an SM."""
    if current_recording():
        return per_sm * _SMS[launch_architecture(x)]
    if x.device.type != "cuda":
        return per_sm * _INTERPRETED_SMS
    return per_sm * torch.cuda.get_device_properties(x.device).multi_processor_count


def check_norm(x: Tensor, residual: Tensor | None, *vectors: Tensor) -> None:
    """Refuse shapes with which a kernel would read past the end.

    :raises ValueError: ``residual`` has not the shape of ``x``, or weight or bias are not as long as its last axis.
    """
    if residual is not None and residual.shape != x.shape:
        raise ValueError(f"residual has shape {tuple(residual.shape)}, x {tuple(x.shape)}; they must be the same")
    for vector in vectors:
        if vector.shape != x.shape[-1:]:
            raise ValueError(
                f"weight or bias has shape {tuple(vector.shape)}; x has {tuple(x.shape)}, so ({x.shape[-1]},)"
            )
