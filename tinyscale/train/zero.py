"""The DeepSpeed engine: ZeRO stage 1 (Rajbhandari et al. 2020) partitions AdamW's state over the workers.

Weights, gradients and moments are fp32; bf16 is autocast around the forward pass, as in the plain engine, so both
engines and any number of workers compute the same numbers up to rounding and share one checkpoint format.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tinyscale.model.transformer import Transformer
from tinyscale.spec import TrainConfig
from tinyscale.spec.trial import EngineName
from tinyscale.train.device import Device
from tinyscale.train.engine import MOMENTS, Engine, Loss, MicroBatch, StepOutcome, sum_of


@contextmanager
def _lean_import() -> Iterator[None]:
    """Keep DeepSpeed from importing what no trial uses: of 5 CPU seconds until its first step, 3 are that.

    Its autotuner imports mlflow where that is installed, and its Muon decorates functions with torch.compile, which
    loads the whole compiler.
    """
    hide_mlflow, dynamo = "mlflow" not in sys.modules, os.environ.get("TORCHDYNAMO_DISABLE")
    if hide_mlflow:
        sys.modules["mlflow"] = None  # type: ignore[assignment]
    os.environ["TORCHDYNAMO_DISABLE"] = "1"
    try:
        yield
    finally:
        if hide_mlflow:
            del sys.modules["mlflow"]
        del os.environ["TORCHDYNAMO_DISABLE"]
        if dynamo is not None:
            os.environ["TORCHDYNAMO_DISABLE"] = dynamo


if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # read while deepspeed is imported
with _lean_import():
    import deepspeed
    import deepspeed.runtime.zero.muon.original_muon
    from deepspeed.utils import safe_get_full_optimizer_state, safe_set_full_fp32_param, safe_set_full_optimizer_state

# None of DeepSpeed's C++ operations. Otherwise it would try the compiler to find out which it could build, and build
# its shared-memory collectives at first use: half a minute, and a failure where there is no compiler.
deepspeed.ops.__compatible_ops__ = {}


class ZeroEngine(Engine):
    """Takes optimizer steps on a model together with the other workers of the process group.

    :param micro_batches: micro-batches a worker's step.
    :param micro_batch_size: sequences in each.
    """

    name: EngineName = "zero"

    def __init__(
        self,
        model: Transformer,
        config: TrainConfig,
        device: Device,
        loss: Loss | None = None,
        *,
        micro_batches: int,
        micro_batch_size: int,
    ) -> None:
        super().__init__(model, config, device, loss)
        join_process_group()
        settings = {
            "train_micro_batch_size_per_gpu": micro_batch_size,
            "gradient_accumulation_steps": micro_batches,
            "gradient_clipping": config.grad_clip,
            # The optimizer is ours: DeepSpeed's own CPU AdamW is compiled at first use.
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            # Without contiguous gradients there is no hook on every parameter and no bucket to copy gradients into,
            # which is what ZeRO costs on a model of this size.
            "zero_optimization": {"stage": 1, "overlap_comm": False, "contiguous_gradients": False},
        }
        self._deepspeed, *_ = deepspeed.initialize(
            model=_LossModule(model, self.loss, device),
            optimizer=self.optimizer,
            config=settings,
            dist_init_required=False,
        )
        self._make_moments()

    def _make_moments(self) -> None:
        """Start AdamW's state at zero and tie the parameters to it.

        DeepSpeed leaves that to the first step, where it ties all groups after the first group's update, when the
        second group has no state yet: its moments could never be read.
        """
        for group in self.optimizer.param_groups:
            partition = group["params"][0].detach()
            state = {moment: torch.zeros_like(partition) for moment in MOMENTS}
            self.optimizer.state[group["params"][0]] = {"step": torch.zeros((), device=partition.device), **state}
        self._deepspeed.optimizer._lazy_init_hp_params_optimizer_state()

    def step(self, micro_batches: Sequence[MicroBatch], learning_rate: float) -> StepOutcome:
        """See :meth:`Engine.step`; here the mean is over the micro-batches of all workers."""
        self.set_learning_rate(learning_rate)
        losses = []
        for tokens, targets in micro_batches:
            loss = self._deepspeed(tokens, targets)
            losses.append(self._deepspeed.backward(loss).detach())  # returned over the number of micro-batches
            self._deepspeed.step()  # updates after the last micro-batch only
        grad_norm = torch.as_tensor(self._deepspeed.get_global_grad_norm(), device=losses[0].device)
        return StepOutcome(sum_of(losses), grad_norm)

    def moment(self, weight: Tensor, moment: str) -> Tensor:
        """See :meth:`Engine.moment`; gathered from the workers."""
        value: Tensor = safe_get_full_optimizer_state(weight, moment)
        return value

    def load_state(self, state: Mapping[str, Tensor], step: int) -> None:
        """See :meth:`Engine.load_state`; each worker takes its partition."""
        for group in self.optimizer.param_groups:
            self.optimizer.state[group["params"][0]]["step"].fill_(step)
        for name, weight in self.named_parameters.items():
            value = state[f"weight/{name}"]
            weight.data.copy_(value)
            safe_set_full_fp32_param(weight, value)
            for moment in MOMENTS:
                safe_set_full_optimizer_state(weight, state[f"{moment}/{name}"], moment)

    def partition_numel(self) -> int:
        """Elements of one moment that this worker holds."""
        return sum(self.optimizer.state[group["params"][0]]["exp_avg"].numel() for group in self.optimizer.param_groups)

    def close(self) -> None:
        """Unhook the model from DeepSpeed. The process group stays: the next trial of the process uses it."""
        self._deepspeed.destroy()
        del self._deepspeed


def join_process_group() -> None:
    """Make sure there is a process group: a process that nobody has given one becomes a group of its own.

    It needs no port and no file; it lasts as long as the process, so that the next trial finds it.
    """
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
    local_rank = torch.cuda.current_device() if torch.cuda.is_available() else 0
    os.environ.setdefault("LOCAL_RANK", str(local_rank))  # deepspeed insists


class _LossModule(nn.Module):
    """The loss as a module's forward pass, which is what DeepSpeed runs."""

    def __init__(self, model: Transformer, loss: Loss, device: Device) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.device = device

    def forward(self, tokens: Tensor, targets: Tensor) -> Any:
        with self.device.autocast():
            return self.loss(tokens, targets)
