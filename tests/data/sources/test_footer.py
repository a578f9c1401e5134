"""Parts that are left out by what a file's end says: never one that holds a row that passes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orrery.data.sources.footer import Footers
from orrery.data.table import read

WHERE = [
    *("i = 3", "i > 3", "i >= 3", "i < -1", "i <= 0", "i between 1 and 2", "i in (1, 7)", "not i = 3"),
    *("x = 0.5", "x > 0.5", "x < 0.5", "x >= -0.5", "x between 0 and 1", "i is null", "i is not null"),
    *("s = 'b'", "s > 'b'", "s <= 'a'", "s in ('a', 'é')", "s is null and i > 0", "i > 3 or s = 'a'"),
    *(
        "s like 'b%'",
        "s like 'a%'",
        "s like 'é%'",
        "s like 'bb_%' and i > 0",
        "s like '%b'",
        "not s like 'b%'",
    ),
    *("s like 'b'", "s ilike 'B%'", "s like 'b%' escape '!'", "s not like 'a%'"),
    *("d = '2024-01-02'", "d < '2024-01-02'", "t >= '2024-01-02'", "t > '2024-01-01 12:00:00.000001'"),
]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-3, 8),
            "x": st.none() | st.sampled_from([-0.5, 0.0, -0.0, 0.5, 2.0, float("nan"), float("inf")]),
            "s": st.none() | st.sampled_from(["", "a", "b", "é", "b" * 70]),
            "d": st.none() | st.sampled_from([dt.date(2024, 1, day) for day in (1, 2, 3)]),
            "t": st.none() | st.sampled_from([dt.datetime(2024, 1, 1, 12, 0, 0, 1), dt.datetime(2024, 1, 2)]),
        }
    ),
    min_size=1,
    max_size=8,
)
SCHEMA = pa.schema(
    [
        ("i", pa.int32()),
        ("x", pa.float64()),
        ("s", pa.string()),
        ("d", pa.date32()),
        ("t", pa.timestamp("us")),
    ]
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, where=st.sampled_from(WHERE))
def test_pruning_never_changes_the_answer(rows: list[dict[str, Any]], where: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    expected = read(table).where(where).to_arrow()
    found = read(tmp_path / "x.parquet").where(where).to_arrow()
    assert str(found.to_pylist()) == str(expected.to_pylist())  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("where", "groups"),
    [
        ("i = 5", 1),
        ("i between 0 and 9", 1),
        ("i in (1, 11)", 2),
        ("i is null", 0),
        ("day < '2024-01-11'", 1),
        ("s like 'x07%'", 1),
        ("s like 'x0%' and s like 'x_5%'", 10),
        ("s like 'y%'", 0),
        ("s like '%5'", 10),
    ],
)
def test_row_groups_that_cannot_match_are_not_read(where: str, groups: int) -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(100)]
    table = pa.table({"i": range(100), "day": days, "s": [f"x{i:03}" for i in range(100)]})
    pq.write_table(table, "x.parquet", row_group_size=10)
    source = read("x.parquet").source
    passed = [part for part in source.partitions() if list(source.read(part, ["i"], where))]
    assert len(passed) == groups
    whole = source.bytes_to_read(None, None)  # type: ignore[attr-defined]
    assert source.bytes_to_read(None, where) == pytest.approx(whole * groups / 10, rel=0.2)  # type: ignore[attr-defined]


class End:
    def __init__(self, size: int) -> None:
        self.serialized_size = size


def test_footers_are_kept_up_to_a_size() -> None:
    kept = Footers(most_bytes=1000)
    for i in range(100):
        kept.keep(f"{i}", None, End(300))
        kept.get("0", None)
    assert sum(kept.get(f"{i}", None) is not None for i in range(100)) == 3
    assert kept.get("0", None) is not None
    kept.keep("big", None, End(5000))
    assert kept.get("big", None) is not None
    assert kept.get("99", None) is None


def test_not_a_number_is_greater_than_all_that_a_footer_tells() -> None:
    pq.write_table(pa.table({"x": [0.0, float("nan")]}), "x.parquet")
    assert read("x.parquet").where("x > 0.5").count() == 1
    assert read("x.parquet").where("x >= 0.5").count() == 1
    assert read("x.parquet").where("x < 0").count() == 0
