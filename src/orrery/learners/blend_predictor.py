"""Several predictors that answer together: the weighted mean of what each says.

Legend: n rows, k answers per row.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from orrery.errors import SettingsError
from orrery.features.feature import Encoded, Output
from orrery.features.target import Target
from orrery.learners import PREDICTORS, state
from orrery.learners.learner import Predictor
from orrery.learners.links import Scores

_MOST = 16  # members; a file that asks for more is not ours


class Member(NamedTuple):
    """One predictor: how much it counts, and the group of blocks that it reads."""

    weight: float
    group: str
    predictor: Predictor


class Blend:
    """Members whose answers are mixed. A group of "" reads every block.

    >>> Blend([]).kind
    'blend'
    """

    kind: ClassVar[str] = "blend"

    def __init__(self, members: Sequence[Member], notes: Sequence[str] = ()) -> None:
        self.members = tuple(members)
        self.notes = tuple(notes)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of features that are needed to answer; others need not be computed."""
        return tuple(dict.fromkeys(member.group for member in self.members))

    @property
    def reads(self) -> tuple[Output, ...]:
        """The blocks that its members need, each under its group."""
        return tuple(
            output.replace(name=f"{member.group}/{output.name}" if member.group else output.name)
            for member in self.members
            for output in getattr(member.predictor, "reads", ())
        )

    def predict(self, blocks: Mapping[str, Encoded]) -> Scores:
        """Answers [n, k]."""
        first, *others = self.members
        scores = first.predictor.predict(_under(blocks, first.group)) * first.weight
        for weight, group, predictor in others:
            scores += predictor.predict(_under(blocks, group)) * weight
        return scores

    def describe(self) -> dict[str, Any]:
        """What was tried and chosen, for people."""
        members = [
            {"kind": m.predictor.kind, "weight": m.weight, **_described(m.predictor)} for m in self.members
        ]
        return {"kind": self.kind, "tried": list(self.notes), "members": members}

    def files(self) -> dict[str, bytes]:
        """``blend.json``, and each member's files in a folder of its own."""
        found: dict[str, bytes] = {}
        listed: list[dict[str, Any]] = []
        for number, (weight, group, predictor) in enumerate(self.members):
            taken = any(m["folder"] == predictor.kind for m in listed)
            folder = f"{predictor.kind}-{number}" if taken else predictor.kind
            listed.append({"folder": folder, "kind": predictor.kind, "group": group, "weight": weight})
            found |= {f"{folder}/{name}": content for name, content in predictor.files().items()}
        return {"blend.json": state.write_json(members=listed, tried=list(self.notes)), **found}

    @classmethod
    def load(cls, files: Mapping[str, bytes], target: Target) -> Self:
        """The predictor again. Raises ModelFormatError."""
        values = state.read_json(files, "blend.json")
        listed, notes = values.get("members"), values.get("tried")
        if not isinstance(listed, list) or not 0 < len(listed) <= _MOST:
            raise state.broken("blend.json", f"it needs 1 to {_MOST} members")
        if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
            raise state.broken("blend.json", "'tried' is not a list of texts")
        return cls([_member(entry, files, target) for entry in listed], notes)


def _under(blocks: Mapping[str, Encoded], group: str) -> Mapping[str, Encoded]:
    if not group:
        return blocks
    start = len(group) + 1
    return {name[start:]: block for name, block in blocks.items() if name.startswith(f"{group}/")}


def _described(predictor: Predictor) -> dict[str, Any]:
    describe = getattr(predictor, "describe", None)
    return dict(describe()) if describe else {}


def _member(entry: object, files: Mapping[str, bytes], target: Target) -> Member:
    words = entry if isinstance(entry, dict) else {}
    folder, kind, group = (str(words.get(name, "")) for name in ("folder", "kind", "group"))
    if kind == Blend.kind or kind not in PREDICTORS:
        raise state.broken("blend.json", f"{kind!r:.40} is not the kind of a member")
    weight = state.numbers([words.get("weight")], 1, "blend.json", "weight")[0]
    if not 0 <= weight <= 1:
        raise state.broken("blend.json", "a weight is not between 0 and 1")
    own = {n.removeprefix(f"{folder}/"): c for n, c in files.items() if n.startswith(f"{folder}/")}
    return Member(float(weight), group, predictor_class(kind).load(own, target))


def predictor_class(kind: str) -> type[Predictor]:
    """The class of a saved predictor. Raises SettingsError."""
    if kind not in PREDICTORS:
        raise SettingsError(f"There is no predictor of kind {kind!r}.")
    module, _, name = PREDICTORS[kind].partition(":")
    found: type[Predictor] = getattr(importlib.import_module(module), name)
    return found
