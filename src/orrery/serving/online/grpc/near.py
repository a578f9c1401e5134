"""Where the gRPC server listens, and whether a caller is on this machine."""

from __future__ import annotations

import errno
import ipaddress
import socket
from urllib.parse import unquote

from orrery.errors import ForbiddenError, PortInUseError, ServingError, SettingsError
from orrery.serving.online.limits import Limits


def check_near(limits: Limits, peer: str) -> None:
    """Whether a caller may change what is served. Raises ForbiddenError for one from elsewhere.

    >>> check_near(Limits(), "ipv4:127.0.0.1:5000")
    """
    kind, _, place = unquote(peer).partition(":")
    host = place.rpartition(":")[0].strip("[]")
    try:
        is_near = kind in ("ipv4", "ipv6") and ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_near = False
    if not (is_near or limits.manage_from_afar):
        raise ForbiddenError(
            "Only callers on its own machine may change what this service answers with.",
            hint="Change the route in the registry, or give the service tokens (ORRERY_TOKENS).",
        )


def check_free(host: str, port: int) -> None:
    """Whether a port can be listened at. Raises PortInUseError, SettingsError, ServingError."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (socket.gaierror, OverflowError) as error:
        raise SettingsError(f"{host!r}, port {port}, is no address to listen at: {error}.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"Port {port} of {host} is in use.", hint="Port 0 takes a free one."
            ) from None
        raise ServingError(f"gRPC cannot listen at {host}, port {port}: {error.strerror}.") from None
