"""What a query needs of its tables is all that is read, and the answer is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.data.sql_needs import Need, needs
from orrery.data.table import read

SCHEMA = pa.schema({"id": pa.int64(), "a": pa.int64(), "b": pa.string(), "s": pa.struct({"f": pa.int64()})})
OTHER = pa.schema({"id": pa.int64(), "v": pa.float64(), "w": pa.string()})
ALL = ("id", "a", "b", "s")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("select A from this where ID < 10", Need(("id", "a"), '("id" < 10)')),
        ("select * from this where id < 10", Need(ALL, '("id" < 10)')),
        ("select count(*) from this", Need(("id",))),
        ("select s.f, this.s.f from this where b = 'x' and a + 1 > id", Need(ALL, "(\"b\" = 'x')")),
        ("select this from this", Need(ALL)),
        ("select columns('a.*') from this", Need(ALL)),
        ("select #2 from this", Need(ALL)),
        ("select p from this as t(p, q, r, z) where p < 3", Need(ALL)),
        ("select this.a from this join t using (id) where t.v < 3 and a in (1, 2)",
         Need(("id", "a"), '("a" IN (1, 2))')),
        ("select w from this natural join t", Need(ALL)),
        ("select a from this left join t using (id) where a is null", Need(("id", "a"))),
        ("select a from this join t using (id) where a is null", Need(("id", "a"), '("a" IS NULL)')),
        ("select a from this asof join t on this.id >= t.id where a < 3", Need(("id", "a"))),
        ("select a from this positional join t where a < 3", Need(("a",))),
        ("select a from this using sample 5 where a < 3", Need(("a",))),
        ("select a from this where a < 3 union all select id from this", Need(("id", "a"))),
        ("select -a as a from this where a < 3", Need(("a",))),
        ("select a from this where b < 3", Need(("a", "b"))),
        ("select a from this where a < 3 or b = 'x'", Need(("a", "b"), "(\"a\" < 3 OR \"b\" = 'x')")),
        ("with q as (select id, a from this where a < 9) select * from q where id < 3",
         Need(("id", "a"), '("a" < 9)')),
    ],
)  # fmt: skip
def test_what_is_needed_of_this(query: str, wanted: Need) -> None:
    assert needs(query, {"this": SCHEMA, "t": OTHER})["this"] == wanted


def test_what_is_needed_of_others() -> None:
    query = "select a from this join t p on this.id = p.id where p.id < 10 and a > 3 and v < 2"
    found = needs(query, {"this": SCHEMA, "t": OTHER})
    assert found == {
        "this": Need(("id", "a"), '("a" > 3)'),
        "t": Need(("id", "v"), '("id" < 10) and ("v" < 2)'),
    }


JOINS = ["join", "left join", "right join", "full join", "cross join", "semi join", "anti join"]
CONDITIONS = [
    "this.x < 4",
    "t.y < 4",
    "this.x is null",
    "t.y is null",
    "this.x < 4 and t.y > 1",
    "not (y < 2)",
]


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_leaving_rows_out_before_a_join_leaves_the_answer_as_it_was(join: str, condition: str) -> None:
    if join in ("semi join", "anti join") and "y" in condition:
        return
    rows = [None, 0, 1, 2, 3, 4, 5]
    this = pa.table({"k": [0, 1, 2, 3, None, 4, 4], "x": rows})
    t = pa.table({"k": [0, 1, 1, None, 4, 6, 7], "y": rows})
    on = "" if join == "cross join" else "on this.k = t.k"
    query = f"select this.k, x from this {join} t {on} where {condition} order by all"
    with duckdb.connect() as database:
        wanted = database.sql(query).to_arrow_table().to_pylist()
    assert read(this).sql(query, t=read(t)).to_rows() == wanted


def test_only_the_columns_and_row_groups_needed_are_read() -> None:
    random = np.random.default_rng(2)
    columns: dict[str, Any] = {f"c{i}": random.random(40_000) for i in range(10)}
    pq.write_table(pa.table({"id": np.arange(40_000), **columns}), "big.parquet", row_group_size=4_000)
    size = Path("big.parquet").stat().st_size
    table = read("big.parquet").sql("select c1 from this where id < 10")
    assert table.to_arrow()["c1"].to_pylist() == columns["c1"][:10].tolist()
    assert 0 < table.source.bytes_read < size / 40  # type: ignore[attr-defined]
    plan = table.explain()
    assert (plan.columns, plan.condition_there) == (("id", "c1"), '"id" < 10')
    assert plan.to_read_bytes == table.source.bytes_read  # type: ignore[attr-defined]

    other = read("big.parquet")
    joined = read({"id": [3, 5000]}).sql("select c2 from this join p using (id) where p.id < 10", p=other)
    assert joined.to_arrow()["c2"].to_pylist() == [columns["c2"][3]]
    assert 0 < other.source.bytes_read < size / 40  # type: ignore[attr-defined]
    assert joined.explain().others[0].columns == ("id", "c2")

    whole = read("big.parquet")
    assert whole.sql("select * from this").to_arrow().num_rows == 40_000
    assert whole.source.bytes_read > size * 0.9  # type: ignore[attr-defined]
