"""Delta tables: versions, times, files that are skipped, rows that were deleted, columns that were added."""

from __future__ import annotations

import datetime as dt
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from orrery.data.sources.delta import Delta
from orrery.data.table import Table, read
from orrery.errors import SettingsError, SourceError

A = pa.array([1, 2, 3], pa.int64())
FIRST = pa.table({"a": A, "city": ["Oslo", "New York", None], "x": [1.5, None, 2.5]})


@pytest.fixture
def sales() -> str:
    """Version 0: three rows in folders by city; 1: one more, with a column of its own; 2: one row less."""
    write_deltalake("sales", FIRST, partition_by=["city"])
    more = pa.table(
        {"a": pa.array([4], pa.int64()), "city": ["Bergen/ø %"], "x": [float("nan")], "new": ["n"]}
    )
    write_deltalake("sales", more, mode="append", schema_mode="merge")
    DeltaTable("sales").delete("a = 1")
    return "sales"


def rows_of(table: Table) -> dict[int, Any]:
    return {row["a"]: (row["city"], row["x"], row.get("new")) for row in table.to_rows()}


def test_every_version_is_its_own_rows(sales: str) -> None:
    first = {1: ("Oslo", 1.5, None), 2: ("New York", None, None), 3: (None, 2.5, None)}
    assert rows_of(read(sales, version=0)) == first
    assert read(sales, version=0).schema.names == ("a", "city", "x")
    now = rows_of(read(sales))
    assert set(now) == {2, 3, 4}
    assert (now[4][0], now[4][2]) == ("Bergen/ø %", "n")
    assert read(sales).count() == 3
    assert len({read(sales, version=v).fingerprint() for v in range(3)}) == 3
    assert read(sales).fingerprint() == read(sales, version=2).fingerprint()


def test_a_time_is_the_version_that_was_then(sales: str) -> None:
    written = DeltaTable(sales).history()
    for entry in written:
        time = dt.datetime.fromtimestamp(entry["timestamp"] / 1000 + 0.0005, dt.UTC)
        assert (
            read(sales, time=time.isoformat()).fingerprint()
            == read(sales, version=entry["version"]).fingerprint()
        )
    with pytest.raises(SourceError, match="no rows yet at 2001"):
        read(sales, time="2001-01-01").count()
    with pytest.raises(SettingsError, match="no time"):
        read(sales, time="yesterday").count()
    with pytest.raises(SettingsError, match="not at both"):
        read(sales, time="2030-01-01", version=1).count()
    with pytest.raises(SourceError, match="at version 9"):
        read(sales, version=9).count()


def test_the_version_is_fixed_when_it_is_first_looked_at(sales: str) -> None:
    table = read(sales)
    assert table.count() == 3
    write_deltalake(sales, FIRST, mode="overwrite", schema_mode="overwrite")
    assert table.count() == 3
    assert set(rows_of(table)) == {2, 3, 4}
    again = Table.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again.fingerprint() == table.fingerprint() != read(sales).fingerprint()


@pytest.mark.parametrize(
    ("where", "expected", "files"),
    [
        ("city = 'Oslo'", set(), 0),
        ("city = 'New York'", {2}, 1),
        ("city is null", {3}, 1),
        ("a > 3", {4}, 1),
        ("a between 2 and 3", {2, 3}, 2),
        ("a in (3, 9)", {3}, 1),
        ("x > 2", {3, 4}, 3),  # NaN is greater than every number, and in no statistics
        ("x < 2", set(), 2),
        ("new = 'n'", {4}, 3),
    ],
)
def test_files_that_cannot_match_are_not_opened(
    sales: str, where: str, expected: set[int], files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    footer = Delta._footer

    def counted(self: Delta, path: str, version: Any = None) -> Any:
        opened.append(path)
        return footer(self, path, version)

    table = read(sales).where(where)
    monkeypatch.setattr(Delta, "_footer", counted)
    assert set(rows_of(table)) == expected
    assert len(set(opened)) <= files


def test_rows_that_a_deletion_vector_took_away_are_not_read(tmp_path: Path) -> None:
    """A table as Spark writes it: the vector lies in the log itself, in the protocol's form."""
    data = pa.table({"a": pa.array(range(10), pa.int64())})
    write_deltalake("t", data, configuration={"delta.enableDeletionVectors": "true"})
    log = sorted(Path("t/_delta_log").glob("*.json"))
    actions = [json.loads(line) for line in log[0].read_text().splitlines()]
    if not any("deletionVectors" in (a.get("protocol", {}).get("readerFeatures") or []) for a in actions):
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
        features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
        actions = [{"protocol": {**protocol, **features}} if "protocol" in a else a for a in actions]
        log[0].write_text("\n".join(map(json.dumps, actions)))
    added = next(a["add"] for a in actions if "add" in a)
    vector = {"storageType": "i", "pathOrInlineDv": inline([2, 5, 9]), "sizeInBytes": 0, "cardinality": 3}
    vector["sizeInBytes"] = len(bitmap([2, 5, 9]))
    removed = {"path": added["path"], "dataChange": True, "deletionTimestamp": 1}
    lines = [{"remove": removed}, {"add": {**added, "deletionVector": vector}}]
    Path("t/_delta_log/00000000000000000001.json").write_text("\n".join(map(json.dumps, lines)))
    table = read("t")
    assert [row["a"] for row in table.to_rows()] == [0, 1, 3, 4, 6, 7, 8]
    assert table.count() == 7
    assert table.where("a >= 5").count() == 3
    part = table.source.partitions()[0]
    assert part.rows == 7
    rest = [n for b in table.source.read(part, ["a"], None, 3) for n in b.column(0).to_pylist()]
    assert rest == [4, 6, 7, 8]
    assert read("t", version=0).count() == 10


def deleted(path: str, storage: str = "p") -> None:
    """A table t of two rows, of which a vector in a file takes away the second."""
    write_deltalake("t", pa.table({"a": [1, 2]}), configuration={"delta.enableDeletionVectors": "true"})
    first = Path("t/_delta_log/00000000000000000000.json").read_text().splitlines()
    added = next(action["add"] for action in map(json.loads, first) if "add" in action)
    vector = {"storageType": storage, "pathOrInlineDv": path, "offset": 1, "cardinality": 1}
    vector["sizeInBytes"] = len(bitmap([1]))
    removed = {"path": added["path"], "dataChange": True, "deletionTimestamp": 1}
    lines = [{"remove": removed}, {"add": {**added, "deletionVector": vector}}]
    Path("t/_delta_log/00000000000000000001.json").write_text("\n".join(map(json.dumps, lines)))


def vector_file(path: str) -> Path:
    """A file of one deletion vector: its version, length, bits and checksum."""
    bits = bitmap([1])
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(b"\1" + struct.pack(">i", len(bits)) + bits + struct.pack(">I", zlib.crc32(bits)))
    return Path(path).absolute()


@pytest.mark.parametrize("path", ["/nowhere/rows.bin", "file:///nowhere/rows.bin", "s3://", "not a path"])
def test_a_deletion_vector_that_is_not_there_is_told(path: str) -> None:
    deleted(path)
    with pytest.raises(SourceError, match=r"t cannot be read"):
        read("t", outside=True).to_rows()


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_deletion_vector_outside_the_folder_is_read_only_if_asked_for(checkpoint: bool) -> None:
    deleted(f"file://{vector_file('secret/rows.bin')}")
    if checkpoint:
        DeltaTable("t").create_checkpoint()
        for commit in Path("t/_delta_log").glob("*.json"):
            commit.unlink()
    with pytest.raises(SourceError, match=r"secret/rows.bin', which is not in its folder"):
        read("t").to_rows()
    assert read("t", outside=True).to_rows() == [{"a": 1}]


def test_a_deletion_vector_inside_the_folder_is_read() -> None:
    deleted(f"file://{vector_file('t/rows.bin')}")
    assert read("t").to_rows() == [{"a": 1}]
    write_deltalake("t", pa.table({"a": [3]}), mode="append")
    assert sorted(row["a"] for row in read("t").to_rows()) == [1, 3]


@pytest.mark.parametrize("folder", ["../secret/", "%2e%2e/secret/", "link/"])
def test_a_vector_of_the_table_itself_does_not_lead_out(folder: str) -> None:
    Path("secret").mkdir()
    deleted(folder + "0" * 20, "u")
    Path("t/link").symlink_to(Path("secret").absolute())
    with pytest.raises(SourceError, match="not in its folder"):
        read("t").to_rows()


def test_a_vector_that_is_a_link_is_refused() -> None:
    deleted("0" * 20, "u")
    secret = vector_file("secret/rows.bin")
    Path("t/deletion_vector_00000000-0000-0000-0000-000000000000.bin").symlink_to(secret)
    with pytest.raises(SourceError, match="not in its folder"):
        read("t").to_rows()


def bitmap(rows: list[int]) -> bytes:
    """Row numbers as the protocol's RoaringBitmapArray: one bitmap of 32 bits with one array of 16 bits."""
    roaring = (12346).to_bytes(4, "little") + (1).to_bytes(4, "little")
    roaring += (0).to_bytes(2, "little") + (len(rows) - 1).to_bytes(2, "little") + (16).to_bytes(4, "little")
    roaring += b"".join(row.to_bytes(2, "little") for row in rows)
    array = (1681511377).to_bytes(4, "little") + (1).to_bytes(8, "little") + (0).to_bytes(4, "little")
    return array + roaring


def inline(rows: list[int]) -> str:
    """Bytes in Z85, as ZeroMQ's RFC 32 says; of a length divisible by four."""
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    data = bitmap(rows)
    data += b"\0" * (-len(data) % 4)
    text = ""
    for i in range(0, len(data), 4):
        number, found = int.from_bytes(data[i : i + 4], "big"), ""
        for _ in range(5):
            number, rest = divmod(number, 85)
            found = letters[rest] + found
        text += found
    return text


def test_what_would_be_read_wrongly_is_refused(sales: str) -> None:
    log = Path(sales, "_delta_log/00000000000000000000.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "metaData" in line:
            line["metaData"]["configuration"] = {"delta.columnMapping.mode": "name"}
    log.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(SourceError, match="maps its columns by name"):
        read(sales, version=0).count()


def test_a_file_that_is_gone_is_named(sales: str) -> None:
    path = next(Path(sales).rglob("*York/*.parquet"), None) or next(Path(sales).glob("city=New*/*.parquet"))
    path.unlink()
    with pytest.raises(SourceError, match=r"New.*\.parquet"):
        read(sales).to_rows()


def test_a_folder_without_a_log_is_no_delta_table() -> None:
    Path("x/_delta_log").mkdir(parents=True)
    with pytest.raises(SourceError, match="cannot be read as a Delta table"):
        read("x").count()


@pytest.mark.parametrize(
    "named",
    [
        "../secret.parquet",
        "%2e%2e/secret.parquet",
        "..%2Fsecret.parquet",
        "_delta_log/../../secret.parquet",
        "{}",
        "file://{}",
    ],
)
def test_files_outside_the_folder_are_read_only_if_asked_for(named: str) -> None:
    secret = Path("secret.parquet").absolute()
    pq.write_table(pa.table({"x": ["secret"]}), secret)
    write_deltalake("lake", pa.table({"x": ["a"]}))
    log = Path("lake/_delta_log/00000000000000000000.json")
    said = [json.loads(line) for line in log.read_text().splitlines()]
    for one in said:
        if "add" in one:
            one["add"] |= {"path": named.format(secret), "size": secret.stat().st_size}
            del one["add"]["stats"]
    log.write_text("\n".join(json.dumps(one) for one in said))
    with pytest.raises(SourceError, match="not in its folder"):
        read("lake").to_rows()
    assert read("lake", outside=True).to_rows() == [{"x": "secret"}]


def test_a_link_that_leads_out_of_the_folder_is_refused() -> None:
    write_deltalake("lake", pa.table({"x": ["a"]}))
    file = next(Path("lake").glob("*.parquet"))
    file.rename("secret.parquet")
    file.symlink_to(Path("secret.parquet").absolute())
    with pytest.raises(SourceError, match="not in its folder"):
        read("lake").to_rows()
