from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from orrery.errors import ModelFormatError
from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.learners.auto import Auto, Blend
from orrery.learners.boosted import Boosted
from orrery.learners.linear import Linear
from orrery.learners.links import loss, loss_name
from orrery.schema import Kind
from orrery.training.events import Ended, Epoch, Event
from orrery.training.feed import Feed
from orrery.training.world import World

Feeder = Callable[..., Any]
Table = tuple[dict[str, Any], dict[str, str]]


def silent(event: Event) -> None:
    """Watch nothing."""


def of_arrays(x: Any, y: Any, kind: str) -> Table:
    names = [f"x{i}" for i in range(x.shape[1])]
    return {n: x[:, i] for i, n in enumerate(names)} | {"y": y}, dict.fromkeys(names, "number") | {"y": kind}


def loaded(load: Callable[..., Any], kind: str) -> Table:
    x, y = load(return_X_y=True)
    return of_arrays(x, y, kind)


def linear_wins() -> Table:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(800, 8))
    return of_arrays(x, (x @ chance.normal(size=8) + chance.logistic(size=800) > 0).astype(int), "category")


def trees_win() -> Table:
    chance = np.random.default_rng(1)
    x = chance.normal(size=(1500, 5))
    y = ((x[:, 0] * x[:, 1] > 0) ^ (x[:, 2] > 0.5) ^ (chance.random(1500) < 0.1)).astype(int)
    return of_arrays(x, y, "category")


def many_categories() -> Table:
    chance = np.random.default_rng(2)
    shop, x = chance.integers(0, 300, 2000), chance.normal(size=(2000, 2))
    effect = chance.normal(size=300) * 2
    table, kinds = of_arrays(x, effect[shop] + x[:, 0] * x[:, 1] + chance.normal(size=2000), "number")
    return table | {"shop": [f"shop {s}" for s in shop]}, kinds | {"shop": "category"}


SETS: dict[str, Callable[[], Table]] = {
    "iris": lambda: loaded(load_iris, "category"),
    "wine": lambda: loaded(load_wine, "category"),
    "breast cancer": lambda: loaded(load_breast_cancer, "category"),
    "diabetes": lambda: loaded(load_diabetes, "number"),
    "linear wins": linear_wins,
    "trees win": trees_win,
    "many categories": many_categories,
}


def held_loss(feeder: Feeder, learner: Any, table: Table, seed: int) -> float:
    """The loss on a third of the rows that took no part."""
    columns, kinds = table
    rows = np.random.default_rng(seed).permutation(len(columns["y"]))
    cut = len(rows) * 2 // 3
    whole = pa.table(columns)
    fed = feeder(dict(whole.take(rows[:cut]).to_pydict()), learner, kinds)
    test = whole.take(rows[cut:]).combine_chunks()
    scores = learner.fit(fed.feed, World(seed=seed), silent).predict(fed.plan.encode(test.to_batches()[0]))
    return loss(fed.target, fed.target.encode(test.column("y").combine_chunks()), scores)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_is_never_worse_than_its_best_member_beyond_noise(feeder: Feeder, name: str) -> None:
    table = SETS[name]()
    small = len(table[0]["y"]) < 600
    losses = {
        learner.kind: np.mean([held_loss(feeder, learner, table, seed) for seed in range(2 if small else 1)])
        for learner in (Linear(), Boosted(), Auto())
    }
    best = min(losses["linear"], losses["boosted"])
    noise = 0.06 if table[1]["y"] == "category" else 0.02 * best
    assert losses["auto"] < best + noise, losses


def test_the_simple_case_is_left_to_the_linear_model(feeder: Feeder) -> None:
    columns, kinds = linear_wins()
    fed = feeder(columns, Auto(), kinds)
    blend = Auto().fit(fed.feed, World(), silent)
    assert isinstance(blend, Blend)
    weights = {member.predictor.kind: member.weight for member in blend.members}
    assert weights["linear"] > 0.6
    assert sum(weights.values()) == pytest.approx(1.0)


def test_it_says_what_it_tried_and_what_it_chose(feeder: Feeder) -> None:
    columns, kinds = trees_win()
    fed = feeder(columns, Auto(), kinds)
    seen: list[Event] = []
    blend = Auto().fit(fed.feed, World(), seen.append)
    assert isinstance(blend, Blend)
    ended = seen[-1]
    assert isinstance(ended, Ended)
    assert ended.notes[0] == "auto: compared on 1,500 rows, 5 folds"
    for note, name in zip(ended.notes[1:], ("linear", "boosted", "boosted with random splits"), strict=False):
        assert note.startswith(f"{name}: log_loss 0.")
    assert "boosted" in ended.notes[-1]
    assert ended.notes[-1].startswith("chosen: ")
    assert blend.describe()["tried"] == list(ended.notes)
    assert json.loads(blend.files()["blend.json"])["tried"] == list(ended.notes)
    tried = [event for event in seen if isinstance(event, Epoch)]
    assert [next(iter(event.metrics)) for event in tried] == [
        "linear/log_loss",
        "boosted/log_loss",
        "boosted with random splits/log_loss",
    ]


def test_members_that_were_not_chosen_need_no_features(feeder: Feeder) -> None:
    columns, kinds = trees_win()
    fed = feeder(columns, Auto(), kinds)
    blend = Auto().fit(fed.feed, World(), silent)
    assert isinstance(blend, Blend)
    assert blend.groups == ("boosted",)
    few = fed.plan.subset(blend.groups)
    batch = pa.record_batch({n: c[:20] for n, c in columns.items()})
    np.testing.assert_array_equal(blend.predict(few.encode(batch)), blend.predict(fed.plan.encode(batch)))


def test_when_time_is_up_the_first_member_has_to_do(feeder: Feeder) -> None:
    columns, kinds = trees_win()
    auto = Auto(time_limit_s=1e-6)
    seen: list[Event] = []
    blend = auto.fit(feeder(columns, auto, kinds).feed, World(), seen.append)
    assert isinstance(blend, Blend)
    assert [member.predictor.kind for member in blend.members] == ["linear"]
    assert isinstance(seen[-1], Ended)
    assert "boosted: not tried, time was up" in seen[-1].notes


def test_an_observer_ends_the_trials(feeder: Feeder) -> None:
    def stop(event: Event) -> Literal["stop"] | None:
        return "stop" if isinstance(event, Epoch) else None

    columns, kinds = linear_wins()
    blend = Auto().fit(feeder(columns, Auto(), kinds).feed, World(), stop)
    assert isinstance(blend, Blend)
    assert [member.predictor.kind for member in blend.members] == ["linear"]


@pytest.mark.parametrize("rows", [1, 3, 19])
def test_few_rows_are_not_compared(feeder: Feeder, rows: int) -> None:
    x = np.arange(rows * 2.0).reshape(rows, 2)
    columns, kinds = of_arrays(x, x[:, 0] * 2, "number")
    fed = feeder(columns, Auto(), kinds)
    seen: list[Event] = []
    scores = Auto().fit(fed.feed, World(), seen.append).predict(fed.feed.all().blocks)
    assert np.isfinite(scores).all()
    assert isinstance(seen[-1], Ended)
    assert seen[-1].notes == (f"auto: {rows} rows are too few to compare learners on",)


def test_features_of_the_users_own_are_read_by_all() -> None:
    """Without groups each member reads every block."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(300, 3))
    target = Target(name="y", kind=Kind.NUMBER, type="double")
    feed = Feed.of(
        [Output(name="mine", role=Role.NUMBER, width=3)], target, {"mine": x}, x[:, 0] + x[:, 1] ** 2
    )
    blend = Auto().fit(feed, World(), silent)
    assert isinstance(blend, Blend)
    assert blend.groups == ("",)
    again = Blend.load(blend.files(), target)
    np.testing.assert_array_equal(again.predict({"mine": x}), blend.predict({"mine": x}))


def test_the_only_member_is_fitted_as_it_is(feeder: Feeder) -> None:
    columns, kinds = linear_wins()
    auto = Auto(members=(Linear(alpha=1.0),))
    fed = feeder(columns, auto, kinds)
    assert auto.fit(fed.feed, World(), silent).kind == "linear"
    assert {output.name.partition(":")[0] for output in fed.feed.outputs} == {"number"}


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no members": lambda v: v | {"members": []},
    "thousands of members": lambda v: v | {"members": v["members"] * 5000},
    "a blend in a blend": lambda v: v | {"members": [{**v["members"][0], "kind": "blend"}]},
    "an unknown kind": lambda v: v | {"members": [{**v["members"][0], "kind": "os:system"}]},
    "a weight that is text": lambda v: v | {"members": [{**v["members"][0], "weight": "1"}]},
    "a weight over one": lambda v: v | {"members": [{**v["members"][0], "weight": 5.0}]},
    "members that are no objects": lambda v: v | {"members": ["linear"]},
    "a folder that is not there": lambda v: v | {"members": [{**v["members"][0], "folder": "../x"}]},
    "notes that are no texts": lambda v: v | {"tried": [{}]},
    "another format": lambda v: v | {"format": 99},
    "a list": lambda v: [v],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused(what: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 1))
    target = Target(name="y", kind=Kind.NUMBER, type="double")
    feed = Feed.of([Output(name="x", role=Role.NUMBER)], target, {"x": x}, x[:, 0])
    files = Auto().fit(feed, World(), silent).files()
    spoilt = json.dumps(HOSTILE[what](json.loads(files["blend.json"]))).encode()
    with pytest.raises(ModelFormatError):
        Blend.load(files | {"blend.json": spoilt}, target)


def test_the_loss_of_each_kind_has_its_name() -> None:
    assert loss_name(Target(name="y", kind=Kind.NUMBER, type="double")) == "rmse"
    assert (
        loss_name(Target(name="y", kind=Kind.LABELS, type="list<item: string>", labels=("a",))) == "log_loss"
    )


def test_rounds_that_were_set_stay(feeder: Feeder) -> None:
    columns, kinds = trees_win()
    auto = Auto(members=(Linear(alpha=1.0), Boosted(rounds=7)))
    blend = auto.fit(feeder(columns, auto, kinds).feed, World(), silent)
    assert isinstance(blend, Blend)
    assert [m.predictor.files()["boosted.json"] != b"" for m in blend.members if m.group == "boosted"] == [
        True
    ]
    assert any("boosted with random splits: " in note and "7 rounds" in note for note in blend.notes)
