"""``MLmodel``: a summary in the words of MLflow, so that its tools can list, show and call a saved model.

The layout is MLflow's own (mlflow/models/model.py, mlflow/types/schema.py). Its ``python_function`` flavor
is loaded by :mod:`orrery.estimators.pyfunc`, which opens the folder as any other model, with the same checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from orrery.estimators.signature import Signature


def mlmodel(signature: Signature, lineage: Mapping[str, Any], files: Sequence[str]) -> bytes:
    """The file's content."""
    columns = [_column(field.name, field.arrow().type, True) for field in signature.inputs.each()]
    answers = [_column(field.name, field.type, True) for field in signature.outputs]
    created = str(lineage.get("created", ""))
    summary = {
        "flavors": {
            "orrery": {"version": lineage.get("orrery"), "files": list(files)},
            "python_function": {
                "loader_module": "orrery.estimators.pyfunc",
                "data": ".",
                "python_version": lineage.get("python"),
                "env": {},
            },
        },
        "model_uuid": hashlib.sha256(json.dumps([created, list(files)]).encode()).hexdigest()[:32],
        "utc_time_created": created.replace("T", " ").removesuffix("+00:00"),
        "signature": {
            "inputs": json.dumps(columns, ensure_ascii=False),
            "outputs": json.dumps(answers, ensure_ascii=False),
            "params": None,
        },
    }
    return yaml.safe_dump(summary, sort_keys=False, allow_unicode=True).encode()


def _column(name: str, kind: pa.DataType, required: bool) -> dict[str, Any]:
    return {**_mlflow_type(kind), "name": name, "required": required}


def _mlflow_type(kind: pa.DataType) -> dict[str, Any]:
    """The nearest of MLflow's types; what it cannot say is a string."""
    if pa.types.is_dictionary(kind):
        return _mlflow_type(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return {"type": "array", "items": _mlflow_type(kind.value_type)}
    if pa.types.is_struct(kind):
        members = {kind.field(i).name: _member(kind.field(i).type) for i in range(kind.num_fields)}
        return {"type": "object", "properties": members}
    for test, name in _TYPES:
        if test(kind):
            return {"type": name}
    return {"type": "string"}


def _member(kind: pa.DataType) -> dict[str, Any]:
    return {**_mlflow_type(kind), "required": True}


_TYPES = (
    (pa.types.is_boolean, "boolean"),
    (lambda kind: pa.types.is_integer(kind) and kind.bit_width <= 32 and kind != pa.uint32(), "integer"),
    (pa.types.is_integer, "long"),
    (lambda kind: pa.types.is_floating(kind) and kind.bit_width <= 32, "float"),
    (lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind), "double"),
    (lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind), "binary"),
    (lambda kind: pa.types.is_timestamp(kind) or pa.types.is_date(kind), "datetime"),
)
