"""The client through the real SDK against a real server: every fault becomes the right error, and no key gets out."""

import io
import logging
import socket
import time
import traceback
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from rich.console import Console
from rich.traceback import Traceback

from tinyscale.grading.ask import ChatRequest, FatalError, JudgeError, RefusedError, RetryableError
from tinyscale.grading.client import OpenAIAsker, retry_after_s
from tinyscale.spec.grading import Judge

CANARY = "sk-canary-5f3c9a7e1b2d"
SCHEMA = {"type": "object", "properties": {"why": {"type": "string"},
          "plot": {"type": "integer", "minimum": 1, "maximum": 10}}}  # fmt: skip
REQUEST = ChatRequest(messages=({"role": "user", "content": "Once there was a cat."},), schema=SCHEMA, max_tokens=50)


@pytest.fixture
def judge(judge_server: Any) -> Judge:
    return Judge(model="m", base_url=judge_server.url, timeout_s=0.5)


def asked(judge: Judge, request: ChatRequest = REQUEST) -> JudgeError:
    asker = OpenAIAsker(judge)
    try:
        asker.ask(request, "k-0")
    except JudgeError as error:
        return error
    finally:
        asker.close()
    pytest.fail("it answered")


def test_an_answer_carries_what_the_endpoint_says_of_it(judge: Judge, judge_server: Any) -> None:
    asker = OpenAIAsker(judge)
    answer = asker.ask(REQUEST, "k-0")
    asker.close()
    assert answer.text.startswith('{"why":')
    assert (answer.answered_by, answer.refusal) == ("judge-for-tests fp_1", "")
    assert answer.input_tokens == 5
    assert answer.output_tokens
    assert [entry["key"] for entry in judge_server.log()] == ["k-0"]


@pytest.mark.parametrize(
    ("fault", "paid", "unknown", "words"),
    [
        ("429", False, False, "says 429: Rate limit reached."),
        ("500", False, False, "says 500"),
        ("503", False, False, "says 503"),
        ("stall", False, True, "no reply within 0.5 s"),
        ("cut", False, True, "the connection was cut"),
        ("half", False, True, "the connection was cut"),
        ("html", False, True, "no chat completion: '<html>"),
        ("empty", True, False, "empty"),
        ("length", True, False, r"cut at 1000 tokens \(grading.judge.max_tokens\)"),
    ],
)
def test_what_may_go_better_next_time(
    judge: Judge, judge_server: Any, fault: str, paid: bool, unknown: bool, words: str
) -> None:
    judge_server.script(next=[fault], stall_s=0.8)
    error = asked(judge)
    assert isinstance(error, RetryableError)
    assert (error.answer is not None, error.unknown) == (paid, unknown)
    assert error.slow_down == (fault == "429")
    assert error.wait_s == (0.2 if fault == "429" else None)
    with pytest.raises(RetryableError, match=words):
        raise error
    assert judge_server.stats()["requests"] == 1, "the SDK's own retries are off"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", "401: Scripted 401.*api_key_env: empty, so no key was sent; base_url is http"),
        ("403", "403.*api_key_env"),
        ("404", "404.*is there a model 'm' at http.*end in /v1"),
        ("400", "400.*does not take such a request"),
        ("quota", "no money left"),
    ],
)
def test_what_only_the_user_can_mend(judge: Judge, judge_server: Any, fault: str, words: str) -> None:
    judge_server.script(always=fault)
    with pytest.raises(FatalError, match=words):
        raise asked(judge)


@pytest.mark.parametrize(("fault", "paid"), [("refusal", True), ("filter", True), ("context", False)])
def test_refusals(judge: Judge, judge_server: Any, fault: str, paid: bool) -> None:
    judge_server.script(always=fault)
    error = asked(judge)
    assert isinstance(error, RefusedError)
    assert bool(error.answer.output_tokens) == paid


def test_nobody_listens(judge: Judge) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = asked(replace(judge, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1"))
    assert isinstance(error, RetryableError)
    assert not error.unknown
    assert "can't connect" in str(error)


def test_parameters_that_a_model_does_not_take(judge: Judge, judge_server: Any) -> None:
    judge_server.script(rejects=["max_tokens"])
    asker = OpenAIAsker(judge)
    assert asker.ask(REQUEST, "k-0").text, "the newer name of the same limit is tried"
    asker.ask(REQUEST, "k-1")
    asker.close()
    assert judge_server.stats()["requests"] == 3, "and remembered"
    for name in ("temperature", "seed"):
        judge_server.script(rejects=[name])
        with pytest.raises(FatalError, match=f"change grading.judge.{name}; below 0 none is sent"):
            raise asked(judge)
        asker = OpenAIAsker(judge)
        assert asker.ask(replace(REQUEST, temperature=-1.0, seed=-1), "k-0").text
        asker.close()


def test_retry_after_as_seconds_and_as_a_date(judge: Judge, judge_server: Any) -> None:
    assert retry_after_s({"retry-after": "7"}) == 7
    assert 8 < (retry_after_s({"retry-after": formatdate(time.time() + 10, usegmt=True)}) or 0) <= 10
    assert retry_after_s({"retry-after": formatdate(time.time() - 10, usegmt=True)}) == 0
    assert retry_after_s({"retry-after": "soon"}) is None
    assert retry_after_s({}) is None
    judge_server.script(next=["429-date"])
    error = asked(judge)
    assert isinstance(error, RetryableError)
    assert 0 < (error.wait_s or 0) <= 1.5
    judge_server.script(next=["429"], retry_after="7200")
    with pytest.raises(FatalError, match="wait 120 minutes: go on then"):
        raise asked(judge)


def test_openai_is_not_asked_without_a_key_nor_with_one_that_is_none(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FatalError, match=r"no key for https://api.openai.com/v1: set .* OPENAI_API_KEY"):
        OpenAIAsker(Judge(model="m"))
    with pytest.raises(FatalError, match="password or a query"):
        OpenAIAsker(replace(judge, base_url=f"http://me:{CANARY}@127.0.0.1:1/v1"))
    with pytest.raises(FatalError, match=r"set the environment variable MY_KEY"):
        OpenAIAsker(replace(judge, api_key_env="MY_KEY"))
    monkeypatch.setenv("MY_KEY", f"{CANARY}\nand more")
    with pytest.raises(FatalError, match="characters that no key has") as caught:
        OpenAIAsker(replace(judge, api_key_env="MY_KEY"))
    assert CANARY not in everything_shown(caught.value)


def everything_shown(error: BaseException) -> str:
    """The error as Python, and as rich, would print it, with all local variables and all that is chained to it."""
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    page = io.StringIO()
    trace = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True)
    Console(file=page, width=400).print(trace)
    chained = [repr(vars(e)) for e in (error, error.__cause__, error.__context__) if e is not None]
    return "".join(plain.format()) + page.getvalue() + "".join(chained)


@pytest.mark.parametrize("fault", ["401", "403", "404", "400", "quota", "context", "429", "500", "html", "cut", "half",
                                   "stall", "length", "refusal", "refused"])  # fmt: skip
def test_the_key_is_shown_nowhere(
    judge: Judge, judge_server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    judge = replace(judge, api_key_env="MY_KEY")
    judge_server.script(always=fault, echo_key=True, key=CANARY, stall_s=0.8)
    if fault == "refused":
        judge = replace(judge, base_url="http://127.0.0.1:9/v1")
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "openai"):
        error = asked(judge)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "openai" in {record.name.partition(".")[0] for record in caplog.records}, "its logs were on"
    logged = "".join(record.getMessage() + repr(record.__dict__) for record in caplog.records)
    for shown in (everything_shown(error), logged, caplog.text, str(error), repr(OpenAIAsker(judge))):
        assert CANARY not in shown
    if fault not in ("cut", "half", "stall", "length", "refusal", "refused"):
        assert "[key]" in str(error), "the endpoint did quote it"


def test_a_wrong_key_is_refused_in_words_that_name_its_variable(
    judge: Judge, judge_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "wrong")
    judge_server.script(key=CANARY)
    with pytest.raises(FatalError, match="the key in the variable MY_KEY"):
        raise asked(replace(judge, api_key_env="MY_KEY"))
    monkeypatch.setenv("MY_KEY", f" {CANARY}\n")
    asker = OpenAIAsker(replace(judge, api_key_env="MY_KEY"))
    assert asker.ask(REQUEST, "k-0").text
    asker.close()


def test_openais_key_is_not_sent_to_others(judge: Judge, judge_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    judge_server.script(key=CANARY)
    with pytest.raises(FatalError, match="no key was sent"):
        raise asked(judge)
