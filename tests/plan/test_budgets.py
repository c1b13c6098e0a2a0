"""Budgets of text, which vocabularies turn into tokens, and what the plan says of counts and memory."""

import json
import sys
from pathlib import Path

import pytest

from tinyscale.plan.planner import Plan, make_plan
from tinyscale.spec import BuiltinCorpus, Study

PER_TOKEN = {512: 2.0, 1024: 2.5, 2048: 3.2}
GRID = {"hidden_size": 16, "vocab_size": (512, 1024, 2048), "text_bytes": 2_000_000}


def text_study(*space, holdout=(), **train) -> Study:
    return Study(
        name="unit",
        corpus=BuiltinCorpus(train_stories=100, valid_stories=10),
        model={"num_layers": 2, "vocab_size": 512, "context_length": 64},
        train=train,
        space=space or (GRID,),
        holdout=holdout,
    )


def ids(plan: Plan) -> set[str]:
    return {trial.id for trial in plan.trials}


def test_a_budget_of_text_is_more_tokens_of_a_small_vocabulary() -> None:
    plan = make_plan(text_study(), bytes_per_token=PER_TOKEN)
    assert {t.model.vocab_size: t.train.tokens for t in plan.trials} == {512: 1_000_000, 1024: 800_000, 2048: 625_000}
    assert {t.name for t in plan.trials} == {"d16-L2-V512-D1M-s0", "d16-L2-V1024-D800k-s0", "d16-L2-V2048-D625k-s0"}
    assert plan.provisional == frozenset()
    assert plan.text_per_token == PER_TOKEN
    for trial in plan.trials:  # up to half a step
        text = plan.quotes[trial.id].text_bytes
        assert text == pytest.approx(2_000_000, abs=trial.batch_tokens * PER_TOKEN[trial.model.vocab_size] / 2)


def test_a_budget_of_text_is_the_trial_of_its_tokens() -> None:
    """However a study says it, what is computed has one identity: a study may change from one to the other."""
    grids = ({"hidden_size": 16, "vocab_size": v, "tokens": round(2e6 / b)} for v, b in PER_TOKEN.items())
    said_in_tokens = text_study(*grids)
    assert ids(make_plan(said_in_tokens)) == ids(make_plan(text_study(), bytes_per_token=PER_TOKEN))


def test_without_the_vocabulary_s_shards_the_plan_is_provisional() -> None:
    grids = ({"hidden_size": 16, "vocab_size": (512, 1024), "text_bytes": 2e6}, {"hidden_size": 32, "tokens": 500_000})
    plan = make_plan(text_study(*grids), bytes_per_token={512: 2.0})
    rough = {trial.model.vocab_size for trial in plan.trials if trial.id in plan.provisional}
    assert rough == {1024}
    assert [row["provisional"] for row in plan.rows()].count(True) == 1
    again = make_plan(text_study(*grids), bytes_per_token={512: 2.0})
    assert ids(again) == ids(plan)


def test_hold_outs_and_trunks_take_budgets_of_text() -> None:
    plan = make_plan(
        text_study(
            {"hidden_size": 16, "vocab_size": (512, 2048), "text_bytes": (1e6, 2e6, 4e6)},
            holdout=({"hidden_size": 32, "vocab_size": 2048, "text_bytes": 8e6},),
            schedule="trunk",
            batch_size=16,
        ),
        bytes_per_token=PER_TOKEN,
    )
    spent = {(t.model.vocab_size, t.holdout): (*t.train.branches, t.train.tokens) for t in plan.trials}
    assert spent == {
        (512, False): (500_000, 1_000_000, 2_000_000),
        (2048, False): (312_500, 625_000, 1_250_000),
        (2048, True): (2_500_000,),
    }


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"text_bytes": 0}, "text_bytes is 0; it must be more than 0"),
        ({"text_bytes": 1e6, "flops": 1e12}, "flops and text_bytes are both given"),
        ({"text_bytes": 1e6, "vocab_size": 200}, "vocab_size is 200; it must be at least 257"),
        ({"text_bytes": 100}, "less than one batch"),
    ],
)
def test_a_budget_of_text_that_cannot_be_is_refused(grid, said) -> None:
    with pytest.raises(ValueError, match=said):
        make_plan(text_study({"hidden_size": 16, **grid}))


def planned(path: Path, monkeypatch: pytest.MonkeyPatch, capsys, *words: str) -> str:
    from tinyscale.cli import main

    monkeypatch.setattr(sys, "argv", ["tinyscale", *words, str(path)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    return " ".join(capsys.readouterr().out.split())


def test_preparing_settles_a_provisional_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("TINYSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\ncorpus: {source: builtin, train_stories: 300, valid_stories: 20}\n"
        "model: {hidden_size: 16, num_layers: 1, context_length: 32}\ntrain: {batch_size: 4}\n"
        "space: [{vocab_size: [320, 512], text_bytes: 100k}]\nholdout: [{vocab_size: 320, text_bytes: 300k}]\n"
    )
    before = planned(path, monkeypatch, capsys, "plan")
    assert (
        "bytes a token are estimates (1.64 at V = 320, 2.38 at V = 512), so tokens, names and ids of 3 trials" in before
    )
    assert "are provisional until `tinyscale prepare` has made the tokens" in before
    rough = {row["id"] for row in json.loads(planned(path, monkeypatch, capsys, "plan", "--json"))}
    planned(path, monkeypatch, capsys, "prepare")
    after = planned(path, monkeypatch, capsys, "plan")
    assert "estimates" not in after
    assert "100 kB" in after
    settled = json.loads(planned(path, monkeypatch, capsys, "plan", "--json"))
    assert not {row["id"] for row in settled} & rough
    assert not any(row["provisional"] for row in settled)


def test_the_plan_has_both_counts_of_a_padded_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    studies = Path(__file__).parents[2] / "studies"
    said = planned(studies / "gpt2_124m.yaml", monkeypatch, capsys, "plan")
    assert (
        "V = 50,257: 124,439,808 parameters; with its rows padded to 50,304, as GPU codes count them, 124,475,904"
    ) in said
    assert "weights, checkpoints and exports have one a token" in said
    assert "padded" not in planned(studies / "stories260k.yaml", monkeypatch, capsys, "plan")
    (row,) = json.loads(planned(studies / "gpt2_124m.yaml", monkeypatch, capsys, "plan", "--json"))
    assert (row["quote"]["params_total"], row["quote"]["params_padded"]) == (124_439_808, 124_475_904)


def test_the_plan_says_what_a_worker_holds(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    path = Path(__file__).parents[2] / "studies" / "gpt2_124m.yaml"
    alone = planned(path, monkeypatch, capsys, "plan")
    assert "the largest trial's state takes 2.49 GB a worker, for weights, gradients and optimizer;" in alone
    four = planned(path, monkeypatch, capsys, "plan", "--set", "resources.workers=4")
    assert "takes 1.37 GB a worker, for weights, gradients and optimizer, the last over 4 workers (ZeRO-1);" in four


def test_a_plan_in_a_pipe_is_cut_nowhere(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    said = planned(Path(__file__).parents[2] / "studies" / "scaling_law.yaml", monkeypatch, capsys, "plan")
    assert "125 MB, 500 MB, 2 GB" in said
    assert "…" not in said
