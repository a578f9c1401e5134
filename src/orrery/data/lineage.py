"""The part of a table that says where its rows come from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from orrery.data.pipeline import Pipeline
from orrery.data.source import Source
from orrery.data.steps import Step, tables_of, told
from orrery.data.variables import unfilled
from orrery.spec import stable_key


class Traceable:
    """What can be said of a table without its rows."""

    source: Source
    steps: Sequence[Step]

    @cached_property
    def _pipeline(self) -> Pipeline:
        raise NotImplementedError

    def fingerprint(self) -> str:
        """A hash of the source's data and of the steps: equal data and steps, equal fingerprint."""
        return stable_key(self.source.fingerprint(), [_key(step) for step in self.steps])

    def to_dict(self) -> dict[str, Any]:
        """Source and steps as plain values, without secrets: a ``${VAR}`` stays one.

        Raises SettingsError for rows in memory.
        """
        plan = {**self.source.to_dict(), "steps": [step.to_dict() for step in self.steps]}
        kept: dict[str, Any] = unfilled(plan)
        return kept

    def explain(self) -> str:
        """What the place does itself, what is done here, and how much was read from it so far."""
        pipeline = self._pipeline
        pushed = getattr(pipeline.source, "pushed", None)
        taken = pushed(pipeline.where) if pushed is not None and pipeline.where is not None else ""
        columns = pipeline.needs(pipeline.schema.names)[0]
        lines = [
            f"from     {pipeline.source!r}",
            f"columns  {len(columns)} of {len(pipeline.schemas[0].names)}",
            *([f"where    {pipeline.where}"] if pipeline.where else []),
            *([f"there    {taken}"] if taken else []),
            *[f"then     {step.to_dict()}" for step in pipeline.steps],
            f"read     {getattr(pipeline.source, 'bytes_read', 0):,} bytes so far",
        ]
        return "\n".join(lines)


def _key(step: Step) -> dict[str, Any]:
    others = [table.fingerprint() for table in tables_of(step)]
    return {**told(step), "tables": others} if others else told(step)
