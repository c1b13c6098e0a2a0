"""RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba et al. 2016) with the residual addition fused.

They are one kernel, forward and backward: RMSNorm is LayerNorm that takes no mean away and adds no bias.
"""

import torch
from torch import Tensor

from tinyscale_kernels import reference
from tinyscale_kernels._triton import tl, triton
from tinyscale_kernels.dispatch import Implementation, autocast_dtype, use_triton
from tinyscale_kernels.launch import launch
from tinyscale_kernels.rows import check_norm, norm_backward_row, norm_forward_row


def rms_norm(
    x: Tensor,
    weight: Tensor,
    epsilon: float,
    residual: Tensor | None = None,
    *,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """``total = residual + x``; ``(total / sqrt(mean(total^2) + epsilon) * weight, total)``.

    :param x: (..., E), fp32 or bf16.
    :param weight: (E,).
    :param residual: (..., E) as ``x``, of any of these dtypes; None: ``total`` is ``x`` itself.
    :return: (normed, total). ``normed`` has autocast's dtype, or outside of autocast that of ``total``, which is the
        wider of the two inputs'. Sums are fp32.
    :raises ValueError: shapes do not fit, or ``implementation`` is ``triton`` and Triton cannot run here.
    """
    check_norm(x, residual, weight)
    if not use_triton(implementation, x):
        return reference.rms_norm(x, weight, epsilon, residual)
    return _norm(x, residual, weight, None, epsilon)


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    epsilon: float,
    residual: Tensor | None = None,
    *,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """``total = residual + x``; ``((total - mean) / sqrt(variance + epsilon) * weight + bias, total)``.

    The variance is the mean of the squared deviations, taken once the mean is known: E[x^2] - E[x]^2 loses all digits
    where the mean is large.

    ``bias`` is (E,) as ``weight``; everything else as in :func:`rms_norm`.
    """
    check_norm(x, residual, weight, bias)
    if not use_triton(implementation, x):
        return reference.layer_norm(x, weight, bias, epsilon, residual)
    return _norm(x, residual, weight, bias, epsilon)


def _norm(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor]:
    wide = x.dtype if residual is None else torch.promote_types(x.dtype, residual.dtype)
    normed, total = _forward_op(x, residual, weight, bias, epsilon, autocast_dtype(x) or wide)
    return normed, x if residual is None else total


@triton.jit
def _forward_kernel(
    x_ptr,
    residual_ptr,
    weight_ptr,
    bias_ptr,
    total_ptr,
    normed_ptr,
    rows,
    epsilon,
    E: tl.constexpr,
    CENTRED: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    row = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    column = tl.arange(0, BLOCK_E)
    inside = (row < rows)[:, None] & (column < E)[None, :]
    at = row.to(tl.int64)[:, None] * E + column[None, :]
    total = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if HAS_RESIDUAL:
        total += tl.load(residual_ptr + at, mask=inside, other=0.0).to(tl.float32)
        rounded = total.to(total_ptr.dtype.element_ty)  # what the next layer will read is what is normed
        tl.store(total_ptr + at, rounded, mask=inside)
        total = rounded.to(tl.float32)
    if CENTRED:
        total = tl.where(inside, total - (tl.sum(total, axis=1) / E)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(total * total, axis=1) / E + epsilon)
    weight = tl.load(weight_ptr + column[None, :], mask=(column < E)[None, :], other=0.0).to(tl.float32)
    normed = total * scale[:, None] * weight
    if CENTRED:
        normed += tl.load(bias_ptr + column[None, :], mask=(column < E)[None, :], other=0.0).to(tl.float32)
    tl.store(normed_ptr + at, normed.to(normed_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _backward_kernel(
    total_ptr,
    weight_ptr,
    grad_normed_ptr,
    grad_total_ptr,
    grad_residual_ptr,
    grad_x_ptr,
    grad_weight_ptr,
    grad_bias_ptr,
    rows,
    epsilon,
    E: tl.constexpr,
    CENTRED: tl.constexpr,
    HAS_GRAD_TOTAL: tl.constexpr,
    HAS_GRAD_X: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Each program takes every so-manieth block of rows and sums its own gradients of weight and bias.

    Mean and scale are computed again: the row is read anyway, so that is cheaper than storing them. Programs write
    their sums side by side, (programs, E), instead of adding them up with atomics, whose order changes from run to run.
    """
    column = tl.arange(0, BLOCK_E)
    weight = tl.load(weight_ptr + column, mask=column < E, other=0.0).to(tl.float32)
    grad_weight = tl.zeros((BLOCK_N, BLOCK_E), dtype=tl.float32)
    grad_bias = tl.zeros((BLOCK_N, BLOCK_E), dtype=tl.float32)
    step = tl.num_programs(0) * BLOCK_N
    for start in tl.range(tl.program_id(0) * BLOCK_N, rows, step, num_stages=STAGES):
        row = start + tl.arange(0, BLOCK_N)
        inside = (row < rows)[:, None] & (column < E)[None, :]
        at = row.to(tl.int64)[:, None] * E + column[None, :]
        total = tl.load(total_ptr + at, mask=inside, other=0.0).to(tl.float32)
        grad_normed = tl.load(grad_normed_ptr + at, mask=inside, other=0.0).to(tl.float32)
        grad = tl.zeros((BLOCK_N, BLOCK_E), dtype=tl.float32)
        if HAS_GRAD_TOTAL:
            grad = tl.load(grad_total_ptr + at, mask=inside, other=0.0).to(tl.float32)
        if CENTRED:
            total = tl.where(inside, total - (tl.sum(total, axis=1) / E)[:, None], 0.0)
        scale = tl.rsqrt(tl.sum(total * total, axis=1) / E + epsilon)
        scale = tl.where(row < rows, scale, 0.0)[:, None]  # a row that is not there has no size to divide by
        unit = total * scale
        grad_weight += grad_normed * unit
        grad_unit = grad_normed * weight[None, :]
        along = grad_unit - unit * (tl.sum(grad_unit * unit, axis=1) / E)[:, None]
        if CENTRED:
            grad_bias += grad_normed
            along -= (tl.sum(grad_unit, axis=1) / E)[:, None]
        grad += scale * along
        tl.store(grad_residual_ptr + at, grad.to(grad_residual_ptr.dtype.element_ty), mask=inside)
        if HAS_GRAD_X:
            tl.store(grad_x_ptr + at, grad.to(grad_x_ptr.dtype.element_ty), mask=inside)
    at = tl.program_id(0) * E + column
    tl.store(grad_weight_ptr + at, tl.sum(grad_weight, axis=0), mask=column < E)
    if CENTRED:
        tl.store(grad_bias_ptr + at, tl.sum(grad_bias, axis=0), mask=column < E)


@torch.library.custom_op("tinyscale::norm", mutates_args=())
def _forward_op(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, epsilon: float, out_dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(normed, total); total is empty without a residual, since an op may not return its input. No bias: RMSNorm."""
    x = x.contiguous()
    normed, total = _forward_fake(x, residual, weight, bias, epsilon, out_dtype)
    E = weight.numel()
    rows = x.numel() // E
    row = norm_forward_row(x, E)
    launch(
        _forward_kernel,
        (triton.cdiv(rows, row.blocks["BLOCK_N"]),),
        row,
        x,
        x if residual is None else residual.contiguous(),
        weight.contiguous(),
        weight if bias is None else bias.contiguous(),
        total,
        normed,
        rows,
        epsilon,
        E=E,
        CENTRED=bias is not None,
        HAS_RESIDUAL=residual is not None,
    )
    return normed, total


@_forward_op.register_fake
def _forward_fake(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, epsilon: float, out_dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    normed = torch.empty(x.shape, dtype=out_dtype, device=x.device)
    if residual is None:
        return normed, x.new_empty(0)
    return normed, torch.empty(x.shape, dtype=torch.promote_types(x.dtype, residual.dtype), device=x.device)


@torch.library.custom_op("tinyscale::norm_backward", mutates_args=())
def _backward_op(
    total: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    grad_normed: Tensor,
    grad_total: Tensor | None,
    epsilon: float,
    x_dtype: torch.dtype,
    residual_dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of residual, x, weight, bias; x's is empty where it is the residual's, bias's where there is none."""
    grad_residual, grad_x, _, _ = _backward_fake(
        total, weight, bias, grad_normed, grad_total, epsilon, x_dtype, residual_dtype
    )
    total = total.contiguous()
    E = weight.numel()
    rows = total.numel() // E
    row, programs = norm_backward_row(total, E)
    programs = min(programs, triton.cdiv(rows, row.blocks["BLOCK_N"]))
    sums_2PE = torch.empty(1 if bias is None else 2, programs, E, dtype=torch.float32, device=total.device)
    launch(
        _backward_kernel,
        (programs,),
        row,
        total,
        weight.contiguous(),
        grad_normed.contiguous(),
        total if grad_total is None else grad_total.contiguous(),
        grad_residual,
        grad_x,
        sums_2PE[0],
        sums_2PE[-1],
        rows,
        epsilon,
        E=E,
        CENTRED=bias is not None,
        HAS_GRAD_TOTAL=grad_total is not None,
        HAS_GRAD_X=x_dtype != residual_dtype,
        STAGES=row.num_stages,
    )
    grad_weight = sums_2PE[0].sum(dim=0).to(weight.dtype)
    grad_bias = total.new_empty(0) if bias is None else sums_2PE[1].sum(dim=0).to(bias.dtype)
    return grad_residual, grad_x, grad_weight, grad_bias


@_backward_op.register_fake
def _backward_fake(
    total: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    grad_normed: Tensor,
    grad_total: Tensor | None,
    epsilon: float,
    x_dtype: torch.dtype,
    residual_dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad_residual = torch.empty(total.shape, dtype=residual_dtype, device=total.device)
    grad_x = torch.empty(total.shape if x_dtype != residual_dtype else (0,), dtype=x_dtype, device=total.device)
    grad_bias = total.new_empty(0) if bias is None else torch.empty_like(bias)
    return grad_residual, grad_x, torch.empty_like(weight), grad_bias


def _setup_context(ctx, inputs, output) -> None:
    x, residual, weight, bias, epsilon, _out_dtype = inputs
    ctx.save_for_backward(x if residual is None else output[1], weight, bias)
    ctx.epsilon = epsilon
    ctx.x_dtype = x.dtype
    ctx.residual_dtype = None if residual is None else residual.dtype
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_normed, grad_total):
    total, weight, bias = ctx.saved_tensors
    has_residual = ctx.residual_dtype is not None
    if not has_residual:  # the second output is an empty stand-in
        grad_total = None
    if grad_normed is None:  # only the sum was used
        if grad_total is None:
            return (None,) * 6
        return grad_total.to(ctx.x_dtype), grad_total.to(ctx.residual_dtype), None, None, None, None
    residual_dtype = ctx.residual_dtype or ctx.x_dtype
    grad_residual, grad_x, grad_weight, grad_bias = _backward_op(
        total, weight, bias, grad_normed, grad_total, ctx.epsilon, ctx.x_dtype, residual_dtype
    )
    grad_x = grad_x if ctx.x_dtype != residual_dtype else grad_residual
    grad_bias = None if bias is None else grad_bias
    return grad_x, grad_residual if has_residual else None, grad_weight, grad_bias, None, None


_forward_op.register_autograd(_backward, setup_context=_setup_context)
