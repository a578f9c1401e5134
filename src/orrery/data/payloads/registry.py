"""A registry of schemas that speaks Confluent's HTTP interface: asked once per schema, and bounded.

Source: Confluent Schema Registry API reference, ``/schemas/ids/{id}``, ``/subjects/{subject}/versions``.
"""

from __future__ import annotations

import json
from base64 import b64encode
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from orrery.data import remote
from orrery.data.masking import hide, masked, whole
from orrery.errors import SettingsError, SourceError

TIMEOUT_S = 15
_MOST_BYTES = 4 << 20  # of one answer
_MOST_IDS = 1_000  # schemas that the messages of one topic may name
_FORM = "application/vnd.schemaregistry.v1+json"


class Entry(NamedTuple):
    """A schema of the registry, and those that it refers to, first the ones that others need."""

    id: int
    text: str
    references: tuple[str, ...] = ()


class Registry:
    """A client for one registry. ``connection`` names the variable that holds its address with a password."""

    def __init__(self, url: str, connection: str | None = None) -> None:
        self.url = url
        self.connection = connection
        self._by_id: dict[int, Entry | None] = {}

    def by_id(self, number: int) -> Entry | None:
        """The schema of a number; None where there is none. Raises SourceError.

        A message names its schema, and a hostile one any: each number is asked for once, and no more than
        a thousand of them.
        """
        if number not in self._by_id:
            if len(self._by_id) >= _MOST_IDS:
                raise SourceError(
                    f"The messages name more than {_MOST_IDS:,} different schemas.",
                    hint="Were they written with a schema registry at all?",
                )
            found = self._ask(f"/schemas/ids/{number}", missing=True)
            self._by_id[number] = None if found is None else self._entry({"id": number, **found})
        return self._by_id[number]

    def latest(self, subject: str) -> Entry:
        """The newest schema of a subject. Raises SourceError where there is none."""
        found = self._ask(f"/subjects/{quote(subject, safe='')}/versions/latest", missing=True)
        if found is None:
            raise SourceError(
                f"The schema registry {masked(self.url)} has no subject {subject!r}.",
                hint="Name another: payload={'kind': 'avro', 'subject': …}.",
            )
        return self._entry(found)

    def register(self, subject: str, schema: str) -> int:
        """The number of a schema, which the subject has from now on."""
        found = self._ask(f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
        return int(found["id"])

    def _entry(self, found: dict[str, Any]) -> Entry:
        parts: dict[str, str] = {}
        try:
            if found.get("schemaType", "AVRO") != "AVRO":
                raise SourceError(f"The schema {found['id']} is {found['schemaType']}, not AVRO.")
            self._refer(found, parts)
            return Entry(int(found["id"]), str(found["schema"]), tuple(parts.values()))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SourceError(
                f"The schema registry {masked(self.url)} answered something else than a schema: {error!r}."
            ) from None

    def _refer(self, found: dict[str, Any], parts: dict[str, str]) -> None:
        for reference in found.get("references") or ():
            name, subject = str(reference["name"]), quote(str(reference["subject"]), safe="")
            if name in parts:
                continue
            if len(parts) >= _MOST_IDS:
                raise SourceError(f"A schema refers to more than {_MOST_IDS:,} others.")
            parts[name] = ""  # a circle ends here
            other = self._ask(f"/subjects/{subject}/versions/{int(reference['version'])}")
            self._refer(other, parts)
            del parts[name]
            parts[name] = str(other["schema"])

    def _ask(self, path: str, send: dict[str, Any] | None = None, missing: bool = False) -> Any:
        address, login = self._address()
        request = Request(address + path, None if send is None else json.dumps(send).encode())
        request.add_header("Accept", f"{_FORM}, application/json")
        request.add_header("Content-Type", _FORM)
        if login:
            request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        try:
            with _opener().open(request, timeout=TIMEOUT_S) as answer:
                body = answer.read(_MOST_BYTES + 1)
            if len(body) > _MOST_BYTES:
                raise ValueError(f"the answer is longer than {_MOST_BYTES:,} bytes")
            found = json.loads(body)
            if not isinstance(found, dict):
                raise ValueError("the answer is not a JSON object")
            return found
        except HTTPError as error:
            with error:
                if missing and error.code == 404:
                    return None
                said = f"HTTP {error.code} {error.reason}"
        except (URLError, HTTPException, OSError, ValueError, RecursionError) as error:
            said = self._hidden(str(getattr(error, "reason", error)))
        raise SourceError(
            f"The schema registry {masked(self.url)} did not answer {path}: {said}.",
            hint="Is it running, and may you read there?",
        )

    def _hidden(self, said: str) -> str:
        return hide(hide(said, self.url), f"?connection={self.connection or ''}")

    def _address(self) -> tuple[str, str]:
        """The address without the password, and user and password."""
        place = self.url
        if self.connection is not None:
            place = remote.connection(self.connection, "https://user:password@host:port")
        try:
            parts = urlsplit(whole(place))
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                "The address of the schema registry is none of http or https; "
                "it is not shown, as it may hold a password.",
                hint="Write it like https://host:8081, or use connection=.",
            )
        user, _, host = parts.netloc.rpartition("@")
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}", unquote(user)


class _Stay(HTTPRedirectHandler):
    """An address that answers with another one is wrong: the password is for this one only."""

    def redirect_request(self, *_: Any) -> None:
        """Nowhere."""


def _opener() -> OpenerDirector:
    return build_opener(_Stay())
