"""The models of a study's folder that were trained elsewhere."""

from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import ImportedModel, read_json


def import_folder(store: StudyStore, name: str) -> TrialFolder:
    """The folder of an imported model, by its name."""
    return TrialFolder(store.imports / name)


def read_imported(store: StudyStore) -> tuple[ImportedModel, ...]:
    """Every model that was imported into a study, in the order of the names.

    :raises ValueError: an ``import.json`` cannot be read.
    """
    folders = sorted(store.imports.iterdir()) if store.imports.is_dir() else []
    paths = [TrialFolder(folder).imported for folder in folders if not folder.name.startswith(".")]
    return tuple(read_json(ImportedModel, path) for path in paths if path.exists())
