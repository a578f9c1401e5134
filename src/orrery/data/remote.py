"""Files on other machines, behind fsspec: S3, HTTP, HDFS (WebHDFS) and whatever else it knows.

Credentials come from the environment, as each place's own tools read it (``AWS_ACCESS_KEY_ID`` …), or from a
named connection: ``s3://lake/rows.parquet?connection=lake`` is read with what ``ORRERY_CONNECTION__LAKE``
holds: ``s3://KEY:SECRET@host:port?tls=false``, or ``https://user:password@host``,
``webhdfs://user@host:port?token=…``. Only the name is written
down anywhere.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import fsspec
from fsspec.registry import known_implementations

from orrery.data import masking
from orrery.errors import SettingsError
from orrery.extras import require

_NAMED = re.compile(r"[?&]connection=([\w.-]+)$")
_HDFS = ("webhdfs", "swebhdfs")
PACKAGES = {
    **{"s3": "s3fs", "s3a": "s3fs", "http": "aiohttp", "https": "aiohttp"},
    **dict.fromkeys(_HDFS, "requests"),
}
"""Scheme -> the package that speaks it."""
_BLOCK_BYTES = 8 << 20
_TIMEOUT_S = 30


def renames(path: str) -> bool:
    """Whether a place makes files appear by renaming them, and not by itself."""
    return path.partition("://")[0].lower() in _HDFS


def checksum(path: str) -> str:
    """A hash of what a file holds, where its place keeps one that its listing does not tell (HDFS)."""
    if path.partition("://")[0].lower() not in _HDFS:
        return ""
    system, inner = system_of(path)
    return str(system.ukey(inner).get("bytes", ""))


def is_known(scheme: str) -> bool:
    """Whether there is a file system of this scheme."""
    return scheme.lower() in PACKAGES or scheme.lower() in known_implementations


def bare(path: str) -> str:
    """An address without the name of its connection."""
    return _NAMED.sub("", path)


def connection_of(path: str) -> str:
    """The name of an address's connection; nothing where it has none."""
    found = _NAMED.search(path)
    return found[1] if found else ""


def with_connection(place: str, name: str) -> str:
    """An address that names its connection."""
    return f"{bare(place)}{'&' if '?' in bare(place) else '?'}connection={name}"


def connection(name: str, example: str) -> str:
    """The address behind a connection's name, secrets included. Raises SettingsError."""
    variable = masking.variable(name)
    address = os.environ.get(variable, "")
    if not address:
        raise SettingsError(
            f"The connection {name!r} needs the environment variable {variable}.",
            hint=f"Set it to an address: {example}.",
        )
    try:
        return masking.whole(address)
    except ValueError:
        raise SettingsError(
            f"The environment variable {variable} does not hold an address that can be read.",
            hint=f"Write it like {example}, with @ # ? % in a password as %40 %23 %3F %25.",
        ) from None


def system_of(path: str) -> tuple[Any, str]:
    """The file system behind an address, and the path there."""
    address = bare(path)
    scheme = address.partition("://")[0].lower()
    if scheme in PACKAGES:
        require(PACKAGES[scheme], f"Reading {scheme}://")
    options: dict[str, Any] = {}
    if scheme in ("s3", "s3a"):
        limits = {"connect_timeout": _TIMEOUT_S, "read_timeout": _TIMEOUT_S, "retries": {"max_attempts": 3}}
        options = {"use_listings_cache": False, "default_block_size": _BLOCK_BYTES, "config_kwargs": limits}
    elif scheme in ("http", "https"):
        options = {"use_listings_cache": False, "client_kwargs": {"timeout": _patience()}}
    elif scheme in _HDFS:
        # Not kept for the next: a session of requests may not be shared by threads.
        options = {"use_https": scheme == "swebhdfs", "skip_instance_cache": True}
        address = "webhdfs" + address[len(scheme) :]
    elif scheme in ("hdfs", "viewfs"):
        raise SettingsError(
            f"{scheme}:// needs Hadoop's own library, which Orrery does not use.",
            hint="Use webhdfs://HOST:PORT/PATH, with the name node's HTTP port (dfs.namenode.http-address).",
        )
    if named := _NAMED.search(path):
        found = _credentials(scheme, address, named[1])
        kept = {**options.get("client_kwargs", {}), **found.get("client_kwargs", {})}
        options |= found | ({"client_kwargs": kept} if kept else {})
    system, inner = fsspec.core.url_to_fs(address, **options)
    if scheme in _HDFS and "password" in options:
        system.session.auth = _only_to(system.url, options["user"], options["password"])
    return system, inner


def _patience() -> Any:
    """For a web server: no limit on how long a large file takes, but on every silence."""
    limits = require("aiohttp", "Reading http://").ClientTimeout
    return limits(total=None, sock_connect=_TIMEOUT_S, sock_read=_TIMEOUT_S)


def _only_to(server: str, *login: str) -> Callable[[Any], Any]:
    """A login for one server, and for none that it sends its clients on to."""

    def shown(request: Any) -> Any:
        ways = [urlsplit(url) for url in (server, request.url)]
        if len({(way.scheme, way.hostname, way.port) for way in ways}) == 1:
            told = b64encode(":".join(login).encode()).decode()
            request.headers["Authorization"] = f"Basic {told}"
        return request

    return shown


def addresses(system: Any, paths: Iterable[str], place: str) -> dict[str, str]:
    """Full addresses of paths that a file system gave, with the connection of the place."""
    named, server = _NAMED.search(place), urlsplit(bare(place))
    hdfs = server.scheme.lower() in _HDFS  # whose paths do not know on which server they are
    root = f"{server.scheme}://{server.netloc}"
    full = {path: f"{root}{path}" if hdfs else str(system.unstrip_protocol(path)) for path in paths}
    return {path: with_connection(to, named[1]) for path, to in full.items()} if named else full


def options_of(place: str) -> dict[str, Any]:
    """What s3fs is told of a place's connection; nothing, where it has none, or is not on S3."""
    named, scheme = connection_of(place), place.partition("://")[0].lower()
    return _credentials(scheme, bare(place), named) if named and scheme in ("s3", "s3a") else {}


def open_range(path: str, ranges: bool) -> Any:
    """A file to read; with ``ranges``, nothing is fetched but the bytes asked for."""
    system, inner = system_of(path)
    return system.open(inner, "rb", **({"cache_type": "none"} if ranges else {}))


def _credentials(scheme: str, address: str, name: str) -> dict[str, Any]:
    """What fsspec needs to know, from a connection's address."""
    if scheme in ("http", "https"):
        parts = urlsplit(connection(name, "https://user:password@host"))
        asked = urlsplit(address)
        if (parts.scheme, parts.hostname, parts.port) != (asked.scheme, asked.hostname, asked.port):
            raise SettingsError(f"The connection {name!r} is to another server than {asked.hostname}.")
        login = b64encode(":".join(_login(parts)).encode()).decode()
        return {"client_kwargs": {"headers": {"Authorization": f"Basic {login}"}}}
    if scheme in _HDFS:
        return _hdfs_login(address, connection(name, "webhdfs://USER@host:port?token=…"), name)
    if scheme not in ("s3", "s3a"):
        raise SettingsError(f"{scheme}:// takes no connection; its credentials come from the environment.")
    parts = urlsplit(connection(name, "s3://KEY:SECRET@host:port, the secret percent-encoded"))
    asked_for = dict(parse_qsl(parts.query))
    options: dict[str, Any] = {"anon": True} if asked_for.get("anon") == "true" else {}
    if parts.username:
        options["key"], options["secret"] = _login(parts)
    if token := asked_for.get("token"):
        options["token"] = token
    if region := asked_for.get("region"):
        options["client_kwargs"] = {"region_name": region}
    if host := parts.netloc.rpartition("@")[2]:
        options["endpoint_url"] = f"{'http' if asked_for.get('tls') == 'false' else 'https'}://{host}"
    return options


def _hdfs_login(address: str, known: str, name: str) -> dict[str, Any]:
    """User, password and delegation token."""
    parts, asked = urlsplit(known), urlsplit(address)
    if (parts.hostname, parts.port) != (asked.hostname, asked.port):
        raise SettingsError(f"The connection {name!r} is to another server than {asked.hostname}.")
    options: dict[str, Any] = {}
    if parts.username:
        options["user"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    if token := dict(parse_qsl(parts.query)).get("token"):
        options["token"] = token
    return options


def _login(parts: SplitResult) -> tuple[str, str]:
    return unquote(parts.username or ""), unquote(parts.password or "")
