"""The loader: exact batches, the same for any number of workers and threads, resumed at any batch."""

from __future__ import annotations

import itertools
import json
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers.web import web

from orrery.data.loader.loader import Loader
from orrery.data.table import Table, read
from orrery.errors import SettingsError, SourceError, UnknownColumnError

WORLDS = (1, 2, 3, 4, 8)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Any:
    """No thread of a loader, and no file that it opened, outlives its test."""
    before = open_files()
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("orrery-loader")] == []
    assert open_files() <= before


def open_files() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return {name for name in found if name.endswith((".parquet", ".bin"))}


def parquet(folder: Path, groups: list[list[int]], **told: Any) -> Table:
    """Files of row groups; ``x`` and ``name`` are functions of ``id``, which counts all rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.parquet"):
        old.unlink()
    numbers = itertools.count()
    for f, sizes in enumerate(groups):
        schema = pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False),
                pa.field("x", pa.float32(), nullable=False),
                pa.field("name", pa.string()),
            ]
        )
        with pq.ParquetWriter(folder / f"{f:03}.parquet", schema, **told) as out:
            for size in sizes:
                ids = list(itertools.islice(numbers, size))
                names = [None if i % 7 == 3 else f"row {i}" for i in ids]
                x = np.array(ids, np.float32) / 2
                out.write_table(pa.table([pa.array(ids, pa.int64()), x, names], schema=schema), max(size, 1))
    return read(str(folder))


def ids(batches: Any) -> list[list[int]]:
    found = []
    for batch in batches:
        found.append(batch["id"].tolist())
        assert batch["x"].tolist() == [i / 2 for i in found[-1]]
        if "name" in batch:
            assert batch["name"] == [None if i % 7 == 3 else f"row {i}" for i in found[-1]]
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(st.lists(st.integers(1, 70), min_size=1, max_size=4), min_size=1, max_size=4),
    size=st.integers(1, 60),
    lanes=st.integers(1, 8),
    buffer_bytes=st.sampled_from([1, 4000, 12_000, 1 << 20]),
    shuffle=st.booleans(),
    threads=st.integers(1, 3),
    stop=st.floats(0, 1),
    worlds=st.tuples(st.sampled_from(WORLDS), st.sampled_from(WORLDS)),
    columns=st.sampled_from([None, ["id", "x"]]),
    told=st.sampled_from([{}, {"compression": "none", "use_dictionary": False, "write_page_checksum": True}]),
    keep_bytes=st.sampled_from([0, 500, 1 << 20]),
)
def test_one_order_for_any_workers_threads_and_stops(
    tmp_path: Path,
    groups: list[list[int]],
    size: int,
    lanes: int,
    buffer_bytes: int,
    shuffle: bool,
    threads: int,
    stop: float,
    worlds: tuple[int, int],
    columns: list[str] | None,
    told: dict[str, Any],
    keep_bytes: int,
) -> None:
    """With all columns rows are decoded as they are read; without text they are read plainly, or kept."""
    table = parquet(tmp_path / "rows", groups, **told)
    rows = sum(map(sum, groups))

    def loader(rank: int = 0, world: int = 1, threads: int = threads) -> Loader:
        limits = {"buffer_bytes": buffer_bytes, "keep_bytes": keep_bytes}
        return table.loader(size, columns, shuffle, 3, rank, world, lanes=lanes, threads=threads, **limits)

    whole = ids(loader())
    assert [len(batch) for batch in whole] == [min(size, rows - at) for at in range(0, rows, size)]
    assert sorted(i for batch in whole for i in batch) == list(range(rows))
    if not shuffle:
        assert [i for batch in whole for i in batch] == list(range(rows))

    begun, world = worlds
    at = int(stop * len(whole))
    states = []
    for rank in range(begun):
        with loader(rank, begun) as first:
            parts = ids(itertools.islice(first, at))
            states.append(first.state_dict())
        assert parts == [
            batch[len(batch) * rank // begun : len(batch) * (rank + 1) // begun] for batch in whole[:at]
        ]
    assert all(state == states[0] for state in states)
    assert len(json.dumps(states[0])) < 1024
    for rank in range(world):
        again = loader(rank, world, threads=1)
        again.load_state_dict(json.loads(json.dumps(states[0])))
        expected = [b[len(b) * rank // world : len(b) * (rank + 1) // world] for b in whole[at:]]
        assert ids(again) == expected
        assert again.epoch == 1


def test_epochs_differ_and_can_be_chosen(tmp_path: Path) -> None:
    loader = parquet(tmp_path / "rows", [[30, 30], [30]]).loader(20, seed=5)
    first, second = ids(loader), ids(loader)
    assert loader.epoch == 2
    assert first != second
    assert sorted(itertools.chain(*first)) == sorted(itertools.chain(*second))
    loader.set_epoch(0)
    assert ids(loader) == first


def test_it_stands_where_a_data_loader_does(tmp_path: Path) -> None:
    table = parquet(tmp_path / "rows", [[50], [50]])
    loader = table.loader(32)
    assert (len(loader), loader.batch_size, loader.num_workers) == (4, 32, 0)
    assert isinstance(loader.dataset, Table)
    assert len(loader.dataset) == len(loader.dataset.to_rows()) == 100
    assert [loader.sampler, loader.batch_sampler, loader.collate_fn, loader.generator] == [None] * 4
    model = torch.nn.Linear(1, 1)
    for batch in loader:
        model(batch["x"][:, None]).sum().backward()
    assert len(table.loader(32, drop_last=True)) == 3
    assert [len(b["id"]) for b in table.loader(32, drop_last=True)] == [32, 32, 32]


def test_a_data_loader_takes_it_as_it_is(tmp_path: Path) -> None:
    table = parquet(tmp_path / "rows", [[50], [50]])
    around: Any = torch.utils.data.DataLoader(table.loader(32, seed=1), batch_size=None)  # type: ignore[arg-type]
    assert len(around) == 4
    assert ids(around) == ids(table.loader(32, seed=1))
    with table.loader(32) as loader, pytest.raises(SettingsError, match="works in threads"):
        list(torch.utils.data.DataLoader(loader, batch_size=None, num_workers=1))  # type: ignore[arg-type, var-annotated]
    with pytest.raises(SettingsError, match="num_workers=0"):
        pickle.dumps(table.loader(32))


def test_an_epoch_given_up_is_followed_by_a_whole_one(tmp_path: Path) -> None:
    table = parquet(tmp_path / "rows", [[40, 40], [40]])
    straight = table.loader(7)
    whole, second = ids(straight), ids(straight)
    loader = table.loader(7)
    first = ids(itertools.islice(loader, 5))
    loader.close()
    state = loader.state_dict()
    assert (state["epoch"], state["batch"]) == (0, 5)
    assert ids(loader) == second
    loader.load_state_dict(state)
    assert first + ids(loader) == whole
    assert (loader.epoch, ids(loader)) == (1, second)


def test_a_second_iteration_ends_the_first_aloud(tmp_path: Path) -> None:
    loader = parquet(tmp_path / "rows", [[40, 40], [40]]).loader(7)
    first = iter(loader)
    for _ in range(3):
        next(first)
    assert sum(map(len, ids(loader))) == 120
    with pytest.raises(SettingsError, match="Another iteration of this loader has begun"):
        next(first)
    with pytest.raises(SettingsError, match="Another iteration"):
        list(zip(loader, loader, strict=True))
    closed = iter(loader)
    next(closed)
    loader.close()
    for _ in range(2):
        with pytest.raises(SettingsError, match="was closed"):
            next(closed)
    done = iter(loader)
    assert sum(map(len, ids(done))) == 120
    again = iter(loader)
    assert next(done, None) is None
    next(again)
    again.close()  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="was closed"):
        next(again)


def test_it_closes_at_once_at_any_moment(tmp_path: Path) -> None:
    table = parquet(tmp_path / "rows", [[500] * 4, [500] * 4])
    for taken in (0, 1, 3, 20):
        loader = table.loader(16, buffer_bytes=50_000)
        running = iter(loader)
        for _ in range(taken):
            next(running)
        start = time.monotonic()
        loader.close()
        assert time.monotonic() - start < 1.0
        assert not [t for t in threading.enumerate() if t.name.startswith("orrery-loader")]


def test_an_abandoned_iterator_closes_itself(tmp_path: Path) -> None:
    for _ in parquet(tmp_path / "rows", [[500] * 4]).loader(16):
        break


def test_empty_tables_and_workers_without_rows_end(tmp_path: Path) -> None:
    assert list(parquet(tmp_path / "none", [[0]]).loader(4)) == []
    table = parquet(tmp_path / "three", [[3]])
    parts = [ids(table.loader(2, rank=rank, world=4)) for rank in range(4)]
    assert [len(part) for part in parts] == [2] * 4
    assert sorted(i for part in parts for batch in part for i in batch) == [0, 1, 2]


def test_a_corrupt_row_group_is_named(tmp_path: Path) -> None:
    table = parquet(tmp_path / "rows", [[3000], [3000], [3000]])
    path = tmp_path / "rows" / "001.parquet"
    found = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[found.data_page_offset : found.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"001\.parquet, row group 0"):
        list(table.loader(100))


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    table = parquet(tmp_path / "rows", [[300] * 5, [300] * 5])
    loader = table.loader(10, buffer_bytes=20_000, prefetch_bytes=2000)
    running = iter(loader)
    next(running)
    for path in (tmp_path / "rows").iterdir():
        path.touch()
    with pytest.raises(SourceError, match="changed while it was read"):
        list(running)


def test_files_elsewhere_are_read_by_columns(tmp_path: Path) -> None:
    """Through a real web server; what is left out is not fetched."""
    parquet(tmp_path / "rows", [[4000] * 2])
    chosen = ["id", "x"]
    whole = ids(read(str(tmp_path / "rows")).loader(100, columns=chosen))
    with web() as site:
        site.files["/rows.parquet"] = (tmp_path / "rows" / "000.parquet").read_bytes()
        table = read(f"{site.url}/rows.parquet")
        assert ids(table.loader(100, columns=chosen)) == whole
        few = site.sent
        assert len(ids(table.loader(100))) == len(whole)
        assert site.sent - few > few / 4
        loader = table.loader(100)
        assert len(loader) == len(whole)
        site.files.clear()
        with pytest.raises(SourceError, match=r"rows\.parquet"):
            list(loader)


def test_a_state_of_other_rows_or_another_order_is_refused(tmp_path: Path) -> None:
    state = parquet(tmp_path / "rows", [[50], [50]]).loader(8).state_dict()
    table = parquet(tmp_path / "rows", [[50], [51]])
    with pytest.raises(SourceError, match="fingerprint"):
        table.loader(8).load_state_dict(state)
    for wrong in ({"batch_size": 9}, {"shuffle": False}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            table.loader(**{"batch_size": 8, **wrong}).load_state_dict(state)
    loader = table.loader(8)
    with pytest.raises(SettingsError, match="no batch 99"):
        loader.load_state_dict({**loader.state_dict(), "batch": 99})
    with pytest.raises(SettingsError, match="version"):
        table.loader(8).load_state_dict({**state, "version": 99})


def test_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    table = parquet(tmp_path / "rows", [[5]])
    for wrong, said in (
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2, "rank": 2, "world": 2}, "rank is 2"),
        ({"batch_size": 2, "shufle": True}, "no setting 'shufle'. Did you mean 'shuffle'"),
        ({"batch_size": 2, "form": "jax"}, "not 'jax'"),
        ({"batch_size": 2, "augment": print}, "images="),
        ({"seed": "x"}, "seed is 'x'"),
        ({"rank": "x"}, "rank is 'x'"),
        ({"threads": "x"}, "threads is 'x'"),
        ({"columns": 5}, "columns is 5"),
        ({"features": 5}, "features is 5"),
        ({"images": "image"}, "images is 'image'"),
        ({"images": {"image": 8}}, "'image': 8} is no size"),
        ({"images": {"image": ("a", "b")}}, "is no size"),
        ({"tensors": "a"}, "tensors is 'a'"),
        ({"tensors": {"a": 5}}, "'a': 5} is no tensor"),
        ({"tensors": {"a": ("floaty", (2,))}}, "is no tensor"),
        ({"transform": 5}, "transform is 5; it is a function"),
        ({"shuffle": "no"}, "shuffle is 'no'"),
        ({"cache": 5}, "cache is 5"),
        ({"keep_bytes": -1}, "keep_bytes is -1"),
    ):
        with pytest.raises(SettingsError, match=said):
            table.loader(**{"batch_size": 2, **wrong})
    with pytest.raises(SettingsError, match="is a column already"):
        len(table.loader(2, row_number="id"))
    with pytest.raises(UnknownColumnError):
        len(table.loader(2, columns=["ids"]))


def test_an_error_in_the_users_own_function_arrives(tmp_path: Path) -> None:
    def broken(batch: Any, chance: np.random.Generator) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        list(parquet(tmp_path / "rows", [[50]]).loader(8, transform=broken))


def test_a_transform_draws_the_same_numbers_for_the_same_batch(tmp_path: Path) -> None:
    def noisy(batch: Any, chance: np.random.Generator) -> Any:
        return batch["x"].numpy() + chance.normal(size=len(batch["x"]))

    table = parquet(tmp_path / "rows", [[50], [50]])
    first = [batch.tolist() for batch in table.loader(8, transform=noisy, threads=2)]
    again = [batch.tolist() for batch in table.loader(8, transform=noisy, threads=1)]
    assert first == again
    assert len({round(x - round(x * 2) / 2, 9) for batch in first for x in batch}) == 100
