"""The file of answers: what stands in it after kills, torn lines and several writers."""

import json
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyscale.grading.answers import AnswerLog, Past
from tinyscale.grading.ask import Answer
from tinyscale.grading.budget import BudgetReachedError
from tinyscale.grading.cache import AnswerCache
from tinyscale.spec.codec import digest

KEY, OTHER = digest("a"), digest("b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "judge.jsonl"


@pytest.fixture
def cache(path: Path) -> Iterator[AnswerCache]:
    with AnswerCache(path) as cache:
        yield cache


def announce(cache: AnswerCache, key: str = KEY, worst_usd: float = 1.0, limit_usd: float = 10.0) -> str | None:
    known = cache.past(key).sum.calls
    return cache.announce(key, known=known, account="study", worst_usd=worst_usd, limit_usd=limit_usd)


def answer(cache: AnswerCache, text: str, key: str = KEY, problem: str = "") -> None:
    call = announce(cache, key, limit_usd=1e6)
    assert call
    cache.answered(call, Answer(text=text, input_tokens=3, output_tokens=2), 0.25, problem=problem)


def test_what_is_written_is_read_back_by_whoever_opens_the_file(cache: AnswerCache, path: Path) -> None:
    assert cache.past(KEY) == Past()
    answer(cache, "no JSON", problem="can't be read")
    answer(cache, "grüße\n\ud800")
    with AnswerCache(path) as second:
        for reader in (cache, second, AnswerLog(path)):
            past = reader.past(KEY)
            assert past.answer
            assert past.answer.text == "grüße\n\ud800"
            assert (past.sum.calls, past.sum.bad, past.sum.usd, past.sum.input_tokens) == (2, 1, 0.5, 6)
            assert reader.past(OTHER) == Past()
            assert reader.ledger.committed_usd("study") == 0.5
            assert reader.ledger.committed_usd("another") == 0


def test_the_first_answer_counts(cache: AnswerCache, path: Path) -> None:
    answer(cache, "first")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1].replace("first", "second")]) + "\n")
    log = AnswerLog(path)
    past = log.past(KEY)
    assert past.answer
    assert past.answer.text == "first"
    log.close()


def test_a_torn_last_line_is_cut_off_before_the_next_one(cache: AnswerCache, path: Path) -> None:
    answer(cache, "whole")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"call":"0')
    with AnswerCache(path) as second:  # while the first one is still open
        answer(second, "more", OTHER)
    assert path.read_bytes().startswith(whole)
    assert [len(json.loads(line)) > 0 for line in path.read_text().splitlines()] == [True] * 4
    path.write_bytes(path.read_bytes() + b'{"end"')
    answer(cache, "still more", digest("c"))
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 6


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"call": "a"}', '{"end": "a", "account": "b"}', "[]"])
def test_a_whole_line_that_is_none_is_named(cache: AnswerCache, path: Path, line: str) -> None:
    answer(cache, "whole")
    end = path.stat().st_size
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=rf"judge.jsonl: no judge's answer at byte {end} .*take that line out"):
        AnswerLog(path)
    with pytest.raises(ValueError, match="no judge's answer"):
        announce(cache, OTHER)


def test_money_is_reserved_before_a_call_and_settled_after_it(cache: AnswerCache, path: Path) -> None:
    first = announce(cache, KEY, worst_usd=6.0)
    assert first
    assert announce(cache, OTHER, worst_usd=6.0) is None, "the first may cost less"
    with AnswerCache(path) as second:
        assert announce(second, OTHER, worst_usd=6.0) is None, "for others too"
        assert announce(second, KEY, worst_usd=1.0) is None, "and this is being asked"
    cache.answered(first, Answer(text="x", input_tokens=1, output_tokens=1), 4.0)
    held = announce(cache, OTHER, worst_usd=6.0)
    assert held
    cache.unanswered(held, paid=True)
    with pytest.raises(
        BudgetReachedError, match=r"\$10\.0000 of the \$10 .*are spent, and the next call could cost \$6"
    ):
        announce(cache, OTHER, worst_usd=6.0)
    held = announce(cache, OTHER, worst_usd=6.0, limit_usd=16.0)
    assert held
    cache.unanswered(held, paid=False)
    assert cache.ledger.committed_usd("study") == 10.0


def test_what_another_answered_since_is_not_asked_again(cache: AnswerCache, path: Path) -> None:
    with AnswerCache(path) as second:
        known = second.past(KEY).sum.calls
        answer(cache, "x")
        assert announce(second, OTHER), "by which the second hears of the answer"
        assert second.announce(KEY, known=known, account="study", worst_usd=1.0, limit_usd=10.0) is None
        assert second.past(KEY).answer


def test_a_waiter_is_woken_by_the_answer(cache: AnswerCache) -> None:
    call = announce(cache)
    assert call
    threading.Timer(0.1, cache.answered, (call, Answer(text="x"), 0.0)).start()
    waits = 0
    while cache.past(KEY).answer is None:
        assert announce(cache) is None
        waits += 1
    assert waits < 10


def test_what_a_killed_process_had_asked_counts_at_its_worst_and_may_be_asked_again(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tinyscale.grading.cache import AnswerCache\n"
        "cache = AnswerCache(Path(sys.argv[1]))\n"
        "cache.announce(sys.argv[2], known=0, account='study', worst_usd=3.0, limit_usd=10.0)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path), KEY]).returncode == -9
    assert len(list(path.parent.glob(".*.lock"))) == 1
    with AnswerCache(path) as cache:
        answer(cache, "again")
        assert cache.ledger.committed_usd("study") == 3.25
    assert not list(path.parent.glob(".*.lock"))


def _write(path: Path, name: int) -> None:
    with AnswerCache(path) as cache:
        for number in range(100):
            answer(cache, "x" * number * 50, digest([name, number]))


def test_several_processes_write_at_once(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(path, name)) for name in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    log = AnswerLog(path)
    pasts = [log.past(digest([name, number])).answer for name in range(4) for number in range(100)]
    assert [past and len(past.text) for past in pasts] == [50 * number for number in range(100)] * 4
    assert log.ledger.committed_usd("study") == 100.0
    log.close()


def test_a_storage_that_is_away_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AnswerCache(tmp_path / "away" / "storage" / "judge.jsonl")
    assert not (tmp_path / "away").exists()
