"""MongoDB for the tests: a real server where ``MONGODB_URL`` names one, else the stand-in of the example.

No package carries the real server. The stand-in speaks its protocol, so it proves what the client does, and
not what MongoDB does: tests say in their names which of both they met (:data:`WHICH`).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.servers import cache

REAL = bool(os.environ.get("MONGODB_URL"))
WHICH = "real server" if REAL else "stand-in"

_FILE = Path(__file__).resolve().parents[2] / "examples" / "flowers" / "standin.py"


def _loaded() -> Any:
    """The starter, which lies where users of the example have it."""
    spec = importlib.util.spec_from_file_location("standin", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


standin = _loaded()


@dataclass(frozen=True)
class MongoDb:
    """A running server, and a database of this session's own."""

    host: str
    """Its address, without a database; options of the real server's address behind it."""
    database: str
    options: str = ""

    def url(self, collection: str = "", *, host: str = "") -> str:
        """The address of a collection of ours; through another host, if given."""
        return f"{host or self.host}/{self.database}/{collection}{self.options}"

    def variables(self) -> dict[str, str]:
        """What a user's environment may hold."""
        return {"MONGODB_URL": f"{self.host}/{self.options}", "ORRERY_CONNECTION__MONGODB": self.url()}

    @contextmanager
    def client(self) -> Iterator[Any]:
        """An independent client: the database."""
        import pymongo

        with pymongo.MongoClient(f"{self.host}/{self.options}") as client:
            yield client[self.database]

    def fill(self, documents: list[Any], name: str = "") -> str:
        """A collection with these documents, a new one if it has no name; its name."""
        name = name or f"c{uuid4().hex}"
        with self.client() as database:
            database.drop_collection(name)
            database.create_collection(name)
            if documents:
                database[name].insert_many(documents)
        return name


def fetch() -> None:
    """The stand-in's program, from Maven."""
    try:
        standin.fetch()
    except standin.CannotStartError as error:
        raise cache.MissingServerError(str(error)) from None


@contextmanager
def running() -> Iterator[MongoDb]:
    """A server for as long as the block runs; of a real one, an empty database that is dropped again."""
    name = f"orrery_test_{uuid4().hex[:12]}"
    if not REAL:
        with standin.running() as address:
            yield MongoDb(address, name)
        return
    address, question, options = os.environ["MONGODB_URL"].partition("?")
    server = MongoDb("/".join(address.split("/")[:3]), name, question + options)
    try:
        yield server
    finally:
        with server.client() as database:
            database.client.drop_database(name)


@pytest.fixture(scope="session")
def mongodb() -> Iterator[MongoDb]:
    """One server for all tests of a session. Where none can be had they are skipped, by name."""
    if not REAL:
        try:
            fetch()
        except cache.MissingServerError as error:
            cache.skip(error)
    with running() as server:
        yield server
