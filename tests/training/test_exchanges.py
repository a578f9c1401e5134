"""Exchanges: each learns; those that say so equal one worker. All of them share one gang."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from orrery.engines.engine import Member
from orrery.engines.job import Gang
from orrery.engines.local import Local
from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.learners.crew import WARM
from orrery.schema import Kind
from orrery.training.exchange.choice import (
    AllReduce,
    Average,
    Exchanging,
    Server,
    Sharded,
    exchange_of,
)
from orrery.training.feed import Feed
from orrery.training.recipe import Recipe
from orrery.training.world import World

SHARED = Recipe(epochs=2, batch_size=64, optimizer="sgd", learning_rate=0.05, averaging=0.9, patience=5)
LOCAL = SHARED.replace(averaging=0.0, learning_rate=0.1)
# Few, small steps: where rounding turns a ReLU on that is off elsewhere, paths part, and part further.
EQUAL = SHARED.replace(epochs=1, learning_rate=0.02, averaging=0.5)
CASES: dict[str, tuple[Exchanging, Recipe]] = {
    "equal": (AllReduce(), EQUAL),
    "equal in many buckets": (AllReduce(bucket_bytes=2_000), EQUAL),
    "equal, sharded": (Sharded(least=1_000), EQUAL),
    "allreduce": (AllReduce(), SHARED),
    "allreduce, accumulated": (AllReduce(), SHARED.replace(accumulate=3)),
    "bf16": (AllReduce(compression="bf16"), SHARED),
    "powersgd": (AllReduce(compression="powersgd", rank=4, start=4), SHARED),
    "own norms": (AllReduce(shared_norms=False), SHARED),
    "sharded": (Sharded(least=1_000), SHARED),
    "average": (Average(every=3), LOCAL),
    "DiLoCo": (Average(every=4, outer_rate=0.7, outer_momentum=0.9), LOCAL),
    "once an epoch": (Average(every=None), LOCAL),
}


def digits() -> Feed:
    """500 handwritten digits to learn from, 100 to validate on; 500 is 7 batches of 64 and one of 52."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    pictures = (found.images[:600, None] * 15).astype(np.uint8)
    output = Output(name="image", role=Role.TENSOR, shape=(1, 8, 8), dtype="uint8", mean=(73.0,), std=(90.0,))
    target = Target(name="label", kind=Kind.CATEGORY, type="int64", labels=tuple(range(10)), width=10)
    whole = Feed.of((output,), target, {"image": pictures}, found.target[:600].astype(np.int64))
    return whole.subset(np.arange(500), np.arange(500, 600))


def learn(world: World, exchange: Exchanging, recipe: Recipe, feed: Feed) -> dict[str, Any]:
    """Train the digits' network; its weights, how good it is, and what that cost."""
    import torch

    from orrery.networks.decoders.category import CategoryDecoder
    from orrery.networks.network import build
    from orrery.training.exchange.single import Single
    from orrery.training.loop import train

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build(feed.outputs, feed.target, width=32, depth=1, dropout=0.0)
    end = exchange.open(world, recipe) if world.size > 1 else Single()
    losses: list[float] = []
    state = train(
        module,
        CategoryDecoder(),
        feed,
        recipe,
        world,
        lambda event: losses.append(getattr(event, "loss", 0)),
        None,
        end,
    )
    whole = end.end(module)
    return {
        "weights": {name: tensor.numpy().copy() for name, tensor in whole.state_dict().items()},
        "metrics": state.metrics,
        "traffic": copy.copy(world.traffic),
        "losses": losses,
    }


def work(member: Member) -> dict[str, dict[str, Any]]:
    """All cases, one after the other, as one worker."""
    from orrery.training.exchange.group import joined

    with joined(member.meeting, member.rank, member.size, "cpu"):
        return {
            name: learn(World(rank=member.rank, size=member.size), exchange, recipe, digits())
            for name, (exchange, recipe) in CASES.items()
        }


SERVED: dict[str, tuple[Exchanging, Recipe]] = {
    "sync": (Server(), EQUAL),
    "async": (Server(mode="async"), LOCAL.replace(learning_rate=0.05)),
    "bounded": (Server(mode="bounded", staleness=1), LOCAL.replace(learning_rate=0.05)),
}


def work_with_server(member: Member) -> dict[str, dict[str, Any]]:
    """The same with a server as the last of three."""
    from orrery.training.exchange.group import joined

    found = {}
    with joined(member.meeting, member.rank, member.size, "cpu"):
        for name, (exchange, recipe) in SERVED.items():
            world = World(rank=member.rank, size=2, exchange=exchange, serves=member.rank == 2)
            found[name] = learn(world, exchange, recipe, tables())
    return found


def tables() -> Feed:
    """The digits as plain numbers, for a network without batch norms."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    output = Output(name="dots", role=Role.NUMBER, width=64)
    target = Target(name="label", kind=Kind.CATEGORY, type="int64", labels=tuple(range(10)), width=10)
    numbers = found.data[:600] / 8.0 - 1.0
    whole = Feed.of((output,), target, {"dots": numbers}, found.target[:600].astype(np.int64))
    return whole.subset(np.arange(500), np.arange(500, 600))


def test_a_parameter_server() -> None:
    engine = Local(threads=3)
    first, second, _ = engine.submit(engine.plan(Gang(work_with_server, workers=3, warm=WARM))).result()
    alone = learn(World(), AllReduce(), EQUAL, tables())
    assert apart(first["sync"], alone) < 1e-5
    for name in SERVED:
        assert first[name]["metrics"]["validation/loss"] == second[name]["metrics"]["validation/loss"]
        for part, array in first[name]["weights"].items():
            assert array.tolist() == second[name]["weights"][part].tolist(), (name, part)
    assert first["async"]["metrics"]["validation/accuracy"] > 0.4
    assert first["bounded"]["metrics"]["validation/accuracy"] > 0.4


@pytest.fixture(scope="module")
def found() -> list[dict[str, dict[str, Any]]]:
    engine = Local(threads=2)
    returned: list[Any] = engine.submit(engine.plan(Gang(work, workers=2, warm=WARM))).result()
    return returned


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return learn(World(), AllReduce(), EQUAL, digits())


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    return max(float(np.abs(one["weights"][name] - other["weights"][name]).max()) for name in one["weights"])


@pytest.mark.parametrize("name", [name for name in CASES if "equal" in name])
def test_two_workers_give_the_weights_of_one(name: str, found: list[Any], alone: dict[str, Any]) -> None:
    assert apart(found[0][name], alone) < 1e-5
    assert found[0][name]["metrics"] == pytest.approx(alone["metrics"], rel=1e-4)
    assert found[0][name]["losses"] == pytest.approx(alone["losses"], rel=1e-4)


@pytest.mark.parametrize("name", [name for name in CASES if "equal" not in name])
def test_all_learn_and_agree(name: str, found: list[Any]) -> None:
    first, second = (each[name] for each in found)
    # In so few steps, of which the last twelve see gradients of rank 4, one is not as far as the others.
    assert first["metrics"]["validation/accuracy"] > (0.3 if name == "powersgd" else 0.5)
    assert first["losses"][-3] < 0.7 * first["losses"][1]
    assert first["metrics"]["validation/loss"] == second["metrics"]["validation/loss"]
    # What is counted rather than learnt is each worker's own, where it does not share its norms.
    learnt = {n for n in first["weights"] if "running" not in n or name != "own norms"}
    for part in learnt:
        assert first["weights"][part].tolist() == second["weights"][part].tolist(), part
    assert first["traffic"].steps == 16
    assert first["traffic"].sent_bytes > 0


def test_bytes_are_measured(found: list[Any]) -> None:
    bytes_per_step = {name: case["traffic"].sent_bytes / 16 for name, case in found[0].items()}
    network = sum(array.nbytes for array in found[0]["allreduce"]["weights"].values())
    assert bytes_per_step["own norms"] == pytest.approx(network, rel=0.05)  # a ring of two: all, once
    assert bytes_per_step["bf16"] < 0.56 * bytes_per_step["allreduce"]
    assert bytes_per_step["powersgd"] < 0.6 * bytes_per_step["allreduce"]  # a quarter of the steps whole
    assert (
        bytes_per_step["once an epoch"] < 0.5 * bytes_per_step["average"] < 0.5 * bytes_per_step["allreduce"]
    )


def test_a_shard_of_two_is_about_half(found: list[Any]) -> None:
    assert [each["sharded"]["traffic"].held_share < 0.6 for each in found] == [True, True]
    assert found[0]["allreduce"]["traffic"].held_share == 1.0


def test_an_exchange_by_name_and_by_plain_values() -> None:
    assert exchange_of("average") == Average()
    assert exchange_of({"kind": "allreduce", "compression": "fp16"}) == AllReduce(compression="fp16")
