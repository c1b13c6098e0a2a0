"""Which stories look as if they spoke to their judge: flagged for a person to look at, and graded like any other."""

import codecs
import re
import unicodedata

from tinyscale.grading.glyphs import HOMOGLYPHS, skeleton
from tinyscale.grading.hostile import (
    CODED,
    CODES,
    MAX_SHOWN,
    ROLE_ALONE,
    ROLE_INLINE,
    ROLE_LINES,
    RULES,
    is_code,
    is_cut,
)
from tinyscale.spec.grading import CRITERIA, Story

_KEYS = "|".join((*CRITERIA, "age_group", "score", "scores", "grades?", "reason", "rating", "verdict"))
_OLD = "(?:previous|prior|above|earlier|preceding|other|all|any|your|the|these|those|system)"
_ORDERS = "(?:instructions?|rules?|rubric|prompts?|guidelines?|directions|criteria|text above|task)"
_TOP = "(?:10|ten|perfect|full|top|highest|maximum|max|best)"
_WORDS = {
    "verdict": (
        rf"\b(?:{_KEYS}|creative|overall)\b\W{{0,6}}(?:is |of |= ?|gets? |score )*\W{{0,3}}(?:10\b|\d+ ?/ ?10|ten\b)",
        r"\b(?:10|ten) ?(?:/|out of) ?(?:10\b|ten\b)|\b10s\b|(?<!\d)10\W+10\W+10\b|\ball tens\b",
        rf"\b{_TOP}\b[\w ,]{{0,20}}\b(?:marks?|scores?|grades?|ratings?|points)\b",
        rf"\b(?:scores?|grades?|grading|rate|rating|ratings)\b[\w ,:]{{0,40}}\b{_TOP}\b",
        r"\bage[ _]group\b",
        r"\b(?:give|gives|say|says|write|enter|rated|of)\b[\w ]{0,25}\b(?:10|ten)\b"
        r"(?=\W*$| (?:for|in|by) (?:all|every|the))",
        r"\b(?:puntuacion|puntos|punkte|noten?|note|punteggio|nota|pontos|calificacion)\b\W[^.]{0,40}10",
        r"\b(?:10|diez|dix|zehn|dieci|dez|tien|tio|dziesiec)\b[^.]{0,20}"
        r"\b(?:pun[kt]\w*|pontos|points|poang|note[ns]?)\b",
    ),
    "orders": (
        rf"\b(?:ignore|disregard|forget|override|bypass|overrule|skip|cancel|replace)\b[\w ,']{{0,30}}\b{_OLD}\b"
        rf"[\w ,']{{0,30}}\b{_ORDERS}\b",
        r"\b(?:new|updated?|real|actual|revised|following|secret|hidden) "
        r"(?:instructions|rules|prompts?|guidelines|criteria)\b|\bsystem prompt\b|\brubric\b",
        r"\b(?:ignora\w*|ignore[zr]|ignorier\w*|negeer|zignoruj|vergiss|olvida|oubliez?|dimentica|esque[cç]a)\b"
        r"[^.]{0,60}\b(?:instru\w*|anweisung\w*|istruzion\w*|consign\w*|polecen\w*|regeln|regole|reglas|anterior\w*)",
        r"\b(?:end|start|beginning) of (?:the )?(?:(?-i:STORY)|text|completion|input|data|submission|prompt)\b",
        r"\b(?:reply|respond|output|return|print)\b[\w ,]{0,20}"
        r"\b(?:only with|with only|with (?:the )?json|exactly|json|verbatim)\b",
        r"\b(?:admin|debug|developer|maintenance|test) (?:mode|override|access)\b|\bjailbr",
    ),
    "address": (
        r"\b(?:dear|hey|hello|hi|attention|note (?:to|for)|message (?:to|for)) (?:the |my )?"
        r"(?:judge|grader|evaluator|examiner|ai|assistant|llm|gpt|chatgpt|language model)\b",
        r"\b(?:you are|act as|pretend (?:to be|you are)|as) (?:now )?(?:an? |the )?"
        r"(?:ai|assistant|llm|gpt|chatgpt|language model|judge|grader|evaluator|dan)\b",
        r"\b(?:language model|chatgpt|openai|anthropic|gpt-?\d)\b",
        r"\bthis (?:story|completion|text|answer|pupil)\b[\w ,]{0,20}"
        r"\b(?:deserves?|must (?:get|be)|should (?:get|be)|is graded|earns?|gets)\b",
        r"\b(?:dear |the )?teacher\b[\w ,]{0,30}\b(?:grade|score|marks?|rate)\b",
    ),
    "json": (
        r"[\"'“”`]\s*(?:role|content|system|assistant)\s*[\"'“”`]\s*:",
        rf"[\"'“”`]\s*(?:{_KEYS})\s*[\"'“”`]\s*:", rf"[{{\[,]\s*\\?\"?(?:{_KEYS})\\?\"?\s*[:=]"),
}  # fmt: skip
_MARKS = re.compile("[\u0300-\u036f\u20d0-\u20ff]{3,}")
_SPOKEN = {name: re.compile("|".join(patterns), re.IGNORECASE | re.MULTILINE) for name, patterns in _WORDS.items()}
_BLOB = re.compile(r"[A-Za-z0-9+/]{24,}")
_TELLING = re.compile("gnore|nstruct|score|grad|judge|assistant|rubric|mark|rating|10", re.IGNORECASE)
"""Words without which no disguised text is worth a closer look; a fast first look."""
_SEEN = {
    "special-token": re.compile(
        r"<[|｜].{0,40}?[|｜]>|\[/?(?:INST|SYS\w*|TOOL\w*|AVAILABLE_TOOLS|gMASK|CLS|SEP|MASK|BOS|EOS|IMG|\|\w+\|)\]"
        r"|<</?SYS>>|</?s>|<(?:start|end)_of_\w+>|<(?:bos|eos|unk|pad|mask)>|<0x[0-9A-F]{2}>|\[\|\w+\|\]", re.IGNORECASE
    ),
    "markup": re.compile(r"</?[A-Za-z!][^<>\n]{0,60}>|```|&(?:#\w+|\w{2,8});|\{\{|\{%|<!--|\]\(\w+:|#+ ", re.MULTILINE),
    "delimiter": re.compile(r"<<<|>>>|\[\[|\]\]"),
    "encoded": re.compile(
        r"(?:%[0-9A-Fa-f]{2}){3,}|(?:\\[ux]\{?[0-9A-Fa-f]{2,6}\}?){2,}|(?:\b[01]{8}\b\s*){4,}"
        r"|(?:\b[0-9A-Fa-f]{2}\b ?){12,}"
    ),
}  # fmt: skip


def flags(story: Story) -> tuple[str, ...]:
    """Why a story is suspicious, sorted; empty for ordinary ones.

    Names: verdict, orders, address, json, special-token, role, markup, delimiter, encoded, invisible, control, styled,
    homoglyph, marks, script, long; with ``prompt:`` or ``instruction:`` in front where it is not the completion.
    """
    found = _flags(story.completion, story.prompt)
    for name, text in (("prompt", story.prompt), ("instruction", story.instruction)):
        found |= {f"{name}:{flag}" for flag in _flags(text, text)}
    return tuple(sorted(found))


def _flags(text: str, beginning: str) -> set[str]:
    cut = is_cut(text)
    text = text[:MAX_SHOWN]
    folded, _ = skeleton(text)
    strange = {char for char in text if not char.isascii() or not char.isprintable()}
    kinds = {char: _kind(char) for char in strange}
    shown = "".join(char for char in text if kinds.get(char) not in ("invisible", "control")) if strange else text
    plain, _ = skeleton(unicodedata.normalize("NFKC", shown))
    found = {name for name, pattern in _SEEN.items() if pattern.search(text) or pattern.search(plain)}
    if any(pattern.search(seen) for pattern in (ROLE_LINES, ROLE_INLINE, ROLE_ALONE) for seen in {folded, plain}):
        found.add("role")
    if RULES.search(folded) or any(is_code(match.group()) for match in CODES.finditer(folded)):
        found.add("delimiter")
    found |= {name for name, pattern in _SPOKEN.items() if pattern.search(plain)}
    if CODED.search(text) or any(map(_is_blob, _BLOB.findall(text))):
        found.add("encoded")
    if found.isdisjoint(_SPOKEN) and any(_TELLING.search(said) and _speaks(said) for said in _readings(plain)):
        found.add("encoded")
    found |= set(kinds.values()) - {""}
    if not text.isascii() and any(map(_mixed, re.findall(r"[^\W\d_]+", text))):
        found.add("homoglyph")
    if _foreign(text) and not _foreign(beginning):
        found.add("script")
    if _MARKS.search(unicodedata.normalize("NFD", text)):
        found.add("marks")
    if cut:
        found.add("long")
    return found


def _speaks(text: str) -> bool:
    return any(pattern.search(text) for pattern in _SPOKEN.values())


def _readings(text: str) -> tuple[str, ...]:
    """What the text says rotated by 13, backwards, with its letters together again, and with digits for letters."""
    together = re.sub(r"(?<=\b\w)[ ._*-](?=\w\b)", "", text)
    leet = text.translate(str.maketrans("013457@$", "oieastas"))
    return (
        codecs.encode(text, "rot13"),
        text[::-1],
        *((together,) if together != text else ()),
        *((leet,) if re.search(r"[a-z][013457@$][a-z]", text) else ()),
    )


def _is_blob(word: str) -> bool:
    """Base64 mixes cases and digits; a model stuck on one letter doesn't."""
    return any(map(str.isupper, word)) + any(map(str.islower, word)) + any(map(str.isdigit, word)) >= 3 or (
        bool(re.fullmatch("[A-Z2-7]{24,}", word)) and len(set(word)) > 8
    )


def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cc":
        return "" if char in "\n\t" else "control"
    if category in ("Cf", "Co", "Cs", "Cn", "Zl", "Zp") or char in "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0":
        return "invisible"
    if "\ufe00" <= char <= "\ufe0d" or "\U000e0100" <= char <= "\U000e01ef":
        return "invisible"
    if category == "Zs" and char not in " \u00a0\u3000":
        return "invisible"
    styled = unicodedata.decomposition(char).startswith(
        ("<font>", "<wide>", "<circle>", "<square>", "<super>", "<sub>")
    )
    return "styled" if styled and char not in "ªº²³¹™！？，：；（）\u3000" else ""


def _mixed(word: str) -> bool:
    """ASCII letters and their look-alikes of other scripts in one word."""
    return any(char in HOMOGLYPHS for char in word) and any(char.isascii() for char in word)


def _foreign(text: str) -> bool:
    """Letters of a script other than Latin."""
    return any(
        char.isalpha() and not char.isascii() and "LATIN" not in unicodedata.name(char, "LATIN") for char in set(text)
    )
