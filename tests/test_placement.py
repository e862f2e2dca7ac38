"""The place and size of a source: `scale`, and the mask at the destination's size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import blend, harmonize, io
from pyharmony.errors import ArgumentError, DTypeError, ShapeError

BLENDS = (blend.alpha, blend.laplacian, blend.poisson, blend.gaussian_poisson)
DST = np.full((60, 80, 3), 100, np.uint8)


def waves(height: int, width: int, period: float) -> np.ndarray:
    """Returns [h, w, 3] float64: a wave of this many pixels of an image that is 1 wide and high at any size."""
    y, x = ((np.arange(n) + 0.5) / n for n in (height, width))
    wave = 0.5 + 0.3 * np.sin(2 * np.pi * x / period)[None] * np.cos(2 * np.pi * y / period)[:, None]
    return np.repeat(wave[..., None], 3, 2)


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.8, 1.25, 2.0, 3.0])
def test_a_smooth_picture_is_the_same_picture_at_another_size(scale: float) -> None:
    src, side = waves(120, 160, 0.4), (round(120 * scale), round(160 * scale))
    dst = np.zeros((*side, 3))
    found = blend.alpha(src, dst, scale=scale)
    assert np.abs(found - waves(*side, 0.4))[4:-4, 4:-4].max() < 0.012


def test_what_is_shrunk_does_not_alias() -> None:
    src = np.indices((200, 200)).sum(0) % 2 * 255  # a chessboard of single pixels
    src = np.repeat(src[..., None].astype(np.uint8), 3, 2)
    found = blend.alpha(src, DST, at=(0, 0), scale=0.22)
    assert np.abs(found[2:42, 2:42].astype(int) - 127.5).max() < 3


@pytest.mark.parametrize("call", BLENDS)
def test_scale_1_changes_no_bit(call: Callable[..., Any]) -> None:
    src = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for at in ((5, 7), (5.25, -3.5)):
        assert (call(src, DST, at=at, scale=1) == call(src, DST, at=at)).all()


def test_the_first_corner_stays_and_parts_of_a_pixel_are_covered_in_part() -> None:
    src = np.full((10, 10, 3), 200, np.uint8)
    mask = blend.placed_mask(src.astype(np.float32) / 255, DST.astype(np.float32) / 255, at=(10.5, 20), scale=1.55)
    assert mask.dtype == np.float32
    columns, rows = mask[25], mask[:, 18]
    assert columns[10] == pytest.approx(0.5) and rows[20] == 1
    assert (columns[11:26] == 1).all() and rows[35] == pytest.approx(0.5, abs=1e-6)
    assert columns[26:].max() == 0 and rows[36:].max() == 0 and rows[:20].max() == 0
    assert mask.sum() == pytest.approx(15.5**2, rel=1e-5)


def test_colours_of_what_is_transparent_are_not_seen() -> None:
    """Colours are premultiplied: a red disc in transparent green has no green edge at any size."""
    y, x = np.mgrid[:101, :101] - 50
    disc = np.hypot(y, x) < 35
    src = np.zeros((101, 101, 4), np.uint8)
    src[..., 1] = 255
    src[disc] = (220, 0, 0, 255)
    for scale in (0.2, 0.37, 0.9, 1.6, 4.0):
        side = int(101 * scale) + 2
        dst = np.full((side, side, 3), 120, np.uint8)
        found = blend.alpha(src, dst, at=(0.3, 0.6), scale=scale, decontaminate=False).astype(int)
        assert found[..., 1].max() <= 121, scale
        covered = blend.placed_mask(src, dst, at=(0.3, 0.6), scale=scale) / 255
        assert covered.sum() == pytest.approx(disc.sum() * scale**2, rel=0.01)
        expected = dst + covered[..., None] * (np.array([220, 0, 0]) - dst)
        assert np.abs(found - expected).max() < 8, scale


@pytest.mark.parametrize("call", BLENDS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_every_blend_and_dtype_takes_a_scale(call: Callable[..., Any], dtype: str) -> None:
    unit = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    src = (waves(40, 50, 0.5) * unit).astype(dtype)
    dst = (np.full((60, 80, 3), 0.4) * unit).astype(dtype)
    mask = np.zeros((40, 50), np.uint8)
    mask[8:32, 10:40] = 255
    found, info = call(src, dst, mask, at=(12.5, 8), scale=0.8, return_info=True)
    inside = blend.placed_mask(src, dst, mask, at=(12.5, 8), scale=0.8)
    assert found.dtype == dst.dtype and info.method != "copy"
    assert (found[inside == 0] == dst[inside == 0]).all() and (found != dst).any()
    assert inside.dtype == (np.float32 if unit == 1 else dst.dtype) and inside.max() == unit
    # The part of the mask that is inside is 24 by 30 pixels from (10, 8), at 0.8 of its size from (12.5, 8).
    ys, xs = np.nonzero(inside > unit / 2)
    for found_at, wanted_at in ((xs.min(), 20.5), (ys.min(), 14.4), (xs.max() + 1, 44.5), (ys.max() + 1, 33.6)):
        assert abs(found_at - wanted_at) <= 0.5 + 1e-9


def test_tensors_batches_and_lists_take_a_scale() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    src = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    wanted = blend.alpha(src, DST, at=(5, 7), scale=0.6)
    tensor = blend.alpha(*(torch.from_numpy(x.transpose(2, 0, 1).copy()) for x in (src, DST)), at=(5, 7), scale=0.6)
    assert (tensor.numpy().transpose(1, 2, 0) == wanted).all()
    both = blend.alpha(np.stack([src, src]), np.stack([DST, DST]), at=(5, 7), scale=0.6)
    assert (both == wanted).all()
    listed = blend.alpha(src, [DST, DST], at=(5, 7), scale=[0.6, 1.0])
    assert (listed[0] == wanted).all() and (listed[1] == blend.alpha(src, DST, at=(5, 7))).all()
    masks = blend.placed_mask(src, [DST, DST], at=(5, 7), scale=[0.6, 1.0])
    assert [int(mask.sum(dtype=int)) for mask in masks] == [255 * 12 * 18, 255 * 20 * 30]
    assert blend.placed_mask(np.stack([src, src]), np.stack([DST, DST]), at=(5, 7)).shape == (2, 60, 80)
    of_tensors = blend.placed_mask(*(torch.from_numpy(x.transpose(2, 0, 1).copy()) for x in (src, DST)), at=(5, 7))
    assert isinstance(of_tensors, torch.Tensor) and of_tensors.shape == (60, 80)


def test_one_frame_is_told_by_its_scaled_size() -> None:
    src = np.zeros((30, 40, 3), np.uint8)
    assert blend.alpha(src, DST, scale=2).max() == 0
    with pytest.raises(ShapeError, match=r"src: 40 x 30 pixels, 60 x 45 at scale 1\.5, beside 80 x 60 of dst"):
        blend.alpha(src, DST, scale=1.5)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), "2", True, None])
def test_what_is_no_scale_is_refused(scale: Any) -> None:
    with pytest.raises((ArgumentError, DTypeError), match=r"^scale: .*above 0"):
        blend.alpha(DST, DST, scale=scale)


def test_a_scale_that_leaves_nothing_but_a_pixel_is_taken() -> None:
    src = np.full((50, 50, 3), 255, np.uint8)
    found = blend.alpha(src, DST, at=(10, 10), scale=0.001)
    assert (found != DST).any(-1).sum() <= 1


def test_only_what_lies_inside_is_resampled() -> None:
    src = np.full((100, 100, 3), 200, np.uint8)
    found, info = blend.alpha(src, DST, at=(-5000, -5000), scale=1000, return_info=True)
    assert (found == 200).all() and info.peak_bytes < 5_000_000


def test_the_placed_mask_is_what_harmonize_wants() -> None:
    rng = np.random.default_rng(0)
    src, dst = rng.integers(70, 160, (20, 30, 3), np.uint8), rng.integers(90, 256, (60, 80, 3), np.uint8)
    cover = np.zeros((20, 30), np.uint8)
    cover[3:17, 4:26] = 255
    pasted = blend.alpha(src, dst, cover, at=(30, 20))
    mask = blend.placed_mask(src, dst, cover, at=(30, 20))
    assert mask.shape == (60, 80) and (mask[20:40, 30:60] == cover).all() and mask.sum() == cover.sum(dtype=int)
    wanted = harmonize(pasted, mask, method="mkl")
    assert (harmonize(pasted, cover, at=(30, 20), method="mkl") == wanted).all()
    assert (wanted != pasted).any()


def test_the_mask_of_harmonize_may_be_moved_by_parts_of_a_pixel_and_lie_outside_in_part() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 80, 3), np.uint8)
    cover = np.full((20, 30), 255, np.uint8)
    src = np.zeros((20, 30, 3), np.uint8)
    for at in ((30.5, 20.25), (-10, 50), (70.5, -3.5)):
        mask = blend.placed_mask(src.astype(np.float32), image.astype(np.float32) / 255, cover, at=at)
        wanted = harmonize(image, mask, method="reinhard", guard=False)
        assert (harmonize(image, cover, at=at, method="reinhard", guard=False) == wanted).all()


def test_files_give_a_grey_picture(tmp_path: Path) -> None:
    Image.fromarray(DST).save(tmp_path / "dst.png")
    cutout = np.full((20, 30, 4), 255, np.uint8)
    cutout[:, :10, 3] = 0
    Image.fromarray(cutout).save(tmp_path / "src.png")
    found = blend.placed_mask(tmp_path / "src.png", tmp_path / "dst.png", at=(5, 6))
    assert found.mode == "L" and found.size == (80, 60)
    assert np.asarray(found)[6:26, 15:35].min() == 255 and np.asarray(found).sum(dtype=int) == 255 * 20 * 20
    assert blend.placed_mask(tmp_path / "src.png", tmp_path / "dst.png", at=(5, 6), out=tmp_path / "m.png")
    assert (np.asarray(Image.open(tmp_path / "m.png")) == np.asarray(found)).all()
    picture = blend.placed_mask(tmp_path / "src.png", io.read(tmp_path / "dst.png"), at=(5, 6))
    assert isinstance(picture, io.Picture) and picture.pixels.shape == (60, 80, 1)
    with pytest.raises(DTypeError, match="out: ndarray, expected None, a path"):
        blend.placed_mask(cutout, DST, at=(0, 0), out=np.zeros((60, 80), np.uint8))
