"""Folders of sounds: labels from sub-folders, length and rate beside the bytes, bad ones with their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.media import clip, tone

from orrery.data.codecs import audio, tensor
from orrery.data.table import read
from orrery.errors import BadRowError


@pytest.fixture
def folder() -> Path:
    for label, hertz in (("owl", 300), ("wren", 3000)):
        Path("birds", label).mkdir(parents=True)
        for i in range(3):
            form = "FLAC" if i else "WAV"
            sound = audio.encode(tone(hertz, 0.25 * (i + 1), seed=i), 8000, form)
            Path("birds", label, f"{i}.{form}").write_bytes(sound)
    Path("birds", "notes.txt").write_text("not a sound")
    return Path("birds")


def test_a_file_is_a_row(folder: Path) -> None:
    table = read(folder)
    assert table.schema.names == ("audio", "label", "path", "duration_s", "rate")
    assert [f.kind for f in table.schema.each()] == ["audio", None, "key", None, None]
    rows = table.without("audio").to_rows()
    assert rows[0] == {"label": "owl", "path": "owl/0.WAV", "duration_s": 0.25, "rate": 8000}
    assert [row["duration_s"] for row in rows] == [0.25, 0.5, 0.75] * 2
    assert read(folder / "owl/0.WAV").count() == 1
    assert table.where("label = 'wren' and duration_s > 0.3").count() == 2


def test_reading_goes_on_at_any_row(folder: Path) -> None:
    source = read(folder).source
    (part,) = source.partitions()
    paths = [row["path"] for row in read(folder).to_rows()]
    for start in range(7):
        found = [name for b in source.read(part, ["path"], start=start) for name in b.column(0).to_pylist()]
        assert found == paths[start:]


def test_bad_sounds_stop_or_are_set_aside(folder: Path) -> None:
    whole = Path(folder, "owl/2.FLAC").read_bytes()
    (folder / "owl/cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "owl/text.mp3").write_text("hello")
    with pytest.raises(BadRowError, match=r"birds/owl/text\.mp3:5"):
        read(folder).count()
    table = read(folder, on_bad="quarantine")
    assert table.count() == 6
    assert [Path(row["place"]).name for row in table.quarantined().to_rows()] == ["cut.flac", "text.mp3"]


def test_corrupt_values_of_columns_are_set_aside_too() -> None:
    sound, film = audio.encode(tone(300), 8000, "FLAC"), clip(90)
    matrix = tensor.encode(np.zeros((2, 3)))
    rows = [{"id": i, "call": sound, "film": film, "field": matrix} for i in range(6)]
    rows[1]["call"], rows[2]["film"], rows[4]["field"] = sound[:900], film[: len(film) // 2], matrix[:-1]
    rows[5]["call"] = None
    table = read(rows, kinds={"call": "audio", "film": "video", "field": "tensor"}, on_bad="quarantine")
    assert [row["id"] for row in table.select("id").to_rows()] == [0, 3, 5]
    bad = [(row["line"], row["column"]) for row in table.quarantined().to_rows()]
    assert bad == [(2, "call"), (3, "film"), (5, "field")]
