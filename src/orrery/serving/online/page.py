"""The page of a model: a form made from its schema, upload by drop, and the answer while one types.

It is one file that needs nothing from elsewhere. What it asks is not recorded.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orrery.display import Both, Html, Words, card, figure, join, tag
from orrery.display import page as shell
from orrery.display.page import script as shell_script
from orrery.serving.lineup import Lineup
from orrery.serving.online.described import examples, told
from orrery.serving.online.desk import Desk
from orrery.serving.online.form import form
from orrery.serving.online.who import others, route
from orrery.serving.route import Live


async def models(desk: Desk, request: Request) -> Response:
    """``GET /v1/models``: what this service answers with."""
    routes = desk.shelf.routes.values()
    return _json({"models": [{"name": route.name, "version": route.live.version} for route in routes]})


async def model(desk: Desk, request: Request) -> Response:
    """``GET /v1/models/{name}``: what the model reads and predicts, and how good it is."""
    return _json(told(desk.live(request.path_params["name"])))


async def page(desk: Desk, request: Request) -> Response:
    """``GET /``: the page of the first model, or of another one: ``/?model=prices``."""
    name = request.query_params.get("model", "") or desk.route.name
    await desk.called(name)
    lineup = desk.shelf.route(name).lineup
    names = list(dict.fromkeys(entry["name"] for entry in await asyncio.to_thread(desk.shelf.index)))
    text = page_of(lineup, str(request.base_url).rstrip("/"), names)
    return Response(text, headers={"Content-Security-Policy": _policy()}, media_type="text/html")


def page_of(lineup: Lineup, url: str, names: Sequence[str] = ()) -> str:
    """The whole page as HTML; ``url`` is where the service is reached, ``names`` are its models."""
    live = lineup.main
    fields = live.runner.signature.inputs.fields
    rows = examples(live)
    versions = sorted({each.version for each in lineup.lives()})
    said = {**told(live), "url": url, "examples": rows, "versions": versions, "models": len(names)}
    data = msgspec.json.encode(said).decode()
    body = [
        tag("style", Html(_text("page.css"))),
        others(names, live.name),
        tag("div", form(fields, rows), tag("div", _answer(), route(lineup), class_="answers"), class_="ask"),
        _ways(live),
        # As plain data; no value can end the element.
        tag("script", Html(data.replace("<", "\\u003c")), type="application/json", id="model"),
        tag("script", Html(_text("page.js"))),
    ]
    return shell(live.name, *body, kicker=_kicker(live), lead=_lead(live), foot=_foot(live))


def _kicker(live: Live) -> Both:
    if not live.version:
        return Both("Orrery · not published", "Orrery · 未发布")
    return Both(f"Orrery · version {live.version}", f"Orrery · 第 {live.version} 版")


def _lead(live: Live) -> Both:
    target, count = live.runner.signature.target.name, len(live.runner.signature.inputs)
    columns = f"{count} column{'s' if count > 1 else ''}"
    return Both(
        f"Predicts “{target}” from {columns}. Change anything: the answer follows.",
        f"由 {count} 列预测“{target}”。随意修改，答案随之更新。",
    )


def _answer() -> Html:
    return card(
        Both("Answer", "答案"),
        tag("div", id="said", aria_live="polite"),
        tag("div", id="problem", class_="bad", hidden=True),
        tag("p", id="took", class_="note"),
    )


def _ways(live: Live) -> Html:
    """The same request for a program, to be copied."""
    copy = tag("button", Both("Copy", "复制"), type="button", class_="copy")
    ways: list[tuple[Words, str]] = [("curl", "curl"), ("Python", "python")]
    if live.version:
        ways.append((Both("Messages of Kafka", "Kafka 消息"), "kafka"))
    blocks = [
        tag("div", tag("h4", name), copy, tag("pre", tag("code", id=kind), tabindex=0), class_=f"way {kind}")
        for name, kind in ways
    ]
    links = [
        tag("a", text, href=place)
        for text, place in (
            (Both("the model as JSON", "模型的 JSON 描述"), f"/v1/models/{live.name}"),
            (Both("Open Inference Protocol", "开放推理协议"), f"/v2/models/{live.name}"),
            (Both("metrics", "监控指标"), "/metrics"),
        )
    ]
    return tag(
        "section",
        tag("h2", Both("From a program", "用程序调用")),
        tag(
            "p",
            Both(
                "The request above, ready to copy. Predictions asked so are recorded, unless that is off.",
                "上面的请求，可直接复制。以此方式得到的预测会被记录，除非已关闭记录。",
            ),
            class_="lead",
        ),
        tag("div", *blocks, class_="ways"),
        tag("p", join(links, " · "), class_="note links"),
        class_="chapter",
    )


def _foot(live: Live) -> Both:
    found = live.runner.model
    rows = found.lineage.get("rows")
    created = str(found.lineage.get("created", ""))[:10]
    return Both(
        f"Fitted {created} on {figure(rows)} rows. Served by Orrery.",
        f"于 {created} 用 {figure(rows)} 行数据训练。由 Orrery 提供服务。",
    )


@cache
def _text(name: str) -> str:
    return (files("orrery.serving.online") / name).read_text("utf-8")


@cache
def _policy() -> str:
    """Only our own two scripts run, whatever a model's names or values hold."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (shell_script(), _text("page.js"))
    ]
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
