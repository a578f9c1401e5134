"""Files and folders of this machine."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
from tests.contracts.rows import ARROW, NAMES, SIZE, arrow_of

from orrery.data.table import Table, read


def csv_text(rows: list[dict[str, Any]]) -> str:
    def cell(value: object) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(cell(name) for name in NAMES)]
    lines += [",".join(cell(row[name]) for name in NAMES) for row in rows]
    return "\n".join(lines) + "\n"


def place_parquet(rows: list[dict[str, Any]]) -> Table:
    pq.write_table(arrow_of(rows), "rows.parquet", row_group_size=40)
    return read("rows.parquet")


def place_parquet_folder(rows: list[dict[str, Any]]) -> Table:
    Path("parts").mkdir(exist_ok=True)
    for i in range(3):
        cut = slice(i * len(rows) // 3, (i + 1) * len(rows) // 3)
        pq.write_table(arrow_of(rows[cut]), f"parts/{i}.parquet")
    return read("parts")


def place_arrow_file(rows: list[dict[str, Any]]) -> Table:
    with pa.ipc.new_file("rows.arrow", ARROW.schema) as out:
        out.write_table(arrow_of(rows), 40)
    return read("rows.arrow")


def place_arrow_stream(rows: list[dict[str, Any]]) -> Table:
    with pa.ipc.new_stream("rows.arrows", ARROW.schema) as out:
        out.write_table(arrow_of(rows), 40)
    return read("rows.arrows")


def place_feather(rows: list[dict[str, Any]]) -> Table:
    feather.write_feather(arrow_of(rows), "rows.feather", compression="zstd")
    return read("rows.feather")


def place_orc(rows: list[dict[str, Any]]) -> Table:
    Path("orc").mkdir(exist_ok=True)
    for i, cut in enumerate((slice(0, 50), slice(50, None))):
        orc.write_table(arrow_of(rows[cut]), f"orc/{i}.orc")
    return read("orc")


def place_csv(rows: list[dict[str, Any]]) -> Table:
    Path("rows.csv").write_text(csv_text(rows), "utf-8")
    return read("rows.csv", types={"id": "int64", SIZE: "double"})


def place_csv_gz(rows: list[dict[str, Any]]) -> Table:
    Path("rows.csv.gz").write_bytes(gzip.compress(csv_text(rows).encode()))
    return read("rows.csv.gz", types={"id": "int64", SIZE: "double"})


def place_jsonl(rows: list[dict[str, Any]]) -> Table:
    names = dict.fromkeys(NAMES)
    lines = [json.dumps({**names, **row}) for row in rows]
    Path("rows.jsonl").write_text("\n".join(lines) + "\n" if lines else json.dumps(names) + "\n")
    return read("rows.jsonl", types={"id": "int64", SIZE: "double"}).where("id is not null")


def place_hive(rows: list[dict[str, Any]]) -> Table:
    for i in range(3):
        cut = slice(i * len(rows) // 3, (i + 1) * len(rows) // 3)
        Path(f"hive/third={i}").mkdir(parents=True, exist_ok=True)
        pq.write_table(arrow_of(rows[cut]), f"hive/third={i}/part.parquet")
    return read("hive").select(*NAMES)


def place_shards(rows: list[dict[str, Any]]) -> Table:
    folder = f"shards-{len(list(Path().iterdir()))}/"
    return read(arrow_of(rows)).write(folder, rows_per_file=50, row_group_bytes=500)


def place_packed(rows: list[dict[str, Any]], form: str) -> Table:
    read(arrow_of(rows)).write(f"rows.{form}")
    return read(f"rows.{form}", types={"id": "int64", SIZE: "double"})


def place_webdataset(rows: list[dict[str, Any]]) -> Table:
    """Each row as the JSON of one sample, in two shards."""
    samples = [{"__key__": f"{i:05}", "json": row} for i, row in enumerate(rows)]
    kind = pa.struct(list(ARROW.schema))
    for i, cut in enumerate((slice(0, 50), slice(50, None))):
        table = pa.table(
            {
                "__key__": pa.array([s["__key__"] for s in samples[cut]], pa.string()),
                "json": pa.array([s["json"] for s in samples[cut]], kind),
            }
        )
        read(table).write(f"shard-{i:03}.tar")
    table = read("shard-{000..001}.tar", flatten=True)
    if not rows:
        table = read("shard-{000..001}.tar", flatten=True, types=dict(zip(NAMES, TYPES, strict=True)))
    return table.select(*NAMES)


TYPES = ("int64", "double", "string")

PLACES = {
    "parquet": lambda rows, ask: place_parquet(rows),
    "parquet folder": lambda rows, ask: place_parquet_folder(rows),
    "hive folders": lambda rows, ask: place_hive(rows),
    "arrow file": lambda rows, ask: place_arrow_file(rows),
    "arrow stream": lambda rows, ask: place_arrow_stream(rows),
    "feather": lambda rows, ask: place_feather(rows),
    "orc folder": lambda rows, ask: place_orc(rows),
    "csv": lambda rows, ask: place_csv(rows),
    "csv.gz": lambda rows, ask: place_csv_gz(rows),
    "shards": lambda rows, ask: place_shards(rows),
    "webdataset": lambda rows, ask: place_webdataset(rows),
    "csv.zst": lambda rows, ask: place_packed(rows, "csv.zst"),
    "csv.xz": lambda rows, ask: place_packed(rows, "csv.xz"),
    "jsonl": lambda rows, ask: place_jsonl(rows),
}
