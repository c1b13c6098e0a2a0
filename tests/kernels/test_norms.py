"""RMSNorm and LayerNorm with the residual addition, forward and backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tinyscale_kernels import layer_norm, reference, rms_norm
from torch import Tensor

BF16, FP32 = torch.bfloat16, torch.float32
EPSILON = 1e-5
OURS: dict[str, Callable[..., Any]] = {"rms": rms_norm, "layer": layer_norm}
TRUTH: dict[str, Callable[..., Any]] = {"rms": reference.rms_norm, "layer": reference.layer_norm}
NORMS = tuple(OURS)
Tensors = dict[str, Tensor]


def _ours(norm: str, **tensors: Tensor) -> Any:
    return OURS[norm](**tensors, epsilon=EPSILON, implementation="triton")


def _truth(norm: str, **tensors: Tensor) -> Any:
    """Weights in the dtype of the sum: PyTorch's LayerNorm on CUDA takes no other."""
    wide = tensors["x"] + tensors.get("residual", 0)
    parameters = {name: tensors[name].to(wide.dtype) for name in ("weight", "bias") if name in tensors}
    return TRUTH[norm](**(tensors | parameters), epsilon=EPSILON)


def _tensors(
    norm: str, rows: int, hidden: int, device: torch.device, x: torch.dtype, residual: torch.dtype | None = None
) -> Tensors:
    generator = torch.Generator().manual_seed(rows + hidden)
    tensors = {"x": torch.randn(rows, hidden, generator=generator).to(device, x)}
    tensors["weight"] = torch.randn(hidden, generator=generator).to(device)
    if norm == "layer":
        tensors["bias"] = torch.randn(hidden, generator=generator).to(device)
    if residual:
        tensors["residual"] = (torch.randn(rows, hidden, generator=generator) + 1).to(device, residual)
    return tensors


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("rows", "hidden", "x", "residual"),
    [
        (1, 64, FP32, FP32),
        (507, 64, BF16, FP32),
        (252, 123, FP32, FP32),
        (507, 123, BF16, FP32),
        (1, 123, BF16, None),
        (252, 768, BF16, FP32),
        (23, 768, BF16, BF16),
        (17, 768, FP32, BF16),
        (33, 1024, FP32, None),
        (7, 3000, BF16, FP32),
        (0, 64, FP32, FP32),
    ],
)
def test_no_worse_than_pytorch(
    assert_as_good: Callable[..., None],
    device: torch.device,
    norm: str,
    rows: int,
    hidden: int,
    x: torch.dtype,
    residual: torch.dtype | None,
) -> None:
    assert_as_good(partial(_ours, norm), partial(_truth, norm), _tensors(norm, rows, hidden, device, x, residual))


@pytest.mark.parametrize("norm", NORMS)
def test_a_large_mean_costs_no_digits(assert_as_good: Callable[..., None], device: torch.device, norm: str) -> None:
    tensors = _tensors(norm, 40, 123, device, FP32)
    tensors["x"] = tensors["x"] + 100
    assert_as_good(partial(_ours, norm), partial(_truth, norm), tensors, slack=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_rows_past_the_end_stay_out_of_the_weights_gradient(device: torch.device, norm: str) -> None:
    tensors = {n: t.requires_grad_() for n, t in _tensors(norm, 3, 64, device, FP32).items()}
    normed, _ = OURS[norm](**tensors, epsilon=0.0, implementation="triton")
    gradients = torch.autograd.grad(normed.sum(), list(tensors.values()))
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("output", [0, 1])
@pytest.mark.parametrize("residual", [None, FP32])
def test_one_output_may_go_unused(device: torch.device, norm: str, output: int, residual: torch.dtype | None) -> None:
    tensors = _tensors(norm, 9, 64, device, BF16 if residual else FP32, residual)
    gradients = []
    for op in (_ours, _truth):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}
        chosen = op(norm, **leaves)[output]
        upstream = torch.arange(chosen.numel(), device=device).view_as(chosen).to(chosen.dtype)
        gradients.append(torch.autograd.grad(chosen, list(leaves.values()), upstream, allow_unused=True))
    for ours, truth in zip(*gradients, strict=True):
        assert (ours is None) == (truth is None)
        if ours is not None:
            torch.testing.assert_close(ours, truth, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("norm", NORMS)
def test_any_strides(assert_as_good: Callable[..., None], device: torch.device, norm: str) -> None:
    tensors = _tensors(norm, 6, 64, device, FP32, FP32)

    def strided(op: Callable[..., Any], **parts: Tensor) -> Any:
        normed, total = op(norm, **{n: t[::2, 1::2] if t.ndim == 2 else t[1::2] for n, t in parts.items()})
        return normed.t(), total.expand(2, -1, -1)  # so do the gradients come strided, and as stride 0

    wide = {name: torch.cat((tensor, tensor), dim=-1) for name, tensor in tensors.items()}
    assert_as_good(partial(strided, _ours), partial(strided, _truth), wide)


@pytest.mark.parametrize("norm", NORMS)
def test_autocast_takes_the_product_dtype(device: torch.device, norm: str) -> None:
    tensors = _tensors(norm, 5, 64, device, BF16, FP32)
    with torch.autocast(device.type, dtype=BF16):
        normed, total = _ours(norm, **tensors)
    assert (normed.dtype, total.dtype) == (BF16, FP32)
    right, _ = _truth(norm, **tensors)
    torch.testing.assert_close(normed, right.to(BF16), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("norm", NORMS)
def test_opcheck(device: torch.device, norm: str) -> None:
    tensors = _tensors(norm, 5, 64, device, BF16, FP32)
    x, residual, weight = (tensors[name].requires_grad_() for name in ("x", "residual", "weight"))
    bias = tensors["bias"].requires_grad_() if norm == "layer" else None
    for some_residual, out_dtype in ((residual, BF16), (None, FP32)):
        torch.library.opcheck(torch.ops.tinyscale.norm.default, (x, some_residual, weight, bias, EPSILON, out_dtype))


def _compiled_as_eager(norm: str, device: torch.device, backend: str) -> None:
    tensors = _tensors(norm, 5, 64, device, BF16, FP32)

    def loss(**parts: Tensor) -> Tensor:
        normed, total = _ours(norm, **parts)
        return (normed * normed.cos()).sum() + (total * total).sum()

    results = []
    for run in (loss, torch.compile(loss, fullgraph=True, backend=backend)):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}
        value = run(**leaves)
        results.append((value, *torch.autograd.grad(value, list(leaves.values()))))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled)


@pytest.mark.parametrize("norm", NORMS)
def test_compiles_without_breaks(device: torch.device, norm: str) -> None:
    _compiled_as_eager(norm, device, "aot_eager")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_inductor(device: torch.device) -> None:
    _compiled_as_eager("rms", device, "inductor")


@pytest.mark.parametrize("norm", NORMS)
def test_misfits_are_refused(device: torch.device, norm: str) -> None:
    tensors = _tensors(norm, 5, 64, device, FP32, FP32)
    with pytest.raises(ValueError, match="residual has shape"):
        _ours(norm, **(tensors | {"residual": tensors["residual"][:1]}))
    with pytest.raises(ValueError, match="weight or bias has shape"):
        _ours(norm, **(tensors | {"weight": tensors["weight"][:32]}))
