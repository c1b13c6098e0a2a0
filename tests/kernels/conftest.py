"""How every kernel is tried: on the CUDA card where there is one, else in Triton's interpreter on the CPU."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

torch.set_num_threads(1)
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else CUDA's matrix products count as undetermined

Op = Callable[..., Any]
SLACK = {torch.float32: 2e-6, torch.bfloat16: 2e-3}
"""Relative error that a kernel may have beyond that of plain PyTorch in the same dtype."""


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    """Fresh memory is NaN, so that an element which no kernel writes is seen."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True, scope="session")
def interpreter() -> Iterator[None]:
    """Make Triton's interpreter compute bf16 as a card does, and raise where this patch does not teach it to.

    The interpreter of Triton 3.7 keeps bf16 as its bits in uint16. It converts fp32 to bf16 by cutting bits off where
    a card rounds to nearest even, and multiplies, adds and compares the bits as if they were integers, without a word.
    Kernels here compute in fp32, so conversions and ``tl.dot`` are all the bf16 they need; anything else on bf16 is a
    NotImplementedError instead of a wrong number. Numpy also warns of exp(1000), which is infinite on cards and means
    to be: silenced, for warnings are errors here.
    """
    if torch.cuda.is_available():
        yield
        return
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        _teach_bf16(patch)
        yield


def _teach_bf16(patch: pytest.MonkeyPatch) -> None:
    import triton.language as tl
    from triton.runtime import interpreter

    builder, handle = interpreter.InterpreterBuilder, interpreter.TensorHandle
    convert_other, dot_other = builder.create_fp_to_fp, builder.create_dot

    def widen(bits: Any) -> Any:
        return np.asarray(bits.astype(np.uint32) << 16).view(np.float32)

    def narrow(values: Any) -> Any:
        bits = np.asarray(values, dtype=np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        return np.where(np.isnan(values), bits >> 16 | 0x40, rounded).astype(np.uint16)  # carries would end NaNs

    def cast(_self: Any, source: Any, dtype: Any) -> Any:
        data = widen(source.data) if source.dtype.scalar == tl.bfloat16 else source.data
        to_bf16 = dtype.scalar == tl.bfloat16
        return handle(narrow(data) if to_bf16 else data.astype(interpreter._get_np_dtype(dtype)), dtype.scalar)

    def convert(self: Any, source: Any, dtype: Any, rounding: Any) -> Any:
        if tl.bfloat16 not in (source.dtype.scalar, dtype.scalar):
            return convert_other(self, source, dtype, rounding)
        if rounding == interpreter._ir.ROUNDING_MODE.RTZ:
            raise NotImplementedError("the interpreter's patch rounds to bf16 by nearest even only")
        return cast(self, source, dtype)

    def dot(self: Any, a: Any, b: Any, total: Any, *rest: Any) -> Any:
        a, b = (handle(widen(x.data), tl.float32) if x.dtype.scalar == tl.bfloat16 else x for x in (a, b))
        return dot_other(self, a, b, refuse(total), *rest)

    def refuse(operand: Any) -> Any:
        if operand.dtype.scalar == tl.bfloat16:
            raise NotImplementedError("the interpreter computes no bf16: convert to fp32 first, as kernels here do")
        return operand

    def checked(compute: Callable[..., Any], operands: int) -> Callable[..., Any]:
        def wrapper(self: Any, *arguments: Any) -> Any:
            choice = arguments[-1] is np.where  # moves bits, computes nothing
            for operand in () if choice else arguments[:operands]:
                refuse(operand)
            return compute(self, *arguments)

        return wrapper

    def checked_apply(apply: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, inputs: Any) -> Any:
            for value in inputs if isinstance(inputs, tuple) else (inputs,):
                refuse(value)
            return apply(self, inputs)

        return wrapper

    patch.setattr(builder, "cast_impl", cast)
    patch.setattr(builder, "create_fp_to_fp", convert)
    patch.setattr(builder, "create_dot", dot)
    for name, operands in {"unary_op": 1, "binary_op": 2, "ternary_op": 3, "create_fma": 3}.items():
        patch.setattr(builder, name, checked(getattr(builder, name), operands))
    for name in ("create_erf", "create_rsqrt", "create_atomic_rmw"):
        patch.setattr(builder, name, checked(getattr(builder, name), 1))
    for operation in (interpreter.ReduceOps, interpreter.ScanOps):
        patch.setattr(operation, "apply_impl", checked_apply(operation.apply_impl))


@pytest.fixture
def assert_as_good() -> Callable[..., None]:
    """Fail unless an op errs no more than its PyTorch expression in the same dtype, forward and backward.

    Both are compared with the expression in float64 on the same, already rounded, inputs. ``tensors`` are named
    arguments of both ops; gradients are taken for the floating ones, for random gradients of all outputs.
    """
    return _assert_as_good


def _assert_as_good(ours: Op, truth: Op, tensors: Mapping[str, Tensor], *, slack: float | None = None) -> None:
    dtype = next(tensor.dtype for tensor in tensors.values() if tensor.is_floating_point())
    exact = {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}
    slack = SLACK[dtype] if slack is None else slack
    results = [_run(op, arguments) for op, arguments in ((ours, tensors), (truth, tensors), (truth, exact))]
    assert results[0].keys() == results[2].keys()
    for name, right in results[2].items():
        our_error, naive_error = (_relative_error(result[name], right) for result in results[:2])
        assert our_error <= naive_error + slack, f"{name}: error {our_error:.2e}, PyTorch's {naive_error:.2e}"


def _run(op: Op, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs and gradients of the inputs by name."""
    leaves = {n: t.detach().clone().requires_grad_(t.is_floating_point()) for n, t in tensors.items()}
    outputs = op(**leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    generator = torch.Generator().manual_seed(1)
    upstream = [torch.randn(o.shape, generator=generator).to(o.device, o.dtype) for o in outputs]
    differentiable = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    gradients = torch.autograd.grad(outputs, list(differentiable.values()), upstream)
    for name, leaf in differentiable.items():
        assert gradients[list(differentiable).index(name)].dtype == leaf.dtype
    named = {f"output {index}": output.detach() for index, output in enumerate(outputs)}
    return named | {f"gradient of {name}": g for name, g in zip(differentiable, gradients, strict=True)}


def _relative_error(value: Tensor, right: Tensor) -> float:
    """Norm of the difference over the norm of the truth; NaN anywhere fails."""
    assert value.shape == right.shape
    assert not value.isnan().any(), "elements that were never written, or a true NaN"
    return float((value.double() - right).norm() / right.norm().clamp_min(1e-30))
