"""Errors as answers: problem details (RFC 9457), or ``{"error": …}`` where the protocol asks for that."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import msgspec
from starlette.responses import Response

from orrery.errors import (
    BadRequestError,
    DataError,
    ForbiddenError,
    LateError,
    ModelNotFoundError,
    OrreryError,
    OverloadedError,
    RouteConflictError,
    ServingError,
    SettingsError,
    TargetError,
    TooLargeError,
    UnauthorizedError,
    UnknownPathError,
)
from orrery.serving.online.access import CHALLENGE

Said = Callable[[OrreryError, int | None], Response]
"""How a protocol says an error; with a status other than the error's own."""

_log = logging.getLogger("orrery.serving")
_STATUS: tuple[tuple[type[OrreryError], int], ...] = (
    (TooLargeError, 413),
    (OverloadedError, 503),
    (LateError, 504),
    (UnauthorizedError, 401),
    (ForbiddenError, 403),
    (RouteConflictError, 409),
    (ModelNotFoundError, 404),
    (UnknownPathError, 404),
    (BadRequestError, 400),
    (DataError, 400),
    (TargetError, 400),
    (SettingsError, 400),
)


def status_of(error: OrreryError) -> int:
    """The HTTP status of an error: 4xx where the caller can do something about it."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def pointer_to(*steps: str | int) -> str:
    """A JSON Pointer (RFC 6901).

    >>> pointer_to("rows", 0, "km/h")
    '/rows/0/km~1h'
    """
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def problem(error: OrreryError, status: int | None = None) -> Response:
    """An error as ``application/problem+json``."""
    code = type(error).slug.rpartition("/")[2]
    said = {
        "type": type(error).slug,
        "title": _title(type(error)),
        "status": status or status_of(error),
        "detail": error.message,
        "code": code,
    }
    if error.hint:
        said["hint"] = error.hint
    if error.pointer.startswith("/"):  # pointers of other kinds are not for a program
        said["pointer"] = error.pointer
    return _response(said, status or status_of(error), "application/problem+json")


def oip_error(error: OrreryError, status: int | None = None) -> Response:
    """An error as the Open Inference Protocol has it."""
    return _response({"error": str(error)}, status or status_of(error), "application/json")


def failed(error: Exception, path: str, said: Said) -> Response:
    """Any error as an answer, in the form of a protocol; what is the service's own fault goes to its log."""
    if not isinstance(error, OrreryError):
        _log.error("A request to %s failed.", path, exc_info=error)
        return said(ServingError("The service failed on this request; its log says why."), 500)
    if status_of(error) == 500:
        _log.error("A request to %s failed: %s", path, error)
    return said(error, None)


def _response(said: dict[str, object], status: int, media_type: str) -> Response:
    headers = {503: {"Retry-After": "1"}, 401: {"WWW-Authenticate": CHALLENGE}}.get(status)
    return Response(msgspec.json.encode(said), status, headers, media_type)


def _title(kind: type[OrreryError]) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__.removesuffix("Error"))
    return words.capitalize()
