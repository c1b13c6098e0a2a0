"""The one place that parses studies: YAML text to a :class:`Study`, with every problem named by path and line."""

import ast
import difflib
import inspect
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, create_model

from tinyscale.spec.codec import from_json, to_json
from tinyscale.spec.grading import Grading
from tinyscale.spec.study import Axes, Corpus, Question, Settings, Study, TokenBudget
from tinyscale.spec.trial import ModelConfig, TrainConfig
from tinyscale.spec.yaml_lines import YamlDocument, YamlError, parse_value, parse_yaml

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
_AUTO = Literal["auto"]
PROFILES = "profiles"
"""Of a study's file alone: a study that was read has one, or none, applied."""
_UNITS = {"k": 10**3, "M": 10**6, "B": 10**9}


class StudyError(ValueError):
    """A study that can't be used. ``problems`` holds one sentence each, with file and line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def load_study(path: Path, overrides: Sequence[str] = (), *, profile: str = "") -> Study:
    """Read a study.

    :param path: the YAML file.
    :param overrides: ``a.b=c`` each, applied over the file; ``c`` is YAML.
    :param profile: one of the file's ``profiles``: fields that stand over its others, below the overrides. The study is
        then another one, NAME-PROFILE.
    :raises StudyError: the file can't be read or is not a study; all its problems at once.
    """
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"), str(path))
        if not isinstance(document.data, dict):
            raise YamlError(f"{path}:1: a study is a mapping of fields such as name, corpus and space")
        _apply_profile(document, profile)
        for override in overrides:
            _override(document, override)
    except OSError as error:
        raise StudyError([f"{path}: {error.strerror or error}; give the path of a study's YAML file"]) from error
    except UnicodeDecodeError as error:
        raise StudyError([f"{path}: not UTF-8 text (byte {error.start}); save the study as UTF-8"]) from error
    except YamlError as error:
        raise StudyError([str(error)]) from error
    return _study(document)


def override_grading(grading: Grading, overrides: Sequence[str]) -> Grading:
    """A grading section with values overridden.

    :param overrides: ``judge.model=NAME`` and the like; the right side is YAML.
    :raises StudyError: there is no such field, or a value does not fit.
    """
    section = json.dumps({"name": "grading", "space": [{}], "grading": to_json(grading)})
    try:
        document = parse_yaml(section, "grading")
        for override in overrides:
            _override(document, override, under="grading.")
    except YamlError as error:
        raise StudyError([str(error)]) from error
    return _study(document).grading


def _study(document: YamlDocument) -> Study:
    try:
        raw = _file_model(Study).model_validate(document.data)
    except ValidationError as error:
        raise StudyError(_sentences(document, error)) from error
    return from_json(Study, raw.model_dump(exclude_unset=True))


def study_schema() -> dict[str, Any]:
    """The JSON Schema of a study, for editors."""
    schema = _file_model(Study).model_json_schema()
    schema["properties"][PROFILES] = {
        "description": "Sets of fields by name, of which --profile NAME puts one over the others.",
        "type": "object",
        "additionalProperties": {"type": "object"},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _apply_profile(document: YamlDocument, profile: str) -> None:
    profiles = document.data.pop(PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(fields, dict) for fields in profiles.values()):
        raise YamlError(f"{document.where((PROFILES,))}: {PROFILES} names sets of fields, as in mini: {{train: ...}}")
    if not profile:
        return
    if profile not in profiles:
        known = ", ".join(profiles) or "none"
        raise YamlError(f"{document.source}: no profile {profile!r}; its profiles are: {known}")
    for keys, value in _leaves(profiles[profile], ()):
        document.set(keys, value, document.where((PROFILES, profile, *keys)))
    if "name" in document.data:
        document.set(("name",), f"{document.data['name']}-{profile}", document.where(("name",)))


def _leaves(fields: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of whatever replaces what stood there: a corpus or tokenizer of another source does so whole."""
    for name, value in fields.items():
        if isinstance(value, dict) and value and "source" not in value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _override(document: YamlDocument, override: str, under: str = "") -> None:
    where = f"--set {override}"
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise YamlError(f"{where}: write it as path=value, for example --set train.tokens=1M")
    document.set(tuple((under + path.strip()).split(".")), parse_value(text, where), where)


def parse_number(text: str) -> float:
    """A number as people write it: 1e9, 1_000_000, 250k, 2M or 1.5B; nan and inf pass too.

    :raises ValueError: it is no number.
    """
    return float(_number(text.strip()))


def _number(value: Any) -> Any:
    """Counts may be written 250k, 2M or 1.5B; YAML's yes and no are not numbers."""
    if isinstance(value, bool):
        raise ValueError("yes, no, true and false are not numbers")
    if isinstance(value, str) and value[-1:] in _UNITS:
        try:
            scaled = float(value[:-1]) * _UNITS[value[-1]]
        except ValueError:
            return value
        return int(scaled) if scaled.is_integer() else scaled
    return value


def _text(value: Any) -> Any:
    """YAML takes an unquoted day for a date."""
    return value.isoformat() if isinstance(value, date) else value


@cache
def _file_model(kind: type) -> type[BaseModel]:
    """The pydantic model of a dataclass as it stands in a file: unknown fields refused, counts with units."""
    notes = _field_notes(kind)
    definitions: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for f in fields(kind):
        made = ... if f.default_factory is MISSING else f.default_factory()
        default = made if f.default is MISSING else f.default
        note = Field(default, description=notes.get(f.name), discriminator="source" if f.name == "corpus" else None)
        definitions[f.name] = (_file_type(f.name, hints[f.name]), note)
    return create_model(kind.__name__, __config__=_CONFIG, __doc__=inspect.getdoc(kind), **definitions)


def _file_type(name: str, hint: Any) -> Any:
    if hint == Corpus:
        return Union[tuple(_file_model(member) for member in get_args(Corpus))]  # noqa: UP007 - built at run time
    if hint == Settings:
        return _partial_model(ModelConfig if name == "model" else TrainConfig)
    if hint == tuple[Axes, ...]:
        return tuple[_partial_model(ModelConfig, TrainConfig, TokenBudget, axes=True), ...]  # type: ignore[misc]
    if hint == tuple[Question, ...]:
        return tuple[_file_model(Question), ...]  # type: ignore[misc]
    if is_dataclass(hint):
        return _file_model(hint)  # type: ignore[arg-type]
    if hint in (int, float, int | _AUTO, float | _AUTO):
        plain = {"type": "integer" if hint in (int, int | _AUTO) else "number"}
        with_unit = {"type": "string", "pattern": r"^[0-9.]+[kMB]$"}
        allowed = [plain, with_unit] if hint in (int, float) else [plain, with_unit, {"const": "auto"}]
        return Annotated[hint, BeforeValidator(_number), WithJsonSchema({"anyOf": allowed})]
    if hint is str:
        return Annotated[str, BeforeValidator(_text)]
    return hint


NOT_IN_FILES = frozenset({"branches"})
"""Fields of a trial that the planner alone fills: a study gives a trunk's budgets as one list of tokens."""


@cache
def _partial_model(*kinds: type, axes: bool = False) -> type[BaseModel]:
    """A model with the fields of the dataclasses, none of them required; as axes, each may be a list."""
    definitions: dict[str, Any] = {}
    for kind in kinds:
        notes = _field_notes(kind)
        for name, hint in get_type_hints(kind).items():
            if name in NOT_IN_FILES:
                continue
            one = _file_type(name, hint)
            several: Any = Annotated[tuple.__class_getitem__((one, ...)), Field(min_length=1)]
            definitions[name] = (one | several if axes else one, Field(None, description=notes.get(name)))
    title = "Axes" if axes else "".join(kind.__name__.replace("Config", "Settings") for kind in kinds)
    return create_model(title, __config__=_CONFIG, **definitions)


def _field_notes(kind: type) -> dict[str, str]:
    """The docstring under each field of a dataclass."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    notes = {}
    for field, note in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(note, ast.Expr):
            notes[field.target.id] = str(ast.literal_eval(note.value))
    return notes


def _sentences(document: YamlDocument, error: ValidationError) -> list[str]:
    """Each problem once: of what a union says about the whole and about a part, the part is kept."""
    problems = [(document.existing(problem["loc"]), dict(problem)) for problem in error.errors()]
    paths = [path for path, _ in problems]
    kept = [(path, one) for path, one in problems if not any(p != path and p[: len(path)] == path for p in paths)]
    return list(dict.fromkeys(_sentence(document, path, problem) for path, problem in kept))


def _sentence(document: YamlDocument, path: tuple[str | int, ...], problem: dict[str, Any]) -> str:
    """One validation error as ``file:line: path: what was given, what is allowed``."""
    where, name = document.where(path), ".".join(str(part) for part in path)
    given = problem.get("input")
    match problem["type"]:
        case "extra_forbidden":
            known = _known_names(problem["loc"])
            near = difflib.get_close_matches(str(path[-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            return f"{where}: {name}: unknown field; {hint}"
        case "missing":
            return f"{where}: {'.'.join(str(part) for part in problem['loc'])}: missing; every study needs it"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"{where}: {name}.source: {_show(given)} is no corpus; allowed are builtin, files and hub"
        case _:
            message = str(problem["msg"]).removeprefix("Value error, ")
            return f"{where}: {name}: {message[0].lower()}{message[1:]} (given: {_show(given)})"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_names(loc: tuple[str | int, ...]) -> list[str]:
    """The fields allowed at the parent of an unknown field."""
    names: Any = _file_model(Study)
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        match part:
            case "space" | "holdout":
                names = _partial_model(ModelConfig, TrainConfig, TokenBudget, axes=True)
            case "questions":
                names = _file_model(Question)
            case "model" | "train":
                names = _partial_model(ModelConfig if part == "model" else TrainConfig)
            case "builtin" | "files" | "hub":
                members = {get_args(get_type_hints(member)["source"])[0]: member for member in get_args(Corpus)}
                names = _file_model(members[part])
            case "corpus":
                continue
            case _:
                names = names.model_fields[part].annotation
    return sorted(names.model_fields)
