"""MongoDB: the stand-in, or the real server where ``MONGODB_URL`` names one."""

from __future__ import annotations

from typing import Any

from tests.contracts.rows import NAMES, SIZE
from tests.servers.mongodb import WHICH, MongoDb

from orrery.data.table import Table, read


def place_mongodb(rows: list[dict[str, Any]], server: MongoDb) -> Table:
    place = server.url(server.fill([{"_id": i, **row} for i, row in enumerate(rows)]))
    pins = {"id": "int64", SIZE: "double", "城市 é": "string"} if not rows else {}
    return read(place, types=pins).select(*NAMES)


PLACES = {
    f"mongodb ({WHICH})": lambda rows, ask: place_mongodb(rows, ask("mongodb")),
}
