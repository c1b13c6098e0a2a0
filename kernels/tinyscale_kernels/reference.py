"""The truth of each op in plain PyTorch: what the kernels must equal, and what runs where they cannot.

Tests and benchmark compare with these; so does the model under ``kernels: torch``. Shape letters, as suffixes:

    B  sequences              G  heads in a packed projection: H queries, then K keys, then K values
    T  tokens of a sequence   H  query heads                   K  key-value heads
    N  rows: B * T            D  channels of a head            E  hidden size
    V  vocabulary size        F  intermediate size of the MLP
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Approximation = Literal["none", "tanh"]
"""Form of GELU (Hendrycks & Gimpel 2016): with erf, or with tanh."""
Reduction = Literal["mean", "none"]


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, residual: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``total = residual + x``; ``(total / sqrt(mean(total^2) + epsilon) * weight, total)``."""
    total = x if residual is None else residual + x
    return F.rms_norm(total, weight.shape, weight, epsilon), total


def layer_norm(
    x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, residual: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``total = residual + x``; ``((total - mean) / sqrt(variance + epsilon) * weight + bias, total)``."""
    total = x if residual is None else residual + x
    return F.layer_norm(total, weight.shape, weight, bias, epsilon), total


def rope(qkv_BTGD: Tensor, cos_TD: Tensor, sin_TD: Tensor, rotated: int) -> Tensor:
    """Turn channels i and i + D/2 of the first ``rotated`` heads by the angle of the token (Su et al. 2021).

    ``cos`` and ``sin`` are (T, D/2), one angle a token and pair.
    """
    x, rest = qkv_BTGD[:, :, :rotated], qkv_BTGD[:, :, rotated:]
    cos_T1D = torch.cat((cos_TD, cos_TD), dim=-1).to(x.dtype)[:, None]
    sin_T1D = torch.cat((-sin_TD, sin_TD), dim=-1).to(x.dtype)[:, None]
    turned = torch.addcmul(x * cos_T1D, x.roll(x.shape[-1] // 2, dims=-1), sin_T1D)
    return torch.cat((turned, rest), dim=2)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """``silu(gate) * up`` (Shazeer 2020)."""
    return F.silu(gate) * up


def geglu(gate: Tensor, up: Tensor, approximate: Approximation = "tanh") -> Tensor:
    """``gelu(gate) * up`` (Shazeer 2020)."""
    return F.gelu(gate, approximate=approximate) * up


def bias_gelu(x: Tensor, bias: Tensor, approximate: Approximation = "tanh") -> Tensor:
    """``gelu(x + bias)``, in the dtype of ``x``."""
    return F.gelu(x + bias, approximate=approximate).to(x.dtype)


def linear_bias_gelu(x: Tensor, weight: Tensor, bias: Tensor, approximate: Approximation = "tanh") -> Tensor:
    """``gelu(x @ weight^T + bias)``."""
    return F.gelu(F.linear(x, weight, bias), approximate=approximate)


def attention(
    qkv_BTGD: Tensor,
    num_heads: int,
    num_kv_heads: int,
    *,
    window: int = 0,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Causal ``softmax(q k^T * scale) v`` of grouped queries (Ainslie et al. 2023): (B, T, G, D) -> (B, T, H, D).

    ``window``: tokens that a query sees, itself included; 0: all before it. ``scale``: None is 1 / sqrt(D).
    """
    T = qkv_BTGD.shape[1]
    q, k, v = qkv_BTGD.transpose(1, 2).split((num_heads, num_kv_heads, num_kv_heads), dim=1)
    mask = window_mask(T, window, qkv_BTGD.device) if 0 < window < T else None
    y_BHTD = F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None and T > 1,
        scale=scale,
        enable_gqa=num_heads != num_kv_heads,
    )
    return y_BHTD.transpose(1, 2)


def window_mask(length: int, window: int, device: torch.device) -> Tensor:
    """(T, T) bool: True where a row may look at a column, itself and the ``window - 1`` before it."""
    position = torch.arange(length, device=device)
    back = position[:, None] - position
    return (back >= 0) & (back < window)


def linear_cross_entropy(
    hidden_NE: Tensor,
    weight_VE: Tensor,
    targets_N: Tensor,
    *,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
    z_loss: float = 0.0,
) -> Tensor:
    """``cross_entropy(hidden @ weight^T, targets)`` in fp32, plus ``z_loss * logsumexp^2`` (Chowdhery et al. 2022).

    ``mean``: a scalar over the targets that are not ``ignore_index``, NaN where there is none; ``none``: (N,), zero at
    ``ignore_index``.
    """
    logits_NV = F.linear(hidden_NE, weight_VE).float()
    loss = F.cross_entropy(logits_NV, targets_N, reduction=reduction, ignore_index=ignore_index)
    if z_loss:
        valid_N = targets_N != ignore_index
        square_N = logits_NV.logsumexp(dim=-1).square() * valid_N
        loss = loss + z_loss * (square_N.sum() / valid_N.sum() if reduction == "mean" else square_N)
    return loss
