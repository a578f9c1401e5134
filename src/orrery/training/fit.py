"""From a feed to a trained network as files: made, trained, exported."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from orrery.errors import FitError, ModelFormatError
from orrery.features.feature import Output
from orrery.features.target import Target
from orrery.networks.augment import Augment
from orrery.networks.decoders.decoder import decoder_for
from orrery.networks.decoders.number import NumberDecoder
from orrery.networks.export import export_onnx, made_up
from orrery.networks.inputs import as_arrays
from orrery.spec import code_key
from orrery.training.device import find_device
from orrery.training.events import Observer
from orrery.training.exchange.single import Single
from orrery.training.feed import Feed
from orrery.training.loop import train
from orrery.training.recipe import Recipe
from orrery.training.world import World

_EXAMPLES = 16  # rows on which the exported network is checked, beside made-up ones


@dataclass(frozen=True)
class Trained:
    """A network as files, and what leads from its scores to values."""

    onnx: bytes
    weights: bytes
    """safetensors."""
    scale: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    """Of a number or vector: mean and spread per score."""


def fit_module(
    factory: Callable[[tuple[Output, ...], Target], nn.Module],
    feed: Feed,
    recipe: Recipe,
    world: World,
    observe: Observer,
    *,
    augment: float = 0.0,
    weights: bytes | None = None,
) -> Trained:
    """Train what ``factory`` makes; with ``weights`` it begins from those that fit by name and shape.

    In a gang every worker calls this; only the first one's network is exported.
    """
    world = dataclasses.replace(world, device=find_device(world.device))
    pictures = tuple(output.name for output in feed.outputs if output.photo)
    module = make(factory, feed.outputs, feed.target, world.seed)
    if weights is not None:
        begin_from(module, weights)
    decoder = decoder_for(feed.target, feed.truth()[0])
    change = Augment(pictures, augment, world.seed) if pictures and augment else None
    some = feed.take(np.arange(min(_EXAMPLES, feed.rows), dtype=np.int64))
    arrays = as_arrays(some.blocks, feed.outputs)
    if code_key(type(module)) and world.rank == 0:  # a user's own: better refused now than after hours
        export_onnx(copy.deepcopy(module).eval(), decoder, feed.outputs, arrays)
    exchange = world.exchange.open(world, recipe) if world.size > 1 or not world.fixed else Single()
    train(module, decoder, feed, recipe, world, observe, change, exchange)
    module = exchange.end(module).cpu().eval()
    onnx = export_onnx(module, decoder, feed.outputs, arrays) if world.rank == 0 else b""
    state = {name: tensor.clone().contiguous() for name, tensor in module.state_dict().items()}
    scale = (decoder.mean, decoder.spread) if isinstance(decoder, NumberDecoder) else None
    return Trained(onnx, save(state), scale)


def make(
    factory: Callable[[tuple[Output, ...], Target], nn.Module],
    outputs: tuple[Output, ...],
    target: Target,
    seed: int,
) -> nn.Module:
    """A new module, the same for the same seed. Raises FitError where its scores are of another width."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = factory(outputs, target)
        blocks = {name: torch.from_numpy(array) for name, array in made_up(outputs, 2).items()}
        found = tuple(module.eval()(blocks).shape)
    if found != (2, target.width):
        raise FitError(
            f"The network gives scores of shape {found} for 2 rows; the target {target.name!r} needs "
            f"{(2, target.width)}."
        )
    return module


def begin_from(module: nn.Module, weights: bytes) -> int:
    """Copy the weights that fit by name and shape; how many there were. Raises ModelFormatError."""
    try:
        found = load(weights)
    except (SafetensorError, ValueError) as error:
        raise ModelFormatError(f"The weights to begin from cannot be read: {error}.") from None
    own = module.state_dict()
    fitting = {n: t for n, t in found.items() if n in own and own[n].shape == t.shape}
    module.load_state_dict({**own, **fitting})
    return len(fitting)
