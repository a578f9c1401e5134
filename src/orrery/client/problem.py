"""What a service says of a request that it did not answer, as the same error that it raised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from orrery.errors import (
    BadRequestError,
    ForbiddenError,
    LateError,
    OrreryError,
    OverloadedError,
    ServingError,
    TooLargeError,
    UnauthorizedError,
    UnknownPathError,
)

_OF_STATUS: dict[int, type[OrreryError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: UnknownPathError,
    413: TooLargeError,
    429: OverloadedError,
    503: OverloadedError,
    504: LateError,
}
_MOST_CHARACTERS = 2_000
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def error_of(status: int, body: bytes) -> OrreryError:
    """The error that an answer tells of.

    >>> error_of(503, b'{"type": "orrery.errors/overloaded", "detail": "512 requests wait already."}')
    OverloadedError('512 requests wait already.')
    """
    said = _object(body)
    kind = _OF_STATUS.get(status, BadRequestError if 400 <= status < 500 else ServingError)
    detail = said.get("detail")
    if not isinstance(detail, str):
        begun = _text(body[:200].decode("utf-8", "replace"))
        return kind(f"The service answered with status {status}: {begun!r}.")
    kind = _kinds().get(str(said.get("type")), kind)
    return kind(_text(detail), hint=_text(said.get("hint")), pointer=_text(said.get("pointer")))


def moved(error: OrreryError, start: int) -> OrreryError:
    """An error of a part of the rows, told of the row's place among all; ``start`` is the part's first."""
    found = re.match(r"/rows/(\d{1,9})(?=/|$)", error.pointer)
    if found and start:
        error.pointer = f"/rows/{int(found[1]) + start}{error.pointer[found.end() :]}"
        error.message = error.message.replace(f"Row {found[1]}", f"Row {int(found[1]) + start}", 1)
    return error


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """What a stranger says, harmless to a terminal and not too long."""
    return _ODD.sub(" ", value)[:_MOST_CHARACTERS] if isinstance(value, str) else ""


def _kinds() -> dict[str, type[OrreryError]]:
    """Error classes by their slugs; one that is made of more than a message is told as the kind above it."""
    return {kind.slug: _plain(kind) for kind in _below(OrreryError)}


def _plain(kind: type[OrreryError]) -> type[OrreryError]:
    return next(k for k in kind.__mro__ if k.__init__ is OrreryError.__init__)  # type: ignore[misc]


def _below(kind: type[OrreryError]) -> Iterator[type[OrreryError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _below(one)
