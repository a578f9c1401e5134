"""Who answers from now on: a pure decision from two sets of metrics, and its place in the record.

``decide`` does no I/O, so that every promotion can be replayed from its record.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orrery import settings
from orrery.data.table import Table
from orrery.errors import FeedbackError, ModelNotFoundError, RegistryError, listing
from orrery.estimators.model import Model
from orrery.evaluation.metrics import BETTER
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.registry.load import load
from orrery.registry.registry import CHAMPION, Version, check_name
from orrery.registry.rollback import rollback as roll_back
from orrery.schema import Kind
from orrery.spec import Spec

HEADLINE = {
    Kind.CATEGORY: "log_loss",
    Kind.LABELS: "log_loss",
    Kind.NUMBER: "rmse",
    Kind.VECTOR: "rmse",
}
"""The metric that decides unless told otherwise: proper scores, which reward honest probabilities."""


class Rule(Spec):
    """When a challenger takes over.

    >>> Rule(metric="accuracy", least_gain=0.01).sentence("higher")
    'accuracy must be higher by at least 0.01'
    """

    metric: str | None = None
    """None takes the headline metric of the kind of target."""
    least_gain: float = 0.0
    """By how much it must be better, in the metric's own unit. Equal is never better."""
    least_rows: int = 1
    """On fewer held-out rows nothing is decided."""

    def sentence(self, better: str) -> str:
        """The rule in words."""
        by = f" by at least {self.least_gain:g}" if self.least_gain else ""
        return f"{self.metric or 'the headline metric'} must be {better}{by}"


class Decision(Spec):
    """What was decided, on what, and why. Kept for ever in ``decisions.jsonl``."""

    name: str
    promoted: bool
    reason: str
    challenger: int
    champion: int | None = None
    metric: str | None = None
    champion_score: float | None = None
    challenger_score: float | None = None
    rows: int | None = None
    rows_fingerprint: str | None = None
    rule: Rule = Rule()
    time: str = ""

    def __str__(self) -> str:
        became = "is champion" if self.promoted else "stays challenger"
        return f"models:/{self.name}/{self.challenger} {became}: {self.reason}"


def decide(champion: Mapping[str, float], challenger: Mapping[str, float], rule: Rule) -> tuple[bool, str]:
    """Whether the challenger is better by the rule, and why, in words. Pure.

    >>> decide({"rmse": 2.0}, {"rmse": 1.5}, Rule(metric="rmse"))
    (True, 'rmse 1.5 against 2: lower by 0.5 (rmse must be lower)')
    """
    metric = rule.metric or ""
    for who, metrics in (("champion", champion), ("challenger", challenger)):
        if metric not in metrics:
            raise FeedbackError(
                f"The {who} has no metric {metric!r}; it has {listing(sorted(metrics))}.",
                hint="Name one of them in the rule.",
            )
    if metric not in BETTER:
        raise FeedbackError(f"{metric!r} cannot decide; these can: {listing(sorted(BETTER))}.")
    old, new, better = champion[metric], challenger[metric], BETTER[metric]
    gain = new - old if better == "higher" else old - new
    promoted = gain > 0 and gain >= rule.least_gain
    worse = {"higher": "lower", "lower": "higher"}[better]
    change = "equal" if gain == 0 else f"{better if gain > 0 else worse} by {abs(gain):.6g}"
    return promoted, f"{metric} {new:.6g} against {old:.6g}: {change} ({rule.sentence(better)})"


def promote(
    name: str,
    challenger: int | str | Version,
    test: Table,
    rule: Rule | None = None,
    *,
    registry: FolderRegistry | None = None,
) -> Decision:
    """Compare a published version with the champion on the same held-out rows; promote it if it is better.

    ``challenger`` is a version's number or alias. The decision is recorded whichever way it goes.
    """
    registry = registry or open_registry()
    which = challenger.version if isinstance(challenger, Version) else challenger
    new = registry.get(name, which)
    decision = compare_and_decide(name, new, load(f"models:/{name}/{new.version}"), test, rule, registry)
    return carry_out(decision, registry)


def compare_and_decide(
    name: str, version: Version, model: Model, test: Table | None, rule: Rule | None, registry: FolderRegistry
) -> Decision:
    """The decision on one version; changes nothing."""
    target = model.signature.target
    rule = rule or Rule()
    rule = rule.replace(metric=rule.metric or HEADLINE[target.kind])
    facts: dict[str, Any] = {"name": name, "challenger": version.version, "rule": rule, "time": _now()}
    champion = next((v for v in registry.versions(name) if CHAMPION in v.aliases), None)
    if champion is None:
        return Decision(**facts, promoted=True, reason="it is the first: there is no champion yet")
    facts["champion"] = champion.version
    if champion.version == version.version:
        return Decision(**facts, promoted=True, reason="it is the champion already")
    if test is None:
        reason = "there are no held-out rows to compare it with the champion: pass test="
        return Decision(**facts, promoted=False, reason=reason)
    rows = test.count()
    facts |= {"rows": rows, "rows_fingerprint": test.fingerprint()}
    if rows < rule.least_rows:
        reason = f"{rows} held-out rows are fewer than the {rule.least_rows} that the rule asks for"
        return Decision(**facts, promoted=False, reason=reason)
    old = load(f"models:/{name}/{champion.version}").evaluate(test).metrics
    new = model.metrics if model.evaluated_on is test else model.evaluate(test).metrics
    promoted, reason = decide(old, new, rule)
    scores: dict[str, Any] = {
        "champion_score": old[str(rule.metric)],
        "challenger_score": new[str(rule.metric)],
    }
    return Decision(**facts, **scores, metric=rule.metric, promoted=promoted, reason=reason)


def carry_out(decision: Decision, registry: FolderRegistry) -> Decision:
    """Move the alias as decided, and record the decision."""
    registry.alias(decision.name, CHAMPION if decision.promoted else "challenger", decision.challenger)
    record(decision)
    return decision


def rollback(name: str, *, registry: FolderRegistry | None = None) -> Version:
    """Take back the last change that a person made: a canary under way, a route, or a champion.

    Returns the main version now; called twice it goes two changes back. A canary and what ended it are one.
    Services follow within a second. Raises FeedbackError where there is nothing to go back to.
    """
    registry = registry or open_registry()
    try:
        done = roll_back(name, registry)
    except ModelNotFoundError:
        raise
    except RegistryError as error:
        raise FeedbackError(error.message, hint=error.hint) from None
    if done.champion is not None:
        facts: dict[str, Any] = {"name": name, "challenger": done.version.version, "champion": done.champion}
        record(Decision(**facts, promoted=True, time=_now(), reason=str(done)))
    return done.version


def record(decision: Decision) -> None:
    """Append a decision to the record of its model."""
    path = _path(decision.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(decision.to_dict(), ensure_ascii=False) + "\n"
    with path.open("a", encoding="utf-8") as file:  # one write of one line: appends do not mix
        file.write(line)


def decisions(name: str) -> list[Decision]:
    """Every decision about a model, oldest first."""
    path = _path(name)
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Decision.from_dict(json.loads(line)) for line in lines if line.strip()]


def _path(name: str) -> Path:
    return settings.home() / "feedback" / check_name(name) / "decisions.jsonl"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
