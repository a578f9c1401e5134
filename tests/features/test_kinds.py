"""What single kinds do with chosen values; what all must keep is in tests/contracts/test_features.py."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from orrery.data.codecs.image import encode_png
from orrery.errors import BadRowError, FitError, SchemaError, SettingsError
from orrery.features import vocabulary
from orrery.features.category import Category
from orrery.features.date import Date
from orrery.features.feature import Feature, Transform
from orrery.features.hashing import Hashing
from orrery.features.image import Image
from orrery.features.labels import LabelSet
from orrery.features.number import Number
from orrery.features.plain import Plain
from orrery.features.plan import FeaturePlan, PlanFit
from orrery.features.quantile import Quantile
from orrery.features.tfidf import Tfidf
from orrery.features.tokens import Tokens
from orrery.features.vector import Vector


def fitted(feature: Feature, values: dict[str, Any]) -> FeaturePlan:
    fit = PlanFit.of([feature])
    return fit.finish(fit.summarize(pa.record_batch(values)))


def block(plan: FeaturePlan, values: dict[str, Any]) -> Any:
    (found,) = plan.encode(pa.record_batch(values)).values()
    return found


def test_number_standardises_and_clips() -> None:
    x = np.random.default_rng(0).normal(50, 3, 1000)
    y = block(fitted(Number(columns=("x",)), {"x": x}), {"x": x})
    np.testing.assert_allclose(y[:, 0], (x - x.mean()) / x.std(), atol=1e-13)
    far = block(fitted(Number(columns=("x",), clip=4.0), {"x": x}), {"x": [1e9, -1e300]})
    assert far.tolist() == [[4.0], [-4.0]]


def test_number_imputes_the_median() -> None:
    plan = fitted(Number(columns=("x",), impute="median", standardise=False), {"x": [1.0, 2.0, 100.0, None]})
    assert block(plan, {"x": [None, 7.0]}).tolist() == [[2.0, 1.0], [7.0, 0.0]]


def test_number_has_no_flag_for_columns_that_were_never_missing() -> None:
    plan = fitted(Number(columns=("x", "y")), {"x": [1.0, 3.0], "y": [None, 2.0]})
    assert plan.outputs[0].names == ("x", "y", "y is missing")
    assert block(plan, {"x": [None], "y": [2.0]}).tolist() == [[0.0, 0.0, 0.0]]


def test_a_constant_and_an_empty_column_become_zeros() -> None:
    plan = fitted(
        Number(columns=("x", "y"), indicator=False),
        {"x": [5.0, 5.0], "y": pa.array([None, None], pa.float64())},
    )
    assert block(plan, {"x": [5.0, 6.0], "y": [None, 0.0]}).tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_infinity_counts_as_the_largest_value_seen() -> None:
    plan = fitted(Plain(columns=("x",)), {"x": [1.0, 9.0, np.inf, None]})
    assert block(plan, {"x": [np.inf, -np.inf, 12.0]}).tolist() == [[9.0], [1.0], [12.0]]


def test_a_text_is_no_number() -> None:
    with pytest.raises(SchemaError, match="'x' of type string cannot be read as float"):
        fitted(Number(columns=("x",)), {"x": ["a"]})


def test_quantile_spreads_a_skewed_column_like_a_bell() -> None:
    x = np.exp(np.random.default_rng(0).normal(size=20_000) * 3)
    y = block(fitted(Quantile(columns=("x",)), {"x": x}), {"x": x})
    assert abs(y.mean()) < 0.01
    assert abs(y.std() - 1) < 0.02
    assert y.max() < 3.2


def test_category_codes_by_frequency_then_name() -> None:
    plan = fitted(Category(columns=("c",), min_count=2), {"c": ["b", "a", "b", "a", "c", "c", "c", "once"]})
    assert block(plan, {"c": ["c", "a", "b", "once", "new", None]}).ravel().tolist() == [2, 3, 4, 1, 1, 0]


def test_a_category_read_as_a_number_is_the_same_category() -> None:
    plan = fitted(Category(columns=("c",)), {"c": [1, 2, 2]})
    assert block(plan, {"c": [1.0, 2.0, np.nan]}).ravel().tolist() == [3, 2, 0]


def test_too_many_values_to_count_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "LIMIT", 3)
    feature = Category(columns=("id",))
    with pytest.raises(FitError, match=r"'id' has more than 3 distinct.*hashing"):
        fitted(feature, {"id": ["a", "b", "c", "d"]})
    two = feature.summarize(pa.record_batch({"id": ["a", "b"]}))
    with pytest.raises(FitError):
        feature.merge(two, feature.summarize(pa.record_batch({"id": ["c", "d"]})))


def test_hashing_depends_on_the_column_and_spreads_evenly() -> None:
    values = [f"user {i}" for i in range(4000)]
    codes = block(
        fitted(Hashing(columns=("a", "b"), buckets=10), {"a": values, "b": values}),
        {"a": values, "b": values},
    )
    assert codes.min() == 1
    assert (codes[:, 0] != codes[:, 1]).mean() > 0.8
    assert np.bincount(codes[:, 0])[1:].min() > 300


def test_tokens_count_words() -> None:
    plan = fitted(Tokens(columns=("t",), min_count=1), {"t": ["a a b", "a"]})
    bag = block(plan, {"t": ["b a b zebra", None, ""]})
    assert (bag.offsets.tolist(), bag.ids.tolist(), bag.weights.tolist()) == (
        [0, 3, 3, 3],
        [0, 1, 2],
        [1, 1, 2],
    )


def test_tfidf_is_that_of_scikit_learn() -> None:
    texts = ["the cat sat on the mat", "the dog sat", "a cat and a dog and a bird", "birds sing", ""]
    bag = block(fitted(Tfidf(columns=("t",), min_count=1), {"t": texts}), {"t": texts})
    theirs = TfidfVectorizer(token_pattern=r"\w+").fit_transform(texts).toarray()
    for i, row in enumerate(theirs):
        ours = bag.weights[bag.offsets[i] : bag.offsets[i + 1]]
        np.testing.assert_allclose(np.sort(ours), np.sort(row[row > 0]), rtol=1e-6)


def test_labels_are_hot_once_each() -> None:
    plan = fitted(LabelSet(columns=("l",)), {"l": [["x", "y"], ["x"], None]})
    bag = block(plan, {"l": [["y", "x", "x"], ["?", "!"], []]})
    assert (bag.offsets.tolist(), bag.ids.tolist(), bag.weights.tolist()) == (
        [0, 2, 3, 3],
        [1, 2, 0],
        [1, 1, 1],
    )
    assert plan.outputs[0].names == ("unseen", "x", "y")


def test_date_parts_are_those_of_the_calendar() -> None:
    when = [dt.datetime(2024, 2, 29, 23, 30), dt.datetime(1969, 12, 31, 1, 0), None]
    plan = fitted(Date(columns=("d",), cyclic=False), {"d": when})
    assert plan.outputs[0].names == (
        "d days",
        "d year",
        "d month",
        "d day",
        "d weekday",
        "d day of year",
        "d hour",
    )
    parts = block(plan, {"d": when})
    assert parts[0, 1:].tolist() == [2024, 2, 29, 3, 60, 23.5]
    assert parts[1, 1:].tolist() == [1969, 12, 31, 2, 365, 1.0]
    assert np.isnan(parts[2]).all()


def test_cyclic_dates_meet_at_the_turn_of_the_year() -> None:
    days = [dt.date(2025, 12, 1), dt.date(2026, 1, 1), dt.date(2026, 7, 1)]
    plan = fitted(Date(columns=("d",)), {"d": days})
    assert "d minute sin" not in plan.outputs[0].names
    december, january, july = block(plan, {"d": days})[:, 1:3]
    assert np.linalg.norm(december - january) < 0.6 < np.linalg.norm(july - january)


def test_a_moment_is_the_same_in_every_time_zone() -> None:
    here = dt.datetime(2026, 5, 1, 2, 0, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    plan = fitted(
        Date(columns=("d",), cyclic=False), {"d": pa.array([here], pa.timestamp("us", "Asia/Shanghai"))}
    )
    utc = plan.encode_values({"d": [here.astimezone(dt.UTC)]})["date:d"]
    assert utc[0, 3:].tolist() == [30, 3, 120, 18]  # type: ignore[union-attr, index, call-overload]
    assert np.array_equal(plan.encode_values({"d": ["2026-05-01T02:00:00+08:00"]})["date:d"], utc)  # type: ignore[arg-type]


def grey(value: int, height: int, width: int) -> bytes:
    return encode_png(np.full((1, height, width), value, np.uint8))


def test_image_learns_the_most_common_size_and_the_colours() -> None:
    pictures = [grey(0, 4, 6), grey(100, 4, 6), grey(7, 9, 9), None, b"no picture"]
    plan = fitted(Image(columns=("p",)), {"p": pictures})
    (output,) = plan.outputs
    assert output.shape == (1, 4, 6)
    pixels = np.array([0] * 24 + [100] * 24 + [7] * 81, np.float64)
    np.testing.assert_allclose([*output.mean, *output.std], [pixels.mean(), pixels.std()], rtol=1e-12)


def test_image_has_colour_if_any_picture_has_and_is_never_too_large() -> None:
    colour = encode_png(np.full((3, 30, 60), 9, np.uint8))
    plan = fitted(Image(columns=("p",), largest=20), {"p": [colour, grey(9, 30, 60), colour]})
    assert plan.outputs[0].shape == (3, 10, 20)


def test_image_samples_the_same_pictures_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orrery.features.image.SAMPLED", 3)
    feature = Image(columns=("p",))
    pictures = [grey(i, 2, 2) for i in range(20)]
    whole = feature.summarize(pa.record_batch({"p": pictures}))
    parts = [feature.summarize(pa.record_batch({"p": pictures[i::2]})) for i in range(2)]
    assert len(whole.sample) == 3
    assert feature.merge(parts[1], parts[0]) == whole


def test_vector_scales_each_position_and_flags_missing_ones() -> None:
    plan = fitted(Vector(columns=("v",)), {"v": [[1.0, 5.0], [3.0, 5.0], None]})
    assert block(plan, {"v": [[3.0, 5.0], None, [np.nan, 6.0]]}).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("values", [[None, [1.0]], [None, [1.0, 2.0, 3.0]]])
def test_vectors_of_another_length_are_refused(values: list[list[float] | None]) -> None:
    plan = fitted(Vector(columns=("v",)), {"v": [[1.0, 5.0]]})
    with pytest.raises(BadRowError, match=r"row 1: Column 'v'.* where the model takes 2"):
        block(plan, {"v": values})


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="columns"):
        Feature.of({"kind": "number", "columns": []})
    with pytest.raises(SettingsError, match="Did you mean 'number'"):
        Feature.of({"kind": "numbr", "columns": ["a"]})
    with pytest.raises(SettingsError, match="impute"):
        Feature.of({"kind": "number", "columns": ["a"], "impute": "mode"})


def test_every_transform_is_found_by_its_kind() -> None:
    for kind in Feature.kinds():
        transform: type[Transform] = Feature.member(kind).transform  # type: ignore[attr-defined]
        assert transform.kind == kind
