"""How tables and profiles show themselves: one line, plain text, or a piece of a page in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orrery.data.steps import told
from orrery.display import Both, Html, figure, fragment, percent, spark, table_html, text_table

if TYPE_CHECKING:
    from orrery.data.profile import ColumnProfile, Profile
    from orrery.data.table import Table

_FIGURES = ("mean", "minimum", "maximum")
_ROWS = 10
_COLUMNS = 20


def line(table: Table) -> str:
    """One line; nothing is read for it."""
    verbs = [str(told(step)["step"]) for step in table.steps]
    return f"Table({', '.join([repr(table.source), *verbs])})"


def table_page(table: Table) -> str:
    """The first rows of a table, under the columns' names and types."""
    names = table.schema.names[:_COLUMNS]
    rows = table.select(*names).head(_ROWS).to_rows()
    shown = [
        f"{name} · {field.kind.value if field.kind else field.type}"
        for name, field in zip(names, table.schema.fields, strict=False)
    ]
    left = len(table.schema.names) - len(names)
    more = Both(f"and {left} more columns", f"另有 {left} 列") if left else ""
    body = table_html(shown, [[_plain(row[name]) for name in names] for row in rows], note=more)
    return fragment(body, title=line(table))


def profile_page(profile: Profile) -> str:
    """A profile in a notebook."""
    heads = [
        Both("Column", "列"),
        Both("Type", "类型"),
        Both("Missing", "缺失"),
        Both("Distinct", "不同值"),
        Both("Mean", "均值"),
        Both("Least", "最小"),
        Both("Greatest", "最大"),
        Both("Distribution", "分布"),
    ]
    rows = [
        [c.name, c.type, percent(_share(c)), _distinct(c), *map(or_date(c), _FIGURES), _drawn(c)]
        for c in profile.columns[:1000]
    ]
    told = f": {profile.sample}" if profile.sample else ""
    some = f"(抽样:最多 {profile.sample.rows:,} 行)" if profile.sample else ""
    title = Both(f"{profile.rows:,} rows{told}", f"{profile.rows:,} 行{some}")
    return fragment(table_html(heads, rows), title=title)


def profile_text(profile: Profile) -> str:
    """A profile on a terminal."""
    heads = ["column", "type", "missing", "distinct", "mean", "least", "greatest", "most frequent"]
    rows = [
        [
            c.name,
            c.type,
            percent(_share(c)),
            _distinct(c),
            *map(_number, map(or_date(c), _FIGURES)),
            _most(c),
        ]
        for c in profile.columns
    ]
    told = f": {profile.sample}" if profile.sample else ""
    return f"{profile.rows:,} rows{told}\n{text_table(heads, rows)}"


def _share(column: ColumnProfile) -> float:
    return column.missing / column.rows if column.rows else 0.0


def _distinct(column: ColumnProfile) -> str:
    return f"{'' if column.distinct_exact else '≈ '}{column.distinct:,}"


def or_date(column: ColumnProfile) -> Callable[[str], float | str | None]:
    """From the name of a figure (``minimum`` …) to its value; of a date, as a person reads it."""
    return lambda name: column.dates[name][:19] if name in column.dates else getattr(column, name)


def _number(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else figure(value)


def _most(column: ColumnProfile) -> str:
    return ", ".join(value for value, _ in column.top[:3])


def _drawn(column: ColumnProfile) -> Html | str:
    return spark(column.histogram.counts) if column.histogram is not None else _most(column)


def _plain(value: Any) -> Any:
    """Long lists are cut: a row is one line."""
    return f"{str(value[:8])[:-1]}, …]" if isinstance(value, list) and len(value) > 8 else value
