"""The studies of public systems: shapes and recipes are those that were published, and every profile can be run."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tinyscale.accounting import ParameterCount, count_parameters, model_bytes, training_flops
from tinyscale.plan.arms import rate_arms
from tinyscale.plan.planner import Plan, make_plan
from tinyscale.report.published import ELDAN_LI_2023
from tinyscale.spec import Trial
from tinyscale.spec.load import StudyError, load_study, study_schema

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
PROFILES = [(path, name) for path in STUDIES for name in yaml.safe_load(path.read_text()).get("profiles", {})]


def plan(name: str, profile: str = "", overrides: Sequence[str] = ()) -> Plan:
    """Whatever the cache of this machine holds."""
    path = next(path for path in STUDIES if path.stem == name)
    return make_plan(load_study(path, overrides, profile=profile), offline=True, bytes_per_token={})


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_plans_with_its_question_and_cost_above_it(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert make_plan(study, offline=True).trials
    text = path.read_text()
    assert "# Question" in text
    assert "# Cost" in text


@pytest.mark.parametrize(("path", "profile"), PROFILES, ids=lambda part: getattr(part, "stem", part))
def test_every_mini_runs_within_minutes_on_two_cores(path: Path, profile: str) -> None:
    made = plan(path.stem, profile)
    assert made.study.name == f"{path.stem}-{profile}"
    assert made.study.corpus.source == "builtin"
    assert {made.quotes[trial.id].share.gpus for trial in made.trials} == {0}
    assert made.wall_s(2) < 300
    full = plan(path.stem)
    assert {trial.model.preset for trial in made.trials} == {trial.model.preset for trial in full.trials}


def test_gpt2_124m() -> None:
    (trial,) = plan("gpt2_124m").trials
    model, train = trial.model, trial.train
    assert count_parameters(model).total == 124_439_808
    assert count_parameters(replace(model, vocab_size=50_304)).total == 124_475_904
    assert model_bytes(model) // 2 <= 248_894_656 <= model_bytes(model) // 2 + 32_768  # bf16, and the file's header
    assert (trial.steps, trial.batch_tokens, train.micro_batch_size) == (20_000, 524_288, 64)
    assert (train.learning_rate, train.final_lr_ratio, train.warmup_steps, train.weight_decay) == (6e-4, 0, 700, 0.1)
    assert (train.eval_every, train.checkpoint_every, train.precision) == (250, 5_000, "bf16")


@pytest.mark.parametrize(
    ("rows", "parts", "total"),
    [
        (8_001, (6_537_984, 28_342_272, 6_146_304), 41_026_560),
        (50_257, (38_990_592, 28_342_272, 38_598_912), 105_931_776),
    ],
)
def test_gptneo_41m_by_part(rows: int, parts: tuple[int, int, int], total: int) -> None:
    made = plan("gptneo_41m")
    assert made.vocab_sizes == (8_001, 10_000, 50_257)
    (trial,) = [trial for trial in made.trials if trial.model.vocab_size == rows]
    assert _by_table(count_parameters(trial.model)) == parts
    assert made.quotes[trial.id].params_total == total


def test_the_plan_prints_the_published_counts(capsys: pytest.CaptureFixture[str]) -> None:
    from tinyscale.report.listing import print_plan

    for name, counts in (("gptneo_41m", ["41,026,560", "105,931,776"]), ("gpt2_124m", ["124,439,808", "124,475,904"])):
        print_plan(plan(name), set())
        said = capsys.readouterr().out
        assert [count for count in counts if count not in said] == []


def _by_table(count: ParameterCount) -> tuple[int, int, int]:
    """Embeddings with positions, blocks, output with the final norm."""
    return count.token_embedding + count.position_embedding, count.blocks, count.head + count.final_norm


def test_stories260k() -> None:
    (trial,) = plan("stories260k").trials
    model, train = trial.model, trial.train
    assert count_parameters(model).total == 260_032
    assert (model.num_heads, model.num_kv_heads, model.intermediate_size, model.dropout) == (8, 4, 172, 0.05)
    assert (trial.steps, train.batch_size, train.learning_rate, train.beta2) == (100_000, 128, 1e-3, 0.99)
    assert (train.warmup_steps, train.weight_decay, train.eval_every) == (1_000, 0.01, 2_000)
    (mini,) = plan("stories260k", "mini").trials
    assert count_parameters(mini.model).total == 260_032


def test_cs336_23m() -> None:
    (trial,) = plan("cs336_23m").trials
    assert count_parameters(trial.model).total == 22_696_448
    assert count_parameters(trial.model).non_embedding == 12_456_448
    assert (trial.steps, trial.train.batch_size, trial.train.learning_rate) == (40_000, 32, 1e-3)


def test_tinystories_grid() -> None:
    made = plan("tinystories_grid")
    shapes = {(trial.model.hidden_size, trial.model.num_layers) for trial in made.trials}
    assert len(shapes) == len(made.trials) == 30
    assert ELDAN_LI_2023.keys() <= shapes
    assert {(t.model.preset, t.model.num_heads, t.model.sliding_window, t.model.vocab_size, t.model.context_length)
            for t in made.trials} == {("gptneo", 16, 256, 10_000, 512)}  # fmt: skip
    rates = {(t.model.hidden_size, t.model.num_layers): t.train.learning_rate for t in made.trials}
    assert rates[768, 4] == pytest.approx(5e-4, rel=0.2), "the published rate of the published model of this shape"
    grading = made.study.grading
    assert (grading.prompts, grading.judge.protocol, grading.models) == ("tinystories", "paper", 0)
    mini = plan("tinystories_grid", "mini")
    small = {(t.model.hidden_size, t.model.num_layers) for t in mini.trials}
    assert len(small & ELDAN_LI_2023.keys()) >= 2, "or the paper's losses would not be drawn"


SHAPES = [(64, 1), (128, 2), (192, 3), (256, 4), (384, 6), (512, 8)]
UNIQUE_TOKENS = 540e6
"""Of the V2 text at V = 4,096."""


def test_scaling_law_has_every_arm() -> None:
    trials = plan("scaling_law").trials
    fitted = [trial for trial in trials if not trial.holdout]
    base = [trial for trial in fitted if trial.model.vocab_size == 4_096]

    trunks = [trial for trial in base if len(trial.budgets) == 5]
    seeds = Counter((trial.model.hidden_size, trial.model.num_layers) for trial in trunks)
    assert dict(seeds) == dict(zip(SHAPES, (3, 3, 3, 3, 1, 1), strict=True))
    for trial in trunks:
        ratios = [tokens / count_parameters(trial.model).total for tokens in trial.budgets]
        assert ratios == pytest.approx([5, 10, 20, 40, 80], rel=2e-3)

    for level in (3e14, 1.5e15, 7.5e15):
        of_level = [trial for trial in base if _flops(trial) == pytest.approx(level, rel=2e-3)]
        assert len({trial.model.hidden_size for trial in of_level}) == 5
    deep = {t.model.num_layers for t in base if t.model.hidden_size == 256 and t.train.tokens == 160_000_000}
    assert deep == {1, 2, 4, 8, 16}
    assert {len(arms) for arms in rate_arms(base)} == {2}, "the recipe's own rate has other budgets as well"
    for arms in rate_arms(base):
        (own,) = {t.train.learning_rate for t in trunks if t.model == arms[0].model}
        assert [arm.train.learning_rate / own for arm in arms] == pytest.approx([0.5, 2], rel=0.01)


def test_scaling_law_compares_vocabularies_at_equal_text() -> None:
    made = plan("scaling_law")
    cells = defaultdict(dict)
    for trial in made.trials:
        if trial.id in made.provisional:
            cells[trial.model.hidden_size][trial.model.vocab_size] = [
                tokens * made.text_per_token[trial.model.vocab_size] for tokens in trial.budgets
            ]
    assert sorted(cells) == [128, 256, 384]
    assert all(sorted(cell) == [512, 2_048, 4_096, 8_192, 50_257] for cell in cells.values())
    for text in (text for cell in cells.values() for text in cell.values()):
        assert text == pytest.approx([125e6, 500e6, 2e9], rel=1e-3)


def test_scaling_law_forecasts_3_and_10_times_its_largest_compute_in_about_a_day() -> None:
    made = plan("scaling_law")
    largest = max(_flops(trial) for trial in made.trials if not trial.holdout)
    held = sorted((trial for trial in made.trials if trial.holdout), key=_flops)
    assert [_flops(trial) / largest for trial in held] == pytest.approx([3, 10], rel=0.02)
    assert all(trial.model.hidden_size == 64 * trial.model.num_layers for trial in held)
    assert all(trial.train.tokens < 4.1 * UNIQUE_TOKENS for trial in made.trials)
    assert 20 < made.wall_s(1) / 3600 < 28
    first = plan("scaling_law", overrides=["holdout=[]"])
    then = plan("scaling_law", overrides=["resources.workers=8", "resources.gpus=1"])
    done = {trial.id for trial in first.trials}
    assert first.wall_s(8) + then.wall_s(8, done) < 5 * 3600
    assert {trial.id for trial in then.trials} - done == {trial.id for trial in held}


def test_the_mini_of_scaling_law_has_every_arm_too() -> None:
    trials = plan("scaling_law", "mini").trials
    fitted = [trial for trial in trials if not trial.holdout]
    largest = max(_flops(trial) for trial in fitted)
    assert [_flops(trial) / largest for trial in trials if trial.holdout] == pytest.approx([3], rel=0.03)
    assert {trial.model.vocab_size for trial in fitted} == {512, 1_024, 2_048}
    assert {trial.train.seed for trial in fitted} == {0, 1}
    assert {trial.model.num_layers for trial in fitted} == {2, 3, 4}
    assert [len(arms) for arms in rate_arms(fitted)] == [2]


def _flops(trial: Trial) -> float:
    """Of the largest budget."""
    return training_flops(trial.model, trial.budgets[-1])


GOOD = """\
name: good
corpus: {source: hub}
model: {num_layers: 2, vocab_size: 512, context_length: 64, hidden_size: 32}
space: [{tokens: 1M}]
"""


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ("profiles: {tiny: {}}", "no profile 'mini'; its profiles are: tiny"),
        ("", "no profile 'mini'; its profiles are: none"),
        ("profiles: [mini]", "study.yaml:5: profiles names sets of fields"),
        ("profiles: {mini: 3}", "study.yaml:5: profiles names sets of fields"),
        (
            "profiles:\n  mini:\n    modle: {}\n    model: {num_layer: 1}",
            "study.yaml:8: model.num_layer: unknown field",
        ),
    ],
)
def test_a_bad_profile_is_named(tmp_path: Path, profiles: str, words: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(GOOD + profiles)
    with pytest.raises(StudyError, match=words):
        load_study(path, profile="mini")


def test_overrides_stand_over_a_profile_and_a_corpus_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(GOOD + "profiles: {mini: {corpus: {source: builtin, seed: 3}, model: {num_layers: 1}}}")
    study = load_study(path, ["model.hidden_size=16"], profile="mini")
    assert (study.name, study.corpus.source, dict(study.model)["num_layers"]) == ("good-mini", "builtin", 1)
    assert dict(study.model)["hidden_size"] == 16
    assert load_study(path).name == "good"
    assert "profiles" in study_schema()["properties"]
