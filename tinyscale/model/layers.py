"""Linear maps, norms and the MLP."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from tinyscale.model.shape import GATED_MLPS
from tinyscale.spec import ModelConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": partial(F.gelu, approximate="tanh"),
    "geglu": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swiglu": F.silu,
}


class Linear(nn.Linear):
    """nn.Linear that draws nothing when built: :meth:`Transformer.init_weights` sets every weight."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Embedding(nn.Embedding):
    """nn.Embedding that draws nothing when built."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


def make_norm(config: ModelConfig) -> nn.Module:
    """LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019) or the identity, over the residual stream."""
    if config.norm == "layer":
        return nn.LayerNorm(config.hidden_size, eps=config.norm_epsilon)
    if config.norm == "rms":
        return nn.RMSNorm(config.hidden_size, eps=config.norm_epsilon)
    return nn.Identity()


class MLP(nn.Module):
    """down(act(up(x))), or down(act(gate(x)) * up(x)) where gated (Shazeer 2020).

    gate and up stay two matrices: one fused product was no faster on a CPU at widths 64 and 256.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, intermediate = config.hidden_size, config.intermediate_size
        self.activation = ACTIVATIONS[config.mlp]
        self.gate = Linear(hidden, intermediate, bias=config.bias) if config.mlp in GATED_MLPS else None
        self.up = Linear(hidden, intermediate, bias=config.bias)
        self.down = Linear(intermediate, hidden, bias=config.bias)

    def forward(self, x_BTE: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)."""
        up_BTF = self.up(x_BTE)
        h_BTF = self.activation(up_BTF) if self.gate is None else self.activation(self.gate(x_BTE)) * up_BTF
        y_BTE: Tensor = self.down(h_BTF)
        return y_BTE
