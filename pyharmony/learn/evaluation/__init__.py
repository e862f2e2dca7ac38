"""Evaluation of harmonisation methods on a data set: all run on every sample with the same metrics.

A method takes a composite [H, W, 3] and its mask [H, W], both uint8, and returns an image [H, W, 3] in levels of 0 to
255. docs/evaluation.md describes the protocol.
"""

from __future__ import annotations

from ..._public import publish
from ._evaluate import Evaluation, Result, Summary, composed, evaluate, measure
from ._methods import METHODS, harmonizer, judge
from ._published import PUBLISHED, Published
from ._report import heat_map, markdown, write_csv

__all__ = [
    "METHODS",
    "PUBLISHED",
    "Evaluation",
    "Published",
    "Result",
    "Summary",
    "composed",
    "evaluate",
    "harmonizer",
    "heat_map",
    "judge",
    "markdown",
    "measure",
    "write_csv",
]

publish(globals())
