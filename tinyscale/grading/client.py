"""The judge's endpoint, through OpenAI's SDK: any server that speaks chat completions.

The key never leaves this file: SDK exceptions hold the request and with it the key, so each is turned into words inside
its ``except`` block and those are raised outside it, with nothing chained; and what an endpoint says, which may quote
the key, is cleaned before anything reads it.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import openai

from tinyscale.grading.ask import Answer, ChatRequest, FatalError, JudgeError, RefusedError, RetryableError
from tinyscale.spec.grading import Judge

LONGEST_WAIT_S = 600.0
"""An endpoint that asks to wait longer ends the grading: the user goes on when it is over."""
_RETRY = {408, 409, 425, 429}
_MAYBE_PAID = {408, 504, 524}  # a gateway gave up on a model that may have gone on
_OUT_OF_MONEY = {"insufficient_quota", "billing_hard_limit_reached"}
_THIS_STORY_ONLY = {"content_filter", "content_policy_violation", "context_length_exceeded", "invalid_prompt"}
_NO_KEY = "-"  # the SDK wants one; local servers take any


class OpenAIAsker:
    """Asks the endpoint of a :class:`~tinyscale.spec.grading.Judge`; its own retries are off.

    The key is read from the environment variable ``judge.api_key_env``. Where that names none, OpenAI's own endpoint
    gets the one in OPENAI_API_KEY and every other is asked without: a key goes only where it was meant to go.

    :raises FatalError: OpenAI's own endpoint has no key, the key can't be one, or ``base_url`` holds a secret.
    """

    def __init__(self, judge: Judge) -> None:
        address = urlsplit(judge.base_url)
        if address.username or address.password or address.query:
            raise FatalError(
                "grading.judge.base_url holds a password or a query, which would be stored beside every score: "
                "give the address alone, and the key in the variable that grading.judge.api_key_env names"
            )
        openais_own = address.hostname == "api.openai.com"
        self._variable = judge.api_key_env or ("OPENAI_API_KEY" if openais_own else "")
        key = os.environ.get(self._variable, "").strip()
        if not key and self._variable:
            raise FatalError(f"no key for {judge.base_url}: set the environment variable {self._variable}")
        if not all("!" <= character <= "~" for character in key):  # the HTTP library would quote it in its error
            key = ""  # nor may a traceback with local variables show it
            raise FatalError(f"the environment variable {self._variable} holds characters that no key has")
        self._judge, self._secret = judge, _Secret(key)
        self._client = openai.OpenAI(
            api_key=key or _NO_KEY, base_url=judge.base_url, timeout=judge.timeout_s, max_retries=0
        )
        self._limit = "max_tokens"

    def ask(self, request: ChatRequest, key: str) -> Answer:
        """Send one request, as :class:`~tinyscale.grading.ask.Asker` says; ``key`` goes as ``Idempotency-Key``."""
        limit = self._limit
        got = self._send(request, key, limit)
        if isinstance(got, str):
            return self._read(got)
        if self._limit != limit:
            return self.ask(request, key)
        raise got

    def _send(self, request: ChatRequest, key: str, limit: str) -> str | JudgeError:
        """The reply's body, or what to raise: from here it would have what holds the key chained to it."""
        try:
            raw = self._client.chat.completions.with_raw_response.create(
                extra_headers={"Idempotency-Key": key}, **self._body(request, limit)
            )
            return self._secret.cleaned(raw.text)
        except openai.APIStatusError as error:
            if limit == "max_tokens" and error.status_code == 400 and "max_completion_tokens" in error.message:
                self._limit = "max_completion_tokens"  # what newer models of OpenAI call the same limit
            return self._status(error)
        except openai.APIConnectionError as error:
            return self._unreached(error)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _body(self, request: ChatRequest, limit: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._judge.model,
            "messages": [dict(message) for message in request.messages],
            limit: request.max_tokens,
        }
        if request.temperature >= 0:
            body["temperature"] = request.temperature
        if request.seed >= 0:
            body["seed"] = request.seed
        if request.schema is not None:
            form = {"name": "grade", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def _read(self, text: str) -> Answer:
        try:
            reply = json.loads(text)
            choice = reply["choices"][0]
            message = choice["message"]
            usage = reply.get("usage") or {}
            answer = Answer(
                text=_sound(message.get("content") or ""),
                input_tokens=usage.get("prompt_tokens"),
                output_tokens=usage.get("completion_tokens"),
                answered_by=_sound(f"{reply.get('model') or ''} {reply.get('system_fingerprint') or ''}".strip()),
                refusal=_sound(message.get("refusal") or ""),
            )
            finish = choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError):
            problem = RetryableError(f"{self._judge.base_url} answered something that is no chat completion: "
                                     f"{text[:200]!r}", unknown=True)  # fmt: skip
        else:
            if answer.refusal or finish == "content_filter":
                raise RefusedError(f"the judge refused: {answer.refusal or 'content filter'}", answer=answer)
            if finish == "length":
                raise RetryableError(f"the reply was cut at {self._judge.max_tokens} tokens "
                                     "(grading.judge.max_tokens)", answer=answer)  # fmt: skip
            if not answer.text.strip():
                raise RetryableError("the reply was empty", answer=answer)
            return answer
        raise problem

    def _unreached(self, error: openai.APIConnectionError) -> JudgeError:
        cause = type(error.__cause__).__name__
        sent = not cause.startswith(("Connect", "Unsupported", "InvalidURL", "LocalProtocol", "Proxy"))
        if isinstance(error, openai.APITimeoutError):
            return RetryableError(f"no reply within {self._judge.timeout_s:g} s (grading.judge.timeout_s)",
                                  unknown=sent)  # fmt: skip
        words = "the connection was cut" if sent else "can't connect"
        return RetryableError(f"{self._judge.base_url}: {words} ({cause})", unknown=sent)

    def _status(self, error: openai.APIStatusError) -> JudgeError:
        judge, status = self._judge, error.status_code
        said = self._secret.cleaned(_said(error))
        where = f"{judge.base_url} says {status}" + (f": {said}" if said else "")
        code = error.code or error.type or ""
        if status == 429 and code in _OUT_OF_MONEY:
            return FatalError(f"{where} (no retry helps: the account has no money left)")
        if status in _RETRY or status >= 500:
            wait_s = retry_after_s(error.response.headers)
            if wait_s is not None and wait_s > LONGEST_WAIT_S:
                return FatalError(f"{where} (it asks to wait {wait_s / 60:.0f} minutes: go on then, nothing is lost)")
            return RetryableError(
                where, wait_s=wait_s, slow_down=status == 429 or wait_s is not None, unknown=status in _MAYBE_PAID
            )
        if code in _THIS_STORY_ONLY:
            none = Answer(text="", input_tokens=0, output_tokens=0, refusal=said)
            return RefusedError(f"the endpoint does not take this story: {said}", answer=none)
        return FatalError(f"{where} ({self._remedy(status, error.param or '', said)})")

    def _remedy(self, status: int, param: str, said: str) -> str:
        judge = self._judge
        if status in (401, 403):
            state = f"the key in the variable {self._variable}" if self._secret else "empty, so no key was sent"
            return f"grading.judge.api_key_env: {state}; base_url is {judge.base_url}"
        if status == 404:
            return f"is there a model {judge.model!r} at {judge.base_url}? Many endpoints end in /v1"
        for name in ("temperature", "seed"):
            if param == name or (not param and name in said):
                return f"change grading.judge.{name}; below 0 none is sent"
        if param == "max_tokens" or "max_tokens" in said:
            return "change grading.judge.max_tokens"
        return "the endpoint does not take such a request; grading needs chat completions with JSON schemas"


class _Secret:
    """A key that can be asked for in no way but to be taken out of a text."""

    def __init__(self, key: str) -> None:
        self.cleaned: Callable[[str], str] = lambda text: text.replace(key, "[key]") if key else text
        self._known = bool(key)

    def __bool__(self) -> bool:
        return self._known


def _sound(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold and no file can, become question marks."""
    return text.encode("utf-8", "replace").decode()


def _said(error: openai.APIStatusError) -> str:
    """What an endpoint's error says, in at most 300 characters."""
    body = error.body
    words = body.get("message") or body.get("detail") if isinstance(body, Mapping) else None
    return " ".join(str(words or error.response.text).split())[:300]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, given as a number or as a date (RFC 9110, 10.2.3); None: it does not."""
    said = headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None
