"""The values that a flow is made of: nodes, the references between them, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Self

from pydantic import Field

from orrery.errors import FlowError, did_you_mean, listing
from orrery.spec import Spec


class Node(Spec):
    """One operator placed in a flow."""

    id: str
    operator: str
    inputs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Port -> references: ``digits``, or ``parts.train`` where an operator gives several values."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the file writes under ``with``; text may hold ``${VAR}``."""
    tags: tuple[str, ...] = ()

    def parents(self) -> list[str]:
        """Ids of the nodes whose results this one takes."""
        return list(dict.fromkeys(split_reference(text)[0] for text in self.references()))

    def references(self) -> Iterator[str]:
        """Every reference, in the order of the ports."""
        for texts in self.inputs.values():
            yield from texts


class Graph(Spec):
    """Nodes in the order they were written, with unique ids."""

    name: str
    description: str = ""
    nodes: tuple[Node, ...] = ()

    def node(self, name: str) -> Node:
        """The node of an id. Raises FlowError that lists the ids."""
        for node in self.nodes:
            if node.id == name:
                return node
        ids = [node.id for node in self.nodes]
        raise FlowError(
            f"The flow {self.name!r} has no node {name!r}. Its nodes are {listing(ids)}.",
            hint=did_you_mean(name, ids),
        )

    def order(self, to: Iterable[str] = ()) -> list[Node]:
        """Nodes after those they need; only what ``to`` needs, if given. Raises FlowError for a cycle."""
        wanted = list(to) or [node.id for node in self.nodes]
        graph: dict[str, list[str]] = {}
        while wanted:
            name = wanted.pop()
            if name not in graph:
                graph[name] = self.node(name).parents()
                wanted += graph[name]
        places = {node.id: place for place, node in enumerate(self.nodes)}
        ordered = {name: graph[name] for name in sorted(graph, key=places.__getitem__)}
        try:
            return [self.node(name) for name in TopologicalSorter(ordered).static_order()]
        except CycleError as error:
            raise FlowError(f"The flow goes in a circle: {' → '.join(error.args[1])}.") from None

    def with_settings(self, changes: dict[str, Any]) -> Self:
        """A copy with some settings changed: ``{"parts.seed": 8, "model.learner.epochs": 5}``."""
        nodes = {node.id: node for node in self.nodes}
        for place, value in changes.items():
            name, *path = place.split(".")
            if not path:
                raise FlowError(
                    f"{place!r} names no setting.", hint="Write node.setting=value, as in parts.seed=8."
                )
            node = nodes.get(name) or self.node(name)
            nodes[name] = node.model_copy(update={"settings": _changed(node.settings, path, value)})
        return self.model_copy(update={"nodes": tuple(nodes.values())})


def _changed(settings: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Settings with the value at a path; a kind that is written alone becomes a mapping on the way."""
    first, *rest = path
    if rest:
        inside = settings.get(first) or {}
        inside = {"kind": inside} if isinstance(inside, str) else inside
        value = _changed(inside, rest, value)
    return {**settings, first: value}


def split_reference(text: str) -> tuple[str, str]:
    """Node and output of a reference.

    >>> split_reference("parts.train"), split_reference("digits")
    (('parts', 'train'), ('digits', ''))
    """
    node, _, output = text.partition(".")
    return node, output


@dataclass(frozen=True)
class Step:
    """A node with all that it needs: how a flow is written in Python. ``step.train`` is one output."""

    node: Node
    parents: tuple[Step, ...] = ()
    outputs: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Output:
        if name.startswith("_") or name not in self.outputs:
            raise AttributeError(f"Node {self.node.id!r} gives {listing(self.outputs)}, not {name!r}.")
        return Output(self, f"{self.node.id}.{name}")

    @property
    def reference(self) -> str:
        """How other nodes name the one value of this step."""
        return self.node.id

    @property
    def origin(self) -> Step:
        """The step itself, as of its outputs."""
        return self

    def upstream(self) -> list[Node]:
        """The nodes that this step needs, and its own, each after those it needs."""
        found: dict[int, Step] = {}

        def visit(step: Step) -> None:
            if id(step) not in found:
                for parent in step.parents:
                    visit(parent)
                found[id(step)] = step

        visit(self)
        return [step.node for step in found.values()]


@dataclass(frozen=True)
class Output:
    """One of several values that a step gives."""

    origin: Step
    reference: str
