"""The table of models from elsewhere, beside the study's own on the same text."""

from dataclasses import dataclass

from tinyscale.report.content import ReportContent
from tinyscale.spec import ModelConfig, Validation


@dataclass(frozen=True, kw_only=True)
class ImportedRow:
    """A model measured on all the validation text."""

    name: str
    source: str
    """Where it came from; empty: it is one of the study's trials."""
    params_total: int
    model: ModelConfig
    validation: Validation | None
    """None: not measured, or on another text."""


def imported_rows(content: ReportContent) -> list[ImportedRow]:
    """The imported models, and such trials as were measured like them; best first, unmeasured ones last."""
    corpora = {trial.corpus for trial in content.trials}
    rows = [
        ImportedRow(
            name=model.name,
            source=model.source,
            params_total=model.params_total,
            model=model.model,
            validation=model.validation if model.validation and model.validation.corpus in corpora else None,
        )
        for model in content.imported
    ]
    for trial in content.trials:
        result, validation = content.results.get(trial.id), content.validations.get(trial.id)
        if result and result.points and validation and validation.corpus == trial.corpus:
            params = result.points[-1].params_total
            rows.append(
                ImportedRow(name=trial.name, source="", params_total=params, model=trial.model, validation=validation)
            )
    return sorted(rows, key=lambda row: (row.validation is None, row.validation.bpb.value if row.validation else 0.0))
