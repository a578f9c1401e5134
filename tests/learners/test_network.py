from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from orrery.data.codecs.image import encode_png
from orrery.data.table import Table, read
from orrery.errors import FitError, ModelFormatError, ModelVersionError, OrreryError, SettingsError
from orrery.features.feature import Output
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.learners.learner import Learner, Predictor
from orrery.learners.network import Network, balance, default_recipe, read_weights
from orrery.learners.network_predictor import NetworkPredictor
from orrery.schema import Kind
from orrery.training.events import Ended, Epoch, Event, Started
from orrery.training.feed import Feed
from orrery.training.world import World

KINDS = {
    "a": Kind.NUMBER,
    "b": Kind.NUMBER,
    "city": Kind.CATEGORY,
    "said": Kind.TEXT,
    "at": Kind.DATETIME,
    "photo": Kind.IMAGE,
    "where": Kind.VECTOR,
    "tags": Kind.LABELS,
    "id": Kind.KEY,
}
SMALL: dict[str, Any] = {"width": 16, "depth": 1, "epochs": 2, "batch_size": 32}


def quiet(event: Event) -> None:
    """Watches nothing."""


def rows(count: int = 120) -> Table:
    """A column of each kind; every target can be learnt from ``a``, ``city`` and ``said``."""
    chance = np.random.default_rng(0)
    a, b = chance.standard_normal((2, count))
    city = chance.integers(0, 3, count)
    words = chance.integers(0, 4, (count, 3))
    photos = chance.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8)
    score = a + (city == 1) - (words == 0).sum(1)
    days = chance.integers(0, 1000, count)
    return read(
        pa.table(
            {
                "a": a,
                "b": [None if i % 9 == 0 else float(v) for i, v in enumerate(b)],
                "city": [("Bern", "Rome", "南京")[i] for i in city],
                "said": [" ".join("wxyz"[i] for i in row) for row in words],
                "at": pa.array(days * 86_400_000_000, pa.timestamp("us")),
                "photo": [encode_png(photo) for photo in photos],
                "where": [[float(v), float(-v)] for v in b],
                "tags": [[t for t in ("p", "q") if chance.random() < 0.5] for _ in range(count)],
                "id": np.arange(count),
                "class": ["yes" if s > 0 else "no" for s in score],
                "number": score * 1000 + 5e6,
                "labels": [[n for n, t in (("hi", s > 0), ("lo", s < -1)) if t] for s in score],
                "vector": [[float(s), float(-2 * s)] for s in score],
            }
        )
    ).with_kinds(KINDS)


TARGETS = {
    "class": Target(name="class", kind=Kind.CATEGORY, type="string", labels=("no", "yes"), width=2),
    "number": Target(name="number", kind=Kind.NUMBER, type="double"),
    "labels": Target(
        name="labels", kind=Kind.LABELS, type="list<item: string>", labels=("hi", "lo"), width=2
    ),
    "vector": Target(name="vector", kind=Kind.VECTOR, type="list<item: double>", width=2),
}


def make_feed(table: Table, target: Target, *columns: str) -> tuple[FeaturePlan, Feed]:
    shown = table.schema.select(columns) if columns else table.schema.without(*TARGETS)
    features = Network().features(shown, table.describe(), target)
    plan = FeaturePlan.fit(features, table)
    return plan, Feed.build(plan, target, table)


def fit(feed: Feed, **settings: Any) -> Predictor:
    return Network(**{**SMALL, **settings}).fit(feed, World(), quiet)


def test_each_kind_of_column_has_its_feature_and_keys_have_none() -> None:
    table = rows(20)
    features = Network().features(table.schema, table.describe(), TARGETS["class"])
    assert {(f.kind, f.columns) for f in features} == {
        ("number", ("a", "b")),
        ("category", ("city",)),
        ("date", ("at",)),
        ("tokens", ("said",)),
        ("image", ("photo",)),
        ("vector", ("where",)),
        ("labels", ("tags",)),
    }


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_learnt_from_every_kind_and_saved_to_the_same_bits(name: str) -> None:
    target = TARGETS[name]
    plan, feed = make_feed(rows(), target)
    predictor = fit(feed)
    scores = predictor.predict(feed.all().blocks)
    assert scores.shape == (120, target.width)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    if target.kind is Kind.CATEGORY:
        assert np.abs(scores.sum(1) - 1).max() < 1e-12
    if target.kind is Kind.LABELS:
        assert scores.min() >= 0
        assert scores.max() <= 1
    assert set(predictor.files()) == {"network.onnx", "weights.safetensors", "network.json"}
    again = NetworkPredictor.load(predictor.files(), target)
    assert again.predict(feed.all().blocks).tobytes() == scores.tobytes()
    assert again.files() == predictor.files()
    one = again.predict(plan.encode_values({n: [v] for n, v in rows().head(1).to_rows()[0].items()}))
    np.testing.assert_allclose(one[0], scores[0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_network_learns_what_there_is() -> None:
    table = rows(1500)
    number = TARGETS["number"]
    _, feed = make_feed(table, number, "a", "city", "said")
    learnt, held = feed.subset(np.arange(1200), np.arange(1000, 1200)), feed.subset(np.arange(1200, 1500))
    predictor = Network(epochs=30).fit(learnt, World(), quiet)
    found = predictor.predict(held.all().blocks)[:, 0]
    assert 1 - ((found - held.all().target) ** 2).mean() / held.all().target.var() > 0.97


def digits() -> tuple[Table, Table, Table]:
    """The example's pictures: to learn from, to validate on, to test with."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    pixels = np.rint(data.images * 255 / 16).astype(np.uint8)
    labels = [str(label) for label in data.target]
    table = read(pa.table({"image": [encode_png(p[None]) for p in pixels], "label": labels}))
    train, test = table.with_kinds({"image": Kind.IMAGE}).split(0.8, stratify="label", seed=7)
    return (*train.split(0.9, stratify="label", seed=7), test)  # type: ignore[return-value]


@pytest.mark.slow
def test_digits_are_read_by_default_settings() -> None:
    train, held, test = digits()
    target = Target(name="label", kind=Kind.CATEGORY, type="string", labels=tuple("0123456789"), width=10)
    network = Network()
    plan = FeaturePlan.fit(network.features(train.schema, train.describe(), target), train)
    predictor = network.fit(Feed.build(plan, target, train, validation=held), World(), quiet)
    tested = Feed.build(plan, target, test).all()
    assert (predictor.predict(tested.blocks).argmax(1) == tested.target).mean() >= 0.985


def test_many_rows_are_answered_in_pieces_as_few_rows_are() -> None:
    _, feed = make_feed(rows(), TARGETS["class"], "a", "city", "said")
    predictor = fit(feed)
    many = feed.subset(np.arange(5000) % 120).all()
    expected = predictor.predict(feed.all().blocks)
    np.testing.assert_allclose(
        predictor.predict(many.blocks), expected[many.rows % 120], rtol=1e-5, atol=1e-7
    )
    none = feed.subset(np.arange(0)).all()
    assert predictor.predict(none.blocks).shape == (0, 2)


def test_it_is_pickled_for_other_processes() -> None:
    _, feed = make_feed(rows(), TARGETS["class"], "a")
    predictor = fit(feed)
    there = pickle.loads(pickle.dumps(predictor))
    assert there.predict(feed.all().blocks).tobytes() == predictor.predict(feed.all().blocks).tobytes()


def test_loading_and_answering_need_no_torch(tmp_path: Path) -> None:
    _, feed = make_feed(rows(), TARGETS["class"], "a")
    predictor = fit(feed)
    for name, content in predictor.files().items():
        (tmp_path / name).write_bytes(content)
    code = """
import sys
from pathlib import Path
import numpy as np
from orrery.features.target import Target
from orrery.learners.network import Network, NetworkPredictor
files = {p.name: p.read_bytes() for p in Path(sys.argv[1]).iterdir()}
target = Target(name="class", kind="category", type="string", labels=("no", "yes"), width=2)
NetworkPredictor.load(files, target).predict({"number:a": np.zeros((1, 1))})
assert not {"torch", "pandas", "onnx", "sklearn"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def changed(files: Mapping[str, bytes], **card: Any) -> dict[str, bytes]:
    values = {**json.loads(files["network.json"]), **card}
    return {**files, "network.json": json.dumps(values).encode()}


def test_a_strangers_files_are_refused() -> None:
    target = TARGETS["number"]
    _, feed = make_feed(rows(), target, "a")
    files = fit(feed).files()
    broken: list[dict[str, bytes]] = [
        {},
        {**files, "network.json": b"{"},
        {**files, "network.json": b"[1]"},
        {**files, "network.json": b"[" * 100_000},
        {**files, "network.onnx": files["network.onnx"][:999]},
        {**files, "network.onnx": pickle.dumps("code")},
        changed(files, outputs=[]),
        changed(files, outputs=[{"name": "x", "role": "magic"}]),
        changed(files, outputs=[{"name": "other", "role": "number"}]),
        changed(files, width=7),
        changed(files, mean=None),
        changed(files, mean=[1.0, 2.0]),
        changed(files, spread=[float("nan")]),
    ]
    for bad in broken:
        with pytest.raises(ModelFormatError):
            NetworkPredictor.load(bad, target)
    with pytest.raises(ModelVersionError, match="99"):
        NetworkPredictor.load(changed(files, format=99), target)


def my_factory(outputs: tuple[Output, ...], target: Target) -> nn.Module:
    """A user's own network: one linear map."""

    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Linear(outputs[0].width, target.width)

        def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
            scores: Tensor = self.map(blocks[outputs[0].name])
            return scores

    return Mine()


def test_a_factory_of_the_users_own_takes_the_place_of_the_whole() -> None:
    _, feed = make_feed(rows(), TARGETS["class"], "a", "b")
    network = Network(module=my_factory, epochs=3)
    predictor = network.fit(feed, World(), quiet)
    assert predictor.predict(feed.all().blocks).shape == (120, 2)
    assert network.to_dict()["module"].endswith(":my_factory")
    assert Network.model_json_schema()["properties"]["module"]["type"] == ["string", "null"]
    assert (
        Learner.of({"kind": "network", "module": "package:function"}).to_dict()["module"]
        == "package:function"
    )


def test_scores_of_another_width_are_an_error() -> None:
    _, feed = make_feed(rows(), TARGETS["number"], "a")

    def wrong(outputs: tuple[Output, ...], target: Target) -> nn.Module:
        return my_factory(outputs, TARGETS["class"])

    with pytest.raises(FitError, match=r"\(2, 2\) for 2 rows.*\(2, 1\)"):
        fit(feed, module=wrong)


def validation_losses(feed: Feed, **settings: Any) -> list[float]:
    losses: list[float] = []

    def observe(event: Event) -> None:
        if isinstance(event, Epoch):
            losses.append(event.metrics["validation/loss"])

    Network(**{**SMALL, **settings}).fit(feed, World(), observe)
    return losses


def test_training_goes_on_from_a_saved_model(tmp_path: Path) -> None:
    _, feed = make_feed(rows(), TARGETS["class"], "a", "city")
    feed = feed.subset(np.arange(90), np.arange(90, 120))
    first = Network(**{**SMALL, "epochs": 30}).fit(feed, World(), quiet)
    folder = tmp_path / "model" / "network"
    folder.mkdir(parents=True)
    for name, content in first.files().items():
        (folder / name).write_bytes(content)
    cold = validation_losses(feed, epochs=1)
    warm = validation_losses(feed, epochs=1, init_from=str(tmp_path / "model"))
    assert warm[0] < cold[0]


def test_weights_to_begin_from_must_be_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", tmp_path / "absent.zip"):
        with pytest.raises(SettingsError, match="no weights to begin from"):
            read_weights(path)
    _, feed = make_feed(rows(), TARGETS["class"], "a")
    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps("code"))
    with pytest.raises(ModelFormatError, match="cannot be read"):
        fit(feed, init_from=str(tmp_path))


def test_balanced_classes_weigh_alike() -> None:
    classes: NDArray[np.int64] = np.array([0] * 90 + [2] * 10)
    weight = balance(classes, np.ones(100), 3)
    assert weight[classes == 0].sum() == pytest.approx(50)
    assert weight[classes == 2].sum() == pytest.approx(50)


def test_class_weights_raise_the_rare_class() -> None:
    table = rows(400).where("\"class\" = 'no' or a > 1")
    _, feed = make_feed(table, TARGETS["class"], "b")
    plain, balanced = (
        fit(feed, epochs=8, class_weights=how).predict(feed.all().blocks)[:, 1].mean()
        for how in ("none", "balanced")
    )
    assert plain < 0.35
    assert balanced == pytest.approx(0.5, abs=0.1)
    _, numbers = make_feed(rows(), TARGETS["number"], "a")
    with pytest.raises(SettingsError, match="needs a category"):
        fit(numbers, class_weights="balanced")


def test_flat_settings_take_precedence_over_the_recipe() -> None:
    chosen = Network(epochs=3, learning_rate=0.5, recipe=default_recipe(100, False)).resolve(rows=9).recipe
    assert chosen is not None
    assert (chosen.epochs, chosen.learning_rate) == (3, 0.5)
    assert chosen.batch_size == default_recipe(100, False).batch_size


@pytest.mark.parametrize("count", [1, 10, 1_000, 100_000, 10**9])
def test_a_recipe_for_any_number_of_rows(count: int) -> None:
    recipe = default_recipe(count, pictures=True)
    assert 4 <= recipe.epochs <= 60
    assert 16 <= recipe.batch_size <= 1024


def test_the_same_seed_gives_the_same_model() -> None:
    _, feed = make_feed(rows(), TARGETS["class"])
    first, second = fit(feed).files(), fit(feed).files()
    assert first["weights.safetensors"] == second["weights.safetensors"]
    assert first["network.onnx"] == second["network.onnx"]


def test_events_tell_the_run() -> None:
    events: list[Event] = []
    _, feed = make_feed(rows(), TARGETS["class"], "a")
    Network(**SMALL).fit(feed, World(), events.append)
    assert events[0] == Started("network", rows=120, steps=8, epochs=2)
    assert isinstance(events[-1], Ended)


def test_unknown_settings_are_named() -> None:
    with pytest.raises(OrreryError, match=r"widht.*'width'"):
        Network.from_dict({"widht": 3})
