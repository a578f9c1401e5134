"""``orrery predict``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from orrery.cli.options import DataArgument, ModelArgument, Output, Query, Reading, Where, app_of
from orrery.cli.output import Format, no_bars, show
from orrery.cli.tables import open_table
from orrery.errors import SettingsError
from orrery.registry.load import load


class OnBad(StrEnum):
    """What is done about a row that cannot be read, or answered."""

    FAIL = "fail"
    SKIP = "skip"


def predict(
    model: ModelArgument,
    data: DataArgument,
    out: Annotated[
        str | None,
        typer.Argument(metavar="OUT", help="Where all rows go: .parquet, .csv, .csv.gz, .jsonl, a folder/."),
    ] = None,
    query: Query = None,
    where: Where = None,
    option: Reading = None,
    to: Annotated[str | None, typer.Option(help="The same as OUT.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="Who answers: spark://host:7077, ray://host:10001; else this process.")
    ] = None,
    on_bad: Annotated[
        OnBad, typer.Option(help="A bad row ends it, or is set aside in OUT.bad.csv and counted.")
    ] = OnBad.FAIL,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, where a call that was stopped would go on.")
    ] = False,
    rows: Annotated[int, typer.Option(help="How many rows to print, if they are not written.")] = 10,
    output: Output = Format.TABLE,
) -> None:
    """Add a prediction to each row; all columns and their order stay. DATA may be - for JSON lines.

    OUT appears whole or not at all. A call that was stopped, even by kill -9, goes on when it is made again.
    In CSV the probability of each class is a column of its own: probabilities.yes, probabilities.no.

    Examples:
      orrery predict model new.csv answers.csv
      orrery predict models:/prices@champion 'new/*.parquet' answers.parquet --on-bad skip
      orrery predict models:/prices 'new/*.parquet' --rows 3
      echo '{"rooms": 4, "city": "Lyon"}' | orrery predict models:/prices - --output json
    """
    if out is not None and to is not None and out != to:
        raise SettingsError(f"The rows go to {out!r}, or to {to!r}; not both.", hint="Leave --to out.")
    to = out or to
    options = [*(option or []), *(["on_bad=quarantine"] if on_bad is OnBad.SKIP else [])]
    table = open_table(data, query, where=where, options=options)
    if to is None:
        answered = load(model).predict(table)
        columns = [name for name in answered.schema.names if name != "probabilities"]
        show(answered.head(rows).to_rows(), output, columns=columns)
        return
    from orrery.serving.batch.batch import batch

    no_bars(output)
    done = batch(
        model,
        table,
        to,
        engine=engine,
        on_bad="quarantine" if on_bad is OnBad.SKIP else "stop",
        restart=restart,
    )
    told = {"rows_in": done.rows + done.bad, "rows": done.rows, "bad": done.bad, "to": done.to}
    told |= {"bad_to": done.bad_to} if done.bad_to else {}
    show({**told, "model": done.model, "resumed": done.resumed}, output)


app = app_of(predict)
