"""What is kept of the answers: a share that repeats agree on, without some columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.test_record import answered, on_disk

from orrery.cli.serve import without_password
from orrery.errors import SettingsError, UnknownColumnError
from orrery.serving.keeping import Keeping, is_kept
from orrery.serving.online.server import serve
from orrery.serving.record import Recorder


def test_a_share_of_the_rows_is_kept_and_repeats_agree() -> None:
    expected = [str(i) for i in range(400) if is_kept(str(i), 0.25)]
    assert 60 < len(expected) < 140
    for _ in range(2):
        with Recorder(keeping=Keeping(share=0.25)) as recorder:
            for first in range(0, 400, 4):
                recorder.put(answered(first, 4))
        assert (recorder.written, recorder.lost, recorder.waiting_bytes) == (len(expected), 0, 0)
    assert on_disk() == sorted(expected * 2, key=int)


@given(st.text(), st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_larger_share_keeps_what_a_smaller_one_does(row_id: str, one: float, two: float) -> None:
    assert is_kept(row_id, min(one, two)) <= is_kept(row_id, max(one, two))


def test_a_redacted_column_is_nowhere_in_the_record(home: Path) -> None:
    secret = replace(answered(0, 2), columns={"x": ["4000-1234-5678", 4000.5]})
    with Recorder(keeping=Keeping(redact=("x",))) as recorder:
        recorder.put(secret)
    (file,) = home.rglob("*.parquet")
    assert pq.read_table(file).column("inputs").to_pylist() == [{"x": None}] * 2
    assert pq.read_table(file).column("unfit").to_pylist() == [None] * 2
    assert b"4000-1234" not in file.read_bytes()
    assert secret.columns["x"][0] == "4000-1234-5678"  # whoever else holds the answer has it as it was


def test_a_column_that_is_misspelt_is_no_promise(saved: dict[str, Path]) -> None:
    with pytest.raises(UnknownColumnError, match="citty"):
        serve(saved["clients"], port=0, wait=False, record=Keeping(redact=("citty",)))
    with serve(saved["prices"], port=0, wait=False, record=Keeping(redact=("x",))) as service:
        rows = {"rows": [{"x": 0.123456}]}
        assert httpx.post(service.url + "/v1/models/prices:predict", json=rows).status_code == 200


@pytest.mark.parametrize("url", ["postgresql://me:secret@host/db", "kafka://a:b@host/topic"])
def test_no_password_on_the_command_line(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        without_password(url)
    assert url not in str(error.value)
    assert without_password("kafka://host:9092/topic") == "kafka://host:9092/topic"
