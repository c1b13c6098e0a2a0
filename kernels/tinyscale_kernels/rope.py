"""Rotary positions (Su et al. 2021) of the queries and keys in one packed projection."""

import torch
from torch import Tensor

from tinyscale_kernels import reference
from tinyscale_kernels._triton import tl, triton
from tinyscale_kernels.dispatch import Implementation, launch_architecture, use_triton
from tinyscale_kernels.launch import Row, launch


def rope(
    qkv_BTGD: Tensor,
    cos_TD: Tensor,
    sin_TD: Tensor,
    rotated: int,
    *,
    inplace: bool = False,
    implementation: Implementation = "auto",
) -> Tensor:
    """Turn channels i and i + D/2 of the first ``rotated`` heads by the angle of their token; copy the other heads.

    With halves (a, b) of a head's channels: ``cat((a * cos - b * sin, b * cos + a * sin))``, computed in fp32.

    :param qkv_BTGD: fp32 or bf16, of any strides; D is even.
    :param cos_TD: (T, D/2), one angle a token and pair; may be rows of a longer table. ``sin_TD`` too. They get no
        gradient.
    :param inplace: turn the heads where they are, touching no others, and return ``qkv_BTGD`` itself. Safe only where
        autograd records nothing: the projection before it needs no output kept, but whoever else kept this one would
        find it changed.
    :return: (B, T, G, D) of the same dtype.
    :raises ValueError: shapes do not fit; ``inplace`` where a gradient is recorded; or ``implementation`` is ``triton``
        and Triton cannot run here.
    """
    _B, T, G, D = qkv_BTGD.shape
    if D % 2 or cos_TD.shape != (T, D // 2) or sin_TD.shape != (T, D // 2) or not 0 <= rotated <= G:
        raise ValueError(
            f"qkv {tuple(qkv_BTGD.shape)} with {rotated} rotated heads does not fit cos {tuple(cos_TD.shape)} and "
            f"sin {tuple(sin_TD.shape)}: they must be (T, D/2), D even, and rotated at most {G}"
        )
    if inplace and torch.is_grad_enabled() and qkv_BTGD.requires_grad:
        raise ValueError("rope(inplace=True) would change what a gradient needs; pass inplace=False or use no_grad")
    if not use_triton(implementation, qkv_BTGD):
        if not inplace:
            compiling = torch.compiler.is_compiling()
            return (_in_halves if compiling else reference.rope)(qkv_BTGD, cos_TD, sin_TD, rotated)
        heads = qkv_BTGD[:, :, :rotated]
        heads.copy_(reference.rope(heads, cos_TD, sin_TD, rotated))
        return qkv_BTGD
    if inplace:
        _inplace_op(qkv_BTGD, cos_TD, sin_TD, rotated)
        return qkv_BTGD
    turned: Tensor = _op(qkv_BTGD, cos_TD, sin_TD, rotated, 1.0)
    return turned


def _in_halves(qkv_BTGD: Tensor, cos_TD: Tensor, sin_TD: Tensor, rotated: int) -> Tensor:
    """:func:`reference.rope` for torch.compile, whose C++ for ``roll`` takes 2.9 times as long in bf16 as this one's.

    Forward and backward, 8 x 256 tokens of 24 heads of 32, one core of an AMD EPYC (Zen 4). In fp32 both are alike.
    """
    heads, rest = qkv_BTGD[:, :, :rotated], qkv_BTGD[:, :, rotated:]
    a, b = heads.chunk(2, dim=-1)
    cos, sin = cos_TD[:, None], sin_TD[:, None]
    turned = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(qkv_BTGD.dtype)
    return torch.cat((turned, rest), dim=2)


@triton.jit
def _kernel(
    x_ptr,
    cos_ptr,
    sin_ptr,
    out_ptr,
    rows,
    T,
    x_stride_b,
    x_stride_t,
    x_stride_g,
    x_stride_d,
    out_stride_b,
    out_stride_t,
    out_stride_g,
    out_stride_d,
    cos_stride,
    sin_stride,
    direction,
    HEADS: tl.constexpr,
    ROTATED: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """A row is one of the first HEADS heads of a token. Neighbouring rows share angles, which the L1 cache keeps."""
    row = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    head = row % HEADS
    token = row // HEADS
    b = (token // T).to(tl.int64)
    t = token % T
    channel = tl.arange(0, BLOCK_D)[None, :]
    inside = (row < rows)[:, None] & (channel < HALF)
    turned = inside & (head < ROTATED)[:, None]
    cos = tl.load(cos_ptr + (t * cos_stride)[:, None] + channel, mask=turned, other=1.0).to(tl.float32)
    sin = tl.load(sin_ptr + (t * sin_stride)[:, None] + channel, mask=turned, other=0.0).to(tl.float32) * direction
    at = (b * x_stride_b + t.to(tl.int64) * x_stride_t + head * x_stride_g)[:, None] + channel * x_stride_d
    first = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(x_ptr + at + HALF * x_stride_d, mask=inside, other=0.0).to(tl.float32)
    turned_first = tl.where(turned, first * cos - second * sin, first)  # not times 1 and 0: infinities are copied too
    turned_second = tl.where(turned, second * cos + first * sin, second)
    at = (b * out_stride_b + t.to(tl.int64) * out_stride_t + head * out_stride_g)[:, None] + channel * out_stride_d
    tl.store(out_ptr + at, turned_first.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(out_ptr + at + HALF * out_stride_d, turned_second.to(out_ptr.dtype.element_ty), mask=inside)


# Elements of a block, both halves; warps; why. What the compiler said covers both dtypes and D of 16 to 128.
_ROWS = {
    "sm_120": (2048, 4, "39 to 40 registers, no spills, 12 blocks an SM: 48 KiB or more in flight, angles not counted"),
    "sm_90": (2048, 4, "32 to 40 registers, no spills, 12 to 16 blocks an SM: 48 KiB or more in flight"),
    "sm_80": (2048, 4, "36 to 40 registers, no spills, 12 blocks an SM: 48 KiB or more in flight"),
}


def _launch(x_BTGD: Tensor, cos_TD: Tensor, sin_TD: Tensor, rotated: int, direction: float, out_BTGD: Tensor) -> None:
    """Turn heads of ``x`` into ``out``; where these are the same, only those that turn are visited."""
    B, T, G, D = x_BTGD.shape
    heads = rotated if out_BTGD is x_BTGD else G
    cos_TD, sin_TD = (c if c.stride(1) == 1 else c.contiguous() for c in (cos_TD, sin_TD))
    elements, num_warps, why = _ROWS[launch_architecture(x_BTGD)]
    block_d = max(8, 1 << (D // 2 - 1).bit_length())
    row = Row({"BLOCK_N": max(1, elements // (2 * block_d)), "BLOCK_D": block_d}, num_warps, 1, why)
    rows = B * T * heads
    launch(
        _kernel,
        (triton.cdiv(rows, row.blocks["BLOCK_N"]),),
        row,
        x_BTGD,
        cos_TD,
        sin_TD,
        out_BTGD,
        rows,
        T,
        *x_BTGD.stride(),
        *out_BTGD.stride(),
        cos_TD.stride(0),
        sin_TD.stride(0),
        direction,
        HEADS=heads,
        ROTATED=rotated,
        HALF=D // 2,
    )


@torch.library.custom_op("tinyscale::rope", mutates_args=())
def _op(qkv_BTGD: Tensor, cos_TD: Tensor, sin_TD: Tensor, rotated: int, direction: float) -> Tensor:
    """``direction`` -1 turns backwards, which is what the gradient wants."""
    out_BTGD: Tensor = _fake(qkv_BTGD, cos_TD, sin_TD, rotated, direction)
    _launch(qkv_BTGD, cos_TD, sin_TD, rotated, direction, out_BTGD)
    return out_BTGD


@_op.register_fake
def _fake(qkv_BTGD: Tensor, cos_TD: Tensor, sin_TD: Tensor, rotated: int, direction: float) -> Tensor:
    return torch.empty(qkv_BTGD.shape, dtype=qkv_BTGD.dtype, device=qkv_BTGD.device)


def _setup_context(ctx, inputs, output) -> None:
    _qkv, cos_TD, sin_TD, ctx.rotated, ctx.direction = inputs
    ctx.save_for_backward(cos_TD, sin_TD)
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_out):
    if grad_out is None:
        return None, None, None, None, None
    return _op(grad_out, *ctx.saved_tensors, ctx.rotated, -ctx.direction), None, None, None, None


_op.register_autograd(_backward, setup_context=_setup_context)


@torch.library.custom_op("tinyscale::rope_", mutates_args={"qkv_BTGD"})
def _inplace_op(qkv_BTGD: Tensor, cos_TD: Tensor, sin_TD: Tensor, rotated: int) -> None:
    _launch(qkv_BTGD, cos_TD, sin_TD, rotated, 1.0, qkv_BTGD)


@_inplace_op.register_fake
def _inplace_fake(qkv_BTGD: Tensor, cos_TD: Tensor, sin_TD: Tensor, rotated: int) -> None:
    return None
