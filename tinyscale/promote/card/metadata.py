"""The YAML at the top of a card, which the hub reads."""

from typing import Any

import yaml

from tinyscale.promote.card.facts import CardData, CardFacts
from tinyscale.promote.card.licences import TINYSTORIES
from tinyscale.promote.card.markdown import one_line

DIGITS = 6
"""Significant digits of a value."""


def card_metadata(facts: CardFacts) -> str:
    """License, language, library, tags, data set and results (``model-index``), as the hub's modelcard.md has them.

    The language is said where it is known. Nothing is called verified: that is the hub's to say.
    """
    fields: dict[str, Any] = {
        "license": facts.licences.model,
        "language": ["en"] if facts.data.english_stories else None,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": _tags(facts),
        "datasets": [facts.data.repo] if facts.data.repo else None,
        "model-index": [{"name": facts.repo.partition("/")[2], "results": _results(facts)}],
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=1_000).rstrip("\n")


def _tags(facts: CardFacts) -> list[str]:
    tinystories = ["tinystories"] if facts.data.repo == TINYSTORIES else []
    return ["tinyscale", "scaling-laws", *tinystories, facts.model_type]


def _results(facts: CardFacts) -> list[dict[str, Any]]:
    known = facts.validation
    results = [
        _result(
            _dataset(facts.data),
            _metric("bits_per_byte", known.bpb.value, "bits per byte, all of the validation text"),
            _metric("loss", known.loss.value, "cross-entropy in nats per token of its own vocabulary"),
        )
    ]
    summary, score = facts.grades.summary, facts.grades.score
    if summary and summary.instrument and score and "overall" in score.means:
        judge = summary.instrument
        name = f"overall grade of 1 to 10, judge {judge.model}, protocol {judge.protocol}, rubric {judge.rubric[:8]}"
        dataset = {
            "name": f"{score.stories} stories from {score.prompts} beginnings",
            "type": "tinyscale-story-beginnings",
        }
        results.append(_result(dataset, _metric("judge_grade", score.means["overall"].value, name)))
    return results


def _result(dataset: dict[str, str], *metrics: dict[str, Any]) -> dict[str, Any]:
    task = {"type": "text-generation", "name": "Text Generation"}
    return {"task": task, "dataset": dataset, "metrics": list(metrics)}


def _dataset(data: CardData) -> dict[str, str]:
    if data.repo:
        return {"name": data.repo.partition("/")[2], "type": data.repo, "split": "validation",
                **({"revision": data.revision} if data.revision else {})}  # fmt: skip
    kind = "local-files" if data.files else "tinyscale-builtin-stories"
    return {"name": data.name, "type": kind, "split": "validation"}


def _metric(kind: str, value: float, name: str) -> dict[str, Any]:
    return {"type": kind, "value": float(f"{value:.{DIGITS}g}"), "name": one_line(name)}
