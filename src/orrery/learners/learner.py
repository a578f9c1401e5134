"""What a learner is: settings that turn encoded rows and their labels into a predictor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from orrery.data.profile import Profile
from orrery.features.feature import Encoded, Feature
from orrery.features.target import Target
from orrery.schema import Schema
from orrery.spec import Choice
from orrery.training.events import Observer
from orrery.training.feed import Feed
from orrery.training.world import World


class Predictor(Protocol):
    """Encoded blocks in, scores out; saved as plain files, loaded without the learner that made it."""

    kind: ClassVar[str]

    def predict(self, blocks: Mapping[str, Encoded]) -> NDArray[np.float64]:
        """Scores [n, width]: CATEGORY and LABELS probabilities, NUMBER [n, 1] and VECTOR values."""

    def files(self) -> dict[str, bytes]:
        """What to save: file name -> content. JSON, Arrow, safetensors, ONNX or the tree library's text."""

    @classmethod
    def load(cls, files: Mapping[str, bytes], target: Target) -> Self:
        """The predictor again. The files may be a stranger's: nothing in them is run."""


class Learner(Choice):
    """Settings of how to learn. ``fit`` runs inside a gang of one or more workers."""

    family: ClassVar[str] = "orrery.learners"
    holds_out: ClassVar[bool] = True
    """Whether ``fit`` wants rows held out. A learner that cross-validates by itself is given all rows."""
    gangs: ClassVar[bool] = False
    """Whether several workers can learn together: each calls :meth:`work` with its place in the world."""

    @abstractmethod
    def features(self, schema: Schema, profile: Profile, target: Target) -> tuple[Feature, ...]:
        """The features this learner likes by default, for columns whose kinds are known."""

    def filled(self, rows: int, features: Sequence[Feature]) -> Self:
        """The same, with all filled in that so many rows and these features decide.

        What only trying can tell, and what is set, stays as it is; a second call changes nothing.
        """
        return self

    def code(self) -> str:
        """A hash of the user's own code that ``fit`` runs; nothing where it runs none."""
        return ""

    @abstractmethod
    def fit(self, feed: Feed, world: World, observe: Observer) -> Predictor:
        """Learn. ``feed.validation`` is held out for early stopping, where there is one."""

    def work(self, feed: Feed, world: World, observe: Observer) -> Predictor | None:
        """Learn as one worker of several; only the first has the predictor at the end."""
        return self.fit(feed, world, observe)

    def describe(self) -> dict[str, Any]:
        """Every setting, for people."""
        return self.to_dict()
