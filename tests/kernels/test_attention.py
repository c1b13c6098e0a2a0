"""Causal attention with grouped queries and a sliding window, forward and backward."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tinyscale_kernels import attention, reference
from tinyscale_kernels.launch import record
from torch import Tensor

BF16, FP32 = torch.bfloat16, torch.float32
AsGood = Callable[..., None]


def _qkv(device: torch.device, dtype: torch.dtype, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(device, dtype)


@pytest.mark.parametrize(
    ("dtype", "T", "H", "K", "D", "window", "scale"),
    [
        (FP32, 1, 4, 4, 16, 0, None),
        (FP32, 1, 4, 2, 64, 5, 1.0),
        (FP32, 17, 4, 2, 24, 5, None),
        (FP32, 17, 4, 1, 16, 100, None),  # no effective window
        (FP32, 64, 4, 1, 32, 0, 1.0),
        (FP32, 80, 2, 2, 128, 16, None),
        (FP32, 130, 2, 2, 16, 1, None),
        (FP32, 130, 2, 1, 32, 66, None),
        (BF16, 1, 4, 1, 32, 0, None),
        (BF16, 64, 4, 4, 16, 16, None),
        (BF16, 80, 4, 1, 24, 0, None),
        (BF16, 130, 2, 1, 64, 1, None),
        (BF16, 130, 3, 1, 32, 100, 1.0),
        (BF16, 200, 2, 1, 16, 127, None),
        (BF16, 200, 2, 1, 64, 0, None),
        (BF16, 200, 2, 2, 64, 98, None),
        (BF16, 200, 2, 1, 128, 5, None),
        (BF16, 130, 1, 1, 100, 0, None),
    ],
)
def test_no_worse_than_pytorch(
    assert_as_good: AsGood,
    device: torch.device,
    dtype: torch.dtype,
    T: int,
    H: int,
    K: int,
    D: int,
    window: int,
    scale: float | None,
) -> None:
    options: dict[str, Any] = {"num_heads": H, "num_kv_heads": K, "window": window, "scale": scale}
    ours = partial(attention, **options, implementation="triton")
    qkv = _qkv(device, dtype, 2 if T < 100 else 1, T, H + 2 * K, D)
    assert_as_good(ours, partial(reference.attention, **options), {"qkv_BTGD": qkv})


@pytest.mark.parametrize(
    ("shape", "view"),
    [
        ((1, 40, 11, 19), lambda x: x[:, :, 1:9, :16]),
        ((40, 2, 9, 16), lambda x: x.transpose(0, 1)[:, :, :8]),
        ((1, 40, 19, 11), lambda x: x.transpose(2, 3)[:, :, 2:10, 3:]),
    ],
    ids=["slice", "tokens first", "channels apart"],
)
def test_takes_strided_projections(
    assert_as_good: AsGood, device: torch.device, shape: tuple[int, ...], view: Callable[[Tensor], Tensor]
) -> None:
    def ours(x: Tensor) -> Tensor:
        return attention(view(x), 4, 2, window=9, implementation="triton")

    def truth(x: Tensor) -> Tensor:
        return reference.attention(view(x), 4, 2, window=9)

    assert_as_good(ours, truth, {"x": _qkv(device, FP32, *shape)})


def test_output_and_gradient_are_contiguous_and_in_the_dtype_of_autocast(device: torch.device) -> None:
    qkv = _qkv(device, FP32, 2, 20, 8, 16).requires_grad_()
    with torch.autocast(device.type, dtype=BF16):
        y = attention(qkv, 4, 2, implementation="triton")
    assert y.shape == (2, 20, 4, 16)
    assert y.dtype == BF16
    assert y.is_contiguous()
    (gradient,) = torch.autograd.grad(y, qkv, torch.ones_like(y).transpose(1, 2).contiguous().transpose(1, 2))
    assert gradient.dtype == FP32
    assert gradient.is_contiguous()


def test_blocks_out_of_the_window_are_not_read(device: torch.device) -> None:
    qkv = _qkv(device, BF16, 1, 256, 3, 16)
    qkv[:, :64] = torch.nan
    qkv.requires_grad_()
    y = attention(qkv, 1, 1, window=16, implementation="triton")[:, 128:]
    assert y.isfinite().all()
    (gradient,) = torch.autograd.grad(y.sum(), qkv)
    assert gradient[:, 192:].isfinite().all()


def test_library_ops_are_sound(device: torch.device) -> None:
    qkv = _qkv(device, FP32, 1, 17, 4, 16)
    heads_window_scale = (2, 1, 5, 0.25)
    forward, backward = torch.ops.tinyscale.attention.default, torch.ops.tinyscale.attention_backward.default
    torch.library.opcheck(forward, (qkv.clone().requires_grad_(), *heads_window_scale))
    y, lse = forward(qkv, *heads_window_scale)
    torch.library.opcheck(backward, (qkv, y, lse, torch.ones_like(y), *heads_window_scale))


def test_compiles(device: torch.device) -> None:
    def step(x: Tensor) -> Tensor:
        return attention(x * 2, 2, 1, window=7, implementation="triton").square().sum()

    qkv = _qkv(device, FP32, 2, 20, 4, 32).requires_grad_()
    losses = step(qkv), torch.compile(step, fullgraph=True, backend="aot_eager")(qkv)
    gradients = [torch.autograd.grad(loss, qkv)[0] for loss in losses]
    assert torch.equal(*losses)
    assert torch.equal(*gradients)


@pytest.mark.parametrize(
    ("D", "window", "slower"),
    [(16, 0, False), (32, 64, False), (48, 0, False), (64, 0, True), (64, 32, True), (64, 31, False), (128, 99, True)],
)
def test_auto_leaves_full_attention_at_heads_of_64_to_pytorch(
    monkeypatch: pytest.MonkeyPatch, D: int, window: int, slower: bool
) -> None:
    asked: list[bool] = []

    def use_triton(_implementation: str, _tensor: Tensor, *, slower: bool) -> bool:
        asked.append(slower)
        return False

    monkeypatch.setattr(sys.modules["tinyscale_kernels.attention"], "use_triton", use_triton)
    attention(torch.zeros(1, 32, 3, D), 1, 1, window=window)
    assert asked == [slower]


def test_triton_is_three_launches(device: torch.device) -> None:
    qkv = torch.zeros(2, 130, 8, 64, device=device, dtype=BF16, requires_grad=True)
    for options, names in (
        ({"implementation": "triton"}, ["forward_kernel", "dq_kernel", "dkv_kernel"]),
        ({"implementation": "torch"}, []),
        ({"implementation": "triton", "dropout": 0.1}, []),
        ({"scale": -1.0}, []),
    ):
        with record("sm_120") as recording:
            y = attention(qkv, 4, 2, **options)  # type: ignore[arg-type]
            torch.autograd.grad(y.sum(), qkv)
        assert [launch.kernel.__name__ for launch in recording.launches] == names
        assert [launch.grid for launch in recording.launches] == [(3 * 2 * 4,), (3 * 2 * 4,), (3 * 2 * 2,)][
            : len(names)
        ]


def test_what_the_kernels_cannot_do_is_pytorchs_or_an_error(device: torch.device) -> None:
    wide = _qkv(device, FP32, 1, 5, 3, 160)
    assert torch.equal(attention(wide, 1, 1), reference.attention(wide, 1, 1))
    with pytest.raises(ValueError, match="a head size of 160, over 128; choose auto or torch"):
        attention(wide, 1, 1, implementation="triton")
    with pytest.raises(ValueError, match="which is not positive"):
        attention(wide[..., :64], 1, 1, scale=0.0, implementation="triton")
    with pytest.raises(ValueError, match=r"dtype torch\.float64"):
        attention(wide[..., :64].double(), 1, 1, implementation="triton")
    with pytest.raises(ValueError, match="qkv has 3 heads for num_heads=2 and num_kv_heads=1"):
        attention(wide, 2, 1)
