"""The options of ``stream`` as keywords: those of :class:`~orrery.serving.stream.broker.Wiring`, typed."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Options(TypedDict, total=False):
    """What they mean stands with the fields of ``Wiring``."""

    payload: str | dict[str, Any]
    to_payload: str | dict[str, Any]
    absent_is_null: bool
    group: str
    instance: str
    dead_letter: str
    guarantee: Literal["at-least-once", "exactly-once"]
    max_wait_s: float
    poll_s: float
