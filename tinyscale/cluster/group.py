"""Trials of several workers: one Ray Train worker group a trial, all ranks draining the same training loop."""

import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from ray import PlacementGroupID
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune import PlacementGroupFactory, Trainable
from ray.util.placement_group import PlacementGroup, get_current_placement_group, remove_placement_group

from tinyscale.cluster.folders import scratch_folder
from tinyscale.cluster.output import enter_folder, redirect_output
from tinyscale.cluster.patience import Patience, storage_trouble
from tinyscale.cluster.preemption import PreemptedError, preempted
from tinyscale.cluster.task import REPORT_EVERY_S, Report, Task
from tinyscale.cluster.words import first_line
from tinyscale.results.journal import read_journal
from tinyscale.results.state import finished
from tinyscale.results.store import StudyStore, TrialFolder

SUPERVISOR = {"memory": 64 * 2**20, "node:__internal_head__": 0.001}
"""What the supervising process asks of Ray: no CPU, so that a trial of N one-core workers fits N cores; and a place on
the head, for what Ray Train ties to the node of its caller must not be lost with a worker's."""
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

    _thread: threading.Thread | None
    """Runs Ray Train; None while the trial has no worker group."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Only the supervisor; Ray Train places the workers itself."""
        return PlacementGroupFactory([SUPERVISOR])

    def setup(self, config: dict[str, Any]) -> None:
        """The first trial of this process."""
        self._task = Task.from_config(config)
        self._folder = TrialFolder(Path(self._task.job.folder))
        self._stop = self._task.stop()
        self._patience = Patience()
        self._thread = None
        self._error: Exception | None = None
        self._offset = 0
        self._result_since: float | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial of this process: a new worker group, and no new supervisor."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Wait half a second or for the end, and tell what came into the journal."""
        self._patience.rest(self._stop)
        try:
            return self._look().to_result()
        except Exception as error:
            if self._error is not None:
                self._thread, self._error = None, None  # the group is gone
            if trouble := storage_trouble(error, self._task.trials):
                return Report(done=self._stop(), waits=self._patience.wait_for(trouble)).to_result()
            if preempted(error):
                raise PreemptedError from error
            if message := deterministic(error):
                return Report(done=True, error=message).to_result()
            raise GroupFailedError(by_rank(error)) from error

    def cleanup(self) -> None:
        """On a stop the ranks see the stop file themselves: give them the time to checkpoint."""
        if self._thread is not None:
            self._thread.join(timeout=STOP_WAIT_S)

    def _look(self) -> Report:
        thread = self._thread = self._thread or self._start()
        thread.join(timeout=REPORT_EVERY_S)
        over = not thread.is_alive() or self._train_lingers()
        if self._error is not None:
            raise self._error
        records, self._offset = read_journal(self._folder.journal, self._offset)
        if records:
            self._patience.reset()
        return Report(done=over, record=records[-1] if records else None)

    def _start(self) -> threading.Thread:
        """Start the trial's worker group."""
        enter_folder(self._task.job)
        release_place(self._folder)
        self._offset = self._folder.journal.stat().st_size if self._folder.journal.exists() else 0
        self._result_since = None
        thread = threading.Thread(target=self._fit, daemon=True)
        thread.start()
        return thread

    def _fit(self) -> None:
        try:
            trainer(self._task).fit()
            _place_note(self._folder).unlink(missing_ok=True)
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
    from tinyscale.train import workers
    from tinyscale.train.loop import train

    task = Task.from_config(config)
    folder = TrialFolder(Path(task.job.folder))
    redirect_output(folder.log)
    if workers.rank() == 0:
        note_place(folder)
    for _ in train(task.job, task.stop()):
        pass


def note_place(folder: TrialFolder) -> None:
    """Write down which placement group this worker's group occupies."""
    place = get_current_placement_group()
    if place is not None:
        _place_note(folder).write_text(place.id.hex(), encoding="utf-8")


def release_place(folder: TrialFolder) -> None:
    """Free what the trial's last group occupied: it stays reserved when Train's controller was killed with SIGKILL."""
    note = _place_note(folder)
    if note.exists():
        remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(note.read_text(encoding="utf-8"))))
        note.unlink()


def _place_note(folder: TrialFolder) -> Path:
    return folder.path / ".placement"


def deterministic(error: Exception) -> str:
    """The message of a rank's ValueError, which another try would only repeat; empty for other errors."""
    failures = error.worker_failures.values() if isinstance(error, WorkerGroupError) else ()
    return next((first_line(e) for e in failures if isinstance(e, ValueError)), "")


def by_rank(error: Exception) -> str:
    """What happened to which rank, in a line; Ray Train's own first line does not say."""
    if not isinstance(error, WorkerGroupError):
        return first_line(error)
    return "; ".join(f"rank {rank}: {first_line(failure)}" for rank, failure in sorted(error.worker_failures.items()))
