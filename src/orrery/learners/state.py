"""Reading a predictor's files, which may be a stranger's: plain JSON and Arrow, checked, nothing run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.errors import ModelFormatError, SettingsError
from orrery.features.feature import Output, Role

FORMAT = 1


def read_json(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """An object of this format. Raises ModelFormatError."""
    try:
        found = json.loads(read(files, name))
    except (ValueError, RecursionError):
        raise broken(name, "it is not JSON") from None
    if not isinstance(found, dict):
        raise broken(name, "it is not a JSON object")
    if found.get("format") != FORMAT:
        raise broken(name, f"its format is {found.get('format')!r:.40}, this release reads {FORMAT}")
    return found


def write_json(**values: Any) -> bytes:
    """An object of this format."""
    return json.dumps({"format": FORMAT, **values}, indent=1, allow_nan=False).encode()


def read(files: Mapping[str, bytes], name: str) -> bytes:
    """The content of a file that has to be there. Raises ModelFormatError."""
    if name not in files:
        raise broken(name, "it is missing")
    return files[name]


def read_outputs(values: object, name: str) -> tuple[Output, ...]:
    """The encoded blocks that the predictor was taught with. Raises ModelFormatError."""
    try:
        outputs = tuple(Output.from_dict(value) for value in values)  # type: ignore[attr-defined]
    except (SettingsError, TypeError, ValueError, AttributeError):
        raise broken(name, "its outputs are not what they should be") from None
    for output in outputs:
        if any(size < 0 for size in (output.width, *output.sizes, *output.shape)):
            raise broken(name, f"output {output.name!r:.80} has a negative size")
        needed = {Role.CODE: output.width, Role.BAG: 1}.get(output.role, len(output.sizes))
        if len(output.sizes) != needed:
            raise broken(name, f"output {output.name!r:.80} needs {needed} sizes")
    return outputs


def read_columns(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Columns of numbers from an Arrow file. Raises ModelFormatError."""
    try:
        with pa.ipc.open_file(pa.BufferReader(read(files, name))) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise broken(name, f"it is not an Arrow file ({str(error)[:80]})") from None
    return {column: table.column(column).combine_chunks() for column in table.column_names}


def write_columns(columns: Mapping[str, Any]) -> bytes:
    """An Arrow file of columns."""
    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def numbers(values: object, count: int, name: str, what: str) -> NDArray[np.float64]:
    """Exactly ``count`` finite doubles. Raises ModelFormatError."""
    try:
        found = np.asarray(values)
        if found.dtype.kind not in "fiu" and found.size:
            raise TypeError
        found = found.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise broken(name, f"{what} holds something that is not a number") from None
    if found.shape != (count,) or not np.isfinite(found).all():
        raise broken(name, f"{what} has to be {count} finite numbers, and has shape {found.shape}")
    return found


def broken(name: str, why: str) -> ModelFormatError:
    """The error for a file that cannot be used."""
    return ModelFormatError(f"The model's file {name!r} cannot be used: {why}.", hint="Save the model again.")
