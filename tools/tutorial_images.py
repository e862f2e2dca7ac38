"""Takes the screenshots of docs/tutorial.md: a visit to the page with photographs that come with the package.

    python tools/tutorial_images.py

It needs what tests/serve/browsing.py needs: Playwright and Chromium.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
#: The numbers of two steps, by their forms, as in the command of the tutorial.
PLACE, SHADOW = {"scale": 88, "x": 190, "y": 20}, {"x": 320, "y": 415, "softness": 10}


def main(folder: Path) -> None:
    sys.path.insert(0, str(ROOT))
    from pyharmony.serve import PAGE
    from tests.serve import browsing, test_server

    folder.mkdir(parents=True, exist_ok=True)
    with (
        test_server.running(page=PAGE, timeout=120.0) as service,
        browsing.playwright.sync_playwright() as driver,
        contextlib.closing(driver.chromium.launch(executable_path=browsing.CHROMIUM, args=["--no-sandbox"])) as browser,
        browsing.visiting(browser, service) as visit,
    ):
        page = visit.page

        def shoot(name: str) -> None:
            page.wait_for_timeout(400)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            shot.save(folder / f"{name}.webp", quality=80, method=6)

        shoot("start")
        visit.give("subject", browsing.IMAGES / "coat.jpg", browsing.IMAGES / "pier.jpg")
        visit.step("cut")
        page.wait_for_timeout(400)
        visit.point(128, 160)
        page.wait_for_selector("html[data-busy=false] #to-place:enabled")
        shoot("cut")
        visit.to_place()
        for step, form, numbers in (("place", "#place", PLACE), ("match", "#tip", SHADOW)):
            visit.click(f"[data-to={step}]")
            visit.settled()
            for name, value in numbers.items():
                page.fill(f"{form} [name={name}]", str(value))
                page.evaluate("document.activeElement.blur()")  # no field is marked in the picture
                visit.settled()
            shoot(step)
        visit.click("#compare")
        visit.settled()
        page.locator("#divider").fill("47")
        shoot("compare")
        visit.click("#compare")
        visit.click("[data-to=save]")
        visit.settled()
        shoot("save")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "images" / "tutorial")
