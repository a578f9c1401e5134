"""WebDataset shards: samples, their columns, and tars that mean harm."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.sources.webdataset_members import members
from orrery.data.table import Table, read
from orrery.errors import BadRowError, SchemaError, SettingsError, SourceError, UnknownColumnError


def tar(path: str, *files: tuple[str, bytes], mode: str = "w") -> str:
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


def sample(i: int) -> list[tuple[str, bytes]]:
    key = f"train/{i:04}"
    files = [(f"{key}.jpg", b"\xff\xd8" * i), (f"{key}.cls", b" %d\n" % (i % 3))]
    return [*files, (f"{key}.txt", f"the {i}th é".encode()), (f"{key}.json", b'{"w": %d}' % i)]


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")])
def test_files_of_one_name_are_a_row(name: str, mode: str) -> None:
    table = read(tar(name, *[f for i in range(5) for f in sample(i)], mode=mode))
    kinds = {f.name: (f.type, str(f.kind) if f.kind else None) for f in table.schema.fields}
    assert kinds == {
        "__key__": ("string", "key"),
        "jpg": ("binary", "image"),
        "cls": ("int64", None),
        "txt": ("string", None),
        "json": ("struct<w: int64>", None),
    }
    assert table.to_rows()[4] == {
        "__key__": "train/0004",
        "jpg": b"\xff\xd8" * 4,
        "cls": 1,
        "txt": "the 4th é",
        "json": {"w": 4},
    }
    assert table.where("cls = 2").select("jpg").to_rows() == [{"jpg": b"\xff\xd8" * 2}]


def test_a_range_of_shards_and_one_part_each() -> None:
    for i in range(3):
        tar(f"s-{i:03}.tar", *sample(2 * i), *sample(2 * i + 1))
    table = read("s-{000..002}.tar", flatten=True)
    assert table.schema.names == ("__key__", "jpg", "cls", "txt", "w")
    assert [row["w"] for row in table.to_rows()] == list(range(6))
    assert len(table.source.partitions()) == 3
    assert [row["w"] for row in read("s-{000,002}.tar", flatten=True).to_rows()] == [0, 1, 4, 5]
    with pytest.raises(SourceError, match=r"s-003\.tar"):
        read("s-{001..003}.tar").count()
    with pytest.raises(SettingsError, match="no range"):
        read("s-{9..0}.tar").count()


def test_pictures_that_are_not_asked_for_are_passed_over() -> None:
    table = read(tar("a.tar", *[f for i in range(50) for f in sample(100 + i)]))
    one = read("a.tar").select("cls")
    assert one.to_rows() == table.select("cls").to_rows()
    one = read("a.tar")
    _ = one.schema
    before = one.source.bytes_read  # type: ignore[attr-defined]
    one.select("cls").to_rows()
    assert one.source.bytes_read - before < 50 * 40  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "/etc/x.jpg"}, "leads out of its folder"),
        ({"name": "../x.jpg"}, "leads out of its folder"),
        ({"name": "a/../../x.jpg"}, "leads out of its folder"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link"),
        ({"type": tarfile.LNKTYPE, "linkname": "x"}, "is a link"),
        ({"type": tarfile.CHRTYPE}, "is a device"),
        ({"type": tarfile.FIFOTYPE}, "is a pipe"),
        ({"type": tarfile.GNUTYPE_SPARSE}, "is a sparse file"),
        ({"pax_headers": {"GNU.sparse.size": "99999999999"}}, "is a sparse file"),
    ],
)
def test_members_that_mean_harm_are_refused(change: dict[str, Any], says: str) -> None:
    member = tarfile.TarInfo("x.jpg")
    for name, value in change.items():
        setattr(member, name, value)
    with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as out:
        out.addfile(member)
    with pytest.raises(SourceError, match=rf"a\.tar: member 1, .*{says}"):
        read("a.tar").count()


def test_sizes_are_bounded_before_anything_is_read() -> None:
    tar("a.tar", ("a.bin", b"x" * 5000))
    with pytest.raises(SourceError, match=r"has 5,000 bytes; at most 4,999"):
        read("a.tar", most_bytes=4999).count()
    claimed = tarfile.TarInfo("a.bin")
    claimed.size = 1 << 40
    Path("b.tar").write_bytes(claimed.tobuf())
    with pytest.raises(SourceError, match=r"has 1,099,511,627,776 bytes"):
        read("b.tar").count()
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    Path("c.tar").write_bytes(header.tobuf())
    with pytest.raises(SourceError, match="header of member 1 has 1,073,741,824 bytes"):
        read("c.tar").count()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_shard_that_is_cut_short_names_the_member(mode: str) -> None:
    files = [f for i in range(20) for f in sample(300 + i)]
    name = "a.tar" if mode == "w" else "a.tar.gz"
    whole = Path(tar(name, *files, mode=mode)).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=rf"{name}.*cut short"):
        read(name).to_rows()
    table = read(name, on_bad="quarantine")
    kept = [row["cls"] for row in table.to_rows()]
    assert 0 < len(kept) < 20
    assert kept == [(300 + i) % 3 for i in range(len(kept))]
    (bad,) = table.quarantined().to_rows()
    assert "is not whole" in bad["reason"]
    assert bad["value"] == f"train/{300 + len(kept):04}"


def test_bad_samples_stop_or_are_set_aside() -> None:
    files = [f for i in range(9) for f in sample(i)]
    files += [("b/1.cls", b"many"), ("b/2.json", b"{"), ("b/3.strange", b"x"), ("README", b"hello")]
    tar("a.tar", *sample(0))
    tar("b.tar", *files)
    with pytest.raises(BadRowError):
        read("*.tar").to_rows()
    table = read("*.tar", on_bad="quarantine")
    assert table.count() == 11
    bad = {(row["column"], row["reason"].partition(":")[0]) for row in table.quarantined().to_rows()}
    assert bad == {
        ("cls", "is not a whole number"),
        ("json", "is not JSON"),
        (None, "has no ending"),
    }


def test_samples_that_do_not_lie_together_are_told() -> None:
    tar("a.tar", ("a.cls", b"1"), ("b.cls", b"2"), ("a.txt", b"x"))
    with pytest.raises(SourceError, match="'a' do not lie together"):
        read("a.tar").to_rows()
    tar("b.tar", ("a.cls", b"1"), ("a.cls", b"2"))
    with pytest.raises(SourceError, match="has 'cls' twice"):
        read("b.tar").to_rows()


def test_types_are_pinned() -> None:
    tar("a.tar", ("1.size", b"2.5"), ("1.id", b"7"), ("2.size", b"3"), ("2.id", b"8"))
    table = read("a.tar", types={"size": "double", "id": "string"})
    assert table.select("size", "id").to_rows() == [{"size": 2.5, "id": "7"}, {"size": 3.0, "id": "8"}]
    with pytest.raises(UnknownColumnError, match="'sise'"):
        read("a.tar", types={"sise": "double"}).count()
    assert Table.from_dict(table.to_dict()).to_rows() == table.to_rows()


def test_written_and_read_again() -> None:
    rows = [
        {"__key__": f"{i}", "jpg": b"\xff" * i, "cls": i, "txt": "é\n", "json": {"a": [i]}} for i in range(7)
    ]
    rows[3] |= {"txt": None, "jpg": None}
    assert read(rows).write("a.tar").to_rows() == rows
    assert read(rows).write("out/{00..}.tar", rows_per_file=3).to_rows() == rows
    with tarfile.open("a.tar") as found:
        assert found.getnames()[:2] == ["0.jpg", "0.cls"]
    for key in ("a.b", "/a", "../a", "", "0"):
        with pytest.raises(SchemaError, match="__key__"):
            read([{"__key__": "0", "cls": 1}, {"__key__": key, "cls": 1}]).write("b.tar")
    assert read({"cls": [5]}).write("c.tar").to_rows() == [{"__key__": "000000000", "cls": 5}]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(codec="utf-8", exclude_characters="/\\.\0", exclude_categories=["Cs"]),
                min_size=1,
            ),
            st.binary(max_size=2000),
        ),
        max_size=8,
        unique_by=lambda pair: pair[0],
    ),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_members_are_what_tarfile_gives(pairs: list[tuple[str, bytes]], form: int) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as out:
        for name, content in pairs:
            member = tarfile.TarInfo(f"{name * 30}.bin")
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    data.seek(0)
    found = [(m.name, m.data) for m in members(data, lambda name: True, 1 << 20, "x.tar")]
    assert found == [(f"{name * 30}.bin", content) for name, content in pairs]


def header(kind: bytes, size: bytes, name: bytes = b"x") -> bytes:
    """A member's header, with whatever it says of its size."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136], block[136:148], block[156:157] = size, b"00000000000\0", kind
    block[148:156] = b" " * 8
    block[257:265], block[148:156] = b"ustar\x0000", b"%06o\0 " % sum([*block, *b"ustar\x0000"])
    return bytes(block)


GOOD = header(b"0", b"00000000001\0", b"a.cls") + b"1".ljust(512, b"\0") + bytes(1024)


def attributes(text: bytes) -> bytes:
    return header(b"x", b"%011o\0" % len(text)) + text + bytes(-len(text) % 512)


@pytest.mark.parametrize(
    "head",
    [
        *(header(kind, b"\xff" * 12) for kind in (b"L", b"K", b"x", b"g")),
        *(header(kind, b"\x80" + b"\x7f" * 11) for kind in (b"L", b"K", b"x", b"g")),
        attributes("11 size=²\n".encode()),
        attributes("11 size=١\n".encode()),
        attributes(b"5015 size=" + b"9" * 5004 + b"\n"),
        attributes(b"9" * 5000 + b" a=b\n"),
        attributes(b"3 a=b\n"),
        attributes(b"6 a=b\n") * 20,
    ],
)
def test_headers_of_strange_sizes_name_the_member(head: bytes) -> None:
    Path("x.tar").write_bytes(head + GOOD)
    with pytest.raises(SourceError, match=r"x\.tar: the header of member 1"):
        read("x.tar").to_rows()
    file = io.BytesIO(head + bytes(64 << 20))
    with pytest.raises(SourceError):
        list(members(file, lambda name: True, 1 << 30, "x.tar"))
    assert file.tell() < 1 << 20


def test_attributes_are_read_in_one_pass() -> None:
    Path("x.tar").write_bytes(attributes(b"6 a=b\n" * 150_000) + GOOD)
    assert read("x.tar").to_rows() == [{"__key__": "a", "cls": 1}]


@pytest.mark.parametrize("name", ["x/../../etc/evil", "a/b", "a\\b", "", " a", "a\n", "a\0"])
def test_columns_that_cannot_be_endings_are_not_written(name: str) -> None:
    with pytest.raises(SchemaError, match="cannot be the ending"):
        read(pa.table({"__key__": ["k"], name: ["a"]})).write("x.tar")
    with pytest.raises(SchemaError, match="is there twice"):
        read(pa.table({"a": ["k"], "A": ["a"]})).write("x.tar")


@pytest.mark.parametrize("key", ["./a", "a\\..\\b", "a\0"])
def test_keys_that_would_be_refused_are_not_written(key: str) -> None:
    with pytest.raises(SchemaError, match="cannot name a file"):
        read(pa.table({"__key__": [key], "x": ["a"]})).write("x.tar")
