"""``orrery feedback``: what happened after predictions, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orrery.cli.options import Output, Query, help_of, new_app
from orrery.cli.output import Format, no_bars, show, tell
from orrery.cli.tables import open_table
from orrery.feedback.drift import drift as drift_of
from orrery.feedback.outcomes import outcomes as keep_outcomes
from orrery.feedback.promotion import Rule, decisions
from orrery.feedback.promotion import promote as promote_version
from orrery.feedback.retrain import retrain as retrain_model
from orrery.flow.ports import describe
from orrery.training.progress import bars

app = new_app("What happened after predictions: outcomes, drift, retraining, promotion.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The published name.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="A model that was not made here: use the places and code it names.")
]


def outcomes(
    name: Name,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="Rows with the prediction's id and the outcome; - for JSON lines."
        ),
    ],
    query: Query = None,
    output: Output = Format.TABLE,
) -> None:
    """Keep what really happened, by the ids of predictions.

    Examples:
      orrery feedback outcomes prices sold.csv
      echo '{"id": "01J…", "price": 310000}' | orrery feedback outcomes prices -
    """
    kept = keep_outcomes(name, open_table(data, query))
    show({"name": name, "kept": kept}, output, text=f"Kept {kept:,} outcomes of {name}.")


def drift(
    name: Name,
    reference: Annotated[
        str | None, typer.Option(help="Rows to compare with; those learnt from, unless given.")
    ] = None,
    query: Query = None,
    trust: Trust = False,
    output: Output = Format.TABLE,
) -> None:
    """Compare what a model is asked today with the rows it has learnt from, column by column.

    Examples:
      orrery feedback drift prices
      orrery feedback drift prices --output json | jq '.columns[] | select(.verdict == "drifted") | .column'
    """
    table = None if reference is None else open_table(reference, query)
    found = drift_of(name, reference=table, trust=trust)
    show(found.to_dict(), output, text=str(found))


def retrain(
    name: Name,
    to: Annotated[Path, typer.Option(help="Where to save the model: a folder, or a file.zip.")] = Path(
        "model"
    ),
    data: Annotated[str | None, typer.Option(help="The old rows; those learnt from, unless given.")] = None,
    query: Query = None,
    trust: Trust = False,
    output: Output = Format.TABLE,
) -> None:
    """Learn again by the champion's recipe, from the old rows and those with outcomes. Publishes nothing.

    Examples:
      orrery feedback retrain prices --to model-2 && orrery publish model-2 prices --test test.csv
    """
    no_bars(output)
    shown = bars()
    table = None if data is None else open_table(data, query)
    model = retrain_model(name, table, observers=[shown] if shown else [], trust=trust)
    model.save(to)
    for note in model.notes:
        tell(f"· {note}")
    show({"model": str(to), "parent": model.lineage.get("parent", "")}, output)


def promote(
    name: Name,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A number or an alias, such as challenger.")
    ],
    test: Annotated[str, typer.Option(help="Rows that neither model has learnt from.")],
    query: Query = None,
    metric: Annotated[str | None, typer.Option(help="log_loss, accuracy, rmse …")] = None,
    least_gain: Annotated[float, typer.Option(help="By how much it must be better.")] = 0.0,
    output: Output = Format.TABLE,
) -> None:
    """Compare a version with the champion on the same rows; it takes over only if it is better.

    Examples:
      orrery feedback promote prices challenger --test test.csv
      orrery feedback promote prices 4 --test test.csv --metric rmse --least-gain 100
    """
    which = int(version) if version.isdigit() else version
    rule = Rule(metric=metric, least_gain=least_gain)
    text, facts = describe(promote_version(name, which, open_table(test, query), rule))
    show(facts, output, text=text)


def list_decisions(name: Name, output: Output = Format.TABLE) -> None:
    """List every promotion and rollback, with its reason.

    Examples:
      orrery feedback decisions prices
    """
    rows = [decision.to_dict() for decision in decisions(name)]
    if output is Format.TABLE:
        rows = [{**row, "time": row["time"][:16].replace("T", " ")} for row in rows]
    show(rows, output, columns=["time", "challenger", "champion", "promoted", "reason"], widest=140)


_COMMANDS: dict[str, Callable[..., None]] = {
    "outcomes": outcomes,
    "drift": drift,
    "retrain": retrain,
    "promote": promote,
    "decisions": list_decisions,
}
for _name, _function in _COMMANDS.items():
    app.command(_name, help=help_of(_function))(_function)
