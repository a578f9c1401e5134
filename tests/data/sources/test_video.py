"""Videos as rows and as frames: at a rate, key frames, clips; and what happens where one breaks off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from tests.media import clip

from orrery.data.codecs import image
from orrery.data.sources.video import Videos
from orrery.data.table import read
from orrery.errors import BadRowError, SettingsError


@pytest.fixture
def ten_seconds() -> Path:
    Path("clip.avi").write_bytes(clip(250, seconds=10.0, rate=25))
    return Path("clip.avi")


def test_ten_seconds_at_one_frame_a_second_are_ten_rows(ten_seconds: Path) -> None:
    rows = read(ten_seconds, frames_per_s=1).to_rows()
    assert [row["time_s"] for row in rows] == list(range(10))
    assert rows[0].keys() == {"image", "time_s", "label", "path"}
    shades = [image.decode(row["image"], height=1, width=1, channels=1).item() for row in rows]
    assert shades == sorted(shades)
    assert shades[9] > 200
    assert read(ten_seconds, frames_per_s=2.5).count() == 25
    assert read(ten_seconds, frames_per_s=1000).count() == read(ten_seconds, frames="jpeg").count() == 250


def test_key_frames_stand_alone(ten_seconds: Path) -> None:
    times = [row["time_s"] for row in read(ten_seconds, key_frames=True).without("image").to_rows()]
    with av.open(str(ten_seconds)) as container:
        expected = [frame.time for frame in container.decode(video=0) if frame.key_frame]
    assert times == expected
    assert 20 < len(times) < 250


def test_frames_may_be_tensors_and_clips(ten_seconds: Path) -> None:
    raw = read(ten_seconds, frames="raw", frames_per_s=1)
    assert raw.schema["image"].kind == "tensor"
    assert raw.to_arrow().column("image").combine_chunks().to_numpy_ndarray().shape == (10, 16, 32, 3)
    clips = read(ten_seconds, clip=4, size=(4, 6), frames_per_s=1).to_arrow()
    found = clips.column("image").combine_chunks().to_numpy_ndarray()
    assert found.shape == (3, 4, 4, 6, 3)
    assert (found[2, 2:] == found[2, 1]).all()  # filled up with the last frame
    assert clips.column("time_s").to_pylist() == [0, 4, 8]
    assert read(ten_seconds, clip=4, frames_per_s=1).select("time_s").to_rows()[2] == {"time_s": 8.0}


@pytest.mark.parametrize(
    "options", [{"frames_per_s": 1}, {"clip": 3, "frames_per_s": 1}, {"key_frames": True}]
)
def test_reading_goes_on_at_any_row(ten_seconds: Path, options: dict[str, Any]) -> None:
    source = read(ten_seconds, **options).source
    (part,) = source.partitions()
    whole = read(ten_seconds, **options).to_arrow()
    for start in (0, 1, 3, len(whole) - 1, len(whole) + 5):
        batches = list(source.read(part, start=start))
        assert [row for b in batches for row in b.to_pylist()] == whole.slice(start).to_pylist()
    late = [row for b in source.read(part, ["time_s"], "time_s > 2", 1) for row in b.to_pylist()]
    assert late == [{"time_s": t} for t in whole.column("time_s").to_pylist() if t > 2][1:]


def test_a_folder_of_videos(ten_seconds: Path) -> None:
    for label in ("dark", "light"):
        Path("films", label).mkdir(parents=True)
        for i, form in enumerate(("avi", "mp4", "mov")):
            Path("films", label, f"{i}.{form}").write_bytes(clip(40 if label == "dark" else 200, form=form))
    rows = read("films").without("video").to_rows()
    assert rows[0] == {"label": "dark", "path": "dark/0.avi", "duration_s": 1.0}
    assert len(rows) == 6
    frames = read("films", frames_per_s=2)
    assert frames.count() == 12
    assert [row["path"] for row in frames.select("path").to_rows()][::4] == [
        "dark/0.avi",
        "dark/2.mov",
        "light/1.mp4",
    ]
    assert len(frames.source.partitions()) == 6
    assert Videos(**frames.source.to_dict()).to_dict() == frames.source.to_dict()


def test_a_video_that_breaks_off_gives_its_frames_first() -> None:
    whole = clip(250, seconds=10.0, rate=25)
    Path("films").mkdir()
    Path("films/a.avi").write_bytes(whole[: len(whole) // 2])
    Path("films/b.avi").write_bytes(clip(90))
    rows: list[Any] = []
    with pytest.raises(BadRowError, match=r"films/a\.avi:\d+: .*cut short"):
        rows.extend(read("films", frames_per_s=5).batches(1))
    assert len(rows) > 5
    table = read("films", frames_per_s=5, on_bad="quarantine")
    assert table.count() == len(rows) + 5
    (bad,) = table.quarantined().to_rows()
    assert (Path(bad["place"]).name, bad["line"]) == ("a.avi", len(rows) + 1)
    assert read("films", on_bad="quarantine").count() == 1


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="frames are"):
        Videos("x.avi", frames="gif")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="clip"):
        Videos("x.avi", clip=0)
    with pytest.raises(SettingsError, match="frames_per_s is 'x'"):
        Videos("x.avi", frames_per_s="x")  # type: ignore[arg-type]
