"""Which exchange, and its settings; torch is loaded only where one is opened, inside a worker."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orrery.spec import Choice

if TYPE_CHECKING:
    from orrery.training.exchange.exchange import Exchange
    from orrery.training.recipe import Recipe
    from orrery.training.world import World


class Exchanging(Choice):
    """Settings of an exchange."""

    family: ClassVar[str] = "orrery.training.exchange"
    servers: ClassVar[int] = 0
    """How many of the gang's workers hold parameters instead of learning; they have the last ranks."""

    @property
    def resizes(self) -> bool:
        """Whether the number of workers may change between two steps."""
        return True

    @abstractmethod
    def open(self, world: World, recipe: Recipe) -> Exchange:
        """This worker's end; the workers have met already."""


class AllReduce(Exchanging):
    """Every step, all gradients are added up over the workers: n workers learn what one would.

    Gradients travel in buckets while the rest are still computed.

    >>> AllReduce(compression="bf16").to_dict()["bucket_bytes"]
    4194304
    """

    kind: Literal["allreduce"] = "allreduce"
    bucket_bytes: int = Field(default=4 << 20, ge=1)
    """Gradients that travel together."""
    compression: Literal["none", "fp16", "bf16", "powersgd"] = "none"
    """Gradients travel as shorter numbers: half the bytes, and results that are no longer equal; or, far
    fewer, as products of matrices of a low rank, the rest of them with the next step (PowerSGD)."""
    rank: int = Field(default=2, ge=1)
    """Of those matrices."""
    start: int = Field(default=10, ge=2)
    """Steps before ``powersgd`` begins: the first gradients are the hardest to do without."""
    shared_norms: bool = True
    """Batch norms see the rows of all workers, as with one; else each worker's own, which is quicker."""

    @property
    def resizes(self) -> bool:
        """Not with ``powersgd``: what a worker's gradients have lost so far is its own."""
        return self.compression != "powersgd"

    def open(self, world: World, recipe: Recipe) -> Exchange:
        """This worker's end."""
        from orrery.training.exchange.allreduce import Reducer

        return Reducer(self, world, overlap=recipe.accumulate == 1)


class Average(Exchanging):
    """Each worker moves on its own, and every so many steps all take the mean of their weights.

    An epoch always ends with the mean; ``every=None`` takes it only there. With an outer rate and momentum
    the mean move is itself a gradient: McMahan et al., "Communication-Efficient Learning", 2017; Douillard et
    al., "DiLoCo", 2023, whose outer settings are 0.7 and 0.9.

    >>> Average(every=None).every is None
    True
    """

    kind: Literal["average"] = "average"
    every: int | None = Field(default=8, ge=1)
    """Steps between two means."""
    outer_rate: float = Field(default=1.0, gt=0)
    outer_momentum: float = Field(default=0.0, ge=0, lt=1)

    def open(self, world: World, recipe: Recipe) -> Exchange:
        """This worker's end."""
        from orrery.training.exchange.average import Averager

        return Averager(self, world)


class Sharded(Exchanging):
    """Each worker holds its part of parameters, gradients and optimizer state; n learn what one would.

    A layer's parameters are gathered when it computes, and let go afterwards. For networks that do not fit.
    Source: Zhao et al., "PyTorch FSDP", 2023; this is its second form, one parameter at a time.

    >>> Sharded().kind
    'sharded'
    """

    kind: Literal["sharded"] = "sharded"
    least: int = Field(default=100_000, ge=0)
    """Parameters of a layer from which on it is gathered by itself; smaller ones go with what holds them."""

    def open(self, world: World, recipe: Recipe) -> Exchange:
        """This worker's end."""
        from orrery.training.exchange.sharded import Sharder

        return Sharder(self, world)


class Server(Exchanging):
    """The last worker holds the parameters: the others push gradients to it, and pull what it made of them.

    ``sync`` adds up all gradients of a step, so that the others learn what one would. ``async`` uses each
    gradient as it comes. ``bounded`` too, but nobody is more than ``staleness`` steps ahead of the slowest.
    Sources: Li et al., "Scaling Distributed Machine Learning with the Parameter Server", 2014; Ho et al.,
    "More Effective Distributed ML via a Stale Synchronous Parallel Parameter Server", 2013.

    >>> Server(mode="bounded", staleness=2).servers
    1
    """

    kind: Literal["server"] = "server"
    servers: ClassVar[int] = 1
    mode: Literal["sync", "async", "bounded"] = "sync"
    staleness: int = Field(default=4, ge=0)

    def open(self, world: World, recipe: Recipe) -> Exchange:
        """This worker's end."""
        from orrery.training.exchange.server import Pusher

        return Pusher(self, world)


def exchange_of(exchange: str | Mapping[str, Any] | Exchanging) -> Exchanging:
    """Settings from a name, from plain values, or as they are. Raises SettingsError.

    >>> exchange_of("allreduce").kind
    'allreduce'
    """
    if isinstance(exchange, Exchanging):
        return exchange
    return Exchanging.of({"kind": exchange} if isinstance(exchange, str) else exchange)
