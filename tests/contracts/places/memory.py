"""Rows in memory."""

from __future__ import annotations

import polars as pl
from tests.contracts.rows import NAMES, arrow_of

from orrery.data.table import read

PLACES = {
    "arrow": lambda rows, ask: read(arrow_of(rows)),
    "batch reader": lambda rows, ask: read(arrow_of(rows).to_reader(10)),
    "pandas": lambda rows, ask: read(arrow_of(rows).to_pandas()),
    "polars": lambda rows, ask: read(pl.from_arrow(arrow_of(rows))),
    "columns": lambda rows, ask: read({n: arrow_of(rows).column(n) for n in NAMES}),
}
