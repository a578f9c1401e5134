"""Iceberg tables: snapshots, times, catalogs, files that are skipped, columns that change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import LongType

from orrery.data.table import Table, read
from orrery.errors import SettingsError, SourceError

A = pa.array([1, 2, 3], pa.int64())
FIRST = pa.table({"a": A, "s": ["x", "y", None], "f": [1.0, float("nan"), None]})
SECOND = pa.table({"a": pa.array([4], pa.int64()), "s": ["z"], "f": [0.5]})


@pytest.fixture
def table() -> Iterator[Any]:
    """Snapshots: three rows; one more; row 2 deleted. Then a column is added and another renamed."""
    home = Path("lake").absolute()
    home.mkdir()
    catalog = SqlCatalog("local", uri=f"sqlite:///{home}/catalog.db", warehouse=f"file://{home}")
    catalog.create_namespace("shop")
    made = catalog.create_table("shop.sales", schema=FIRST.schema)
    made.append(FIRST)
    made.append(SECOND)
    made.delete("a == 2")
    with made.update_schema() as change:
        change.add_column("new", LongType())
        change.rename_column("s", "word")
    yield made
    catalog.engine.dispose()


def rows_of(table: Table) -> dict[int, Any]:
    return {row["a"]: row.get("word", row.get("s")) for row in table.to_rows()}


def test_every_snapshot_is_its_own_rows(table: Any) -> None:
    folder = "lake/shop/sales"
    first, second, *_ = [s.snapshot_id for s in table.metadata.snapshots]
    assert rows_of(read(folder, snapshot=first)) == {1: "x", 2: "y", 3: None}
    assert rows_of(read(folder, snapshot=second)) == {1: "x", 2: "y", 3: None, 4: "z"}
    now = read(folder)
    assert now.schema.names == ("a", "word", "f", "new")
    assert rows_of(now) == {1: "x", 3: None, 4: "z"}
    assert now.count() == 3
    assert read(table.metadata_location).fingerprint() == now.fingerprint()
    assert read(folder, snapshot=first).fingerprint() != now.fingerprint()
    assert Table.from_dict(json.loads(json.dumps(now.to_dict()))).to_rows() == now.to_rows()


def test_a_time_is_the_snapshot_that_was_then(table: Any) -> None:
    import datetime as dt

    for snapshot in table.metadata.snapshots[:2]:
        time = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC).isoformat()
        found = read("lake/shop/sales", time=time).to_dict()["snapshot"]
        assert table.metadata.snapshot_by_id(found).timestamp_ms <= snapshot.timestamp_ms
    with pytest.raises(SourceError, match="no rows yet"):
        read("lake/shop/sales", time="2001-01-01").count()
    with pytest.raises(SourceError, match="no snapshot 7"):
        read("lake/shop/sales", snapshot=7).count()


def test_a_catalog_by_a_named_connection(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path("lake").absolute()
    address = f"sqlite:///{home}/catalog.db?warehouse=file://{home}&name=local&token=secret"
    monkeypatch.setenv("ORRERY_CONNECTION__CATALOG", address)
    found = read("iceberg://shop.sales", connection="catalog")
    assert found.count() == 3
    assert "secret" not in json.dumps(found.to_dict()) + repr(found)
    with pytest.raises(SourceError, match=r"iceberg://shop\.none"):
        read("iceberg://shop.none", connection="catalog").count()
    with pytest.raises(SettingsError, match="needs a catalog"):
        read("iceberg://shop.sales").count()


@pytest.mark.parametrize(
    ("where", "expected", "files"),
    [
        ("a > 3", {4}, 1),
        ("word = 'z'", {4}, 2),
        ("word is null", {3}, 1),
        ("a between 1 and 3", {1, 3}, 1),
        ("a > 100", set(), 0),
    ],
)
def test_files_that_cannot_match_are_not_opened(
    table: Any, where: str, expected: set[int], files: int
) -> None:
    found = read("lake/shop/sales").where(where)
    assert set(rows_of(found)) == expected
    assert len(found.source._passed(f"({found._pipeline.where})")) <= files  # type: ignore[attr-defined]


def test_not_a_number_is_greater_than_all(table: Any) -> None:
    first = table.metadata.snapshots[0].snapshot_id
    assert [row["a"] for row in read("lake/shop/sales", snapshot=first).where("f > 1").to_rows()] == [2]


def test_a_data_file_that_is_gone_is_told(table: Any) -> None:
    next(Path("lake/shop/sales/data").glob("*.parquet")).unlink()
    for path in Path("lake/shop/sales/data").glob("*.parquet"):
        path.unlink()
    with pytest.raises(SourceError, match="lake/shop/sales cannot be read"):
        read("lake/shop/sales").to_rows()


def test_a_broken_metadata_file_is_told() -> None:
    Path("x.metadata.json").write_text("{}")
    with pytest.raises(SourceError, match=r"x\.metadata\.json"):
        read("x.metadata.json").count()
    with pytest.raises(SourceError, match=r"none\.metadata\.json"):
        read("none.metadata.json").count()


HARM = {name: f"{__name__}.Harm" for name in ("py-io-impl", "write.py-location-provider.impl", "s3.endpoint")}


class Harm:
    """What a stranger's metadata would have made."""

    made: int = 0

    def __init__(self, *_: Any) -> None:
        Harm.made += 1


def test_metadata_chooses_no_code(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(table.metadata_location.removeprefix("file://"))
    said = json.loads(file.read_text())
    said["properties"] |= HARM
    file.write_text(json.dumps(said))
    home = Path("lake").absolute()
    address = f"sqlite:///{home}/catalog.db?warehouse=file://{home}&name=local"
    monkeypatch.setenv("ORRERY_CONNECTION__CATALOG", address)
    for found in (read("lake/shop/sales"), read("iceberg://shop.sales", connection="catalog")):
        assert rows_of(found) == {1: "x", 3: None, 4: "z"}
        opened = found.source._table  # type: ignore[attr-defined]
        assert not set(HARM) & (set(opened.io.properties) | set(opened.metadata.properties))
    assert Harm.made == 0


@contextmanager
def rest_catalog(table: Any, config: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """A catalog of one table that speaks the REST protocol of Iceberg; its address, and what it was asked."""
    metadata = json.loads(Path(table.metadata_location.removeprefix("file://")).read_text())
    said = {"metadata-location": table.metadata_location, "metadata": metadata, "config": config}
    answers = {"/v1/config": {"defaults": config, "overrides": {}}, "/v1/namespaces/shop/tables/sales": said}
    asked: list[str] = []

    class Catalog(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(f"{path} {self.headers.get('Authorization', '')}")
            gone = {"error": {"message": "no such table", "type": "NoSuchTableException", "code": 404}}
            body = json.dumps(answers.get(path, gone)).encode()
            self.send_response(200 if path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Catalog) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_rest_catalog_tells_the_table_and_chooses_no_code(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rest_catalog(table, HARM) as (url, asked):
        monkeypatch.setenv("ORRERY_CONNECTION__CATALOG", f"{url}?token=secret-7")
        found = read("iceberg://shop.sales", connection="catalog")
        assert rows_of(found) == {1: "x", 3: None, 4: "z"}
        kept = json.dumps(found.to_dict())
        assert "secret-7" not in kept
        assert Table.from_dict(json.loads(kept)).count() == 3
        assert "/v1/namespaces/shop/tables/sales Bearer secret-7" in asked
        with pytest.raises(SourceError, match="no such table") as told:
            read("iceberg://shop.none", connection="catalog").count()
        assert "secret-7" not in str(told.value)
    assert Harm.made == 0


def test_files_outside_the_folder_are_read_only_if_asked_for(table: Any) -> None:
    outside = Path("lake/elsewhere.parquet").absolute()
    pq.write_table(table.scan().to_arrow(), outside)
    table.add_files([f"file://{outside}"])
    with pytest.raises(SourceError, match="not in its folder"):
        read("lake/shop/sales").to_rows()
    assert len(read("lake/shop/sales", outside=True).to_rows()) == 6
    newest = Path(table.metadata_location.removeprefix("file://"))
    for place in ("http://127.0.0.1:1/x.avro", "/etc/passwd", "memory://x", f"{newest.parent}/../../x.avro"):
        said = json.loads(newest.read_text())
        for one in said["snapshots"]:
            one["manifest-list"] = place
        newest.write_text(json.dumps(said))
        with pytest.raises(SourceError, match="not in its folder"):
            read("lake/shop/sales").to_rows()
