"""Data sets of strangers: whatever their lists and archives say, reading ends soon and stays inside, in our errors."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pyharmony import errors
from pyharmony.cli._app import app
from pyharmony.learn import data
from pyharmony.learn.data._tfrecord import example
from pyharmony.learn.data.tar_members import members
from tests.foreign import confined

from ..shared import put

pytestmark = pytest.mark.chains

OPENING_CODE = """
import sys
from pyharmony import data, errors
try:
    found = data.open_dataset(sys.argv[1])
    print(len(found), *(problem.message for problem in found.check()), sep="\\n")
except errors.DataError as error:
    print("refused:", error)
"""


def picture(value: int = 90, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def mask(size: int = 16) -> np.ndarray:
    inside = np.zeros((size, size), np.uint8)
    inside[4:12, 4:12] = 255
    return inside


def check(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Returns the exit code and the output of `pyharmony data check`."""
    result = CliRunner().invoke(app, ["data", "check", str(path), *options, "--threads", "1", "--json"])
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


# tar files


def header(name: str, size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    """Returns a header of tar that states this size, its checksum right."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    block[124:136], block[156:157], block[148:156] = size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def base256(size: int) -> bytes:
    return size.to_bytes(12, "big", signed=True) if size < 0 else bytes([0x80]) + size.to_bytes(11, "big")


def pax(*records: tuple[str, str]) -> bytes:
    text = b""
    for key, value in records:
        body = f" {key}={value}\n".encode()
        size = len(body) + len(str(len(body)))
        size = len(body) + len(str(size))
        text += str(size).encode() + body
    return header("pax", b"%011o\0" % len(text), b"x") + text + bytes(-len(text) % 512)


@pytest.mark.parametrize(
    "archive",
    [
        header("b.composite.png", base256(-512)),
        header("b.composite.png", base256(-1024)),
        header("b.composite.png", base256(-5)),
        header("b.composite.png", base256(1 << 63)),
        header("b.composite.png", base256(1 << 80)),
        header("b.json", base256(1 << 62)),
        header("b.composite.png", b"00000007777\0"),
        pax(("size", "-512")) + header("b.composite.png"),
        pax(("size", "9" * 5000)) + header("b.composite.png"),
        header("long", b"77777777777\0", b"L"),
        header("long", b"00000000000\0", b"L") * 3000,
        header("pax", b"00004000000\0", b"x") + b"1" * (1 << 20),
        header("sparse", b"00000000000\0", b"S"),
        header("b.json", b"00000100000\0") + b"[" * (1 << 15),
        header("b.json", b"00000000022\0") + b'{"name": "\\ud800"}'.ljust(512),
        b"\xff" * 512,
        b"b.composite.png".ljust(100, b"\0"),
    ],
    ids=[
        "back onto itself", "back to the first", "back a little", "8 EB", "beyond 64 bits", "4 EB of JSON", "cut off",
        "pax: back", "pax: 5,000 digits", "8 GB name", "names alone", "1 MB of digits", "sparse", "nested JSON",
        "half a surrogate pair", "no header", "less than a header",
    ],
)  # fmt: skip
def test_a_tar_file_is_read_forwards(tmp_path: Path, archive: bytes) -> None:
    """A sound sample is read although something impossible stands behind it, and the error names the file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as whole:
        for name, pixels in (("a.image.png", picture()), ("a.mask.png", mask())):
            about, content = tarfile.TarInfo(name), data._tar.encoded(pixels, "png")
            about.size = len(content)
            whole.addfile(about, io.BytesIO(content))
        end = whole.offset
    (tmp_path / "x.tar").write_bytes(stream.getvalue()[:end] + archive + bytes(2048))
    lines = confined(OPENING_CODE, tmp_path / "x.tar", seconds=5, megabytes=400).splitlines()
    if archive == header("long", b"00000000000\0", b"L") * 3000:  # nothing follows that it could name
        assert lines == ["1"]
    else:
        assert lines[0] == "1" and len(lines) == 2 and "x.tar: damaged" in lines[1]


def test_names_and_sizes_of_tar_are_those_that_python_finds(tmp_path: Path) -> None:
    names = ["a.png", "d" * 90 + "/" + "e" * 90 + ".png", "f" * 300 + ".png", "ümläut/ñ.png", "x/" * 130 + "g.png"]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{form}.tar"
        with tarfile.open(path, "w", format=form, pax_headers={"comment": "all"} if form == 2 else None) as archive:
            folder = tarfile.TarInfo("folder")
            folder.type, folder.size = tarfile.DIRTYPE, 0
            archive.addfile(folder)
            for i, name in enumerate(names):
                about = tarfile.TarInfo(name)
                about.size = 100 * i + 1
                try:
                    archive.addfile(about, io.BytesIO(bytes([i]) * about.size))
                except ValueError:  # ustar holds no such name
                    continue
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "a.png"
            archive.addfile(link)
        with tarfile.open(path) as archive:
            expected = [(m.name, m.offset_data, m.size) for m in archive if m.isfile()]
        assert [(m.name, m.offset, m.size) for m in members(path)] == expected
        assert len(expected) >= 3


# names


@pytest.mark.parametrize(
    "name",
    ["\\etc\\passwd", "/etc/passwd", "..\\..\\x.png", "a/../../x.png", "C:\\x.png", "c:x.png", "\\\\server\\x.png"],
)
def test_a_listed_name_stays_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.DataError, match="is outside"):
        data._files.inside(tmp_path, name, "list")


@pytest.mark.parametrize("name", ["", "x\0.png", "\ud800.png", 7, None, ["a.png"]])
def test_a_listed_name_is_one(tmp_path: Path, name: Any) -> None:
    with pytest.raises(errors.DataError, match="is not a file name"):
        data._files.inside(tmp_path, name, "list")


def manifest(root: Path, *files: Any) -> Path:
    entries = [{"file": file, "role": "photo", "pair": f"p{i}", "split": "train"} for i, file in enumerate(files)]
    root.mkdir(exist_ok=True)
    (root / "manifest.json").write_text(json.dumps({"entries": entries}))
    return root


def test_links_of_a_foreign_set_do_not_lead_out(tmp_path: Path) -> None:
    """A link is followed inside the folder of a list; the folder itself may be one."""
    put(tmp_path / "secret.png", picture(1))
    root = manifest(tmp_path / "set", "out.png", "in.png", "own.png")
    put(root / "own.png", picture(2))
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "in.png").symlink_to(root / "own.png")
    (tmp_path / "elsewhere").symlink_to(root)
    for place in (root, tmp_path / "elsewhere"):
        problems = data.Manifest(place).check()
        assert [problem.name for problem in problems] == ["p0"]
        assert "a link to a file outside" in problems[0].message


def test_a_manifest_with_a_backslash_reads_no_file_of_the_system(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret.png", picture(1))
    root = manifest(tmp_path / "set", str(secret).replace("/", "\\"))
    code, report = check(root)
    assert code == 3 and "outside" in report["error"]["message"]


# what is no text, no number, no list


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    for role, pixels in (("composite", picture(1)), ("target", picture(2)), ("mask", mask())):
        put(tmp_path / "set" / role / "a.png", pixels)
    return tmp_path / "set"


@pytest.mark.parametrize("name", ["set.csv", "IHD_train.txt", "boxes.txt", "set/recipes.jsonl", "set/manifest.json"])
def test_lists_that_are_no_text_are_refused(triples: Path, name: str) -> None:
    root = triples.parent
    path = root / name
    path.write_bytes(b"composite,mask,target\n\xff\xfe\x00")
    where, options = {
        "set.csv": (path, []),
        "IHD_train.txt": (root, ["--kind", "iharmony4"]),
        "boxes.txt": (root, ["--boxes", str(path)]),
        "set/recipes.jsonl": (triples, []),
        "set/manifest.json": (triples, ["--kind", "manifest"]),
    }[name]
    code, report = check(where, *options)
    assert code == 3 and report["error"]["kind"] == "DataError"
    assert f"{path.name}: not UTF-8 at byte 22" in report["error"]["message"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.csv", "composite,mask,target\n" + "x" * 200_000 + ",b,c\n", "field larger than field limit"),
        ("set.csv", "composite,mask,target\na\0.png,b,c\n", r"line contains NUL|is not a file name"),
        ("IHD_train.txt", "HCOCO/composite_images/c1_2\0_3.jpg\n", "expected a composite"),
        ("boxes.txt", f"scene:{'9' * 5000},0,1,1\n", "expected scene:top,left,bottom,right"),
        ("set/recipes.jsonl", "[" * 100_000, "invalid recipe: RecursionError"),
        ("set/recipes.jsonl", '{"name": "a", "group": "\\ud800"}', "half a surrogate pair"),
        ("set/recipes.jsonl", "5\n", "invalid recipe: AttributeError"),
        ("set/manifest.json", "[" * 100_000, "invalid JSON"),
        (
            "set/manifest.json",
            '{"entries": [{"file": "a.png", "role": "photo", "pair": "\\ud800"}]}',
            "half a surrogate",
        ),
        (
            "set/manifest.json",
            '{"entries": [{"file": "\\ud800.png", "role": "photo", "pair": "p"}]}',
            "is not a file name",
        ),
        (
            "set/manifest.json",
            '{"entries": [{"file": "a\\u0000", "role": "photo", "pair": "p"}]}',
            "is not a file name",
        ),
    ],
)
def test_lists_that_say_something_impossible_are_refused(triples: Path, name: str, content: str, message: str) -> None:
    root = triples.parent
    path = root / name
    path.write_text(content)
    options: dict[str, Any] = {"IHD_train.txt": {"kind": "iharmony4"}, "boxes.txt": {"boxes": path}}.get(name, {})
    if name == "set/manifest.json":
        options = {"kind": "manifest"}
    where = path if name == "set.csv" else triples if name.startswith("set/") else root
    with pytest.raises(errors.DataError, match=message) as error:
        data.open_dataset(where, **options)
    assert path.name in str(error.value)


def coco(root: Path, **changes: Any) -> Path:
    """Returns annotations of two instances; changes are of the second one, or of its photograph."""
    put(root / "1.png", picture(1))
    put(root / "2.png", picture(2))
    box = [2, 2, 12, 2, 12, 12, 2, 12]
    photos = [{"id": i, "file_name": f"{i}.png", "height": 16, "width": 16} for i in (1, 2)]
    ones = [{"id": i, "image_id": i, "category_id": 1, "segmentation": [box], "area": 100} for i in (1, 2)]
    for key, value in changes.items():
        (photos if key in photos[1] and key != "id" else ones)[1][key] = value
    path = root / "instances.json"
    table = {"images": photos, "annotations": ones, "categories": [{"id": 1, "name": "person"}]}
    path.write_text(json.dumps(table))
    return path


HUGE = 10**400


@pytest.mark.parametrize(
    "change",
    [
        {"area": HUGE}, {"area": float("nan")}, {"area": "5"}, {"area": [1]},
        {"segmentation": [[HUGE, 0, 1, 1, 2, 2]]}, {"segmentation": 5}, {"segmentation": [["a"] * 6]},
        {"segmentation": {"size": [16, 16], "counts": [HUGE]}}, {"segmentation": {"size": [16, 16], "counts": {}}},
        {"segmentation": {"size": [16, 16], "counts": "\ud800"}}, {"segmentation": {"size": 3}},
        {"height": HUGE}, {"height": 0}, {"width": "16"}, {"file_name": "\ud800.png"}, {"file_name": "x\0.png"},
        {"file_name": "\\etc\\passwd"}, {"file_name": ["a"]}, {"image_id": HUGE}, {"image_id": [1]}, {"id": {"a": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_one_bad_annotation_is_one_problem(tmp_path: Path, change: dict[str, Any]) -> None:
    code, report = check(tmp_path, "--annotations", str(coco(tmp_path, **change)))
    assert code == 5, report
    assert len(report["problems"]) == 1
    assert data.open_dataset(tmp_path, annotations=tmp_path / "instances.json")[0]["name"] == "1_1"


def index_of(root: Path) -> dict[str, Any]:
    sample = {"name": "a", "composite": picture(1), "target": picture(2), "mask": mask()}
    data.write_shards([sample, {**sample, "name": "b"}], root, 16, samples_per_shard=1)
    table: dict[str, Any] = json.loads((root / "index.json").read_text())
    return table


@pytest.mark.parametrize(
    "change",
    [
        {"size": float("inf")}, {"size": float("nan")}, {"size": HUGE}, {"size": [16]}, {"size": None},
        {"fields": 5}, {"fields": ["mask", "mask"]}, {"fields": [["mask"]]}, {"shards": 3}, {"shards": {}},
        {"shards": [{"file": "shard-00000.bin"}]}, {"shards": [5]}, {"version": 2}, {"format": "other"},
        {"size": 0}, {"fields": ["depth"]},
        {"shards": [{"file": "x", "samples": HUGE, "sha256": "", "names": [], "groups": []}]},
        {"shards": [{"file": "x", "samples": -1, "sha256": "", "names": [], "groups": []}]},
        {"shards": [{"file": "x", "samples": 1.0, "sha256": "", "names": ["a"], "groups": ["a"]}]},
        {"shards": [{"file": "x", "samples": 2, "sha256": "", "names": "ab", "groups": "ab"}]},
        {"shards": [{"file": "x", "samples": 1, "sha256": "", "names": ["\ud800"], "groups": ["a"]}]},
    ],
    ids=lambda change: str(change)[:60],
)  # fmt: skip
def test_an_index_of_shards_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    table = index_of(tmp_path / "s")
    (tmp_path / "s" / "index.json").write_text(json.dumps({**table, **change}))
    with pytest.raises(errors.DataError, match=r"index\.json"):
        data.Shards(tmp_path / "s")


@pytest.mark.parametrize("file", [7, None, "x\0", "\ud800", "\\etc\\passwd", "../x", {}], ids=repr)
def test_a_shard_of_an_impossible_name_is_the_problem_of_its_samples(tmp_path: Path, file: Any) -> None:
    table = index_of(tmp_path / "s")
    table["shards"][0]["file"] = file
    (tmp_path / "s" / "index.json").write_text(json.dumps(table))
    shards = data.Shards(tmp_path / "s")
    assert len(shards.check()) == 1 and shards[1]["name"] == "b"
    with pytest.raises(errors.DataError, match=r"index\.json"):
        shards[0]


CUT = """
import os, sys
import numpy as np
from pyharmony import data, errors
found = data.Shards(sys.argv[1])
before = found[0]
os.truncate(os.path.join(sys.argv[1], "shard-00000.bin"), 5000)
for call in (lambda: found[0], lambda: found.batch([1, 0])):
    try:
        call()
    except errors.DataError as error:
        print(error)
print(found.check()[0].message)
"""


def test_a_shard_that_is_cut_off_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """A mapped file would end the process by SIGBUS."""
    index_of(tmp_path / "s")
    lines = confined(CUT, tmp_path / "s").splitlines()
    assert len(lines) == 3 and all("truncated" in line for line in lines[:2])
    assert "damaged: its sha256 differs from the index" in lines[2]


def field(number: int, body: bytes) -> bytes:
    size, head = len(body), bytearray([number << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size]) + body


def varint(number: int, value: int) -> bytes:
    out = bytearray([number << 3])
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize(
    "entry",
    [
        field(1, b"k") + field(2, field(1, varint(1, 2**62))),
        varint(1, 2**62) + field(2, field(1, field(1, b"x"))),
        field(1, b"k") + varint(2, 2**62),
        field(1, b"\xff") + field(2, field(1, field(1, b"x"))),
    ],
)
def test_a_number_in_place_of_bytes_is_refused_and_not_allocated(entry: bytes) -> None:
    with pytest.raises(ValueError, match=r"a number, expected (bytes|a message)|codec can't decode"):
        example(field(1, field(1, entry)))


def test_a_damaged_record_is_a_problem_and_not_the_end(tmp_path: Path) -> None:
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    from pyharmony.learn.data._tfrecord import _checksum

    def record(body: bytes) -> bytes:
        head = struct.pack("<Q", len(body))
        return head + _checksum(head) + body + _checksum(body)

    good = field(1, b"".join(
        field(1, field(1, key) + field(2, field(1, field(1, data._tar.encoded(picture(), "png")))))
        for key in (b"copy_paste", b"bg")
    ))  # fmt: skip
    bad = field(1, field(1, field(1, b"bg") + field(2, field(1, varint(1, 2**62)))))
    (tmp_path / "x.tfrecord").write_bytes(record(bad) + record(good))
    pairs = data.TFRecordPairs(tmp_path / "x.tfrecord")
    assert [problem.name for problem in pairs.check()] == ["x:0"]
    assert pairs[1]["composite"].shape == (16, 16, 3)


# The terminal


def test_escape_sequences_of_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07\x1b[31mred\x9b1m\u202e.image.png"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for each in (name, "good.image.png"):
            about = tarfile.TarInfo(each)
            content = b"no picture" if each == name else data._tar.encoded(picture(), "png")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    (tmp_path / "x.tar").write_bytes(stream.getvalue())
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path / "x.tar"), "--threads", "1"])
    assert result.exit_code == 5
    assert "\\x1b]0;owned\\x07\\x1b[31mred\\x9b1m\\u202e.image.png is not a known image" in result.output
    assert not any(c in result.output for c in "\x1b\x07\x9b\u202e")


def test_a_table_of_ones_own_may_lead_anywhere(triples: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with open(tmp_path / "there" / "own.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["composite", "mask", "target"])
        rows.writerow([triples / "composite" / "a.png", "../set/mask/a.png", os.path.relpath(triples / "target/a.png")])
    dataset = data.Triples.from_table(tmp_path / "there" / "own.csv")
    assert dataset.paths(0)["composite"] == triples / "composite" / "a.png"
    assert dataset.paths(0)["mask"].resolve() == triples / "mask" / "a.png"
