"""``orrery publish``."""

from __future__ import annotations

from typing import Annotated

import typer

from orrery.cli.options import ModelArgument, Output, Query, app_of
from orrery.cli.output import Format, show
from orrery.cli.tables import open_table
from orrery.feedback.publish import publish as publish_model
from orrery.flow.ports import describe
from orrery.registry.load import load


def publish(
    model: ModelArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, '.', '-' and '_'.")],
    test: Annotated[str | None, typer.Option(help="Rows to compare it with the champion on.")] = None,
    query: Query = None,
    note: Annotated[str, typer.Option(help="A line for the list of versions.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Publish a model as the next version of a name. The first is champion; later ones if they are better.

    Its example rows are replayed first: a model that does not repeat its own answers is not published.

    Examples:
      orrery publish model prices
      orrery publish model prices --test test.csv --note "with the rows of May"
    """
    rows = None if test is None else open_table(test, query)
    text, facts = describe(publish_model(load(model), name, test=rows, note=note))
    show(facts, output, text=text)


app = app_of(publish)
