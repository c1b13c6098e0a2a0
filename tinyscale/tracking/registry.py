"""A promoted model in MLflow: its files beside its trial's, a model of the experiment, a version in the registry."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyscale.spec import Promotion, Study, Trial, Validation
from tinyscale.tracking import content

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FOLDER = "promoted"
"""Among the artifacts of the trial's run; in it a folder a commit, so that the files of a version never change."""
ALIAS = "champion"
"""``models:/STUDY@champion`` is the one promoted last."""
REPO, COMMIT, URL = "tinyscale.repo", "tinyscale.commit", "tinyscale.url"
DIGEST = "tinyscale.model_digest"
METRICS = {"bpb": "validation/bpb", "loss": "validation/loss"}
"""Of the run and the model, on all the validation text; ``final/bpb`` is of the slice that the study looks at."""
EXTERNAL, VERSIONS = "mlflow.model.isExternal", "mlflow.modelVersions"
"""Tags of MLflow's own: the model is no folder in MLflow's format; which versions it was registered as."""
MODEL_TYPE = "language model"
CARD = "README.md"
COMMIT_DIGITS = 12
"""Of a commit's id, enough to tell it in a folder's name."""


class Registration:
    """One promotion, and what it is called in MLflow. Failures are left to MLflow to raise.

    :param run: the trial's.
    """

    def __init__(self, client: "MlflowClient", run: Any, study: Study, trial: Trial, promotion: Promotion) -> None:
        self._client, self._run = client, run
        self._study, self._trial, self._promotion = study, trial, promotion
        self._tags = {
            REPO: promotion.repo,
            URL: promotion.url,
            COMMIT: promotion.commit,
            content.TRIAL: trial.id,
            DIGEST: promotion.model_digest,
        }
        self._same = " AND ".join(f"tags.`{key}` = '{self._tags[key]}'" for key in (REPO, COMMIT, DIGEST))

    def register(self, folder: Path, validation: Validation | None) -> str:
        """Put ``folder``, as it stands on the hub, into MLflow, as a version of the model named after the study.

        The same weights at the same commit are registered once, however often this is said, and through any kill;
        each time, the alias moves to them.

        :return: the version's number.
        """
        model = self._model(folder / CARD, validation)
        version = self._version() or self._make_version(folder, validation)
        if VERSIONS not in model.tags:
            told = json.dumps([{"name": self._study.name, "version": version}])
            self._client.set_logged_model_tags(model.model_id, {VERSIONS: told})
        self._client.set_registered_model_alias(self._study.name, ALIAS, version)
        return version

    def _model(self, card: Path, validation: Validation | None) -> Any:
        """The model among the experiment's: what ``mlflow.create_external_model`` makes, which knows no store but the
        process' own. One that an earlier call left half made is completed."""
        from mlflow.entities import LoggedModelOutput

        client, experiment, run_id = self._client, self._run.info.experiment_id, self._run.info.run_id
        found = client.search_logged_models([experiment], filter_string=self._same)
        if found:
            model = found[0]
        else:
            named = {content.STUDY: self._study.name, content.NOTE: self._note(validation), EXTERNAL: "true"}
            params = {"repo": self._promotion.repo, "commit": self._promotion.commit, "tag": self._promotion.tag}
            model = client.create_logged_model(
                experiment, self._study.name, run_id, self._tags | named, params, MODEL_TYPE
            )
        if str(model.status) == "READY":
            return model
        if model.model_id not in [output.model_id for output in client.get_run(run_id).outputs.model_outputs]:
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        measured_ms = self._run.info.end_time or round(1000 * self._promotion.promoted_s)
        for field, metric in METRICS.items() if validation else ():
            value = getattr(validation, field).value
            client.log_metric(run_id, metric, value, timestamp=measured_ms, step=0, model_id=model.model_id)
        if card.is_file():
            client.log_model_artifact(model.model_id, str(card))
        return client.finalize_logged_model(model.model_id, "READY")

    def _version(self) -> str:
        """The version of an earlier call; empty: none. The registered model is there afterwards."""
        client, name = self._client, self._study.name
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, tags={content.STUDY: name}, description=self._study_note())
        found = client.search_model_versions(f"name = '{name}' AND {self._same}")
        return str(found[0].version) if found else ""

    def _make_version(self, folder: Path, validation: Validation | None) -> str:
        inside = f"{FOLDER}/{self._promotion.commit[:COMMIT_DIGITS]}"
        self._client.log_artifacts(self._run.info.run_id, str(folder), artifact_path=inside)
        made = self._client.create_model_version(
            self._study.name,
            source=f"{self._run.info.artifact_uri.rstrip('/')}/{inside}",
            run_id=self._run.info.run_id,
            tags=self._tags,
            description=self._note(validation),
        )
        return str(made.version)

    def _study_note(self) -> str:
        """What the registered model's page says (Markdown)."""
        question = f"**{self._study.question}**\n\n" if self._study.question else ""
        return (
            f"{question}The best models of the study `{self._study.name}`, one version a promotion to the Hugging Face "
            f"hub: [{self._promotion.repo}]({self._promotion.url}). `models:/{self._study.name}@{ALIAS}` is the newest."
        )

    def _note(self, validation: Validation | None) -> str:
        """What the pages of the version and the model say (Markdown); a table shows its first two words or so."""
        its = self._promotion
        page = f"{its.url}/tree/{its.commit}"
        note = (
            f"Trial `{self._trial.id}`, promoted to [{its.repo}]({its.url}) on the Hugging Face hub at commit "
            f"[{its.commit[:COMMIT_DIGITS]}]({page}), tag `{its.tag}`."
        )
        if validation is None:
            return note
        span = validation.bpb
        return (
            f"{span.value:.4f} bits per byte of all the validation text (95 % interval {span.low:.4f} to "
            f"{span.high:.4f}, {validation.stories} stories).\n\n{note}"
        )
