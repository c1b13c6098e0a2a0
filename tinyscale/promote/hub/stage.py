"""The folder that is pushed: files of an allow-list and nothing else, looked over when built and before it goes."""

import json
import os
import re
import shutil
import stat
import struct
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tinyscale.promote.hub.secret_scan import find_secrets
from tinyscale.promote.whole_folder import whole_folder

WEIGHTS, CARD, PICTURE = "model.safetensors", "README.md", "law.png"
REQUIRED = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", CARD)
ALLOWED = frozenset(
    {*REQUIRED, "generation_config.json", "law.json", PICTURE, "points.csv", "trial.json", "study.json",
     "forecasts.json", "grades.json", "stories.jsonl"}
)  # fmt: skip
"""Names that a repository may hold. No LICENSE, no other text: what is not made here is not pushed."""
MACHINE_PATH = re.compile(rb"(?<![\w.~/-])(?:/home/|/root/|/Users/|[A-Za-z]:\\+Users\\+)[^\s\"'<>|]*")
"""A path below somebody's home."""
REMOTE_CODE = ("auto_map", "custom_generate", "custom_pipelines", "trust_remote_code")
"""Keys by which transformers runs code of the repository."""
PNG_START = b"\x89PNG\r\n\x1a\n"
MOST_HEADER_BYTES = 100_000_000
"""Of a safetensors file, as the format has it."""


def stage(
    folder: Path,
    files: Mapping[str, bytes | str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    tokens: Collection[str] = (),
) -> list[Path]:
    """Build ``folder`` beside its place, check it, then rename: it is whole, or it is not there.

    A folder that stands there is replaced if it holds nothing but allowed names, as an earlier call left it.

    :param files: by name: the content, or the path of a plain file to copy.
    :param environment: see :func:`check_staged`; so ``tokens``.
    :returns: the files in the order of their names.
    :raises ValueError: a name is not allowed, a path is no plain file, the folder holds foreign files, or
        :func:`check_staged` refuses the content.
    """
    if unknown := sorted(set(files) - ALLOWED):
        raise ValueError(f"{unknown[0]!r} may not be published; allowed are {', '.join(sorted(ALLOWED))}")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder} is no folder: move it away, or choose another place")
    if folder.exists() and (foreign := sorted({path.name for path in folder.iterdir()} - ALLOWED)):
        raise ValueError(f"{folder} holds {foreign[0]!r}, which no promotion wrote: move it away")
    with whole_folder(folder) as partial:
        for name, content in files.items():
            _write(partial / name, content)
        check_staged(partial, environment=environment, tokens=tokens)
    return sorted(folder.iterdir())


def check_staged(
    folder: Path, *, environment: Mapping[str, str] | None = None, tokens: Collection[str] = ()
) -> list[Path]:
    """Look a staged folder over as it lies on the disk; everything that is wrong is said at once.

    Refused: names that are not allowed, dot files, links, folders, missing files, weights or pictures that are not what
    they should be, JSON that is none, keys by which transformers runs code of the repository, paths below somebody's
    home, and secrets (:func:`tinyscale.promote.hub.secret_scan.find_secrets`).

    :param environment: variables whose secret values are looked for; None: this process's.
    :param tokens: other secrets in use, such as the hub's token.
    :returns: the files, in the order of their names.
    :raises ValueError: something may not be pushed; names each file and line, never a secret.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError(f"{folder} is no folder: stage the model first")
    environment = os.environ if environment is None else environment
    paths = sorted(folder.iterdir())
    problems = [f"{name}: missing" for name in REQUIRED if name not in {path.name for path in paths}]
    for path in paths:
        problems += [f"{path.name}: {text}" for text in _problems(path, environment, tokens)]
    if problems:
        raise ValueError("\n".join([f"{folder} may not be pushed:", *(f"  {problem}" for problem in problems)]))
    return paths


def _write(path: Path, content: bytes | str | Path) -> None:
    if isinstance(content, Path):
        if content.is_symlink() or not content.is_file():
            raise ValueError(f"{content}: no plain file; only those are published")
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _problems(path: Path, environment: Mapping[str, str], tokens: Collection[str]) -> Iterator[str]:
    """What speaks against pushing one file."""
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        yield "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "no plain file"
        return
    if path.name not in ALLOWED:
        yield "a dot file" if path.name.startswith(".") else "not among the files that are published"
        return
    if path.name == WEIGHTS:
        fault = _weights_fault(path)
        text = b"" if fault else _header(path)  # the rest are numbers
    else:
        text = path.read_bytes()
        fault = _fault(path.name, text)
    if fault:
        yield fault
    yield from (f"line {line}: {kind}" for kind, line in find_secrets(text, environment, tokens))
    if path.name != PICTURE:
        for match in MACHINE_PATH.finditer(text):
            line = text.count(b"\n", 0, match.start()) + 1
            yield f"line {line}: a path of somebody's machine, {match[0].decode(errors='replace')!r}"


def _fault(name: str, content: bytes) -> str:
    """Why a file is not what its name says; empty where it is."""
    if name == PICTURE:
        return "" if content.startswith(PNG_START) else "no PNG"
    try:
        text = content.decode()
        if name.endswith(".jsonl"):
            for line in text.strip().split("\n"):
                json.loads(line)
        elif name.endswith(".json"):
            keys = set(_keys(json.loads(text))) if "config" in name else set()
            if remote := sorted(keys.intersection(REMOTE_CODE)):
                return f"the key {remote[0]!r}, by which code of the repository would run"
    except UnicodeDecodeError:
        return "not UTF-8"
    except ValueError as error:
        return f"not JSON: {error}"
    return "" if content.strip() else "empty"


def _keys(value: Any) -> Iterator[str]:
    """All keys within a JSON value."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(item)
    yield from value if isinstance(value, dict) else ()


def _weights_fault(path: Path) -> str:
    """Why a safetensors file can't be read; empty where header, offsets and size agree."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as weights:
            if not list(weights.keys()):
                return "no tensor in it"
            if (weights.metadata() or {}).get("format") != "pt":
                return "its metadata do not say format: pt, which transformers asks for"
    except (SafetensorError, OSError) as error:
        return f"no safetensors file: {error}"
    return ""


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return file.read(min(length, MOST_HEADER_BYTES))
