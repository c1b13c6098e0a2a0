"""Triton kernels for tiny language models, made for SM120 (RTX 5090, RTX PRO 6000) and good on every card since Ampere.

Every op is a function of tensors that equals an expression in PyTorch, forward and backward, in fp32 and bf16. Where
Triton cannot run, PyTorch computes it: :mod:`tinyscale_kernels.reference` has the expressions.
"""

from tinyscale_kernels.attention import attention
from tinyscale_kernels.bias_gelu import bias_gelu, linear_bias_gelu
from tinyscale_kernels.dispatch import Implementation
from tinyscale_kernels.gated import geglu, swiglu
from tinyscale_kernels.linear_cross_entropy import linear_cross_entropy
from tinyscale_kernels.norms import layer_norm, rms_norm
from tinyscale_kernels.rope import rope

__all__ = [
    "Implementation",
    "attention",
    "bias_gelu",
    "geglu",
    "layer_norm",
    "linear_bias_gelu",
    "linear_cross_entropy",
    "rms_norm",
    "rope",
    "swiglu",
]
