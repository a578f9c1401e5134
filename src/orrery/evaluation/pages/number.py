"""The chapters of a report on numbers and vectors."""

from __future__ import annotations

from orrery.display import (
    Axis,
    Bin,
    Both,
    Html,
    Series,
    Words,
    bars,
    card,
    figure,
    histogram,
    line_chart,
    scatter,
    section,
    table_html,
)
from orrery.evaluation.findings import Findings, Residuals


def errors(found: Findings) -> Html:
    """How far predictions are from the truth."""
    if not found.residuals:
        return Html("")
    spread, name = found.residuals, found.target or "y"
    note = (
        Both(f"From all {spread.rows:,} rows.", f"来自全部 {spread.rows:,} 行。")
        if spread.complete
        else Both(f"From a fair sample of {spread.rows:,} rows.", f"来自 {spread.rows:,} 行的均匀样本。")
    )
    return section(
        Both("Errors", "误差"),
        _against(spread, name),
        _histogram(spread),
        _by_size(spread, name),
        _quantiles(spread),
        about=note,
    )


def _against(spread: Residuals, name: str) -> Html:
    ends = [v for point in spread.points for v in point]
    low, high = _padded(min(ends), max(ends))
    x = Axis(Both(f"True {name}", f"真实 {name}"), low, high)
    y = Axis(Both(f"Predicted {name}", f"预测 {name}"), low, high)
    title = Both("Predicted and true", "预测与真实")
    chart = scatter(spread.points, x=x, y=y, title=title, guide=[(low, low), (high, high)])
    return card(title, chart, about=Both("On the line, the prediction is perfect.", "落在线上即完全准确。"))


def _histogram(spread: Residuals) -> Html:
    ends = zip(spread.edges, spread.edges[1:], spread.counts, strict=False)
    bins = [Bin(a, b, c, 1 if b > 0 else 2) for a, b, c in ends]
    title = Both("How errors are spread", "误差分布")
    chart = histogram(
        bins,
        x=Both("Prediction minus truth", "预测减真实"),
        y=Both("Rows", "行数"),
        title=title,
        names=[(Both("too high", "偏高"), 1), (Both("too low", "偏低"), 2)],
    )
    return card(title, chart, about=Both("The outermost bars hold all beyond.", "最外侧的柱包含更远的误差。"))


def _by_size(spread: Residuals, name: str) -> Html:
    points = [(p, p - t) for t, p in spread.points]
    low, high = _padded(min(p for p, _ in points), max(p for p, _ in points))
    far = max((abs(e) for _, e in points), default=1.0) or 1.0
    title = Both("Errors along the predictions", "误差随预测值的变化")
    chart = scatter(
        points,
        x=Axis(Both(f"Predicted {name}", f"预测 {name}"), low, high),
        y=Axis(Both("Prediction minus truth", "预测减真实"), -far * 1.05, far * 1.05),
        title=title,
        guide=[(low, 0.0), (high, 0.0)],
    )
    return card(
        title,
        chart,
        about=Both("A pattern here is something the model missed.", "此处若有规律，便是模型遗漏之处。"),
    )


def _quantiles(spread: Residuals) -> Html:
    items: list[tuple[Words, float]] = [
        (Both(f"{100 * float(q):g} % of rows", f"{100 * float(q):g} % 的行"), value)
        for q, value in spread.quantiles.items()
    ]
    title = Both("Within how much", "误差上限")
    return card(
        title,
        bars(items),
        about=Both("So many rows are wrong by at most this.", "这么多行的误差不超过此值。"),
    )


def positions(found: Findings) -> Html:
    """Each number of a vector."""
    if len(found.numbers) < 2:
        return Html("")
    columns: list[Words] = [Both("Position", "位置"), "RMSE", "MAE", "R²", Both("Mean error", "平均误差")]
    rows = [[n.label, n.rmse, n.mae, n.r2, n.bias] for n in found.numbers[:200]]
    hard = sorted(found.numbers, key=lambda n: -(n.rmse or 0.0))[:12]
    items: list[tuple[Words, float]] = [(n.label, n.rmse or 0.0) for n in hard]
    return section(
        Both("Number by number", "逐个数值"),
        _along(found),
        card(Both("Largest errors", "误差最大的位置"), bars(items, texts=[figure(v) for _, v in items])),
        card(Both("All positions", "全部位置"), table_html(columns, rows), wide=True),
    )


def _along(found: Findings) -> Html:
    values = [(float(i), n.rmse or 0.0) for i, n in enumerate(found.numbers)]
    title = Both("Error by position", "各位置的误差")
    x = Axis(Both("Position", "位置"), 0.0, float(len(values) - 1))
    y = Axis("RMSE", 0.0, max(v for _, v in values) * 1.05 or 1.0)
    return card(title, line_chart([Series("RMSE", values, filled=True)], x=x, y=y, title=title))


def _padded(low: float, high: float) -> tuple[float, float]:
    gap = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - gap, high + gap
