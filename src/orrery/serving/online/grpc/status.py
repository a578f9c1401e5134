"""Errors as gRPC statuses."""

from __future__ import annotations

from typing import Any

import grpc

from orrery.errors import OrreryError
from orrery.serving.online.problem import status_of

_MOST_CHARACTERS = 2_000  # of what is said: it travels in a header
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""HTTP status -> gRPC status; a request that is too large is as wrong later as it is now."""


def code_of(error: OrreryError) -> Any:
    """The gRPC status of an error."""
    return _CODES.get(status_of(error), grpc.StatusCode.INTERNAL)


def text_of(error: OrreryError) -> str:
    """What a status says of an error."""
    return str(error)[:_MOST_CHARACTERS]


def trailers_of(error: OrreryError) -> tuple[tuple[str, str], ...]:
    """What goes with a status: after how long to ask again, where that makes sense."""
    return (("grpc-retry-pushback-ms", "1000"),) if code_of(error) is _CODES[503] else ()
