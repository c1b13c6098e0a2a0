"""YAML with the line of every key kept, duplicate keys refused, and values set by path."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]


class YamlError(ValueError):
    """Text that is not the YAML it should be; the message names file and line."""


@dataclass
class YamlDocument:
    """Parsed YAML and where each part of it stands."""

    source: str
    data: Any = None
    places: dict[Path, str] = field(default_factory=dict)
    """``file:line`` (or the override) by path."""

    def where(self, path: Path) -> str:
        """The place of a path, or of the nearest part of it that stands in the file."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return self.source

    def existing(self, loc: Path) -> Path:
        """The parts of a validator's location that are parts of the document, in order."""
        path: Path = ()
        for part in loc:
            if (*path, part) in self.places:
                path = (*path, part)
        return path

    def set(self, keys: tuple[str, ...], value: Any, source: str) -> None:
        """Set the value at ``keys``, making mappings on the way; numbers index lists.

        :raises YamlError: a part of the path is neither a mapping nor a list, or is beyond a list's end.
        """
        node, path = self.data, ()  # type: Any, Path
        for depth, key in enumerate(keys):
            last = depth == len(keys) - 1
            part: str | int = key
            if isinstance(node, list):
                if not key.isdigit() or int(key) >= len(node):
                    raise YamlError(f"{source}: {'.'.join(map(str, path))} is a list of {len(node)}; index it from 0")
                part = int(key)
            elif not isinstance(node, dict):
                raise YamlError(f"{source}: {'.'.join(map(str, path))} is a single value and has no field {key!r}")
            path = (*path, part)
            if last:
                node[part] = value
                self._mark(path, value, source)
            elif isinstance(node, dict) and not isinstance(node.get(part), (dict, list)):
                node[part] = {}
                self.places[path] = source
            node = node[part]

    def _mark(self, path: Path, value: Any, source: str) -> None:
        self.places[path] = source
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            self._mark((*path, key), item, source)


def parse_yaml(text: str, source: str) -> YamlDocument:
    """Parse one YAML document of plain data.

    :raises YamlError: it is not YAML, or a mapping has a key twice.
    """
    document = YamlDocument(source)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        document.data = None if node is None else _build(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(f"{source}:{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise error if isinstance(error, YamlError) else YamlError(f"{source}: not valid YAML: {error}") from error
    finally:
        loader.dispose()
    return document


def parse_value(text: str, source: str) -> Any:
    """One YAML value, as on the right of ``--set a.b=``."""
    return parse_yaml(text, source).data


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: Path, document: YamlDocument) -> Any:
    line = f"{document.source}:{node.start_mark.line + 1}"
    document.places.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        built: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            place = f"{document.source}:{key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise YamlError(f"{place}: the key {key!r} is not a name")
            if key in built:
                raise YamlError(f"{place}: {'.'.join(map(str, (*path, key)))} is given twice")
            document.places[(*path, key)] = place
            built[key] = _build(loader, value_node, (*path, key), document)
        return built
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, index), document) for index, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
