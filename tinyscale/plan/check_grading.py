"""Checks of a study's grading section, before a story is told or a call paid."""

import re
from datetime import date
from urllib.parse import urlsplit

from tinyscale.spec import Grading, Judge

_AT_LEAST_ONE = ("completions", "max_tokens", "bootstraps")
_AT_LEAST_ZERO = ("temperature", "seed", "models", "calibration", "budget_usd")
_FEWEST_BOOTSTRAPS = 40
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def check_grading(grading: Grading) -> list[str]:
    """What is wrong with a grading section: sentences that name what was given and what is allowed.

    What may be a secret in the wrong place is not repeated.
    """
    values = vars(grading)
    problems = [
        f"grading.{name} is {values[name]}; it must be at least 1" for name in _AT_LEAST_ONE if values[name] < 1
    ]
    problems += [
        f"grading.{name} is {values[name]:g}; it must be at least 0" for name in _AT_LEAST_ZERO if values[name] < 0
    ]
    if 1 <= grading.bootstraps < _FEWEST_BOOTSTRAPS:
        problems.append(
            f"grading.bootstraps is {grading.bootstraps}; a 95 % interval needs at least {_FEWEST_BOOTSTRAPS}"
        )
    if not 0 <= grading.repeat_share <= 1:
        problems.append(f"grading.repeat_share is {grading.repeat_share:g}; it is a share, from 0 to 1")
    if bool(grading.worst) != bool(grading.reference):
        problems.append("grading.worst and grading.reference are the two anchors of one scale: name both or neither")
    elif grading.worst and grading.worst == grading.reference:
        problems.append(f"grading.worst and grading.reference are both {grading.worst!r}; they must be two models")
    return problems + _judge(grading.judge)


def _judge(judge: Judge) -> list[str]:
    problems = []
    for name in ("requests_per_minute", "timeout_s"):
        if not vars(judge)[name] > 0:
            problems.append(f"grading.judge.{name} is {vars(judge)[name]:g}; it must be more than 0")
    for name in ("concurrency", "max_attempts", "max_tokens"):
        if vars(judge)[name] < 1:
            problems.append(f"grading.judge.{name} is {vars(judge)[name]}; it must be at least 1")
    for name in ("price_input_usd", "price_output_usd"):
        if vars(judge)[name] < 0:
            problems.append(f"grading.judge.{name} is {vars(judge)[name]:g}; it must be at least 0")
    if judge.api_key_env and not _VARIABLE.fullmatch(judge.api_key_env):
        problems.append(
            "grading.judge.api_key_env is no name of an environment variable, such as OPENAI_API_KEY; a key itself "
            "does not belong into a study"
        )
    url = urlsplit(judge.base_url)
    if url.username or url.password or url.query:
        problems.append(
            "grading.judge.base_url holds a user, a password or a query; keep secrets in the variable api_key_env names"
        )
    elif url.scheme not in ("http", "https") or not url.netloc:
        problems.append(
            f"grading.judge.base_url is {judge.base_url!r}; it is a URL such as https://api.openai.com/v1 or "
            "http://127.0.0.1:8000/v1"
        )
    if (judge.price_input_usd or judge.price_output_usd) and not judge.priced_on:
        problems.append("grading.judge has prices and no day: say in priced_on when they were read, such as 2026-11-21")
    if judge.priced_on and not _is_day(judge.priced_on):
        problems.append(f"grading.judge.priced_on is {judge.priced_on!r}; it is a day such as 2026-11-21")
    return problems


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
