"""Let a published version take over, if it is better."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.feedback.promotion import Decision, Rule
from orrery.feedback.promotion import promote as promote_version
from orrery.feedback.publish import Published
from orrery.flow.operator import operator


@operator(changes="the champion may be another one now")
def promote(
    published: Published, test: Table, *, metric: str | None = None, least_gain: float = 0.0
) -> Decision:
    """Compare a published version with the champion on the same rows; it takes over only if it is better.

    Args:
        published: What publishing gave.
        test: Rows that neither model has learnt from.
        metric: The metric that decides: log_loss, accuracy, rmse …; the headline of the target, unless given.
        least_gain: By how much it must be better, in the metric's own unit.
    """
    rule = Rule(metric=metric, least_gain=least_gain)
    return promote_version(published.version.name, published.version, test, rule)
