"""Files and places that are hard to read: the right rows, or a clear error that names the place."""

from __future__ import annotations

import io
import lzma
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.servers.s3 import S3
from tests.servers.web import Web, web

from orrery.data import braces, packed
from orrery.data.table import read
from orrery.errors import OrreryError, SchemaError, SettingsError, SourceError

PACKINGS = ["gz", "bz2", "xz", "zst", "lz4"]
TEXT = {"csv": "a,b\n" + "".join(f"{i},x{i}\n" for i in range(5000)), "txt": "one\ntwo\n"}
TEXT["jsonl"] = "".join(f'{{"a": {i}, "b": "x{i}"}}\n' for i in range(5000))


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as running:
        yield running


def pack(name: str, text: str) -> Path:
    with Path(name).open("wb") as file, packed.packing(file, name) as out:
        out.write(text.encode())
    return Path(name)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", ["csv", "jsonl", "txt"])
def test_every_compression_of_every_text(form: str, packing: str) -> None:
    path = pack(f"x.{form}.{packing}", TEXT[form])
    assert form == "txt" or path.stat().st_size < 0.9 * len(TEXT[form])
    assert read(path).count() == (2 if form == "txt" else 5000)
    whole = path.read_bytes()
    pack(f"d.{form}.{packing}", TEXT[form])
    Path(f"d.{form}.{packing}").write_bytes(whole + whole)  # two streams behind each other are one
    twice = read(f"d.{form}.{packing}", **({"on_bad": "quarantine"} if form == "csv" else {}))
    assert twice.count() == (4 if form == "txt" else 10_000)


@pytest.mark.parametrize("packing", PACKINGS)
def test_compressed_files_that_are_cut_short_or_none(packing: str) -> None:
    path = pack(f"x.csv.{packing}", TEXT["csv"])
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:-1], b"plainly not"):
        path.write_bytes(broken)
        with pytest.raises(SourceError, match=rf"x\.csv\.{packing}"):
            read(path).to_rows()


def test_no_header_of_xz_chooses_how_much_memory_is_taken() -> None:
    whole = lzma.compress(b"a\n1\n", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    data = bytearray(whole)
    data[data.index(b"\x21\x01", 12) + 2] = 40  # a dictionary of 4 GiB (xz-file-format.txt, 5.3.1)
    end = 12 + data[12] * 4
    data[end : end + 4] = struct.pack("<I", zlib.crc32(data[12:end]))
    Path("x.csv.xz").write_bytes(data)
    with pytest.raises(SourceError, match=r"x\.csv\.xz.*Memory usage limit"):
        read("x.csv.xz").to_rows()
    Path("x.csv.xz").write_bytes(whole + bytes(8) + lzma.compress(b"2\n") + bytes(4))
    assert read("x.csv.xz").to_rows() == [{"a": 1}, {"a": 2}]
    Path("x.csv.xz").write_bytes(whole + b"rows of another kind")
    with pytest.raises(SourceError, match=r"x\.csv\.xz"):
        read("x.csv.xz").to_rows()


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", ["csv", "jsonl", "txt"])
def test_a_small_file_that_unpacks_to_an_endless_line(
    form: str, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_BYTES", 4 << 20)
    begin, end = {"csv": ("a\n1\n", "\n2\n"), "jsonl": ('{"a":"', '"}\n'), "txt": ("x\n", "\ny\n")}[form]
    path = pack(f"x.{form}.{packing}", begin + "0" * (12 << 20) + end)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceError, match=rf"x\.{form}\.{packing} unpacks to a line of more than 4,194,304"):
        read(path).count() if form == "txt" else read(path).to_rows()
    monkeypatch.setattr(packed, "MOST_BYTES", 16 << 20)
    assert max(len(str(row)) for row in read(path).to_rows()) > 12 << 20


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_lines_are_watched_and_not_changed(blocks: list[bytes], most: int) -> None:
    data = b"\n".join(blocks)
    longest = max(map(len, data.split(b"\n")), default=0)
    guarded = packed.lines_within(io.BytesIO(data), most, "x")
    # Within one block that is read at once a line may be longer: it lies in memory already.
    assert longest > most or guarded.read() == data
    endless = packed.lines_within(io.BytesIO(data + b"y" * (most + (1 << 18))), most, "x")
    with pytest.raises(SourceError, match="x unpacks"):
        endless.read()


@given(st.integers(0, 120), st.integers(0, 30), st.integers(1, 5))
def test_ranges_in_braces_are_every_number(first: int, count: int, digits: int) -> None:
    pattern = f"a-{{{first:0{digits}}..{first + count:0{digits}}}}.x"
    assert braces.expanded(pattern) == [f"a-{n:0{digits}}.x" for n in range(first, first + count + 1)]


@pytest.mark.parametrize("pattern", ["{5..1}", "{0..99999999}", "{0..9999}{0..9999}"])
def test_ranges_that_are_none_or_too_long(pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"no range|more than 1,000,000"):
        braces.expanded(pattern)


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "arrow", "orc", "txt"])
def test_an_empty_file(form: str) -> None:
    Path(f"x.{form}").touch()
    if form == "txt":
        assert read("x.txt").count() == 0
        return
    with pytest.raises((SourceError, SchemaError), match=rf"x\.{form}"):
        read(f"x.{form}").count()
    Path("d").mkdir()
    read({"a": [1]}).write(f"d/1.{form}")
    Path(f"d/2.{form}").touch()
    if form == "jsonl":
        assert read("d").to_rows() == [{"a": 1}]
        return
    with pytest.raises((SourceError, SchemaError), match=rf"d/2\.{form}"):
        read("d").to_rows()


def test_an_empty_first_file_of_json_lines() -> None:
    Path("d").mkdir()
    Path("d/0.jsonl").touch()
    Path("d/1.jsonl").write_text('{"a": 1}\n')
    assert read("d").to_rows() == [{"a": 1}]


def test_a_corrupt_row_group_among_good_ones_is_named() -> None:
    pq.write_table(pa.table({"a": np.arange(30_000)}), "x.parquet", row_group_size=10_000, compression="zstd")
    chunk = pq.read_metadata("x.parquet").row_group(1).column(0)
    data = bytearray(Path("x.parquet").read_bytes())
    middle = chunk.dictionary_page_offset + chunk.total_compressed_size // 2
    data[middle : middle + 200] = bytes(200)
    Path("x.parquet").write_bytes(data)
    source = read("x.parquet").source
    rows: list[int] = []

    def run() -> None:
        for part in source.partitions():
            for batch in source.read(part):
                rows.extend(batch.column(0).to_pylist())

    with pytest.raises(SourceError, match=r"x\.parquet"):
        run()
    assert rows == list(range(len(rows)))
    assert len(rows) < 20_000


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "arrow", "orc", "tar"])
@pytest.mark.parametrize("how", ["rewritten", "replaced", "longer"])
def test_a_file_that_changes_while_it_is_read(form: str, how: str) -> None:
    """After the first batch another version lies there: an error, and never rows of both."""

    def write(name: str, word: str) -> None:
        rows = {"txt": [f"{word}{i:06}" for i in range(40_000)]}
        read(rows).write(name, row_group_bytes=50_000)

    write(f"x.{form}", "a")
    write(f"y.{form}", "bb" if how == "longer" else "b")
    source = read(f"x.{form}").source
    seen: set[str] = set()

    def run() -> None:
        changed = False
        for part in source.partitions():
            for batch in source.read(part, ["txt"]):
                seen.update(text[0] for text in batch.column(0).to_pylist())
                if not changed and how == "replaced":
                    Path(f"y.{form}").rename(f"x.{form}")
                elif not changed:
                    Path(f"x.{form}").write_bytes(Path(f"y.{form}").read_bytes())
                changed = True

    with pytest.raises(SourceError, match=rf"x\.{form}.*changed while it was read"):
        run()
    assert seen == {"a"}


def test_a_file_that_changes_on_s3(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection())
    place = f"s3://lake/changes-{time.time_ns()}.parquet?connection=lake"
    table = read({"a": list(range(30_000))}).write(place, row_group_bytes=50_000)
    parts = table.source.partitions()
    assert len(parts) > 2
    assert sum(b.num_rows for b in table.source.read(parts[0])) == parts[0].rows
    read({"a": list(range(1, 30_001))}).write(place, row_group_bytes=50_000)
    with pytest.raises(SourceError, match="changed while it was read"):
        list(table.source.read(parts[1]))
    assert table.count() == 30_000  # a new pass is of the new file
    assert table.head(1).to_rows() == [{"a": 1}]


def test_a_bucket_that_is_not_there_and_logins_that_are_refused(
    s3: S3, site: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection())
    for place in ("s3://nobucket/x.parquet", "s3://nobucket/", "s3://nobucket/*.csv"):
        with pytest.raises(OrreryError, match="no bucket 'nobucket'"):
            read(place, connection="lake").count()
    monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection().replace("test%2Fsecret", "wrong"))
    with pytest.raises(SourceError, match=r"refuses to be read: it does not let this login in \(403\)"):
        read("s3://lake/x.parquet", connection="lake").count()
    site.files["/x.csv"] = b"a\n1\n"
    site.login = "me:pass"
    with pytest.raises(SourceError, match=r"x\.csv refuses to be read: it wants a login \(401\)"):
        read(f"{site.url}/x.csv").count()


def test_hdfs_of_its_own_protocol_says_what_to_use() -> None:
    with pytest.raises(SettingsError, match=r"webhdfs://HOST:PORT"):
        read("hdfs://name:9000/x.parquet").count()


def test_five_thousand_columns() -> None:
    wide = pa.table({f"c{i}": pa.array([i, i + 1], pa.int32()) for i in range(5000)})
    pq.write_table(wide, "x.parquet")
    started = time.monotonic()
    assert read("x.parquet").where("c7 = 8").select("c4999", "c0").to_rows() == [{"c4999": 5000, "c0": 1}]
    assert read("x.parquet").to_arrow() == wide
    assert time.monotonic() - started < 30


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_one_row_of_200_mb(form: str) -> None:
    big = "y" * (200 << 20)
    rows = {"a": [1, 2, 3], "b": ["x", big, "z"]}
    if form == "parquet":
        read(rows).write("x.parquet")
    elif form == "csv":
        Path("x.csv").write_text(f"a,b\n1,x\n2,{big}\n3,z\n")
    else:
        Path("x.jsonl").write_text(f'{{"a":1,"b":"x"}}\n{{"a":2,"b":"{big}"}}\n{{"a":3,"b":"z"}}\n')
    found = [(row["a"], len(row["b"])) for row in read(f"x.{form}").to_rows()]
    assert found == [(1, 1), (2, 200 << 20), (3, 1)]


@pytest.mark.slow
def test_ten_thousand_small_files_are_read_soon_and_in_order() -> None:
    for day in range(100):
        Path(f"t/day={day}").mkdir(parents=True)
    for i in range(10_000):
        pq.write_table(pa.table({"a": [i, -i]}), f"t/day={i // 100}/{i % 100:03}.parquet")
    started = time.monotonic()
    table = read("t").where("a > 5000 and day >= 60")
    assert sorted(row["a"] for row in table.to_rows()) == list(range(6000, 10_000))
    assert read("t").count() == 20_000
    assert len(table.source.partitions()) < 100
    assert time.monotonic() - started < 60


MEMORY = """
import sys
from orrery.data.table import read
def peak_kib():  # that of the module resource may be the peak of the process that started this one
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before = peak_kib()
rows = sum(batch.num_rows for batch in read("x.parquet").batches(1000))
print(rows, (peak_kib() - before) // 1024)
"""


@pytest.mark.slow
def test_rows_of_a_megabyte_are_read_in_bounded_memory() -> None:
    """400 MB in one row group: batches are cut by bytes, not only by rows."""
    data = pa.array([bytes([i % 256]) * (1 << 20) for i in range(400)])
    # Arrow's writer looks at a page's size after so many values only: else it were one page of 400 MB.
    pages = {"write_batch_size": 1, "use_dictionary": False}
    pq.write_table(pa.table({"a": data}), "x.parquet", compression="zstd", **pages)
    code = MEMORY.replace("batches(1000)", "batches(10)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows, grown_mb = map(int, done.stdout.split())
    assert rows == 400
    assert grown_mb < 250


def test_reading_can_be_given_up_at_any_moment() -> None:
    read({"a": list(range(100_000))}).write("out/", rows_per_file=5_000)
    orc.write_table(pa.table({"a": range(1000)}), "x.orc")
    for place in ("out/", "x.orc"):
        batches: Any = read(place).where("a >= 0").batches(10)
        next(batches)
        batches.close()
    held = [path for path in Path("/proc/self/fd").iterdir() if "out/part" in str(path.resolve())]
    assert held == []
