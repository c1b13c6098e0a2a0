"""Pictures: what is measured is what is drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from tinyscale.accounting import count_parameters
from tinyscale.plan.planner import make_plan
from tinyscale.report.content import ReportContent
from tinyscale.report.curves import branches, curves_figure, smooth
from tinyscale.report.exponents import exponents_figure
from tinyscale.report.figures import draw_figures, law_figure
from tinyscale.report.grades import GradesContent
from tinyscale.report.grades_figure import grades_figure
from tinyscale.report.isoflop import isoflop_figure
from tinyscale.report.optimum import vocabulary_optimum_figure
from tinyscale.report.published import ELDAN_LI_2023, published_figure
from tinyscale.report.rates import regret_figure
from tinyscale.report.residuals import residuals_figure
from tinyscale.report.shape import shape_figure
from tinyscale.report.style import png, styled
from tinyscale.report.vocabulary import vocabulary_figure
from tinyscale.spec import (
    Analysis,
    GradeSummary,
    HubCorpus,
    Interval,
    LawFit,
    ModelScore,
    Point,
    Record,
    TrialResult,
)
from tinyscale.spec.load import load_study


def test_pictures_are_as_wide_as_a_page_and_the_same_each_time(content: ReportContent) -> None:
    with styled():
        first, second = (png(vocabulary_figure(content)) for _ in range(2))
    assert first == second
    assert int.from_bytes(first[16:20], "big") == 1500


def test_law_picture_shows_every_fitted_point(content: ReportContent, law: LawFit) -> None:
    figure = law_figure(content)
    (axes,) = figure.axes
    dots = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"}
    fitted = {(p.tokens, p.bpb) for p in content.points if p.vocab_size == law.vocab_size and not p.holdout}
    assert dots == fitted
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"hold-out, measured", "forecast, locked", "entropy of the text"} <= set(labels)


def test_vocabularies_rank_differently_by_byte_and_by_token(content: ReportContent) -> None:
    by_byte, by_token = (axes.lines[0].get_ydata() for axes in vocabulary_figure(content).axes)
    assert by_byte[0] > by_byte[-1]
    assert by_token[0] < by_token[-1]


def test_vocabulary_picture_needs_two_of_equal_shape(content: ReportContent) -> None:
    one = [trial for trial in content.trials if trial.model.vocab_size == 512]
    assert vocabulary_figure(replace(content, trials=one)) is None


def test_curves_are_in_bits_per_byte(content: ReportContent) -> None:
    (axes,) = curves_figure(content).axes
    trial = content.trials[0]
    (line,) = [line for line in axes.lines if line.get_marker() == "o"][:1]
    assert line.get_ydata()[-1] == pytest.approx(content.results[trial.id].points[0].bpb, rel=0.05)
    top = axes.get_ylim()[1]
    assert top < 6, "a diverged trial must not set the scale"


def test_without_an_evaluation_there_are_no_curves(content: ReportContent) -> None:
    trial = content.trials[0]
    record = Record(step=1, tokens=100, time_s=0.0, metrics={"train/loss": 5.0})
    assert curves_figure(replace(content, curves={trial.id: [record]})) is None


def test_smoothing_keeps_the_mean_and_the_ends() -> None:
    tokens = np.arange(1.0, 5001.0)
    at, loss = smooth(tokens, np.full(5000, 3.0))
    np.testing.assert_allclose(loss, 3.0)
    assert len(at) <= 60
    assert at[0] < 2
    assert at[-1] > 4500
    assert (np.diff(at) > 0).all()
    assert smooth(tokens[:1], tokens[:1])[1].tolist() == [1.0]


def words(figure) -> str:
    """All that stands in a picture."""
    return " ".join(text.get_text() for text in figure.findobj(Text))


def test_each_picture_is_there_when_its_data_are(rich: ReportContent, without_law: ReportContent) -> None:
    assert set(draw_figures(rich)) == {
        "law", "frontier", "isoflop", "residuals", "exponents", "shape", "vocabulary", "vocabulary_parts",
        "vocabulary_optimum", "regret", "curves",
    }  # fmt: skip
    assert set(draw_figures(replace(rich, analysis=Analysis()))) == {
        "law", "frontier", "residuals", "exponents", "vocabulary", "vocabulary_parts", "curves",
    }  # fmt: skip
    assert set(draw_figures(without_law)) == {"vocabulary", "vocabulary_parts", "curves"}


def test_a_count_whose_exponents_are_withheld_shows_none(rich: ReportContent) -> None:
    figure = exponents_figure(rich)
    cloud, counts = figure.axes
    assert len(cloud.lines[0].get_xdata()) == len(rich.law.draws)
    (outline,) = cloud.collections[0].get_paths()
    draws = np.array(rich.law.draws)[:, 3:]
    assert 0.93 <= outline.contains_points(draws).mean() <= 0.97
    centers = [bar.lines[0].get_xdata()[0] for bar in counts.containers]
    assert sorted(centers) == [0.41, 0.44, 0.52]
    assert "embeddings left out: withheld, see the text" in words(figure)


def test_a_refused_level_has_no_parabola(rich: ReportContent) -> None:
    left, right = isoflop_figure(rich).axes
    curves = [line.get_linestyle() for line in left.lines if len(line.get_xdata()) == 80]
    assert sorted(curves) == ["-", "--", "--"], "one parabola, and the law for both levels"
    assert "1e+12 FLOP, refused" in words(left.figure)
    assert [line.get_ydata()[0] for line in right.lines if line.get_marker() == "v"] == [3.9e4]


def test_the_best_vocabulary_is_marked_unless_it_lies_at_an_edge(rich: ReportContent) -> None:
    (axes,) = vocabulary_optimum_figure(rich).axes
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"] == [700]
    assert len(residuals_figure(rich).axes) == 3


def test_regret_is_over_the_best_rate_and_an_edge_is_marked(rich: ReportContent) -> None:
    figure = regret_figure(rich)
    (axes,) = figure.axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(lines[0].get_ydata(), [2.0, 0.0, 3.0])
    assert "best at the edge" in words(figure)


def test_the_published_table_is_overlaid_where_two_shapes_match(content: ReportContent) -> None:
    assert ELDAN_LI_2023[64, 2] == 2.38
    assert published_figure(content) is None, "the built-in text is another one"
    real = replace(content, study=replace(content.study, corpus=HubCorpus()))
    assert published_figure(real) is None, "only width 64 matches"
    at_128 = [replace(point, hidden_size=128) for point in content.results[content.trials[0].id].points]
    first = content.trials[0].id
    wider = replace(real, results={**content.results, first: replace(content.results[first], points=tuple(at_128))})
    figure = published_figure(wider)
    (stars,) = [line for line in figure.axes[0].lines if line.get_marker() == "*" and len(line.get_xdata())]
    assert list(stars.get_xdata()) == [64, 128]
    assert "another tokenizer\nlevels are not comparable, slopes are" in words(figure)


def test_a_trunk_is_drawn_in_pieces() -> None:
    tokens = (10, 20, 30, 25, 35, 30, 60)
    records = [Record(step=i, tokens=seen, time_s=0.0, metrics={}) for i, seen in enumerate(tokens)]
    assert [[r.tokens for r in piece] for piece in branches(records)] == [[10, 20, 30], [25, 35], [30, 60]]
    assert branches(records[:2]) == [records[:2]]


def test_each_branch_of_a_hold_out_ends_in_a_star(content: ReportContent) -> None:
    held = content.forecasts[0].trial_id
    ends = ((10, 1000, 2.0), (20, 2000, 1.8), (30, 1600, 1.9), (40, 4000, 1.5))
    records = [
        Record(step=step, tokens=tokens, time_s=0.0, metrics={"train/loss": 2.0, "eval/loss": 2.0, "eval/bpb": bpb})
        for step, tokens, bpb in ends
    ]
    (axes,) = curves_figure(replace(content, curves={held: records})).axes
    stars = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "*"]
    assert stars == [(2000, 1.8), (4000, 1.5)]


def test_shapes_are_drawn_at_the_budget_that_most_of_them_share(rich: ReportContent) -> None:
    left, right = shape_figure(rich).axes
    assert left.get_title() == "2M tokens"
    (dots,) = [line for line in left.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert list(dots.get_xdata()) == [16, 32, 48, 64]
    assert len([line for line in right.lines if line.get_marker() == "o"]) == 12


@pytest.fixture(scope="module")
def grid() -> ReportContent:
    """studies/tinystories_grid.yaml with losses made up: the paper's own by shape, and one in a row with it."""
    study = load_study(Path(__file__).parents[2] / "studies" / "tinystories_grid.yaml")
    trials = make_plan(study, offline=True).trials
    results, scores = {}, []
    for trial in trials:
        model, counted = trial.model, count_parameters(trial.model)
        loss = 1.1 * ELDAN_LI_2023.get((model.hidden_size, model.num_layers), 2.5)
        point = Point(
            trial_id=trial.id, params_total=counted.total, params_non_embedding=counted.non_embedding,
            hidden_size=model.hidden_size, num_layers=model.num_layers, vocab_size=model.vocab_size,
            tokens=trial.budgets[-1], text_bytes=2e9, flops=1e15, loss=loss, bpb=loss / 2.8,
            learning_rate=trial.train.learning_rate, seed=0,
        )  # fmt: skip
        results[trial.id] = TrialResult(trial_id=trial.id, name=trial.name, status="done", points=(point,))
        overall = Interval(value=10 - 2 * loss, low=9.8 - 2 * loss, high=10.2 - 2 * loss)
        scores.append(ModelScore(model=trial.name, prompts=44, stories=132, ungraded=0, means={"overall": overall}))
    graded = GradesContent(summary=GradeSummary(instrument=None, scores=tuple(scores)))
    return ReportContent(
        study=study, trials=trials, results=results, curves={}, law=None, law_refused="", analysis=Analysis(),
        forecasts=(), stories=(), stories_from="", entropy_bpb=None, commands=(), grades=graded,
    )  # fmt: skip


def test_the_papers_grid_is_drawn_beside_the_papers_losses(grid: ReportContent) -> None:
    (axes,) = published_figure(grid).axes
    drawn = {str(line.get_label()): dict(zip(*line.get_data(), strict=True)) for line in axes.lines}
    for depth in (1, 2, 4, 8, 12):
        layers = f"{depth} layer{'s' * (depth > 1)}"
        paper = {hidden: loss for (hidden, of), loss in ELDAN_LI_2023.items() if of == depth}
        assert drawn[f"paper, {layers}"] == paper
        assert drawn[f"this study, {layers}"] == pytest.approx({hidden: 1.1 * loss for hidden, loss in paper.items()})
    assert {"published", "grades"} <= set(draw_figures(grid))


def test_the_papers_grid_is_drawn_beside_the_papers_grades_by_depth(grid: ReportContent) -> None:
    with styled():
        left, right = grades_figure(grid).axes
    assert len(left.containers) == len(right.containers) == 30
    ours = [line for line in right.lines if line.get_linestyle() == "--" and len(line.get_xdata()) == 6]
    paper = [line for line in right.lines if str(line.get_label()).startswith("paper")]
    assert [len(line.get_xdata()) for line in paper] == [2, 5, 6, 6, 6], "the paper prints no creativity for 64 x 2"
    assert [line.get_color() for line in ours] == [line.get_color() for line in paper]
    assert dict(zip(*ours[1].get_data(), strict=True))[64] == pytest.approx(10 - 2.2 * 2.38)
