"""Trials of one worker: a process that takes trial after trial and keeps its imports warm."""

import gc
import time
import traceback
from typing import Any

from ray.tune import PlacementGroupFactory, Trainable

from tinyscale.cluster.output import enter_folder
from tinyscale.cluster.task import REPORT_EVERY_S, Report, Task
from tinyscale.cluster.words import first_line
from tinyscale.spec import Record
from tinyscale.train.loop import train


class TrialWorker(Trainable):  # type: ignore[misc]  # ray is not typed
    """Tune's class trainable around :func:`tinyscale.train.loop.train`.

    With ``reuse_actors`` Tune hands it the next trial through :meth:`reset_config`, in the same process. Tune's own
    checkpoints are not used: the loop resumes from the trial's folder, wherever it starts again.
    """

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
        self._begin(task)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial of this process."""
        self.cleanup()
        self._begin(Task.from_config(new_config))
        return True

    def step(self) -> dict[str, Any]:
        """Pull records for half a second, and at least one."""
        try:
            return self._pull().to_result()
        except ValueError as error:
            # The study's fault and not the machine's: it would come again. As a result, for a raised one is retried.
            traceback.print_exc()
            return Report(done=True, error=first_line(error)).to_result()
        except Exception:
            traceback.print_exc()
            raise

    def cleanup(self) -> None:
        """Leave the trial; before its end, the loop is told to stop and checkpoints the step it is at."""
        self._stop.set()
        for _ in self._records:
            pass
        gc.collect()  # models and optimizers hold each other in circles; the next trial may need their memory

    def _begin(self, task: Task) -> None:
        enter_folder(task.job)
        self._stop = task.stop()
        self._records = train(task.job, self._stop)

    def _pull(self) -> Report:
        until = time.monotonic() + REPORT_EVERY_S
        last: Record | None = None
        for last in self._records:
            if time.monotonic() >= until:
                return Report(done=False, record=last)
        return Report(done=True, record=last)
