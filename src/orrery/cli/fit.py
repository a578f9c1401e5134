"""``orrery fit``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orrery.cli.options import DataArgument, Kinds, Output, Query, Reading, Where, app_of, pairs, values
from orrery.cli.output import Format, no_bars, show, tell
from orrery.cli.tables import open_table
from orrery.estimators.estimator import Estimator
from orrery.estimators.estimator import fit as fit_model


def fit(
    data: DataArgument,
    target: Annotated[str, typer.Option(help="The column to predict.")],
    to: Annotated[Path, typer.Option(help="Where to save the model: a folder, or a file.zip.")] = Path(
        "model"
    ),
    learner: Annotated[str, typer.Option(help="auto, network, boosted or linear.")] = "auto",
    query: Query = None,
    where: Where = None,
    option: Reading = None,
    kind: Kinds = None,
    validation: Annotated[
        str | None, typer.Option(help="Rows to stop by; a part of DATA, unless given.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the learner: epochs=5. May be repeated.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A column not to learn from.")] = None,
    weight: Annotated[str | None, typer.Option(help="A column that says how much each row counts.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    workers: Annotated[
        str, typer.Option(help="How many learn together: a number, or auto: one for each GPU, or core.")
    ] = "1",
    engine: Annotated[str, typer.Option(help="Where they work.")] = "local",
    exchange: Annotated[str, typer.Option(help="How they agree: allreduce, average, sharded.")] = "allreduce",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print every setting, inferred ones too.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Learn a model that predicts one column from the others.

    What columns mean, which features to learn and how to learn are inferred; --dry-run prints it in full.

    Examples:
      orrery fit rows.csv --target price --to model
      orrery fit sqlite:///digits.db --query "select image, label from digits" --target label
      orrery fit rows.parquet --target churned --learner boosted --kind postcode=category
      orrery fit rows.csv --target price --dry-run
    """
    no_bars(output)
    table = open_table(data, query, kind, where, option)
    chosen = values(settings, "setting")
    own: dict[str, Any] = {"weight": weight, "ignore": tuple(ignore or ())}
    if dry_run:
        recipe = {"target": target, "learner": {"kind": learner, **chosen}, "seed": seed, **own}
        estimator = Estimator.from_dict({**recipe, "kinds": pairs(kind, "kind")}).resolve(table)
        show(estimator.to_dict(), Format.YAML if output is Format.TABLE else output)
        return
    start = time.perf_counter()
    held = None if validation is None else open_table(validation, query, kind, options=option)
    place: dict[str, Any] = {"engine": engine if workers != "1" else None, "exchange": exchange}
    place["workers"] = int(workers) if workers.isdigit() else workers
    model = fit_model(
        table,
        target,
        learner=learner,
        validation=held,
        kinds=pairs(kind, "kind"),
        seed=seed,
        **place,
        **own,
        **chosen,
    )
    model.save(to)
    for note in model.notes:
        tell(f"· {note}")
    took = time.perf_counter() - start
    inputs = list(model.signature.inputs.names)
    facts = {"model": str(to), "learner": learner, "target": target, "inputs": inputs}
    show({**facts, "seconds": f"{took:.1f}" if output is Format.TABLE else round(took, 3)}, output)


app = app_of(fit)
