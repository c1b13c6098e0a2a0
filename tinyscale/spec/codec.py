"""Spec objects to JSON and back, and their digests. Standard library only: workers run it on bare machines."""

import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Dataclasses, mappings and sequences as plain JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(kind: type[T], value: Any) -> T:
    """The inverse of :func:`to_json` for a dataclass type that this package wrote.

    :raises ValueError: a field is unknown or missing (the file is from another version, or was edited).
    """
    return cast(T, _build(kind, value, kind.__name__))


def _build(kind: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        options = [option for option in args if option is not type(None)]
        if len(options) > 1:
            options = [o for o in options if _tag(o) == value.get("source")] if isinstance(value, dict) else options
        return _build(options[0], value, where) if options else value
    if origin is tuple:
        inner = args[0] if args else Any
        return tuple(_build(inner, item, where) for item in value)
    if isinstance(value, dict) and origin is Mapping and is_dataclass(args[1]):
        return {key: _build(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, dict) and not is_dataclass(kind):  # settings and axes, whose lists are tuples in a spec
        return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: {value!r} stands where the fields of a {kind.__name__} should")
        hints = typing.get_type_hints(kind)
        names = {f.name for f in fields(kind)}
        if unknown := set(value) - names:
            raise ValueError(f"{where}: unknown field {sorted(unknown)[0]!r}; known are {sorted(names)}")
        built = {name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()}
        try:
            return kind(**built)
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from error
    return float(value) if kind is float and isinstance(value, int) else value


def _tag(kind: Any) -> str | None:
    """The ``source`` literal that tells the members of a union apart."""
    hint = typing.get_type_hints(kind).get("source") if is_dataclass(kind) else None
    return typing.get_args(hint)[0] if hint else None


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 of :func:`canonical`, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write atomically: readers see the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def read_json(kind: type[T], path: Path) -> T:
    """A spec object from its file.

    :raises ValueError: the file is not JSON or does not hold a ``kind``.
    """
    try:
        return from_json(kind, json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: not a {kind.__name__}: {error}") from error
