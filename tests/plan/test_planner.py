"""Studies become trials with stable identities, derived values and quotes."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.accounting import count_parameters, training_flops
from tinyscale.plan.planner import Plan, make_plan
from tinyscale.plan.quote import makespan
from tinyscale.plan.recipe import batch_tokens, intermediate_size, learning_rate, num_heads
from tinyscale.spec import BuiltinCorpus, Study, TrialResult


def study(**changes) -> Study:
    fields = {
        "name": "unit",
        "corpus": BuiltinCorpus(train_stories=100, valid_stories=10),
        "model": {"num_layers": 2, "vocab_size": 512, "context_length": 64},
        "space": ({"hidden_size": (16, 32), "tokens": (250_000, 1_000_000)},),
        "holdout": ({"hidden_size": 96, "tokens": 4_000_000},),
    }
    return Study(**(fields | changes))


def ids(plan: Plan) -> set[str]:
    return {trial.id for trial in plan.trials}


def test_every_combination_is_a_trial_and_hold_outs_come_last() -> None:
    plan = make_plan(study())
    assert [t.name for t in plan.trials] == [
        "d32-L2-V512-D1M-s0",
        "d16-L2-V512-D1M-s0",
        "d32-L2-V512-D250k-s0",
        "d16-L2-V512-D250k-s0",
        "d96-L2-V512-D4M-s0",
    ]
    assert [t.holdout for t in plan.trials] == [False] * 4 + [True]


def test_adding_a_size_keeps_the_other_trials() -> None:
    before = ids(make_plan(study()))
    after = ids(make_plan(study(space=({"hidden_size": (16, 32, 48), "tokens": (250_000, 1_000_000)},))))
    assert before < after
    assert len(after - before) == 2


def test_identity_is_what_decides_the_outcome() -> None:
    base = ids(make_plan(study()))
    assert ids(make_plan(study(name="other", question="?"))) == base
    assert ids(make_plan(study(train={"log_every": 7, "checkpoint_every": 9, "micro_batch_size": 1}))) == base
    assert not ids(make_plan(study(train={"weight_decay": 0.2}))) & base
    assert not ids(make_plan(study(corpus=BuiltinCorpus(train_stories=101, valid_stories=10)))) & base


def test_identity_holds_across_processes_and_hash_seeds(tmp_path: Path) -> None:
    import os
    import subprocess

    script = (
        "from tinyscale.plan.planner import make_plan\nfrom tinyscale.spec import Study\n"
        "s = Study(name='x', space=({'hidden_size': 16, 'num_layers': 1, 'vocab_size': 300, 'tokens': 100000},))\n"
        "print(make_plan(s).trials[0].id)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != ""


def test_twins_are_named_by_what_sets_them_apart() -> None:
    space = ({"hidden_size": 16, "tokens": 250_000, "learning_rate": (0.001, 0.01)},)
    names = {trial.name for trial in make_plan(study(space=space, holdout=())).trials}
    assert names == {"d16-L2-V512-D250k-s0-lr0.001", "d16-L2-V512-D250k-s0-lr0.01"}


def test_overlapping_grids_give_each_trial_once() -> None:
    grid = {"hidden_size": (16, 32), "tokens": 250_000}
    assert len(make_plan(study(space=(grid, grid | {"hidden_size": 16}), holdout=())).trials) == 2


def test_a_named_value_wins_over_the_recipe() -> None:
    plan = make_plan(study(train={"learning_rate": 0.123, "batch_size": 8}, holdout=()))
    assert {t.train.learning_rate for t in plan.trials} == {0.123}
    assert {t.batch_tokens for t in plan.trials} == {8 * 64}


@pytest.mark.parametrize(
    ("hidden", "heads"), [(16, 1), (24, 1), (64, 4), (96, 6), (256, 8), (512, 16), (768, 12), (1024, 16)]
)
def test_heads(hidden: int, heads: int) -> None:
    assert num_heads(hidden) == heads


def test_recipe_rules() -> None:
    assert intermediate_size(64, gated=False) == 256
    assert intermediate_size(64, gated=True) == 176  # 3 x 176 is within 4 % of 2 x 256
    assert learning_rate(128, 2) == pytest.approx(learning_rate(64, 2) / 2)
    assert batch_tokens(4_000_000) == 4096
    assert batch_tokens(16_000_000) == 8192


def test_times_come_from_finished_trials_where_there_are_some() -> None:
    plan = make_plan(study())
    trial = plan.trials[0]
    seconds = 10 * plan.quotes[trial.id].seconds
    result = TrialResult(trial_id=trial.id, name=trial.name, status="done", train_s=seconds - 1)
    measured = make_plan(study(), measured={trial.id: result})
    assert "1 finished" in measured.basis
    assert measured.quotes[trial.id].seconds == pytest.approx(seconds, rel=0.2)


def test_cost_only_with_a_price() -> None:
    assert all(quote.cost is None for quote in make_plan(study()).quotes.values())
    priced = make_plan(study(budget=replace(study().budget, price_per_device_hour=3.6)))
    for quote in priced.quotes.values():
        assert quote.cost == pytest.approx(quote.seconds * 0.001)


def test_makespan_is_longest_first() -> None:
    assert makespan([3, 3, 2, 2, 2], 2) == 7
    assert makespan([5], 8) == 5


@pytest.mark.parametrize("verb", [["plan"], ["launch", "--dry-run"]])
def test_the_shipped_studies_plan_without_a_network(verb, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from tinyscale.cli import main

    studies = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
    assert studies
    for path in studies:
        monkeypatch.setattr(sys, "argv", ["tinyscale", *verb, str(path), "--json"])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert not exit_.value.code
        rows = json.loads(capsys.readouterr().out)
        assert rows
        assert all(row["quote"]["flops"] > 0 for row in rows)


def trunk_study(**changes) -> Study:
    return study(train={"schedule": "trunk", "batch_size": 16}, **changes)


def test_the_budgets_of_a_trunk_are_one_trial_a_size() -> None:
    plan = make_plan(trunk_study(space=({"hidden_size": (16, 32), "tokens": (1_000_000, 250_000, 500_000)},)))
    small = next(trial for trial in plan.trials if trial.model.hidden_size == 16)
    assert [t.name for t in plan.trials] == ["d32-L2-V512-D1M-s0", "d16-L2-V512-D1M-s0", "d96-L2-V512-D4M-s0"]
    assert (small.train.tokens, small.train.branches) == (1_000_000, (250_000, 500_000))
    assert small.budgets == (249_856, 499_712, 1_000_448)
    assert small.train.warmup_steps == 24  # a tenth of the smallest budget's 244 steps
    assert [line.fork for line in small.lines] == [195, 390, 782]
    separate = make_plan(
        study(
            train={"schedule": "wsd", "batch_size": 16},
            space=({"hidden_size": 16, "tokens": (250_000, 500_000, 1_000_000)},),
        )
    )
    cost = sum(quote.flops for trial_id, quote in separate.quotes.items() if "d16" in trial_id)
    assert plan.quotes[small.id].flops / cost == pytest.approx(1.15 / 1.75, rel=0.01)
    assert plan.quotes[small.id].steps == small.steps == 977 + 49 + 98


def test_a_budget_more_is_another_trunk_and_twins_are_named_apart() -> None:
    grids = ({"hidden_size": 16, "tokens": (250_000, 1_000_000)}, {"hidden_size": 16, "tokens": (500_000, 1_000_000)})
    plan = make_plan(trunk_study(space=grids))
    assert len(plan.trials) == 3
    assert sorted(t.name for t in plan.trials)[:2] == [
        "d16-L2-V512-D1M-s0-branches=250k",
        "d16-L2-V512-D1M-s0-branches=500k",
    ]


@pytest.mark.parametrize(
    ("train", "tokens", "said"),
    [
        ({}, (500, 1_000_000), "tokens 500 is less than one batch of 1024"),
        ({"warmup_steps": 200}, (250_000, 1_000_000), "the first cooldown, of 249856 tokens, needs steps before it"),
        ({"decay_fraction": 0}, (250_000, 1_000_000), "decay_fraction 0 leaves 244"),
        ({}, (250_000, 250_100), "further apart"),
    ],
)
def test_a_trunk_that_cannot_be_is_refused(train, tokens, said) -> None:
    with pytest.raises(ValueError, match=said):
        make_plan(
            study(
                train={"schedule": "trunk", "batch_size": 16, **train}, space=({"hidden_size": 16, "tokens": tokens},)
            )
        )


@pytest.mark.parametrize("schedule", ["trunk", "wsd"])
def test_a_hold_out_that_a_trunk_would_show_is_refused(schedule) -> None:
    leaking = trunk_study(
        space=({"hidden_size": 32, "tokens": (250_000, 1_000_000), "warmup_steps": 20},),
        holdout=({"hidden_size": 32, "tokens": 250_000, "warmup_steps": 20, "schedule": schedule},),
    )
    with pytest.raises(ValueError, match=r"holdout.0: d32-L2-V512-D250k-s0 is in space as well"):
        make_plan(leaking)


def test_budgets_by_compute_and_by_parameters() -> None:
    space = ({"hidden_size": (16, 32, 64), "flops": 1e12}, {"hidden_size": (16, 32), "tokens_per_param": (5, 20)})
    plan = make_plan(study(space=space, holdout=()))
    flops = {t.id: training_flops(t.model, t.train.tokens) for t in plan.trials}
    equal = [t for t in plan.trials if flops[t.id] == pytest.approx(1e12, rel=1e-5)]
    ratios = [t.train.tokens / count_parameters(t.model).total for t in plan.trials if t not in equal]
    assert sorted(t.model.hidden_size for t in equal) == [16, 32, 64]
    assert sorted(ratios) == pytest.approx([5, 5, 20, 20], rel=1e-4)


def test_a_trunk_branches_at_tokens_per_parameter() -> None:
    space = ({"hidden_size": (16, 32), "tokens_per_param": (5, 10, 20)},)
    plan = make_plan(study(space=space, holdout=(), train={"schedule": "trunk"}))
    assert len(plan.trials) == 2
    for trial in plan.trials:
        params = count_parameters(trial.model).total
        assert (*trial.train.branches, trial.train.tokens) == (5 * params, 10 * params, 20 * params)
