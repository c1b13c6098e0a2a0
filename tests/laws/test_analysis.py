"""The whole analysis of a study: each part alone, none of it looks at a hold-out, and stored beside its law."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.accounting import count_parameters
from tinyscale.laws import fit_columns, fit_points
from tinyscale.laws.analysis import analyse
from tinyscale.laws.study import fit_law, fit_study
from tinyscale.plan.recipe import resolve
from tinyscale.results.store import StudyStore
from tinyscale.spec import Analysis, LawFit, Point, ResolvedStudy, Study, Trial, TrialResult, read_json, write_json
from tinyscale.spec.study import LawOptions

Shaped = Callable[..., list[Point]]
QUICK = LawOptions(bootstraps=60)
SHAPES = [(16, 1), (16, 4), (32, 2), (64, 1), (64, 4)]


def analysis_of(points: list[Point], options: LawOptions = QUICK) -> Analysis:
    return analyse(points, fit_points(points, options=options), options)


def test_each_part_stands_alone(shaped: Shaped) -> None:
    """Shapes and counts are there; equal compute and vocabularies are not, and say what to add."""
    points = shaped(SHAPES)
    slow = replace(points[0], trial_id="slow", learning_rate=1e-3, bpb=1.1 * points[0].bpb)
    found = analysis_of([*points, slow])
    assert found.shape is not None
    assert found.shape.law_residual_rms < 0.01
    assert [counted.params for counted in found.counting] == ["total", "non_embedding", "effective"]
    assert (found.counting_refused, found.shape_refused) == ("", "")
    assert found.isoflops is None
    assert "add trials of 5 sizes or more" in found.isoflops_refused
    assert found.vocabulary is None
    assert found.vocabulary_refused
    (cell,) = found.rates
    assert (cell.hidden_size, cell.num_layers, cell.best, cell.at_edge) == (16, 1, 3e-3, True)

    flat = analysis_of(shaped([(16, 2), (32, 2), (64, 2), (128, 2)]))
    assert flat.shape is None
    assert "every point fitted has num_layers 2" in flat.shape_refused
    assert len(flat.counting) == 3


def test_holdouts_and_points_left_out_change_nothing(shaped: Shaped) -> None:
    points = shaped(SHAPES)
    law = fit_points(points, options=QUICK)
    others = [replace(p, trial_id=f"held-{p.trial_id}", bpb=9.0, learning_rate=1.0, holdout=True) for p in points]
    seen = analyse(points, law, QUICK)
    assert analyse([*points, *others], replace(law, excluded={p.trial_id: "hold-out" for p in others}), QUICK) == seen


def test_takes_seconds(shaped: Shaped) -> None:
    """20 points, 1,000 bootstraps: every launch ends with it. Measured here on one core: 0.2 s the law, 1 s the rest;
    8 s where the threads of scipy's BLAS get in each other's way (OMP_NUM_THREADS unset, two busy cores)."""
    points = shaped(SHAPES)
    began = time.process_time()
    analysis_of(points, LawOptions())
    assert time.process_time() - began < 20


def stored(folder: Path, points: list[Point]) -> tuple[StudyStore, list[Trial]]:
    """A study's folder with one finished trial a point."""
    store, trials = StudyStore(folder), []
    for point in points:
        shape = {"hidden_size": point.hidden_size, "num_layers": point.num_layers, "vocab_size": point.vocab_size}
        model, train = resolve({**shape, "context_length": 128, "tokens": point.tokens})
        assert count_parameters(model).total == point.params_total
        trial = Trial(model=model, train=train, corpus="c", tokenizer="t")
        result = TrialResult(
            trial_id=trial.id, name=trial.name, status="done", points=(replace(point, trial_id=trial.id),)
        )
        write_json(store.trial(trial.id).result, result)
        trials.append(trial)
    study = Study(name="shapes", space=({"hidden_size": 16},), law=QUICK)
    write_json(store.study, ResolvedStudy(study=study, trials=tuple(trials)))
    return store, trials


def test_stored_beside_the_law_and_gone_with_it(shaped: Shaped, tmp_path: Path) -> None:
    store, trials = stored(tmp_path / "shapes", shaped(SHAPES))
    fitted = fit_study(store)
    assert fitted.analysis is not None
    assert fitted.analysis.shape is not None
    assert read_json(Analysis, store.analysis) == fitted.analysis
    assert read_json(LawFit, store.law) == fitted.law

    alone = fit_law(store)
    assert (alone.law, alone.analysis) == (fitted.law, None)
    assert not store.analysis.exists()

    fit_study(store)
    for trial in trials[3:]:
        store.trial(trial.id).result.unlink()
    fitted = fit_study(store)
    assert (fitted.law, fitted.analysis) == (None, None)
    assert "add at least" in fitted.refused
    assert not store.law.exists()
    assert not store.analysis.exists()


def test_a_law_of_any_table_alone(shaped: Shaped) -> None:
    """Three columns are enough."""
    points = shaped([(16, 2), (32, 2), (64, 2), (128, 2)], noise=0.001)
    N, D, loss = [p.params_total for p in points], [p.tokens for p in points], [p.bpb for p in points]
    law, same = fit_columns(N, D, loss, bootstraps=60), fit_points(points, options=QUICK)
    assert (law.alpha, law.beta, law.verdict) == (same.alpha, same.beta, "trusted")
    assert set(law.intervals) == set(same.intervals)
    assert law.trial_ids[0] == "row 1"
    with pytest.raises(ValueError, match=r"stands in 2 rows.*seed"):
        fit_columns([*N, N[0]], [*D, D[0]], [*loss, loss[0]])
    with pytest.raises(ValueError, match="loss is not finite"):
        fit_columns(N, D, [*loss[1:], float("nan")])
    with pytest.raises(ValueError, match="one length"):
        fit_columns(N, D, loss[1:])
