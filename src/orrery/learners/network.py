"""Neural networks: for pictures, text, and tables; learnt with torch, answered with ONNX Runtime."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, WithJsonSchema, field_serializer

from orrery.data.profile import Profile
from orrery.errors import SettingsError
from orrery.features.category import Category
from orrery.features.date import Date
from orrery.features.feature import Feature
from orrery.features.geo import Geo, places
from orrery.features.image import Image
from orrery.features.labels import LabelSet
from orrery.features.map import Map
from orrery.features.number import Number
from orrery.features.series import Series
from orrery.features.spectrogram import Spectrogram
from orrery.features.target import Target
from orrery.features.tensor import Tensor
from orrery.features.tokens import Tokens
from orrery.features.vector import Vector
from orrery.features.video import Video
from orrery.learners import openmp
from orrery.learners.learner import Learner, Predictor
from orrery.learners.network_predictor import NetworkPredictor
from orrery.networks.inputs import ImageNetwork
from orrery.schema import Kind, Schema
from orrery.spec import code_key
from orrery.training.events import Observer
from orrery.training.feed import Feed
from orrery.training.recipe import Recipe
from orrery.training.world import World

__all__ = ["Network", "NetworkPredictor"]

PICTURES = (Image, Video, Spectrogram)
"""Features whose blocks are looked at as pictures are."""

WEIGHTS = "weights.safetensors"

_TOGETHER: dict[Kind, type[Feature]] = {Kind.NUMBER: Number, Kind.CATEGORY: Category, Kind.DATETIME: Date}
_EACH: dict[Kind, type[Feature]] = {
    Kind.TEXT: Tokens,
    Kind.IMAGE: Image,
    Kind.VECTOR: Vector,
    Kind.LABELS: LabelSet,
    Kind.AUDIO: Spectrogram,
    Kind.VIDEO: Video,
    Kind.TENSOR: Tensor,
    Kind.SERIES: Series,
    Kind.MAP: Map,
}


class Network(Learner):
    """Encoders for each kind of column, a combiner, and a decoder for the target.

    What is unset is chosen by the number of rows; :meth:`resolve` says how.

    >>> Network(epochs=3).resolve(rows=1_000).recipe.epochs
    3
    """

    kind: Literal["network"] = "network"
    module: Annotated[str | Callable[..., Any] | None, WithJsonSchema({"type": ["string", "null"]})] = None
    """Your own factory ``(outputs, target) -> nn.Module``: a function, or ``package.module:function``. It is
    imported and run: trusted code only. It must export to ONNX with the operators that
    ``orrery.networks.graphcheck.OPERATORS`` lists, which is tried before training begins."""
    image: ImageNetwork = "auto"
    """What looks at pictures: a small network up to 64 pixels, ResNet-18 above."""
    width: int = Field(default=128, ge=1, le=8192)
    """Of the hidden layers."""
    depth: int = Field(default=2, ge=0, le=64)
    """Blocks in the table's encoder."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    augment: float = Field(default=1.0, ge=0, le=4)
    """How much pictures are shifted, turned and scaled in training; 0 leaves them alone."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: rows of rare classes count more, so that all classes count alike."""
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    recipe: Recipe | None = None
    """All settings of the training loop; the three above take precedence."""
    init_from: str | None = None
    """A saved model (folder, zip or ``weights.safetensors``) whose weights to begin from, where they fit."""

    @field_serializer("module")
    def _name_of(self, module: object) -> str | None:
        if module is None or isinstance(module, str):
            return module
        return f"{getattr(module, '__module__', '')}:{getattr(module, '__qualname__', repr(module))}"

    def features(self, schema: Schema, profile: Profile, target: Target) -> tuple[Feature, ...]:
        """Columns of a kind in the form that encoders take; keys and columns without a kind are left out."""
        fields = [field for field in schema.each() if field.name != target.name]
        chosen: list[Feature] = []
        for kind, feature in _TOGETHER.items():
            if columns := tuple(field.name for field in fields if field.kind is kind):
                chosen.append(feature(columns=columns))  # type: ignore[call-arg]  # every member has a kind
        for field in fields:
            if field.kind in _EACH:
                chosen.append(_EACH[field.kind](columns=(field.name,)))  # type: ignore[call-arg]
        return (*chosen, *(Geo(columns=place) for place in places(fields)))

    def resolve(self, rows: int, pictures: bool = False) -> Self:
        """The same settings with the recipe filled in, for so many training rows."""
        recipe = self.recipe or default_recipe(rows, pictures)
        given = {name: getattr(self, name) for name in ("epochs", "batch_size", "learning_rate")}
        chosen = recipe.replace(**{name: value for name, value in given.items() if value is not None})
        return self.model_copy(update={"recipe": chosen})

    def filled(self, rows: int, features: Sequence[Feature]) -> Self:
        """With the recipe for so many rows."""
        return self.resolve(rows, any(isinstance(feature, PICTURES) for feature in features))

    gangs: ClassVar[bool] = True

    def fit(self, feed: Feed, world: World, observe: Observer) -> Predictor:
        """Train, export, and answer from the exported network from then on."""
        if world.crew is not None:
            learnt: Predictor = world.crew.fit(self, feed, world, observe)
            return learnt
        found = self.work(feed, world, observe)
        assert found is not None
        return found

    def work(self, feed: Feed, world: World, observe: Observer) -> Predictor | None:
        """The same as one worker of a gang."""
        openmp.load("torch", "The network learner")
        from orrery.networks.network import build, find_factory, is_picture
        from orrery.training.fit import fit_module

        settings = self.resolve(feed.rows, any(is_picture(output) for output in feed.outputs))
        assert settings.recipe is not None
        factory = find_factory(self.module) if isinstance(self.module, str) else self.module
        shape = self.model_dump(include={"image", "width", "depth", "dropout"})
        trained = fit_module(
            factory or functools.partial(build, **shape),
            self._balanced(feed),
            settings.recipe,
            world,
            observe,
            augment=self.augment,
            weights=read_weights(Path(self.init_from)) if self.init_from else None,
        )
        if world.rank:
            return None
        card = {"format": 1, "learner": settings.to_dict()}
        return NetworkPredictor.make(
            trained.onnx, trained.weights, card, feed.outputs, feed.target, trained.scale
        )

    def code(self) -> str:
        """A hash of the file of the user's own factory."""
        if self.module is None:
            return ""
        openmp.load("torch", "The network learner")
        from orrery.networks.network import find_factory

        return code_key(find_factory(self.module) if isinstance(self.module, str) else self.module)

    def _balanced(self, feed: Feed) -> Feed:
        if self.class_weights == "none":
            return feed
        if feed.target.kind is not Kind.CATEGORY:
            raise SettingsError(
                f"class_weights='balanced' needs a category; the target {feed.target.name!r} is a "
                f"{feed.target.kind.value}."
            )
        classes, weight = feed.truth()
        given = np.ones(feed.rows) if weight is None else weight
        return feed.reweighted(given * balance(classes, given, feed.target.width))


def balance(classes: NDArray[np.int64], weight: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """A factor per row, such that all classes that occur weigh alike and the whole as much as before.

    >>> balance(np.array([0, 0, 0, 1]), np.ones(4), 2).tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    sums = np.bincount(classes, weight, minlength=count)
    present = np.count_nonzero(sums)
    factors = np.divide(weight.sum() / max(present, 1), sums, out=np.ones(count), where=sums > 0)
    chosen: NDArray[np.float64] = factors[classes]
    return chosen


def default_recipe(rows: int, pictures: bool) -> Recipe:
    """A recipe that suits a number of rows: fewer epochs and larger batches where there are more."""
    epochs = int(np.clip(round(40 * (2_000 / max(rows, 1)) ** 0.5), 4, 60))
    batch_size = int(2 ** np.clip(round(np.log2(max(rows, 1)) / 2), 4, 10))  # about the root of the rows
    rate = 3e-3 if pictures else 2e-3
    return Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=rate,
        weight_decay=0.1,
        averaging=0.99,
        patience=max(5, epochs // 3),
    )


def read_weights(path: Path) -> bytes:
    """The weights of a saved model: a file of them, a folder, or a zip. Raises SettingsError."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.rpartition("/")[2] == WEIGHTS]
                return archive.read(names[0])
        found = [path] if path.is_file() else sorted(path.rglob(WEIGHTS))
        return found[0].read_bytes()
    except (OSError, IndexError, zipfile.BadZipFile) as error:
        raise SettingsError(
            f"There are no weights to begin from in {str(path)!r}: {type(error).__name__}.",
            hint=f"init_from names a saved model that holds {WEIGHTS!r}.",
        ) from None
