"""Shares a visit of a browser, its files and its waits among the tests of the page."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from .. import skips
from ..shared import ROOT


def lacking(what: str) -> NoReturn:
    """Skips where something is not installed; with CI set nothing may be missing, and it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed, and CI is set: the page has to be tested", pytrace=False)
    pytest.skip(skips.not_installed(what), allow_module_level=True)


def needed(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        lacking(module.partition("_")[0].partition(".")[0])


httpx = needed("httpx")
needed("fastapi")
needed("uvicorn")
playwright = needed("playwright.sync_api")

IMAGES = ROOT / "pyharmony" / "cli" / "images"
ROCKET = IMAGES / "rocket.jpg"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2,
}  # fmt: skip
Rectangle = tuple[float, float, float, float]
#: A control's name has the words that it shows: who speaks them means it. The rule of axe is off by default.
AXE_RULES = {"label-content-name-mismatch": {"enabled": True}}
#: The longest that a step may take here, where other work runs beside it, in milliseconds.
PATIENCE = 150_000


class Visit:
    """The page as somebody sees it, and what they do there; every doing is counted."""

    def __init__(self, page: Any, service: Any) -> None:
        self.page, self.service, self.actions = page, service, 0
        #: The requests of the page that are not answered yet.
        self.requests: set[Any] = set()
        #: Parts of what the browser says of a refusal that a test asks for: it is no fault of the page.
        self.expected: list[str] = []

    def open(self) -> Visit:
        self.page.goto(self.service.address)
        self.page.wait_for_selector("html[data-ready]")
        return self

    def way(self, name: str) -> None:
        self.actions += 1
        self.page.check(f"input[name=way][value={name}]", force=True)

    def give(self, slot: str, *files: Path) -> None:
        self.actions += 1
        self.page.set_input_files(f"[data-slot={slot}] input", [str(file) for file in files])

    def click(self, selector: str) -> None:
        self.actions += 1
        self.page.click(selector)

    def step(self, name: str) -> None:
        self.page.wait_for_selector(f"section[data-step={name}]:not([hidden])")
        # The canvas takes its size a moment after it is shown, and the picture comes with the next answer; a click
        # before that is on another place. A picture that is shown never begins in the corner.
        self.page.wait_for_function(
            """() => {
              const stage = Konva.stages[0];
              const fits = stage.width() === document.querySelector("#stage").clientWidth;
              return fits && stage.getLayers()[0].children[0].x() !== 0;
            }"""
        )

    def cut(self) -> None:
        """Waits until something is cut out."""
        self.page.wait_for_selector("#to-place:enabled")

    def places(self) -> None:
        """Waits until the places are there."""
        self.page.wait_for_selector("#places[data-state=done]", state="attached")

    def to_place(self) -> None:
        """Goes on with what is cut out."""
        self.cut()
        self.click("#to-place")
        self.places()

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector("html[data-ready]")

    def drag(self, begin: tuple[float, float], *points: tuple[float, float]) -> None:
        """Drags the mouse from point to point of the screen."""
        self.page.mouse.move(*begin)
        self.page.mouse.down()
        for point in points:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up()

    def new_mask(self, do: Callable[[], Any]) -> np.ndarray:
        """Does what changes the mask, and returns the new one."""
        before = self.page.get_attribute("#save-mask", "href")
        do()
        self.comes(lambda: self.page.get_attribute("#save-mask", "href") != before)
        return pixels_of(self.download("#save-mask"))

    def drawn(self) -> None:
        """Waits until what was changed is drawn: only then is it felt what lies under a pointer."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def comes(self, condition: Callable[[], Any]) -> None:
        """Waits for a condition."""
        end = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < end, "it did not come about"
            self.page.wait_for_timeout(20)

    def settled(self) -> None:
        """Waits until nothing is being made."""
        self.page.wait_for_selector("#stage[data-state=rests]")
        self.page.wait_for_selector("html[data-busy=false]")

    def shot(self) -> bytes:
        """Returns a screenshot of what is shown at rest, and nothing of what is on its way: no request is open, no
        animation runs, fonts and images are there, nothing is computed or drawn, and two in a row are the same."""
        self.page.wait_for_selector("html:not([data-busy=true])")
        if self.page.is_visible("#editor") and not self.page.is_visible("section[data-step=cut]"):
            self.settled()
        self.comes(lambda: not self.requests)
        self.page.wait_for_function(
            """async () => {
              await Promise.all([document.fonts.ready, ...[...document.images].map((one) => one.decode())]);
              return document.getAnimations().every(({ playState }) => playState !== "running");
            }""",
        )
        before, now = b"", self.page.screenshot()
        while now != before or self.requests:
            self.drawn()
            self.page.wait_for_timeout(100)
            before, now = now, self.page.screenshot()
        return now

    def on_picture(self, x: float, y: float, touch: bool = False) -> tuple[float, float]:
        """Returns where a pixel of the picture is on the screen."""
        self.drawn()
        return tuple(
            self.page.evaluate(
                """([x, y]) => {
                  const box = document.querySelector("#stage").getBoundingClientRect();
                  const world = Konva.stages[0].getLayers()[0].children[0];
                  return [box.x + world.x() + x * world.scaleX(), box.y + world.y() + y * world.scaleY()];
                }""",
                [x, y],
            )
        )

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Returns which point of the picture is at a place of the screen."""
        left, top = self.on_picture(0, 0)
        zoom = self.zoom()
        return (x - left) / zoom, (y - top) / zoom

    def zoom(self) -> float:
        return self.page.evaluate("Konva.stages[0].getLayers()[0].children[0].scaleX()")

    def point(self, x: float, y: float, touch: bool = False) -> None:
        self.actions += 1
        place = self.on_picture(x, y)
        if touch:
            self.page.touchscreen.tap(*place)
        else:
            self.page.mouse.click(*place)

    def numbers(self) -> dict[str, float]:
        """Returns what the form of the place says."""
        return {name: float(self.page.input_value(f"#place [name={name}]")) for name in ("x", "y", "scale", "angle")}

    def middle(self, side: int = 120) -> dict[str, float]:
        """Returns the numbers with the middle of a square photo in place of its corner, which is that of a disc."""
        at = self.numbers()
        return {**at, "x": at["x"] + at["scale"] * side / 200, "y": at["y"] + at["scale"] * side / 200}

    def put(self, x: float, y: float, scale: float = 100, side: int = 120) -> None:
        """Puts the middle of a square photo to a place by the numbers, which are those of its corner."""
        shift = scale * side / 200
        for name, value in (("angle", 0), ("scale", scale), ("x", round(x - shift)), ("y", round(y - shift))):
            self.type(name, value)

    def type(self, name: str, value: float) -> None:
        self.page.fill(f"#place [name={name}]", str(value))
        self.page.press(f"#place [name={name}]", "Tab")

    def set(self, name: str, value: float) -> None:
        """Moves a slider."""
        self.actions += 1
        self.page.locator(f"#{name}").fill(str(value))
        self.page.locator(f"#{name}").dispatch_event("change")

    def choose(self, name: str, value: str) -> None:
        """Chooses in a list, also in one of another step: what is made before the choice is not waited for."""
        self.page.eval_on_selector(
            f"#{name}", "(one, to) => { one.value = to; one.dispatchEvent(new Event('change')); }", value
        )
        assert self.page.input_value(f"#{name}") == value

    def download(self, selector: str = "#download") -> bytes:
        self.actions += 1
        with self.page.expect_download() as download:
            self.page.click(selector)
        self.name = download.value.suggested_filename
        return Path(download.value.path()).read_bytes()

    def leave(self) -> None:
        """Goes back to the start, and deletes every picture."""
        self.click("#home")
        self.page.wait_for_selector("#draft:not([hidden])")
        while self.drafts():
            count = len(self.drafts())
            self.click("#draft li:first-child button >> text=Delete")
            self.comes(lambda count=count: len(self.drafts()) < count)
        assert self.page.is_hidden("#draft")

    def drafts(self) -> list[str]:
        """Returns the texts of the unfinished pictures that the start lists."""
        return self.page.locator("#draft li p").all_inner_texts()

    def read(self) -> None:
        """Closes the messages, which may lie over a handle."""
        while self.page.locator(".toast button").count():
            self.page.locator(".toast button").first.click()

    def says(self, text: str) -> None:
        self.page.wait_for_function(
            "text => [document.body.innerText, document.querySelector('#live').textContent].join().includes(text)",
            arg=text,
        )  # fmt: skip


def context_of(browser: Any, service: Any, kind: dict[str, Any]) -> Any:
    """Returns a context of the browser; a service for many tests has one of each kind, whose renderer stays.

    A page stays open there: to start a renderer for each visit takes as long as most visits.
    """
    options = {**DESKTOP, "locale": "en", "reduced_motion": "reduce", **kind}
    contexts = getattr(service, "contexts", {})
    key = repr([value for name, value in options.items() if name != "viewport"])
    if key not in contexts or not contexts[key].pages:  # it is closed after a failure
        contexts[key] = browser.new_context(**options)
        contexts[key].new_page().goto(f"{service.address.rstrip('/')}/icon.svg")
    return contexts[key]


@contextlib.contextmanager
def visiting(browser: Any, service: Any, kind: dict[str, Any] = DESKTOP, scheme: str = "light") -> Iterator[Visit]:
    """Opens the page; at the end, nothing was wrong in its console, and no request left the machine."""
    context = context_of(browser, service, kind)
    page = context.new_page()
    page.set_viewport_size(kind["viewport"])
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    storage = {"origin": "/".join(service.address.split("/")[:3]), "storageTypes": "all"}
    context.new_cdp_session(page).send("Storage.clearDataForOrigin", storage)
    wrong: list[str] = []
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    visit = Visit(page, service)

    def note_request(request: Any) -> None:
        if not request.url.startswith((service.address, "data:", "blob:")):
            wrong.append(request.url)
        # The end of a download, which is a navigation, is not told.
        if request.url.startswith(service.address) and not request.is_navigation_request():
            visit.requests.add(request)

    page.on("request", note_request)
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: visit.requests.discard(request))
    try:
        yield visit.open()
        assert [text for text in wrong if not any(part in text for part in visit.expected)] == []
    except BaseException:
        print("the page shows:", page.inner_text("body"), *wrong, sep="\n")
        context.close()
        raise
    if hasattr(service, "contexts"):
        for one in context.pages[1:]:
            one.close()
    else:
        context.close()


def axe_of(visit: Visit) -> list[tuple[str, str, str]]:
    """Returns what axe finds wrong in the page as it is shown: a rule, its impact, and the first element of each."""
    # The first call brings axe to the page, where it stays.
    if visit.page.evaluate("'axe' in window"):
        options = json.dumps({"resultTypes": ["violations"], "rules": AXE_RULES})
        results = visit.page.evaluate(f"axe.run({options})")
    else:
        axe = needed("axe_playwright_python.sync_playwright").Axe()
        results = axe.run(visit.page, options={"rules": AXE_RULES}).response
    return [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in results["violations"]]


def saved(folder: Path, name: str, pixels: np.ndarray) -> Path:
    path = folder / name
    Image.fromarray(pixels).save(path)
    return path


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def shapes(folder: Path) -> dict[str, Path]:
    """Returns a source with a disc, its mask, and a destination, all small and of plain colours."""
    y, x = np.mgrid[:120, :120]
    disc = (x - 59.5) ** 2 + (y - 59.5) ** 2 < 40**2
    source = np.where(disc[..., None], np.uint8((200, 60, 40)), np.uint8((240, 240, 240)))
    v, u = np.mgrid[:300, :400]
    below = np.stack([u * 255 // 400, v * 255 // 300, np.full_like(u, 120)], -1).astype(np.uint8)
    alpha = np.dstack([source, (disc * 255).astype(np.uint8)])
    return {
        "source": saved(folder, "source.png", source), "mask": saved(folder, "mask.png", disc.astype(np.uint8) * 255),
        "background": saved(folder, "below.png", below), "alpha": saved(folder, "alpha.png", alpha),
    }  # fmt: skip


def blending(visit: Visit, files: dict[str, Path], mode: str = "alpha") -> None:
    """Goes the way of a mask, to the step of placing."""
    visit.way("blend")
    visit.give("source", files["source"], files["mask"], files["background"])
    visit.step("place")
    if mode != "gaussian-poisson":
        visit.choose("mode", mode)
    visit.page.wait_for_selector("#stage[data-exact=true]")


def halved(folder: Path, name: str) -> Path:
    """Returns a photograph of the package with half its sides, where its size is not what a test is about."""
    with Image.open(IMAGES / name) as image:
        small = image.reduce(2)
    return saved(folder, f"{name.partition('.')[0]}.png", np.asarray(small))


def without_people(visit: Visit) -> None:
    """Lets nobody be found in the background, which takes seconds, where that is not what a test is about."""
    result = {"masks": [], "layers": [], "places": [], "info": {"method": "", "reason": "nobody"}}

    def found(route: Any) -> None:
        if not (route.request.post_data_json or {}).get("all_people"):
            route.continue_()
            return
        job = {"id": "0" * 32, "operation": "segment", "status": "done", "preview": False, "result": result}
        route.fulfill(json=job)

    visit.page.route("**/api/v1/segment?*", found)


def at_plain_place(visit: Visit) -> None:
    """Waits until places are there, and takes neither a match nor a shadow, whose estimates take most of the time."""
    visit.step("place")
    visit.page.wait_for_selector("#places[data-state=done]", state="attached")
    visit.choose("method", "none")
    visit.page.eval_on_selector("input[name=shadow][value=off]", "one => one.click()")


def composing(visit: Visit, files: dict[str, Path]) -> None:
    """Goes to the step of placing a cut-out with alpha, in a background without people, without match and shadow."""
    without_people(visit)
    visit.give("subject", files["alpha"], files["background"])
    at_plain_place(visit)


def cut_out(visit: Visit, files: dict[str, Path]) -> None:
    """Goes on from two photographs to the step of placing what a click cuts out, as `composing` does."""
    without_people(visit)
    visit.give("subject", files["source"], files["background"])
    visit.step("cut")
    visit.point(60, 60)
    visit.cut()
    visit.click("#to-place")
    at_plain_place(visit)


def these_people(visit: Visit, people: dict[int, tuple[np.ndarray, Rectangle]]) -> None:
    """Lets a person be found in each photograph of some width: their mask, and x, y, width and height of their head."""
    client = visit.service.client

    def uploaded(mask: np.ndarray) -> Any:
        buffer = io.BytesIO()
        Image.fromarray(mask).save(buffer, "png")
        return client.post("/api/v1/pictures", content=buffer.getvalue()).json()

    def found(route: Any) -> None:
        body = route.request.post_data_json or {}
        if not body.get("all_people"):
            route.continue_()
            return
        mask, head = people[client.get(f"/api/v1/pictures/{body['picture']}").json()["width"]]
        rows, columns = np.nonzero(mask)
        box = [int(value) for value in (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)]
        one = {"score": 1.0, "box": box, "head": head, "mask": uploaded(mask)}
        result = {"mask": one["mask"], "masks": [one], "layers": [], "places": []}
        result |= {"other_people": uploaded(np.zeros_like(mask)), "info": {"method": "", "reason": ""}}
        route.fulfill(
            json={"id": "0" * 32, "operation": "segment", "status": "done", "preview": False, "result": result}
        )

    visit.page.route("**/api/v1/segment?*", found)


def touching(visit: Visit) -> Callable[..., None]:
    """Returns a function that touches the screen: the kind of an event, and the points of all fingers."""
    touches = visit.page.context.new_cdp_session(visit.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touch_points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touch_points})

    return touch


def centre(page: Any, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
