"""What grades are made into: by hand, and on simulated judges whose truth is known."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tinyscale.grading.comparisons import compare, in_words
from tinyscale.grading.intervals import by_prompt, mean_interval
from tinyscale.grading.relative import check_anchors, relative
from tinyscale.grading.repeatability import repeatability
from tinyscale.grading.scores import summarise
from tinyscale.grading.verbosity import length_slope
from tinyscale.spec import Grade, Grading, Instrument, Judge, Story
from tinyscale.spec.grading import StoryKind

INSTRUMENT = Instrument(
    model="judge",
    base_url="http://localhost/v1",
    protocol="strict",
    temperature=0.0,
    seed=0,
    max_tokens=500,
    rubric="r1",
)
GRADING = Grading(bootstraps=200, judge=Judge(model="judge", priced_on="2026-01-02"))
FOUR = ("grammar", "creativity", "consistency", "plot")


def told(model: str, prompt: int, sample: int, kind: StoryKind = "model") -> Story:
    return Story(model=model, model_digest=model, prompt_id=f"p{prompt:02d}", prompt="Once", completion="x " * 20,
                 sample=sample, kind=kind)  # fmt: skip


def graded(story: Story, *, repeat: int = 0, words: int = 20, **scores: int) -> Grade:
    return Grade(
        story_id=story.id, model=story.model, prompt_id=story.prompt_id, sample=story.sample, kind=story.kind,
        repeat=repeat, instrument=INSTRUMENT.id, scores=scores, age_group="C" if scores else "", words=words,
        ungraded="" if scores else "refused", answered_by="judge-1", cost_usd=0.01, graded_s=1e9 + story.sample,
    )  # fmt: skip


def alike(value: int) -> dict[str, int]:
    return dict.fromkeys(FOUR, value)


Pile = tuple[list[Grade], list[Story]]


def a_grading(model: str, score: Callable[[int, int], int], prompts: int = 10, samples: int = 2) -> Pile:
    stories = [told(model, prompt, sample) for prompt, sample in product(range(prompts), range(samples))]
    return [graded(s, **alike(score(int(s.prompt_id[1:]), s.sample))) for s in stories], stories


def together(*parts: Pile) -> Pile:
    return [grade for grades, _ in parts for grade in grades], [story for _, stories in parts for story in stories]


def test_means_by_hand() -> None:
    stories = [told("a", prompt, sample) for prompt, sample in product(range(6), range(2))]
    grades = [
        graded(s, grammar=4 + s.sample, creativity=6, consistency=3, plot=1 + int(s.prompt_id[1:])) for s in stories
    ]
    grades.append(graded(stories[0], repeat=1, grammar=10, creativity=10, consistency=10, plot=10))
    (found,) = summarise(grades, stories, GRADING, INSTRUMENT).scores
    assert {name: span.value for name, span in found.means.items()} == {
        "grammar": 4.5, "creativity": 6.0, "consistency": 3.0, "plot": 3.5, "overall": 4.25,
    }  # fmt: skip
    grammar, plot = found.means["grammar"], found.means["plot"]
    assert (grammar.low, grammar.high) == (4.5, 4.5), "samples differ, prompts do not"
    assert 1 <= plot.low < 2.5 < 4.5 < plot.high <= 6
    assert (found.prompts, found.stories, found.ungraded, found.withheld) == (6, 12, 0, "")
    assert found.ages == {"C": 12}


def test_instruct_is_the_mean_of_those_prompts_that_carry_instructions() -> None:
    stories = [told("a", prompt, 0) for prompt in range(12)]
    grades = [graded(s, **alike(5), **({"instruct": 8} if int(s.prompt_id[1:]) < 6 else {})) for s in stories]
    (found,) = summarise(grades, stories, GRADING, INSTRUMENT).scores
    assert (found.means["instruct"].value, found.means["overall"].value) == (8.0, 5.0)


def test_the_sum_of_it() -> None:
    grades, stories = a_grading("a", lambda prompt, sample: 5)
    summary = summarise(grades, stories, GRADING, INSTRUMENT)
    assert (summary.first_s, summary.last_s, summary.calls) == (1e9, 1e9 + 1, 20)
    assert summary.cost_usd == pytest.approx(0.2)
    assert summary.priced_on == "2026-01-02"
    paper = replace(INSTRUMENT, protocol="paper")
    again = summarise([replace(g, instrument=paper.id) for g in grades], stories, GRADING, paper)
    assert again.calls == 40
    assert summarise(reversed(grades), reversed(stories), GRADING, INSTRUMENT) == summary


def simulate(generator: np.random.Generator, prompts: int, samples: int) -> np.ndarray:
    return 5 + generator.standard_normal((prompts, 1)) + generator.standard_normal((prompts, samples))


def covered(values: Iterable[tuple[str, float]], seed: int) -> bool:
    span = mean_interval(by_prompt(values), 500, seed)
    return span.low <= 5 <= span.high


@pytest.mark.parametrize("prompts", [10, 50])
def test_intervals_cover_the_truth_where_a_bootstrap_over_rows_would_not(prompts: int) -> None:
    generator, runs = np.random.default_rng(0), 800
    worlds = [simulate(generator, prompts, 10) for _ in range(runs)]
    hits = sum(covered(((str(i), v) for i, row in enumerate(w) for v in row), run) for run, w in enumerate(worlds))
    assert 0.925 <= hits / runs <= 0.975
    of_rows = sum(covered(((str(i), v) for i, v in enumerate(w.ravel())), run) for run, w in enumerate(worlds[:200]))
    assert of_rows / 200 < 0.75


@pytest.mark.parametrize(("ungraded", "given"), [(2, True), (3, False)])
def test_above_two_percent_ungraded_no_mean_is_given(ungraded: int, given: bool) -> None:
    grades, stories = a_grading("a", lambda prompt, sample: 5, samples=10)
    grades[:ungraded] = [graded(story) for story in stories[:ungraded]]
    (found,) = summarise(grades, stories, GRADING, INSTRUMENT).scores
    assert bool(found.means) is given
    assert (found.stories, found.ungraded) == (100 - ungraded, ungraded)
    assert found.withheld == ("" if given else "3 of 100 stories are ungraded, more than 2 % (3 x refused)")


def test_a_story_that_the_judge_was_never_asked_about_is_ungraded() -> None:
    grades, stories = a_grading("a", lambda prompt, sample: 5)
    (found,) = summarise(grades[:-5], stories, GRADING, INSTRUMENT).scores
    assert found.withheld == "5 of 20 stories are ungraded, more than 2 % (5 x not graded yet)"
    assert not found.means


def test_few_prompts_carry_no_interval() -> None:
    grades, stories = a_grading("a", lambda prompt, sample: 5, prompts=4)
    (found,) = summarise(grades, stories, GRADING, INSTRUMENT).scores
    assert (found.means, found.withheld) == ({}, "4 prompts carry no interval; at least 5 are needed")


def test_what_does_not_belong_together_is_never_put_together() -> None:
    grades, stories = a_grading("a", lambda prompt, sample: 5)
    other = replace(grades[0], instrument=replace(INSTRUMENT, seed=1).id)
    for bad, of, words in (
        ([*grades[1:], other], stories, "are never put together"),
        ([*grades, grades[0]], stories, "two grades of repeat 0"),
        (grades, stories[1:], "not among the stories given"),
        (grades, [*stories, replace(stories[0], model_digest="another")], "different models bear the name 'a'"),
    ):
        with pytest.raises(ValueError, match=words):
            summarise(bad, of, GRADING, INSTRUMENT)


def test_models_are_compared_prompt_by_prompt() -> None:
    """Prompts differ by far more than the models do: side by side nothing is seen, in pairs all is."""
    parts = [
        a_grading("a", lambda prompt, sample: 1 + prompt % 8),
        a_grading("b", lambda prompt, sample: 2 + prompt % 8),
    ]
    parts.append(a_grading("c", lambda prompt, sample: 2 + prompt % 8 + (-1) ** prompt))
    summary = summarise(*together(*parts), GRADING, INSTRUMENT)
    assert [score.model for score in summary.scores] == ["b", "c", "a"]
    best, worst = summary.scores[0].means["overall"], summary.scores[2].means["overall"]
    assert worst.high > best.low
    found = {(c.better, c.worse): c for c in summary.comparisons if c.criterion == "overall"}
    assert found.keys() == {("b", "c"), ("c", "a"), ("b", "a")}
    assert (found["b", "a"].difference.low, found["b", "a"].tie) == (1.0, False)
    assert in_words(found["b", "a"]) == "b is better than a in overall by 1.00 (1.00 to 1.00)"
    assert found["b", "c"].tie
    assert in_words(found["b", "c"]).startswith("no difference in overall between b and c: the interval of b - c, ")


def test_a_model_better_overall_may_be_the_worse_in_one_criterion() -> None:
    prompts = [f"p{i}" for i in range(6)]
    means = {"a": {"overall": dict.fromkeys(prompts, 6.0), "plot": dict.fromkeys(prompts, 3.0)}}
    means["b"] = {"overall": dict.fromkeys(prompts, 5.0), "plot": dict.fromkeys(prompts, 4.0)}
    overall, plot = compare(["a", "b"], means, 100, 0)
    assert (overall.better, plot.better) == ("a", "b")
    assert plot.difference.value == 1.0


def test_kappa_is_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    base = generator.integers(1, 11, 40)
    columns = [np.clip(base + generator.integers(-2, 3, 40), 1, 10) for _ in range(3)]
    stories = [told("a", i, 0) for i in range(40)]
    grades = [graded(s, repeat=r, grammar=int(columns[r][i]), plot=4) for i, s in enumerate(stories) for r in range(3)]
    found, repeats = repeatability([*grades, graded(told("b", 0, 0), grammar=1)])
    orders = [(i, j) for i in range(3) for j in range(3) if i != j]
    one, other = (np.concatenate([columns[pair[side]] for pair in orders]) for side in (0, 1))
    expected = cohen_kappa_score(one, other, weights="quadratic", labels=list(range(1, 11)))
    assert found == {"grammar": pytest.approx(expected)}, "where all scores are one, nothing can be told"
    assert repeats == 40


def test_length_is_judged_within_model_and_prompt() -> None:
    """A judge that pays 0.5 a doubling, models and prompts whose lengths and levels go together the other way."""
    generator = np.random.default_rng(2)
    scored = []
    for model, prompt, sample in product(range(3), range(30), range(8)):
        words = int(2 ** (4 + model + generator.random() * 3))
        value = 7 - 2 * model + prompt % 3 + 0.5 * np.log2(words) + 0.3 * generator.standard_normal()
        scored.append((graded(told(f"m{model}", prompt, sample), words=words, plot=5), float(value)))
    slope = length_slope(scored, 200, 0)
    assert slope.low < 0.5 < slope.high
    assert slope.high - slope.low < 0.2
    same = [(replace(grade, words=20), value) for grade, value in scored]
    assert length_slope(same, 200, 0) is None


def test_what_length_explains_is_said() -> None:
    parts = []
    for model, length, level in (("long", 64, 5), ("short", 16, 3)):
        stories = [told(model, prompt, sample) for prompt, sample in product(range(8), range(2))]
        scored = [graded(s, words=length * 2**s.sample, **alike(level + s.sample)) for s in stories]
        parts.append((scored, stories))
    summary = summarise(*together(*parts), GRADING, INSTRUMENT)
    assert summary.calibration.length_slope["plot"].value == pytest.approx(1.0)
    said = " ".join(summary.calibration.warnings)
    assert "longer stories score higher in plot: a doubling of the words brings +1.00 points" in said
    assert "of the 2.00 points between long and short, 2.00 are what their stories' lengths alone would bring" in said


def calibration(of_kind: dict[StoryKind, Callable[[int], int]], prompts: int = 12) -> list[Grade]:
    return [graded(told("", i, 0, kind), **alike(score(i))) for kind, score in of_kind.items() for i in range(prompts)]


def warnings_of(extra: Iterable[Grade]) -> tuple[bool | None, str]:
    grades, stories = a_grading("a", lambda prompt, sample: 5)
    found = summarise([*grades, *extra], stories, GRADING, INSTRUMENT).calibration
    return found.can_tell, " ".join(found.warnings)


def test_a_judge_that_can_tell() -> None:
    seeing = calibration({"reference": lambda i: 7 + i % 3, "shuffled": lambda i: 5 + i % 3, "truncated": lambda i: 6})
    assert warnings_of(seeing) == (True, "")


def test_a_judge_that_cannot_tell_is_not_to_be_trusted() -> None:
    blind = calibration({"reference": lambda i: 7, "shuffled": lambda i: 7 + (-1) ** i, "truncated": lambda i: 7})
    can_tell, said = warnings_of(blind)
    assert can_tell is False
    assert "the judge does not tell shuffled endings from real ones (reference - shuffled: +0.00" in said
    assert "does not tell stories cut off in the middle from whole ones" in said
    assert said.count("do not trust these scores") == 2


def test_a_judge_that_was_not_tested_or_failed_its_test_says_so() -> None:
    assert warnings_of([])[0] is None
    assert "was not tested on shuffled endings" in warnings_of([])[1]
    failing = calibration({"reference": lambda i: 7, "shuffled": lambda i: 3})
    failing[12:14] = [replace(grade, scores={}, ungraded="timeout") for grade in failing[12:14]]
    can_tell, said = warnings_of(failing)
    assert can_tell is None
    assert "2 of 12 shuffled calibration stories are ungraded" in said


def test_drift_and_a_judge_at_odds_with_itself_are_said() -> None:
    grades, _ = a_grading("a", lambda prompt, sample: 3 + 4 * (prompt % 2))
    other = [replace(g, repeat=1, scores=alike(7 - 4 * (i // 2 % 2) if i % 2 else 3), answered_by="judge-2")
             for i, g in enumerate(grades)]  # fmt: skip
    said = warnings_of([*other])[1]
    assert "the judge changed under way: the endpoint says that judge-1, judge-2 answered" in said
    assert "the judge does not agree with itself in grammar" in said


def test_drift_between_sessions_is_measured_story_by_story() -> None:
    first = calibration({"reference": lambda i: 7 + i % 3, "shuffled": lambda i: 5 + i % 3})
    grades, stories = a_grading("a", lambda prompt, sample: 5)

    def drift_of(change: Callable[[int], int]) -> tuple[float, str]:
        last = [replace(g, repeat=1, scores=alike(g.scores["plot"] + change(i))) for i, g in enumerate(first)]
        found = summarise([*grades, *first, *last], stories, GRADING, INSTRUMENT).calibration
        assert found.drift
        assert found.repeats == 0, "sessions are days apart, and no test of repeatability"
        return found.drift.value, " ".join(found.warnings)

    assert drift_of(lambda i: (-1) ** i) == (0.0, "")
    value, said = drift_of(lambda i: -(i % 4 > 0))
    assert value == pytest.approx(-0.75)
    assert "the judge has drifted: its own test scores -0.75 (interval " in said


def test_relative_score_of_the_papers_table() -> None:
    assert relative(6.19, 4.33, 8.75) == pytest.approx(0.42, abs=0.005)
    with pytest.raises(ValueError, match="are equal"):
        relative(5.0, 4.0, 4.0)


def test_relative_scores_lie_between_the_named_anchors() -> None:
    parts = [
        a_grading(model, lambda prompt, sample, score=score: score) for model, score in (("a", 3), ("b", 5), ("c", 7))
    ]
    grades, stories = together(*parts)
    summary = summarise(grades, stories, replace(GRADING, worst="a", reference="c"), INSTRUMENT)
    assert [(s.model, s.relative["plot"]) for s in summary.scores] == [("c", 1.0), ("b", 0.5), ("a", 0.0)]
    assert not any(s.relative for s in summarise(grades, stories, GRADING, INSTRUMENT).scores)
    level, level_stories = a_grading("d", lambda prompt, sample: 3)
    same = summarise(
        [*grades, *level], [*stories, *level_stories], replace(GRADING, worst="a", reference="d"), INSTRUMENT
    )
    assert "no relative score of plot: both anchors have 3.00" in same.notes
    assert not any(s.relative for s in same.scores)


@pytest.mark.parametrize(
    ("worst", "reference", "words"),
    [
        ("a", "x", "no graded model is named 'x'; there are a, b"),
        ("a", "", "grading.reference is empty"),
        ("a", "a", "both"),
    ],
)
def test_anchors_that_cannot_be(worst: str, reference: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_anchors(worst, reference, ["b", "a"])
