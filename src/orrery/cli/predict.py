"""``orrery predict``."""

from __future__ import annotations

from typing import Annotated

import typer

from orrery.cli.options import DataArgument, ModelArgument, Output, Query, Reading, Where, app_of
from orrery.cli.output import Format, show
from orrery.cli.tables import open_table
from orrery.registry.load import load


def predict(
    model: ModelArgument,
    data: DataArgument,
    query: Query = None,
    where: Where = None,
    option: Reading = None,
    to: Annotated[
        str | None, typer.Option(help="Where to write all rows: .parquet, .csv, .csv.gz, .jsonl.")
    ] = None,
    rows: Annotated[int, typer.Option(help="How many rows to print, if they are not written.")] = 10,
    output: Output = Format.TABLE,
) -> None:
    """Add a prediction to each row; all columns and their order stay. DATA may be - for JSON lines.

    In CSV the probability of each class is a column of its own: probabilities.yes, probabilities.no.

    Examples:
      orrery predict model new.csv --to answers.csv
      orrery predict models:/prices 'new/*.parquet' --rows 3
      echo '{"rooms": 4, "city": "Lyon"}' | orrery predict models:/prices - --output json
    """
    answered = load(model).predict(open_table(data, query, where=where, options=option))
    if to is None:
        first = answered.head(rows).to_rows()
        columns = [name for name in answered.schema.names if name != "probabilities"]
        show(first, output, columns=columns)
        return
    written = answered.write(to)
    show({"rows": written.count(), "to": to}, output)


app = app_of(predict)
