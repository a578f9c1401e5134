"""Who answers, on a model's page: the models of the service, and the route of this one."""

from __future__ import annotations

from collections.abc import Sequence

from orrery.display import Both, Html, card, percent, tag
from orrery.serving.lineup import Lineup, Live

Row = tuple[Live, str, Both, float | None]
"""A version, its part, what it does, and on which share of the requests."""


def others(names: Sequence[str], here: str) -> Html:
    """A link to every model of the service, where there are several."""
    if len(names) < 2:
        return Html("")
    links = [
        tag("a", name, href=f"/?model={name}", aria_current="page" if name == here else None)
        for name in names
    ]
    return tag("nav", *links, class_="models", aria_label="models")


def route(lineup: Lineup) -> Html:
    """Which version answers on which share, where it is not simply one."""
    if lineup.is_one:
        return Html("")
    told = Both(
        "The version on the left of each line; change it with “orrery route”.",
        "每行左侧为版本；用“orrery route”更改。",
    )
    if lineup.by and lineup.splits:
        told = Both(
            f"Rows with the same “{lineup.by}” always go to the same version.",
            f"“{lineup.by}”相同的行总由同一版本作答。",
        )
    lines = [_line(lineup, *row) for row in _rows(lineup)]
    return card(Both("Who answers", "由谁作答"), tag("ul", *lines, class_="route"), about=told)


def _rows(lineup: Lineup) -> list[Row]:
    said = {
        "main": Both("the main version", "主版本"),
        "arm": Both("a share", "分流"),
        "canary": Both("canary: tried, and stopped by itself if it is worse", "金丝雀：试用，变差即自动停止"),
    }
    rows: list[Row] = [(live, live.arm, said[live.arm], share) for live, share in lineup.shares()]
    shadow = Both("shadow: asked too, its answers are recorded only", "影子：同样被询问，答案仅作记录")
    rows += [(live, "shadow", shadow, None) for live in lineup.shadows]
    if lineup.fallback is not None:
        late = f"{lineup.deadline_s:g}"
        spare = Both(
            f"answers where the main version fails, or takes longer than {late} s",
            f"主版本失败或超过 {late} 秒时作答",
        )
        rows.append((lineup.fallback, "fallback", spare, None))
    return rows


def _line(lineup: Lineup, live: Live, part: str, said: Both, share: float | None) -> Html:
    name = f"{live.version}" if live.name == lineup.main.name else f"{live.name}/{live.version}"
    fill = tag("i", style=f"width: {100 * share:.4g}%") if share is not None else Html("")
    shown = tag("span", percent(share, 1) if share is not None else "–", class_="share")
    track = tag("span", fill, class_="track", aria_hidden="true")
    return tag("li", tag("strong", name), tag("span", said, class_="part"), track, shown, class_=part)
