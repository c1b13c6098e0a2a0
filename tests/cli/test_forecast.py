"""Forecasts asked for on the command line, from a made-up study's stored law."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyscale.laws import predict
from tinyscale.laws.study import fit_study
from tinyscale.results.store import StudyStore
from tinyscale.spec import (
    Analysis,
    LawFit,
    Point,
    ResolvedStudy,
    Study,
    Trial,
    TrialResult,
    write_json,
)
from tinyscale.spec.study import LawOptions

TRUTH = {"E": 0.9, "A": 30.0, "B": 600.0, "alpha": 0.40, "beta": 0.45}
FLOP_PER_S = 5e9
"""Of the made-up trials."""
Run = Callable[..., tuple[int, str, str]]
MakeTrial = Callable[..., Trial]
MakeResult = Callable[..., TrialResult]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, trial: MakeTrial, result: MakeResult) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    generator = np.random.default_rng(3)
    trials = tuple(trial(hidden, tokens) for hidden in (32, 64, 128, 256) for tokens in (2**18, 2**20, 2**22))
    study = Study(name="good", space=({"hidden_size": 32},), law=LawOptions(bootstraps=200))
    store = StudyStore(folder / "good")
    write_json(store.study, ResolvedStudy(study=study, trials=trials))
    for each in trials:
        scatter = float(np.exp(0.001 * generator.standard_normal()))

        def loss(point: Point, scatter: float = scatter) -> float:
            return scatter * float(predict(**TRUTH, N=point.params_total, D=point.tokens))

        write_json(store.trial(each.id).result, result(each, loss))
    law = fit_study(store).law
    assert law is not None
    assert law.verdict == "trusted", law.warnings

    def variant(name: str, law: LawFit | None) -> None:
        other = StudyStore(folder / name)
        write_json(other.study, ResolvedStudy(study=replace(study, name=name), trials=trials))
        if law:
            write_json(other.law, law)

    variant("loose", replace(law, warnings=("alpha is not pinned down.",)))
    variant("withheld", replace(law, warnings=("Not yet a power law: train longer.",), forecast_holds=False))
    variant("vanished", replace(law, A=1e-300, warnings=("The loss does not fall with N here.",)))
    variant("lawless", None)
    write_json(StudyStore(folder / "loose").analysis, Analysis(vocabulary_refused="48 point(s) of one vocabulary"))
    return folder


def test_a_run_of_given_size_and_tokens(run: Run) -> None:
    code, out, err = run("good", "--params", "200k", "--tokens", "4M")
    assert code == 0, err
    truth = float(predict(**TRUTH, N=2e5, D=4e6))
    found = re.match(
        r"bpb = (\S+) \(95 % interval (\S+) to (\S+)\) for N = 200k total parameters and D = 4M tokens", out
    )
    assert found, out
    value, low, high = map(float, found.groups())
    assert low < truth < high
    assert value == pytest.approx(truth, rel=0.005)
    assert "V = 512, 12 points fitted" in out
    # 6.1 to 6.9 FLOPs a parameter and token at 5 GFLOP/s: about 17 minutes.
    assert re.search(r"time: 1\d min \d\d s of training .* from 6 finished trial\(s\) of .* on AMD EPYC.* 5e\+09", out)
    assert "warning" not in out
    assert "best" not in out


def test_the_best_run_of_a_compute_with_intervals(run: Run) -> None:
    code, out, err = run("good", "--flops", "1e12", "--json")
    assert code == 0, err
    said = json.loads(out)
    split = said["split"]
    alpha, beta = TRUTH["alpha"], TRUTH["beta"]
    G = (alpha * TRUTH["A"] / (beta * TRUTH["B"])) ** (1 / (alpha + beta))
    a = beta / (alpha + beta)
    N = G * (1e12 / 6) ** a
    for known, truth in ((split["a"], a), (split["G"], G), (split["params"], N), (split["tokens"], 1e12 / 6 / N)):
        assert known["low"] < truth < known["high"]
        assert known["low"] <= known["value"] <= known["high"]
    assert split["params"]["value"] * split["tokens"]["value"] == pytest.approx(1e12 / 6)
    assert said["loss"]["low"] < float(predict(**TRUTH, N=N, D=1e12 / 6 / N)) < said["loss"]["high"]
    assert said["duration"]["hours"] == pytest.approx(1e12 / FLOP_PER_S / 3600, rel=0.3)
    assert said["warnings"] == []

    _, text, _ = run("good", "--flops", "1e12")
    assert re.search(r"^best bpb = \S+ \(95 % interval \S+ to \S+\) for C = 6 N D = 1e\+12 FLOPs", text)
    assert re.search(r"best N = \S+ total parameters, 95 % interval \S+ to \S+\n", text)
    assert re.search(r"a = 0.5\d+ \(95 % interval 0.\d+ to 0.\d+\), G = ", text)


def test_far_beyond_what_was_fitted_is_warned_of(run: Run) -> None:
    code, out, err = run("good", "--flops", "1e16")
    assert code == 0, err
    assert re.search(r"warning: \d+ times the largest compute fitted", out)
    _, large, _ = run("good", "--params", "10M", "--tokens", "1M")
    assert "none within a factor of 3 of this size" in large
    _, small, _ = run("good", "--params", "100", "--tokens", "4M")
    assert "warning: N = 100 lies far outside of what was fitted" in small


def test_loose_exponents_are_withheld_and_the_loss_is_not(run: Run) -> None:
    code, out, err = run("loose", "--flops", "1e13")
    assert code == 0, err
    assert re.match(r"best bpb = \S+ \(95 % interval", out)
    assert re.search(r"best N somewhere from \S+ to \S+ total parameters", out)
    assert "exponents withheld" in out
    assert "warning: alpha is not pinned down." in out
    assert "G = " not in out
    # No trial of this study has finished: no time, and nothing to hold the compute against.
    assert "time:" not in out
    assert "warning: the trials that this law was fitted on are gone" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("withheld --flops 1e13", "forecasts nothing:\n  Not yet a power law: train longer."),
        ("vanished --flops 1e13", "1e+13 FLOPs have no best split under this law"),
        ("lawless --flops 1e13", "lawless: no law yet; fit it (`tinyscale fit lawless`)"),
        ("nowhere --flops 1e13", "nowhere: not launched into"),
        ("good", "--flops C, or of --params N and --tokens D; given: nothing"),
        ("good --params 1M", "given: --params"),
        ("good --flops 1e13 --tokens 1M", "given: --flops and --tokens"),
        ("good --flops 1e13 --params 1M --tokens 1M", "given: --flops and --params and --tokens"),
        ("good --flops 0", "--flops is 0; it must be a positive number"),
        ("good --params -1M --tokens 1M", "--params is -1e+06; it must be a positive number"),
        ("good --params 1M --tokens nan", "--tokens is nan; it must be a positive number"),
        ("good --flops inf", "--flops is inf; it must be a positive number"),
        (
            "loose --flops 1e13 --vocab 512",
            "no law of the vocabulary, so --vocab cannot be answered: 48 point(s) of one",
        ),
        ("vanished --flops 1e13 --vocab 512", "it was never fitted: fit the study again (`tinyscale fit STUDY`)"),
        ("good --flops many", "'many' is not a number"),
    ],
)
def test_refused_with_the_reason(words: str, message: str, run: Run) -> None:
    code, out, err = run(*words.split())
    assert code == 2, out
    assert message in err
    assert "Traceback" not in err
