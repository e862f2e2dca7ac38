"""Measures the web page in Chromium: loading time, time of composites, and frame rate of blends during a drag.

    python benchmarks/page.py run DATA [--rounds N]   # with the photographs of DATA/app_open; five minutes
    python benchmarks/page.py report                  # the table, into docs/serve.md

The service is the command `pyharmony serve` in a separate process, and Chromium, without a GPU, runs on the same cores.
The photographs are those of the package, and those of benchmarks/composition.py, enlarged to 12 megapixels. A script
clicks as soon as it can. A drag is moved at every frame by the page itself, so that no driver is measured; its times
start when the button is released.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from composition import CLICK, PHOTOS, PIXELS, enlarged
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from records import Record, commands_of
from tables import rows_of

import pyharmony
from pyharmony.serve import PAGE

RECORD = Record("page", "serve.md")
IMAGES = Path(pyharmony.__file__).parent / "cli" / "images"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2,
}  # fmt: skip
SCREENS = {"desktop": DESKTOP, "phone": PHONE}
#: The timeout of a step, in milliseconds.
PATIENCE = 120_000
#: The duration of a drag, in seconds.
DRAGGED = 2.5
#: The number of visits per round that measure the loading time.
VISITS = 3
#: The requirements of the page: upper limits, and for rates lower limits.
REQUIREMENTS = {"ready": 1500, "journey": 60, "fine": 150, "blends": 15, "full": 50, "vast": 100}

#: The reported quantities of a drag.
DRAGS = ("blends", "frames", "fine", "rests")
#: Records when the page is ready: all of it is loaded, and the service has reported its capabilities.
READY = """() => {
  new MutationObserver(() => {
    if (document.documentElement?.dataset.ready) window.readyAfter ??= performance.now();
  }).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-ready"] });
}"""
#: Drags the object at a point in circles for some seconds, releases it, and records the canvas's states until it rests.
DRAG = """([x, y, seconds]) => new Promise((done) => {
  const stage = document.querySelector("#stage");
  const blends = () => Number(stage.dataset.frames ?? 0);
  const [begun, before] = [performance.now(), blends()];
  let frames = 0;
  const send = (name, at) => window.dispatchEvent(new MouseEvent(name, {
    clientX: x + 60 * Math.sin(3 * at), clientY: y + 30 * Math.cos(3 * at) - 30, bubbles: true, buttons: 1,
  }));
  const move = () => {
    const at = (performance.now() - begun) / 1000;
    frames += 1;
    send("mousemove", at);
    if (at < seconds) {
      requestAnimationFrame(move);
      return;
    }
    const found = { blends: (blends() - before) / at, frames: frames / at };
    const dropped = performance.now();
    const watch = new MutationObserver(() => {
      const now = performance.now() - dropped;
      const { blend, state } = stage.dataset;
      if (blend === "fine") found.fine ??= now;
      if (state !== "rests") return;
      watch.disconnect();
      done({ ...found, rests: now });
    });
    delete stage.dataset.blend;
    send("mouseup", at);
    watch.observe(stage, { attributes: true, attributeFilter: ["data-blend", "data-state"] });
  };
  move();
})"""
ON_SCREEN = """([x, y]) => {
  const box = document.querySelector("#stage").getBoundingClientRect();
  const world = Konva.stages[0].getLayers()[0].children[0];
  return [box.x + world.x() + x * world.scaleX(), box.y + world.y() + y * world.scaleY()];
}"""
#: The canvas is resized a moment after it is shown, and then shows its image.
CANVAS_IS_READY = """() => {
  const stage = Konva.stages[0];
  return stage.width() === document.querySelector("#stage").clientWidth
    && stage.getLayers()[0].children[0].x() !== 0;
}"""


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """Runs the service, and yields its address."""
    log = folder / "log"
    words = [sys.executable, "-m", "pyharmony", "serve", "--port", "0", "--log-json", *options]
    with log.open("w") as file:
        process = subprocess.Popen(words, stderr=file, env={**os.environ, "TMPDIR": str(folder)})
    try:
        while not (text := log.read_text()).endswith("\n"):
            assert process.poll() is None, text
            time.sleep(0.05)
        yield json.loads(text.splitlines()[0])["address"]
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def visiting(browser: Browser, address: str, screen: Mapping[str, Any]) -> Iterator[Page]:
    """Opens the page in a browser with an empty cache, and yields it when it is ready."""
    context = browser.new_context(locale="en", reduced_motion="reduce", **screen)
    context.add_init_script(f"({READY})()")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_function("() => window.readyAfter")
    try:
        yield page
    finally:
        context.close()


def settled(page: Page) -> None:
    page.wait_for_selector("#stage[data-state=rests]")
    page.wait_for_selector("html[data-busy=false]")


def stepped(page: Page, name: str) -> None:
    page.wait_for_selector(f"section[data-step={name}]:not([hidden])")
    page.wait_for_function(CANVAS_IS_READY)


def placed(page: Page, photos: list[Path], click: tuple[float, float]) -> int:
    """Goes from two photographs to a placement, and returns the number of actions."""
    with Image.open(photos[0]) as image:
        point = click[0] * image.width, click[1] * image.height
    page.set_input_files("[data-slot=subject] input", [str(photo) for photo in photos])
    stepped(page, "cut")
    page.mouse.click(*page.evaluate(ON_SCREEN, point))
    page.click("#to-place:enabled")
    page.wait_for_selector("#places[data-state=done]", state="attached")
    settled(page)
    return 3


def downloaded(page: Page) -> int:
    with page.expect_download() as download:
        page.click("#download")
    return Path(download.value.path()).stat().st_size


def middle(page: Page) -> tuple[float, float]:
    """Returns the position of the placed object's centre on the screen."""
    x, y = (float(page.input_value(f"#place [name={name}]")) for name in ("x", "y"))
    point = page.evaluate(ON_SCREEN, [x, y])
    return point[0], point[1]


def drags(page: Page, rounds: int, name: str) -> list[dict[str, float]]:
    """Drags the placed object several times."""
    drags_ = []
    for number in range(rounds):
        settled(page)
        place = middle(page)
        page.mouse.move(*place)
        page.mouse.down()
        drag: dict[str, float] = page.evaluate(DRAG, [*place, DRAGGED])
        page.mouse.up()
        drags_.append(drag)
        print(f"{name}, round {number + 1}:", *(f"{key} {value:.0f}" for key, value in drag.items()), flush=True)
    return drags_


def at_once(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Measures immediate responses in milliseconds: a full queue or a vast image is refused, a job stops."""
    steps = np.arange(1400) // 64
    levels = ((steps * 7 + steps[:, None] * 13) % 256).astype(np.uint8)
    mask = np.zeros_like(levels)
    mask[8:-8, 8:-8] = 255
    size = struct.pack(">4sIIBBBBB", b"IHDR", 65535, 65535, 8, 2, 0, 0, 0)
    vast = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    values_by_stage: dict[str, list[float]] = {"full": [], "stops": [], "vast": []}

    def timed(name: str, status: int, ask: Callable[[], httpx.Response]) -> None:
        start = time.perf_counter()
        answer = ask()
        values_by_stage[name].append(1e3 * (time.perf_counter() - start))
        assert answer.status_code == status, answer.text

    with (
        serving(folder, "--queue", "2", "--workers", "1") as address,
        httpx.Client(base_url=address, headers={"X-Pyharmony": "1"}, timeout=60) as client,
    ):
        ids = {}
        for name, image in (("src", levels), ("dst", levels.T), ("mask", mask)):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "png")
            ids[name] = client.post("/api/v1/pictures", content=buffer.getvalue()).json()["id"]
        body = {**ids, "mode": "gaussian-poisson", "tolerance": 1e-7}
        for _ in range(9 * rounds):
            timed("vast", 413, lambda: client.post("/api/v1/pictures", content=vast))
        for _ in range(3 * rounds):
            jobs = [client.post("/api/v1/blend", json=body).json()]
            while client.get(jobs[0]["url"]).json().get("phase", {}).get("name") != "solve":
                time.sleep(0.01)
            jobs += [client.post("/api/v1/blend", json=body).json() for _ in range(2)]
            for _ in range(3):
                timed("full", 429, lambda: client.post("/api/v1/blend", json=body))
            for job in jobs[:0:-1]:
                client.delete(job["url"])
            timed("stops", 200, lambda jobs=jobs: client.delete(jobs[0]["url"]))
    return {name: summed(values) for name, values in values_by_stage.items()}


def weighed() -> dict[str, int]:
    """Returns the bytes of the page's files, each compressed separately."""
    sizes = {path: len(gzip.compress(path.read_bytes(), 9)) for path in PAGE.rglob("*") if path.is_file()}
    scripts = sum(size for path, size in sizes.items() if path.suffix == ".js")
    konva = sum(size for path, size in sizes.items() if path.name.startswith("konva"))
    return {"all": sum(sizes.values()), "scripts": scripts, "konva": konva}


def summed(values: list[float], largest: bool = False) -> dict[str, float]:
    """Returns the median, the best and the number of some values."""
    best = max(values) if largest else min(values)
    return {"median": statistics.median(values), "best": best, "count": len(values)}


def summed_drags(drags: list[dict[str, float]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for key in DRAGS:
        values = [one[key] for one in drags if key in one]
        if values:
            summary[key] = summed(values, largest=key in ("blends", "frames"))
    return summary


def cut_by_mask(folder: Path, large: list[Path]) -> dict[str, list[Path]]:
    """Returns for each size a source, its mask and a destination, for composites with a given mask."""
    y, x = np.mgrid[:512, :512]
    mask = Image.fromarray((np.hypot((x - 255.5) / 230, (y - 255.5) / 230) < 1).astype(np.uint8) * 255)
    mask.save(folder / "mask.png")
    sources = {"bundled": [IMAGES / "astronaut.jpg", folder / "mask.png", IMAGES / "rocket.jpg"]}
    with Image.open(large[0]) as image:
        mask.resize(image.size).save(folder / "large-mask.png")
    sources["12 MP"] = [large[0], folder / "large-mask.png", large[1]]
    return sources


def measured(root: Path, rounds: int) -> dict[str, Any]:
    """Runs all measurements."""
    began, load = time.monotonic(), os.getloadavg()[0]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium is not None, "chromium is not installed"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        large = [folder / name for name in PHOTOS]
        for file in large:
            Image.fromarray(enlarged(root / "app_open" / file.name, PIXELS)).save(file, quality=92)
        pairs = {
            "bundled": ([IMAGES / "astronaut.jpg", IMAGES / "rocket.jpg"], (0.43, 0.59)),
            "12 MP": (large, CLICK),
        }
        address = stack.enter_context(serving(folder))
        driver = stack.enter_context(sync_playwright())
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        stack.callback(browser.close)

        ready: list[float] = []
        journeys: dict[str, list[float]] = {}
        composites: list[float] = []
        drags_by_case: dict[str, list[dict[str, float]]] = {}
        actions = 0

        def journey(name: str, page: Page, photos: list[Path], click: tuple[float, float]) -> None:
            nonlocal actions
            start = time.monotonic()
            actions = placed(page, photos, click) + 1
            size = downloaded(page)
            journeys.setdefault(name, []).append(time.monotonic() - start)
            print(f"{name}: {journeys[name][-1]:.1f} s, {actions} actions, {size / 1e6:.1f} MB", flush=True)

        for number in range(rounds):
            for _ in range(VISITS):
                with visiting(browser, address, DESKTOP) as page:
                    ready.append(page.evaluate("window.readyAfter"))
            print(f"ready after {ready[-1]:.0f} ms", flush=True)
            for kind, (photos, click) in pairs.items():
                for screen, options in SCREENS.items():
                    # Large ones take long and vary less: two of each, of which the drags have one on a desktop.
                    if kind != "bundled" and number + (screen == "desktop") > 1:
                        continue
                    with visiting(browser, address, options) as page:
                        journey(f"{kind}, {screen}", page, photos, click)
            composites.append(composite(browser, address, folder))
        for kind, (photos, click) in pairs.items():
            with visiting(browser, address, DESKTOP) as page:
                journey(f"{kind}, desktop", page, photos, click)
                if page.get_attribute("#behind", "aria-pressed") == "true":
                    page.click("#behind")
                for blend in ("alpha", "poisson"):
                    page.click("[data-to=match]")
                    page.check(f"input[name=blend][value={blend}]", force=True)
                    page.click("[data-to=place]")
                    drags_by_case[f"two photos, {blend}, {kind}"] = drags(page, rounds, f"two photos, {blend}, {kind}")
        for kind, files in cut_by_mask(folder, large).items():
            with visiting(browser, address, DESKTOP) as page:
                page.check("input[name=way][value=blend]", force=True)
                page.set_input_files("[data-slot=source] input", [str(file) for file in files])
                stepped(page, "place")
                for mode in ("poisson", "gaussian-poisson"):
                    page.eval_on_selector(
                        "#mode", "(one, to) => { one.value = to; one.dispatchEvent(new Event('change')); }", mode
                    )
                    drags_by_case[f"mask, {mode}, {kind}"] = drags(page, rounds, f"mask, {mode}, {kind}")
        version = browser.version
        quick = at_once(folder, rounds)
    print(quick, f"{time.monotonic() - began:.0f} s in all", flush=True)
    return {
        "at_once": quick,
        "bytes": weighed(),
        "ready": summed(ready),
        "actions": actions,
        "journeys": {name: summed(values) for name, values in journeys.items()},
        "composite": summed(composites),
        "drags": {name: summed_drags(drags_) for name, drags_ in drags_by_case.items()},
        "rounds": rounds,
        "machine": {"cores": os.cpu_count(), "chromium": version, "load": load},
    }


def composite(browser: Browser, address: str, folder: Path) -> float:
    """Returns the seconds from a composite and its mask to a download."""
    with Image.open(IMAGES / "coffee.jpg") as image:
        pixels = np.asarray(image.convert("RGB")).copy()
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[230:330, 80:220] = 255
    pixels[mask > 0] = pixels[mask > 0] // 2 + np.uint8((20, 60, 110))
    files = [folder / "composite.png", folder / "of-composite.png"]
    Image.fromarray(pixels).save(files[0])
    Image.fromarray(mask).save(files[1])
    with visiting(browser, address, DESKTOP) as page:
        start = time.monotonic()
        page.check("input[name=way][value=harmonize]", force=True)
        page.set_input_files("[data-slot=composite] input", [str(file) for file in files])
        stepped(page, "match")
        downloaded(page)
        seconds = time.monotonic() - start
    print(f"composite and mask: {seconds:.1f} s, 3 actions", flush=True)
    return seconds


def both(one: Mapping[str, float], digits: int = 0) -> str:
    return f"{one['median']:.{digits}f}, {one['best']:.{digits}f}"


def report() -> None:
    """Writes the tables into the page."""
    whole = RECORD.read()
    weights, cores = whole["bytes"], whole["machine"]["cores"]
    lines = [["from photographs to the download", "times", "seconds: median, best", "asked"]]
    for name, one in whole["journeys"].items():
        kind, screen = name.split(", ")
        photos = {"bundled": "the sample photographs", "12 MP": "two of 12 megapixels"}[kind]
        width = {"desktop": "1280", "phone": "360"}[screen]
        label = f"{photos}, {width} pixels wide, {whole['actions']} actions"
        lines.append([label, f"{one['count']}", both(one, 1), f"{REQUIREMENTS['journey']}"])
    one = whole["composite"]
    lines.append(["a composite and its mask, 3 actions", f"{one['count']}", both(one, 1), ""])
    head = ["a drag", "blends a second", "frames a second", "the blend where it is let go, ms"]
    lines_of_match = [[*head, "the match, or the exact preview, ms"]]
    for name, one in whole["drags"].items():
        way, mode, kind = name.split(", ")
        label = f"{way}, {mode}, {'12 megapixels' if kind == '12 MP' else 'samples'}"
        lines_of_match.append([label, *(both(one[key]) if one.get(key, {}).get("best") else "" for key in DRAGS)])
    chromium, load = whole["machine"]["chromium"], whole["machine"]["load"]
    facts = (
        f"Medians and the best; {whole['rounds']} times each drag. Service and Chromium {chromium} were on the same "
        f"{cores} cores, without a GPU, at a load of {load:.1f} by others when it began. The page is ready "
        f"{both(whole['ready'])} ms after its address was "
        f"asked for (asked: {REQUIREMENTS['ready']}), and has {weights['all'] / 1e3:.0f} kB compressed (asked: 300), "
        f"{weights['konva'] / 1e3:.0f} of which are Konva. Asked of a drag: {REQUIREMENTS['blends']} frames a second, "
        f"better {2 * REQUIREMENTS['blends']}, and the real blend {REQUIREMENTS['fine']} ms after it at most. With a "
        "clean edge nothing is solved: what is matched moves along. The match of colours at a new place begins 350 ms "
        "after the last move, which its time has in it."
    )
    quick = whole["at_once"]
    other = (
        f"In milliseconds, median and best: a full queue refuses in {both(quick['full'])} "
        f"(asked: {REQUIREMENTS['full']}), a job that runs stops, with its work, in {both(quick['stops'])}, "
        f"and an image of 4 gigapixels is refused by its header in {both(quick['vast'])} "
        f"(asked: {REQUIREMENTS['vast']})."
    )
    RECORD.tell(rows_of(lines) + "\n\n" + rows_of(lines_of_match) + "\n\n" + facts + "\n\n" + other)


def main() -> None:
    parser, commands = commands_of(__doc__)
    run = commands.add_parser("run")
    run.add_argument("data", type=Path)
    run.add_argument("--rounds", type=int, default=3)
    commands.add_parser("report")
    options = parser.parse_args()
    RECORD.run(options.command, {"run": lambda: measured(options.data, options.rounds)}, report)


if __name__ == "__main__":
    main()
