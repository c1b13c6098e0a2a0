"""Trials of several workers: Tune's class trainable around a group of ranks that all drain the same training loop."""

import time
import traceback
from pathlib import Path
from typing import Any

from ray.train import WorkerGroupError
from ray.tune import PlacementGroupFactory, Trainable

from tinyscale.cluster.output import enter_folder
from tinyscale.cluster.patience import Patience, storage_trouble
from tinyscale.cluster.preemption import PreemptedError, preempted
from tinyscale.cluster.ranks import Ranks, place_note, release_place
from tinyscale.cluster.task import REPORT_EVERY_S, Report, Task
from tinyscale.cluster.words import first_line
from tinyscale.results.journal import read_journal
from tinyscale.results.state import finished
from tinyscale.results.store import TrialFolder

SUPERVISOR = {"memory": 64 * 2**20, "node:__internal_head__": 0.001}
"""What the supervising process asks of Ray: no CPU, so that a trial of N one-core workers fits N cores; and a place on
the head, for what Ray Train ties to the node of its caller must not be lost with a worker's."""
LINGER_S = 30.0
"""Longest wait for the ranks to be through after the trial's result lies on the disk."""
STOP_WAIT_S = 60.0
"""Longest wait for the ranks to checkpoint when they are told to leave their trial."""


class GroupFailedError(RuntimeError):
    """A rank died or raised, and with it the group; another try may do better."""


class TrialGroup(Trainable):  # type: ignore[misc]  # ray is not typed
    """Supervises the ranks of one trial after another; what it reports it reads from the trial's journal.

    With ``reuse_actors`` Tune hands it the next trial through :meth:`reset_config`, and it hands it on to the same
    ranks. A group in which a rank died or raised is gone; the next try, in another supervisor, starts a new one.

    Tune hears of the trial from here alone: it ends when its result is on the disk, even if the ranks should hang
    after that, and they need no reports of their own, each of which would wait for the pace of Train's controller.
    """

    _ranks: Ranks | None
    """None before the first trial, and after a group is gone."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Only the supervisor; Ray Train places the workers itself."""
        return PlacementGroupFactory([SUPERVISOR])

    def setup(self, config: dict[str, Any]) -> None:
        """The first trial of this process."""
        self._ranks = None
        self._take(Task.from_config(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial of this process, for the same ranks if they are of its kind."""
        self._leave()
        self._take(Task.from_config(new_config))
        return True

    def step(self) -> dict[str, Any]:
        """Wait half a second or for the end, and tell what came into the journal."""
        self._patience.rest(self._stop)
        try:
            return self._look().to_result()
        except Exception as error:
            if self._ranks is not None and not self._ranks.alive:
                self._dismiss()
            if trouble := storage_trouble(error, self._task.trials):
                return Report(done=self._stop(), waits=self._patience.wait_for(trouble)).to_result()
            if preempted(error):
                raise PreemptedError from error
            if message := deterministic(error):
                return Report(done=True, error=message).to_result()
            raise GroupFailedError(by_rank(error)) from error

    def cleanup(self) -> None:
        """Leave the trial, and send the ranks home."""
        self._leave()
        self._dismiss()

    def _take(self, task: Task) -> None:
        self._task = task
        self._folder = TrialFolder(Path(task.job.folder))
        self._stop = task.stop()
        self._patience = Patience()
        self._with_ranks = False
        self._offset = 0
        self._result_since: float | None = None

    def _look(self) -> Report:
        ranks = self._hand_over()
        over = ranks.wait(REPORT_EVERY_S)
        records, self._offset = read_journal(self._folder.journal, self._offset)
        if records:
            self._patience.reset()
        if over:
            self._take_back()
        elif self._linger():
            self._dismiss()
            over = True
        return Report(done=over, record=records[-1] if records else None)

    def _hand_over(self) -> Ranks:
        """The ranks, and see to it that they have the trial."""
        if self._ranks is not None and self._with_ranks:
            return self._ranks
        enter_folder(self._task.job)
        release_place(self._folder)
        self._offset = self._folder.journal.stat().st_size if self._folder.journal.exists() else 0
        if self._ranks is not None and not self._ranks.suit(self._task):
            self._dismiss()
        self._ranks = self._ranks or Ranks(self._task)
        self._ranks.take(self._task)
        self._with_ranks = True
        return self._ranks

    def _linger(self) -> bool:
        """Whether the result has been there for long, and still the ranks are not through."""
        if finished(self._folder) is None:
            return False
        self._result_since = self._result_since or time.monotonic()
        return time.monotonic() - self._result_since > LINGER_S

    def _take_back(self) -> None:
        """The ranks are through with the trial, and wait for the next one."""
        self._with_ranks = False
        place_note(self._folder).unlink(missing_ok=True)

    def _leave(self) -> None:
        """Before the trial's end (a stop, a scheduler's word): the ranks checkpoint; a group that cannot is gone."""
        if self._ranks is None or not self._with_ranks:
            return
        self._ranks.recall()
        until = time.monotonic() + STOP_WAIT_S
        try:
            while self._with_ranks and time.monotonic() < until:
                if self._ranks.wait(REPORT_EVERY_S):
                    self._take_back()
        except Exception:  # noqa: BLE001  the trial is left in any case, and its next start finds its last checkpoint
            traceback.print_exc()
        if self._with_ranks:
            self._dismiss()

    def _dismiss(self) -> None:
        """End the group, whatever it does."""
        ranks, self._ranks, self._with_ranks = self._ranks, None, False
        if ranks is not None:
            ranks.dismiss(self._folder)


def deterministic(error: Exception) -> str:
    """The message of a rank's ValueError, which another try would only repeat; empty for other errors."""
    failures = error.worker_failures.values() if isinstance(error, WorkerGroupError) else ()
    return next((first_line(e) for e in failures if isinstance(e, ValueError)), "")


def by_rank(error: Exception) -> str:
    """What happened to which rank, in a line; Ray Train's own first line does not say."""
    if not isinstance(error, WorkerGroupError):
        return first_line(error)
    return "; ".join(f"rank {rank}: {first_line(failure)}" for rank, failure in sorted(error.worker_failures.items()))
