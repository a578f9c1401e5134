"""A flow file: YAML text to plain values that know their lines, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orrery.errors import FlowCheckError, FlowError, FlowNotFoundError

MAX_BYTES = 4 << 20
"""A flow is written by people; a larger file is something else."""

MAX_DEPTH = 60
"""Brackets in brackets; a flow needs a handful."""

_MAX_DIGITS = 100  # of a number: turning many digits into one takes the square of their time


@dataclass(frozen=True)
class Document:
    """Plain values, and the line of each: ``lines["spec/nodes/1/with/ratio"]``."""

    values: Any
    path: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)

    def where(self, pointer: str) -> str:
        """``file:line`` of a value, or of the nearest thing around it that has a line."""
        if not self.path:
            return ""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return f"{self.path}:{self.lines.get(pointer, 1)}"


class _Loader(yaml.SafeLoader):
    """Plain values of bounded size and depth: no aliases, which can make little text into very much."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A node of the text. Raises YAMLError for an alias, and for what lies too deep."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise _refused("an alias (*name) is not allowed here; write the value again", mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refused(f"more than {MAX_DEPTH} brackets or levels lie inside each other", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. Raises YAMLError for one that is no date or number, though it looks so."""
        number = node.tag.endswith((":int", ":float"))
        if number and len(node.value) > _MAX_DIGITS:
            raise _refused(f"a number has at most {_MAX_DIGITS} digits", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            reason = f"{str(node.value)[:40]!r} cannot be read ({error}); write text in quotes"
            raise _refused(reason, node.start_mark) from None


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, mark)


def read_document(path: Path) -> Document:
    """Read a flow file. Raises FlowNotFoundError, and FlowError for what is too large or not YAML."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FlowError(f"{path} is larger than {MAX_BYTES >> 20} MiB: that is not a flow.")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FlowNotFoundError(
            f"There is no file {str(path)!r}.", hint="Name a flow file, or make one: orrery init my-project"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FlowError(f"{path} cannot be read: {error}.") from None
    return parse_document(text, str(path))


def parse_document(text: str, path: str = "flow.yaml") -> Document:
    """Plain values and their lines. Raises FlowCheckError at the line where the YAML breaks."""
    lines: dict[str, int] = {}
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            values = loader.construct_document(root) if root is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = getattr(error, "problem", None) or str(error)
        raise FlowCheckError(f"This is not YAML: {problem}.", pointer=f"{path}:{line}") from None
    if root is not None:
        _note_lines(root, "", lines, path)
    return Document(values, path, lines)


def _note_lines(node: yaml.Node, pointer: str, lines: dict[str, int], path: str) -> None:
    lines.setdefault(pointer, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _note_lines(item, f"{pointer}/{i}".lstrip("/"), lines, path)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise FlowCheckError(
                    f"The key {name!r} is written twice.", pointer=f"{path}:{key.start_mark.line + 1}"
                )
            seen.add(name)
            place = f"{pointer}/{name}".lstrip("/")
            lines[place] = key.start_mark.line + 1
            _note_lines(value, place, lines, path)


class _Dumper(yaml.SafeDumper):
    """Short lists on one line, text that holds lines as a block, lists indented under their key."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always: a value used twice is written twice, since a flow file holds no aliases."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    odd = any(c in "\r\x85\u2028\u2029\ufeff" for c in value)  # line ends that only quotes keep
    style = '"' if odd else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    plain = all(not isinstance(item, list | dict) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=plain)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def write_yaml(values: Any) -> str:
    """YAML that people like to read; keys stay in their order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
