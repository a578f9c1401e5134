"""Sources of one's own: what follows by itself, and what is told where they go wrong."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.contracts.places.plugin import PAGE, code, install, place_ledger

from orrery.data.source import Partition
from orrery.data.sources.plain import PlainSource
from orrery.data.table import Table, read
from orrery.errors import BadRowError, SchemaError, SettingsError, SourceError
from orrery.schema import Schema


class Given(PlainSource):
    """Whatever it is given."""

    def __init__(self, rows: Any) -> None:
        super().__init__("given://")
        self.given = rows

    def schema(self) -> Schema:
        return Schema.of(pa.schema({"a": pa.int64(), "b": pa.string()}))

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        yield from self.given


def test_the_page_keeps_its_word() -> None:
    lines = [line for line in code().splitlines() if line.strip()]
    assert len(lines) <= 15


def test_the_other_example_of_the_page_runs() -> None:
    block = PAGE.read_text("utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)
    assert sorted(row["town"] for row in names["towns"].to_rows()) == ["Oslo", "Rome"]
    assert [row["price"] for row in names["known"].to_rows()] == [1.5, 2.0]


def test_rows_in_every_form() -> None:
    batch = pa.record_batch({"b": ["x"], "a": pa.array([1], pa.int32()), "c": [1.0]})
    forms = [{"a": 1, "b": "x"}, batch, pa.table(batch), (1, "x")]
    assert Table(Given(forms[:3])).to_rows() == [{"a": 1, "b": "x"}] * 3
    with pytest.raises(BadRowError, match="stands in a column that there is not"):
        Table(Given(forms[3:])).to_rows()


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(BadRowError, match=r"given://:3: column 'a': 'x' is not int64"):
        Table(Given([{"a": 1}, {"a": 2}, {"a": "x"}])).to_rows()
    with pytest.raises(SchemaError, match="without the columns 'b'"):
        Table(Given([pa.record_batch({"a": [1]})])).to_rows()
    with pytest.raises(SchemaError, match="other types than it says"):
        Table(Given([pa.record_batch({"a": ["x"], "b": ["x"]})])).to_rows()
    with pytest.raises(SchemaError, match="Row 1 is a int"):
        Table(Given([5])).to_rows()


def test_a_source_that_fails_half_way_says_where() -> None:
    def rows() -> Iterator[Any]:
        yield {"a": 1, "b": "x"}
        raise ConnectionResetError("gone")

    with pytest.raises(SourceError, match="given:// failed after 1 rows: ConnectionResetError: gone"):
        Table(Given(rows())).to_rows()


def test_large_rows_come_in_small_batches() -> None:
    large = "x" * (4 << 20)
    sizes = [b.nbytes for b in Given([{"a": i, "b": large} for i in range(150)]).read(Partition(0))]
    assert max(sizes) < 300 << 20
    assert len(sizes) > 4


@pytest.mark.parametrize(
    ("module", "points", "said"),
    [
        ("", "ledger = bad_source:Ledger", "'bad_source' says .* cannot be loaded: AttributeError"),
        ("1 / 0", "ledger = bad_source:Ledger", "cannot be loaded: ZeroDivisionError"),
        ("import absent_package", "ledger = bad_source:Ledger", "cannot be loaded: ModuleNotFoundError"),
        ("class Ledger:\n    schema = read = len", "ledger = bad_source:Ledger", "has no 'partitions'"),
        ("Ledger = 5", "ledger = bad_source:Ledger", "is no source"),
    ],
)
def test_a_bad_package_is_named(module: str, points: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(Path("site").resolve(), "bad_source", module, points, monkeypatch)
    with pytest.raises(
        SettingsError, match=f"The package {said}" if said.startswith("'") else said
    ) as caught:
        read("ledger://x")
    assert "bad_source" in str(caught.value)


def test_a_plugin_travels_in_plain_values(request: pytest.FixtureRequest) -> None:
    rows = [{"id": i, 'the "size"': 1.0, "城市 é": None} for i in range(3)]
    table = place_ledger(rows, request.getfixturevalue).where("id > 1")
    assert Table.from_dict(json.loads(json.dumps(table.to_dict()))).count() == 1
    with pytest.raises(SettingsError, match="no option 'delimiter'"):
        read("ledger://rows.ledger", delimiter=";")


def test_bad_rows_of_any_source_can_be_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    place_ledger([{"id": 1}, {"id": "x"}, {"id": 3}], lambda name: monkeypatch)
    table = read("ledger://rows.ledger", on_bad="quarantine").select("id")
    assert table.to_rows() == [{"id": 1}, {"id": 3}]
    assert [row["value"] for row in table.quarantined().to_rows()] == ["x"]
    assert Table.from_dict(table.to_dict()).to_rows() == [{"id": 1}, {"id": 3}]
    with pytest.raises(BadRowError, match="'x' is not int64"):
        read("ledger://rows.ledger").to_rows()
    with pytest.raises(SettingsError, match="allowed are"):
        read("ledger://rows.ledger", on_bad="perhaps")  # type: ignore[arg-type]
    read({"a": [1]}).write("good.parquet")
    assert read("good.parquet", on_bad="quarantine").to_rows() == [{"a": 1}]
    with pytest.raises(SettingsError, match="no option 'on_bat'"):
        read("good.parquet", on_bat="quarantine")


def test_a_source_itself_is_read() -> None:
    source = Given([{"a": 1, "b": "x"}, {"a": "no", "b": "y"}])
    assert read(source, on_bad="quarantine").to_rows() == [{"a": 1, "b": "x"}]
    with pytest.raises(BadRowError):
        read(source).to_rows()
    with pytest.raises(SettingsError, match="Given has no option 'table'"):
        read(source, table="t")


def test_a_place_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    place_ledger([], lambda name: monkeypatch)
    with pytest.raises(SourceError, match=r"ledger://none cannot tell its columns: FileNotFoundError.*none"):
        _ = read("ledger://none").schema
    Path("empty.ledger").write_text("")
    with pytest.raises(SourceError, match=r"ledger://empty.ledger cannot tell its columns"):
        _ = read("ledger://empty.ledger").schema


def test_a_scheme_that_nobody_reads_is_told_with_the_closest(monkeypatch: pytest.MonkeyPatch) -> None:
    place_ledger([], lambda name: monkeypatch)
    for place, meant in (("postgresq://host/base", "'postgresql'"), ("ledgr://x.csv", "'ledger'")):
        with pytest.raises(SettingsError, match=f"Did you mean .*{meant}"):
            read(place)


MISBEHAVING = """
import pyarrow as pa
from orrery.data.sources.plain import PlainSource
from orrery.schema import Schema

LEFT = []

class Odd(PlainSource):
    def schema(self):
        return Schema.of(pa.schema({"a": pa.int64(), "b": pa.string()}))

    def rows(self, partition, columns):
        how = str(self.place).partition("://")[2]
        try:
            for n in range(10**12 if how == "endless" else 5_000):
                if n == 4_000 and how != "endless":
                    odd = {"wrong": {"a": "no number"}, "other": {"c": 1}, "nothing": None}
                    yield pa.record_batch({"a": [n]}) if how == "batch" else odd[how]
                yield {"a": n, "b": "x"}
        finally:
            LEFT.append(how)
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "odd://raises failed after 4,000 rows: KeyError"),
        ("wrong", "odd://wrong:4001: column 'a': 'no number' is not int64"),
        ("other", "odd://other:4001: column 'c': '1' stands in a column that there is not"),
        ("batch", "odd://batch gave rows without the columns 'b'"),
        ("nothing", "Row 4001 is a NoneType"),
    ],
)
def test_a_plugin_that_goes_wrong_half_way_is_told_and_closed(
    how: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Path("site").resolve(), "odd_source", MISBEHAVING, "odd = odd_source:Odd", monkeypatch)
    table = read(f"odd://{how}")
    for ask in (table.to_rows, lambda: table.where("a >= 0 or b = 'y'").describe(), table.fingerprint):
        with pytest.raises((SourceError, SchemaError, BadRowError), match=said):
            ask()
    gc.collect()
    assert len(sys.modules["odd_source"].LEFT) == 3
    if how in ("wrong", "other"):
        assert len(read(f"odd://{how}", on_bad="quarantine").to_rows()) == 5_000


def test_a_plugin_that_never_ends_is_closed_when_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    install(Path("site").resolve(), "odd_source", MISBEHAVING, "odd = odd_source:Odd", monkeypatch)
    table = read("odd://endless")
    assert [row["a"] for row in table.head(3).to_rows()] == [0, 1, 2]
    left = sys.modules["odd_source"].LEFT
    gc.collect()
    assert left == ["endless"]
    batches = table.where("a >= 10").batches(100)
    assert next(batches).column("a")[0].as_py() == 10
    batches.close()  # type: ignore[attr-defined]
    gc.collect()
    assert left == ["endless"] * 2
    assert table.describe(sample=1_000).rows == 1_000
    gc.collect()
    assert left == ["endless"] * 3
