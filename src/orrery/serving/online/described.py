"""A model as plain values: what it reads and answers, and sample rows as its callers would send them."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from orrery.serving.route import Live

_EXAMPLES = 12
_EXAMPLE_BYTES = 256 << 10


def told(live: Live) -> dict[str, Any]:
    """What the model reads and predicts, and how good it is."""
    found = live.runner.model
    signature = found.signature
    return {
        "name": live.name,
        "version": live.version,
        "inputs": [field.to_dict() for field in signature.inputs.each()],
        "target": signature.target.to_dict(),
        "outputs": signature.outputs.names,
        "metrics": found.metrics,
    }


def examples(live: Live) -> list[dict[str, Any]]:
    """Sample rows that travel with the model, as its callers would send them."""
    kept = live.runner.model.example
    if kept is None:
        return []
    rows, size = [], 0
    for row in kept.select(list(live.runner.signature.inputs.names)).slice(0, _EXAMPLES).to_pylist():
        sent = {name: sendable(value) for name, value in row.items()}
        size += len(msgspec.json.encode(sent))
        if size > _EXAMPLE_BYTES:
            break
        rows.append(sent)
    return rows


def sendable(value: object) -> object:
    """A value as JSON holds it: bytes as base64, dates as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list) and value and all(isinstance(pair, tuple) for pair in value):
        value = dict(value)  # Arrow's maps
    return msgspec.to_builtins(value, builtin_types=(), str_keys=True)
