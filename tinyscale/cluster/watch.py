"""From Tune's callbacks to the caller's events."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import Callback, Stopper

from tinyscale.cluster.events import (
    Event,
    TrialEnded,
    TrialFailed,
    TrialReported,
    TrialRestarted,
    TrialStarted,
    TrialWaits,
)
from tinyscale.cluster.hang import HangWatch
from tinyscale.cluster.mirrored import arrived
from tinyscale.cluster.stop import Halt
from tinyscale.cluster.task import Report, trial_id
from tinyscale.cluster.words import plain_words
from tinyscale.results.state import finished
from tinyscale.results.store import StudyStore
from tinyscale.spec.study import SchedulerName


class Watcher(Callback):  # type: ignore[misc]  # ray is not typed
    """Tells the caller what happens, on the driver's thread, and keeps what failed."""

    def __init__(
        self, store: StudyStore, on_event: Callable[[Event], None], hang: HangWatch, scheduler: SchedulerName
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._tell = on_event
        self._hang = hang
        self.failed: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks with the experiment, which is never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has the trial."""
        self._hang.started(trial_id(trial.config))
        self._tell(TrialStarted(trial_id(trial.config)))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune has looked for news, some ten times a second."""
        self._hang.look(trials)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Half a second of records, the newest of them."""
        name, report = trial_id(trial.config), Report.from_result(result)
        self._hang.reported(name, report)
        if report.record is not None:
            self._tell(TrialReported(name, report.record, str(result["hostname"]), int(result["pid"])))
        if report.waits:
            self._tell(TrialWaits(name, report.waits))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The worker is through with the trial: it has a result (from ASHA, maybe), cannot succeed, or was stopped."""
        name = trial_id(trial.config)
        if error := Report.from_result(trial.last_result).error:
            self._fail(name, error)
        elif result := finished(arrived(self._store.trial(name)), self._scheduler):
            self._tell(TrialEnded(name, result))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune will start the trial again."""
        self._tell(TrialRestarted(trial_id(trial.config), self._message(trial), trial.num_failures))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has given up."""
        self._fail(trial_id(trial.config), self._message(trial))

    def _message(self, trial: Any) -> str:
        """What ended the trial's worker."""
        return self._hang.words(trial_id(trial.config)) or plain_words(_error(trial))

    def _fail(self, name: str, message: str) -> None:
        self.failed[name] = message
        self._tell(TrialFailed(name, message))


def _error(trial: Any) -> BaseException | None:
    """The newest one, from the driver's own notes: Tune copies them to its storage only now and then."""
    path = trial.pickled_error_file
    return cloudpickle.loads(Path(path).read_bytes()) if path else None


class HaltStopper(Stopper):  # type: ignore[misc]  # ray is not typed
    """Ends the whole experiment when the driver is to halt; Tune asks ten times a second."""

    def __init__(self, halt: Halt) -> None:
        self._halt = halt

    def __getstate__(self) -> dict[str, Any]:
        """As for :class:`Watcher`."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial ends before its time."""
        return False

    def stop_all(self) -> bool:
        """Whether to end now."""
        return self._halt()
