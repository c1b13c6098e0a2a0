"""GELU of a biased input, whose backward pass sums up the bias's gradient on its way."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tinyscale_kernels import reference
from tinyscale_kernels._triton import tl, triton
from tinyscale_kernels.activations import activate, activate_with_slope
from tinyscale_kernels.dispatch import Implementation, launch_architecture, use_triton
from tinyscale_kernels.launch import Row, launch
from tinyscale_kernels.reference import Approximation
from tinyscale_kernels.rows import resident_programs


def bias_gelu(
    x: Tensor, bias: Tensor, approximate: Approximation = "tanh", *, implementation: Implementation = "auto"
) -> Tensor:
    """``gelu(x + bias)`` (Hendrycks & Gimpel 2016).

    :param x: (..., F), fp32 or bf16.
    :param bias: (F,), of either dtype.
    :param approximate: ``none``: GELU with erf; ``tanh``: its approximation.
    :return: shape and dtype of ``x``; computed in fp32.
    :raises ValueError: ``bias`` is not as long as the last axis of ``x``, or ``implementation`` is ``triton`` and
        Triton cannot run here.
    """
    if bias.shape != x.shape[-1:]:
        raise ValueError(f"bias has shape {tuple(bias.shape)}; x {tuple(x.shape)} needs ({x.shape[-1]},)")
    if not use_triton(implementation, x):
        return reference.bias_gelu(x, bias, approximate)
    out: Tensor = _forward_op(x, bias, approximate)
    return out


def linear_bias_gelu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    approximate: Approximation = "tanh",
    *,
    implementation: Implementation = "auto",
) -> Tensor:
    """``gelu(linear(x, weight, bias))``.

    PyTorch's matrix product adds the bias for free, so forward moves the same bytes; backward is spared a whole read of
    the product's gradient, which PyTorch takes for the bias's gradient alone.

    :param x: (..., E), fp32 or bf16.
    :param weight: (F, E).
    :param bias: (F,).
    :return: (..., F), of the product's dtype: autocast's, where it is on.
    :raises ValueError: as :func:`bias_gelu`.
    """
    if not use_triton(implementation, x):
        return reference.linear_bias_gelu(x, weight, bias, approximate)
    return bias_gelu(torch.nn.functional.linear(x, weight), bias, approximate, implementation=implementation)


@triton.jit
def _forward_kernel(
    x_ptr,
    bias_ptr,
    out_ptr,
    rows,
    F: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    across: tl.constexpr = (F + BLOCK_F - 1) // BLOCK_F  # one axis of the grid: the second ends at 65,535
    column = tl.program_id(0) % across * BLOCK_F + tl.arange(0, BLOCK_F)
    row = tl.program_id(0) // across * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (row < rows)[:, None] & (column < F)[None, :]
    at = row.to(tl.int64)[:, None] * F + column[None, :]
    bias = tl.load(bias_ptr + column, mask=column < F, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32) + bias[None, :]
    tl.store(out_ptr + at, activate(x, KIND).to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _backward_kernel(
    x_ptr,
    bias_ptr,
    grad_out_ptr,
    grad_x_ptr,
    grad_bias_ptr,
    rows,
    F: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Each program goes down its columns by every so-manieth block of rows, and sums up their gradient.

    Programs write their sums side by side, (programs, F), instead of adding them up with atomics, whose order changes
    from run to run. Neighbouring programs share rows: together they read memory in one stream.
    """
    across: tl.constexpr = (F + BLOCK_F - 1) // BLOCK_F
    program = tl.program_id(0) // across
    programs = tl.num_programs(0) // across
    column = tl.program_id(0) % across * BLOCK_F + tl.arange(0, BLOCK_F)
    bias = tl.load(bias_ptr + column, mask=column < F, other=0.0).to(tl.float32)
    grad_bias = tl.zeros((BLOCK_N, BLOCK_F), dtype=tl.float32)
    for start in tl.range(program * BLOCK_N, rows, programs * BLOCK_N, num_stages=STAGES):
        row = start + tl.arange(0, BLOCK_N)
        inside = (row < rows)[:, None] & (column < F)[None, :]
        at = row.to(tl.int64)[:, None] * F + column[None, :]
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32) + bias[None, :]
        grad = tl.load(grad_out_ptr + at, mask=inside, other=0.0).to(tl.float32)
        _, slope = activate_with_slope(x, KIND)
        grad *= slope
        grad_bias += grad
        tl.store(grad_x_ptr + at, grad.to(grad_x_ptr.dtype.element_ty), mask=inside)
    tl.store(grad_bias_ptr + program * F + column, tl.sum(grad_bias, axis=0), mask=column < F)


@dataclass(frozen=True, kw_only=True)
class _Tiles:
    """How a kernel cuts (N, F) up."""

    elements: int
    """Of a tile, which is at most 512 columns wide."""
    num_warps: int = 4
    stages: int = 1
    """Tiles of a program that are on their way or at work."""
    programs_per_sm: int = 0
    """Programs of a backward pass for each SM, which loop over the rows: as many as fit."""
    why: str


# What the compiler said covers both dtypes, both forms of GELU and F of 256 to 4,096; "in flight": bytes in bf16 that
# the blocks of an SM ask for together (see rows.py). No row spills.
_FORWARD_TILES = {
    "sm_120": _Tiles(elements=2048, why="39-51 registers, 9-12 blocks an SM, 36 KiB in flight"),
    "sm_90": _Tiles(elements=2048, why="32-56 registers, 9-16 blocks an SM, 36 KiB in flight"),
    "sm_80": _Tiles(elements=2048, why="32-50 registers, 9-12 blocks an SM, 36 KiB in flight"),
}
_BACKWARD_TILES = {
    "sm_120": _Tiles(
        elements=1024,
        stages=2,
        programs_per_sm=9,
        why="40-56 registers, 9-11 blocks an SM, 36 KiB in flight at any time; tiles of 2,048 leave 5 blocks",
    ),
    "sm_90": _Tiles(
        elements=1024,
        stages=3,
        programs_per_sm=8,
        why="40-64 registers, 8-12 blocks an SM, 64 KiB in flight at any time; tiles of 2,048 leave 5 blocks",
    ),
    "sm_80": _Tiles(
        elements=1024,
        stages=2,
        programs_per_sm=8,
        why="40-64 registers, 8-11 blocks an SM, 32 KiB in flight at any time",
    ),
}


def _row(tiles: _Tiles, size: int) -> Row:
    block_f = min(512, max(16, 1 << (size - 1).bit_length()))
    blocks = {"BLOCK_N": tiles.elements // block_f, "BLOCK_F": block_f}
    return Row(blocks, tiles.num_warps, tiles.stages, tiles.why)


@torch.library.custom_op("tinyscale::bias_gelu", mutates_args=())
def _forward_op(x: Tensor, bias: Tensor, approximate: str) -> Tensor:
    x = x.contiguous()
    out: Tensor = _forward_fake(x, bias, approximate)
    size = bias.numel()
    rows = x.numel() // size
    row = _row(_FORWARD_TILES[launch_architecture(x)], size)
    grid = (triton.cdiv(size, row.blocks["BLOCK_F"]) * triton.cdiv(rows, row.blocks["BLOCK_N"]),)
    launch(_forward_kernel, grid, row, x, bias.contiguous(), out, rows, F=size, KIND=approximate)
    return out


@_forward_op.register_fake
def _forward_fake(x: Tensor, bias: Tensor, approximate: str) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


@torch.library.custom_op("tinyscale::bias_gelu_backward", mutates_args=())
def _backward_op(x: Tensor, bias: Tensor, grad_out: Tensor, approximate: str) -> tuple[Tensor, Tensor]:
    x = x.contiguous()
    grad_x, _ = _backward_fake(x, bias, grad_out, approximate)
    size = bias.numel()
    rows = x.numel() // size
    tiles = _BACKWARD_TILES[launch_architecture(x)]
    row = _row(tiles, size)
    across = triton.cdiv(size, row.blocks["BLOCK_F"])
    programs = max(1, resident_programs(x, tiles.programs_per_sm) // across)
    programs = min(programs, triton.cdiv(rows, row.blocks["BLOCK_N"]))
    partial_PF = torch.empty(programs, size, dtype=torch.float32, device=x.device)
    launch(
        _backward_kernel,
        (across * programs,),
        row,
        x,
        bias.contiguous(),
        grad_out.contiguous(),
        grad_x,
        partial_PF,
        rows,
        F=size,
        KIND=approximate,
        STAGES=row.num_stages,
    )
    return grad_x, partial_PF.sum(dim=0).to(bias.dtype)


@_backward_op.register_fake
def _backward_fake(x: Tensor, bias: Tensor, grad_out: Tensor, approximate: str) -> tuple[Tensor, Tensor]:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device), torch.empty_like(bias)


def _setup_context(ctx, inputs, output) -> None:
    x, bias, approximate = inputs
    ctx.save_for_backward(x, bias)
    ctx.approximate = approximate
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_out):
    if grad_out is None:
        return None, None, None
    return *_backward_op(*ctx.saved_tensors, grad_out, ctx.approximate), None


_forward_op.register_autograd(_backward, setup_context=_setup_context)
