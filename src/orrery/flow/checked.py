"""What the rules of ``check`` look at, and what earlier rules have found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orrery.data.variables import hidden
from orrery.flow.document import Document
from orrery.flow.finding import Finding
from orrery.flow.graph import Graph, Node
from orrery.flow.operator import Operator
from orrery.spec import Spec


@dataclass
class Checked:
    """A flow under inspection."""

    graph: Graph
    document: Document
    operators: dict[str, Operator[..., Any]] = field(default_factory=dict)
    settings: dict[str, Spec] = field(default_factory=dict)
    """Node id -> its settings, checked, with variables filled in."""

    def finding(self, code: str, node: Node, part: str, message: str, **more: str) -> Finding:
        """A finding about ``part`` of a node: ``with.ratio``, ``inputs.table``. Variables stay names."""
        index = [n.id for n in self.graph.nodes].index(node.id)
        where = self.document.where(f"spec/nodes/{index}/{part.replace('.', '/')}")
        return Finding(code=code, message=hidden(message), where=where, node=node.id, field=part, **more)
