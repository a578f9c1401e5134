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
    "jsonl": lambda rows, ask: place_jsonl(rows),
}
