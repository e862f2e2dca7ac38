"""What is fuzzed: for each target small inputs that are right, how they are changed, and the call that takes them.

A call may return, or raise an error of pyharmony's, an OSError or a documented error of the service's bodies.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutate import json_bytes, json_mutated, mutated

Mutate = Callable[[bytes, Sequence[bytes], np.random.Generator], bytes]


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        seeds: returns inputs that are right.
        call: takes one input.
        mutate: returns a changed input.
        weight: its share of all inputs, relative to those of other targets.
        seconds, megabytes: what an input may take: CPU time, and memory beyond that of the process.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    call: Callable[[bytes], object]
    mutate: Mutate = mutated
    weight: float = 1.0
    seconds: float = 10.0
    megabytes: int = 1024


def accepted_errors() -> tuple[type[BaseException], ...]:
    """Returns the errors by which an input may be refused."""
    from pyharmony.errors import PyHarmonyError

    return PyHarmonyError, OSError


@functools.cache
def folder() -> Path:
    """Returns a folder of this process for the files of inputs, in memory where there is such a place."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of its own in it
    return Path(tempfile.mkdtemp(prefix="pyharmony-fuzz-", dir=shared if shared.is_dir() else None))


def file_of(data: bytes, name: str) -> Path:
    path = folder() / f"{os.getpid()}-{name}"
    path.write_bytes(data)
    return path


# ---- images, label maps, layers ----


def image_seeds() -> list[bytes]:
    from tests.fuzz.images import seeds

    return [data for _, data in sorted(seeds().items())]


def read_image(data: bytes) -> None:
    from pyharmony import io as images

    assert images.read(data).pixels.ndim == 3


def jpeg_seeds() -> list[bytes]:
    from tests.fuzz.images import seeds

    return [data for name, data in sorted(seeds().items()) if name.startswith("jpeg")]


def keep_original(data: bytes) -> None:
    """Writes a JPEG with a change in its middle and what is unchanged as it was, and reads it again."""
    from dataclasses import replace

    from pyharmony.io import read, write

    picture = read(data)
    pixels = picture.pixels.copy()
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    pixels[height : height + 5, width : width + 5] ^= 64
    stream = io.BytesIO()
    write(replace(picture, pixels=pixels), stream, format="jpeg", quality="original")
    assert read(stream.getvalue()).pixels.shape == pixels.shape


def label_seeds() -> list[bytes]:
    from PIL import Image

    labels = np.zeros((20, 24), np.uint8)
    labels[3:9, 4:12], labels[10:18, 8:20] = 1, 2
    files = []
    for image in (Image.fromarray(labels), Image.fromarray(labels * 100), Image.fromarray(labels.astype(np.int32))):
        for format in ("PNG", "TIFF"):
            stream = io.BytesIO()
            if (image.mode, format) != ("I", "PNG"):
                image.save(stream, format)
                files.append(stream.getvalue())
    stream = io.BytesIO()
    image = Image.fromarray(labels).convert("P")
    image.putpalette([v for i in range(256) for v in (i, 255 - i, i // 2)])
    image.save(stream, "PNG")
    return [*files, stream.getvalue()]


def read_labels(data: bytes) -> None:
    """Takes a file as a map of labels, as a mask, and its bytes as an array of labels."""
    import pyharmony
    from pyharmony import _checks, blend
    from pyharmony.errors import PyHarmonyError

    rng = _random(data)
    shape = tuple(int(n) for n in rng.integers(0, 7, 2))
    kind = str(
        rng.choice(["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float32", "bool"])
    )
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    labels = (
        np.frombuffer((data * (size // max(len(data), 1) + 1))[:size], kind).reshape(shape) if data else np.zeros(0)
    )
    with contextlib.suppress(PyHarmonyError):
        _checks.checked_label_map(labels, "labels", *shape)
    image = pyharmony.load(data)
    pixels = image.pixels if hasattr(image, "pixels") else np.asarray(image)
    if pixels.shape[0] * pixels.shape[1] < 1 << 20:
        height, width = pixels.shape[:2]
        blend.alpha(np.zeros((height, width, 3), np.uint8), np.zeros((height, width, 3), np.uint8), data)


def layer_seeds() -> list[bytes]:
    from pyharmony.io import Layer, write_layers

    files = []
    for count, dtype in ((1, "uint8"), (3, "uint16")):
        layers = [Layer(f"layer {i}", np.full((6 + i, 5, 4), 40 * i + 9, dtype), (i, 2), 0.5) for i in range(count)]
        stream = io.BytesIO()
        write_layers(stream, layers, np.full((14, 16, 3), 99, dtype), dpi=(72, 72))
        files.append(stream.getvalue())
    group = b'<stack isolation="auto" opacity="0.5" name="g">'
    stack = {"stack.xml": lambda xml: xml.replace(b"<stack>", b"<stack>" + group).replace(b"</stack>", b"</stack>" * 2)}
    return [*files, with_members(files[0], stack)]


def with_members(data: bytes, changes: dict[str, Callable[[bytes], bytes]]) -> bytes:
    """Returns a zip archive with some of its members changed, and their checksums right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(stream, "w") as changed:
        for name in archive.namelist():
            member = archive.read(name)
            changed.writestr(name, changes[name](member) if name in changes else member)
    return stream.getvalue()


def member_mutated(data: bytes, rng: np.random.Generator, dictionary: Sequence[bytes] = ()) -> bytes:
    """Returns a zip archive of which one member is changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
    name = names[int(rng.integers(len(names)))]
    return with_members(data, {name: lambda member: mutated(member, [member], rng, dictionary)})


_XML_WORDS = (b"-", b"9", b"0", b".", b"e", b"/", b"..", b"&", b"<", b'"', b"<stack>", b"nan", b"hidden")


def layers_mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Returns a changed file; in most one of its parts is changed."""
    return mutated(data, others, rng) if rng.random() < 0.3 else member_mutated(data, rng, _XML_WORDS)


def read_layer_file(data: bytes) -> None:
    from pyharmony import io as images
    from pyharmony.errors import PyHarmonyError

    try:
        layers, merged = images.read_layers(data)
    except PyHarmonyError as error:
        if not str(error).startswith("source: the "):
            raise AssertionError("the error does not name the file") from error
        raise
    assert all(layer.pixels.shape[2] == 4 for layer in layers) and merged.pixels.shape[2] in (3, 4)


# ---- containers ----


def _samples() -> Any:
    from PIL import Image

    root = folder() / "photos"
    for name, channels in (("images", 3), ("masks", 1)):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(2):
            pixels = np.random.default_rng(i).integers(0, 256, (10, 12, channels), np.uint8)
            pixels[2:8, 3:9] = 255
            Image.fromarray(pixels.squeeze()).save(root / name / f"{i}.png")
    from pyharmony.learn import data

    return data.Photos(root)


def tar_seeds() -> list[bytes]:
    import tarfile

    from pyharmony.learn import data

    root = Path(tempfile.mkdtemp(dir=folder())) / "tars"
    data.write_tar_shards(_samples(), root)
    files = [path.read_bytes() for path in sorted(root.glob("*.tar"))]
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=form) as file:
            for name in (
                "a" * (90 if form == tarfile.USTAR_FORMAT else 120) + ".png",
                "a.json",
                "b/c.image.png",
                "b/c.mask.png",
            ):
                info = tarfile.TarInfo(name)
                info.size = 30
                file.addfile(info, io.BytesIO(b'{"name": "one", "other": 1}   '))
        files.append(stream.getvalue())
    return files


def tar_mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Returns a changed tar; the sums of its headers are put right in most."""
    out = bytearray(
        mutated(data, others, rng, (b"0", b"7777777", b"\x80\xff", b"\xff" * 12, b"x", b"L", b"g", b"../", b"/", b"\0"))
    )
    if rng.random() < 0.8:
        for at in range(0, len(out) - 511, 512):
            if out[at + 257 : at + 262] == b"ustar":
                out[at + 148 : at + 156] = b" " * 8
                out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def read_tar(data: bytes) -> None:
    from pyharmony.learn import data as sets

    shards = sets.TarShards(file_of(data, "one.tar"))
    for i in range(min(len(shards), 3)):
        _one(shards, i)


def _one(samples: Any, i: int) -> None:
    from pyharmony.errors import PyHarmonyError

    with contextlib.suppress(PyHarmonyError, OSError):
        samples[i]


def tfrecord_seeds() -> list[bytes]:
    from pyharmony.learn import data

    path = Path(tempfile.mkdtemp(dir=folder())) / "one.tfrecord"
    data.write_tfrecord(data.Synthesis(_samples()), path)
    return [path.read_bytes()]


def tfrecord_mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Returns changed records; their checksums are put right in most."""
    import google_crc32c

    def masked(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    if rng.random() < 0.2:
        return mutated(data, others, rng)
    length = struct.unpack_from("<Q", data)[0]
    content = mutated(
        data[12 : 12 + length], others, rng, (b"\x0a", b"\x12\xff\xff\xff\xff\x0f", b"\xff" * 10, b"\x08")
    )
    head = struct.pack("<Q", len(content))
    if rng.random() < 0.05:
        head = struct.pack("<Q", (0, 1 << 31, 1 << 40, (1 << 64) - 1)[int(rng.integers(4))])
    return head + masked(head) + content + masked(content)


def read_tfrecord(data: bytes) -> None:
    from pyharmony.learn import data as sets

    records = sets.TFRecordPairs(file_of(data, "one.tfrecord"))
    for i in range(min(len(records), 2)):
        _one(records, i)


# ---- recipes, tables, bodies ----


#: Without networks, which take seconds of an input's time in a module with sanitizers.
_WITHOUT_NETWORKS: dict[str, Any] = {"harmonize": "reinhard", "shadow": False}


def recipe_seeds() -> list[bytes]:
    import pyharmony

    subject = np.zeros((30, 20, 4), np.uint8)
    subject[5:25, 5:15] = 255
    background = np.full((60, 80, 3), 128, np.uint8)
    recipes = []
    for options in ({}, {"shadow": True}, {"harmonize": "reinhard"}, {"blend": "poisson"}, {"reflection": True}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, info = pyharmony.compose(
                subject, background, at=(10, 20), return_info=True, **_WITHOUT_NETWORKS | options
            )
        recipes.append(json.dumps(info.recipe).encode())
    return recipes


def _json_or_bytes(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    if rng.random() < 0.15:
        return mutated(data, others, rng, (b"{", b"[", b"\\ud800", b"1e999", b"NaN", b'"', b"\xff", b"[" * 2000))
    return json_bytes(json_mutated(json.loads(data), rng))


def read_recipe_file(data: bytes) -> None:
    """Reads a recipe, and composes by it if it is one."""
    import pyharmony
    from pyharmony import composition

    recipe = composition.read_recipe(file_of(data, "one.json"))
    subject = np.zeros((30, 20, 4), np.uint8)
    subject[5:25, 5:15] = 255
    pyharmony.compose(subject, np.full((60, 80, 3), 128, np.uint8), recipe=recipe)


def table_seeds() -> list[bytes]:
    rows = [
        {"src": "a.png", "dst": "b.png", "mask": "c.png", "at": "1,2", "out": "x/y.png", "color_weight": 0.5},
        {"src": "../a.png", "dst": "/b.png", "name": "one", "at": [3, 4], "tolerance": 1e-3},
    ]
    tables = [b"j" + b"\n".join(json.dumps(row).encode() for row in rows)]
    tables += [
        b'csrc,dst,mask,at,out\na.png,b.png,c.png,"1,2",x.png\nd.png,e.png,,,\n',
        b"c\xef\xbb\xbfsrc;dst\r\na;b\r\n",
    ]
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return tables
    stream = io.BytesIO()
    columns = {"src": ["a.png", "b.png"], "dst": ["c.png", None], "tolerance": [0.5, 1.0], "at": [[1, 2], None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), stream)
    return [*tables, b"p" + stream.getvalue()]


def table_mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    kind, content = data[:1], data[1:]
    if kind == b"j" and rng.random() < 0.7:
        rows = [json.loads(line) for line in content.splitlines()]
        return kind + b"\n".join(json_bytes(json_mutated(row, rng)) for row in rows)
    words = (
        b"\0",
        b"\xff\xfe",
        b'"',
        b",",
        b";",
        b"\n",
        b"\r",
        b"..",
        b"/",
        b"NaN",
        b"1e999",
        b"[" * 500,
        b"\xed\xa0\x80",
    )
    return kind + mutated(content, [x[1:] for x in others], rng, words)


def read_table(data: bytes) -> None:
    from pyharmony.runs.batch._sources import items_of
    from pyharmony.runs.batch.operations import Settings, needs_of

    suffix = {b"j": "jsonl", b"c": "csv", b"p": "parquet"}.get(data[:1], "csv")
    needs = needs_of(Settings("blend", str(folder())))
    for item in items_of(file_of(data[1:], f"one.{suffix}"), needs, {}):
        assert item.problem or not (item.out.startswith("/") or ".." in Path(item.out).parts), item.out


def body_seeds() -> list[bytes]:
    one, two = "0" * 32, "1" * 32
    path = {"line": [[1.0, 2.0], [3.0, 4.0]], "width": 3.0}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("blend", {"src": one, "dst": two, "mask": one, "at": [1, 2], "mode": "poisson", "color_weight": 0.5}),
        (
            "blend",
            {"src": one, "dst": two, "color_weight": two, "base": "copy-paste", "save_mask": True, "preview": True},
        ),
        ("edit", {"image": one, "mask": two, "mode": "inpaint"}),
        ("harmonize", {"image": one, "mask": two, "method": "reinhard", "upscale": 2}),
        ("segment", {"picture": one, "points": [[1, 2]], "box": [1, 2, 3, 4], "scribbles": [[[1, 2], [3, 4]]]}),
        ("paint", {"picture": one, "mask": two, "strokes": [path, {**path, "erase": True}]}),
        ("place", {"subject": one, "background": two, "mask": one, "k": 3}),
        ("compose", {"subjects": [{"picture": one, "mask": two, "at": [1, 2]}], "background": two, "recipe": {}}),
        ("merge", {"pictures": [one, two]}),
        ("layers", {"subjects": [{"picture": one}], "background": two}),
        ("live", {"background": two, "layers": [{"picture": one, "x": 1, "y": 2, "scale": 1.0}]}),
        ("cutout", {"picture": one, "mask": two}),
        ("export", {"picture": one, "format": "png", "depth": 8}),
    ]
    return [json.dumps({"operation": name, "body": body}).encode() for name, body in bodies]


def read_body(data: bytes) -> None:
    """Takes a request's body as the service does before it starts a job."""
    from pyharmony.serve._operations import OPERATIONS

    try:
        request = json.loads(data)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or "body" not in request:
        request = {"body": request}
    name = request.get("operation")
    operations = [OPERATIONS[name]] if isinstance(name, str) and name in OPERATIONS else OPERATIONS.values()
    text = json.dumps(request["body"])
    from pydantic import ValidationError

    from pyharmony.errors import PyHarmonyError

    for operation in operations:
        try:
            body = operation.body.model_validate_json(text)
            assert all(len(id) == 32 and id.isalnum() for id in body.pictures())
            body.check()
        except (ValidationError, PyHarmonyError) as error:
            str(error)


# ---- weights ----


def weights_seeds() -> list[bytes]:
    files = []
    for entry in (
        {"format": 1, "name": "dovenet", "config": {"width": 4}, "part": "all"},
        {"format": 1, "name": "gp_gan", "config": {}, "part": "generator", "calibration": {"doubt": 1.0, "noise": 0.5}},
    ):
        values = np.arange(24, dtype=np.float32)
        table = {
            "__metadata__": {"pyharmony": json.dumps(entry)},
            "a.weight": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]},
            "a.count": {"dtype": "I64", "shape": [], "data_offsets": [96, 104]},
            "b": {"dtype": "F16", "shape": [4], "data_offsets": [104, 112]},
        }
        head = json.dumps(table).encode()
        files.append(struct.pack("<Q", len(head)) + head + values.tobytes() + bytes(16))
    return files


def weights_mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Returns a changed file; in most its table or the description inside, with the right length."""
    if rng.random() < 0.25:
        return mutated(data, others, rng, (b"\xff" * 8, b"{", b"[" * 3000))
    length = struct.unpack_from("<Q", data)[0]
    table = json.loads(data[8 : 8 + length])
    if rng.random() < 0.4:
        text = table["__metadata__"]["pyharmony"]
        table["__metadata__"]["pyharmony"] = json.dumps(json_mutated(json.loads(text), rng))
    else:
        table = json_mutated(table, rng)
    head = json_bytes(table)
    return struct.pack("<Q", len(head)) + head + data[8 + length :]


def read_weights(data: bytes) -> None:
    from pyharmony import _header
    from pyharmony.errors import PyHarmonyError

    for name in ("dovenet", "gp_gan"):
        with contextlib.suppress(PyHarmonyError):
            _header.arrays_of(data, data, name)
    _header.header_of(data, data)


# ---- published weights ----

#: The suffix of each kind of file, by the first byte of an input; a checkpoint of TensorFlow has a file of data, too.
_PUBLISHED = {b"n": ".npz", b"p": ".pth", b"t": ".index"}


def published_seeds() -> list[bytes]:
    import torch

    from tests.published_networks import saved_bundle, saved_npz

    place = folder() / "published"
    arrays = {"conv/W": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "bn/N": np.int64(3)}
    saved_npz(place.with_suffix(".npz"), arrays)
    saved_bundle(place, arrays)
    seeds = [b"n" + place.with_suffix(".npz").read_bytes(), b"t" + place.with_suffix(".index").read_bytes()]
    for is_zip in (True, False):
        stream, tensors = io.BytesIO(), {key.replace("/", "."): torch.tensor(array) for key, array in arrays.items()}
        torch.save({"model": tensors}, stream, _use_new_zipfile_serialization=is_zip)
        seeds.append(b"p" + stream.getvalue())
    return seeds


def published_mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Returns a changed file; of many archives a member is changed, and its checksum right."""
    kind, body = data[:1], data[1:]
    if not body.startswith(b"PK") or rng.random() < 0.3:
        return kind + mutated(body, [other[1:] for other in others], rng)
    return kind + member_mutated(body, rng)


def read_published(data: bytes) -> None:
    from pyharmony.networks.models import _files

    path = file_of(data[1:], f"weights{_PUBLISHED.get(data[:1], '.npz')}")
    if path.suffix == ".index":
        path.with_suffix(".data-00000-of-00001").write_bytes(bytes(104))
    _files._networks_of(path)


# ---- native calls ----


def _random(data: bytes) -> np.random.Generator:
    """Returns the random numbers that belong to an input."""
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"))


def native_seeds() -> list[bytes]:
    return [bytes([i]) * 8 for i in range(8)]


def native_mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Returns other bytes: a call and its arguments are drawn from their hash."""
    return rng.bytes(8)


_FLOATS = ("float16", "float32", "float64")
_DTYPES = ("bool", "uint8", "uint16", *_FLOATS, "int32", "int64", "complex64", "uint32")


def an_array(rng: np.random.Generator, shape: Sequence[int], dtype: str) -> Any:
    """Returns an array with any strides: of a slice, reversed, transposed, broadcast or not aligned."""
    kind = np.dtype(dtype)
    steps = [int(rng.choice([1, 1, 1, 2, 3])) for _ in shape]
    full = [max(n, 0) * step for n, step in zip(shape, steps)]
    size = int(np.prod(full))
    values: Any = rng.random(size) * (1 if kind.kind in "fc" else 255)
    if kind.kind in "fc" and rng.random() < 0.1:
        values *= float(10 ** rng.uniform(-320, 308))
        values[rng.random(size) < 0.1] = rng.choice([np.nan, np.inf, -np.inf, -1, 0])
    with np.errstate(all="ignore"):
        array = values.astype(kind) if kind.kind != "b" else values > 127
    if rng.random() < 0.1:
        shifted = np.zeros(size * kind.itemsize + 1, np.uint8)[1:].view(kind)
        shifted[:] = array
        array = shifted
    array = array.reshape(full)[tuple(slice(None, None, step) for step in steps)]
    for axis in range(array.ndim):
        if rng.random() < 0.15:
            array = np.flip(array, axis)
    if array.ndim and rng.random() < 0.05:
        array = np.broadcast_to(array[:1], array.shape)
    if array.ndim and rng.random() < 0.05:
        array = array.view()
        array.flags.writeable = False
    return array


def a_number(rng: np.random.Generator, plain: float) -> Any:
    """Returns a number, mostly a plain one."""
    if rng.random() < 0.6:
        return plain
    hostile = (
        0,
        1,
        -1,
        0.5,
        1e-300,
        1e300,
        np.nan,
        np.inf,
        2**31,
        2**63,
        -(2**63),
        1e-12,
        1e6,
        3,
        np.float32(2),
        None,
        7.5,
    )
    return hostile[int(rng.integers(len(hostile)))]


def call_native(data: bytes) -> None:
    """Makes a random call of an op, or of a native function behind the checks of `pyharmony.ops`."""
    rng = _random(data)
    calls = [call_op, call_op, call_views]
    calls[int(rng.integers(len(calls)))](rng)


def call_op(rng: np.random.Generator) -> None:
    from pyharmony import ops

    height, width, channels = (int(rng.choice([0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 40])) for _ in range(3))
    channels = min(channels, 5)
    dtype = str(rng.choice(_DTYPES[1:6])) if rng.random() < 0.9 else str(rng.choice(_DTYPES))

    def image(dtype: str = dtype) -> Any:
        shape = [height, width, channels]
        if rng.random() < 0.1:
            shape = shape[: int(rng.integers(0, 4))]
        elif rng.random() < 0.1:
            shape = [int(rng.integers(1, 3)), *shape]
        if rng.random() < 0.05:
            shape = [n + int(rng.integers(-1, 2)) for n in shape]
        return an_array(rng, [max(n, 0) for n in shape], dtype)

    def mask() -> Any:
        kind = str(rng.choice(_DTYPES[:6]))
        plane = an_array(rng, [height, width], kind)
        if plane.dtype.kind == "f" and rng.random() < 0.8:
            with np.errstate(all="ignore"):
                plane = np.nan_to_num(np.clip(plane, 0, 1)).astype(kind)
        choice = rng.random()
        return plane if choice < 0.7 else np.zeros_like(plane) if choice < 0.8 else np.ones((height, width), bool)

    def weight(plain: float) -> Any:
        if rng.random() < 0.25:
            return an_array(rng, [height, width], str(rng.choice(["float32", "float64"])))
        return float(10 ** rng.uniform(-300, 6)) if rng.random() < 0.3 else a_number(rng, plain)

    which = int(rng.integers(8))
    if which == 0:
        ops.poisson(
            image(), image(), mask(), base=image() if rng.random() < 0.3 else None, color_weight=weight(0.0),
            gradients=str(rng.choice(["source", "mixed", "average", "monochrome"])), tolerance=a_number(rng, 0.25),
            contour=str(rng.choice(["half", "full"])), return_info=bool(rng.random() < 0.3),
        )  # fmt: skip
    elif which == 1:
        ops.gaussian_poisson(
            image(), image(), mask(), image(), color_weight=weight(1.0), sigma=a_number(rng, 0.5),
            method=str(rng.choice(["auto", "dct", "chebyshev", "multigrid"])), tolerance=a_number(rng, 0.25),
            preserve_background=bool(rng.random() < 0.5), as_published=bool(rng.random() < 0.2),
            gradient_kernel=str(rng.choice(["normal", "sobel", "roberts"])), return_info=bool(rng.random() < 0.3),
        )  # fmt: skip
    elif which == 2:
        x = an_array(rng, [*(int(n) for n in rng.integers(0, 4, 2)), height, width], str(rng.choice(_FLOATS)))
        kernel = [int(n) for n in rng.integers(1, 5, 2)]
        w = an_array(rng, [int(rng.integers(0, 4)), x.shape[1], *kernel], x.dtype.name)
        ops.partial_conv2d(
            x, w, None if rng.random() < 0.5 else an_array(rng, [w.shape[0]], x.dtype.name),
            an_array(rng, [height, width], "bool"), stride=a_number(rng, 1), padding=a_number(rng, 1),
            dilation=a_number(rng, 1), groups=a_number(rng, 1), negative_slope=a_number(rng, 0.2),
        )  # fmt: skip
    elif which == 3:
        x = an_array(rng, [2, channels, height, width], str(rng.choice(_FLOATS)))
        ops.instance_norm(x, negative_slope=a_number(rng, 0.1), eps=a_number(rng, 1e-5))
    elif which == 4:
        stages: list[Any] = [ops.Affine(np.eye(3, 4)), ops.Log(), ops.Exp(), ops.Curves(rng.random((3, 9)))]
        stages += [
            ops.Lut(rng.random((3, 3, 3, 3))),
            ops.Light(a_list(rng, 6)),
            ops.Affine(an_array(rng, [3, 4], "float64")),
        ]
        some = [stages[int(rng.integers(len(stages)))] for _ in range(int(rng.integers(0, 4)))]
        ops.color_map(image(), some, mask() if rng.random() < 0.7 else None, strength=a_number(rng, 1.0))
    elif which == 5:
        ops.color_stats(image(), mask() if rng.random() < 0.7 else None, bins=a_number(rng, 16))
    elif which == 6:
        rows, columns = (int(n) for n in rng.integers(1, 9, 2))
        w = an_array(rng, [rows, columns], str(rng.choice(_FLOATS)))
        ops.spectral_norm(
            [w], [an_array(rng, [rows], w.dtype.name)], [an_array(rng, [columns], w.dtype.name)],
            n_power_iterations=a_number(rng, 1), eps=a_number(rng, 1e-12), dims=a_number(rng, 0),
        )  # fmt: skip
    else:
        shape = [int(n) for n in rng.integers(1, 5, 3)]
        ops.color_grid(
            image(), mask() if rng.random() < 0.5 else None,
            grid=an_array(rng, [*shape, 3, 4], "float32") if rng.random() < 0.6 else None,
            affine=an_array(rng, [3, 4], "float32") if rng.random() < 0.6 else None,
            curves=an_array(rng, [3, 3, int(rng.integers(1, 6))], "float32") if rng.random() < 0.4 else None,
            origin=(a_number(rng, 0), a_number(rng, 0)), frame=None if rng.random() < 0.5 else (a_number(rng, 50), 60),
        )  # fmt: skip


def a_list(rng: np.random.Generator, count: int) -> list[Any]:
    return [a_number(rng, 0.1) for _ in range(count)]


def call_views(rng: np.random.Generator) -> None:
    """Makes a call of the native module with views of random arrays, past the checks in Python."""
    from pyharmony import _arrays
    from pyharmony._native import native

    height, width = (int(n) for n in rng.integers(0, 20, 2))
    channels = int(rng.integers(1, 5))

    def view(shape: Sequence[int], dtype: str, writable: bool = False) -> Any:
        if rng.random() < 0.1:
            shape = [max(0, n + int(rng.integers(-1, 2))) for n in shape]
        array = an_array(rng, shape, dtype)
        if writable and not array.flags.writeable:
            array = array.copy()
        views.append(array)
        return _arrays.view(array, "x", writable=writable)

    views: list[Any] = []
    kinds = ("uint8", "uint16", *_FLOATS)
    dtype = str(rng.choice(kinds))
    images = [view([height, width, channels], dtype) for _ in range(3)]
    mask = view([height, width], str(rng.choice(("bool", *kinds))))
    out = view([height, width, channels], dtype, True)
    operator = {"weight": float(10 ** rng.uniform(-30, 6)), "w0": 0.6, "w1": 0.2}
    which = int(rng.integers(5))
    try:
        if which == 0:
            hierarchy = native.PoissonHierarchy(mask, (height, width), weight=float(a_number(rng, 0.1) or 0))
            hierarchy.solve(
                images[0], images[1], mask, images[2], out, gradients="mixed", contour="half",
                tolerance=float(a_number(rng, 0.1) or 0), max_iterations=int(rng.integers(-1, 20)),
                certify=bool(rng.random() < 0.5), warm=None,
            )  # fmt: skip
        elif which == 1:
            single = view([height, width, channels], str(rng.choice(("float32", "float64"))), True)
            native.gaussian_poisson_dct(
                images[0], images[1], mask, images[2], single, **operator, double_precision=bool(rng.random() < 0.5),
                rhs=None, mean=None if rng.random() < 0.7 else [0.0] * int(rng.integers(0, 5)),
            )  # fmt: skip
        elif which == 2:
            native.gaussian_poisson_chebyshev(
                images[0], images[1], mask, images[2], out, tolerance=float(a_number(rng, 0.1) or 0),
                max_steps=int(rng.integers(-1, 50)), rhs=None, weight_map=None,
                preserve_background=bool(rng.random() < 0.5), **operator,
            )  # fmt: skip
        elif which == 3:
            native.gaussian_poisson_residual(
                *images[:2], mask, images[2], out, gradients="source", field=None, out=None, weight_map=None,
                preserve_background=bool(rng.random() < 0.5), **operator,
            )  # fmt: skip
        else:
            native.first_nonfinite(images[0], mask if rng.random() < 0.5 else None)
    except (ValueError, TypeError):  # the checks of the native module and of pybind11
        pass


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("images", image_seeds, read_image, weight=1.0),
        *([Target("originals", jpeg_seeds, keep_original)] if find_spec("jpeglib") else []),
        Target("labels", label_seeds, read_labels, weight=0.8),
        Target("layers", layer_seeds, read_layer_file, layers_mutated, weight=2.0),
        Target("tars", tar_seeds, read_tar, tar_mutated, weight=2.0),
        Target("tfrecords", tfrecord_seeds, read_tfrecord, tfrecord_mutated, weight=3.0),
        Target("recipes", recipe_seeds, read_recipe_file, _json_or_bytes, weight=0.2),
        Target("tables", table_seeds, read_table, table_mutated, weight=1.5),
        Target("bodies", body_seeds, read_body, _json_or_bytes, weight=2.0),
        Target("weights", weights_seeds, read_weights, weights_mutated, weight=5.0),
        *([Target("published", published_seeds, read_published, published_mutated)] if find_spec("torch") else []),
        Target("native", native_seeds, call_native, native_mutated, weight=3.0),
    )
}
