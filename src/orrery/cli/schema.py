"""``orrery schema``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from orrery.cli.options import Output, app_of
from orrery.cli.output import Format, show
from orrery.errors import SettingsError, did_you_mean, listing
from orrery.estimators.estimator import Estimator
from orrery.features.feature import Feature
from orrery.flow.operators import find, names
from orrery.flow.schema import flow_schema, operator_schema
from orrery.learners.learner import Learner
from orrery.schema import Schema
from orrery.spec import Choice


def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="What; all names, unless given.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Print a JSON Schema: of flow files (for editors), operators, learners, features, estimators.

    Examples:
      orrery schema
      orrery schema flow > flow.schema.json
      orrery schema operators/split
      orrery schema learners/network --output yaml
    """
    known = _schemas()
    if name is None:
        show(sorted(known), output, text="\n".join(sorted(known)))
        return
    if name not in known:
        raise SettingsError(
            f"There is no schema {name!r}. There are {listing(known, 12)}.", hint=did_you_mean(name, known)
        )
    show(known[name](), Format.JSON if output is Format.TABLE else output)


def _schemas() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every name, and what makes its schema when it is asked for."""
    found: dict[str, Callable[[], dict[str, Any]]] = {
        "flow": flow_schema,
        "estimator": Estimator.model_json_schema,
        "table": Schema.model_json_schema,
    }
    for operator in names():
        found[f"operators/{operator}"] = partial(_of_operator, operator)
    families: dict[str, type[Choice]] = {"learners": Learner, "features": Feature}
    for family, base in families.items():
        for kind in base.kinds():
            found[f"{family}/{kind}"] = partial(_of_member, base, kind)
    return found


def _of_operator(name: str) -> dict[str, Any]:
    return operator_schema(find(name))


def _of_member(family: type[Choice], kind: str) -> dict[str, Any]:
    return family.member(kind).model_json_schema()


app = app_of(schema)
