"""JSON in and out: one object per message.

Only the columns that the model reads become Python values. The answer is the message's own text with the
prediction behind it, so whatever else it holds comes through as it was written, digit by digit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from orrery.data.payloads.payload import Fault, shown
from orrery.errors import BadRequestError
from orrery.estimators.signature import Signature
from orrery.serving.online.values import as_id, from_base64, is_bytes
from orrery.serving.parquet import Answered
from orrery.serving.past import PastStore
from orrery.serving.route import Live
from orrery.serving.stream.before import look_before
from orrery.serving.stream.broker import Message
from orrery.serving.stream.form import Scored, Values, each_answered, tags_of

_WRONG = (msgspec.DecodeError, ValueError, RecursionError)
_BOM = b"\xef\xbb\xbf"
_DELETED: Values = (None,)
_ANSWER_BYTES = 600  # about what one recorded answer takes, beside the message

_encode_lines = msgspec.json.Encoder().encode_lines


class JsonForm:
    """Answers JSON objects.

    A message without one of the model's columns is a fault, as a request of one row would be; with
    ``absent_is_null`` the value is missing.
    """

    def __init__(
        self, tagged: bool = False, absent_is_null: bool = False, past: PastStore | None = None
    ) -> None:
        self.tagged = tagged
        self.absent_is_null = absent_is_null
        self.past = past
        self._reader: _Reader | None = None

    def score(self, live: Live, messages: Sequence[Message]) -> Scored:
        """Answer messages; a mark of a deleted key is passed on."""
        signature = live.runner.signature
        if self._reader is None or self._reader.signature is not signature:
            self._reader = _Reader(signature, self.tagged, self.absent_is_null)
        values, rows, places, faults = self._reader.rows(messages)
        columns = self._reader.columns(rows)
        if self.past is not None and signature.windows is not None:
            each = [range(i, i + 1) for i in range(len(rows))]
            ids = [messages[i].id for i in places]
            seen, wrong = look_before(self.past, signature.windows, columns, each, ids)
            columns |= seen
            if wrong:
                faults |= {places[row]: fault for row, fault in wrong.items()}
                good = [row for row in range(len(rows)) if row not in wrong]
                rows, places = [rows[i] for i in good], [places[i] for i in good]
                columns = {name: [values[i] for i in good] for name, values in columns.items()}

        def answer(low: int, high: int) -> Sequence[dict[str, Any]]:
            part = columns if high - low == len(rows) else {n: c[low:high] for n, c in columns.items()}
            return live.runner.predict_columns(part, high - low)

        found = each_answered(len(rows), answer)
        for row, fault in found.faults.items():
            faults[places[row]] = fault
        said = list(found.answers.values())
        if self.tagged:
            said = [{**a, **tags_of(live, messages[places[row]])} for row, a in found.answers.items()]
        for row, text in zip(found.answers, _lines(said), strict=False):
            i = places[row]
            values[i] = (_joined(messages[i].value or b"", text),)
        return Scored(
            values,
            faults,
            rows=len(found.answers),
            last=lambda most: list(found.answers.values())[-most:],
            recorded=lambda: _answered(live, [messages[i] for i in places], rows, columns, found.answers),
        )


def _lines(answers: list[dict[str, Any]]) -> list[bytes]:
    """Each as JSON: they are encoded together, and JSON has no line breaks of its own."""
    return _encode_lines(answers).split(b"\n")


def _joined(text: bytes, answer: bytes) -> bytes:
    """A JSON object with the members of another behind its own."""
    if text[-1:] == b"}" and text[:2] == b'{"':
        return text[:-1] + b"," + answer[1:]
    head = text.removeprefix(_BOM).rstrip()[:-1]
    comma = b"" if head.strip() == b"{" else b","
    return head + comma + answer[1:]


def _answered(
    live: Live,
    messages: Sequence[Message],
    rows: Sequence[Any],
    columns: dict[str, Sequence[Any]],
    answers: dict[int, dict[str, Any]],
) -> Answered:
    good = sorted(answers)
    if len(good) < len(rows):
        columns = {name: [values[i] for i in good] for name, values in columns.items()}
    size = sum(len(messages[i].value or b"") + _ANSWER_BYTES for i in good)
    return Answered(
        name=live.name,
        version=live.version,
        signature=live.runner.signature,
        ids=[_id(own, messages[i]) for own, i in zip(_own_ids(rows, good, columns), good, strict=True)],
        columns=columns,
        answers=[answers[i] for i in good],
        time_us=time.time_ns() // 1000,
        size_bytes=size,
    )


def _own_ids(rows: Sequence[Any], good: Sequence[int], columns: dict[str, Sequence[Any]]) -> Sequence[Any]:
    """What the rows call themselves; the model may read it too."""
    return columns["id"] if "id" in columns else [getattr(rows[i], "id_", None) for i in good]


def _id(own: Any, message: Message) -> str:
    """The row's own ``id``, where it is one; else where the message stands."""
    try:
        return message.id if own is None or own is msgspec.UNSET else as_id(own, "/id")
    except BadRequestError:
        return message.id


class _Reader:
    """Reads the columns of one signature from JSON objects."""

    def __init__(self, signature: Signature, tagged: bool, absent_is_null: bool) -> None:
        self.signature = signature
        self.names = list(signature.inputs.names)
        self.taken = [*signature.outputs.names, *(("_id", "_model") if tagged else ())]
        absent = (None,) if absent_is_null else ()
        fields: list[Any] = [(f"c{i}", Any, *absent) for i in range(len(self.names))]
        fields += [(f"o{i}", Any, msgspec.UNSET) for i in range(len(self.taken))]
        rename = {f"c{i}": name for i, name in enumerate(self.names)}
        rename |= {f"o{i}": name for i, name in enumerate(self.taken)}
        if "id" not in (*self.names, *self.taken):
            fields.append(("id_", Any, msgspec.UNSET))
            rename["id_"] = "id"
        row: Any = msgspec.defstruct("Row", fields, rename=rename, gc=False, kw_only=True)
        self._decode = msgspec.json.Decoder(row).decode
        self._taken_of = attrgetter("o0", *(f"o{i}" for i in range(len(self.taken))))
        self._untaken = (msgspec.UNSET,) * (1 + len(self.taken))
        self._bytes = [(f"c{i}", f.name) for i, f in enumerate(signature.inputs.each()) if is_bytes(f)]

    def rows(
        self, messages: Sequence[Message]
    ) -> tuple[list[Values], list[Any], list[int], dict[int, Fault]]:
        """Answers so far (of deleted keys), the rows, the message of each row, and what cannot be read."""
        values: list[Values] = [_DELETED] * len(messages)
        rows = self._quickly([message.value for message in messages])
        if rows is not None:
            return values, rows, list(range(len(rows))), {}
        rows = []
        places: list[int] = []
        faults: dict[int, Fault] = {}
        for i, message in enumerate(messages):
            text = message.value
            if text is None:
                continue
            try:
                row = self._row(text)
            except _WRONG as error:
                faults[i] = Fault(None, shown(text), str(error))
                continue
            if isinstance(row, Fault):
                faults[i] = row
            else:
                rows.append(row)
                places.append(i)
        return values, rows, places, faults

    def _quickly(self, texts: Sequence[Any]) -> list[Any] | None:
        """All rows at once; None where one of them needs to be looked at."""
        if self._bytes:
            return None
        try:
            rows = list(map(self._decode, texts))
            for text in texts:
                if not text.isascii():
                    text.decode()
        except (*_WRONG, TypeError):
            return None
        return rows if all(map(self._untaken.__eq__, map(self._taken_of, rows))) else None

    def _row(self, text: bytes) -> Any:
        if not text.isascii():
            text.decode()  # what is skipped is not looked at otherwise, and goes into the answer
            text = text.removeprefix(_BOM)
        row = self._decode(text)
        if self._taken_of(row) != self._untaken:
            name = next(n for i, n in enumerate(self.taken) if getattr(row, f"o{i}") is not msgspec.UNSET)
            return Fault(name, None, f"has {name!r} already, as the prediction would be called")
        for place, name in self._bytes:
            value = getattr(row, place)
            if isinstance(value, str):
                try:
                    setattr(row, place, from_base64(value))
                except ValueError as error:
                    return Fault(name, None, f"holds {error}")
        return row

    def columns(self, rows: Sequence[Any]) -> dict[str, Sequence[Any]]:
        """The rows as columns."""
        if not rows:
            return {name: () for name in self.names}
        lists = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        return dict(zip(self.names, lists, strict=False))
