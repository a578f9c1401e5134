"""What features of sound, video, tensors, series, maps and places do with chosen values."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.media import clip, tone

from orrery.data.codecs import audio, image, tensor
from orrery.errors import BadRowError, MissingExtraError, SettingsError
from orrery.features.audio import Audio
from orrery.features.feature import Feature
from orrery.features.geo import Geo, place_pairs, places
from orrery.features.image import Image
from orrery.features.map import Map
from orrery.features.mel import log_mel
from orrery.features.plan import FeaturePlan, PlanFit
from orrery.features.resample import resample
from orrery.features.series import Series
from orrery.features.spectrogram import Spectrogram
from orrery.features.tensor import Tensor
from orrery.features.video import Video
from orrery.schema import Field, Kind


def fitted(feature: Feature, values: Any) -> FeaturePlan:
    fit = PlanFit.of([feature])
    return fit.finish(fit.summarize(pa.record_batch({"x": values})))


def block(plan: FeaturePlan, values: Any) -> Any:
    return next(iter(plan.encode_values({"x": values}).values()))


def sound(hertz: float, seconds: float = 0.5) -> bytes:
    return audio.encode(tone(hertz, seconds, 16000), 16000)


def test_pitch_is_seen_in_its_band() -> None:
    bands = [
        int(log_mel(tone(hertz, 0.5, 16000), 16000, 40).mean(axis=0).argmax()) for hertz in (200, 1000, 4000)
    ]
    assert bands == sorted(set(bands))
    assert log_mel(tone(1000, 0.5, 16000) * 2, 16000, 40).max() == pytest.approx(
        -3, abs=3
    )  # nearly the loudest


def test_a_sound_is_the_same_at_any_rate() -> None:
    there = audio.encode(tone(500, 0.5, 22050), 22050, "FLAC")
    levels = [
        log_mel(audio.decode(data, rate=16000)[0], 16000, 16).mean(axis=0)
        for data in (sound(500), there, sound(2000))
    ]
    assert np.abs(levels[0] - levels[1]).mean() < 2.5 < np.abs(levels[0] - levels[2]).mean()


def test_a_spectrogram_is_filled_up_with_silence() -> None:
    plan = fitted(Spectrogram(columns=("x",), bands=16, frames=20), [sound(500, 1.0), sound(500, 0.5)])
    x = block(plan, [sound(500, 0.5), sound(500, 3.0)])
    assert x.shape == (2, 1, 16, 20)
    assert (x[0, 0, :, 11:] == 0).all()
    assert x[1, 0, :, 11:].max() > 100


@pytest.mark.parametrize(
    "feature", [Audio(columns=("x",)), Spectrogram(columns=("x",)), Video(columns=("x",))]
)
def test_bytes_that_cannot_be_decoded_name_their_row(feature: Feature) -> None:
    good = clip(90) if feature.kind == "video" else sound(500)
    plan = fitted(feature, [good, None])
    assert len(block(plan, [good, None])) == 2
    with pytest.raises(BadRowError, match="row 1: Column 'x'") as caught:
        plan.encode_values({"x": [good, good[: len(good) // 3]]})
    assert (caught.value.row, caught.value.column) == (1, "x")


@pytest.mark.parametrize(
    ("feature", "value", "package", "extra"),
    [
        (Audio(columns=("x",)), sound(500), "soundfile", "audio"),
        (Spectrogram(columns=("x",)), sound(500), "soxr", "audio"),
        (Video(columns=("x",)), clip(9), "av", "video"),
        (
            Image(columns=("x",), resize="bilinear"),
            image.encode_png(np.zeros((4, 4), np.uint8)),
            "cv2",
            "images",
        ),
    ],
)
def test_a_package_that_is_gone_is_told_when_a_model_is_opened(
    feature: Feature, value: bytes, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = fitted(feature, [value]).to_arrow()
    monkeypatch.setitem(sys.modules, package, None)
    image._opencv.cache_clear()
    with pytest.raises(MissingExtraError, match=rf"orrery-ml\[{extra}\]"):
        FeaturePlan.from_arrow(saved)


def test_video_is_frames_in_the_order_of_time() -> None:
    plan = fitted(Video(columns=("x",), frames=3, largest=16), [clip(240, 32, 16, 2.0)])
    x = block(plan, [clip(240, 32, 16, 2.0)]).reshape(3, 3, 8, 16)
    shades = x.mean(axis=(1, 2, 3))
    assert shades == pytest.approx([40, 120, 200], abs=25)


def test_tensors_of_any_spelling_are_one() -> None:
    array = np.arange(6.0).reshape(2, 3)
    plan = fitted(Tensor(columns=("x",)), tensor.to_arrow([array, array + 1]))
    spellings = [array, array.tolist(), array.ravel().tolist(), tensor.encode(array)]
    spellings.append({"data": array.ravel().tolist(), "shape": [2, 3]})
    found = [block(plan, [value]) for value in spellings]
    assert all((one == found[0]).all() for one in found)
    assert found[0].shape == (1, 1, 2, 3)
    np.testing.assert_allclose(found[0][0, 0] * np.std([array, array + 1]) + 3.0, array, atol=1e-6)


def test_a_tensor_of_another_size_is_resampled_and_of_other_axes_refused() -> None:
    plan = fitted(Tensor(columns=("x",)), [np.ones((4, 4)).tolist(), np.zeros((4, 4)).tolist()])
    assert (
        block(plan, [np.full((8, 2), 1.0).tolist()]).tolist()
        == block(plan, [np.full((4, 4), 1.0).tolist()]).tolist()
    )
    with pytest.raises(BadRowError, match="row 1: Column 'x': a tensor of the shape \\[3\\]"):
        plan.encode_values({"x": [[[1.0]], [1.0, 2.0, 3.0]]})
    assert fitted(Tensor(columns=("x",), largest=8), [np.ones((4, 6)).tolist()]).outputs[0].shape == (1, 2, 3)


def test_tensors_with_one_axis_or_four_are_numbers() -> None:
    for shape in ((5,), (2, 1, 2, 2)):
        plan = fitted(Tensor(columns=("x",)), [np.zeros(shape).tolist(), np.ones(shape).tolist()])
        assert (plan.outputs[0].role, plan.outputs[0].width) == ("number", np.prod(shape))


def test_resampling_keeps_means_and_lines() -> None:
    x = np.arange(12.0)
    assert resample(x, 4).tolist() == [1, 4, 7, 10]
    assert resample(x, 23)[1::2].tolist() == pytest.approx((x[:-1] + 0.5).tolist())
    assert resample(x[:, None] * [1, 2], 5)[:, 1].tolist() == (2 * resample(x, 5)).tolist()


def test_a_series_is_measured() -> None:
    plan = fitted(Series(columns=("x",), points=3), [[1.0, 2.0], [5.0, 5.0, 5.0], []])
    names = plan.outputs[0].names
    assert names[:3] == ("x length", "x mean", "x std")
    x = dict(zip(names, block(plan, [[1.0, 2.0, float("nan"), 3.0]])[0], strict=True))
    assert x["x trend"] > 0 > x["x at 0"]
    assert x["x at 1"] == pytest.approx(0, abs=1e-9)
    huge = block(plan, [[1e308, -1e308, 1e308]])
    assert np.isfinite(huge).all()


def test_a_map_knows_numbers_by_name_and_texts_by_value() -> None:
    rows = [{"hue": "red", "size": 2.0}, {"hue": "blue", "size": 4.0, "new": True}, None]
    plan = fitted(
        Map(columns=("x",)),
        pa.array(
            [list(r.items()) for r in ({"size": 2.0}, {"size": 4.0})], pa.map_(pa.string(), pa.float64())
        ),
    )
    assert plan.outputs[0].names == ("unseen", "size")
    bag = block(plan, rows)
    assert bag.offsets.tolist() == [0, 2, 4, 4]
    assert bag.weights[1] == pytest.approx(2 / np.sqrt(10))
    with pytest.raises(BadRowError, match="row 0: Column 'x'"):
        plan.encode_values({"x": ["red"]})
    with pytest.raises(BadRowError, match="row 0: Column 'x'"):
        plan.encode_values({"x": [{"a": {"b": 1}}]})


def test_places_on_both_sides_of_the_date_line_are_near() -> None:
    plan = fitted(Geo(columns=("x",)), [*([0.0, float(i)] for i in range(-180, 180)), [80.0, 0.0], None])
    spellings = [[0.0, 179.9], {"lat": 0, "lon": -180.1}, "0, 179.9", {"Longitude": 179.9, "Latitude": 0}]
    x = block(plan, [*spellings, [0.0, -179.9], [0.0, 0.0]])
    assert np.abs(x[:4] - x[0]).max() < 1e-9
    assert np.linalg.norm(x[0] - x[4]) < 0.1 * np.linalg.norm(x[0] - x[5])


@pytest.mark.parametrize(
    "value", [[91.0, 0.0], [0.0, 400.0], [1.0, 2.0, 3.0], {"x": 1}, "north", [[1.0], [2.0]]]
)
def test_what_is_no_place_names_its_row(value: object) -> None:
    plan = fitted(Geo(columns=("x",)), [[0.0, 1.0], [2.0, 3.0]])
    with pytest.raises(BadRowError, match="row 0"):
        plan.encode_values({"x": [value]})


def test_pairs_of_columns_are_found_by_their_names() -> None:
    assert place_pairs(["lat", "long", "latest", "platform", "longer"]) == [("lat", "long")]
    assert place_pairs(["a_lon", "b_lat"]) == []
    fields = [Field(name=n, type="double", kind=Kind.GEO) for n in ("lat", "lon")]
    assert places([*fields, Field(name="at", type="struct<lat: double, lon: double>", kind=Kind.GEO)]) == [
        ("at",),
        ("lat", "lon"),
    ]
    with pytest.raises(SettingsError, match="no second column"):
        places(fields[:1])
