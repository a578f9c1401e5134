"""A client of one model, with its own types. Made by ``orrery client``; needs httpx, and nothing of Orrery.

with Client("http://127.0.0.1:8080") as client:
    answers = client.predict([Row(...), Row(...)])
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

# --- what follows is made from the model's signature
MODEL = "example"
VERSION = 1
TARGET = "kind"
LABELS: tuple[str | int | float | bool, ...] = ("cat", "dog")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the model reads; None is missing."""

    weight: float | None


COLUMNS = {"weight": "weight"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says of a row."""

    id: str
    version: str
    prediction: str
    probability: float
    probabilities: dict[str, float]


OUTPUTS = ("prediction", "probability", "probabilities")
# --- from here on it is the same for every model

_MOST_ROWS = 1_000
_AGAIN = {429, 502, 503}


class ServiceError(Exception):
    """The service did not answer; ``status`` is 0 where it could not be reached."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}" if status else said)
        self.status = status


class Client:
    """Asks a service for predictions. Threads may share it; ``with`` closes it."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 30.0, retries: int = 4) -> None:
        self._timeout_s = timeout_s
        self._retries = retries
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._wire = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s)

    def predict(self, rows: Sequence[Row], ids: Sequence[str] | None = None) -> list[Answer]:
        """An answer per row, in order. ``ids`` name the rows, for their outcomes; else they get new ones."""
        names = [str(uuid.uuid4()) for _ in rows] if ids is None else list(ids)
        sent = [{**_sent(row), "id": name} for row, name in zip(rows, names, strict=True)]
        if "id" in COLUMNS.values():  # the model learnt from it: it names the row too
            sent = [_sent(row) for row in rows]
        found: list[Answer] = []
        for start in range(0, len(sent), _MOST_ROWS):
            part = sent[start : start + _MOST_ROWS]
            said = self._post("predict", {"rows": part})
            if len(said["rows"]) != len(part):
                raise ServiceError(200, "not every row was answered")
            for row in said["rows"]:
                values = {name: row[name] for name in OUTPUTS}
                found.append(Answer(id=str(row["id"]), version=str(said["version"]), **values))
        return found

    def outcomes(self, outcomes: dict[str, Any]) -> int:
        """Tell what happened, by the ids of answers. How many were kept."""
        rows = [{"id": name, TARGET: _plain(value)} for name, value in outcomes.items()]
        parts = range(0, len(rows), _MOST_ROWS)
        return sum(
            int(self._post("outcomes", {"outcomes": rows[start : start + _MOST_ROWS]})["received"])
            for start in parts
        )

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request, which is repeated while the service is away or has too much to do."""
        place = f"/v1/models/{quote(MODEL, safe='')}:{verb}"
        content = json.dumps(body, allow_nan=False).encode()
        ends_s = time.monotonic() + self._timeout_s
        for count in range(self._retries + 1):
            status, said, pause_s = self._once(place, content)
            if status == 200:
                value: dict[str, Any] = json.loads(said)
                return value
            pause_s += random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2.0**count)
            is_last = count == self._retries or time.monotonic() + pause_s >= ends_s
            if is_last or (status and status not in _AGAIN):
                break
            time.sleep(pause_s)
        raise ServiceError(status, said[:2_000])

    def _once(self, place: str, content: bytes) -> tuple[int, str, float]:
        try:
            response = self._wire.post(place, content=content, headers={"Content-Type": "application/json"})
        except httpx.TransportError as error:
            return 0, f"The service cannot be reached: {error}", 0.0
        asked = response.headers.get("retry-after", "")
        return response.status_code, response.text, float(asked[:9]) if asked.isdecimal() else 0.0


def _sent(row: Row) -> dict[str, Any]:
    return {column: _plain(getattr(row, name)) for name, column in COLUMNS.items()}


def _plain(value: Any) -> Any:
    """A value as JSON holds it: bytes as base64, dates as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list | tuple | Iterator):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return value
