"""One grading: every story asked for, in order, at the judge's pace and within the budget; killed, it goes on."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinyscale.grading.ask import Asker, FatalError
from tinyscale.grading.budget import BudgetReachedError, Prices
from tinyscale.grading.cache import AnswerCache
from tinyscale.grading.pace import Pace
from tinyscale.grading.rubric import instrument
from tinyscale.grading.turns import Desk, StoppedError, grade_story
from tinyscale.spec.codec import digest
from tinyscale.spec.grading import Grade, Grading, Judge, Story

REPEATS = 2
"""Times that a story of the repeated share is graded beside its grade."""
_AHEAD = 64  # grades a worker that may wait for an earlier one, so that memory does not grow with the stories

Stopped = Literal["", "budget", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Graded:
    """What a grading came to."""

    grades: tuple[Grade, ...]
    """In the order of the stories, repeats behind their story's grade; empty where ``on_grade`` took them."""
    asked: int
    """Grades asked for: stories and repeats."""
    given: int
    """Grades that came of it, ungraded ones included; fewer than asked for only where it stopped."""
    ungraded: int
    calls: int
    """Calls that were answered, and paid, by this run of it; 0: all was there."""
    cost_usd: float
    """Of those calls."""
    spent_usd: float
    """Of all calls of the account, ever; those that a kill cut off count at their worst."""
    stopped: Stopped
    why: str = ""
    """In words, where it stopped."""


def grade_stories(
    stories: Iterable[Story],
    grading: Grading,
    *,
    cache_path: Path,
    asker: Asker,
    account: str,
    sessions: int = 1,
    on_grade: Callable[[Grade], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Graded:
    """Grade stories, those of the judge's own test among them, asking only what no earlier grading was told.

    :param stories: read one by one, a little ahead of the grades.
    :param cache_path: the file of all answers; may be shared with gradings that run at the same time.
    :param account: whom the calls are charged to (the study); ``grading.budget_usd`` is its limit, for ever.
    :param sessions: how often the judge has had its own test, this time included; see :func:`asked_for`.
    :param on_grade: takes each grade, in order and on the caller's thread, so that memory need not hold them.
    :param should_stop: asked often, by many threads; once true no call goes out, and those under way are waited for.
    :returns: what came of it, also where the budget was reached: then the grades are those that could be paid for.
    :raises FatalError: the endpoint will answer nothing until the user acts; the cache keeps what it answered.
    :raises ValueError: settings of the judge, or the cache, are no good.
    """
    judge = grading.judge
    check_judge(judge)
    kept: list[Grade] = []
    take = kept.append if on_grade is None else on_grade
    asked = given = ungraded = 0
    with AnswerCache(cache_path) as cache, ExitStack() as workers:
        stop = _Stop(should_stop)
        desk = Desk(judge=judge, instrument=instrument(judge), prices=Prices.of(judge), cache=cache, asker=asker,
                    pace=Pace(judge.requests_per_minute), account=account, limit_usd=grading.budget_usd,
                    stopping=stop.wanted)  # fmt: skip
        # Closed before the cache is: an error of the caller's leaves threads that still have answers to write.
        for grade in workers.enter_context(closing(_in_order(asked_for(stories, grading, sessions), desk, stop))):
            asked += 1
            if grade is not None:
                given += 1
                ungraded += bool(grade.ungraded)
                take(grade)
        if isinstance(stop.cause, FatalError):
            raise stop.cause
        stopped: Stopped = "budget" if stop.cause else "interrupted" if given < asked else ""
        return Graded(
            grades=tuple(kept), asked=asked, given=given, ungraded=ungraded, calls=desk.calls, cost_usd=desk.cost_usd,
            spent_usd=cache.ledger.committed_usd(account), stopped=stopped,
            why=str(stop.cause) if stop.cause else f"stopped after {given} of {asked} grades" if stopped else "",
        )  # fmt: skip


def check_judge(judge: Judge) -> None:
    """See that a judge can be asked at all.

    :raises ValueError: it has no name, a number is out of its range, or a price has no day.
    """
    if not judge.model:
        raise ValueError("grading.judge.model names no model: nobody to ask")
    for name in ("requests_per_minute", "concurrency", "timeout_s", "max_attempts", "max_tokens"):
        if not (value := getattr(judge, name)) > 0:
            raise ValueError(f"grading.judge.{name}: {value:g} is not above 0")
    Prices.of(judge)


def is_repeated(story: Story, grading: Grading) -> bool:
    """Whether a story is graded three times: a share of the models' stories, which their ids alone decide."""
    return story.kind == "model" and int(digest(["repeat", story.id])[:8], 16) < grading.repeat_share * 2**32


def asked_for(stories: Iterable[Story], grading: Grading, sessions: int = 1) -> Iterator[tuple[Story, int]]:
    """Each story, and behind it its repeats (1, 2) where it has some.

    The judge's own test is asked anew in each session (0, 1, ...), or its drift from one to the next would go unseen.
    """
    for story in stories:
        times = 1 + REPEATS * is_repeated(story, grading) if story.kind == "model" else sessions
        for repeat in range(times):
            yield story, repeat


class _Stop:
    """Why no further call goes out: the caller's wish, or the first error that concerns all calls."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self.cause: FatalError | BudgetReachedError | None = None
        self.left = threading.Event()  # the caller is gone: an error of its own, or Ctrl-C
        self._asked = asked

    def wanted(self) -> bool:
        return self.cause is not None or self.left.is_set() or self._asked()


def _in_order(asked: Iterator[tuple[Story, int]], desk: Desk, stop: _Stop) -> Generator[Grade | None]:
    """Grades as they were asked for, worked on by ``concurrency`` threads; None: it was stopped before that one.

    After a stop the rest is still looked up: what is in the cache costs nothing.
    """

    def work(story: Story, repeat: int) -> Grade | None:
        try:
            return grade_story(story, repeat, desk)
        except StoppedError:
            return None
        except (FatalError, BudgetReachedError) as error:
            if not isinstance(stop.cause, FatalError):
                stop.cause = error
            return None

    workers = desk.judge.concurrency
    pool = ThreadPoolExecutor(workers, thread_name_prefix="judge")
    try:
        waiting: deque[Future[Grade | None]] = deque()
        for story, repeat in asked:
            waiting.append(pool.submit(work, story, repeat))
            while waiting[0].done() if len(waiting) < _AHEAD * workers else waiting:
                yield waiting.popleft().result()
                if not waiting:
                    break
        while waiting:
            yield waiting.popleft().result()
    finally:
        stop.left.set()
        pool.shutdown(wait=True, cancel_futures=True)
