"""The recorder: off the path, bounded, and honest about what it lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.errors import SettingsError
from orrery.estimators.signature import Signature
from orrery.features.target import Target
from orrery.schema import Kind, Schema
from orrery.serving import parquet, sinks
from orrery.serving.parquet import Answered
from orrery.serving.record import Recorder, outcomes_folder, predictions_folder, write_outcomes

SIGNATURE = Signature(
    inputs=Schema.of(pa.schema({"x": pa.float64()})), target=Target(name="y", kind=Kind.NUMBER, type="double")
)


def answered(first: int, rows: int = 1, *, size_bytes: int = 100, version: int = 1) -> Answered:
    """Some rows that were answered."""
    return Answered(
        name="m",
        version=version,
        signature=SIGNATURE,
        ids=[str(i) for i in range(first, first + rows)],
        columns={"x": [float(i) for i in range(first, first + rows)]},
        answers=[{"prediction": i / 2} for i in range(first, first + rows)],
        time_us=time.time_ns() // 1000,
        size_bytes=size_bytes,
    )


def on_disk(version: int = 1) -> list[str]:
    """The ids that were recorded, sorted as numbers."""
    files = (predictions_folder("m") / str(version)).glob("*.parquet")
    return sorted((i for f in files for i in pq.read_table(f).column("id").to_pylist()), key=int)


def test_what_was_answered_is_on_disk_after_the_close() -> None:
    with Recorder() as recorder:
        for i in range(50):
            recorder.put(answered(i))
    assert on_disk() == [str(i) for i in range(50)]
    assert (recorder.written, recorder.lost, recorder.waiting_bytes) == (50, 0, 0)


def test_versions_lie_apart() -> None:
    with Recorder() as recorder:
        recorder.put(answered(0))
        recorder.put(answered(1, version=2))
    assert (on_disk(1), on_disk(2)) == (["0"], ["1"])


def test_a_lone_answer_is_soon_on_disk() -> None:
    with Recorder() as recorder:
        began = time.monotonic()
        recorder.put(answered(0))
        while not on_disk():
            assert time.monotonic() - began < 10
            time.sleep(0.01)
        assert recorder.flush()


def test_flush_waits_for_what_was_put() -> None:
    with Recorder() as recorder:
        for round_ in range(5):
            recorder.put(answered(round_))
            assert recorder.flush()
            assert len(on_disk()) == round_ + 1


def test_many_writers_lose_nothing() -> None:
    with Recorder() as recorder:
        threads = [
            threading.Thread(target=lambda k=k: [recorder.put(answered(k * 1000 + i)) for i in range(200)])
            for k in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(on_disk())) == 800


def test_a_full_ring_is_counted_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    real = parquet.write_aside
    monkeypatch.setattr(sinks, "write_aside", lambda *a: (hold.wait(20), real(*a)))
    with Recorder(ring_bytes=1000) as recorder:
        began = time.monotonic()
        for i in range(100):
            recorder.put(answered(i))
        assert time.monotonic() - began < 5
        assert recorder.waiting_bytes <= 1000
        assert recorder.lost == 90
        hold.set()
    assert (recorder.written, recorder.lost) == (10, 90)


def test_a_disk_that_fails_is_counted_and_the_next_answer_is_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = parquet.write_aside

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with Recorder() as recorder:
        monkeypatch.setattr(sinks, "write_aside", fail)
        for i in range(3):
            recorder.put(answered(i))
            assert recorder.flush()
        monkeypatch.setattr(sinks, "write_aside", real)
        recorder.put(answered(9))
    assert (recorder.written, recorder.lost, on_disk()) == (1, 3, ["9"])
    assert len(caplog.records) == 1  # once a minute, not once a prediction
    assert "No space left" in caplog.text


def test_a_real_full_disk_leaves_no_half_file(home: Path) -> None:
    code = (
        "import os, resource\n"
        "import pyarrow as pa\n"
        "from orrery.estimators.signature import Signature\n"
        "from orrery.features.target import Target\n"
        "from orrery.schema import Kind, Schema\n"
        "from orrery.serving.parquet import Answered\n"
        "from orrery.serving.record import Recorder\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "target = Target(name='y', kind='number', type='double')\n"
        "signature = Signature(inputs=Schema.of(pa.schema({'x': pa.binary()})), target=target)\n"
        "with Recorder() as recorder:\n"
        "    for size in (100_000, 10):\n"
        "        columns, answers = {'x': [os.urandom(size)]}, [{'prediction': 1.0}]\n"
        "        recorder.put(Answered('m', 1, signature, ['1'], columns, answers, 0, size))\n"
        "        recorder.flush()\n"
        "print(recorder.written, recorder.lost)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1\n"
    assert [p.suffix for p in home.rglob("*") if p.is_file()] == [".parquet"]


def test_after_the_close_nothing_is_kept() -> None:
    recorder = Recorder()
    recorder.close()
    recorder.put(answered(0))
    assert recorder.lost == 1
    recorder.close()


def test_outcomes_are_kept_at_once() -> None:
    assert write_outcomes("m", pa.table({"id": ["a", "b"], "label": [3, 4]})) == 2
    (path,) = outcomes_folder("m").iterdir()
    table = pq.read_table(path)
    assert table.column_names == ["id", "time", "outcome"]
    assert table.column("outcome").to_pylist() == [3, 4]
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")


def test_integer_ids_of_outcomes_are_text() -> None:
    write_outcomes("m", pa.table({"id": [7], "label": ["x"]}))
    (path,) = outcomes_folder("m").iterdir()
    assert pq.read_table(path).column("id").to_pylist() == ["7"]


def put_one_by_one(recorder: Recorder, count: int) -> None:
    """A file each, the versions in turn."""
    for i in range(count):
        recorder.put(answered(i, version=1 + i % 2))
        assert recorder.flush()


def test_the_oldest_files_go_when_the_record_is_full() -> None:
    with Recorder() as recorder:
        put_one_by_one(recorder, 1)
    (file,) = predictions_folder("m").glob("*/*.parquet")
    size_bytes = file.stat().st_size
    with Recorder(most_bytes=3 * size_bytes + size_bytes // 2) as recorder:
        put_one_by_one(recorder, 8)
    assert (on_disk(1), on_disk(2)) == (["6"], ["5", "7"])
    assert (recorder.written, recorder.deleted, recorder.lost) == (8, 6, 0)


def test_the_newest_file_stays_however_large() -> None:
    with Recorder(most_bytes=1) as recorder:
        put_one_by_one(recorder, 3)
    assert (on_disk(1), on_disk(2), recorder.deleted) == (["2"], [], 2)


def test_outcomes_are_never_deleted() -> None:
    write_outcomes("m", pa.table({"id": ["0"], "y": [1.0]}))
    with Recorder(most_bytes=1) as recorder:
        put_one_by_one(recorder, 2)
    assert len(list(outcomes_folder("m").glob("*.parquet"))) == 1


def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Recorder().most_bytes == 2 << 30
    monkeypatch.setenv("ORRERY_RECORD__MOST_GIB", "0.5")
    assert Recorder().most_bytes == 1 << 29
    for wrong in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("ORRERY_RECORD__MOST_GIB", wrong)
        with pytest.raises(SettingsError, match="ORRERY_RECORD__MOST_GIB"):
            Recorder()
