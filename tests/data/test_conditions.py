"""Conditions: one row at a time, columns known, nothing pasted."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pytest

from orrery.data.conditions import parse
from orrery.data.table import read
from orrery.errors import SettingsError, UnknownColumnError

COLUMNS = ("age", "home town", "Ünï 😀", "Age2", "t")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age >",
        "select 1",
        "age > 1; drop table x",
        "age > (select max(age) from this)",
        "exists (select 1)",
        "sum(age) > 3",
        "row_number() over () = 1",
        "age as b",
        "drop table x",
        "insert into x values (1)",
        "unnest([1]) = 1",
        "unnest([1, 2]) = 1",
        "columns(*) > 0",
        "coalesce(*columns(*)) > 0",
        "columns('age') > 0",
        "* > 0",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse(text, COLUMNS)


def test_names_are_resolved() -> None:
    assert parse("AGE > 1 and \"home town\" = 'x' and age2 < 3", COLUMNS).columns == (
        "age",
        "home town",
        "Age2",
    )
    with pytest.raises(UnknownColumnError, match="Did you mean 'home town'"):
        parse('"home twon" = 1', COLUMNS)
    with pytest.raises(UnknownColumnError):
        parse('"AGE" = 1', COLUMNS)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("age > 3", True),
        ("age in (1, -2) and not (age is null)", True),
        ("age between 1 and 2 or \"home town\" = 'x'", True),
        ("\"home town\" < 'x'", False),
        ("age > '3'", False),
        ("age + 1 > 3", False),
        ("age > Age2", False),
        ("t >= '2020-01-01 10:00'", True),
        ("t >= 'today'", False),
    ],
)
def test_only_what_means_the_same_everywhere_is_plain(text: str, plain: bool) -> None:
    sorts = {"age": "number", "home town": "text", "Age2": "number", "t": "time"}
    assert parse(text, COLUMNS).is_plain(sorts) is plain


def test_the_parts_of_a_conjunction() -> None:
    parts = parse("(age > 1 and (t is null or age < 9)) and Age2 = 3", COLUMNS).parts()
    assert [part.columns for part in parts] == [("age",), ("t", "age"), ("Age2",)]


def test_a_value_cannot_become_sql() -> None:
    nasty = "x'); drop table things; --"
    table = read({"a": [nasty, "y"]})
    assert table.where(f"a = '{nasty.replace(chr(39), chr(39) * 2)}'").count() == 1


def test_types_that_do_not_fit_are_told() -> None:
    with pytest.raises(SettingsError, match="cannot be computed"):
        read({"a": ["x"]}).where("a > 3").count()


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from other",
        "copy this to 'x.csv'",
        "attach 'x.db'",
        "install httpfs",
        "select 1; select 2",
        "set threads = 1",
        "select * from glob('*')",
    ],
)
def test_queries_see_nothing_but_their_table(query: str) -> None:
    with pytest.raises(SettingsError):
        read({"a": [1]}).sql(query).to_rows()


def test_queries_with_their_own_names() -> None:
    table = read({"a": [3, 1, 2], "select": ["x", "y", "z"]})
    query = (
        'with small as (select * from this where a < 3) select "select" as s, a from small order by a desc'
    )
    assert table.sql(query).to_rows() == [{"s": "z", "a": 2}, {"s": "y", "a": 1}]


def test_sqlglots_remarks_do_not_reach_standard_error() -> None:
    code = (
        "from orrery.data.sql import check_query\n"
        "from orrery.errors import SettingsError\n"
        "try:\n    check_query('call pragma_version()')\nexcept SettingsError:\n    print('refused')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("refused\n", "")


def test_numbers_that_are_too_long_to_compute_with_are_told() -> None:
    numbers = pa.array([Decimal("1.5"), None], pa.decimal256(50, 3))
    table = read(pa.table({"v": numbers, "i": [1, 2]}))
    assert table.where("i > 1").to_rows() == [{"v": None, "i": 2}]
    for ask in (
        table.where("v > 1").to_rows,
        table.where("v is null").count,
        lambda: table.sql("select max(v) as v from this").to_rows(),
    ):
        with pytest.raises(SettingsError, match="more than 38 digits"):
            ask()


def test_brackets_without_end_are_told() -> None:
    deep = "(" * 3000 + "age = 1" + ")" * 3000
    with pytest.raises(SettingsError, match="too many brackets"):
        parse(deep, COLUMNS)
    with pytest.raises(SettingsError, match="too many brackets"):
        read([{"age": 1}]).sql(f"select age from this where {deep}").to_rows()
