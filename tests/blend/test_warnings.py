"""Calls that do what they were told, but likely not what was meant, give a warning at the caller's line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import blend, harmonization, harmonize
from pyharmony._warnings import quiet
from pyharmony.composition.laying import over
from pyharmony.errors import ConfidenceWarning, MaskWarning, PyHarmonyWarning, UnchangedWarning

from ..blends import BLENDS

CALLS = [getattr(blend, name) for name in BLENDS]
SRC, DST = np.full((20, 30, 3), 90, np.uint8), np.full((60, 80, 3), 140, np.uint8)
OUTSIDE_MESSAGE = "the object lies outside dst (80 x 60)"


def said(call: Callable[[], Any]) -> tuple[Any, list[warnings.WarningMessage]]:
    """Returns what a call returns, and its warnings."""
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        result = call()
    return result, [one for one in records if issubclass(one.category, PyHarmonyWarning)]


def transparent(alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([SRC, alpha[..., None]], 2)


EMPTY_MASK, FULL_MASK = np.zeros((20, 30), np.uint8), np.full((20, 30), 255, np.uint8)
LEFT_MASK, RIGHT_MASK = FULL_MASK.copy(), FULL_MASK.copy()
LEFT_MASK[:, 15:] = RIGHT_MASK[:, :15] = 0
USELESS_CALLS: list[tuple[np.ndarray, np.ndarray | None, tuple[int, int], str]] = [
    (SRC, FULL_MASK, (900, 3), OUTSIDE_MESSAGE),
    (SRC, None, (3, -20), OUTSIDE_MESSAGE),
    (SRC, LEFT_MASK, (-15, 3), OUTSIDE_MESSAGE),  # what the mask has inside lies outside
    (SRC, EMPTY_MASK, (3, 3), "mask is zero everywhere"),
    (SRC, EMPTY_MASK, (900, 3), "mask is zero everywhere"),
    (transparent(EMPTY_MASK), None, (3, 3), "the alpha of src is zero everywhere"),
    (transparent(LEFT_MASK), RIGHT_MASK, (3, 3), "mask is zero wherever src is not transparent"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("src", "mask", "at", "reason"), USELESS_CALLS)
def test_a_blend_says_that_nothing_was_blended_and_why(call: Any, src: Any, mask: Any, at: Any, reason: str) -> None:
    (result, info), records = said(lambda: call(src, DST, mask, at=at, return_info=True))
    assert (result == DST).all() and (info.method, info.reason) == ("copy", reason)
    assert [str(one.message) for one in records] == [f"nothing was blended: {reason}"]
    assert records[0].category is UnchangedWarning


def test_python_points_at_the_line_that_called() -> None:
    line = sys._getframe().f_lineno + 1
    _, records = said(lambda: blend.poisson(SRC, DST, EMPTY_MASK, at=(0, 0)))
    assert (records[0].filename, records[0].lineno) == (__file__, line)
    line = sys._getframe().f_lineno + 1
    _, records = said(lambda: blend.poisson([SRC], [DST], EMPTY_MASK, at=(0, 0)))
    assert (records[0].filename, records[0].lineno) == (__file__, line)


def test_an_item_of_a_list_or_batch_is_named() -> None:
    _, records = said(lambda: blend.alpha(SRC, [DST, DST], at=[(3, 3), (900, 3)]))
    assert [str(one.message) for one in records] == [f"dst[1]: nothing was blended: {OUTSIDE_MESSAGE}"]
    masks = np.stack([EMPTY_MASK, FULL_MASK])
    _, records = said(lambda: blend.alpha(np.stack([SRC, SRC]), np.stack([DST, DST]), masks, at=(0, 0)))
    assert [str(one.message) for one in records] == [
        "item 0 of the batch: nothing was blended: mask is zero everywhere"
    ]


def test_what_is_blended_is_not_spoken_of() -> None:
    for call in CALLS:
        (_, info), records = said(lambda call=call: call(SRC, DST, FULL_MASK, at=(70, 3), return_info=True))  # type: ignore[misc]
        assert not records and info.reason == ""


def test_edits_and_tiles_say_so_too(tmp_path: Path) -> None:
    none = np.zeros((60, 80), np.uint8)
    for edit in (blend.detail_boost, blend.inpaint, blend.texture_flattening, blend.illumination_change):
        (_, info), records = said(lambda edit=edit: edit(DST, none, return_info=True))  # type: ignore[misc]
        assert [str(one.message) for one in records] == ["nothing was edited: mask is zero everywhere"]
        assert info.reason == "mask is zero everywhere"
    (_, info), records = said(
        lambda: blend.gaussian_poisson_tiles(DST, DST, none, np.empty_like(DST), return_info=True)
    )
    assert [one.category for one in records] == [UnchangedWarning] and info.reason == "mask is zero everywhere"


def test_they_may_be_errors_and_may_be_silenced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PyHarmonyWarning)
        with pytest.raises(UnchangedWarning, match="nothing was blended"):
            blend.alpha(SRC, DST, EMPTY_MASK, at=(0, 0))
        warnings.simplefilter("ignore", PyHarmonyWarning)
        blend.alpha(SRC, DST, EMPTY_MASK, at=(0, 0))


def scene(light: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image with an object in another light."""
    random = np.random.default_rng(0)
    image = random.integers(60, 200, (90, 120, 3)).astype(np.float64)
    mask = np.zeros((90, 120), np.uint8)
    mask[20:70, 30:90] = 255
    image[mask > 0] *= light
    return image.astype(np.uint8), mask


def test_harmonize_says_what_it_did() -> None:
    image, mask = scene(0.8)
    (result, info), records = said(lambda: harmonize(image, mask, method="reinhard", return_info=True))
    inside = mask > 0
    change = np.abs(result.astype(float) - image).max(-1)[inside].mean()
    assert info.change == pytest.approx(change, abs=1.5)
    free, its = harmonize(image, mask, method="reinhard", guard=False, return_info=True)
    assert its.asked == its.change == pytest.approx(info.asked)
    assert its.change == pytest.approx(np.abs(free.astype(float) - image).max(-1)[inside].mean(), abs=1.5)
    assert info.held_back == (info.asked - info.change >= 0.5) and not its.held_back
    half = harmonize(image, mask, method="reinhard", strength=0.5, guard=False, return_info=True)[1]
    assert half.change == half.asked == pytest.approx(its.change / 2, rel=0.02)
    assert [one.category for one in records] == ([ConfidenceWarning] if info.held_back else [])


def test_what_the_guard_holds_back_is_said_once_for_a_line() -> None:
    """The words hold no figures, so that Python's own filter shows a line's warning once."""
    messages = set()
    for light in (0.6, 0.7):
        (_, info), records = said(lambda light=light: harmonize(*scene(light), method="mkl", return_info=True))  # type: ignore[misc]
        assert (
            info.held_back and 0 < info.change < info.asked and [one.category for one in records] == [ConfidenceWarning]
        )
        messages.add(str(records[0].message))
    assert messages == {
        "the guard reduced the change; info.change and info.asked have the amounts, guard=False applies all of it"
    }


def test_an_answer_that_is_not_trusted_is_said_with_its_reason() -> None:
    image, mask = scene(0.1)
    (result, info), records = said(lambda: harmonize(image, mask, method="mkl", return_info=True))
    assert info.method == "copy" and info.confidence < 0.25 and (result == image).all()
    assert info.change == 0 and info.asked > 20 and info.held_back
    assert [str(one.message) for one in records] == [
        f"nothing was harmonized: the estimate is not trusted, {info.reason}; guard=False applies the change"
    ]
    (_, info), records = said(lambda: harmonize(image, mask, method="mkl", guard=False, return_info=True))
    assert info.change > 20
    assert [str(one.message) for one in records] == [
        f"the estimate has low confidence: {info.reason}; guard=True does not change such images"
    ]


def test_harmonize_says_where_there_is_nothing_to_do() -> None:
    image, mask = scene(0.8)
    for arguments, options, reason in (
        ((image, np.zeros_like(mask)), {}, "mask is zero everywhere"),
        ((image, mask), {"at": (0, 900)}, "the object lies outside image (120 x 90)"),
        ((image, np.full_like(mask, 255)), {}, "there is no background"),
    ):
        (_, info), records = said(
            lambda arguments=arguments, options=options: harmonize(  # type: ignore[misc]
                *arguments, method="mkl", return_info=True, **options
            )
        )
        assert info.method == "copy" and info.reason == reason
        assert [str(one.message) for one in records] == [f"nothing was harmonized: {reason}"]
    assert not said(lambda: harmonize(image, mask, method="mkl", strength=0))[1]


def test_frames_say_it_for_each() -> None:
    image, mask = scene(0.8)
    frames, masks = [image, image], [mask, np.zeros_like(mask)]
    _, records = said(lambda: list(harmonization.harmonize_frames(frames, masks, method="mkl", smoothing=0)))
    assert UnchangedWarning in [one.category for one in records]


def test_evaluation_speaks_by_its_figures() -> None:
    from pyharmony.learn import evaluation

    image, mask = scene(0.1)
    assert not said(lambda: evaluation.METHODS["mkl"](image, mask))[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_of_0_to_255_are_told(dtype: str) -> None:
    random = np.random.default_rng(0)
    src, dst = (random.integers(0, 256, shape).astype(dtype) for shape in ((20, 30, 3), (60, 80, 3)))
    _, records = said(lambda: blend.alpha(src, dst, at=(3, 3)))
    assert [str(one.message) for one in records] == [
        f"{name}: {dtype} with values up to {x.max():g}, where 1 is white; divide levels of 0 to 255 by 255"
        for name, x in (("src", src), ("dst", dst))
    ]
    _, records = said(lambda: harmonize(dst, np.full((9, 9), 255, np.uint8), at=(3, 3), method="mkl"))
    assert str(records[0].message).startswith(f"image: {dtype} with values up to 255")


def test_floats_that_mean_1_as_white_are_not() -> None:
    random = np.random.default_rng(0)
    for dst in (
        random.random((60, 80, 3)),
        random.random((60, 80, 3)) * 9,  # high dynamic range
        np.where(random.random((60, 80, 1)) > 0.9, 200.0, random.random((60, 80, 3))),  # lamps in it
        random.normal(0, 60, (60, 80, 3)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error", PyHarmonyWarning)
            blend.alpha(dst[:5, :5], dst, at=(0, 0))


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (np.zeros((20, 30, 3), np.uint8), r"pass one of 3 equal channels, mask\[\.\.\., 0\]$"),
        (
            np.zeros((20, 30, 4), np.uint8),
            r"pass one of 4 equal channels, mask\[\.\.\., 0\]; its alpha is mask\[\.\.\., 3\]$",
        ),
        (np.zeros((3, 20, 30), np.uint8), r"pass one of 3 equal channels, mask\[\.\.\., 0, :, :\]$"),
        (np.zeros((30, 20), np.uint8), "masks are never resized$"),
    ],
)
def test_a_mask_of_several_channels_is_told_which_to_pass(mask: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        blend.alpha(SRC, DST, mask, at=(0, 0))


def test_a_grey_source_is_told_how_it_becomes_rgb() -> None:
    grey = SRC[..., 0]
    for src, remedy in (
        (grey, r"numpy\.stack\(\[src\] \* 3, -1\)"),
        (grey[..., None], r"numpy\.stack\(\[src\[\.\.\., 0\]\] \* 3, -1\)"),
    ):
        with pytest.raises(ValueError, match=f"src: 1 channels, but dst has 3; .*{remedy} has three equal channels"):
            blend.alpha(src, DST, at=(0, 0))
    assert (blend.alpha(np.stack([grey] * 3, -1), DST, at=(0, 0))[:20, :30] == 90).all()


def test_pictures_in_files_are_spoken_of_by_width_and_height(tmp_path: Path) -> None:
    Image.fromarray(DST).save(tmp_path / "dst.png")
    with pytest.raises(ValueError, match=r"src: 30 x 20 pixels and dst 80 x 60 \(width x height\)"):
        blend.alpha(SRC, tmp_path / "dst.png")


def test_a_caller_may_silence_one_kind_and_what_it_calls_another() -> None:
    labels = np.full((20, 30), 15, np.uint8)

    def blended() -> None:
        blend.alpha(SRC, DST, labels, at=(0, 0))
        blend.alpha(SRC, DST, EMPTY_MASK, at=(0, 0))

    def kinds() -> list[str]:
        return [one.category.__name__ for one in said(blended)[1]]

    assert kinds() == ["MaskWarning", "UnchangedWarning"]
    with quiet(MaskWarning):
        assert kinds() == ["UnchangedWarning"]
        with quiet(UnchangedWarning):
            assert kinds() == []
        assert kinds() == ["UnchangedWarning"]
    with quiet(), quiet(MaskWarning):
        assert kinds() == []


def test_faint_layers_that_compose_draws_are_not_spoken_of() -> None:
    alpha = np.full((20, 30), 4, np.uint8)
    canvas = DST.copy()
    assert len(said(lambda: blend.alpha(np.dstack([SRC, alpha]), DST, at=(0, 0)))[1]) == 1
    assert said(lambda: over(canvas[:20, :30], SRC, alpha))[1] == []
    assert (canvas[:20, :30] == 139).all()
