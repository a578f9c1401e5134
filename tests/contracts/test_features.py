"""What every feature kind promises, over rows as strange as they come.

Any cut of the rows in any order teaches the same, to the bit. A batch gives each row what it gives alone,
from Arrow or from Python values. What was learnt survives its file. Nothing is said about single kinds here:
a kind that is added to KINDS without a case below fails the first test.
"""

from __future__ import annotations

import datetime as dt
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter
from tests.media import clip

from orrery.data.codecs import audio as audio_codec
from orrery.data.codecs import tensor as tensor_codec
from orrery.data.codecs.image import encode_png
from orrery.errors import ModelFormatError, UnknownColumnError
from orrery.features import KINDS
from orrery.features.audio import Audio
from orrery.features.category import Category
from orrery.features.date import Date
from orrery.features.feature import Encoded, Feature, Output, Role
from orrery.features.forms import Bag
from orrery.features.geo import Geo
from orrery.features.hashing import Hashing
from orrery.features.image import Image
from orrery.features.labels import LabelSet
from orrery.features.map import Map
from orrery.features.number import Number
from orrery.features.plain import Plain
from orrery.features.plan import FeaturePlan, PlanFit
from orrery.features.quantile import Quantile
from orrery.features.series import Series
from orrery.features.spectrogram import Spectrogram
from orrery.features.target import Target
from orrery.features.target_mean import TargetMean
from orrery.features.tensor import Tensor
from orrery.features.tfidf import Tfidf
from orrery.features.tokens import Tokens
from orrery.features.vector import Vector
from orrery.features.video import Video
from orrery.schema import Kind

FIRST, SECOND = '年龄 "first" 🙂', "it's; a, second/column"
TARGET = "sold"

Values = st.SearchStrategy[Any]

numbers = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1e308, -1.7e308, 5e-324, 1.5, 2.5])
tame_numbers = st.floats(-1e6, 1e6)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["a", "b", "北京", "👍", "A"]
)
texts = st.lists(
    st.sampled_from(["one", "Two", "fish", "世界", "👍👍", "don't", "ß", "ﬁ", "1,5"]), max_size=8
).map(" ".join)
moments = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
pictures = st.sampled_from(
    [
        encode_png(np.full((c, h, w), 40 * c + h, np.uint8))
        for c, h, w in [(1, 2, 3), (1, 3, 3), (3, 2, 3), (3, 9, 4)]
    ]
)
sounds = st.sampled_from(
    [
        audio_codec.encode(np.sin(np.arange(n) * pitch / rate).astype(np.float32), rate)
        for n, pitch, rate in [(0, 1, 8000), (90, 900, 8000), (1600, 3000, 16000), (2400, 9000, 22050)]
    ]
)
clips = st.sampled_from([clip(shade, width) for shade, width in [(30, 16), (120, 16), (250, 32)]])
latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)
tensors = arrays(np.float64, (2, 3), elements=tame_numbers)
TENSOR = pa.fixed_shape_tensor(pa.float64(), (2, 3))


@dataclass(frozen=True)
class Case:
    """A feature, what its columns are stored as, and what may stand in them."""

    name: str
    feature: Feature
    type: pa.DataType
    values: Values
    target: pa.DataType = pa.float64()  # noqa: RUF009  # an Arrow type never changes
    target_values: Values = tame_numbers


BOTH = (FIRST, SECOND)
CLASSES = Target(name=TARGET, kind=Kind.CATEGORY, type="string", labels=("是", "no", "maybe"), width=3)
YES_NO = Target(name=TARGET, kind=Kind.CATEGORY, type="string", labels=("no", "yes"), width=2)
PRICE = Target(name=TARGET, kind=Kind.NUMBER, type="double")
TAGS = Target(name=TARGET, kind=Kind.LABELS, type="list<item: string>", labels=("x", "y"), width=2)

CASES = [
    Case("number", Number(columns=BOTH), pa.float64(), numbers),
    Case("number of medians", Number(columns=BOTH, impute="median"), pa.float64(), numbers),
    Case("number unscaled", Number(columns=BOTH, standardise=False, impute="zero"), pa.float64(), numbers),
    Case("number of integers", Number(columns=BOTH), pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    Case("number of singles", Number(columns=BOTH), pa.float32(), st.floats(width=32)),
    Case("number of truths", Number(columns=BOTH), pa.bool_(), st.booleans()),
    Case(
        "number of decimals",
        Number(columns=BOTH),
        pa.decimal128(12, 3),
        st.decimals(-(10**8), 10**8, places=3).map(Decimal),
    ),
    Case("number of texts", Number(columns=BOTH), pa.string(), st.floats(-1e300, 1e300).map(repr)),
    Case("plain", Plain(columns=BOTH), pa.float64(), numbers),
    Case("quantile", Quantile(columns=BOTH), pa.float64(), numbers),
    Case("quantile of few", Quantile(columns=BOTH, points=3, spread="even"), pa.float64(), numbers),
    Case("category", Category(columns=BOTH), pa.string(), words),
    Case("category of few", Category(columns=BOTH, max_size=2, min_count=2), pa.string(), words),
    Case("category of integers", Category(columns=BOTH), pa.int64(), st.integers(-3, 3)),
    Case("category of numbers", Category(columns=BOTH), pa.float64(), numbers),
    Case("category of truths", Category(columns=BOTH), pa.bool_(), st.booleans()),
    Case("category of days", Category(columns=BOTH), pa.date32(), st.dates()),
    Case(
        "category of codes",
        Category(columns=BOTH),
        pa.dictionary(pa.int8(), pa.string()),
        st.sampled_from("abc"),
    ),
    Case("hashing", Hashing(columns=BOTH, buckets=16), pa.string(), words),
    Case("tokens", Tokens(columns=BOTH, min_count=1, ngrams=2), pa.string(), texts | words),
    Case("tokens of few", Tokens(columns=BOTH, max_size=2, max_words=3), pa.string(), texts),
    Case("tfidf", Tfidf(columns=BOTH, min_count=1), pa.string(), texts | words),
    Case("tfidf of few", Tfidf(columns=BOTH, ngrams=2, max_size=3), pa.large_string(), texts),
    Case("date", Date(columns=BOTH), pa.timestamp("us"), moments),
    Case("date of parts", Date(columns=BOTH, cyclic=False), pa.timestamp("us", "UTC"), moments),
    Case("date of days", Date(columns=BOTH), pa.date32(), st.dates()),
    Case("date of texts", Date(columns=BOTH), pa.string(), moments.map(dt.datetime.isoformat)),
    Case("image", Image(columns=(FIRST,)), pa.binary(), pictures),
    Case("image in grey", Image(columns=(FIRST,), height=4, width=5, channels=1), pa.binary(), pictures),
    Case("image, fast", Image(columns=(FIRST,), resize="bilinear"), pa.binary(), pictures),
    Case("image, clear", Image(columns=(FIRST,), channels=4), pa.binary(), pictures),
    Case(
        "vector", Vector(columns=(FIRST,)), pa.list_(pa.float64()), st.lists(numbers, min_size=3, max_size=3)
    ),
    Case(
        "vector of fixed length",
        Vector(columns=(FIRST,), standardise=False),
        pa.list_(pa.float32(), 2),
        st.lists(st.floats(width=32), min_size=2, max_size=2),
    ),
    Case("audio", Audio(columns=(FIRST,), bands=8), pa.binary(), sounds),
    Case("spectrogram", Spectrogram(columns=(FIRST,), bands=8, frames=5), pa.binary(), sounds),
    Case("video", Video(columns=(FIRST,), frames=2, largest=8), pa.binary(), clips),
    Case("tensor", Tensor(columns=(FIRST,)), TENSOR, tensors.map(lambda a: a.ravel().tolist())),
    Case(
        "tensor of many shapes",
        Tensor(columns=(FIRST,), largest=4),
        pa.list_(pa.list_(pa.float32())),
        st.integers(1, 3)
        .flatmap(lambda n: arrays(np.float32, (n, 2), elements=st.floats(-9, 9, width=32)))
        .map(np.ndarray.tolist),
    ),
    Case(
        "tensor of bytes",
        Tensor(columns=(FIRST,), shape=(2, 2)),
        pa.binary(),
        tensors.map(tensor_codec.encode),
    ),
    Case("series", Series(columns=(FIRST,), points=5), pa.list_(pa.float64()), st.lists(numbers, max_size=9)),
    Case(
        "map",
        Map(columns=(FIRST,)),
        pa.map_(pa.string(), pa.float64()),
        st.dictionaries(words, numbers, max_size=3),
    ),
    Case(
        "map of texts",
        Map(columns=(FIRST,), max_size=2),
        pa.map_(pa.string(), pa.string()),
        st.dictionaries(words, words, max_size=3),
    ),
    Case("geo", Geo(columns=BOTH, cells=3), pa.float64(), st.floats(-90, 90)),
    Case(
        "geo of structs",
        Geo(columns=(FIRST,), cells=2),
        pa.struct([("lat", pa.float64()), ("lon", pa.float64())]),
        st.builds(lambda a, o: {"lat": a, "lon": o}, latitudes, longitudes),
    ),
    Case("labels", LabelSet(columns=BOTH), pa.list_(pa.string()), st.lists(words, max_size=4)),
    Case(
        "labels of few", LabelSet(columns=BOTH, max_size=1), pa.list_(pa.int64()), st.lists(st.integers(0, 3))
    ),
    Case("target_mean", TargetMean(columns=BOTH, target=PRICE), pa.string(), words),
    Case(
        "target_mean of classes",
        TargetMean(columns=BOTH, target=CLASSES, folds=2),
        pa.string(),
        words,
        pa.string(),
        st.sampled_from(CLASSES.labels),
    ),
    Case(
        "target_mean of yes and no",
        TargetMean(columns=BOTH, target=YES_NO),
        pa.int64(),
        st.integers(0, 3),
        pa.string(),
        st.sampled_from(YES_NO.labels),
    ),
    Case(
        "target_mean of labels",
        TargetMean(columns=BOTH, target=TAGS),
        pa.string(),
        words,
        pa.list_(pa.string()),
        st.lists(st.sampled_from(TAGS.labels)),
    ),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
some = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def batches(case: Case, least: int = 0) -> st.SearchStrategy[pa.RecordBatch]:
    """Rows for a case: both columns, some values missing, and a target."""
    cell = st.none() | case.values
    row = st.tuples(cell, cell, case.target_values)
    return st.lists(row, min_size=least, max_size=12).map(lambda rows: table_of(case, rows))


def table_of(case: Case, rows: Sequence[tuple[Any, Any, Any]]) -> pa.RecordBatch:
    first, second, target = zip(*rows, strict=True) if rows else ((), (), ())
    columns = [stored(first, case.type), stored(second, case.type), pa.array(target, case.target)]
    return pa.record_batch(columns, names=[FIRST, SECOND, TARGET])


def stored(values: Sequence[Any], kind: pa.DataType) -> Any:
    if isinstance(kind, pa.FixedShapeTensorType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


def learn(case: Case, parts: Sequence[pa.RecordBatch]) -> FeaturePlan:
    """Fit on parts, merged from the left."""
    fit = PlanFit.of([case.feature])
    summary = fit.summarize(parts[0])
    for part in parts[1:]:
        summary = fit.merge(summary, fit.summarize(part))
    return fit.finish(summary)


def cut(batch: pa.RecordBatch, chance: random.Random) -> list[pa.RecordBatch]:
    """The rows in another order, in parts, some of them empty."""
    order = list(range(batch.num_rows))
    chance.shuffle(order)
    shuffled = batch.take(pa.array(order, pa.int64()))
    bounds = sorted(chance.choices(range(batch.num_rows + 1), k=3))
    ends = zip([0, *bounds], [*bounds, batch.num_rows], strict=True)
    return [shuffled.slice(start, end - start) for start, end in ends]


def bits(encoded: Encoded) -> list[tuple[str, tuple[int, ...], bytes]]:
    """All there is to an encoded block; NaN equals NaN, and 0.0 is not -0.0."""
    arrays = encoded if isinstance(encoded, Bag) else (encoded,)
    return [(str(a.dtype), a.shape, np.ascontiguousarray(a).tobytes()) for a in arrays]


def all_bits(blocks: dict[str, Encoded]) -> dict[str, list[tuple[str, tuple[int, ...], bytes]]]:
    return {name: bits(block) for name, block in blocks.items()}


def one_row(encoded: Encoded, i: int) -> Encoded:
    if isinstance(encoded, Bag):
        start, end = encoded.offsets[i], encoded.offsets[i + 1]
        return Bag(np.array([0, end - start]), encoded.ids[start:end], encoded.weights[start:end])
    return encoded[i : i + 1]


def test_every_kind_has_a_case() -> None:
    assert {case.feature.kind for case in CASES} == {*KINDS}


@every_case
def test_settings_survive_plain_values(case: Case) -> None:
    assert Feature.of(case.feature.to_dict()) == case.feature
    assert case.feature.kind in str(type(case.feature).model_json_schema()["properties"]["kind"])


def test_the_family_has_one_json_schema() -> None:
    members = TypeAdapter(Feature).json_schema()["oneOf"]
    assert {member["properties"]["kind"]["const"] for member in members} == {*KINDS}


@every_case
@given(data=st.data(), seed=st.integers(0, 2**32))
@some
def test_any_cut_in_any_order_teaches_the_same(case: Case, data: st.DataObject, seed: int) -> None:
    rows = data.draw(batches(case))
    probe = data.draw(batches(case))
    whole = learn(case, [rows])
    for number in range(3):
        parts = cut(rows, random.Random(seed + number))
        other = learn(case, parts)
        assert other.outputs == whole.outputs
        assert other.to_arrow().equals(whole.to_arrow())
        assert all_bits(other.encode(probe)) == all_bits(whole.encode(probe))
        assert all_bits(other.encode(rows, training=True)) == all_bits(whole.encode(rows, training=True))


@every_case
@given(data=st.data())
@some
def test_merging_is_associative(case: Case, data: st.DataObject) -> None:
    a, b, c = (data.draw(batches(case)) for _ in range(3))
    fit = PlanFit.of([case.feature])
    x, y, z = (fit.summarize(part) for part in (a, b, c))
    left = fit.finish(fit.merge(fit.merge(x, y), z))
    right = fit.finish(fit.merge(z, fit.merge(y, x)))
    assert left.to_arrow().equals(right.to_arrow())


@every_case
@given(data=st.data())
@some
def test_a_row_means_the_same_alone_or_among_others(case: Case, data: st.DataObject) -> None:
    plan = learn(case, [data.draw(batches(case, least=1))])
    probe = data.draw(batches(case))
    together = plan.encode(probe)
    trained = plan.encode(probe, training=True)
    values = {name: probe.column(name).to_pylist() for name in plan.inputs}
    assert all_bits(plan.encode_values(values)) == all_bits(together)
    for i in range(probe.num_rows):
        expected = {name: bits(one_row(block, i)) for name, block in together.items()}
        assert all_bits(plan.encode(probe.slice(i, 1))) == expected
        assert all_bits(plan.encode_values({name: [v[i]] for name, v in values.items()})) == expected
        one_trained = all_bits(plan.encode(probe.slice(i, 1), training=True))
        assert one_trained == {name: bits(one_row(block, i)) for name, block in trained.items()}


@every_case
@given(data=st.data())
@some
def test_what_was_learnt_survives_its_file(case: Case, data: st.DataObject) -> None:
    plan = learn(case, [data.draw(batches(case))])
    probe = data.draw(batches(case))
    file = io.BytesIO()
    with pa.ipc.new_file(file, plan.to_arrow().schema) as writer:
        writer.write_table(plan.to_arrow())
    again = FeaturePlan.from_arrow(pa.ipc.open_file(file.getvalue()).read_all())
    assert again.outputs == plan.outputs
    assert again.inputs == plan.inputs
    assert all_bits(again.encode(probe)) == all_bits(plan.encode(probe))
    assert all_bits(again.encode(probe, training=True)) == all_bits(plan.encode(probe, training=True))
    assert again.describe() == plan.describe()


@every_case
@given(data=st.data())
@some
def test_blocks_are_what_their_outputs_say(case: Case, data: st.DataObject) -> None:
    plan = learn(case, [data.draw(batches(case))])
    probe = data.draw(batches(case))
    blocks = plan.encode(probe)
    assert list(blocks) == [output.name for output in plan.outputs]
    for output in plan.outputs:
        check_block(
            output, blocks[output.name], probe.num_rows, may_be_nan=case.name in {"plain", "date of parts"}
        )


def check_block(output: Output, block: Encoded, n: int, may_be_nan: bool) -> None:
    if isinstance(block, Bag):
        assert output.role is Role.BAG
        assert (str(block.ids.dtype), str(block.weights.dtype)) == ("int32", output.dtype)
        assert len(block.offsets) == n + 1
        assert (block.offsets[0], block.offsets[-1]) == (0, len(block.ids))
        assert (np.diff(block.offsets) >= 0).all()
        assert np.isfinite(block.weights).all()
        assert ((block.ids >= 0) & (block.ids < output.sizes[0])).all()
        return
    assert str(block.dtype) == output.dtype
    assert block.flags.c_contiguous
    if output.role is Role.TENSOR:
        assert block.shape == (n, *output.shape)
        assert len(output.mean) == len(output.std) == output.shape[0]
        return
    assert block.shape == (n, output.width)
    assert len(output.names) == output.width
    if output.role is Role.CODE:
        assert ((block >= 0) & (block < np.array(output.sizes))).all()
    else:
        assert not np.isinf(block).any()
        assert may_be_nan or not np.isnan(block).any()


@every_case
def test_no_rows_teach_something_that_works(case: Case) -> None:
    empty = table_of(case, [])
    plan = learn(case, [empty])
    assert {len(b.offsets) - 1 if isinstance(b, Bag) else len(b) for b in plan.encode(empty).values()} == {0}
    nothing = {name: [None] for name in plan.inputs}
    if case.feature.kind != "vector":  # the length of a vector cannot be guessed
        assert plan.encode_values(nothing).keys() == plan.encode(empty).keys()


@every_case
def test_a_column_that_is_not_there_is_named(case: Case) -> None:
    rows = table_of(case, [])
    plan = learn(case, [rows])
    with pytest.raises(UnknownColumnError, match="年龄"):
        plan.encode(rows.select([SECOND, TARGET]))
    with pytest.raises(UnknownColumnError, match="年龄"):
        plan.encode_values({SECOND: [None]})


@every_case
@given(data=st.data())
@some
def test_a_file_that_was_altered_is_refused_or_harmless(case: Case, data: st.DataObject) -> None:
    rows = data.draw(batches(case, least=1))
    table = learn(case, [rows]).to_arrow()
    row = table.to_pylist()[0]
    alter(row, data)
    try:
        plan = FeaturePlan.from_arrow(pa.Table.from_pylist([row], schema=table.schema))
    except ModelFormatError as error:
        assert "saved feature" in str(error)  # noqa: PT017  # either way is right
        return
    plan.outputs[0].to_dict()


def alter(row: dict[str, Any], data: st.DataObject) -> None:
    """Change one thing in a saved feature."""
    arrays: list[dict[str, Any]] = row["arrays"]
    what = data.draw(
        st.sampled_from(["values", "array", "drop", "groups"] if arrays else ["values", "groups"])
    )
    if what == "values":
        row["values"] = data.draw(
            st.sampled_from(
                [
                    None,
                    "",
                    "[]",
                    "{}",
                    "nonsense",
                    "[" * 9999,
                    row["values"].replace("1", "-9"),
                    '{"inputs": 3}',
                ]
            )
        )
    elif what == "groups":
        row["groups"] = data.draw(st.sampled_from([None, [], [None], ["a", "a"]]))
    elif what == "drop":
        arrays.pop()
    else:
        array = data.draw(st.sampled_from(arrays))
        for store in ("floats", "integers", "texts"):
            if array[store] is not None:
                extra = {"floats": float("nan"), "integers": -1, "texts": None}[store]
                array[store] = data.draw(st.sampled_from([None, array[store] + [extra], array[store][1:]]))
