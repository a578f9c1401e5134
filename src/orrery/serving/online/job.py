"""What a service does, as a value that can be handed to another process."""

from __future__ import annotations

from typing import Literal

from orrery.serving.keeping import Keeping
from orrery.serving.online.access import Access
from orrery.serving.online.limits import Limits
from orrery.spec import Spec


class Job(Spec):
    """What is served, where, and within which bounds.

    >>> Job(models=["models:/fraud"]).port
    8080
    """

    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    record: bool = True
    keeping: Keeping = Keeping()
    log: Literal["text", "json"] = "text"
    limits: Limits = Limits()
    access: Access = Access()
