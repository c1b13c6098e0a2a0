"""What a trial occupies, where the study leaves it to the planner."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.plan import share
from tinyscale.plan.planner import PlanError, make_plan
from tinyscale.plan.quote import makespan
from tinyscale.plan.share import ASSUMED_CARD, Card, best_threads, choose_share, local_card, trials_per_card
from tinyscale.spec import BuiltinCorpus, Study, Trial
from tinyscale.spec.load import StudyError, load_study, study_schema
from tinyscale.spec.study import Resources, Share

SIZES = {"hidden_size": (16, 512), "tokens": 1_000_000}
H200 = Card("NVIDIA H200", 150e9)


def study(resources: Resources, **changes: object) -> Study:
    fields = {
        "name": "unit",
        "corpus": BuiltinCorpus(train_stories=100, valid_stories=10),
        "model": {"num_layers": 2, "vocab_size": 512, "context_length": 64},
        "space": (SIZES,),
        "resources": resources,
    }
    return Study(**(fields | changes))  # type: ignore[arg-type]


def trials(**grid: object) -> list[Trial]:
    return list(make_plan(study(Resources(), space=({"num_layers": 2, "tokens": 4_000_000} | grid,))).trials)  # type: ignore[arg-type, dict-item]


def test_the_choice_changes_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "local_card", lambda: None)
    fixed = make_plan(study(Resources()))
    chosen = make_plan(study(Resources(cpus="auto", gpus="auto")))
    assert [t.id for t in fixed.trials] == [t.id for t in chosen.trials]
    assert fixed.card == ""
    assert chosen.card == "an RTX 5090 (assumed: no card is here to ask), 32 GB"
    assert {q.share for q in fixed.quotes.values()} == {Share()}
    assert [row["quote"]["share"]["cpus"] for row in chosen.rows()] == [1, 1]


def test_a_tiny_model_shares_a_card_and_a_big_one_has_it_alone() -> None:
    (tiny,) = trials(hidden_size=32)
    assert trials_per_card(tiny, 1, ASSUMED_CARD) == 8
    (big,) = trials(hidden_size=1024, num_layers=12, batch_size=512)
    assert trials_per_card(big, 1, H200) == 1
    counts = [
        trials_per_card(trial, 1, H200) for size in (64, 128, 256, 512, 1024) for trial in trials(hidden_size=size)
    ]
    assert counts == sorted(counts, reverse=True)
    assert 1 < counts[-2] < 8, "in between there are shares in between"


def test_memory_counts_as_well_as_time() -> None:
    """Much text a step through a narrow model is little work and many activations."""
    (trial,) = trials(hidden_size=32, batch_size=256, context_length=256, kernels="torch", vocab_size=8192)
    few, many = trials_per_card(trial, 1, Card("small", 12e9)), trials_per_card(trial, 1, H200)
    assert few < many
    cut = replace(trial, train=replace(trial.train, micro_batch_size=8))
    assert trials_per_card(cut, 1, Card("small", 12e9)) == many
    assert trials_per_card(trial, 1, Card("too small", 1e9)) == 1, "it has the card alone, and may not fit even so"


def test_shares_of_one_card_add_up_to_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny,) = trials(hidden_size=32)
    for count in range(1, 9):
        monkeypatch.setattr(share, "trials_per_card", lambda *_, count=count: count)
        gpus = choose_share(tiny, Resources(gpus="auto"), H200).gpus
        assert count * gpus <= 1 < (count + 1) * gpus
        assert gpus == round(gpus, 4), "Ray counts ten-thousandths"


def test_cores_by_the_size_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = trials(hidden_size=64)[0], trials(hidden_size=768, num_layers=4)[0]
    assert (best_threads(small), best_threads(large)) == (1, 2)
    auto = Resources(cpus="auto")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    assert [choose_share(trial, auto, H200) for trial in (small, large)] == [Share(cpus=1), Share(cpus=2)]
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert choose_share(large, auto, H200) == Share(cpus=1), "never more than there are"
    assert choose_share(large, replace(auto, gpus=0.5), H200) == Share(cpus=1, gpus=0.5)
    assert choose_share(large, Resources(cpus=3, workers=2), H200) == Share(workers=2, cpus=3)


def test_the_card_is_asked_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local_card() is None
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA RTX PRO 6000, 97887'\necho 'NVIDIA GeForce RTX 5090, 32607'\n")
    tool.chmod(0o755)
    assert local_card() == Card("NVIDIA GeForce RTX 5090", 32607 * 2**20)
    tool.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert local_card() is None


def test_a_study_may_say_auto(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\nspace: [{hidden_size: 16}]\nresources: {cpus: auto, gpus: auto}\n")
    assert load_study(path).resources == Resources(cpus="auto", gpus="auto")
    assert load_study(path, ["resources.gpus=0.25", "resources.cpus=2"]).resources == Resources(cpus=2, gpus=0.25)
    assert load_study(path, ["resources.scheduler=asha"]).resources.scheduler == "asha"
    for wrong in ("resources.cpus=some", "resources.cpus=yes", "resources.gpus=all", "resources.scheduler=hyperband"):
        with pytest.raises(StudyError, match=wrong.partition("=")[0]):
            load_study(path, [wrong])
    for numbers in ("resources.cpus=0", "resources.gpus=-1", "resources.gpus=2"):
        with pytest.raises(PlanError, match="resources"):
            make_plan(load_study(path, [numbers, "model.num_layers=1", "model.vocab_size=300", "train.tokens=100k"]))
    options = study_schema()["$defs"]["Resources"]["properties"]
    assert {"const": "auto"} in options["cpus"]["anyOf"]
    assert {"const": "auto"} in options["gpus"]["anyOf"]


def test_trials_of_several_sizes_are_packed() -> None:
    assert makespan([4, 2, 2], 2, [2, 1, 1]) == 6
    assert makespan([4, 2, 2], 4, [2, 1, 1]) == 4
    assert makespan([3], 1, [2]) == 3, "one at a time fits in any case"
    assert makespan([], 2) == 0


def test_the_plan_shows_each_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from tinyscale.cli import main

    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\nmodel: {num_layers: 12, vocab_size: 512}\nspace: [{hidden_size: [16, 1024], tokens: 64M}]\n"
        "resources: {gpus: auto}\n"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["tinyscale", "plan", str(path), "--storage", str(tmp_path)]
    for more in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", [*words, *more])
        with pytest.raises(SystemExit):
            main()
        said = capsys.readouterr().out
        if more:
            assert [row["quote"]["share"]["gpus"] for row in json.loads(said)] == [1.0, 0.125]
        else:
            assert "0.125 GPU" in said
            assert "shares of a GPU are chosen for an RTX 5090 (assumed: no card is here to ask), 32 GB" in said
