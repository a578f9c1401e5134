"""Rules that look at the sources: a flow's tables are built, and nothing of them is read but schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orrery.errors import OrreryError, SettingsError, SourceError, UnknownColumnError, did_you_mean, listing
from orrery.flow.checked import Checked
from orrery.flow.finding import Finding
from orrery.flow.graph import Node
from orrery.flow.operator import SINGLE, Operator
from orrery.spec import Spec


@dataclass(frozen=True)
class Promise:
    """What a node will give when it runs; of a model, what it will ask of a table."""

    columns: tuple[str, ...] = ()
    target: str = ""


def columns(checked: Checked) -> Iterator[Finding]:
    """ORR011 to ORR014: lazy operators are asked for their schema; nothing is read but that."""
    values: dict[str, Any] = {}
    for node in checked.graph.order():
        operator, settings = checked.operators[node.id], checked.settings[node.id]
        given = {port: [values[text] for text in texts] for port, texts in node.inputs.items()}
        named = list(_named_columns(checked, node, given)) + list(_model_columns(checked, node, given))
        yield from named
        outputs: dict[str, Any] = dict.fromkeys(operator.outputs, Promise())
        ready = not any(isinstance(value, Promise) for found in given.values() for value in found)
        if operator.options.lazy and ready and not named:
            try:
                outputs = _add_step(operator, settings, given)
            except OrreryError as error:
                yield _step_finding(checked, node, error)
        elif "model" in operator.outputs.values() and ready and "table" in given:
            target = str(getattr(settings, "target", ""))
            outputs = dict.fromkeys(outputs, Promise(given["table"][0].schema.names, target))
        values |= {node.id if out == SINGLE else f"{node.id}.{out}": v for out, v in outputs.items()}


def _add_step(operator: Operator[..., Any], settings: Spec, given: Mapping[str, list[Any]]) -> dict[str, Any]:
    inputs = {port: found if operator.inputs[port].many else found[0] for port, found in given.items()}
    arguments = {name: getattr(settings, name) for name in type(settings).model_fields}
    outputs = operator.split_result(operator(**inputs, **arguments))
    for value in outputs.values():
        value.schema  # noqa: B018  # asks the place what columns it has
    return outputs


def _step_finding(checked: Checked, node: Node, error: OrreryError) -> Finding:
    codes = ((UnknownColumnError, "ORR012"), (SourceError, "ORR011"), (SettingsError, "ORR009"))
    code = next((code for kind, code in codes if isinstance(error, kind)), "ORR014")
    column = error.name if isinstance(error, UnknownColumnError) else ""
    return checked.finding(code, node, "with", error.message, hint=error.hint, column=column)


def _named_columns(checked: Checked, node: Node, given: Mapping[str, list[Any]]) -> Iterator[Finding]:
    """ORR012: a setting that names a column of a table names one that is there."""
    operator, settings = checked.operators[node.id], checked.settings[node.id]
    for name, (port, wanted) in operator.columns_named(settings).items():
        for table in given.get(port, []):
            if isinstance(table, Promise):
                continue
            for column in wanted:
                if column not in table.schema:
                    text = f"There is no column {column!r} in {node.inputs[port][0]!r}; "
                    text += f"the columns are {listing(table.schema.names)}."
                    hint = did_you_mean(column, table.schema.names)
                    yield checked.finding("ORR012", node, f"with.{name}", text, hint=hint, column=column)


def _model_columns(checked: Checked, node: Node, given: Mapping[str, list[Any]]) -> Iterator[Finding]:
    """ORR013: a table for a model has the columns that it learns from; to be judged, the target too."""
    models = [m for found in given.values() for m in found if isinstance(m, Promise) and m.columns]
    for model in models:
        for port in ("table", "test"):
            for table in given.get(port, []):
                if isinstance(table, Promise):
                    continue
                optional = {model.target} if node.operator == "predict" else set()
                missing = [c for c in model.columns if c not in table.schema and c not in optional]
                if missing:
                    text = f"{node.inputs[port][0]!r} lacks {listing(missing)}, which the model learns from."
                    yield checked.finding("ORR013", node, f"inputs.{port}", text, column=missing[0])
