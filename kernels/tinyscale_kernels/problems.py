"""The ops at the shapes that matter: what is compiled ahead of time, printed by ``inspect`` and timed by ``bench``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import tinyscale_kernels as ours
from tinyscale_kernels import reference
from tinyscale_kernels.roofline import Work, attention_pairs

BF16, FP32 = torch.bfloat16, torch.float32
ROWS = 65_536
"""Tokens of a micro-batch of 64 sequences of 1,024, that of the public GPT-2 124M run."""
LENGTH = 1024
"""Tokens of a sequence."""
HIDDEN_SIZES = (64, 256, 768, 1024)
HEAD_SIZES = (16, 32, 64, 128)
HEADS = ((64, 2048), (256, 32_000), (768, 50_304), (1024, 50_304))
"""Hidden size and vocabulary of the output heads."""

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One op at one shape."""

    op: str
    shape: str
    dtype: torch.dtype
    """Of activations; weights and residual stream are fp32, as under autocast."""
    make: Callable[[int, torch.device], Tensors]
    """Random inputs for so many rows on a device."""
    run: Callable[..., Any]
    """Our op, of the inputs by name, ``implementation`` left open."""
    truth: Callable[..., Any]
    """The same in plain PyTorch."""
    forward: Work
    backward: Work | None
    """None: no gradient is wanted."""
    least_rows: int = 128
    """Rows with which it launches the kernels that it launches with all of them."""

    @property
    def name(self) -> str:
        """Op, shape and dtype."""
        return f"{self.op} {self.shape} {'bf16' if self.dtype == BF16 else 'fp32'}"


def problems() -> Iterator[Problem]:
    """All of them, each at :data:`ROWS` rows."""
    for dtype in (BF16, FP32):
        for hidden in HIDDEN_SIZES:
            yield from _norms(hidden, dtype)
            yield from _activations(hidden, dtype)
        for head_size in HEAD_SIZES:
            yield _rope(head_size, dtype)
            for window in (0, 256):
                yield _attention(head_size, window, dtype)
        for hidden, vocab_size in HEADS:
            for training in (True, False):
                yield _linear_cross_entropy(hidden, vocab_size, dtype, training=training)


def _norms(hidden: int, dtype: torch.dtype) -> Iterator[Problem]:
    elements, size = ROWS * hidden, dtype.itemsize
    narrow = size if dtype != FP32 else 0  # the branch's gradient is an output of its own where its dtype is
    forward, backward = Work(0, elements * (size + 4 + 4 + size)), Work(0, elements * (4 + size + 4 + 4 + narrow))
    for op, names in (("rms_norm", ("weight",)), ("layer_norm", ("weight", "bias"))):

        def make(rows: int, device: torch.device, names: tuple[str, ...] = names) -> Tensors:
            rows_by_name = {"x": torch.randn(rows, hidden, device=device).to(dtype)}
            rows_by_name["residual"] = torch.randn(rows, hidden, device=device)
            return rows_by_name | {name: torch.randn(hidden, device=device) for name in names}

        yield Problem(
            op=op,
            shape=f"{ROWS:,} x {hidden}",
            dtype=dtype,
            make=make,
            run=partial(getattr(ours, op), epsilon=1e-5),
            truth=partial(getattr(reference, op), epsilon=1e-5),
            forward=forward,
            backward=backward,
        )


def _activations(hidden: int, dtype: torch.dtype) -> Iterator[Problem]:
    width, size = 4 * hidden, dtype.itemsize
    bytes_each = ROWS * width * size

    def make_gated(rows: int, device: torch.device) -> Tensors:
        return {name: torch.randn(rows, width, device=device).to(dtype) for name in ("gate", "up")}

    def make_bias(rows: int, device: torch.device) -> Tensors:
        return {"x": torch.randn(rows, width, device=device).to(dtype), "bias": torch.randn(width, device=device)}

    shape = f"{ROWS:,} x {width}"
    for op in ("swiglu", "geglu"):
        yield Problem(
            op=op,
            shape=shape,
            dtype=dtype,
            make=make_gated,
            run=getattr(ours, op),
            truth=getattr(reference, op),
            forward=Work(0, 3 * bytes_each),
            backward=Work(0, 5 * bytes_each),
        )
    for approximate in ("tanh", "none"):
        yield Problem(
            op=f"bias_gelu ({'exact' if approximate == 'none' else 'tanh'})",
            shape=shape,
            dtype=dtype,
            make=make_bias,
            run=partial(ours.bias_gelu, approximate=approximate),
            truth=partial(reference.bias_gelu, approximate=approximate),
            forward=Work(0, 2 * bytes_each),
            backward=Work(0, 3 * bytes_each),
        )


def _packed(head_size: int, dtype: torch.dtype, rows: int, device: torch.device) -> Tensor:
    """(B, T, 3 H, D) of a hidden size of 768, sequences of up to LENGTH tokens."""
    length = min(LENGTH, rows)
    return torch.randn(rows // length, length, 3 * 768 // head_size, head_size, device=device).to(dtype)


def _rope(head_size: int, dtype: torch.dtype) -> Problem:
    def make(rows: int, device: torch.device) -> Tensors:
        return {"qkv_BTGD": _packed(head_size, dtype, rows, device)}

    def run(op: Callable[..., Tensor], qkv_BTGD: Tensor, **options: Any) -> Tensor:
        angle = torch.rand(qkv_BTGD.shape[1], head_size // 2, device=qkv_BTGD.device)
        return op(qkv_BTGD, angle.cos(), angle.sin(), 2 * 768 // head_size, **options)

    moved = Work(0, 2 * ROWS * 3 * 768 * dtype.itemsize)
    return Problem(
        op="rope",
        shape=f"{ROWS:,} x {768 // head_size} heads of {head_size}",
        dtype=dtype,
        make=make,
        run=partial(run, ours.rope),
        truth=partial(run, reference.rope),
        forward=moved,
        backward=moved,
    )


def _attention(head_size: int, window: int, dtype: torch.dtype) -> Problem:
    heads = 768 // head_size

    def make(rows: int, device: torch.device) -> Tensors:
        return {"qkv_BTGD": _packed(head_size, dtype, rows, device)}

    # Two products forward; five backward, since the scores are computed again (Dao 2023).
    product = 2.0 * attention_pairs(LENGTH, window) * head_size * heads * ROWS / LENGTH
    packed, single = ROWS * 3 * 768 * dtype.itemsize, ROWS * 768 * dtype.itemsize
    options = {"num_heads": heads, "num_kv_heads": heads, "window": window}
    return Problem(
        op=f"attention, window {window}" if window else "attention",
        shape=f"{ROWS // LENGTH} x {LENGTH:,} x {heads} heads of {head_size}",
        dtype=dtype,
        make=make,
        run=partial(ours.attention, **options),  # type: ignore[arg-type]
        truth=partial(reference.attention, **options),  # type: ignore[arg-type]
        forward=Work(2 * product, packed + single),
        backward=Work(5 * product, 2 * packed + 2 * single),
        least_rows=max(128, 2 * window),  # a window that holds the whole sequence is none
    )


def _linear_cross_entropy(hidden: int, vocab_size: int, dtype: torch.dtype, *, training: bool) -> Problem:
    def make(rows: int, device: torch.device) -> Tensors:
        return {
            "hidden_NE": torch.randn(rows, hidden, device=device).to(dtype),
            "weight_VE": 0.02 * torch.randn(vocab_size, hidden, device=device),
            "targets_N": torch.randint(vocab_size, (rows,), device=device),
        }

    # One product without gradients, three with them: for the logits, for the gradient of each factor.
    product = 2.0 * ROWS * vocab_size * hidden
    rows_bytes, weight_bytes = ROWS * hidden * dtype.itemsize, 4 * vocab_size * hidden
    factor = 2 if training else 1
    return Problem(
        op="linear_cross_entropy" if training else "linear_cross_entropy, no gradient",
        shape=f"{ROWS:,} x {hidden} x {vocab_size:,}",
        dtype=dtype,
        make=make,
        run=ours.linear_cross_entropy,
        truth=reference.linear_cross_entropy,
        forward=Work((3 if training else 1) * product, factor * (rows_bytes + weight_bytes)),
        backward=Work(0, 2 * factor * (rows_bytes + weight_bytes)) if training else None,
    )
