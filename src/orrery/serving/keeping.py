"""What is kept of the answers: which share, without which columns, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from pydantic import Field

from orrery.errors import UnknownColumnError
from orrery.estimators.signature import Signature
from orrery.serving.parquet import Answered
from orrery.spec import Spec


class Keeping(Spec):
    """Which answers are recorded, and what of them.

    >>> Keeping(share=0.1, redact=["card"]).redact
    ('card',)
    """

    share: float = Field(default=1.0, gt=0, le=1)
    """Of the rows, chosen by their ids: a row that is asked twice is kept twice or not at all."""
    redact: tuple[str, ...] = ()
    """Columns that are null in the record."""
    to: str = Field(default="", repr=False)
    """A URL of SQLAlchemy or ``kafka://host:port/topic``; empty for Parquet in the home."""

    def check(self, signatures: Iterable[Signature]) -> None:
        """Whether each column that is not to be kept is one of a model's. Raises UnknownColumnError."""
        known = {field.name for signature in signatures for field in signature.whole.each()}
        for name in self.redact:
            if name not in known:
                raise UnknownColumnError(name, sorted(known))

    def kept(self, answered: Answered) -> Answered | None:
        """What is kept of an answer; None for nothing."""
        if self.redact:
            nothing = [None] * len(answered.ids)
            columns = {n: nothing if n in self.redact else v for n, v in answered.columns.items()}
            answered = replace(answered, columns=columns)
        if self.share >= 1:
            return answered
        rows = [row for row, each in enumerate(answered.ids) if is_kept(each, self.share)]
        return _rows(answered, rows) if rows else None


def is_kept(row_id: str, share: float) -> bool:
    """Whether a row belongs to a share, by its id alone.

    >>> sum(is_kept(str(i), 0.1) for i in range(10_000))
    1029
    """
    digest = hashlib.blake2b(row_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def _rows(answered: Answered, rows: list[int]) -> Answered:
    return replace(
        answered,
        ids=[answered.ids[row] for row in rows],
        columns={name: [values[row] for row in rows] for name, values in answered.columns.items()},
        answers=[answered.answers[row] for row in rows],
        size_bytes=answered.size_bytes * len(rows) // len(answered.ids),
    )
