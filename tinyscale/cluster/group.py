"""Trials of several workers: one Ray Train worker group a trial, all ranks draining the same training loop."""

import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune import PlacementGroupFactory, Trainable

from tinyscale.cluster.folders import scratch_folder
from tinyscale.cluster.output import enter_folder, redirect_output
from tinyscale.cluster.task import REPORT_EVERY_S, Report, Task
from tinyscale.cluster.words import first_line
from tinyscale.results.journal import read_journal
from tinyscale.results.state import finished
from tinyscale.results.store import StudyStore, TrialFolder

SUPERVISOR_BYTES = 64 * 2**20
"""What the supervising process asks of Ray: memory and no CPU, so that a trial of N one-core workers fits N cores."""
LINGER_S = 30.0
"""Longest wait for Ray Train to return after the trial's result lies on the disk."""
STOP_WAIT_S = 60.0
"""Longest wait for the ranks to checkpoint when the study is stopped."""


class GroupFailedError(RuntimeError):
    """A rank died or raised, and with it the group; another try may do better."""


class TrialGroup(Trainable):  # type: ignore[misc]  # ray is not typed
    """Supervises the worker group of one trial; what it reports it reads from the trial's journal.

    Ray Train runs in a thread and Tune hears of it from here alone: a trial ends when its result is on the disk, even
    if Train should never return, and the ranks need no reports of their own, each of which would wait for the pace
    of Train's controller.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Only the supervisor; Ray Train places the workers itself."""
        return PlacementGroupFactory([{"memory": SUPERVISOR_BYTES}])

    def setup(self, config: dict[str, Any]) -> None:
        """The first trial of this process: start its worker group."""
        task = Task.from_config(config)
        self._folder = enter_folder(task.job)
        self._offset = self._folder.journal.stat().st_size if self._folder.journal.exists() else 0
        self._result_since: float | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._fit, args=(task,), daemon=True)
        self._thread.start()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial of this process: a new worker group, and no new supervisor."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Wait half a second or for the end, and tell what came into the journal."""
        self._thread.join(timeout=REPORT_EVERY_S)
        over = not self._thread.is_alive() or self._train_lingers()
        if self._error is not None:
            if message := deterministic(self._error):
                return Report(done=True, error=message).to_result()
            raise GroupFailedError(by_rank(self._error)) from self._error
        records, self._offset = read_journal(self._folder.journal, self._offset)
        return Report(done=over, record=records[-1] if records else None).to_result()

    def cleanup(self) -> None:
        """On a stop the ranks see the stop file themselves: give them the time to checkpoint."""
        self._thread.join(timeout=STOP_WAIT_S)

    def _fit(self, task: Task) -> None:
        try:
            trainer(task).fit()
        except Exception as error:  # noqa: BLE001  raised again by step(), on Tune's thread
            traceback.print_exc()
            self._error = error

    def _train_lingers(self) -> bool:
        """Whether the result has been there for long, and Train still has not returned."""
        if finished(self._folder) is None:
            return False
        self._result_since = self._result_since or time.monotonic()
        return time.monotonic() - self._result_since > LINGER_S


def trainer(task: Task) -> TorchTrainer:
    """Ray Train's trainer for one trial; no retries of its own, Tune counts them."""
    job = task.job
    return TorchTrainer(
        train_rank,
        train_loop_config={"trial": task.to_config()},
        torch_config=TorchConfig(backend="nccl" if task.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=job.workers, use_gpu=bool(task.gpus), resources_per_worker=task.bundle
        ),
        run_config=RunConfig(
            name=f"{job.trial.id}-{os.getpid()}-{time.time_ns()}",  # a name used before would restore Train's own state
            storage_path=str(scratch_folder(StudyStore(Path(task.study_folder)))),
            failure_config=FailureConfig(max_failures=0),
        ),
    )


def train_rank(config: dict[str, Any]) -> None:
    """One rank: drain the loop. Every rank trains, rank 0 writes."""
    from tinyscale.train.loop import train

    task = Task.from_config(config)
    redirect_output(TrialFolder(Path(task.job.folder)).log)
    for _ in train(task.job, task.stop()):
        pass


def deterministic(error: Exception) -> str:
    """The message of a rank's ValueError, which another try would only repeat; empty for other errors."""
    failures = error.worker_failures.values() if isinstance(error, WorkerGroupError) else ()
    return next((first_line(e) for e in failures if isinstance(e, ValueError)), "")


def by_rank(error: Exception) -> str:
    """What happened to which rank, in a line; Ray Train's own first line does not say."""
    if not isinstance(error, WorkerGroupError):
        return first_line(error)
    return "; ".join(f"rank {rank}: {first_line(failure)}" for rank, failure in sorted(error.worker_failures.items()))
