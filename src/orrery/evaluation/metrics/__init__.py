"""The metrics, by what is predicted; the first of each is the headline.

A new metric: a new file beside these, and a line here.
"""

from __future__ import annotations

from orrery.evaluation.metrics.accuracy import ACCURACY
from orrery.evaluation.metrics.auc import AUC
from orrery.evaluation.metrics.average_precision import AVERAGE_PRECISION
from orrery.evaluation.metrics.balanced_accuracy import BALANCED_ACCURACY
from orrery.evaluation.metrics.brier import BRIER
from orrery.evaluation.metrics.calibration import CALIBRATION_ERROR
from orrery.evaluation.metrics.f1 import F1_MACRO
from orrery.evaluation.metrics.ks import KS
from orrery.evaluation.metrics.labels import F1_LABELS, F1_MICRO, HAMMING_LOSS, SUBSET_ACCURACY
from orrery.evaluation.metrics.lift import LIFT
from orrery.evaluation.metrics.log_loss import LOG_LOSS
from orrery.evaluation.metrics.mae import MAE
from orrery.evaluation.metrics.metric import Better, Metric
from orrery.evaluation.metrics.r2 import R2
from orrery.evaluation.metrics.rmse import RMSE
from orrery.schema import Kind

METRICS: dict[Kind, tuple[Metric, ...]] = {
    Kind.CATEGORY: (
        ACCURACY,
        BALANCED_ACCURACY,
        LOG_LOSS,
        AUC,
        AVERAGE_PRECISION,
        F1_MACRO,
        KS,
        BRIER,
        CALIBRATION_ERROR,
        LIFT,
    ),
    Kind.NUMBER: (RMSE, MAE, R2),
    Kind.LABELS: (F1_MICRO, F1_LABELS, SUBSET_ACCURACY, HAMMING_LOSS, LOG_LOSS, AUC, AVERAGE_PRECISION),
    Kind.VECTOR: (RMSE, MAE, R2),
}
"""What is predicted -> its metrics, in the order in which a report tells them."""

BETTER: dict[str, Better] = {m.name: m.better for metrics in METRICS.values() for m in metrics}
"""Name of a metric -> whether higher or lower is better."""
