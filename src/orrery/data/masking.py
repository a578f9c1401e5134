"""Addresses as they may be shown: in errors, reprs, logs and lineage there is never a password."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

_KNOWN = (
    # Orrery's own, and of files over the network
    "connection tls region anon isolation mechanism timeout_s ca cert warehouse catalog name prefix op raw "
    "page limit offset format language lang version versionid delimiter header encoding date year month day "
    # of PostgreSQL
    "host hostaddr port dbname user sslmode sslrootcert sslcert sslcrl connect_timeout application_name "
    "target_session_attrs tcp_user_timeout keepalives keepalives_idle keepalives_interval keepalives_count "
    "client_encoding channel_binding gssencmode load_balance_hosts "
    # of MySQL and what else SQLAlchemy speaks to
    "driver charset ssl_ca ssl_cert ssl_check_hostname read_timeout write_timeout autocommit mode uri "
    "service_name sid encrypt trustservercertificate applicationintent trusted_connection "
    # of MongoDB
    "authsource authmechanism replicaset readpreference readconcernlevel w wtimeoutms journal retrywrites "
    "retryreads directconnection loadbalanced compressors appname maxpoolsize minpoolsize maxidletimems "
    "serverselectiontimeoutms connecttimeoutms sockettimeoutms heartbeatfrequencyms localthresholdms "
    "ssl tlscafile tlsinsecure tlsallowinvalidcertificates tlsallowinvalidhostnames"
)
HARMLESS = frozenset(_KNOWN.split())
"""Options of addresses whose values are shown; what another one holds nobody knows."""

_LOGIN = re.compile(r"(?<=://)([^:@]*):(.*)@", re.DOTALL)
_BARE_LOGIN = re.compile(r"\A(?![A-Za-z]:[/\\])((?:[A-Za-z][\w+.-]*(?::/|//))?[^:@/\\]+):(.*)@", re.DOTALL)
_SECRET = re.compile(r"pass|pwd|token|secret|key|sig|cred", re.IGNORECASE)
_PAIR = re.compile(r"([?&;#])([^=&;#]*)=([^&;#]*)")
_WORDS = re.compile(r"(\b\w*(?:pass|pwd|token|secret)\w*\s*=\s*)('[^']*'|[^\s;&'*]+)", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HOSTS = re.compile(r"(?:(?:[\w.%~\\-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:,(?!\Z)|\Z))*")
_CUTS = re.compile(r"[/?#@:\s\[\]]")
_SHORT = 4
"""Characters; a piece of a secret that is shorter tells nothing, and is met everywhere."""


def is_secret(name: str) -> bool:
    """Whether what an option of an address holds is hidden: it is, unless the option is known as harmless.

    >>> is_secret("sslpassword"), is_secret("X-Amz-Signature"), is_secret("jwt"), is_secret("sslmode")
    (True, True, True, False)
    """
    return unquote(name).lower() not in HARMLESS


def masked(place: str) -> str:
    """An address without its secrets. A password ends at the last ``@``, whatever it holds.

    >>> masked("postgresql://bob:p/w@x@host:5432/shop?sslmode=require&token=abc")
    'postgresql://bob:***@host:5432/shop?sslmode=require&token=***'
    """
    login = _LOGIN if "://" in place else _BARE_LOGIN
    shown = login.sub(r"\1:***@", place)
    options = _options_begin(shown)

    def pair(found: re.Match[str]) -> str:
        asked = options <= found.start() and "/" not in found[2]
        secret = is_secret(found[2]) if asked else _SECRET.search(unquote(found[2]))
        return f"{found[1]}{found[2]}=***" if secret else found[0]

    shown = _PAIR.sub(pair, shown)
    return shown if "://" in place else _WORDS.sub(r"\1***", shown)


def _options_begin(place: str) -> int:
    """Where the options of an address begin; files on this machine have none."""
    at = place.find("?")
    return at if at >= 0 and _SCHEME.match(place) and not place.startswith("file:") else len(place)


def whole(address: str) -> str:
    """An address with its user and password percent-encoded, which every reader of addresses takes alike.

    They end at the last ``@``. Raises ValueError, which shows nothing of it, where that cannot be told.

    >>> whole("s3://AKIA:abc/d@f@host:9?tls=false")
    's3://AKIA:abc%2Fd%40f@host:9?tls=false'
    """
    scheme = _SCHEME.match(address)
    before, mark, options = address[scheme.end() :].partition("?") if scheme else ("", "", "")
    login, at, place = ("", "", before) if before.startswith("/") else before.rpartition("@")
    hosts, slash, path = place.partition("/")
    if scheme is None or "@" in options or "#" in options + hosts or not _HOSTS.fullmatch(hosts):
        raise ValueError("the address cannot be read")
    user, colon, password = login.partition(":")
    login = f"{_encoded(user)}{colon}{_encoded(password)}{at}"
    urlsplit(f"{scheme[0]}{hosts}")  # it takes some letters for others, and then refuses them
    return f"{scheme[0]}{login}{hosts}{slash}{path}{mark}{options}"


def _encoded(text: str) -> str:
    return quote(re.sub("%(?![0-9A-Fa-f]{2})", "%25", text), safe="%!$&'()*+,;=~")


def hide(text: str, place: str) -> str:
    """What somebody else says about an address, without the secrets of it and of the connection it names."""
    named = [value for name, value in parse_qsl(place.partition("?")[2]) if name == "connection"]
    for address in (place, *(os.environ.get(variable(name), "") for name in named)):
        if address and address != masked(address):
            text = text.replace(address, masked(address))
        for secret in sorted({*_forms(address)} - {""}, key=len, reverse=True):
            text = text.replace(secret, "***")
    return text


def variable(connection: str) -> str:
    """The environment variable that holds a connection's address."""
    return "ORRERY_CONNECTION__" + re.sub(r"\W", "_", connection).upper()


def _forms(address: str) -> Iterator[str]:
    """The secrets of an address, in every form they are met in, and their pieces where a reader cuts."""
    for secret in _secrets(address):
        for text in (secret, unquote(secret), unquote_plus(secret)):
            pieces = (piece for piece in _CUTS.split(text) if len(piece) >= _SHORT)
            for form in (text, *pieces):
                yield from filter(None, (form, quote(form, ""), quote(form), quote_plus(form)))
                yield repr(form)[1:-1]


def _secrets(address: str) -> Iterator[str]:
    found = (_LOGIN if "://" in address else _BARE_LOGIN).search(address)
    yield from (found[2],) if found else ()
    begin = _options_begin(address)
    for pair in _PAIR.finditer(address):
        asked = begin <= pair.start() and "/" not in pair[2]
        if is_secret(pair[2]) if asked else _SECRET.search(unquote(pair[2])):
            yield pair[3]
    if begin < len(address):
        yield from (value for name, value in parse_qsl(address[begin + 1 :]) if is_secret(name))
    if "://" not in address:
        yield from (word[2] for word in _WORDS.finditer(address))
