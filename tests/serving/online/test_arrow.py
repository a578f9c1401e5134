"""Arrow bodies: a stream in, a stream out, within bounds."""

from __future__ import annotations

from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from tests.serving.conftest import clients

from orrery.estimators.model import Model
from orrery.serving.online.arrow import MEDIA_TYPE


def stream_of(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def ask(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post("/v1/models/clients:predict", content=body, headers={"content-type": MEDIA_TYPE})


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_rows_come_back_with_their_answers(
    client: httpx.Client, saved: dict[str, Path], compression: str | None
) -> None:
    table = clients(9, 50).append_column("id", pa.array([f"row {i}" for i in range(50)]))
    answer = ask(client, stream_of(table, compression))
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
    said = pa.ipc.open_stream(answer.content).read_all()
    assert said.equals(Model.load(saved["clients"]).predict(table))


def test_rows_without_ids_get_some(client: httpx.Client) -> None:
    said = pa.ipc.open_stream(ask(client, stream_of(clients(9, 3))).content).read_all()
    assert said.column_names[0] == "id"
    assert len(set(said.column("id").to_pylist())) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"rubbish", 400),
        (stream_of(clients(1, 5))[:-40], 400),
        (stream_of(clients(1, 5)).replace(b"note", b"\xff\xfe\xfd\xfc"), 400),
        (stream_of(clients(1, 5).drop_columns(["age"])), 400),
        (stream_of(clients(1, 201)), 413),
        (stream_of(pa.table({"note": ["x" * (4 << 20)]}), "zstd"), 413),
    ],
)
def test_wrong_and_large_streams_are_refused(client: httpx.Client, body: bytes, status: int) -> None:
    assert ask(client, body).status_code == status
