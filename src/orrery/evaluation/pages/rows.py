"""The chapters that every report has: slices, the worst rows, what was evaluated."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from orrery.display import Both, Html, Words, card, facts, percent, picture, section, table_html, tag
from orrery.evaluation.findings import BadRow, Findings, Picture, Slice
from orrery.evaluation.metrics import METRICS
from orrery.evaluation.metrics.metric import Metric
from orrery.evaluation.pages.phrases import told


def slices(found: Findings) -> Html:
    """Every metric for each value of the columns sliced by."""
    cards = [_sliced(found, name, values) for name, values in found.slices.items()]
    lead = Both(
        "Good on the whole may be bad for some: each value by itself.", "整体好不代表处处好：逐个取值来看。"
    )
    return section(Both("By slice", "分组表现"), *cards, about=lead) if cards else Html("")


def _sliced(found: Findings, name: str, values: Sequence[Slice]) -> Html:
    metrics = [m for m in METRICS[found.kind] if any(m.name in s.metrics for s in values)][:6]
    columns: list[Words] = [name, Both("Rows", "行数"), *(m.title for m in metrics)]
    best = {m.name: _ends(m, values) for m in metrics}
    rows = [
        [s.value, s.rows, *(_meter(m, s.metrics.get(m.name), best[m.name]) for m in metrics)] for s in values
    ]
    rounded = Both(
        "In large slices AUC and the like come from scores rounded to 1/1024 of a unit of log-odds.",
        "较大分组的 AUC 等指标由舍入到 1/1024 对数几率单位的得分算出。",
    )
    note: Words = "" if all(s.exact for s in values) else rounded
    table = table_html(columns, rows, right=range(1, len(columns)), note=note)
    return card(Both(f"By {name}", f"按 {name}"), table, wide=True)


def _ends(metric: Metric, values: Sequence[Slice]) -> tuple[float, float]:
    known = [s.metrics[metric.name] for s in values if metric.name in s.metrics]
    return min(known), max(known)


def _meter(metric: Metric, value: float | None, ends: tuple[float, float]) -> Html:
    """A figure; the worst of its column is marked."""
    if value is None:
        return tag("span", "–", class_="soft")
    worst = ends[0] if metric.better == "higher" else ends[1]
    return tag("span", told(metric, value), class_="bad" if value == worst and ends[0] < ends[1] else None)


def worst(found: Findings) -> Html:
    """The rows with the largest losses, and what the model saw of them."""
    if not found.worst:
        return Html("")
    cards = [_bad(row) for row in found.worst]
    lead = Both(
        "Where the model was most wrong. Often these rows tell more than any figure: "
        "odd inputs, wrong labels, cases nobody thought of.",
        "模型错得最厉害的地方。它们往往比任何数字更能说明问题：异常输入、标错的答案、没想到的情况。",
    )
    title = Both("Worst rows", "最差的行")
    text = tag("p", lead, class_="lead")
    return tag("section", tag("h2", title), text, tag("div", *cards, class_="rows"), class_="chapter")


def _bad(row: BadRow) -> Html:
    pictures = [_picture(v, name) for name, v in row.columns.items() if isinstance(v, Picture)]
    said = tag(
        "dl",
        tag("div", tag("dt", Both("true", "真实")), tag("dd", row.truth)),
        tag(
            "div",
            tag("dt", Both("predicted", "预测")),
            tag("dd", row.predicted, class_="bad" if row.predicted != row.truth else None),
        ),
        class_="said",
    )
    likely = [
        tag(
            "div",
            tag("span", label),
            tag(
                "span",
                tag("i", style=f"width:{100 * p:.1f}%", class_="truth" if label == row.truth else None),
                class_="track",
            ),
            tag("span", percent(p)),
        )
        for label, p in row.likely
    ]
    others = [(name, v) for name, v in row.columns.items() if not isinstance(v, Picture)]
    lines = [
        tag(
            "div",
            tag("dt", name),
            tag("dd", f"{v:.6g}" if isinstance(v, float) else "–" if v is None else str(v)),
        )
        for name, v in others
    ]
    values = tag("dl", *lines, class_="values") if lines else Html("")
    inner = [tag("div", *pictures, class_="pictures")] if pictures else []
    bars = tag("div", *likely, class_="likely") if likely else Html("")
    return tag("div", *inner, said, bars, values, class_="card bad-row")


def _picture(value: Picture, name: str) -> Html:
    try:
        return picture(base64.b64decode(value.picture, validate=True), alt=name)
    except (binascii.Error, ValueError):
        return tag("span", Both("no picture", "无图片"), class_="soft")


def particulars(found: Findings) -> Html:
    """What was evaluated, and when."""
    pairs: list[tuple[Words, object]] = [
        (Both("Predicted column", "预测列"), found.target or "–"),
        (Both("Rows", "行数"), found.rows),
        (
            Both("Rows counted", "行的权重"),
            Both("by weight", "按权重") if found.weighted else Both("equally", "相同"),
        ),
        (Both("Evaluated", "评估时间"), found.created[:16].replace("T", " ") + " UTC"),
        (Both("Fingerprint of the rows", "数据指纹"), tag("code", found.fingerprint)),
        *((str(name), _plain(value)) for name, value in found.details.items()),
    ]
    return section(Both("Particulars", "详情"), tag("div", facts(pairs), class_="card wide"))


def _plain(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str | int | float | bool) or value is None else tag("code", str(value))
