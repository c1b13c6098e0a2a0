"""``python -m tinyscale_kernels.inspect``: what the compiler makes of every kernel, and what to expect of a card.

Needs no card: each op is run with its launches written down, and these are compiled for the architecture asked for.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from multiprocessing import get_context
from os import sched_getaffinity

import torch

from tinyscale_kernels import step
from tinyscale_kernels._triton import INSTALLED, INTERPRETED
from tinyscale_kernels.architecture import ARCHITECTURES
from tinyscale_kernels.compile import Compiled, compile_launch
from tinyscale_kernels.launch import Launch, record
from tinyscale_kernels.problems import Problem, problems
from tinyscale_kernels.roofline import CARDS, RTX_5090, Work


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kernel of one op at one shape."""

    architecture: str
    problem: str
    direction: str
    """forward or backward."""
    kernel: str
    blocks: str
    num_warps: int
    num_stages: int
    compiled: Compiled
    occupancy: float
    """Warps that an SM holds, of those it could."""
    flops: float
    """Of the op in this direction, all its kernels and torch's products together."""
    bytes_moved: float
    why: str
    """Reason of the launch row."""


def launches(problem: Problem, architecture: str) -> Iterator[tuple[str, Launch]]:
    """What an op launches at a shape, forward and backward."""
    torch.manual_seed(0)
    tensors = problem.make(problem.least_rows, torch.device("cpu"))
    if problem.backward is not None:
        for tensor in tensors.values():
            tensor.requires_grad_(tensor.is_floating_point())
    with record(architecture) as recording:
        outputs = problem.run(**tensors, implementation="triton")
        yield from (("forward", launch) for launch in recording.launches)
        if problem.backward is None:
            return
        recording.launches.clear()
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.autograd.backward(outputs, [torch.zeros_like(output) for output in outputs])
        yield from (("backward", launch) for launch in recording.launches)


def findings(architecture: str, only: str = "") -> Iterator[Finding]:
    """Compile all kernels of the problems whose name holds ``only`` for an architecture."""
    torch.set_num_threads(1)
    for problem in problems():
        if only in problem.name:
            for direction, launch in launches(problem, architecture):
                yield finding(architecture, problem, direction, launch)


def finding(architecture: str, problem: Problem, direction: str, launch: Launch) -> Finding:
    """Compile one launch."""
    limits, row = ARCHITECTURES[architecture], launch.row
    compiled = compile_launch(launch, limits)
    work = problem.forward if direction == "forward" else problem.backward or Work(0, 0)
    return Finding(
        architecture=architecture,
        problem=problem.name,
        direction=direction,
        kernel=launch.kernel.__name__.strip("_"),
        blocks=" x ".join(str(size) for size in row.blocks.values()),
        num_warps=row.num_warps,
        num_stages=row.num_stages,
        compiled=compiled,
        occupancy=compiled.blocks_per_sm * row.num_warps / limits.sm_warps,
        flops=work.flops,
        bytes_moved=work.bytes_moved,
        why=row.why,
    )


def _shard(task: tuple[str, str, int, int]) -> list[Finding]:
    """Every so-manieth problem of an architecture."""
    architecture, only, index, count = task
    torch.set_num_threads(1)
    chosen = [problem for problem in problems() if only in problem.name][index::count]
    return [finding(architecture, problem, *found) for problem in chosen for found in launches(problem, architecture)]


def table(found: list[Finding]) -> Iterator[str]:
    """One block a direction of a problem: what it must move and compute, then its kernels."""
    for _, group in groupby(found, key=lambda f: (f.architecture, f.problem, f.direction)):
        kernels = list(group)
        first = kernels[0]
        work = Work(first.flops, first.bytes_moved)
        product = f"{work.flops / 1e9:,.0f} GFLOP, " if work.flops else ""
        fp32 = first.problem.endswith("fp32")
        times = ", ".join(f"{work.seconds(card, fp32=fp32) * 1e3:.3g} ms on an {card.name}" for card in CARDS)
        yield f"{first.problem}, {first.direction}: {product}{work.bytes_moved / 1e6:,.0f} MB; at best {times}"
        for kernel in kernels:
            made = kernel.compiled
            line = (
                f"  {kernel.kernel:<34}{kernel.blocks:>14}  w{kernel.num_warps} s{kernel.num_stages}"
                f"{made.shared_bytes:>9,} B{made.registers:>5} regs{made.spilled_bytes:>5} spilled"
                f"{made.blocks_per_sm:>4} blocks/SM ({kernel.occupancy:4.0%})  {made.vector_bytes:>2} B loads"
                f"  {made.matrix_instruction}"
            )
            yield line.rstrip()


def main() -> int:
    """Print the table and the step model."""
    parser = argparse.ArgumentParser(prog="python -m tinyscale_kernels.inspect", description=__doc__)
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), default="sm_120", help="compile for these cards")
    parser.add_argument("--only", default="", help="problems whose name holds this, such as 'attention'")
    parser.add_argument("--json", action="store_true", help="one JSON object a kernel instead of the table")
    arguments = parser.parse_args()
    if not INSTALLED or INTERPRETED:
        reason = "the package triton is not installed" if not INSTALLED else "TRITON_INTERPRET is set; unset it"
        print(f"error: nothing can be compiled here: {reason}", file=sys.stderr)
        return 2
    workers = len(sched_getaffinity(0))
    print(f"compiling for {arguments.arch} in {workers} processes: a minute or two", file=sys.stderr)
    tasks = [(arguments.arch, arguments.only, index, workers) for index in range(workers)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = [one for shard in pool.map(_shard, tasks) for one in shard]
    if arguments.json:
        print("\n".join(json.dumps(asdict(one)) for one in found))
        return 0
    found.sort(key=lambda one: one.problem.partition(" ")[0])
    print("\n".join(table(found)))
    shape, rates = step.Shape(), step.RTX_5090_RATES
    print("\nAssumptions of the step model:", *rates.sources, sep="\n- ")
    for choices in (step.TRAINER, step.TINYSCALE):
        print("\n" + step.report(shape, choices, rates, RTX_5090))
    measured = step.PUBLISHED_TOKENS_PER_S
    model = step.tokens_per_s(shape, step.TRAINER, rates)
    print(f"\nPublished for the former: {measured:,} tokens/s measured; the model is {model / measured - 1:+.1%} off.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
