"""The page: whole, self-contained, inert to hostile text, and there whatever became of the study."""

import base64
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tinyscale.report.captions import CAPTIONS
from tinyscale.report.content import ReportContent
from tinyscale.report.page import percent, render, write_report
from tinyscale.results.store import StudyStore
from tinyscale.spec import Analysis, Interval, Study

PNG = b"\x89PNG\r\n\x1a\n"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps what a browser would load, run or show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def store(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> StudyStore:
    store = StudyStore(tmp_path_factory.mktemp("runs") / "quickstart")
    assert write_report(store, content) == store.report
    return store


@pytest.fixture(scope="module")
def page(store: StudyStore) -> Page:
    return Page(store.report.read_text(encoding="utf-8"))


def test_names_every_trial_and_how_it_ended(page: Page, content: ReportContent) -> None:
    for trial in content.trials:
        assert trial.id in page.text
    assert "18 trials: 15 done, 1 diverged, 1 failed, 1 not started" in page.text
    assert "loss is nan at step 120" in page.text
    assert "OSError: no space" in page.text


def test_holds_its_pictures_and_loads_nothing(page: Page, store: StudyStore) -> None:
    names = {
        "law", "frontier", "isoflop", "residuals", "exponents", "vocabulary", "vocabulary_parts", "vocabulary_optimum",
        "curves",
    }  # fmt: skip
    assert {path.stem for path in store.figures.iterdir()} == names
    assert page.tags["img"] == len(names)
    prefix = "data:image/png;base64,"
    assert all(load.startswith(prefix) for load in page.loads)
    inside = {base64.b64decode(load.removeprefix(prefix)) for load in page.loads}
    assert inside == {path.read_bytes() for path in store.figures.iterdir()}
    assert all(data.startswith(PNG) for data in inside)
    assert not page.tags.keys() & {"script", "link", "iframe", "object"}
    assert not re.search(r"url\(|@import", store.report.read_text(encoding="utf-8"))


def test_tells_the_law_the_forecast_and_what_stayed_out(page: Page, content: ReportContent) -> None:
    law = content.law
    assert law is not None
    assert f"{law.intervals['beta'].low:.4f}" in page.text
    for warning in law.warnings:
        assert warning in page.text
    measured = content.results[content.forecasts[0].trial_id].points[0].bpb
    error = content.forecasts[0].predicted.value / measured - 1
    assert page.text.index(percent(error, sign=True)) < page.text.index("The law")
    assert "not trained yet" in page.text
    for reason in law.excluded.values():
        assert reason in page.text
    assert "The entropy of the validation text is known: 0.8000 bits per byte" in page.text
    for told in ("make study", content.trials[0].corpus, "2.13.0", '"name": "quickstart"'):
        assert told in page.text


def hostile_analysis(analysis: Analysis, bad: str) -> Analysis:
    first, *others = analysis.vocabulary.budgets
    return replace(
        analysis,
        counting=[replace(counted, warnings=(bad,) * i) for i, counted in enumerate(analysis.counting)],
        counting_refused=bad,
        isoflops_refused=bad,
        shape=replace(analysis.shape, said=bad),
        vocabulary=replace(analysis.vocabulary, budgets=(replace(first, edge=bad), *others), warnings=(bad,)),
        isoflops=replace(analysis.isoflops, levels=[replace(level, refused=bad) for level in analysis.isoflops.levels]),
    )


def test_hostile_text_is_shown_and_not_run(content: ReportContent, rich: ReportContent) -> None:
    bad = "<script>alert(1)</script><img src=http://example.com/x onerror=alert(1)>"
    failed = {key: replace(result, message=bad) for key, result in content.results.items()}
    law = replace(content.law, excluded={"x": bad}, warnings=(bad,)) if content.law else None
    hostile = replace(
        content,
        study=replace(content.study, name=bad, question=bad),
        results=failed,
        law=law,
        analysis=hostile_analysis(rich.analysis, bad),
        forecasts=[replace(locked, predicted=None, withheld=(f"not yet {bad}",)) for locked in content.forecasts],
        stories=((bad, bad),),
        stories_from=bad,
        commands=(bad,),
    )
    page = Page(render(hostile, dict.fromkeys(CAPTIONS, PNG)))
    assert not page.tags.keys() & {"script"}
    assert page.tags["img"] == len(CAPTIONS)
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert page.text.count("alert(1)") >= 17


def test_says_why_there_is_no_law(without_law: ReportContent, tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "study")
    (store.figures).mkdir(parents=True)
    (store.figures / "law.png").write_bytes(b"of an earlier report")
    page = Page(write_report(store, without_law).read_text(encoding="utf-8"))
    assert "No law could be fitted. 2 distinct point(s) cannot carry a law: add <b>more</b>" in page.text
    assert {path.stem for path in store.figures.iterdir()} == {"curves", "vocabulary", "vocabulary_parts"}
    assert page.tags["img"] == 3


@pytest.mark.parametrize("finished", [0, 1])
def test_a_single_trial_or_none_finished(without_law: ReportContent, tmp_path: Path, finished: int) -> None:
    trial = without_law.trials[0]
    lone = replace(
        without_law,
        study=Study(name="lone", space=({"hidden_size": 16},)),
        trials=(trial,),
        results={trial.id: without_law.results[trial.id]} if finished else {},
        curves={trial.id: without_law.curves[trial.id]} if finished else {trial.id: ()},
        stories=(),
        stories_from="",
        entropy_bpb=None,
    )
    page = Page(write_report(StudyStore(tmp_path), lone).read_text(encoding="utf-8"))
    assert trial.id in page.text
    assert page.tags["img"] == finished
    assert ("1 done" if finished else "1 not started") in page.text


def test_a_forecast_locked_too_late_is_marked(content: ReportContent) -> None:
    first = content.forecasts[0].trial_id
    early = {**content.results, first: replace(content.results[first], started_s=1.0)}
    assert "locked after the trial had begun" in Page(render(replace(content, results=early), {})).text
    assert "locked after the trial had begun" not in Page(render(content, {})).text


def test_a_hold_out_that_diverged_has_no_error(content: ReportContent) -> None:
    first = content.forecasts[0].trial_id
    gone = replace(content.results[first], status="diverged", points=(), message="loss is nan")
    text = Page(render(replace(content, results={**content.results, first: gone}), {})).text
    assert "diverged: loss is nan" in text
    assert "2 locked" in text


def test_the_page_tells_what_stands_beside_the_law_and_what_it_cannot_say(rich: ReportContent) -> None:
    told = Page(render(rich, dict.fromkeys(("exponents", "shape", "isoflop", "vocabulary_optimum"), PNG)))
    assert "shape explains nothing that N does not" in told.text
    assert "embeddings left out alpha is not pinned down. withheld withheld withheld" in told.text
    assert "0.3777" not in told.text, "an exponent that is withheld"
    assert "The minima give a = 0.5100" in told.text
    assert "1.00e+11 700 630 to 770 30k 27k to 33k" in told.text
    assert "the best V lies at the end of what was searched at the end searched" in told.text
    assert "2,048" not in told.text, "a place where the search ended"
    assert "1.00e+12 FLOP refused: 2 sizes, and a parabola needs 5" in told.text
    assert "What this study cannot say" not in told.text
    silent = replace(rich, analysis=Analysis(shape_refused="all trials have 2 layers: <b>add</b> another depth"))
    said = Page(render(silent, {})).text
    assert "What this study cannot say shape beyond N all trials have 2 layers: <b>add</b> another depth" in said


def test_a_withheld_forecast_shows_reason_and_outcome_and_no_number(content: ReportContent) -> None:
    first = replace(content.forecasts[0], predicted=Interval(value=1.2343, low=1.1, high=1.3))
    assert "1.234" in Page(render(replace(content, forecasts=[first]), {})).text
    withheld = [replace(first, predicted=None, withheld=("Not yet a power law.",))]
    text = Page(render(replace(content, forecasts=withheld), {})).text
    assert "for these reasons, which the law gave when they were locked: Not yet a power law." in text
    assert "withheld forecasts of 1 hold-out points" in text
    assert "1.234" not in text


def test_a_trunk_shows_each_of_its_points(content: ReportContent) -> None:
    trial = content.trials[0]
    result = content.results[trial.id]
    (point,) = result.points
    several = replace(result, points=(replace(point, tokens=123_000, bpb=1.987), point))
    text = Page(render(replace(content, results={**content.results, trial.id: several}), {})).text
    assert "123k" in text
    assert "1.987" in text


def test_a_floor_that_is_known_and_missed_is_said(content: ReportContent) -> None:
    missed = "The law misses a floor that is known."
    assert content.law.intervals["E"].low < content.entropy_bpb < content.law.intervals["E"].high
    assert missed not in Page(render(content, {})).text
    assert missed in Page(render(replace(content, entropy_bpb=0.1), {})).text
