"""Coded rules that look at a flow before anything runs. One small function per rule.

======  ==========================================================================================
ORR001  unknown key (``parse``)
ORR002  a key is missing, or holds the wrong thing (``parse``)
ORR003  an id is wrong, or used twice (``parse``)
ORR004  unknown operator
ORR005  unknown or missing input
ORR006  a reference to nothing
ORR007  the wrong type of value for an input
ORR008  the flow goes in a circle
ORR009  a setting is unknown, missing or wrong
ORR010  an environment variable is not set
ORR011  a source cannot be read (``check_columns``)
ORR012  unknown column (``check_columns``)
ORR013  a model is given a table without the columns that it learns from (``check_columns``)
ORR014  a step of a table cannot be done (``check_columns``)
======  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orrery.data.variables import expand
from orrery.errors import FlowError, SettingsError, did_you_mean, listing
from orrery.flow.check_columns import columns
from orrery.flow.checked import Checked
from orrery.flow.document import Document
from orrery.flow.finding import Finding
from orrery.flow.graph import Graph, Node, split_reference
from orrery.flow.operator import SINGLE, Operator
from orrery.flow.operators import find, names

Rule = Callable[[Checked], Iterator[Finding]]


def check_graph(graph: Graph, document: Document, *, look: bool = True) -> list[Finding]:
    """All findings. Rules about columns look at the sources' schemas; they wait until the graph is sound."""
    checked = Checked(graph, document)
    found = [finding for rule in RULES for finding in rule(checked)]
    if not found and look:
        found = list(columns(checked))
    return found


def known_operator(checked: Checked) -> Iterator[Finding]:
    """ORR004: each operator is known."""
    for node in checked.graph.nodes:
        try:
            checked.operators[node.id] = find(node.operator)
        except FlowError as error:
            known = names()
            text = f"There is no operator {node.operator!r}; there are {listing(known, 30)}."
            if node.operator in known:  # it is there, and cannot be loaded
                text = error.message
            hint = did_you_mean(node.operator, known)
            yield checked.finding("ORR004", node, "operator", text, hint=hint)


def known_inputs(checked: Checked) -> Iterator[Finding]:
    """ORR005: each input is one that the operator has, and none that it needs is missing."""
    for node, operator in _placed(checked):
        for port in node.inputs:
            if port not in operator.inputs:
                text = f"Operator {operator.name!r} has no input {port!r}; it has {listing(operator.inputs)}."
                hint = did_you_mean(port, operator.inputs)
                yield checked.finding("ORR005", node, f"inputs.{port}", text, hint=hint)
            elif len(node.inputs[port]) > 1 and not operator.inputs[port].many:
                text = f"The input {port!r} takes one value, and {len(node.inputs[port])} are given."
                yield checked.finding("ORR005", node, f"inputs.{port}", text)
        misspelt = [port for port in node.inputs if port not in operator.inputs]
        for port, wanted in operator.inputs.items():
            if wanted.required and port not in node.inputs and not misspelt:
                text = f"The input {port!r}, a {wanted.type}, is needed by operator {operator.name!r}."
                hint = f"Write inputs: {{{port}: the id of a node}}."
                yield checked.finding("ORR005", node, "inputs", text, hint=hint)


def known_references(checked: Checked) -> Iterator[Finding]:
    """ORR006: each reference names a node and one of its outputs."""
    ids = [node.id for node in checked.graph.nodes]
    for node, port, text in _wires(checked):
        name, output = split_reference(text)
        part = f"inputs.{port}"
        if name not in ids:
            message = f"There is no node {name!r}; there are {listing(ids)}."
            yield checked.finding("ORR006", node, part, message, hint=did_you_mean(name, ids))
        elif name in checked.operators:
            outputs = list(checked.operators[name].outputs)
            if output and output not in outputs:
                several = f"it gives {listing(outputs)}" if outputs != [SINGLE] else "it gives one value"
                message = f"Node {name!r} gives no {output!r}; {several}."
                hint = did_you_mean(output, outputs) if outputs != [SINGLE] else f"Write {name}."
                yield checked.finding("ORR006", node, part, message, hint=hint)
            elif not output and outputs != [SINGLE]:
                message = f"Node {name!r} gives several values: {listing(outputs)}."
                hint = f"Say which: {name}.{outputs[0]}."
                yield checked.finding("ORR006", node, part, message, hint=hint)


def port_types(checked: Checked) -> Iterator[Finding]:
    """ORR007: what comes out of one node fits what goes into the next."""
    for node, port, text in _wires(checked):
        name, output = split_reference(text)
        source, sink = checked.operators.get(name), checked.operators.get(node.id)
        if source is None or sink is None or port not in sink.inputs:
            continue
        given = source.outputs.get(output or SINGLE)
        wanted = sink.inputs[port].type
        if given is not None and given != wanted:
            message = f"The input {port!r} takes a {wanted}, and {text!r} is a {given}."
            fitting = [
                other.id if out == SINGLE else f"{other.id}.{out}"
                for other in checked.graph.nodes
                if other.id in checked.operators and other.id != node.id
                for out, kind in checked.operators[other.id].outputs.items()
                if kind == wanted
            ]
            hint = f"Of that type are {listing(fitting)}." if fitting else ""
            yield checked.finding("ORR007", node, f"inputs.{port}", message, hint=hint)


def no_circle(checked: Checked) -> Iterator[Finding]:
    """ORR008: no node needs its own result."""
    ids = {node.id for node in checked.graph.nodes}
    if any(parent not in ids for node in checked.graph.nodes for parent in node.parents()):
        return
    try:
        checked.graph.order()
    except FlowError as error:
        first = error.message.rpartition(" → ")[2].rstrip(".")
        hint = "Take one of these inputs from elsewhere."
        yield checked.finding("ORR008", checked.graph.node(first), "inputs", error.message, hint=hint)


def right_settings(checked: Checked) -> Iterator[Finding]:
    """ORR009 and ORR010: settings are known, present and of the right kind; variables are set."""
    for node, operator in _placed(checked):
        known = list(operator.settings.model_fields)
        unknown = [name for name in node.settings if name not in known]
        for name in unknown:
            text = f"Operator {operator.name!r} has no setting {name!r}; it has {listing(known, 20)}."
            yield checked.finding("ORR009", node, f"with.{name}", text, hint=did_you_mean(name, known))
        try:
            values = expand({k: v for k, v in node.settings.items() if k not in unknown})
        except SettingsError as error:
            yield checked.finding("ORR010", node, "with", error.message, hint=error.hint)
            continue
        findings = list(_wrong_settings(checked, node, operator, values))
        yield from findings
        if not findings and not unknown:
            checked.settings[node.id] = operator.settings.from_dict(values)


def _wrong_settings(
    checked: Checked, node: Node, operator: Operator[..., Any], values: Mapping[str, Any]
) -> Iterator[Finding]:
    for name, information in operator.settings.model_fields.items():
        if name not in values and information.is_required():
            text = f"The setting {name!r} is needed by operator {operator.name!r}."
            hint = information.description or ""
            yield checked.finding("ORR009", node, "with", text, hint=hint)
    required = {n for n, i in operator.settings.model_fields.items() if i.is_required()}
    if required - set(values):
        return
    for name, value in values.items():  # one at a time, so that each finding has its own line
        try:
            operator.settings.from_dict({**{n: values[n] for n in required}, name: value})
        except SettingsError as error:
            text = error.message.partition(": ")[2]
            yield checked.finding("ORR009", node, f"with.{name}", text, hint=error.hint)


RULES: tuple[Rule, ...] = (
    known_operator,
    known_inputs,
    known_references,
    port_types,
    no_circle,
    right_settings,
)


def _placed(checked: Checked) -> Iterator[tuple[Node, Operator[..., Any]]]:
    for node in checked.graph.nodes:
        if node.id in checked.operators:
            yield node, checked.operators[node.id]


def _wires(checked: Checked) -> Iterator[tuple[Node, str, str]]:
    for node in checked.graph.nodes:
        for port, texts in node.inputs.items():
            for text in texts:
                yield node, port, text
