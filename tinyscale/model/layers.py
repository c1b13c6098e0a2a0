"""Linear maps, norms and the MLP."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from tinyscale_kernels import geglu, layer_norm, linear_bias_gelu, rms_norm, swiglu
from torch import Tensor, nn

from tinyscale.model.shape import GATED_MLPS
from tinyscale.spec import ModelConfig
from tinyscale.spec.trial import Kernels

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class Linear(nn.Linear):
    """nn.Linear that draws nothing when built: :meth:`Transformer.init_weights` sets every weight."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Embedding(nn.Embedding):
    """nn.Embedding that draws nothing when built."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Norm(nn.Module):
    """The norm of the residual stream, and the addition before it.

    LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019), or none at all.
    """

    def __init__(self, config: ModelConfig, kernels: Kernels) -> None:
        super().__init__()
        size = config.hidden_size
        self.kernels = kernels
        self.epsilon = config.norm_epsilon
        self.weight = None if config.norm == "none" else nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if config.norm == "layer" else None

    def forward(self, stream_BTE: Tensor, branch_BTE: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``total = stream + branch``; (normed total, total), (B, T, E) each. ``branch``: what a sub-layer adds."""
        x, residual = (stream_BTE, None) if branch_BTE is None else (branch_BTE, stream_BTE)
        if self.weight is None:
            total = stream_BTE if branch_BTE is None else stream_BTE + branch_BTE
            return total, total
        if self.bias is None:
            return rms_norm(x, self.weight, self.epsilon, residual, implementation=self.kernels)
        return layer_norm(x, self.weight, self.bias, self.epsilon, residual, implementation=self.kernels)


class MLP(nn.Module):
    """down(act(up(x))), or down(act(gate(x)) * up(x)) where gated (Shazeer 2020).

    gate and up stay two matrices: one fused product was no faster on a CPU at widths 64 and 256.
    """

    def __init__(self, config: ModelConfig, kernels: Kernels) -> None:
        super().__init__()
        hidden, intermediate = config.hidden_size, config.intermediate_size
        self.kernels = kernels
        self.kind = config.mlp
        self.gate = Linear(hidden, intermediate, bias=config.bias) if config.mlp in GATED_MLPS else None
        self.up = Linear(hidden, intermediate, bias=config.bias)
        self.down = Linear(intermediate, hidden, bias=config.bias)

    def forward(self, x_BTE: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)."""
        if self.gate is not None:
            gated = swiglu if self.kind == "swiglu" else geglu
            h_BTF = gated(self.gate(x_BTE), self.up(x_BTE), implementation=self.kernels)
        elif self.kind == "gelu" and self.up.bias is not None:
            h_BTF = linear_bias_gelu(x_BTE, self.up.weight, self.up.bias, implementation=self.kernels)
        else:
            h_BTF = ACTIVATIONS[self.kind](self.up(x_BTE))
        y_BTE: Tensor = self.down(h_BTF)
        return y_BTE
