"""Where a study's files lie: one folder a study, one folder a trial."""

from dataclasses import dataclass
from pathlib import Path

DRIVER, WORKER = ".driver", ".worker"
"""Objects of a study in an object store, which has no locks: who drives it, and who works on a trial."""


@dataclass(frozen=True)
class TrialFolder:
    """``STORAGE/STUDY/trials/ID``."""

    path: Path

    @property
    def job(self) -> Path:
        """The trial's spec and where it runs (:class:`tinyscale.spec.Job`)."""
        return self.path / "trial.json"

    @property
    def journal(self) -> Path:
        """Every accepted metric, one JSON record a line."""
        return self.path / "journal.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Training state; emptied when the trial is done."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The finished model: model.safetensors, config.json, tokenizer.json."""
        return self.path / "model"

    @property
    def result(self) -> Path:
        """The outcome (:class:`tinyscale.spec.TrialResult`)."""
        return self.path / "result.json"

    @property
    def validation(self) -> Path:
        """The finished model on all the validation text (:class:`tinyscale.spec.Validation`)."""
        return self.path / "validation.json"

    @property
    def imported(self) -> Path:
        """Of a model that was trained elsewhere, where it came from (:class:`tinyscale.spec.ImportedModel`)."""
        return self.path / "import.json"

    @property
    def stories(self) -> Path:
        """What the finished model told, one :class:`tinyscale.spec.Story` a line."""
        return self.path / "stories.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the one worker of the trial."""
        return self.path / ".lock"

    @property
    def worker(self) -> Path:
        """In an object store, the word of the one worker of the trial."""
        return self.path / WORKER

    @property
    def log(self) -> Path:
        """What the trial's workers said."""
        return self.path / "log.txt"


@dataclass(frozen=True)
class StudyStore:
    """``STORAGE/STUDY``."""

    path: Path

    @property
    def study(self) -> Path:
        """The study with all its trials (:class:`tinyscale.spec.ResolvedStudy`)."""
        return self.path / "study.json"

    @property
    def plan(self) -> Path:
        """Every trial with its derived values and its quote, as of the last launch; for readers, never read back."""
        return self.path / "plan.json"

    @property
    def law(self) -> Path:
        """The last fit (:class:`tinyscale.spec.LawFit`)."""
        return self.path / "law.json"

    @property
    def analysis(self) -> Path:
        """What the points say beside that law (:class:`tinyscale.spec.Analysis`)."""
        return self.path / "analysis.json"

    @property
    def answers(self) -> Path:
        """What the study says to its questions (:class:`tinyscale.spec.Answers`)."""
        return self.path / "answers.json"

    @property
    def forecasts(self) -> Path:
        """Folder of the locked forecasts, one file a hold-out."""
        return self.path / "forecasts"

    @property
    def tracking(self) -> Path:
        """How far each trial's journal is projected into MLflow."""
        return self.path / "tracking.json"

    @property
    def launches(self) -> Path:
        """Who launched the study, from which commit: one JSON record a launch."""
        return self.path / "launches.jsonl"

    @property
    def figures(self) -> Path:
        """PNG pictures of the report."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.path / "report.html"

    @property
    def lock(self) -> Path:
        """Held by the one driver of the study."""
        return self.path / ".lock"

    @property
    def driver(self) -> Path:
        """In an object store, the word of the one driver of the study."""
        return self.path / DRIVER

    @property
    def trials(self) -> Path:
        """Folder of the trials."""
        return self.path / "trials"

    @property
    def imports(self) -> Path:
        """Folder of the models that were trained elsewhere, each laid out like a trial's."""
        return self.path / "imports"

    @property
    def promotions(self) -> Path:
        """What was promoted: ``OWNER--NAME/``, the repository's files, and ``OWNER--NAME.json`` once it is pushed
        (:class:`tinyscale.spec.Promotion`)."""
        return self.path / "promotions"

    def trial(self, trial_id: str) -> TrialFolder:
        """The folder of one trial."""
        return TrialFolder(self.trials / trial_id)


def find_model(folder: Path, given: str = "") -> Path:
    """The model's own folder, of it or of the folder of a trial or an imported model.

    :param given: what the user called the folder; empty: its path.
    :raises ValueError: there is no finished model.
    """
    for home in (folder, TrialFolder(folder).model):
        if (home / "model.safetensors").is_file():
            return home
    raise ValueError(f"{given or folder}: no finished model; give a trial's folder, such as runs/STUDY/trials/ID")
