"""Learning rates that fall behind are stopped early: Tune's ASHA, one for each cell of trials that differ by it alone.

Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"): at rungs of
1, 3, 9, ... times the first one's steps an arm goes on if its loss is within the best third of those that reached the
rung before it, and is stopped otherwise. Nobody waits for anybody, so which arms are stopped depends on the order in
which they arrive: on the machine's mood, on how many run at once, and on kills.

What does not depend on it: an arm that is not stopped computes the same bits as without ASHA, so each point of a law is
a whole run's; the first arm at a rung passes it; the last arm that is neither stopped nor diverged is never stopped,
and where it diverges another is taken back (:mod:`tinyscale.cluster.survivors`). So each cell yields a point unless all
its arms diverge. What is not guaranteed: that this is the rate which would have been best at the end. A rate that
learns slowly at first and wins late can be stopped; ``scheduler: fifo`` runs those that were on to their ends.
"""

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from tinyscale.cluster.task import trial_id
from tinyscale.plan.arms import first_rung, rate_arms
from tinyscale.results.journal import read_journal
from tinyscale.results.state import finished
from tinyscale.results.store import StudyStore
from tinyscale.spec import Record, Trial, TrialResult, read_json, write_json

REDUCTION = 3
"""One in so many goes on; rungs lie this factor apart. Li et al. use 3 and 4; few rates are tried, so the mild one."""


class Cell:
    """The arms of one cell, their journals, and what ASHA has made of them."""

    def __init__(self, store: StudyStore, arms: Sequence[Trial]) -> None:
        self.arms = {trial.id: trial for trial in arms}
        self._stops: dict[str, str] = {}
        self._step = dict.fromkeys(self.arms, 0)
        """Newest of each arm."""
        self._store = store
        self._offsets = dict.fromkeys(self.arms, 0)
        ends = {trial.id: _status(store, trial.id) for trial in arms}
        self._standing = {arm for arm, end in ends.items() if end not in ("pruned", "diverged")}
        """Arms that may yield a point yet, or have."""
        self._done = {arm for arm, end in ends.items() if end == "done"}
        # A trunk that has spent a token budget has a point, and points that enter a law are never stopped early.
        self._end = min(trial.lines[0].end for trial in arms)
        self._at: dict[int, dict[str, float]] = {}
        """Bits per byte at each evaluation, by step and arm."""
        self._asha = ASHAScheduler(
            time_attr="step",
            metric="bpb",
            mode="min",
            max_t=self._end,
            grace_period=first_rung(arms[0]),
            reduction_factor=REDUCTION,
            stop_last_trials=False,
        )
        for trial in arms:
            self._asha.on_trial_add(None, SimpleNamespace(trial_id=trial.id))

    def listen(self) -> None:
        """Judge what is new in the arms' journals, in the order in which it was measured.

        The journals know every evaluation, those of earlier launches too; the reports that reach Tune skip some.

        :raises OSError: the storage is away; nothing is lost, the next call hears it.
        """
        news = {arm: read_journal(self._store.trial(arm).journal, at) for arm, at in self._offsets.items()}
        heard: list[tuple[float, str, Record]] = []
        for arm, (records, self._offsets[arm]) in news.items():
            heard += [(record.time_s, arm, record) for record in records if "eval/bpb" in record.metrics]
            self._step[arm] = records[-1].step if records else self._step[arm]
        for _, arm, record in sorted(heard, key=lambda one: one[:2]):
            if record.step < self._end:
                self._judge(arm, record)

    @property
    def stops(self) -> dict[str, str]:
        """Arms to be stopped, by id, with the reason in a sentence."""
        return {arm: why for arm, why in self._stops.items() if self._step[arm] < self._end}

    def ended(self, arm: str) -> None:
        """An arm was left by its worker."""
        match _status(self._store, arm):
            case "done":
                self._done.add(arm)
                self._standing.add(arm)  # it was through before it could be stopped
            case "pruned" | "diverged":
                self._standing.discard(arm)

    def _judge(self, arm: str, record: Record) -> None:
        bpb, before = record.metrics["eval/bpb"], [*self._at.get(record.step, {}).values()]
        self._at.setdefault(record.step, {})[arm] = bpb
        verdict = self._asha.on_trial_result(None, SimpleNamespace(trial_id=arm), {"step": record.step, "bpb": bpb})
        # More than this arm stand, and it is on its way.
        if verdict == ASHAScheduler.STOP and self._standing > {arm} and arm not in self._done:
            self._standing.discard(arm)
            self._stops[arm] = (
                f"stopped early by ASHA: {bpb:.4f} bpb at step {record.step:,} of {self.arms[arm].steps:,}, where the "
                f"best third of the {len(before)} learning rate(s) before it had at most "
                f"{np.percentile(before, 100 / REDUCTION):.4f}"
            )


class AshaByCell(FIFOScheduler):  # type: ignore[misc]  # ray is not typed
    """Tune's scheduler of a study: each cell has an ASHA, and every other trial runs to its end.

    A launch begins with the journals of the launches before it, so that a driver's death forgets nothing.
    """

    def __init__(self, store: StudyStore, trials: Iterable[Trial]) -> None:
        """:param trials: of the whole study, those that are over as well."""
        super().__init__()
        self._store = store
        cells = [Cell(store, arms) for arms in rate_arms(trials) if first_rung(arms[0])]
        self._cells = {arm: cell for cell in cells for arm in cell.arms}
        for cell in cells:
            cell.listen()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Half a second of a trial has passed."""
        name = trial_id(trial.config)
        cell = self._cells.get(name)
        if cell is None:
            return str(self.CONTINUE)
        try:
            cell.listen()
            if name in cell.stops and finished(self._store.trial(name)) is None:
                self._prune(cell.arms[name], cell.stops[name])
                return str(self.STOP)
        except OSError:  # a storage that is away or full: its workers say so, and the next report is judged instead
            pass
        return str(self.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial is over; it may be the last of its cell that stood."""
        name = trial_id(trial.config)
        if name in self._cells:
            self._cells[name].ended(name)

    def _prune(self, trial: Trial, why: str) -> None:
        """The trial's result; its worker leaves a checkpoint when Tune takes it away."""
        folder = self._store.trial(trial.id)
        records = read_journal(folder.journal)[0]
        result = TrialResult(
            trial_id=trial.id,
            name=trial.name,
            status="pruned",
            steps=records[-1].step,
            message=why,
            started_s=records[0].time_s,
            finished_s=records[-1].time_s,
        )
        write_json(folder.result, result)


def _status(store: StudyStore, name: str) -> str:
    path = store.trial(name).result
    return read_json(TrialResult, path).status if path.exists() else ""
