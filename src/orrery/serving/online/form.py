"""The form of a model's page: a control per column, made from its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orrery.display import Both, Html, card, join, tag
from orrery.schema import Field, Kind
from orrery.serving.online.values import is_bytes

_MOST_FIELDS = 300
_KINDS = {
    Kind.NUMBER: Both("number", "数值"),
    Kind.CATEGORY: Both("category", "类别"),
    Kind.TEXT: Both("text", "文本"),
    Kind.DATETIME: Both("date", "日期"),
    Kind.IMAGE: Both("picture", "图片"),
    Kind.AUDIO: Both("sound", "声音"),
    Kind.VIDEO: Both("video", "视频"),
    Kind.TENSOR: Both("numbers in brackets, as JSON", "数值，以 JSON 方括号书写"),
    Kind.SERIES: Both("numbers over time, separated by commas", "时序数值，以逗号分隔"),
    Kind.MAP: Both("name=value, separated by commas", "名称=值，以逗号分隔"),
    Kind.GEO: Both("latitude, longitude", "纬度, 经度"),
    Kind.VECTOR: Both("numbers, separated by commas", "数值，以逗号分隔"),
    Kind.LABELS: Both("labels, separated by commas", "标签，以逗号分隔"),
}
_LONG = {Kind.TEXT, Kind.VECTOR, Kind.SERIES, Kind.TENSOR, Kind.MAP}


def form(fields: Sequence[Field], rows: Sequence[dict[str, Any]]) -> Html:
    """A field per column, and a button per sample row."""
    picked = [
        tag("button", _thumbnail(row, fields, i), type="button", class_="example", data_example=i)
        for i, row in enumerate(rows)
    ]
    strip = (
        tag("div", *picked, class_="examples", role="group", aria_label="examples") if picked else Html("")
    )
    inputs = [_input(i, field, rows) for i, field in enumerate(fields[:_MOST_FIELDS])]
    more = len(fields) - _MOST_FIELDS
    rest = Both(f"and {more} more columns, as in the sample row", f"另有 {more} 列，取自样例")
    return card(
        Both("Ask", "提问"),
        strip,
        tag("form", *inputs, id="form", autocomplete="off"),
        tag("p", rest, class_="note") if more > 0 else Html(""),
        about=Both(
            "Sample rows that travel with the model; what you ask here is not recorded.",
            "以下是随模型保存的样例；此页的提问不会被记录。",
        ),
    )


def _thumbnail(row: dict[str, Any], fields: Sequence[Field], number: int) -> Html:
    """An example as its picture, or its number."""
    for field in fields:
        if field.kind is Kind.IMAGE and row[field.name]:
            return tag("img", src=f"data:image;base64,{row[field.name]}", alt=str(number + 1))
    return tag("span", str(number + 1))


def _input(number: int, field: Field, rows: Sequence[dict[str, Any]]) -> Html:
    """A column's label, and the control that suits its kind."""
    place = {"id": f"field-{number}", "data_column": field.name}
    kind = _KINDS.get(field.kind) if field.kind else None
    label = tag(
        "label", tag("span", field.name), tag("small", kind or Both(field.type, field.type)), for_=place["id"]
    )
    wide = is_bytes(field) or field.kind in _LONG
    return tag("div", label, _control(field, place, rows), class_="field wide" if wide else "field")


def _control(field: Field, place: dict[str, str], rows: Sequence[dict[str, Any]]) -> Html:
    if is_bytes(field):
        return _drop(place) if field.kind in (Kind.IMAGE, None) else _upload(place, field.kind)
    if field.type == "bool":
        options = [tag("option", text or "–", value=text) for text in ("", "true", "false")]
        return tag("select", *options, **place)
    if field.kind in _LONG:
        return tag("textarea", rows=3, **place)
    if field.kind is Kind.NUMBER:
        return tag("input", type="number", step="any", **place)
    if field.kind is Kind.DATETIME:
        return tag("input", type="date" if "date32" in field.type else "datetime-local", step=1, **place)
    seen = dict.fromkeys(str(row[field.name]) for row in rows if row[field.name] is not None)
    known = f"known-{place['id']}"
    options = [tag("option", value=value) for value in seen]
    return join([tag("input", type="text", list=known, **place), tag("datalist", *options, id=known)])


def _upload(place: dict[str, str], kind: Kind) -> Html:
    """A file of another kind than pictures."""
    accept = {Kind.AUDIO: "audio/*", Kind.VIDEO: "video/*"}.get(kind, "*/*")
    text = Both("Drop a file here, or click to choose.", "把文件拖到这里，或点击选择。")
    return tag(
        "div",
        tag("span", text),
        tag("input", type="file", accept=accept, multiple=True, **place),
        class_="drop",
    )


def _drop(place: dict[str, str]) -> Html:
    return tag(
        "div",
        tag("img", alt="", hidden=True),
        tag(
            "span",
            Both(
                "Drop a picture here, paste it, or click to choose. Several at once are answered one by one.",
                "把图片拖到这里，粘贴，或点击选择。可同时选择多张，逐一作答。",
            ),
        ),
        tag("input", type="file", accept="image/*", multiple=True, **place),
        class_="drop",
    )
