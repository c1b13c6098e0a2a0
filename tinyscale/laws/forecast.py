"""What the law says of models not yet trained, and the lock that keeps it honest."""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyscale.accounting import count_parameters, flops_per_token
from tinyscale.laws.bootstrap import run_interval
from tinyscale.laws.form import Chinchilla
from tinyscale.laws.noise import run_noise
from tinyscale.laws.select import loss_of
from tinyscale.spec import (
    Forecast,
    Interval,
    LawFit,
    ModelConfig,
    Trial,
    TrialResult,
    digest,
    read_json,
    to_json,
    write_json,
)


def forecast(fit: LawFit, N: float, D: float) -> Interval:
    """Loss of one run of N parameters on D tokens, with the 95 % interval of what it will measure.

    The interval holds where the law may lie and how far one run falls from it
    (:func:`tinyscale.laws.bootstrap.run_interval`). Whether it should be used is the verdict's to say:
    ``fit.forecast_holds``.

    :param N: parameters, of the kind that ``fit.params`` names.
    :raises ValueError: N or D is not a positive number, or the fit has no bootstrap draws.
    """
    if not all(math.isfinite(number) and number > 0 for number in (N, D)):
        raise ValueError(f"a forecast needs a positive number of parameters and tokens, not N = {N:g}, D = {D:g}")
    if not fit.draws:
        raise ValueError("this fit has no bootstrap draws, so its forecast would have no interval: fit it again")
    law = Chinchilla(fit.E, fit.A, fit.B, fit.alpha, fit.beta)
    noise = run_noise(fit.residual_rms, len(fit.trial_ids), len(set(fit.trial_ids)))
    return run_interval(law, np.array(fit.draws), noise, N=N, D=D)


def lock_forecasts(folder: Path, fit: LawFit, trials: Sequence[Trial]) -> tuple[Forecast, ...]:
    """Forecasts each point of each hold-out and writes it under ``folder``, once: one that stands there is kept.

    Call it before the first of the trials starts, with a law that has seen none of them. A law whose forecasts do
    not hold writes that, and why, in the place of a number.

    :returns: the forecasts of all the trials, old and new, in their order.
    :raises ValueError: the law has seen one of the trials, or a standing forecast was tampered with.
    """
    if seen := [trial.id for trial in trials if trial.id in fit.trial_ids]:
        raise ValueError(f"the law was fitted on {seen[0]}: it cannot forecast what it has seen")
    locked: list[Forecast] = []
    for trial in trials:
        for tokens in trial.budgets:
            path = folder / f"{_label(trial.id, tokens)}.json"
            if not path.exists():
                _write_once(path, _forecast_point(fit, trial, tokens))
            locked.append(read_forecast(path))
    return tuple(locked)


def read_forecasts(folder: Path) -> tuple[Forecast, ...]:
    """Every locked forecast of a study, oldest first; empty when there are none.

    :raises ValueError: one of them was edited after it was locked.
    """
    return tuple(sorted(map(read_forecast, folder.glob("*.json")), key=lambda f: (f.locked_s, f.trial_id)))


def study_forecasts(folder: Path, trials: Sequence[Trial]) -> tuple[Forecast, ...]:
    """The locked forecasts of a study's present hold-outs; those of trials it no longer has stay on the disk.

    :raises ValueError: as :func:`read_forecasts`.
    """
    wanted = {trial.id for trial in trials if trial.holdout}
    return tuple(found for found in read_forecasts(folder) if found.trial_id in wanted)


def read_forecast(path: Path) -> Forecast:
    """One locked forecast, its digest checked.

    :raises ValueError: the file is no forecast, or is not as it was locked.
    """
    found = read_json(Forecast, path)
    if found.digest != _digest(found) or _label(found.trial_id, found.tokens) != path.stem:
        raise ValueError(
            f"{path}: this forecast is not as it was locked (its digest does not match); put the original back, "
            "or delete the file: the report then shows the hold-out without a forecast"
        )
    return found


def measured_outcome(locked: Forecast, result: TrialResult | None) -> float | None:
    """The loss that was forecast as it was measured, in the forecast's unit; None where there is no such point."""
    points = result.points if result and result.status == "done" else ()
    return next((loss_of(point, locked.unit) for point in points if point.tokens == locked.tokens), None)


def forecast_error(locked: Forecast, outcome: float | None) -> float | None:
    """(forecast - outcome) / outcome: positive where the run did better than forecast; None where one is lacking."""
    if locked.predicted is None or outcome is None:
        return None
    return (locked.predicted.value - outcome) / outcome


def _label(trial_id: str, tokens: int) -> str:
    return f"{trial_id}-at-{tokens}"


def _forecast_point(fit: LawFit, trial: Trial, tokens: int) -> Forecast:
    params = _params(fit.params, trial.model)
    unlocked = Forecast(
        trial_id=trial.id,
        name=trial.name,
        params=params,
        tokens=tokens,
        predicted=forecast(fit, params, tokens) if fit.forecast_holds else None,
        withheld=() if fit.forecast_holds else fit.warnings,
        unit=fit.unit,
        law_digest=digest(fit),
        fitted_on=fit.trial_ids,
        locked_s=time.time(),
        digest="",
    )
    return replace(unlocked, digest=_digest(unlocked))


def _params(kind: str, model: ModelConfig) -> int:
    """N of a model, of the kind that a law counts."""
    if kind == "effective":
        return round(flops_per_token(model) / 6)
    counted = count_parameters(model)
    return counted.total if kind == "total" else counted.non_embedding


def _digest(predicted: Forecast) -> str:
    return digest({name: value for name, value in to_json(predicted).items() if name != "digest"})


def _write_once(path: Path, predicted: Forecast) -> None:
    """Whole or not at all, and never over another: a hard link fails where the name is taken."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    write_json(draft, predicted)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
