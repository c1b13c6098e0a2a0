"""What to add to a study's YAML so that kinds of trials are repeated with other seeds."""

import json
import math
from collections.abc import Sequence

from tinyscale.spec import Study, Trial

FEWEST, MOST = 3, 8
"""Seeds of a kind, those that were trained included, that are asked for."""


def more_seeds(study: Study, runs: Sequence[Trial], lead: float, needed: float) -> str:
    """A row for the study's grids that trains more seeds of a kind: ``{hidden_size: 64, seed: [1, 2]} under space``.

    As many as may tell should the lead stay what it is, since what is needed falls with the root of their number. The
    row names every field that any grid of the study varies, so that nothing is left to the recipe's choice but what
    the kind has from it.

    :param runs: the runs of one kind, all of them.
    """
    trial, known = runs[0], {run.train.seed for run in runs}
    wanted = math.ceil(len(runs) * (needed / lead) ** 2) if lead > 0 else MOST
    total = max(len(runs) + 1, min(MOST, max(FEWEST, wanted)))
    fresh = [seed for seed in range(total + len(known)) if seed not in known][: total - len(known)]
    axes = dict.fromkeys(name for grid in (*study.space, *study.holdout) for name in grid)
    settings = {name: _value(trial, name) for name in axes if name not in ("seed", "branches")} | {"seed": fresh}
    row = ", ".join(f"{name}: {json.dumps(value)}" for name, value in settings.items())
    return f"{{{row}}} under {'holdout' if trial.holdout else 'space'}"


def _value(trial: Trial, name: str) -> object:
    """Of a field of the model or the training; the budgets of a trunk are one list."""
    if name == "tokens" and trial.train.branches:
        return [*trial.train.branches, trial.train.tokens]
    return getattr(trial.train if hasattr(trial.train, name) else trial.model, name)
