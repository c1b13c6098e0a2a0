"""Triton, or, where it is not installed, a stand-in that lets kernels be defined but never launched."""

from types import SimpleNamespace

__all__ = ["INSTALLED", "INTERPRETED", "tl", "triton"]

try:
    import triton
    import triton.language as tl

    INSTALLED = True
except ModuleNotFoundError:
    INSTALLED = False
    triton = SimpleNamespace(jit=lambda kernel: kernel)
    tl = SimpleNamespace(constexpr=object)

INTERPRETED = INSTALLED and bool(triton.knobs.runtime.interpret)
"""Kernels run on the CPU, in Triton's interpreter: for tests. Set TRITON_INTERPRET=1 before the first import."""
