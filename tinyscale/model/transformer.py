"""One decoder-only transformer (Vaswani et al. 2017; Radford et al. 2019) with the switches of ModelConfig.

Shape letters, as suffixes of names:

    B  sequences in the batch            H  query heads
    T  tokens of a sequence              K  key-value heads
    S  keys a query may look at          D  channels of a head
    E  hidden size (residual stream)     F  intermediate size of the MLP
    V  vocabulary size

Weights are fp32; run it under ``torch.autocast`` for bf16.
"""

import math

import torch
import torch.nn.functional as F
from tinyscale_kernels import linear_cross_entropy
from tinyscale_kernels.reference import Reduction
from torch import Tensor, nn

from tinyscale.model.attention import Attention, LayerCache, Rope
from tinyscale.model.layers import MLP, Embedding, Linear, Norm
from tinyscale.model.shape import check_shape
from tinyscale.spec import ModelConfig
from tinyscale.spec.trial import Kernels

RESIDUAL_OUTPUTS = ("attention.out.weight", "mlp.down.weight")
"""Ends of the names of weights that write into the residual stream."""


class Block(nn.Module):
    """Attention, then MLP, each added to the residual stream.

    What a sub-layer adds is added by the norm that comes next, in one pass over memory: so a block with its norms in
    front leaves its last branch to the block after it.
    """

    def __init__(self, config: ModelConfig, layer: int, kernels: Kernels) -> None:
        super().__init__()
        self.pre_norm = config.norm_position == "pre"
        self.attention_norm = Norm(config, kernels)
        self.attention = Attention(config, layer, kernels)
        self.mlp_norm = Norm(config, kernels)
        self.mlp = MLP(config, kernels)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x_BTE: Tensor, branch_BTE: Tensor | None, rope: Rope | None, cache: LayerCache | None
    ) -> tuple[Tensor, Tensor | None]:
        """The stream and what is yet to be added to it, before and after: (B, T, E) each."""
        if self.pre_norm:
            normed_BTE, x_BTE = self.attention_norm(x_BTE, branch_BTE)
            normed_BTE, x_BTE = self.mlp_norm(x_BTE, self.dropout(self.attention(normed_BTE, rope, cache)))
            return x_BTE, self.dropout(self.mlp(normed_BTE))
        x_BTE, _ = self.attention_norm(x_BTE, self.dropout(self.attention(x_BTE, rope, cache)))
        x_BTE, _ = self.mlp_norm(x_BTE, self.dropout(self.mlp(x_BTE)))
        return x_BTE, None


class Transformer(nn.Module):
    """Tokens to logits. Built with the weights of ``init_weights(0)``; a tied head is no parameter of its own.

    :param kernels: who computes norms, rotations, activations, attention and the loss.
    :raises ValueError: the config is no possible shape.
    """

    def __init__(self, config: ModelConfig, kernels: Kernels = "auto") -> None:
        super().__init__()
        check_shape(config)
        self.config = config
        self.kernels = kernels
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size)
        learned = config.positions == "learned"
        self.position_embedding = Embedding(config.context_length, config.hidden_size) if learned else None
        self.rope = Rope(config, kernels) if config.positions == "rope" else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer, kernels) for layer in range(config.num_layers))
        self.final_norm = Norm(config, kernels) if config.norm_position == "pre" else None
        self.head = None if config.tie_embeddings else Linear(config.hidden_size, config.vocab_size, bias=False)
        self.init_weights(0)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Draw all weights anew: the same seed gives the same weights on any device, whatever was drawn before.

        Matrices are N(0, init_std^2); those that write into the residual stream are divided by sqrt(2 L), the number
        of their additions, so that its variance does not grow with depth (Radford et al. 2019, section 2.3).
        Biases are 0, scales of norms 1. The draws are made on the CPU in fp32, in the order of the parameters.
        """
        generator = torch.Generator(device="cpu").manual_seed(seed)
        std, residual_std = self.config.init_std, self.config.init_std / math.sqrt(2 * self.config.num_layers)
        for name, weight in self.named_parameters():
            if weight.ndim == 1:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                draw = torch.empty(weight.shape, device="cpu")
                draw.normal_(0.0, residual_std if name.endswith(RESIDUAL_OUTPUTS) else std, generator=generator)
                weight.copy_(draw)

    def forward(self, tokens_BT: Tensor, cache: list[LayerCache] | None = None) -> Tensor:
        """Logits (B, T, V) of the token after each of ``tokens_BT`` (int64).

        With a cache from :meth:`make_cache` the tokens continue the texts in it and are added to it: first any number,
        then one at a time.

        :raises ValueError: the text is longer than the context.
        """
        return F.linear(self._hidden(tokens_BT, cache), self._head())

    def next_logits(self, tokens_BT: Tensor, cache: list[LayerCache]) -> Tensor:
        """``self(tokens_BT, cache)[:, -1]``, (B, V), without computing the logits of the other tokens."""
        return F.linear(self._hidden(tokens_BT, cache)[:, -1], self._head())

    def loss(
        self, tokens_BT: Tensor, targets_BT: Tensor, reduction: Reduction = "mean", ignore_index: int = -100
    ) -> Tensor:
        """Cross-entropy in nats, computed in fp32 under autocast too.

        ``reduction="mean"``: a scalar over the targets that are not ``ignore_index`` (NaN where there is none).
        ``reduction="none"``: (B, T), zero at ``ignore_index``.
        """
        loss = linear_cross_entropy(
            self._hidden(tokens_BT, None).flatten(0, 1),
            self._head(),
            targets_BT.flatten(),
            reduction=reduction,
            ignore_index=ignore_index,
            implementation=self.kernels,
        )
        return loss.view_as(targets_BT) if reduction == "none" else loss

    def _hidden(self, tokens_BT: Tensor, cache: list[LayerCache] | None) -> Tensor:
        """What the head reads: (B, T, E)."""
        T = tokens_BT.shape[1]
        past = cache[0].length if cache else 0
        if past + T > self.config.context_length:
            raise ValueError(
                f"a text of {past + T} tokens does not fit in the context_length of {self.config.context_length}; "
                "cut the text or train with a longer context"
            )
        x_BTE: Tensor = self.token_embedding(tokens_BT)
        if self.position_embedding is not None:
            x_BTE = x_BTE + self.position_embedding.weight[past : past + T]
        x_BTE = self.dropout(x_BTE)
        branch_BTE: Tensor | None = None
        for layer, block in enumerate(self.blocks):
            x_BTE, branch_BTE = block(x_BTE, branch_BTE, self.rope, cache[layer] if cache else None)
        if self.final_norm is None:
            return x_BTE
        hidden_BTE: Tensor = self.final_norm(x_BTE, branch_BTE)[0]
        return hidden_BTE

    def _head(self) -> Tensor:
        """Output head (V, E)."""
        weight: Tensor = (self.head or self.token_embedding).weight
        return weight

    def make_cache(self, batch: int = 1) -> list[LayerCache]:
        """Empty room for the keys and values of ``batch`` texts of up to ``context_length`` tokens."""
        weight = self.token_embedding.weight
        return [LayerCache(self.config, batch, weight.device, weight.dtype) for _ in self.blocks]
