"""Runs methods on samples: outputs are inserted into the composite, rounded, measured, and averaged over images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _checks, _reprs
from ..._arrays import Pixels
from ...errors import ArgumentError, DataError, DTypeError, PyHarmonyError, ShapeError, WeightsError
from ...typing import Skip
from .. import metrics
from ..data import Dataset, Problem, resize_sample
from ..data._dataset import error_text
from ..metrics import Interval
from ._methods import METHODS, Judge, Method

#: The method with which others are compared.
BASELINE = "composite"

#: The measures in the order of tables; `foreground` is not among them.
MEASURES = ("mse", "psnr", "fmse", "fpsnr", "ssim", "fssim", "seam_error")

#: The groups of tables by the share of the image inside the mask, from the first number to below the second.
BINS = {"0-5 %": (0.0, 0.05), "5-15 %": (0.05, 0.15), "15-100 %": (0.15, 1.01)}


def composed(output: npt.NDArray[Any], composite: Pixels, mask: Pixels) -> Pixels:
    """Returns the image to measure for an output o, m o + (1 - m) c in uint8; where m is zero, the composite c.

    Args:
        output: [H, W, 3] in levels of 0 to 255; it is clipped and rounded first.
        composite: [H, W, 3], uint8.
        mask: [H, W], uint8.

    Raises:
        ShapeError: output has another shape than composite.
        ArgumentError: output contains NaN or Inf.

    Example:
        >>> from pyharmony import evaluation
        >>> composite = np.full((1, 2, 3), 100, np.uint8)
        >>> mask = np.array([[255, 0]], np.uint8)
        >>> evaluation.composed(np.full((1, 2, 3), 50.0), composite, mask)[..., 0].tolist()
        [[50, 100]]
    """
    for name, image, dims in (("output", output, 3), ("composite", composite, 3), ("mask", mask, 2)):
        _checks.image(image, name, dims=(dims,))
    if output.shape != composite.shape:
        raise ShapeError(f"output: shape {list(output.shape)}, expected {list(composite.shape)} as composite")
    _checks.mask(mask, "mask", *composite.shape[:2])
    levels = np.asarray(output, np.float32)
    if not np.isfinite(levels).all():
        raise ArgumentError("output: NaN or infinities")
    m = (mask.astype(np.float32) / 255)[..., None]
    return np.rint(m * np.rint(levels.clip(0, 255)) + (1 - m) * composite).astype(np.uint8)


def measure(
    output: npt.NDArray[Any], composite: Pixels, target: Pixels, mask: Pixels
) -> tuple[Pixels, dict[str, float]]:
    """Returns the result of `composed` for an output, and its metrics by `pyharmony.learn.metrics.evaluate`.

    Example:
        >>> from pyharmony import evaluation
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> image, scores = evaluation.measure(target + 2.0, target + 10, target, mask)
        >>> scores["fmse"]
        4.0
    """
    image = composed(output, composite, mask)
    return image, metrics.evaluate(image, target, mask)


@dataclass(frozen=True, repr=False)
class Result(_reprs.Line):
    """The results of all methods for one sample.

    Attributes:
        index, name: the index and name of the sample.
        sample: its composite, target and mask, at the size of the evaluation.
        pictures: the image of each method.
        scores: each judge's scores, for each method and for the target.
        maps: each judge's probabilities of parts, for each method and for the target; None if it does not score parts.

    Example:
        >>> from pyharmony import data, evaluation
        >>> results = []
        >>> result = evaluation.evaluate(data.Triples("triples"), {}, size=None, on_result=results.append)
        >>> results[0].name, list(results[0].pictures)
        ('a', ['composite'])
    """

    index: int
    name: str
    sample: dict[str, Any]
    pictures: dict[str, Pixels]
    scores: dict[str, dict[str, dict[str, float]]]
    maps: dict[str, dict[str, npt.NDArray[np.float32] | None]]


@dataclass(frozen=True)
class Summary:
    """The means of one method over one group of images.

    Attributes:
        method: the name of the method.
        group: 'all', a subset of the data, or a range of the object's share.
        count: the number of images.
        means: the mean of each measure.
        gains: the mean difference of each measure to the composite's.

    Example:
        >>> from pyharmony import data, evaluation
        >>> summary = evaluation.evaluate(data.Triples("triples"), {}, size=None).summaries[0]
        >>> summary.method, summary.group, summary.count
        ('composite', 'all', 2)
    """

    method: str
    group: str
    count: int
    means: dict[str, Interval]
    gains: dict[str, Interval]


@dataclass(frozen=True, repr=False)
class Evaluation(_reprs.Line):
    """The metrics of methods on images.

    Attributes:
        methods: the names of the methods; the first is 'composite'.
        size: the sides of the images; None: their original sizes.
        rows: a row for each image and method: `name`, `subset`, `method`, `height`, `width`, `foreground`, the metrics
            of `pyharmony.learn.metrics.evaluate`, and the judges' scores as `judge_score`.
        problems: the samples that could not be evaluated; they have no rows.

    Example:
        >>> from pyharmony import data, evaluation
        >>> result = evaluation.evaluate(data.Triples("triples"), {}, size=None)
        >>> result.rows[0]["name"], result.rows[0]["method"], result.problems
        ('a', 'composite', [])
    """

    methods: tuple[str, ...]
    size: int | None
    rows: list[dict[str, Any]]
    problems: list[Problem]

    @property
    def measures(self) -> list[str]:
        """The names of all metrics and scores, scores last."""
        return [key for key, value in self.rows[0].items() if isinstance(value, float) and key != "foreground"]

    @property
    def groups(self) -> dict[str, list[int]]:
        """The images in each non-empty group, by their indices among the rows of one method."""
        rows = self.rows[:: len(self.methods)]
        numbers = {"all": list(range(len(rows)))}
        for subset in dict.fromkeys(row["subset"] for row in rows if row["subset"]):
            numbers[subset] = [i for i, row in enumerate(rows) if row["subset"] == subset]
        for name, (low, high) in BINS.items():
            numbers[name] = [i for i, row in enumerate(rows) if low <= row["foreground"] < high]
        return {name: members for name, members in numbers.items() if members}

    @cached_property
    def summaries(self) -> list[Summary]:
        """The means of each group and method, with bootstrap intervals of 95 %."""
        columns = {
            (method, key): np.array([row[key] for row in self.rows[i :: len(self.methods)]])
            for i, method in enumerate(self.methods)
            for key in self.measures
        }
        summaries = []
        for group, members in self.groups.items():
            for method in self.methods:
                means, gains = {}, {}
                for key in self.measures:
                    values = columns[method, key][members]
                    means[key] = metrics.bootstrap(values)
                    if method != BASELINE:
                        gains[key] = metrics.bootstrap(values - columns[BASELINE, key][members])
                summaries.append(Summary(method, group, len(members), means, gains))
        return summaries


@_checks.kinds
def evaluate(
    dataset: Dataset,
    methods: Mapping[str, Method] | None = None,
    *,
    size: int | None = 256,
    judges: Mapping[str, Judge] | None = None,
    errors: Skip = "raise",
    on_result: Callable[[Result], None] | None = None,
    progress: Callable[[], None] | None = None,
) -> Evaluation:
    """Runs methods on samples and measures their results.

    Args:
        dataset: a data set whose samples have `composite`, `target` and `mask`, and may have `subset`.
        methods: the methods by name, such as those of `METHODS` and `harmonizer`; 'composite' is always added.
        size: the side to which samples are resized first, by `pyharmony.learn.data.resize_sample`; None: no resizing.
        judges: the judges by name, as `judge` returns them.
        errors: 'raise', or 'skip' to skip samples that cannot be read or measured; see `Evaluation.problems`.
        on_result: called with the `Result` of each sample.
        progress: called after each sample.

    Raises:
        ArgumentError: 'composite' or 'target' is the name of another method, or errors is neither 'raise' nor 'skip'.
        DataError: no sample could be evaluated.
        WeightsError: a method's weights are missing or damaged, for any value of errors.
        PyHarmonyError, OSError: a sample is bad, and errors is 'raise'.

    Example:
        >>> from pyharmony import data, evaluation
        >>> methods = {"reinhard": evaluation.METHODS["reinhard"]}
        >>> result = evaluation.evaluate(data.Triples("triples"), methods, size=None)
        >>> result.methods
        ('composite', 'reinhard')
    """
    _checks.one_of(errors, "errors", ("raise", "skip"))
    if size is not None:
        _checks.whole(size, "size", low=11)  # the window of SSIM
    every = {BASELINE: METHODS[BASELINE], **(methods or {})}
    for name, calls in (("methods", every), ("judges", judges or {})):
        for key, call in calls.items():
            if not (isinstance(key, str) and callable(call)):
                raise DTypeError(f"{name}[{key!r}]: {type(call).__name__}, expected a name and its function")
    if every[BASELINE] is not METHODS[BASELINE] or "target" in every:
        raise ArgumentError("methods: 'composite' and 'target' are reserved for the comparison")
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, name in enumerate(dataset.names):
        try:
            sample_rows, result = _evaluate_sample(dataset, index, every, size, judges or {})
        except WeightsError:  # The fault is the method's, not the sample's.
            raise
        except (PyHarmonyError, OSError) as error:
            if errors == "raise":
                raise
            problems.append(Problem(name, error_text(error)))
        else:
            rows += sample_rows
            if on_result is not None:
                on_result(result)
        if progress is not None:
            progress()
    if not rows:
        raise DataError(problems[0].message if problems else "dataset: empty, expected one sample or more")
    return Evaluation(tuple(every), size, rows, problems)


def _evaluate_sample(
    dataset: Dataset, index: int, methods: Mapping[str, Method], size: int | None, judges: Mapping[str, Judge]
) -> tuple[list[dict[str, Any]], Result]:
    sample, name = dataset[index], dataset.names[index]
    lacking = [role for role in ("composite", "target", "mask") if role not in sample]
    if lacking:
        raise DataError(f"{name}: no {lacking[0]}; expected composite, target and mask")
    if size is not None:
        sample = resize_sample(sample, size)
    composite, target, mask = sample["composite"], sample["target"], sample["mask"]
    height, width = mask.shape
    result = Result(index, name, sample, {}, {}, {})
    rows = []
    for method, call in methods.items():
        try:
            image, figures = measure(call(composite, mask), composite, target, mask)
        except PyHarmonyError as error:
            raise type(error)(f"{name}: {method}: {error}") from error
        result.pictures[method] = image
        _add_scores(result, method, image, judges)
        row = {"name": name, "subset": sample.get("subset", ""), "method": method, "height": height, "width": width}
        row |= {key: figures[key] for key in ("foreground", *MEASURES)}
        row |= {f"{j}_{key}": x for j, scores in result.scores[method].items() for key, x in scores.items()}
        rows.append(row)
    _add_scores(result, "target", target, judges)
    return rows, result


def _add_scores(result: Result, method: str, image: Pixels, judges: Mapping[str, Judge]) -> None:
    result.scores[method], result.maps[method] = {}, {}
    for judge, call in judges.items():
        scores, parts = call(result.sample["composite"], image, result.sample["mask"])
        result.scores[method][judge], result.maps[method][judge] = scores, parts
