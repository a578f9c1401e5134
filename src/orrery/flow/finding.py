"""What ``check`` says: one thing that is wrong, where, and what to do."""

from __future__ import annotations

from orrery.spec import Spec


class Finding(Spec):
    """One thing that is wrong with a flow.

    >>> print(Finding(code="ORR006", message="There is no node 'part'.", where="flow.yaml:9", node="model",
    ...               hint="Did you mean 'parts'?"))
    flow.yaml:9: ORR006 node 'model': There is no node 'part'. Did you mean 'parts'?
    """

    code: str
    message: str
    where: str = ""
    """``file:line``; empty for a flow that was written in Python."""
    node: str = ""
    field: str = ""
    """Which part of the node: ``inputs.table``, ``with.ratio``."""
    column: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        inside = f", {self.field}" if self.field else ""
        node = f" node {self.node!r}{inside}" if self.node else ""
        return f"{place}{self.code}{node}: {self.message} {self.hint}".strip()
