"""The loop of a batch: pieces of the rows are answered and kept, unless they are already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.quarantine import BadRow
from orrery.data.rowhash import RowsHash
from orrery.engines.engine import Engine
from orrery.errors import BadRowError, EngineError
from orrery.estimators.model import Model
from orrery.schema import Schema
from orrery.serving.batch.answering import Answer, answer_here, answer_on
from orrery.serving.batch.parts import Parts


class Piece(NamedTuple):
    """Some rows: which piece it is, their hash, and how many are before them."""

    number: int
    key: str
    first: int
    rows: RecordBatch


class Loop:
    """Answers pieces, and counts: rows read, resumed ones, bad ones. Raises BadRowError, SettingsError."""

    def __init__(
        self, model: Model, columns: Iterable[str], parts: Parts, sets_aside: bool, source: str
    ) -> None:
        self.model = model
        self.columns = list(columns)
        self.parts = parts
        self.sets_aside = sets_aside
        self.source = source
        self.rows = self.resumed = self.bad = 0

    def run(
        self, pieces: Iterable[RecordBatch], engine: Engine | str | None, tell: Callable[[int], object]
    ) -> None:
        """Answer what is not answered yet; ``tell`` hears of so many rows more."""
        answer, together = (answer_here(self.model), 1) if engine is None else answer_on(self.model, engine)
        waiting: list[Piece] = []
        number = -1
        for number, rows in enumerate(pieces):
            piece = Piece(number, _key(rows), self.rows, rows)
            self.rows += rows.num_rows
            if self.parts.has(number, piece.key):
                self.resumed += rows.num_rows
                tell(rows.num_rows)
            else:
                waiting.append(piece)
            if len(waiting) == together:
                self._answer(waiting, answer, tell)
                waiting = []
        self._answer(waiting, answer, tell)
        self.parts.check_end(number + 1)
        self.bad = self.parts.bad().num_rows

    def _answer(self, pieces: list[Piece], answer: Answer, tell: Callable[[int], object]) -> None:
        if not pieces:
            return
        try:
            answers = answer([piece.rows for piece in pieces])
        except (BadRowError, EngineError) as error:
            if not self.sets_aside:
                raise
            found = [self._sound(piece) for piece in pieces]
            if not any(bad for _, _, bad in found):
                raise error from None  # it was not the rows
        else:
            found = [(piece.rows, each, []) for piece, each in zip(pieces, answers, strict=True)]
        for piece, (rows, answered, bad) in zip(pieces, found, strict=True):
            self.parts.put(piece.number, piece.key, self._beside(rows, answered), bad)
            tell(piece.rows.num_rows)

    def _beside(self, rows: RecordBatch, answered: RecordBatch) -> RecordBatch:
        kept = rows.select(self.columns)
        return pa.RecordBatch.from_arrays(
            [*kept.columns, *answered.columns], schema=self.model.signature.answered(kept.schema)
        )

    def _sound(self, piece: Piece) -> tuple[RecordBatch, RecordBatch, list[dict[str, Any]]]:
        """The rows that can be answered, their answers, and the others with the reason."""
        bad: list[dict[str, Any]] = []
        kept: list[RecordBatch] = [piece.rows.slice(0, 0)]
        answers = answer_here(self.model)([piece.rows.slice(0, 0)])

        def halve(rows: RecordBatch, first: int) -> None:
            try:
                answers.extend(answer_here(self.model)([rows]))
                kept.append(rows)
            except BadRowError as error:
                if rows.num_rows == 1:
                    bad.append(BadRow(self.source, first + 1, None, "", error.message)._asdict())
                    return
                half = rows.num_rows // 2
                halve(rows.slice(0, half), first)
                halve(rows.slice(half), first + half)

        halve(piece.rows, piece.first)
        return _joined(kept), _joined(answers), bad


def _joined(batches: list[RecordBatch]) -> RecordBatch:
    found = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return found[0] if found else batches[0]


def _key(rows: RecordBatch) -> str:
    seen = RowsHash(Schema.of(rows.schema))
    seen.add(rows)
    return seen.key()
