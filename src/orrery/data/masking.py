"""Addresses as they may be shown: in errors, reprs, logs and lineage there is never a password."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

_PASSWORD = re.compile(r"(?<=://)([^:@]*):(.*)@", re.DOTALL)
_SECRET = re.compile(r"pass|pwd|token|secret|key|sig", re.IGNORECASE)
_PAIR = re.compile(r"([?&;#])([^=&;#]*)=([^&;#]*)")


def is_secret(name: str) -> bool:
    """Whether a part of an address's query holds a secret, going by its name.

    >>> is_secret("sslpassword"), is_secret("X-Amz-Signature"), is_secret("sslmode")
    (True, True, False)
    """
    return _SECRET.search(unquote(name)) is not None


def masked(place: str) -> str:
    """An address without its secrets. A password ends at the last ``@``, whatever it holds.

    >>> masked("postgresql://bob:p/w@x@host:5432/shop?sslmode=require&token=abc")
    'postgresql://bob:***@host:5432/shop?sslmode=require&token=***'
    """

    def pair(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}=***" if is_secret(found[2]) else found[0]

    return _PAIR.sub(pair, _PASSWORD.sub(r"\1:***@", place))


def hide(text: str, place: str) -> str:
    """What somebody else says about an address, without the address's secrets."""
    text = text.replace(place, masked(place))
    found = _PASSWORD.search(place)
    secrets = [found[2]] if found else []
    secrets += [pair[3] for pair in _PAIR.finditer(place) if is_secret(pair[2])]
    secrets += [value for name, value in parse_qsl(place.partition("?")[2]) if is_secret(name)]
    for secret in sorted({*secrets, *map(unquote, secrets)}, key=len, reverse=True):
        text = text.replace(secret, "***") if secret else text
    return text
