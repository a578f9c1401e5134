"""Iceberg's delete files, which only other writers make: written here by hand, as the specification says.

Source: the Iceberg table specification (iceberg.apache.org/spec), "Manifests" and "Delete Formats".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.typedef import Record

from orrery.data.table import read
from orrery.errors import SourceError

PLACE = "lake/shop/sales"


class DeletesWriter(ManifestWriterV2):
    """A manifest of deletes, which pyiceberg itself does not write."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


@pytest.fixture
def table() -> Iterator[Any]:
    """Two data files: 0 to 9,999, then 10,000 to 10,009."""
    home = Path("lake").absolute()
    home.mkdir()
    catalog = SqlCatalog("local", uri=f"sqlite:///{home}/catalog.db", warehouse=f"file://{home}")
    catalog.create_namespace("shop")
    first = pa.table({"a": pa.array(range(10_000), pa.int64())})
    made = catalog.create_table("shop.sales", schema=first.schema)
    made.append(first)
    made.append(pa.table({"a": pa.array(range(10_000, 10_010), pa.int64())}))
    yield made
    catalog.engine.dispose()


def data_files(table: Any) -> list[str]:
    """The addresses of both, the longer one first."""
    tasks = sorted(table.scan().plan_files(), key=lambda task: -int(task.file.record_count))
    return [str(task.file.file_path) for task in tasks]


def delete(table: Any, content: DataFileContent, deletes: pa.Table, number: int = 9) -> None:
    """A snapshot more, whose only change is one delete file."""
    metadata, snapshot = table.metadata, table.current_snapshot()
    root = metadata.location
    path = f"{root}/data/deletes-{number}.parquet"
    pq.write_table(deletes, path.removeprefix("file://"))
    file = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=deletes.num_rows,
        file_size_in_bytes=Path(path.removeprefix("file://")).stat().st_size,
        equality_ids=[1] if content == DataFileContent.EQUALITY_DELETES else None,
    )
    file.spec_id = 0
    out = table.io.new_output(f"{root}/metadata/deletes-{number}.avro")
    with DeletesWriter(metadata.spec(), metadata.schema(), out, number, "deflate") as writer:
        entry = ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED, snapshot_id=number, sequence_number=None, data_file=file
        )
        writer.add_entry(entry)
    listed = f"{root}/metadata/snap-{number}.avro"
    order = metadata.last_sequence_number + 1
    out = table.io.new_output(listed)
    with write_manifest_list(2, out, number, snapshot.snapshot_id, order, "deflate") as manifests:
        manifests.add_manifests([*snapshot.manifests(table.io), writer.to_manifest_file()])
    newest = Path(table.metadata_location.removeprefix("file://"))
    said = json.loads(newest.read_text())
    time = said["last-updated-ms"] + 1
    said["snapshots"].append({
        "snapshot-id": number, "parent-snapshot-id": snapshot.snapshot_id, "sequence-number": order,
        "timestamp-ms": time, "manifest-list": listed, "summary": {"operation": "delete"}, "schema-id": 0,
    })  # fmt: skip
    said |= {"current-snapshot-id": number, "last-sequence-number": order, "last-updated-ms": time}
    said["refs"]["main"]["snapshot-id"] = number
    (newest.parent / "00099-hand.metadata.json").write_text(json.dumps(said))


def positions(*rows: tuple[str, int]) -> pa.Table:
    """The rows of a file of positional deletes, sorted as the specification wants them."""
    kinds = pa.schema([pa.field("file_path", pa.string(), False), pa.field("pos", pa.int64(), False)])
    return pa.Table.from_pylist([{"file_path": p, "pos": n} for p, n in sorted(rows)], kinds)


def test_rows_that_positional_deletes_took_away_are_not_read(table: Any) -> None:
    long, short = data_files(table)
    gone = {0, 1, 4_999, 9_999}
    rows = [*((long, n) for n in gone), (short, 3), (f"{long}.other", 7)]
    delete(table, DataFileContent.POSITION_DELETES, positions(*rows))
    found = read(PLACE)
    expected = [n for n in range(10_010) if n not in gone | {10_003}]
    assert sorted(row["a"] for row in found.to_rows()) == expected
    assert found.count() == len(expected)
    assert found.where("a >= 9998").count() == 10
    assert read(PLACE, snapshot=table.current_snapshot().snapshot_id).count() == 10_010
    part = next(p for p in found.source.partitions() if p.where["path"] == long)
    assert part.rows is None
    rest = [n for b in found.source.read(part, ["a"], None, 4_000) for n in b.column(0).to_pylist()]
    assert rest == sorted(set(range(10_000)) - gone)[4_000:]


@pytest.mark.parametrize("rows", [0, 1])
def test_deletes_of_other_files_take_nothing_away(table: Any, rows: int) -> None:
    delete(table, DataFileContent.POSITION_DELETES, positions(*[("file:///elsewhere.parquet", 0)] * rows))
    assert read(PLACE).count() == len(read(PLACE).to_rows()) == 10_010


def test_equality_deletes_are_refused(table: Any) -> None:
    delete(table, DataFileContent.EQUALITY_DELETES, pa.table({"a": pa.array([3], pa.int64())}))
    for ask in (lambda t: t.count(), lambda t: t.to_rows(), lambda t: t.where("a = 3").to_rows()):
        with pytest.raises(SourceError, match=r"lake/shop/sales .*equality deletes"):
            ask(read(PLACE))
    assert read(PLACE, snapshot=table.current_snapshot().snapshot_id).count() == 10_010


def test_a_delete_file_that_is_gone_is_told(table: Any) -> None:
    delete(table, DataFileContent.POSITION_DELETES, positions((data_files(table)[0], 0)))
    Path(PLACE, "data/deletes-9.parquet").unlink()
    with pytest.raises(SourceError, match="lake/shop/sales cannot be read"):
        read(PLACE).to_rows()
