"""The part of a table that says where its rows come from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from orrery.data.explain import Explanation, explained
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

    def explain(self) -> Explanation:
        """What the place does itself, what is done here, and the bytes that takes; reads no rows."""
        return explained(self._pipeline)


def _key(step: Step) -> dict[str, Any]:
    others = [table.fingerprint() for table in tables_of(step)]
    return {**told(step), "tables": others} if others else told(step)
