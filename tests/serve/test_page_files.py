"""Opens and saves projects as one file, pastes and drops photos, and follows links to pictures of this browser."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony.serve import PAGE
from tests.serve import test_server

from .browsing import (
    DESKTOP,
    IMAGES,
    PHONE,
    Visit,
    at_plain_place,
    axe_of,
    blending,
    composing,
    cut_out,
    pixels_of,
    saved,
    shapes,
    visiting,
    without_people,
)  # fmt: skip

pytestmark = [pytest.mark.house, pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")]

TABLET = {"viewport": {"width": 820, "height": 1180}}
LARGE = {"viewport": {"width": 1440, "height": 900}}
TOUCHED = {**PHONE, "viewport": {"width": 390, "height": 844}}


@contextlib.contextmanager
def elsewhere(browser: Any, kind: dict[str, Any] = DESKTOP) -> Iterator[Visit]:
    """Visits another service in a fresh profile of the browser, as on another machine."""
    with test_server.running(page=PAGE, timeout=120.0) as other, visiting(browser, other, kind) as visit:
        without_people(visit)
        yield visit


def added(visit: Visit, count: int) -> None:
    """Waits until a further subject is there, which is a cut-out already."""
    visit.comes(lambda: visit.page.locator("#subject-list .name").count() == count)
    at_plain_place(visit)


def project(visit: Visit, path: Path) -> Path:
    """Saves the project by its button, and returns the file."""
    visit.click("[data-to=save]")
    path.write_bytes(visit.download("#save-project"))
    return path


def coloured(folder: Path, files: dict[str, Path], name: str, colour: tuple[int, int, int]) -> Path:
    """Returns the cut-out of a disc in another colour."""
    pixels = np.asarray(Image.open(files["alpha"])).copy()
    pixels[..., :3] = colour
    return saved(folder, name, pixels)


def rewritten(source: Path, path: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    """Writes a project whose files were changed, compressed as other programs do it."""
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def edited(change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], Any]:
    """Returns a change of a project's files from one of its document."""

    def apply(files: dict[str, bytes]) -> None:
        document = json.loads(files["project.json"])
        change(document)
        files["project.json"] = json.dumps(document).encode()

    return apply


def give(visit: Visit, kind: str, selector: str, *photos: Path, text: str = "") -> bool:
    """Pastes or drops files there; returns whether the field may take the text itself."""
    files = [
        (one.name, "image/png" if one.suffix == ".png" else "", base64.b64encode(one.read_bytes()).decode())
        for one in photos
    ]
    return visit.page.evaluate(
        """([kind, selector, files, text]) => {
          const data = new DataTransfer();
          for (const [name, type, bytes] of files) {
            const content = Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0));
            data.items.add(new File([content], name, { type }));
          }
          if (text) data.setData("text/plain", text);
          const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
          const name = kind === "paste" ? "clipboardData" : "dataTransfer";
          const event = new Kind(kind, { [name]: data, bubbles: true, cancelable: true });
          return document.querySelector(selector).dispatchEvent(event);
        }""",
        [kind, selector, files, text],
    )


# ---- projects ----


@pytest.mark.slow
def test_a_project_of_three_subjects_goes_to_another_machine(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    blue = coloured(tmp_path, files, "blue.png", (30, 90, 220))
    # A name that looks like an id.
    green = coloured(tmp_path, files, "0123456789abcdef0123456789abcdef.png", (40, 160, 60))
    with visiting(browser, service, LARGE) as visit:
        page = visit.page
        cut_out(visit, files)
        visit.put(120, 140, 80)
        for count, photo, x in ((2, blue, 280), (3, green, 200)):
            page.set_input_files("#add-subject", str(photo))
            added(visit, count)
            visit.put(x, 160)
        visit.click("[data-to=match]")
        visit.set("strength", 60)
        visit.set("strength", 40)
        visit.settled()
        visit.click("#undo")
        visit.settled()
        data = visit.download()
        path = project(visit, tmp_path / "three.pyharmony")
        assert visit.name == "below.pyharmony"
        visit.says("The project was saved")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        document = json.loads(archive.read("project.json"))
        originals = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert document["version"] == 1 and document["way"] == "compose" and document["step"] == "save"
    for photo in (files["source"], files["background"], blue, green):
        assert originals[photo.name] == photo.read_bytes()
    with elsewhere(browser, TABLET) as visit:
        page = visit.page
        page.set_input_files("#open-file", str(path))
        visit.step("save")
        visit.settled()
        assert visit.download() == data
        names = [f"3. {green.name}", "2. blue.png", "1. source.png"]
        visit.click("[data-to=match]")
        assert page.locator("#subject-list .name").all_inner_texts() == names
        # The history came along: what was undone is done again, and steps before are undone.
        assert page.input_value("#strength") == "60"
        visit.click("#redo")
        visit.comes(lambda: page.input_value("#strength") == "40")
        for _ in range(2):
            visit.click("#undo")
        visit.comes(lambda: page.input_value("#strength") == "100")
        # It is a picture of this browser now.
        page.wait_for_selector("html[data-stored=true]")
        visit.reload()
        visit.step("match")
        assert page.input_value("#strength") == "100" and page.is_enabled("#redo")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["apply-edit", "harmonize", "blend", "merge"])
def test_a_project_of_each_way(browser: Any, service: Any, tmp_path: Path, way: str) -> None:
    files = shapes(tmp_path)
    photo = np.asarray(Image.open(IMAGES / "coffee.jpg").reduce(2))
    changed = photo.copy()
    changed[20:70, 20:90], changed[120:150, 200:240] = (250, 40, 40), (40, 60, 250)
    v, u = np.mgrid[:200, :260]
    scene = np.stack([u % 97, v % 83, (u * v) % 101], -1).astype(np.uint8)
    inside = np.zeros(photo.shape[:2], np.uint8)
    inside[20:70, 20:90] = 255
    edit = saved(tmp_path, "edit.png", changed)
    slots = {
        "apply-edit": {"background": [saved(tmp_path, "photo.png", photo), edit]},
        "harmonize": {"composite": [edit, saved(tmp_path, "inside.png", inside)]},
        "blend": {"source": [files["source"], files["mask"], files["background"]]},
        "merge": {"photos": [saved(tmp_path, name, scene) for name in ("one.png", "two.png")]},
    }[way]
    with visiting(browser, service) as visit:
        visit.way(way)
        for name, photos in slots.items():
            visit.give(name, *photos)
        visit.page.wait_for_selector("#download:enabled")
        visit.settled()
        if way == "apply-edit":
            visit.page.locator("#changes input").first.uncheck()
            visit.settled()
        elif way != "merge":
            visit.click("[data-to=match]")
            if way == "blend":
                visit.choose("mode", "laplacian")
            else:
                visit.set("strength", 50)
            visit.settled()
        data = visit.download()
        if way != "merge":
            visit.click("[data-to=save]")
        path = tmp_path / f"{way}.pyharmony"
        path.write_bytes(visit.download("#save-project"))
        # Any slot opens it, also one of another way.
        visit.leave()
        visit.way("compose")
        visit.give("background", path)
        visit.page.wait_for_selector("#download:enabled")
        visit.settled()
        assert visit.page.evaluate("document.body.dataset.way") == way
        assert visit.page.is_enabled("#undo") == (way != "merge")
        assert visit.download() == data


@pytest.mark.slow
@pytest.mark.parametrize("way", ["compose", "remove"])
def test_what_clicks_cut_out_is_no_file_of_a_project(browser: Any, service: Any, tmp_path: Path, way: str) -> None:
    slots, files = {"compose": ["subject", "background"], "remove": ["background"]}[way], shapes(tmp_path)
    photos = [files["source"], files["background"]][: len(slots)]

    def told(visit: Visit) -> list[Any]:
        """Returns the picture, what its metadata tell, and the command and the Python code that make it."""
        visit.settled()
        parts: list[Any] = [data := visit.download(), test_server.told_by(data)]
        for kind, word in (("command", f"pyharmony {way}"), ("python", "import pyharmony")):
            visit.click(f"#copy-{kind}")
            visit.says(word)
            parts.append(visit.page.inner_text("#code"))
        return parts

    with visiting(browser, service) as visit:
        without_people(visit)
        visit.way(way)
        visit.give(slots[0], *photos)
        visit.step("cut")
        for x in (60, 70):
            visit.new_mask(lambda x=x: visit.point(x, 60))
        visit.click("[data-to=save]")
        if way == "compose":
            visit.places()
        before = told(visit)
        sources, steps = before[1]
        assert set(sources) == {test_server.sum_of(one.read_bytes()) for one in photos}
        assert [name for name, _ in steps] == ["segment", way]
        path = project(visit, tmp_path / "cut.pyharmony")
    with elsewhere(browser) as visit:
        visit.page.set_input_files("#open-file", str(path))
        visit.step("save")
        assert told(visit) == before


@pytest.mark.slow
def test_a_project_that_is_broken_foreign_newer_or_too_large_is_refused(
    browser: Any, service: Any, tmp_path: Path
) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service, TOUCHED) as visit:
        page = visit.page
        blending(visit, files)
        path = project(visit, tmp_path / "good.pyharmony")
        data = path.read_bytes()
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("project.json", bytes(60_000_000))
        broken = {
            "empty": b"", "text": b"no archive", "cut": data[:-100], "half": data[: len(data) // 2],
            "bomb": bomb.getvalue(), "photo": files["source"].read_bytes(),
            "byte": data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
        }  # fmt: skip
        for name, content in broken.items():
            (tmp_path / f"{name}.pyharmony").write_bytes(content)
        noise = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), np.uint8)
        large = saved(tmp_path, "large.png", noise).read_bytes()

        def first(file: dict[str, bytes]) -> str:
            return next(name for name in file if name.endswith("source.png"))

        changes: dict[str, Callable[[dict[str, bytes]], Any]] = {
            "nothing": lambda all: all.pop("project.json"),
            "missing": lambda all: all.pop(first(all)),
            "null": lambda all: all.update({"project.json": b"null"}),
            "other": lambda all: all.update({"project.json": b'{"layers": []}'}),
            "slot": edited(lambda all: all["pictures"].pop("mask")),
            "state": edited(lambda all: all["states"][0].update(steps="click")),
            "place": edited(lambda all: all["states"][0].update(place={"x": "0"})),
            "warp": edited(lambda all: all["states"][0].update(warp=[[0, 0]])),
            "url": edited(lambda all: all["pictures"]["source"].update(id="x", proxy_url="")),
            "now": edited(lambda all: all.update(now=99)),
            "step": edited(lambda all: all.update(step="cut")),
            "newer": edited(lambda all: all.update(version=2)),
            "field": edited(lambda all: all["states"][0].update(sparkle=1)),
            "way": edited(lambda all: all.update(way="constructor")),
            "large": lambda all: all.update({first(all): large}),
            "no-photo": lambda all: all.update({first(all): b"this is text"}),
        }
        for name, change in changes.items():
            rewritten(path, tmp_path / f"{name}.pyharmony", change)
        said = dict.fromkeys([*broken, *changes], "is no project of this page, or it is damaged")
        said |= dict.fromkeys(["newer", "field", "way"], "needs a newer pyharmony")
        said |= {"large": "ource.png is larger than 3 MB, the limit here.", "no-photo": "ource.png"}
        visit.expected.append("422")
        visit.leave()
        page.wait_for_timeout(300)  # the last job of the closed editor is over
        stays = set(service.service.store.pictures)
        for name, text in said.items():
            page.set_input_files("#open-file", str(tmp_path / f"{name}.pyharmony"))
            toast = page.locator(".toast")
            toast.wait_for()
            assert text in toast.inner_text() and toast.count() == 1, name
            visit.read()
            assert page.is_visible("#start") and page.locator("[data-slot] img, [data-slot] progress").count() == 0, (
                name
            )
        # Nothing of them stays at the service, nor as a picture of this browser.
        visit.comes(lambda: set(service.service.store.pictures) <= stays)
        assert visit.drafts() == []
        # What other programs have packed again opens, also where it lacks what is new.
        older = edited(lambda all: [state.pop("changes") for state in all["states"]])
        page.set_input_files("#open-file", str(rewritten(path, tmp_path / "again.pyharmony", older)))
        visit.step("save")


@pytest.mark.slow
def test_photos_are_pasted_and_dropped_into_a_picture(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    blue = coloured(tmp_path, files, "blue.png", (30, 90, 220))
    with visiting(browser, service, LARGE) as visit:
        page = visit.page
        composing(visit, files)
        visit.put(120, 140)
        # From the clipboard itself, by the key.
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.evaluate(
            """async (text) => {
              const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
              const blob = new Blob([bytes], { type: "image/png" });
              await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
            }""",
            base64.b64encode(blue.read_bytes()).decode(),
        )
        page.focus("#stage")
        page.keyboard.press("Control+V")
        added(visit, 2)
        visit.put(280, 160)
        visit.settled()
        pixels = pixels_of(visit.download())
        assert pixels[160, 280, 2] > pixels[160, 280, 0] and pixels[140, 120, 0] > pixels[140, 120, 2]

        # A text goes into its field, whatever the clipboard has beside it.
        assert give(visit, "paste", "#place [name=x]", blue, text="12")
        page.focus("#place [name=x]")
        page.evaluate("navigator.clipboard.writeText('77')")
        page.keyboard.press("Control+A")
        page.keyboard.press("Control+V")
        page.keyboard.press("Tab")
        visit.comes(lambda: visit.numbers()["x"] == 77)
        assert page.locator("#subject-list .name").count() == 2
        # What is dropped on the canvas, too, and what is no image is named.
        give(visit, "drop", "#stage canvas", files["alpha"], saved(tmp_path, "c.png", pixels_of(blue.read_bytes())))
        added(visit, 4)
        notes = tmp_path / "notes.txt"
        notes.write_text("no picture")
        visit.expected.append("422")
        give(visit, "paste", "#stage", notes)
        visit.says("notes.txt")
        assert page.locator("#subject-list .name").count() == 4
        visit.read()
        # What the page has saved opens, and a broken file closes nothing.
        path = project(visit, tmp_path / "four.pyharmony")
        visit.leave()
        blending(visit, files)
        give(visit, "drop", "#stage", blue)
        visit.says("Photos are added only to a composite of two photos.")
        broken = tmp_path / "broken.pyharmony"
        broken.write_bytes(path.read_bytes()[:500])
        give(visit, "paste", "#stage", broken)
        visit.says("roken.pyharmony is no project")  # a sentence begins with a capital
        assert page.is_visible("#editor") and page.input_value("#mode") == "alpha"
        visit.read()
        give(visit, "drop", "#stage", path)
        visit.step("save")
        visit.settled()
        visit.click("[data-to=place]")
        assert page.locator("#subject-list .name").count() == 4
        visit.click("[data-to=save]")
        recipe = tmp_path / "recipe.json"
        recipe.write_bytes(visit.download("#save-recipe"))
        give(visit, "paste", "#stage", recipe)
        visit.says("Add the photos of the recipe")
        assert page.is_visible("#start") and len(visit.drafts()) == 2
        give(visit, "drop", "#start", path)
        visit.step("save")


@pytest.mark.slow
def test_a_photo_is_pasted_before_the_first_is_cut_out(browser: Any, service: Any, tmp_path: Path) -> None:
    files = shapes(tmp_path)
    with visiting(browser, service, TABLET) as visit:
        page = visit.page
        without_people(visit)
        visit.give("subject", files["source"], files["background"])
        visit.step("cut")
        give(visit, "paste", "body", files["alpha"])
        added(visit, 2)
        visit.put(280, 160)
        # Nothing is saved until the first is cut out and placed, too; a project is.
        assert page.is_disabled("#download")
        visit.click("[data-to=save]")
        path = tmp_path / "begun.pyharmony"
        path.write_bytes(visit.download("#save-project"))
        visit.leave()
        page.set_input_files("#open-file", str(path))
        visit.step("save")
        visit.click("[data-to=place]")
        page.locator("#subject-list [data-key=name-1]").click()
        visit.step("cut")
        visit.point(60, 60)
        visit.to_place()
        at_plain_place(visit)
        page.wait_for_selector("#download:enabled")


@pytest.mark.slow
def test_the_project_is_saved_by_a_key(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service) as visit:
        composing(visit, shapes(tmp_path))
        assert "Ctrl and S save the project." in visit.page.inner_text("#stage-help")
        for selector in ("#stage", "#place [name=x]"):
            with visit.page.expect_download() as download:
                visit.page.press(selector, "Control+s")
            assert download.value.suggested_filename == "below.pyharmony"
            with zipfile.ZipFile(download.value.path()) as archive:
                assert json.loads(archive.read("project.json"))["step"] == "place"


# ---- links ----


@pytest.mark.slow
def test_a_link_opens_the_picture_in_this_browser_alone(browser: Any, service: Any, tmp_path: Path) -> None:
    with visiting(browser, service, TOUCHED) as visit:
        page = visit.page
        composing(visit, shapes(tmp_path))
        visit.put(230, 120)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.tap("[data-to=save]")
        page.tap("#copy-link")
        visit.comes(lambda: page.is_visible("#code"))
        link = page.inner_text("#code")
        assert re.fullmatch(re.escape(service.address) + r"/?#open=[\d-]+", link)
        assert "until a week after the last change" in page.inner_text("#project-note")
        # With the result there is its own address, too.
        data = visit.download()
        page.tap("#copy-link")
        visit.comes(lambda: len(page.inner_text("#code").splitlines()) == 2)
        first, file = page.inner_text("#code").splitlines()
        assert first == link == page.evaluate("navigator.clipboard.readText()")
        assert np.array_equal(pixels_of(service.client.get(file).content), pixels_of(data))
        visit.read()

        def goes_on(x: float) -> None:
            visit.step("save")
            visit.settled()
            page.tap("[data-to=place]")
            visit.comes(lambda: page.is_enabled("#undo") and visit.middle()["x"] == x)
            page.tap("[data-to=save]")

        # From the start, in a fresh tab, and from the open picture itself; it is the newest state each time.
        page.tap("#home")
        page.wait_for_selector("#draft:not([hidden])")
        page.goto(link)
        goes_on(230)
        page.tap("[data-to=place]")
        visit.put(150, 120)
        page.tap("[data-to=save]")
        page.goto(link)
        goes_on(150)
        visit.settled()
        page.wait_for_selector("html[data-stored=true]")
        former = page
        page = visit.page = page.context.new_page()
        former.close()
        page.set_default_timeout(60_000)
        without_people(visit)
        page.goto(link)
        goes_on(150)
        page.tap("#copy-link")
        visit.comes(lambda: page.is_visible("#code"))
        assert page.inner_text("#code") == link
        # It is gone with the picture.
        visit.leave()
        page.goto(link)
        visit.says("The picture of this link is not in this browser")
        assert page.is_visible("#start") and "open=" not in page.url
    with visiting(browser, service) as visit:
        visit.page.goto("about:blank")
        visit.page.goto(link)
        visit.says("The picture of this link is not in this browser")


# ---- access ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "scheme"), [(TOUCHED, "dark"), (LARGE, "light"), pytest.param(TABLET, "light", marks=pytest.mark.full)]
)
def test_axe_finds_nothing_in_saving(
    browser: Any, service: Any, tmp_path: Path, kind: dict[str, Any], scheme: str
) -> None:
    with visiting(browser, service, kind, scheme) as visit:
        blending(visit, shapes(tmp_path))
        visit.click("[data-to=save]")
        visit.download("#save-project")
        visit.click("#copy-link")
        visit.page.wait_for_selector("#code:not([hidden])")
        assert axe_of(visit) == []
        visit.leave()
        visit.page.goto(f"{service.address}#open=0")
        visit.says("The picture of this link is not in this browser")
        assert axe_of(visit) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
