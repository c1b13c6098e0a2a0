"""Rotary positions of the first heads of a packed projection, forward, backward and in place."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tinyscale_kernels import reference, rope
from torch import Tensor

BF16, FP32 = torch.bfloat16, torch.float32


def _tables(length: int, head_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Angles of ``length`` tokens that start at position 3 of a longer table."""
    frequency = 10_000.0 ** -(torch.arange(0, head_size, 2, dtype=FP32) / head_size)
    angle = torch.outer(torch.arange(length + 5, dtype=FP32), frequency).to(device)
    return angle.cos()[3 : 3 + length], angle.sin()[3 : 3 + length]


def _qkv(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def _run(op: Callable[..., Tensor], qkv: Tensor, rotated: int) -> Tensor:
    cos, sin = _tables(qkv.shape[1], qkv.shape[3], qkv.device)
    return op(qkv, cos, sin, rotated)


OURS = partial(rope, implementation="triton")


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize(
    ("shape", "rotated"),
    [
        ((1, 1, 3, 64), 2),
        ((2, 63, 4, 16), 3),
        ((3, 84, 5, 20), 4),
        ((1, 507, 3, 32), 2),
        ((2, 5, 36, 64), 24),
        ((1, 7, 3, 128), 3),
        ((2, 3, 4, 2), 2),
        ((2, 9, 4, 16), 0),
        ((0, 9, 4, 16), 3),
    ],
)
def test_no_worse_than_pytorch(
    assert_as_good: Callable[..., None],
    device: torch.device,
    shape: tuple[int, ...],
    rotated: int,
    dtype: torch.dtype,
) -> None:
    ours, truth = partial(_run, OURS, rotated=rotated), partial(_run, reference.rope, rotated=rotated)
    assert_as_good(ours, truth, {"qkv": _qkv(shape, device, dtype)})


def test_values_are_copied_to_the_bit(device: torch.device) -> None:
    qkv = _qkv((2, 5, 4, 16), device, BF16)
    qkv[0, 0, 3, :2] = torch.tensor([float("inf"), -0.0])
    turned = _run(OURS, qkv, 3)
    assert torch.equal(turned[:, :, 3].view(torch.int16), qkv[:, :, 3].view(torch.int16))
    assert turned.data_ptr() != qkv.data_ptr()


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_any_strides(assert_as_good: Callable[..., None], device: torch.device, dtype: torch.dtype) -> None:
    def strided(op: Callable[..., Tensor], packed: Tensor) -> Tensor:
        views = (packed[:, ::2, 1:], packed.transpose(0, 1), packed.transpose(2, 3))
        return torch.cat([_run(op, view, 2).sum(dim=1).flatten() for view in views])

    tensors = {"packed": _qkv((4, 6, 4, 8), device, dtype)}
    assert_as_good(partial(strided, OURS), partial(strided, reference.rope), tensors)


def test_tables_of_any_strides(device: torch.device) -> None:
    qkv, (cos, sin) = _qkv((2, 5, 4, 16), device, FP32), _tables(5, 16, device)
    packed = torch.stack((cos, sin), dim=-1)
    right = reference.rope(qkv, cos, sin, 3)
    torch.testing.assert_close(OURS(qkv, packed[..., 0], packed[..., 1], 3), right)
    torch.testing.assert_close(OURS(qkv, torch.cat((cos, sin), dim=-1)[:, :8], sin, 3), right)


@pytest.mark.parametrize("implementation", ["triton", "torch"])
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_in_place_touches_only_the_turned_heads(device: torch.device, implementation: Any, dtype: torch.dtype) -> None:
    whole = _qkv((4, 5, 4, 16), device, dtype)
    cos, sin = _tables(5, 16, device)
    before, qkv = whole.clone(), whole[::2]
    right = rope(qkv, cos, sin, 3, implementation=implementation)
    result = rope(qkv, cos, sin, 3, inplace=True, implementation=implementation)
    assert result is qkv
    assert torch.equal(qkv, right)
    assert torch.equal(whole[1::2], before[1::2])


@pytest.mark.parametrize("implementation", ["triton", "torch"])
def test_in_place_is_refused_where_a_gradient_is_recorded(device: torch.device, implementation: Any) -> None:
    qkv, tables = _qkv((1, 5, 4, 16), device, FP32).requires_grad_(), _tables(5, 16, device)
    with pytest.raises(ValueError, match="pass inplace=False or use no_grad"):
        rope(qkv * 1, *tables, 3, inplace=True, implementation=implementation)
    with torch.no_grad():
        rope(qkv, *tables, 3, inplace=True, implementation=implementation)


def test_opcheck(device: torch.device) -> None:
    qkv, tables = _qkv((2, 5, 4, 16), device, BF16), _tables(5, 16, device)
    torch.library.opcheck(torch.ops.tinyscale.rope_.default, (qkv.clone(), *tables, 3))
    torch.library.opcheck(torch.ops.tinyscale.rope.default, (qkv.requires_grad_(), *tables, 3, 1.0))


def test_compiles_without_breaks(device: torch.device) -> None:
    tables = _tables(5, 16, device)

    def loss(qkv: Tensor) -> Tensor:
        return (OURS(qkv * 2, *tables, 3) ** 3).sum()

    results: list[tuple[Tensor, ...]] = []
    for run in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        qkv = _qkv((2, 5, 4, 16), device, FP32).requires_grad_()
        value = run(qkv)
        results.append((value, *torch.autograd.grad(value, qkv)))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled)


def test_in_place_compiles_without_breaks(device: torch.device) -> None:
    qkv, tables = _qkv((2, 5, 4, 16), device, FP32), _tables(5, 16, device)

    def turn(qkv: Tensor) -> Tensor:
        return OURS(qkv * 1, *tables, 3, inplace=True) + 1

    compiled = torch.compile(turn, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(qkv), turn(qkv))


def test_misfits_are_refused(device: torch.device) -> None:
    qkv, (cos, sin) = _qkv((2, 5, 4, 16), device, FP32), _tables(5, 16, device)
    for arguments in (
        (qkv, cos, sin, 5),
        (qkv, cos[:4], sin, 3),
        (qkv, cos, sin[:, :4], 3),
        (qkv[..., :15], cos, sin, 3),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            rope(*arguments)


def test_the_form_for_the_compiler_is_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    qkv = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    cos, sin = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    found = rope(qkv, cos, sin, 3, implementation="torch")
    torch.testing.assert_close(found, reference.rope(qkv, cos, sin, 3))
    assert torch.equal(found[:, :, 3:], qkv[:, :, 3:])
