"""What a judge costs, at worst and in fact, and who has spent how much."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from tinyscale.grading.ask import Answer, ChatRequest
from tinyscale.spec.grading import Judge

_MESSAGE_TOKENS = 16  # a chat template's own tokens around one message; known templates have 3 to 10
_REQUEST_TOKENS = 64  # and around all of them


class BudgetReachedError(Exception):
    """The next call could cost more than is left."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """US dollars for a million tokens.

    :raises ValueError: a price is negative, or stands without the day on which it was read.
    """

    input_usd: float
    output_usd: float
    priced_on: str

    def __post_init__(self) -> None:
        for name, price in (("price_input_usd", self.input_usd), ("price_output_usd", self.output_usd)):
            if not 0 <= price < float("inf"):
                raise ValueError(f"grading.judge.{name}: {price} is no price (US dollars for a million tokens)")
        if not (self.input_usd or self.output_usd):
            return
        try:
            date.fromisoformat(self.priced_on)
        except ValueError:
            raise ValueError(
                f"grading.judge.priced_on: {self.priced_on!r} is no day; a price needs the day on which it was read, "
                "such as 2026-11-21"
            ) from None

    @classmethod
    def of(cls, judge: Judge) -> "Prices":
        """The prices of a judge."""
        return cls(input_usd=judge.price_input_usd, output_usd=judge.price_output_usd, priced_on=judge.priced_on)

    def worst_usd(self, request: ChatRequest) -> float:
        """Most that one call can cost: an upper bound on its input, and the longest reply."""
        return self.usd(input_bound(request), request.max_tokens)

    def usd(self, input_tokens: float, output_tokens: float) -> float:
        """Cost of so many tokens."""
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1e6

    def answer_usd(self, answer: Answer, worst_usd: float) -> float:
        """Cost of an answer; the worst case where the endpoint does not say how many tokens it took."""
        if answer.input_tokens is None or answer.output_tokens is None:
            return worst_usd
        return self.usd(answer.input_tokens, answer.output_tokens)


def input_bound(request: ChatRequest) -> int:
    """Upper bound on a request's input tokens: the UTF-8 bytes of its messages and schema, and a template's own tokens.

    A byte-level or byte-fallback vocabulary has no token that stands for less than a byte of text, so this holds for
    every judge; English text has about four bytes a token.
    """
    size = sum(len(text.encode()) for message in request.messages for text in message.values())
    schema = 0 if request.schema is None else len(json.dumps(request.schema).encode())
    return size + schema + _MESSAGE_TOKENS * len(request.messages) + _REQUEST_TOKENS


@dataclass(frozen=True, kw_only=True)
class OpenCall:
    """A call that was announced and has not come back."""

    key: str
    session: str
    account: str
    worst_usd: float


class Ledger:
    """What each account has paid and may yet have to pay, as the lines of a cache of answers tell.

    An open call counts in full: its process may have been killed after the judge had answered, and been billed.
    """

    def __init__(self) -> None:
        self.open: dict[str, OpenCall] = {}
        self._spent: dict[str, float] = {}

    def note(self, line: Mapping[str, Any]) -> None:
        """Take in one line."""
        if "call" in line:
            self.open[line["call"]] = OpenCall(key=line["key"], session=line["session"], account=line["account"],
                                               worst_usd=line["worst_usd"])  # fmt: skip
            return
        self.open.pop(line["end"], None)
        self._spend(line["account"], line["usd"])

    def give_up(self, call: str) -> None:
        """Nobody waits for this call any longer: it counts as paid at its worst."""
        gone = self.open.pop(call)
        self._spend(gone.account, gone.worst_usd)

    def committed_usd(self, account: str) -> float:
        """Paid, and to be paid at worst."""
        return self._spent.get(account, 0.0) + sum(c.worst_usd for c in self.open.values() if c.account == account)

    def _spend(self, account: str, usd: float) -> None:
        self._spent[account] = self._spent.get(account, 0.0) + usd
