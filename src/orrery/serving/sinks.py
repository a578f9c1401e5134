"""Where recorded answers go: Parquet in the home, a table of a database, or a topic of Kafka."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from orrery import settings
from orrery.data import remote
from orrery.data.sources.kafka_address import Address, parse
from orrery.errors import ServingError, SettingsError
from orrery.extras import require
from orrery.serving.parquet import delete_oldest, write_aside

TABLE = "orrery_predictions"
"""Of a database: made where it is not there."""
_SEND_S = 30.0
_PURPOSE = "Recording predictions"


class Sink(Protocol):
    """Takes tables of answers, of one version each, in the layout that ``record`` describes."""

    def write(self, table: pa.Table, name: str, version: int, shadow: bool) -> int:
        """Keep all of a table or raise. Returns how many old files went for it."""

    def close(self) -> None:
        """End."""


class ParquetSink:
    """A file per table under ``home``, the oldest of a name deleted beyond ``most_bytes``."""

    def __init__(self, home: Path | None, most_bytes: int) -> None:
        self.home = home
        self.most_bytes = most_bytes

    def write(self, table: pa.Table, name: str, version: int, shadow: bool) -> int:
        """Keep a table."""
        folder = (self.home or settings.home()) / "feedback" / name / ("shadows" if shadow else "predictions")
        write_aside(table, folder / str(version))
        return delete_oldest(folder, self.most_bytes)

    def close(self) -> None:
        """Nothing is open."""


class SqlSink:
    """Rows of a table ``orrery_predictions`` behind any URL of SQLAlchemy; inputs and outputs are JSON.

    A table of answers is one transaction.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Any = None
        self._table: Any = None

    def write(self, table: pa.Table, name: str, version: int, shadow: bool) -> int:
        """Keep a table."""
        if self._engine is None:
            self._open()
        with self._engine.begin() as connection:
            connection.execute(self._table.insert(), list(rows_of(table, shadow)))
        return 0

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _open(self) -> None:
        sql = require("sqlalchemy", _PURPOSE)
        engine = sql.create_engine(self._url, hide_parameters=True, pool_size=1, pool_pre_ping=True)
        text = sql.Text
        columns = [sql.Column("id", sql.String(255), index=True), sql.Column("time", sql.String(40))]
        columns += [sql.Column("name", sql.String(255)), sql.Column("version", sql.Integer)]
        columns += [sql.Column("shadow", sql.Boolean), *(sql.Column(n, text) for n in ("inputs", "output"))]
        self._table = sql.Table(TABLE, sql.MetaData(), *columns, sql.Column("unfit", text))
        try:
            self._table.create(engine, checkfirst=True)
        except Exception:
            engine.dispose()
            raise
        self._engine = engine


class KafkaSink:
    """Messages of a topic, keyed by the answer's id: the same JSON objects as the rows in a database.

    Producing is idempotent; what was not acknowledged in 30 s counts as lost.
    """

    def __init__(self, url: str) -> None:
        self.address = parse(url)
        self._producer: Any = None

    def write(self, table: pa.Table, name: str, version: int, shadow: bool) -> int:
        """Keep a table."""
        kafka = require("confluent_kafka", _PURPOSE)
        if self._producer is None:
            self._producer = kafka.Producer(
                {**_producing(self.address), "enable.idempotence": True, "delivery.timeout.ms": 30_000}
            )
        failed: list[str] = []

        def told(error: Any, message: Any) -> None:
            if error is not None:
                failed.append(error.name())

        for row in rows_of(table, shadow):
            self._produce(row["id"], json.dumps(row, ensure_ascii=False).encode(), told)
        left = self._producer.flush(_SEND_S + 5)
        if left or failed:
            why = failed[0] if failed else "no answer"
            raise ServingError(f"{left + len(failed)} messages were not acknowledged: {why}.")
        return 0

    def close(self) -> None:
        """All was flushed."""
        self._producer = None

    def _produce(self, key: str, value: bytes, told: Any) -> None:
        while True:
            try:
                self._producer.produce(self.address.topic, value, key=key, on_delivery=told)
            except BufferError:  # its queue is full
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return


def sink_of(url: str, home: Path | None, most_bytes: int) -> Sink:
    """The sink for a URL, or for the name of a connection; none for Parquet in the home.

    Raises SettingsError, MissingExtraError.

    >>> sink_of("kafka://host:9092/answers", None, 1).address.topic
    'answers'
    """
    if not url:
        return ParquetSink(home, most_bytes)
    if url.startswith("kafka://"):
        return KafkaSink(url)
    sqlalchemy = require("sqlalchemy", _PURPOSE)
    if "://" not in url:
        url = remote.connection(url, "postgresql+psycopg://user:password@host/database")
    try:
        sqlalchemy.engine.make_url(url).get_dialect()
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise SettingsError(
            "The place for the record is neither a URL of SQLAlchemy nor kafka://host:port/topic.",
            hint="It is not shown, as it may hold a password.",
        ) from None
    return SqlSink(url)


def _producing(address: Address) -> dict[str, Any]:
    """The settings of a producer: those of a client, but for what only a consumer has."""
    return {key: value for key, value in address.client().items() if key != "isolation.level"}


def rows_of(table: pa.Table, shadow: bool) -> Iterator[dict[str, Any]]:
    """The rows of a table of answers, with inputs and output as JSON."""
    for row in table.to_pylist():
        yield {
            "id": row["id"],
            "time": row["time"].isoformat(),
            "name": row["name"],
            "version": row["version"],
            "shadow": shadow,
            "inputs": json.dumps(row["inputs"], ensure_ascii=False, default=_plain),
            "output": json.dumps(row["output"], ensure_ascii=False, default=_plain),
            "unfit": row["unfit"],
        }


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value.isoformat() if hasattr(value, "isoformat") else value)
