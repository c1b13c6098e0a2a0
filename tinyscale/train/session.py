"""One life of a trial: what is in memory from a start or a resume to the end or a kill."""

import hashlib
import time
from pathlib import Path

import torch

from tinyscale.accounting import device_peak, flops_per_token, training_flops
from tinyscale.data.loader import Loader, evaluation_batches
from tinyscale.data.shards import Shards
from tinyscale.model.kernels import kernels_in_use
from tinyscale.model.transformer import Transformer
from tinyscale.results.store import TrialFolder
from tinyscale.spec import Job, Record
from tinyscale.train import workers
from tinyscale.train.checkpoint import (
    BrokenCheckpointError,
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from tinyscale.train.clock import StepClock
from tinyscale.train.compiling import CompiledLoss, compiles, forget_compiled
from tinyscale.train.device import Device, pick_device
from tinyscale.train.engine import Engine, Loss, MicroBatch
from tinyscale.train.evaluate import Evaluation, evaluate
from tinyscale.train.monitor import LossMonitor
from tinyscale.train.schedule import learning_rate


class Session:
    """Model, engine, data and counters of a trial, resumed from its newest checkpoint.

    Every worker has one; the methods that all workers must call together say so.

    :raises ValueError: the job cannot run with this number of workers, or the checkpoint is another trial's.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.trial = job.trial
        self.folder = TrialFolder(Path(job.folder))
        model_config, train_config = job.trial.model, job.trial.train
        self.micro_batch_size = _micro_batch_size(job)
        torch.set_num_threads(job.threads)
        self.device = pick_device(train_config.precision, model_config.hidden_size)
        self.device.make_deterministic()
        self.kernels = kernels_in_use(train_config.kernels, self.device.torch_device)
        self.model = Transformer(model_config, train_config.kernels)
        self.model.init_weights(train_config.seed)
        self.model.to(self.device.torch_device).train()
        if not Path(job.tokenizer).is_file():  # the finished model needs it: say so now and not then
            raise ValueError(f"no tokenizer at {job.tokenizer}; `tinyscale prepare` makes it")
        self.shards = Shards.open(Path(job.shards))
        if self.shards.vocab_size > model_config.vocab_size:
            raise ValueError(
                f"the shards hold {self.shards.vocab_size} kinds of tokens, but vocab_size={model_config.vocab_size}; "
                "prepare shards with the model's tokenizer"
            )
        self.loader = Loader(
            self.shards.train,
            batch_size=train_config.batch_size,
            context_length=model_config.context_length,
            seed=train_config.seed,
        )
        self.validation = evaluation_batches(
            self.shards.valid,
            max_bytes=train_config.eval_bytes,
            batch_size=train_config.micro_batch_size or train_config.batch_size,
            context_length=model_config.context_length,
            end_of_text=self.shards.end_of_text,
        )
        self.peak = device_peak(self.device.name, self.device.precision)
        compiled = compiles(job.trial, self.device, job.threads)
        self.compiled_loss = CompiledLoss(self.model, insist=train_config.compile is True) if compiled else None
        self.engine = make_engine(job, self.model, self.device, self.micro_batch_size, self.compiled_loss)
        self.evaluations: dict[int, Evaluation] = {}
        """Of each line that has ended, by its last step."""
        self.step = 0
        """Optimizer steps of the trial taken."""
        self.line = job.trial.lines[0]
        self.line_step = 0
        """Step of the line: optimizer steps that the model has behind it."""
        self.saved_step = 0
        """Step of the newest checkpoint."""
        self.started_s = time.time()
        self.monitor = LossMonitor()
        self.clock = StepClock()
        self._resume()

    def _resume(self) -> None:
        newest = newest_checkpoint(self.folder.checkpoints) if workers.rank() == 0 else None
        step = workers.from_first(newest.step if newest else 0)
        if step == 0:
            return
        checkpoint = newest or load_checkpoint(self.folder.checkpoints, step)
        if checkpoint.trial_id != self.trial.id:
            raise ValueError(
                f"{self.folder.checkpoints} holds checkpoints of trial {checkpoint.trial_id}, not of {self.trial.id}; "
                "give each trial a folder of its own"
            )
        self.step = self.saved_step = step
        self.line = next(line for line in self.trial.lines if step <= line.trial_step(line.end))
        self.line_step = self.line.start + step - self.line.taken
        self.engine.load_state(checkpoint.tensors, self.line_step)
        self.evaluations = {end: Evaluation(*numbers) for end, *numbers in checkpoint.loop["evaluations"]}
        self.started_s = checkpoint.loop["started_s"]
        self.monitor = LossMonitor(checkpoint.loop["monitor"])
        self.clock = StepClock(checkpoint.loop["train_s"])

    @property
    def fork(self) -> int | None:
        """Step of the trial to whose state the next line goes back; None on the last line."""
        return None if self.line == self.trial.lines[-1] else self.line.trial_step(self.line.fork)

    @property
    def at_end_of_line(self) -> bool:
        """A token budget is spent, and a point is due."""
        return self.line_step == self.line.end

    def _back_to_the_fork(self) -> None:
        """Begin the next line of the trunk, with the state that this one had where its cooldown began."""
        assert self.fork is not None  # a trial ends where its last line does
        try:
            checkpoint = load_checkpoint(self.folder.checkpoints, self.fork)
        except BrokenCheckpointError as error:
            raise BrokenCheckpointError(
                f"{error}; the trunk goes on from there: remove {self.folder.checkpoints} to train it from its start"
            ) from error
        self.line = self.trial.lines[self.trial.lines.index(self.line) + 1]
        self.line_step = self.line.start
        self.engine.load_state(checkpoint.tensors, self.line_step)
        self.monitor = LossMonitor(checkpoint.loop["monitor"])

    def advance(self) -> None:
        """Take the next step. All workers together.

        :raises BrokenCheckpointError: the fork to go back to was damaged after it was written.
        """
        if self.at_end_of_line:
            self._back_to_the_fork()
        self.clock.count(self.trial.batch_tokens)
        if self.trial.model.dropout > 0:
            torch.manual_seed(dropout_seed(self.trial.train.seed, self.line_step, workers.rank()))
        rate = learning_rate(self.trial.train, self.line_step, self.line.end)
        self.monitor.add(self.engine.step(self._micro_batches(), rate))
        self.line_step += 1
        self.step += 1

    def _micro_batches(self) -> list[MicroBatch]:
        """This worker's share of the step's batch."""
        share = self.trial.train.batch_size // workers.world_size()
        mine = slice(workers.rank() * share, (workers.rank() + 1) * share)
        device, size = self.device.torch_device, self.micro_batch_size
        tokens, targets = (torch.from_numpy(rows[mine]).to(device) for rows in self.loader.batch(self.line_step))
        return list(zip(torch.split(tokens, size), torch.split(targets, size), strict=True))

    def settle(self) -> None:
        """Read what the last steps measured and stop the clock. All workers together.

        :raises DivergedError: training blew up.
        """
        self.monitor.read()
        self.clock.pause()

    def record(self, *, with_evaluation: bool) -> Record:
        """What the steps since the last record measured; call :meth:`settle` first. All workers together."""
        loss, grad_norm = self.monitor.take_means()
        speed = self.clock.take_speed()
        tokens = self.line_step * self.trial.batch_tokens
        metrics = {
            "train/loss": loss,
            "train/grad_norm": grad_norm,
            "train/learning_rate": learning_rate(self.trial.train, self.line_step - 1, self.line.end),
            "train/tokens": float(tokens),
            "train/flops": training_flops(self.trial.model, self.step * self.trial.batch_tokens),
            "speed/tokens_per_s": speed,
            "memory/peak_bytes": float(self.device.peak_memory_bytes()),
        }
        if self.peak:
            metrics["speed/mfu"] = self.utilisation(speed, self.peak[0])
        if with_evaluation:
            evaluation = evaluate(self.model, self.validation, self.device)
            metrics |= {"eval/loss": evaluation.loss, "eval/bpb": evaluation.bpb}
            if self.at_end_of_line:
                self.evaluations[self.line_step] = evaluation
        return Record(step=self.step, tokens=tokens, time_s=time.time(), metrics=metrics)

    def utilisation(self, tokens_per_s: float, peak_flops: float) -> float:
        """MFU: FLOP/s that the model needs, over the peak of all workers' devices (Chowdhery et al. 2022)."""
        return tokens_per_s * flops_per_token(self.trial.model) / (peak_flops * workers.world_size())

    def save_checkpoint(self) -> None:
        """Write the state; call :meth:`settle` first. All workers together."""
        tensors = self.engine.state()
        if workers.rank() == 0:
            loop = {
                "monitor": self.monitor.state(),
                "train_s": self.clock.train_s,
                "started_s": self.started_s,
                "evaluations": [(end, found.loss, found.bpb) for end, found in self.evaluations.items()],
            }
            checkpoint = Checkpoint(trial_id=self.trial.id, step=self.step, tensors=tensors, loop=loop)
            save_checkpoint(self.folder.checkpoints, checkpoint, fork=self.fork)
        self.saved_step = self.step

    def close(self) -> None:
        """Let go of the engine, and of the code that was compiled for it."""
        self.engine.close()
        if self.compiled_loss:
            forget_compiled()


def make_engine(
    job: Job, model: Transformer, device: Device, micro_batch_size: int, loss: Loss | None = None
) -> Engine:
    """The engine a job asks for; DeepSpeed is imported only here, and only for ``zero``.

    :param loss: the model's own, compiled; None: as it is.
    :raises ValueError: ``torch`` with several workers, or ``zero`` without DeepSpeed.
    """
    if job.engine == "torch":
        if workers.world_size() > 1:
            raise ValueError(
                f"engine=torch trains with one worker, not {workers.world_size()}; use engine=zero or set workers to 1"
            )
        return Engine(model, job.trial.train, device, loss)
    try:
        from tinyscale.train.zero import ZeroEngine
    except ModuleNotFoundError as error:
        if error.name != "deepspeed":
            raise
        raise ValueError("engine=zero needs DeepSpeed, which is not installed here; use engine=torch") from error
    micro_batches = job.trial.train.batch_size // workers.world_size() // micro_batch_size
    return ZeroEngine(
        model, job.trial.train, device, loss, micro_batches=micro_batches, micro_batch_size=micro_batch_size
    )


def _micro_batch_size(job: Job) -> int:
    """Sequences a forward pass.

    :raises ValueError: the batch does not come out even.
    """
    world, config = workers.world_size(), job.trial.train
    if job.workers != world:
        raise ValueError(
            f"the job asks for {job.workers} workers, but {world} are running; "
            f"start it with torchrun --nproc-per-node {job.workers}, or set workers to {world}"
        )
    if config.batch_size % world:
        raise ValueError(f"batch_size={config.batch_size} is no multiple of the {world} workers; change one of the two")
    share = config.batch_size // world
    size = config.micro_batch_size or share
    if share % size:
        raise ValueError(
            f"micro_batch_size={size} does not divide a worker's share of the batch, {share} sequences "
            f"(batch_size={config.batch_size} over {world} workers)"
        )
    return size


def dropout_seed(seed: int, step: int, rank: int) -> int:
    """Seed of a worker's dropout in a step: no state of a generator has to outlive a kill."""
    return int.from_bytes(hashlib.sha256(f"dropout {seed} {step} {rank}".encode()).digest()[:8], "big", signed=True)
