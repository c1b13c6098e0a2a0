"""Output head and cross-entropy: loss and gradients against the expression, chunk by chunk and without logits."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tinyscale_kernels import reference
from tinyscale_kernels.launch import record
from tinyscale_kernels.linear_cross_entropy import extra_bytes, linear_cross_entropy
from tinyscale_kernels.linear_cross_entropy_chunks import chunk_rows
from torch import Tensor

MODULES = [importlib.import_module(f"tinyscale_kernels.linear_cross_entropy{part}") for part in ("", "_chunks")]
IGNORED = -100
FP32, BF16 = torch.float32, torch.bfloat16


def ours(hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor, **options: Any) -> Tensor:
    return linear_cross_entropy(hidden_NE, weight_VE, targets_N, implementation="triton", **options)


def naive(hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor, **options: Any) -> Tensor:
    return reference.linear_cross_entropy(hidden_NE, weight_VE.to(hidden_NE.dtype), targets_N, **options)


def make(
    device: torch.device,
    rows: int,
    hidden_size: int,
    vocab_size: int,
    dtype: torch.dtype = FP32,
    weight_dtype: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Logits of about unit variance; every fifth target is ignored, but for the first."""
    generator = torch.Generator().manual_seed(rows)
    targets = torch.randint(vocab_size, (rows,), generator=generator)
    targets[0] = vocab_size - 1
    targets[4::5] = IGNORED
    weight = torch.randn(vocab_size, hidden_size, generator=generator) / hidden_size**0.5
    return {
        "hidden_NE": torch.randn(rows, hidden_size, generator=generator).to(device, dtype),
        "weight_VE": weight.to(device, weight_dtype or dtype),
        "targets_N": targets.to(device),
    }


def gradients(op: Callable[..., Tensor], tensors: dict[str, Tensor], **options: Any) -> tuple[Tensor, ...]:
    """Loss, gradient of hidden, gradient of weight; of ``none``, for upstream gradients that differ from row to row."""
    hidden, weight = (tensors[name].detach().clone().requires_grad_() for name in ("hidden_NE", "weight_VE"))
    loss = op(hidden, weight, tensors["targets_N"], **options)
    upstream = torch.linspace(0.5, 1.5, loss.numel(), device=loss.device).view(loss.shape)
    return loss.detach(), *torch.autograd.grad(loss, (hidden, weight), upstream)


@pytest.mark.parametrize(
    ("rows", "hidden_size", "vocab_size", "dtype", "weight_dtype", "reduction"),
    [
        (1, 64, 509, FP32, FP32, "mean"),
        (1, 64, 509, FP32, FP32, "none"),
        (252, 123, 509, FP32, FP32, "mean"),
        (252, 123, 509, FP32, FP32, "none"),
        (507, 64, 509, BF16, BF16, "mean"),
        (252, 123, 509, BF16, FP32, "none"),
        (61, 64, 5003, FP32, FP32, "mean"),
        (100, 123, 5003, BF16, FP32, "mean"),
        (61, 64, 5003, BF16, FP32, "none"),
        (6, 64, 50257, BF16, FP32, "mean"),
        pytest.param(100, 1024, 5003, BF16, FP32, "none", marks=pytest.mark.slow),
        pytest.param(61, 768, 50257, FP32, FP32, "none", marks=pytest.mark.slow),
        pytest.param(61, 768, 50257, BF16, FP32, "mean", marks=pytest.mark.slow),
    ],
)
def test_equals_the_expression(
    device: torch.device,
    assert_as_good: Callable[..., None],
    rows: int,
    hidden_size: int,
    vocab_size: int,
    dtype: torch.dtype,
    weight_dtype: torch.dtype,
    reduction: str,
) -> None:
    options = {"reduction": reduction, "z_loss": 0.0 if rows == 507 else 1e-2}
    assert_as_good(
        lambda **tensors: ours(**tensors, **options),
        lambda **tensors: naive(**tensors, **options),
        make(device, rows, hidden_size, vocab_size, dtype, weight_dtype),
    )


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_without_gradients_it_is_the_same(device: torch.device, dtype: torch.dtype) -> None:
    """Closer to the truth than naive bf16 can be: the logits in registers are fp32."""
    tensors = make(device, 100, 123, 509, dtype)
    exact = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    for reduction in ("mean", "none"):
        options = {"reduction": reduction, "z_loss": 1e-2}
        right = naive(**exact, **options)
        torch.testing.assert_close(ours(**tensors, **options), right, rtol=1e-6, atol=1e-6)
        tensors["weight_VE"].requires_grad_()
        with torch.no_grad():
            torch.testing.assert_close(ours(**tensors, **options), right, rtol=1e-6, atol=1e-6)
        tensors["weight_VE"].requires_grad_(False)


def test_any_target_may_be_the_ignored_one(device: torch.device) -> None:
    tensors = make(device, 30, 64, 509)
    tensors["targets_N"].clamp_(min=0)
    for reduction in ("mean", "none"):
        options = {"reduction": reduction, "ignore_index": 0}
        for value, right in zip(gradients(ours, tensors, **options), gradients(naive, tensors, **options), strict=True):
            torch.testing.assert_close(value, right)


def test_ignored_rows_have_no_loss_and_no_gradient(device: torch.device) -> None:
    tensors = make(device, 30, 64, 509)
    loss, grad_hidden, _ = gradients(ours, tensors, reduction="none", z_loss=1e-2)
    ignored = tensors["targets_N"] == IGNORED
    assert ignored.any()
    assert not loss[ignored].any()
    assert not grad_hidden[ignored].any()
    assert not gradients(ours, tensors, z_loss=1e-2)[1][ignored].any()
    tensors["targets_N"].fill_(IGNORED)
    for reduction in ("mean", "none"):
        loss, *grads = gradients(ours, tensors, reduction=reduction, z_loss=1e-2)
        assert loss.isnan().all() if reduction == "mean" else not loss.any()
        assert not any(grad.any() for grad in grads)
        with torch.no_grad():
            torch.testing.assert_close(ours(**tensors, reduction=reduction), loss, equal_nan=True)


def test_unknown_targets_make_the_loss_nan(device: torch.device) -> None:
    tensors = make(device, 20, 64, 509)
    unknown = torch.tensor([509, 511, 512, -1, 2**40, -(2**40)])
    tensors["targets_N"][:6] = unknown.to(device)
    loss, grad_hidden, grad_weight = gradients(ours, tensors, reduction="none")
    for of_rows in (loss, grad_hidden.sum(dim=1)):
        assert of_rows.isnan().tolist() == [True] * 6 + [False] * 14
    assert grad_weight.isnan().all()
    assert all(value.isnan().any() for value in gradients(ours, tensors))
    with torch.no_grad():
        assert ours(**tensors).isnan()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_chunks_add_up(device: torch.device, monkeypatch: pytest.MonkeyPatch, reduction: str) -> None:
    tensors = make(device, 70, 64, 509)
    whole = gradients(ours, tensors, reduction=reduction, z_loss=1e-2)
    for module in MODULES:
        monkeypatch.setattr(module, "chunk_rows", lambda *_: 32)
    for chunked, right in zip(gradients(ours, tensors, reduction=reduction, z_loss=1e-2), whole, strict=True):
        torch.testing.assert_close(chunked, right, rtol=1e-5, atol=1e-6)


def test_no_row_is_no_error(device: torch.device) -> None:
    tensors = {name: tensor[:0] if name != "weight_VE" else tensor for name, tensor in make(device, 2, 64, 9).items()}
    for reduction, loss in (("mean", [float("nan")]), ("none", [])):
        value, grad_hidden, grad_weight = gradients(ours, tensors, reduction=reduction)
        assert str(value.view(-1).tolist()) == str(loss)
        assert grad_hidden.shape == (0, 64)
        assert not grad_weight.any()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_only_wanted_gradients_are_computed(device: torch.device, reduction: str) -> None:
    tensors = make(device, 20, 64, 509)
    _, *right = gradients(ours, tensors, reduction=reduction)
    for index, name in enumerate(("hidden_NE", "weight_VE")):
        leaf = tensors[name].clone().requires_grad_()
        loss = ours(**{**tensors, name: leaf}, reduction=reduction)
        upstream = torch.linspace(0.5, 1.5, loss.numel(), device=device).view(loss.shape)
        (grad,) = torch.autograd.grad(loss, leaf, upstream)
        torch.testing.assert_close(grad, right[index], rtol=0, atol=0)


def test_there_are_no_second_derivatives(device: torch.device) -> None:
    tensors = make(device, 3, 64, 509)
    leaf = tensors["hidden_NE"].requires_grad_()
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(ours(**tensors), leaf, create_graph=True)
    (grad,) = torch.autograd.grad(ours(**tensors, reduction="none").sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd"):
        grad.sum().backward()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_autocast_decides_the_products_dtype(device: torch.device, reduction: str) -> None:
    tensors = make(device, 20, 64, 509)
    narrow = {**tensors, "hidden_NE": tensors["hidden_NE"].bfloat16()}

    def under_autocast(*inputs: Tensor, **options: Any) -> Tensor:
        with torch.autocast(device.type, dtype=BF16):
            return ours(*inputs, **options)

    with torch.autocast(device.type, dtype=BF16):  # the backward pass may run in it or not
        inside = gradients(ours, tensors, reduction=reduction)
    outside = gradients(under_autocast, tensors, reduction=reduction)
    for a, b, c in zip(gradients(ours, narrow, reduction=reduction), inside, outside, strict=True):
        torch.testing.assert_close(b, a.to(b.dtype), rtol=0, atol=0)
        torch.testing.assert_close(c, a.to(c.dtype), rtol=0, atol=0)
    assert inside[0].dtype == inside[1].dtype == inside[2].dtype == FP32


def test_transposed_inputs(device: torch.device) -> None:
    tensors = make(device, 20, 64, 509)
    turned = {name: t.t().contiguous().t() if t.dim() == 2 else t for name, t in tensors.items()}
    turned["targets_N"] = torch.stack((tensors["targets_N"], tensors["targets_N"]), dim=1)[:, 0]
    for reduction in ("mean", "none"):
        pairs = zip(
            gradients(ours, turned, reduction=reduction), gradients(ours, tensors, reduction=reduction), strict=True
        )
        for value, right in pairs:
            torch.testing.assert_close(value, right, rtol=0, atol=0)


def test_registrations(device: torch.device) -> None:
    tensors = make(device, 6, 64, 509)
    hidden, weight = (tensors[name].requires_grad_() for name in ("hidden_NE", "weight_VE"))
    ops = torch.ops.tinyscale
    inputs = (hidden, weight, tensors["targets_N"])
    for wanted in ((True, True), (True, False), (False, True)):
        leaves = [t.detach().requires_grad_(want) for t, want in zip(inputs, wanted, strict=False)]
        torch.library.opcheck(ops.linear_cross_entropy_mean, (*leaves, inputs[2], IGNORED, 0.1, *wanted))
    torch.library.opcheck(ops.linear_cross_entropy_losses, (*inputs, IGNORED, 0.1))
    with torch.no_grad():
        arguments = (*inputs, torch.ones(6, device=device), IGNORED, 0.1, True, True)
        torch.library.opcheck(ops.linear_cross_entropy_losses_backward, arguments)
        torch.library.opcheck(ops.linear_cross_entropy_scale, (hidden, torch.tensor(0.5, device=device)))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compiled(device: torch.device, reduction: str) -> None:
    tensors = make(device, 20, 64, 509, BF16, FP32)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    pairs = zip(
        gradients(compiled, tensors, reduction=reduction), gradients(ours, tensors, reduction=reduction), strict=True
    )
    for value, right in pairs:
        torch.testing.assert_close(value, right, rtol=0, atol=0)


def test_logits_are_stored_a_chunk_at_a_time(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(module, "chunk_rows", lambda *_: 32)
    tensors = make(device, 70, 64, 509, BF16, FP32)
    with record("sm_120") as recording:
        gradients(ours, tensors)
    assert [launch.arguments[0].shape for launch in recording.launches] == [(32, 512), (32, 512), (6, 512)]
    assert len({launch.arguments[0].data_ptr() for launch in recording.launches}) == 1
    with record("sm_120") as recording, torch.no_grad():
        ours(**tensors)
    assert max(t.numel() for launch in recording.launches for t in launch.arguments if torch.is_tensor(t)) == 509 * 64


@pytest.mark.parametrize(("dtype", "weight_dtype"), [(FP32, FP32), (BF16, FP32), (BF16, BF16)])
@pytest.mark.parametrize("vocab_size", [509, 512])
def test_extra_memory_is_what_is_said(
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    weight_dtype: torch.dtype,
    vocab_size: int,
) -> None:
    if device.type == "cpu" and dtype == BF16:
        pytest.skip("there torch widens the factors of fp32 sums")
    for module in MODULES:
        monkeypatch.setattr(module, "chunk_rows", lambda *_: 1024)
    tensors = make(device, 2100, 64, vocab_size, dtype, weight_dtype)
    hidden, weight = (tensors[name].requires_grad_() for name in ("hidden_NE", "weight_VE"))
    said = extra_bytes(2100, 64, vocab_size, dtype, weight_dtype)
    outputs = sum(tensor.numel() * tensor.element_size() for tensor in (hidden, weight))
    with record("sm_120"):  # no launch: only what torch allocates counts
        peak = peak_bytes(device, lambda: ours(**tensors)) - outputs
    assert said <= peak <= 1.05 * said


def peak_bytes(device: torch.device, function: Callable[[], object]) -> int:
    """Most memory of torch that a call holds beside what was there before."""
    if device.type == "cuda":
        function()  # cuBLAS takes its workspace once
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        kept = function()
    del kept
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def test_goal_of_a_tenth_of_the_memory() -> None:
    rows, vocab_size = 65_536, 50_304
    assert chunk_rows(vocab_size, BF16) == 8192
    assert chunk_rows(vocab_size, FP32) == 4096
    unfused = 2 * rows * vocab_size * 2  # logits and their gradient in bf16: the least that any unfused code stores
    assert extra_bytes(rows, 768, vocab_size, BF16) <= unfused / 10


def test_other_shapes_and_dtypes_are_errors(device: torch.device) -> None:
    tensors = make(device, 4, 64, 509)
    for name, wrong in (
        ("hidden_NE", torch.zeros(4, 32)),
        ("hidden_NE", torch.zeros(1, 4, 64)),
        ("weight_VE", torch.zeros(509, 32)),
        ("targets_N", torch.zeros(3, dtype=torch.int64)),
        ("targets_N", torch.zeros(4, dtype=torch.int32)),
        ("weight_VE", torch.zeros(509, 64, dtype=torch.float16)),
    ):
        with pytest.raises(ValueError, match=r"must be|take float32"):
            ours(**{**tensors, name: wrong.to(device)})
    with pytest.raises(ValueError, match="mean, none"):
        ours(**tensors, reduction="sum")
