"""The features that linear models and trees like, by the kinds of the columns."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.data.profile import Profile
from orrery.features.audio import Audio
from orrery.features.category import Category
from orrery.features.date import Date
from orrery.features.feature import Feature
from orrery.features.geo import Geo, places
from orrery.features.image import Image
from orrery.features.labels import LabelSet
from orrery.features.map import Map
from orrery.features.number import Number
from orrery.features.plain import Plain
from orrery.features.series import Series
from orrery.features.target import Target
from orrery.features.target_mean import TargetMean
from orrery.features.tensor import Tensor
from orrery.features.tfidf import Tfidf
from orrery.features.vector import Vector
from orrery.features.video import Video
from orrery.schema import Kind, Schema

MANY = 20
"""With more distinct values than this, a category is also told by the mean of its target."""
CODED = 255
"""With more distinct values than this, trees get a category by the mean of its target only."""
_CLASSES = 20  # with more of them, the means of each class would be too many columns
_PIXELS = 32  # the longer side of a picture whose pixels are columns


_PLAINLY: dict[Kind, type[Feature]] = {
    Kind.LABELS: LabelSet,
    Kind.AUDIO: Audio,
    Kind.SERIES: Series,
    Kind.MAP: Map,
}


def linear(schema: Schema, profile: Profile, target: Target) -> tuple[Feature, ...]:
    """Standardised numbers and one-hot codes; many categories by the mean of the target too."""
    numbers, categories = _numbers(schema), _named(schema, Kind.CATEGORY)
    found: list[Feature] = []
    if numbers:
        found.append(Number(columns=numbers))
    if categories:
        found.append(Category(columns=categories))
    return (*found, *_means(categories, profile, target), *_others(schema, words=20_000, cyclic=True))


def boosted(schema: Schema, profile: Profile, target: Target) -> tuple[Feature, ...]:
    """Numbers as they are, codes where they are few, many categories by the mean of the target."""
    numbers, categories = _numbers(schema), _named(schema, Kind.CATEGORY)
    found: list[Feature] = []
    if numbers:
        found.append(Plain(columns=numbers))
    means = _means(categories, profile, target)
    coded = tuple(name for name in categories if not means or profile[name].distinct <= CODED)
    if coded:
        found.append(Category(columns=coded))
    return (*found, *means, *_others(schema, words=500, cyclic=False))


def _named(schema: Schema, kind: Kind) -> tuple[str, ...]:
    return tuple(field.name for field in schema.fields if field.kind is kind)


def _numbers(schema: Schema) -> tuple[str, ...]:
    """Numbers, and degrees too: a border along a meridian is easier to see in them than on a sphere."""
    found = {
        *_named(schema, Kind.NUMBER),
        *(c for place in places(schema.fields) if len(place) == 2 for c in place),
    }
    return tuple(name for name in schema.names if name in found)


def _means(categories: tuple[str, ...], profile: Profile, target: Target) -> list[Feature]:
    many = tuple(name for name in categories if profile[name].distinct > MANY)
    if not many or target.kind not in (Kind.CATEGORY, Kind.NUMBER) or target.width > _CLASSES:
        return []
    return [TargetMean(columns=many, target=target)]


def _others(schema: Schema, *, words: int, cyclic: bool) -> Iterator[Feature]:
    for field in schema.fields:
        columns = (field.name,)
        if field.kind is Kind.TEXT:
            yield Tfidf(columns=columns, max_size=words)
        elif field.kind is Kind.DATETIME:
            yield Date(columns=columns, cyclic=cyclic)
        elif field.kind is Kind.IMAGE:
            yield Image(columns=columns, largest=_PIXELS)
        elif field.kind is Kind.VECTOR:
            yield Vector(columns=columns)
        elif field.kind is Kind.VIDEO:
            yield Video(columns=columns, largest=_PIXELS // 2)
        elif field.kind is Kind.TENSOR:
            yield Tensor(columns=columns, largest=_PIXELS * _PIXELS)
        elif field.kind in _PLAINLY:
            yield _PLAINLY[field.kind](columns=columns)  # type: ignore[call-arg]  # every member has a kind
    for place in places(schema.fields):
        yield Geo(columns=place)
