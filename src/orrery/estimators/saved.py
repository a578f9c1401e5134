"""The saved form of a model: plain files, each with its digest, and no code among them.

``model.json`` names the format's version, the estimator, the signature, lineage, metrics, and every other
file with its size and SHA-256. ``features.arrow`` holds what the features learnt, ``example.arrow`` sample
rows with their predictions, ``MLmodel`` a summary for MLflow's tools; the rest is the predictor's own.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from orrery import learners
from orrery.errors import (
    MissingExtraError,
    ModelError,
    ModelFormatError,
    ModelVersionError,
    SettingsError,
    listing,
)
from orrery.estimators.answer import label_names
from orrery.estimators.archive import MLMODEL, read_files, write_files
from orrery.estimators.arrowfile import read_arrow, write_arrow
from orrery.estimators.example import check_example
from orrery.estimators.mlmodel import mlmodel
from orrery.estimators.provenance import keep_made, was_made
from orrery.estimators.signature import Signature
from orrery.features.feature import Output
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.learners.learner import Predictor
from orrery.schema import Kind

if TYPE_CHECKING:
    from orrery.estimators.model import Model

FORMAT = "orrery/model"
VERSION = 1
"""Raised when a release writes what older ones cannot read."""

CARD, FEATURES, EXAMPLE = "model.json", "features.arrow", "example.arrow"
_CARD_BYTES = 64 << 20
_MOST_WIDTH = 1_000_000


@dataclass(frozen=True)
class Parts:
    """What is read of a model."""

    settings: dict[str, Any]
    signature: Signature
    plan: FeaturePlan
    predictor: Predictor
    lineage: dict[str, Any]
    metrics: dict[str, float]
    example: pa.Table | None
    notes: tuple[str, ...]
    trusted: bool
    """Whether it was saved here."""


def write_model(model: Model, place: str | Path) -> Path:
    """Write a model to a folder or zip, all or nothing. Returns its path."""
    path = local_path(place)
    files = {FEATURES: write_arrow(model.plan.to_arrow()), **model.predictor.files()}
    if model.example is not None:
        files[EXAMPLE] = write_arrow(model.example)
    card = {
        "format": FORMAT,
        "version": VERSION,
        "estimator": model.settings,
        "signature": model.signature.to_dict(),
        "predictor": model.predictor.kind,
        "metrics": model.metrics,
        "lineage": model.lineage,
        "notes": list(model.notes),
        "files": {name: _digest(content) for name, content in sorted(files.items())},
    }
    text = json.dumps(card, indent=1, ensure_ascii=False, default=str).encode()
    outside = {MLMODEL: mlmodel(model.signature, model.lineage, sorted(files))}
    write_files({CARD: text, **files, **outside}, path)
    if model.trusted:
        keep_made(text)
    return path


def read_model(place: str | Path) -> Parts:
    """Read a model. Raises ModelNotFoundError, ModelFormatError, ModelVersionError; nothing in it is run."""
    path = local_path(place)
    files = read_files(path)
    text = files.pop(CARD)
    card = _card(text)
    files.pop(MLMODEL, None)
    _check_digests(card, files)
    with hostile(path):
        signature = Signature.from_dict(card["signature"])
        _check_target(signature.target)
        signature.whole.arrow()  # every type is one that there is
        example = read_arrow(files.pop(EXAMPLE), EXAMPLE, shared=True) if EXAMPLE in files else None
        if example is not None:
            check_example(example, signature)
        plan = FeaturePlan.from_arrow(read_arrow(files.pop(FEATURES), FEATURES))
        if not set(plan.inputs) <= set(signature.whole.names):
            raise ModelFormatError(f"{FEATURES} reads other columns than {CARD} lists.")
        for name, content in files.items():
            if name.endswith(".arrow"):
                read_arrow(content, name)  # the predictor reads it again, knowing that it is whole
        predictor = _predictor_class(str(card["predictor"])).load(files, signature.target)
        _check_belongs(predictor, plan)
        return Parts(
            settings=dict(card["estimator"]),
            signature=signature,
            plan=plan,
            predictor=predictor,
            lineage=dict(card["lineage"]),
            metrics={str(k): float(v) for k, v in dict(card["metrics"]).items()},
            example=example,
            notes=tuple(str(note) for note in card["notes"]),
            trusted=was_made(text),
        )


def local_path(place: str | Path) -> Path:
    """The path meant by a path or a ``file://`` URL. Raises SettingsError for other URLs."""
    text = str(place)
    if text.startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    if text.startswith("models:") or "://" in text:
        raise SettingsError(
            f"{text!r} is not a path.",
            hint="Models are saved to and loaded from folders and .zip files; ory.load reads models:/ URLs.",
        )
    return Path(place)


def _digest(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _card(content: bytes) -> dict[str, Any]:
    """``model.json``, of a version that this release reads."""
    if len(content) > _CARD_BYTES:
        raise ModelFormatError(f"{CARD} holds {len(content)} bytes; at most {_CARD_BYTES} are read.")
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{CARD} is not JSON: {error}.") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelFormatError(f"{CARD} does not say that it is of format {FORMAT!r}.")
    version = card.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
        raise ModelVersionError(
            f"The model's format is version {version!r}; this release reads 1 to {VERSION}.",
            hint="It was saved by a newer Orrery: install that, or a newer one.",
        )
    needed = ("estimator", "signature", "predictor", "metrics", "lineage", "notes", "files")
    missing = [key for key in needed if key not in card]
    if missing:
        raise ModelFormatError(f"{CARD} lacks {listing(missing)}.")
    return card


def _check_digests(card: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """The files are those that were written, to the byte."""
    listed = card["files"]
    if not isinstance(listed, dict) or FEATURES not in listed:
        raise ModelFormatError(f"{CARD} does not list the model's files.")
    if missing := sorted(set(listed) - set(files)):
        raise ModelFormatError(f"The model lacks {listing(missing)}, which {CARD} lists.")
    if extra := sorted(set(files) - set(listed)):
        raise ModelFormatError(f"The model holds {listing(extra)}, which {CARD} does not list.")
    for name, content in files.items():
        if listed[name] != _digest(content):
            raise ModelFormatError(
                f"{name!r} is not what was saved: its size or SHA-256 differs from {CARD}.",
                hint="It was cut short or altered: copy the model again.",
            )


def _check_target(target: Target) -> None:
    """Labels and width agree, and are of a size that this machine can hold."""
    named = target.kind in {Kind.CATEGORY, Kind.LABELS}
    if named != bool(target.labels) or not 1 <= target.width <= _MOST_WIDTH:
        raise ModelFormatError(
            f"{CARD} has a target of {len(target.labels)} labels and width {target.width}."
        )
    if named and target.width != len(set(label_names(target))):
        raise ModelFormatError(f"{CARD} has labels that are not {target.width} different ones.")


def _check_belongs(predictor: Predictor, plan: FeaturePlan) -> None:
    """The features give each block that the predictor reads, of the very shape that it was fitted on."""
    given = {output.name: _shape(output) for output in plan.outputs}
    for output in getattr(predictor, "reads", ()):
        if given.get(output.name) != _shape(output):
            raise ModelFormatError(
                f"The predictor belongs to other features: {FEATURES} gives no block {output.name[:100]!r} "
                f"as it was fitted on."
            )


def _shape(output: Output) -> tuple[object, ...]:
    return output.role, output.width, output.sizes, output.shape, output.dtype


def _predictor_class(kind: str) -> type[Predictor]:
    if kind not in learners.PREDICTORS:
        raise ModelFormatError(f"There is no predictor of kind {kind[:100]!r}.")
    module, _, name = learners.PREDICTORS[kind].partition(":")
    found: type[Predictor] = getattr(importlib.import_module(module), name)
    return found


@contextmanager
def hostile(path: str | Path) -> Iterator[None]:
    """Whatever goes wrong while a stranger's values are made sense of, the file is to blame."""
    try:
        yield
    except (ModelError, MissingExtraError):
        raise
    except (Exception, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelFormatError(f"{str(path)!r} cannot be read as a model: {what}.") from None
