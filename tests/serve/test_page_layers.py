"""The page: the list of layers, opacity and modes, tone curves, and corrections of the background and of everything."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony.io import merged_of, read_layers

from .browsing import (
    PHONE,
    Visit,
    at_plain_place,
    axe_of,
    centre,
    composing,
    pixels_of,
    saved,
    shapes,
    touching,
    visiting,
    without_people,
)  # fmt: skip

pytestmark = [pytest.mark.house, pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")]

KINDS = {
    "phone": {**PHONE, "viewport": {"width": 390, "height": 844}},
    "tablet": {"viewport": {"width": 820, "height": 1180}},
    "desk": {"viewport": {"width": 1440, "height": 900}},
}  # fmt: skip
#: What the tests compose by: a plain object at (90, 80), without people, a match or a shadow.
PLAIN: dict[str, Any] = {"at": (90, 80), "people": [], "harmonize": None, "shadow": False}


def matching(visit: Visit, files: dict[str, Path]) -> None:
    """Goes to the match of an object whose middle is at (150, 140)."""
    composing(visit, files)
    visit.put(150, 140)
    visit.click("[data-to=match]")
    visit.step("match")
    visit.settled()


def adjusting(visit: Visit, what: str) -> None:
    """Opens the corrections of a subject, `adjust`, of `adjustBackground` or of `adjustResult`."""
    if not visit.page.is_visible("#adjust-of"):
        visit.click("#adjust summary")
    visit.page.check(f"input[name=adjusts][value={what}]", force=True)


def shown_at(visit: Visit, x: float, y: float) -> np.ndarray:
    """Returns the colour on the screen at a pixel of the picture."""
    visit.drawn()
    at = visit.on_picture(x, y)
    ratio = visit.page.evaluate("devicePixelRatio")
    image = Image.open(io.BytesIO(visit.page.screenshot())).convert("RGB")
    return np.array(image.getpixel((round(at[0] * ratio), round(at[1] * ratio)))).astype(int)


def agrees(visit: Visit, expected: np.ndarray, *places: tuple[int, int]) -> None:
    """Checks that the canvas shows an image at places (x, y), and that the download is it."""
    visit.settled()
    visit.read()
    for x, y in places:
        shown = shown_at(visit, x, y)
        assert np.abs(shown - expected[y, x, :3]).max() <= 4, (x, y, shown, expected[y, x])
    assert np.array_equal(pixels_of(visit.download()), expected)


def knots(visit: Visit) -> list[str]:
    return visit.page.locator(".knot").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["multiply", "soft-light"])
def test_a_subject_has_an_opacity_and_a_mode(browser: Any, service: Any, tmp_path: Path, mode: str) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        matching(visit, files)
        visit.set("opacity", 60)
        assert page.inner_text("#opacity-out") == "60 %"
        visit.choose("layer-mode", mode)
        options = {**PLAIN, "opacity": 0.6, "mode": mode.replace("-", "_")}
        expected = np.asarray(pyharmony.compose(files["alpha"], files["background"], **options))
        agrees(visit, expected, (150, 140), (130, 160), (300, 60))
        visit.click("[data-to=save]")
        page.check("input[name=format][value=ora]", force=True)
        layers = tmp_path / "layers.ora"
        layers.write_bytes(visit.download("#save"))
        page.check("input[name=format][value=png]", force=True)
        visit.click("[data-to=match]")
        # Only with a clean edge; another blend leaves the mode as it is, without its effect.
        page.check("input[name=blend][value=poisson]", force=True)
        assert page.is_disabled("#layer-mode") and page.is_visible("#layer-mode-note")
        visit.settled()
        seamless = {**PLAIN, "opacity": 0.6, "blend": "poisson"}
        seamed = np.asarray(pyharmony.compose(files["alpha"], files["background"], **seamless))
        agrees(visit, seamed, (150, 140))
        for _ in range(3):
            visit.click("#undo")
        assert page.input_value("#opacity") == "100" and page.input_value("#layer-mode") == "normal"
        plain = np.asarray(pyharmony.compose(files["alpha"], files["background"], **PLAIN))
        agrees(visit, plain, (150, 140))
        visit.leave()
        # The layers of the file are opened as they lie over one another.
        page.set_input_files("#open-file", str(layers))
        visit.step("place")
        visit.settled()
        opened = pixels_of(visit.download())[..., :3].astype(int)
        assert (np.abs(opened - expected) > 2).mean() < 0.01
        visit.click("[data-to=match]")
        assert page.input_value("#opacity") == "60" and page.input_value("#layer-mode") == mode
        visit.leave()
        # Those of other programs may have modes that the page has not.
        with zipfile.ZipFile(layers) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts["stack.xml"] = re.sub(rb'opacity="0[^"]*"', b'opacity="2"', parts["stack.xml"])
        parts["stack.xml"] = parts["stack.xml"].replace(f"svg:{mode}".encode(), b"svg:color-dodge")
        with zipfile.ZipFile(layers, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        page.set_input_files("#open-file", str(layers))
        visit.step("place")
        visit.settled()
        assert (np.abs(pixels_of(visit.download())[..., :3].astype(int) - plain) > 2).mean() < 0.01
        visit.leave()


@pytest.mark.slow
def test_background_and_picture_are_adjusted(browser: Any, service: Any, tmp_path: Path) -> None:
    """They are shown, saved, undone, in layers, in the recipe, and in the draft."""
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        matching(visit, files)
        visit.click("#background-name")
        assert page.get_attribute("#background-name", "aria-pressed") == "true"
        assert page.is_hidden("#adjust-edge") and page.is_visible("#adjust-exposure")
        visit.set("adjust-exposure", -100)
        visit.settled()
        background = {"exposure": -1}
        options = {**PLAIN, "adjust_background": background}
        darker = np.asarray(pyharmony.compose(files["alpha"], files["background"], **options))
        agrees(visit, darker, (150, 140), (300, 60), (40, 260))
        adjusting(visit, "adjustResult")
        assert page.input_value("#adjust-exposure") == "0"
        assert page.get_attribute("#background-name", "aria-pressed") == "false"
        visit.set("adjust-saturation", 20)
        visit.set("adjust-contrast", 30)
        page.wait_for_selector("#stage[data-exact=true]")
        result = {"contrast": 0.3, "saturation": 0.2}
        expected, info = pyharmony.compose(
            files["alpha"], files["background"], **options, adjust_result=result, return_info=True
        )
        agrees(visit, np.asarray(expected), (150, 140), (300, 60), (40, 260))

        visit.click("[data-to=save]")
        recipe = tmp_path / "recipe.json"
        recipe.write_bytes(visit.download("#save-recipe"))
        content = json.loads(recipe.read_text())
        assert (content["adjust_background"], content["adjust_result"]) == (background, result)
        again = pyharmony.compose(files["alpha"], files["background"], recipe=recipe)
        assert np.array_equal(np.asarray(again), np.asarray(expected))
        page.check("input[name=format][value=ora]", force=True)
        layers, picture = read_layers(visit.download("#save"))
        assert [one.name for one in layers] == ["background", "subject 1", "adjusted"]
        assert np.array_equal(layers[0].pixels, info.layers[0].pixels)
        assert np.array_equal(picture.pixels[..., :3], np.asarray(expected))
        assert np.array_equal(merged_of(layers, (400, 300))[..., :3], np.asarray(expected))

        page.check("input[name=format][value=png]", force=True)
        visit.click("[data-to=match]")
        visit.click("#adjust-reset")
        assert page.input_value("#adjust-saturation") == "100"
        agrees(visit, darker, (150, 140))
        visit.click("#undo")
        agrees(visit, np.asarray(expected), (150, 140))
        # A reload goes on with them.
        visit.reload()
        visit.step("match")
        visit.settled()
        adjusting(visit, "adjustBackground")
        assert page.input_value("#adjust-exposure") == "-100"
        agrees(visit, np.asarray(expected), (150, 140))
        visit.leave()
        # So does the recipe.
        page.set_input_files("#open-file", [str(one) for one in (recipe, files["alpha"], files["background"])])
        visit.step("place")
        visit.settled()
        agrees(visit, np.asarray(expected), (150, 140))
        visit.leave()


def by_keys(visit: Visit) -> None:
    visit.click(".curve + .row button >> nth=0")
    assert "Curve point 2, in 50 %, out 50 %" in knots(visit)
    assert visit.page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "in 50 %, out 50 %"
    for key, times in (("Shift+ArrowUp", 4), ("ArrowDown", 1), ("Shift+ArrowLeft", 2), ("ArrowRight", 1)):
        for _ in range(times):
            visit.page.keyboard.press(key)


def by_mouse(visit: Visit) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        box = visit.page.locator(".curve").bounding_box()
        return box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"]

    visit.settled()
    visit.page.mouse.click(*at(0.6, 0.4))
    visit.page.wait_for_selector(".knot >> nth=2")
    # A line of the panel that comes with the new match moves the square.
    visit.settled()
    visit.drawn()
    visit.drag(at(0.6, 0.4), at(0.5, 0.6), at(0.41, 0.69))


def by_touch(visit: Visit) -> None:
    visit.click(".curve + .row button >> nth=0")
    visit.page.locator(".curve").scroll_into_view_if_needed()
    box, touch = visit.page.locator(".curve").bounding_box(), touching(visit)
    begin = centre(visit.page, ".knot >> nth=1")
    end = box["x"] + 0.41 * box["width"], box["y"] + 0.31 * box["height"]
    touch("touchStart", begin)
    for share in (0.25, 0.5, 0.75, 1):
        touch("touchMove", tuple(a + share * (b - a) for a, b in zip(begin, end, strict=True)))
    touch("touchEnd")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "scheme", "draw"), [("desk", "light", by_mouse), ("phone", "dark", by_touch), ("tablet", "light", by_keys)]
)
def test_a_tone_curve_is_drawn(
    browser: Any, service: Any, tmp_path: Path, kind: str, scheme: str, draw: Callable[[Visit], None]
) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service, KINDS[kind], scheme) as visit:
        page = visit.page
        matching(visit, files)
        adjusting(visit, "adjust")
        page.locator(".curve").scroll_into_view_if_needed()
        draw(visit)
        visit.settled()
        first, middle, last = knots(visit)
        assert (first, last) == ("Curve point 1, in 0 %, out 0 %", "Curve point 3, in 100 %, out 100 %")
        x, y = (int(word) for word in middle.replace(",", "").split() if word.isdigit() and word != "2")
        assert abs(x - 41) <= 1 and abs(y - 69) <= 1, middle
        curve = [(0, 0), (x / 100, y / 100), (1, 1)]
        options = {**PLAIN, "adjust": {"curve": curve}}
        agrees(visit, np.asarray(pyharmony.compose(files["alpha"], files["background"], **options)), (150, 140))
        # No more than five; Delete and the button remove one, and the focus stays on the curve.
        add, remove = (page.locator(".curve + .row button").nth(i) for i in range(2))
        for _ in range(2):
            add.click()
        assert len(knots(visit)) == 5 and add.is_disabled()
        assert axe_of(visit) == []
        page.locator(".knot").nth(1).focus()
        page.keyboard.press("Delete")
        assert len(knots(visit)) == 4
        assert page.evaluate("document.activeElement.className") == "knot"
        remove.click()
        assert len(knots(visit)) == 3
        visit.click("#adjust-reset")
        assert remove.is_disabled()
        visit.settled()
        assert knots(visit) == ["Curve point 1, in 0 %, out 0 %", "Curve point 2, in 100 %, out 100 %"]
        visit.leave()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["phone", "desk"])
def test_the_list_has_shadows_and_the_background(browser: Any, service: Any, tmp_path: Path, kind: str) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service, KINDS[kind]) as visit:
        page = visit.page
        matching(visit, files)
        assert page.locator("#subject-list .name").all_inner_texts() == ["1. alpha.png"]
        assert page.inner_text("#background-name") == "Background: below.png"
        shade, hide = (page.locator(f"#subject-list [data-key={name}-1]") for name in ("shade", "shadow"))
        assert hide.get_attribute("aria-pressed") == "true" and shade.is_hidden()
        hide.click()
        visit.settled()
        assert page.evaluate("document.activeElement.dataset.key") == "shadow-1"
        page.check("input[name=shadow][value=on]", force=True)
        visit.settled()
        light = shown_at(visit, 150, 181).sum()
        shade.fill("90")
        shade.dispatch_event("change")
        visit.settled()
        assert page.locator(".layer output").first.inner_text() == "90 %"
        assert shown_at(visit, 150, 181).sum() < light - 20
        options = {**PLAIN, "shadow": {"strength": 0.9}}
        agrees(visit, np.asarray(pyharmony.compose(files["alpha"], files["background"], **options)), (150, 181))
        hide.click()
        agrees(visit, np.asarray(pyharmony.compose(files["alpha"], files["background"], **PLAIN)), (150, 181))
        assert shade.is_hidden() and page.is_checked("input[name=shadow][value=off]")
        visit.click("[data-to=place]")
        visit.step("place")
        assert page.is_hidden("#subject-list") and page.is_hidden("#background-layer")
        visit.leave()


@pytest.mark.slow
def test_layers_of_several_subjects(browser: Any, service: Any, tmp_path: Path) -> None:
    """A subject over another one mixes with it, and corrections of everything are done once."""
    files = shapes(tmp_path)
    second = np.array(Image.open(files["alpha"]))
    second[..., :3] = (30, 90, 220)
    blue = saved(tmp_path, "blue.png", second)
    with visiting(browser, service) as visit:
        page = visit.page
        without_people(visit)
        visit.give("subject", files["alpha"], files["background"])
        for x in (130, 190):
            at_plain_place(visit)
            visit.put(x, 150)
            visit.click("[data-to=match]")
            visit.step("match")
            visit.settled()
            if x == 130:
                page.set_input_files("#add-subject", str(blue))
        visit.choose("layer-mode", "screen")
        visit.set("opacity", 80)
        visit.click("#background-name")
        visit.set("adjust-exposure", 50)
        adjusting(visit, "adjustResult")
        visit.set("adjust-contrast", -20)
        page.wait_for_selector("#stage[data-exact=true]")
        subjects = [
            pyharmony.composition.Subject(files["alpha"], at=(70, 90)),
            pyharmony.composition.Subject(blue, at=(130, 90), opacity=0.8, mode="screen"),
        ]
        options = {name: PLAIN[name] for name in ("people", "harmonize", "shadow")}
        options |= {"adjust_background": {"exposure": 0.5}, "adjust_result": {"contrast": -0.2}}
        expected = np.asarray(pyharmony.compose(subjects, files["background"], **options))
        agrees(visit, expected, (110, 150), (160, 150), (210, 150), (320, 60))
        # Without the corrections of everything, the canvas composes what it shows.
        visit.click("#adjust-reset")
        del options["adjust_result"]
        expected = np.asarray(pyharmony.compose(subjects, files["background"], **options))
        agrees(visit, expected, (110, 150), (160, 150), (210, 150), (320, 60))
        page.locator("#subject-list [data-key=name-1]").click()
        visit.settled()
        assert page.input_value("#opacity") == "100"
        agrees(visit, expected, (110, 150), (160, 150), (210, 150), (320, 60))
        visit.leave()
