"""The page in a real browser: journeys from photographs to a download, by pointer, keyboard and touch; access; limits.

The browser is Debian's Chromium, driven by Playwright. The pictures of docs/serve.md are made by this file too:
`python tests/serve/test_page.py`; what screen readers are told is in page_names.txt.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import gzip
import hashlib
import http.server
import inspect
import io
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pyharmony
from pyharmony import blend, segmentation
from pyharmony._verdict import mask_doubts
from pyharmony.cli._app import app
from pyharmony.composition import _render
from pyharmony.segmentation.masks import layers_of
from pyharmony.serve import PAGE
from tests.compositor import test_edits
from tests.serve import test_server

from ..shared import ROOT
from .browsing import (
    CHROMIUM,
    DESKTOP,
    IMAGES,
    PATIENCE,
    PHONE,
    ROCKET,
    Visit,
    at_plain_place,
    axe_of,
    blending,
    centre,
    composing,
    cut_out,
    halved,
    httpx,
    lacking,
    needed,
    pixels_of,
    playwright,
    saved,
    shapes,
    these_people,
    touching,
    visiting,
    without_people,
)  # fmt: skip

pytestmark = [pytest.mark.house, pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")]

#: What screen readers are told.
NAMES = Path(__file__).with_name("page_names.txt")
#: How long recorded names are waited for, in seconds.
RECORDED_SECONDS = 20.0


def test_what_is_missing_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    for what in ("chromium", "playwright", "axe"):
        with pytest.raises(pytest.fail.Exception, match=f"{what} is not installed"):
            lacking(what)
    with pytest.raises(pytest.fail.Exception, match="absent is not installed"):
        needed("absent_module.part")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match=r"^axe is not installed$"):
        lacking("axe")


# ---- journeys ----


@pytest.mark.full
def test_two_photos_to_a_download_that_compose_gives_too(
    browser: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [halved(tmp_path, "astronaut.jpg"), halved(tmp_path, "rocket.jpg")]
    with visiting(browser, service) as visit:
        visit.give("subject", *photos)
        visit.step("cut")
        visit.point(110, 150)
        visit.cut()
        visit.click("#to-place")
        visit.page.wait_for_selector("#places[data-state=done]", state="attached")
        visit.settled()
        data = visit.download()
        assert visit.actions <= 6
        assert visit.name == "rocket-pyharmony.png"
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (320, 214)
            xmp = image.info["xmp"]
        assert (
            b"compositeCapture" in xmp
            and b"pyharmony" in xmp
            and all(f"sha256:{hashlib.sha256(photo.read_bytes()).hexdigest()}".encode() in xmp for photo in photos)
        )

        visit.click("[data-to=save]")
        recipe = tmp_path / "recipe.json"
        recipe.write_bytes(visit.download("#save-recipe"))
        # The lines of Python call compose with it, and make the same.
        visit.click("#copy-python")
        visit.page.wait_for_selector("#code:not([hidden])")
        code = visit.page.inner_text("#code")
        monkeypatch.chdir(tmp_path)
        exec(compile(code, "copied", "exec"), {})  # noqa: S102
        again = pyharmony.load("rocket-pyharmony.png")
        assert np.array_equal(pixels_of(data), np.asarray(again))

        # At strength 0 nothing is matched.
        visit.click("[data-to=place]")
        visit.put(150, 125, side=256)
        visit.click("[data-to=match]")
        visit.set("strength", 0)
        assert visit.page.input_value("#strength") == "0"
        plain = pixels_of(visit.download())
        visit.click("[data-to=cut]")
        mask = pixels_of(visit.download("#save-mask"))
        visit.click("[data-to=save]")
        recipe.write_bytes(visit.download("#save-recipe"))
        place = json.loads(recipe.read_text())["subjects"][0]
        assert (place["scale"], place["angle"], place["harmonize"], place["shadow"]) == (1, 0, None, None)
        at = (place["x"] - (256 - 1) / 2, place["y"] - (256 - 1) / 2)
        assert place["cover"] is None or visit.page.get_attribute("#behind", "aria-pressed") == "true"
        if place["cover"] is None:
            nothing: dict[str, Any] = {"harmonize": None, "sharpness": 0, "grain": 0, "shadow": False}
            pasted = pyharmony.compose(*photos, masks=mask, at=at, **nothing)
            assert np.array_equal(plain, np.asarray(pasted))


@pytest.mark.parametrize("kind", [DESKTOP, pytest.param(PHONE, marks=pytest.mark.full)], ids=["desktop", "phone"])
def test_a_composite_in_three_actions(browser: Any, service: Any, tmp_path: Path, kind: dict[str, Any]) -> None:
    composite = np.asarray(Image.open(IMAGES / "coffee.jpg").reduce(2)).copy()
    mask = np.zeros(composite.shape[:2], np.uint8)
    mask[115:165, 40:110] = 255
    composite[115:165, 40:110] = composite[115:165, 40:110] // 2 + np.uint8((20, 60, 110))
    files = [saved(tmp_path, "mask.png", mask), saved(tmp_path, "composite.png", composite)]
    with visiting(browser, service, kind) as visit:
        visit.way("harmonize")
        # Both at once, and in the wrong order: the mask is told by its being grey.
        visit.give("composite", *files)
        visit.step("match")
        pixels = pixels_of(visit.download())
        assert visit.actions <= 3
        assert np.array_equal(pixels, pyharmony.harmonize(composite, mask))
        if kind is DESKTOP:
            # Half of the strength, on a slider.
            visit.set("strength", 50)
            assert np.array_equal(pixels_of(visit.download()), pyharmony.harmonize(composite, mask, strength=0.5))
        visit.set("strength", 0)
        assert np.array_equal(pixels_of(visit.download()), composite)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= kind["viewport"]["width"]


def on_a_phone(visit: Visit, subject: Path, background: Path, on: tuple[float, float]) -> None:
    """Goes from two photographs to a place, by a finger."""
    visit.give("subject", subject, background)
    visit.step("cut")
    visit.point(*on, touch=True)
    visit.cut()
    visit.click("#to-place")
    visit.page.wait_for_selector("#places[data-state=done]", state="attached")
    visit.settled()


@pytest.mark.full
def test_two_photos_and_a_finger(browser: Any, service: Any, tmp_path: Path) -> None:
    photos = [halved(tmp_path, "astronaut.jpg"), halved(tmp_path, "rocket.jpg")]
    with visiting(browser, service, PHONE) as visit:
        page = visit.page
        without_people(visit)
        page.evaluate("document.querySelector('#start').scrollTop = 999")
        on_a_phone(visit, *photos, (110, 150))
        pixels = pixels_of(visit.download())
        assert pixels.shape == (214, 320, 3) and visit.actions <= 6
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        # A finger drags her by a hundred pixels of the picture, at another zoom than 1, on a finer screen.
        visit.put(90, 140, 40, side=256)
        visit.click("#snap")  # she would snap to the lower third
        visit.choose("method", "none")
        touch = touching(visit)
        (x, y), zoom = visit.on_picture(90, 140), visit.zoom()
        assert abs(zoom - 1) > 0.02
        reach = 100 * zoom
        touch("touchStart", (x, y))
        for i in range(1, 6):
            touch("touchMove", (x + reach * i / 5, y))
        touch("touchEnd")
        assert visit.middle(256)["x"] == pytest.approx(190, abs=1) and visit.middle(256)["y"] == pytest.approx(
            140, abs=1
        )
        visit.click("[data-to=save]")
        recipe = tmp_path / "recipe.json"
        pixels = pixels_of(visit.download("#save"))
        recipe.write_bytes(visit.download("#save-recipe"))
        assert np.array_equal(pixels, np.asarray(pyharmony.compose(*map(str, photos), recipe=recipe)))
        # With two fingers one looks closer, and the view moves along.
        visit.read()
        before = visit.numbers()
        x, y = centre(page, "#stage")
        touch("touchStart", (x - 30, y), (x + 30, y))
        for i in range(1, 5):
            touch("touchMove", (x - 30 - 8 * i, y), (x + 30 + 8 * i, y))
        touch("touchEnd")
        assert visit.zoom() > 1.5 * zoom and visit.numbers() == before
        page.touchscreen.tap(*centre(page, "#zoom-menu"))
        page.touchscreen.tap(*centre(page, "#zoom-fit"))
        assert visit.zoom() < zoom  # there is room for the buttons
        page.touchscreen.tap(*centre(page, "#zoom-menu"))
        visit.comes(lambda: visit.zoom() == pytest.approx(zoom))
        # The start begins at its top, with the picture that can be continued.
        visit.click("#home")
        page.wait_for_selector("#draft:not([hidden])")
        assert page.locator("#draft").bounding_box()["y"] > 54


@pytest.mark.slow
def test_two_fingers_on_the_subject_scale_and_turn_it(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service, PHONE) as visit:
        composing(visit, shapes(tmp_path))
        visit.put(150, 140)
        visit.settled()
        touch, zoom = touching(visit), visit.zoom()

        def fingers(middle: tuple[float, float], reach: float, degrees: float) -> list[tuple[float, float]]:
            x, y = visit.on_picture(*middle)
            turn = math.radians(degrees)
            shift = reach * zoom * math.cos(turn), reach * zoom * math.sin(turn)
            return [(x - shift[0], y - shift[1]), (x + shift[0], y + shift[1])]

        # The first finger drags before the second comes; both then double it, turn it by 30 degrees and move it.
        start = fingers((150, 140), 20, 0)
        touch("touchStart", start[0])
        for i in (1, 2):
            touch("touchMove", (start[0][0] + 5 * i, start[0][1]))
        start = fingers((160, 140), 20, 0)
        touch("touchMove", start[0])
        touch("touchStart", *start)
        for i in range(1, 7):
            touch("touchMove", *fingers((160 + 5 * i, 140 + 2 * i), 20 + 20 * i / 6, 5 * i))
        touch("touchEnd", fingers((190, 152), 40, 30)[1])
        touch("touchEnd")
        visit.settled()
        now = visit.numbers()
        assert now["scale"] == pytest.approx(200, rel=0.03) and now["angle"] == pytest.approx(30, abs=1.5)
        assert visit.zoom() == zoom
        # The whole gesture is one step back.
        visit.click("#undo")
        assert visit.middle() == {"x": 150, "y": 140, "scale": 100, "angle": 0}
        # One finger still drags, and two beside it look closer.
        visit.settled()
        x, y = visit.on_picture(150, 140)
        touch("touchStart", (x, y))
        for i in range(1, 5):
            touch("touchMove", (x + 10 * zoom * i, y))
        touch("touchEnd")
        assert visit.middle()["x"] == pytest.approx(190, abs=1) and visit.numbers()["scale"] == 100
        before = visit.numbers()
        a, b = visit.on_picture(330, 250)
        touch("touchStart", (a, b))
        touch("touchStart", (a, b), (a + 30, b))
        for i in range(1, 5):
            touch("touchMove", (a - 5 * i, b), (a + 30 + 5 * i, b))
        touch("touchEnd")
        assert visit.zoom() > 1.3 * zoom and visit.numbers() == before


#: The controls that are seen and are smaller than so many pixels. What is unseen over a label is as large as that.
SMALL_CONTROLS = """least => [
  ...document.querySelectorAll("button, a, select, input:not([type=file]), summary"),
].map((one) => {
  const seen = one.getBoundingClientRect();
  const target = /^(radio|checkbox)$/.test(one.type) ? one.closest("label") : one;
  const box = target.getBoundingClientRect();
  return [one.id || one.getAttribute("aria-label") || one.textContent || one.name, box.width, box.height, seen.width];
}).filter(([, wide, high, seen]) => seen && wide > 1 && high > 1 && Math.min(wide, high) < least)"""


def editing(visit: Visit, folder: Path) -> tuple[Any, Any]:
    """Opens a photograph with an edit of two changes; returns both."""
    photo = np.asarray(Image.open(IMAGES / "coffee.jpg").reduce(2))
    edit = np.clip(photo * 1.04 + 3, 0, 255).astype(np.uint8)
    edit[20:70, 20:90], edit[120:150, 200:240] = (250, 40, 40), (40, 60, 250)
    visit.way("apply-edit")
    visit.give("background", saved(folder, "photo.png", photo), saved(folder, "edit.png", edit))
    visit.page.wait_for_selector("#changes input")
    return photo, edit


def test_an_ai_edit_goes_back_into_its_photograph(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        page = visit.page
        photo, edit = editing(visit, tmp_path)
        assert page.locator("#changes input:checked").count() == 2
        visit.settled()
        assert np.array_equal(pixels_of(visit.download()), pyharmony.apply_edit(photo, edit))
        page.locator("#changes input").nth(1).uncheck()
        page.wait_for_selector("#changes input:nth-of-type(1):checked")
        visit.settled()
        one = pixels_of(visit.download())
        assert np.array_equal(one, pyharmony.apply_edit(photo, edit, changes=[0]))
        assert np.array_equal(one[110:], photo[110:])
        visit.click("#undo")
        visit.settled()
        assert page.locator("#changes input:checked").count() == 2
        outlines(visit, pyharmony.apply_edit(photo, edit, return_info=True)[1].changes)
        # Another picture is refused, in words.
        visit.leave()
        visit.way("apply-edit")
        visit.give("background", tmp_path / "photo.png", halved(tmp_path, "rocket.jpg"))
        visit.says("shows another picture")


def outlined(visit: Visit) -> tuple[str, list[float]] | None:
    """Returns the number and the box of the change that is outlined on the canvas; None: there is none."""
    visit.drawn()
    return visit.page.evaluate(
        """() => {
          const [label] = Konva.stages[0].find("Label");
          const box = label.getParent().findOne("Rect");
          return label.isVisible() ? [label.getText().text(), [box.x(), box.y(), box.width(), box.height()]] : null;
        }"""
    )


def outlines(visit: Visit, changes: Any) -> None:
    """Points at the changes of an edit: each is outlined, with the number of its row; people count from 1."""
    rows = visit.page.locator("#changes label")
    for number, change in enumerate(changes):
        rows.nth(number).hover()
        assert rows.nth(number).inner_text().startswith(f"Change {number + 1}:")
        assert outlined(visit) == [str(number + 1), list(change.box)]
    visit.page.mouse.move(5, 5)
    assert outlined(visit) is None
    rows.nth(1).locator("input").focus()
    visit.page.keyboard.press("Space")
    visit.settled()
    # A change that a key has toggled keeps the focus, and stays outlined.
    assert outlined(visit) == ["2", list(changes[1].box)]
    assert rows.get_by_role("checkbox", name="Change 2:", checked=False).count() == 1
    assert [row.is_checked() for row in rows.locator("input").all()] == [True, False]
    visit.click("[data-to=save]")
    assert outlined(visit) is None
    visit.click("#copy-command")
    visit.says("--changes 0")  # as Python counts


@pytest.mark.slow
def test_a_mask_says_which_part_of_a_restyle_is_taken(browser: Any, service: Any, tmp_path: Path) -> None:
    photo = test_edits.scene(14)
    strokes = np.random.default_rng(0).uniform(0.6, 1.4, (25, 34, 3)).repeat(12, 0).repeat(12, 1)[:300, :400]
    restyle = np.clip(photo * strokes, 0, 255).astype(np.uint8)
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[120:180, 150:260] = 255
    with visiting(browser, service) as visit:
        page = visit.page
        visit.way("apply-edit")
        visit.give("background", saved(tmp_path, "photo.png", photo), saved(tmp_path, "restyle.png", restyle))
        visit.says("all of the picture was changed")
        visit.says("pass the part that shall change as mask")
        page.set_input_files("#load-limit", str(saved(tmp_path, "small.png", mask[:50])))
        visit.says("The mask has 400 × 50 pixels, its photo 400 × 300.")
        assert page.is_hidden("#remove-limit")
        page.set_input_files("#load-limit", str(saved(tmp_path, "mask.png", mask)))
        page.wait_for_selector("#changes input:checked", timeout=PATIENCE)
        visit.settled()
        # The message of the failed preview is gone.
        assert page.locator(".toast.error").count() == 0
        expected = pyharmony.apply_edit(photo, restyle, mask)
        pixels = pixels_of(visit.download())
        assert np.array_equal(pixels, expected) and np.array_equal(pixels[mask == 0], photo[mask == 0])
        visit.click("[data-to=changes]")
        visit.click("#remove-limit")
        visit.says("all of the picture was changed")
        assert page.evaluate("document.activeElement.id") == "load-limit" and page.is_hidden("#remove-limit")
        visit.click("#undo")
        assert page.is_visible("#remove-limit")
        visit.click("[data-to=save]")
        visit.click("#copy-command")
        visit.says("apply-edit photo.png restyle.png -o photo-pyharmony.png --mask mask.png")


@pytest.mark.full
def test_a_touched_change_is_outlined(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service, PHONE) as visit:
        photo, edit = editing(visit, tmp_path)
        visit.page.locator("#changes label").nth(1).tap()
        _, info = pyharmony.apply_edit(photo, edit, return_info=True)
        assert outlined(visit) == ["2", list(info.changes[1].box)]


def of_one_place(folder: Path) -> list[Path]:
    """Returns two photographs of a cup, the second with a person."""
    cup = np.asarray(Image.open(IMAGES / "coffee.jpg").reduce(2))
    other = cup.copy()
    other[90:170, 190:250] = np.asarray(Image.open(IMAGES / "astronaut.jpg").resize((100, 100)))[:80, 20:80]
    return [saved(folder, "one.png", cup[:190, :280]), saved(folder, "other.png", other[5:195, 8:288])]


@pytest.mark.slow
def test_photos_to_merge_come_one_by_one_and_what_is_left_out_is_named(
    browser: Any, service: Any, tmp_path: Path
) -> None:
    files = [*of_one_place(tmp_path), halved(tmp_path, "rocket.jpg")]
    with visiting(browser, service) as visit:
        page = visit.page
        visit.way("merge")
        visit.give("photos", files[0])
        visit.says("Add another one of the same place")
        assert page.is_visible("#start") and page.locator(".toast, .refusal").count() == 0
        visit.give("photos", files[2])
        page.wait_for_selector("#download:enabled")
        visit.says("rocket.png was left out: it does not show the scene of one.png")
        visit.says("Nothing was merged")
        # The message is of this picture: it goes with it.
        visit.leave()
        visit.way("merge")
        visit.give("photos", *files[:2])
        page.wait_for_selector("#download:enabled")
        visit.says("Nothing was merged: no other photo has people who are not in the base")
        assert "left out" not in page.inner_text("#toasts")
        pixels = pixels_of(visit.download())
        assert np.array_equal(pixels, np.asarray(pyharmony.merge([str(file) for file in files[:2]])))


def test_a_drag_of_a_hundred_pixels_moves_by_a_hundred(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    source, mask, below = (np.asarray(Image.open(files[name])) for name in ("source", "mask", "background"))
    with visiting(browser, service) as visit:
        blending(visit, files)
        before = pixels_of(visit.download())
        assert np.array_equal(before, blend.alpha(source, below, mask, at=(140, 90)))
        visit.page.click("#zoom-one")
        visit.settled()
        assert visit.zoom() == 1
        x, y = visit.on_picture(200, 150)
        visit.drag((x, y), (x + 60, y + 10), (x + 100, y - 30))
        assert visit.numbers() == {"x": 240, "y": 60, "scale": 100, "angle": 0}
        pixels = pixels_of(visit.download())
        assert np.array_equal(pixels, blend.alpha(source, below, mask, at=(240, 60)))
        # What was done is undone, and done again.
        visit.click("#undo")
        assert np.array_equal(pixels_of(visit.download()), before)
        visit.page.keyboard.press("Control+y")
        assert visit.numbers()["x"] == 240
        # One that is small, of 40 pixels of the screen and of 20, is moved by its middle, and not sized or turned.
        visit.click("#zoom-fit")
        visit.type("x", 140)
        visit.type("y", 90)
        for scale, dx, dy in ((25, 6, 4), (12, -5, 3)):
            visit.type("scale", scale)
            visit.settled()
            small, zoom = visit.numbers(), visit.zoom()
            x, y = visit.on_picture(visit.middle()["x"], visit.middle()["y"])
            assert 80 * scale / 100 * zoom < 60
            visit.drag((x + dx, y + dy), (x + dx + 40, y + dy + 30))
            after = visit.numbers()
            assert (after["scale"], after["angle"]) == (small["scale"], small["angle"])
            assert abs(after["x"] - small["x"] - 40 / zoom) <= 1 and abs(after["y"] - small["y"] - 30 / zoom) <= 1
            visit.click("#undo")


#: Moves the mouse around a point at every frame of the screen, in the page itself, until so many blends were
#: shown, or for the longest that a step may take.
DRAG = """([x, y, least]) => new Promise((done) => {
  const stage = document.querySelector("#stage");
  const blends = () => Number(stage.dataset.frames ?? 0);
  const [begun, before] = [performance.now(), blends()];
  const move = () => {
    const at = (performance.now() - begun) / 1000;
    window.dispatchEvent(new MouseEvent("mousemove", {
      clientX: x + 60 * Math.sin(3 * at), clientY: y + 30 * Math.cos(3 * at), bubbles: true, buttons: 1,
    }));
    if (blends() - before < least && at < 90) requestAnimationFrame(move);
    else done(blends() - before);
  };
  move();
})"""


#: Tells what of a composition is seen on the canvas: the subject by itself, or the real blend, and how wide that is.
CANVAS_CONTENT = """() => {
  const [, , , subject, tile] = Konva.stages[0].getLayers()[0].children[0].children;
  return { alone: subject.visible(), blend: tile.visible(), wide: tile.width() };
}"""


@pytest.mark.full
def test_two_photographs_of_people(browser: Any, service: Any, tmp_path: Path) -> None:
    her = halved(tmp_path, "astronaut.jpg")
    with Image.open(IMAGES / "astronaut.jpg") as image:
        scene = np.asarray(image)[:, ::-1]
    below = saved(tmp_path, "scene.png", np.ascontiguousarray(scene))
    # Who she is, roughly, so that it does not depend on how people are found: a head, and the rest below it.
    y, x = np.mgrid[:512, :512]
    body = (np.hypot((x - 222) / 58, (y - 120) / 85) < 1) | (np.hypot((x - 225) / 225, (y - 460) / 265) < 1)
    mask = body.astype(np.uint8) * 255
    people = {256: (mask[::2, ::2], (82.0, 20.0, 58.0, 80.0)), 512: (mask[:, ::-1], (512 - 280.0, 40.0, 116.0, 160.0))}
    recipe = tmp_path / "recipe.json"
    with visiting(browser, service) as visit:
        page, mouse = visit.page, visit.page.mouse

        def exported() -> tuple[np.ndarray, dict[str, Any]]:
            """Returns the picture, which compose makes of the recipe as well, and what the recipe says of her."""
            visit.click("[data-to=save]")
            pixels = pixels_of(visit.download("#save"))
            recipe.write_bytes(visit.download("#save-recipe"))
            assert np.array_equal(pixels, np.asarray(pyharmony.compose(str(her), str(below), recipe=recipe)))
            visit.click("[data-to=place]")
            visit.read()
            return pixels, json.loads(recipe.read_text())["subjects"][0]

        def handle(name: str) -> tuple[float, float]:
            """Returns where a handle is on the screen."""
            find = """name => {
              const box = document.querySelector("#stage").getBoundingClientRect();
              const at = Konva.stages[0].findOne(`.${name}`).getAbsolutePosition();
              return [box.x + at.x, box.y + at.y];
            }"""
            visit.drawn()
            return tuple(page.evaluate(find, name))

        def changed(pixels: np.ndarray) -> tuple[int, int, int, int]:
            rows, columns = np.nonzero((pixels != scene).any(2))
            return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())

        these_people(visit, people)
        visit.give("subject", her, below)
        visit.step("cut")
        # Who is in the photograph is found, and cut out by a button.
        visit.click("#people")
        page.wait_for_selector("#found-people button")
        visit.cut()
        whole = page.get_attribute("#save-mask", "href")
        visit.click("#start-over")
        assert page.is_hidden("#save-mask")
        visit.click("#found-people button >> nth=0")
        visit.cut()
        assert page.get_attribute("#save-mask", "href") == whole
        assert np.array_equal(pixels_of(visit.download("#save-mask")), mask[::2, ::2])

        visit.to_place()
        first = visit.numbers()
        # A place that is good is taken, another one is an offer.
        is_taken = page.get_attribute("#places .thumb >> nth=0", "aria-pressed") == "true"
        assert is_taken != ("these places are offers" in page.inner_text("#place-note"))
        # Beside somebody who fills the scene there may be one place alone.
        places = page.locator("#places .thumb")
        places.last.click()
        assert places.last.get_attribute("aria-pressed") == "true"
        assert (visit.numbers() == first) == (is_taken and places.count() == 1)
        visit.choose("method", "none")
        page.eval_on_selector("input[name=shadow][value=off]", "one => one.click()")
        visit.put(150, 330, 50, side=256)
        if page.get_attribute("#behind", "aria-pressed") == "true":
            visit.click("#behind")
        # A drag of a hundred pixels, at another zoom than 1.
        visit.click("#zoom-in")
        zoom = visit.zoom()
        assert abs(zoom - 1) > 0.1
        before, start_place = exported()
        x, y = visit.on_picture(150, 330)
        visit.drag((x, y), (x + 20, y - 5), (x + round(100 * zoom), y))
        assert abs(visit.middle(256)["x"] - 250) <= 1 and visit.middle(256)["y"] == 330
        pixels, end_place = exported()
        assert end_place["x"] - start_place["x"] == pytest.approx(100, abs=0.5 / zoom + 1e-6)
        assert end_place["y"] == pytest.approx(start_place["y"], abs=1e-9)
        assert np.abs(np.subtract(changed(pixels), changed(before)) - (100, 0, 100, 0)).max() <= 1

        # By the handles it is scaled and turned; meanwhile the real blend is seen as soon as it is made.
        visit.click("[data-to=match]")
        page.check("input[name=blend][value=poisson]", force=True)
        visit.click("[data-to=place]")
        visit.settled()
        page.wait_for_function(f"() => ({CANVAS_CONTENT})().blend")
        wide = page.evaluate(CANVAS_CONTENT)["wide"]
        mouse.move(*handle("bottom-right"))
        mouse.down()
        corner = handle("top-left")
        mouse.move(*(1.3 * a - 0.3 * b for a, b in zip(handle("bottom-right"), corner, strict=True)), steps=4)
        blended = f"wide => {{ const s = ({CANVAS_CONTENT})(); return s.blend && !s.alone && s.wide > 1.15 * wide; }}"
        page.wait_for_function(blended, arg=wide)
        mouse.up()
        assert visit.numbers()["scale"] == pytest.approx(65, abs=1) and visit.numbers()["angle"] == 0
        middle = np.mean([handle("top-left"), handle("bottom-right")], axis=0)
        a, b = handle("rotater")
        mouse.move(a, b)
        mouse.down()
        reach = math.hypot(a - middle[0], b - middle[1])
        radians = math.radians(40 - 90)
        mouse.move(middle[0] + reach * math.cos(radians), middle[1] + reach * math.sin(radians), steps=4)
        page.wait_for_function(f"() => {{ const s = ({CANVAS_CONTENT})(); return s.blend && !s.alone; }}")
        mouse.up()
        assert visit.numbers()["angle"] == pytest.approx(40, abs=2)
        pixels, start_place = exported()
        assert start_place["angle"] == pytest.approx(40, abs=2) and start_place["blend"] == "poisson"

        # Sent behind, the other one stays in front of her.
        page.eval_on_selector("input[name=blend][value=alpha]", "one => one.click()")
        visit.put(140, 330, 60, side=256)
        before, start_place = exported()
        assert start_place["cover"] is None
        visit.click("#behind")
        page.wait_for_selector("#behind[aria-pressed=true]")
        # Who stands in front comes with the layers, which are asked for a moment after the click.
        page.wait_for_function("() => Konva.stages[0].getLayers()[0].children[0].children[5].visible()")
        visit.settled()
        pixels, start_place = exported()
        assert start_place["cover"] is not None
        hidden = (before != scene).any(2) & (pixels == scene).all(2)
        assert hidden.sum() > 0.3 * (before != scene).any(2).sum() and (pixels != scene).any()


@pytest.mark.slow
def test_the_numbers_are_those_of_the_command(browser: Any, service: Any, tmp_path: Path) -> None:
    """X and Y are `--at`, whatever part of its photo the subject is, and before and after a change of its size."""
    files = shapes(tmp_path)
    mask = np.asarray(Image.open(files["mask"])).copy()
    mask[:, :61] = mask[:25] = 0  # the right half, of an odd number of columns and of rows
    files["mask"] = saved(tmp_path, "half.png", mask)
    with visiting(browser, service) as visit:
        blending(visit, files)
        assert visit.page.locator("#place-help").is_visible()
        # Typed text stays.
        for name, value in (("x", 100), ("y", 100), ("x", 131), ("y", 77), ("scale", 137), ("y", 100)):
            visit.type(name, value)
            assert visit.numbers()[name] == value
        # What is not possible does not stay, although its field keeps the focus.
        for value, scale in ((99_999, 10_000), ("", 10_000), (-1, 1)):
            visit.page.fill("#place [name=scale]", str(value))
            visit.page.press("#place [name=scale]", "Enter")
            assert visit.numbers()["scale"] == scale
        for scale, x, y in ((100, 37, 81), (50, -12, 140), (100, 300, -20)):
            for name, value in (("scale", scale), ("x", x), ("y", y)):
                visit.type(name, value)
            assert visit.numbers() == {"x": x, "y": y, "scale": scale, "angle": 0}
            data, out = visit.download(), tmp_path / f"{x}.png"
            command = ["blend", *(str(files[name]) for name in ("source", "background", "mask")), "--mode", "alpha"]
            result = CliRunner().invoke(
                app, [*command, "--at", f"{x},{y}", "--scale", str(scale / 100), "-o", str(out)]
            )
            assert result.exit_code == 0, result.output
            assert np.array_equal(pixels_of(data), np.asarray(Image.open(out))), (scale, x, y)


@pytest.mark.slow
def test_the_real_blend_follows_a_drag(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        blending(visit, shapes(tmp_path), "poisson")
        x, y = visit.on_picture(200, 150)
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        # Blend after blend while the pointer moves on; how many a second benchmarks/page.py measures.
        assert visit.page.evaluate(DRAG, [x, y, 5]) >= 5
        # The subject by itself is seen while its blend is late, and never beside it.
        visit.page.wait_for_function(f"() => {{ const s = ({CANVAS_CONTENT})(); return s.blend && !s.alone; }}")
        # What is seen while it is dragged is the blend of the library, but for JPEG and the screen.
        view = visit.page.evaluate(
            """() => {
              const images = Konva.stages[0].find("Image");
              const tile = images.find((one) => one.image() instanceof ImageBitmap && one.visible());
              const canvas = document.createElement("canvas");
              canvas.width = 64; canvas.height = 64;
              const context = canvas.getContext("2d");
              context.drawImage(tile.image(), 0, 0, 64, 64);
              const box = [tile.x(), tile.y(), tile.width(), tile.height()];
              return [box, [...context.getImageData(0, 0, 64, 64).data]];
            }"""
        )
        visit.page.mouse.up()
        (left, top, wide, high), values = view
        files = {name: np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("source", "mask", "below")}
        at = round(left + wide / 2 - 60), round(top + high / 2 - 60)
        assert (round(wide), round(high)) == (80 + 4, 80 + 4)  # the disc and its rim
        expected = blend.poisson(files["source"], files["below"], files["mask"], at=at)
        part = Image.fromarray(expected).crop((round(left), round(top), round(left + wide), round(top + high)))
        difference = np.abs(
            np.asarray(part.resize((64, 64)), float) - np.reshape(values, (64, 64, 4))[..., :3].astype(float)
        )
        assert difference.mean() < 4, difference.mean()
        visit.settled()
        assert visit.page.get_attribute("#stage", "data-exact") == "true"


@pytest.mark.full
def test_a_blend_is_no_composite(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        # A mask with nothing in it is no mask.
        visit.way("blend")
        nothing = saved(tmp_path, "nothing.png", np.zeros((120, 120), np.uint8))
        visit.give("source", files["source"], nothing, files["background"])
        visit.says("The mask is empty.")
        assert page.is_visible("#slots")
        # A source that is sized by a handle is blended meanwhile; layers would be matched and cast a shadow.
        layers: list[str] = []
        page.on("request", lambda request: layers.append(request.url) if "/layers" in request.url else None)
        blending(visit, files, "poisson")
        corner = "Konva.stages[0].findOne('.bottom-right').getAbsolutePosition()"
        left, top = centre(page, "#stage")
        box = page.locator("#stage").bounding_box()
        at = page.evaluate(f"() => {{ const at = {corner}; return [at.x, at.y]; }}")
        x, y = box["x"] + at[0], box["y"] + at[1]
        visit.drawn()
        visit.drag((x, y), (x + (x - left) / 3, y + (y - top) / 3))
        visit.settled()
        assert visit.numbers()["scale"] > 110 and layers == []
        # It has no layers to save either, whatever was chosen for a composite before.
        page.eval_on_selector("input[name=format][value=ora]", "one => one.click()")
        visit.click("[data-to=save]")
        pixels = pixels_of(visit.download("#save"))
        assert pixels.shape == (300, 400, 3) and visit.name == "below-pyharmony.png"


@pytest.mark.full
def test_blends_come_where_what_asks_for_them_was_not_loaded_at_first(
    browser: Any, service: Any, tmp_path: Path
) -> None:
    urls: list[str] = []

    def lose(route: Any) -> None:
        urls.append(route.request.url)
        route.abort("connectionfailed")

    with visiting(browser, service) as visit:
        visit.expected.append("ERR_CONNECTION_FAILED")
        visit.page.route("**/live.js", lose)
        visit.reload()
        visit.comes(lambda: urls)
        visit.page.unroute("**/live.js", lose)
        blending(visit, shapes(tmp_path), "poisson")
        visit.page.wait_for_selector("#stage[data-blend=fine]")
        assert visit.page.locator(".toast").count() == 0


def test_by_keyboard_alone(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    source, mask, below = (np.asarray(Image.open(files[name])) for name in ("source", "mask", "background"))
    with visiting(browser, service) as visit:
        page = visit.page
        blending(visit, files)
        page.locator("#stage").focus()
        for key in ["Shift+ArrowRight"] * 3 + ["ArrowRight"] * 2 + ["ArrowUp"] * 4:
            page.keyboard.press(key)
        assert visit.middle() == {"x": 232, "y": 146, "scale": 100, "angle": 0}
        # Every change that is made by dragging is one button away as well.
        for name in ("left", "down"):
            page.locator(f"[data-nudge={name}]").focus()
            page.keyboard.press("Enter")
        assert (visit.middle()["x"], visit.middle()["y"]) == (222, 156)
        page.locator("#stage").focus()
        page.keyboard.press("Space")
        assert page.get_attribute("#compare", "aria-pressed") == "true" and page.is_visible("#divider")
        page.keyboard.press("ArrowLeft")
        assert page.input_value("#divider") == "48"
        visit.settled()  # Escape would cancel what is being made
        page.keyboard.press("Escape")
        assert not page.is_visible("#divider")
        # On to the end by the keys of any form.
        page.locator("[data-to=save]").focus()
        page.keyboard.press("Enter")
        visit.comes(lambda: page.url.endswith("#blend/save"))
        with page.expect_download() as download:
            page.locator("#save").focus()
            page.keyboard.press("Enter")
        pixels = pixels_of(Path(download.value.path()).read_bytes())
        assert np.array_equal(pixels, blend.alpha(source, below, mask, at=(162, 96)))
        # Fifty changes, and back through all of them.
        page.locator("[data-to=place]").focus()
        page.keyboard.press("Enter")
        page.locator("#stage").focus()
        press = """([key, ctrlKey]) => {
          const stage = document.querySelector("#stage");
          for (let i = 0; i < 50; i += 1) {
            stage.dispatchEvent(new KeyboardEvent("keydown", { key, ctrlKey, bubbles: true }));
          }
        }"""
        page.evaluate(press, ["ArrowRight", False])
        assert visit.middle()["x"] == 272
        page.evaluate(press, ["z", True])
        assert visit.middle()["x"] == 222 and page.is_enabled("#redo")


def hits(selector: str) -> tuple[Any, Any]:
    """Returns a single click on a control, and the same by Enter."""

    def by_key(visit: Visit) -> None:
        visit.page.locator(selector).focus()
        visit.page.keyboard.press("Enter")

    return (lambda visit: visit.page.click(selector)), by_key


def keys(*names: str) -> Any:
    """Returns keys that are pressed on the picture."""

    def press(visit: Visit) -> None:
        visit.page.locator("#stage").focus()
        for name in names:
            visit.page.keyboard.press(name)

    return press


def on_slider(name: str) -> tuple[Any, Any]:
    """Returns a click on the track of a slider, and a key."""

    def click(visit: Visit) -> None:
        visit.page.locator(f"#{name}").scroll_into_view_if_needed()
        box = visit.page.locator(f"#{name}").bounding_box()
        visit.page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2)

    def key(visit: Visit) -> None:
        visit.page.locator(f"#{name}").focus()
        visit.page.keyboard.press("ArrowLeft")

    return click, key


def clicks(*points: tuple[float, float]) -> Any:
    def point(visit: Visit) -> None:
        for place in points:
            visit.page.mouse.click(*visit.on_picture(*place))

    return point


#: All that is done by dragging: what it is, in which step, what tells of it, a single click, and keys.
DRAGS = [
    ("a line", "line", "mask", clicks((40, 60), (80, 60)), keys("ArrowLeft", "Enter", "ArrowLeft", "ArrowUp", "Enter")),
    ("a stroke", "paint", "mask", clicks((60, 60)), keys("ArrowLeft", "Enter", "Shift+ArrowLeft", "ArrowUp", "Enter")),
    ("the brush", "paint", "brush", on_slider("brush")[0], keys("[")),
    ("the view", "place", "view", hits("[data-pan=left]")[0], keys("Control+ArrowUp")),
    ("the zoom", "place", "zoom", *hits("#zoom-in")),
    ("the place", "place", "x", hits("[data-nudge=left]")[0], keys("ArrowRight")),
    ("the size", "place", "scale", hits("[data-nudge=larger]")[0], keys("-")),
    ("the turn", "place", "angle", hits("[data-nudge=cw]")[0], keys(",")),
    ("the strength", "match", "strength", *on_slider("strength")),
    ("the opacity", "match", "opacity", *on_slider("opacity")),
    ("the shadow", "match", "tip", *hits("[data-tip=left]")),
    ("the border of before and after", "match", "divider", on_slider("divider")[0], keys("ArrowLeft")),
]


@pytest.mark.full
def test_every_drag_has_a_click_and_a_key(browser: Any, service: Any, tmp_path: Path) -> None:
    # Nothing is dragged that the list does not have: these are all that the canvas tells of.
    handlers = {
        name for path in PAGE.glob("*.js") for name in re.findall(r"(?:this|stage)\.on\.(\w+)\(", path.read_text())
    }
    assert handlers == {"point", "line", "painted", "begun", "place", "tip", "view", "compare"}
    sliders = set(
        re.findall(
            r"<input[^>]* id=\"(\w+)\"[^>]* type=\"range\"|<input id=\"(\w+)\" type=\"range\"",
            (PAGE / "index.html").read_text(),
        )
    )
    assert {name for pair in sliders for name in pair if name} == {"brush", "strength", "opacity", "divider"}
    files = shapes(tmp_path)

    def state(visit: Visit, what: str) -> Any:
        if what == "mask":
            return visit.page.get_attribute("#save-mask", "href")
        if what in ("x", "scale", "angle"):
            return visit.numbers()[what]
        if what == "tip":
            return visit.page.input_value("#tip [name=x]")
        if what == "view":
            return visit.on_picture(0, 0)
        return visit.zoom() if what == "zoom" else visit.page.input_value(f"#{what}")

    with visiting(browser, service) as visit:
        page = visit.page
        without_people(visit)
        visit.give("subject", files["source"], files["background"])
        visit.step("cut")
        for what, where, tells, click, key in DRAGS:
            if where in ("line", "paint"):
                page.check(f"input[name=tool][value={where}]", force=True)
            elif page.is_hidden(f"section[data-step={where}]"):
                visit.click(f"[data-to={where}]")
                visit.step(where)
                visit.places()
                visit.settled()
            if tells == "view":
                visit.click("#zoom-one")
                for _ in range(4):
                    visit.click("#zoom-in")
            elif tells == "x":
                visit.click("#zoom-fit")
            elif tells == "tip":
                page.check("input[name=shadow][value=on]", force=True)
                visit.settled()
            elif tells == "divider":
                visit.click("#compare")
            for how, do in (("click", click), ("key", key)):
                before = state(visit, tells)
                do(visit)
                print(f"{what} is changed by a {how}")
                visit.comes(lambda before=before, tells=tells: state(visit, tells) != before)
        # What was drawn by keys is drawn as far as the cross went.
        visit.click("[data-to=cut]")
        page.set_input_files(
            "#load-mask", str(saved(tmp_path, "dot.png", np.pad(np.full((2, 2), 255, np.uint8), ((0, 118), (0, 118)))))
        )
        visit.says("The mask was taken in")
        page.check("input[name=tool][value=paint]", force=True)
        visit.set("brush", 6)
        zoom = visit.zoom()
        painted = visit.new_mask(lambda: keys("Enter", *["Shift+ArrowRight"] * 2, "Enter")(visit)) > 127
        cross = page.evaluate('() => { const c = Konva.stages[0].findOne(".cross"); return [c.x(), c.y()]; }')
        rows, columns = np.nonzero(painted[4:, 4:])
        assert columns.max() + 4 == pytest.approx(cross[0] + 2.5, abs=1.5)
        assert columns.min() + 4 == pytest.approx(cross[0] - 80 / zoom - 2.5, abs=1.5)
        assert rows.max() - rows.min() + 1 == pytest.approx(6, abs=1)
        # Escape leaves a stroke.
        href = page.get_attribute("#save-mask", "href")
        keys("Enter", "ArrowLeft", "Escape", "ArrowLeft")(visit)
        assert page.get_attribute("#save-mask", "href") == href


@pytest.mark.full
def test_from_photos_to_a_download_by_keyboard_alone(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page, press = visit.page, visit.page.keyboard.press

        def go_to(selector: str) -> None:
            """Presses Tab until a control has the focus."""
            page.locator(selector).wait_for()
            for _ in range(80):
                if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                    return
                press("Tab")
            raise AssertionError(f"{selector} is not reached by Tab")

        def enter(selector: str) -> None:
            go_to(selector)
            press("Enter")

        def downloaded(selector: str) -> bytes:
            with page.expect_download() as download:
                enter(selector)
            return Path(download.value.path()).read_bytes()

        without_people(visit)
        page.on("filechooser", lambda chooser: None)  # from here on they are held; only then is it sure to come in time
        for slot, name in (("subject", "source"), ("background", "background")):
            go_to(f"[data-slot={slot}] input")
            with page.expect_file_chooser() as chooser:
                press("Enter")
            chooser.value.set_files(files[name])
            page.wait_for_selector(f"[data-slot={slot}] img, section[data-step=cut]:not([hidden])", state="attached")
        visit.step("cut")
        enter("#stage")  # the cross begins in the middle
        visit.cut()
        enter("#to-place")
        visit.places()
        go_to("#stage")
        press("Shift+ArrowRight")
        before = visit.numbers()["scale"]
        press("Shift++")
        assert visit.numbers()["scale"] == pytest.approx(1.1 * before, rel=0.01)
        enter("[data-next=match]")
        go_to("#strength")
        press("Home")
        assert page.inner_text("#strength-out") == "0 %"
        enter("section[data-step=match] [data-next=save]")
        pixels = pixels_of(downloaded("#save"))
        (tmp_path / "recipe.json").write_bytes(downloaded("#save-recipe"))
        photos = [str(files[name]) for name in ("source", "background")]
        again = pyharmony.compose(*photos, recipe=tmp_path / "recipe.json")
        assert (
            np.array_equal(pixels, np.asarray(again)) and (pixels != pixels_of(files["background"].read_bytes())).any()
        )


@pytest.mark.full
def test_the_method_that_cuts_out_is_chosen_and_repeated(
    browser: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = shapes(tmp_path)
    source = np.asarray(Image.open(files["source"])).copy()
    source[45:75, 45:75] = 240  # as its surroundings: what goes by colours alone leaves it out
    saved(tmp_path, "source.png", source)
    with visiting(browser, service) as visit:
        page = visit.page
        without_people(visit)
        visit.give("subject", files["source"], files["background"])
        visit.step("cut")
        methods = page.eval_on_selector_all("#cutter option", "all => all.map((one) => one.value)")
        assert methods == ["auto", *pyharmony.segmentation.METHODS]
        assert "network" in page.inner_text("#cutter-note")
        click = {"points": (30, 60)}
        visit.point(click["points"][0] + 0.5, click["points"][1] + 0.5)
        visit.cut()
        by_network = pixels_of(visit.download("#save-mask"))
        assert np.array_equal(by_network, pyharmony.segment(source, **click).alpha())
        # What was pointed at is cut out anew, and undone.
        page.select_option("#cutter", "grabcut")
        page.wait_for_function("() => document.querySelector('#cutter-note').textContent.includes('colours alone')")
        mask = pixels_of(visit.download("#save-mask"))
        assert np.array_equal(mask, pyharmony.segment(source, **click, method="grabcut").alpha())
        assert not np.array_equal(mask, by_network)
        visit.click("#undo")
        assert page.input_value("#cutter") == "auto"
        visit.click("#redo")
        assert page.input_value("#cutter") == "grabcut"
        visit.to_place()
        visit.click("[data-to=match]")
        page.select_option("#method", "none")
        page.check("input[name=shadow][value=off]", force=True)
        visit.click("[data-to=save]")
        pixels = pixels_of(visit.download("#save"))
        (tmp_path / "recipe.json").write_bytes(visit.download("#save-recipe"))
        monkeypatch.chdir(tmp_path)
        visit.click("#copy-command")
        page.wait_for_selector("#code:not([hidden])")
        command = shlex.split(page.inner_text("#code"))
        result = CliRunner().invoke(app, command[1:])
        assert result.exit_code == 0, result.stderr
        assert np.array_equal(np.asarray(Image.open("below-pyharmony.png")), pixels)
        visit.click("#copy-python")
        visit.says("import pyharmony")
        code = page.inner_text("#code")
        Path("below-pyharmony.png").unlink()
        exec(compile(code, "copied", "exec"), {})  # noqa: S102
        assert np.array_equal(np.asarray(Image.open("below-pyharmony.png")), pixels)
        # Another step may change the picture.
        visit.click("[data-to=match]")
        visit.click("[data-to=save]")
        assert page.is_hidden("#code")


@pytest.mark.slow
def test_photos_are_swapped_and_what_is_placed_is_undone(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    half = np.asarray(Image.open(files["mask"])).copy()
    half[60:] = 0
    other, nothing = saved(tmp_path, "half.png", half), saved(tmp_path, "nothing.png", np.zeros_like(half))
    with visiting(browser, service) as visit:
        page = visit.page
        without_people(visit)
        # The photos come the wrong way round, and are swapped.
        visit.give("subject", files["background"], files["source"])
        visit.step("cut")
        width = "Konva.stages[0].find('Image')[0].width()"
        assert page.evaluate(width) == 400
        visit.click("#swap")
        visit.comes(lambda: page.evaluate(width) == 120)
        visit.says("The photos are swapped")
        page.set_input_files("#load-mask", str(files["mask"]))
        visit.to_place()
        numbers = visit.numbers()
        # What was cut out is undone: it is cut out anew before it is placed, and nothing is left on the picture.
        page.keyboard.press("Control+z")
        visit.step("cut")
        assert page.is_disabled("#to-place") and page.is_disabled("#download") and page.is_hidden("#save-mask")
        handles = "() => Konva.stages[0].getLayers()[1].find('Transformer')[0].nodes().length"
        assert page.evaluate(handles) == 0
        visit.click("[data-to=place]")
        visit.says("Click first on who or what you want")
        assert page.is_visible("section[data-step=cut]")
        visit.click("#redo")
        visit.cut()
        visit.click("#to-place")
        page.wait_for_selector("section[data-step=place]:not([hidden])")
        assert visit.numbers() == numbers and page.evaluate(handles) == 1
        # Another mask has other places; back over it, the first one lies where it lay, and so it is saved.
        visit.click("[data-to=cut]")
        visit.new_mask(lambda: page.set_input_files("#load-mask", str(other)))
        visit.to_place()
        assert visit.numbers() != numbers
        visit.click("#undo")
        visit.places()
        visit.comes(lambda: page.is_visible("section[data-step=place]") and visit.numbers() == numbers)
        page.wait_for_selector("#download:enabled")
        page.locator("#stage").focus()
        page.keyboard.press("ArrowLeft")
        assert visit.numbers()["x"] == numbers["x"] - 1
        visit.click("[data-to=save]")
        recipe = tmp_path / "recipe.json"
        recipe.write_bytes(visit.download("#save-recipe"))
        pixels = pixels_of(visit.download("#save"))
        photos = [str(files["source"]), str(files["background"])]
        assert np.array_equal(pixels, np.asarray(pyharmony.compose(*photos, recipe=recipe)))
        # A mask that covers nothing is told once, and cannot be placed.
        visit.click("[data-to=cut]")
        page.set_input_files("#load-mask", str(nothing))
        visit.says("The mask is empty.")
        visit.click("[data-to=place]")
        assert page.is_visible("section[data-step=cut]") and page.is_disabled("#to-place")


def run_lines(text: str) -> None:
    exec(compile(text, "copied", "exec"), {})  # noqa: S102


def run_as_copied(text: str) -> None:
    """Runs the commands that were copied, in this process, in the current folder."""
    for line in text.strip().splitlines():
        program, *words = shlex.split(line)
        if program == "python":
            assert words[0] == "-c"
            run_lines(words[1])
        else:
            assert program == "pyharmony"
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, (line, result.stderr)


def any_pixels(path: Path) -> np.ndarray:
    """Returns the pixels of an image file, or the layers of an OpenRaster file, one after the other."""
    if path.suffix == ".ora":
        layers, merged = pyharmony.io.read_layers(path)
        return np.concatenate([one.ravel() for one in (*(layer.pixels for layer in layers), merged.pixels)])
    return np.asarray(pyharmony.load(path))


def repeated(visit: Visit, folder: Path, files: dict[str, Path], kinds: str) -> None:
    """Downloads as each of some formats, and runs what is copied, command and Python: the pixels are the same."""
    if visit.page.is_visible("[data-to=save]"):
        visit.click("[data-to=save]")
    for kind in kinds.split():
        visit.page.check(f"input[name=format][value={kind}]", force=True)
        data = visit.download("#save")
        (folder / "download").mkdir(exist_ok=True)
        path = folder / "download" / visit.name
        path.write_bytes(data)
        expected = any_pixels(path)
        for button, run in (("command", run_as_copied), ("python", run_lines)):
            there = folder / f"{kind}-{button}"
            there.mkdir()
            for name, file in files.items():
                shutil.copy(file, there / name)
            visit.page.eval_on_selector("#code", "one => { one.hidden = true; }")
            visit.click(f"#copy-{button}")
            visit.page.wait_for_selector("#code:not([hidden])")
            text = visit.page.inner_text("#code")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(there)
                run(text)
            result = any_pixels(there / visit.name)
            assert result.dtype == expected.dtype and np.array_equal(result, expected), (kind, button, text)


@pytest.mark.full
def test_what_is_copied_repeats_a_blend(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    # A name that could be an option; the other two have one name.
    files["source"] = files["source"].rename(tmp_path / "-my source.png")
    (tmp_path / "two").mkdir()
    files["mask"] = files["mask"].rename(tmp_path / "two" / "below.png")
    photos = {"-my source.png": files["source"], "below.png": files["background"], "below-2.png": files["mask"]}
    with visiting(browser, service) as visit:
        blending(visit, files, "mixed")
        # Neither the size nor the place is a short number.
        visit.page.locator("#stage").focus()
        for key in ("+", "+", "+", "Shift+ArrowLeft", "Shift+ArrowLeft"):
            visit.page.keyboard.press(key)
        visit.type("x", 3)
        visit.settled()
        visit.click("[data-to=save]")
        visit.click("#copy-command")
        visit.says("Two of your files have one name")
        repeated(visit, tmp_path, photos, "png tiff jpeg")
        # In 16 bits it is made of 16 bits: what lies between two levels is kept.
        deep = pyharmony.load(tmp_path / "download" / "below-pyharmony.tif")
        assert deep.dtype == np.uint16 and (deep % 257 != 0).any()
        # With its colours matched, and in part.
        visit.click("[data-to=match]")
        visit.page.check("#colours")
        visit.set("strength", 70)
        visit.choose("mode", "gaussian-poisson")
        (tmp_path / "matched").mkdir()
        repeated(visit, tmp_path / "matched", photos, "png tiff")


@pytest.mark.full
def test_what_is_copied_repeats_deep_ones(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    deep = np.asarray(Image.open(files["background"])).astype(np.uint16) * 257 + 3
    files["background"] = tmp_path / "deep.png"
    pyharmony.save(deep, files["background"])
    photos = {"source.png": files["source"], "mask.png": files["mask"], "deep.png": files["background"]}
    with visiting(browser, service) as visit:
        blending(visit, files, "poisson")
        visit.choose("mode", "alpha")
        repeated(visit, tmp_path, photos, "png tiff jpeg")


@pytest.mark.full
def test_what_is_copied_repeats_a_match_and_a_merge(browser: Any, service: Any, tmp_path: Path) -> None:
    cup = np.asarray(Image.open(IMAGES / "coffee.jpg").reduce(2))
    composite, other = cup.copy(), cup.copy()
    mask = np.zeros(composite.shape[:2], np.uint8)
    mask[115:165, 40:110] = 255
    composite[115:165, 40:110] = composite[115:165, 40:110] // 2 + np.uint8((20, 60, 110))
    photos = {
        "composite.png": saved(tmp_path, "composite.png", composite),
        "mask.png": saved(tmp_path, "mask.png", mask),
    }
    with visiting(browser, service) as visit:
        visit.way("harmonize")
        visit.give("composite", *photos.values())
        visit.step("match")
        visit.set("strength", 35)
        (tmp_path / "match").mkdir()
        repeated(visit, tmp_path / "match", photos, "png tiff")
        visit.click("#home")
        other[90:170, 190:250] = np.asarray(Image.open(IMAGES / "astronaut.jpg").resize((100, 100)))[:80, 20:80]
        photos = {
            "one.png": saved(tmp_path, "one.png", cup[:190, :280]),
            "other.png": saved(tmp_path, "other.png", other[5:195, 8:288]),
        }
        visit.way("merge")
        visit.give("photos", *photos.values())
        visit.page.wait_for_selector("#download:enabled")
        (tmp_path / "merge").mkdir()
        repeated(visit, tmp_path / "merge", photos, "png tiff")


@pytest.mark.slow
def test_what_is_copied_repeats_a_composition(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        composing(visit, files)
        visit.choose("method", "auto")
        visit.type("angle", 7)
        visit.click("#flip")
        visit.click("[data-to=match]")
        page.check("input[name=shadow][value=on]", force=True)
        page.check("input[name=blend][value=gaussian-poisson]", force=True)
        visit.set("strength", 60)
        visit.click("[data-to=save]")
        recipe = tmp_path / "recipe.json"
        recipe.write_bytes(visit.download("#save-recipe"))
        subject = json.loads(recipe.read_text())["subjects"][0]
        assert subject["flip"] is True and subject["shadow"] is not None and subject["angle"] == -7
        photos = {"alpha.png": files["alpha"], "below.png": files["background"], "recipe.json": recipe}
        repeated(visit, tmp_path, photos, "png ora")
        # A recipe is of photographs in their bits.
        page.check("input[name=format][value=tiff]", force=True)
        recipe.write_bytes(visit.download("#save-recipe"))
        repeated(visit, tmp_path, photos, "tiff")


def test_the_brush_paints_the_pixels_of_the_photo(browser: Any, service: Any, tmp_path: Path) -> None:
    # Twice as wide as its proxy, so that a brush that painted there would leave steps of two pixels.
    files = {**shapes(tmp_path), "large": saved(tmp_path, "large.png", np.full((400, 3200, 3), 90, np.uint8))}
    with visiting(browser, service) as visit:
        page = visit.page
        visit.give("subject", files["large"])
        visit.give("background", files["background"])
        visit.step("cut")
        page.check("input[value=paint]", force=True)
        visit.set("brush", 101)

        def stroke(*line: tuple[float, float]) -> tuple[np.ndarray, list[tuple[float, float]]]:
            """Draws from point to point of the photo; returns the mask and where the pointer was, on whole pixels."""
            points = [tuple(round(value) for value in visit.on_picture(*point)) for point in line]
            mask = visit.new_mask(lambda: visit.drag(points[0], points[-1]))
            return mask, [visit.on_screen(x, y) for x, y in points]

        (_, (begin, end)), (painted, (point,)) = stroke((1000, 101), (1700, 101)), stroke((2200, 300))
        assert painted.shape == (400, 3200)
        y, x = np.mgrid[:400, :3200] + 0.5
        along = np.clip(x, begin[0], end[0])
        distance = np.minimum(np.hypot(x - along, y - begin[1]), np.hypot(x - point[0], y - point[1]))
        coverage = 255 * np.clip(101 / 2 + 0.5 - distance, 0, 1)
        assert np.abs(painted - coverage).max() <= 2
        page.check("input[name=sign][value='-']", force=True)
        less, ((gone, level),) = stroke((1500, 101))
        rest = 255 * (1 - np.clip(101 / 2 + 0.5 - np.hypot(x - gone, y - level), 0, 1))
        assert np.abs(less - np.minimum(painted, rest)).max() <= 2
        # The brush for edges changes what lies under it alone.
        page.check("input[value=edge]", force=True)
        visit.says("Paint over hair")
        assert page.is_hidden("#signs")  # the last one removed
        edge, _ = stroke((2200, 245), (2300, 245))
        assert np.array_equal(edge[:, :2100], less[:, :2100]) and not np.array_equal(edge, less)
        page.check("input[value=line]", force=True)
        assert page.is_visible("#signs") and page.is_checked("input[name=sign][value='-']")


def test_fields_are_made_of_the_options_that_the_service_describes(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        composing(visit, files)
        visit.put(150, 120)
        visit.click("[data-to=match]")
        page.click("#fields >> xpath=..  >> summary")
        names = page.eval_on_selector_all("#fields :is(input, select)", "(all) => all.map((one) => one.id)")
        described = {field["name"] for field in service.client.get("/api/v1/service").json()["fields"]}
        assert described <= set(names) and page.is_hidden("#reflection-strength")
        # The preview is asked for the reflection, whose arguments come with it.
        with page.expect_request("**/api/v1/layers*") as request:
            page.check("#reflection")
        assert request.value.post_data_json["reflection"] is True
        visit.set("reflection-strength", 80)
        page.fill("#reflection-blur", "0")
        page.press("#reflection-blur", "Tab")
        visit.set("grain", 30)
        page.select_option("#upscale", "none")
        assert page.inner_text("#reflection-strength-out") == "80 %"
        visit.settled()
        visit.click("[data-to=save]")
        pixels = pixels_of(visit.download())
        recipe = json.loads(visit.download("#save-recipe"))["subjects"][0]
        assert recipe["reflection"] == {"strength": 0.8, "blur": 0} and recipe["upscale"] is None
        assert recipe["grain"] == 0.3
        subject, below = (np.asarray(Image.open(files[name])) for name in ("alpha", "background"))
        at = (recipe["x"] - (subject.shape[1] - 1) / 2, recipe["y"] - (subject.shape[0] - 1) / 2)
        expected = pyharmony.compose(
            subject, below, at=at, harmonize=None, shadow=False, people=[], grain=0.3, upscale=None,
            reflection={"strength": 0.8, "blur": 0},
        )  # fmt: skip
        assert np.array_equal(pixels, np.asarray(expected))
        visit.click("#undo")
        assert page.input_value("#upscale") == "auto"


@pytest.mark.full
def test_a_cut_out_with_alpha_shadows_and_layers(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        without_people(visit)
        visit.give("subject", files["alpha"])
        visit.give("background", files["background"])
        # What has transparency is cut out.
        visit.step("place")
        visit.choose("method", "none")
        visit.places()
        visit.click("#flip")
        visit.click("[data-to=match]")
        page.check("input[name=shadow][value=on]", force=True)
        visit.settled()
        # The field shows the softness that is drawn: that of the high light, and with a tip that of `shadow`.
        softness = page.locator("#tip [name=softness]")
        light = _render._HIGH_LIGHT["softness"]
        assert float(softness.input_value()) == light
        softness.fill("4")
        softness.press("Tab")
        visit.settled()
        assert softness.input_value() == "4"
        visit.click("#undo")
        visit.settled()
        assert float(softness.input_value()) == light
        page.fill("#tip [name=x]", "250")
        page.fill("#tip [name=y]", "180")
        page.press("#tip [name=y]", "Tab")
        visit.settled()
        assert float(softness.input_value()) == inspect.signature(pyharmony.shadow).parameters["softness"].default
        page.check("input[name=blend][value=poisson]", force=True)
        page.wait_for_selector("#stage[data-frames]")
        # The tip of the shadow is dragged, too.
        x, y = visit.on_picture(250, 180)
        visit.drag((x, y), visit.on_picture(290, 200))
        assert abs(float(page.input_value("#tip [name=x]")) - 290) <= 1
        page.check("input[name=blend][value=alpha]", force=True)
        visit.click("[data-to=save]")
        page.check("input[value=ora]", force=True)
        layers = visit.download("#save")
        assert visit.name == "below-pyharmony.ora" and layers[:2] == b"PK" and b"image/openraster" in layers[:100]
        recipe = json.loads(visit.download("#save-recipe"))["subjects"][0]
        assert recipe["flip"] is True and recipe["mask"] is None
        assert np.allclose(recipe["shadow"]["tip"], [290, 200], atol=1)
        # Strength 0 is the plain paste, bit for bit.
        visit.click("[data-to=place]")
        visit.click("#flip")
        visit.put(150, 120)
        visit.click("[data-to=match]")
        visit.set("strength", 0)
        visit.click("[data-to=save]")
        page.check("input[value=png]", force=True)
        subject, below = (np.asarray(Image.open(files[name])) for name in ("alpha", "background"))
        for kind in ("alpha", "gaussian-poisson", "poisson"):
            visit.click("[data-to=match]")
            page.check(f"input[name=blend][value={kind}]", force=True)
            visit.says("Strength 0 is the plain paste")
            visit.click("[data-to=save]")
            assert np.array_equal(pixels_of(visit.download("#save")), blend.alpha(subject, below, at=(90, 60))), kind


# ---- refusals, cancelling, ends ----


#: Drops files, a name and a type each, onto an element.
DROPPED = """([where, files]) => {
  const data = new DataTransfer();
  for (const [name, type] of files) data.items.add(new File(["no pixels"], name, { type }));
  const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector(where).dispatchEvent(event);
}"""


def test_files_that_cannot_be_taken_or_are_not_used_are_named(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        visit.expected.append("422")
        page = visit.page
        alerts = page.locator("[data-slot=subject] .refusal[role=alert]")
        for name, data, message in (
            ("notes.png", b"no picture at all", "notes.png is not a known image file"),
            ("large.png", bytes(3_000_001), "large.png is larger than 3 MB"),
            ("nothing.png", b"", "File: nothing.png is empty"),
        ):
            (tmp_path / name).write_bytes(data)
            visit.give("subject", tmp_path / name)
            visit.says(message)
            assert alerts.count() == 1
        # Wherever they were dropped.
        for name, kind in (("notes.txt", "text/plain"), ("photo.cr2", ""), ("clip.mov", "video/quicktime"), ("x", "")):
            page.evaluate(DROPPED, ["h1", [[name, kind]]])
            visit.says(f"File: {name} is not a known image file (it starts with 'no pixels')")
        page.evaluate(DROPPED, ["h1", [["photo.xmp", ""], ["a.png", "image/png"]]])
        visit.says("Not used: photo.xmp")
        visit.says("File: a.png is not")
        page.evaluate(DROPPED, ["[data-slot=subject]", [[f"{i}.png", "image/png"] for i in range(4)]])
        visit.says("Not used: 2.png, 3.png")
        visit.says("File: 1.png is not")
        visit.read()
        # A file that fails later is named too, not by the service's number of it.
        visit.way("harmonize")
        visit.give("composite", files["background"])
        page.wait_for_selector("[data-slot=composite] img")
        visit.give("mask", files["source"])
        visit.says("Mask (source.png): a colour image")


@pytest.mark.full
def test_a_refusal_goes_with_the_next_file_for_its_place(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    cut_off = tmp_path / "cut off.jpg"
    cut_off.write_bytes(ROCKET.read_bytes()[:20_000])
    with visiting(browser, service) as visit:
        visit.expected.append("422")
        slot = visit.page.locator("[data-slot=subject]")
        refusals, alerts = slot.locator(".refusal"), visit.page.locator(".toast[role=alert]")
        visit.give("subject", files["source"])
        slot.locator("img").wait_for()
        visit.give("subject", cut_off)
        visit.says("cut off.jpg is damaged or of an unusual kind")
        assert re.search(r"[0-9a-f]{32}", refusals.inner_text()) is None
        # The photo before it is no longer given, and no longer shown.
        assert slot.locator("img").count() == 0 and "full" not in (slot.get_attribute("class") or "")
        visit.give("background", files["background"])
        visit.page.wait_for_selector("[data-slot=background] img")
        assert refusals.count() == 1  # what takes from is missing still
        visit.give("subject", files["source"])
        visit.step("cut")
        # Where the mask that is loaded is none, or does not fit, too.
        visit.page.set_input_files("#load-mask", str(cut_off))
        visit.says("cut off.jpg is damaged")
        visit.page.set_input_files("#load-mask", str(files["background"]))
        visit.says("The mask has 400 × 300 pixels")
        assert alerts.count() == 1
        visit.page.set_input_files("#load-mask", str(files["mask"]))
        visit.cut()
        assert alerts.count() == 0


@pytest.mark.slow
def test_a_photo_beyond_the_limits_is_reduced(browser: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (900, 1200, 3), np.uint8)
    deep = saved(tmp_path, "noise.png", noise)  # 3.2 MB
    wide = tmp_path / "wide.jpg"
    Image.new("RGB", (2000, 1000), (200, 80, 40)).save(wide)
    limits = {"max_upload": 2_000_000, "max_pixels": 1_200_000}
    with test_server.running(page=PAGE, timeout=120.0, **limits) as service, visiting(browser, service) as visit:
        visit.expected.append("413")
        slot = visit.page.locator("[data-slot=subject]")
        visit.give("subject", deep)
        visit.says("noise.png is larger than 2 MB")
        visit.page.press("[data-slot=subject] .refusal button", "Enter")
        slot.locator("img").wait_for()
        assert slot.locator("input").evaluate("one => one === document.activeElement")
        visit.give("subject", wide)
        visit.says("wide.jpg has 2000 x 1000 pixels")
        visit.click("[data-slot=subject] .refusal button")
        slot.locator("img").wait_for()
        assert slot.locator(".refusal").count() == 0
        visit.give("background", halved(tmp_path, "rocket.jpg"))
        visit.step("cut")
        wide, high = visit.page.evaluate("Object.values(Konva.stages[0].find('Image')[0].size())")
        assert wide * high <= 1_200_000 and abs(wide / high - 2) < 0.01


class _Prefixed(http.server.BaseHTTPRequestHandler):
    """A proxy under /compose/, as nginx and Jupyter are: it strips the prefix, and answers nothing else."""

    protocol_version = "HTTP/1.1"
    client: Any = None

    def _pass(self) -> None:
        if not self.path.startswith("/compose/"):
            self.send_error(404)
            return
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        passed = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        path = self.path.removeprefix("/compose")
        with self.client.stream(self.command, path, headers=passed, content=data) as answer:
            self.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(OSError):
                for part in answer.iter_raw():
                    self.wfile.write(part)
                    self.wfile.flush()
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_DELETE = _pass

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def prefixed(service: Any) -> Iterator[Any]:
    """Yields the service as a proxy shows it under /compose/."""
    limits = httpx.Limits(max_connections=None)
    with (
        httpx.Client(base_url=service.address, timeout=None, limits=limits) as client,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Prefixed,), {"client": client})) as proxy,
    ):
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield types.SimpleNamespace(address=f"http://127.0.0.1:{proxy.server_port}/compose/")
        proxy.shutdown()


@pytest.mark.slow
def test_the_page_works_under_a_prefix(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with prefixed(service) as proxy, visiting(browser, proxy) as visit:
        page = visit.page
        visit.way("blend")
        visit.click("#sample")
        visit.step("place")
        visit.leave()
        # A composite by clicks and drags, with the blend that follows them, a reload, and each file.
        visit.way("compose")
        cut_out(visit, files)
        visit.click("[data-to=match]")
        page.check("input[name=blend][value=poisson]", force=True)
        page.wait_for_selector("#stage[data-frames]")
        drafted(visit)
        visit.reload()
        visit.step("match")
        visit.settled()
        visit.click("[data-to=cut]")
        assert pixels_of(visit.download("#save-mask")).shape == (120, 120)
        visit.click("[data-to=save]")
        assert json.loads(visit.download("#save-recipe"))["subjects"][0]["blend"] == "poisson"
        assert pixels_of(visit.download()).shape == (300, 400, 3)


# ---- the step of cutting out ----


@pytest.mark.slow
def test_another_mask_is_chosen_and_the_cut_out_saved(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        page = visit.page
        visit.give("subject", halved(tmp_path, "astronaut.jpg"), halved(tmp_path, "rocket.jpg"))
        visit.step("cut")
        visit.point(110, 150)
        page.wait_for_selector("#choices .thumb >> nth=1")
        thumbnail = page.locator("#choices .thumb[aria-pressed=true]")
        areas, masks = [], []
        for i in range(page.locator("#choices .thumb").count()):
            page.locator("#choices .thumb").nth(i).click()
            visit.comes(lambda i=i: page.locator("#choices .thumb").nth(i).get_attribute("aria-pressed") == "true")
            page.wait_for_selector("html[data-busy=false]")
            assert thumbnail.count() == 1
            masks.append(pixels_of(visit.download("#save-mask")))
            areas.append((masks[-1] > 127).sum())
        assert areas == sorted(areas) and areas[0] < areas[-1]
        # From part to whole; a further click continues from the choice, and undo returns to it.
        cutout = pixels_of(visit.download("#save-cutout"))
        rows, columns = (np.flatnonzero(masks[-1].any(axis)) for axis in (1, 0))
        inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert visit.name == "astronaut-cutout.png" and np.array_equal(cutout[..., 3], masks[-1][inside])
        for backdrop in ("checks", "white", "photo"):
            page.check(f"input[name=backdrop][value={backdrop}]", force=True)
            visit.drawn()
            corner = visit.on_picture(4, 4)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
            assert (shot.getpixel((round(corner[0]), round(corner[1]))) >= 200) == (backdrop != "photo")
        visit.click("#undo")
        visit.comes(lambda: page.locator("#choices .thumb").nth(-2).get_attribute("aria-pressed") == "true")
        assert np.array_equal(pixels_of(visit.download("#save-mask")), masks[-2])


@pytest.mark.slow
def test_a_vague_outline_is_told_with_what_to_click(browser: Any, service: Any, tmp_path: Path) -> None:
    photo = halved(tmp_path, "astronaut.jpg")
    points, told = [(200, 60), (20, 20)], []
    for point in points:
        masks = segmentation.Session(np.asarray(Image.open(photo))).segment(points=[point])
        told.append([doubt.code for doubt in mask_doubts(layers_of(masks)[0].values, len(masks))])
    with visiting(browser, service) as visit:
        visit.give("subject", photo, halved(tmp_path, "rocket.jpg"))
        for point, codes in zip(points, told, strict=True):
            visit.step("cut")
            visit.point(*point)
            visit.page.wait_for_selector("html[data-busy=false]")
            visit.page.wait_for_selector("#choices .thumb[aria-pressed=true]")
            toasts = visit.page.locator(".toast", has_text="Parts of the cut-out are a guess. Click what is missing")
            assert toasts.count() == codes.count("vague-outline")
            visit.page.evaluate("document.getElementById('toasts').replaceChildren()")
            visit.click("#start-over")
    assert told[0] and not told[1]


@pytest.mark.slow
def test_the_focus_goes_on_where_a_button_goes(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        page = visit.page

        def presses(selector: str) -> str:
            page.press(selector, "Enter")
            visit.drawn()
            return page.evaluate("document.activeElement.id || document.activeElement.tagName")

        without_people(visit)
        files = shapes(tmp_path)
        visit.give("subject", files["alpha"], files["background"])
        visit.step("place")
        visit.places()
        visit.settled()
        visit.type("x", 120)
        assert presses("#undo") == "redo"
        assert presses("#redo") == "undo"
        visit.click("[data-to=match]")
        page.click("#adjust summary")
        visit.set("adjust-contrast", 20)
        assert presses("#adjust-reset") == "SUMMARY"
        visit.settled()
        os.kill(service.pid(), signal.SIGSTOP)
        visit.click("#download")
        page.wait_for_selector("#busy:not([hidden])")
        page.press("#cancel", "Enter")
        page.wait_for_selector("#busy", state="hidden")
        assert page.evaluate("document.activeElement.id") == "stage"
        assert service.until(lambda: service.client.get("/health").json()["status"] == "ok")
        visit.download()
        assert presses(".toast button") == "stage"
        visit.click("#home")
        page.wait_for_selector("#draft:not([hidden])")
        page.press("#draft li button >> text=Delete", "Enter")
        page.wait_for_selector("#draft", state="hidden")
        assert page.evaluate("document.activeElement.name") == "way"


# ---- several subjects ----


@pytest.mark.slow
def test_several_subjects_in_one_picture(
    browser: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = shapes(tmp_path)
    second = np.asarray(Image.open(files["alpha"])).copy()
    second[..., :3] = (30, 90, 220)
    blue = saved(tmp_path, "blue.png", second)
    with visiting(browser, service) as visit:
        page = visit.page
        without_people(visit)
        visit.give("subject", files["alpha"], files["background"])

        def put(x: float, y: float) -> None:
            at_plain_place(visit)
            visit.put(x, y)
            visit.click("[data-to=match]")
            visit.settled()

        def pixel(x: float, y: float) -> tuple[int, ...]:
            visit.drawn()
            at = visit.on_picture(x, y)
            return Image.open(io.BytesIO(page.screenshot())).convert("RGB").getpixel((round(at[0]), round(at[1])))

        def is_red(colour: tuple[int, ...]) -> bool:
            return colour[0] > colour[2]

        put(130, 150)
        page.set_input_files("#add-subject", str(blue))
        put(190, 150)  # both cover (160, 150)
        assert [one.split(". ")[1] for one in page.locator("#subject-list .name").all_inner_texts()] == [
            "blue.png",
            "alpha.png",
        ]
        assert not is_red(pixel(160, 150)) and is_red(pixel(110, 150)) and not is_red(pixel(210, 150))
        result = pixels_of(visit.download())
        assert not is_red(result[150, 160]) and is_red(result[150, 110])

        # Order, by the list: the lower one to the front; what is drawn and what is saved agree.
        page.locator("#subject-list [data-key=up-1]").click()
        visit.settled()
        assert page.evaluate("document.activeElement.dataset.key") == "down-1"  # it cannot go farther up
        visit.comes(lambda: is_red(pixel(160, 150)) and not is_red(pixel(210, 150)))
        result = pixels_of(visit.download())
        assert is_red(result[150, 160]) and not is_red(result[150, 210])
        # One is hidden, and is not saved; undo brings it back.
        page.locator("#subject-list [data-key=hide-1]").click()
        visit.settled()
        visit.comes(lambda: not is_red(pixel(110, 150)) and not is_red(pixel(160, 150)))
        below = np.asarray(Image.open(files["background"]))
        result = pixels_of(visit.download())
        assert np.array_equal(result[150, 100], below[150, 100]) and not is_red(result[150, 160])
        visit.click("#undo")
        visit.settled()
        visit.comes(lambda: is_red(pixel(160, 150)))
        # Each has its own settings: the strength of one is not that of the other.
        page.locator("#subject-list [data-key=name-1]").click()
        visit.settled()
        visit.set("strength", 30)
        page.locator("#subject-list [data-key=name-2]").click()
        visit.settled()
        assert page.input_value("#strength") == "100"
        assert page.evaluate("document.activeElement.dataset.key") == "name-2"
        # A lock protects its place.
        page.locator("#subject-list [data-key=lock-2]").click()
        visit.click("[data-to=place]")
        visit.step("place")
        before = visit.numbers()
        visit.type("x", 60)
        visit.says("Its place is locked")
        assert visit.numbers() == before
        # So does a hidden one, by keys, buttons, numbers and places.
        page.locator("#subject-list [data-key=lock-2]").click()
        page.locator("#subject-list [data-key=hide-2]").click()
        for move in (
            lambda: page.press("#stage", "Shift+ArrowLeft"), lambda: page.press("#stage", "+"),
            lambda: page.press("#stage", "f"), lambda: visit.click("[data-nudge=up]"), lambda: visit.type("x", 60),
            lambda: visit.click("#places .thumb >> nth=-1"),
        ):  # fmt: skip
            visit.read()
            move()
            visit.says("It is hidden, so it stays where it is.")
            assert visit.numbers() == before
        page.locator("#subject-list [data-key=hide-2]").click()
        page.press("#stage", "ArrowLeft")
        assert visit.numbers()["x"] == before["x"] - 1
        visit.click("#undo")
        # Another from the same photo, and away with it.
        visit.click("#add-same")
        put(330, 220)
        assert page.locator("#subject-list li").count() == 3
        page.locator("#subject-list [data-key=remove-3]").click()
        visit.settled()
        assert page.locator("#subject-list li").count() == 2
        assert page.evaluate("document.activeElement.matches('#subject-list .name[aria-pressed=true]')")
        # The recipe and the lines of Python make the same.
        pixels = pixels_of(visit.download())
        visit.click("[data-to=save]")
        recipe = json.loads(visit.download("#save-recipe"))
        assert [one["strength"] if one.get("strength") else one["blend"] for one in recipe["subjects"]] == [
            "alpha",
            "alpha",
        ]
        (tmp_path / "recipe.json").write_text(json.dumps(recipe))
        visit.click("#copy-python")
        page.wait_for_selector("#code:not([hidden])")
        monkeypatch.chdir(tmp_path)
        exec(compile(page.inner_text("#code"), "copied", "exec"), {})  # noqa: S102
        assert np.array_equal(pixels, np.asarray(pyharmony.load("below-pyharmony.png")))


@pytest.mark.slow
def test_keys_move_the_view_while_the_image_is_saved(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        page = visit.page
        composing(visit, shapes(tmp_path))
        before = visit.numbers()
        visit.click("[data-to=save]")
        visit.step("save")
        assert page.inner_text("#stage-help").startswith("Arrow keys move the view")
        visit.click("#zoom-one")
        for _ in range(4):
            visit.click("#zoom-in")
        at = visit.on_picture(0, 0)
        for key in ("+", "f", ",", "Shift+ArrowDown"):
            page.press("#stage", key)
        visit.comes(lambda: visit.on_picture(0, 0) != at)
        page.press("#stage", " ")
        page.wait_for_selector("#divider", state="visible")
        visit.click("[data-to=place]")
        visit.step("place")
        assert visit.numbers() == before
        assert page.inner_text("#stage-help").startswith("Arrow keys move by a pixel")


@pytest.mark.slow
def test_no_place_is_suggested_where_another_subject_is(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)

    def shared(one: dict[str, float], other: dict[str, float]) -> float:
        """Returns the area that two discs of 80 pixels share, as a share of the smaller one."""
        y, x = np.mgrid[:300, :400]
        discs = [(x - at["x"]) ** 2 + (y - at["y"]) ** 2 < (0.4 * at["scale"]) ** 2 for at in (one, other)]
        return (discs[0] & discs[1]).sum() / min(disc.sum() for disc in discs)

    with visiting(browser, service) as visit:
        page = visit.page
        composing(visit, files)
        thumbs = page.locator("#places .thumb")

        def places() -> list[dict[str, float]]:
            visit.settled()
            visit.places()
            numbers = []
            for i in range(thumbs.count()):
                thumbs.nth(i).click()
                numbers.append(visit.middle())
            return numbers

        place = places()[0]
        # Inside the place that is offered where nobody else is.
        visit.put(place["x"], place["y"])
        visit.settled()
        first = visit.middle()
        visit.click("#add-same")
        visit.step("place")
        visit.places()
        beside = places()
        assert beside and all(shared(first, one) <= 0.12 for one in beside), beside
        # One that is hidden leaves its place; one that is everywhere leaves none.
        page.locator("#subject-list [data-key=hide-1]").click()
        assert any(shared(first, one) > 0.5 for one in places())
        page.locator("#subject-list [data-key=hide-1]").click()
        page.locator("#subject-list [data-key=name-1]").click()
        visit.put(200, 150, scale=600)
        page.locator("#subject-list [data-key=name-2]").click()
        visit.says("No free place beside the other subjects was found")
        assert thumbs.count() == 0


@pytest.mark.slow
def test_late_answers_reach_the_subject_that_they_are_of(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        composing(visit, files)
        visit.settled()
        before = visit.numbers()
        page.set_input_files("#add-subject", str(files["source"]))
        visit.step("cut")
        page.wait_for_selector("html[data-busy=false]")
        pid = service.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            visit.point(60, 60)
            visit.click("#undo")
        finally:
            os.kill(pid, signal.SIGCONT)
        page.wait_for_selector("html[data-busy=false]")
        visit.click("[data-to=place]")
        visit.settled()
        assert page.locator("#subject-list li").count() == 1
        assert page.is_hidden("#save-mask") and visit.numbers() == before
        visit.click("#redo")
        visit.step("cut")
        assert page.locator("#subject-list li").count() == 2 and page.is_disabled("#to-place")
        # A lower subject that was active before a reload is drawn with those above it.
        visit.point(60, 60)
        visit.cut()
        assert page.is_hidden("#swap")
        visit.to_place()
        visit.click("#subject-list [data-key=name-1]")
        drafted(visit)
        visit.reload()
        visit.step("place")
        visit.comes(
            lambda: page.evaluate(
                "Konva.stages[0].find('Group').some((one) => one.getChildren().length === 1 "
                "&& one.isVisible() && one.getParent().index === 6)"
            )
        )
        visit.click("[data-to=save]")
        page.check("input[name=crop][value='1:1']", force=True)
        page.check("input[name=crop][value=none]", force=True)
        visit.click("#undo")
        assert page.is_checked("input[name=crop][value=free]") and page.is_visible("#crop-numbers")


@pytest.mark.slow
def test_corrections_by_hand(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        composing(visit, files)
        visit.put(150, 140)
        visit.click("[data-to=match]")
        visit.set("strength", 0)
        page.click("#adjust summary")
        note = page.locator("#plain-note")
        assert note.inner_text() == "Strength 0 is the plain paste: no match, no shadow, a clean edge."
        values = {"exposure": -100, "temperature": 40, "contrast": 20, "saturation": 60, "edge": -4, "feather": 3}

        def pixel() -> tuple[int, ...]:
            visit.drawn()
            at = visit.on_picture(150, 140)
            return Image.open(io.BytesIO(page.screenshot())).convert("RGB").getpixel((round(at[0]), round(at[1])))

        before = pixel()
        for name, value in values.items():
            visit.set(f"adjust-{name}", value)
            visit.settled()
        assert page.inner_text("#adjust-exposure-out") == "-1.00 EV"
        assert note.inner_text() == "Strength 0: no match and no shadow, only your corrections by hand."
        assert page.inner_text("#adjust-edge-out") == "-4 px"
        after = pixel()
        assert after[0] < 0.8 * before[0]
        pixels = pixels_of(visit.download())
        assert np.abs(pixels[140, 150].astype(int) - after).max() <= 3
        adjust = {"exposure": -1, "temperature": 40, "contrast": 0.2, "saturation": 0.6, "edge": -4, "feather": 3}
        expected = pyharmony.compose(
            files["alpha"], files["background"], at=(90, 80), strength=0, adjust=adjust, people=[], shadow=False
        )
        assert np.array_equal(pixels, np.asarray(expected))
        # Each is a step that can be undone, and all are reset together.
        visit.click("#undo")
        assert page.input_value("#adjust-feather") == "0" and page.input_value("#adjust-edge") == "-4"
        visit.click("#adjust-reset")
        visit.settled()
        assert page.is_hidden("#adjust-reset") and page.input_value("#adjust-exposure") == "0"
        assert note.inner_text().startswith("Strength 0 is the plain paste")
        assert np.array_equal(pixel(), before)


@pytest.mark.slow
def test_the_result_is_cropped(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        blending(visit, files)
        visit.click("[data-to=save]")
        whole = pixels_of(visit.download())

        def numbers() -> list[int]:
            return [int(page.input_value(f"#crop-numbers [name={name}]")) for name in ("x", "y", "width", "height")]

        assert page.is_hidden("#crop-numbers")
        page.check("input[name=crop][value='1:1']", force=True)
        assert numbers() == [50, 0, 300, 300]
        assert np.array_equal(pixels_of(visit.download()), whole[:, 50:350])
        page.check("input[name=crop][value=free]", force=True)
        for name, value in (("x", 20), ("y", 30), ("width", 100), ("height", 80)):
            page.fill(f"#crop-numbers [name={name}]", str(value))
            page.press(f"#crop-numbers [name={name}]", "Tab")
        assert numbers() == [20, 30, 100, 80]
        # Of a fixed ratio the other side follows, the corner stays, and it ends where the picture ends.
        page.check("input[name=crop][value='4:3']", force=True)
        for name, value, expected in (
            ("width", 120, [0, 0, 120, 90]), ("x", 100, [100, 0, 120, 90]), ("y", 150, [100, 150, 120, 90]),
            ("height", 60, [100, 150, 80, 60]), ("width", 200, [100, 150, 200, 150]),
            ("width", 300, [100, 150, 200, 150]), ("x", 340, [340, 150, 60, 45]), ("height", 5, [340, 150, 21, 16]),
            ("width", "", [340, 150, 21, 16]), ("y", 999, [340, 284, 21, 16]),
        ):  # fmt: skip
            page.fill(f"#crop-numbers [name={name}]", str(value))
            page.press(f"#crop-numbers [name={name}]", "Enter")
            assert numbers() == expected, (name, value)
        assert pixels_of(visit.download()).shape == (16, 21, 3)
        for _ in range(9):
            visit.click("#undo")
        page.check("input[name=crop][value=free]", force=True)
        assert numbers() == [20, 30, 100, 80]
        # By its corner, and by its middle.
        corner, middle = visit.on_picture(120, 110), visit.on_picture(70, 70)
        visit.drag(corner, visit.on_picture(160, 150))
        assert numbers() == pytest.approx([20, 30, 140, 120], abs=1)
        visit.drag(middle, visit.on_picture(100, 80))
        x, y, wide, high = numbers()
        assert [x, y, wide, high] == pytest.approx([50, 40, 140, 120], abs=1)
        assert np.array_equal(pixels_of(visit.download()), whole[y : y + high, x : x + wide])
        visit.click("#undo")
        visit.click("#undo")
        assert numbers() == [20, 30, 100, 80]
        page.check("input[name=crop][value=none]", force=True)
        assert np.array_equal(pixels_of(visit.download()), whole)


@pytest.mark.slow
def test_a_crop_is_in_the_recipe_and_the_code(
    browser: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = shapes(tmp_path)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "below-pyharmony.png"

    def crop(visit: Visit) -> tuple[slice, slice]:
        visit.click("[data-to=save]")
        visit.page.check("input[name=crop][value=free]", force=True)
        for name, value in (("x", 60), ("y", 30), ("width", 200), ("height", 170)):
            visit.page.fill(f"#crop-numbers [name={name}]", str(value))
            visit.page.press(f"#crop-numbers [name={name}]", "Tab")
        return slice(30, 200), slice(60, 260)

    def copied(visit: Visit, kind: str) -> str:
        before = visit.page.inner_text("#code") if visit.page.is_visible("#code") else ""
        visit.click(f"#copy-{kind}")
        visit.comes(lambda: visit.page.is_visible("#code") and visit.page.inner_text("#code") != before)
        return visit.page.inner_text("#code")

    with visiting(browser, service) as visit:
        composing(visit, files)
        visit.put(150, 120)
        visit.settled()
        whole = pixels_of(visit.download())
        part = crop(visit)
        assert np.array_equal(pixels_of(visit.download()), whole[part])
        (tmp_path / "recipe.json").write_bytes(visit.download("#save-recipe"))
        again = pyharmony.compose(str(files["alpha"]), str(files["background"]), recipe=tmp_path / "recipe.json")
        assert np.array_equal(np.asarray(again), whole[part])
        run_as_copied(copied(visit, "command"))
        assert np.array_equal(pixels_of(out.read_bytes()), whole[part])
        out.unlink()
        exec(compile(copied(visit, "python"), "copied", "exec"), {})  # noqa: S102
        assert np.array_equal(pixels_of(out.read_bytes()), whole[part])
        visit.page.check("input[name=format][value=ora]", force=True)
        layers = visit.download("#save")
        assert np.array_equal(pyharmony.io.read_layers(layers)[1].pixels[..., :3], whole[part])
    with visiting(browser, service) as visit:
        blending(visit, files, "poisson")
        part = crop(visit)
        for format, name in (("png", "below-pyharmony.png"), ("jpeg", "below-pyharmony.jpg")):
            visit.page.check(f"input[name=format][value={format}]", force=True)
            pixels = pixels_of(visit.download())
            assert pixels.shape == (170, 200, 3)
            for kind in ("command", "python"):
                code = copied(visit, kind)
                for old in tmp_path.glob("below-pyharmony*"):
                    old.unlink()
                run_as_copied(code) if kind == "command" else exec(compile(code, "copied", "exec"), {})  # noqa: S102
                assert np.array_equal(pixels_of((tmp_path / name).read_bytes()), pixels), (format, kind)


@pytest.mark.slow
def test_a_screenshot_is_cut_out_first(browser: Any, service: Any, tmp_path: Path) -> None:
    """Its alpha is 255 everywhere, or nearly, and cuts nothing out; it is in the way of no click either."""
    files = shapes(tmp_path)
    opaque = np.dstack([np.asarray(Image.open(files["source"])), np.full((120, 120), 255, np.uint8)])
    window = opaque.copy()
    window[:4, :4, 3] = 0  # the round corners of a window
    with visiting(browser, service) as visit:
        without_people(visit)
        for name, pixels in (("screenshot.png", opaque), ("window.png", window)):
            visit.give("subject", saved(tmp_path, name, pixels), files["background"])
            visit.step("cut")
            # The panel is that of the picture before until this one is loaded.
            visit.page.wait_for_selector("#to-place:disabled")
            visit.point(60, 60)
            visit.cut()
            mask = pixels_of(visit.download("#save-mask"))
            assert mask[60, 60] > 200 and mask[8, 8] < 50
            visit.leave()


@pytest.mark.slow
def test_the_page_opens_what_it_has_saved(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    blue = np.asarray(Image.open(files["alpha"])).copy()
    blue[..., :3] = (30, 90, 220)
    other = saved(tmp_path, "blue.png", blue)
    recipe, layers = tmp_path / "recipe.json", tmp_path / "picture.ora"
    with visiting(browser, service) as visit:
        page = visit.page
        # A photo whose mask comes from a click, and another subject with transparency.
        cut_out(visit, files)
        visit.put(120, 140, 80)
        visit.click("[data-to=match]")
        visit.set("strength", 60)
        page.set_input_files("#add-subject", str(other))
        at_plain_place(visit)
        visit.put(280, 160)
        visit.settled()
        pixels = pixels_of(visit.download())
        visit.click("[data-to=save]")
        recipe.write_bytes(visit.download("#save-recipe"))
        page.check("input[name=format][value=ora]", force=True)
        layers.write_bytes(visit.download("#save"))
        page.check("input[name=format][value=png]", force=True)
        visit.leave()
        # The recipe asks for its photos, which may come one by one, and all is as it was.
        page.set_input_files("#open-file", str(recipe))
        visit.says("Add the photos of the recipe: source.png, blue.png, below.png")
        visit.give("photos", files["background"])
        visit.says("Photos of the recipe: 1 photos")
        visit.give("photos", other, files["source"])
        visit.step("place")
        visit.settled()
        assert visit.middle() == {"x": 280, "y": 160, "scale": 100, "angle": 0}
        assert page.locator("#subject-list .name").all_inner_texts() == ["2. blue.png", "1. source.png"]
        assert np.array_equal(pixels_of(visit.download()), pixels)
        page.locator("#subject-list [data-key=name-1]").click()
        visit.settled()
        assert page.input_value("#strength") == "60" and visit.middle()["scale"] == 80
        visit.leave()
        # All at once, from anywhere.
        page.set_input_files("#open-file", [str(one) for one in (other, files["background"], recipe, files["source"])])
        visit.step("place")
        assert page.locator("#subject-list .name").all_inner_texts() == ["2. blue.png", "1. source.png"]
        visit.leave()
        # Layers look as they did, and each can be moved.
        page.set_input_files("#open-file", str(layers))
        visit.step("place")
        visit.settled()
        merged = pixels_of(visit.download())[..., :3].astype(int)
        assert (np.abs(merged - pixels) > 2).mean() < 0.01 and page.locator("#subject-list .name").count() == 2
        visit.click("[data-nudge=left]")
        visit.settled()
        assert (pixels_of(visit.download())[..., :3] != merged).any()
        visit.leave()
        # What is neither is refused by its name.
        for name, content in (
            ("other.json", b"{}"), ("none.json", b"no JSON"), ("broken.ora", b"PK"), ("empty.ora", b""),
            ("cli.json", json.dumps({**json.loads(recipe.read_text()), "page": None}).encode()),
        ):  # fmt: skip
            (tmp_path / name).write_bytes(content)
            page.set_input_files("#open-file", str(tmp_path / name))
            visit.says(f"{name[1:]} is no")
        assert page.is_visible("#start") and page.locator("[data-slot]").count() == 2


# ---- the way back ----


def stored(visit: Visit, store: str) -> list[Any]:
    """Returns what the browser's database has in a store; of files, their keys."""
    return visit.page.evaluate(
        """(store) => new Promise((done) => {
          const opening = indexedDB.open("pyharmony", 1);
          opening.onsuccess = () => {
            const all = opening.result.transaction(store).objectStore(store);
            const asked = store === "files" ? all.getAllKeys() : all.getAll();
            asked.onsuccess = () => { opening.result.close(); done(asked.result); };
          };
        })""",
        store,
    )


def drafted(visit: Visit, count: int = 1) -> None:
    """Waits until the open picture is stored as it is shown, beside others."""
    visit.settled()
    visit.page.wait_for_selector("html[data-stored=true]")
    visit.comes(lambda: len(stored(visit, "drafts")) == count)


@pytest.mark.slow
def test_back_a_reload_and_the_logo_lose_nothing(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        cut_out(visit, files)
        visit.put(150, 120, 80)
        visit.click("[data-to=match]")
        visit.set("strength", 40)
        drafted(visit)
        pixels = pixels_of(visit.download())

        def is_there(step: str) -> None:
            visit.step(step)
            visit.settled()
            assert visit.middle() == {"x": 150, "y": 120, "scale": 80, "angle": 0}
            assert page.input_value("#strength") == "40"

        # Back goes through the steps, and forward again.
        page.go_back()
        visit.step("place")
        page.go_back()
        visit.step("cut")
        page.go_forward()
        visit.step("place")
        page.go_forward()
        is_there("match")
        visit.reload()
        is_there("match")
        # The history survives a reload: a step is undone and done again.
        visit.click("#undo")
        assert page.input_value("#strength") == "100"
        visit.click("#redo")
        drafted(visit)
        visit.click("#home")
        page.wait_for_selector("#draft:not([hidden])")
        (draft,) = visit.drafts()
        assert "below.png" in draft and "at the step “Match”" in draft
        visit.click("#draft li button >> text=Go on")
        is_there("match")
        # Back from the first step is the start; forward is the picture.
        visit.click("#home")
        page.wait_for_selector("#draft:not([hidden])")
        page.go_back()
        is_there("match")
        # It goes on where the service has forgotten everything, from the files that the browser holds.
        visit.expected.append("404")
        with httpx.Client(base_url=service.address, headers={"X-Pyharmony": "1"}) as client:
            for id in list(service.service.store.pictures):
                client.delete(f"api/v1/pictures/{id}")
        visit.reload()
        is_there("match")
        assert np.array_equal(pixels_of(visit.download()), pixels)


def test_the_address_is_that_of_the_step_that_is_shown(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        cut_out(visit, files)
        assert page.url.endswith("#compose/place")
        page.go_back()
        visit.step("cut")
        # Forward is not possible: nothing is cut out, or the mask cannot be loaded.
        visit.click("#start-over")
        page.go_forward()
        visit.says("Click first on who or what you want.")
        visit.comes(lambda: page.url.endswith("#compose/cut"))
        visit.expected += ["ERR_", "EncodingError"]
        page.route("**/api/v1/pictures/*/proxy*", lambda route: route.abort())
        visit.point(60, 60)
        visit.says("Something on this page went wrong")
        visit.read()
        page.evaluate("history.pushState({step: 'place'}, '', '#compose/place')")
        page.evaluate("history.pushState({step: 'cut'}, '', '#compose/cut')")
        page.go_back()
        visit.says("Something on this page went wrong")
        visit.comes(lambda: page.url.endswith("#compose/cut"))
        visit.step("cut")
        # It is loaded again as soon as it can be.
        page.unroute("**/api/v1/pictures/*/proxy*")
        visit.click("[data-to=place]")
        visit.step("place")
        assert page.url.endswith("#compose/place")


@pytest.mark.slow
def test_every_unfinished_picture_is_listed(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        for count, x in enumerate((120, 90), 1):
            blending(visit, files)
            visit.type("x", x)
            drafted(visit, count)
            visit.click("#home")
            page.wait_for_selector("#draft:not([hidden])")
            visit.way("compose")
        visit.comes(lambda: len(visit.drafts()) == 2)
        # Each shows what it looks like: the disc, red over blue.
        for i in range(2):
            thumb = page.locator("#draft li img").nth(i)
            assert thumb.evaluate("(one) => one.decode().then(() => [one.naturalWidth, one.naturalHeight])") == [
                160,
                120,
            ]
            address = thumb.get_attribute("src")
            assert address.startswith("data:image/jpeg;base64,")
            pixels = pixels_of(base64.b64decode(address.partition(",")[2])).astype(int)
            assert (pixels[..., 0] > pixels[..., 2] + 60).sum() > 200
        # The newest is the first, and one goes on with its steps and in its place.
        for x in (120, 90):
            page.locator("#draft li").nth(1).get_by_text("Go on").click()
            visit.step("place")
            visit.settled()
            # Until the draft is open, the panel has the numbers of the one before.
            visit.comes(lambda x=x: visit.numbers()["x"] == x and page.is_enabled("#undo"))
            drafted(visit, 2)
            # Before the new list is there, the former one is not: it has the pictures as they were.
            assert (
                page.evaluate(
                    "() => (document.querySelector('#home').click(), document.querySelectorAll('#draft li').length)"
                )
                == 0
            )
            visit.comes(lambda: len(visit.drafts()) == 2)
        # What is deleted is gone for good, with its files; the other stays.
        page.locator("#draft li").first.get_by_text("Delete").click()
        visit.comes(lambda: len(visit.drafts()) == 1)
        visit.reload()
        assert len(visit.drafts()) == 1 and len(stored(visit, "files")) == 3
        visit.leave()
        visit.reload()
        assert page.is_hidden("#draft") and page.is_visible("#start") and stored(visit, "files") == []


@pytest.mark.slow
def test_a_closed_tab_and_a_reload_at_once_lose_nothing(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        composing(visit, shapes(tmp_path))
        visit.put(230, 120)
        drafted(visit)
        pixels = pixels_of(visit.download())
        context, former = visit.page.context, visit.page
        page = visit.page = context.new_page()
        page.set_default_timeout(PATIENCE)
        former.close()
        visit.open()
        # Another tab begins at the start, where the picture is.
        assert page.is_visible("#start") and len(visit.drafts()) == 1
        without_people(visit)
        page.click("#draft li button >> text=Go on")
        visit.step("place")
        visit.settled()
        assert visit.middle() == {"x": 230, "y": 120, "scale": 100, "angle": 0}
        assert np.array_equal(pixels_of(visit.download()), pixels)
        visit.click("#undo")
        assert visit.middle()["y"] != 120
        drafted(visit)

        def reload() -> None:
            visit.reload()
            visit.step("place")

        visit.type("x", 90)
        reload()
        visit.comes(lambda: visit.numbers()["x"] == 90)
        drafted(visit)
        visit.click("#add-same")
        reload()
        visit.comes(lambda: page.locator("#subject-list li").count() == 2)
        # Where the page is only hidden, too, and what was stored last stays.
        visit.type("y", 100)
        page.evaluate(
            """() => {
              Object.defineProperty(document, "hidden", { value: true });
              document.dispatchEvent(new Event("visibilitychange"));
              addEventListener("pagehide", (event) => event.stopImmediatePropagation(), true);
            }"""
        )
        reload()
        visit.comes(lambda: visit.numbers()["y"] == 100)


@pytest.mark.slow
def test_a_duplicated_tab_writes_over_nothing(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        composing(visit, shapes(tmp_path))
        visit.put(150, 140)
        drafted(visit)
        first = visit.page
        state = first.evaluate("[{ ...sessionStorage }, history.state, location.href]")
        # As a browser duplicates it: with its storage, its history and its address.
        second = first.context.new_page()
        second.set_default_timeout(PATIENCE)
        second.goto(service.address)
        second.evaluate(
            """([storage, state, address]) => {
              Object.assign(sessionStorage, storage);
              history.replaceState(state, "", address);
            }""",
            state,
        )
        second.reload()
        visit.page = second
        without_people(visit)
        visit.step("place")
        visit.settled()
        assert visit.middle()["x"] == 150
        drafted(visit, 2)
        visit.put(300, 140)
        drafted(visit, 2)
        for page, x in ((first, 150), (second, 300)):
            visit.page = page
            page.reload()
            visit.step("place")
            visit.comes(lambda x=x: visit.middle()["x"] == x)
            drafted(visit, 2)
        first.close()
        visit.page = second
        visit.click("#home")
        visit.comes(lambda: len(visit.drafts()) == 2)


@pytest.mark.full
def test_a_mask_on_its_way_is_cancelled(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        visit.give("subject", files["source"], files["background"])
        visit.step("cut")
        visit.page.wait_for_selector("html[data-busy=false]")
        pid = service.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            visit.page.set_input_files("#load-mask", str(files["mask"]))
            visit.page.wait_for_selector("#busy:not([hidden])")
            visit.click("#cancel")
            visit.page.wait_for_selector("#busy", state="hidden")
            assert visit.page.locator("#to-place:enabled").count() == 0
        finally:
            os.kill(pid, signal.SIGCONT)


def test_a_job_is_cancelled_and_the_page_goes_on(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        visit.give("subject", IMAGES / "astronaut.jpg")
        visit.give("background", files["background"])
        visit.step("cut")
        # A worker that stands still has not answered before the click.
        os.kill(service.pid(), signal.SIGSTOP)
        visit.click("#people")
        visit.page.wait_for_selector("#busy:not([hidden])")
        service.until(lambda: [job.operation.name for job in service.service.pool.running] == ["segment"])
        visit.click("#cancel")  # before the service has said how the job is called, or after
        visit.says("Cancelled")
        visit.page.wait_for_selector("#busy", state="hidden")
        job = next(job for job in reversed(service.service.pool.jobs.values()) if job.operation.name == "segment")
        service.until(lambda: job.status == "cancelled")
        assert service.until(lambda: service.client.get("/health").json()["status"] == "ok")
        visit.point(220, 300)
        visit.cut()


@pytest.mark.full
def test_a_picture_takes_as_long_as_it_needs_or_is_cancelled(browser: Any, tmp_path: Path) -> None:
    files, limit = shapes(tmp_path), 6.0
    with test_server.running(page=PAGE, preview_timeout=limit) as service, visiting(browser, service) as visit:
        blending(visit, files, "alpha")
        pool = service.service.pool

        def stopped() -> int:
            """Stops the worker, as one whose work takes long."""
            visit.settled()
            pid = service.until(lambda: pool.slots[0].idle and service.pid())
            os.kill(pid, signal.SIGSTOP)
            return pid

        def takes(seconds: float) -> None:
            visit.page.wait_for_function(
                """seconds => {
                  const busy = /^Making the picture at full size: (?:step \\d of 3, )?(\\d+) s$/;
                  return Number(document.querySelector("#busy-text").textContent.match(busy)?.[1]) > seconds;
                }""",
                arg=seconds,
            )  # fmt: skip

        pid = stopped()
        with visit.page.expect_download() as download:
            visit.click("#download")
            takes(limit + 2)
            assert [job.operation.name for job in pool.running] == ["blend"]
            os.kill(pid, signal.SIGCONT)
        assert pixels_of(Path(download.value.path()).read_bytes()).shape == (300, 400, 3)
        assert service.pid() == pid
        # Cancel stops the work, at full size too, and the next picture is made.
        visit.choose("mode", "poisson")
        visit.page.wait_for_selector("#stage[data-exact=true]")
        stopped()
        visit.click("#zoom-one")
        takes(3)
        job = pool.running[0]
        assert (job.operation.name, job.preview) == ("blend", False)
        visit.click("#cancel")
        visit.says("Cancelled")
        visit.page.wait_for_selector("#busy", state="hidden")
        service.until(lambda: job.status == "cancelled")
        assert pixels_of(visit.download()).shape == (300, 400, 3)


@pytest.mark.full
def test_a_full_queue_is_waited_for(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    refusals = []

    def full(route: Any) -> None:
        if refusals:
            route.continue_()
            return
        refusals.append(1)
        body = {"error": {"kind": "busy", "message": "32 jobs are waiting, which is as many as may"}}
        route.fulfill(status=429, json=body, headers={"Retry-After": "3"})

    with visiting(browser, service) as visit:
        visit.expected.append("429")
        visit.page.route("**/api/v1/blend?*", full)
        visit.way("blend")
        visit.give("source", files["source"], files["mask"], files["background"])
        visit.says("The service is busy; trying again in 3 s")
        visit.page.wait_for_selector("#stage[data-exact=true]")
        assert refusals


def test_a_service_that_cannot_be_reached_is_said_and_found_again(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        visit.expected.append("ERR_")
        visit.page.context.set_offline(True)
        visit.give("subject", files["source"])
        visit.says("The service does not answer")
        visit.page.context.set_offline(False)
        visit.give("subject", files["source"], files["background"])
        visit.step("cut")


@pytest.mark.full
def test_a_service_that_was_killed_is_taken_up_again(browser: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    photos = [str(files["source"]), str(files["background"])]
    runs = [test_server.Command(tmp_path, "--port", "0")]

    def killed() -> None:
        (worker,) = runs[-1].children()
        for pid in (runs[-1].process.pid, worker):
            os.kill(pid, signal.SIGKILL)
        runs[-1].process.wait(60)

    def begun() -> None:
        runs.append(test_server.Command(tmp_path, "--port", runs[0].address.rpartition(":")[2]))

    try:
        with visiting(browser, runs[0]) as visit:
            page = visit.page
            visit.expected += ["ERR_", "404"]
            without_people(visit)
            visit.give("subject", files["source"], files["background"])
            visit.step("cut")
            # In the midst of a job: it is told, and the job is done by the next service, which knows of no photo.
            os.kill(runs[0].children()[0], signal.SIGSTOP)
            visit.point(60, 60)
            page.wait_for_selector("#busy:not([hidden])")
            killed()
            visit.says("Your work stays on this page")
            assert page.locator(".toast[role=alert]").count() == 1
            begun()
            visit.says("The service is back")
            visit.cut()
            page.check("input[name=tool][value=paint]", force=True)
            painted = visit.new_mask(lambda: visit.point(12, 12))
            assert painted[12, 12] == 255
            visit.to_place()
            visit.settled()
            # Between two jobs, with what was made of what was made before.
            killed()
            visit.put(170, 120, 80)
            visit.says("Your work stays on this page")
            begun()
            visit.settled()
            visit.click("[data-to=save]")
            pixels = pixels_of(visit.download("#save"))
            killed()
            begun()
            # What was made already is made again where its files are asked for.
            recipe = tmp_path / "recipe.json"
            recipe.write_bytes(visit.download("#save-recipe"))
            assert np.array_equal(pixels, np.asarray(pyharmony.compose(*photos, recipe=recipe)))
            assert (pixels != pixels_of(files["background"].read_bytes())).any()
            visit.click("[data-to=cut]")
            assert np.array_equal(pixels_of(visit.download("#save-mask")), painted)
    finally:
        for run in runs:
            run.process.kill()


@pytest.mark.full
def test_what_has_expired_is_made_again(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    source, mask, below = (np.asarray(Image.open(files[name])) for name in ("source", "mask", "background"))

    def expire() -> None:
        for id in list(service.service.store.pictures):
            assert service.client.delete(f"/api/v1/pictures/{id}").status_code == 204

    with visiting(browser, service) as visit:
        page = visit.page
        visit.expected.append("404")
        blending(visit, files, "poisson")
        visit.settled()
        expire()
        page.locator("#stage").focus()
        page.eval_on_selector("#stage", "one => { delete one.dataset.blend; }")
        page.keyboard.press("Shift+ArrowRight")
        # The blend that follows a drag, too.
        page.wait_for_selector("#stage[data-blend=fine]")
        visit.settled()
        assert page.locator(".toast").count() == 0
        expire()
        assert np.array_equal(pixels_of(visit.download()), blend.poisson(source, below, mask, at=(150, 90)))
        # Who goes to the start has nothing that is kept.
        visit.click("#home")
        visit.give("source", files["source"], files["mask"], files["background"])
        visit.step("place")


@pytest.mark.full
def test_a_connection_that_is_lost_is_taken_up_again(browser: Any, service: Any, tmp_path: Path) -> None:
    urls: list[str] = []

    def cut(route: Any) -> None:
        if urls:
            route.continue_()
        else:
            urls.append(route.request.url)
            route.fulfill(body="retry: 100\n\n", content_type="text/event-stream")  # and no word of the job

    with visiting(browser, service) as visit:
        visit.page.route("**/events", cut)
        # So that every job is followed by its events.
        visit.page.route(re.compile(r"/api/v1/segment\?"), lambda route: route.continue_(
            url=re.sub(r"wait=[\d.]+", "wait=0", route.request.url)
        ))  # fmt: skip
        files = shapes(tmp_path)
        visit.give("subject", files["source"], files["background"])
        visit.step("cut")
        visit.point(60, 60)
        visit.cut()
        assert len(urls) == 1


def test_a_token_is_asked_for_once(browser: Any, tmp_path: Path) -> None:
    with (
        test_server.running(page=PAGE, token=test_server.TOKEN) as one,
        pytest.MonkeyPatch.context(),
    ):
        context = browser.new_context(**DESKTOP)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(one.address)
        page.wait_for_selector("#token[open]")
        violations = needed("axe_playwright_python.sync_playwright").Axe().run(page).response["violations"]
        assert not violations, [(one["id"], one["nodes"][0]["html"][:200]) for one in violations]
        page.fill("#token input[name=token]", "not the right one")
        page.press("#token input[name=token]", "Enter")
        page.wait_for_function("() => document.querySelector('#token-note').textContent")
        page.fill("#token input[name=token]", test_server.TOKEN)
        page.press("#token input[name=token]", "Enter")
        page.wait_for_selector("html[data-ready]")
        assert test_server.TOKEN not in page.content() and page.evaluate("document.cookie") == ""
        page.set_input_files("[data-slot=subject] input", str(shapes(tmp_path)["source"]))
        page.wait_for_selector("[data-slot=subject] img")
        # With a token a file may have 32 MB, which is said before anything is sent.
        large = tmp_path / "holiday.png"
        large.write_bytes(bytes(33_000_000))
        page.set_input_files("[data-slot=background] input", str(large))
        page.wait_for_selector("text=holiday.png is larger than 32 MB, the limit here.")
        context.close()


# ---- controls that no journey uses ----


@pytest.mark.full
def test_sample_photos(browser: Any, service: Any) -> None:
    with visiting(browser, service) as visit:
        without_people(visit)
        steps = {"compose": "cut", "harmonize": "match", "blend": "place", "apply-edit": "changes", "merge": "save"}
        steps["remove"] = "cut"
        for way, step in steps.items():
            visit.way(way)
            visit.click("#sample")
            visit.step(step)
            if way not in ("compose", "remove"):
                visit.page.wait_for_selector("#download:enabled")
            if way == "blend":  # in the crema, as in the documentation
                assert visit.numbers() == {"x": 208, "y": 113, "scale": 100, "angle": 0}
                assert visit.page.is_disabled("#undo")
            visit.page.wait_for_url(f"**#{way}/{step}")
            visit.click("#home")


@pytest.mark.full
def test_lines_and_clicks_that_remove(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    source = np.asarray(Image.open(files["source"]))
    with visiting(browser, service) as visit:
        page = visit.page
        bodies: list[dict[str, Any]] = []
        page.on("request", lambda request: "/segment?" in request.url and bodies.append(request.post_data_json))

        visit.give("subject", files["source"], files["background"])
        visit.step("cut")
        page.check("input[name=tool][value=line]", force=True)
        # What is removed before anything is there is refused.
        page.check("input[name=sign][value='-']", force=True)
        clicks((40, 60), (80, 60))(visit)
        visit.says("Click first on the object")
        page.check("input[name=sign][value='+']", force=True)

        mask = visit.new_mask(lambda: visit.drag(*(visit.on_picture(*at) for at in ((35, 60), (60, 50), (85, 60)))))
        (line,) = bodies[-1]["steps"]
        assert line["kind"] == "scribble" and line["add"] and len(line["line"]) >= 6
        assert line["line"][0] == pytest.approx([34.5, 59.5], abs=0.5)
        assert line["line"][-1] == pytest.approx([84.5, 59.5], abs=0.5)
        assert np.array_equal(mask, pyharmony.segment(source, scribble=[tuple(one) for one in line["line"]]).alpha())
        # An outline is refined near it; around a part it adds that.
        visit.click("#start-over")
        page.check("input[name=tool][value=lasso]", force=True)
        assert page.is_visible("#lasso-note")
        around = ((20, 30), (100, 30), (100, 90), (20, 90), (20, 40))
        mask = visit.new_mask(lambda: visit.drag(*(visit.on_picture(*at) for at in around)))
        (step,) = bodies[-1]["steps"]
        assert step["kind"] == "lasso" and step["add"] and len(step["line"]) >= 6
        assert np.array_equal(mask, pyharmony.segment(source, lasso=[tuple(one) for one in step["line"]]).alpha())
        clicks((40, 60), (80, 60))(visit)
        visit.says("Draw a line around it")
        visit.click("#start-over")
        page.check("input[name=tool][value=line]", force=True)
        visit.new_mask(lambda: visit.drag(*(visit.on_picture(*at) for at in ((35, 60), (60, 50), (85, 60)))))
        # Two clicks draw a line, too; the hint says that the second is waited for.
        visit.point(60, 40)
        visit.says("Click where the line ends")
        visit.new_mask(lambda: visit.point(60, 80))
        assert np.allclose(bodies[-1]["steps"][-1]["line"], [[59.5, 39.5], [59.5, 79.5]], atol=0.5)
        # A click that removes: by the sign, and with Shift.
        page.check("input[name=tool][value=click]", force=True)
        page.check("input[name=sign][value='-']", force=True)
        visit.new_mask(lambda: visit.point(6, 6))
        assert bodies[-1]["steps"][-1] == {
            "kind": "click",
            "x": pytest.approx(5.5, abs=0.5),
            "y": pytest.approx(5.5, abs=0.5),
            "add": False,
        }
        page.check("input[name=sign][value='+']", force=True)
        page.keyboard.down("Shift")
        visit.new_mask(lambda: visit.point(112, 112))
        page.keyboard.up("Shift")
        assert bodies[-1]["steps"][-1]["add"] is False and len(bodies[-1]["steps"]) == 4


@pytest.mark.full
def test_before_and_after(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        blending(visit, files, "poisson")
        pixels, below = pixels_of(visit.download()), np.asarray(Image.open(files["background"]))
        visit.click("[data-to=match]")
        visit.settled()
        page.wait_for_selector("#stage[data-exact=true]")

        def colour(x: float, y: float) -> np.ndarray:
            """Returns what is seen at a point of the picture."""
            a, b = visit.on_picture(x, y)
            clip = {"x": a - 1, "y": b - 1, "width": 3, "height": 3}
            return pixels_of(page.screenshot(clip=clip))[1, 1, :3].astype(int)

        # The disc lies from 160 to 240. Poisson changes its colours; what was before is the disc as it was, pasted.
        plain = np.array([200, 60, 40])
        assert np.abs(pixels[150, 190].astype(int) - plain).max() > 40
        visit.click("#compare")
        visit.drag(visit.on_picture(200, 270), visit.on_picture(220, 280))
        visit.comes(lambda: abs(float(page.input_value("#divider")) - 55) <= 1)
        visit.comes(lambda: np.abs(colour(190, 150) - plain).max() < 12)
        visit.comes(lambda: np.abs(colour(232, 150) - pixels[150, 232]).max() < 12)
        page.locator("#divider").focus()
        page.keyboard.press("Home")
        visit.comes(lambda: np.abs(colour(190, 150) - pixels[150, 190]).max() < 12)
        page.keyboard.press("End")
        visit.comes(lambda: np.abs(colour(232, 150) - plain).max() < 12)
        assert np.abs(colour(50, 150) - below[150, 50]).max() < 12


@pytest.mark.full
def test_an_upload_is_cancelled(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        routes: list[Any] = []
        visit.expected.append("ERR_")
        page.route("**/api/v1/pictures?*", lambda route: routes.append(route))  # and no answer
        visit.give("subject", files["source"])
        page.wait_for_selector("[data-slot=subject] .stop")
        service.until(lambda: page.wait_for_timeout(20) or routes)
        with page.expect_event("requestfailed", lambda request: "pictures?" in request.url):
            visit.click("[data-slot=subject] .stop")
        visit.says("The upload was cancelled")
        assert page.locator("[data-slot=subject] progress").count() == 0
        assert page.locator("[data-slot=subject] .stop").count() == 0 and page.locator(".toast").count() == 0
        page.unroute("**/api/v1/pictures?*")
        visit.give("subject", files["source"], files["background"])
        visit.step("cut")


def test_reasons_in_plain_words(browser: Any, service: Any) -> None:
    from pyharmony.errors import ClippedWarning, FloodedWarning, Reason
    from pyharmony.harmonization import _guards, _judged

    reasons = [x for module in (_guards, _judged) for x in vars(module).values() if isinstance(x, Reason) and x]
    assert len({one.code for one in reasons}) >= 7
    with visiting(browser, service) as visit:
        for reason in reasons:
            text = visit.page.evaluate(
                "one => import('./strings.js').then(({ plainly }) => plainly(...one))",
                [f"colours: {reason}", reason.code],
            )
            assert "its colours" in text.lower() and not re.search("network|contradict|object|view", text), text
        for kind in (FloodedWarning, ClippedWarning):
            text = visit.page.evaluate(
                "one => import('./strings.js').then(({ plainly }) => plainly('', one))", kind.code
            )
            assert "colours" in text and not re.search("src|dst|levels|float", text), text
        script = "import('./strings.js').then(({ plainly }) => plainly('no shadow: it floats', 'floats'))"
        assert visit.page.evaluate(script) == "No shadow: it floats"


# ---- access ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "scheme"), [(PHONE, "dark"), *(pytest.param(*one, marks=pytest.mark.full) for one in
    ((DESKTOP, "dark"), (DESKTOP, "light"), (PHONE, "light")))],
)  # fmt: skip
def test_axe_finds_nothing(browser: Any, service: Any, tmp_path: Path, kind: dict[str, Any], scheme: str) -> None:
    files = shapes(tmp_path)

    def check(where: str) -> None:
        violations = axe_of(visit)
        if kind is PHONE:
            assert visit.page.evaluate(SMALL_CONTROLS, 44) == [], where
        assert not violations, (where, violations)

    def steps(*names: str) -> None:
        for step in names:
            visit.click(f"[data-to={step}]")
            visit.step(step)
            for summary in visit.page.locator(f"section[data-step={step}] details:not([open]) summary").all():
                if summary.is_visible():
                    summary.click()
            visit.settled()
            check(f"{visit.page.url.partition('#')[2]}")

    with visiting(browser, service, kind, scheme) as visit:
        page = visit.page
        without_people(visit)
        for way in ("apply-edit", "merge", "remove", "harmonize", "blend", "compose"):
            visit.way(way)
            check(f"start, {way}")
        blending(visit, files, "gaussian-poisson")
        steps("place", "match", "save")
        page.check("input[name=format][value=jpeg]", force=True)
        visit.download("#save")
        visit.click("#copy-python")
        page.wait_for_selector("#code:not([hidden])")
        check("what is copied, and a message")
        visit.click("#compare")
        page.locator(".toast").first.wait_for(state="detached")
        check("before and after")
        visit.leave()
        visit.way("compose")
        visit.expected.append("422")
        text = tmp_path / "notes.png"
        text.write_text("no picture at all")
        visit.give("subject", text)
        page.wait_for_selector(".refusal")
        check("a refusal")
        visit.give("subject", files["source"])
        visit.give("background", files["background"])
        visit.step("cut")
        page.set_input_files("#load-mask", str(files["mask"]))
        visit.cut()
        page.check("input[name=tool][value=paint]", force=True)
        check("cut")
        visit.to_place()
        visit.choose("method", "none")
        if page.is_visible("#zoom-menu"):
            visit.click("#zoom-menu")
        for _ in range(3):
            visit.click("#zoom-in")
        page.wait_for_selector("#pan:not([hidden])")
        steps("place")
        visit.click("[data-to=match]")
        page.check("input[name=shadow][value=on]", force=True)
        page.wait_for_selector("#tip-pad:not([hidden])")
        steps("match", "save")
        visit.leave()
        visit.way("merge")
        v, u = np.mgrid[:200, :260]
        one = np.stack([u % 97, v % 83, (u * v) % 101], -1).astype(np.uint8)
        visit.give("photos", saved(tmp_path, "one.png", one), saved(tmp_path, "two.png", one))
        page.wait_for_selector("#save:enabled")
        check("merge")


def names_of(visit: Visit, files: dict[str, Path], recorded: str = "") -> str:
    """Returns what screen readers are told of the start in each way, and of each step.

    A busy machine shows some parts later than others: those of `recorded` are waited for, for a few seconds.
    """
    lines: list[str] = []

    def read(where: str) -> str:
        parts = (visit.page.locator(selector).aria_snapshot() for selector in ("header.bar", "main:not([hidden])"))
        text = "\n".join((f"# {where}", *parts, ""))
        # Values follow from what is computed, and the methods are those that come with the package.
        text = re.sub(r'(spinbutton "[^"]*"): .*', r"\1", text)
        return re.sub(r'(combobox "Light and colour"):(?:\n +- option .*)+', r"\1", text)

    def note(where: str) -> None:
        end = time.monotonic() + (RECORDED_SECONDS if recorded else 0)
        while (text := read(where)) not in recorded and time.monotonic() < end:
            visit.page.wait_for_timeout(100)
        lines.append(text)

    without_people(visit)
    for way in ("apply-edit", "merge", "remove", "harmonize", "blend", "compose"):
        visit.way(way)
        note(f"start, {way}")
    visit.give("subject", files["source"], files["background"])
    visit.step("cut")
    note("cut")
    visit.point(60, 60)
    visit.cut()
    visit.click("#to-place")
    visit.page.wait_for_selector("#places[data-state=done]", state="attached")
    visit.choose("method", "none")
    visit.put(150, 120)
    for step in ("place", "match", "save"):
        visit.click(f"[data-to={step}]")
        if step == "match":
            visit.page.check("input[name=shadow][value=on]", force=True)
        visit.settled()
        note(step)
    return "\n".join(lines)


@pytest.mark.slow
def test_what_is_read_aloud(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        # `python -m tests.serve.test_page names` writes them anew.
        recorded = NAMES.read_text()
        lines = names_of(visit, shapes(tmp_path), recorded).splitlines()
        assert list(difflib.unified_diff(recorded.splitlines(), lines, n=1, lineterm="")) == []
        visit.click("#home")
        assert visit.page.get_attribute("#live", "aria-live") == "polite"
        unnamed = visit.page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, a, [role=application]")].filter((one) =>
              !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.[0]?.textContent.trim()
                || one.closest("[aria-hidden]") || one.getAttribute("aria-hidden"))).map((one) => one.outerHTML)"""
        )
        assert unnamed == []


# ---- looks ----


def shots_of(visit: Visit, files: dict[str, Path]) -> Iterator[tuple[str, Image.Image]]:
    """Goes through the page, and yields what it looks like: at the start and in each step, in each way."""
    page = visit.page

    def shot(name: str) -> tuple[str, Image.Image]:
        visit.read()
        return name, Image.open(io.BytesIO(visit.shot())).convert("RGB")

    without_people(visit)
    for way in ("apply-edit", "merge", "remove", "harmonize", "blend", "compose"):
        visit.way(way)
        if way in ("blend", "compose"):
            yield shot(f"start-{way}")
    visit.give("subject", files["source"], files["background"])
    visit.step("cut")
    visit.point(60, 60)
    visit.cut()
    yield shot("cut")
    visit.to_place()
    visit.choose("method", "none")
    visit.put(150, 140, 150)
    visit.settled()
    yield shot("place")
    visit.click("[data-to=match]")
    page.check("input[name=shadow][value=on]", force=True)
    visit.settled()
    yield shot("match")
    visit.click("#compare")
    visit.settled()
    yield shot("compare")
    visit.click("#compare")
    visit.click("[data-to=save]")
    visit.settled()
    yield shot("save")
    visit.leave()
    blending(visit, files, "poisson")
    visit.settled()
    assert page.inner_text("#place-note") == ""  # it was about the composite
    yield shot("blend")
    visit.leave()
    editing(visit, files["source"].parent)
    visit.settled()
    yield shot("changes")


#: What the page looks like, by the screen, an eighth as wide and grey; `python -m tests.serve.test_page looks` writes
#: it anew.
LOOKS_FOLDER = Path(__file__).with_name("page_looks")
SCREENS = {"desktop-light": (DESKTOP, "light"), "phone-dark": (PHONE, "dark")}


def look(shot: Image.Image) -> Image.Image:
    return shot.convert("L").reduce(8)


#: A width of each layout of the style sheet, near its narrowest.
WIDTHS = (360, 700, 800, 1200)


def check_widths(visit: Visit, where: str) -> None:
    """Nothing scrolls sideways, however wide the page is."""
    wider = """() => [...document.querySelectorAll("html, body *")].filter((one) =>
      one.scrollWidth > one.clientWidth && (one.matches("html") || /auto|scroll/.test(getComputedStyle(one).overflowX))
    ).map((one) => `${one.tagName}#${one.id}: ${one.scrollWidth} of ${one.clientWidth}`)"""
    for width in WIDTHS:
        visit.page.set_viewport_size({"width": width, "height": 740})
        visit.drawn()
        assert visit.page.evaluate(wider) == [], (where, width)
    visit.page.set_viewport_size(DESKTOP["viewport"])


@pytest.mark.slow
@pytest.mark.parametrize("screen", ["desktop-light", pytest.param("phone-dark", marks=pytest.mark.full)])
def test_it_looks_as_it_did_and_nothing_scrolls_sideways(
    browser: Any, service: Any, tmp_path: Path, screen: str
) -> None:
    """Compares places of panels, pictures and words; another font or another version of the browser passes."""
    kind, scheme = SCREENS[screen]
    names = {path.stem for path in LOOKS_FOLDER.glob(f"{screen}-*.webp")}
    others = []
    with visiting(browser, service, kind, scheme) as visit:
        for name, shot in shots_of(visit, shapes(tmp_path)):
            names.remove(f"{screen}-{name}")
            with Image.open(LOOKS_FOLDER / f"{screen}-{name}.webp") as image:
                expected = np.asarray(image.convert("L")).astype(int)
            difference = np.abs(np.asarray(look(shot)) - expected)
            share = (difference > 40).mean()
            print(f"{name}: {share:.4f} of it looks otherwise")
            # Another font changes half a percent of it, a button that is missing one and a half.
            if share > 0.012:
                path = ROOT / "artifacts" / "page" / f"{screen}-{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                shot.save(path)
                others.append(path)
            if screen == "desktop-light":
                check_widths(visit, name)
        if screen == "desktop-light":
            visit.click("[data-to=save]")
            visit.download("#save")
            visit.click("#copy-command")
            visit.page.wait_for_selector("#code:not([hidden])")
            check_widths(visit, "what was saved and copied")
            visit.leave()
            visit.way("compose")
            visit.expected.append("422")
            long_name = tmp_path / f"{'x' * 180}.png"
            long_name.write_text("no picture at all")
            visit.give("subject", long_name)
            visit.says("is not a known image file")
            check_widths(visit, "a refusal")
            for way in ("merge", "harmonize"):
                visit.way(way)
                check_widths(visit, f"start, {way}")
    assert not others and not names, "the page looks otherwise; if it should, make the small pictures anew"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PHONE, DESKTOP], ids=["touch", "desktop"])
def test_the_button_of_each_step_is_in_sight(browser: Any, service: Any, tmp_path: Path, kind: dict[str, Any]) -> None:
    # A phone, on its side too, and a tablet; a screen.
    sizes = [(360, 740), (740, 360), (820, 1180)] if kind is PHONE else [(1440, 900)]
    files = shapes(tmp_path)
    over = """() => {
      const busy = document.querySelector("#busy"), wasHidden = busy.hidden;
      busy.hidden = false;
      document.querySelector("#busy-text").textContent = "Making the picture at full size: step 3 of 3, 1 min 12 s";
      const [stage] = Konva.stages, { top, left } = stage.container().getBoundingClientRect();
      const picture = stage.getLayers()[0].children[0].children[0].getClientRect();
      const parts = [".zoom", ".zoom-menu", ".hint", ".busy", ".sides span"].flatMap((selector) =>
        [...document.querySelectorAll(selector)].map((one) => [selector, one.getBoundingClientRect()]));
      busy.hidden = wasHidden;
      if (picture.height < 0.2 * innerHeight) return ["it is tiny"];
      return parts.filter(([, box]) => box.width && box.right > left + picture.x && box.bottom > top + picture.y
        && box.left < left + picture.x + picture.width && box.top < top + picture.y + picture.height)
        .map(([selector]) => selector);
    }"""
    with visiting(browser, service, kind) as visit:
        page = visit.page
        without_people(visit)
        visit.give("subject", files["source"], files["background"])

        def look(step: str, button: str) -> None:
            assert page.evaluate("document.activeElement.id") == f"t-{step}"
            for size in sizes:
                page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
                visit.step(step)
                look_at(step, button, *size)

        def look_at(step: str, button: str, wide: int, high: int) -> None:
            visit.drawn()
            assert page.evaluate(over) == [], (step, wide)
            box = page.locator(button).bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= high, (step, wide)
            assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [wide, wide]
            # The picture is free: what lies over it hides no more than a twentieth.
            share = page.evaluate(
                """() => [...document.querySelectorAll(".zoom, .pan, .zoom-menu, .hint, .busy")].reduce((sum, one) => {
                  const box = one.getBoundingClientRect();
                  return sum + box.width * box.height;
                }, 0) / (innerWidth * document.querySelector("#stage").clientHeight)"""
            )
            assert share < 0.08, (step, wide, share)
            if step == "place" and kind is PHONE and high > wide:
                assert page.is_hidden("#zoom")
                visit.click("#zoom-menu")
                page.wait_for_selector("#zoom-in")
                visit.drawn()
                assert page.evaluate(over) == []
                visit.click("#zoom-menu")

        visit.step("cut")
        look("cut", "#to-place")
        visit.point(60, 60, touch=kind is PHONE)
        visit.cut()
        visit.says("Tap" if kind is PHONE else "Click")
        visit.to_place()
        visit.settled()
        visit.step("place")
        look("place", "#to-match")
        visit.click("#to-match")
        visit.settled()
        look("match", "section[data-step=match] [data-next=save]")
        visit.click("section[data-step=match] [data-next=save]")
        visit.settled()
        look("save", "#save")


@pytest.mark.full
def test_what_is_being_made_is_covered_by_nothing(browser: Any, service: Any, tmp_path: Path) -> None:
    # The longest words of a picture on its way; what cancels it and the border of before and after are free.
    over = """() => {
      document.querySelector("#busy-text").textContent = "Making the picture at full size: step 3 of 3, 1 min 12 s";
      const parts = ["#busy", "#divider", ".toast", ".zoom", ".sides span", ".hint"].flatMap((selector) =>
        [...document.querySelectorAll(selector)].map((one) => [selector, one.getBoundingClientRect()])
      ).filter(([, box]) => box.width);
      const apart = (one, other) => one.right <= other.left || other.right <= one.left
        || one.bottom <= other.top || other.bottom <= one.top;
      return parts.flatMap(([name, box], i) => parts.slice(i + 1).filter(([, other]) =>
        /#/.test(name) && !apart(box, other)).map(([other]) => `${other} and ${name}`));
    }"""
    with visiting(browser, service) as visit:
        page = visit.page
        visit.expected.append("422")
        blending(visit, shapes(tmp_path), "poisson")
        refusal = {"error": {"kind": "full", "message": "the disk is full"}}
        page.route("**/api/v1/export?*", lambda route: route.fulfill(status=422, json=refusal))
        for _ in range(2):
            visit.click("#download")
            visit.says("The disk is full")
            visit.settled()
        assert page.locator(".toast").count() == 1  # what is said again is there once
        visit.choose("mode", "alpha")
        visit.settled()
        visit.click("#compare")
        os.kill(service.pid(), signal.SIGSTOP)
        visit.click("#download")
        page.wait_for_selector("#busy:not([hidden])")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 740})
            visit.drawn()
            assert page.evaluate(over) == [], width
        page.set_viewport_size({"width": 360, "height": 740})
        visit.click("#cancel")
        visit.says("Cancelled")
        page.wait_for_selector("#busy", state="hidden")
        assert service.until(lambda: service.client.get("/health").json()["status"] == "ok")


def test_it_is_small(browser: Any, service: Any) -> None:
    sizes = {path: len(gzip.compress(path.read_bytes(), 9)) for path in PAGE.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 300_000
    assert sum(size for path, size in sizes.items() if path.suffix == ".js") <= 196_000
    with visiting(browser, service) as visit:
        loaded = visit.page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
        assert all(name.startswith(service.address) for name in loaded) and len(loaded) >= 6


def test_no_source_of_the_page_names_another_place(service: Any) -> None:
    for path in PAGE.rglob("*"):
        if path.suffix in (".html", ".css", ".js", ".svg") and "vendor" not in path.parts:
            addresses = [
                one for one in re.findall(r"https?://[^\s\"')<>]+", path.read_text()) if "www.w3.org" not in one
            ]
            assert addresses == [], path
            assert not re.search(r"\bon\w+=\"|style=\"|javascript:", path.read_text()) or path.suffix == ".js", path
    # Sentences for people stand in index.html, strings.js and names.js, which a translation replaces.
    for path in PAGE.rglob("*.js"):
        if path.name not in ("strings.js", "names.js") and "vendor" not in path.parts:
            code = re.sub(r"//.*|/\*\*? .*", "", path.read_text())
            assert re.findall(r"""["`](?!Bearer)[A-Z][a-z]+ [a-z$][^"`]*["`]""", code) == [], path
    licence = (PAGE / "vendor" / "konva.LICENSE.txt").read_text()
    assert licence.startswith("MIT License") and b"Konva" in (PAGE / "vendor" / "konva.min.js").read_bytes()[:800]


# ---- long forms ----


@pytest.mark.full
def test_fifty_megapixels_with_a_killed_worker_in_the_middle(browser: Any, tmp_path: Path) -> None:
    y, x = np.mgrid[:6000, :8400]
    large = np.stack([x // 32 % 256, y // 20 % 256, (x + y) // 64 % 256], -1).astype(np.uint8)
    files = {**shapes(tmp_path), "background": tmp_path / "large.jpg"}
    Image.fromarray(large).save(files["background"], quality=90)
    Image.fromarray(np.asarray(Image.open(files["alpha"]).resize((1200, 1200)))).save(files["alpha"])
    with test_server.running(page=PAGE) as one, visiting(browser, one) as visit:
        page, pool = visit.page, one.service.pool
        composing(visit, files)
        visit.settled()

        def begins() -> None:
            visit.click("#download")
            one.until(lambda: [job.operation.name for job in pool.running if not job.preview] == ["compose"])
            page.wait_for_selector("#busy:not([hidden])")

        visit.settled()
        os.kill(one.pid(), signal.SIGSTOP)  # so that it is at work when it dies
        begins()
        os.kill(one.pid(), signal.SIGKILL)
        visit.says("The worker process ended, possibly for lack of memory")
        visit.read()
        assert pixels_of(visit.download()).shape == large.shape


@pytest.mark.full
def test_thirty_edits_need_no_more_memory(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        blending(visit, shapes(tmp_path), "poisson")
        session = visit.page.context.new_cdp_session(visit.page)

        def used() -> float:
            session.send("HeapProfiler.collectGarbage")
            return visit.page.evaluate("performance.memory.usedJSHeapSize")

        visit.page.locator("#stage").focus()
        for _ in range(5):
            visit.page.keyboard.press("Shift+ArrowRight")
            visit.settled()
        before = used()
        for i in range(30):
            visit.page.keyboard.press("Shift+ArrowLeft" if i % 2 else "Shift+ArrowRight")
            visit.settled()
        assert used() <= 1.2 * before


# ---- the pictures of docs/serve.md ----


def record(folder: Path) -> None:
    """Writes screenshots of the page, and a recording of a visit, of photographs that come with the package."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        test_server.running(page=PAGE, timeout=120.0) as one,
        playwright.sync_playwright() as driver,
        contextlib.closing(driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])) as browser,
    ):
        frames: list[tuple[Image.Image, int]] = []

        def frame(milliseconds: int) -> None:
            shot = Image.open(io.BytesIO(visit.page.screenshot())).convert("RGB")
            frames.append((shot.resize((800, 500), Image.Resampling.LANCZOS), milliseconds))

        def shoot(name: str) -> None:
            shot = Image.open(io.BytesIO(visit.page.screenshot())).convert("RGB")
            shot.save(folder / f"{name}.webp", quality=82, method=6)

        with visiting(browser, one) as visit:
            page = visit.page
            without_people(visit)  # there are none before the rocket
            frame(900)
            visit.give("subject", IMAGES / "astronaut.jpg", ROCKET)
            visit.step("cut")
            page.wait_for_timeout(400)
            frame(900)
            clicks = ((230, 120, True), (220, 300, True), (400, 430, True), (20, 400, False))
            for x, y, adds in clicks:
                if not adds:
                    page.keyboard.down("Shift")
                visit.point(x, y)
                page.keyboard.up("Shift")
                page.wait_for_selector("html[data-busy=true]")
                page.wait_for_selector("html[data-busy=false]")
                page.wait_for_timeout(400)
                frame(900)
            shoot("cut")
            visit.click("#to-place")
            page.wait_for_timeout(300)
            frame(700)
            visit.places()
            visit.settled()
            frame(900)
            visit.put(440, 255, 70, side=512)
            visit.settled()
            if page.get_attribute("#behind", "aria-pressed") == "true":
                visit.click("#behind")
            visit.click("[data-to=match]")
            # She is cut by the lower edge, and stands on nothing that is seen.
            page.check("input[name=shadow][value=off]", force=True)
            visit.settled()
            visit.click("[data-to=place]")
            frame(500)
            start = visit.on_picture(440, 255)
            page.mouse.move(*start)
            page.mouse.down()
            for i in range(1, 15):
                page.mouse.move(*visit.on_picture(440 - 268 * (1 - math.cos(math.pi * i / 14)) / 2, 255))
                page.wait_for_timeout(60)
                frame(60)
            page.mouse.up()
            visit.settled()
            frame(700)
            visit.click("[data-to=match]")
            for value in (*range(100, -1, -20), *range(0, 101, 20)):
                page.locator("#strength").fill(str(value))
                page.wait_for_timeout(80)
                frame(140)
            page.locator("#strength").dispatch_event("change")
            visit.settled()
            frame(500)
            shoot("match")
            visit.click("#compare")
            for value in (*range(50, 91, 8), *range(90, 9, -8), *range(10, 51, 8)):
                page.locator("#divider").fill(str(value))
                frame(70)
            visit.click("#compare")
            visit.click("[data-to=save]")
            visit.download("#save")
            page.wait_for_timeout(400)
            frame(2200)
        images, times = [image for image, _ in frames], [milliseconds for _, milliseconds in frames]
        images[0].save(
            folder / "page.webp", save_all=True, append_images=images[1:], duration=times, loop=0, quality=55, method=6
        )
        with visiting(browser, one, PHONE, "dark") as visit:
            visit.way("blend")
            visit.click("#sample")
            visit.step("place")
            visit.page.wait_for_selector("#stage[data-exact=true]")
            visit.page.mouse.move(0, 0)  # so that nothing is under it
            visit.page.wait_for_timeout(400)
            shoot("phone")


def write_names() -> None:
    """Writes what screen readers are told, which a test compares."""
    with (
        tempfile.TemporaryDirectory() as folder,
        test_server.running(page=PAGE, timeout=120.0, max_upload=3_000_000) as one,
        playwright.sync_playwright() as driver,
        contextlib.closing(driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])) as browser,
        visiting(browser, one) as visit,
    ):
        NAMES.write_text(names_of(visit, shapes(Path(folder))))


def write_looks(folder: Path, screens: dict[str, Any], whole: bool = False) -> None:
    """Writes what the page looks like, which a test compares, or whole screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    with (
        tempfile.TemporaryDirectory() as files,
        test_server.running(page=PAGE, timeout=120.0, max_upload=3_000_000) as one,
        playwright.sync_playwright() as driver,
        contextlib.closing(driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])) as browser,
    ):
        for screen, (kind, scheme) in screens.items():
            with visiting(browser, one, kind, scheme) as visit:
                for name, shot in shots_of(visit, shapes(Path(files))):
                    path = folder / f"{screen}-{name}.webp"
                    shot.save(path, quality=90) if whole else look(shot).save(path, quality=80, method=6)


if __name__ == "__main__":
    if sys.argv[1:] == ["names"]:
        write_names()
    elif sys.argv[1:] == ["looks"]:
        write_looks(LOOKS_FOLDER, SCREENS)
    elif sys.argv[1:] == ["shots"]:
        every = {**SCREENS, "desktop-dark": (DESKTOP, "dark"), "phone-light": (PHONE, "light")}
        write_looks(ROOT / "artifacts" / "page", every, whole=True)
    else:
        record(ROOT / "docs" / "images" / "serve")
