"""pymongoarrow in a process of its own: reads a collection, or decodes a file of BSON, when told.

``python mongodb.py URL DATABASE COLLECTION BSON``: a line ``read`` or ``decode`` on standard input is
answered by a line of JSON: rows and seconds. The types are given, so that it need not find them.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import pyarrow as pa  # noqa: E402
import pymongo  # noqa: E402 - the warnings come from importing
from bson import CodecOptions  # noqa: E402
from pymongoarrow.api import Schema, find_arrow_all  # noqa: E402
from pymongoarrow.context import PyMongoArrowContext  # noqa: E402
from pymongoarrow.types import BinaryType, ObjectIdType  # noqa: E402

TYPES: dict[str, dict[str, Any]] = {
    "people": {
        "_id": ObjectIdType(),
        "number": pa.int64(),
        "size": pa.float64(),
        "name": pa.string(),
        "at": pa.timestamp("ms"),
        "member": pa.bool_(),
        "address": pa.struct({"city": pa.string(), "zip": pa.int64()}),
    },
    "pictures": {"_id": ObjectIdType(), "label": pa.string(), "image": BinaryType(0)},
}


def main(url: str, database: str, name: str, file: str) -> None:
    """Answer until there are no more lines."""
    schema = Schema(TYPES[name])
    raw = Path(file).read_bytes()
    with pymongo.MongoClient(url) as client:
        collection = client[database][name]
        for line in sys.stdin:
            start = time.perf_counter()
            if line.strip() == "read":
                rows = find_arrow_all(collection, {}, schema=schema).num_rows
            else:
                context = PyMongoArrowContext(schema, codec_options=CodecOptions())
                context.process_bson_stream(raw)
                rows = context.finish().num_rows
            print(json.dumps({"rows": rows, "s": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
