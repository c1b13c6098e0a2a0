"""Kernels of the output head and its loss, and their launch rows."""

from dataclasses import replace

import torch

from tinyscale_kernels._triton import tl, triton
from tinyscale_kernels.launch import Row


@triton.jit
def logits_gradient_kernel(
    logits_ptr,
    targets_ptr,
    scale_ptr,
    losses_ptr,
    V,
    stride,
    scale_stride,
    ignore_index,
    z_loss,
    BLOCK_V: tl.constexpr,
):
    """Loss of one row, and the gradient of its logits written over them.

    The row is read twice, the second time from the L2 cache. Columns from V to ``stride`` belong to no token: whatever
    they hold, they become zero. They are masked after the load, whose own mask thus has the stride's divisibility:
    with an odd V in it there would be no vector loads.
    """
    row = tl.program_id(0).to(tl.int64)
    logits_ptr += row * stride
    target = tl.load(targets_ptr + row)
    column = tl.arange(0, BLOCK_V)
    if target == ignore_index:
        zero = tl.zeros((BLOCK_V,), dtype=logits_ptr.dtype.element_ty)
        for start in range(0, stride, BLOCK_V):
            tl.store(logits_ptr + start + column, zero, mask=start + column < stride)
        tl.store(losses_ptr + row, 0.0)
    else:
        known = (target >= 0) & (target < V)
        picked = tl.load(logits_ptr + tl.where(known, target, 0)).to(tl.float32)  # before it is overwritten
        maximum = float("-inf")
        total = 0.0
        for start in range(0, V, BLOCK_V):
            logit = tl.load(logits_ptr + start + column, mask=start + column < stride, other=0.0).to(tl.float32)
            logit = tl.where(start + column < V, logit, float("-inf"))
            higher = tl.maximum(maximum, tl.max(logit, axis=0))
            total = total * tl.exp(maximum - higher) + tl.sum(tl.exp(logit - higher), axis=0)
            maximum = higher
        lse = tl.where(known, maximum + tl.log(total), float("nan"))
        tl.store(losses_ptr + row, lse - picked + z_loss * lse * lse)
        scale = tl.load(scale_ptr + row * scale_stride)
        of_softmax = scale * (1.0 + 2.0 * z_loss * lse)
        for start in range(0, stride, BLOCK_V):
            at = logits_ptr + start + column
            logit = tl.load(at, mask=start + column < stride, other=0.0).to(tl.float32)
            softmax = tl.where(start + column < V, tl.exp(logit - lse), 0.0)
            grad = of_softmax * softmax - tl.where(start + column == target, scale, 0.0)
            tl.store(at, grad.to(logits_ptr.dtype.element_ty), mask=start + column < stride)


@triton.jit
def partial_lse_kernel(
    hidden_ptr,
    weight_ptr,
    targets_ptr,
    partial_ptr,
    picked_ptr,
    N,
    V,
    E: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """A tile of logits, in registers only: logsumexp of its columns for each row, and the target's logit if it is here.

    Programs of one block of the vocabulary follow each other, so that its weights are read from memory once, while the
    chunk's hidden states, a few megabytes, stay in the L2 cache. Rows and columns beyond the end repeat the last one:
    cheaper than masks in the loop.
    """
    row_blocks = tl.cdiv(N, BLOCK_N)
    v_block = tl.program_id(0) // row_blocks
    row = tl.program_id(0) % row_blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    column = v_block * BLOCK_V + tl.arange(0, BLOCK_V)
    e = tl.arange(0, BLOCK_E)
    hidden_at = hidden_ptr + tl.minimum(row, N - 1).to(tl.int64)[:, None] * E + e[None, :]
    weight_at = weight_ptr + tl.minimum(column, V - 1).to(tl.int64)[:, None] * E + e[None, :]
    logits = tl.zeros((BLOCK_N, BLOCK_V), dtype=tl.float32)
    for start in range(0, E, BLOCK_E):
        if E % BLOCK_E == 0:
            hidden = tl.load(hidden_at + start)
            weight = tl.load(weight_at + start)
        else:
            inside = (start + e < E)[None, :]
            hidden = tl.load(hidden_at + start, mask=inside, other=0.0)
            weight = tl.load(weight_at + start, mask=inside, other=0.0)
        logits = tl.dot(hidden, tl.trans(weight), logits, input_precision="ieee")
    logits = tl.where((column < V)[None, :], logits, float("-inf"))
    maximum = tl.max(logits, axis=1)
    lse = maximum + tl.log(tl.sum(tl.exp(logits - maximum[:, None]), axis=1))
    tl.store(partial_ptr + v_block.to(tl.int64) * N + row, lse, mask=row < N)
    target = tl.load(targets_ptr + row, mask=row < N, other=-1)
    picked = tl.sum(tl.where(column[None, :] == target[:, None], logits, 0.0), axis=1)
    first = v_block * BLOCK_V
    here = (target >= first) & (target < tl.minimum(first + BLOCK_V, V))
    tl.store(picked_ptr + row, picked, mask=here)


_NARROW = "16 elements a thread: loads of 16 bytes, no spills"
_WIDE = {
    "sm_120": Row(
        {"BLOCK_V": 8192},
        16,
        1,
        "no spills; by its registers 2 rows an SM at a time: at 50,257 columns in bf16 34 MB of rows are under way on "
        "an RTX 5090, whose 96 MB of L2 cache keep them for the second read",
    ),
    "sm_90": Row({"BLOCK_V": 16_384}, 16, 1, "no spills; 1 or 2 rows an SM: at most 27 MB on an H100 with 50 MB of L2"),
    "sm_80": Row({"BLOCK_V": 16_384}, 16, 1, "no spills; 1 or 2 rows an SM: at most 22 MB on an A100 with 40 MB of L2"),
}


def logits_gradient_row(architecture: str, V: int) -> Row:
    """Launch of :func:`logits_gradient_kernel`."""
    if V > 16_384:
        return _WIDE[architecture]
    block_v = min(4096, max(32, 1 << (V - 1).bit_length()))
    return Row({"BLOCK_V": block_v}, max(1, block_v // 512), 1, _NARROW)


_TWO_BLOCKS = "49,152 B, 128 registers, 0 spills: two blocks an SM (128x128x64 w8 s3 takes 65,536 B and allows one)"
_PARTIAL_LSE = {
    "sm_120": Row({"BLOCK_N": 128, "BLOCK_V": 128, "BLOCK_E": 32}, 8, 4, _TWO_BLOCKS),
    "sm_90": Row(
        {"BLOCK_N": 128, "BLOCK_V": 128, "BLOCK_E": 64},
        4,
        3,
        "98,304 B, at most 242 registers, 0 spills: two blocks an SM (8 warps allow one)",
    ),
    "sm_80": Row({"BLOCK_N": 128, "BLOCK_V": 128, "BLOCK_E": 32}, 8, 4, _TWO_BLOCKS),
}
_PARTIAL_LSE_FP32 = Row(
    {"BLOCK_N": 128, "BLOCK_V": 64, "BLOCK_E": 32},
    8,
    3,
    "49,152 B, 128 registers, 0 spills: two blocks an SM (128x128 takes 232 registers and allows one)",
)


def partial_lse_row(architecture: str, E: int, dtype: torch.dtype) -> Row:
    """Launch of :func:`partial_lse_kernel`; two blocks, so that one multiplies while the other takes its logsumexp."""
    row = _PARTIAL_LSE[architecture] if dtype == torch.bfloat16 else _PARTIAL_LSE_FP32
    block_e = max(16, min(row.blocks["BLOCK_E"], E & -E))  # one that divides E needs no masks
    return replace(row, blocks={**row.blocks, "BLOCK_E": block_e})
