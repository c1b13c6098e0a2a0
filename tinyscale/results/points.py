"""The table of points: what the laws are fitted on, read from the trials' results."""

from collections.abc import Mapping

from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import Point, TrialResult, read_json


def read_results(store: StudyStore) -> dict[str, TrialResult]:
    """Every result of a study by trial id, in the order of the ids; trials without one are left out.

    :raises ValueError: a ``result.json`` cannot be read.
    """
    folders = sorted(store.trials.iterdir()) if store.trials.is_dir() else []
    paths = [TrialFolder(folder).result for folder in folders]
    results = [read_json(TrialResult, path) for path in paths if path.exists()]
    return {result.trial_id: result for result in results}


def points_table(results: Mapping[str, TrialResult]) -> tuple[Point, ...]:
    """The points of the trials that are done, in the order of ``results``."""
    return tuple(point for result in results.values() if result.status == "done" for point in result.points)
