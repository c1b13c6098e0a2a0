"""``python -m tinyscale_kernels.bench``: every op against eager PyTorch, torch.compile and Liger-Kernel, on a card.

Rivals take turns, call by call, each after the card's cache has been emptied; medians are compared, so that a card that
warms up or shares its server does not favour anyone. The ceilings are measured on the same card in the same run.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinyscale_kernels.dispatch import obstacle_to_triton
from tinyscale_kernels.problems import ROWS, Problem, Tensors, problems
from tinyscale_kernels.roofline import Work

RIVALS = ("ours", "eager", "compile", "liger")
FLUSH_BYTES = 256 * 2**20
"""More than any card's cache: written before each timed call."""

Run = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One rival at one problem in one direction."""

    problem: str
    direction: str
    """forward, or both: forward and backward together, as gradients need both."""
    rival: str
    median_s: float
    fastest_s: float
    peak_bytes: int
    """Memory above the inputs' that the call needed at most."""
    bandwidth_share: float
    """Bytes that must move, over the time, over the copy ceiling."""
    flops_share: float
    """FLOPs of the products, over the time, over the matmul ceiling."""


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """What the card reaches at its two simplest tasks."""

    copy: float
    """Bytes a second, read and written, of a large device-to-device copy."""
    matmul: float
    """FLOP/s of a square bf16 product."""


class Stopwatch:
    """Times calls on a device: with CUDA events there, with the clock on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.flush = torch.empty(FLUSH_BYTES if self.cuda else 0, dtype=torch.int8, device=device)

    def seconds(self, run: Run) -> float:
        """Of one call, with a cold cache."""
        if not self.cuda:
            start = time.perf_counter()
            run()
            return time.perf_counter() - start
        self.flush.zero_()  # keeps the card busy while the call is being launched, too
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    def interleaved(self, runs: Sequence[Run], rounds: int) -> list[list[float]]:
        """Seconds of each of ``runs`` in each of ``rounds``, in turns."""
        times: list[list[float]] = [[] for _ in runs]
        for _ in range(rounds):
            for run, found in zip(runs, times, strict=True):
                found.append(self.seconds(run))
        return times

    def peak_bytes(self, run: Run) -> int:
        """Memory that a call needs beside what is there before it; 0 on a CPU, which keeps no count."""
        if not self.cuda:
            return 0
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before


def measure_ceilings(watch: Stopwatch, device: torch.device) -> Ceilings:
    """Measured on random data: zeros can run faster than real data will."""
    size, side = (2**30, 8192) if watch.cuda else (2**20, 64)
    source = torch.randint(0, 127, (size,), dtype=torch.int8, device=device)
    target = torch.empty_like(source)
    left, right = (torch.randn(side, side, device=device).to(torch.bfloat16) for _ in range(2))
    copies, products = watch.interleaved([lambda: target.copy_(source), lambda: left @ right], 20)
    return Ceilings(copy=2 * size / statistics.median(copies), matmul=2 * side**3 / statistics.median(products))


def rivals_of(problem: Problem, wanted: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Callables of the inputs by name."""
    found: dict[str, Callable[..., Any]] = {
        "ours": partial(problem.run, implementation="triton"),
        "eager": problem.truth,
        "compile": torch.compile(problem.truth, dynamic=False),
    }
    if liger := liger_op(problem):
        found["liger"] = liger
    return {name: run for name, run in found.items() if name in wanted}


def liger_op(problem: Problem) -> Callable[..., Any] | None:
    """The same op of Liger-Kernel, where the package is there and has one."""
    try:
        from liger_kernel.transformers import functional as liger
    except ModuleNotFoundError:
        return None

    def rms_norm(x: Tensor, weight: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        total = residual + x
        return liger.liger_rms_norm(total, weight, 1e-5), total

    def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        total = residual + x
        return liger.liger_layer_norm(total, weight, bias, 1e-5), total

    def linear_cross_entropy(hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor) -> Any:
        return liger.liger_fused_linear_cross_entropy(hidden_NE, weight_VE.to(hidden_NE.dtype), targets_N)

    ops: dict[str, Callable[..., Any]] = {
        "rms_norm": rms_norm,
        "layer_norm": layer_norm,
        "swiglu": lambda gate, up: liger.liger_swiglu(gate, up),
        "geglu": lambda gate, up: liger.liger_geglu(gate, up),
        "linear_cross_entropy": linear_cross_entropy,
    }
    return ops.get(problem.op)


def under_autocast(problem: Problem, run: Callable[..., Any], tensors: Tensors) -> Any:
    """Call an op as training does: matrix products in the problem's dtype."""
    device = next(iter(tensors.values())).device.type
    with torch.autocast(device, problem.dtype, enabled=problem.dtype != torch.float32):
        return run(**tensors)


def forward_pass(problem: Problem, run: Callable[..., Any], tensors: Tensors) -> Run:
    """A call without gradients."""

    def call() -> None:
        with torch.no_grad():
            under_autocast(problem, run, tensors)

    return call


def both_passes(problem: Problem, run: Callable[..., Any], tensors: Tensors) -> Run:
    """A call and the gradients of all its inputs, for gradients of ones."""
    leaves = [tensor for tensor in tensors.values() if tensor.is_floating_point()]

    def call() -> None:
        outputs = under_autocast(problem, run, tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.autograd.grad(outputs, leaves, [torch.ones_like(output) for output in outputs])

    return call


def measure(
    problem: Problem, wanted: Sequence[str], watch: Stopwatch, ceilings: Ceilings, *, rows: int, rounds: int
) -> list[Timing]:
    """All rivals at one problem."""
    device = watch.flush.device
    tensors = problem.make(rows, device)
    for tensor in tensors.values():
        tensor.requires_grad_(tensor.is_floating_point() and problem.backward is not None)
    rivals, share = rivals_of(problem, wanted), rows / ROWS
    directions = [("forward", forward_pass, problem.forward)]
    if problem.backward is not None:
        directions.append(("both", both_passes, problem.forward + problem.backward))
    found = []
    for direction, make, work in directions:
        runs = [make(problem, run, tensors) for run in rivals.values()]
        for run in runs:
            for _ in range(3 if watch.cuda else 1):
                run()  # compiles, and fills torch's pool of memory
        peaks = [watch.peak_bytes(run) for run in runs]
        for name, times, peak in zip(rivals, watch.interleaved(runs, rounds), peaks, strict=True):
            found.append(_timing(problem.name, direction, name, times, peak, work * share, ceilings))
    return found


def _timing(
    problem: str, direction: str, rival: str, times: list[float], peak: int, work: Work, ceilings: Ceilings
) -> Timing:
    median = statistics.median(times)
    return Timing(
        problem=problem,
        direction=direction,
        rival=rival,
        median_s=median,
        fastest_s=min(times),
        peak_bytes=peak,
        bandwidth_share=work.bytes_moved / median / ceilings.copy,
        flops_share=work.flops / median / ceilings.matmul,
    )


def line(timings: Sequence[Timing]) -> str:
    """One problem and direction: the rivals' times as ratios to ours, and how near ours is to the ceilings."""
    ours = timings[0]
    ratios = "".join(f"{other.rival:>9} {other.median_s / ours.median_s:5.2f}x" for other in timings[1:])
    shares = f"{ours.bandwidth_share:5.0%} of copy"
    if ours.flops_share:
        shares += f", {ours.flops_share:4.0%} of matmul"
    memory = " / ".join(f"{timing.peak_bytes / 2**20:,.0f}" for timing in timings)
    return f"{ours.problem:<66}{ours.direction:<8}{ours.median_s * 1e3:9.3f} ms{ratios}   {shares}   {memory} MiB"


def main() -> int:
    """Print one line a problem and direction."""
    parser = argparse.ArgumentParser(prog="python -m tinyscale_kernels.bench", description=__doc__)
    parser.add_argument("--only", default="", help="problems whose name holds this, such as 'rms_norm'")
    parser.add_argument("--rivals", nargs="+", choices=RIVALS[1:], default=list(RIVALS[1:]))
    parser.add_argument("--rounds", type=int, default=20, help="timed calls of each rival")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of each problem")
    parser.add_argument("--out", type=Path, help="write all timings there, one JSON object a line")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if obstacle := obstacle_to_triton(device):
        print(f"error: nothing to measure: {obstacle}", file=sys.stderr)
        return 2
    watch = Stopwatch(device)
    name = torch.cuda.get_device_name() if watch.cuda else "a CPU, in Triton's interpreter: these are no timings"
    ceilings = measure_ceilings(watch, device)
    print(f"{name}: copy {ceilings.copy / 1e9:,.0f} GB/s, matmul {ceilings.matmul / 1e12:,.1f} TFLOP/s")
    print("median of ours; the others' times over it (more than 1: ours is faster); memory in the same order")
    everything: list[Timing] = []
    for problem in problems():
        if arguments.only not in problem.name:
            continue
        torch.compiler.reset()
        wanted = ("ours", *arguments.rivals)
        found = measure(problem, wanted, watch, ceilings, rows=arguments.rows, rounds=arguments.rounds)
        for direction in dict.fromkeys(timing.direction for timing in found):
            print(line([timing for timing in found if timing.direction == direction]), flush=True)
        everything += found
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(asdict(timing)) + "\n" for timing in everything))
    return 0


if __name__ == "__main__":
    sys.exit(main())
