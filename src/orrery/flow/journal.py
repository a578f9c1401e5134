"""The journal of a run: the state of each node, told to a watcher and kept in a file that others may read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orrery.data.variables import hidden
from orrery.errors import NodeError, OrreryError
from orrery.flow.cache import Planned, replace_text
from orrery.flow.document import Document
from orrery.flow.graph import Graph, Node
from orrery.flow.watch import NodeEvent, Watcher
from orrery.spec import Spec


class NodeResult(Spec):
    """How a node stands, or how it ended."""

    node: str
    operator: str
    state: str = "waiting"
    reason: str = ""
    seconds: float = 0.0


class Journal:
    """Notes every change of state: in memory, in ``<home>/flows/<flow>/run.json``, and to the watcher."""

    def __init__(self, graph: Graph, document: Document, path: Path, watch: Watcher | None) -> None:
        self.graph = graph
        self.document = document
        self.path = path
        self.watch = watch
        self.results: dict[str, NodeResult] = {}

    def begin(self, nodes: list[Node]) -> None:
        """All nodes wait."""
        self.results = {node.id: NodeResult(node=node.id, operator=node.operator) for node in nodes}
        self._keep()

    def tell(self, node: str, state: str, reason: str = "", seconds: float = 0.0) -> None:
        """Note the state of a node."""
        update = {"state": state, "reason": reason, "seconds": round(seconds, 3)}
        result = self.results[node] = self.results[node].model_copy(update=update)
        self._keep()
        if self.watch is not None:
            self.watch(NodeEvent(node, result.operator, state, reason, seconds))

    @contextmanager
    def node(self, node: Node) -> Iterator[list[Planned]]:
        """Around one node: the body appends what is planned; an error becomes one that names the node."""
        started = time.perf_counter()
        planned: list[Planned] = []
        try:
            yield planned
        except KeyboardInterrupt:
            self.tell(node.id, "stopped", "stopped", time.perf_counter() - started)
            raise
        except Exception as error:
            text = hidden(
                str(error) if isinstance(error, OrreryError) else f"{type(error).__name__}: {error}"
            )
            self.tell(node.id, "failed", text.splitlines()[0] if text else "", time.perf_counter() - started)
            index = [n.id for n in self.graph.nodes].index(node.id)
            raise NodeError(
                f"Node {node.id!r} ({node.operator}) failed: {text}",
                pointer=self.document.where(f"spec/nodes/{index}"),
            ) from error
        what = planned[0]
        state = {"read": "read", "reuse": "reused", "run": "done"}[what.action]
        self.tell(node.id, state, what.reason, time.perf_counter() - started)

    def _keep(self) -> None:
        nodes = [result.to_dict() for result in self.results.values()]
        replace_text(self.path, json.dumps({"flow": self.graph.name, "nodes": nodes}, ensure_ascii=False))
