"""``orrery evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orrery.cli.options import DataArgument, ModelArgument, Output, Query, Reading, Where, app_of
from orrery.cli.output import Format, show
from orrery.cli.tables import open_table
from orrery.registry.load import load


def evaluate(
    model: ModelArgument,
    data: DataArgument,
    query: Query = None,
    where: Where = None,
    option: Reading = None,
    by: Annotated[
        list[str] | None, typer.Option(help="A column; each of its values is judged apart too.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the report: .html or .json.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Judge a model on rows it has not seen: metrics, and a report as a web page.

    Examples:
      orrery evaluate model test.csv
      orrery evaluate models:/prices@champion test.csv --by city --report prices.html
      orrery evaluate model test.csv --output json | jq .accuracy
    """
    found = load(model).evaluate(open_table(data, query, where=where, options=option), by=by)
    if output is Format.TABLE:
        found.show(report)
        return
    if report is not None:
        found.save(report)
    show(found.metrics, output)


app = app_of(evaluate)
