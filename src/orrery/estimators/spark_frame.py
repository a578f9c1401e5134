"""Data frames of Spark with predictions: what is checked and sent before anything runs; classic and Connect.

The model travels once per session, as its zip: in a broadcast, or with Spark Connect as a file that Spark
brings to its workers. No file system is shared.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orrery.errors import SchemaError, SettingsError, listing
from orrery.estimators.spark_worker import (
    Answer,
    Shipped,
    Whose,
    answer_frames,
    answer_values,
    storable_type,
    usual,
)
from orrery.extras import require

if TYPE_CHECKING:
    from orrery.estimators.model import Model


def is_frame(data: object) -> bool:
    """Whether it is a data frame of Spark's."""
    spark = sys.modules.get("pyspark.sql")  # a frame can only come from a package that is loaded
    return spark is not None and isinstance(data, spark.DataFrame)


def answer_frame(model: Model, frame: Any) -> Any:
    """The frame with predictions beside its columns, in its order. Nothing runs until it is asked for.

    Raises SchemaError, SettingsError for columns that are missing or have the names of the answers.
    """
    return map_frame(frame, model, ship(model, frame.sparkSession), usual, answer_fields(model))


def answer_fields(model: Model) -> list[Any]:
    """The fields that predictions add, as Spark's."""
    return spark_fields(model.signature.outputs)


def spark_fields(schema: pa.Schema) -> list[Any]:
    """Arrow's fields as Spark's."""
    types = require("pyspark.sql.types", "Answering a data frame of Spark")
    convert = require("pyspark.sql.pandas.types", "Answering a data frame of Spark").from_arrow_type
    return [types.StructField(f.name, convert(storable_type(f.type)), True) for f in schema]


def map_frame(frame: Any, model: Model, whose: Whose, answer: Answer, added: Sequence[Any]) -> Any:
    """The frame with columns that ``whose`` model adds on the workers; ``model`` says what it reads."""
    names, new = tuple(frame.columns), tuple(field.name for field in added)
    _check(model, frame, new)
    types = require("pyspark.sql.types", "Answering a data frame of Spark")
    schema = types.StructType([*frame.schema.fields, *added])
    plain = frame.toDF(*(f"c{i}" for i in range(len(names))))  # Spark takes a dot for a member
    with _quietly():
        return plain.mapInArrow(partial(answer_frames, whose, answer, names, new), schema)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Spark's remarks on pandas, which is not used here, and on type hints."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        warnings.filterwarnings("ignore", "It is preferred to specify type hints", UserWarning)
        yield


def _check(model: Model, frame: Any, added: Sequence[str]) -> None:
    names = list(frame.columns)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SchemaError(f"Two columns have the same name: {listing(twice)}.", hint="Rename one of them.")
    strict = str(frame.sparkSession.conf.get("spark.sql.caseSensitive")).lower() == "true"
    spelt = names if strict else [name.casefold() for name in names]
    clash = [name for name in added if (name if strict else name.casefold()) in spelt]
    if clash:
        raise SettingsError(
            f"The rows already have {listing(clash)}, which the predictions would be called.",
            hint="Rename or leave out these columns first.",
        )
    model.signature.check([name for name in names if name not in model.signature.outputs.names])
    if model.signature.lacks_windows(names):
        raise SchemaError(
            "The model reads windows, what happened before each event, and the frame does not have them.",
            hint="Compute them first: model.predict(ory.read(frame)).",
        )


# --- the model on its way


_ZIPPED: weakref.WeakKeyDictionary[Model, bytes] = weakref.WeakKeyDictionary()
_SENT: weakref.WeakKeyDictionary[Any, dict[str, Shipped]] = weakref.WeakKeyDictionary()


def ship(model: Model, session: Any) -> Shipped:
    """The model as it travels with plans of a session; sent once."""
    content = _ZIPPED.get(model)
    if content is None:
        content = _ZIPPED[model] = zipped(model)
    key = hashlib.sha256(content).hexdigest()
    sent = _SENT.setdefault(session, {})
    if key not in sent:
        sent[key] = Shipped(key, type(model), _send(content, key, session))
    return sent[key]


def zipped(model: Model) -> bytes:
    """The bytes of the zip that ``save`` writes; equal for equal models."""
    with tempfile.TemporaryDirectory(prefix="orrery-model-") as folder:
        return model.save(Path(folder) / "model.zip").read_bytes()


def _send(content: bytes, key: str, session: Any) -> Any:
    if "connect" not in type(session).__module__:
        return session.sparkContext.broadcast(content)
    with tempfile.TemporaryDirectory(prefix="orrery-model-") as folder:
        file = Path(folder) / f"orrery-{key[:32]}.zip"
        file.write_bytes(content)
        session.addArtifact(str(file), file=True)
        return file.name


# --- as a function of SQL


def register(model: Model, session: Any, name: str = "predict") -> Any:
    """Make a model a function of SQL in a Spark session; returned as a function of columns.

    ``select *, predict(struct(*)) as answer from visits``: the struct's members are the model's columns, by
    name. Or ``predict(size => area, kind => type)``. Gives a struct of what ``predict`` adds.
    """
    functions = require("pyspark.sql.functions", "An SQL function on Spark")
    if not hasattr(functions, "arrow_udf"):
        raise SettingsError(
            "SQL functions that take Arrow need Spark 4.1 or newer.", hint="Use model.transform(frame)."
        )
    if not name.isidentifier():
        raise SettingsError(f"{name!r} cannot be the name of a function.", hint="For example 'predict'.")
    types = require("pyspark.sql.types", "An SQL function on Spark")
    kind = require("pyspark.util", "An SQL function on Spark").PythonEvalType.SQL_SCALAR_ARROW_UDF
    added = answer_fields(model)
    function = partial(answer_values, ship(model, session), usual, tuple(field.name for field in added))
    with _quietly():
        made = functions.arrow_udf(function, types.StructType(added), kind)
    return session.udf.register(name, made)
