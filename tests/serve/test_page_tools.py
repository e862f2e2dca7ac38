"""The page: corners that are warped, snapping and guides, and subjects of text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony

from .browsing import DESKTOP, Visit, axe_of, composing, pixels_of, shapes, touching, visiting

pytestmark = [
    pytest.mark.house,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning"),
]
MOBILE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
TABLET = {"viewport": {"width": 820, "height": 1180}, "has_touch": True}
WIDE = {"viewport": {"width": 1440, "height": 900}}


def corner_on_screen(visit: Visit, index: int) -> tuple[float, float]:
    """Returns where the handle of a corner is on the screen."""
    visit.drawn()
    return tuple(
        visit.page.evaluate(
            """(index) => {
              const box = document.querySelector("#stage").getBoundingClientRect();
              const { x, y } = Konva.stages[0].findOne(`.corner-${index}`).absolutePosition();
              return [box.x + x, box.y + y];
            }""",
            index,
        )
    )


def hears(visit: Visit, text: str) -> None:
    """Waits until screen readers were told a text since the last call, however short it stays."""
    visit.comes(lambda: any(text in one for one in visit.page.evaluate("window.heard")))
    visit.page.evaluate("window.heard = []")


def tools_of(visit: Visit, files: dict[str, Path]) -> None:
    """Goes to the step of placing a disc, and listens to what screen readers are told."""
    composing(visit, files)
    visit.page.evaluate(
        """() => {
          window.heard = [];
          const live = document.querySelector("#live");
          new MutationObserver(() => window.heard.push(live.textContent)).observe(live, { childList: true });
        }"""
    )


def recipe_of(visit: Visit) -> dict[str, Any]:
    """Saves the recipe, and returns it."""
    visit.click("[data-to=save]")
    recipe = json.loads(visit.download("#save-recipe"))
    visit.click("[data-to=place]")
    return recipe


@pytest.mark.parametrize("kind", [DESKTOP, WIDE])
def test_a_corner_is_dragged_by_the_mouse(browser: Any, service: Any, tmp_path: Path, kind: dict[str, Any]) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service, kind) as visit:
        tools_of(visit, files)
        visit.put(200, 150)
        visit.click("#warp")
        visit.settled()
        x, y = corner_on_screen(visit, 1)
        zoom = visit.zoom()
        visit.drag((x, y), (x + 24 * zoom, y - 12 * zoom))
        visit.settled()
        assert visit.page.input_value("#warp-corner") == "1"
        numbers = [float(visit.page.input_value(f"#warp-numbers [name={name}]")) for name in "xy"]
        assert numbers == pytest.approx([20, -10], abs=1.5)
        # A corner that would make it concave stays.
        before = corner_on_screen(visit, 0)
        visit.drag(before, (before[0] + 90 * zoom, before[1] + 90 * zoom))
        visit.settled()
        recipe = recipe_of(visit)
        warp = recipe["subjects"][0]["warp"]
        assert pyharmony.composition.warping.is_convex(warp) and warp[1] == pytest.approx([0.2, -0.1], abs=0.015)
        visit.click("#undo")
        visit.click("#undo")
        visit.settled()
        assert visit.page.is_disabled("#warp-reset")
        visit.click("#redo")
        assert visit.page.is_enabled("#warp-reset")
        visit.click("#warp-reset")
        assert recipe_of(visit)["subjects"][0]["warp"] is None


def test_a_warp_is_that_of_the_library(browser: Any, service: Any, tmp_path: Path) -> None:
    """The download is the result of compose for the same corners, bit for bit, and the recipe repeats it."""
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        tools_of(visit, files)
        visit.put(180, 150, 150)
        visit.click("#warp")
        for corner, x, y in ((0, 12.5, 0), (1, 0, 30), (2, -10, -20)):
            visit.page.select_option("#warp-corner", str(corner))
            for name, value in (("x", x), ("y", y)):
                visit.page.fill(f"#warp-numbers [name={name}]", str(value))
                visit.page.press(f"#warp-numbers [name={name}]", "Tab")
        # By keys: a button of the pad, and with Shift a small step.
        visit.page.focus("[data-warp=down]")
        visit.page.keyboard.press("Enter")
        visit.page.select_option("#warp-corner", "3")
        visit.page.locator("[data-warp=right]").click(modifiers=["Shift"])
        warp = [[0.125, 0], [0, 0.3], [-0.1, -0.19], [0.002, 0]]
        at = visit.numbers()
        visit.settled()
        downloaded = pixels_of(visit.download())
        visit.click("[data-to=save]")
        visit.click("#copy-command")
        assert "--recipe recipe.json" in visit.page.inner_text("#code")
        recipe = json.loads(visit.download("#save-recipe"))
    assert recipe["subjects"][0]["warp"] == warp and recipe["page"]["subjects"][0]["warp"] == warp
    result, info = pyharmony.compose(
        files["alpha"], files["background"], at=(at["x"], at["y"]), scale=at["scale"] / 100, angle=0.0, people=[],
        harmonize=None, shadow=False, warp=warp, return_info=True,
    )  # fmt: skip
    assert np.array_equal(result.pixels if hasattr(result, "pixels") else np.asarray(result), downloaded)
    again = pyharmony.compose(files["alpha"], files["background"], recipe=recipe)
    assert np.array_equal(np.asarray(again), downloaded)


def lines_of(visit: Visit) -> list[list[float]]:
    """Returns the lines to which the subject snaps that are shown: x, y and points of each."""
    return visit.page.evaluate(
        """() => Konva.stages[0].find(".snap").filter((one) => one.isVisible())
          .map((one) => [one.x(), one.y(), ...one.points()])"""
    )


def test_a_dragged_subject_snaps_and_says_so_once(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service, WIDE) as visit:
        tools_of(visit, shapes(tmp_path))
        visit.put(140, 110, 50)
        visit.settled()
        visit.read()
        zoom, mouse = visit.zoom(), visit.page.mouse
        begin = visit.on_picture(140, 110)
        # Near the middle, 200, and the lower third, 200; the disc has its middle in that of its photo.
        near = visit.on_picture(200 + 5 / zoom, 200 - 6 / zoom)
        mouse.move(*begin)
        mouse.down()
        mouse.move(*near, steps=6)
        visit.drawn()
        assert sorted(lines_of(visit)) == sorted([[200, 0, 0, 0, 0, 300], [0, pytest.approx(200), 0, 0, 400, 0]])
        assert " on " not in visit.page.inner_text("#live")
        mouse.up()
        hears(visit, "on the middle and a third")
        at = visit.middle()
        assert (at["x"], at["y"]) == (pytest.approx(200, abs=1), pytest.approx(200, abs=1))
        visit.drawn()
        assert lines_of(visit) == []
        # With Alt, and with the switch off, it stays where it is dropped; the switch is remembered.
        for is_off in (False, True):
            if is_off:
                visit.click("#snap")
            visit.put(140, 110, 50)
            visit.drawn()
            if not is_off:
                visit.page.keyboard.down("Alt")
            visit.drag(visit.on_picture(140, 110), near)
            visit.page.keyboard.up("Alt")
            assert visit.middle()["x"] == pytest.approx(200 + 5 / zoom, abs=1.2)
            assert visit.middle()["y"] == pytest.approx(200 - 6 / zoom, abs=1.2)
        visit.reload()
        visit.step("place")
        assert visit.page.get_attribute("#snap", "aria-pressed") == "false"
        visit.click("#snap")
        assert visit.page.evaluate("localStorage.length") == 0


def test_a_subject_snaps_to_another_one(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        tools_of(visit, shapes(tmp_path))
        visit.put(90, 170, 100)
        visit.click("#add-same")
        visit.places()
        visit.put(250, 120, 50)
        visit.settled()
        visit.read()
        zoom = visit.zoom()
        # Its lowest row to that of the other one, 170 + 40; it is 20 high below its middle.
        visit.drag(visit.on_picture(250, 120), visit.on_picture(262, 190 + 5 / zoom))
        hears(visit, "on the feet of another subject")
        assert visit.middle()["y"] == pytest.approx(190, abs=1.1)


def test_guides_are_added_dragged_typed_and_removed(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service, TABLET) as visit:
        tools_of(visit, shapes(tmp_path))
        visit.put(200, 150, 50)
        visit.settled()
        first = recipe_of(visit)
        visit.click("#guides summary")
        visit.click("#guide-x")
        visit.click("#guide-y")
        field = visit.page.locator("#guide-list input").first
        field.fill("60")
        field.press("Tab")
        hears(visit, "The guide is at 60")
        visit.read()
        visit.drag(visit.on_picture(60, 20), visit.on_picture(90, 40))
        visit.comes(lambda: abs(float(field.input_value()) - 90) <= 1)
        # The subject snaps to it with a side.
        zoom = visit.zoom()
        visit.settled()
        visit.read()
        visit.drag(visit.on_picture(200, 150), visit.on_picture(110 + 5 / zoom, 221))
        hears(visit, "on a guide")
        assert visit.middle()["x"] == pytest.approx(float(field.input_value()) + 20, abs=1)
        visit.click("#undo")
        recipe = recipe_of(visit)
        assert [one["axis"] for one in recipe["page"]["guides"]] == ["x", "y"]
        assert {**recipe, "page": None} == {**first, "page": None}
        # By keys, and by a drag beyond the picture.
        visit.page.focus("#guide-list li:last-child button")
        visit.page.keyboard.press("Enter")
        assert visit.page.locator("#guide-list li").count() == 1
        assert visit.page.evaluate("document.activeElement.closest('#guide-list') !== null")
        visit.drag(visit.on_picture(float(field.input_value()), 20), visit.on_picture(-8, 20))
        hears(visit, "The guide was removed")
        visit.click("#undo")
        assert visit.page.locator("#guide-list li").count() == 1
        visit.reload()
        visit.step("place")
        assert visit.page.locator("#guide-list li").count() == 1


def size_of(visit: Visit) -> float:
    return float(visit.page.input_value("#text [name=size]"))


def test_words_are_added_edited_and_saved(browser: Any, service: Any, tmp_path: Path) -> None:
    """The text is placed in the middle, edited, scaled, undone; its recipe and its image give the same picture."""
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        page = visit.page
        tools_of(visit, files)
        visit.put(70, 220, 50)
        visit.settled()
        before = pixels_of(visit.download()).astype(int)
        visit.click("[data-to=place]")
        page.focus("#add-text")
        page.keyboard.press("Enter")
        page.wait_for_selector("#text:not([hidden])")
        assert page.evaluate("document.activeElement.id") == "text-string"
        assert page.is_hidden("#places") and size_of(visit) == 30
        # What is typed is drawn after a pause, and is one step.
        page.keyboard.type("Été")
        visit.says("2. Été")
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        page.keyboard.type("2026")
        visit.comes(lambda: page.evaluate("document.documentElement.dataset.stored") == "true")
        page.keyboard.press("Tab")
        visit.settled()
        page.fill("#text-colour", "#00ff00")
        page.dispatch_event("#text-colour", "change")
        visit.settled()
        # The size of the letters follows a scale, so that they stay sharp.
        page.focus("#stage")
        page.keyboard.press("Shift++")
        visit.comes(lambda: size_of(visit) == pytest.approx(33, abs=0.1))
        visit.settled()
        assert visit.numbers()["scale"] == 50
        result = pixels_of(visit.download())
        changed = np.abs(result.astype(int) - before).max(2) > 40
        rows, columns = np.nonzero(changed)
        assert (columns.min() + columns.max()) / 2 == pytest.approx(200, abs=3) and np.ptp(rows) > 1.5 * 33
        assert (result == (0, 255, 0)).all(2).sum() > 0.3 * changed.sum()
        # The recipe comes with the image of the words.
        downloads: list[Any] = []
        page.on("download", lambda one: downloads.append(one))
        visit.click("[data-to=save]")
        visit.click("#save-recipe")
        visit.comes(lambda: len(downloads) == 2)
        folder = tmp_path / "saved"
        for one in downloads:
            one.save_as(folder / one.suggested_filename)
        assert sorted(path.name for path in folder.iterdir()) == ["recipe.json", "Été-2.png"]
        visit.click("#copy-command")
        assert "Été-2.png" in page.inner_text("#code")
        visit.click("[data-to=place]")
        for size, words in ((33, "Été\n2026"), (30, "Été\n2026"), (30, "Été\n2026"), (30, "Your words")):
            assert page.input_value("#text-string") == words and size_of(visit) == pytest.approx(size, abs=0.1)
            visit.click("#undo")
            visit.settled()
        assert page.is_hidden("#text") and page.locator("#subject-list li").count() <= 1
        for _ in range(4):
            visit.click("#redo")
        visit.settled()
        visit.reload()
        visit.step("place")
        assert page.input_value("#text-string") == "Été\n2026"
        recipe, photos = folder / "recipe.json", [files["alpha"], folder / "Été-2.png"]
        again = pyharmony.compose(list(map(str, photos)), str(files["background"]), recipe=str(recipe))
        assert np.array_equal(np.asarray(again), result)
        # The recipe opens without the image, which is drawn again, and the words can be edited.
        visit.click("#home")
        page.wait_for_selector("#start:not([hidden])")
        page.set_input_files("#open-file", [recipe, files["alpha"], files["background"]])
        visit.step("place")
        assert page.input_value("#text-string") == "Été\n2026" and size_of(visit) == pytest.approx(33, abs=0.1)
        visit.settled()
        assert np.array_equal(pixels_of(visit.download()), result)


def test_late_words_change_their_subject_alone(browser: Any, service: Any, tmp_path: Path) -> None:
    """Their image arrives after a step was undone, or another subject was chosen."""
    held: list[Any] = []
    with visiting(browser, service) as visit:
        page = visit.page
        tools_of(visit, shapes(tmp_path))
        visit.click("#add-text")
        page.wait_for_selector("#text:not([hidden])")
        visit.settled()

        def let_go() -> None:
            visit.comes(lambda: len(held) == 1)
            held.pop().continue_()
            page.wait_for_selector("html[data-busy=false]")
            visit.settled()

        page.route("**/api/v1/pictures?*", lambda route: held.append(route))
        page.focus("#stage")
        page.keyboard.press("Shift++")
        page.keyboard.press("Control+z")
        let_go()
        assert size_of(visit) == 30 and page.is_enabled("#redo")
        page.fill("#text-string", "Late")
        page.locator("#subject-list [data-key=name-1]").click()
        let_go()
        names = page.locator("#subject-list .name")
        assert names.all_inner_texts() == ["2. Late", "1. alpha.png"] and page.is_hidden("#text")
        visit.click("#undo")
        visit.comes(lambda: names.all_inner_texts() == ["2. Your words", "1. alpha.png"])


def test_empty_words_are_refused(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        tools_of(visit, shapes(tmp_path))
        visit.click("#add-text")
        visit.page.wait_for_selector("#text:not([hidden])")
        visit.page.fill("#text-string", "  ")
        visit.page.press("#text-string", "Tab")
        visit.says("The text needs a word")
        assert visit.page.input_value("#text-string") == "Your words"
        visit.page.click("#subject-list li:first-child button[aria-label^=Remove]")
        assert visit.page.is_hidden("#text")


@pytest.mark.parametrize(("kind", "scheme"), [(MOBILE, "dark"), (TABLET, "light"), (WIDE, "dark")])
def test_all_of_it_by_fingers_and_at_each_width(
    browser: Any, service: Any, tmp_path: Path, kind: dict[str, Any], scheme: str
) -> None:
    with visiting(browser, service, kind, scheme) as visit:
        page = visit.page
        tools_of(visit, shapes(tmp_path))
        visit.put(200, 150, 100)
        visit.click("#warp")
        visit.settled()
        visit.read()
        x, y = corner_on_screen(visit, 2)
        step = 20 * visit.zoom()
        if kind.get("has_touch"):
            touch = touching(visit)
            touch("touchStart", (x, y))
            for i in range(1, 6):
                touch("touchMove", (x + step * i / 5, y - step * i / 5))
            touch("touchEnd")
        else:
            visit.drag((x, y), (x + step, y - step))
        hears(visit, "A corner was moved")
        shift = [float(page.input_value(f"#warp-numbers [name={name}]")) for name in "xy"]
        assert shift == pytest.approx([100 * 20 / 120, -100 * 20 / 120], abs=2)
        visit.click("#guides summary")
        visit.click("#guide-y")
        visit.click("#add-text")
        page.wait_for_selector("#text:not([hidden])")
        visit.settled()
        visit.read()
        # Nothing is wider than the screen, nor smaller than a finger, nor without a name.
        assert page.evaluate("document.documentElement.scrollWidth") <= kind["viewport"]["width"]
        ours = ("#add-text", "#warp", "#snap", "#guide-x", "#guide-list button", "#text select", "#warp-reset")
        for selector in ours:
            box = page.locator(selector).first.bounding_box()
            assert box["height"] >= (44 if kind.get("has_touch") else 34), (selector, box)
        fields = page.locator("#panel :is(input, select, textarea, button):visible")
        names = fields.evaluate_all(
            """all => all.map((one) => one.getAttribute("aria-label")
              || [...(one.labels ?? [])].map(({ innerText }) => innerText).join("") || one.innerText)"""
        )
        assert names and all(name.strip() for name in names)
        assert axe_of(visit) == []
        # Words snap as any other subject.
        x, y = visit.on_picture(200, 150)
        visit.drag((x, y), (x + 5, y))
        hears(visit, ", on ")


def test_a_warped_subject_above_is_shown_warped(browser: Any, service: Any, tmp_path: Path) -> None:
    """After a reload, what is above the active subject is drawn as the service warps it."""
    with visiting(browser, service) as visit:
        tools_of(visit, shapes(tmp_path))
        visit.put(200, 150, 100)
        visit.click("#add-same")
        visit.places()
        visit.put(200, 150, 150)
        visit.click("#warp")
        visit.page.fill("#warp-numbers [name=x]", "60")
        visit.page.press("#warp-numbers [name=x]", "Tab")
        visit.settled()
        visit.click("#subject-list li:last-child .name")
        visit.settled()
        above = """() => Konva.stages[0].getLayers()[0].children[0].children[6].getClientRect(
          { relativeTo: Konva.stages[0].getLayers()[0].children[0] })"""
        before = visit.page.evaluate(above)
        assert 90 < before["width"] < 118  # a disc of 120 pixels without the warp
        visit.reload()
        visit.step("place")
        visit.comes(lambda: visit.page.evaluate(above) == pytest.approx(before, abs=2))
