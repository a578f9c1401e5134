from __future__ import annotations

import datetime as dt
import time
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.grok import compiled
from orrery.data.grok_patterns import PATTERNS
from orrery.errors import SettingsError


def parsed(pattern: str, *texts: str, **own: str) -> list[dict[str, Any] | None]:
    """A row for each text; None for one that does not fit."""
    grok = compiled(pattern, own)
    arrays, bad = grok.parse(pa.array(texts, pa.string()))
    rows = pa.RecordBatch.from_arrays(arrays, schema=grok.schema).to_pylist()
    return [
        None if i in bad else {k: v for k, v in row.items() if v is not None} for i, row in enumerate(rows)
    ]


def test_named_patterns_become_columns_of_their_types() -> None:
    grok = compiled("%{IP:from} %{INT:bytes:int} %{NUMBER:took:float}s? %{TIMESTAMP_ISO8601:at:time} %{WORD}")
    assert grok.schema == pa.schema(
        {"from": pa.string(), "bytes": pa.int64(), "took": pa.float64(), "at": pa.timestamp("us", "UTC")}
    )
    at = dt.datetime(2026, 1, 2, 2, 4, 5, 600_000, tzinfo=dt.UTC)
    row = {"from": "10.0.0.1", "bytes": -5, "took": 1.5, "at": at}
    assert parsed(grok.text, "10.0.0.1 -5 1.5s 2026-01-02T03:04:05,6+0100 end", "10.0.0.1 x 1 2 end") == [
        row,
        None,
    ]


def test_a_pattern_fits_a_whole_line_or_not_at_all() -> None:
    assert parsed("%{WORD:a}", "x", "x ", " x", "x\ny", "") == [{"a": "x"}, None, None, None, None]


def test_groups_of_ones_own_and_columns_in_several_places() -> None:
    assert parsed(r"(?:a(?<n>\d)|b(?P<n>\d+))(\w)?", "a1", "b22", "a1x") == [
        {"n": "1"},
        {"n": "22"},
        {"n": "1"},
    ]
    assert parsed("%{ID:id:int}/%{ID:id2}", "#7/#8", ID=r"(?:#)?(\d+)") == [None]
    assert parsed("#%{ID:id:int}/%{KIND:kind}", "#7/k(9)", ID=r"(\d+)", KIND=r"k\([(\d)]+\)") == [
        {"id": 7, "kind": "k(9)"}
    ]


def test_empty_text_is_missing() -> None:
    assert parsed(r"<%{DATA:a}\|%{DATA:n:int}>", "<|>", "<x|1>", "<|y>") == [{}, {"a": "x", "n": 1}, None]


@pytest.mark.parametrize(
    ("pattern", "own", "said"),
    [
        ("%{IPP:a}", {}, "no pattern 'IPP'. Did you mean 'IP'"),
        ("%{QQQQ:a}", {}, "no pattern 'QQQQ'. Give your own"),
        ("%{IP}", {}, "names no column"),
        ("%{INT:a:whole}", {}, "type 'whole'; there are 'text', 'string', 'int', 'float', 'time'"),
        ("%{INT:a:int} %{INT:a}", {}, "'a' is int here and text there"),
        ("%{A:a}", {"A": "%{B}", "B": "x%{A}"}, "'A' holds itself"),
        ("(?<a>x(?=y))", {}, "looks ahead or behind"),
        ("(?<a>(?<!y)x)", {}, "looks ahead or behind"),
        ("(?<a>x", {}, "no regular expression"),
        (r"(?<a>x)\1", {}, "no regular expression"),
        (
            "%{L0:a}",
            {f"L{i}": f"%{{L{i + 1}}}" * 10 for i in range(8)} | {"L8": "xxxxxxxxxx"},
            "longer than 50,000",
        ),
    ],
)
def test_what_is_wrong_with_a_pattern_is_told(pattern: str, own: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compiled(pattern, own)
    assert said in str(caught.value)


UTC = dt.UTC
AT = dt.datetime(2026, 1, 2, 3, 4, 5)
LINES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "%{COMBINEDAPACHELOG}",
        '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0730] "GET /a.gif HTTP/1.0" 200 2326 '
        '"http://e.x/\\"" "M/4 (W; \\"I\\")"',
        {
            "client": "127.0.0.1",
            "ident": "-",
            "user": "frank",
            "verb": "GET",
            "request": "/a.gif",
            "status": 200,
            "timestamp": datetime(2000, 10, 10, 21, 25, 36, tzinfo=UTC),
            "http_version": "1.0",
            "bytes": 2326,
            "referrer": 'http://e.x/\\"',
            "agent": 'M/4 (W; \\"I\\")',
        },
    ),
    (
        "%{COMMONAPACHELOG}",
        '::1 - a b [01/Mar/2024:00:00:00 +0000] "\\x16\\x03 \\"" 400 -',
        {
            "client": "::1",
            "ident": "-",
            "user": "a b",
            "timestamp": datetime(2024, 3, 1, tzinfo=UTC),
            "raw_request": '\\x16\\x03 \\"',
            "status": 400,
        },
    ),
    (
        "%{NGINXERROR}",
        '2026/01/02 03:04:05 [error] 12#13: *7 open() "/x, y" failed (2: No such file), client: 10.0.0.1, '
        'server: e.x, request: "GET /x HTTP/1.1", host: "e.x"',
        {
            "timestamp": AT,
            "level": "error",
            "pid": 12,
            "thread": 13,
            "connection": 7,
            "message": 'open() "/x, y" failed (2: No such file)',
            "client": "10.0.0.1",
            "server": "e.x",
            "request": "GET /x HTTP/1.1",
            "host": "e.x",
        },
    ),
    (
        "%{NGINXERROR}",
        "2026/01/02 03:04:05 [notice] 1#1: start",
        {"timestamp": AT, "level": "notice", "pid": 1, "thread": 1, "message": "start"},
    ),
    (
        "%{SYSLOGLINE}",
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        {
            "priority": 34,
            "timestamp": "Oct 11 22:14:15",
            "host": "mymachine",
            "program": "su",
            "message": "'su root' failed for lonvick on /dev/pts/8",
        },
    ),
    (
        "%{SYSLOGLINE}",
        "Jan  2 03:04:05 h systemd[1]: Started x: y.",
        {
            "timestamp": "Jan  2 03:04:05",
            "host": "h",
            "program": "systemd",
            "pid": 1,
            "message": "Started x: y.",
        },
    ),
    (
        "%{SYSLOGLINE}",
        "Jan  2 03:04:05 h kernel: [    0.000000] Linux [1]: x",
        {
            "timestamp": "Jan  2 03:04:05",
            "host": "h",
            "program": "kernel",
            "message": "[    0.000000] Linux [1]: x",
        },
    ),
    (
        "%{SYSLOGLINE}",
        "Jan  2 03:04:05 h last message repeated 2 times",
        {"timestamp": "Jan  2 03:04:05", "host": "h", "message": "last message repeated 2 times"},
    ),
    (
        "%{SYSLOGLINE}",
        "2026-01-02T03:04:05.123456+01:00 h CRON[77]: (root) CMD",
        {
            "timestamp8601": datetime(2026, 1, 2, 2, 4, 5, 123456, tzinfo=UTC),
            "host": "h",
            "program": "CRON",
            "pid": 77,
            "message": "(root) CMD",
        },
    ),
    (
        "%{SYSLOG5424LINE}",
        '<165>1 2003-10-11T22:14:15.003Z m.e.com app - ID47 [e@1 k="a\\]b\\""][f@2] \ufeffAn event',
        {
            "priority": 165,
            "version": 1,
            "timestamp": datetime(2003, 10, 11, 22, 14, 15, 3000, tzinfo=UTC),
            "host": "m.e.com",
            "program": "app",
            "message_id": "ID47",
            "structured_data": '[e@1 k="a\\]b\\""][f@2]',
            "message": "An event",
        },
    ),
    ("%{SYSLOG5424LINE}", "<0>1 - - - - - -", {"priority": 0, "version": 1}),
    (
        "%{DPKG}",
        "2026-01-02 03:04:05 status half-configured libc6:amd64 2.36-9",
        {
            "timestamp": AT,
            "action": "status",
            "state": "half-configured",
            "package": "libc6:amd64",
            "version": "2.36-9",
        },
    ),
    (
        "%{DPKG}",
        "2026-01-02 03:04:05 install curl:amd64 <none> 7.88",
        {
            "timestamp": AT,
            "action": "install",
            "package": "curl:amd64",
            "version": "<none>",
            "new_version": "7.88",
        },
    ),
    (
        "%{DPKG}",
        "2026-01-02 03:04:05 conffile /etc/a b keep",
        {"timestamp": AT, "action": "conffile", "file": "/etc/a b", "decision": "keep"},
    ),
    (
        "%{APTHISTORY}",
        "Start-Date: 2026-01-02  03:04:05\nCommandline: apt-get install curl\nRequested-By: me (1000)\n"
        "Install: curl:amd64 (7.88), x:amd64 (1, automatic)\nEnd-Date: 2026-01-02  03:04:09",
        {
            "started": AT,
            "commandline": "apt-get install curl",
            "requested_by": "me (1000)",
            "install": "curl:amd64 (7.88), x:amd64 (1, automatic)",
            "ended": datetime(2026, 1, 2, 3, 4, 9),
        },
    ),
    (
        "%{YUM}",
        "Jan 02 03:04:05 Installed: curl-7.88-1.x86_64",
        {"timestamp": "Jan 02 03:04:05", "action": "Installed", "package": "curl-7.88-1.x86_64"},
    ),
    (
        "%{DNFRPM}",
        "2026-01-02T03:04:05+0100 SUBDEBUG Upgrade: curl-8.6.0-1.fc40.x86_64",
        {
            "timestamp": datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
            "level": "SUBDEBUG",
            "action": "Upgrade",
            "package": "curl-8.6.0-1.fc40.x86_64",
        },
    ),
    (
        "%{DNF}",
        "2026-01-02T03:04:05Z DDEBUG Cleaning up.",
        {
            "timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "level": "DDEBUG",
            "message": "Cleaning up.",
        },
    ),
]


@pytest.mark.parametrize(("pattern", "line", "row"), LINES)
def test_packaged_lines(pattern: str, line: str, row: dict[str, Any]) -> None:
    assert parsed(pattern, line) == [row]


@pytest.mark.parametrize(
    "name", ["IPV4", "IPV6", "HOSTNAME", "UUID", "MAC", "EMAIL", "URI", "PATH", "HOSTPORT", "LOGLEVEL"]
)
def test_packaged_words(name: str) -> None:
    good = {
        "IPV4": ["0.0.0.0", "255.255.255.255"],
        "IPV6": ["::1", "2001:db8::8a2e:370:7334", "fe80::1%eth0"],
        "HOSTNAME": ["a", "a-b.example.com."],
        "UUID": ["8c0b3a4e-6f57-4a0f-9d3f-2f8e5d1c7b6a"],
        "MAC": ["00:1B:44:11:3a:b7"],
        "EMAIL": ["me+you@example.com"],
        "URI": ["https://e.x/a?b#c"],
        "PATH": ["/etc/passwd"],
        "HOSTPORT": ["e.x:80"],
        "LOGLEVEL": ["WARN", "error"],
    }[name]
    assert parsed(f"%{{{name}:x}}", *good) == [{"x": text} for text in good]
    assert parsed(f"%{{{name}:x}}", "256.1.1.1.", "a b") == [
        {"x": "256.1.1.1."} if name == "HOSTNAME" else None,
        None,
    ]


def test_every_packaged_pattern_can_be_used() -> None:
    for name in PATTERNS:
        assert compiled(f"%{{{name}:whole}}").columns


@pytest.mark.parametrize(
    "pattern", sorted({pattern for pattern, _, _ in LINES} | {"(?<a>(x+x+)+y)", "%{A:a}%{A:b}%{A:c}z"})
)
def test_time_grows_with_the_line_and_no_faster(pattern: str) -> None:
    """Lines made to be tried in every way: doubled, they take about twice as long."""
    heads = ["", *(line[: len(line) * 2 // 3] for at, line, _ in LINES if at == pattern)]
    parts = ["x", '"', ' "', "\\", "[", ", client: ", "- ", "1.", ":", "\nInstall: "]
    grok = compiled(pattern, {"A": ".*x.*"})

    def taken(length: int) -> float:
        texts = pa.array(
            [head + part * (length // len(part)) for head in heads for part in parts], pa.string()
        )
        began = time.perf_counter()
        grok.parse(texts)
        return time.perf_counter() - began

    taken(1_000)
    short, long = (min(taken(n) for _ in range(3)) for n in (20_000, 160_000))
    assert long < 0.2 + 8 * 4 * short


@given(st.lists(st.text(max_size=60), max_size=6))
def test_no_text_does_harm(texts: list[str]) -> None:
    for pattern in (
        "%{COMBINEDAPACHELOG}",
        "%{SYSLOGLINE}",
        "%{DPKG}",
        "%{DATA:a:int}%{DATA:b:time}%{DATA:c:float}",
    ):
        arrays, bad = compiled(pattern).parse(pa.array(texts, pa.string()))
        assert {len(array) for array in arrays} == {len(texts)}
        assert set(bad) <= set(range(len(texts)))


@pytest.mark.parametrize("text", ["30/Feb/2024:00:00:00 +0000", "01/Mar/2024:25:00:00 +0000"])
def test_a_time_that_there_is_not_is_bad(text: str) -> None:
    grok = compiled("%{HTTPDATE:at:time}")
    good = "01/Mar/2024:00:00:00 +0000"
    arrays, bad = grok.parse(pa.array([good, text, good]))
    assert bad == {1: ("at", text, "is not timestamp[us, tz=UTC]")}
    assert arrays[0].null_count == 1
