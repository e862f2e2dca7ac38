"""Taking something away on the page: from a photograph to a download, on each kind of screen; drafts and code."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pyharmony
from pyharmony.cli._app import app

from .browsing import DESKTOP, Visit, axe_of, pixels_of, saved, visiting

pytestmark = [pytest.mark.house]

TOUCH = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SCREENS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 390, "height": 844}, **TOUCH},
    "tablet": {"viewport": {"width": 820, "height": 1180}, **TOUCH},
    "desktop": {"viewport": {"width": 1440, "height": 900}},
}


def photograph(folder: Path) -> tuple[Path, np.ndarray]:
    """Returns a photograph of a pattern with a disc in it, and the pattern."""
    pattern = np.random.default_rng(5).integers(90, 170, (15, 20, 3), np.uint8)
    scene = np.tile(pattern, (16, 16, 1))
    photo = scene.copy()
    y, x = np.mgrid[:240, :320]
    photo[np.hypot(x - 160, y - 120) < 30] = (220, 30, 30)
    return saved(folder, "tiles.png", photo), scene


def opening(visit: Visit, path: Path) -> Any:
    """Opens a photograph in the way that removes, and returns the page."""
    visit.way("remove")
    visit.give("background", path)
    visit.step("cut")
    return visit.page


def selected(visit: Visit, path: Path, touch: bool = False) -> np.ndarray:
    """Points at the disc in a photograph, and returns its mask."""
    opening(visit, path)
    mask = visit.new_mask(lambda: visit.point(160, 120, touch))
    assert 0.7 < (mask > 127).sum() / (np.pi * 30**2) < 1.4
    return mask


@pytest.mark.slow
@pytest.mark.parametrize("screen", SCREENS)
def test_what_is_in_the_way_is_taken_away(browser: Any, service: Any, tmp_path: Path, screen: str) -> None:
    path, scene = photograph(tmp_path)
    kind = SCREENS[screen]
    with visiting(browser, service, kind) as visit:
        page = visit.page
        touch = "has_touch" in kind
        mask = selected(visit, path, touch)
        assert page.inner_text("#t-cut") == "Who or what is in the way?" and page.is_hidden("#swap")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.inner_text("#to-place") == "Take it away"
        page.tap("#to-place") if touch else visit.click("#to-place")
        visit.step("save")
        visit.settled()
        result = pixels_of(visit.download("#save"))
        photo = pixels_of(path.read_bytes())
        assert np.array_equal(result, pyharmony.remove(photo, mask))
        assert np.abs(result.astype(int) - scene).mean() < 1.5 < np.abs(photo.astype(int) - scene).mean()
        # Before and after; and back to the selection, where a part is added by a key.
        page.tap("#compare") if touch else page.press("#stage", "Space")
        assert page.get_attribute("#compare", "aria-pressed") == "true" and page.is_visible("#sides")
        assert axe_of(visit) == []
        visit.click("[data-to=cut]")
        visit.step("cut")
        page.click("#start-over")
        assert page.is_disabled("#to-place") and page.is_disabled("#save")
        page.click("#undo")
        visit.cut()


@pytest.mark.slow
def test_a_lasso_and_a_brush_say_it_too_and_all_is_undone(browser: Any, service: Any, tmp_path: Path) -> None:
    path, _ = photograph(tmp_path)
    with visiting(browser, service, DESKTOP) as visit:
        page = opening(visit, path)
        visit.says("Click on who or what is in the way")
        page.check("input[name=tool][value=paint]", force=True)
        line = [visit.on_picture(x, 120) for x in (140, 160, 180)]
        mask = visit.new_mask(lambda: visit.drag(*line))
        page.check("input[name=tool][value=lasso]", force=True)
        around = [visit.on_picture(x, y) for x, y in ((125, 85), (195, 85), (195, 155), (125, 155), (125, 85))]
        more = visit.new_mask(lambda: visit.drag(*around))
        assert (more > 127).sum() > (mask > 127).sum()
        visit.click("#to-place")
        visit.step("save")
        visit.settled()
        assert np.array_equal(pixels_of(visit.download()), pyharmony.remove(pixels_of(path.read_bytes()), more))
        # Without anything selected there is nothing to show: undone, it is selected again.
        visit.click("#undo")
        visit.settled()
        assert np.array_equal(pixels_of(visit.download()), pyharmony.remove(pixels_of(path.read_bytes()), mask))
        visit.click("#undo")
        visit.step("cut")
        assert page.is_disabled("#save") and page.is_disabled("#undo")


@pytest.mark.slow
def test_a_draft_goes_on_and_code_repeats_it(
    browser: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = photograph(tmp_path)
    monkeypatch.chdir(tmp_path)
    with visiting(browser, service, DESKTOP) as visit:
        page = visit.page
        mask = selected(visit, path)
        visit.click("#to-place")
        visit.step("save")
        visit.settled()
        page.wait_for_selector("html[data-stored=true]")
        visit.reload()
        visit.step("save")
        visit.settled()
        result = pixels_of(visit.download())
        assert np.array_equal(result, pyharmony.remove(pixels_of(path.read_bytes()), mask))
        named = visit.download("#save-result-mask")
        assert visit.name == "tiles-mask.png" and np.array_equal(pixels_of(named), mask)
        Path(visit.name).write_bytes(named)
        visit.click("#copy-command")
        visit.says("It reads tiles-mask.png, which the button Mask saves.")
        words = shlex.split(page.inner_text("#code"))
        assert words[:2] == ["pyharmony", "remove"]
        assert CliRunner().invoke(app, words[1:]).exit_code == 0
        assert np.array_equal(pixels_of(Path("tiles-pyharmony.png").read_bytes()), result)
        Path("tiles-pyharmony.png").unlink()
        visit.click("#copy-python")
        page.wait_for_function("document.querySelector('#code').textContent.includes('import pyharmony')")
        exec(page.inner_text("#code"), {})  # noqa: S102  # it is what the page wrote
        assert np.array_equal(pixels_of(Path("tiles-pyharmony.png").read_bytes()), result)
        # At full size, or a part of it, in 16 bits.
        page.check("input[name=crop][value='1:1']", force=True)
        part = pixels_of(visit.download())
        assert part.shape[0] == part.shape[1] == 240


@pytest.mark.slow
def test_keys_alone_do_it(browser: Any, service: Any, tmp_path: Path) -> None:
    path, _ = photograph(tmp_path)
    with visiting(browser, service, DESKTOP) as visit:
        page = opening(visit, path)
        page.focus("#stage")
        # The cross begins in the middle of the picture, on the disc.
        page.keyboard.press("ArrowRight")
        mask = visit.new_mask(lambda: page.keyboard.press("Enter"))
        page.focus("#to-place")
        page.keyboard.press("Enter")
        visit.step("save")
        assert page.evaluate("document.activeElement.id") == "t-save"
        visit.settled()
        assert np.array_equal(pixels_of(visit.download()), pyharmony.remove(pixels_of(path.read_bytes()), mask))


@pytest.mark.slow
def test_a_large_part_is_warned_of(browser: Any, service: Any, tmp_path: Path) -> None:
    path, _ = photograph(tmp_path)
    large = np.zeros((240, 320), np.uint8)
    large[30:200, 60:220] = 255
    with visiting(browser, service, DESKTOP) as visit:
        visit.way("remove")
        visit.give("background", path)
        visit.step("cut")
        visit.page.set_input_files("#load-mask", str(saved(tmp_path, "large.png", large)))
        visit.cut()
        visit.click("#to-place")
        visit.says("It is a large part of the photo")
