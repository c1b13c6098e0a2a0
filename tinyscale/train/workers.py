"""The processes that share a trial: what they must agree on. With one process nothing is sent."""

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def rank() -> int:
    """Number of this process, 0 .. world_size() - 1; 0 writes the trial's files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Processes that train this trial."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_workers(values: Tensor) -> Tensor:
    """Element-wise sum, in place, the same on every worker."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def max_over_workers(number: int, device: torch.device) -> int:
    """The largest of the workers' numbers."""
    if world_size() == 1:
        return number
    value = torch.tensor(number, dtype=torch.int64, device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return int(value.item())


def from_first(value: T) -> T:
    """What worker 0 holds."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
