"""Forecasts with a vocabulary, and of the best one, from a made-up study's stored laws."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyscale.accounting import count_parameters, training_flops
from tinyscale.laws import fit_points
from tinyscale.laws.vocabulary import fit_vocabulary
from tinyscale.laws.vocabulary_form import Terms, bytes_per_token, predict_bpb
from tinyscale.report.outlook import vocabulary_lines
from tinyscale.results.store import StudyStore
from tinyscale.spec import Analysis, Point, ResolvedStudy, Study, Trial, TrialResult, read_json, write_json
from tinyscale.spec.study import LawOptions

THREE = Terms(E=0.8, A1=20.0, alpha1=0.45, A2=12.0, alpha2=0.40, B=3000.0, beta=0.55)
PER_TOKEN = (-1.0, 0.55, -0.005)
FLOP_PER_S = 5e9
"""Of the made-up trials."""
Run = Callable[..., tuple[int, str, str]]
MakeTrial = Callable[..., Trial]
MakeResult = Callable[..., TrialResult]


def bytes_at(vocab_size: int) -> float:
    return float(bytes_per_token(PER_TOKEN, np.log(vocab_size)))


def obeys(scatter: float) -> Callable[[Point], float]:
    """The law THREE, give or take."""

    def loss(point: Point) -> float:
        vocab_params = point.vocab_size * point.hidden_size
        bpb = predict_bpb(np.array([THREE]), point.params_non_embedding, vocab_params, point.text_bytes)
        return scatter * float(bpb[0, 0])

    return loss


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, trial: MakeTrial, result: MakeResult) -> Path:
    """The study of four vocabularies, one whose law of them is withheld, and one whose law is loose."""
    folder = tmp_path_factory.mktemp("runs")
    generator = np.random.default_rng(4)
    trials = tuple(
        trial(hidden, tokens, vocab_size)
        for hidden in (32, 64, 128, 256) for vocab_size in (512, 1024, 2048, 4096) for tokens in (2**18, 2**20, 2**22)
    )  # fmt: skip
    results = [
        result(each, obeys(float(np.exp(0.001 * generator.standard_normal()))), bytes_at(each.model.vocab_size))
        for each in trials
    ]
    points = [found.points[0] for found in results]
    vocabulary = fit_vocabulary(points, bootstraps=200)
    assert vocabulary.warnings == ()
    for name, changed in {
        "vocab": vocabulary,
        "loosevocab": replace(vocabulary, warnings=("alpha2 is not pinned down.",)),
        "novocab": replace(vocabulary, warnings=("Not yet a power law.",), forecast_holds=False),
    }.items():
        store = StudyStore(folder / name)
        study = Study(name=name, space=({"hidden_size": 32},), law=LawOptions(bootstraps=200, vocab_size=512))
        write_json(store.study, ResolvedStudy(study=study, trials=trials))
        for each, found in zip(trials, results, strict=True):
            write_json(store.trial(each.id).result, found)
        write_json(store.law, fit_points(points, options=study.law))
        write_json(store.analysis, Analysis(vocabulary=changed))
    return folder


def test_a_run_with_another_vocabulary(run: Run, trial: MakeTrial) -> None:
    """Hidden 128 with V = 2,048 and a tied head: 393,856 parameters in the blocks and 262,144 in the embedding."""
    model = trial(128, 2**20, 2048).model
    counted = count_parameters(model)
    words = ("vocab", "--params", str(counted.total), "--tokens", "4M", "--vocab", "2048")
    code, out, err = run(*words)
    assert code == 0, err
    text_bytes = 4e6 * float(bytes_per_token(PER_TOKEN, np.log(2048)))
    truth = float(predict_bpb(np.array([THREE]), counted.non_embedding, 2048 * 128, text_bytes)[0, 0])
    found = re.match(r"bpb = (\S+) \(95 % interval (\S+) to (\S+)\) for N = \S+ total parameters and D = 4M", out)
    assert found, out
    value, low, high = map(float, found.groups())
    assert low < truth < high
    assert value == pytest.approx(truth, rel=0.005)
    assert "V = 2,048, law of the vocabulary, 48 points fitted" in out
    assert "on AMD EPYC" in out
    assert "warning" not in out
    said = json.loads(run(*words, "--json")[1])
    assert said["params_non_vocab"] == pytest.approx(counted.non_embedding, rel=0.02)
    assert said["duration"]["hours"] == pytest.approx(training_flops(model, 4_000_000) / FLOP_PER_S / 3600, rel=0.1)


def test_the_best_run_of_a_compute_over_all_vocabularies_and_with_one(run: Run) -> None:
    code, out, err = run("vocab", "--flops", "1e13")
    assert code == 0, err
    assert re.search(
        r"over all vocabularies: best V = \S+ \(95 % interval \S+ to \S+\), N_nv = \S+ \(95 % interval .*\), "
        r"D = \S+ \(.*\), bpb = \S+ \(", out
    )  # fmt: skip
    best = json.loads(run("vocab", "--flops", "1e13", "--json")[1])["vocabulary"]
    given = json.loads(run("vocab", "--flops", "1e13", "--vocab", "512", "--json")[1])
    assert 1024 < best["vocab_size"]["low"] <= best["vocab_size"]["value"] <= best["vocab_size"]["high"] < 4096
    assert best["bpb"]["value"] < given["loss"]["value"]
    assert given["split"]["vocab_size"] == {"value": pytest.approx(512), "low": pytest.approx(512),
                                            "high": pytest.approx(512)}  # fmt: skip
    _, text, _ = run("vocab", "--flops", "1e13", "--vocab", "512")
    assert re.match(r"best bpb = \S+ \(95 % .*\) for C = 6 \(N_nv \+ V d\) D = 1e\+13 FLOPs   \(V = 512, law of", text)
    assert re.search(r"^  best N_nv = \S+ \(95 % interval \S+ to \S+\)\n  best D = \S+ \(", text, re.MULTILINE)


def test_loose_exponents_of_the_vocabulary_leave_only_spans(run: Run) -> None:
    _, out, _ = run("loosevocab", "--flops", "1e13")
    assert re.search(r"over all vocabularies: best V somewhere from \S+ to \S+, N_nv = somewhere from", out)
    _, given, _ = run("loosevocab", "--flops", "1e13", "--vocab", "1024")
    assert "exponents withheld" in given
    assert "warning: alpha2 is not pinned down." in given


def test_the_law_of_the_vocabulary_in_sentences(storage: Path) -> None:
    law = read_json(Analysis, StudyStore(storage / "vocab").analysis).vocabulary
    assert law is not None
    said = "\n".join(vocabulary_lines(law))
    assert re.match(
        r"bpb = 0\.\d+ \+ \S+ / N_nv\^0\.\d+ \+ \S+ / \(V d\)\^0\.\d+ \+ \S+ / bytes\^0\.\d+   \(48 po", said
    )
    assert "verdict: trusted" in said
    assert len(re.findall(r"best V .* for N_nv = \S+, C = \S+ FLOPs", said)) == 4
    assert len(re.findall(r"best V .*, N_nv .* for C = \S+ FLOPs", said)) == 5
    withheld = read_json(Analysis, StudyStore(storage / "novocab").analysis).vocabulary
    assert withheld is not None
    loose = "\n".join(vocabulary_lines(withheld))
    assert loose.startswith("bpb = E + A1 / N_nv^alpha1 + A2 / (V d)^alpha2 + B / bytes^beta   (48 points")
    assert "verdict: forecast withheld, exponents withheld" in loose
    assert "warning: Not yet a power law." in loose


def test_beyond_the_vocabularies_fitted_is_said(run: Run) -> None:
    _, out, _ = run("vocab", "--params", "1M", "--tokens", "4M", "--vocab", "6000")
    assert "warning: V = 6,000 lies outside of the vocabularies fitted, 512 to 4,096" in out
    _, out, _ = run("vocab", "--flops", "1e8")
    assert "best V at the end of what was searched, N_nv at the end of what was searched" in out
    assert "but the best V lies at 257, the end of what was searched, or beyond" in out
    _, out, _ = run("novocab", "--flops", "1e13")
    assert "over all vocabularies" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("novocab --flops 1e13 --vocab 512", "the law of the vocabulary forecasts nothing:\n  Not yet a power law."),
        ("vocab --flops 1e13 --vocab 16384", "fitted on 512 to 4,096 and speaks of 257 to 8,192: add trials with that"),
        ("vocab --params 100 --tokens 1M --vocab 4096", "100 parameters are less than the embeddings"),
        ("vocab --vocab 512", "--flops C, or of --params N and --tokens D; given: nothing"),
    ],
)
def test_refused_with_the_reason(words: str, message: str, run: Run) -> None:
    code, out, err = run(*words.split())
    assert code == 2, out
    assert message in err
    assert "Traceback" not in err
