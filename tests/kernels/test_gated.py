"""SwiGLU and GEGLU, forward and backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tinyscale_kernels import geglu, reference, swiglu
from torch import Tensor

BF16, FP32 = torch.bfloat16, torch.float32
OPS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "swiglu": (partial(swiglu, implementation="triton"), reference.swiglu),
    "geglu tanh": (partial(geglu, implementation="triton"), reference.geglu),
    "geglu erf": (
        partial(geglu, approximate="none", implementation="triton"),
        partial(reference.geglu, approximate="none"),
    ),
}


def _tensors(shape: tuple[int, ...], device: torch.device, gate: torch.dtype, up: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    gate_values, up_values = torch.randn(2, *shape, generator=generator)
    return {"gate": (3 * gate_values).to(device, gate), "up": up_values.to(device, up)}


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("shape", "gate", "up"),
    [
        ((1, 64), FP32, FP32),
        ((252, 123), FP32, FP32),
        ((507, 123), BF16, BF16),
        ((2, 3, 1024), BF16, FP32),
        ((0, 64), FP32, FP32),
    ],
)
def test_no_worse_than_pytorch(
    assert_as_good: Callable[..., None],
    device: torch.device,
    op: str,
    shape: tuple[int, ...],
    gate: torch.dtype,
    up: torch.dtype,
) -> None:
    assert_as_good(*OPS[op], _tensors(shape, device, gate, up))


@pytest.mark.parametrize("op", OPS)
def test_far_from_zero(assert_as_good: Callable[..., None], device: torch.device, op: str) -> None:
    """Where exponentials are infinite and tails vanish."""
    gate = torch.tensor([-1e4, -200, -90, -20, -9, -5, -1e-6, 0, 1e-6, 5, 9, 20, 90, 200, 1e4], device=device)
    assert_as_good(*OPS[op], {"gate": gate, "up": torch.ones_like(gate)})
    ours, truth = (each(gate, torch.ones_like(gate)) for each in OPS[op])
    torch.testing.assert_close(ours, truth)


@pytest.mark.parametrize("op", OPS)
def test_any_strides(assert_as_good: Callable[..., None], device: torch.device, op: str) -> None:
    def strided(each: Callable[..., Tensor], packed: Tensor) -> Tensor:
        gate, up = packed.chunk(2, dim=-1)
        return each(gate, up.expand_as(gate)).t()

    packed = _tensors((9, 64), device, FP32, FP32)["gate"]
    assert_as_good(*(partial(strided, each) for each in OPS[op]), {"packed": packed})


@pytest.mark.parametrize("kind", ["silu", "tanh", "none"])
def test_opcheck(device: torch.device, kind: str) -> None:
    gate, up = (tensor.requires_grad_() for tensor in _tensors((5, 64), device, BF16, FP32).values())
    torch.library.opcheck(torch.ops.tinyscale.gated.default, (gate, up, kind))


@pytest.mark.parametrize("op", OPS)
def test_compiles_without_breaks(device: torch.device, op: str) -> None:
    def loss(gate: Tensor, up: Tensor) -> Tensor:
        return OPS[op][0](gate * 2, up).square().sum()

    results: list[tuple[Any, ...]] = []
    for run in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        leaves = [tensor.requires_grad_() for tensor in _tensors((5, 64), device, FP32, FP32).values()]
        value = run(*leaves)
        results.append((value, *torch.autograd.grad(value, leaves)))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled)


def test_misfits_are_refused(device: torch.device) -> None:
    with pytest.raises(ValueError, match="they must be the same"):
        swiglu(torch.ones(2, 3, device=device), torch.ones(2, 2, device=device))
