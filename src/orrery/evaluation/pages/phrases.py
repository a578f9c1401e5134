"""What a report says in words, in both languages."""

from __future__ import annotations

import math

from orrery.display import Both, count, figure, percent
from orrery.evaluation.findings import Findings
from orrery.evaluation.metrics import METRICS
from orrery.evaluation.metrics.metric import Metric
from orrery.schema import Kind


def metric_of(kind: Kind, name: str) -> Metric:
    """The metric behind a name."""
    return next(m for m in METRICS[kind] if m.name == name)


def told(metric: Metric, value: float | None) -> str:
    """The value of a metric as people read it."""
    return percent(value, 2) if metric.share else figure(value)


def interval(share: float, rows: int, z: float = 1.96) -> tuple[float, float]:
    """Where the true share lies, 19 times out of 20 (Wilson, "Probable inference", 1927).

    >>> tuple(round(end, 3) for end in interval(0.9, 100))
    (0.826, 0.945)
    """
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return middle - reach, middle + reach


def verdict(found: Findings) -> Both:
    """The report in one or two sentences."""
    if found.kind is Kind.CATEGORY:
        return _of_category(found)
    if found.kind is Kind.LABELS:
        f1, whole = found.metrics.get("f1_micro"), found.metrics.get("accuracy")
        rows = f"{found.rows:,}"
        return Both(
            f"{percent(whole)} of {rows} rows have every label right; F1 of all decisions is {figure(f1)}.",
            f"{rows} 行中有 {percent(whole)} 所有标签全部正确；全部判断的 F1 为 {figure(f1)}。",
        )
    return _of_number(found)


def _of_category(found: Findings) -> Both:
    accuracy = found.metrics.get("accuracy")
    if accuracy is None:
        return Both("The rows carry no weight, so nothing can be told.", "这些行的权重为零，无法评估。")
    if found.weighted:
        english = f"Right for {percent(accuracy)} of the weight of {found.rows:,} rows."
        chinese = f"按权重计算，{found.rows:,} 行中有 {percent(accuracy)} 预测正确。"
    else:
        right = round(accuracy * found.rows)
        low, high = interval(accuracy, found.rows)
        english = (
            f"Right in {right:,} of {found.rows:,} rows: {percent(accuracy)}, "
            f"and on new rows of the same kind most likely between {percent(low)} and {percent(high)}."
        )
        chinese = (
            f"{found.rows:,} 行中有 {right:,} 行预测正确，即 {percent(accuracy)}；"
            f"对同类新数据，很可能介于 {percent(low)} 与 {percent(high)} 之间。"
        )
    if found.classes:
        largest = max(found.classes, key=lambda c: c.weight)
        blind = percent(largest.weight / (sum(c.weight for c in found.classes) or 1.0))
        english += f" Always saying “{largest.label}” would be right in {blind}."
        chinese += f"若一律回答“{largest.label}”，正确率为 {blind}。"
    if found.confused:
        true, taken, weight = found.confused[0]
        english += f" The most frequent mistake: “{true}” taken for “{taken}” ({count(weight)} times)."
        chinese += f"最常见的错误：把“{true}”认成“{taken}”（{count(weight)} 次）。"
    return Both(english, chinese)


def _of_number(found: Findings) -> Both:
    rmse, r2 = found.metrics.get("rmse"), found.metrics.get("r2")
    english, chinese = f"Typically wrong by {figure(rmse)}", f"典型误差为 {figure(rmse)}"
    if found.residuals:
        half, most = found.residuals.quantiles["0.5"], found.residuals.quantiles["0.9"]
        english += f": half of the predictions are within {figure(half)}, nine in ten within {figure(most)}"
        chinese += f"：一半的预测误差在 {figure(half)} 以内，九成在 {figure(most)} 以内"
    if r2 is not None and r2 >= 0:
        english += f". {percent(r2)} of the variation of the target is explained"
        chinese += f"；目标变化中有 {percent(r2)} 得到解释"
    elif r2 is not None:
        english += ". That is worse than always saying the mean"
        chinese += "；这比始终预测平均值还差"
    return Both(english + ".", chinese + "。")


def caveats(found: Findings) -> list[Both]:
    """What a reader must know before trusting a figure."""
    notes = []
    for name in found.undefined:
        title = metric_of(found.kind, name).title
        notes.append(
            Both(
                f"{title.en} cannot be told from these rows: it needs more than one class, and weight.",
                f"这些行无法给出{title.zh}：需要不止一个类别的行，且权重不为零。",
            )
        )
    if not found.exact:
        notes.append(
            Both(
                "There were too many different scores to keep: curves and AUC come from scores rounded to "
                "1/1024 of a unit of log-odds.",
                "不同的得分太多，曲线和 AUC 由舍入到 1/1024 对数几率单位的得分算出。",
            )
        )
    return notes
