"""The page: corners that are warped, snapping and guides, and subjects of text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony

from .browsing import DESKTOP, Visit, centre, composing, pixels_of, shapes, touching, visiting

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
        composing(visit, files)
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
    """What is downloaded is what compose makes of the same corners, bit for bit, and the recipe makes it again."""
    files = shapes(tmp_path)
    with visiting(browser, service) as visit:
        composing(visit, files)
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
