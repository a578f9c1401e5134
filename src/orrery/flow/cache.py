"""What earlier runs have left: results by key, and the reason why a node runs again or not.

The key of a node's result is a hash of the operator's code, the settings, the identity of the inputs, and the
environment (Python, Orrery, and the packages that the operator uses). On disk, under ``<home>/``::

    cache/<key>/record.json     what made it; outputs beside it, a folder each
    cache/<key>.work/           unfinished work of a node that was stopped: it goes on there
    flows/<flow>/node.<node>.json  the record of the node's last run, to tell what has changed
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

import orrery
from orrery import __version__
from orrery.errors import FlowError, SettingsError
from orrery.flow import ports
from orrery.flow.graph import Node, split_reference
from orrery.flow.operator import Operator
from orrery.spec import Spec, stable_key

KEEP = 50
"""Results kept; the ones used longest ago go first."""

KEEP_WORK = 10
"""Unfinished work kept, likewise."""

Action = Literal["read", "run", "reuse"]


class Record(Spec):
    """All that decides a node's result."""

    operator: str
    code: str
    settings: dict[str, Any] = Field(default_factory=dict)
    """As the flow writes them: a ``${VAR}`` stays, so that no secret is stored."""
    filled: str = ""
    """A hash of the settings with variables filled in."""
    inputs: dict[str, list[tuple[str, str]]] = Field(default_factory=dict)
    """Port -> (reference, identity of what it gave)."""
    source: str = ""
    """Of a node that reads: the fingerprint of what lay there."""
    environment: dict[str, str] = Field(default_factory=dict)
    created: str = ""
    outputs: dict[str, str] = Field(default_factory=dict)
    """Name -> kind of value."""

    def result_key(self) -> str:
        """The same key, the same result."""
        identities = {port: [identity for _, identity in wires] for port, wires in self.inputs.items()}
        return stable_key(self.operator, self.code, self.filled, identities, self.environment)


class Planned(Spec):
    """What a run does with one node, and why."""

    node: str
    operator: str
    action: Action
    reason: str
    result: str
    """The key of the node's result, which names a folder of the cache."""


def record_of(
    node: Node, operator: Operator[..., Any], settings: Spec, inputs: Mapping[str, list[tuple[str, str]]]
) -> Record:
    """What decides the result of a node, before it runs."""
    return Record(
        operator=node.operator,
        code=operator.code(),
        settings={name: node.settings[name] for name in sorted(node.settings)},
        filled=settings.key(),
        inputs=dict(inputs),
        environment=environment(operator),
        outputs=operator.outputs,
    )


def environment(operator: Operator[..., Any]) -> dict[str, str]:
    """Versions of what an operator computes with."""
    found = {"python": platform.python_version(), "orrery": f"{__version__}+{_own_code()}"}
    for package in operator.options.uses:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def _own_code() -> str:
    """A hash of Orrery's own code: between two releases, an edit of it counts as a change."""
    digest = hashlib.sha256()
    for path in sorted(Path(orrery.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


class Cache:
    """Results by key, and the last record of each node of a flow."""

    def __init__(self, home: Path, flow: str) -> None:
        self.home = home
        self.flow = flow

    def folder(self, key: str) -> Path:
        """Where a result lies."""
        return self.home / "cache" / key

    def journal(self) -> Path:
        """Where the states of the current or last run are kept."""
        return self.home / "flows" / self.flow / "run.json"

    def work(self, key: str) -> Path:
        """Where unfinished work lies."""
        return self.home / "cache" / f"{key}.work"

    def last(self, node: str) -> Record | None:
        """The record of a node's last finished run in this flow; one of another release counts as none."""
        try:
            return Record.from_dict(json.loads(self._last(node).read_text()))
        except (OSError, ValueError, TypeError, SettingsError):
            return None

    def holds(self, key: str) -> bool:
        """Whether there is a result."""
        return (self.folder(key) / "record.json").is_file()

    def has_work(self, key: str) -> bool:
        """Whether there is unfinished work to go on from."""
        work = self.work(key)
        return work.is_dir() and any(work.iterdir())

    def get(self, key: str) -> dict[str, Any]:
        """The stored outputs by name."""
        folder = self.folder(key)
        record = Record.from_dict(json.loads((folder / "record.json").read_text()))
        os.utime(folder / "record.json")
        return {name: ports.load(kind, folder / name) for name, kind in record.outputs.items()}

    def put(self, key: str, record: Record, outputs: Mapping[str, Any]) -> None:
        """Store outputs, whole or not at all, and forget what was unfinished."""
        folder = self.folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=folder.parent))
        try:
            for name, kind in record.outputs.items():
                ports.save(kind, outputs[name], scratch / name)
            (scratch / "record.json").write_text(_text(record))
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(FileExistsError):  # another flow stored the same a moment ago
                scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(self.work(key), ignore_errors=True)
        self._drop_oldest(folder.parent)

    def note(self, node: str, record: Record) -> None:
        """Remember what a node's result was made of."""
        replace_text(self._last(node), _text(record))

    def _last(self, node: str) -> Path:
        return self.home / "flows" / self.flow / f"node.{node}.json"

    def _drop_oldest(self, folder: Path) -> None:
        records = sorted(folder.glob("*/record.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in records[KEEP:]:
            shutil.rmtree(old.parent, ignore_errors=True)
        works = sorted(folder.glob("*.work"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in works[KEEP_WORK:]:
            shutil.rmtree(old, ignore_errors=True)


def replace_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all. Raises FlowError where it cannot be written."""
    scratch = path.with_name(f".{path.stem}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise FlowError(
            f"{path} cannot be written: {error.strerror or error}.", hint="Check space and permissions."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def stamped(record: Record) -> Record:
    """The record with the time of now."""
    return record.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds")})


def trace(last: Record | None, now: Record, node: str, roots: dict[str, str]) -> list[str]:
    """What changed since a node's last run; ``roots`` tells what changed first in the nodes before it.

    What changed first for this node is added to ``roots``.
    """
    if last is None:
        return []
    own, fed = changes(last, now), input_changes(last, now, roots)
    if own:
        roots[node] = f"{node}: {own[0]}"
    elif fed:
        roots[node] = next((roots[n] for n in _parents(now) if n in roots), f"{node}: {fed[0]}")
    return [*own, *(phrase for phrase in fed if not own or own[0] not in phrase)]


def decide(cache: Cache, last: Record | None, now: Record, changed: Sequence[str]) -> tuple[Action, str]:
    """Whether a node's result is there, and why or why not."""
    key = now.result_key()
    why = "; ".join(changed)
    if cache.holds(key):
        if last is None:
            return "reuse", "made by another flow"
        return "reuse", f"as in an earlier run: {why}" if why else "nothing changed"
    if cache.has_work(key):
        return "run", "goes on where it was stopped"
    if last is None:
        return "run", "first run"
    return "run", why or "its stored result is gone"


def changes(last: Record, now: Record) -> list[str]:
    """What changed in a node itself, a phrase each.

    >>> changes(Record(operator="split", code="1", settings={"seed": 7}),
    ...         Record(operator="split", code="1", settings={"seed": 8}))
    ['setting seed changed 7 → 8']
    """
    if last.operator != now.operator:
        return [f"operator changed {last.operator} → {now.operator}"]
    found = []
    if last.code != now.code:
        found.append(f"the code of operator {now.operator} changed")
    for name in sorted({*last.settings, *now.settings}):
        before, after = last.settings.get(name), now.settings.get(name)
        if before != after:
            found.append(f"setting {name} changed {_short(before)} → {_short(after)}")
    if not found and last.filled != now.filled:
        found.append("an environment variable in its settings changed")
    if not found and last.source != now.source:
        found.append("its rows changed")
    for name, after in now.environment.items():
        before = last.environment.get(name)
        if before != after:
            found.append(f"{name} changed {before or 'none'} → {after}")
    return found


def input_changes(last: Record, now: Record, roots: Mapping[str, str]) -> list[str]:
    """What changed in what a node is given, a phrase for each port, with what changed first."""
    found = []
    for port in sorted({*last.inputs, *now.inputs}):
        before, after = last.inputs.get(port, []), now.inputs.get(port, [])
        if [identity for _, identity in before] == [identity for _, identity in after]:
            continue
        names, old = [text for text, _ in after], [text for text, _ in before]
        if old != names:
            found.append(f"input {port} changed {', '.join(old) or 'none'} → {', '.join(names) or 'none'}")
            continue
        causes = [roots[node] for node in dict.fromkeys(map(_node_of, names)) if node in roots]
        found.append(f"input {port} changed ({causes[0]})" if causes else f"input {port} changed")
    return found


def _parents(record: Record) -> list[str]:
    return [_node_of(text) for wires in record.inputs.values() for text, _ in wires]


def _node_of(reference: str) -> str:
    return split_reference(reference)[0]


def _short(value: object) -> str:
    text = "not set" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _text(record: Record) -> str:
    return json.dumps(record.to_dict(), ensure_ascii=False, indent=1)
