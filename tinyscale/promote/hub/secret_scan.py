"""Secrets in what is about to be published. A finding says where one stands and of what kind it is, never more."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

SHAPES: Mapping[str, bytes] = {
    "Hugging Face token": rb"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b",
    "API key of OpenAI's kind": rb"\bsk-(?:[a-z]+-)*[A-Za-z0-9_]{20,}",
    "GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "AWS access key": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "Google API key": rb"\bAIza[A-Za-z0-9_-]{35}",
    "Slack token": rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "JSON web token": rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    "private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "authorization header": rb"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+[\w+/=.~-]{8,}",
    "URL with a password": rb"(?i)\b[a-z][a-z0-9+.-]*://[^\s/@:\"'<>]*:[^\s/@\"'<>]+@",
}
"""By kind; as their issuers write them."""
SECRET_NAMES = re.compile(r"(?:^|_)(?:API)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?(?:_|$)", re.IGNORECASE)
"""Environment variables whose values count as secret."""
LEAST_CHARS = 8
"""A shorter value stands in any text by chance."""
LONGEST_WORD = 15
"""Letters alone up to this many are a word, such as ``disabled``, and no secret."""


class Finding(NamedTuple):
    """Where a secret stands."""

    kind: str
    line: int
    """1 is the first."""


def find_secrets(
    content: str | bytes, environment: Mapping[str, str] | None = None, tokens: Collection[str] = ()
) -> list[Finding]:
    """What in ``content`` is shaped like a secret, or is one of this machine.

    :param environment: variables of the process; values of those that :data:`SECRET_NAMES` names are looked for.
    :param tokens: other secrets in use, such as the hub's token.
    """
    data = content.encode() if isinstance(content, str) else content
    found = [(match.start(), kind) for kind, shape in SHAPES.items() for match in re.finditer(shape, data)]
    for kind, value in _known(environment or {}, tokens):
        found += [(match.start(), kind) for form in _forms(value) for match in re.finditer(re.escape(form), data)]
    return list(dict.fromkeys(Finding(kind, data.count(b"\n", 0, start) + 1) for start, kind in sorted(found)))


def _known(environment: Mapping[str, str], tokens: Collection[str]) -> Iterator[tuple[str, str]]:
    yield from (("token in use", token) for token in tokens if token)
    for name, value in environment.items():
        if SECRET_NAMES.search(name) and not _ordinary(value):
            yield f"value of the environment variable {name}", value


def _forms(value: str) -> set[bytes]:
    """As it is, and as JSON writes it."""
    return {value.encode(errors="surrogateescape"), json.dumps(value)[1:-1].encode()}


def _ordinary(value: str) -> bool:
    """Too short, a word or a number: found in any text, and worth nothing to a thief."""
    word = value.isalpha() and len(value) <= LONGEST_WORD and (value.islower() or value.isupper() or value.istitle())
    return len(value) < LEAST_CHARS or word or bool(re.fullmatch(r"[\d.,_+-]+", value))
