"""Beginnings of stories: the project's own, the TinyStories authors', or the user's."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tinyscale.data.cache import default_cache
from tinyscale.spec import Prompt, digest, from_json
from tinyscale.spec.yaml_lines import parse_yaml

BUILTIN = Path(__file__).with_name("prompts.json")
AUTHORS_REPO, AUTHORS_FILE = "roneneldan/TinyStories", "Evaluation prompts.yaml"
SUFFIXES = (".txt", ".yaml", ".yml", ".jsonl")

Placed = tuple[str, Prompt]
"""A prompt and where it stands, as ``file:line``."""


def load_prompts(source: str) -> tuple[Prompt, ...]:
    """The beginnings of a :class:`tinyscale.spec.Grading`'s ``prompts``.

    ``builtin``: 50 written for the project, 8 of them with an instruction. ``tinystories``: the 44 of Eldan & Li 2023,
    ``Evaluation prompts.yaml`` of their data set, from the hub at the commit its branch main leads to. Else a file:
    ``.txt``, one a line; ``.yaml``, a list of texts; ``.jsonl``, one object a line with ``text`` and, where wanted,
    ``id`` and ``instruction``. White space around a beginning is cut off.

    :raises ValueError: the file is missing, of another kind, or has an empty beginning or one twice; names the line.
    :raises ConnectionError: the hub can't be reached, and its file was never fetched.
    """
    if source == "builtin":
        return tuple(from_json(Prompt, entry) for entry in json.loads(BUILTIN.read_text(encoding="utf-8")))
    path = _fetch_authors() if source == "tinystories" else Path(source)
    if path.suffix not in SUFFIXES or not path.is_file():
        problem = "no such file" if path.suffix in SUFFIXES else f"no file that ends in {', '.join(SUFFIXES)}"
        raise ValueError(f"prompts: {source}: {problem}; give builtin, tinystories or such a file's path")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    read = {".txt": _from_text, ".jsonl": _from_json_lines}.get(path.suffix, _from_yaml)
    prompts = _distinct(read(text, path))
    if not prompts:
        raise ValueError(f"{path}: holds no beginning of a story")
    return prompts


def prompt_id(text: str) -> str:
    """An id for a beginning that has none: its first words and a hash, whatever stands around it in its file."""
    words = re.findall(r"\w+", text.lower())[:3]
    return "-".join([*words, digest(text)[:6]])


def _fetch_authors() -> Path:
    from tinyscale.data.hub import download, resolve_commit

    try:
        commit = resolve_commit(AUTHORS_REPO, "main", (AUTHORS_FILE,), default_cache())
        return download(AUTHORS_REPO, AUTHORS_FILE, commit, "dataset")
    except ConnectionError as error:
        raise ConnectionError(
            f"prompts: tinystories: {error}; prompts: builtin and files of your own need no network"
        ) from error


def _from_text(text: str, path: Path) -> Iterator[Placed]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{path}:{number}", _prompt(line)


def _from_yaml(text: str, path: Path) -> Iterator[Placed]:
    document = parse_yaml(text, str(path))
    if not isinstance(document.data, list):
        raise ValueError(f"{path}:1: not a list; write one '- Once upon a time ...' a beginning")
    for index, entry in enumerate(document.data):
        place = document.where((index,))
        if not isinstance(entry, str):
            raise ValueError(f"{place}: {entry!r} is no text; put quotes around a beginning that YAML takes for more")
        yield place, _prompt(entry)


def _from_json_lines(text: str, path: Path) -> Iterator[Placed]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place}: not JSON: {error}") from error
        if not isinstance(entry, dict) or "text" not in entry:
            raise ValueError(f"{place}: no object with a text; known fields are text, id and instruction")
        if wrong := sorted(name for name, value in entry.items() if not isinstance(value, str)):
            raise ValueError(f"{place}: {wrong[0]}: {entry[wrong[0]]!r} is no text")
        yield place, _prompt(place=place, **entry)


def _prompt(text: str, place: str = "", **more: Any) -> Prompt:
    text = text.strip()
    try:
        return from_json(Prompt, {"id": prompt_id(text), "text": text, **more})
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _distinct(entries: Iterable[Placed]) -> tuple[Prompt, ...]:
    """The prompts, none of them empty or there twice."""
    prompts: list[Prompt] = []
    seen: dict[tuple[str, str], str] = {}
    for place, prompt in entries:
        for what, value in (("text", prompt.text), ("id", prompt.id)):
            if not value:
                raise ValueError(f"{place}: an empty {what}")
            if first := seen.get((what, value)):
                raise ValueError(f"{place}: the same {what} as at {first}: {value[:60]!r}")
            seen[what, value] = place
        prompts.append(prompt)
    return tuple(prompts)
