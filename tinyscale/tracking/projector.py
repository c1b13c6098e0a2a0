"""One study's journals, results and law, projected into MLflow by the study's one driver."""

import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyscale.spec import (
    Forecast,
    Grade,
    GradeSummary,
    Promotion,
    Record,
    Story,
    Study,
    Trial,
    TrialResult,
    Validation,
    digest,
)
from tinyscale.spec.study import Setting
from tinyscale.tracking import content, views
from tinyscale.tracking import grades as judged
from tinyscale.tracking.cursor import Cursor, Sent
from tinyscale.tracking.link import Link
from tinyscale.tracking.origin import Origin, find_origin
from tinyscale.tracking.points import budget_points, forecast_points, metric_key, points
from tinyscale.tracking.registry import Registration
from tinyscale.tracking.runs import Runs, Table
from tinyscale.tracking.traces import finalist_traces, send_traces
from tinyscale.tracking.uri import artifact_location, mask, resolve_uri

LEADERBOARD = "leaderboard.json"
RECORDS_AT_ONCE = 100


def _nothing(trial: Trial) -> Mapping[str, Setting]:
    return {}


class Projector:
    """Sends what the journals hold to MLflow, each point once, through any kill and outage.

    Nothing here raises because MLflow is away: a call then does nothing and says False, ``warn`` hears of it once, and
    the same calls made again later send what is missing. So a driver keeps no account: for every trial, each round and
    each launch, it reads the journal from :meth:`sent`, hands the records to :meth:`project`, and the result, when
    there is one, to :meth:`finish_trial`; what stands in MLflow already costs no request.

    ``derived`` gives params of a trial that other rooms count (params_total, flops); ``origins`` are the launches of
    the study, oldest first (None: this process is the only one). ``rebuild`` puts the study's runs into MLflow's bin at
    the first request, and makes all of them afresh.
    """

    def __init__(
        self,
        study: Study,
        storage: Path,
        cursor: Path,
        *,
        warn: Callable[[str], None],
        derived: Callable[[Trial], Mapping[str, Setting]] = _nothing,
        origins: Sequence[Origin] | None = None,
        rebuild: bool = False,
    ) -> None:
        """No request is made yet.

        :raises ValueError: the URI is of a kind that MLflow doesn't write to, or the cursor file isn't ours.
        """
        self.uri = resolve_uri(study.tracking, storage)
        self._study = study
        self._artifacts = artifact_location(self.uri, storage)
        self._warn = warn
        self._cursor = Cursor(cursor, mask(self.uri))
        where = [] if storage == Path("runs") else ["--storage", str(storage)]
        self._link = Link(self.uri, warn, later=shlex.join(["tinyscale", "track", study.name, *where]))
        self._derived = derived
        self._origins = origins or (find_origin(Path.cwd()),)
        self._rebuild = rebuild
        self._runs: Runs | None = None
        self._open: dict[str, Any] = {}
        """Runs that this driver has sent to and not finished, by trial id."""
        self._through: dict[str, tuple[tuple[str, int], int]] = {}
        """By trial id: (run, offset the records started at), and how many of them went through."""

    @property
    def down(self) -> bool:
        """The last request failed."""
        return self._link.down

    def connect(self) -> bool:
        """Find or make the study's run, now, also when the pause after a failure isn't over."""
        return self._attempt(lambda runs: None, at_once=True)

    def sent(self, trial_id: str) -> int:
        """Bytes of the trial's journal that MLflow has; the records handed to :meth:`project` start there."""
        known = self._cursor.get(trial_id)
        return known.offset if known else 0

    def forget(self, trial_id: str) -> None:
        """The trial's journal is shorter than :meth:`sent`: it was begun anew, and is sent to a run of its own."""
        self._cursor.forget(trial_id)
        self._open.pop(trial_id, None)

    def project(self, trial: Trial, records: Sequence[Record], offset: int, forecasts: Sequence[Forecast] = ()) -> bool:
        """Send the journal's ``records``, those from :meth:`sent` up to byte ``offset``. True: MLflow has them.

        :param forecasts: the trial's, locked before its first record; they go with that.
        """
        start = self.sent(trial.id)
        if not records:
            return offset == start
        run_id = ""

        def send(runs: Runs) -> None:
            nonlocal run_id
            if self.sent(trial.id) != start:
                return  # the store turned out to hold less than the cursor said: all comes next time
            run = self._run(runs, trial, repr(records[0].time_s))
            runs.reopen(run)
            self._open[trial.id] = run
            if start == 0:
                self._forecast(runs, run.info.run_id, trial, forecasts)
            self._send(runs, run.info.run_id, trial, records)
            run_id = run.info.run_id

        if not self._attempt(send) or not run_id:
            return False
        self._cursor.put(trial.id, Sent(run_id=run_id, offset=offset))
        return True

    def finish_trial(self, trial: Trial, result: TrialResult, forecasts: Sequence[Forecast] = ()) -> bool:
        """Close the trial's run: final metrics, how it ended, on what, what was forecast. True: MLflow has it."""
        closing = digest({"result": result, "forecasts": tuple(forecasts)})
        known = self._cursor.get(trial.id)
        if known and known.finished == closing:
            return True
        run_id = ""

        def send(runs: Runs) -> None:
            nonlocal run_id
            run = self._run(runs, trial, None)
            run_id = run.info.run_id
            ended_ms = round(result.finished_s * 1000)
            finals = content.result_metrics(result).items()
            finished = [(name, value, ended_ms, 0) for name, value in finals]
            runs.metrics(run_id, finished + budget_points(trial, result))
            self._forecast(runs, run_id, trial, forecasts)
            runs.close(run, content.RUN_STATUS[result.status], content.result_tags(result), ended_ms)

        if not self._attempt(send):
            return False
        self._cursor.put(trial.id, Sent(run_id=run_id, offset=self.sent(trial.id), finished=closing))
        self._open.pop(trial.id, None)
        return True

    def finish_study(
        self,
        law_metrics: Mapping[str, float],
        artifacts: Sequence[Path],
        tags: Mapping[str, str] | None = None,
        *,
        results: Sequence[TrialResult] = (),
        tables: Mapping[str, Table] | None = None,
        ended_s: float | None = None,
    ) -> bool:
        """Close the study's run: the law (keys such as ``law/alpha``, ``forecast/error``), files, tables by file name
        with the leaderboard among them. ``ended_s`` is the Unix time of all that; None: now.

        The last word of a launch, so it is tried also when the pause after a failure isn't over. Said again, it
        replaces the files and adds a point only to a metric whose value has changed.

        :raises FileNotFoundError: an artifact isn't there.
        """
        if missing := [str(path) for path in artifacts if not path.exists()]:
            raise FileNotFoundError(f"no such artifact: {', '.join(missing)}")
        law = {metric_key(key): float(value) for key, value in law_metrics.items() if math.isfinite(value)}
        ended_ms = round(1000 * (time.time() if ended_s is None else ended_s))
        shown = dict(tables or {})
        if results:
            shown[LEADERBOARD] = Table(columns=content.LEADERBOARD_COLUMNS, rows=content.leaderboard(results))

        def send(runs: Runs) -> None:
            runs.changed_metrics(runs.study_id, law, ended_ms)
            runs.upload(runs.study_id, artifacts)
            if shown:
                runs.tables(runs.study_id, shown)
            runs.close(runs.study, "FINISHED", {content.STATUS: "done", **(tags or {})}, ended_ms)

        return self._attempt(send, at_once=True)

    def send_grades(
        self,
        summary: GradeSummary,
        trials: Mapping[str, Trial],
        stories: Sequence[Story],
        grades: Sequence[Grade],
    ) -> bool:
        """Send what one judge said: metrics and tags of each trial's run, tables of the study's, traces of finalists.

        Sent again, it adds nothing. Of two judges' gradings the one sent last stands in the metrics, and tags say whose
        they are; the traces of both stay. Send grades after the trials: a study whose run had ended stays ended.

        :param trials: by the name of the model that they gave.
        :param stories: of the models.
        :raises ValueError: the summary is of no judge.
        """
        instrument = summary.instrument
        if instrument is None:
            raise ValueError("measures without a judge are no grades, and have no place among a run's metrics")

        def send(runs: Runs) -> None:
            told = judged.judge_tags(instrument)
            run_ids: dict[str, str] = {}
            for score in summary.scores:
                if trial := trials.get(score.model):
                    run_id = run_ids[score.model] = self._run(runs, trial, None).info.run_id
                    runs.tag(run_id, told | judged.score_tags(score))
                    runs.replaced_metrics(run_id, judged.grade_metrics(score), judged.ALL_METRICS)
            runs.save_view(views.GRADES_TAG, views.grades_view(time.time_ns() // 1_000_000))
            tables = {judged.SUMMARY: judged.summary_table(summary)}
            tables[judged.STORIES] = judged.story_table(stories, grades, instrument.model)
            runs.tables(runs.study_id, tables)
            runs.tag(runs.study_id, told | judged.study_tags(summary))
            traces = finalist_traces(summary, stories, grades, run_ids)
            try:
                send_traces(self.uri, runs.experiment, self._study.name, instrument.model, traces, runs.ids())
            except NotImplementedError as error:  # a server older than MLflow 3.4
                self._warn(f"the grades are in MLflow, but no traces of stories: {error}")
            runs.close_again()

        return self._attempt(send, at_once=True)

    def register(self, trial: Trial, promotion: Promotion, folder: Path, validation: Validation | None = None) -> str:
        """Put a promoted model into MLflow: its folder among the artifacts of the trial's run, and a version of it in
        the registry, with the alias ``champion``. Said again, it adds nothing. Send the trial first.

        :return: name and version in the registry; empty: MLflow is away.
        """
        version = ""

        def send(runs: Runs) -> None:
            nonlocal version
            run = self._run(runs, trial, None)
            client = self._link.client()
            version = Registration(client, run, self._study, trial, promotion).register(folder, validation)
            runs.close_again()

        return f"{self._study.name} version {version}" if self._attempt(send, at_once=True) else ""

    def stop(self) -> bool:
        """The launch ends before the study: its run, and those of the trials under way, say so."""
        now_ms = time.time_ns() // 1_000_000

        def send(runs: Runs) -> None:
            for run in (*self._open.values(), runs.study):
                runs.close(run, "KILLED", {content.STATUS: "stopped"}, now_ms)

        return self._attempt(send, at_once=True)

    def _forecast(self, runs: Runs, run_id: str, trial: Trial, forecasts: Sequence[Forecast]) -> None:
        if forecasts:
            runs.metrics(run_id, forecast_points(trial, forecasts))
            runs.tag(run_id, content.forecast_tags(forecasts))

    def _send(self, runs: Runs, run_id: str, trial: Trial, records: Sequence[Record]) -> None:
        """Send the records bit by bit. What went through before a failure is skipped when they come again: MLflow
        would drop it, but at a fifth of the speed, and a store under load might never get to the end."""
        here = (run_id, self.sent(trial.id))
        through = self._through.get(trial.id, (here, 0))
        for done in range(through[1] if through[0] == here else 0, len(records), RECORDS_AT_ONCE):
            some = records[done : done + RECORDS_AT_ONCE]
            finite, left_out = points(trial, some)
            if left_out:
                runs.tag(run_id, {content.NON_FINITE: "; ".join(left_out)})
            runs.metrics(run_id, finite)
            self._through[trial.id] = (here, done + len(some))

    def _run(self, runs: Runs, trial: Trial, journal: str | None) -> Any:
        known = self._cursor.get(trial.id)
        return runs.trial(trial, known.run_id if known else None, journal, self._derived(trial))

    def _attempt(self, action: Callable[[Runs], None], *, at_once: bool = False) -> bool:
        if self._link.attempt(lambda: action(self._connected()), at_once=at_once):
            return True
        self._runs = None  # what happened to the last request is unknown: find out again by the tags
        return False

    def _connected(self) -> Runs:
        if self._runs is None:
            client = self._link.client()
            runs = Runs(client, self._study, self._artifacts, self._origins, rebuild=self._rebuild)
            self._rebuild = False  # what is made from now on stays, also when MLflow goes away and comes back
            self._cursor.keep_only(runs.ids())
            self._runs = runs
        return self._runs
