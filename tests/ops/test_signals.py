"""Signals while a call works: Ctrl-C ends it at once, SIGTERM and the end of Python end the process cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import ops, upscaling
from pyharmony._images.threads import check_ended, in_threads
from pyharmony.composition import _compose as _compose_module
from pyharmony.merging import _views
from pyharmony.segmentation import _clicks, people
from pyharmony.segmentation import masks as masks_module
from pyharmony.segmentation._methods import method_of
from pyharmony.segmentation._network import NetworkCutter, Prompts
from pyharmony.segmentation.heads import Head

from ..shared import ROOT

HEIGHT, WIDTH = 1200, 1600


class Signals:
    """Sends SIGINT until a handler in the main thread has run `count` times, and then lets it raise."""

    def __init__(self, count: int) -> None:
        self.count, self.handled = count, 0
        self._step = threading.Semaphore(0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.handled += 1
        self._step.release()
        if self.handled == self.count:
            raise KeyboardInterrupt

    def _send(self) -> None:
        time.sleep(0.1)  # the call has begun
        for _ in range(self.count):
            if self._stop.is_set():
                return
            os.kill(os.getpid(), signal.SIGINT)
            self._step.acquire()

    def __enter__(self) -> Signals:
        self._before = signal.signal(signal.SIGINT, self._handle)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._step.release()
        self._thread.join()
        signal.signal(signal.SIGINT, self._before)


@pytest.fixture(scope="module")
def images() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    src, dst = (rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(2))
    mask = np.ones((HEIGHT, WIDTH), np.float32)
    mask[0] = 0
    return {"src": src, "dst": dst, "mask": mask}


def _solve(images: dict[str, Any], **options: Any) -> Any:
    return ops.gaussian_poisson(images["src"], images["dst"], images["mask"], images["dst"], **options)


#: Calls of seconds or more; each consists of one native call, or of a few.
CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "chebyshev": lambda im: _solve(im, method="chebyshev", color_weight=1e-3),
    "multigrid": lambda im: _solve(im, method="multigrid", color_weight=1e-4, preserve_background=True, tolerance=1e-9),
    "poisson": lambda im: ops.poisson(im["src"], im["dst"], im["mask"], tolerance=1e-9, return_info=True),
}


@pytest.mark.large
@pytest.mark.parametrize("name", CALLS)
def test_signals_are_handled_while_a_solve_runs(name: str, images: dict[str, Any], threads: int) -> None:
    """One after the other, within one call: before, all but the first waited for its end."""
    before = {key: value.copy() for key, value in images.items()}
    with Signals(5) as signals, pytest.raises(KeyboardInterrupt):
        CALLS[name](images)
    assert signals.handled == 5
    for key, value in images.items():
        np.testing.assert_array_equal(value, before[key])


def _for_ever(film: ops.PoissonSequence, images: dict[str, Any]) -> None:
    while True:
        film.solve(images["src"], images["dst"], tolerance=1e-9)


def test_a_call_after_an_interrupted_one_is_right(threads: int, images: dict[str, Any]) -> None:
    small = {key: value[:90, :120] for key, value in images.items()}
    images = {key: value[:300, :400] for key, value in images.items()}
    solver = ops.PoissonSolver(images["mask"])
    expected = ops.poisson(small["src"], small["dst"], small["mask"]), solver.solve(images["src"], images["dst"])
    film = solver.sequence()
    first = film.solve(images["src"], images["dst"])
    for _ in range(2):
        with Signals(1), pytest.raises(KeyboardInterrupt):
            _for_ever(film, images)
        film.reset()
        np.testing.assert_array_equal(film.solve(images["src"], images["dst"]), first)
        np.testing.assert_array_equal(ops.poisson(small["src"], small["dst"], small["mask"]), expected[0])
        np.testing.assert_array_equal(solver.solve(images["src"], images["dst"]), expected[1])


def test_a_handler_may_call_the_package(threads: int, images: dict[str, Any]) -> None:
    """It runs between two parts of a solve, and solves by itself."""
    small = [images[key][:60, :80] for key in ("src", "dst", "mask")]
    expected, results = ops.poisson(*small), []
    before = signal.signal(signal.SIGINT, lambda *_: results.append(ops.poisson(*small)))
    try:
        sender = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        sender.start()
        image = images["src"][:600, :800], images["dst"][:600, :800], images["mask"][:600, :800]
        alone = ops.poisson(*image)
        while not results:
            np.testing.assert_array_equal(ops.poisson(*image), alone)
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)
    np.testing.assert_array_equal(results[0], expected)


@pytest.mark.house
def test_an_interrupt_comes_before_other_errors_of_its_job(tmp_path: Path) -> None:
    """And what its handler computes does not end with the job that it came in."""
    root = ROOT
    sources = root / "csrc" / "core" / "parallel.cpp", root / "tests" / "native" / "interrupts.cpp"
    program = tmp_path / "interrupts"
    subprocess.run(["g++", "-std=c++17", "-pthread", "-I", root / "csrc", *sources, "-o", program], check=True)
    process = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(2)
    yield
    pyharmony.set_num_threads(before)


@pytest.mark.chains
@pytest.mark.usefixtures("two_threads")
def test_an_enlargement_ends_within_a_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tiles are at work in other threads, which ask between two convolutions."""
    from pyharmony.ops.convolution import convolution as compute
    from pyharmony.upscaling import _generator

    generator = _generator.network("srgan-light")
    of_a_tile = 3 + 2 * len(generator.blocks) + len(generator.doublings)
    starts, interrupted = 0, 0

    def convolution(*arguments: Any, **options: Any) -> Any:
        nonlocal starts
        starts += 1
        if starts == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return compute(*arguments, **options)

    def handle(*_: object) -> None:
        nonlocal interrupted
        interrupted = starts
        raise KeyboardInterrupt

    monkeypatch.setattr(_generator, "convolution", convolution)
    image = np.random.default_rng(0).integers(0, 256, (500, 1000, 3), np.uint8)
    before = signal.signal(signal.SIGINT, handle)
    try:
        with pytest.raises(KeyboardInterrupt):
            upscaling.super_resolve(image, 2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupted >= 5
    assert starts - interrupted < of_a_tile  # two tiles were at work, and both went on to their ends


class Parts:
    """Parts of the work of threads; at the third one comes Ctrl-C."""

    starts = 0

    def begin(self) -> None:
        self.starts += 1
        if self.starts == 3:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    def work(self, *_: Any, **__: Any) -> None:
        """Does a hundred parts, and asks before each whether it may end."""
        for _ in range(100):
            check_ended()
            self.begin()


def _picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)


def _quick_looks(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(network: _clicks.Network, view: np.ndarray, *_: Any) -> _clicks.Cut:
        parts.begin()
        side = len(view)
        return _clicks.Cut(np.zeros((3, side, side), np.float32), np.zeros(3, np.float32), np.zeros(0, np.float32))

    monkeypatch.setattr(_clicks.Network, "cut", cut)
    cutter = method_of("auto").opened(_picture())
    assert isinstance(cutter, NetworkCutter)
    in_threads(lambda _: [cutter.quickly(Prompts([(5.0, 5.0)], [1])) for _ in range(100)], range(2))


def _people(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = [Head((x, 10.0, 20.0, 20.0), (x, 10.0, 30.0, 70.0), 1.0) for x in (10.0, 70.0)]
    monkeypatch.setattr(NetworkCutter, "heads", lambda _: heads)
    monkeypatch.setattr(people, "_cut_out", parts.work)
    pyharmony.segment(_picture(), all_people=True)


def _reduced_masks(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = pyharmony.segment(_picture(), points=(40, 30))
    assert len(masks) > 1
    monkeypatch.setattr(masks_module, "layer_mask", parts.work)
    masks.reduced((40, 30))


def _merge(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_views, "people_in", parts.work)
    pyharmony.merge([_picture()] * 2, base="auto", align=False)


def _compose(**options: Any) -> Any:
    subject = np.zeros((20, 20, 4), np.uint8)
    subject[4:-4, 4:-4] = 255
    plain: dict[str, Any] = {"harmonize": None, "shadow": False, "people": [], "at": (5, 5), "return_info": True}
    return pyharmony.compose([subject] * 2, _picture(), **{**plain, **options})


def _files_of_a_composite(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compose_module, "_read", parts.work)
    pyharmony.compose(["a.png"], "b.png")


def _background_of_a_composite(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compose_module, "digest", parts.work)
    _compose()


def _recipe_of_a_composite(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _compose()[1].recipe
    monkeypatch.setattr(_compose_module, "digest", parts.work)
    _compose(recipe=recipe)


def _preview_of_a_composite(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _compose()[1].recipe
    monkeypatch.setattr(_compose_module, "resized", parts.work)
    _compose(recipe=recipe, side=60)


@pytest.mark.chains
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "call",
    [
        lambda parts, _: in_threads(lambda _: in_threads(lambda _: parts.begin(), range(100)), range(2)),
        _quick_looks, _people, _reduced_masks, _merge,
        _files_of_a_composite, _background_of_a_composite, _recipe_of_a_composite, _preview_of_a_composite,
    ],
)  # fmt: skip
def test_work_in_threads_ends_with_its_call(
    call: Callable[[Parts, pytest.MonkeyPatch], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on to its end, for which Ctrl-C waited."""
    parts = Parts()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            call(parts, monkeypatch)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 3 <= parts.starts < 100


#: Four processes, one after the other, whose threads solve without an end; {end} is what their main threads do. They
#: are forks of one that has imported what they need, and tells how each ended.
BUSY = """
import os, signal, sys, threading, time
import numpy as np
import pyharmony
from pyharmony import ops

ops.poisson, ops.gaussian_poisson
for _ in range(4):
    if not (child := os.fork()):
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
pyharmony.set_num_threads(2)
src, dst = (np.random.default_rng(i).integers(0, 256, (300, 400, 3), np.uint8) for i in range(2))
mask = np.ones((300, 400), bool)
mask[0] = False
begun = threading.Semaphore(0)
def work():
    while True:
        begun.release()
        ops.poisson(src, dst, mask)
        ops.gaussian_poisson(src, dst, mask, dst)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(6):
    begun.acquire()
{end}
"""
SIGNALS = {
    "the end of the main thread": ("", 0),
    "sys.exit": ("sys.exit(5)", 5),
    "an error": ("raise SystemExit(7)", 7),
    "SIGTERM with a handler": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\nos.kill(os.getpid(), signal.SIGTERM)\nwork()",
        143,
    ),
    "SIGTERM without one": ("os.kill(os.getpid(), signal.SIGTERM)\nwork()", -signal.SIGTERM),
}


@pytest.mark.house  # sanitizers report what threads hold at the end
@pytest.mark.parametrize(
    "end", [*list(SIGNALS)[:2], *(pytest.param(end, marks=pytest.mark.slow) for end in list(SIGNALS)[2:])]
)
def test_python_ends_while_other_threads_solve(end: str) -> None:
    """They came back from a call into a Python that had shut down, and ended the process with std::terminate."""
    code, expected = SIGNALS[end]
    process = subprocess.run(
        [sys.executable, "-c", BUSY.format(end=code)], capture_output=True, text=True, timeout=480, check=False
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, f"{int(expected)}\n" * 4, "")


@pytest.mark.large
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_command_that_solves_ends_by_a_signal_without_a_file(
    number: signal.Signals, code: int, images: dict[str, Any], tmp_path: Path
) -> None:
    mask = np.rint(images["mask"] * 255).astype(np.uint8)
    for name, image in (("src", images["src"]), ("dst", images["dst"]), ("mask", mask)):
        pyharmony.save(image, tmp_path / f"{name}.png")
    there = sorted(os.listdir(tmp_path))
    command = [sys.executable, "-m", "pyharmony", "blend", "src.png", "dst.png", "mask.png", "-o", "out.png", "--json"]
    for wait in (0.3, 0.6, 0.9):
        with subprocess.Popen(
            [*command, "--mode", "poisson", "--tolerance", "1e-9"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell may have it ignored
        ) as running:  # fmt: skip
            time.sleep(wait)
            running.send_signal(number)
            _, output = running.communicate(timeout=60)
        assert running.returncode in (code, -number), (
            output
        )  # before the command has its handlers it is the signal's own
        assert "terminate" not in output and "Traceback" not in output, output
        assert sorted(os.listdir(tmp_path)) == there


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("dropped", [True, False])
def test_a_signal_whose_exception_is_dropped_is_raised_again(number: signal.Signals, code: int, dropped: bool) -> None:
    """It is so until Python code is on its way out by it, which is not disturbed."""
    program = f"""
import os, signal, sys, time, weakref
from pyharmony.cli import _app, main

class Part:
    pass

def end(_):
    os.kill(os.getpid(), signal.{number.name})
    time.sleep(0.01)

def work(prog_name):
    try:
        if {dropped}:
            part = Part()
            reference = weakref.ref(part, end)  # exceptions of its callback are ignored
            del part
        else:
            end(None)
        time.sleep(20)
        print("worked to its end")
    finally:
        time.sleep(0.4)
        print("put in order")

signal.signal(signal.SIGINT, signal.default_int_handler)
_app.app = work
main()
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (process.returncode, process.stdout) == (code, "put in order\n")
    assert "Traceback" not in process.stderr and "ignored" not in process.stderr
