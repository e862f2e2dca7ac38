"""The work of `pyharmony demo`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import blend
from .._arrays import Pixels
from .._warnings import quiet
from ..runs._jobs.failures import writing
from ..runs._jobs.task import check_new
from . import _chain
from ._console import Console
from ._pictures import PAIRS, load

BLENDS: dict[str, Callable[..., Any]] = {
    "alpha": blend.alpha,
    "laplacian": blend.laplacian,
    "poisson": blend.poisson,
    "poisson_mixed": lambda *a, **k: blend.poisson(*a, gradients="mixed", **k),
    "poisson_monochrome": lambda *a, **k: blend.poisson(*a, gradients="monochrome", **k),
    "gaussian_poisson": blend.gaussian_poisson,
}
#: The blends that solve an equation, and so have an error bound.
_SOLVED = ("poisson", "poisson_mixed", "poisson_monochrome", "gaussian_poisson")


def paste(src: Pixels, dst: Pixels, mask: Pixels, at: tuple[int, int]) -> Pixels:
    """Returns the cut-out pasted on the photo with a hard contour."""
    result, (x, y), (h, w) = dst.copy(), at, mask.shape
    result[y : y + h, x : x + w][mask > 127] = src[mask > 127]
    return result


def best_ms(call: Callable[..., Any], *images: Pixels, at: tuple[int, int], repeats: int = 3) -> float:
    times = []
    with quiet():  # the same warnings were reported for the result that is written
        for _ in range(repeats):
            start = time.perf_counter()
            call(*images, at=at)
            times.append(time.perf_counter() - start)
    return 1000 * min(times)


def sheet(rows: list[list[tuple[str, Pixels]]], margin: int = 6, caption: int = 22) -> Any:
    """Returns rows of captioned images of equal size as a PIL image."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = rows[0][0][1].shape[:2]
    columns = max(len(row) for row in rows)
    page = Image.new(
        "RGB",
        (columns * (width + margin) + margin, len(rows) * (height + caption + margin) + margin),
        "white",
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for i, row in enumerate(rows):
        for j, (text, picture) in enumerate(row):
            x, y = margin + j * (width + margin), margin + i * (height + caption + margin)
            draw.text((x + 2, y + 2), text, fill="black", font=font)
            page.paste(Image.fromarray(picture), (x, y + caption))
    return page


def run(output: Path, overwrite: bool, console: Console) -> None:
    import numpy as np

    from ..io import Picture, write

    sheets = [output / "sheet.png", output / "before_after.jpg"]
    names = [output / f"{pair.name}_{name}.png" for pair in PAIRS for name in BLENDS]
    for path in (*names, *sheets):
        check_new(path, overwrite)
    with writing(str(output)):
        output.mkdir(parents=True, exist_ok=True)
    composites = _chain.run(output, overwrite, console)

    def save(pixels: Any, path: Path) -> None:
        with writing(str(path)):
            write(Picture(pixels=np.asarray(pixels)), path, overwrite=overwrite)

    everything: list[list[tuple[str, Pixels]]] = []
    before: list[tuple[str, Pixels]] = []
    after: list[tuple[str, Pixels]] = []
    records = []
    for pair in PAIRS:
        src, dst, mask = map(load, pair.files)
        x0, y0, x1, y1 = pair.view
        pasted = paste(src, dst, mask, pair.at)
        row = [("pasted", pasted[y0:y1, x0:x1])]
        for name, call in BLENDS.items():
            error: dict[str, Any] = {}
            bound_text = ""
            if name in _SOLVED:
                result, info = call(src, dst, mask, at=pair.at, return_info=True)
                error = {"max_error": info.max_error, "method": info.method}
                bound_text = f", error at most {info.max_error:.3f}/255 ({info.method})"
            else:
                result = call(src, dst, mask, at=pair.at)
            ms = best_ms(call, src, dst, mask, at=pair.at)
            path = output / f"{pair.name}_{name}.png"
            save(result, path)
            console.note(f"{path}: {dst.shape[1]} x {dst.shape[0]}, {ms:.1f} ms{bound_text}")
            records.append({"path": str(path), "pair": pair.name, "blend": name, "ms": round(ms, 3), **error})
            row.append((name, result[y0:y1, x0:x1]))
        everything.append(row)
        before.append(row[0])
        after.append(next(entry for entry in row if entry[0] == pair.best))

    save(sheet(everything), sheets[0])
    save(sheet([before, after]), sheets[1])
    console.note(f"open {sheets[1]}: pasted, and blended; {sheets[0]} has every blend side by side")
    console.note(
        f"open {composites['page']}: people put into other photographs by one click each; "
        f"{composites['animation']} shows one of them before and after the match"
    )
    console.result(status="ok", **composites, pictures=records, sheets=[str(path) for path in sheets])
