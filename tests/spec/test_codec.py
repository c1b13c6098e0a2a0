"""Spec objects survive the way to JSON and back, and equal ones have equal digests."""

import json
from pathlib import Path

import pytest

from tinyscale.spec import FilesCorpus, Interval, LawFit, Study, digest, from_json, read_json, to_json, write_json
from tinyscale.spec.load import load_study

YAML = """\
name: round
corpus: {source: files, train: [a.txt, b.txt], valid: [c.txt]}
model: {num_layers: 2, vocab_size: 512}
train: {tokens: 250k, learning_rate: 4e-3}
space:
  - hidden_size: [32, 64]
    tokens: [1.5M, 2M]
holdout:
  - {hidden_size: 128}
budget: {price_per_device_hour: 1}
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "round.yaml"
    path.write_text(YAML)
    return load_study(path)


def test_yaml_becomes_typed_values(study: Study) -> None:
    assert study.corpus == FilesCorpus(train=("a.txt", "b.txt"), valid=("c.txt",))
    assert study.train == {"tokens": 250_000, "learning_rate": 0.004}
    assert study.space == ({"hidden_size": (32, 64), "tokens": (1_500_000, 2_000_000)},)
    assert study.budget.price_per_device_hour == 1.0


def test_round_trip(study: Study, tmp_path: Path) -> None:
    again = from_json(Study, json.loads(json.dumps(to_json(study))))
    assert again == study
    assert digest(again) == digest(study)
    write_json(tmp_path / "study.json", study)
    assert read_json(Study, tmp_path / "study.json") == study


def test_override_replaces_one_value(tmp_path: Path) -> None:
    path = tmp_path / "round.yaml"
    path.write_text(YAML)
    changed = load_study(path, ["space.0.hidden_size=[16]", "corpus={source: builtin, seed: 3}", "law.bootstraps=10"])
    assert changed.space[0]["hidden_size"] == (16,)
    assert changed.corpus.source == "builtin"
    assert changed.law.bootstraps == 10


def test_a_value_in_the_place_of_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="Study: 1 stands where the fields of a Study should"):
        from_json(Study, 1)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"name": "x", "space": [], "colour": 1}')
    with pytest.raises(ValueError, match=r"x\.json: not a Study: Study: unknown field 'colour'"):
        read_json(Study, tmp_path / "x.json")


def test_a_law_keeps_its_intervals_and_draws() -> None:
    interval = Interval(value=0.4, low=0.3, high=0.5)
    law = LawFit(
        params="total", unit="bpb", vocab_size=512, E=0.9, A=30.0, B=600.0, alpha=0.4, beta=0.45,
        intervals={"alpha": interval}, draws=((0.9, 30.0, 600.0, 0.4, 0.45),), warnings=("N spans little.",),
    )  # fmt: skip
    assert from_json(LawFit, json.loads(json.dumps(to_json(law)))) == law
