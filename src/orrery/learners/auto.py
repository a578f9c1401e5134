"""Sound defaults of several learners, tried on rows that they had not seen; the best, or a blend, is kept."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import ClassVar, Literal, Self

from pydantic import Field

from orrery.data.profile import Profile
from orrery.extras import available
from orrery.features.feature import Feature, Role
from orrery.features.image import Image
from orrery.features.target import Target
from orrery.features.video import Video
from orrery.learners.blend_predictor import Blend as Blend
from orrery.learners.blend_predictor import Member
from orrery.learners.boosted import Boosted
from orrery.learners.crossfit import Clock
from orrery.learners.folds import sample, tenth
from orrery.learners.learner import Learner, Predictor
from orrery.learners.trial import TRIAL_ROWS, Trial, trial_rows
from orrery.schema import Kind, Schema
from orrery.training.events import Ended, Observer, Started
from orrery.training.feed import Feed
from orrery.training.world import World

_RANDOM_ROWS = 20_000  # up to so many, trees with random splits are tried too: it takes little time
_TEXT_ROWS = 500  # from so many rows a network may make something of a text
_SEEN = (Kind.IMAGE, Kind.VIDEO)  # of which single pixels say little
_PACKAGES = {"linear": "sklearn", "boosted": "lightgbm", "network": "torch"}


class Auto(Learner):
    """Tries several learners by out-of-fold predictions, then lets the best, or a blend, learn from all rows.

    Where there are only pictures, a network is fitted alone. The same seed gives the same result, unless
    ``time_limit_s`` cut it short; the notes of :class:`~orrery.training.events.Ended` and
    ``Model.describe()`` say what was tried.

    >>> Auto(members=("linear", "boosted")).members[0].kind
    'linear'
    """

    kind: Literal["auto"] = "auto"
    members: tuple[Learner, ...] = ()
    """The learners to try. Empty: linear and boosted, and a network where there are pictures or texts."""
    time_limit_s: float = Field(default=600.0, gt=0)
    """After this no new trial begins, and what is running ends at its next step."""

    holds_out: ClassVar[bool] = False

    def features(self, schema: Schema, profile: Profile, target: Target) -> tuple[Feature, ...]:
        """Each member's features, in a group of the member's kind; those of a single member in none."""
        members = self.members or _wanted(schema, profile)
        if len(members) == 1:
            return members[0].features(schema, profile, target)
        found: list[Feature] = []
        for member in members:
            # A member may find nothing to read: no learner but the network sees a picture.
            own = member.features(_readable(schema, member, members), profile, target)
            found += [feature.replace(group=member.kind) for feature in own]
        return tuple(found)

    def filled(self, rows: int, features: Sequence[Feature]) -> Self:
        """With the members that will be tried, each with its settings filled in."""
        pictures = any(isinstance(feature, Image | Video) for feature in features)
        members = self.members or _to_try({feature.group for feature in features}, pictures, rows)
        found = []
        for member in members:
            own = [feature for feature in features if feature.group in ("", member.kind)]
            found.append(member.filled(rows - rows // 10 if member.holds_out else rows, own))
        return self.replace(members=tuple(found))

    def fit(self, feed: Feed, world: World, observe: Observer) -> Predictor:
        """Try, choose, and learn from all rows. One member alone is fitted as it is."""
        candidates = self._candidates(feed)
        if len(candidates) == 1 and not _group(feed, candidates[0]):
            return _final(candidates[0], feed, world, observe)
        observe(Started("auto", feed.rows, 0))
        some = sample(feed, trial_rows(feed), world.seed)
        trial = Trial(some, world, Clock(self.time_limit_s), observe)
        chosen = trial.choose(candidates)
        members = [
            Member(weight, _group(feed, learner), _final(learner, feed, world, trial.clock))
            for learner, weight in chosen
        ]
        notes = tuple(trial.notes)
        observe(Ended("time is up" if trial.clock.stopped else "finished", 0, notes=notes))
        return Blend(members, notes)

    def _candidates(self, feed: Feed) -> tuple[Learner, ...]:
        """The members; without settings, those that have features to read."""
        groups = {output.name.partition("/")[0] for output in feed.outputs}
        pictures = any(output.role is Role.TENSOR for output in feed.outputs)
        return self.members or _to_try(groups, pictures, feed.rows)


def _to_try(groups: Set[str], pictures: bool, rows: int) -> tuple[Learner, ...]:
    """Those that features were made for; a network where pictures are for all; else those for tables."""
    kinds = [kind for kind in _PACKAGES if kind in groups]
    if not kinds and pictures:
        kinds = ["network"]
    kinds = kinds or [kind for kind in ("linear", "boosted") if available(_PACKAGES[kind])]
    found = [_default(kind) for kind in kinds]
    if "boosted" in kinds and rows <= _RANDOM_ROWS:
        found[kinds.index("boosted")] = Boosted(random_splits=False)
        found.append(Boosted(random_splits=True))
    return tuple(found)


def _default(kind: str) -> Learner:
    return Learner.of({"kind": kind})


def _wanted(schema: Schema, profile: Profile) -> tuple[Learner, ...]:
    """Who to try, by what there is to read, leaving out whose package is not installed."""
    kinds = [field.kind for field in schema.fields if field.kind not in (None, Kind.KEY)]
    if kinds and all(kind in _SEEN for kind in kinds):
        return (_default("network"),)
    wanted = ["linear", "boosted"]
    if {*_SEEN, Kind.TENSOR} & {*kinds} or (Kind.TEXT in kinds and profile.rows >= _TEXT_ROWS):
        wanted.append("network")
    found = [kind for kind in wanted if available(_PACKAGES[kind])]
    return tuple(_default(kind) for kind in found or ["linear"])  # which says what to install


def _readable(schema: Schema, member: Learner, members: tuple[Learner, ...]) -> Schema:
    """Without pictures for those who would read single pixels, where a network looks at them."""
    if member.kind == "network" or all(other.kind != "network" for other in members):
        return schema
    return Schema(fields=tuple(field for field in schema.fields if field.kind not in _SEEN))


def _group(feed: Feed, learner: Learner) -> str:
    """The group of the learner's own features; none where features are not grouped, and all are its own."""
    grouped = any(output.name.startswith(f"{learner.kind}/") for output in feed.outputs)
    return learner.kind if grouped else ""


def _final(learner: Learner, feed: Feed, world: World, observe: Observer) -> Predictor:
    """Learn from all rows, but for those that the learner wants held out."""
    view = feed.view(_group(feed, learner))
    if isinstance(learner, Boosted) and feed.rows > 2 * TRIAL_ROWS:
        learner = learner.replace(rounds=None)  # so many more rows than in the trial bear more trees
    unsettled = isinstance(learner, Boosted) and learner.rounds is None
    if view.validation is None and (learner.holds_out or unsettled):
        part = tenth(view, world.seed)
        view = view.subset(part.train, part.held) if part else view
    return learner.fit(view, world, observe)
