"""A judge's reply, read as what it must be and as nothing else: the whole of it is one JSON object of the schema."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tinyscale.spec.grading import AGE_GROUPS, Protocol

MIN_SCORE, MAX_SCORE = 1, 10


class BadReplyError(ValueError):
    """A reply that holds no grades; its words say why, and quote no more than a little of it."""


def read_reply(
    replies: Sequence[str], criteria: Sequence[str], protocol: Protocol
) -> tuple[dict[str, int], str, dict[str, str]]:
    """Scores by criterion, age group, and reasons (paper: its first reply, under ``assessment``).

    :param replies: of all turns, in order.
    :raises BadReplyError: the last reply is not the object asked for; an object inside other text is not looked for,
        since a story can write one too and a judge can quote it.
    """
    found = _object(_parse(replies[-1]), (*criteria, "age_group"), "the reply")
    age = found["age_group"]
    if age not in AGE_GROUPS:
        raise BadReplyError(f"age_group: {_quoted(age)} is none of {', '.join(AGE_GROUPS)}")
    if protocol == "paper":
        scores = {name: _score(found[name], name) for name in criteria}
        return scores, age, {"assessment": _storable(replies[0].strip())}
    graded = {name: _object(found[name], ("reason", "score"), name) for name in criteria}
    scores = {name: _score(item["score"], name) for name, item in graded.items()}
    for name, item in graded.items():
        if not isinstance(item["reason"], str):
            raise BadReplyError(f"{name}.reason: {_quoted(item['reason'])} is not text")
    return scores, age, {name: _storable(item["reason"].strip()) for name, item in graded.items()}


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_twins)
    except json.JSONDecodeError as error:
        raise BadReplyError(f"not JSON: {error.msg} at character {error.pos} of {_quoted(text)}") from error
    except BadReplyError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadReplyError(f"not JSON that can be read: {type(error).__name__} in {_quoted(text)}") from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values for one key a parser keeps the last; neither can be trusted."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise BadReplyError(f"two values for {_quoted(next(name for name in names if names.count(name) > 1))}")
    return found


def _object(value: Any, keys: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadReplyError(f"{where}: {_quoted(value)} is not an object")
    if missing := [key for key in keys if key not in value]:
        raise BadReplyError(f"{where}: {', '.join(missing)} missing")
    if unknown := [key for key in value if key not in keys]:
        raise BadReplyError(f"{where}: unknown {_quoted(unknown[0])}")
    return value


def _score(value: Any, name: str) -> int:
    if type(value) is not int or not MIN_SCORE <= value <= MAX_SCORE:
        raise BadReplyError(f"{name}: {_quoted(value)} is no whole number from {MIN_SCORE} to {MAX_SCORE}")
    return value


def _storable(text: str) -> str:
    """JSON can spell half a surrogate pair, which UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


def _quoted(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
