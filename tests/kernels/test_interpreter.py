"""The harness's patch of Triton's interpreter: bf16 as on a card, or an error."""

import pytest
import torch
import triton
import triton.language as tl

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on the card, not in the interpreter")
EDGES = (0.0, -0.0, 1e-40, 3.3895e38, 3.4e38, 1.00390625, 1.01171875, float("inf"), float("-inf"), float("nan"))


@triton.jit
def _cast_kernel(source_ptr, target_ptr, SIZE: tl.constexpr, ROUNDING: tl.constexpr):
    at = tl.arange(0, SIZE)
    value = tl.load(source_ptr + at)
    tl.store(target_ptr + at, value.to(target_ptr.dtype.element_ty, fp_downcast_rounding=ROUNDING))


@triton.jit
def _dot_kernel(a_ptr, b_ptr, out_ptr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    square = at[:, None] * SIZE + at[None, :]
    product = tl.dot(tl.load(a_ptr + square), tl.load(b_ptr + square).trans())
    tl.store(out_ptr + square, product)


@triton.jit
def _arithmetic_kernel(x_ptr, KIND: tl.constexpr):
    at = tl.arange(0, 16)
    x = tl.load(x_ptr + at)
    if KIND == "add":
        tl.store(x_ptr + at, x + x)
    elif KIND == "compare":
        tl.store(x_ptr + at, tl.where(x < x, x, 0))
    elif KIND == "largest":
        tl.store(x_ptr + at, tl.maximum(x, -x))
    elif KIND == "sum":
        tl.store(x_ptr, tl.sum(x, axis=0))
    else:
        tl.store(x_ptr + at, tl.where(at < 8, x, 0.0))


@pytest.mark.parametrize("rounding", [None, "rtne"])
def test_casts_round_to_nearest_even(rounding: str | None) -> None:
    wide = torch.cat((torch.tensor(EDGES), torch.randn(1024 - len(EDGES)), (torch.rand(1024) - 0.5) * 1e-38))
    narrow = torch.empty(2048, dtype=torch.bfloat16)
    _cast_kernel[(1,)](wide, narrow, SIZE=2048, ROUNDING=rounding)
    torch.testing.assert_close(narrow, wide.bfloat16(), rtol=0, atol=0, equal_nan=True)
    back = torch.empty(2048)
    _cast_kernel[(1,)](narrow, back, SIZE=2048, ROUNDING=None)
    torch.testing.assert_close(back, narrow.float(), rtol=0, atol=0, equal_nan=True)


def test_integers_become_bf16() -> None:
    integers, narrow = torch.arange(-512, 512, dtype=torch.int32), torch.empty(1024, dtype=torch.bfloat16)
    _cast_kernel[(1,)](integers, narrow, SIZE=1024, ROUNDING=None)
    assert torch.equal(narrow, integers.bfloat16())


def test_dot_of_bf16_adds_up_in_fp32() -> None:
    a, b = torch.randn(2, 64, 64).bfloat16()
    out = torch.empty(64, 64)
    _dot_kernel[(1,)](a, b, out, SIZE=64)
    torch.testing.assert_close(out, a.float() @ b.float().T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["add", "compare", "largest", "sum"])
def test_other_arithmetic_on_bf16_is_refused(kind: str) -> None:
    with pytest.raises(Exception, match="convert to fp32 first"):
        _arithmetic_kernel[(1,)](torch.randn(16).bfloat16(), KIND=kind)


def test_bf16_may_be_chosen_from() -> None:
    x = torch.randn(16).bfloat16()
    chosen = x.clone()
    _arithmetic_kernel[(1,)](chosen, KIND="choose")
    assert torch.equal(chosen, torch.cat((x[:8], torch.zeros(8, dtype=torch.bfloat16))))
