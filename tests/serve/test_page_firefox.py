"""The page in Firefox: journeys from photographs to a download, by mouse, keyboard and touch; projects, links, access.

The browser is Debian's, driven by firefox.py. What each control does is tested in Chromium, by test_page.py.
"""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony

from .browsing import AXE_RULES, halved, lacking, needed, pixels_of, saved, shapes
from .firefox import FIREFOX, Firefox, Tab

pytestmark = [
    pytest.mark.house, pytest.mark.slow, pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning"),
]  # fmt: skip

#: Width and height of a phone, a tablet and a desktop.
PHONE, TABLET, LARGE = (390, 844), (820, 1180), (1440, 900)


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if FIREFOX is None:
        lacking("firefox")
    one = Firefox(tmp_path_factory.mktemp("firefox"))
    yield one
    one.close()


def settled(tab: Tab) -> None:
    """Waits until nothing is being made, nor the picture is on its way to the canvas."""
    tab.comes(
        "document.querySelector('section[data-step=cut]').checkVisibility() || "
        "document.querySelector('#stage').dataset.state === 'rests'"
    )
    tab.comes("document.documentElement.dataset.busy === 'false'")
    tab.comes("Konva.stages[0].getLayers()[0].children[0].x() !== 0")


def placed(tab: Tab) -> None:
    """Waits until places are there, and takes neither a match nor a shadow, whose estimates take most of the time."""
    tab.shown("section[data-step=place]")
    tab.comes("document.querySelector('#places').dataset.state === 'done'")
    tab.value(
        """(() => {
          const method = document.querySelector("#method");
          method.value = "none";
          method.dispatchEvent(new Event("change"));
          document.querySelector("input[name=shadow][value=off]").click();
        })()"""
    )
    settled(tab)


def on_picture(tab: Tab, x: float, y: float) -> tuple[float, float]:
    """Returns where a pixel of the picture is on the screen."""
    return tuple(
        tab.value(
            f"""new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {{
              const box = document.querySelector("#stage").getBoundingClientRect();
              const world = Konva.stages[0].getLayers()[0].children[0];
              done([box.x + world.x() + {x} * world.scaleX(), box.y + world.y() + {y} * world.scaleY()]);
            }})))"""
        )
    )


def number(tab: Tab, name: str) -> float:
    return float(tab.value(f"document.querySelector('#place [name={name}]').value"))


def axe_of(tab: Tab) -> list[Any]:
    """Returns what axe finds wrong in the page as it is shown."""
    script = Path(needed("axe_playwright_python").__file__).with_name("axe.min.js").read_text("utf-8")
    tab.value(f"(() => {{ if (!window.axe) {{ {script} }} }})()")
    options = json.dumps({"resultTypes": ["violations"], "rules": AXE_RULES})
    violations = tab.value(f"axe.run({options}).then(({{ violations }}) => violations)")
    return [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in violations]


def test_from_photographs_to_a_project_on_another_profile(firefox: Firefox, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with firefox.visiting(service.address, *LARGE) as tab:
        tab.give("[data-slot=subject] input", files["source"], files["background"])
        tab.shown("section[data-step=cut]")
        settled(tab)
        tab.drag(on_picture(tab, 60, 60))
        tab.click("#to-place")
        placed(tab)
        # By the mouse, on the canvas.
        x, y = number(tab, "x"), number(tab, "y")
        middle = x + 0.6 * number(tab, "scale"), y + 0.6 * number(tab, "scale")
        begin, end = on_picture(tab, *middle), on_picture(tab, middle[0] + 30, middle[1] - 20)
        tab.drag(begin, ((begin[0] + end[0]) / 2, begin[1]), end)
        tab.comes(f"Math.abs(document.querySelector('#place [name=x]').value - {x + 30}) <= 2")
        assert abs(number(tab, "y") - (y - 20)) <= 2
        # By keys; what was done is undone, and done again.
        moved = number(tab, "x")
        tab.value("document.querySelector('#stage').focus()")
        tab.press("Shift+ArrowRight", "ArrowLeft")
        tab.comes(f"document.querySelector('#place [name=x]').value === '{moved + 9:.0f}'")
        tab.press("Control+z")
        tab.comes(f"document.querySelector('#place [name=x]').value === '{moved + 10:.0f}'")
        tab.press("Control+y", "f")
        tab.comes("document.querySelector('#flip').ariaPressed === 'true'")
        tab.click("[data-to=match]")
        tab.value("document.querySelector('#strength').focus()")
        tab.press("ArrowLeft")
        tab.comes("document.querySelector('#strength-out').textContent === '99 %'")
        settled(tab)
        tab.click("[data-to=save]")
        data = tab.download("#save").read_bytes()
        (tmp_path / "recipe.json").write_bytes(tab.download("#save-recipe").read_bytes())
        again = pyharmony.compose(str(files["source"]), str(files["background"]), recipe=tmp_path / "recipe.json")
        assert np.array_equal(pixels_of(data), np.asarray(again))
        tab.value("document.querySelector('#stage').focus()")
        project = tab.download(key="Control+s")
        assert project.suffix == ".pyharmony" and zipfile.ZipFile(project).testzip() is None
    with firefox.visiting(service.address, *TABLET) as tab:
        tab.give("#open-file", project)
        tab.shown("section[data-step=save]")
        settled(tab)
        assert np.array_equal(pixels_of(tab.download("#save").read_bytes()), np.asarray(again))
        tab.click("[data-to=place]")
        assert number(tab, "x") == moved + 9
        tab.click("#undo")  # the strength
        tab.click("#undo")
        tab.comes("document.querySelector('#flip').ariaPressed === 'false'")
        tab.comes("document.documentElement.dataset.stored === 'true'")
        tab.value("location.reload()")
        tab.shown("section[data-step=place]")
        tab.comes("!document.querySelector('#redo').disabled")


def test_by_touch_on_a_phone(firefox: Firefox, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with firefox.visiting(service.address, *PHONE) as tab:
        assert axe_of(tab) == []
        tab.click("input[name=way][value=blend] + span", kind="touch")
        tab.give("[data-slot=source] input", files["source"], files["mask"], files["background"])
        tab.shown("section[data-step=place]")
        settled(tab)
        tab.comes("document.querySelector('#stage').dataset.exact === 'true'")
        x, y, scale = (number(tab, name) for name in ("x", "y", "scale"))
        middle = x + 0.6 * scale, y + 0.6 * scale
        points = [on_picture(tab, middle[0] + 10 * i, middle[1]) for i in range(5)]
        tab.drag(*points, kind="touch")
        tab.comes(f"Math.abs(document.querySelector('#place [name=x]').value - {x + 40}) <= 3")
        tab.click("#undo", kind="touch")
        tab.comes(f"document.querySelector('#place [name=x]').value === '{x:.0f}'")
        tab.click("[data-to=match]", kind="touch")
        settled(tab)
        assert axe_of(tab) == []
        tab.click("[data-to=save]", kind="touch")
        tab.click("#copy-link", kind="touch")
        tab.shown("#code")
        assert tab.value("document.documentElement.scrollWidth <= innerWidth") and axe_of(tab) == []
        link = tab.value("document.querySelector('#code').textContent")
        below = np.asarray(Image.open(files["background"]))
        assert (pixels_of(tab.download("#save").read_bytes()) != below).any()
        tab.go(link)
        tab.shown("section[data-step=save]")
    with firefox.visiting(service.address, *PHONE) as tab:
        tab.value(f"location.assign({json.dumps(link)})")
        tab.shown(".toast.error")


def test_a_photo_is_dropped_and_its_mask_is_painted(firefox: Firefox, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with firefox.visiting(service.address, *LARGE) as tab:
        tab.give("[data-slot=subject] input", files["alpha"], files["background"])
        placed(tab)
        text = base64.b64encode(files["source"].read_bytes()).decode()
        tab.value(
            f"""(() => {{
              const data = new DataTransfer();
              const bytes = Uint8Array.from(atob("{text}"), (one) => one.charCodeAt(0));
              data.items.add(new File([bytes], "dropped.png", {{ type: "image/png" }}));
              document.querySelector("#stage").dispatchEvent(
                new DragEvent("drop", {{ dataTransfer: data, bubbles: true }}));
            }})()"""
        )
        tab.shown("section[data-step=cut]")
        tab.comes("document.querySelectorAll('#subject-list .name').length === 2")
        # Without a window it has no clipboard for images. The mask is painted: a stroke, then one that removes.
        settled(tab)
        tab.click("input[name=tool][value=paint] + span")
        tab.drag(*(on_picture(tab, 30 + 12 * i, 60) for i in range(6)))
        tab.shown("#save-mask")
        settled(tab)
        first = pixels_of(tab.download("#save-mask").read_bytes())
        tab.click("input[name=sign][value='-'] + span")
        href = tab.value("document.querySelector('#save-mask').href")
        tab.drag(*(on_picture(tab, 60, 30 + 12 * i) for i in range(6)))
        tab.comes(f"document.querySelector('#save-mask').href !== '{href}'")
        settled(tab)
        second = pixels_of(tab.download("#save-mask").read_bytes())
        assert first[60, 60] == 255 and second[60, 60] == 0 and second[60, 30] == 255
        tab.click("#to-place")
        placed(tab)
        # Before and after, and layers.
        tab.value("document.querySelector('#stage').focus()")
        tab.press("Space")
        tab.shown("#divider")
        tab.press("Escape")
        tab.click("[data-to=save]")
        tab.click("input[name=format][value=ora] + span")
        layers = tab.download("#save")
        assert layers.suffix == ".ora"
        tab.click("#home")
        tab.shown("#start")
        tab.give("#open-file", layers)
        tab.shown("section[data-step=place]")
        tab.comes("document.querySelectorAll('#subject-list .name').length === 2")


@pytest.mark.parametrize("way", ["apply-edit", "harmonize", "merge"])
def test_the_other_ways(firefox: Firefox, service: Any, tmp_path: Path, way: str) -> None:
    photo = np.asarray(Image.open(halved(tmp_path, "coffee.jpg")))
    changed = photo.copy()
    changed[20:70, 20:90] = (250, 40, 40)
    inside = np.zeros(photo.shape[:2], np.uint8)
    inside[20:70, 20:90] = 255
    v, u = np.mgrid[:200, :260]
    scene = np.stack([u % 97, v % 83, (u * v) % 101], -1).astype(np.uint8)
    arrays = {"apply-edit": (photo, changed), "harmonize": (changed, inside), "merge": (scene, scene)}[way]
    files = [saved(tmp_path, f"photo{i}.png", pixels) for i, pixels in enumerate(arrays)]
    with firefox.visiting(service.address, *TABLET) as tab:
        tab.click(f"input[name=way][value={way}] + span")
        tab.give(".slot input", *files)
        tab.comes("!document.querySelector('#download').disabled")
        settled(tab)
        data = tab.download("#download").read_bytes()
        assert pixels_of(data).shape == arrays[0].shape
        if way != "harmonize":
            expected = pyharmony.apply_edit(*arrays) if way == "apply-edit" else scene
            assert np.array_equal(pixels_of(data), expected)
        if way != "merge":
            tab.click("[data-to=save]")
        project = tab.download("#save-project")
        tab.click("#home")
        tab.shown("#start")
        tab.give(".slot input", project)
        tab.comes("document.body.dataset.view === 'editor' && !document.querySelector('#download').disabled")
        settled(tab)
        assert tab.download("#download").read_bytes() == data
