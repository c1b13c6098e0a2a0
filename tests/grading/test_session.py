"""Gradings through the real SDK against a real server: faults, kills, budgets, two at once."""

import json
import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyscale.grading.ask import FatalError
from tinyscale.grading.client import OpenAIAsker
from tinyscale.grading.quote import quote
from tinyscale.grading.session import Graded, grade_stories, is_repeated
from tinyscale.spec import to_json
from tinyscale.spec.grading import Grade, Grading, Judge, Story

WORDS = ("the", "cat", "dog", "sun", "ran", "sat", "saw", "a", "big", "red", "ball", "and", "then", "mum", "smiled")


def story(number: int) -> Story:
    draw = random.Random(number)
    text = " ".join(" ".join(draw.choices(WORDS, k=8)).capitalize() + "." for _ in range(4))
    return Story(model="tiny", model_digest="0" * 64, prompt_id=f"p{number % 10}", prompt="Once there was a cat.",
                 completion=text, sample=number)  # fmt: skip


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyscale.grading.pace._FIRST_WAIT_S", 0.02)


def settings(url: str, *, budget_usd: float = 5.0, repeat_share: float = 0.1, **judge: Any) -> Grading:
    judge = {"requests_per_minute": 60_000, "timeout_s": 5.0, **judge}
    return Grading(budget_usd=budget_usd, repeat_share=repeat_share, judge=Judge(model="m", base_url=url, **judge))


def priced(url: str, **more: Any) -> Grading:
    return settings(url, price_input_usd=2.0, price_output_usd=8.0, priced_on="2026-11-21", **more)


@contextmanager
def asking(grading: Grading) -> Iterator[OpenAIAsker]:
    asker = OpenAIAsker(grading.judge)
    yield asker
    asker.close()


def graded(
    stories: list[Story], grading: Grading, folder: Path, on_grade: Callable[[Grade], None] | None = None, **more: Any
) -> Graded:
    with asking(grading) as asker:
        return grade_stories(stories, grading, cache_path=folder / "judge.jsonl", asker=asker, account="study",
                             on_grade=on_grade, **more)  # fmt: skip


def said(outcome: Graded) -> list[Any]:
    """All of the grades but their time."""
    return [to_json(replace(grade, graded_s=0.0)) for grade in outcome.grades]


def server_usd(server: Any) -> float:
    """What the server would bill, at the prices of ``priced``."""
    stats = server.stats()
    return float((2.0 * stats["input_tokens"] + 8.0 * stats["output_tokens"]) / 1e6)


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_every_story_is_graded_once_and_a_second_grading_asks_nothing(
    judge_server: Any, tmp_path: Path, protocol: Any
) -> None:
    grading = priced(judge_server.url, protocol=protocol)
    stories = [story(number) for number in range(40)]
    first = graded(stories, grading, tmp_path)
    repeats = sum(is_repeated(one, grading) for one in stories)
    assert 1 <= repeats <= 10
    turns = 2 if protocol == "paper" else 1
    assert (first.stopped, first.ungraded) == ("", 0)
    assert (first.given, first.calls) == (40 + 2 * repeats, turns * (40 + 2 * repeats))
    assert first.cost_usd == pytest.approx(server_usd(judge_server))
    assert first.spent_usd == pytest.approx(first.cost_usd)
    assert sum(grade.cost_usd for grade in first.grades) == pytest.approx(first.cost_usd)
    asked = [(one.id, repeat) for one in stories for repeat in range(3 if is_repeated(one, grading) else 1)]
    assert [(grade.story_id, grade.repeat) for grade in first.grades] == asked
    grade = first.grades[0]
    assert set(grade.scores) == {"grammar", "creativity", "consistency", "plot"}
    assert (grade.answered_by, grade.words) == ("judge-for-tests fp_1", 32)

    again = graded(stories, grading, tmp_path)
    assert judge_server.stats()["requests"] == first.calls
    assert (again.calls, again.cost_usd) == (0, 0)
    assert again.grades == first.grades, "to the second"


def test_grades_do_not_depend_on_what_runs_beside(judge_server: Any, tmp_path: Path) -> None:
    stories = [story(number) for number in range(30)]
    outcomes = []
    for workers in (1, 8):
        judge_server.script(faults={"wrong-schema": 0.1, "500": 0.1, "refusal": 0.1})
        outcomes.append(graded(stories, settings(judge_server.url, concurrency=workers), tmp_path / str(workers)))
        assert judge_server.stats()["most_open"] <= workers
    assert said(outcomes[0]) == said(outcomes[1])


def test_every_fault_at_once_ends_in_the_grades_of_a_calm_day(judge_server: Any, tmp_path: Path) -> None:
    stories = [story(number) for number in range(40)]
    grading = priced(judge_server.url, timeout_s=0.5, max_attempts=20)
    calm = graded(stories, grading, tmp_path / "calm")
    names = ("429", "500", "503", "stall", "cut", "half", "html", "broken-json", "wrong-schema", "out-of-range",
             "empty", "length", "refusal")  # fmt: skip
    judge_server.script(next=list(names), retry_after="0.1", stall_s=0.7)
    stormy = graded(stories, grading, tmp_path / "stormy")
    assert (stormy.ungraded, stormy.stopped) == (0, "")
    assert [grade.scores for grade in stormy.grades] == [grade.scores for grade in calm.grades]
    assert stormy.cost_usd <= server_usd(judge_server) + 1e-9, "cut replies were billed, and not seen"
    assert server_usd(judge_server) <= stormy.spent_usd, "they count at their worst"


@pytest.mark.parametrize(
    ("fault", "calls", "words"),
    [
        ("refusal", 2, "the judge refused: I can't grade this."),
        ("filter", 2, "the judge refused: content filter"),
        ("broken-json", 3, "the reply can't be read"),
        ("wrong-schema", 3, "the reply can't be read"),
        ("out-of-range", 3, "the reply can't be read"),
        ("length", 3, "cut at 1000 tokens"),
        ("empty", 3, "the reply was empty"),
    ],
)
def test_a_judge_that_never_gives_a_usable_answer_leaves_the_story_ungraded(
    judge_server: Any, tmp_path: Path, fault: str, calls: int, words: str
) -> None:
    judge_server.script(always=fault)
    grading = priced(judge_server.url, max_attempts=3, repeat_share=0.0)
    outcome = graded([story(1)], grading, tmp_path)
    assert (outcome.ungraded, outcome.calls) == (1, calls)
    assert words in outcome.grades[0].ungraded
    assert outcome.grades[0].scores == {}
    assert outcome.grades[0].cost_usd == pytest.approx(server_usd(judge_server)) == outcome.spent_usd
    keys = [entry["key"] for entry in judge_server.log()]
    assert len(set(keys)) == calls, "an endpoint that knows the key would give the same useless answer"
    graded([story(1)], grading, tmp_path)
    assert judge_server.stats()["requests"] == calls, "what was paid for and given up is not asked again"


def test_an_endpoint_that_is_down_ends_the_grading_and_is_asked_again_later(judge_server: Any, tmp_path: Path) -> None:
    stories = [story(number) for number in range(50)]
    grading = settings(judge_server.url, max_attempts=2, concurrency=4)
    judge_server.script(always="500")
    with pytest.raises(FatalError, match=r"no answer for 4 grades in a row, 2 calls each; the last: .*Scripted 500"):
        graded(stories, grading, tmp_path)
    assert judge_server.stats()["requests"] < 30
    judge_server.script(always="404")
    with pytest.raises(FatalError, match="is there a model 'm'"):
        graded(stories, grading, tmp_path)
    judge_server.script()
    assert graded(stories, grading, tmp_path).ungraded == 0


def test_an_error_of_the_callers_loses_no_answer(judge_server: Any, tmp_path: Path) -> None:
    judge_server.script(latency_s=0.05)
    stories = [story(number) for number in range(40)]

    def on_grade(grade: Grade) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        graded(stories, settings(judge_server.url), tmp_path, on_grade)
    assert 0 < judge_server.stats()["requests"] < 40
    assert graded(stories, settings(judge_server.url), tmp_path).ungraded == 0
    assert judge_server.stats()["billed_twice"] == 0


def test_a_wish_to_stop_ends_it_with_what_is_there(judge_server: Any, tmp_path: Path) -> None:
    judge_server.script(latency_s=0.02)
    stop = threading.Event()
    seen: list[Grade] = []

    def on_grade(grade: Grade) -> None:
        seen.append(grade)
        if len(seen) == 5:
            stop.set()

    stories = [story(number) for number in range(70)]
    outcome = graded(stories, settings(judge_server.url), tmp_path, on_grade, should_stop=stop.is_set)
    assert (outcome.stopped, outcome.grades) == ("interrupted", ())
    assert outcome.given == len(seen) < outcome.asked
    assert outcome.calls == judge_server.stats()["billed"] == len(seen)
    assert graded(stories, settings(judge_server.url), tmp_path).stopped == ""
    assert judge_server.stats()["billed_twice"] == 0


@pytest.mark.parametrize("workers", [1, 8])
def test_the_budget_is_never_exceeded(judge_server: Any, tmp_path: Path, workers: int) -> None:
    judge_server.script(faults={"wrong-schema": 0.1, "half": 0.05, "no-usage": 0.05}, latency_s=0.005)
    stories = [story(number) for number in range(60)]
    grading = priced(judge_server.url, concurrency=workers, max_tokens=300, budget_usd=0.08)
    outcome = graded(stories, grading, tmp_path)
    assert outcome.stopped == "budget"
    assert "of the $0.08 (grading.budget_usd) are spent" in outcome.why
    assert server_usd(judge_server) <= outcome.spent_usd <= 0.08
    assert outcome.spent_usd > 0.06, "what was reserved and not needed was spent on others"
    assert 0 < outcome.given < outcome.asked
    billed = judge_server.stats()["billed"]
    again = graded(stories, grading, tmp_path)
    assert (again.stopped, again.calls, judge_server.stats()["billed"]) == ("budget", 0, billed)
    assert again.grades == outcome.grades
    more = graded(stories, replace(grading, budget_usd=5.0), tmp_path)
    assert (more.stopped, more.given, more.ungraded) == ("", more.asked, 0)


def test_two_gradings_at_once_share_answers_and_budget(judge_server: Any, tmp_path: Path) -> None:
    judge_server.script(latency_s=0.01)
    grading = priced(judge_server.url, concurrency=4, repeat_share=0.0)
    stories = [story(number) for number in range(60)]
    outcomes: list[Graded] = []
    both = [
        threading.Thread(target=lambda order=order: outcomes.append(graded(order, grading, tmp_path)))
        for order in (stories, stories[::-1])
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    stats = judge_server.stats()
    assert (stats["billed"], stats["billed_twice"]) == (60, 0)
    assert sum(outcome.calls for outcome in outcomes) == 60
    assert all(outcome.calls for outcome in outcomes), "both did some of the work"
    assert sorted(map(json.dumps, said(outcomes[0]))) == sorted(map(json.dumps, said(outcomes[1])))
    assert outcomes[1].spent_usd == pytest.approx(server_usd(judge_server))


def test_killed_at_random_and_finished_it_has_paid_once(judge_server: Any, tmp_path: Path) -> None:
    workers, kills = 4, 3
    grading = priced(judge_server.url, concurrency=workers)
    stories = [story(number) for number in range(150)]
    undisturbed = graded(stories, grading, tmp_path / "undisturbed")
    judge_server.script(latency_s=0.02)
    cache = tmp_path / "killed" / "judge.jsonl"
    draw = random.Random(4)
    context = multiprocessing.get_context("fork")
    for _ in range(kills):
        before = judge_server.stats()["requests"]
        child = context.Process(target=graded, args=(stories, grading, cache.parent))
        child.start()
        while judge_server.stats()["requests"] < before + 10:
            assert child.is_alive()
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.1))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    with cache.open("ab") as file:
        file.write(b'{"end":"torn')
    time.sleep(0.1)  # the server finishes what the dead have asked, and bills it
    outcome = graded(stories, grading, cache.parent)
    stats = judge_server.stats()
    assert (outcome.stopped, outcome.given) == ("", undisturbed.given)
    assert said(outcome) == said(undisturbed), "and each answer is counted once in the cost"
    assert outcome.calls < undisturbed.calls, "what was answered before the kills was not asked again"
    assert stats["keys"] == undisturbed.calls
    assert stats["billed_twice"] <= workers * kills
    paid = sum(grade.cost_usd for grade in outcome.grades)
    assert paid == pytest.approx(undisturbed.cost_usd)
    assert paid <= server_usd(judge_server) <= outcome.spent_usd, "calls that were cut off count at their worst"
    assert paid < outcome.spent_usd, "and there were some"
    worst = max(json.loads(line).get("worst_usd", 0) for line in cache.read_text().splitlines())
    assert outcome.spent_usd <= paid + workers * kills * worst
    assert not list(cache.parent.glob(".*.lock")), "nor do the dead leave anything else"


def test_a_quote_asks_nobody_and_says_what_the_grading_then_does(judge_server: Any, tmp_path: Path) -> None:
    stories = [story(number) for number in range(30)]
    cache = tmp_path / "judge.jsonl"
    for protocol, turns in (("strict", 1), ("paper", 2)):
        grading = priced(judge_server.url, protocol=protocol, requests_per_minute=6_000)
        judge_server.script()
        before = quote(stories, grading, cache, account="study")
        assert judge_server.stats()["requests"] == 0
        assert cache.exists() == (protocol == "paper"), "nor does it write"
        assert (before.cached, before.calls) == (0, turns * before.grades)
        assert before.minutes > 0
        outcome = graded(stories, grading, tmp_path)
        assert outcome.calls == before.calls
        assert outcome.cost_usd < before.worst_usd < before.budget_usd
        assert outcome.cost_usd == pytest.approx(before.likely_usd, rel=0.75)
        after = quote(stories, grading, cache, account="study")
        assert (after.calls, after.cached, after.worst_usd) == (0, after.grades, 0)
        assert after.spent_usd == pytest.approx(outcome.spent_usd)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": ""}, "judge.model names no model"),
        ({"priced_on": "", "price_input_usd": 1.0}, "needs the day on which it was read"),
        ({"price_input_usd": -1.0}, "is no price"),
        ({"requests_per_minute": 0.0}, "requests_per_minute: 0 is not above 0"),
        ({"concurrency": 0}, "concurrency: 0 is not above 0"),
        ({"max_attempts": 0}, "max_attempts: 0 is not above 0"),
    ],
)
def test_settings_that_are_no_good(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    grading = Grading(judge=replace(Judge(model="m", base_url="http://127.0.0.1:9/v1"), **change))
    with pytest.raises(ValueError, match=words):
        graded([story(1)], grading, tmp_path)


def test_the_key_is_in_no_file_and_no_grade(judge_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "sk-canary-5f3c9a7e1b2d"
    monkeypatch.setenv("MY_KEY", canary)
    judge_server.script(
        next=["context", "429", "html", "500", "refusal", "half"], echo_key=True, key=canary, retry_after="0.05"
    )
    grading = settings(judge_server.url)
    grading = replace(grading, judge=replace(grading.judge, api_key_env="MY_KEY"))
    outcome = graded([story(number) for number in range(40)], grading, tmp_path)
    assert outcome.given == outcome.asked
    assert canary not in repr(outcome)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"[key]" in written, "the endpoint did quote it"
    assert canary.encode() not in written
