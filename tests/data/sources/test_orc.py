"""ORC is decoded in a process of its own: what ends or stops the decoder is told, and ends nothing else."""

from __future__ import annotations

import base64
import gc
import os
import pickle
import signal
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.orc as orc
import pytest

from orrery.data.sources import orc_reader
from orrery.data.table import Table, read
from orrery.errors import OrreryError, SourceError

ROWS = 40_000
CRASH = (
    "eNplj79KA0EQxmdns5fJ3h1ulkjWI8VxaYKgbP4gclUgoDaaEFJbBMQmnc0WgkGwzyPkKax9F1/BwtLJBYSQXfhmdmaYb3/T+aQJoCNb"
    "o2QGQ07bWgKANZQUWmPwFsPI+Rl0uXey79FudokOLrjW2tdScrZOYJzb4gx4500sumM7EqcAwYd+GIRhGCkAxAbAV4yic30+bgM2d8d8"
    "Ajx1dESRARcrIuE6rOhainLpzrgjjFC5l0a4lF/IUVUTdZW/SpcyABhglUaxYpWzZvL2fvHM/+zrClEfgel/HH0I8QvwIba88FtkmsPC"
    "9fPHXlJYSiwKzMRLJlY59MBDQVRPdSsmbYVMUyKqNfTKJ2XlWR55lgwYdpbloeV483AnlmpwyZfeDLr1ulYgJL0rH73/SDmdT9p/Q2gw"
    "UA=="
)


def made(rows: int = ROWS) -> Any:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "a": rng.integers(0, 1 << 40, rows),
        "s": [f"x{i % 97}" for i in range(rows)],
        "l": [[i, i + 1] for i in range(rows)],
        "t": pa.array(range(rows), pa.timestamp("ns")),
    }
    return pa.table(columns)


def several() -> Table:
    """A file of several stripes."""
    orc.write_table(made(), "x.orc", stripe_size=100_000)
    return read("x.orc")


@pytest.fixture
def table() -> Table:
    return several()


def alive(table: Table) -> list[int]:
    source: Any = table.source
    return [reader.process.pid for reader in source._readers._idle]


def test_rows_come_as_arrow_itself_reads_them(table: Table) -> None:
    whole = orc.read_table("x.orc")
    found = table.to_arrow()
    assert [found[n].to_pylist() for n in ("a", "s", "l")] == [whole[n].to_pylist() for n in ("a", "s", "l")]
    assert len(table.source.partitions()) > 2
    assert table.select("s").to_arrow()["s"].to_pylist() == whole["s"].to_pylist()
    assert table.count() == ROWS


def test_some_columns_are_fewer_bytes() -> None:
    orc.write_table(made(), "x.orc")
    table = read("x.orc")
    table.select("s").to_arrow()
    less = table.explain().bytes_read or 0
    again = read("x.orc")
    again.to_arrow()
    assert 0 < less < 0.3 * (again.explain().bytes_read or 0)


def refused(table: Table) -> OrreryError | None:
    try:
        table.to_arrow()
    except OrreryError as error:
        return error
    return None


@pytest.mark.parametrize("compression", ["UNCOMPRESSED", "ZLIB", "SNAPPY", "ZSTD", "LZ4"])
def test_damage_anywhere_is_told_or_harmless(compression: Any) -> None:
    """Whatever Arrow makes of it: rows, or an error that names the file; ORC keeps no checksums."""
    rng = np.random.default_rng(len(compression))
    orc.write_table(made(800), "x.orc", compression=compression, stripe_size=10_000)
    whole = Path("x.orc").read_bytes()
    readers = orc_reader.Readers()
    for i in range(30):
        data = bytearray(whole)
        place = int(rng.integers(len(data) - 600, len(data)) if i % 2 else rng.integers(len(data)))
        end = place + int(rng.integers(1, 40))
        data[place:end] = [b"", b"\xff" * 8, bytes(30), rng.bytes(3)][i % 4]
        Path(f"{i}.orc").write_bytes(data)
        table: Any = read(f"{i}.orc")
        table.source._readers = readers  # to start a process takes most of the time
        error = refused(table)
        assert error is None or f"{i}.orc" in str(error)


def test_a_decoder_that_crashes_is_told_and_the_next_one_reads_on(table: Table) -> None:
    parts = table.source.partitions()
    (child,) = alive(table)
    batches = iter(table.source.read(parts[1]))
    os.kill(child, signal.SIGSEGV)
    with pytest.raises(SourceError, match=r"x\.orc.*stripe 1 made the decoder crash \(SIGSEGV\)"):
        list(batches)
    assert table.count() == len(table.to_arrow()) == ROWS
    assert alive(table) != [child]


def test_damage_that_ended_the_process_ends_no_more() -> None:
    """Found by chance among a few thousand damaged files."""
    Path("x.orc").write_bytes(zlib.decompress(base64.b64decode(CRASH)))
    with pytest.raises(SourceError, match=r"x\.orc"):
        read("x.orc").to_arrow()


def test_a_decoder_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    orc.write_table(made(400_000), "x.orc")
    table = read("x.orc")
    parts = table.source.partitions()
    monkeypatch.setattr(orc_reader, "CPU_S", 1e-5)
    with pytest.raises(SourceError, match=r"x\.orc.*stripe 0 kept the decoder busy for more than 1e-05 s"):
        list(table.source.read(parts[0]))


def test_threads_have_a_process_each_and_all_end_with_the_source() -> None:
    table = several()
    parts = table.source.partitions()
    found: dict[int, int] = {}
    waiting = threading.Barrier(3)

    def count(index: int, source: Any) -> None:
        batches = iter(source.read(parts[index]))
        first = next(batches).num_rows
        waiting.wait(60)
        found[index] = first + sum(batch.num_rows for batch in batches)

    threads = [threading.Thread(target=count, args=(i, table.source)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3
    children = alive(table)
    assert len(children) == 3
    assert pickle.loads(pickle.dumps(table)).count() == ROWS
    del table, threads
    gc.collect()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_what_is_forked_has_processes_of_its_own(table: Table) -> None:
    assert table.count() == ROWS
    (child,) = alive(table)
    forked = os.fork()
    if not forked:
        os._exit(0 if table.count() == ROWS and alive(table) not in ([], [child]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
    assert table.count() == ROWS
    assert alive(table) == [child]
