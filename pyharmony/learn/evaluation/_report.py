"""Reports: evaluations as tables in CSV and Markdown, and scores of parts as images."""

from __future__ import annotations

import csv
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _checks, _temporary
from ..._arrays import Pixels
from ...errors import DTypeError
from ...typing import PathLike
from ..metrics import Interval
from ._evaluate import Evaluation
from ._methods import enlarged
from ._published import PUBLISHED, SUBSETS, Published

_TITLES = {
    "mse": "MSE",
    "psnr": "PSNR",
    "fmse": "fMSE",
    "fpsnr": "fPSNR",
    "ssim": "SSIM",
    "fssim": "fSSIM",
    "seam_error": "seam error",
}
#: The measures in a table of groups, where space is limited.
_GROUP_MEASURES = ("mse", "psnr", "fmse")
#: The colours of the probabilities 0, 1/2 and 1.
_COLOURS = np.array([[200, 30, 30], [245, 225, 150], [30, 90, 200]], np.float32)


@_checks.kinds
def write_csv(evaluation: Evaluation, path: PathLike) -> None:
    """Writes a row for each image and method; the file is written completely or not at all.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from pyharmony import data, evaluation
        >>> evaluation.write_csv(evaluation.evaluate(data.Triples("triples"), {}, size=None), "table.csv")
        >>> Path("table.csv").read_text().split(",")[:3]
        ['name', 'subset', 'method']
    """
    with _temporary.file(path) as unfinished, open(unfinished, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(evaluation.rows[0]))
        writer.writeheader()
        writer.writerows(evaluation.rows)


@_checks.kinds
def markdown(evaluation: Evaluation, *, published: bool = False) -> str:
    """Returns the tables of an evaluation: all images, differences to the composite, groups, and published figures.

    Args:
        evaluation: the result of `evaluate`.
        published: whether to add the published tables of iHarmony4.

    Example:
        >>> from pyharmony import data, evaluation
        >>> result = evaluation.evaluate(data.Triples("triples"), {}, size=None)
        >>> evaluation.markdown(result).splitlines()[0]
        '# 2 images, full size'
    """
    every = [summary for summary in evaluation.summaries if summary.group == "all"]
    size = "full size" if evaluation.size is None else f"{evaluation.size} x {evaluation.size} pixels"
    parts = [f"# {every[0].count:,} images, {size}\n"]
    if evaluation.problems:
        parts.append(f"{len(evaluation.problems):,} more could not be evaluated.\n")
    parts.append("Means over images, with bootstrap intervals of 95 %.\n")
    measures = evaluation.measures
    heads = ["", *(_TITLES.get(key, key) for key in measures)]
    parts.append(_table(heads, [[s.method, *(_interval(s.means[key], key, "") for key in measures)] for s in every]))
    if len(every) > 1:
        rows = [[s.method, *(_interval(s.gains[key], key, "+") for key in measures)] for s in every[1:]]
        parts += ["## Differences to the composite\n", _table(heads, rows)]
    parts += [
        "## Groups\n",
        f"{' / '.join(_TITLES[key] for key in _GROUP_MEASURES)}. Shares of the foreground in per cent.\n",
    ]
    groups = {summary.group: summary.count for summary in evaluation.summaries}
    rows = [[method, *(_short(evaluation, method, group) for group in groups)] for method in evaluation.methods]
    parts.append(_table(["", *(f"{group} ({count:,})" for group, count in groups.items())], rows))
    if published:
        parts += _published_parts(evaluation.size)
    return "\n".join(parts)


def _published_parts(size: int | None) -> list[str]:
    rows = [row for row in PUBLISHED if row.size == size]
    parts = [
        "## Published\n",
        "Of the 7,404 test images of iHarmony4, not measured here; figures of other images cannot be compared with "
        "them.\n",
    ]
    if not rows:
        return [*parts, "Nothing was published at this size; there are figures of 256 x 256 pixels and of full size.\n"]
    for source in dict.fromkeys(row.source for row in rows):
        some = [row for row in rows if row.source == source]
        subsets = [name for name in SUBSETS if any(name in row.subsets for row in some)]
        cells = [[f"{row.method} (published)", *_published_cells(row, subsets)] for row in some]
        parts += [f"By {source}.\n", _table(["", "MSE", "PSNR", "fMSE", *subsets], cells)]
    return parts


def _published_cells(row: Published, subsets: list[str]) -> list[str]:
    pairs = [row.subsets.get(name, (None, None)) for name in subsets]
    return [*map(_number, (row.mse, row.psnr, row.fmse)), *(f"{_number(a)} / {_number(b)}" for a, b in pairs)]


def _number(x: Decimal | None) -> str:
    return "–" if x is None else str(x)


def _interval(x: Interval, key: str, sign: str) -> str:
    digits = 4 if key in ("ssim", "fssim") else 2
    if x.low == x.high:
        return f"{x.mean:{sign}.{digits}f}"
    return f"{x.mean:{sign}.{digits}f} [{x.low:{sign}.{digits}f}, {x.high:{sign}.{digits}f}]"


def _short(evaluation: Evaluation, method: str, group: str) -> str:
    means = next(s.means for s in evaluation.summaries if (s.method, s.group) == (method, group))
    return " / ".join(f"{means[key].mean:.2f}" for key in _GROUP_MEASURES)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def heat_map(parts: npt.NDArray[Any], picture: Pixels) -> Pixels:
    """Returns an image overlaid with probabilities of parts: red for looking pasted (0), blue for real (1).

    Args:
        parts: [h, w], 0 to 1.
        picture: [H, W, 3], uint8.

    Example:
        >>> from pyharmony import evaluation
        >>> evaluation.heat_map(np.array([[0.0, 1.0]]), np.full((8, 16, 3), 128, np.uint8)).shape
        (8, 16, 3)
    """
    height, width = _checks.image(picture, "picture", dims=(3,)).shape[:2]
    if picture.dtype != np.uint8:
        raise DTypeError(f"picture: dtype {picture.dtype}, expected uint8")
    _checks.finite(_checks.image(parts, "parts", dims=(2,)), "parts")
    p = enlarged(np.asarray(parts, np.float32)[..., None], (height, width))[..., 0].clip(0, 1)
    scale = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(p, scale, _COLOURS[:, c]) for c in range(3)], -1)
    grey = picture.astype(np.float32).mean(-1, keepdims=True)
    return np.rint(0.4 * grey + 0.6 * colours).astype(np.uint8)
