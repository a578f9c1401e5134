"""Tables whose rows an engine has itself: what of them it feeds to a gang, or passes over where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orrery.data.pipeline import Pipeline, build
from orrery.data.rows import needed
from orrery.data.rowwise import is_rowwise, learn_cuts


@dataclass(frozen=True)
class Fed:
    """Rows that the engine feeds to a gang, and how workers make a table of them again."""

    source: Any
    columns: tuple[str, ...]
    where: str | None

    @property
    def names(self) -> list[str]:
        """The columns that travel."""
        return needed(self.source.schema().arrow().names, self.columns, self.where)


def fed_by(engine: Any, table: Any) -> Pipeline | None:
    """The table's pipeline, where its rows are the engine's own, and no step looks at other rows.

    An engine says in ``holds`` which kind of source that is.
    """
    holds = getattr(engine, "holds", None)
    if holds is None or not isinstance(table.source, holds):
        return None
    pipeline = build(table.source, table.steps)
    if not isinstance(pipeline.source, holds) or not is_rowwise(pipeline):
        return None
    learn_cuts(pipeline)
    return pipeline


def fed_of(pipeline: Pipeline, columns: Sequence[str]) -> Fed:
    """What is to be fed for some columns of a table."""
    return Fed(pipeline.source, tuple(pipeline.needs(columns)[0]), pipeline.where)
