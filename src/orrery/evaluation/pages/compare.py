"""Several reports on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orrery.display import (
    Axis,
    Both,
    Html,
    Series,
    Words,
    card,
    figure,
    fragment,
    line_chart,
    page,
    section,
    table_html,
    tag,
)
from orrery.evaluation.findings import Findings
from orrery.evaluation.metrics import METRICS
from orrery.evaluation.metrics.metric import Metric
from orrery.evaluation.pages import category
from orrery.evaluation.pages.axes import (
    DIAGONAL,
    FOUND,
    PICKED,
    PRECISION,
    PROBABILITY,
    RECALL,
    ROC_X,
    ROC_Y,
    TRUE,
)
from orrery.evaluation.pages.phrases import interval, told

Reports = Mapping[str, Findings]


def comparison_page(reports: Reports, same_rows: bool) -> str:
    """The whole page."""
    first = next(iter(reports.values()))
    parts = [
        _duel(reports, same_rows),
        _curves(reports),
        _classes(reports),
        _spread(reports),
        _slices(reports),
    ]
    return page(
        Both(" or ".join(reports) + "?", " 还是 ".join(reports) + "？"),
        *(part for part in parts if part),
        kicker=Both("Comparison of models", "模型比较"),
        lead=_verdict(reports),
        foot=Both(f"Made by Orrery, {first.created[:10]}.", f"由 Orrery 于 {first.created[:10]} 生成。"),
    )


def comparison_fragment(reports: Reports, same_rows: bool) -> str:
    """The verdict and the table of figures."""
    return fragment(
        tag("p", _verdict(reports), class_="lead"),
        _duel(reports, same_rows),
        title=Both("Comparison", "比较"),
    )


def _shared(reports: Reports) -> list[Metric]:
    kind = next(iter(reports.values())).kind
    return [m for m in METRICS[kind] if all(m.name in found.metrics for found in reports.values())]


def _best(metric: Metric, reports: Reports) -> str | None:
    """The name of the best model; None where all are equal."""
    values = {name: found.metrics[metric.name] for name, found in reports.items()}
    if len(set(values.values())) == 1:
        return None
    pick: Callable[..., str] = max if metric.better == "higher" else min
    return pick(values, key=values.__getitem__)


def _verdict(reports: Reports) -> Both:
    shared = _shared(reports)
    if not shared:
        return Both("These reports have no figure in common.", "这些报告没有共同的指标。")
    head = shared[0]
    best = _best(head, reports)
    wins = {name: sum(_best(m, reports) == name for m in shared) for name in reports}
    values = "; ".join(f"{name} {told(head, found.metrics[head.name])}" for name, found in reports.items())
    if best is None:
        return Both(f"Equal in {_inside(head.title.en)}: {values}.", f"{head.title.zh}相同：{values}。")
    every = len(shared)
    english = (
        f"{best} is ahead in {_inside(head.title.en)} ({values}) and in {wins[best]} of {every} figures."
    )
    chinese = f"{best} 的{head.title.zh}更好（{values}），{every} 项指标中有 {wins[best]} 项领先。"
    if head.name == "accuracy" and _overlap(reports):
        english += " With so few rows the difference may be chance."
        chinese += "行数不多，差距可能出于偶然。"
    return Both(english, chinese)


def _inside(title: str) -> str:
    """A title inside a sentence: abbreviations keep their capitals."""
    return title if title[:2].isupper() else title[0].lower() + title[1:]


def _overlap(reports: Reports) -> bool:
    """Whether the intervals of the accuracies overlap."""
    if any(found.weighted for found in reports.values()):
        return False
    ends = [interval(found.metrics["accuracy"], found.rows) for found in reports.values()]
    return max(low for low, _ in ends) < min(high for _, high in ends)


def _duel(reports: Reports, same_rows: bool) -> Html:
    names = list(reports)
    first = reports[names[0]]
    columns: list[Words] = [
        Both("Figure", "指标"),
        *names,
        Both("Difference", "差值"),
        Both("Better", "更好"),
    ]
    rows = []
    for metric in _shared(reports):
        best = _best(metric, reports)
        cells: list[object] = [
            tag("span", told(metric, found.metrics[metric.name]), class_="good" if name == best else None)
            for name, found in reports.items()
        ]
        gap = reports[names[-1]].metrics[metric.name] - first.metrics[metric.name]
        rows.append([metric.title, *cells, _signed(gap, metric.share), best or "="])
    kept = f"{first.rows:,}"
    about = Both(f"Evaluated on the same {kept} rows.", f"在相同的 {kept} 行上评估。")
    warning = Both(
        "These models were not evaluated on the same rows: figures cannot be compared fairly.",
        "这些模型并非在相同的行上评估，无法公平比较。",
    )
    note = tag("p", about, class_="about") if same_rows else tag("p", warning, class_="bad")
    numbers = range(1, len(columns) - 1)
    title = Both("Figure by figure", "逐项比较")
    return tag("div", card(title, note, table_html(columns, rows, right=numbers), wide=True), class_="grid")


def _signed(gap: float, share: bool) -> str:
    if gap == 0:
        return "0"
    text = f"{100 * gap:+.2f} %" if share else f"{gap:+.4g}"
    return text.replace("-", "−")


def _series(reports: Reports, points: Callable[[Findings], Sequence[tuple[float, float]]]) -> list[Series]:
    return [Series(name, points(found), i % 8 + 1) for i, (name, found) in enumerate(reports.items())]


def _curves(reports: Reports) -> Html:
    """Curves of two classes over one another; with more classes, calibration alone."""
    founds = list(reports.values())
    cards = []
    if all(found.outcome.binary and "roc" in found.curves for found in founds):
        axes = {
            "roc": (Both("ROC curve", "ROC 曲线"), ROC_X, ROC_Y, DIAGONAL),
            "pr": (Both("Precision and recall", "精确率与召回率"), RECALL, PRECISION, ()),
            "gains": (
                Both("Gains", "增益曲线"),
                PICKED,
                FOUND,
                DIAGONAL,
            ),
        }
        for key, (title, x, y, guide) in axes.items():
            lines = _series(reports, lambda found, key=key: found.curves[key][0].points)  # type: ignore[misc]
            cards.append(card(title, line_chart(lines, x=x, y=y, title=title, guide=guide)))
    if all(found.calibration for found in founds):
        lines = _series(
            reports, lambda found: category.reliability(found.calibration) if found.calibration else []
        )
        title = Both("Calibration", "校准")
        cards.append(
            card(title, line_chart(lines, x=PROBABILITY, y=TRUE, title=title, guide=DIAGONAL, dots=True))
        )
    return section(Both("Curves", "曲线"), *cards) if cards else Html("")


def _classes(reports: Reports) -> Html:
    """F1 of every class by every model."""
    founds = list(reports.values())
    if not founds[0].classes or any(len(f.classes) != len(founds[0].classes) for f in founds):
        return Html("")
    columns: list[Words] = [
        Both("Class", "类别"),
        *(Both(f"F1, {name}", f"{name} 的 F1") for name in reports),
        Both("Difference", "差值"),
    ]
    rows = []
    for group in zip(*(found.classes for found in founds), strict=True):
        scores = [c.f1 or 0.0 for c in group]
        gap = scores[-1] - scores[0]
        tone = "good" if gap > 0 else "bad" if gap < 0 else "soft"
        rows.append((gap, [group[0].label, *scores, tag("span", _signed(gap, False), class_=tone)]))
    rows.sort(key=lambda row: -abs(row[0]))
    table = table_html(columns, [row for _, row in rows[:60]], right=range(1, len(columns)))
    about = Both("The largest differences first.", "差距最大的在前。")
    return section(Both("Class by class", "逐类比较"), card(Both("F1", "F1"), table, about=about, wide=True))


def _spread(reports: Reports) -> Html:
    """Errors of numbers over one another."""
    known = {name: found.residuals for name, found in reports.items() if found.residuals}
    if len(known) < 2:
        return Html("")
    lines = []
    for i, (name, spread) in enumerate(known.items()):
        total = sum(spread.counts) or 1.0
        ends = zip(spread.edges, spread.edges[1:], spread.counts, strict=False)
        lines.append(
            Series(name, [((a + b) / 2, c / total / (b - a)) for a, b, c in ends], i % 8 + 1, filled=True)
        )
    far = max(spread.edges[-1] for spread in known.values())
    high = max(y for line in lines for _, y in line.points)
    title = Both("How errors are spread", "误差分布")
    chart = line_chart(
        lines,
        x=Axis(Both("Prediction minus truth", "预测减真实"), -far, far),
        y=Axis(Both("Density", "密度"), 0.0, high * 1.08),
        title=title,
    )
    shares = list(next(iter(known.values())).quantiles)
    columns: list[Words] = [Both("Share of rows", "行的比例"), *known]
    rows = [[f"{100 * float(q):g} %", *(figure(s.quantiles[q]) for s in known.values())] for q in shares]
    within = Both("Within how much", "误差上限")
    about = Both("So many rows are wrong by at most this.", "这么多行的误差不超过此值。")
    return section(
        Both("Errors", "误差"),
        card(title, chart),
        card(within, table_html(columns, rows, right=range(1, len(columns))), about=about),
    )


def _slices(reports: Reports) -> Html:
    """The headline figure of every slice by every model."""
    founds = list(reports.values())
    head = METRICS[founds[0].kind][0]
    cards = []
    for name in founds[0].slices:
        if not all(name in found.slices for found in founds):
            continue
        tables = [{s.value: s for s in found.slices[name]} for found in founds]
        columns: list[Words] = [name, Both("Rows", "行数"), *reports]
        rows = [
            [
                s.value,
                s.rows,
                *(told(head, t[s.value].metrics.get(head.name)) if s.value in t else "–" for t in tables),
            ]
            for s in founds[0].slices[name]
        ]
        title = Both(f"{head.title.en} by {name}", f"按 {name} 的{head.title.zh}")
        cards.append(card(title, table_html(columns, rows, right=range(1, len(columns))), wide=True))
    return section(Both("By slice", "分组表现"), *cards) if cards else Html("")
