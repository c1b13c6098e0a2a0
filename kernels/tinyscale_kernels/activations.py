"""GELU and SiLU inside of kernels, with their derivatives, in fp32."""

from tinyscale_kernels._triton import tl, triton


@triton.jit
def activate(x, KIND: tl.constexpr):
    """``x * gate(x)``; KIND is silu, tanh (GELU with tanh) or none (GELU with erf, torch's ``approximate="none"``)."""
    return x * _gate(x, KIND)


@triton.jit
def activate_with_slope(x, KIND: tl.constexpr):
    """The activation and its derivative."""
    gate = _gate(x, KIND)
    value = x * gate
    if KIND == "silu":
        slope = gate + value * (1.0 - gate)
    elif KIND == "tanh":
        slope = gate + value * (1.0 - gate) * (1.5957691216057308 + 0.2140644488141966 * x * x)
    else:
        slope = gate + x * (0.3989422804014327 * tl.exp(-0.5 * x * x))
    return value, slope


@triton.jit
def _gate(x, KIND: tl.constexpr):
    """What ``x`` is multiplied by.

    (1 + tanh(u)) / 2 is sigmoid(2 u): no tanh, which the interpreter lacks, and no cancellation where x is far below 0.
    """
    if KIND == "silu":
        return tl.sigmoid(x)
    elif KIND == "tanh":
        return tl.sigmoid(x * (1.5957691216057308 + 0.0713548162726005 * x * x))  # 2 sqrt(2 / pi) (x + 0.044715 x^3)
    else:
        return 0.5 + 0.5 * tl.math.erf(0.7071067811865476 * x)
