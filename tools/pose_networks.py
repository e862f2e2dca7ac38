"""Converts MediaPipe's pose networks into the bundled weights `pose`.

    pip download mediapipe==0.10.21 --no-deps --dest published
    python tools/pose_networks.py published/mediapipe-0.10.21-*.whl

The wheel contains two TensorFlow Lite networks (Google, Apache-2.0): one detects people, the other returns 33 keypoints
and a mask of each. Zero padding and sums after a convolution are merged into the convolutions; operations that only
change how numbers are stored, and unused outputs, are removed. The weights stay float16; of arrays with many zeros the
other values are stored, with a bit per position. The tables are those of TensorFlow's `lite/schema/schema.fbs`.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import struct
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from pyharmony import _header, _shipped

NAME, VERSION = "pose", "0.10.21"
#: The files of the wheel, and the names of their outputs, by the size of all but the first axis.
SOURCES = {
    "detector": ("mediapipe/modules/pose_detection/pose_detection.tflite", {(2254, 12): "boxes", (2254, 1): "scores"}),
    "landmarks": (
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        {(195,): "points", (1,): "score", (256, 256, 1): "mask"},
    ),
}
#: The licence of the networks, which the wheel contains too.
LICENCE = f"mediapipe-{VERSION}.dist-info/LICENSE"
#: The share of zeros from which an array is packed.
MIN_ZERO_SHARE = 0.1
#: Operators, paddings and activations by their numbers in the schema.
KINDS = {
    0: "add", 2: "join", 3: "convolution", 4: "each", 5: "spread", 6: "same", 14: "same", 17: "largest", 22: "same",
    23: "enlarged", 34: "pad", 124: "same",
}  # fmt: skip
SAME_PADDING, VALID_PADDING = 0, 1
ACTIVATIONS: dict[int, dict[str, Any]] = {0: {}, 1: {"slope": 0}, 3: {"slope": 0, "high": 6}}
DTYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 2: np.dtype("<i4")}
CARD_ENTRIES = {
    "summary": "Detects people with 33 keypoints and a mask of each, without a click; part of the default of "
    "`pyharmony.segment`",
    "licence": "Apache-2.0, by Google; the text is in pyharmony/networks/models/_weights/pose.LICENSE.txt",
    "trained_on": "photographs by Google that are not public",
    "open_data": False,
}

Array = npt.NDArray[Any]
Entry = dict[str, Any]


class Table:
    """A table of a flatbuffer: fields by number, each at an offset that may be missing."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def place(self, field: int) -> int:
        """Returns the position of a field's value; 0 if it is missing."""
        around = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        (size,) = struct.unpack_from("<H", self.data, around)
        if 4 + 2 * field >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self.data, around + 4 + 2 * field)
        return self.at + offset if offset else 0

    def number(self, field: int, code: str = "i") -> int:
        """Returns a number with a format code of `struct`; 0 if it is missing."""
        place = self.place(field)
        return struct.unpack_from("<" + code, self.data, place)[0] if place else 0

    def table(self, field: int) -> Table | None:
        """Returns the table to which a field points."""
        place = self.place(field)
        return Table(self.data, place + struct.unpack_from("<I", self.data, place)[0]) if place else None

    def tables(self, field: int) -> list[Table]:
        """Returns a list of tables."""
        offsets = self.array(field, "<u4")
        vector = self.table(field)
        start = 0 if vector is None else vector.at + 4
        return [Table(self.data, start + 4 * i + int(offset)) for i, offset in enumerate(offsets)]

    def array(self, field: int, dtype: str) -> Array:
        """Returns a list of numbers."""
        vector = self.table(field)
        if vector is None:
            return np.zeros(0, dtype)
        return np.frombuffer(self.data, dtype, struct.unpack_from("<I", self.data, vector.at)[0], vector.at + 4)


def dense(values: Array, shape: tuple[int, ...], sparsity: Table) -> Array:
    """Returns a dense array from sparse storage.

    Its dimensions are traversed in a stored order, and each is dense or a list of the existing indices. After those
    of the array come those inside blocks.
    """
    order, blocked = sparsity.array(0, "<i4").tolist(), sparsity.array(1, "<i4").tolist()
    levels = sparsity.tables(2)
    places = np.zeros((1, 0), np.int64)
    position = np.zeros(1, np.int64)
    for level in levels:
        if level.number(0, "b"):
            starts, indices = (_indices(level, field) for field in (2, 4))
            counts = starts[position + 1] - starts[position]
            first = np.repeat(starts[position], counts)
            position_of = first + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            places = np.concatenate([np.repeat(places, counts, 0), indices[position_of][:, None]], 1)
        else:
            size = level.number(1)
            every = np.tile(np.arange(size), len(position))
            places = np.concatenate([np.repeat(places, size, 0), every[:, None]], 1)
            position_of = np.repeat(position, size) * size + every
        position = position_of
    index = [np.zeros(len(places), np.int64) for _ in shape]
    sizes = {axis: levels[len(shape) + k].number(1) for k, axis in enumerate(blocked)}
    for level_number, axis in enumerate(order):
        if level_number < len(shape):
            index[axis] += places[:, level_number] * sizes.get(axis, 1)
        else:
            index[blocked[axis - len(shape)]] += places[:, level_number]
    out = np.zeros(shape, values.dtype)
    out[tuple(index)] = values[position]
    return out


def _indices(level: Table, field: int) -> npt.NDArray[np.int64]:
    """Returns indices of a dimension, which are stored in 32, 16 or 8 bits."""
    vector = level.table(field + 1)
    assert vector is not None
    return vector.array(0, {1: "<i4", 2: "<u2", 3: "u1"}[level.number(field, "B")]).astype(np.int64)


class Source:
    """A TensorFlow Lite network."""

    def __init__(self, data: bytes) -> None:
        self.model = Table(data, struct.unpack_from("<I", data, 0)[0])
        (self.graph,) = self.model.tables(2)
        self.tensors, self.buffers = self.graph.tables(0), self.model.tables(4)
        self.codes = [max(code.number(0, "b"), code.number(3)) for code in self.model.tables(1)]

    def shape(self, number: int) -> tuple[int, ...]:
        return tuple(self.tensors[number].array(0, "<i4").tolist())

    def constant(self, number: int) -> Array:
        """Returns the array of a constant tensor."""
        tensor = self.tensors[number]
        values = self.buffers[tensor.number(2, "I")].array(0, "u1").view(DTYPES[tensor.number(1, "b")])
        sparsity = tensor.table(6)
        return values.reshape(self.shape(number)) if sparsity is None else dense(values, self.shape(number), sparsity)


def converted(source: Source, names: dict[tuple[int, ...], str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Returns a network for `pyharmony.segmentation._pose`: its operations, and its arrays by name."""
    same: dict[int, int] = {}
    padded: dict[int, tuple[int, int]] = {}
    joined: dict[int, list[int]] = {}
    entries: list[Entry] = []
    for operator in source.graph.tables(3):
        inputs = [same.get(i, i) for i in operator.array(1, "<i4").tolist()]
        (output,) = operator.array(2, "<i4").tolist()
        kind, options = KINDS[source.codes[operator.number(0, "I")]], operator.table(4)
        if kind == "same":
            same[output] = inputs[0]
        elif kind == "pad":
            padded[output] = inputs[0], int(source.constant(inputs[1])[1, 0])
        elif kind == "join":
            joined[output] = inputs
        else:
            assert options is not None
            entries.append(_entry(source, kind, inputs, output, options, padded))
    outputs = {
        names[source.shape(i)[1:]]: joined.get(same.get(i, i), [same.get(i, i)])
        for i in source.graph.array(2, "<i4").tolist()
        if source.shape(i)[1:] in names
    }
    assert len(outputs) == len(names), outputs
    first = int(source.graph.array(1, "<i4")[0])
    entries = _needed(_summed(entries), {i for each in outputs.values() for i in each})
    numbers = {first: 0, **{entry["output"]: 1 + i for i, entry in enumerate(entries)}}
    arrays: dict[str, Array] = {}
    for i, entry in enumerate(entries):
        entry["inputs"] = [numbers[x] for x in entry["inputs"]]
        del entry["output"]
        if "weight" in entry:
            arrays |= {**packed(f"{1 + i}.weight", entry.pop("weight")), f"{1 + i}.bias": entry.pop("bias")}
    output_numbers = {name: [numbers[i] for i in each] for name, each in outputs.items()}
    return {"side": source.shape(first)[1], "operations": entries, "outputs": output_numbers}, arrays


def _entry(
    source: Source, kind: str, inputs: list[int], output: int, options: Table, padded: dict[int, tuple[int, int]]
) -> Entry:
    """Returns an operation."""
    before, after = source.shape(padded[inputs[0]][0] if inputs[0] in padded else inputs[0]), source.shape(output)
    if kind == "add":
        return {"kind": kind, "inputs": inputs, "output": output, **ACTIVATIONS[options.number(0, "b")]}
    entry: Entry = {"kind": kind, "inputs": inputs[:1], "output": output}
    if kind in ("enlarged", "spread", "largest"):
        half = after[1] * 2 == before[1]
        right = {
            "enlarged": not options.number(2, "b") and options.number(3, "b") and after[1] == 2 * before[1],
            "spread": options.number(0) == 2,
            "largest": half and options.number(3) == options.number(4) == 2,
        }
        assert right[kind], (kind, before, after)
        return entry
    weight, stride = source.constant(inputs[1]), options.number(2)
    size = weight.shape[1]
    if inputs[0] in padded:
        entry["inputs"], zeros = [padded[inputs[0]][0]], padded[inputs[0]][1]
    elif options.number(0, "b") == SAME_PADDING:
        zeros = max((math.ceil(before[1] / stride) - 1) * stride + size - before[1], 0) // 2
    else:
        zeros = 0
        # A window as large as the image has one position.
        stride = size if size == before[1] else stride
    assert after[1:3] == tuple(math.ceil(x / stride) for x in before[1:3]), (before, after, stride)
    activation = options.number(3 if kind == "convolution" else 4, "b")
    # [O, k, k, C] becomes [k, k, C, O], and [1, k, k, C] becomes [k, k, C].
    weight = weight.transpose(1, 2, 3, 0) if kind == "convolution" else weight[0]
    entry |= {"kind": "convolution", "stride": stride, "before": zeros, **ACTIVATIONS[activation]}
    return {**entry, "weight": np.ascontiguousarray(weight), "bias": source.constant(inputs[2])}


def _summed(entries: list[Entry]) -> list[Entry]:
    """Returns operations in which sums are merged into preceding convolutions where possible."""
    uses = Counter(i for entry in entries for i in entry["inputs"])
    results: list[Entry] = []
    for entry in entries:
        conv = next(
            (
                one for one in results
                if entry["kind"] == "add" and one["output"] in entry["inputs"] and one["kind"] == "convolution"
                and "slope" not in one and len(one["inputs"]) == 1 and uses[one["output"]] == 1
            ),
            None,
        )  # fmt: skip
        if conv is None:
            results.append(entry)
            continue
        results.remove(conv)
        (other,) = (i for i in entry["inputs"] if i != conv["output"])
        results.append({**conv, **entry, "kind": "convolution", "inputs": [*conv["inputs"], other]})
    return results


def _needed(entries: list[Entry], outputs: set[int]) -> list[Entry]:
    """Returns the operations on which outputs depend."""
    needs, backwards = set(outputs), []
    for entry in reversed(entries):
        if entry["output"] in needs:
            needs |= set(entry["inputs"])
            backwards.append(entry)
    return backwards[::-1]


def packed(name: str, array: Array) -> dict[str, Array]:
    """Returns an array, or if many of its values are zeros the others and a bit per position along the last axis."""
    if np.count_nonzero(array) > (1 - MIN_ZERO_SHARE) * array.size:
        return {name: array}
    return {name: array[array != 0], f"{name}.bits": np.packbits(array != 0, -1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    arguments = parser.parse_args()
    config, arrays, sums = {}, {}, []
    with zipfile.ZipFile(arguments.wheel) as wheel:
        licence = wheel.read(LICENCE)
        for name, (path, names) in SOURCES.items():
            content = wheel.read(path)
            sums.append(f"{path} {hashlib.sha256(content).hexdigest()}")
            config[name], its = converted(Source(content), names)
            arrays |= {f"{name}.{key}": np.ascontiguousarray(x) for key, x in its.items()}
    about = {"format": _header.FORMAT, "name": NAME, "config": config, "part": "all"}
    content = save(arrays, {"pyharmony": json.dumps(about, sort_keys=True)})
    file = f"{NAME}.safetensors"
    (_shipped.FOLDER / file).write_bytes(content)
    (_shipped.FOLDER / f"{NAME}.LICENSE.txt").write_bytes(licence)
    every = {one.name: dataclasses.asdict(one) for one in _shipped.manifest()}
    digest = hashlib.sha256(content).hexdigest()
    entry = {"name": NAME, "model": NAME, "task": "segment", "file": file, "bytes": len(content), "sha256": digest}
    every[NAME] = {
        **every.get(NAME, {}), **entry, **CARD_ENTRIES,
        "commands": __doc__.split("\n\n")[1].replace("    ", "").splitlines(),
        "notes": "The baseline is `clicks-imagenet-alone`. "
        f"Converted from MediaPipe {VERSION}; SHA-256 of the sources: {', '.join(sums)}",
    }  # fmt: skip
    table = {"format": 1, "weights": sorted(every.values(), key=lambda one: one["name"])}
    (_shipped.FOLDER / "manifest.json").write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{file}: {len(content):,} bytes", *sums, sep="\n")


if __name__ == "__main__":
    main()
