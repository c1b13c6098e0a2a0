"""What a grading would cost: calls, dollars, minutes, without asking anybody."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tinyscale.grading.answers import AnswerLog
from tinyscale.grading.budget import Prices, input_bound
from tinyscale.grading.hostile import new_nonce
from tinyscale.grading.rubric import instrument, next_request
from tinyscale.grading.session import asked_for, check_judge
from tinyscale.grading.turns import REFUSALS, answer_key
from tinyscale.spec.grading import Grading, Story

# For what is not known before: English text has about 4 bytes a token; a strict reply with its reasons takes about 250
# tokens and a hosted model about 3 s.
_BYTES_A_TOKEN, _REPLY_TOKENS, _CALL_S = 4.0, 250, 3.0


@dataclass(frozen=True, kw_only=True)
class GradingQuote:
    """What a grading has before it."""

    grades: int
    """Stories and repeats."""
    cached: int
    """Grades that are there already, or were given up."""
    calls: int
    """Calls to make if each is answered the first time."""
    worst_usd: float
    """If each of them took as many tokens as it can; retries come on top, within the budget."""
    likely_usd: float
    """If a token stands for four bytes and a reply takes 250 tokens: a guess."""
    minutes: float
    """At the judge's rate and concurrency, if a call takes 3 s: a guess."""
    spent_usd: float
    """What the account has spent before."""
    budget_usd: float


def quote(
    stories: Iterable[Story], grading: Grading, cache_path: Path, *, account: str, sessions: int = 1
) -> GradingQuote:
    """Count what :func:`~tinyscale.grading.session.grade_stories` would do; nothing is sent and nothing written.

    A turn that follows on another's answer is counted with the longest answer that there can be.

    :raises ValueError: settings of the judge, or the cache, are no good.
    """
    judge = grading.judge
    check_judge(judge)
    prices, ruler = Prices.of(judge), instrument(judge)
    log = AnswerLog(cache_path)
    grades = cached = calls = 0
    worst = likely = 0.0
    try:
        for story, repeat in asked_for(stories, grading, sessions):
            grades += 1
            replies: list[str] = []
            needed = 0
            while (request := next_request(story, judge, replies, repeat=repeat, nonce=new_nonce())) is not None:
                past = None if needed else log.past(answer_key(ruler, story, repeat, replies))
                if past and past.answer:
                    replies.append(past.answer.text)
                    continue
                if past and (past.sum.refused >= REFUSALS or past.sum.bad + past.sum.refused >= judge.max_attempts):
                    break
                needed += 1
                worst += prices.worst_usd(request)
                reply_tokens = min(_REPLY_TOKENS, judge.max_tokens)
                likely += prices.usd(input_bound(request) / _BYTES_A_TOKEN, reply_tokens)
                replies.append("x" * int(judge.max_tokens * _BYTES_A_TOKEN))
            calls += needed
            cached += not needed
        spent = log.ledger.committed_usd(account)
    finally:
        log.close()
    rate = min(judge.requests_per_minute, 60 * judge.concurrency / _CALL_S)
    return GradingQuote(grades=grades, cached=cached, calls=calls, worst_usd=worst, likely_usd=likely,
                        minutes=calls / rate, spent_usd=spent, budget_usd=grading.budget_usd)  # fmt: skip
