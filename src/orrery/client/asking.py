"""What may be asked of a service, each thing as one talk (see ``talk``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from orrery.client.problem import moved
from orrery.client.rows import Row, rows_of, sendable
from orrery.client.talk import Manner, Talk
from orrery.errors import ModelNotFoundError, OrreryError, ServingError, TooLargeError, listing

MOST_ROWS = 1_000
"""Sent at once; fewer where the service takes fewer."""


@dataclass
class Asking:
    """The talks about one model of a service; ``model`` may be empty where the service has only one."""

    manner: Manner
    model: str = ""
    most_rows: int = MOST_ROWS
    _reads_id: bool | None = field(default=None, init=False)

    def predict(self, given: Any, *, record: bool = True) -> Talk[Any]:
        """Rows with their answers beside them, in the form that they came in."""
        rows, back = rows_of(given)
        if not rows:
            return back([])
        sent = sendable(rows, with_id=not (yield from self._id_is_read()))
        place = f"{yield from self._place()}:predict"

        def talk(part: list[Row]) -> Talk[list[Row]]:
            said = yield from self.manner.talk("POST", place, {"rows": part, "record": record})
            return _answers(part, said)

        return back((yield from self._in_parts(sent, talk)))

    def outcomes(self, given: Iterable[Mapping[str, Any]]) -> Talk[int]:
        """Tell what happened: rows of ``id`` and the target. How many were kept."""
        place = f"{yield from self._place()}:outcomes"

        def talk(part: list[Row]) -> Talk[list[int]]:
            said = yield from self.manner.talk("POST", place, {"outcomes": part})
            return [int(said["received"])]

        rows = sendable([dict(row) for row in given], with_id=False)
        return sum((yield from self._in_parts(rows, talk)))

    def metadata(self) -> Talk[dict[str, Any]]:
        """What the model reads, predicts and how good it is."""
        said = yield from self.manner.talk("GET", (yield from self._place()))
        return _mapping(said)

    def models(self) -> Talk[list[dict[str, Any]]]:
        """Names and versions of what the service answers with."""
        said = _mapping((yield from self.manner.talk("GET", "/v1/models")))
        return [_mapping(one) for one in said.get("models", ())]

    def ready(self) -> Talk[bool]:
        """Whether the service answers now; it is asked once."""
        asked = Manner(self.manner.timeout_s, 0, self.manner.headers)
        try:
            yield from asked.talk("GET", "/v2/health/ready")
        except OrreryError:
            return False
        return True

    def _place(self) -> Talk[str]:
        if not self.model:
            names = sorted({str(one.get("name")) for one in (yield from self.models())})
            if len(names) != 1:
                raise ModelNotFoundError(
                    f"The service has the models {listing(names)}; one is to be named.",
                    hint="Client(url, model=...) names it.",
                )
            self.model = names[0]
        return f"/v1/models/{quote(self.model, safe='')}"

    def _id_is_read(self) -> Talk[bool]:
        """Whether ``id`` is a column that the model learnt from: then no row is given one."""
        if self._reads_id is None:
            inputs = (yield from self.metadata()).get("inputs", ())
            self._reads_id = any(_mapping(one).get("name") == "id" for one in inputs)
        return self._reads_id

    def _in_parts(self, rows: list[Row], talk: Callable[[list[Row]], Talk[list[Any]]]) -> Talk[list[Any]]:
        """What the talks about all parts of the rows come to; parts shrink to what the service takes."""
        found: list[Any] = []
        start = 0
        while start < len(rows):
            part = rows[start : start + self.most_rows]
            try:
                found += yield from talk(part)
            except TooLargeError:
                if len(part) == 1:
                    raise
                self.most_rows = (len(part) + 1) // 2
                continue
            except OrreryError as error:
                raise moved(error, start) from None
            start += len(part)
        return found


def _answers(part: list[Row], said: object) -> list[Row]:
    """What the answers add to the rows. Raises ServingError unless they are one per row, in order."""
    rows = _mapping(said).get("rows")
    if not isinstance(rows, list) or len(rows) != len(part):
        raise ServingError(f"The service did not answer each of {len(part)} rows.")
    found = []
    for asked, answer in zip(part, map(_mapping, rows), strict=True):
        own = asked.get("id")
        if own is not None and str(answer.get("id")) != str(own):
            raise ServingError(f"The service answered row {answer.get('id')!r:.80} for row {own!r:.80}.")
        added = {name: value for name, value in answer.items() if name not in asked}
        found.append({"id": answer.get("id") if own is None else own, **added})
    return found


def _mapping(said: object) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ServingError("The service answered with something that is not what was asked for.")
    return said
