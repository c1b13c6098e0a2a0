"""The studies of public systems: shapes and recipes are those that were published, and every profile can be run."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tinyscale.accounting import ParameterCount, count_parameters, model_bytes
from tinyscale.plan.planner import Plan, make_plan
from tinyscale.spec.load import StudyError, load_study, study_schema

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
PROFILES = [(path, name) for path in STUDIES for name in yaml.safe_load(path.read_text()).get("profiles", {})]


def plan(name: str, profile: str = "") -> Plan:
    path = next(path for path in STUDIES if path.stem == name)
    return make_plan(load_study(path, profile=profile), offline=True)


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
    assert [trial.model.vocab_size for trial in sorted(made.trials, key=lambda t: t.model.vocab_size)] == [
        8000,
        10000,
        50257,
    ]
    count = count_parameters(replace(made.trials[0].model, vocab_size=rows))
    assert _by_table(count) == parts
    assert count.total == total


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
