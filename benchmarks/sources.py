"""Reading from where rows lie: PostgreSQL beside connectorx and ADBC; the bytes that 3 columns of 40 take.

Ours reads a table in the order of its primary key, and could go on at any row after a lost connection; ADBC
alone streams the same rows in no order. connectorx runs in a process of its own (``peers/sources.sh`` makes
its environment); where it cannot be had it is left out, by name. Servers are those of the tests; one that is
not here is left out likewise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import adbc_driver_postgresql.dbapi
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from tests.servers import postgresql, s3
from tests.servers.proxy import proxy

from benchmarks import harness
from orrery.data.table import read

ROWS = 1_000_000
PEERS = Path("build/peers-sources")
_COLUMNS = "id, half, small, name, moment"
_CREATE = (
    "create table rows as select g::bigint as id, g / 2e0 as half, (g % 1000)::int as small, "
    f"'name ' || g as name, timestamp '2026-01-01' + g * interval '1 s' as moment "
    f"from generate_series(1, {ROWS}) g"
)


class Took(NamedTuple):
    """One reading of all rows."""

    seconds: float
    cpu_s: float


def measure() -> list[dict[str, Any]]:
    """Rows and CPU seconds of PostgreSQL, bytes of Parquet; MongoDB where that half is here."""
    found = [*_postgresql(), *_bytes()]
    try:
        from benchmarks import sources_mongodb
    except ImportError:
        return found
    return [*found, *sources_mongodb.measure()]


def _postgresql() -> Iterator[dict[str, Any]]:
    if postgresql.binaries() is None:
        print("left out: PostgreSQL is not installed", file=sys.stderr)
        return
    with postgresql.running() as server:
        with psycopg.connect(server.url, autocommit=True) as link:
            link.execute(_CREATE)
            link.execute("alter table rows add primary key (id)")
            link.execute("vacuum analyze rows")
        yield from _beside("ADBC alone", partial(_ours, server.url, 1), partial(_adbc, server.url))
        if subprocess.call(["sh", str(Path(__file__).parent / "peers" / "sources.sh")]) != 0:
            print("left out: connectorx cannot be had", file=sys.stderr)
            return
        for parts in (1, 2):
            theirs = partial(_connectorx, server.url, parts)
            yield from _beside("connectorx", partial(_ours, server.url, parts), theirs, parts)


def _beside(
    who: str, ours: Callable[[], Took], theirs: Callable[[], Took], parts: int = 1
) -> Iterator[dict[str, Any]]:
    """Rows per second and CPU seconds per million rows, from the same alternating runs."""
    taken: dict[str, list[Took]] = {"ours": [], "theirs": []}

    def speed(name: str, call: Callable[[], Took]) -> float:
        took = call()
        taken[name].append(took)
        return ROWS / took.seconds

    ours(), theirs()  # warm caches, of the server too
    what = f"PostgreSQL, {ROWS:,} rows of 5, {parts} part{'s' if parts > 1 else ''}"
    yield harness.paired(
        f"{what}: rows/s",
        partial(speed, "ours", ours),
        partial(speed, "theirs", theirs),
        unit="rows/s",
        who=who,
        better="higher",
        runs=5,
    )
    mine, other = (iter([took.cpu_s for took in taken[name]]) for name in taken)
    yield harness.paired(
        f"{what}: CPU of the client", lambda: next(mine), lambda: next(other), unit="s", who=who, runs=5
    )


def _ours(url: str, parts: int) -> Took:
    source = read(url, table="rows", parts=parts).source
    began, cpu = time.perf_counter(), time.process_time()
    found = source.partitions()
    with ThreadPoolExecutor(parts) as pool:
        rows = sum(pool.map(lambda part: sum(batch.num_rows for batch in source.read(part)), found))
    assert rows == ROWS
    return Took(time.perf_counter() - began, time.process_time() - cpu)


def _adbc(url: str) -> Took:
    began, cpu = time.perf_counter(), time.process_time()
    with adbc_driver_postgresql.dbapi.connect(url) as link, link.cursor() as cursor:
        cursor.execute(f"select {_COLUMNS} from rows")
        rows = sum(batch.num_rows for batch in cursor.fetch_record_batch())
    assert rows == ROWS
    return Took(time.perf_counter() - began, time.process_time() - cpu)


def _connectorx(url: str, parts: int) -> Took:
    script = str(Path(__file__).parent / "peers" / "read_connectorx.py")
    command = [str(PEERS / "bin" / "python"), script, url, f"select {_COLUMNS} from rows", "id", str(parts)]
    rows, seconds, cpu_s = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(rows) == ROWS
    return Took(float(seconds), float(cpu_s))


def _bytes() -> Iterator[dict[str, Any]]:
    """How many bytes come from the place for 3 columns of 40, beside the file's size."""
    draw = np.random.default_rng(0)
    table = pa.table({f"n{i}": draw.normal(size=200_000) for i in range(40)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wide.parquet"
        pq.write_table(table, path, row_group_size=50_000)
        size = path.stat().st_size
        if Path("/proc/self/io").exists():
            yield _share("local Parquet", size, lambda: _read_locally(path))
        if s3.binary() is None:
            print("left out: SeaweedFS is not installed", file=sys.stderr)
            return
        with s3.running() as server:
            server.system().put(str(path), "lake/wide.parquet")
            yield _share("Parquet on S3", size, lambda: _read_s3(server))


def _share(what: str, size: int, call: Callable[[], int]) -> dict[str, Any]:
    return harness.paired(
        f"{what}: bytes read for 3 columns of 40",
        lambda: float(call()),
        lambda: float(size),
        unit="bytes",
        who="the file's size",
        goal=0.10,
    )


def _three(place: str) -> None:
    rows = sum(batch.num_rows for batch in read(place).select("n3", "n17", "n31").batches())
    assert rows == 200_000


def _read_locally(path: Path) -> int:
    """What the system read for this process meanwhile."""

    def read_so_far() -> int:
        return int(Path("/proc/self/io").read_text().partition("rchar: ")[2].split()[0])

    before = read_so_far()
    _three(str(path))
    return read_so_far() - before


def _read_s3(server: s3.S3) -> int:
    """What came over the network, headers and all."""
    with proxy(server.port, 1 << 50, 1 << 50) as counted:
        os.environ["ORRERY_CONNECTION__LAKE"] = server.connection(counted.port)
        _three("s3://lake/wide.parquet?connection=lake")
        return counted.answered_bytes


if __name__ == "__main__":
    raise SystemExit(0 if harness.run("sources", measure()) else 1)
