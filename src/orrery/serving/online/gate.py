"""The gate: requests for another host are turned away, and so are those without a token where there are some.

A page of the internet can give its own name the address of this machine (DNS rebinding), and then reach a
local service through the browser of its reader, as if it were of the same origin. The name that the browser
asked for is in the ``Host`` header, which no page can change.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from orrery.errors import BadRequestError, UnauthorizedError, listing
from orrery.serving.online.access import Tokens
from orrery.serving.online.problem import oip_error, problem

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)
_MISDIRECTED = 421
_OPEN = frozenset(("/v2/health/live", "/v2/health/ready", "/ping", "/health"))


class Gate:
    """An application behind a check of the host that each request names, None for any, and of its token.

    What the token allows is told to the application as ``role`` of the scope.
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[str] | None, tokens: Tokens | None = None) -> None:
        self.app = app
        self.allowed = allowed
        self.tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say which host is served."""
        found = host_of(scope["headers"])
        if self.serves(found):
            await self._admitted(scope, receive, send)
            return
        status = _MISDIRECTED if found else 400
        error = BadRequestError("A request has one header Host, the name of this service.")
        if found and self.allowed:
            error = BadRequestError(
                f"The host {found:.80} is not served here; {listing(sorted(self.allowed))} are.",
                hint="Others are allowed by --allow-host, or Limits(allowed_hosts=[...]).",
            )
        said = oip_error if scope["path"].startswith("/v2") else problem
        await said(error, status)(scope, receive, send)

    def serves(self, host: str) -> bool:
        """Whether it may be asked for under this name; empty where the request has none."""
        return bool(host) and (self.allowed is None or host.lower() in self.allowed)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.tokens is not None and scope["path"] not in _OPEN:
            headers = [
                value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"
            ]
            try:
                scope["role"] = self.tokens.check(headers)
            except UnauthorizedError as error:
                said = oip_error if scope["path"].startswith("/v2") else problem
                await said(error, None)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def host_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The name that a request asks for, without its port; empty where it is none, or there are two."""
    hosts = [value for name, value in headers if name == b"host"]
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    return found[1].decode() if found else ""


def allowed_hosts(address: str, name: str, more: Iterable[str] = ()) -> frozenset[str] | None:
    """The hosts that may be asked for, where ``address`` is listened at under a ``name``.

    Where others on the network can reach the service anyway, it is any host, unless ``more`` says which.

    >>> sorted(allowed_hosts("127.0.0.1", "localhost"))
    ['127.0.0.1', '[::1]', 'localhost']
    >>> allowed_hosts("10.0.0.7", "10.0.0.7") is None
    True
    """
    if not more and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return None
    return frozenset(_bracketed(host).lower() for host in (*_LOCAL, address, name, *more) if host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
