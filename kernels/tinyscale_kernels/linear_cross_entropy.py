"""Output head and cross-entropy in one op: the logits of all rows never exist together."""

from typing import get_args

import torch
from torch import Tensor

from tinyscale_kernels import reference
from tinyscale_kernels._triton import triton
from tinyscale_kernels.dispatch import Implementation, autocast_dtype, launch_architecture, use_triton
from tinyscale_kernels.launch import launch
from tinyscale_kernels.linear_cross_entropy_chunks import chunk_rows, extra_bytes, losses_and_gradients
from tinyscale_kernels.linear_cross_entropy_kernels import partial_lse_kernel, partial_lse_row

__all__ = ["extra_bytes", "linear_cross_entropy"]


def linear_cross_entropy(
    hidden_NE: Tensor,
    weight_VE: Tensor,
    targets_N: Tensor,
    *,
    reduction: reference.Reduction = "mean",
    ignore_index: int = -100,
    z_loss: float = 0.0,
    implementation: Implementation = "auto",
) -> Tensor:
    """``cross_entropy(hidden @ weight^T, targets)`` plus ``z_loss * logsumexp^2`` (Chowdhery et al. 2022), in fp32.

    The mean's gradients are computed with the loss, chunk by chunk of rows (as Hsu et al. 2024 do), and multiplied by
    the upstream gradient in the backward pass; those of ``none`` are computed there, in the same chunks. The products
    are torch's: plain ones, at which cuBLAS is hard to beat. Where no gradient is wanted, and for the losses of
    ``none``, logits exist in registers only (Wijmans et al. 2024).

    A chunk's logits have the dtype of ``hidden``, as they have under torch's autocast; those in registers and all sums,
    the weight's gradient among them, are fp32. Chunks of fp32 obey torch's own switch for TF32, off by default.

    :param hidden_NE: (N, E), fp32 or bf16; under autocast cast to its dtype.
    :param weight_VE: (V, E), fp32 or bf16; cast once to the dtype of ``hidden``.
    :param targets_N: (N,), int64. One that is neither ``ignore_index`` nor in [0, V) makes its loss NaN, and thus
        the mean and the gradients: there is no other sign of it without waiting for the card.
    :param reduction: ``mean``: a scalar over the targets that are not ``ignore_index``, NaN where there is none;
        ``none``: (N,), zero at ``ignore_index``.
    :raises ValueError: shapes or dtypes are others, or ``implementation`` is ``triton`` and Triton cannot run here.
    """
    if not use_triton(implementation, hidden_NE):
        return reference.linear_cross_entropy(
            hidden_NE, weight_VE, targets_N, reduction=reduction, ignore_index=ignore_index, z_loss=z_loss
        )
    hidden_NE = hidden_NE.to(autocast_dtype(hidden_NE) or hidden_NE.dtype)
    _check(hidden_NE, weight_VE, targets_N, reduction)
    hidden_wanted = torch.is_grad_enabled() and hidden_NE.requires_grad
    weight_wanted = torch.is_grad_enabled() and weight_VE.requires_grad
    if reduction == "mean" and (hidden_wanted or weight_wanted):
        inputs = (hidden_NE, weight_VE, targets_N, ignore_index, z_loss, hidden_wanted, weight_wanted)
        loss: Tensor = _mean_op(*inputs)[0]
        return loss
    losses_N: Tensor = _losses_op(hidden_NE, weight_VE, targets_N, ignore_index, z_loss)
    return losses_N if reduction == "none" else losses_N.sum() / (targets_N != ignore_index).sum()


def _check(hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor, reduction: str) -> None:
    N, E, V = hidden_NE.shape[0], hidden_NE.shape[-1], weight_VE.shape[0]
    if (hidden_NE.shape, weight_VE.shape, targets_N.shape) != ((N, E), (V, E), (N,)):
        shapes = [tuple(tensor.shape) for tensor in (hidden_NE, weight_VE, targets_N)]
        raise ValueError("hidden, weight, targets are {}, {}, {}; they must be (N, E), (V, E), (N,)".format(*shapes))
    for name, tensor in (("hidden", hidden_NE), ("weight", weight_VE)):
        if tensor.dtype not in (torch.float32, torch.bfloat16):
            raise ValueError(f"{name} is {tensor.dtype}; the kernels take float32 and bfloat16")
    if targets_N.dtype != torch.int64:
        raise ValueError(f"targets are {targets_N.dtype}; they must be int64")
    if reduction not in get_args(reference.Reduction):
        raise ValueError(f"reduction is {reduction!r}; choose one of {', '.join(get_args(reference.Reduction))}")


@torch.library.custom_op("tinyscale::linear_cross_entropy_mean", mutates_args=())
def _mean_op(
    hidden_NE: Tensor,
    weight_VE: Tensor,
    targets_N: Tensor,
    ignore_index: int,
    z_loss: float,
    hidden_wanted: bool,
    weight_wanted: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss and its gradients, for an upstream gradient of one."""
    valid = (targets_N != ignore_index).sum()  # stays on the device: nothing waits for it
    losses_N, grad_hidden_NE, grad_weight_VE = losses_and_gradients(
        hidden_NE, weight_VE, targets_N, valid.float().reciprocal(), ignore_index, z_loss, hidden_wanted, weight_wanted
    )
    return losses_N.sum() / valid, grad_hidden_NE, grad_weight_VE


@_mean_op.register_fake
def _mean_fake(hidden_NE, weight_VE, targets_N, ignore_index, z_loss, hidden_wanted, weight_wanted):
    return (
        hidden_NE.new_empty((), dtype=torch.float32),
        hidden_NE.new_empty(hidden_NE.shape if hidden_wanted else 0),
        weight_VE.new_empty(weight_VE.shape if weight_wanted else 0),
    )


@torch.library.custom_op("tinyscale::linear_cross_entropy_scale", mutates_args=())
def _scale_op(gradient: Tensor, factor: Tensor) -> Tensor:
    """``gradient * factor`` in one kernel, in fp32; a product of bf16 and a single number would round that to bf16."""
    return torch.mul(gradient, factor.reshape(1), out=torch.empty_like(gradient))


@_scale_op.register_fake
def _scale_fake(gradient, factor):
    return torch.empty_like(gradient)


def _mean_setup_context(ctx, inputs, output) -> None:
    ctx.save_for_backward(output[1], output[2])
    ctx.mark_non_differentiable(output[1], output[2])
    ctx.wanted = inputs[-2:]
    ctx.set_materialize_grads(False)


def _mean_backward(ctx, grad_loss, _grad_hidden, _grad_weight):
    if grad_loss is None:
        return (None,) * 7
    if (
        torch.is_grad_enabled()
    ):  # create_graph=True; what is saved counts as constant, so that would be wrong in silence
        raise RuntimeError("linear_cross_entropy has no second derivatives")
    gradients = zip(ctx.saved_tensors, ctx.wanted, strict=True)
    return *(_scale_op(gradient, grad_loss) if wanted else None for gradient, wanted in gradients), *(None,) * 5


_mean_op.register_autograd(_mean_backward, setup_context=_mean_setup_context)


@torch.library.custom_op("tinyscale::linear_cross_entropy_losses", mutates_args=())
def _losses_op(hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor, ignore_index: int, z_loss: float) -> Tensor:
    """Losses of the rows; logits are never stored."""
    hidden_NE, targets_N = hidden_NE.contiguous(), targets_N.contiguous()
    weight_VE = weight_VE.to(hidden_NE.dtype).contiguous()
    (N, E), V = hidden_NE.shape, weight_VE.shape[0]
    row = partial_lse_row(launch_architecture(hidden_NE), E, hidden_NE.dtype)
    v_blocks = triton.cdiv(V, row.blocks["BLOCK_V"])
    lse_N = hidden_NE.new_empty(N, dtype=torch.float32)
    picked_N = hidden_NE.new_full((N,), float("nan"), dtype=torch.float32)  # stays so for targets out of range
    for hidden_CE, targets_C, lse_C, picked_C in zip(
        *(tensor.split(chunk_rows(V, hidden_NE.dtype)) for tensor in (hidden_NE, targets_N, lse_N, picked_N)),
        strict=True,
    ):
        C = len(hidden_CE)
        partial_C = lse_N.new_empty(v_blocks, C)
        grid = (triton.cdiv(C, row.blocks["BLOCK_N"]) * v_blocks,)
        launch(partial_lse_kernel, grid, row, hidden_CE, weight_VE, targets_C, partial_C, picked_C, C, V, E=E)
        torch.logsumexp(partial_C, dim=0, out=lse_C)
    losses_N = lse_N - picked_N
    if z_loss:
        losses_N.addcmul_(lse_N, lse_N, value=z_loss)
    return losses_N.masked_fill_(targets_N == ignore_index, 0.0)


@_losses_op.register_fake
def _losses_fake(hidden_NE, weight_VE, targets_N, ignore_index, z_loss):
    return hidden_NE.new_empty(hidden_NE.shape[0], dtype=torch.float32)


@torch.library.custom_op("tinyscale::linear_cross_entropy_losses_backward", mutates_args=())
def _losses_backward_op(
    hidden_NE: Tensor,
    weight_VE: Tensor,
    targets_N: Tensor,
    grad_N: Tensor,
    ignore_index: int,
    z_loss: float,
    hidden_wanted: bool,
    weight_wanted: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of hidden and weight; the logsumexp is taken again, of the very logits that the gradient is made of."""
    _, grad_hidden_NE, grad_weight_VE = losses_and_gradients(
        hidden_NE, weight_VE, targets_N, grad_N, ignore_index, z_loss, hidden_wanted, weight_wanted
    )
    return grad_hidden_NE, grad_weight_VE


@_losses_backward_op.register_fake
def _losses_backward_fake(hidden_NE, weight_VE, targets_N, grad_N, ignore_index, z_loss, hidden_wanted, weight_wanted):
    return _mean_fake(hidden_NE, weight_VE, targets_N, ignore_index, z_loss, hidden_wanted, weight_wanted)[1:]


def _losses_setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.ignore_index, ctx.z_loss = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _losses_backward(ctx, grad_N):
    if grad_N is None:
        return (None,) * 5
    wanted = ctx.needs_input_grad[:2]
    gradients = _losses_backward_op(*ctx.saved_tensors, grad_N, ctx.ignore_index, ctx.z_loss, *wanted)
    return *(gradient if want else None for gradient, want in zip(gradients, wanted, strict=True)), None, None, None


_losses_op.register_autograd(_losses_backward, setup_context=_losses_setup_context)
