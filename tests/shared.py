"""What tests of several rooms share: scripts as modules, commands, forks, images, CUDA graphs, marks."""

from __future__ import annotations

import ast
import functools
import gc
import importlib.util
import json
import os
import pickle
import select
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import _arrays

from . import skips

ROOT = Path(__file__).resolve().parent.parent
RANGE = _arrays.VALUE_RANGE
#: The dtypes of an image.
DTYPES = ("uint8", "uint16", "float16", "float32", "float64")

# Warnings that a test's images cause and that are not what it is about.
#: The contour differs so much that a blend's colours flood the object.
FLOODS = pytest.mark.filterwarnings(
    "ignore:.*the difference between src and dst varies along the contour:pyharmony.errors.FloodedWarning"
)
#: A blend or an edit is stored as integers, and a twentieth of its values or more are clipped.
CLIPS = pytest.mark.filterwarnings("ignore:.*of the values that were (blended|edited):pyharmony.errors.ClippedWarning")
#: The pair asks for more than the guard of harmonize lets through.
GUARDED = pytest.mark.filterwarnings("ignore:.*the guard reduced the change:pyharmony.errors.ConfidenceWarning")


def need(*modules: str) -> None:
    """Skips the file that calls it where a package is not installed; none is imported, which takes seconds."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(skips.not_installed(module), allow_module_level=True)


def load_script(path: str, name: str | None = None) -> Any:
    """Returns a file of the repository as a new module, which the caller may change."""
    spec = importlib.util.spec_from_file_location(name or Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str((ROOT / path).parent)  # scripts import modules beside them
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Returns a file's syntax tree, which several tests look through."""
    gc.disable()
    try:
        return ast.parse(path.read_text("utf-8"))
    finally:
        gc.enable()
        gc.freeze()  # it stays to the end: the collector would look through all trees again and again


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Returns the nodes of a file's syntax tree."""
    return list(ast.walk(tree_of(path)))


def dotted(node: ast.AST) -> str:
    """Returns a name of one or several parts, as `np.load`, and '' for any other expression."""
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return node.id if isinstance(node, ast.Name) else ""


def runners(command: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns two functions that run a command in this process: for its result, and for what --json tells."""
    from typer.testing import CliRunner

    from pyharmony.cli._app import app

    def call(*arguments: object, code: int = 0) -> Any:
        result = CliRunner().invoke(app, [command, *map(str, arguments)])
        assert result.exit_code == code, (result.stderr, result.exception)
        return result

    def report(*arguments: object, code: int = 0) -> Any:
        return json.loads(call(*arguments, "--json", code=code).stdout)

    return call, report


def forked(call: Callable[[], object], log: Path) -> int:
    """Starts a call in a fork of this process, which has imported what it needs; returns the child.

    What it prints goes to a file, with the exception that ends it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of other threads
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        sys.stdout = sys.stderr = log.open("w")
        for number in (1, 2):
            os.dup2(sys.stdout.fileno(), number)
        call()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def status_of(child: int, seconds: int = 600) -> int:
    """Waits for a child, kills it after so many seconds, and returns its exit code, or the negative signal."""
    number = os.pidfd_open(child)
    if not select.select([number], [], [], seconds)[0]:
        os.kill(child, signal.SIGKILL)
    os.close(number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def image_stays(
    call: Callable[[], object], shapes: set[tuple[int, ...]] | None = None
) -> Counter[tuple[str, int, str]]:
    """Runs a call; returns how often each function of the package is called with an image of the call.

    A function has its file, its first line and its name. The image is an argument by name: an array of one of the
    shapes, which are those of the call's images, or for None any image or mask. Other threads are not seen.
    """
    package = Path(pyharmony.__file__).parent
    stays: Counter[tuple[str, int, str]] = Counter()
    frames: dict[int, FrameType] = {}

    def is_image(value: object) -> bool:
        return isinstance(value, np.ndarray) and (value.ndim >= 2 if shapes is None else value.shape in shapes)

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or id(frame) in frames or not Path(code.co_filename).is_relative_to(package):
            return  # a generator that goes on is counted once
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(is_image(frame.f_locals.get(name)) for name in names):
            frames[id(frame)] = frame  # a frame that is referenced has an address of its own
            file = Path(code.co_filename).relative_to(package).as_posix()
            stays[file, code.co_firstlineno, code.co_name] += 1

    call()  # what is imported at its first use is not counted
    threads = pyharmony.get_num_threads()
    pyharmony.set_num_threads(1)
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
        pyharmony.set_num_threads(threads)
    return stays


def save_triples(root: Path, triples: Sequence[dict[str, np.ndarray]]) -> Path:
    """Writes triples as files t0.png, t1.png, … in a folder for each role."""
    for i, triple in enumerate(triples):
        for role, pixels in triple.items():
            (root / role).mkdir(parents=True, exist_ok=True)
            pyharmony.save(pixels, root / role / f"t{i}.png")
    return root


def put(path: Path, image: np.ndarray) -> Path:
    """Writes an image to a file, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyharmony.save(image, path)
    return path


def pixels(path: str | Path) -> np.ndarray:
    """Returns what Pillow reads of a file."""
    return np.asarray(Image.open(path))


def pickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))  # noqa: S301


def same_bits(a: np.ndarray, b: np.ndarray) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.ascontiguousarray(a).view(np.uint8), np.ascontiguousarray(b).view(np.uint8))


def srgb_device(y: np.ndarray) -> np.ndarray:
    """Returns the values of sRGB for linear light."""
    return np.where(y <= 0.0031308, y * 12.92, 1.055 * np.maximum(y, 0) ** (1 / 2.4) - 0.055)


def random_image(rng: np.random.Generator, height: int, width: int, dtype: str = "uint8") -> np.ndarray:
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, np.iinfo(dtype).max, (height, width, 3), endpoint=True).astype(dtype)
    return rng.random((height, width, 3)).astype(dtype)


def to_dtype(x: np.ndarray, dtype: str) -> np.ndarray:
    """Returns values from 0 to 1 over the range of a dtype, rounded for integers."""
    x = x * RANGE[dtype]
    return (np.rint(x) if dtype.startswith("u") else x).astype(dtype)


def image(rng: np.random.Generator, shape: Sequence[int], dtype: str, kind: str = "noise") -> Any:
    """Returns noise, a smooth image with edges, or a constant, over the range of the dtype."""
    x = rng.random(tuple(shape))
    if kind == "picture":
        i, j = np.ogrid[: shape[-3], : shape[-2]]
        wave = np.sin(i / 9 + 1) * np.cos(j / 13) + (np.hypot(i - shape[-3] / 3, j - shape[-2] / 2) < shape[-3] / 4)
        x = np.clip(0.4 + 0.25 * wave[..., None] + 0.05 * (x - 0.5), 0, 1)
    elif kind == "constant":
        x = np.full(shape, 0.37)
    return to_dtype(x, dtype)


def soft_mask(rng: np.random.Generator, h: int, w: int, dtype: str = "float32") -> Any:
    m = np.clip(rng.random((h, w)) * 2 - 0.5, 0, 1)
    return m > 0.5 if dtype == "bool" else to_dtype(m, dtype)


def assert_rounded(out: Any, real: Any, dst: Any, mask: Any, preserve: bool) -> None:
    """A result in the images' dtype is the float64 one rounded; with `preserve` dst stays where the mask is zero."""
    dtype = out.dtype.name
    rounded = np.clip(np.rint(real), 0, RANGE[dtype]) if dtype.startswith("u") else real
    np.testing.assert_array_equal(out, rounded.astype(dtype))
    if preserve:
        np.testing.assert_array_equal(out[mask == 0], dst[mask == 0])


def captured(step: Callable[[], list[Any]]) -> tuple[Any, list[Any]]:
    """Returns a CUDA graph of a step that has run once, and the tensors that its replays write."""
    import torch

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return graph, result


def closed(mask: np.ndarray) -> np.ndarray:
    """Returns a mask over an image with strips of at most three pixels beside the border inside, line by line."""
    result = mask.copy()
    for turn in (1, 3, 0, 2):  # the lines from the top, the bottom, the left and the right, as the package goes
        for line in np.rot90(result, turn):
            first = int((line > 0).argmax())
            if first <= 3:
                line[:first] = line[first]
    return result if (result == 0).any() else mask


def laid_out(a: np.ndarray, layout: str) -> np.ndarray:
    """Returns an array of the same values in memory of its own that is laid out differently."""
    a = a.copy()
    if layout == "planar":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -1, 0)), 0, -1) if a.ndim == 3 else a
    if layout == "mirrored":
        return a[::-1, ::-1].copy()[::-1, ::-1]
    if layout == "every other":
        return np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3]
    if layout == "four channels":
        return np.concatenate([a, a[..., :1]], -1)[..., :-1] if a.ndim == 3 else a
    if layout == "columns first":
        return np.asfortranarray(a)
    if layout == "unaligned":
        memory = np.zeros(a.nbytes + 1, np.uint8)
        result = memory[1:].view(a.dtype).reshape(a.shape)
        result[...] = a
        return result
    return a
