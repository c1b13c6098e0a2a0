"""The workers of several-worker trials: one Ray Train worker group that takes trial after trial, kept warm.

Its processes, their imports (torch, DeepSpeed) and their process group are made once; they cost 10 to 30 s.
"""

import gc
import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import ray
from ray import PlacementGroupID
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.placement_group import PlacementGroup, get_current_placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tinyscale.cluster.desk import Desk
from tinyscale.cluster.folders import scratch_folder
from tinyscale.cluster.network import RaysNetwork
from tinyscale.cluster.output import note_evaluation, redirect_output
from tinyscale.cluster.task import Task
from tinyscale.results.store import StudyStore, TrialFolder

GO_HOME_S = 10.0
"""Longest wait for idle ranks, and for Ray Train around them, to end by themselves."""


class Ranks:
    """A worker group as its supervisor sees it. Ray Train runs in a thread; the trials go over a :class:`Desk`."""

    def __init__(self, task: Task) -> None:
        """Start the group that a task asks for."""
        self._kind = _kind(task)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._desk = ray.remote(num_cpus=0, scheduling_strategy=here)(Desk).remote(task.job.workers)
        self._error: Exception | None = None
        self._number = -1
        self._through: Any = None
        self._thread = threading.Thread(target=self._fit, args=(_trainer(task, self._desk),), daemon=True)
        self._thread.start()

    def _fit(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except Exception as error:  # noqa: BLE001  raised again by wait(), on the supervisor's thread
            traceback.print_exc()
            self._error = error

    @property
    def alive(self) -> bool:
        """False from when Ray Train has given up the group."""
        return self._error is None and self._thread.is_alive()

    def suit(self, task: Task) -> bool:
        """Whether they are alive and of the kind that a task asks for."""
        return self.alive and self._kind == _kind(task)

    def take(self, task: Task) -> None:
        """Begin a task; the one before is over."""
        self._number += 1
        self._desk.lay.remote(task)
        self._through = self._desk.through.remote(self._number)

    def recall(self) -> None:
        """Have the ranks leave their trial at a checkpoint."""
        self._desk.recall.remote(self._number)

    def wait(self, seconds: float) -> bool:
        """Whether all ranks are through with the trial, waiting at most so long for it.

        :raises Exception: as Ray Train does; a rank died or raised, and with it the group.
        """
        if ray.wait([self._through], timeout=seconds)[0]:
            ray.get(self._through)  # raises when the desk was killed
            return True
        if not self.alive:
            raise self._error or RuntimeError("Ray Train has ended the worker group")
        return False

    def dismiss(self, folder: TrialFolder) -> None:
        """End the group, by force if it does not end by itself.

        :param folder: of the trial it had last.
        """
        if self.alive:
            self._desk.lay.remote(None)
            self._thread.join(GO_HOME_S)
        if self.alive:
            release_place(folder)
        ray.kill(self._desk)


def _kind(task: Task) -> object:
    """Trials that are alike in this can share a group."""
    return task.job.workers, task.bundle


def _trainer(task: Task, desk: Any) -> TorchTrainer:
    """Ray Train's trainer for one group; no retries of its own, Tune counts them."""
    return TorchTrainer(
        train_rank,
        train_loop_config={"desk": desk},
        torch_config=RaysNetwork(backend="nccl" if task.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=task.job.workers, use_gpu=bool(task.gpus), resources_per_worker=task.bundle
        ),
        run_config=RunConfig(
            name=f"group-{os.getpid()}-{time.time_ns()}",  # a name used before would restore Train's own state
            storage_path=str(scratch_folder(StudyStore(Path(task.study_folder)))),
            failure_config=FailureConfig(max_failures=0),
        ),
    )


def train_rank(config: dict[str, Any]) -> None:
    """One rank: drain the loop of trial after trial. Every rank trains, rank 0 writes.

    An exception ends the rank, and with it the group; that of a job that cannot run as well, for the other ranks may
    have gone on to wait for this one.
    """
    from tinyscale.train import workers
    from tinyscale.train.loop import train

    desk, number = config["desk"], 0
    while task := ray.get(desk.take.remote(number)):
        folder = TrialFolder(Path(task.job.folder))
        redirect_output(folder.log)
        if workers.rank() == 0:
            note_place(folder)
        for record in train(task.job, _Stop(task, desk.recalled.remote(number))):
            if workers.rank() == 0:
                note_evaluation(record, task.job)
        gc.collect()  # models and optimizers hold each other in circles; the next trial may need their memory
        number += 1


class _Stop:
    """True when the study is stopped, or the trial recalled."""

    def __init__(self, task: Task, recalled: ray.ObjectRef) -> None:
        self._stopped = task.stop()
        self._recalled = recalled

    def __call__(self) -> bool:
        """Whether to leave the trial at a checkpoint; costs no round trip."""
        return self._stopped() or bool(ray.wait([self._recalled], timeout=0)[0])


def note_place(folder: TrialFolder) -> None:
    """Write down which placement group this worker's group occupies."""
    place = get_current_placement_group()
    if place is not None:
        place_note(folder).write_text(place.id.hex(), encoding="utf-8")


def release_place(folder: TrialFolder) -> None:
    """Free what the trial's last group occupied: it stays reserved when Train's controller was killed with SIGKILL."""
    note = place_note(folder)
    if note.exists():
        remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(note.read_text(encoding="utf-8"))))
        note.unlink()


def place_note(folder: TrialFolder) -> Path:
    """The note that rank 0 leaves while its group has the trial."""
    return folder.path / ".placement"
