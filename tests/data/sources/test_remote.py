"""Files on S3 and on web servers: what is fetched, what is kept secret, what goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.servers.proxy import proxy
from tests.servers.s3 import KEY, S3, SECRET
from tests.servers.web import Web, counted, web

from orrery.data import remote
from orrery.data.table import Table, read
from orrery.errors import OrreryError, SettingsError, SourceError

ROWS = {"a": [1, 2, 3], "b": ["x", None, "z"]}


@pytest.fixture
def lake(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of its own in the bucket; the connection ``lake`` leads there."""
    monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection())
    return f"s3://lake/{uuid4().hex}"


def wide() -> pa.Table:
    """Forty columns of 50,000 random numbers: 16 MB."""
    rng = np.random.default_rng(0)
    return pa.table({f"c{i}": rng.random(50_000) for i in range(40)})


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl.gz"])
def test_each_row_once_or_an_error_through_a_bad_network_to_s3(
    lake: str, s3: S3, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 60_000
    place = f"{lake}/rows.{form}"
    read({"n": list(range(count)), "fill": [f"{n * 7919 % 10**9:09}" * 3 for n in range(count)]}).write(
        f"{place}?connection=lake"
    )
    cut, told = 0, list[str]()
    for seed in range(2):
        with proxy(s3.port, 60_000, 900_000, seed=seed) as between:
            monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection(between.port))
            found: list[int] = []
            try:
                for batch in read(place, connection="lake").batches(1_000):
                    found += batch.column("n").to_pylist()
                assert found == list(range(count))
            except SourceError as error:
                told.append(str(error))
                assert found == list(range(len(found)))
            cut += between.dropped
    assert cut > 0
    assert all("rows." in text for text in told)


def test_three_columns_of_forty_on_s3_fetch_under_a_tenth_of_the_bytes(
    lake: str, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(wide(), "wide.parquet", row_group_size=25_000)
    s3.system().put("wide.parquet", f"{lake}/wide.parquet")
    with counted(s3.port) as wire:
        monkeypatch.setenv("ORRERY_CONNECTION__LAKE", s3.connection(wire.port))
        table = read(f"{lake}/wide.parquet", connection="lake").select("c3", "c17", "c31")
        assert table.to_arrow() == wide().select(["c3", "c17", "c31"])
        assert 0 < wire.back < 0.1 * Path("wide.parquet").stat().st_size, wire.back


def test_three_columns_of_forty_on_the_web_fetch_under_a_tenth_of_the_bytes() -> None:
    pq.write_table(wide(), "wide.parquet")
    with web() as site:
        site.files["/wide.parquet"] = Path("wide.parquet").read_bytes()
        assert read(f"{site.url}/wide.parquet").select("c3", "c17", "c31").to_arrow().num_rows == 50_000
        assert 0 < site.sent < 0.1 * len(site.files["/wide.parquet"])


def test_row_groups_that_cannot_match_are_not_fetched() -> None:
    pq.write_table(wide().append_column("id", pa.array(range(50_000))), "wide.parquet", row_group_size=5_000)
    with web() as site:
        site.files["/wide.parquet"] = Path("wide.parquet").read_bytes()
        table = read(f"{site.url}/wide.parquet").where("id >= 5000 and id < 5003")
        assert [row["id"] for row in table.to_rows()] == [5000, 5001, 5002]
        assert 0 < site.sent < 0.15 * len(site.files["/wide.parquet"])


@pytest.mark.parametrize("form", ["parquet", "csv", "csv.gz", "jsonl"])
def test_folders_globs_and_hive_folders_on_s3(lake: str, form: str) -> None:
    for year in (2023, 2024):
        read(ROWS).write(f"{lake}/year={year}/part.{form}?connection=lake")
    for place in (lake, f"{lake}/", f"{lake}/*/part.{form}"):
        table = read(place, connection="lake").where("year = 2024")
        assert table.select("a", "year").to_rows() == [{"a": a, "year": 2024} for a in ROWS["a"]]
    plan = json.dumps(table.to_dict())
    assert Table.from_dict(json.loads(plan)).count() == 3


def test_credentials_come_from_the_environment(lake: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    read(ROWS).write(f"{lake}/rows.parquet?connection=lake")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3.port}")
    assert read(f"{lake}/rows.parquet").count() == 3


def test_secrets_are_shown_nowhere(lake: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    table = read(ROWS).write(f"{lake}/rows.parquet?connection=lake").where("a > 1")
    shown = [repr(table), str(table.explain()), json.dumps(table.to_dict()), table._repr_html_(), caplog.text]
    with pytest.raises(SourceError) as told:
        read(f"{lake}/none.parquet", connection="lake").count()
    for text in (*shown, str(told.value)):
        assert SECRET not in text
        assert "test%2Fsecret" not in text


def test_what_goes_wrong_on_s3_is_told(lake: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"no bucket 'nobucket', so s3://nobucket/x\.parquet"):
        read("s3://nobucket/x.parquet", connection="lake").count()
    with pytest.raises(SettingsError, match="ORRERY_CONNECTION__OTHER"):
        read(f"{lake}/x.parquet", connection="other").count()
    read(ROWS).write(f"{lake}/rows.parquet?connection=lake")
    wrong = s3.connection().replace("test%2Fsecret", "wrong")
    monkeypatch.setenv("ORRERY_CONNECTION__LAKE", wrong)
    with pytest.raises(SourceError, match=r"rows\.parquet"):
        read(f"{lake}/rows.parquet", connection="lake").count()


def test_a_write_that_fails_leaves_nothing_on_s3(lake: str, s3: S3) -> None:
    def fail(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise RuntimeError("stop")
        return batch

    with pytest.raises(RuntimeError):
        read(ROWS).map(fail, pa.schema({"a": pa.int64(), "b": pa.string()})).write(
            f"{lake}/rows.parquet?connection=lake"
        )
    assert not s3.system().exists(f"{lake}/rows.parquet")


def test_a_web_server_that_wants_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with web() as site:
        site.files["/rows.csv"] = b"a,b\n1,2\n"
        site.login = "me:pass word"
        with pytest.raises(SourceError):
            read(f"{site.url}/rows.csv").count()
        monkeypatch.setenv("ORRERY_CONNECTION__SITE", f"http://me:pass%20word@127.0.0.1:{site.port}")
        table = read(f"{site.url}/rows.csv", connection="site")
        assert table.to_rows() == [{"a": 1, "b": 2}]
        assert "pass" not in repr(table) + json.dumps(table.to_dict())
        with pytest.raises(SettingsError, match="another server"):
            read("http://127.0.0.1:1/rows.csv", connection="site").count()


def test_signatures_in_web_addresses_are_not_shown() -> None:
    with web() as site:
        site.files["/rows.csv"] = b"a\n1\n"
        table = read(f"{site.url}/rows.csv?X-Amz-Signature=abc123&v=2")
        assert table.count() == 1
        assert "abc123" not in repr(table) + json.dumps(table.to_dict())
        with pytest.raises(OrreryError) as told:
            read(f"{site.url}/none.csv?token=abc123").count()
        assert "abc123" not in str(told.value)


def test_a_web_server_without_ranges_still_gives_text() -> None:
    with web() as site:
        site.ranges = False
        site.files["/rows.csv"] = b"a\n1\n"
        site.files["/rows.parquet"] = b"PAR1" * 100
        assert read(f"{site.url}/rows.csv").to_rows() == [{"a": 1}]
        with pytest.raises(SourceError, match=r"rows\.parquet"):
            read(f"{site.url}/rows.parquet").count()


def _server(answer: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    return server


def test_a_password_of_hdfs_is_not_sent_on_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    logins: dict[str, set[str | None]] = {"name": set(), "data": set()}

    def data_node(request: BaseHTTPRequestHandler) -> None:
        logins["data"].add(request.headers["Authorization"])
        request.send_response(200)
        request.send_header("Content-Length", "4")
        request.end_headers()
        request.wfile.write(b"a\n1\n")

    def name_node(request: BaseHTTPRequestHandler) -> None:
        logins["name"].add(request.headers["Authorization"])
        is_open = "op=OPEN" in request.path
        told = {"type": "FILE", "length": 4, "pathSuffix": "", "modificationTime": 1, "blockSize": 4}
        body = b"" if is_open else json.dumps({"FileStatus": told, "FileChecksum": {"bytes": "0"}}).encode()
        request.send_response(307 if is_open else 200)
        if is_open:
            request.send_header("Location", f"http://127.0.0.1:{data.server_port}/x")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    data, name = _server(data_node), _server(name_node)
    try:
        url = f"127.0.0.1:{name.server_port}"
        monkeypatch.setenv("ORRERY_CONNECTION__HADOOP", f"webhdfs://ann:secret@{url}")
        assert read(f"webhdfs://{url}/x.csv", connection="hadoop").to_rows() == [{"a": 1}]
    finally:
        for server in (data, name):
            server.shutdown()
            server.server_close()
    assert logins == {"name": {"Basic YW5uOnNlY3JldA=="}, "data": {None}}


MANY = 200_000
LINES = b"a,b\n" + b"".join(b"%d,%0100d\n" % (i, i) for i in range(MANY))


def served(site: Web, form: str) -> str:
    """The address of some megabytes, which take several answers."""
    if form == "csv":
        site.files["/x.csv"] = LINES
    else:
        table = pa.table({"a": range(MANY), "b": [f"{i:0100}" for i in range(MANY)]})
        pq.write_table(table, "x.parquet", row_group_size=20_000, compression="none")
        site.files["/x.parquet"] = Path("x.parquet").read_bytes()
    return f"{site.url}/x.{form}"


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_web_server_that_breaks_off_half_way_is_told(
    form: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_TIMEOUT_S", 2)
    with web() as site:
        place = served(site, form)
        table = read(place)
        assert table.schema.names == ("a", "b")
        begun = site.sent
        site.bad = lambda sent: how if sent > begun + 500_000 else ""
        seen: list[int] = []
        with pytest.raises(SourceError, match=rf"x\.{form}"):
            seen.extend(n for batch in table.batches(1000) for n in batch.column(0).to_pylist())
        assert seen == list(range(len(seen)))
        site.bad = lambda sent: ""
        assert sum(row["a"] for row in read(place).to_rows()) == MANY * (MANY - 1) // 2


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("how", ["other", "shorter"])
def test_a_web_file_that_changes_between_two_answers_is_told(form: str, how: str) -> None:
    with web() as site:
        table = read(served(site, form))
        assert table.schema.names == ("a", "b")
        path, begun = f"/x.{form}", site.sent

        def change(sent: int) -> str:
            if sent > begun + 500_000:
                data = site.files[path]
                site.files[path] = data[: len(data) // 2] if how == "shorter" else data[:-5] + b"1234\n"
            return ""

        site.bad = change
        with pytest.raises(SourceError, match=rf"x\.{form}"):
            table.to_rows()
