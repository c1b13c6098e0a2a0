"""What is asked of a judge, what it answers, and what goes wrong: the words that all of the grading shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One turn of a conversation with a judge."""

    messages: tuple[Mapping[str, str], ...]
    """``role`` and ``content`` each, as in OpenAI's chat completions."""
    schema: Mapping[str, Any] | None = None
    """JSON schema that the reply must follow; None: free text."""
    max_tokens: int = 1_000
    """Longest reply (tokens)."""
    temperature: float = 0.0
    """Below 0: none is sent, for models that take none."""
    seed: int = 0
    """Below 0: none is sent, for endpoints that take none."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    text: str
    input_tokens: int | None = None
    """As the endpoint counts them; None: it does not say."""
    output_tokens: int | None = None
    """As the endpoint counts them; None: it does not say."""
    answered_by: str = ""
    """Model and fingerprint, as the endpoint names them."""
    refusal: str = ""
    """The judge's words where it refused; empty otherwise."""


class JudgeError(Exception):
    """A call that brought no usable answer. Its words are for users, and hold no key."""


class RetryableError(JudgeError):
    """Asking again may help."""

    def __init__(
        self,
        words: str,
        *,
        wait_s: float | None = None,
        slow_down: bool = False,
        answer: Answer | None = None,
        unknown: bool = False,
    ) -> None:
        super().__init__(words)
        self.wait_s = wait_s
        """Seconds that the endpoint asks to wait (Retry-After); None: it does not say."""
        self.slow_down = slow_down
        """The endpoint is asked too much, by all callers together."""
        self.answer = answer
        """The unusable answer, which was paid for; None: there was none."""
        self.unknown = unknown
        """Nobody knows whether the call was paid for: it went out, and nothing whole came back."""


class RefusedError(JudgeError):
    """The judge would not grade this story."""

    def __init__(self, words: str, *, answer: Answer) -> None:
        super().__init__(words)
        self.answer = answer
        """The refusal, which was paid for."""


class FatalError(JudgeError):
    """No call will succeed until the user changes something; the words say what."""


class Asker(Protocol):
    """Whatever answers requests: an endpoint, or a stand-in."""

    def ask(self, request: ChatRequest, key: str) -> Answer:
        """Send one request; many threads may do so at once.

        :param key: the same for each sending of the same request, so that an endpoint can tell.
        :raises RetryableError: nothing usable came back this time.
        :raises RefusedError: the judge refused.
        :raises FatalError: nothing will come back until the user acts.
        """
        ...
