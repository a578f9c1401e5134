"""A flow: operators wired into a graph, written in Python or as ``flow.yaml``, and the same in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr

from orrery.display import Both, fragment, table_html
from orrery.errors import FlowCheckError
from orrery.flow.cache import Planned
from orrery.flow.check import check_graph
from orrery.flow.document import Document, parse_document, read_document, write_yaml
from orrery.flow.finding import Finding
from orrery.flow.graph import Graph, Node, Step
from orrery.flow.parse import API, parse
from orrery.flow.runner import Run, plan, run
from orrery.flow.watch import Watcher


class Flow(Graph):
    """A graph that can be checked, planned, run, and written as YAML.

    >>> from orrery.flow.operators.read import read
    >>> from orrery.flow.operators.split import split
    >>> rows = read.node("rows", place="rows.csv")
    >>> parts = split.node("parts", table=rows, ratio=0.8, seed=7)
    >>> Flow.of("small", parts)
    Flow 'small'
      rows   read   place=rows.csv
      parts  split  table ← rows  ratio=0.8  seed=7
    """

    layout: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Where the studio draws each node; nothing else depends on it."""

    _document: Document = PrivateAttr(default=Document(None))

    @classmethod
    def of(cls, name: str, *steps: Step, description: str = "") -> Self:
        """A flow of these steps and all that they need."""
        nodes: dict[str, Node] = {}
        for step in steps:
            for node in step.upstream():
                if nodes.setdefault(node.id, node) != node:
                    raise FlowCheckError(f"Two nodes have the id {node.id!r}.", hint="Rename one of them.")
        return cls(name=name, description=description, nodes=tuple(nodes.values()))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a flow file. Raises FlowCheckError that lists all that is wrong with its shape, by line."""
        return cls._from_document(read_document(Path(path)))

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """A flow from YAML text."""
        return cls._from_document(parse_document(text))

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """A flow from what :meth:`to_dict` gives, which is also what the YAML file holds."""
        return cls._from_document(Document(settings))

    @classmethod
    def _from_document(cls, document: Document) -> Self:
        values, findings = parse(document)
        if findings:
            raise FlowCheckError("\n".join(str(finding) for finding in findings))
        flow = cls(**values)
        flow._document = document
        return flow

    def to_dict(self) -> dict[str, Any]:
        """The flow as plain values, in the order of the file; the layout at the end."""
        metadata = {"name": self.name, **({"description": self.description} if self.description else {})}
        nodes = [_node_values(node) for node in self.nodes]
        return {
            "$schema": "flow.schema.json",
            "apiVersion": API,
            "kind": "Flow",
            "metadata": metadata,
            "spec": {"nodes": nodes},
            **({"layout": self.layout} if self.layout else {}),
        }

    def to_yaml(self) -> str:
        """The flow as a file. ``Flow.from_yaml`` gives an equal flow."""
        return write_yaml(self.to_dict())

    def check(self, *, rows: bool = True) -> list[Finding]:
        """What is wrong, before anything runs; ``rows=False`` leaves out what needs a look at the sources."""
        return check_graph(self, self._document, look=rows)

    def plan(self, *, to: Sequence[str] = ()) -> list[Planned]:
        """What a run would do with each node, and why."""
        return plan(self, to=to)

    def run(self, *, to: Sequence[str] = (), force: Sequence[str] = (), watch: Watcher | None = None) -> Run:
        """Check, then run what is not already there; ``force`` names nodes to run again in any case.

        Raises FlowCheckError before anything ran, NodeError when a node fails.
        """
        return run(self, self._document, to=to, force=force, watch=watch)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flow) and self.to_dict() == other.to_dict()  # wherever it was written

    def __hash__(self) -> int:
        return hash(self.key())

    def __repr__(self) -> str:
        ids = max((len(node.id) for node in self.nodes), default=0)
        names = max((len(node.operator) for node in self.nodes), default=0)
        lines = [f"  {n.id:<{ids}}  {n.operator:<{names}}  {_summary(n)}".rstrip() for n in self.nodes]
        return "\n".join([f"Flow {self.name!r}", *lines])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [[node.id, node.operator, _summary(node)] for node in self.nodes]
        head = [Both("node", "节点"), Both("operator", "算子"), Both("inputs and settings", "输入与设置")]
        return fragment(table_html(head, rows, caption=self.description), title=f"Flow {self.name}")


def _node_values(node: Node) -> dict[str, Any]:
    inputs = {port: texts[0] if len(texts) == 1 else list(texts) for port, texts in node.inputs.items()}
    return {
        "id": node.id,
        "operator": node.operator,
        **({"inputs": inputs} if inputs else {}),
        **({"with": dict(node.settings)} if node.settings else {}),
        **({"tags": list(node.tags)} if node.tags else {}),
    }


def _summary(node: Node) -> str:
    wires = [f"{port} ← {', '.join(texts)}" for port, texts in node.inputs.items()]
    return "  ".join([*wires, *(f"{name}={value}" for name, value in node.settings.items())])
