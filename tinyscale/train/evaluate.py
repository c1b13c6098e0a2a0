"""Loss on the fixed validation slice."""

import math
from dataclasses import dataclass

import torch

from tinyscale.data.loader import EvalSlice
from tinyscale.model.transformer import Transformer
from tinyscale.train.device import Device
from tinyscale.train.workers import rank, sum_over_workers, world_size


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts the slice."""

    loss: float
    """Mean cross-entropy (nats per token)."""
    bpb: float
    """Bits per byte of the original text: total nats / (ln 2 * total bytes)."""


@torch.no_grad()
def evaluate(model: Transformer, validation: EvalSlice, device: Device) -> Evaluation:
    """Evaluate on every target of the slice once. The workers share the batches; all get the same numbers.

    Sums are fp64, so that the number of workers does not show.
    """
    nats = torch.zeros((), dtype=torch.float64, device=device.torch_device)
    model.eval()
    for index in range(rank(), len(validation.inputs), world_size()):
        inputs = torch.from_numpy(validation.inputs[index]).to(device.torch_device)
        targets = torch.from_numpy(validation.targets[index]).to(device.torch_device)
        with device.autocast():
            nats += model.loss(inputs, targets, reduction="none").sum(dtype=torch.float64)
    model.train()
    total = float(sum_over_workers(nats).item())
    return Evaluation(total / validation.total_tokens, total / (math.log(2) * validation.total_bytes))
