"""Queries over several tables: here in bounded memory, there where the rows lie in one database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from orrery.data.table import Table, read
from orrery.errors import BadRowError, SchemaError, SettingsError

SALES = {"id": [1, 2, 3], "town": ["x", "y", "x"], "sum": [5.0, 6.0, 7.0]}
TOWNS = {"town": ["x", "z"], "name": ["Oslo", "Rome"]}
JOIN = "select id, name from this left join t using (town) order by id"
JOINED = [{"id": 1, "name": "Oslo"}, {"id": 2, "name": None}, {"id": 3, "name": "Oslo"}]


def test_tables_of_different_places_are_joined_here() -> None:
    towns = read(TOWNS).write("towns.csv")
    assert read(SALES).sql(JOIN, t=towns).to_rows() == JOINED
    twice = "select count(*) as n from this a join this b on a.town = b.town join t on t.town = a.town"
    assert read(SALES).sql(twice, t=towns).to_rows() == [{"n": 4}]
    again = (
        "with q as (select town from t) select (select count(*) from q) as a, (select max(town) from q) as b"
    )
    assert read(SALES).sql(again, t=towns).to_rows() == [{"a": 2, "b": "z"}]


@pytest.mark.parametrize("form", ["sqlite", "duckdb"])
def test_tables_of_one_database_are_joined_there(form: str) -> None:
    place = f"{form}:///shop.db"
    link = sqlite3.connect("shop.db") if form == "sqlite" else duckdb.connect("shop.db")
    link.execute("create table sales (id integer, town varchar(5), sum double)")
    link.execute("create table towns (town varchar(5), name varchar(9))")
    link.executemany("insert into sales values (?, ?, ?)", list(zip(*SALES.values(), strict=True)))
    link.executemany("insert into towns values (?, ?)", list(zip(*TOWNS.values(), strict=True)))
    link.commit()
    link.close()
    sales, towns = read(place, table="sales"), read(place, table="towns")
    joined = sales.sql(JOIN, t=towns)
    assert joined.to_rows() == JOINED
    assert joined.explain().here == ()
    assert (
        sales.where("id > 1").sql(JOIN, t=towns.where("town = 'x'").select("name", "town")).to_rows()
        == JOINED[1:]
    )
    alike = sales.sql(
        "select this.id from this, this as b, t where this.id = b.id and t.town = this.town", t=towns
    )
    assert sorted(row["id"] for row in alike.to_rows()) == [1, 3]
    mixed = sales.sql(JOIN, t=read(TOWNS))
    assert mixed.to_rows() == JOINED
    assert mixed.explain().here != ()
    assert Table.from_dict(joined.to_dict()).to_rows() == JOINED
    assert joined.fingerprint() != sales.sql(JOIN, t=towns.where("town = 'x'")).fingerprint()


def test_meaning_is_kept_of_all_tables() -> None:
    towns = read(TOWNS).with_kinds({"name": "text"})
    assert read(SALES).sql(JOIN, t=towns).schema["name"].kind == "text"


def test_errors_of_another_tables_rows_come_through() -> None:
    Path("bad.csv").write_text("\n".join(["a", *map(str, range(50)), "x"]))
    with pytest.raises(BadRowError, match=r"bad.csv:52"):
        read(SALES).sql("select * from this join t on t.a = id", t=read("bad.csv")).to_rows()


def test_wrong_queries_are_told() -> None:
    sales = read(SALES)
    with pytest.raises(SettingsError, match=r"only read 'this', 't'\..*towns=read"):
        _ = sales.sql("select * from towns", t=read(TOWNS)).schema
    with pytest.raises(SettingsError, match="is no table"):
        sales.sql("select * from t", t=[1])  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="call the other one something else"):
        sales.sql("select * from this", THIS=sales)
    with pytest.raises(SchemaError, match="does not fit"):
        _ = sales.sql("select nam from t", t=read(TOWNS)).schema


_LARGE = """
import numpy as np, pyarrow as pa
from orrery.data.table import read
def peak_kib():  # that of the module resource may be the peak of the process that started this one
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
n = 6_000_000
def rows(seed):
    random = np.random.default_rng(seed)
    for start in range(0, n, 100_000):
        ids = np.arange(start, start + 100_000) * 7919 % n
        figures = {f"{name}{seed}": random.random(100_000) for name in "ab"}
        yield pa.record_batch({"id": ids, **figures})
one, two = read(lambda: rows(1)), read(lambda: rows(2))
joined = one.sql("select * from this join t using (id) order by a1, a2", t=two)
made = joined.sql("select count(*) as n, sum(id) as s from this")
found = made.to_rows()[0]
assert found["n"] == n and int(found["s"]) == n * (n - 1) // 2, found
print(peak_kib())
"""


@pytest.mark.slow
def test_a_join_larger_than_its_memory_spills(tmp_path: Path) -> None:
    """Two tables of 144 MB joined and sorted in 150 MB; nothing stays in the scratch folder."""
    env = {**os.environ, "ORRERY_SQL__MOST_GIB": "0.15", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _LARGE], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("orrery-*")) == []
    assert int(done.stdout) < 700 << 10


def test_the_memory_of_a_query_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(pa.table({"a": np.arange(3_000_000), "b": np.random.default_rng(1).random(3_000_000)}))
    monkeypatch.setenv("ORRERY_SQL__MOST_GIB", "x")
    with pytest.raises(SettingsError, match="ORRERY_SQL__MOST_GIB"):
        table.sql("select a from this").count()
