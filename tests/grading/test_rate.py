"""How fast a judge is asked, as the server's own clock saw it, and what thousands of grades take of memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinyscale.grading.client import OpenAIAsker
from tinyscale.grading.pace import backoff_s
from tinyscale.grading.session import Graded, grade_stories
from tinyscale.spec.grading import Grade, Grading, Judge, Story


def stories(count: int) -> Iterator[Story]:
    for number in range(count):
        yield Story(model="tiny", model_digest="0" * 64, prompt_id="p", prompt="Once there was a cat.",
                    completion=f"It had {number} toys. It liked all of them, and it slept.", sample=number)  # fmt: skip


def graded(url: str, folder: Path, count: int, per_minute: float, on_grade: Any = None) -> Graded:
    judge = Judge(model="m", base_url=url, requests_per_minute=per_minute, timeout_s=20.0)
    asker = OpenAIAsker(judge)
    outcome = grade_stories(stories(count), Grading(judge=judge, repeat_share=0.0), cache_path=folder / "judge.jsonl",
                            asker=asker, account="study", on_grade=on_grade)  # fmt: skip
    asker.close()
    assert (outcome.given, outcome.ungraded) == (count, 0)
    return outcome


def arrivals(server: Any) -> list[float]:
    return sorted(entry["at"] for entry in server.log())


def assert_rate(times: list[float], per_s: float) -> None:
    """At most the rate over all of it, and no rush in any second; requests may be held up on their way."""
    assert len(times) - 1 <= per_s * (times[-1] - times[0] + 0.3)
    first = 0
    for last, at in enumerate(times):
        while at - times[first] > 1.0:
            first += 1
        assert last - first <= per_s * 1.5


def test_the_rate_is_kept(judge_server: Any, tmp_path: Path) -> None:
    judge_server.script(next=["stall"] * 8, stall_s=0.8)  # time that was lost is not made up for in a rush
    graded(judge_server.url, tmp_path, 120, per_minute=2_400)
    times = arrivals(judge_server)
    assert len(times) == 120
    assert_rate(times, 40.0)
    assert times[-1] - times[0] < 2 * 120 / 40, "and it is made use of"


def test_a_429_pauses_everyone_and_ends_in_no_rush(judge_server: Any, tmp_path: Path) -> None:
    judge_server.script(next=[""] * 20 + ["429"], retry_after="2")
    graded(judge_server.url, tmp_path, 60, per_minute=2_400)
    log = judge_server.log()
    (told,) = (entry["at"] for entry in log if entry["fault"])
    times = arrivals(judge_server)
    assert len(times) == 61
    assert not [at for at in times if told + 1.0 < at < told + 1.99]
    assert_rate([at for at in times if at > told + 1.99], 40.0)


def test_waits_grow_differ_and_are_never_shorter_than_asked() -> None:
    for failures, longest in ((1, 0.5), (2, 1.0), (5, 8.0), (20, 60.0)):
        waits = [backoff_s(failures) for _ in range(200)]
        assert 0 <= min(waits) < longest / 4
        assert longest * 3 / 4 < max(waits) <= longest
    asked = [backoff_s(1, 7.0) for _ in range(200)]
    assert 7.0 <= min(asked) < max(asked) <= 7.7


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_thousands_of_grades_at_the_rate_in_flat_memory(judge_server: Any, tmp_path: Path) -> None:
    """``TINYSCALE_GRADES=10000`` asks for more than every test run can wait for."""
    count = int(os.environ.get("TINYSCALE_GRADES", "2000"))
    seen = 0
    resident: list[int] = []

    def on_grade(grade: Grade) -> None:
        nonlocal seen
        assert grade.scores
        seen += 1
        if seen in (count // 4, count):
            resident.append(_resident_bytes())

    outcome = graded(judge_server.url, tmp_path, count, 7_200, on_grade)
    assert (seen, outcome.calls, outcome.grades) == (count, count, ())
    times = arrivals(judge_server)
    print(f"{count / (times[-1] - times[0]):.1f} requests a second; memory {[size / 2**20 for size in resident]} MiB")
    assert_rate(times, 120.0)
    assert resident[1] - resident[0] < 6 * 2**20
    assert (tmp_path / "judge.jsonl").stat().st_size > 800 * count


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
