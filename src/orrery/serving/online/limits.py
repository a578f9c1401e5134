"""What one service takes: everything that a stranger could make large is bounded."""

from __future__ import annotations

from pydantic import Field

from orrery.data.codecs.image import MAX_PIXELS
from orrery.spec import Spec


class Limits(Spec):
    """Bounds of one service.

    >>> Limits(rows=100).rows
    100
    """

    body_bytes: int = Field(default=64 << 20, gt=0)
    """Of one request, also after it is unpacked."""
    rows: int = Field(default=10_000, gt=0)
    """In one request."""
    values: int = Field(default=2 << 20, gt=0)
    """In one request, as its commas and brackets tell: each may take 64 bytes in memory."""
    pixels: int = Field(default=MAX_PIXELS, gt=0)
    """Of all pictures of one request, as their headers say."""
    seconds: float = Field(default=3_600.0, gt=0)
    """Of all sounds and videos of one request, as their headers or their packets say."""
    waiting_bytes: int = Field(default=256 << 20, gt=0)
    """Of all requests that are being read or wait for the model; beyond it the answer is 503."""
    waiting_requests: int = Field(default=512, gt=0)
    """Read or waiting at once; beyond it the answer is 503."""
    connections: int = Field(default=2_000, gt=0)
    """Open at once; beyond it the one that is idle longest is closed, or else the answer is 503."""
    allowed_hosts: tuple[str, ...] = ()
    """Names beside its own under which the service may be asked for, such as that of a proxy before it.

    A service that listens on this machine alone answers to no other name; one on the network answers to all
    names, unless some are given here."""
    head_bytes: int = Field(default=64 << 10, gt=0)
    """Of a request's header; beyond it the answer is 431."""
    head_s: float = Field(default=10.0, gt=0)
    """Seconds that the header of a request may take to arrive."""
    read_s: float = Field(default=60.0, gt=0)
    """Seconds that the body of a request may take to arrive, and that an answer may lie unread."""
    answer_s: float = Field(default=60.0, gt=0)
    """Seconds that rows may wait for the model and be worked on; beyond it the answer is 503."""
    loaded_models: int = Field(default=100, gt=0)
    """Open at once; beyond it the one that is asked least lately is closed, if it was opened when asked."""
    loaded_bytes: int = Field(default=8 << 30, gt=0)
    """About what all open models may take in memory; beyond it likewise."""
    idle_s: float = Field(default=3_600.0, gt=0)
    """Seconds after which a model is closed that was opened when asked and is asked no more."""
    manage_from_afar: bool = False
    """Whether models are loaded, unloaded and routed by callers on other machines too."""
    drain_s: int = Field(default=20, gt=0)
    """Seconds that requests have to end when the service stops."""
