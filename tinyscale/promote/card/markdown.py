"""Markdown that is ours, and text that is not: what a template prints is escaped unless it is :class:`Markdown`."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Control characters, and those that turn the direction of a text or hide in it."""
MEANT = re.compile(r"([\\`*_{}\[\]<>&|~$^])")
"""Characters that Markdown, HTML, tables or formulas give a meaning, wherever they stand."""
AT_START = re.compile(r"^ ?(?:(?:#{1,6}|[-+])(?=\s|$)|(?:-+|=+)\s*$|(\d{1,9})(?=[.)](?:\s|$)))")
"""What makes a line a heading, a rule or an item of a list."""
LINKS = re.compile(r"(?<=[a-zA-Z])(?=://)|(?<=www)(?=\.)|(?=@)")
"""Places within what would be made a link without anybody having written one."""


class Markdown(str):
    """Text that is Markdown already, and goes onto the page as it is."""


def escape(text: Any) -> Markdown:
    """Any text as one line that reads the same and means nothing: no markup, no link, no HTML, no formula.

    A run of white space becomes one space, at the ends too.
    """
    if isinstance(text, Markdown):
        return text
    line = MEANT.sub(r"\\\1", one_line(text))
    if start := AT_START.match(line):
        place = start.end(1) if start[1] else len(line) - len(line.lstrip())
        line = f"{line[:place]}\\{line[place:]}"
    return Markdown(LINKS.sub(r"\\", line))


def code(text: Any) -> Markdown:
    """Any text as a code span, within a table too."""
    line = one_line(text).strip()
    ticks = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{ticks}{space}{line}{space}{ticks}".replace("|", "\\|"))


def quoted(text: str, start: str = "") -> Markdown:
    """A text of several lines as a quotation, a paragraph a line; ``start``, letters and spaces, stands bold before."""
    bold = Markdown(f"**{escape(start)}**") if start else Markdown()
    first, *more = text.splitlines() or [""]
    lines = [bold + escape(first.rstrip()), *(escape(line.strip()) for line in more)]
    return Markdown("\n>\n".join(f"> {line}" for line in lines if line.strip()))


def one_line(text: Any) -> str:
    """Without characters that no reader sees; a run of white space is one space."""
    return INVISIBLE.sub("", re.sub(r"\s+", " ", str(text)))


def render(name: str, **content: Any) -> str:
    """A template of this folder, filled in; a name that it does not get is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # that is HTML's; finalize escapes for Markdown
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "quoted": quoted, "md": Markdown}
    return environment.get_template(name).render(**content)
