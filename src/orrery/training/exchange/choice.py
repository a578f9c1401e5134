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
    compression: Literal["none", "fp16", "bf16"] = "none"
    """Gradients travel as shorter numbers: half the bytes, and results that are no longer equal."""
    shared_norms: bool = True
    """Batch norms see the rows of all workers, as with one; else each worker's own, which is quicker."""

    def open(self, world: World, recipe: Recipe) -> Exchange:
        """This worker's end."""
        from orrery.training.exchange.allreduce import Reducer

        return Reducer(self, world, overlap=recipe.accumulate == 1)


def exchange_of(exchange: str | Mapping[str, Any] | Exchanging) -> Exchanging:
    """Settings from a name, from plain values, or as they are. Raises SettingsError.

    >>> exchange_of("allreduce").kind
    'allreduce'
    """
    if isinstance(exchange, Exchanging):
        return exchange
    return Exchanging.of({"kind": exchange} if isinstance(exchange, str) else exchange)
