"""A story is data: it stands before its judge between markers that it cannot write, and cannot speak past them.

Two locks, each enough alone. The markers hold ``<<<`` and ``>>>``, and no ``<`` or ``>`` of a story, nor anything that
folds to one, reaches a judge; and they hold a nonce drawn after the story was told. What else some chat template or
reader could take for the end of a text or the start of a turn (special tokens, role names, JSON, rules, fences, hidden
or reversed text) is shown by its number, ``\\u{3c}``: visible, so that a judge grades what is there, and reversible.
Prose passes byte for byte. Words cannot be escaped without harming the story: a plea in plain words stays, as words
of the story, and is flagged (:mod:`tinyscale.grading.suspects`).
"""

import re
import secrets
from collections.abc import Iterator, Set
from string import ascii_letters, digits

from tinyscale.grading.glyphs import escaped, passes, skeleton

_PLAIN = frozenset(ascii_letters + digits + " .,!?'\"\n")  # most of a story, without a look at Unicode's tables
MAX_SHOWN = 12_000
"""Most characters of one text that a judge is shown; a flood would push the task out of its window, and costs money."""
NONCE = re.compile(r"(?=(?:[a-f]*[0-9]){3})(?=(?:[0-9]*[a-f]){3})[0-9a-f]{16,}")

ROLES = (
    "system", "user", "assistant", "human", "developer", "tool", "function", "model", "gpt", "chatgpt", "claude", "bot",
    "ai", "judge", "grader", "evaluator", "examiner", "instruction", "instructions", "input", "output", "response",
    "prompt", "question", "answer", "observation", "ipython", "sistema", "usuario", "asistente", "assistente",
    "utilisateur", "systeme", "benutzer", "assistent", "система", "пользователь", "ассистент", "系统", "用户", "助手",
    "系統", "使用者", "システム", "ユーザー", "アシスタント", "시스템", "사용자", "问", "答", "النظام", "المستخدم",
)  # fmt: skip
"""What turns of a conversation are opened with, in the templates of common models and in other languages."""
_ROLE = "|".join(sorted((re.escape(skeleton(role)[0]) for role in ROLES), key=len, reverse=True))
_INLINE = "|".join(f"{name}|{name.upper()}" for name in ("System", "User", "Assistant", "Human", "Developer"))
ROLE_LINES = re.compile(rf"(?im)^[^\w\n]*(?:{_ROLE})(?:[^\S\n]+\w+)?((?:[^\w\n]*(?:[:=]|(?<=\s)-(?=\s)))+)")
"""A line that begins like a turn; of the last group, the signs are escaped."""
ROLE_INLINE = re.compile(rf"(?<!\w)(?:{_INLINE})((?:[^\w\n]{{0,4}}:)+)")
"""Vicuna's template and its like put a new turn behind a space."""
ROLE_ALONE = re.compile(r"(?im)^[^\w\n]*(system|user|assistant|human|developer|tool|model)[^\w\n]*$")
"""What is left of ChatML where its special tokens are dropped."""
RULES = re.compile(r"(?!(?<=\w)---[\w\"'])([-=*_~+#:`\"'^@%$/])\1{2,}|[«»]{2,}")
"""Rules, fences and the like: delimiters in the prompts of others. Three hyphens between words are a typist's dash."""
HEADINGS = re.compile(r"(?m)^([^\w\n]*#)")
CODED = re.compile(r"(&)(?=#|\w+;|(?i:lt|gt|amp|quot))|(%)(?=[0-9A-Fa-f]{2})")
"""A character as HTML or a URL spells it."""
CODES = re.compile(r"[0-9A-Fa-f]{12,}|[0-9A-Fa-f](?:[\s_.,:-]?[0-9A-Fa-f]){15,}")
"""What a nonce looks like, in one piece or in several: no guess is shown, nor one that a judge's own words repeat."""


def new_nonce() -> str:
    """16 hex digits (64 bits) from the system's source of randomness, letters and digits among them."""
    while not NONCE.fullmatch(nonce := secrets.token_hex(8)):
        pass
    return nonce


def escape(text: str) -> str:
    """The text as a judge may see it, never longer than MAX_SHOWN.

    Ordinary prose comes back as it is. Every other character is written ``\\u{HEX}``; since a backslash is never
    ordinary, the text can be had back. Joiners that Persian or Hindi needs, and emoji made of several, show as numbers.
    """
    return _shown(text)[0]


def is_cut(text: str) -> bool:
    """Whether :func:`escape` shows only the beginning of the text."""
    return _shown(text)[1]


def fence(label: str, text: str, nonce: str) -> str:
    """The text between its markers, escaped; a last line outside of them says where it was too long to be shown whole.

    :raises ValueError: the nonce is not one of :func:`new_nonce`.
    """
    if not NONCE.fullmatch(nonce):
        raise ValueError(f"{nonce!r} is no nonce; draw one with new_nonce() for each call")
    shown, cut = _shown(text)
    block = f"<<<{label} {nonce}\n{shown}\n{label} {nonce}>>>"
    return f"{block}\n(It goes on; the rest is not shown.)" if cut else block


def _shown(text: str) -> tuple[str, bool]:
    """What is shown of the text, and whether that is less than all of it."""
    start = text[:MAX_SHOWN]  # no character is shown in less than one
    hidden = {at for at, char in enumerate(start) if char not in _PLAIN and not passes(start, at)}
    hidden |= _suspects(start, frozenset())
    while hidden and (found := _suspects(start, hidden)):  # what is hidden changes what its neighbours look like
        hidden |= found
    pieces: list[str] = []
    left = MAX_SHOWN
    for at, char in enumerate(start):
        piece = escaped(char) if at in hidden else char
        left -= len(piece)
        if left < 0:
            break
        pieces.append(piece)
    return "".join(pieces), len(pieces) < len(text)


def _suspects(text: str, hidden: Set[int]) -> set[int]:
    """Places of characters that pass alone, but not where they stand; where some are hidden, a box stands for each."""
    folded, places = skeleton(text, hidden)
    return {places[at] for span in _spans(folded) for at in range(*span)} - hidden


def _spans(folded: str) -> Iterator[tuple[int, int]]:
    for match in RULES.finditer(folded):
        yield match.span()
    for match in CODES.finditer(folded):
        if is_code(match.group()):
            yield match.span()
    for pattern in (ROLE_ALONE, CODED):
        yield from (match.span(match.lastindex or 0) for match in pattern.finditer(folded))
    for pattern in (ROLE_LINES, ROLE_INLINE, HEADINGS):
        for match in pattern.finditer(folded):
            yield from ((at, at + 1) for at in range(*match.span(1)) if folded[at] in "#:=-")


def is_code(text: str) -> bool:
    """Whether a match of CODES is one, and not a count to twelve or a word such as ``faded``."""
    figures, letters = sum(map(str.isdigit, text)), sum(map(str.isalpha, text))
    return figures >= 3 and (letters >= 3 or text.isdigit())
