"""Attention by blocks of queries computes what PyTorch's own does."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tinyscale_kernels import attention, reference
from tinyscale_kernels.attention_blocks import block_attention
from torch import Tensor


def _with_gradient(run: Callable[[Tensor], Tensor], qkv: Tensor) -> tuple[Tensor, Tensor]:
    qkv = qkv.clone().requires_grad_()
    y = run(qkv)
    upstream = torch.sin(torch.arange(y.numel(), dtype=torch.float64)).bfloat16().to(y.dtype)
    y.backward(upstream.view_as(y))
    assert qkv.grad is not None
    return y.detach(), qkv.grad


@pytest.mark.parametrize(
    ("T", "H", "K", "window", "scale"),
    [(1, 2, 2, 0, None), (3, 2, 1, 0, None), (64, 4, 4, 0, 1.0), (65, 4, 2, 7, None), (130, 3, 1, 40, None)],
)
def test_equals_the_reference(T: int, H: int, K: int, window: int, scale: float | None) -> None:
    """In fp64, but for its softmax in fp32: odd lengths, grouped queries, windows within and across blocks."""
    generator = torch.Generator().manual_seed(T)
    qkv = torch.randn(2, T, H + 2 * K, 8, dtype=torch.float64, generator=generator)
    options = {"window": window, "scale": scale}
    ours = _with_gradient(lambda x: block_attention(x, H, K, **options), qkv)
    truth = _with_gradient(lambda x: reference.attention(x, H, K, **options), qkv)
    for found, expected in zip(ours, truth, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_in_bf16_no_worse_than_flash_attention() -> None:
    """Large scores, under autocast as in training."""
    qkv = 2 * torch.randn(2, 100, 6, 16, generator=torch.Generator().manual_seed(0))
    qkv = qkv.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        truth = _with_gradient(lambda x: reference.attention(x, 2, 2), qkv.double())
        flash = _with_gradient(lambda x: reference.attention(x, 2, 2), qkv)
        ours = _with_gradient(lambda x: block_attention(x, 2, 2), qkv)
    for exact, theirs, found in zip(truth, flash, ours, strict=True):
        assert (found - exact).norm() <= 1.3 * (theirs - exact).norm()  # 5 times without the fp32 scores


@pytest.mark.skipif(torch.cuda.is_available(), reason="a matter of CPUs")
@pytest.mark.parametrize(("dtype", "blocks"), [(torch.bfloat16, True), (torch.float32, False)])
def test_taken_by_compiled_steps_in_bf16_alone(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, blocks: bool
) -> None:
    taken = []

    def spy(*args: Any, **options: Any) -> Tensor:
        taken.append(1)
        return block_attention(*args, **options)

    monkeypatch.setattr(sys.modules["tinyscale_kernels.attention"], "block_attention", spy)
    attention(torch.randn(1, 8, 6, 8).to(dtype), 2, 2)
    assert not taken
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    attention(torch.randn(1, 8, 6, 8).to(dtype), 2, 2)
    assert bool(taken) == blocks
    monkeypatch.setattr("tinyscale_kernels.attention_blocks.MOST_PAIRS", 2 * 8 * 8 - 1)
    attention(torch.randn(1, 8, 6, 8).to(dtype), 2, 2)
    assert len(taken) == blocks
