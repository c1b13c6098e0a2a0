"""Causal attention for compiled steps on CPUs: plain products, a block of queries at a time.

PyTorch's flash attention for CPUs computes the scores of all T x T pairs, though a causal query sees half of them on
average. A block of queries with only the keys that it may see leaves most of the other half away, and what is between
the products becomes one pass over memory once torch.compile has fused it; uncompiled it would be many.

Forward and backward of 4 sequences of 256 tokens with 8 heads of 32, one core of an AMD EPYC (Zen 4): in bf16 11.4 ms
where flash attention takes 20.6. In fp32 there is nothing to gain, 17.6 ms for 16.1, so that stays PyTorch's.
"""

from typing import Any

import torch
from torch import Tensor

BLOCKS = 4
"""Blocks of queries, where all see all before them: 5/8 of the pairs are computed. Twice as many would leave 9/16, and
take the compiler twice as long."""
MOST_PAIRS = 2**25
"""Pairs of tokens in all heads of a batch from which on flash attention is left to do it in less memory: the backward
pass is kept 5.4 bytes for each, 180 MB a layer at this number."""


def better_in_blocks(qkv_BTGD: Tensor, num_heads: int, dtype: torch.dtype) -> bool:
    """Whether to compute attention here, in ``dtype``, rather than by PyTorch's own."""
    if not torch.compiler.is_compiling() or qkv_BTGD.device.type != "cpu" or dtype != torch.bfloat16:
        return False
    B, T, _G, _D = qkv_BTGD.shape
    return B * num_heads * T * T <= MOST_PAIRS


def block_attention(
    qkv_BTGD: Tensor, num_heads: int, num_kv_heads: int, *, window: int = 0, scale: float | None = None
) -> Tensor:
    """:func:`tinyscale_kernels.reference.attention` without dropout: (B, T, G, D) -> (B, T, H, D).

    Scores and softmax are fp32, as in flash attention; the other products are in the dtype of ``qkv``. Memory: for the
    backward pass, the probabilities of all pairs that are computed.
    """
    B, T, _G, D = qkv_BTGD.shape
    H, K, R = num_heads, num_kv_heads, num_heads // num_kv_heads
    q, k_BKTD, v_BKTD = qkv_BTGD.transpose(1, 2).split((H, K, K), dim=1)
    q_BKRTD = q.reshape(B, K, R, T, D)
    position_T = torch.arange(T, dtype=torch.int32, device=qkv_BTGD.device)  # as wide as the scores: one vector each
    scale = D**-0.5 if scale is None else scale
    length = -(-T // BLOCKS)
    outputs = []
    for begin in range(0, T, length):
        end = min(begin + length, T)
        first = max(0, begin - window + 1) if window else 0
        C, S = end - begin, end - first
        q_BKND = q_BKRTD[:, :, :, begin:end].reshape(B, K, R * C, D)
        scores: Tensor = _Scores.apply(q_BKND, k_BKTD[:, :, first:end]).view(B, K, R, C, S)
        back = position_T[begin:end, None] - position_T[first:end]
        unseen = (back < 0) | (back >= window) if window else back < 0
        p = torch.softmax((scores * scale).masked_fill(unseen, float("-inf")), dim=-1).to(v_BKTD.dtype)
        outputs.append((p.view(B, K, R * C, S) @ v_BKTD[:, :, first:end]).view(B, H, C, D))
    return torch.cat(outputs, dim=2).transpose(1, 2)


class _Scores(torch.autograd.Function):
    """``q @ k^T`` in fp32 of q and k in bf16, and their gradients by products of bf16.

    Rounded to bf16, a score of 8 would be off by up to 1/64, and a probability by 2 %: what a gradient loses to that
    rounding is small beside the gradient, but the exponential makes of a score's absolute error a relative one.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor) -> Tensor:
        ctx.save_for_backward(q, k)
        with torch.autocast("cpu", enabled=False):
            return q.float() @ k.float().transpose(-1, -2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        q, k = ctx.saved_tensors
        gradient = gradients[0].to(q.dtype)
        return gradient @ k, gradient.transpose(-1, -2) @ q
