"""Causal attention (Vaswani et al. 2017) of grouped queries (Ainslie et al. 2023), with or without a sliding window."""

from math import gcd
from typing import Any

import torch
from torch import Tensor

from tinyscale_kernels import reference
from tinyscale_kernels._triton import triton
from tinyscale_kernels.attention_backward import dkv_kernel, dq_kernel
from tinyscale_kernels.attention_blocks import better_in_blocks, block_attention
from tinyscale_kernels.attention_forward import forward_kernel
from tinyscale_kernels.attention_rows import Kernel, attention_row, padded_head_size
from tinyscale_kernels.dispatch import Implementation, autocast_dtype, launch_architecture, use_triton
from tinyscale_kernels.launch import launch

MAX_HEAD_SIZE = 128


def attention(
    qkv_BTGD: Tensor,
    num_heads: int,
    num_kv_heads: int,
    *,
    window: int = 0,
    scale: float | None = None,
    dropout: float = 0.0,
    implementation: Implementation = "auto",
) -> Tensor:
    """Causal ``softmax(q k^T * scale) v``, dropout on the probabilities: (B, T, G, D) -> (B, T, H, D), contiguous.

    It takes the projection as it comes, queries, keys and values packed along G = H + 2 K, because then nothing is
    copied on the way back either: the kernels write all parts of one packed gradient, where gradients of three tensors
    would have to be concatenated. Flash attention of Dao et al. 2022 and Dao 2023.

    ``auto`` leaves to PyTorch what it does as fast: attention without a window (or with one that holds all T tokens)
    at head sizes of 64 and more, where its SDPA is reported at 186 and 117 TFLOPS forward and backward on an RTX 5090.
    Ours are the sliding window, for which SDPA needs a mask and so leaves flash attention, and smaller heads. What our
    kernels cannot do goes to PyTorch too: head sizes over 128, a scale that is not positive, dtypes but fp32 and bf16.
    Dropout is PyTorch's under every ``implementation``. On CPUs a compiled step in bf16 goes by
    :mod:`tinyscale_kernels.attention_blocks`.

    :param qkv_BTGD: fp32 or bf16, with D contiguous, else it is copied; under autocast it is cast.
    :param num_heads: H; a multiple of K.
    :param num_kv_heads: K; key-value head k serves the query heads k * H / K and following.
    :param window: tokens that a query sees, itself included; 0: itself and all before it.
    :param scale: None is 1 / sqrt(D).
    :raises ValueError: G is not H + 2 K, K does not divide H, or ``implementation`` is ``triton`` and our kernels
        cannot do this here.
    """
    _B, T, G, D = qkv_BTGD.shape
    if num_heads + 2 * num_kv_heads != G or num_heads % num_kv_heads:
        raise ValueError(
            f"qkv has {G} heads for num_heads={num_heads} and num_kv_heads={num_kv_heads}; it must have "
            "num_heads + 2 * num_kv_heads, and num_kv_heads must divide num_heads"
        )
    dtype = autocast_dtype(qkv_BTGD) or qkv_BTGD.dtype
    scale = D**-0.5 if scale is None else float(scale)
    obstacle = _obstacle(D, scale, dtype)
    if obstacle and not dropout and implementation == "triton":
        raise ValueError(f"kernels=triton cannot compute attention with {obstacle}; choose auto or torch")
    ours = use_triton(implementation, qkv_BTGD, slower=sdpa_is_as_fast(T, D, window))
    y_BTHD: Tensor
    if not ours or obstacle or dropout:
        if not dropout and better_in_blocks(qkv_BTGD, num_heads, dtype):
            y_BTHD = block_attention(qkv_BTGD, num_heads, num_kv_heads, window=window, scale=scale)
        else:
            y_BTHD = reference.attention(qkv_BTGD, num_heads, num_kv_heads, window=window, scale=scale, dropout=dropout)
        return y_BTHD.contiguous()
    y_BTHD, _ = _forward_op(qkv_BTGD.to(dtype), num_heads, num_kv_heads, window if 0 < window < T else 0, scale)
    return y_BTHD


def sdpa_is_as_fast(length: int, head_size: int, window: int) -> bool:
    """Whether ``auto`` leaves attention to PyTorch; the same for every family of cards."""
    return head_size >= 64 and not 0 < window < length


def _obstacle(head_size: int, scale: float, dtype: torch.dtype) -> str | None:
    """What our kernels cannot do."""
    if head_size > MAX_HEAD_SIZE:
        return f"a head size of {head_size}, over {MAX_HEAD_SIZE}"
    if scale <= 0:
        return f"scale={scale}, which is not positive"
    return None if dtype in (torch.float32, torch.bfloat16) else f"dtype {dtype}"


def _launch(
    kernel: Any,
    name: Kernel,
    qkv_BTGD: Tensor,
    tensors: tuple[Tensor, ...],
    heads: tuple[int, int],
    window: int,
    scale: float,
) -> None:
    """Launch one of the three kernels: a program for each block of queries, or of keys, of each of its heads."""
    B, T, _G, D = qkv_BTGD.shape
    H, K = heads
    row = attention_row(launch_architecture(qkv_BTGD), name, D, qkv_BTGD.dtype)
    blocks = triton.cdiv(T, row.blocks["BLOCK_N" if name == "dkv" else "BLOCK_M"])
    strides = qkv_BTGD.stride()[:3]
    # Triton takes an integer for divisible by 16 or for nothing: strides of 24 would forbid loads of 16 bytes.
    unit = gcd(16, *strides)
    launch(
        kernel,
        (blocks * B * (K if name == "dkv" else H),),  # one dimension: the others end at 65,535
        row,
        qkv_BTGD,
        *tensors,
        T,
        window,
        scale,
        *(stride // unit for stride in strides),
        H=H,
        K=K,
        D=D,
        UNIT=unit,
        HAS_WINDOW=window > 0,
        BLOCK_D=padded_head_size(D),
    )


def _loadable(qkv_BTGD: Tensor) -> Tensor:
    """As it is, but where D is not contiguous, or offsets within a block of tokens or to a head pass 32 bits."""
    _b, stride_t, stride_g, stride_d = qkv_BTGD.stride()
    fits = max(128 * stride_t, qkv_BTGD.shape[2] * stride_g) < 2**31
    return qkv_BTGD if stride_d == 1 and fits else qkv_BTGD.contiguous()


@torch.library.custom_op("tinyscale::attention", mutates_args=())
def _forward_op(
    qkv_BTGD: Tensor, num_heads: int, num_kv_heads: int, window: int, scale: float
) -> tuple[Tensor, Tensor]:
    """(y (B, T, H, D), logsumexp of the scaled scores in base 2 (B, H, T))."""
    y_BTHD, lse_BHT = _forward_fake(qkv_BTGD, num_heads, num_kv_heads, window, scale)
    tensors = (y_BTHD, lse_BHT)
    _launch(forward_kernel, "forward", _loadable(qkv_BTGD), tensors, (num_heads, num_kv_heads), window, scale)
    return y_BTHD, lse_BHT


@_forward_op.register_fake
def _forward_fake(
    qkv_BTGD: Tensor, num_heads: int, num_kv_heads: int, window: int, scale: float
) -> tuple[Tensor, Tensor]:
    B, T, _G, D = qkv_BTGD.shape
    y_BTHD = torch.empty(B, T, num_heads, D, dtype=qkv_BTGD.dtype, device=qkv_BTGD.device)
    return y_BTHD, torch.empty(B, num_heads, T, dtype=torch.float32, device=qkv_BTGD.device)


@torch.library.custom_op("tinyscale::attention_backward", mutates_args=())
def _backward_op(
    qkv_BTGD: Tensor,
    y_BTHD: Tensor,
    lse_BHT: Tensor,
    grad_y_BTHD: Tensor,
    num_heads: int,
    num_kv_heads: int,
    window: int,
    scale: float,
) -> Tensor:
    """Gradient of the packed projection, contiguous."""
    qkv_BTGD, grad_y_BTHD = _loadable(qkv_BTGD), grad_y_BTHD.contiguous()
    heads = (num_heads, num_kv_heads)
    grad_BTGD: Tensor = _backward_fake(qkv_BTGD, y_BTHD, lse_BHT, grad_y_BTHD, *heads, window, scale)
    delta_BHT = torch.empty_like(lse_BHT)
    tensors = (y_BTHD, grad_y_BTHD, lse_BHT, delta_BHT, grad_BTGD)
    _launch(dq_kernel, "dq", qkv_BTGD, tensors, heads, window, scale)
    _launch(dkv_kernel, "dkv", qkv_BTGD, tensors[1:], heads, window, scale)
    return grad_BTGD


@_backward_op.register_fake
def _backward_fake(
    qkv_BTGD: Tensor,
    y_BTHD: Tensor,
    lse_BHT: Tensor,
    grad_y_BTHD: Tensor,
    num_heads: int,
    num_kv_heads: int,
    window: int,
    scale: float,
) -> Tensor:
    return torch.empty(qkv_BTGD.shape, dtype=qkv_BTGD.dtype, device=qkv_BTGD.device)


def _setup_context(ctx, inputs, output) -> None:
    qkv_BTGD, *ctx.constants = inputs
    ctx.save_for_backward(qkv_BTGD, *output)
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_y_BTHD, _grad_lse_BHT):
    qkv_BTGD, y_BTHD, lse_BHT = ctx.saved_tensors
    grad_BTGD = None
    if grad_y_BTHD is not None:
        grad_BTGD = _backward_op(qkv_BTGD, y_BTHD, lse_BHT, grad_y_BTHD, *ctx.constants)
    return grad_BTGD, None, None, None, None


_forward_op.register_autograd(_backward, setup_context=_setup_context)
