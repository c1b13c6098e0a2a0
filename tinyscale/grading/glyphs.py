"""Which characters of a story a judge sees as they are, and what a character could be taken for.

A character passes when it can stand in plain prose *and* no folding that a tokenizer, a server or a careless reader may
apply (NFKD, NFKC, look-alikes) makes markup of it. This is a list of what may pass, not of what may not: a character
nobody thought of is shown by its number.
"""

import re
import unicodedata
from collections.abc import Sequence, Set
from functools import cache

MARKUP = frozenset("<>[]{}|\\")
"""What delimiters, tags, special tokens, JSON and our own escapes are made of; it never passes, in no disguise."""

_SPACES = " \n\t\u00a0\u3000"
_SYMBOLS = "©®°™\ufffd´¨"
"""Symbols that stand in prose; U+FFFD is what a model's broken UTF-8 becomes."""
_BRACKETS = "()（）「」『』„‚"
_MODIFIERS = "ʼーヽヾ々〻ๆـ"
_FOLDED = "ªº²³¹！？，：；"
"""Compatibility characters of ordinary writing."""
BOX = "\N{WHITE SQUARE}"
_CONTROLS = re.compile(r"[^ -~\n\t]")
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
_NO_LETTERS = frozenset("ᐸᐳᚲᚷǀǁǂǃ׀‖⁝⁞" + _FILLERS)
"""Letters and points that look like markup, or like nothing."""
_IGNORABLE = frozenset("\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u2800")
_VARIATION = ("\ufe0e", "\ufe0f")
_PLAIN_TAGS = ("<compat>", "<noBreak>", "<fraction>")
_MAX_MARKS = 2
"""Combining marks on one letter; Vietnamese needs two."""

_LOOK = {
    "аɑα": "a", "еєέ": "e", "оοσ०": "o", "рρ": "p", "сϲ": "c", "уγү": "y", "хχ": "x", "ѕ": "s", "іιı": "i", "јϳ": "j",
    "һ": "h", "кκ": "k", "м": "m", "тτ": "t", "ь": "b", "пη": "n", "υ": "u", "νѵ": "v", "ӏ": "l", "ɡ": "g", "ѡω": "w",
    "ԛ": "q", "ԁ": "d", "г": "r", "АΑ": "A", "ВΒ": "B", "СϹ": "C", "ЕΕ": "E", "НΗ": "H", "ІΙӀ": "I", "ЈͿ": "J",
    "КΚ": "K", "МΜ": "M", "Ν": "N", "ОΟ": "O", "РΡ": "P", "ЅՏ": "S", "ТΤ": "T", "ѴՍ": "V", "ХΧ": "X", "УΥ": "Y",
    "Ζ": "Z", "ɢԌ": "G", "꞉ː∶׃։᛬：﹕": ":", "‐‑‒–—―−﹘ー": "-", "’‘ʼ´": "'", "“”„": '"', "＃": "#", "＝": "=",
}  # fmt: skip
HOMOGLYPHS = {look: latin for looks, latin in _LOOK.items() for look in looks}
"""Letters of other scripts, and punctuation, by the ASCII character that they look like (Unicode's confusables)."""


def escaped(char: str) -> str:
    """The character by its number: ``\\u{3c}``; no decoder of JSON, HTML or URLs turns it back by mistake."""
    return f"\\u{{{ord(char):x}}}"


def passes(text: str, at: int) -> bool:
    """Whether the character at ``at`` is shown as it is; marks depend on what stands before them."""
    char = text[at]
    if char in _VARIATION:
        return at > 0 and unicodedata.category(text[at - 1]) == "So" and _stands(text[at - 1])
    if unicodedata.category(char) in ("Mn", "Mc"):
        return char not in _IGNORABLE and not _varies(char) and _carried(text, at)
    return _stands(char)


def _carried(text: str, at: int) -> bool:
    """A mark sits on a letter, directly or on top of fewer than two others."""
    before = text[max(0, at - _MAX_MARKS) : at][::-1]
    for char in before:
        if unicodedata.category(char)[0] == "L":
            return _stands(char)
        if unicodedata.category(char)[0] != "M":
            return False
    return False


def _varies(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


@cache
def _stands(char: str) -> bool:
    if char in _SPACES or char in _FOLDED or char in _BRACKETS or char in _SYMBOLS:
        return True
    if not MARKUP.isdisjoint(unicodedata.normalize("NFKD", char)) or char in _NO_LETTERS or char in _IGNORABLE:
        return False
    decomposition = unicodedata.decomposition(char)
    if decomposition.startswith("<") and not decomposition.startswith(_PLAIN_TAGS):
        return False  # styled letters and digits: a double-struck A is not an A, and would become one in NFKC
    match unicodedata.category(char):
        case "Lu" | "Ll" | "Lt" | "Lo" | "Nd" | "Po" | "Pd" | "Sc":
            return True
        case "No":
            return decomposition.startswith("<fraction>")
        case "Pi" | "Pf":
            return char not in "‹›"
        case "Lm":
            return char in _MODIFIERS
        case "Pc" | "Sm" | "Sk":
            return char in "_+=~^`×÷−" or "\U0001f3fb" <= char <= "\U0001f3ff"
        case "So":
            return "\u2600" <= char <= "\u27bf" or "\U0001f300" <= char <= "\U0001faff"
        case _:
            return False  # controls, formats, private use, surrogates, unassigned, odd spaces and brackets, line ends


@cache
def _fold(char: str) -> str:
    if char in HOMOGLYPHS:
        return HOMOGLYPHS[char]
    base = unicodedata.normalize("NFKD", char)[:1]
    return HOMOGLYPHS.get(base, base)


def skeleton(text: str, hidden: Set[int] = frozenset()) -> tuple[str, Sequence[int]]:
    """What the text could be taken for, and the place of each of its characters in ``text``.

    Look-alikes and decorated letters are ASCII; combining marks and what nobody sees are left out, but what is hidden
    stands as a box, since a reader sees that something is there.
    """
    if not hidden and text.isascii() and not _CONTROLS.search(text):
        return text, range(len(text))
    places = [at for at, char in enumerate(text) if at in hidden or _seen(char)]
    return "".join(BOX if at in hidden else _fold(text[at]) for at in places), places


@cache
def _seen(char: str) -> bool:
    return char in _SPACES or not (unicodedata.category(char)[0] in "MC" or char in _FILLERS)
