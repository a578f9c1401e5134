"""Cut a table into a part to learn from and a part to judge by."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from orrery.data.table import Table
from orrery.flow.operator import Column, operator


class Parts(NamedTuple):
    """Two parts that add up to the whole."""

    train: Table
    test: Table


@operator(lazy=True)
def split(
    table: Table,
    *,
    ratio: float = 0.8,
    stratify: Annotated[str | None, Column("table")] = None,
    group: Annotated[str | None, Column("table")] = None,
    rule: str | None = None,
    time: Annotated[str | None, Column("table")] = None,
    keys: Annotated[list[str] | None, Column("table")] = None,
    seed: int = 0,
) -> Parts:
    """Cut a table into a part to learn from and a part to judge by; the same row is always in the same part.

    Args:
        table: The rows to cut.
        ratio: The share of rows in the first part.
        stratify: A column whose values have the same share in both parts.
        group: A column; rows of one value stay together.
        rule: An SQL condition; rows that fulfil it are the first part.
        time: A column of dates; the oldest rows are the first part.
        keys: The columns that tell rows apart; all, unless given.
        seed: Another seed cuts otherwise.
    """
    train, test = table.split(
        ratio, stratify=stratify, group=group, rule=rule, time=time, key=keys, seed=seed
    )
    return Parts(train, test)
