"""Publishing: one call makes a fitted model answer under a name, proved by replay first."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from orrery.data.table import Table
from orrery.estimators.model import Model
from orrery.feedback.promotion import Decision, Rule, carry_out, compare_and_decide
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.registry.registry import Version
from orrery.serving.proof import Proof, prove
from orrery.serving.runner import Runner


@dataclass(frozen=True)
class Published:
    """What came of publishing: the version, and whether it became the champion and why."""

    version: Version
    decision: Decision
    proof: Proof | None = None
    """How the runner that will serve it was compared with the model."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases of the version now."""
        return self.version.aliases

    @property
    def url(self) -> str:
        """Where others find it: ``models:/name/3``."""
        return self.version.url

    def __str__(self) -> str:
        became = "champion" if self.decision.promoted else "challenger"
        return f"{self.url} is {became}: {self.decision.reason}"


def publish(
    model: Model,
    name: str,
    *,
    test: Table | None = None,
    note: str = "",
    rule: Rule | None = None,
    registry: FolderRegistry | None = None,
) -> Published:
    """Give a model a name and a version; make it the champion if it is the first, or better.

    The model is saved, opened again as a stranger would, and replayed through the runner that will serve it:
    one that does not repeat its own example predictions, or whose runner says otherwise of generated rows, is
    not published (ReplayError). It is compared
    with the champion on ``test``, by default the rows it was last evaluated on; without any it becomes the
    challenger.
    """
    registry = registry or open_registry()
    if test is not None:
        model.evaluate(test)  # before it is saved, so that the version tells its metrics
    with tempfile.TemporaryDirectory(prefix="orrery-publish-") as scratch:
        folder = Path(scratch) / "model"
        model.save(folder)
        saved = Model.load(folder)
        proof = prove(saved, Runner(saved))
        version = registry.publish(folder, name, note=note)
    decision = carry_out(
        compare_and_decide(name, version, model, model.evaluated_on, rule, registry), registry
    )
    return Published(registry.get(name, version.version), decision, proof)
