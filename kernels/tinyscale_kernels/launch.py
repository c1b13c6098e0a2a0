"""Rows of the launch tables, and the one way to launch a kernel."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One frozen launch configuration."""

    blocks: Mapping[str, int]
    """Block sizes by the names of the kernel's constants, such as BLOCK_M."""
    num_warps: int
    num_stages: int
    """Depth of the software pipeline of loads."""
    why: str
    """What this row was chosen for: a measurement, or what the compiler said."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A launch that was written down instead of made."""

    kernel: Any
    """The ``triton.jit`` function."""
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    """Tensors and numbers, in the order of the kernel's parameters."""
    constants: Mapping[str, Any]
    """Compile-time parameters, but for the row's blocks."""
    row: Row


@dataclass
class Recording:
    """Launches of one architecture's rows, written down where there is no card."""

    architecture: str
    launches: list[Launch] = field(default_factory=list)


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


def current_recording() -> Recording | None:
    """The recording that launches go to, if any."""
    return _recording.get()


@contextmanager
def record(architecture: str) -> Iterator[Recording]:
    """Write launches down instead of making them, with the rows of ``architecture``; what ops return is not computed.

    So what is compiled ahead of time for a card that is not here is what would be launched there.
    """
    recording = Recording(architecture)
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)


def launch(kernel: Any, grid: tuple[int, ...], row: Row, *arguments: Any, **constants: Any) -> None:
    """Launch ``kernel`` on ``grid`` with the blocks, warps and stages of ``row``; an empty grid launches nothing."""
    if not all(grid):
        return
    recording = _recording.get()
    if recording is not None:
        recording.launches.append(Launch(kernel=kernel, grid=grid, arguments=arguments, constants=constants, row=row))
        return
    kernel[grid](*arguments, **constants, **row.blocks, num_warps=row.num_warps, num_stages=row.num_stages)
