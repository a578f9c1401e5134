"""The shape of a flow file: which keys it has and what they hold. Finds all that is wrong, not the first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orrery.errors import did_you_mean, listing
from orrery.flow.document import Document
from orrery.flow.finding import Finding
from orrery.flow.graph import Node

API = "orrery/v1"

_TOP = ("$schema", "apiVersion", "kind", "metadata", "spec", "layout")
_METADATA = ("name", "description")
_NODE = ("id", "operator", "inputs", "with", "tags")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass
class _Parser:
    document: Document
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, code: str, place: str, message: str, *, hint: str = "", node: str = "") -> None:
        """Note a finding at a place of the document."""
        where = self.document.where(place)
        self.findings.append(Finding(code=code, message=message, where=where, node=node, hint=hint))

    def mapping(self, value: Any, place: str, known: tuple[str, ...], node: str = "") -> dict[str, Any]:
        """A mapping with none but known keys; ORR001 and ORR002."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.wrong("ORR002", place, f"{place or 'A flow'} is {_kind(value)}; needed are keys.", node=node)
            return {}
        for key in value:
            if known and key not in known:
                hint = did_you_mean(str(key), known)
                text = f"Unknown key {str(key)!r}; allowed are {listing(known)}."
                self.wrong("ORR001", f"{place}/{key}".lstrip("/"), text, hint=hint, node=node)
        return {str(key): item for key, item in value.items()}


def parse(document: Document) -> tuple[dict[str, Any], list[Finding]]:
    """The settings of a ``Flow``, and what is wrong with the document's shape."""
    parser = _Parser(document)
    top = parser.mapping(document.values, "", _TOP)
    if top.get("apiVersion", API) != API:
        text = f"The version is {top['apiVersion']!r}; this release reads {API!r}."
        parser.wrong("ORR002", "apiVersion", text)
    if top.get("kind", "Flow") != "Flow":
        parser.wrong("ORR002", "kind", f"The kind is {top['kind']!r}; needed is 'Flow'.")
    metadata = parser.mapping(top.get("metadata"), "metadata", _METADATA)
    spec = parser.mapping(top.get("spec"), "spec", ("nodes",))
    name = metadata.get("name")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        text = f"The flow's name is {name!r}; needed are letters, digits, '-' and '_'."
        parser.wrong("ORR002", "metadata/name", text, hint="Write it under metadata: name.")
    return {
        "name": str(name),
        "description": str(metadata.get("description", "")),
        "nodes": tuple(_nodes(parser, spec.get("nodes"))),
        "layout": parser.mapping(top.get("layout"), "layout", ()),
    }, parser.findings


def _nodes(parser: _Parser, values: Any) -> Iterator[Node]:
    if not isinstance(values, list) or not values:
        parser.wrong("ORR002", "spec/nodes", "The flow has no nodes.", hint="List them under spec: nodes.")
        return
    seen: set[str] = set()
    for i, value in enumerate(values):
        place = f"spec/nodes/{i}"
        node = _node(parser, value, place)
        if node is None:
            continue
        if node.id in seen:
            text = f"Two nodes have the id {node.id!r}."
            parser.wrong("ORR003", f"{place}/id", text, hint="Rename one of them.", node=node.id)
        seen.add(node.id)
        yield node


def _node(parser: _Parser, value: Any, place: str) -> Node | None:
    before = len(parser.findings)
    name = str(value.get("id", "")) if isinstance(value, Mapping) else ""
    keys = parser.mapping(value, place, _NODE, node=name)
    if keys and not _ID.fullmatch(name):
        text = f"A node's id is {keys.get('id')!r}; needed are letters, digits, '-' and '_'."
        parser.wrong("ORR003", f"{place}/id", text)
    if keys and not isinstance(keys.get("operator"), str):
        text = "This node names no operator."
        parser.wrong("ORR002", place, text, hint="Write operator: read, split, fit …", node=name)
    inputs = {
        port: _references(parser, texts, f"{place}/inputs/{port}", name)
        for port, texts in parser.mapping(keys.get("inputs"), f"{place}/inputs", (), name).items()
    }
    settings = parser.mapping(keys.get("with"), f"{place}/with", (), name)
    tags = keys.get("tags") or ()
    if not isinstance(tags, list | tuple):
        parser.wrong("ORR002", f"{place}/tags", "Tags are a list of words.", node=name)
        tags = ()
    if not keys or len(parser.findings) > before:
        return None
    words = tuple(str(tag) for tag in tags)
    return Node(id=name, operator=keys["operator"], inputs=inputs, settings=settings, tags=words)


def _references(parser: _Parser, value: Any, place: str, node: str) -> tuple[str, ...]:
    texts = value if isinstance(value, list | tuple) else [value]
    if all(isinstance(text, str) and text for text in texts):
        return tuple(texts)
    text = f"An input is the id of a node, not {_kind(value)}."
    parser.wrong("ORR002", place, text, hint="Write digits, or parts.train.", node=node)
    return ()


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "empty"}
    return names.get(type(value), repr(value))
