"""JSON Schemas: of a flow file, for editors and forms, and of each operator."""

from __future__ import annotations

from typing import Any

from orrery.flow.operator import Operator
from orrery.flow.operators import find, names
from orrery.flow.parse import API

_WIRE = {"type": "string", "description": "The id of a node, or id.output."}


def flow_schema() -> dict[str, Any]:
    """The schema of ``flow.yaml``, with the inputs and settings of every operator."""
    operators = [find(name) for name in names()]
    node = {
        "type": "object",
        "required": ["id", "operator"],
        "properties": {
            "id": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
            "operator": {"enum": [operator.name for operator in operators]},
            "inputs": {"type": "object"},
            "with": {"type": "object"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": False,
        "allOf": [_when(operator) for operator in operators],
    }
    nodes = {"type": "array", "minItems": 1, "items": node}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Orrery flow",
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "$schema": {"type": "string"},
            "apiVersion": {"const": API},
            "kind": {"const": "Flow"},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "description": {"type": "string"}},
                "additionalProperties": False,
            },
            "spec": {
                "type": "object",
                "required": ["nodes"],
                "properties": {"nodes": nodes},
                "additionalProperties": False,
            },
            "layout": {"type": "object"},
        },
        "additionalProperties": False,
        "$defs": {
            name: schema for operator in operators for name, schema in _settings(operator)["$defs"].items()
        },
    }


def operator_schema(operator: Operator[..., Any]) -> dict[str, Any]:
    """One operator: its help, inputs, outputs, and the schema of its settings."""
    settings = _settings(operator)
    return {
        "operator": operator.name,
        "help": operator.help,
        "inputs": {
            name: {"type": port.type, "required": port.required, "many": port.many, "help": port.help}
            for name, port in operator.inputs.items()
        },
        "outputs": operator.outputs,
        "with": {**settings["schema"], **({"$defs": settings["$defs"]} if settings["$defs"] else {})},
    }


def _settings(operator: Operator[..., Any]) -> dict[str, Any]:
    schema = operator.settings.model_json_schema()
    return {"$defs": schema.pop("$defs", {}), "schema": schema}


def _when(operator: Operator[..., Any]) -> dict[str, Any]:
    """If a node has this operator, then these inputs and settings."""
    wires = {
        name: {"oneOf": [_WIRE, {"type": "array", "items": _WIRE}]} if port.many else _WIRE
        for name, port in operator.inputs.items()
    }
    needed = [name for name, port in operator.inputs.items() if port.required]
    inputs = {"type": "object", "properties": wires, "required": needed, "additionalProperties": False}
    settings = _settings(operator)["schema"]
    required = [*(["inputs"] if needed else []), *(["with"] if settings.get("required") else [])]
    then = {"properties": {"inputs": inputs, "with": settings}, "required": required}
    return {"if": {"properties": {"operator": {"const": operator.name}}}, "then": then}
