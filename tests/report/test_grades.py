"""The section of stories and grades: whole, honest about its judge, and inert to hostile stories."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.grading.results import write_grading
from tinyscale.grading.scores import summarise
from tinyscale.grading.stories import write_stories
from tinyscale.report.content import ReportContent
from tinyscale.report.grades import GradesContent, ages, read_grades_content, side_by_side
from tinyscale.report.grades_figure import grades_figure
from tinyscale.report.page import render
from tinyscale.report.style import styled
from tinyscale.results.store import StudyStore
from tinyscale.spec import Grade, GradeSummary, Grading, Instrument, Judge, JudgeFree, ModelScore, Story

# The same strict reader of pages as the page's own tests have; pytest's import mode knows no module beside this one.
BESIDE = runpy.run_path(str(Path(__file__).with_name("test_page.py")))
Page, PNG = BESIDE["Page"], BESIDE["PNG"]
BAD = "</blockquote><script>alert(1)</script><img src=http://example.com/x onerror=alert(1)>{{ 7 * 7 }}"
FOUR = ("grammar", "creativity", "consistency", "plot")
INSTRUMENT = Instrument(
    model="judge-mini", base_url="http://localhost/v1", protocol="strict", temperature=0.0, seed=0, max_tokens=500,
    rubric="r1c",
)  # fmt: skip


def made_up(levels: dict[str, int], text: str = "a cat", *, failed: int = 0) -> tuple[list[Grade], list[Story]]:
    """Eight prompts, two stories each; ``failed`` stories of the last model are ungraded; a judge that can tell."""
    stories = [
        Story(model=model, model_digest=model, prompt_id=f"p{i}", prompt=f"Once {i} ", completion=f"{text} {model}",
              sample=sample, instruction="a boat" if i == 0 else "", max_tokens=77, stop="length" if i == 2 else "end")
        for model in levels for i in range(8) for sample in range(2)
    ]  # fmt: skip
    lost = {story.id for story in stories[len(stories) - failed :]}

    def grade(story: Story, level: int) -> Grade:
        ok = story.id not in lost
        scores = {name: level + i % 2 for i, name in enumerate(FOUR)}
        return Grade(
            story_id=story.id, model=story.model, prompt_id=story.prompt_id, sample=story.sample, kind=story.kind,
            repeat=0, instrument=INSTRUMENT.id, scores=scores if ok else {},
            age_group="C" if ok else "", reasons={"plot": f"reason {text}"} if ok else {}, flags=("orders",),
            ungraded="" if ok else f"no JSON {text}", words=20, graded_s=4e9, answered_by="judge-1", cost_usd=0.01,
        )  # fmt: skip

    grades = [grade(story, levels[story.model] + int(story.prompt_id[1:]) % 3) for story in stories]
    for kind, level in (("reference", 8), ("shuffled", 4), ("truncated", 5)):
        own = [
            Story(model="", model_digest="", prompt_id=f"c{i}", prompt="", completion="", kind=kind) for i in range(6)
        ]
        grades += [grade(story, level) for story in own]
    return grades, stories


def of_grades(grades: list[Grade], stories: list[Story], **named: str) -> GradesContent:
    grading = Grading(bootstraps=100, judge=Judge(priced_on="2026-01-02"), **named)
    summary = summarise(grades, stories, grading, INSTRUMENT)
    models = [score.model for score in summary.scores]
    return GradesContent(summary=summary, beside=side_by_side(stories, grades, models))


@pytest.fixture(scope="module")
def names(content: ReportContent) -> list[str]:
    done = [trial for trial in content.trials if trial.id in content.results and content.results[trial.id].points]
    return [done[0].name, done[5].name]


@pytest.fixture(scope="module")
def graded(content: ReportContent, names: list[str]) -> ReportContent:
    found = of_grades(*made_up({names[0]: 4, names[1]: 6}), worst=names[0], reference=names[1])
    return replace(content, grades=found, stories=())


def test_the_section_tells_scores_judge_and_formula(graded: ReportContent, names: list[str]) -> None:
    text = Page(render(graded, {})).text
    best = graded.grades.summary.scores[0]
    assert best.model == names[1]
    mean = best.means["overall"]
    assert f"{names[1]} {mean.value:.2f} {mean.low:.2f} to {mean.high:.2f} relative 1.00" in text
    assert f"(score - worst) / (reference - worst), worst = {names[0]}, reference = {names[1]}" in text
    assert f"{names[1]} is better than {names[0]} in overall by 2.00" in text
    assert "judge judge-mini at http://localhost/v1 protocol strict: one call" in text
    assert "rubric r1c , instrument" in text
    assert "$0.5000 at the prices of 2026-01-02" in text
    assert "32 of 2 models on 8 prompts" in text
    assert "graded 2096-10-02 07:06 UTC" in text
    assert "The judge tells real endings from shuffled ones, and whole stories from those cut off." in text
    assert "C\N{NO-BREAK SPACE}100\N{NO-BREAK SPACE}%".replace("\N{NO-BREAK SPACE}", " ") in text
    assert "What speaks against these scores" not in text


def test_stories_stand_side_by_side_with_grades_and_reasons(graded: ReportContent, names: list[str]) -> None:
    text = Page(render(graded, {})).text
    assert text.count("Asked for: a boat") == 1
    assert "Once 0 a cat" in text
    assert "[cut at 77 tokens]" in text
    assert "grammar 6 · creativity 7 · consistency 6 · plot 7 · age C" in text
    assert "plot reason a cat" in text
    assert [beside.prompt for beside in graded.grades.beside] == ["Once 0 ", "Once 2 ", "Once 4 ", "Once 6 "]
    assert [told.story.model for told in graded.grades.beside[0].told] == [names[1], names[0]]


def test_a_judge_that_cannot_tell_is_said_first(content: ReportContent, names: list[str]) -> None:
    grades, stories = made_up({names[0]: 4, names[1]: 6}, failed=1)
    blind = [replace(g, scores=dict.fromkeys(FOUR, 5)) if g.kind != "model" else g for g in grades]
    text = Page(render(replace(content, grades=of_grades(blind, stories), stories=()), {})).text
    assert text.index("does not tell shuffled endings from real ones") < text.index(
        "no mean: 1 of 16 stories are ungraded"
    )
    assert "withheld withheld" in text
    assert "Relative score" not in text


def test_a_tie_is_called_no_difference(content: ReportContent, names: list[str]) -> None:
    text = Page(render(replace(content, grades=of_grades(*made_up(dict.fromkeys(names, 5)))), {})).text
    assert f"no difference in overall between {names[0]} and {names[1]}: the interval of" in text


def test_hostile_stories_and_judges_are_shown_and_not_run(content: ReportContent, names: list[str]) -> None:
    """Every text of a grading that comes from outside: stories, reasons, names, addresses."""
    grades, stories = made_up({BAD: 4, names[0]: 6}, BAD, failed=1)
    found = of_grades(grades, stories)
    instrument = replace(INSTRUMENT, model=BAD, base_url=BAD, rubric=BAD)
    free = JudgeFree(model=BAD, stories=1, finished=1.0, mean_words=3.0, distinct={}, rouge_l=0.1,
                     contaminated_prompts=(BAD,))  # fmt: skip
    summary = replace(found.summary, instrument=instrument, judge_free=(free,), notes=(BAD,), priced_on=BAD)
    summary = replace(summary, calibration=replace(summary.calibration, warnings=(BAD,), answered_by=(BAD, BAD)))
    beside = [replace(b, prompt=BAD, instruction=BAD) for b in found.beside]
    hostile = replace(found, summary=summary, earlier=(summary,), beside=beside)
    html = render(replace(content, grades=hostile, stories=()), {"grades": PNG})
    page = Page(html)
    assert "script" not in page.tags
    assert page.tags["img"] == 1
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert page.text.count("alert(1)") > 50
    assert "{{ 7 * 7 }}" in page.text


def test_measures_without_a_judge_are_named_as_such(content: ReportContent) -> None:
    free = JudgeFree(model="d16", stories=9, finished=0.5, mean_words=33.3, distinct={"1": 0.1, "2": 0.4}, rouge_l=0.31,
                     longest_copy=6.2, longest_copy_max=19, copied=3)  # fmt: skip
    alone = GradesContent(summary=GradeSummary(instrument=None, judge_free=(free,)))
    text = Page(render(replace(content, grades=alone), {})).text
    assert "Measured without a judge None of these says that a story is good." in text
    assert "d16 9 50 % 33 0.10 / 0.40 / – 0.31 6.2 at most 19 3" in text
    assert "a language model graded" not in text
    assert "Told by" in text, "the best model's stories stay"


def test_the_picture_draws_what_was_graded_and_the_paper_behind_it(graded: ReportContent, names: list[str]) -> None:
    with styled():
        figure = grades_figure(graded)
    left, right = figure.axes
    points = {r.name: r.points[0] for r in graded.results.values() if r.name in names}
    overall = {score.model: score.means["overall"].value for score in graded.grades.summary.scores}
    for axes, place in ((left, "bpb"), (right, "hidden_size")):
        drawn = {(bar[0].get_xdata()[0], bar[0].get_ydata()[0]) for bar in axes.containers}
        assert drawn == {(getattr(points[name], place), overall[name]) for name in names}
    paper = [line for line in right.lines if str(line.get_label()).startswith("paper")]
    assert [line.get_label() for line in paper][-1] == "paper, 12 layers"
    assert (1024, pytest.approx((8.43 + 7.05 + 8.98 + 7.29) / 4)) in [*zip(*paper[-1].get_data(), strict=True)]


def test_without_means_there_is_no_picture(content: ReportContent) -> None:
    assert grades_figure(content) is None
    nobody = GradeSummary(
        instrument=INSTRUMENT, scores=(ModelScore(model="x", prompts=0, stories=0, ungraded=9, means={}),)
    )
    assert grades_figure(replace(content, grades=GradesContent(summary=nobody))) is None


def test_read_from_the_folder_of_a_study(content: ReportContent, names: list[str], tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "study")
    results = [result for result in content.results.values() if result.name in names]
    assert read_grades_content(store, results) is None
    free = JudgeFree(model=names[0], stories=16, finished=1.0, mean_words=3.0, distinct={}, rouge_l=0.1)
    write_grading(store.path, GradeSummary(instrument=None, judge_free=(free,)))
    assert read_grades_content(store, results).summary.judge_free == (free,)
    grades, stories = made_up({names[0]: 4, names[1]: 6})
    for result in results:
        store.trial(result.trial_id).path.mkdir(parents=True)
        write_stories(store.trial(result.trial_id).stories, [s for s in stories if s.model == result.name])
    summary = of_grades(grades, stories).summary
    write_grading(store.path, summary, grades)
    old = replace(INSTRUMENT, protocol="paper")
    write_grading(store.path, replace(summary, instrument=old, last_s=1.0))
    found = read_grades_content(store, results)
    assert (found.summary.instrument, found.summary.judge_free) == (INSTRUMENT, (free,))
    assert [other.instrument for other in found.earlier] == [old]
    assert [told.grade.scores["plot"] for told in found.beside[0].told] == [7, 5]


def test_ages_are_shares(graded: ReportContent) -> None:
    score = replace(graded.grades.summary.scores[0], ages={"B": 1, "D": 3})
    assert ages(score).replace("\N{NO-BREAK SPACE}", " ") == "B 25 %, D 75 %"
    assert ages(replace(score, ages={})) == ""
