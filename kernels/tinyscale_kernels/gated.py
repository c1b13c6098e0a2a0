"""SwiGLU and GEGLU (Shazeer 2020): what gates the MLP, without the matrix products around it."""

import torch
from torch import Tensor

from tinyscale_kernels import reference
from tinyscale_kernels._triton import tl, triton
from tinyscale_kernels.activations import activate, activate_with_slope
from tinyscale_kernels.dispatch import Implementation, launch_architecture, use_triton
from tinyscale_kernels.launch import Row, launch
from tinyscale_kernels.reference import Approximation


def swiglu(gate: Tensor, up: Tensor, *, implementation: Implementation = "auto") -> Tensor:
    """``silu(gate) * up``.

    :param gate: any shape, fp32 or bf16.
    :param up: the same shape.
    :return: the same shape, in the wider of the two dtypes; computed in fp32.
    :raises ValueError: shapes differ, or ``implementation`` is ``triton`` and Triton cannot run here.
    """
    _check(gate, up)
    if not use_triton(implementation, gate):
        return reference.swiglu(gate, up)
    out: Tensor = _forward_op(gate, up, "silu")
    return out


def geglu(
    gate: Tensor, up: Tensor, approximate: Approximation = "tanh", *, implementation: Implementation = "auto"
) -> Tensor:
    """``gelu(gate) * up``; tensors and errors as in :func:`swiglu`.

    :param approximate: ``none``: GELU with erf; ``tanh``: Hendrycks & Gimpel's approximation.
    """
    _check(gate, up)
    if not use_triton(implementation, gate):
        return reference.geglu(gate, up, approximate)
    out: Tensor = _forward_op(gate, up, approximate)
    return out


def _check(gate: Tensor, up: Tensor) -> None:
    if gate.shape != up.shape:
        raise ValueError(f"gate has shape {tuple(gate.shape)}, up {tuple(up.shape)}; they must be the same")


@triton.jit
def _forward_kernel(gate_ptr, up_ptr, out_ptr, elements, KIND: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < elements
    gate = tl.load(gate_ptr + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(up_ptr + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + at, (activate(gate, KIND) * up).to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _backward_kernel(
    gate_ptr,
    up_ptr,
    grad_out_ptr,
    grad_gate_ptr,
    grad_up_ptr,
    elements,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < elements
    gate = tl.load(gate_ptr + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(up_ptr + at, mask=inside, other=0.0).to(tl.float32)
    grad = tl.load(grad_out_ptr + at, mask=inside, other=0.0).to(tl.float32)
    value, slope = activate_with_slope(gate, KIND)
    tl.store(grad_gate_ptr + at, (grad * up * slope).to(grad_gate_ptr.dtype.element_ty), mask=inside)
    tl.store(grad_up_ptr + at, (grad * value).to(grad_up_ptr.dtype.element_ty), mask=inside)


# 16 elements a thread in vectors of 16 bytes. What the compiler said covers both dtypes and all three activations,
# forward / backward; "in flight": bytes in bf16 that the blocks of an SM ask for together (see rows.py).
_ROWS = {
    "sm_120": Row(
        {"BLOCK": 2048}, 4, 1, "39-40 / 44-64 registers, no spills, 12 / 8-10 blocks an SM: 96 KiB in flight"
    ),
    "sm_90": Row(
        {"BLOCK": 2048}, 4, 1, "32-45 / 36-64 registers, no spills, 10-16 / 8-12 blocks an SM: 80 KiB in flight"
    ),
    "sm_80": Row(
        {"BLOCK": 2048}, 4, 1, "32-42 / 36-64 registers, no spills, 10-12 / 8-12 blocks an SM: 80 KiB in flight"
    ),
}


@torch.library.custom_op("tinyscale::gated", mutates_args=())
def _forward_op(gate: Tensor, up: Tensor, kind: str) -> Tensor:
    gate, up = gate.contiguous(), up.contiguous()
    out: Tensor = _forward_fake(gate, up, kind)
    row = _ROWS[launch_architecture(gate)]
    grid = (triton.cdiv(gate.numel(), row.blocks["BLOCK"]),)
    launch(_forward_kernel, grid, row, gate, up, out, gate.numel(), KIND=kind)
    return out


@_forward_op.register_fake
def _forward_fake(gate: Tensor, up: Tensor, kind: str) -> Tensor:
    return torch.empty(gate.shape, dtype=torch.promote_types(gate.dtype, up.dtype), device=gate.device)


@torch.library.custom_op("tinyscale::gated_backward", mutates_args=())
def _backward_op(gate: Tensor, up: Tensor, grad_out: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Gradients of gate and up; the activation is computed again, which is cheaper than storing it."""
    gate, up, grad_out = gate.contiguous(), up.contiguous(), grad_out.contiguous()
    grad_gate, grad_up = _backward_fake(gate, up, grad_out, kind)
    row = _ROWS[launch_architecture(gate)]
    grid = (triton.cdiv(gate.numel(), row.blocks["BLOCK"]),)
    launch(_backward_kernel, grid, row, gate, up, grad_out, grad_gate, grad_up, gate.numel(), KIND=kind)
    return grad_gate, grad_up


@_backward_op.register_fake
def _backward_fake(gate: Tensor, up: Tensor, grad_out: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    return (
        torch.empty(gate.shape, dtype=gate.dtype, device=gate.device),
        torch.empty(up.shape, dtype=up.dtype, device=up.device),
    )


def _setup_context(ctx, inputs, output) -> None:
    gate, up, kind = inputs
    ctx.save_for_backward(gate, up)
    ctx.kind = kind
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_out):
    if grad_out is None:
        return None, None, None
    return *_backward_op(*ctx.saved_tensors, grad_out, ctx.kind), None


_forward_op.register_autograd(_backward, setup_context=_setup_context)
