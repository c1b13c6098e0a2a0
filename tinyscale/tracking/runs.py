"""The runs of one study in one store: found again by their tags at every start, made where they are missing."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscale.spec import Study, Trial
from tinyscale.spec.study import Setting
from tinyscale.tracking import content, views
from tinyscale.tracking.origin import Origin, origin_at
from tinyscale.tracking.points import MetricPoint

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LOGGED_ARTIFACTS = "mlflow.loggedArtifacts"
"""Tag: which artifacts MLflow shows as tables."""
METRICS_PER_BATCH = 1000
"""MLflow's limit for one log_batch."""
DIGEST_LENGTH = 12
"""Hex digits of the corpus digest that name the data set; MLflow takes at most 36 and shows them in a column."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that MLflow shows as a table among a run's artifacts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


class Runs:
    """Opens the experiment, finds its runs and makes the study's own. Failures are left to MLflow to raise.

    :param origins: the study's launches, oldest first.
    :param rebuild: the runs that are there go to MLflow's bin (``mlflow gc`` empties it), and all are made afresh.
    """

    def __init__(
        self,
        client: "MlflowClient",
        study: Study,
        artifacts: str | None,
        origins: Sequence[Origin],
        *,
        rebuild: bool = False,
    ) -> None:
        self._client = client
        self._study = study
        self._origins = origins
        self.experiment = self._open_experiment(artifacts)
        self._trials: dict[str, list[Any]] = {}
        """Runs by trial id, oldest first: more than one where a trial was begun anew from nothing."""
        parent, seen = None, set()
        for run in list(self._stored_runs()):
            if rebuild:
                client.delete_run(run.info.run_id)
                continue
            tags = run.data.tags
            identity = tuple(tags.get(key, "") for key in (content.KIND, content.TRIAL, content.JOURNAL))
            if identity in seen:  # the store made it, but its answer came too late, so it was asked for again
                client.delete_run(run.info.run_id)
            elif tags[content.KIND] == "study":
                parent = run
            else:
                self._trials.setdefault(tags.get(content.TRIAL, ""), []).append(run)
            seen.add(identity)
        newest = origins[-1]
        tags = content.study_tags(study) | newest.tags
        if newest.versions:
            tags["tinyscale.versions"] = newest.versions
        before = parent.data.tags.get(content.STATUS, "") if parent else ""
        parent = parent or self._create(study.name, tags, round(1000 * origins[0].started_s))
        self.study = parent
        self.study_id = str(parent.info.run_id)
        self.tag(self.study_id, tags)
        self._ended = None if parent.info.status == "RUNNING" else (parent.info.status, parent.info.end_time, before)
        self.reopen(parent)
        for run in (run for runs in self._trials.values() for run in runs):
            if run.data.tags.get(content.PARENT) != self.study_id:  # the study's run was deleted by hand
                self.tag(run.info.run_id, {content.PARENT: self.study_id})

    def ids(self) -> set[str]:
        """Ids of all the trials' runs."""
        return {run.info.run_id for runs in self._trials.values() for run in runs}

    def trial(self, trial: Trial, run_id: str | None, journal: str | None, derived: Mapping[str, Setting]) -> Any:
        """The trial's run, made if the store has none.

        ``run_id`` is known from before, or else ``journal``, the time of the journal's first record, decides: a run
        that holds another journal of the same trial (the trial's folder was lost and it was trained again) is left as
        it is, and this journal gets a run of its own. With neither, the newest run does.
        """
        runs = self._trials.setdefault(trial.id, [])
        begun = [run.data.tags.get(content.JOURNAL) for run in runs]
        if run_id:
            run = next(run for run in runs if run.info.run_id == run_id)
        elif runs and journal is None:
            run = runs[-1]
        elif journal in begun:
            run = runs[begun.index(journal)]
        elif None in begun:
            run = runs[begun.index(None)]
        else:
            tags = content.trial_tags(self._study, trial) | {content.PARENT: self.study_id}
            if journal:
                tags |= {content.JOURNAL: journal, **origin_at(self._origins, float(journal))}
            run = self._create(trial.name, tags, round(float(journal) * 1000) if journal else None)
            runs.append(run)
        self._complete(run, trial, journal, derived)
        return run

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set all tags in one request."""
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def metrics(self, run_id: str, points: list[MetricPoint]) -> None:
        """Send points; MLflow drops those that it has already."""
        from mlflow.entities import Metric

        for start in range(0, len(points), METRICS_PER_BATCH):
            batch = points[start : start + METRICS_PER_BATCH]
            self._client.log_batch(run_id, metrics=[Metric(*point) for point in batch])

    def changed_metrics(self, run_id: str, metrics: Mapping[str, float], timestamp_ms: int) -> None:
        """Send the metrics whose newest value in the store is another, so that saying a thing twice adds no point."""
        stored = self._client.get_run(run_id).data.metrics
        changed = {key: value for key, value in metrics.items() if not _same(stored.get(key), value)}
        self.metrics(run_id, [(key, value, timestamp_ms, 0) for key, value in changed.items()])

    def upload(self, run_id: str, paths: Sequence[Path]) -> None:
        """Files to the run's artifacts, folders under their own name; what has the same name is replaced."""
        for path in paths:
            if path.is_dir():
                self._client.log_artifacts(run_id, str(path), artifact_path=path.name)
            else:
                self._client.log_artifact(run_id, str(path))

    def tables(self, run_id: str, tables: Mapping[str, Table]) -> None:
        """Tables by file name, shown as such (MLflow's own log_table would append to the last launch's)."""
        for name, table in tables.items():
            self._client.log_dict(run_id, {"columns": table.columns, "data": table.rows}, name)
        listed = json.loads(self._client.get_run(run_id).data.tags.get(LOGGED_ARTIFACTS, "[]"))
        others = [entry for entry in listed if entry.get("path") not in tables]
        named = [{"path": name, "type": "table"} for name in tables]
        self.tag(run_id, {LOGGED_ARTIFACTS: json.dumps(others + named)})

    def reopen(self, run: Any) -> None:
        """Work on the run goes on, after an end or a stop."""
        if run.info.status != "RUNNING":
            self.tag(run.info.run_id, {content.STATUS: "running"})
            self._client.update_run(run.info.run_id, status="RUNNING")
            run.info._status = "RUNNING"

    def close(self, run: Any, status: str, tags: Mapping[str, str], ended_ms: int) -> None:
        """The run has ended as FINISHED, FAILED or KILLED."""
        self.tag(run.info.run_id, tags)
        self._client.set_terminated(run.info.run_id, status, ended_ms)
        run.info._status = status

    def replaced_metrics(self, run_id: str, metrics: Mapping[str, float], family: Sequence[str]) -> None:
        """Send the metrics whose newest value is another; of the ``family``, those left unsaid become not a number.

        MLflow forgets no metric of a run, and a value that no longer holds must not stand beside those that do.
        """
        stored = self._client.get_run(run_id).data.metrics
        stale = {key: math.nan for key in family if key in stored and key not in metrics}
        self.changed_metrics(run_id, {**stale, **metrics}, time.time_ns() // 1_000_000)

    def close_again(self) -> None:
        """What was sent was an addendum: a study's run that had ended before this process has ended as it had."""
        if self._ended and self.study.info.status == "RUNNING":
            status, ended_ms, said = self._ended
            self.close(self.study, status, {content.STATUS: said}, ended_ms)

    def save_view(self, tag: str, view: str) -> None:
        """Offer a saved view on the experiment's page, unless it is there."""
        if tag not in self._client.get_experiment(self.experiment).tags:
            self._client.set_experiment_tag(self.experiment, tag, view)

    def _open_experiment(self, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(self._study.name)
        if found and found.lifecycle_stage == "deleted":  # MLflow keeps its name, so that no other can take its place
            self._client.restore_experiment(found.experiment_id)
        experiment = found.experiment_id if found else self._client.create_experiment(self._study.name, artifacts)
        tags = {
            content.EXPERIMENT_KIND: "custom_model_development",
            views.VIEW_TAG: views.trials_view(time.time_ns() // 1_000_000),
            content.NOTE: content.study_note(self._study, views.links(experiment)),
        }
        for key, value in tags.items():
            if found is None or key not in found.tags:  # the description may have been edited by hand
                self._client.set_experiment_tag(experiment, key, value)
        return str(experiment)

    def _stored_runs(self) -> Iterator[Any]:
        """This study's runs in the experiment, oldest first."""
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment],
                f"tags.`{content.KIND}` LIKE '%'",
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from (run for run in page if run.data.tags.get(content.STUDY) == self._study.name)
            token = page.token
            if not token:
                return

    def _create(self, name: str, tags: Mapping[str, str], started_ms: int | None = None) -> Any:
        return self._client.create_run(self.experiment, start_time=started_ms, tags=dict(tags), run_name=name[:250])

    def _complete(self, run: Any, trial: Trial, journal: str | None, derived: Mapping[str, Setting]) -> None:
        """Bring a run that was just made, or only half made before a kill, to what a trial's run holds."""
        from mlflow.entities import Param

        run_id, known = run.info.run_id, run.data.params
        params = content.trial_params(trial, derived)
        if missing := [Param(key, value) for key, value in params.items() if key not in known]:
            for target in (run_id, self.study_id):
                self._log_dataset(target, trial.corpus)
            self._client.log_batch(run_id, params=missing)
            known.update(params)
        if journal and content.JOURNAL not in run.data.tags:
            self.tag(run_id, {content.JOURNAL: journal})
            run.data.tags[content.JOURNAL] = journal

    def _log_dataset(self, run_id: str, digest: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name, source = content.corpus_name(self._study.corpus), content.corpus_source(self._study.corpus)
        dataset = Dataset(name, digest[:DIGEST_LENGTH], source_type=self._study.corpus.source, source=source)
        self._client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])


def _same(stored: float | None, value: float) -> bool:
    return stored is not None and (stored == value or (math.isnan(stored) and math.isnan(value)))
