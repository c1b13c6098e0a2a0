"""What ``bench train`` compares with: a model as a good tutorial writes it, and transformers' own class.

The plain model is nanoGPT's in style (Karpathy 2022): stock modules of PyTorch, flash attention, logits and then
cross-entropy. Its parameters have our names, so it takes our weights as they are and must compute our losses.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscale.model.convert import to_transformers
from tinyscale.model.transformer import Transformer
from tinyscale.spec import ModelConfig


class PlainModel(nn.Module):
    """A decoder-only transformer with norms in front: GPT-2, GPT-Neo or Llama."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        learned = config.positions == "learned"
        self.position_embedding = nn.Embedding(config.context_length, config.hidden_size) if learned else None
        self.blocks = nn.ModuleList(PlainBlock(config, layer) for layer in range(config.num_layers))
        self.final_norm = make_norm(config)
        tied = config.tie_embeddings
        self.head = None if tied else nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of (B, T) tokens (nats)."""
        x = self.token_embedding(tokens)
        if self.position_embedding is not None:
            x = x + self.position_embedding(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        head = self.token_embedding.weight if self.head is None else self.head.weight
        logits = F.linear(self.final_norm(x), head)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class PlainBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = PlainAttention(config, layer)
        self.mlp_norm = make_norm(config)
        self.mlp = PlainMLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y


class PlainAttention(nn.Module):
    """Causal self-attention by ``scaled_dot_product_attention``."""

    cos: Tensor
    sin: Tensor
    mask: Tensor | None

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.heads = (config.num_heads, config.num_kv_heads, config.num_kv_heads)
        self.head_size, T = config.head_size, config.context_length
        self.scale = None if config.scale_attention else 1.0
        self.qkv = nn.Linear(config.hidden_size, sum(self.heads) * self.head_size, bias=config.qkv_bias)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=config.bias)
        self.rotary = config.positions == "rope"
        frequency = config.rope_theta ** -(torch.arange(0, self.head_size, 2) / self.head_size)
        angle = torch.outer(torch.arange(T), frequency).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        window = config.sliding_window if layer % 2 else 0
        causal = torch.ones(T, T, dtype=torch.bool).tril()
        self.register_buffer("mask", causal.triu(1 - window) if 0 < window < T else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)."""
        B, T, E = x.shape
        q, k, v = self.qkv(x).view(B, T, -1, self.head_size).transpose(1, 2).split(self.heads, dim=1)
        if self.rotary:
            q, k = self.rotate(q), self.rotate(k)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.mask, is_causal=self.mask is None, scale=self.scale,
            enable_gqa=self.heads[0] != self.heads[1],
        )  # fmt: skip
        out: Tensor = self.out(y.transpose(1, 2).reshape(B, T, E))
        return out

    def rotate(self, x: Tensor) -> Tensor:
        """Rotary positions, pairs half a head apart (Su et al. 2021)."""
        first, second = x.chunk(2, dim=-1)
        return (x * self.cos + torch.cat((-second, first), dim=-1) * self.sin).to(x.dtype)


class PlainMLP(nn.Module):
    """GELU, or SwiGLU (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.bias
        self.gate = nn.Linear(hidden, inner, bias=bias) if config.mlp == "swiglu" else None
        self.up = nn.Linear(hidden, inner, bias=bias)
        self.down = nn.Linear(inner, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)."""
        h = F.gelu(self.up(x), approximate="tanh") if self.gate is None else F.silu(self.gate(x)) * self.up(x)
        y: Tensor = self.down(h)
        return y


def make_norm(config: ModelConfig) -> nn.Module:
    """LayerNorm or RMSNorm, from PyTorch."""
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(config.hidden_size, eps=config.norm_epsilon)


def transformers_model(model: Transformer) -> nn.Module:
    """The class of transformers that computes the same, with the same weights, in training mode.

    :raises ModuleNotFoundError: transformers is not installed.
    """
    import transformers

    values, state = to_transformers(model.config, model.state_dict())
    kind: Any = getattr(transformers, values["architectures"][0])
    theirs: nn.Module = kind(kind.config_class(**values))
    theirs.load_state_dict(state, strict=not model.config.tie_embeddings)  # a tied head is not among the weights
    theirs.tie_weights()  # type: ignore[operator]
    return theirs.train()


def transformers_loss(model: nn.Module, tokens: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the logits that the class returns."""
    logits: Tensor = model(input_ids=tokens, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
