"""The chapters of a report on classes or labels."""

from __future__ import annotations

from collections.abc import Sequence

from orrery.display import (
    Axis,
    Both,
    Html,
    Series,
    Words,
    bars,
    card,
    count,
    heat,
    line_chart,
    percent,
    section,
    table_html,
)
from orrery.display.charts import Bin, histogram
from orrery.evaluation.build import DRAWN_CLASSES
from orrery.evaluation.findings import Calibrated, Curve, Findings
from orrery.evaluation.pages import binary
from orrery.evaluation.pages.axes import DIAGONAL, PRECISION, PROBABILITY, RECALL, ROC_X, ROC_Y, TRUE

_COLORED, _HARDEST = 8, 3  # lines that all have colours; beyond, how many have


def mistakes(found: Findings) -> Html:
    """Which classes are taken for which."""
    cards = []
    if found.matrix:
        cards.append(_matrix(found))
    if found.confused:
        items: list[tuple[Words, float]] = [
            (f"{true} → {taken}", weight) for true, taken, weight in found.confused
        ]
        about = Both("True class → what it was taken for.", "真实类别 → 被认成的类别。")
        cards.append(
            card(
                Both("Most frequent mistakes", "最常见的错误"),
                bars(items, texts=[count(v) for _, v in items]),
                about=about,
                wide=len(found.labels) > 11,
            )
        )
    cards.append(_classes(found))
    title = Both("Right and wrong", "对与错")
    lead = Both(
        "Each row of the matrix is a true class; blue is right, red is a mistake.",
        "矩阵的每一行是一个真实类别；蓝色为正确，红色为错误。",
    )
    return section(title, *cards, about=lead if found.matrix else "")


def _matrix(found: Findings) -> Html:
    names = [str(label) for label in found.labels]
    totals = [sum(row) or 1.0 for row in found.matrix]
    shades = [[v / total for v in row] for row, total in zip(found.matrix, totals, strict=True)]
    texts = [[count(v) if v else "" for v in row] for row in found.matrix]
    tips = [
        [_tip(names[i], names[j], v, shades[i][j]) for j, v in enumerate(row)]
        for i, row in enumerate(found.matrix)
    ]
    # A few mistakes among many right ones should still be seen: shades of mistakes are stretched.
    worst = max((s for i, row in enumerate(shades) for j, s in enumerate(row) if i != j), default=0.0) or 1.0
    drawn = [
        [
            s if i == j else (0.18 + 0.5 * s / worst if s else 0.0) * min(1.0, 0.35 + worst * 2)
            for j, s in enumerate(row)
        ]
        for i, row in enumerate(shades)
    ]
    matrix = heat(
        names, names, drawn, texts, tips=tips, corner=Both("True", "真实"), across=Both("Predicted", "预测")
    )
    return card(Both("Confusion matrix", "混淆矩阵"), matrix, wide=len(names) > 11)


def _tip(true: str, taken: str, weight: float, share: float) -> Both:
    number, part = count(weight), percent(share)
    return Both(
        f"True {true}, predicted {taken}\n{number} ({part} of true {true})",
        f"真实 {true}，预测 {taken}\n{number}（占真实 {true} 的 {part}）",
    )


def _classes(found: Findings) -> Html:
    columns: list[Words] = [
        Both("Class", "类别"),
        Both("Weight", "权重") if found.weighted else Both("Rows", "行数"),
        Both("Precision", "精确率"),
        Both("Recall", "召回率"),
        "F1",
        "AUC",
        Both("Avg. precision", "平均精确率"),
    ]
    rows = [
        [c.label, _whole(c.weight), c.precision, c.recall, c.f1, c.auc, c.average_precision]
        for c in found.classes[:200]
    ]
    about = Both(
        "Precision: how often the class is right when predicted. Recall: how much of the class is found.",
        "精确率：预测为该类时有多少是对的。召回率：该类中有多少被找到。",
    )
    keep = [i for i in range(len(columns)) if i < 2 or any(row[i] is not None for row in rows)]
    table = table_html([columns[i] for i in keep], [[row[i] for i in keep] for row in rows])
    return card(Both("By class", "各类别"), table, about=about, wide=True)


def _whole(weight: float) -> float | int:
    return int(weight) if weight.is_integer() else weight


def ranking(found: Findings) -> Html:
    """How well scores put the right rows first."""
    note = _drawn(found)
    cards = [
        card(
            Both("ROC curve", "ROC 曲线"),
            _lines(found, "roc", ROC_X, ROC_Y, DIAGONAL),
            about=Both(
                f"The nearer the upper left corner, the better.{note.en}", f"越靠近左上角越好。{note.zh}"
            ),
        ),
        card(
            Both("Precision and recall", "精确率与召回率"),
            _lines(found, "pr", RECALL, PRECISION),
            about=Both(
                f"The nearer the upper right corner, the better.{note.en}", f"越靠近右上角越好。{note.zh}"
            ),
        ),
    ]
    if "ks" in found.curves:
        cards += binary.cards(found)
    title = Both("Ranking", "排序能力")
    lead = Both(
        "Whether likelier rows really come first, whatever threshold is chosen later.",
        "得分高的行是否确实更可能为真，与之后选取的阈值无关。",
    )
    return section(title, *cards, about=lead) if found.curves else Html("")


def _drawn(found: Findings) -> Both:
    """Which classes have a line, and which of them a colour, where that is not all."""
    lines, classes = len(found.curves.get("roc", ())), len(found.classes)
    if lines > _COLORED:
        return Both(
            f" In colour the {_HARDEST} hardest of {lines} classes, of the least AUC; the others in grey.",
            f"彩色为 {lines} 个类别中最难的 {_HARDEST} 个（AUC 最低），其余为灰色。",
        )
    if classes > DRAWN_CLASSES:
        return Both(
            f" Only {lines} of {classes} classes are drawn: the hardest, of the least AUC.",
            f"{classes} 个类别中只画出 AUC 最低的 {lines} 个（最难的类别）。",
        )
    return Both("", "")


def _lines(found: Findings, key: str, x: Axis, y: Axis, guide: Sequence[tuple[float, float]] = ()) -> Html:
    return line_chart(colored(found.curves.get(key, ()), found), x=x, y=y, title=y.name, guide=guide)


def colored(lines: Sequence[Curve], found: Findings) -> list[Series]:
    """One line is filled; up to eight have colours; of more, only the three hardest classes stand out."""
    if len(lines) <= _COLORED:
        return [Series(c.label, c.points, i + 1, filled=len(lines) == 1) for i, c in enumerate(lines)]
    hard = sorted(found.classes, key=lambda c: c.auc if c.auc is not None else 2.0)[:_HARDEST]
    colors = {c.label: i for i, c in zip((6, 2, 4), hard, strict=True)}
    quiet = [Series(c.label, c.points, 0) for c in lines if c.label not in colors]
    return quiet + [Series(c.label, c.points, colors[c.label]) for c in lines if c.label in colors]


def calibration(found: Findings) -> Html:
    """Whether probabilities can be taken at their word."""
    bins = found.calibration
    if bins is None or not sum(bins.weight):
        return Html("")
    chart = line_chart(
        [Series(Both("This model", "本模型"), reliability(bins), 1)],
        x=PROBABILITY,
        y=TRUE,
        title=PROBABILITY.name,
        guide=DIAGONAL,
        dots=True,
    )
    edges = [i / len(bins.weight) for i in range(len(bins.weight) + 1)]
    counts = [Bin(a, b, w) for a, b, w in zip(edges, edges[1:], bins.weight, strict=False)]
    spread = histogram(
        counts, x=PROBABILITY.name, y=Both("Rows", "行数"), title=Both("Rows", "行数"), share=True
    )
    who = (
        Both(f"Of “{found.labels[1]}”.", f"针对“{found.labels[1]}”。")
        if found.outcome.binary
        else Both("Of the likeliest class of each row.", "针对每行最可能的类别。")
    )
    return section(
        Both("Can the probabilities be believed?", "概率可信吗？"),
        card(
            Both("Calibration", "校准"),
            chart,
            about=Both(
                f"{who.en} On the diagonal, 80 % means 8 in 10.", f"{who.zh}在对角线上，80 % 即十次中八次。"
            ),
        ),
        card(
            Both("How sure it is", "有多确定"),
            spread,
            about=Both("How often each probability was said.", "各概率出现的次数。"),
        ),
    )


def reliability(bins: Calibrated) -> list[tuple[float, float]]:
    """The bins that hold rows, as points."""
    return [(s, t) for w, s, t in zip(bins.weight, bins.said, bins.came_true, strict=True) if w > 0]
