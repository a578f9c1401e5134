"""Recorded answers as Arrow tables, and the writing of them: whole files, or none."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orrery.estimators.signature import Signature
from orrery.features.forms import as_text
from orrery.schema import parse_type
from orrery.serving.runner import Columns, answers_as_arrow

_MISFIT = (pa.ArrowException, TypeError, ValueError, OverflowError, ArithmeticError)


@dataclass(frozen=True)
class Answered:
    """One request that was answered, as the recorder gets it."""

    name: str
    version: int
    signature: Signature
    ids: Sequence[str]
    columns: Columns
    answers: Sequence[Mapping[str, Any]]
    time_us: int
    """Microseconds since 1970, UTC."""
    size_bytes: int
    """About what it takes in memory."""
    shadow: bool = False
    """Whether it was given in the shadow of another one, and to nobody."""


def predictions_table(group: Sequence[Answered]) -> pa.Table:
    """Answers of one version as one table, in the layout that ``record`` describes."""
    first = group[0]
    ids = [i for answered in group for i in answered.ids]
    times = [answered.time_us for answered in group for _ in answered.ids]
    unfit: dict[int, dict[str, Any]] = {}
    inputs, fields = [], []
    for field in first.signature.whole.each():
        values = [v for answered in group for v in answered.columns[field.name]]
        kind = parse_type(field.type)
        column, misfits = _typed(values, kind)
        inputs.append(column)
        fields.append(pa.field(field.name, kind))
        for row, value in misfits.items():
            unfit.setdefault(row, {})[field.name] = value
    outputs = answers_as_arrow([a for answered in group for a in answered.answers], first.signature)
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "time": pa.array(times, pa.int64()).cast(pa.timestamp("us", "UTC")),
            "name": pa.array([first.name] * len(ids), pa.string()),
            "version": pa.array([first.version] * len(ids), pa.int32()),
            "inputs": pa.StructArray.from_arrays(inputs, fields=fields),
            "output": pa.StructArray.from_arrays(outputs, fields=list(first.signature.outputs)),
            "unfit": pa.array([_as_json(unfit.get(row)) for row in range(len(ids))], pa.string()),
        }
    )


def write_aside(table: pa.Table, folder: Path) -> Path:
    """Write a table as one new Parquet file of a folder; readers see all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = folder / f"{stamp}-{uuid.uuid4().hex[:8]}.parquet"
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def delete_oldest(folder: Path, most_bytes: int) -> int:
    """Delete the oldest files of a folder's folders until the rest takes no more; returns how many.

    The newest one stays, however large. A file's name begins with its time.
    """
    kept_bytes, deleted = 0, 0
    for number, path in enumerate(sorted(folder.glob("*/*.parquet"), key=lambda p: p.name, reverse=True)):
        try:
            kept_bytes += path.stat().st_size
            if number and kept_bytes > most_bytes:
                path.unlink()
                deleted += 1
        except OSError:
            continue  # another service of this model was quicker, or somebody reads it
    return deleted


def _typed(values: Sequence[Any], kind: pa.DataType) -> tuple[Any, dict[int, Any]]:
    """Values in the type of their column, and by row those that it cannot hold."""
    convert = _conversion(kind)
    try:
        return pa.array([None if v is None else convert(v) for v in values], kind), {}
    except _MISFIT:
        pass
    parts: list[Any] = []
    misfits: dict[int, Any] = {}
    for row, value in enumerate(values):
        try:
            parts.append(pa.array([None if value is None else convert(value)], kind))
        except _MISFIT:
            parts.append(pa.array([None], kind))
            misfits[row] = value
    return pa.concat_arrays(parts), misfits


def _conversion(kind: pa.DataType) -> Callable[[Any], Any]:
    """What turns a value of a request into one that Arrow takes for a type."""
    if pa.types.is_timestamp(kind):
        return _moment
    if pa.types.is_date(kind):
        return lambda v: _moment(v).date()
    if pa.types.is_decimal(kind):
        return lambda v: decimal.Decimal(str(v))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text
    if pa.types.is_integer(kind):
        return _whole
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _conversion(kind.value_type)
        return lambda v: [None if each is None else inner(each) for each in v]
    return lambda v: v


def _moment(value: Any) -> dt.datetime:
    """Arrow would take any number for so many microseconds."""
    moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(moment, dt.datetime):
        return moment
    if isinstance(moment, dt.date):
        return dt.datetime(moment.year, moment.month, moment.day)
    raise TypeError


def _whole(value: Any) -> Any:
    """Arrow would cut off the fraction without a word."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    return value


def _text(value: object) -> str:
    if isinstance(value, list | dict):
        raise TypeError
    return as_text(value)


def _as_json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
