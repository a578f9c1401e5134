"""Fitted features as one Arrow table, and back: plain values, no code.

One row per feature: its ``kind``, the ``groups`` it serves, ``values`` (JSON), and ``arrays``: a list of
named arrays, each of floats, of integers or of texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import pyarrow as pa

from orrery.errors import ModelFormatError, ModelVersionError, SettingsError
from orrery.features.feature import Feature, Transform
from orrery.features.state import broken

FORMAT = "1"

_STORES = {"floats": pa.float64(), "integers": pa.int64(), "texts": pa.string()}
_ARRAY = pa.struct([("name", pa.string()), *((name, pa.list_(kind)) for name, kind in _STORES.items())])
SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("groups", pa.list_(pa.string())),
        ("values", pa.string()),
        ("arrays", pa.list_(_ARRAY)),
    ],
    metadata={"orrery.features": FORMAT},
)


class Part(NamedTuple):
    """One fitted feature, and the groups that it serves."""

    transform: Transform
    groups: tuple[str, ...]


def write_parts(parts: Sequence[Part]) -> Any:
    """The table of :data:`SCHEMA`."""
    rows = []
    for transform, groups in parts:
        values, arrays = transform.state()
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, sort_keys=True)
        named = [{"name": name, _store(array): array.to_pylist()} for name, array in arrays.items()]
        rows.append({"kind": transform.kind, "groups": list(groups), "values": text, "arrays": named})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _store(array: Any) -> str:
    return next(name for name, kind in _STORES.items() if kind == array.type)


def read_parts(table: Any) -> list[Part]:
    """Fitted features; everything is checked. Raises ModelFormatError, ModelVersionError."""
    version = (table.schema.metadata or {}).get(b"orrery.features", b"").decode("ascii", "replace")
    if version != FORMAT:
        raise ModelVersionError(
            f"The features are saved in format {version!r}; this release reads {FORMAT!r}.",
            hint="Use the release of orrery-ml that saved the model.",
        )
    if not table.schema.equals(SCHEMA, check_metadata=False):
        raise broken("its table has other columns than features have")
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise broken(str(error)) from None
    parts = [_part(row) for batch in table.to_batches() for row in _rows(batch)]
    if not parts:
        raise broken("there is none")
    return parts


def _rows(batch: Any) -> list[dict[str, Any]]:
    kinds, groups, values = (batch.column(i).to_pylist() for i in range(3))
    arrays = batch.column(3)
    return [
        {"kind": kinds[i], "groups": groups[i], "values": values[i], "arrays": arrays[i].values}
        for i in range(batch.num_rows)
    ]


def _part(row: dict[str, Any]) -> Part:
    kind, groups = row["kind"], row["groups"]
    if not groups or None in groups or len(set(groups)) < len(groups):
        raise broken("it serves no group, or one twice")
    try:
        feature = cast("type[Feature]", Feature.member(str(kind)))
        values = json.loads(row["values"] or "")
    except SettingsError as error:
        raise ModelFormatError(f"A saved feature is of an unknown kind. {error.message}") from None
    except (ValueError, RecursionError):
        raise broken("its values are not JSON") from None
    if not isinstance(values, dict) or row["arrays"] is None:
        raise broken("its values are not an object")
    return Part(feature.transform.from_state(values, _arrays(row["arrays"])), tuple(groups))


def _arrays(found: Any) -> dict[str, Any]:
    arrays = {}
    for i, name in enumerate(found.field("name").to_pylist()):
        for store in _STORES:
            array = found.field(store)[i].values
            if array is not None:
                arrays[name] = array
    return arrays
