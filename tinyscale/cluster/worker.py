"""Trials of one worker: a process that takes trial after trial and keeps its imports warm."""

import gc
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

from ray.tune import PlacementGroupFactory, Trainable

from tinyscale.cluster.output import note_evaluation
from tinyscale.cluster.patience import Patience, storage_trouble
from tinyscale.cluster.preemption import PreemptedError
from tinyscale.cluster.task import REPORT_EVERY_S, Report, Task
from tinyscale.cluster.words import first_line
from tinyscale.cluster.workplace import workplace
from tinyscale.spec import Record
from tinyscale.train.loop import train


class TrialWorker(Trainable):  # type: ignore[misc]  # ray is not typed
    """Tune's class trainable around :func:`tinyscale.train.loop.train`.

    With ``reuse_actors`` Tune hands it the next trial through :meth:`reset_config`, in the same process. Tune's own
    checkpoints are not used: the loop resumes from the trial's folder, wherever it starts again.
    """

    _records: Iterator[Record] | None
    """Of the trial under way; None before its beginning and after its end."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Tune keeps idle workers by this request, so a trial gets a worker of its size."""
        return PlacementGroupFactory([Task.from_config(config).bundle])

    def setup(self, config: dict[str, Any]) -> None:
        """The first trial of this process, after the imports, so that a trial counts as started when it can step."""
        task = Task.from_config(config)
        if task.job.engine == "zero":
            import tinyscale.train.zero  # noqa: F401  DeepSpeed, 2 s
        gc.collect()
        gc.freeze()  # what the imports made stays: looking through it again costs 0.3 s a trial
        self._told_to_go = False
        self._rays_own: Any = signal.signal(signal.SIGTERM, self._on_sigterm)
        self._take(task)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial of this process."""
        self.cleanup()
        self._take(Task.from_config(new_config))
        return True

    def step(self) -> dict[str, Any]:
        """Pull records for half a second, and at least one."""
        self._patience.rest(self._stop)
        try:
            return self._pull().to_result()
        except Exception as error:
            self._records = None
            if trouble := storage_trouble(error, self._place.trials):
                return Report(done=self._stop(), waits=self._patience.wait_for(trouble)).to_result()
            traceback.print_exc()
            self._place.leave()
            if isinstance(error, ValueError):
                # The study's fault and not the machine's: it would come again. A raised one is retried, a result not.
                return Report(done=True, error=first_line(error)).to_result()
            raise

    def cleanup(self) -> None:
        """Leave the trial; before its end, the loop is told to stop and checkpoints the step it is at."""
        self._stop.set()
        for _ in self._records or ():
            pass
        self._records = None
        self._place.leave()
        gc.collect()  # models and optimizers hold each other in circles; the next trial may need their memory

    def _take(self, task: Task) -> None:
        self._job, self._place = task.job, workplace(task)
        self._stop = task.stop()
        self._patience = Patience()
        self._records = None

    def _pull(self) -> Report:
        if self._records is None:
            self._records = train(self._place.enter(), self._stop)
        report = self._advance(self._records)
        if trouble := self._place.send(all_of_it=report.done):
            if report.done:  # nothing is left to do but to wait; else it trains on
                self._patience.wait_for(trouble)
            return replace(report, done=report.done and self._stop(), waits=trouble)
        if report.done and self._told_to_go:
            raise PreemptedError
        return report

    def _advance(self, records: Iterator[Record]) -> Report:
        until = time.monotonic() + REPORT_EVERY_S
        last: Record | None = None
        for last in records:
            note_evaluation(last, self._job)
            self._patience.reset()
            if time.monotonic() >= until:
                return Report(done=False, record=last)
        self._records = None
        return Report(done=True, record=last)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        """The machine is wanted for something else: checkpoint first. Without a trial, or told twice: go at once."""
        if self._records is None or self._told_to_go:
            self._rays_own(number, frame)
        self._told_to_go = True
        self._stop.set()
