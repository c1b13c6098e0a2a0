"""What goes wrong between here and the hub, in words without secrets; and how often a request is made again."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tinyscale.tracking import mask

T = TypeVar("T")
PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Seconds between one try and the next; after the last one it is given up."""
LONGEST_WAIT_S = 300.0
"""A hub that asks to wait longer ends the push."""
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}
"""Statuses that may be gone at the next try; 409: another change of the repository is under way."""
LONGEST_SAID = 300
"""Characters of what a server said."""


class HubError(ConnectionError):
    """The hub can't be reached or refuses; the message says what stands there, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a request had no answer."""

    said: str
    status: int = 0
    """Of HTTP; 0: there was none."""
    passing: bool = False
    """It may be gone at the next try."""
    wait_s: float = 0.0
    """Seconds that the hub asks to wait."""
    bad_input: bool = False
    """It found what was sent wrong."""

    @property
    def hopeless(self) -> bool:
        """No try soon would help."""
        return not self.passing or self.wait_s > LONGEST_WAIT_S


def insist(
    what: str,
    request: Callable[[], T],
    failed: tuple[type[Exception], ...],
    read: Callable[[Exception], Failure],
    *,
    say: Callable[[str], None],
    pauses_s: Sequence[float],
) -> T | Failure:
    """The answer to a request that may be made again, or what became of its last try.

    A :class:`HubError` of the request's own is raised as it is.

    :param failed: what the client raises, turned into words by ``read``.
    """
    for pause_s in (*pauses_s, None):
        try:
            return request()
        except HubError:
            raise
        except failed as error:
            failure = read(error)
        if pause_s is None or failure.hopeless:
            break
        wait_s = max(pause_s, failure.wait_s)
        say(f"{what}: {failure.said}; trying again in {wait_s:g} s")
        time.sleep(wait_s)
    return failure


def clean(text: str, token: str) -> str:
    """What the hub said, in one line, without tokens and the signatures of its storage's addresses."""
    text = re.sub(r"\bhf_\w{8,}", "***", mask(text).replace(token, "***"))
    text = re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", text)
    return " ".join(text.split())[:LONGEST_SAID]


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that the hub asks to wait: by Retry-After (seconds or a date), or by what is left of its rate limit.

    The limit is told as ``ratelimit: "api";r=0;t=55`` (no requests left, for 55 s), after
    https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-09.html.
    """
    said = headers.get("retry-after", "").strip()
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        spent = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", ""))
        return float(spent[1]) if spent else 0.0
