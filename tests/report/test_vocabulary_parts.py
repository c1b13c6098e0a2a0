"""The picture of what vocabularies cost, and which runs it compares."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from matplotlib.axes import Axes

from tinyscale.accounting import count_parameters
from tinyscale.report.captions import CAPTIONS
from tinyscale.report.content import ReportContent
from tinyscale.report.figures import FIGURES, draw_figures
from tinyscale.report.vocabulary import vocabulary_figure
from tinyscale.report.vocabulary_cells import vocabulary_cells
from tinyscale.report.vocabulary_parts import vocabulary_parts_figure
from tinyscale.spec import Point, VocabularyFacts

FACTS = (
    VocabularyFacts(vocab_size=512, bytes_per_token=1.9, coverage=((16, 0.3), (256, 0.9), (512, 1.0))),
    VocabularyFacts(vocab_size=1024, bytes_per_token=2.3, coverage=((16, 0.32), (512, 0.95), (1024, 1.0))),
    VocabularyFacts(
        vocab_size=2048, bytes_per_token=2.9, coverage=((16, 0.33), (512, 0.874), (1024, 0.9931), (2048, 1.0))
    ),
)  # fmt: skip


def point(vocab_size: int, tokens: int, text_bytes: float, bpb: float = 1.0, hidden: int = 48) -> Point:
    return Point(
        trial_id=f"{vocab_size}-{tokens}-{bpb}", params_total=1, params_non_embedding=1, hidden_size=hidden,
        num_layers=2, vocab_size=vocab_size, tokens=tokens, text_bytes=text_bytes, flops=1.0, loss=bpb, bpb=bpb,
        learning_rate=1e-3, seed=0,
    )  # fmt: skip


def runs(points: Sequence[Point]) -> list[tuple[str, dict[int, float]]]:
    return [(cell.said, {v: p.bpb for v, p in cell.points.items()}) for cell in vocabulary_cells(points)]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_runs_are_compared_after_equal_text_and_after_equal_tokens() -> None:
    """Text is equal up to a step; tokens are equal as they are."""
    at_text = [point(512, 1000, 2000.0, 1.3), point(1024, 800, 2040.0, 1.2)]
    at_tokens = [point(512, 5000, 10_000.0, 1.1), point(2048, 5000, 15_000.0, 0.9)]
    assert runs([*at_text, *at_tokens]) == [
        ("2 kB of text", {512: 1.3, 1024: 1.2}),
        ("5k tokens", {512: 1.1, 2048: 0.9}),
    ]
    assert runs([point(512, 1000, 2000.0), point(1024, 800, 2100.0)]) == []
    assert runs([point(512, 1000, 2000.0), point(1024, 1000, 2500.0, hidden=64)]) == []


def test_of_several_runs_of_a_vocabulary_the_best_is_compared() -> None:
    points = [point(512, 1000, 2000.0, bpb) for bpb in (1.3, 1.25, 1.4)] + [point(1024, 800, 2000.0, 1.2)]
    assert runs(points) == [("2 kB of text", {512: 1.25, 1024: 1.2})]


def test_the_same_runs_are_one_cell_and_a_part_of_others_is_none() -> None:
    """Vocabularies of nearly equal tokens have nearly equal text as well."""
    assert runs([point(8192, 1000, 4104.0), point(10_000, 1000, 4116.0)]) == [
        ("4.1 kB of text", {8192: 1.0, 10_000: 1.0})
    ]
    three = [point(512, 1000, 2376.0), point(8192, 1000, 4104.0), point(10_000, 1000, 4116.0)]
    assert runs(three) == [("1k tokens", {512: 1.0, 8192: 1.0, 10_000: 1.0})]


def test_a_study_of_equal_text_has_the_picture_of_the_units(content: ReportContent) -> None:
    """Here no two vocabularies have equal tokens."""
    equal = _at_equal_text(content)
    figure = vocabulary_figure(equal)
    assert figure is not None
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["d48, L2, 1.4 MB of text"]
    assert list(figure.axes[0].lines[0].get_xdata()) == [512, 1024, 2048]


def test_parts_and_losses_are_those_of_the_models(content: ReportContent) -> None:
    drawn = vocabulary_parts_figure(replace(_at_equal_text(content), vocabularies=FACTS))
    assert drawn is not None
    _, axes = drawn.axes
    models = {t.model.vocab_size: t.model for t in content.trials if t.model.hidden_size == 48}
    for index, model in enumerate(models.values()):
        count = count_parameters(model)
        heights = [bars[index].get_height() for bars in axes.containers]
        parts = (count.token_embedding, count.blocks, count.head + count.final_norm)
        assert heights == pytest.approx([part / count.total for part in parts])
    assert axes.get_title() == "d48, L2; bits per byte after 1.4 MB of text"
    assert texts(axes)[-3:] == ["1.100", "1.000", "0.900"]


def test_marks_are_what_the_largest_vocabulary_keeps(content: ReportContent) -> None:
    drawn = vocabulary_parts_figure(replace(content, vocabularies=FACTS))
    assert drawn is not None
    axes = drawn.axes[0]
    marks = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "D"}
    assert marks == {(512, 0.874), (1024, 0.9931)}
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "of V = 2,048, 512 kinds: 87 %" in words
    assert "of V = 2,048, 1,024 kinds: 99.31 %" in words


def test_without_facts_or_results_the_parts_are_drawn_alone(content: ReportContent) -> None:
    drawn = vocabulary_parts_figure(replace(content, results={}))
    assert drawn is not None
    (axes,) = drawn.axes
    assert axes.get_title() == "d48, L2"


def test_one_vocabulary_has_no_such_picture(content: ReportContent) -> None:
    one = [trial for trial in content.trials if trial.model.vocab_size == 512]
    assert vocabulary_parts_figure(replace(content, trials=one, vocabularies=FACTS[:1])) is None


def test_the_picture_stands_in_the_report_with_its_caption(content: ReportContent) -> None:
    assert set(FIGURES) <= set(CAPTIONS)
    assert "vocabulary_parts" in draw_figures(replace(content, vocabularies=FACTS))


def _at_equal_text(content: ReportContent) -> ReportContent:
    """The study with one run a vocabulary, all of 1.4 MB of text."""
    sizes = {512: 1.1, 1024: 1.0, 2048: 0.9}
    trials = [t for t in content.trials if t.model.hidden_size == 48 and t.train.tokens == 700_000]
    results = {
        t.id: replace(
            content.results[t.id],
            points=(point(t.model.vocab_size, 700_000 - t.model.vocab_size, 1.4e6, sizes[t.model.vocab_size]),),
        )
        for t in trials
    }
    assert sorted(t.model.vocab_size for t in trials) == sorted(sizes)
    return replace(content, trials=trials, results=results)
