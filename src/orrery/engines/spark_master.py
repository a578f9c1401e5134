"""Addresses of masters of Spark: whether somebody answers there, asked before Spark tries for minutes."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from xml.etree import ElementTree

from orrery.errors import EngineError

_WAIT_S = 3.0
_MASTER = re.compile(r"(local(\[.*\])?|local-cluster\[.*\]|yarn|spark://.+|k8s://.+)$")
_API = re.compile(r"k8s://(?:(https?)://)?([^/]+)")
_PORTS = {"http": 80, "https": 443}
_MANAGER = re.compile(r"yarn\.resourcemanager\.(address|hostname)((?:\.[\w-]+)?)$")
_MANAGER_PORT = 8032


def is_master(name: str) -> bool:
    """Whether a word is the address of a master of Spark.

    >>> [is_master(name) for name in ("local[4]", "spark://host:7077", "yarn", "local", "ray")]
    [True, True, True, False, False]
    """
    return name != "local" and _MASTER.match(name) is not None


def check_master(master: str) -> None:
    """Raises EngineError where nobody answers at the master's address."""
    if master.startswith("spark://"):
        _check(
            f"No master of Spark answers at {master}",
            [_split(place) for place in master.removeprefix("spark://").split(",")],
            "Start it, or name the address that its page shows, as spark://host:7077.",
        )
    elif (api := _API.match(master)) is not None:
        _check(
            f"No Kubernetes answers at {master}",
            [_split(api[2], _PORTS[api[1] or "https"])],
            "Name the address that `kubectl cluster-info` shows, as k8s://https://host:6443.",
        )
    elif master == "yarn":
        _check_yarn()


def _check_yarn() -> None:
    folder = os.environ.get("HADOOP_CONF_DIR") or os.environ.get("YARN_CONF_DIR")
    hint = "Set HADOOP_CONF_DIR to the folder that holds yarn-site.xml."
    if not folder:
        raise EngineError("engine='yarn' needs the cluster's configuration.", hint=hint)
    site = Path(folder) / "yarn-site.xml"
    try:
        managers = _managers(site)
    except (OSError, ElementTree.ParseError) as error:
        raise EngineError(f"engine='yarn': {site} cannot be read: {error}.", hint=hint) from None
    if managers:
        where = f"No resource manager of YARN answers at the address of {site}"
        _check(where, managers, "Start it, or set HADOOP_CONF_DIR to the configuration of one that runs.")


def _managers(site: Path) -> list[tuple[str, int | None]]:
    """Where the resource managers listen; none where that is said by variables, which Spark resolves."""
    found: dict[str, dict[str, str]] = {}
    for each in ElementTree.parse(site).iter("property"):
        name = _MANAGER.match((each.findtext("name") or "").strip())
        if name is not None:
            found.setdefault(name[2], {})[name[1]] = (each.findtext("value") or "").strip()
    if any("${" in value for values in found.values() for value in values.values()):
        return []
    ways = [values.get("address") or values["hostname"] for values in found.values()]
    return [_split(way, _MANAGER_PORT) for way in ways]


def _split(place: str, port: int | None = None) -> tuple[str, int | None]:
    """Host and port; the one given, where the place has none; None, where there is no number."""
    host, colon, number = place.rpartition(":")
    if not colon:
        return place, port
    return host, int(number) if number.isdigit() else None


def _check(what: str, places: list[tuple[str, int | None]], hint: str) -> None:
    """Raises EngineError unless one of the places takes a connection."""
    told = []
    for host, port in places:
        if port is None:
            told.append(f"{host} has no port")
            continue
        try:
            socket.create_connection((host.strip("[]"), port), timeout=_WAIT_S).close()
            return
        except (OSError, OverflowError) as error:
            told.append(f"{host}:{port}: {error}")
    raise EngineError(f"{what}: {'; '.join(told)}.", hint=hint)
