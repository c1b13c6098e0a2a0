"""Causal self-attention with grouped queries, rotary positions, a sliding window and a cache.

Shape letters as in :mod:`tinyscale.model.transformer`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscale.model.layers import Linear
from tinyscale.spec import ModelConfig


class Rope(nn.Module):
    """Rotary positions (Su et al. 2021): channels i and i + D/2 turn by position * theta^(-2i/D).

    Pairs are half a head apart, as in transformers' Llama (Meta's own weights pair neighbours). Then
    ``rotate_half`` is a roll by D/2 whose sign is folded into the sine: x * cos + roll(x) * (-sin, sin).
    """

    cos_T1D: Tensor
    sin_T1D: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.shift = config.head_size // 2
        frequency = config.rope_theta ** -(torch.arange(0, config.head_size, 2, dtype=torch.float32) / config.head_size)
        angle = torch.outer(torch.arange(config.context_length, dtype=torch.float32), frequency)[:, None]
        self.register_buffer("cos_T1D", torch.cat((angle.cos(), angle.cos()), dim=-1), persistent=False)
        self.register_buffer("sin_T1D", torch.cat((-angle.sin(), angle.sin()), dim=-1), persistent=False)

    def forward(self, x_BTHD: Tensor, past: int) -> Tensor:
        """Turn queries and keys whose first token stands at position ``past``."""
        positions = slice(past, past + x_BTHD.shape[1])
        cos_T1D = self.cos_T1D[positions].to(x_BTHD.dtype)
        sin_T1D = self.sin_T1D[positions].to(x_BTHD.dtype)
        return torch.addcmul(x_BTHD * cos_T1D, x_BTHD.roll(self.shift, dims=-1), sin_T1D)


class LayerCache:
    """Keys and values of one layer for one growing text."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        shape = (2, 1, config.num_kv_heads, config.context_length, config.head_size)
        self.store = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def append(self, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Keep these and return all so far, (B, K, S, D) each."""
        end = self.length + k_BKTD.shape[2]
        self.store[0, :, :, self.length : end] = k_BKTD
        self.store[1, :, :, self.length : end] = v_BKTD
        self.length = end
        return self.store[0, :, :, :end], self.store[1, :, :, :end]


class Attention(nn.Module):
    """softmax(q k^T * scale + mask) v for H query heads that share K key-value heads (Ainslie et al. 2023)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.heads = (config.num_heads, config.num_kv_heads)
        self.head_size = config.head_size
        self.scale = None if config.scale_attention else 1.0  # None: 1 / sqrt(head size)
        self.window = config.sliding_window if layer % 2 else 0
        self.dropout = config.dropout
        kv_size = config.num_kv_heads * config.head_size
        # Rows: all queries, then all keys, then all values. One product, and one rotation for q and k together.
        self.qkv = Linear(config.hidden_size, config.hidden_size + 2 * kv_size, bias=config.qkv_bias)
        self.out = Linear(config.hidden_size, config.hidden_size, bias=config.bias)

    def forward(self, x_BTE: Tensor, rope: Rope | None, mask_TT: Tensor | None, cache: LayerCache | None) -> Tensor:
        """(B, T, E) -> (B, T, E).

        ``mask_TT`` is True where row may look at column; None: plainly causal. With a cache that holds tokens,
        T is 1 and no mask is needed: the token is the last one.
        """
        B, T, E = x_BTE.shape
        H, K = self.heads
        past = 0 if cache is None else cache.length
        assert T == 1 or past == 0, "a filled cache takes one token at a time"
        qkv = self.qkv(x_BTE).view(B, T, H + 2 * K, self.head_size)
        if rope is None:
            q, k, v = qkv.split((H, K, K), dim=2)
        else:
            qk, v = qkv.split((H + K, K), dim=2)
            q, k = rope(qk, past).split((H, K), dim=2)
        q_BHTD, k_BKSD, v_BKSD = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if cache is not None:
            k_BKSD, v_BKSD = cache.append(k_BKSD, v_BKSD)
        if self.window and T == 1:
            k_BKSD, v_BKSD = k_BKSD[:, :, -self.window :], v_BKSD[:, :, -self.window :]
        y_BHTD = F.scaled_dot_product_attention(
            q_BHTD,
            k_BKSD,
            v_BKSD,
            attn_mask=mask_TT,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=mask_TT is None and T > 1,
            scale=self.scale,
            enable_gqa=H != K,
        )
        y_BTE: Tensor = self.out(y_BHTD.transpose(1, 2).reshape(B, T, E))
        return y_BTE
