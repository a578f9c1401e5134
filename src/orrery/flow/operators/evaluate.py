"""Judge a model on rows it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from orrery.data.table import Table
from orrery.estimators.model import Model
from orrery.evaluation.report import Report
from orrery.flow.operator import Column, operator


def _page_is_there(settings: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    return settings["page"] is None or Path(settings["page"]).exists()


@operator(uses=("numpy", "onnxruntime"), holds=_page_is_there)
def evaluate(
    model: Model,
    table: Table,
    *,
    by: Annotated[str | list[str] | None, Column("table")] = None,
    page: str | None = None,
) -> Report:
    """Judge a model on rows it has not seen.

    Args:
        model: The model to judge.
        table: Rows with the target, which the model has not learnt from.
        by: Columns; every value of theirs is judged apart too.
        page: Where to write the report as a web page: report.html.
    """
    report = model.evaluate(table, by=by)
    if page is not None:
        report.save(page)
    return report
