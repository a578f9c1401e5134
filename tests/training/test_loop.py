from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from orrery.errors import DivergedError
from orrery.networks.decoders.category import CategoryDecoder
from orrery.networks.network import build
from orrery.training.events import Checkpoint, Ended, Epoch, Event, Observer, Started, Step
from orrery.training.feed import Feed
from orrery.training.loop import train
from orrery.training.recipe import Recipe
from orrery.training.run import State
from orrery.training.world import World


def quiet(event: Event) -> None:
    """Watches nothing."""


def run(
    feed: Feed, recipe: Recipe, *, observe: Observer = quiet, world: World | None = None, dropout: float = 0.1
) -> tuple[nn.Module, State]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build(feed.outputs, feed.target, width=16, depth=1, dropout=dropout)
    state = train(module, CategoryDecoder(), feed, recipe, world or World(), observe)
    return module, state


def weights(module: nn.Module) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in module.state_dict().items()}


def test_it_learns_and_tells_the_five_events(feed: Feed, tmp_path: Path) -> None:
    events: list[Event] = []
    recipe = Recipe(epochs=12, batch_size=40, learning_rate=0.02, checkpoint_s=0.0)
    _, state = run(feed, recipe, observe=events.append, world=World(folder=tmp_path))
    assert {type(event) for event in events} == {Started, Step, Epoch, Checkpoint, Ended}
    assert events[0] == Started("network", rows=96, steps=36, epochs=12)
    steps = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in steps] == list(range(1, 37))
    assert [event.rows for event in steps[:3]] == [40, 40, 16]
    assert events[-1] == Ended("finished", 36, state.metrics)
    assert state.metrics["validation/accuracy"] > 0.85
    assert state.metrics["train/loss"] < 0.4


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(feed: Feed) -> None:
    recipe = Recipe(epochs=2, batch_size=32)
    first, second = run(feed, recipe)[0], run(feed, recipe)[0]
    other = run(feed, recipe, world=World(seed=1))[0]
    assert weights(first) == weights(second)
    assert weights(first) != weights(other)


def test_chance_outside_is_left_as_it_was(feed: Feed) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4).tolist()
    torch.manual_seed(3)
    run(feed, Recipe(epochs=1))
    assert torch.rand(4).tolist() == expected


def test_threads_are_given_back(feed: Feed) -> None:
    inside: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(feed, Recipe(epochs=1), observe=lambda event: inside.append(torch.get_num_threads()))
        assert set(inside) == {1}  # so little work
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_accumulated_gradients_are_those_of_the_whole_batch(feed: Feed) -> None:
    whole, parts = (run(feed, Recipe(epochs=2, batch_size=48, accumulate=n), dropout=0.0)[0] for n in (1, 5))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_rows_of_weight_zero_teach_nothing(feed: Feed) -> None:
    odd = np.arange(96) % 2 == 1
    feed = feed.subset(np.arange(96))
    lied = feed.all().target.copy()
    lied[odd] = 1 - lied[odd]
    blocks = feed.all().blocks
    liar = Feed.of(feed.outputs, feed.target, blocks, lied, weight=(~odd).astype(np.float64))
    honest = Feed.of(feed.outputs, feed.target, blocks, feed.all().target, weight=(~odd).astype(np.float64))
    recipe = Recipe(epochs=2, batch_size=32)
    assert weights(run(liar, recipe)[0]) == weights(run(honest, recipe)[0])


def test_it_stops_early_and_keeps_the_best_weights(feed: Feed) -> None:
    epochs: list[Epoch] = []

    def observe(event: Event) -> None:
        if isinstance(event, Epoch):
            epochs.append(event)

    recipe = Recipe(epochs=60, batch_size=8, learning_rate=0.05, schedule="constant", patience=3)
    module, state = run(feed, recipe, observe=observe)
    losses = [event.metrics["validation/loss"] for event in epochs]
    assert state.reason == "stopped early"
    assert state.best_epoch == len(epochs) - 3
    assert state.best_loss == min(losses)
    assert [event.best for event in epochs][-4:] == [True, False, False, False]
    assert feed.validation is not None
    held = feed.validation.all()
    with torch.no_grad():
        scores = module.eval()(
            {
                "number:a,b": torch.tensor(held.blocks["number:a,b"], dtype=torch.float32),
                "category:c": torch.tensor(held.blocks["category:c"], dtype=torch.int64),
            }
        )
        loss = nn.functional.cross_entropy(scores, torch.from_numpy(held.target)).item()
    assert loss == pytest.approx(state.best_loss, abs=1e-6)


def test_without_validation_the_last_weights_stay(feed: Feed) -> None:
    _, state = run(feed.subset(np.arange(96)), Recipe(epochs=3, patience=1))
    assert (state.reason, state.best_epoch, state.best_loss) == ("finished", 3, None)
    assert list(state.metrics) == ["train/loss"]


@pytest.mark.parametrize("kind", [Started, Step, Epoch])
def test_an_observer_may_stop_the_run(feed: Feed, kind: type[Event]) -> None:
    def observe(event: Event) -> Literal["stop"] | None:
        return "stop" if isinstance(event, kind) else None

    _, state = run(feed, Recipe(epochs=5, batch_size=32), observe=observe)
    assert state.reason == "stopped by observer"
    assert state.step == {Started: 0, Step: 1, Epoch: 3}[kind]


def test_a_loss_that_is_no_number_ends_the_run(feed: Feed) -> None:
    with pytest.raises(DivergedError, match=r"loss is (nan|inf).*Lower the learning rate"):
        run(feed, Recipe(epochs=50, learning_rate=1e30, schedule="constant", warmup=0, clip_norm=0))


def test_a_finished_run_is_not_trained_again(feed: Feed, tmp_path: Path) -> None:
    recipe = Recipe(epochs=2)
    first, _ = run(feed, recipe, world=World(folder=tmp_path))
    events: list[Event] = []
    second, _ = run(feed, recipe, world=World(folder=tmp_path), observe=events.append)
    assert [type(event) for event in events] == [Started, Checkpoint, Ended]
    assert weights(first) == weights(second)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_one_row_is_enough(feed: Feed, averaging: float) -> None:
    _, state = run(feed.subset(np.array([0])), Recipe(epochs=2, averaging=averaging))
    assert state.step == 2


def test_compiled_networks_learn_the_same(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []

    def compile_(module: nn.Module) -> Callable[..., Any]:
        compiled.append(module)
        return module

    monkeypatch.setattr(torch, "compile", compile_)  # the real one needs a C++ compiler and a minute
    plain, _ = run(feed, Recipe(epochs=1))
    other, _ = run(feed, Recipe(epochs=1, compile=True))
    assert compiled == [other]
    assert weights(plain) == weights(other)
