"""Running a flow: nodes in order, each reused or run, and the reason told.

A run that is stopped (Ctrl-C, a kill, an error) leaves the results of finished nodes in the cache, and the
unfinished work of the node where it can go on; the next run starts there.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from orrery.data.variables import expand
from orrery.errors import FlowCheckError, FlowError, RegistryBusyError, did_you_mean, listing
from orrery.flow.cache import Cache, Planned, Record, decide, record_of, stamped, trace
from orrery.flow.check import check_graph
from orrery.flow.document import Document
from orrery.flow.graph import Graph, Node, split_reference
from orrery.flow.journal import Journal, NodeResult
from orrery.flow.operator import OUTSIDE, SINGLE, Context, Operator
from orrery.flow.operators import find
from orrery.flow.watch import Watcher
from orrery.registry.lock import locked
from orrery.settings import home
from orrery.spec import Spec, stable_key
from orrery.training.events import Observer


@dataclass
class Placed:
    """A node, what decides its result, and what is to be done."""

    node: Node
    operator: Operator[..., Any]
    settings: Spec
    record: Record
    planned: Planned


@dataclass
class State:
    """What is known so far; ``identities`` and ``values`` by reference."""

    cache: Cache
    placed: dict[str, Placed] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    """Node -> what changed first, in it or before it."""

    def value(self, reference: str) -> Any:
        """What a node gave: at hand, stored, or a step that is added to a table now."""
        if reference not in self.values:
            placed = self.placed[split_reference(reference)[0]]
            if placed.operator.options.lazy:
                self.keep(placed, call(self, placed, OUTSIDE))
            else:
                self.keep(placed, self.cache.get(placed.planned.result))
        return self.values[reference]

    def keep(self, placed: Placed, outputs: dict[str, Any]) -> None:
        """Hold on to outputs for the nodes that come after."""
        self.values |= {_reference(placed.node.id, name): value for name, value in outputs.items()}


class Run:
    """What a run gave. ``run["model"]`` and ``run["parts.train"]`` are values, loaded when asked for."""

    def __init__(self, results: Sequence[NodeResult], state: State) -> None:
        self.results = list(results)
        self._state = state

    def __getitem__(self, reference: str) -> Any:
        known = list(self._state.identities)
        if reference not in known:
            raise FlowError(
                f"The run has no value {reference!r}. It has {listing(known)}.",
                hint=did_you_mean(reference, known),
            )
        return self._state.value(reference)

    def references(self, *kinds: str) -> list[str]:
        """What the run has of some kinds of value: ``references("report")``."""
        return [
            _reference(node, output)
            for node, placed in self._state.placed.items()
            for output, kind in placed.operator.outputs.items()
            if kind in kinds
        ]

    def to_dict(self) -> dict[str, Any]:
        """States, reasons and times of all nodes, as plain values."""
        return {"nodes": [result.to_dict() for result in self.results]}


def plan(graph: Graph, *, to: Sequence[str] = (), force: Sequence[str] = ()) -> list[Planned]:
    """What a run would do with each node, and why. Runs nothing, but asks the sources what they hold."""
    state = State(Cache(home(), graph.name))
    return [place(state, node, force).planned for node in graph.order(to)]


def run(
    graph: Graph,
    document: Document,
    *,
    to: Sequence[str] = (),
    force: Sequence[str] = (),
    watch: Watcher | None = None,
    observers: Sequence[Observer] = (),
) -> Run:
    """Check, then run. Raises FlowCheckError before anything ran, NodeError when a node fails."""
    findings = check_graph(graph, document)
    if findings:
        raise FlowCheckError("\n".join(str(finding) for finding in findings))
    for name in force:
        graph.node(name)
    state = State(Cache(home(), graph.name))
    journal = Journal(graph, document, state.cache.journal(), watch)
    nodes = graph.order(to)
    with ExitStack() as held:
        _alone(graph, state.cache, held)
        journal.begin(nodes)
        for node in nodes:
            with journal.node(node) as planned:
                placed = place(state, node, force)
                planned.append(placed.planned)
                if placed.planned.action == "run":
                    journal.tell(node.id, "running", placed.planned.reason)
                    _run_node(state, placed, tuple(observers))
                state.cache.note(node.id, stamped(placed.record))
    return Run(list(journal.results.values()), state)


def _alone(graph: Graph, cache: Cache, held: ExitStack) -> None:
    """Hold the flow: two runs at a time would share unfinished work. Raises FlowError, naming the other."""
    try:
        folder, purpose = cache.journal().parent, f"running the flow {graph.name}"
        held.enter_context(locked(folder, purpose, 0, what="Its folder"))
    except RegistryBusyError as error:
        said = f"The flow {graph.name!r} is running already. {error.message}"
        raise FlowError(said, hint="Wait for it, or stop it.") from None


def place(state: State, node: Node, force: Sequence[str]) -> Placed:
    """Decide about one node, and note the identities of what it gives."""
    operator = find(node.operator)
    settings = operator.settings.from_dict(expand(node.settings))
    inputs = {p: [(text, state.identities[text]) for text in texts] for p, texts in node.inputs.items()}
    record = record_of(node, operator, settings, inputs)
    key = record.result_key()
    planned = Planned(node=node.id, operator=node.operator, action="read", reason="", result=key)
    placed = state.placed[node.id] = Placed(node, operator, settings, record, planned)
    if operator.options.lazy and not node.inputs:
        placed.record = record.model_copy(update={"source": _fingerprint(state, placed)})
    last = state.cache.last(node.id)
    changed = trace(last, placed.record, node.id, state.roots)
    action, why = decide(state.cache, last, placed.record, changed)
    if operator.options.lazy:
        action, why = "read", "; ".join(changed)
    elif action == "reuse" and (again := _again(state, placed, force, last, changed)):
        action, why = "run", again
    if action == "run":
        state.roots.setdefault(node.id, f"{node.id}: {why}")
    placed.planned = planned.model_copy(update={"action": action, "reason": why})
    for output in operator.outputs:
        reference = _reference(node.id, output)
        state.identities[reference] = _identity(placed, reference)
    return placed


def _identity(placed: Placed, reference: str) -> str:
    """What tells a value from others: equal identities mean equal values."""
    if placed.record.source:
        return placed.record.source
    once = str(uuid.uuid4()) if placed.operator.options.changes else ""
    return stable_key(placed.planned.result, reference, once)


def _fingerprint(state: State, placed: Placed) -> str:
    """What a source holds now."""
    found: str = state.value(_reference(placed.node.id, next(iter(placed.operator.outputs)))).fingerprint()
    return found


def _again(
    state: State, placed: Placed, force: Sequence[str], last: Record | None, changed: Sequence[str]
) -> str:
    """Why a node runs although its result is stored; empty if it does not."""
    options = placed.operator.options
    if placed.node.id in force:
        return "asked for"
    if options.changes:
        return options.changes
    if options.holds is None:
        return ""
    if last is None or changed:  # what it left outside is that of another run
        return "; ".join(changed) or "first run in this flow"
    outputs = state.cache.get(placed.planned.result)
    holds = options.holds(placed.settings.model_dump(), outputs)
    return "" if holds else "what it left outside is gone"


def _run_node(state: State, placed: Placed, observers: tuple[Observer, ...]) -> None:
    key = placed.planned.result
    work = state.cache.work(key)
    work.mkdir(parents=True, exist_ok=True)
    outputs = call(state, placed, Context(work, observers))
    state.cache.put(key, stamped(placed.record), outputs)
    state.keep(placed, outputs)


def call(state: State, placed: Placed, context: Context) -> dict[str, Any]:
    """Call the operator of a node; its outputs by name."""
    operator = placed.operator
    arguments = {name: getattr(placed.settings, name) for name in type(placed.settings).model_fields}
    for port, texts in placed.node.inputs.items():
        values = [state.value(text) for text in texts]
        arguments[port] = values if operator.inputs[port].many else values[0]
    if operator.context_name:
        arguments[operator.context_name] = context
    return operator.split_result(operator(**arguments))


def _reference(node: str, output: str) -> str:
    return node if output == SINGLE else f"{node}.{output}"
