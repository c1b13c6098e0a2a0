"""Compile a recorded launch for a card that need not be there, and read what it takes of one."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tinyscale_kernels._triton import INTERPRETED, triton
from tinyscale_kernels.architecture import Architecture
from tinyscale_kernels.launch import Launch


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What compiler and assembler made of a launch."""

    shared_bytes: int
    registers: int
    """Of a thread."""
    spilled_bytes: int
    """Stores to local memory for want of registers, of a thread."""
    matrix_instruction: str
    """``mma.sync``, ``wgmma`` or nothing."""
    vector_bytes: int
    """Widest access to global memory of one thread."""
    blocks_per_sm: int
    """Blocks that an SM holds at a time."""


def compile_launch(launch: Launch, architecture: Architecture) -> Compiled:
    """Compile and assemble with the tools that Triton brings along; needs no card.

    :raises RuntimeError: the process interprets kernels, or the assembler refuses the code.
    """
    if INTERPRETED:
        raise RuntimeError("this process interprets kernels; compile in one that is started without TRITON_INTERPRET")
    row, constants = launch.row, {**launch.constants, **launch.row.blocks}
    arguments = iter(launch.arguments)
    signature, constexprs, attributes = {}, {}, {}
    for index, name in enumerate(launch.kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
            constexprs[(index,)] = constants[name]
            continue
        value = next(arguments)
        signature[name] = _type(value)
        if signature[name] == "constexpr":
            constexprs[(index,)] = value
        elif isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0):
            attributes[(index,)] = [["tt.divisibility", 16]]  # without it there are no vector loads
    source = triton.compiler.ASTSource(fn=launch.kernel, signature=signature, constexprs=constexprs, attrs=attributes)
    target = triton.backends.compiler.GPUTarget("cuda", architecture.capability, 32)
    built = triton.compile(source, target=target, options={"num_warps": row.num_warps, "num_stages": row.num_stages})
    ptx = built.asm["ptx"]
    registers, spilled = _assemble(ptx, architecture)
    return Compiled(
        shared_bytes=built.metadata.shared,
        registers=registers,
        spilled_bytes=spilled,
        matrix_instruction="wgmma" if "wgmma.mma_async" in ptx else "mma.sync" if "mma.sync" in ptx else "",
        vector_bytes=_widest_access(ptx),
        blocks_per_sm=architecture.blocks_per_sm(
            shared_bytes=built.metadata.shared, registers=registers, num_warps=row.num_warps
        ),
    )


def _type(value: Any) -> str:
    """Triton's type of an argument; as at a real launch, an integer that is 1 and None are constants."""
    if isinstance(value, torch.Tensor):
        names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32"}
        return "*" + names[value.dtype]
    if value is None or value is True or value is False or (value == 1 and isinstance(value, int)):
        return "constexpr"
    if isinstance(value, float):
        return "fp32"
    return "i32" if -(2**31) <= value < 2**31 else "i64"


def _assemble(ptx: str, architecture: Architecture) -> tuple[int, int]:
    """Registers a thread and bytes spilled, as the assembler reports them."""
    knobs = triton.knobs.nvidia
    assembler = knobs.ptxas_blackwell if architecture.capability >= 100 else knobs.ptxas
    with TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        suffix = "a" if architecture.capability >= 90 else ""
        command = [assembler.path, "-v", f"--gpu-name=sm_{architecture.capability}{suffix}", str(source)]
        done = subprocess.run([*command, "-o", f"{folder}/kernel.cubin"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    registers = re.search(r"Used (\d+) registers", done.stderr)
    spilled = re.search(r"(\d+) bytes spill stores", done.stderr)
    if not registers or not spilled:
        raise RuntimeError(f"{' '.join(command)} reported no registers or spills:\n{done.stderr}")
    return int(registers[1]), int(spilled[1])


def _widest_access(ptx: str) -> int:
    """Bytes of the widest load or asynchronous copy from global memory by one thread."""
    loads = re.findall(r"ld\.global(?:\.[a-zA-Z:]\w*)*?(?:\.v(\d))?\.[bfsu](\d+)", ptx)
    copies = re.findall(r"cp\.async\.c[ag]\.shared\.global \[[^]]*\], \[[^]]*\], (0x[0-9a-f]+|\d+)", ptx)
    return max([int(count or 1) * int(bits) // 8 for count, bits in loads] + [int(size, 0) for size in copies] + [0])
