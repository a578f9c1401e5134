"""``orrery data``: rows where they lie."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from orrery.cli.options import DataArgument, Kinds, Output, Query, Reading, Where, help_of, new_app
from orrery.cli.output import Format, say, show, tell
from orrery.cli.tables import open_table
from orrery.data.profile import ColumnProfile
from orrery.data.views import or_date
from orrery.display.terminal import shorten

app = new_app("Look at rows where they lie: files, folders of images, databases.")


def head(
    data: DataArgument,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many.")] = 5,
    query: Query = None,
    where: Where = None,
    option: Reading = None,
    output: Output = Format.TABLE,
) -> None:
    """Print the first rows.

    Examples:
      orrery data head rows.csv
      orrery data head export.csv --option delimiter=';' --option encoding=latin-1
      orrery data head sqlite:///digits.db --query "select label from digits" -n 3
      orrery data head 'logs/*.parquet' --where "status >= 500" --output json
    """
    show(open_table(data, query, where=where, options=option).head(rows).to_rows(), output)


def describe(
    data: DataArgument,
    query: Query = None,
    where: Where = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Look at so many rows.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Look at all rows, of a table on another machine too.")
    ] = False,
    option: Reading = None,
    output: Output = Format.TABLE,
) -> None:
    """Say of each column: type, missing, distinct, least, mean, most, and the most frequent values.

    Examples:
      orrery data describe rows.csv
      orrery data describe rows.csv --output json | jq '.columns[] | select(.missing > 0) | .name'
    """
    chosen: int | Literal["auto"] | None = None if everything else sample if sample is not None else "auto"
    profile = open_table(data, query, where=where, options=option).describe(sample=chosen)
    if output is not Format.TABLE:
        show(profile.to_dict(), output)
        return
    show([_row(column) for column in profile.columns], output)
    tell(f"\n{profile.rows:,} rows, {len(profile.columns)} columns")
    if profile.sample is not None:
        tell(f"This is {profile.sample}. With --all: every row.")


def schema(
    data: DataArgument,
    query: Query = None,
    kind: Kinds = None,
    option: Reading = None,
    output: Output = Format.TABLE,
) -> None:
    """Print the columns and their types.

    Examples:
      orrery data schema rows.parquet
      orrery data schema rows.csv --output yaml
    """
    fields = open_table(data, query, kind, options=option).schema.fields
    rows = [field.to_dict() for field in fields]
    show(rows, output, columns=["name", "type", *(["kind"] if any(f.kind for f in fields) else [])])


def explain(
    data: DataArgument,
    query: Query = None,
    where: Where = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="Only this column. May be given several times.")
    ] = None,
    option: Reading = None,
    output: Output = Format.TABLE,
) -> None:
    """Say what reading would do: what is pushed down to the place, and how many bytes would be read.

    Examples:
      orrery data explain rows.parquet --where "price > 100" --column price
      orrery data explain 'logs/*.parquet' --output json | jq .to_read_bytes
    """
    table = open_table(data, query, where=where, options=option)
    plan = (table.select(column) if column else table).explain()
    if output is Format.TABLE:
        say(str(plan))
    else:
        show(plan.to_dict(), output)


def _row(column: ColumnProfile) -> dict[str, Any]:
    def figure(name: str) -> str:
        value = or_date(column)(name)
        return "" if value is None else value if isinstance(value, str) else f"{value:.4g}"

    distinct = f"{column.distinct:,}" if column.distinct_exact else f"≈ {column.distinct:,}"
    return {
        "column": column.name,
        "type": column.type,
        "missing": column.missing,
        "distinct": distinct,
        "least": figure("minimum"),
        "mean": figure("mean"),
        "most": figure("maximum"),
        "frequent": ", ".join(f"{shorten(value, 16)} ({count:,})" for value, count in column.top[:3]),
    }


for _function in (head, describe, schema, explain):
    app.command(help=help_of(_function))(_function)
