"""Watching a run: one event per change of a node's state, and a watcher that prints lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from orrery.flow.graph import Graph

DONE = ("read", "done", "reused")


@dataclass(frozen=True)
class NodeEvent:
    """The state of one node, now."""

    node: str
    operator: str
    state: str
    """``waiting``, ``running``; then ``read`` (a lazy step), ``done``, ``reused``, ``failed``/``stopped``."""
    reason: str = ""
    seconds: float = 0.0


Watcher = Callable[[NodeEvent], None]


class Lines:
    """Prints a line when a node starts, if it may take long, and one when it has ended."""

    def __init__(self, graph: Graph, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.ids = max(len(node.id) for node in graph.nodes)
        self.operators = max(len(node.operator) for node in graph.nodes)

    def __call__(self, event: NodeEvent) -> None:
        """Print one event."""
        if event.state == "waiting":
            return
        mark, colour = _MARKS[event.state]
        took = f"{event.seconds:6.1f} s" if event.state in {"done", "failed"} else " " * 8
        name = f"{event.node:<{self.ids}}  {event.operator:<{self.operators}}"
        line = f"{self._in(colour, mark)} {name}  {took}  {_words(event)}".rstrip()
        self.stream.write(line + "\n")
        self.stream.flush()

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.stream.isatty() else text


_MARKS = {
    "running": ("▸", "36"),
    "read": ("·", "90"),
    "done": ("✓", "32"),
    "reused": ("=", "32"),
    "failed": ("✗", "31"),
    "stopped": ("■", "33"),
}


def _words(event: NodeEvent) -> str:
    if event.state == "running":
        return f"runs: {event.reason}"
    if event.state == "reused":
        return f"reused: {event.reason}"
    return event.reason if event.state in {"failed", "stopped", "read"} else ""
