"""Forms: the way of messages through a model, from the bytes of a message to the bytes of its answer.

What a message has beside the columns that the model reads is in its answer too. A message that cannot be
answered is a fault, with the column and the reason; it takes no other message with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from orrery.data.payloads.payload import Fault, payload_of
from orrery.errors import BadRowError, OrreryError, SettingsError
from orrery.extras import require
from orrery.serving.parquet import Answered
from orrery.serving.past import PastStore
from orrery.serving.route import Live
from orrery.serving.stream.broker import Message, Wiring

Recorded = Callable[[], Answered]
Values = Sequence[bytes | None]
"""What is sent for one message. A message may hold many rows, and be answered by as many."""


@dataclass
class Scored:
    """The answers to some messages: ``values[i]`` to the i-th of them, unless ``faults`` has it."""

    values: Sequence[Values]
    faults: Mapping[int, Fault]
    rows: int
    """Rows that the model answered."""
    last: Callable[[int], list[dict[str, Any]]]
    """The answers of the last rows, at most so many, for people."""
    recorded: Recorded
    """What the recorder keeps of them; made when it is asked for."""


class Form(Protocol):
    """How the messages of a stream are written."""

    def score(self, live: Live, messages: Sequence[Message]) -> Scored:
        """Answer them all by one version. Raises only what is no message's fault: ServingError."""


@dataclass
class Found:
    """What a batch came to, once those that cannot be answered are out of it."""

    answers: dict[int, Any] = field(default_factory=dict)
    faults: dict[int, Fault] = field(default_factory=dict)


def each_answered(
    count: int, answer: Callable[[int, int], Sequence[Any]], raises: type[Exception] | tuple[()] = ()
) -> Found:
    """Answer ``count`` items by ``answer(low, high)``, together; halves of them where that fails.

    An item that fails alone is a fault, but for errors that are no item's own: ``raises``. n items cost
    n log n, however many of them are bad.

    >>> each_answered(4, lambda low, high: [12 // n for n in (3, 0, 2, 4)[low:high]]).answers
    {0: 4, 2: 6, 3: 3}
    """
    found = Found()
    waiting = [(0, count)] if count else []
    while waiting:
        low, high = waiting.pop()
        try:
            found.answers.update(zip(range(low, high), answer(low, high), strict=True))
        except raises:
            raise
        except Exception as error:  # whatever a message makes a model do, the others are answered
            middle = (low + high) // 2
            if high - low == 1:
                found.faults[low] = fault_of(error)
            else:
                waiting += [(middle, high), (low, middle)]
    return found


def fault_of(error: Exception) -> Fault:
    """An error as what is wrong with a message."""
    said = error.message if isinstance(error, OrreryError) else f"{type(error).__name__}: {error}"
    return Fault(error.column or None if isinstance(error, BadRowError) else None, None, said)


def tags_of(live: Live, message: Message) -> dict[str, str]:
    """What an answer says of itself where there are no headers."""
    return {"_id": message.id, "_model": model_of(live)}


def model_of(live: Live) -> str:
    """Who answered: ``fraud/3``."""
    return f"{live.name}/{live.version}"


def form_of(wiring: Wiring, tagged: bool, past: PastStore | None = None) -> Form:
    """The form of a stream's messages. ``tagged``: what else stands in headers, stands in the answer.

    ``past`` knows what happened before each message, for models that read it.

    Raises SettingsError, SchemaError, SourceError.
    """
    given = _payload(wiring.payload)
    kind = given if isinstance(given, str) else given.get("kind")
    to = _payload(wiring.to_payload or (given if kind in ("json", "avro", "arrow") else "json"))
    if kind == "json" and to == "json" and given == "json":
        for package in ("msgspec", "starlette"):
            require(package, "Streams of JSON")
        from orrery.serving.stream.json_form import JsonForm  # loaded where its package is needed

        return JsonForm(tagged, wiring.absent_is_null, past)
    from orrery.serving.stream.codec_form import CodecForm

    return CodecForm(payload_of(given), payload_of(to), tagged, past)


def _payload(given: str | dict[str, Any]) -> str | dict[str, Any]:
    """CSV is read and written as JSON, at the ends of a pipe."""
    if isinstance(given, dict) and "kind" not in given:
        raise SettingsError("The settings of a payload name its kind.", hint="{'kind': 'avro', 'avsc': …}")
    return "json" if given == "csv" else given
