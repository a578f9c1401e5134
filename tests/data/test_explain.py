"""Plans are values: what the place does, what is done here, and how many bytes that takes."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from orrery.cli.data import app
from orrery.data.explain import Explanation
from orrery.data.table import read


def test_a_plan_tells_what_is_done_where() -> None:
    Path("rows.csv").write_text("a,b,c\n1,x,2.5\n2,y,3.5\n")
    plan = read("rows.csv").where("a > 1").select("b").sample(rows=1).explain()
    assert plan.place == "rows.csv"
    assert set(plan.columns) >= {"b", "a"}
    assert plan.condition == '("a" > 1)'
    assert [step.split()[0] for step in plan.here] == ["select", "sample"]
    assert plan.size_bytes == plan.to_read_bytes == Path("rows.csv").stat().st_size
    assert plan.bytes_read is not None
    assert Explanation.from_dict(plan.to_dict()) == plan


def test_explaining_reads_no_rows() -> None:
    pq.write_table(pa.table({"a": np.arange(1000)}), "rows.parquet")
    table = read("rows.parquet")
    assert table.explain().bytes_read == 0
    assert table.explain().rows == 1000
    table.count()
    table.to_arrow()
    assert (table.explain().bytes_read or 0) > 0


def test_columns_and_row_groups_that_are_left_out_are_not_counted() -> None:
    columns = {f"c{i}": np.random.default_rng(i).random(40_000) for i in range(40)}
    pq.write_table(pa.table({"n": np.arange(40_000), **columns}), "wide.parquet", row_group_size=10_000)
    size = Path("wide.parquet").stat().st_size
    few = read("wide.parquet").select("c1", "c2", "c3")
    plan = few.explain()
    assert plan.to_read_bytes is not None
    assert plan.to_read_bytes < size / 10
    few.to_arrow()
    assert few.explain().bytes_read == plan.to_read_bytes
    less = read("wide.parquet").where("n < 10000").select("n").explain().to_read_bytes
    assert less is not None
    assert less < (read("wide.parquet").select("n").explain().to_read_bytes or 0) / 3


def test_a_database_is_asked_in_its_own_words() -> None:
    with sqlite3.connect("shop.db") as link:
        link.execute("create table sales (id integer, town text)")
        link.execute("create table towns (town text, size integer)")
    link.close()
    sales, towns = read("shop.db", table="sales"), read("shop.db", table="towns")
    plan = sales.sql("select id, size from this join t using (town)", t=towns.where("size > 5")).explain()
    assert plan.query is not None
    assert "JOIN" in plan.query
    assert plan.here == ()
    assert plan.others == ()
    assert plan.to_read_bytes is None
    assert "unknown" in str(plan)


def test_other_tables_are_explained_beside() -> None:
    events, prices = read({"k": [1], "t": [2]}), read({"k": [1], "t": [1], "v": [5]})
    plan = events.as_of(prices, on="t", by="k").explain()
    assert [other.place for other in plan.others] == ["dict in memory"]
    assert "beside" in str(plan)
    assert "beside" in plan._repr_html_()


def test_of_another_table_only_the_columns_that_are_used_are_counted() -> None:
    columns = {f"c{i}": np.random.default_rng(i).random(5000) for i in range(9)}
    pq.write_table(pa.table({"k": np.arange(5000), "t": np.arange(5000), **columns}), "facts.parquet")
    facts = read("facts.parquet")
    joined = read({"k": [1], "t": [2]}).as_of(facts, on="t", by="k", columns=["c3", "c4"])
    (other,) = joined.select("k", "c3").explain().others
    assert other.columns == ("c3", "t", "k")
    assert joined.select("k", "c3").to_rows() == [{"k": 1, "c3": columns["c3"][1]}]
    assert other.to_read_bytes == facts.explain().bytes_read
    assert joined.select("k").explain().others == ()


def test_the_command_explains() -> None:
    Path("rows.csv").write_text("a,b\n1,x\n2,y\n")
    done = CliRunner().invoke(app, ["explain", "rows.csv", "--where", "a > 1", "--output", "json"])
    assert done.exit_code == 0
    assert '"to_read_bytes": 12' in done.output
    assert "where" in CliRunner().invoke(app, ["explain", "rows.csv", "--where", "a > 1"]).output


def test_five_thousand_columns_are_explained_about_at_once() -> None:
    """What the end of a file tells of its columns is gathered once per file, not once per column."""
    pq.write_table(pa.table({f"c{i}": [1.0, 2.0] for i in range(5000)}), "wide.parquet", row_group_size=1)
    table = read("wide.parquet").where("c7 > 0")
    assert table.schema.names[-1] == "c4999"
    start = time.process_time()
    plan = table.explain()
    assert time.process_time() - start < 5
    assert (len(plan.columns), plan.parts) == (5000, 2)
