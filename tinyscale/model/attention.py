"""Causal self-attention with grouped queries, rotary positions, a sliding window and a cache.

Shape letters as in :mod:`tinyscale.model.transformer`.
"""

import torch
import torch.nn.functional as F
from tinyscale_kernels import attention, rope
from torch import Tensor, nn

from tinyscale.model.layers import Linear
from tinyscale.spec import ModelConfig
from tinyscale.spec.trial import Kernels


class Rope(nn.Module):
    """Rotary positions (Su et al. 2021): channels i and i + D/2 turn by position * theta^(-2i/D).

    Pairs are half a head apart, as in transformers' Llama (Meta's own weights pair neighbours).
    """

    cos_TD: Tensor
    sin_TD: Tensor

    def __init__(self, config: ModelConfig, kernels: Kernels) -> None:
        super().__init__()
        self.kernels = kernels
        frequency = config.rope_theta ** -(torch.arange(0, config.head_size, 2, dtype=torch.float32) / config.head_size)
        angle = torch.outer(torch.arange(config.context_length, dtype=torch.float32), frequency)
        self.register_buffer("cos_TD", angle.cos(), persistent=False)
        self.register_buffer("sin_TD", angle.sin(), persistent=False)

    def forward(self, qkv_BTGD: Tensor, past: int, rotated: int) -> Tensor:
        """Turn the first ``rotated`` heads of tokens that start at position ``past``; in place where no gradient is."""
        positions = slice(past, past + qkv_BTGD.shape[1])
        cos, sin = self.cos_TD[positions], self.sin_TD[positions]
        inplace = not torch.is_grad_enabled()
        return rope(qkv_BTGD, cos, sin, rotated, inplace=inplace, implementation=self.kernels)


class LayerCache:
    """Keys and values of one layer for texts that grow side by side."""

    def __init__(self, config: ModelConfig, batch: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (2, batch, config.num_kv_heads, config.context_length, config.head_size)
        self.store = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def append(self, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Keep these and return all so far, (B, K, S, D) each."""
        end = self.length + k_BKTD.shape[2]
        self.store[0, :, :, self.length : end] = k_BKTD
        self.store[1, :, :, self.length : end] = v_BKTD
        self.length = end
        return self.store[0, :, :, :end], self.store[1, :, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Go on with these texts of the batch alone."""
        before = self.store
        self.store = before.new_empty((2, len(rows), *before.shape[2:]))
        self.store[:, :, :, : self.length] = before[:, :, :, : self.length].index_select(1, rows)


class Attention(nn.Module):
    """softmax(q k^T * scale + mask) v for H query heads that share K key-value heads (Ainslie et al. 2023)."""

    def __init__(self, config: ModelConfig, layer: int, kernels: Kernels) -> None:
        super().__init__()
        self.kernels = kernels
        self.heads = (config.num_heads, config.num_kv_heads)
        self.head_size = config.head_size
        self.scale = None if config.scale_attention else 1.0  # None: 1 / sqrt(head size)
        self.window = config.sliding_window if layer % 2 else 0
        self.dropout = config.dropout
        kv_size = config.num_kv_heads * config.head_size
        # Rows: all queries, then all keys, then all values. One product, and one rotation for q and k together.
        self.qkv = Linear(config.hidden_size, config.hidden_size + 2 * kv_size, bias=config.qkv_bias)
        self.out = Linear(config.hidden_size, config.hidden_size, bias=config.bias)

    def forward(self, x_BTE: Tensor, rope: Rope | None, cache: LayerCache | None) -> Tensor:
        """(B, T, E) -> (B, T, E). With a cache that holds tokens, T is 1: the token is the last one."""
        B, T, E = x_BTE.shape
        H, K = self.heads
        past = 0 if cache is None else cache.length
        assert T == 1 or past == 0, "a filled cache takes one token at a time"
        qkv_BTGD = self.qkv(x_BTE).view(B, T, H + 2 * K, self.head_size)
        if rope is not None:
            qkv_BTGD = rope(qkv_BTGD, past, rotated=H + K)
        if cache is not None:
            q_BHTD, k_BKTD, v_BKTD = qkv_BTGD.transpose(1, 2).split((H, K, K), dim=1)
            k_BKSD, v_BKSD = cache.append(k_BKTD, v_BKTD)
        if past:
            if self.window:
                k_BKSD, v_BKSD = k_BKSD[:, :, -self.window :], v_BKSD[:, :, -self.window :]
            y_BTHD = F.scaled_dot_product_attention(
                q_BHTD, k_BKSD, v_BKSD, scale=self.scale, enable_gqa=H != K
            ).transpose(1, 2)
        else:
            dropout = self.dropout if self.training else 0.0
            y_BTHD = attention(
                qkv_BTGD, H, K, window=self.window, scale=self.scale, dropout=dropout, implementation=self.kernels
            )
        y_BTE: Tensor = self.out(y_BTHD.reshape(B, T, E))
        return y_BTE
