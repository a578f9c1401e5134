"""Data frames and tables of Spark: columns, conditions and queries become Spark plans; rows come as Arrow.

Spark turns rows into Arrow on its workers, and they come over one partition of Spark's at a time; with
classic Spark and with Spark Connect. Without ``order by`` Spark may give rows in any order.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pyarrow as pa
from sqlglot import exp

from orrery.aggregate import RecordBatch
from orrery.data import conditions, sql
from orrery.data.rows import needed
from orrery.data.source import Partition
from orrery.data.sources.memory import unaddressed
from orrery.data.sources.plain import PlainSource, bare
from orrery.errors import SourceError
from orrery.extras import require
from orrery.schema import Schema
from orrery.spec import stable_key

_GUESS = 1 << 62
"""Spark says more bytes than this where it knows nothing."""


class Spark(PlainSource):
    """A data frame, or a table or query of Spark: ``spark://sales.orders``, ``spark://`` with ``query=``."""

    dialect = "spark"

    def __init__(self, place: Any, query: str | None = None) -> None:
        super().__init__(place)
        self.query = query

    @cached_property
    def frame(self) -> Any:
        """The data frame that is read."""
        if not isinstance(self.place, str):
            return _with_lists(self.place)
        with _speaking(repr(self)):
            session = _session()
            name = self.place.partition("://")[2]
            return _with_lists(session.sql(self.query) if self.query is not None else session.table(name))

    @property
    def database(self) -> Any:
        """The session: tables of one session can be joined there."""
        return self.frame.sparkSession

    @cached_property
    def _arrow(self) -> Any:
        with _speaking(repr(self)):
            found = self.frame.limit(0).toArrow().schema
        return Schema.of(pa.schema([_utc(field) for field in found])).arrow()

    def schema(self) -> Schema:
        """The columns; times with a zone in UTC."""
        return Schema.of(self._arrow)

    def partitions(self) -> Sequence[Partition]:
        """One part: all rows."""
        return [Partition(0, size_bytes=_size(self.frame))]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows as they come over; what Spark can filter, it filters."""
        plain = Spark(self._narrowed(columns, where))
        plain.__dict__["_arrow"] = pa.schema([self._arrow.field(n) for n in self._needed(columns, where)])
        for batch in PlainSource.read(plain, partition, columns, where, start):
            self.bytes_read += batch.nbytes
            yield batch

    def _needed(self, columns: Sequence[str] | None, where: str | None) -> list[str]:
        return needed(self._arrow.names, columns, where)

    def _narrowed(self, columns: Sequence[str] | None, where: str | None) -> Any:
        """The frame of some columns and rows; nothing runs for it."""
        frame = self.frame.where(pushed) if (pushed := self.pushed(where)) else self.frame
        names = self._needed(columns, where)
        return frame if names == list(self._arrow.names) else frame.select(*map(_quoted, names))

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """Record batches, made on the workers."""
        with _speaking(repr(self)):
            if not columns:
                yield bare(self.frame.count())
                return
            names = self._arrow.names
            for row in _shipped(self.frame).toLocalIterator():
                for batch in pa.ipc.open_stream(row[0]):
                    yield pa.RecordBatch.from_arrays(batch.columns, names=names)

    def pushed(self, where: str | None) -> str:
        """The parts of a condition that mean the same to Spark."""
        if where is None:
            return ""
        parts = conditions.parse(where, tuple(self._arrow.names)).parts()
        return " and ".join(f"({part.sql('spark')})" for part in parts if part.is_plain(self._sorts))

    @cached_property
    def _sorts(self) -> dict[str, str]:
        return {field.name: _sort(field.type) for field in self._arrow}

    def count(self, where: str | None) -> int | None:
        """Rows, counted by Spark; None where it cannot apply the whole condition."""
        names = tuple(self._arrow.names)
        if where is not None and not conditions.parse(where, names).is_plain(self._sorts):
            return None
        with _speaking(repr(self)):
            return int(self._narrowed(None, where).count())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, the frame's rows are computed once, and kept on the executors, perhaps on disk."""
        with _speaking(repr(self)):
            own = not self.frame.storageLevel.useDisk and not self.frame.storageLevel.useMemory
            if own:
                self.frame.persist()
        try:
            yield
        finally:
            if own:
                self.frame.unpersist()

    def bytes_to_read(self, columns: Sequence[str] | None, where: str | None) -> int | None:
        """What Spark's optimizer expects."""
        return _size(self._narrowed(columns, where))

    def ask(self, query: str, columns: tuple[str, ...], where: str | None) -> Spark | None:
        """The same session, answering a query on ``this``; None where only Orrery can tell its rows."""
        if where is not None and not conditions.parse(where, tuple(self._arrow.names)).is_plain(self._sorts):
            return None
        this = self._narrowed(columns, where).select(*map(_quoted, columns))
        others = query.tables if isinstance(query, sql.Query) else {}
        frames = {sql.THIS: this, **{name.casefold(): frame for name, frame in others.items()}}
        text = _with_frames(query, frames)
        with _speaking(repr(self)):
            asked = Spark(self.database.sql(text, **{f"orrery_{n}": frame for n, frame in frames.items()}))
        asked.query = str(query)
        return asked

    def fingerprint(self) -> str:
        """A hash of the rows, whatever their order; computed by Spark."""
        hashed = ", ".join(_hashable(field) for field in self.frame.schema.fields) or "1"
        with _speaking(repr(self)):
            total = f"sum(cast(xxhash64({hashed}) as decimal(38, 0)))"
            found = self.frame.selectExpr("count(*)", total).collect()[0]
        return stable_key([(f.name, f.type) for f in self.schema().fields], [str(value) for value in found])

    def to_dict(self) -> dict[str, Any]:
        """The table or the query; a data frame has no address."""
        if not isinstance(self.place, str):
            raise unaddressed()
        return {"place": self.place, **({"query": self.query} if self.query is not None else {})}

    def __repr__(self) -> str:
        return self.place if isinstance(self.place, str) else "DataFrame of Spark, in memory"


def folder_of(source: Spark) -> str | None:
    """The place whose files the frame is, and nothing else; None where it is more, or nobody can tell."""
    plan = getattr(source.frame, "_jdf", None)
    if plan is None:
        return None
    read = plan.queryExecution().analyzed()
    while read.getClass().getSimpleName() == "SubqueryAlias":  # a name that was given to it
        read = read.children().head()
    if read.getClass().getSimpleName() != "LogicalRelation":
        return None
    roots = read.relation().location().rootPaths()
    address = str(roots.head().toUri().toString()) if roots.size() == 1 else ""
    return address.removeprefix("file://") or None


def _session() -> Any:
    """The session that is there, or a new one as the environment says. Raises SourceError without Java."""
    found = require("pyspark.sql", "Reading spark://").SparkSession
    active = found.getActiveSession()
    java = shutil.which("java") or os.environ.get("JAVA_HOME") or os.environ.get("SPARK_REMOTE")
    if active is None and not java:
        raise SourceError("Spark needs Java, which is not here.", hint="Install a JDK 17, or set JAVA_HOME.")
    if active is not None:
        return active
    if not (os.environ.get("SPARK_REMOTE") or os.environ.get("SPARK_MASTER")):  # on this machine
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return found.builder.getOrCreate()


@contextmanager
def _speaking(place: str) -> Iterator[None]:
    """What Spark says becomes SourceError; its remark on pandas, which is not used here, is dropped."""
    errors = require("pyspark.errors", "Reading Spark").PySparkException
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
            yield
    except errors as error:
        raise SourceError(f"{place}: {sql.first_line(error)}") from None
    except Exception as error:
        if type(error).__name__ != "Py4JJavaError":  # what comes out of the JVM as it is
            raise
        lines = str(error).splitlines()
        causes = [line for line in lines if line.startswith("Caused by: ")] or lines[1:2]
        raise SourceError(f"{place}: {causes[-1] if causes else lines[0]}") from None


def _shipped(frame: Any) -> Any:
    """The frame's rows, each of Spark's batches as the bytes of an Arrow stream."""

    def ship(batches: Any) -> Any:  # runs on the workers, which need pyarrow, and not Orrery
        import pyarrow

        for batch in batches:
            out = pyarrow.BufferOutputStream()
            with pyarrow.ipc.new_stream(out, batch.schema) as stream:
                stream.write_batch(batch)
            yield pyarrow.record_batch({"batch": pyarrow.array([out.getvalue().to_pybytes()])})

    plain = frame.toDF(*(f"c{i}" for i in range(len(frame.columns))))  # Spark takes a dot for a member
    return plain.mapInArrow(ship, "batch binary")


def _with_lists(frame: Any) -> Any:
    """The frame with Spark ML's vectors, dense and sparse, as lists of numbers."""
    vectors = {field.name for field in frame.schema.fields if field.dataType.simpleString() == "vector"}
    if not vectors:
        return frame
    listed = require("pyspark.ml.functions", "Reading vectors of Spark ML").vector_to_array
    columns = [(name, frame[_quoted(name)]) for name in frame.columns]
    return frame.select(*(listed(col).alias(name) if name in vectors else col for name, col in columns))


def _with_frames(query: str, frames: dict[str, Any]) -> str:
    """The query with a place for each frame, as ``session.sql`` fills it."""
    tree = sql.check_query(query, "spark")
    sql.check_tables(tree, query, frames)
    own = {cte.alias_or_name.casefold() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        name = table.name.casefold()
        if name in frames and name not in own:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias_or_name)))
            table.set("this", exp.to_identifier(f"orrery_{name}"))
    text = str(tree.sql(dialect="spark")).replace("{", "{{").replace("}", "}}")
    for token in sorted(frames, key=len, reverse=True):
        text = text.replace(f"orrery_{token} AS ", f"{{orrery_{token}}} AS ")
    return text


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _hashable(field: Any) -> str:
    name = _quoted(field.name)
    return f"to_json(struct({name}))" if "map<" in field.dataType.simpleString() else name


def _utc(field: Any) -> Any:
    if pa.types.is_timestamp(field.type) and field.type.tz:
        return field.with_type(pa.timestamp(field.type.unit, "UTC"))
    return field


def _sort(kind: Any) -> str:
    """What values can be compared with in Spark's words and ours alike."""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    return "text" if pa.types.is_string(kind) else "date" if pa.types.is_date(kind) else ""


def _size(frame: Any) -> int | None:
    """The bytes that Spark's optimizer expects; None where it does not know, and with Spark Connect."""
    plan = getattr(frame, "_jdf", None)
    if plan is None:
        return None
    size = int(str(plan.queryExecution().optimizedPlan().stats().sizeInBytes()))
    return size if size < _GUESS else None
