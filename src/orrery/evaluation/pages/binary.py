"""What can be drawn when there are two classes: gains, spread of the scores, K-S, choice of a threshold."""

from __future__ import annotations

from orrery.display import Axis, Both, Html, Series, Words, card, figure, line_chart, percent
from orrery.evaluation.findings import Findings
from orrery.evaluation.pages.axes import DIAGONAL, FOUND, PICKED, THRESHOLD


def cards(found: Findings) -> list[Html]:
    """All four."""
    return [_gains(found), _spread(found), _ks(found), _threshold(found)]


def _gains(found: Findings) -> Html:
    title = Both("Gains", "增益曲线")
    lines = [Series(c.label, c.points, filled=True) for c in found.curves["gains"]]
    about = Both(
        "How many positives the best-scored rows hold; the diagonal is a blind pick.",
        "得分最高的行里包含多少正例；对角线为随机选取。",
    )
    return card(title, line_chart(lines, x=PICKED, y=FOUND, title=title, guide=DIAGONAL), about=about)


def _sides(found: Findings, key: str, filled: bool = False) -> list[Series]:
    """One line per class; the second label is the positive one."""
    sides = {"positive": (str(found.labels[1]), 1), "negative": (str(found.labels[0]), 2)}
    return [Series(sides[c.label][0], c.points, sides[c.label][1], filled=filled) for c in found.curves[key]]


def _spread(found: Findings) -> Html:
    title, positive = Both("Scores of both classes", "两类的得分分布"), found.labels[1]
    high = max((y for c in found.curves["distribution"] for _, y in c.points), default=1.0)
    x = Axis(Both(f"Probability of “{positive}”", f"“{positive}”的概率"), share=True)
    y = Axis(Both("Share of the class", "占该类比例"), 0.0, high * 1.08 or 1.0, share=True)
    chart = line_chart(_sides(found, "distribution", filled=True), x=x, y=y, title=title)
    return card(title, chart, about=Both("The less they overlap, the better.", "重叠越少越好。"))


def _ks(found: Findings) -> Html:
    y = Axis(Both("Share at or above", "不低于阈值的比例"), share=True)
    about: Words = ""
    guide: list[tuple[float, float]] = []
    if found.best_gap:
        gap, at = figure(found.best_gap[0]), percent(found.best_gap[1])
        about = Both(f"Widest gap {gap}, at {at}.", f"最大差距 {gap}，位于 {at}。")
        guide = _gap_line(found, found.best_gap[1])
    chart = line_chart(_sides(found, "ks"), x=THRESHOLD, y=y, title="K-S", guide=guide)
    return card("K-S", chart, about=about)


def _gap_line(found: Findings, at: float) -> list[tuple[float, float]]:
    """Upright, from one line to the other."""
    return [(at, min(curve.points, key=lambda p: abs(p[0] - at))[1]) for curve in found.curves["ks"]]


def _threshold(found: Findings) -> Html:
    names: dict[str, Words] = {
        "precision": Both("Precision", "精确率"),
        "recall": Both("Recall", "召回率"),
        "f1": "F1",
    }
    lines = [Series(names[c.label], c.points, i + 1) for i, c in enumerate(found.curves["threshold"])]
    chart = line_chart(lines, x=THRESHOLD, y=Axis("", share=True), title=THRESHOLD.name)
    about = Both("A higher threshold gives fewer, surer positives.", "阈值越高，判为正例的越少、越可靠。")
    return card(Both("Choosing a threshold", "选择阈值"), chart, about=about)
