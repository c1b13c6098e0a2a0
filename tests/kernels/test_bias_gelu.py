"""GELU of a biased input, alone and behind a matrix product, forward and backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tinyscale_kernels import bias_gelu, linear_bias_gelu, reference
from torch import Tensor

BF16, FP32 = torch.bfloat16, torch.float32
FORMS = ("none", "tanh")


def _tensors(
    rows: int, size: int, device: torch.device, x: torch.dtype, bias: torch.dtype | None = None
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(rows + size)
    tensors = {"x": (2 * torch.randn(rows, size, generator=generator)).to(device, x)}
    return tensors | {"bias": torch.randn(size, generator=generator).to(device, bias or x)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("rows", "size", "x", "bias"),
    [
        (1, 64, FP32, FP32),
        (252, 123, FP32, FP32),
        (507, 123, BF16, FP32),
        (507, 64, BF16, BF16),
        (67, 768, BF16, FP32),
        (9, 1024, FP32, FP32),
        (0, 64, FP32, FP32),
    ],
)
def test_no_worse_than_pytorch(
    assert_as_good: Callable[..., None],
    device: torch.device,
    form: Any,
    rows: int,
    size: int,
    x: torch.dtype,
    bias: torch.dtype,
) -> None:
    ours = partial(bias_gelu, approximate=form, implementation="triton")
    assert_as_good(ours, partial(reference.bias_gelu, approximate=form), _tensors(rows, size, device, x, bias))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_behind_a_product(
    assert_as_good: Callable[..., None], device: torch.device, form: Any, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "x": torch.randn(3, 17, 64, generator=generator),
        "weight": torch.randn(123, 64, generator=generator) / 8,
    }
    tensors["bias"] = torch.randn(123, generator=generator)
    ours = partial(linear_bias_gelu, approximate=form, implementation="triton")
    truth = partial(reference.linear_bias_gelu, approximate=form)
    assert_as_good(ours, truth, {name: tensor.to(device, dtype) for name, tensor in tensors.items()})


def test_behind_a_product_under_autocast(device: torch.device) -> None:
    x, weight, bias = torch.randn(5, 64), torch.randn(32, 64) / 8, torch.randn(32)
    leaves = [tensor.to(device).requires_grad_() for tensor in (x, weight, bias)]
    results = []
    for implementation in ("triton", "torch"):
        with torch.autocast(device.type, dtype=BF16):
            out = linear_bias_gelu(*leaves, implementation=implementation)
        assert out.dtype == BF16
        results.append((out, *torch.autograd.grad(out.float().sum(), leaves)))
    for ours, truth in zip(*results, strict=True):
        assert ours.dtype == truth.dtype
        torch.testing.assert_close(ours, truth, rtol=0.02, atol=0.05)


def test_any_strides(assert_as_good: Callable[..., None], device: torch.device) -> None:
    def strided(op: Callable[..., Tensor], x: Tensor, bias: Tensor) -> Tensor:
        return op(x.t()[:, ::2], bias[::2]).sum(dim=0)  # its gradient comes with stride 0

    tensors = _tensors(9, 64, device, FP32)
    tensors["x"] = tensors["x"].t().contiguous()
    ours = partial(bias_gelu, implementation="triton")
    assert_as_good(partial(strided, ours), partial(strided, reference.bias_gelu), tensors)


@pytest.mark.parametrize("form", FORMS)
def test_opcheck(device: torch.device, form: str) -> None:
    x, bias = (tensor.requires_grad_() for tensor in _tensors(5, 64, device, BF16, FP32).values())
    torch.library.opcheck(torch.ops.tinyscale.bias_gelu.default, (x, bias, form))


def test_compiles_without_breaks(device: torch.device) -> None:
    def loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear_bias_gelu(x, weight, bias, implementation="triton").square().sum()

    generator = torch.Generator().manual_seed(0)
    results: list[tuple[Any, ...]] = []
    for run in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        generator.manual_seed(0)
        shapes = ((5, 64), (32, 64), (32,))
        leaves = [torch.randn(*shape, generator=generator).to(device).requires_grad_() for shape in shapes]
        value = run(*leaves)
        results.append((value, *torch.autograd.grad(value, leaves)))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled)


def test_misfits_are_refused(device: torch.device) -> None:
    with pytest.raises(ValueError, match="bias has shape"):
        bias_gelu(torch.ones(2, 3, device=device), torch.ones(2, device=device))
