"""What blends make of a dst that is partly unknown, by an alpha of 0 or `dst_valid`, and of one that looks erased."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

import pyharmony
from pyharmony import blend, compat
from pyharmony._images import frame, ground
from pyharmony.cli._pictures import PAIRS, load
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError

from ..blends import BLENDS, GRADIENTS, VARIANTS
from ..images.test_masks import said, scene
from ..shared import CLIPS

SHAPE = (40, 48)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
DISC = np.hypot(Y - 19.5, X - 23.5) < 12
SOFT_DISC = np.clip(1.3 - np.hypot(Y - 19.5, X - 23.5) / 11, 0, 1).astype(np.float32)
#: Where dst is unknown: what the disc covers, a part of it, more than it, specks in and beside it.
HOLES = {
    "under": DISC,
    "partly": DISC & (X > 20),
    "beyond": np.hypot(Y - 19.5, X - 30) < 16,
    "specks": (X * 7 + Y * 5) % 11 == 0,
}


def blended(name: str, *arguments: Any, **options: Any) -> Any:
    return blended_as(getattr(blend, name), *arguments, **options)


def blended_as(call: Any, *arguments: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)


def erased(dst: np.ndarray, unknown: np.ndarray) -> list[np.ndarray]:
    """Returns dst with other values where it is unknown: black, white, noise, and NaN where it is floats."""
    white = {"uint8": 255, "uint16": 65535}.get(dst.dtype.name, 1)
    noise = (np.random.default_rng(9).random(dst.shape) * white).astype(dst.dtype)
    values: list[Any] = [0, white, noise[unknown]]
    if dst.dtype.kind == "f":
        values += [np.nan, np.inf]
    results = [dst.copy() for _ in values]
    for result, value in zip(results, values, strict=True):
        result[unknown] = value
    return results


# ---- unknown pixels are not read ---------------------------------------------------------------------


def is_short(blend_at: int, hole_at: int, dtype: str) -> bool:
    """Returns whether a case is of the short form: a blend has floats with one hole, and integers with the next."""
    if dtype == "float32":
        return hole_at == blend_at % 4
    return hole_at == (blend_at + 1) % 4 and dtype == ("uint8", "uint16")[blend_at // 4 % 2]


@pytest.mark.parametrize(
    ("name", "options", "hole", "dtype"),
    [
        pytest.param(*one, hole, dtype, marks=() if is_short(i, j, dtype) else pytest.mark.full)
        for i, one in enumerate(VARIANTS)
        for j, hole in enumerate(HOLES)
        for dtype in ("uint8", "uint16", "float32")
    ],
)
def test_the_result_does_not_depend_on_what_is_stored_where_dst_is_unknown(name, options, hole, dtype):
    src, dst = scene(dtype=dtype)
    unknown = HOLES[hole]
    for mask in (DISC, SOFT_DISC):
        inside = mask > 0
        expected = blended(name, src, dst, mask, dst_valid=~unknown, **options)
        assert np.isfinite(expected[inside]).all()
        for given_dst in erased(dst, unknown):
            result = blended(name, src, given_dst, mask, dst_valid=~unknown, **options)
            np.testing.assert_array_equal(result[inside], expected[inside])
            np.testing.assert_array_equal(result[~inside], given_dst[~inside])
        into = given_dst.copy()  # the last: noise, or of floats infinity
        blended(name, src, into, mask, dst_valid=~unknown, out=into, **options)
        np.testing.assert_array_equal(into, result)


@given(st.integers(0, 2**32 - 1))
def test_it_does_not_depend_on_it_for_any_mask_and_hole(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(6, 40, 2)
    src, dst = scene(seed, (height, width), "float32")
    levels = ndimage.gaussian_filter(rng.random((2, height, width)), (0, 2, 2))
    mask, unknown = (plane > np.quantile(plane, rng.uniform(0.1, 0.9)) for plane in levels)
    unknown[rng.integers(height), rng.integers(width)] = False
    name, options = VARIANTS[rng.integers(len(VARIANTS))]
    if mask.all() or not mask.any():
        return
    expected = blended(name, src, dst, mask, dst_valid=~unknown, **options)
    other = erased(dst, unknown)[rng.integers(5)]
    result = blended(name, src, other, mask, dst_valid=~unknown, **options)
    changed_pixels = result.view(np.uint32) != other.view(np.uint32)
    np.testing.assert_array_equal(result[mask], expected[mask])
    assert (changed_pixels.any(2) <= ndimage.binary_dilation(mask, np.ones((7, 7)))).all()  # strips apart


def test_gp_gan_does_not_depend_on_it_either():
    pytest.importorskip("torch", reason="torch is not installed")
    src, dst = scene(shape=(96, 96))
    y, x = np.mgrid[:96, :96]
    mask = np.hypot(y - 48, x - 48) < 20
    unknown = np.hypot(y - 48, x - 52) < 24
    expected, *others = (blended("gp_gan", src, one, mask, dst_valid=~unknown) for one in (dst, *erased(dst, unknown)))
    for other in others:
        np.testing.assert_array_equal(other[mask], expected[mask])


@pytest.mark.parametrize("gradients", ["source", "monochrome"])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_under_a_hard_mask_unknown_means_all_of_the_guidance(gradients, dtype):
    """All of src's gradient at each edge is what the full contour asks for; nothing else of dst counts then."""
    src, dst = scene(2, dtype=dtype)
    unit = 1 if dtype == "uint8" else 255
    expected, proven = blended("poisson", src, dst, DISC, gradients=gradients, contour="full", return_info=True)
    result, info = blended("poisson", src, dst, DISC, gradients=gradients, dst_valid=~DISC, return_info=True)
    bound = proven.max_error + info.max_error + (1 if dtype == "uint8" else 0)
    assert np.abs(result.astype(np.float64) - expected).max() * unit <= bound
    assert info.max_error <= (0.25 if dtype == "uint8" else 1e-5)  # in levels of dst, not of the floats in between


def test_infos_are_in_levels_of_dst():
    src, dst = scene(2)
    for name in GRADIENTS:
        for valid in (None, ~DISC):
            info = blended(name, src, dst, DISC, dst_valid=valid, return_info=True)[1]
            assert 0 < info.max_error <= 0.25
            assert 0 < info.residual <= 1


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_where_all_of_dst_is_known_nothing_differs_or_is_filled(name, options, monkeypatch):
    src, dst = scene(3)
    expected = [blended(name, src, dst, mask, **options) for mask in (DISC, SOFT_DISC)]
    monkeypatch.setattr(ground, "fill", None)
    if (name, options) != ("gaussian_poisson", {"contour": "full"}):  # it hides what dst has under a hard mask
        monkeypatch.setattr(frame, "fill", None)
    for mask, plain in zip((DISC, SOFT_DISC), expected, strict=True):
        opaque = np.dstack([dst, np.full(SHAPE, 255, np.uint8)])
        faint = np.dstack([dst, np.full(SHAPE, 1, np.uint8)])
        far = np.ones(SHAPE, bool)
        if name != "laplacian":  # it reads farther
            far[:2, :2] = False
        for result in (
            blended(name, src, dst, mask, dst_valid=np.ones(SHAPE, bool), **options),
            blended(name, src, dst, mask, dst_valid=far, **options),
            blended(name, src, opaque, mask, **options)[..., :3],
            blended(name, src, faint, mask, **options)[..., :3],
        ):
            np.testing.assert_array_equal(result, plain)


def test_soft_pixels_take_the_nearest_known_colours():
    """A dark hole under a feathered object made a dark rim."""
    src = np.full((*SHAPE, 3), 200, np.uint8)
    dst = np.full((*SHAPE, 3), 90, np.uint8)
    dst[DISC] = 0
    result = blended("alpha", src, dst, SOFT_DISC, dst_valid=~DISC)
    expected = np.rint(SOFT_DISC[..., None] * 200.0 + (1 - SOFT_DISC[..., None]) * 90.0)
    assert np.abs(result - expected)[SOFT_DISC > 0].max() <= 1
    for name in BLENDS:
        result = blended(name, src, dst, SOFT_DISC, dst_valid=~DISC)
        assert result[SOFT_DISC > 0].min() >= 89


@pytest.mark.parametrize(
    ("name", "options", "before", "most"),
    [
        ("poisson", {}, 28, 3.5),
        ("poisson", {"contour": "full"}, 0, 0),
        ("gaussian_poisson", {}, 31, 4.5),
        ("gaussian_poisson", {"contour": "full"}, 0, 0),
        ("laplacian", {}, 31, 10),
        ("alpha", {}, 0, 0),
    ],
)
def test_the_cat_on_its_coffee_stays_a_cat(name, options, before, most):
    """The cat beside that on the true photograph; what is left is the step of dst across the contour, half of it."""
    src, dst, mask = (load(file) for file in PAIRS[1].files)
    mask, at = mask > 127, PAIRS[1].at
    true = blended(name, src, dst, mask, at=at, **options)
    hole = blend.placed_mask(src, dst, mask, at=at) > 0
    for value in (0, 128, 255):
        erased_dst = dst.copy()
        erased_dst[hole] = value
        off = np.abs(blended(name, src, erased_dst, mask, at=at, **options).astype(int) - true)[hole].mean()
        assert off >= before
        result = blended(name, src, erased_dst, mask, at=at, dst_valid=~hole, **options)
        assert np.abs(result.astype(int) - true)[hole].mean() <= most


# ---- how it is said ------------------------------------------------------------------------------------


def clear(dst: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Returns dst as RGBA with a hole."""
    return np.dstack([dst, np.where(unknown, 0, 255).astype(np.uint8)])


@pytest.mark.parametrize("name", BLENDS)
def test_every_kind_of_it_says_the_same(name, tmp_path):
    src, dst = scene(4)
    hole = HOLES["partly"]
    dst[hole] = 0
    expected = blended(name, src, dst, SOFT_DISC, dst_valid=~hole)
    valid = (~hole * 255).astype(np.uint8)
    Image.fromarray(valid).save(tmp_path / "valid.png")
    for one in (valid, valid.astype(bool), valid / 255, np.uint16(257) * valid, valid[..., None],
                Image.fromarray(valid), tmp_path / "valid.png", (tmp_path / "valid.png").read_bytes()):  # fmt: skip
        np.testing.assert_array_equal(blended(name, src, dst, SOFT_DISC, dst_valid=one), expected)
    result = blended(name, src, clear(dst, hole), SOFT_DISC)
    np.testing.assert_array_equal(result[..., :3], expected)
    np.testing.assert_array_equal(result[..., 3], over(SOFT_DISC, np.where(hole, 0, 255).astype(np.uint8), 255))
    picture = blended(name, src, Image.fromarray(clear(dst, hole)), SOFT_DISC)
    np.testing.assert_array_equal(np.asarray(picture), result)
    # Either of the two makes a pixel unknown.
    left = hole & (X < 24)
    both = blended(name, src, clear(dst, left), SOFT_DISC, dst_valid=~(hole & ~left))
    np.testing.assert_array_equal(both[..., :3], expected)


def test_batches_and_lists_have_one_or_one_each():
    src, dst = scene(5)
    hole = HOLES["under"]
    plain, holed = blended("poisson", src, dst, DISC), blended("poisson", src, dst, DISC, dst_valid=~hole)
    assert (plain != holed).any()
    each = np.stack([np.ones(SHAPE, bool), ~hole])
    pairs = np.stack([src, src]), np.stack([dst, dst])
    np.testing.assert_array_equal(blended("poisson", *pairs, DISC, dst_valid=each), np.stack([plain, holed]))
    np.testing.assert_array_equal(blended("poisson", *pairs, DISC, dst_valid=~hole), np.stack([holed, holed]))
    results = blended("poisson", src, [dst, dst], DISC, dst_valid=[None, ~hole])
    np.testing.assert_array_equal(np.stack(results), np.stack([plain, holed]))
    with pytest.raises(DTypeError, match="dst_valid: a list, expected one image"):
        blend.poisson(src, dst, DISC, dst_valid=[~hole])


def test_tensors_have_it_too():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    src, dst = scene(5)
    hole = HOLES["under"]
    expected = blended("gaussian_poisson", src, dst, DISC, dst_valid=~hole)
    images = [torch.from_numpy(np.ascontiguousarray(np.moveaxis(one, -1, 0))) for one in (src, dst)]
    for valid in (torch.from_numpy(~hole), torch.from_numpy(~hole)[None].float()):
        result = blended("gaussian_poisson", *images, torch.from_numpy(DISC), dst_valid=valid)
        np.testing.assert_array_equal(np.moveaxis(result.numpy(), 0, -1), expected)


def test_both_kinds_together_have_to_leave_something_known():
    src, dst = scene(6)
    valid = np.zeros(SHAPE, bool)
    valid[:10] = True
    transparent = np.dstack([dst, np.where(valid, 0, 255).astype(np.uint8)])
    for name in BLENDS:
        with pytest.raises(MaskError, match="dst_valid: zero wherever the alpha of dst is above zero"):
            getattr(blend, name)(src, transparent, DISC, dst_valid=valid)


def test_wrong_ones_are_refused():
    src, dst = scene(6)
    for wrong, kind, says in (
        (np.zeros(SHAPE, bool), MaskError, "dst_valid: zero everywhere"),
        (np.ones(SHAPE, np.uint8), MaskError, "dst_valid: uint8 with largest value 1"),
        (np.full(SHAPE, 2.0), MaskError, r"dst_valid: values from 2 to 2"),
        (np.ones((4, 4), bool), ShapeError, r"dst_valid: shape \[4, 4\], expected \[40, 48\]"),
        (np.ones(SHAPE, np.int64), DTypeError, "dst_valid: dtype int64"),
        (3, DTypeError, "dst_valid: int"),
    ):
        with pytest.raises(kind, match=says):
            blend.poisson(src, dst, DISC, dst_valid=wrong)  # type: ignore[arg-type]
    valid = np.ones((*SHAPE, 3), np.uint8)[..., 0] * np.uint8(255)
    floats = dst / 255
    floats[5, 5] = np.nan
    with pytest.raises(ArgumentError, match="dst: nan"):  # known, and read
        blend.poisson(src / 255, floats, np.pad(DISC[1:-1, 1:-1], 1) | (X == 5), dst_valid=valid)


def test_an_alpha_that_is_zero_everywhere_says_nothing():
    src, dst = scene(7)
    layer = clear(dst, np.ones(SHAPE, bool))
    for name in ("alpha", "poisson"):
        np.testing.assert_array_equal(blended(name, src, layer, SOFT_DISC)[..., :3], blended(name, src, dst, SOFT_DISC))


# ---- a dst that looks erased ---------------------------------------------------------------------------

SAYS = "and not around it, as if an object had been erased there"


def texture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return scene(seed, (120, 140))


LARGE_DISC = np.hypot(*(np.mgrid[:120, :140] - np.array([60, 70])[:, None, None])) < 35
LARGE_SOFT_DISC = np.clip(1.4 - np.hypot(*(np.mgrid[:120, :140] - np.array([60, 70])[:, None, None])) / 35, 0, 1)


@pytest.mark.parametrize("value", [0, pytest.param(128, marks=pytest.mark.full), 255])
@pytest.mark.parametrize("name", ["laplacian", "poisson", "gaussian_poisson"])
def test_an_erased_object_is_told_of_with_the_remedy(name, value):
    src, dst = texture()
    rng = np.random.default_rng(0)
    for mask in (LARGE_DISC, LARGE_SOFT_DISC):
        for noise in (0, 1):  # a JPEG's
            one = dst.copy()
            one[LARGE_DISC] = np.clip(value + rng.integers(-noise, noise + 1, (LARGE_DISC.sum(), 3)), 0, 255)
            (text,) = said(lambda one=one, mask=mask: getattr(blend, name)(src, one, mask))[1]
            assert text.startswith("dst: nearly one colour, (") and SAYS in text
            assert "mark unknown pixels: alpha 0, or False in dst_valid" in text
            assert said(lambda one=one, mask=mask: getattr(blend, name)(src, one, mask, dst_valid=~LARGE_DISC))[1] == []
            assert said(lambda one=one, mask=mask: getattr(blend, name)(src, clear(one, LARGE_DISC), mask))[1] == []


def test_what_does_not_count_is_not_told_of():
    src, dst = texture()
    dst[LARGE_DISC] = 0
    assert said(lambda: blend.poisson(src, dst, LARGE_DISC, contour="full"))[1] == []
    assert said(lambda: blend.gaussian_poisson(src, dst, LARGE_DISC, contour="full"))[1] == []
    assert said(lambda: blend.alpha(src, dst, LARGE_DISC))[1] == []
    assert len(said(lambda: blend.alpha(src, dst, LARGE_SOFT_DISC))[1]) == 1
    assert len(said(lambda: blend.alpha(src, dst, LARGE_DISC, feather=3))[1]) == 1


def test_a_cut_out_with_alpha_counts_dst_along_all_of_its_contour():
    """Edges from it lead to pixels that src does not have, which the full contour does not help."""
    src, dst, mask = (load(file) for file in PAIRS[1].files)
    cut, at = np.dstack([src[..., :3], (mask > 127) * np.uint8(255)]), PAIRS[1].at
    hole = blend.placed_mask(cut, dst, at=at) > 0
    empty = np.where(hole[..., None], np.uint8(0), dst)
    for name in GRADIENTS:
        for contour in ("half", "full"):

            def call(ground: np.ndarray, name: str = name, contour: str = contour, **options: Any) -> Any:
                return getattr(blend, name)(cut, ground, at=at, contour=contour, **options).astype(int)

            true = blended_as(call, dst)
            spoilt, texts = said(lambda call=call: call(empty))
            assert len(texts) == 1 and SAYS in texts[0]
            assert np.abs(spoilt - true)[hole].mean() > 100
            assert np.abs(blended_as(call, empty, dst_valid=~hole) - true)[hole].mean() < 8
    floats = np.where(hole[..., None], np.nan, dst / 255)
    with pytest.raises(ArgumentError, match="dst: nan"):
        blend.gaussian_poisson(cut / 255, floats, at=at, contour="full")


def test_nan_beside_what_is_read_does_no_harm():
    src, dst = scene(1, dtype="float64")
    dst[:3] = np.nan  # known, and farther from the mask than a solve reads
    for options in ({"dst_valid": ~DISC}, {"contour": "full"}):
        result = blended("poisson", src, dst, DISC, **options)
        assert np.isfinite(result[3:]).all()


def test_ordinary_photographs_are_not_told_of():
    src, dst = texture()
    flat = np.full_like(dst, 130)
    wall = dst // 16 + 100  # little texture everywhere
    sky = dst.copy()
    sky[:95] = 250  # the mask lies in the sky
    for one in (dst, flat, wall, sky):
        for mask in (LARGE_DISC, LARGE_SOFT_DISC):
            for name in BLENDS:
                assert said(lambda one=one, mask=mask, name=name: getattr(blend, name)(src, one, mask))[1] == []
    for pair in PAIRS:
        images = [load(file) for file in pair.files]
        assert said(lambda pair=pair, images=images: blend.poisson(*images, at=pair.at))[1] == []


@CLIPS
def test_a_clone_tells_of_it_and_takes_alpha():
    src, dst = texture(1)
    true = dst.copy()
    dst[LARGE_DISC] = 0
    mask = (LARGE_DISC * 255).astype(np.uint8)
    middle = (70, 60)

    def clone(image: np.ndarray) -> np.ndarray:
        return compat.seamlessClone(src, image, mask, middle, compat.NORMAL_CLONE_WIDE)

    spoilt, (text,) = said(lambda: clone(dst))
    assert text.startswith("dst: nearly one colour, (0, 0, 0), ") and "alpha 0" in text
    result, texts = said(lambda: clone(clear(dst, LARGE_DISC)))
    assert texts == []
    expected = clone(true).astype(int)
    assert np.abs(spoilt - expected)[LARGE_DISC].mean() > 4 * np.abs(result[..., :3] - expected)[LARGE_DISC].mean()
    assert (result[..., 3] == 255).all()  # what was erased is covered


# ---- the alpha of the result -------------------------------------------------------------------------

#: The alphas of dst over which an object lies, as shares.
DST_ALPHAS = {
    "clear": np.zeros(SHAPE),
    "clear on one side": (X > 24).astype(float),
    "erased": (~HOLES["beyond"]).astype(float),
    "of every degree": X / X.max(),
    "opaque": np.ones(SHAPE),
}


def over(mask: np.ndarray, alpha: np.ndarray, white: float) -> np.ndarray:
    """Returns the alpha of a mask from 0 to 1 over an alpha of a dtype, where the mask is above 0."""
    m = mask.astype(np.float64)
    values = m * white + (1 - m) * alpha
    result = (np.rint(values) if white > 1 else values).astype(alpha.dtype)
    return np.where(m > 0, result, alpha)


@pytest.mark.parametrize("under", DST_ALPHAS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("name", BLENDS)
def test_an_object_lies_over_the_alpha_of_dst(name: str, dtype: str, under: str) -> None:
    src, dst = scene(dtype=dtype)
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    alpha = (DST_ALPHAS[under] * white).astype(dtype)
    rgba = np.dstack([dst, alpha])
    for mask in (DISC, SOFT_DISC):
        expected = over(mask, alpha, white)
        result = blended(name, src, rgba, mask)
        np.testing.assert_allclose(result[..., 3], expected, rtol=0, atol=0 if white > 1 else 1e-6)
        np.testing.assert_array_equal(result[mask == 0], rgba[mask == 0])
        with_alpha = blended(name, src, rgba, mask, keep_alpha=True)
        np.testing.assert_array_equal(with_alpha[..., 3], alpha)
        np.testing.assert_array_equal(with_alpha[..., :3], result[..., :3])
        into = rgba.copy()
        blended(name, src, into, mask, out=into)
        np.testing.assert_array_equal(into, result)
        soft = (255 * mask).astype(np.uint8)
        item = {"src": src, "mask": soft, "method": name}
        np.testing.assert_array_equal(blended_as(blend.paste_many, rgba, [item]), blended(name, src, rgba, soft))


def test_an_object_lies_over_the_alpha_of_a_tensor_and_of_a_picture() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    src, dst = scene()
    rgba = np.dstack([dst, np.uint8(255) * (X > 24)])
    expected = blended("alpha", src, rgba, DISC)
    assert (expected[..., 3][DISC] == 255).all()
    result_ = blended("alpha", *(torch.from_numpy(x).movedim(-1, 0) for x in (src, rgba)), torch.from_numpy(DISC))
    np.testing.assert_array_equal(result_.movedim(0, -1).numpy(), expected)
    picture = blended("alpha", Image.fromarray(src), Image.fromarray(rgba), Image.fromarray(np.uint8(255) * DISC))
    np.testing.assert_array_equal(np.asarray(picture), expected)
    opposite = blended_as(compat.seamlessClone, src, rgba, DISC, (24, 20), compat.NORMAL_CLONE_WIDE)
    assert (opposite[..., 3][DISC] == 255).all() and (opposite[..., 3][~DISC] == rgba[..., 3][~DISC]).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_subject_lies_over_the_alpha_of_the_background(dtype: str) -> None:
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    _, dst = scene(dtype=dtype)
    rgba = np.dstack([dst, (DST_ALPHAS["clear on one side"] * white).astype(dtype)])
    subject = np.dstack([dst[::-1], (SOFT_DISC * white).astype(dtype)])
    options = {"at": (0, 0), "scale": 1, "angle": 0, "harmonize": None, "shadow": False, "people": []}
    result = blended_as(pyharmony.compose, subject, rgba, **options)
    assert (result[..., 3][DISC & (SOFT_DISC == 1)] == white).all()
    np.testing.assert_array_equal(result[..., 3][SOFT_DISC == 0], rgba[..., 3][SOFT_DISC == 0])
    with_alpha = blended_as(pyharmony.compose, subject, rgba, keep_alpha=True, **options)
    np.testing.assert_array_equal(with_alpha[..., 3], rgba[..., 3])
    np.testing.assert_array_equal(with_alpha[..., :3], result[..., :3])
