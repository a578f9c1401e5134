"""A far table is looked at by a sample that says what it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.servers.mongodb import MongoDb
from tests.servers.postgresql import Server
from tests.servers.web import Web, web
from typer.testing import CliRunner

from orrery.cli.data import app
from orrery.data.profile_sample import Sample
from orrery.data.source import Partition
from orrery.data.sources.plain import PlainSource
from orrery.data.table import Table, read
from orrery.errors import SettingsError
from orrery.schema import Schema


class Far(PlainSource):
    """Numbers in parts of 1,000, far away."""

    def __init__(self, parts: int, known: bool = True) -> None:
        super().__init__("far://numbers")
        self.parts, self.known, self.given = parts, known, 0

    def schema(self) -> Schema:
        return Schema.of(pa.schema({"n": pa.int64()}))

    def partitions(self) -> Sequence[Partition]:
        return [Partition(i, rows=1000 if self.known else None) for i in range(self.parts)]

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        for start in range(0, 1000, 100):
            self.given += 100
            first = partition.index * 1000 + start
            yield pa.record_batch({"n": np.arange(first, first + 100)})


def test_parts_are_chosen_evenly_and_the_rest_is_not_read() -> None:
    source = Far(200)
    profile = Table(source).describe(sample=1600)
    assert profile.rows == 1600
    assert source.given <= 16 * 200
    assert profile["n"].minimum == 0
    assert profile["n"].maximum == 187_099
    assert profile.sample is not None
    assert profile.sample == Sample(rows=1600, parts=16, of_parts=200, of_rows=200_000)
    assert "at most 1,600 rows, 0.80% of 200,000: the first of each of 16 of 200 parts" in str(profile)
    assert "1,600" in profile._repr_html_()


def test_a_far_table_is_sampled_unless_all_is_asked_for() -> None:
    assert Table(Far(200)).describe().rows == 16_000
    assert Table(Far(200)).describe(sample=None).rows == 200_000
    assert Table(Far(200)).describe(sample=None).sample is None


@pytest.mark.parametrize("known", [True, False])
def test_what_was_seen_whole_is_no_sample(known: bool) -> None:
    assert Table(Far(2, known)).describe().sample is None
    assert Table(Far(2, known)).describe(sample=2000).rows == 2000
    assert Table(Far(2, known)).describe(sample=5000).sample is None
    assert Table(Far(2, known)).describe(sample=5000) == Table(Far(2, known)).describe(sample=None)
    assert Table(Far(2, known)).describe(sample=1998).sample is not None


def test_conditions_and_columns_are_of_the_sample() -> None:
    profile = Table(Far(200)).where("n >= 100000").select("n").describe(sample=160)
    assert profile.rows == 80
    assert profile["n"].minimum == 100_000
    assert profile.sample is not None
    assert profile.sample.of_rows is None


def test_what_needs_every_row_is_not_sampled() -> None:
    summed = Table(Far(20)).sql("select sum(n) as s from this")
    assert summed.describe()["s"].maximum == 20_000 * 19_999 / 2
    with pytest.raises(SettingsError, match="several rows"):
        summed.describe(sample=10)
    with pytest.raises(SettingsError, match="at least 1"):
        Table(Far(1)).describe(sample=0)


def test_a_table_of_postgresql_is_drawn_from_all_its_blocks(postgresql: Server) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute("create table many (n int primary key, kind text)")
        link.execute("insert into many select g, 'k' || g % 3 from generate_series(1, 200000) g")
        link.execute("create view few as select * from many")
        link.execute("analyze many")
    table = read(postgresql.url, table="many")
    profile = table.describe(sample=5000)
    assert 1000 < profile.rows <= 5000
    assert profile["n"].maximum > 150_000
    assert profile["n"].minimum < 50_000
    assert "drawn there at random by tablesample system (2.5) repeatable" in str(profile)
    assert table.describe(sample=5000) == profile
    some = table.where("n > 100000 and kind = 'k1'").describe(sample=5000)
    assert 500 < some.rows <= 5000
    assert some["n"].minimum > 100_000
    assert some["n"].maximum > 180_000
    assert table.describe(sample=400_000).sample is None
    for other in (read(postgresql.url, table="few"), read(postgresql.url, query="select n from many")):
        first = other.describe(sample=5000)
        assert (first.rows, first["n"].maximum) == (5000, 5000)
        assert "the first there" in str(first)


def test_a_collection_of_mongodb_is_drawn_at_random(mongodb: MongoDb) -> None:
    documents = [{"_id": i, "n": i, "odd": "x" if i % 2 else "y"} for i in range(30_000)]
    table = read(mongodb.url(mongodb.fill([*documents, {"_id": 30_000, "n": "bad"}])), on_bad="quarantine")
    profile = table.describe(sample=1000)
    assert 990 < profile.rows <= 1000
    assert profile["n"].maximum > 10_000
    assert "drawn there at random by $sample" in str(profile)
    odd = table.where("odd = 'x' and n < 20000").describe(sample=1000)
    assert (odd.rows, odd["odd"].distinct) == (1000, 1)
    assert odd["n"].maximum > 10_000
    assert table.describe(sample=40_000).sample is None
    assert table.describe(sample=40_000).rows == 30_000


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as running:
        yield running


def test_files_on_a_web_server_are_sampled(site: Web) -> None:
    rows = 300_000
    pq.write_table(pa.table({"n": np.arange(rows)}), "n.parquet", row_group_size=10_000)
    site.files["/n.parquet"] = Path("n.parquet").read_bytes()
    table = read(f"{site.url}/n.parquet")
    profile = table.describe()
    assert profile.sample is not None
    assert profile.rows <= 100_000
    assert table.explain().bytes_read < Path("n.parquet").stat().st_size * 0.6  # type: ignore[operator]
    assert read("n.parquet").describe().rows == rows
    done = CliRunner().invoke(app, ["describe", f"{site.url}/n.parquet", "--sample", "1000"])
    assert "a sample of at most 1,000 rows" in done.output
    assert "a sample" not in CliRunner().invoke(app, ["describe", f"{site.url}/n.parquet", "--all"]).output


_LARGE = """
import sys
import numpy as np, pyarrow as pa
from orrery.data.table import read
def peak_kib():  # that of the module resource may be the peak of the process that started this one
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
towns = pa.array([f"town {i}" for i in range(500)])
def rows():
    for start in range(0, int(sys.argv[1]), 65_536):
        random = np.random.default_rng(start)
        town = towns.take(pa.array(random.integers(0, 500, 65_536)))
        price = random.lognormal(3, 1, 65_536)
        yield pa.record_batch({"id": np.arange(start, start + 65_536), "price": price, "town": town})
read(rows).describe()
print(peak_kib())
"""


@pytest.mark.slow
def test_the_memory_of_a_profile_does_not_grow_with_the_rows() -> None:
    peaks = []
    for rows in (1 << 20, 1 << 23):
        done = subprocess.run(
            [sys.executable, "-c", _LARGE, str(rows)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) << 10)
    assert peaks[1] < peaks[0] + (256 << 20)
