"""What goes over the desk: the rows that are asked, and who answered them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orrery.data.windows import Windows
from orrery.estimators.signature import Signature
from orrery.serving.route import Live
from orrery.serving.runner import Columns


@dataclass(frozen=True)
class Question:
    """The rows of one request, as the columns that the version asked for reads."""

    columns: Columns
    ids: Sequence[str]
    """One per row: what the outcome will be joined by."""
    record: bool = True
    beside: Callable[[str], Sequence[object]] | None = None
    """The values of a column that the version does not read, for a route that splits by it."""
    mixed: bool = False
    """Whether its face can tell answers whose labels differ from row to row; tensors cannot."""
    again: Callable[[Signature], Columns] | None = None
    """The same rows as another version reads them, for one whose columns differ."""
    past: Mapping[Windows, Columns] = field(default_factory=dict)
    """What happened before each row, for each of the windows that some version reads."""

    def beside_past(self, columns: Columns, signature: Signature) -> Columns:
        """Columns as a version reads them, and what happened before."""
        found = self.past.get(signature.windows) if signature.windows is not None else None
        return columns if found is None else {**columns, **found}


@dataclass(frozen=True)
class Reply:
    """The answers, and who gave them: the version that was asked, another one, or several."""

    answers: list[dict[str, Any]]
    """One per row."""
    live: Live
    """Who answered; the first of them, where the rows were divided."""
    by: Sequence[Live] | None = None
    """Who answered each row, where the rows were divided."""

    @property
    def version(self) -> str:
        """The version for a header or a tag: ``3``; ``3,4`` where the rows were divided."""
        lives = [self.live] if self.by is None else self.by
        return ",".join(dict.fromkeys(str(live.version) for live in lives))

    @property
    def versions(self) -> list[int]:
        """The version that answered each row."""
        if self.by is not None:
            return [live.version for live in self.by]
        return [self.live.version] * len(self.answers)
