"""One grade: its turns, asked until each has a usable answer, from the cache where it has one."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tinyscale.grading.answers import Past
from tinyscale.grading.ask import Answer, Asker, ChatRequest, FatalError, RefusedError, RetryableError
from tinyscale.grading.budget import Prices
from tinyscale.grading.cache import AnswerCache
from tinyscale.grading.hostile import new_nonce
from tinyscale.grading.pace import Pace, backoff_s, nap
from tinyscale.grading.rubric import BadReplyError, next_request, read_scores
from tinyscale.grading.suspects import flags
from tinyscale.spec.codec import digest, to_json
from tinyscale.spec.grading import Grade, Instrument, Judge, Story

REFUSALS = 2
"""A judge that has refused a story so often is not asked again."""
_SILENT_GRADES = 3  # at least so many grades without any answer, one after the other, mean that nobody is there


Scores = tuple[Mapping[str, int], str, Mapping[str, str]]
"""By criterion; the age group; the reasons."""


class StoppedError(Exception):
    """A stop was asked for before the grade was there."""


@dataclass(kw_only=True)
class Desk:
    """What the workers of one grading share."""

    judge: Judge
    instrument: Instrument
    prices: Prices
    cache: AnswerCache
    asker: Asker
    pace: Pace
    account: str
    limit_usd: float
    stopping: Callable[[], bool]
    calls: int = 0
    """Answered ones."""
    cost_usd: float = 0.0
    silent: int = 0
    """Grades that got no answer, since the last answer to anything."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, usd: float) -> None:
        """An answer came."""
        with self.lock:
            self.calls, self.cost_usd, self.silent = self.calls + 1, self.cost_usd + usd, 0

    def count_silence(self, error: RetryableError) -> None:
        """A grade got no answer, as often as it was asked for.

        :raises FatalError: so did many before it: the endpoint is down.
        """
        with self.lock:
            self.silent += 1
            if self.silent >= max(_SILENT_GRADES, self.judge.concurrency):
                raise FatalError(
                    f"no answer for {self.silent} grades in a row, {self.judge.max_attempts} calls each; the last: "
                    f"{error}"
                )


def answer_key(instrument: Instrument, story: Story, repeat: int, replies: Sequence[str]) -> str:
    """SHA-256 of all that decides a turn's answer; the nonce of its markers is no part of it."""
    return digest([to_json(instrument), story.id, repeat, list(replies)])


def grade_story(story: Story, repeat: int, desk: Desk) -> Grade:
    """Ask for one grade.

    A grade is made of what the cache holds, so that it is the same whenever it is made, and beside whatever else.

    :raises StoppedError: a call was needed, and none may go out any more.
    :raises FatalError, BudgetReachedError: as their names say; what was answered is kept.
    """
    replies: list[str] = []
    pasts: list[Past] = []
    ungraded = ""
    while (request := next_request(story, desk.judge, replies, repeat=repeat, nonce=new_nonce())) is not None:
        past, ungraded = _Turn(desk=desk, story=story, repeat=repeat, request=request, replies=tuple(replies)).ask()
        pasts.append(past)
        if past.answer is None:
            break
        replies.append(past.answer.text)
    read = ungraded or _read(replies, story, desk.judge)
    scores, age_group, reasons = ({}, "", {}) if isinstance(read, str) else read
    return Grade(
        story_id=story.id, model=story.model, prompt_id=story.prompt_id, sample=story.sample, kind=story.kind,
        repeat=repeat, instrument=desk.instrument.id, scores=scores, age_group=age_group, reasons=reasons,
        ungraded=read if isinstance(read, str) else "", flags=flags(story),
        answered_by=next((past.answer.answered_by for past in reversed(pasts) if past.answer), ""),
        input_tokens=sum(past.sum.input_tokens for past in pasts),
        output_tokens=sum(past.sum.output_tokens for past in pasts), cost_usd=sum(past.sum.usd for past in pasts),
        graded_s=max(past.at for past in pasts), words=len(story.completion.split()),
    )  # fmt: skip


def _read(replies: Sequence[str], story: Story, judge: Judge) -> Scores | str:
    """What the replies say; in words, why they can't be read."""
    try:
        return read_scores(replies, story, judge.protocol)
    except BadReplyError as error:
        return f"the reply can't be read: {error}"


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """One turn of one grade."""

    desk: Desk
    story: Story
    repeat: int
    request: ChatRequest
    replies: tuple[str, ...]
    """Of the turns before."""

    def ask(self) -> tuple[Past, str]:
        """What is known of the turn when its answer is there, or it has been asked for often enough; and why not."""
        desk, limit = self.desk, self.desk.judge.max_attempts
        key = answer_key(desk.instrument, self.story, self.repeat, self.replies)
        worst_usd = desk.prices.worst_usd(self.request)
        failures, ready, last = 0, False, None
        while True:
            past = desk.cache.past(key)
            answered = past.sum.bad + past.sum.refused
            if past.answer is not None:
                return past, ""
            if past.sum.refused >= REFUSALS or answered >= limit:
                return past, past.problem
            if last is not None and answered + failures >= limit:
                desk.count_silence(last)
                return past, f"no answer: {last}"
            ready = ready or desk.pace.wait(desk.stopping)
            if not ready:
                raise StoppedError
            call = desk.cache.announce(
                key, known=past.sum.calls, account=desk.account, worst_usd=worst_usd, limit_usd=desk.limit_usd
            )
            if call is None:
                continue
            ready = False
            # An endpoint that knows the key may answer a second sending with its first answer, for nothing. After an
            # answer of no use another one is wanted.
            if error := self._send(call, f"{key[:32]}-{answered}", worst_usd):
                failures, last = failures + 1, error
                wait_s = backoff_s(failures, error.wait_s)
                if error.slow_down:
                    desk.pace.hold(wait_s)
                else:
                    nap(wait_s, desk.stopping)

    def _send(self, call: str, key: str, worst_usd: float) -> RetryableError | None:
        """Make the call and write down what came of it; the error of one that brought no answer."""
        desk = self.desk
        try:
            answer = desk.asker.ask(self.request, key)
            problem, refused = self._problem(answer), False
        except RetryableError as error:
            if error.answer is None:
                desk.cache.unanswered(call, paid=error.unknown)
                return error
            answer, problem, refused = error.answer, str(error), False
        except RefusedError as error:
            answer, problem, refused = error.answer, str(error), True
        except FatalError:
            desk.cache.unanswered(call, paid=False)
            raise
        usd = desk.prices.answer_usd(answer, worst_usd)
        desk.cache.answered(call, answer, usd, problem=problem, refused=refused)
        desk.count(usd)
        return None

    def _problem(self, answer: Answer) -> str:
        """Why this turn's answer is of no use; empty: it is, or another turn follows."""
        replies = [*self.replies, answer.text]
        if next_request(self.story, self.desk.judge, replies, repeat=self.repeat, nonce=new_nonce()) is not None:
            return ""
        read = _read(replies, self.story, self.desk.judge)
        return read if isinstance(read, str) else ""
