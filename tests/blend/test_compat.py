"""compat.seamlessClone beside cv2.seamlessClone: the same call, the same place, and results where OpenCV has none."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.fft
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage

from pyharmony import blend as blends
from pyharmony import compat
from pyharmony.compat import seamlessClone
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError, UnchangedWarning
from pyharmony.reference import poisson as reference

from ..shared import CLIPS, FLOODS, closed

FLAGS = {
    "NORMAL_CLONE": ("source", False),
    "MIXED_CLONE": ("mixed", False),
    "MONOCHROME_TRANSFER": ("monochrome", False),
    "NORMAL_CLONE_WIDE": ("source", True),
    "MIXED_CLONE_WIDE": ("mixed", True),
    "MONOCHROME_TRANSFER_WIDE": ("monochrome", True),
}
#: The error of the default tolerance for uint8, and of rounding to nearest, in levels.
OURS = 0.25 + 0.5
#: OpenCV cuts its decimals off, and transforms in float32: some 1e-4 of 255 on boxes of 300 pixels.
THEIRS = 1.05


@pytest.fixture(scope="module")
def cv2() -> ModuleType:
    module: ModuleType = pytest.importorskip("cv2", reason="OpenCV is not installed")
    return module


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns src [40, 50, 3], dst [70, 80, 3] and a mask inside src, 22 x 16 at (9, 13)."""
    rng = np.random.default_rng(3)
    src, dst = (rng.integers(30, 226, (*shape, 3), np.uint8) for shape in ((40, 50), (70, 80)))
    mask = np.zeros((40, 50), np.uint8)
    mask[13:29, 9:31] = 255
    mask[13:16, 9:12] = 0
    return src, dst, mask


def picture(path: Path) -> np.ndarray:
    """Returns [H, W, 3] in BGR, or a mask [H, W], as cv2.imread does."""
    from PIL import Image

    with Image.open(path) as image:
        a = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    return a if a.ndim == 2 else np.ascontiguousarray(a[..., ::-1])


def photographs(data_dir: Path) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    folders = sorted(path for path in (data_dir / "blending").iterdir() if path.is_dir())
    assert len(folders) >= 7
    return [
        (f.name, picture(f / "src.jpg"), picture(f / "dst.jpg"), picture(f / "mask.png"))  #
        for f in folders
    ]


def inner_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns x, y, width and height of the mask above zero, its outermost pixels left out."""
    ys, xs = np.nonzero(mask[1:-1, 1:-1])
    return int(xs.min()) + 1, int(ys.min()) + 1, int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


def corner(mask: np.ndarray, p: tuple[int, int], wide: bool) -> tuple[int, int]:
    """Returns where the first pixel of src lands, by OpenCV's rule."""
    x, y, w, h = (0, 0, mask.shape[1], mask.shape[0]) if wide else inner_box(mask)
    return p[0] - w // 2 - x, p[1] - h // 2 - y


def opencv_equation(src: Any, dst: Any, mask: Any, p: Any, flags: int) -> np.ndarray:
    """Solves what OpenCV 5 computes, in float64, which is not the Dirichlet problem on the mask.

    The whole bounding box of the mask is solved, with dst on the outermost pixels of the box. The
    gradients are those of src where the mask, eroded by three pixels, is set, and of dst
    elsewhere; src is black outside the mask. Mixed compares |gx - gy| for each pixel and channel.
    """
    mask = mask.copy()
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    x, y, w, h = inner_box(mask)
    left, top = corner(mask, p, flags >= 8)
    box = np.s_[top + y : top + y + h, left + x : left + x + w]
    inside = mask[y : y + h, x : x + w, None]
    d = dst[box].astype(np.float64)
    s = np.where(inside > 0, src[y : y + h, x : x + w], 0).astype(np.float64)
    if flags & 7 == compat.MONOCHROME_TRANSFER:
        s = np.repeat(np.rint(s @ [0.114, 0.587, 0.299])[..., None], 3, axis=2)

    def forward(a: np.ndarray, axis: int) -> np.ndarray:
        return np.diff(a, axis=axis, append=np.take(a, [-2], axis))

    v = [forward(s, 0), forward(s, 1)]
    base = [forward(d, 0), forward(d, 1)]
    if flags & 7 == compat.MIXED_CLONE:
        stronger = np.abs(v[1] - v[0]) > np.abs(base[1] - base[0])
        v = [np.where(stronger, a, b) for a, b in zip(v, base, strict=True)]
    eroded = ndimage.minimum_filter(mask, 7, mode="constant", cval=255)[y : y + h, x : x + w, None] / 255.0
    v = [eroded * a + (1 - eroded) * b for a, b in zip(v, base, strict=True)]
    right = sum(np.diff(a, axis=axis, prepend=0) for axis, a in enumerate(v))
    boundary = d.copy()
    boundary[1:-1, 1:-1] = 0
    right = right - ndimage.convolve(boundary, np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[..., None], mode="constant")
    cosines = [2 * np.cos(np.pi * np.arange(1, n - 1) / (n - 1)) for n in (h, w)]
    spectrum = scipy.fft.dstn(right[1:-1, 1:-1], type=1, axes=(0, 1))
    spectrum /= (cosines[0][:, None] + cosines[1] - 4)[..., None]
    result = dst.astype(np.float64)
    d[1:-1, 1:-1] = scipy.fft.idstn(spectrum, type=1, axes=(0, 1))
    result[box] = d
    return result


# ---- the place --------------------------------------------------------------------------------


def random_mask(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Returns a mask of odd or even sizes, often at the border, with a pixel deep inside it."""
    mask = np.zeros((height, width), np.uint8)
    y, x = rng.integers(5, height - 5), rng.integers(5, width - 5)
    mask[y - 5 : y + 6, x - 5 : x + 6] = 255  # is not eroded away
    for _ in range(rng.integers(0, 4)):
        top, left = rng.integers(0, height - 2), rng.integers(0, width - 2)
        mask[top : top + rng.integers(1, height), left : left + rng.integers(1, width)] = rng.choice([1, 90, 255])
    if rng.random() < 0.5:
        mask[rng.random(mask.shape) < 0.03] = 255
    mask[y - 5 : y + 6, x - 5 : x + 6] = 255
    return mask, (int(y), int(x))


@pytest.mark.filterwarnings("ignore::pyharmony.errors.MaskWarning", "ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.large
def test_a_spike_lands_where_opencv_puts_it(cv2: ModuleType) -> None:
    rng = np.random.default_rng(0)
    compared = refusals = 0
    for _ in range(600):
        height, width = rng.integers(14, 45, 2)
        tall, broad = rng.integers(50, 90, 2)
        mask, spike = random_mask(rng, height, width)
        p = int(rng.integers(0, broad)), int(rng.integers(0, tall))
        flags = int(rng.choice([1, 2, 3, 9, 10, 11]))
        src, dst = np.full((height, width, 3), 100, np.uint8), np.full((tall, broad, 3), 100, np.uint8)
        src[spike] = 230

        def peak(result: np.ndarray) -> tuple[int, ...]:
            return tuple(np.unravel_index(result[..., 1].argmax(), result.shape[:2]))

        ours = seamlessClone(src, dst, mask, p, flags)
        try:
            theirs = cv2.seamlessClone(src, dst, mask.copy(), p, flags)
        except cv2.error:  # the box leaves dst
            refusals += 1
            continue
        compared += 1
        x, y = corner(mask, p, flags >= 8)
        assert peak(ours) == peak(theirs) == (spike[0] + y, spike[1] + x), (mask.shape, p, flags)
    assert compared >= 250
    assert refusals >= 100


@pytest.mark.parametrize("height", [12, 13])
@pytest.mark.parametrize("width", [14, 15])
def test_halves_are_rounded_as_opencv_does(cv2: ModuleType, height: int, width: int) -> None:
    src, dst, mask = np.full((30, 31, 3), 90, np.uint8), np.full((60, 61, 3), 90, np.uint8), np.zeros((30, 31), "u1")
    mask[7 : 7 + height, 9 : 9 + width] = 255
    src[12, 15] = 250
    for p in ((30, 30), (31, 29)):
        for flags in (compat.NORMAL_CLONE, compat.NORMAL_CLONE_WIDE):
            at = seamlessClone(src, dst, mask, p, flags).max(axis=2).argmax()
            assert at == cv2.seamlessClone(src, dst, mask.copy(), p, flags).max(axis=2).argmax()


# ---- the colours ------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", FLAGS)
def test_it_is_blend_poisson_at_opencvs_place(pair: Any, flag: str) -> None:
    src, dst, mask = pair
    gradients, wide = FLAGS[flag]
    at = corner(mask, (37, 33), wide)
    result = seamlessClone(src, dst, mask, (37, 33), getattr(compat, flag))
    rgb = (src[..., ::-1], dst[..., ::-1])
    assert np.array_equal(result[..., ::-1], blends.poisson(*rgb, mask, at=at, gradients=gradients))
    assert result.flags.c_contiguous


def test_monochrome_weighs_blue_green_and_red_as_opencv_does(cv2: ModuleType) -> None:
    """The texture of each channel is pasted by itself: its luma goes into all three."""
    rng = np.random.default_rng(1)
    mask = np.zeros((40, 40), np.uint8)
    mask[8:32, 8:32] = 255
    dst = np.full((40, 40, 3), 128, np.uint8)
    for channel, weight in enumerate((0.114, 0.587, 0.299)):
        src = np.zeros((40, 40, 3), np.uint8)
        src[14:26, 14:26, channel] = rng.integers(0, 120, (12, 12))  # black at the contour: no membrane
        expected = 128 + weight * src[..., channel, None]
        ours = seamlessClone(src, dst, mask, (20, 20), compat.MONOCHROME_TRANSFER)
        theirs = cv2.seamlessClone(src, dst, mask.copy(), (20, 20), cv2.MONOCHROME_TRANSFER)
        assert np.abs(ours - expected).max() <= OURS
        assert np.abs(theirs - expected).max() <= THEIRS + 0.5  # its luma is rounded


@pytest.mark.large
@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.full)])
def test_ours_solves_the_mask_and_opencv_its_box(cv2: ModuleType, data_dir: Path, count: int) -> None:
    """Each is right for its own equation, and the difference between them is that of the equations."""
    small = [pair for pair in photographs(data_dir) if np.prod(inner_box(pair[3])[2:]) < 25_000]  # for the definition
    assert len(small) >= 3
    for name, src, dst, mask in sorted(small, key=lambda pair: np.prod(inner_box(pair[3])[2:]))[:count]:
        x, y, w, h = inner_box(mask)
        p = (x + w // 2, y + h // 2)
        for flags in (compat.NORMAL_CLONE, compat.MIXED_CLONE, compat.MONOCHROME_TRANSFER):
            theirs = cv2.seamlessClone(src, dst, mask.copy(), p, flags)
            exact = np.clip(opencv_equation(src, dst, mask, p, flags), 0, 255)
            assert np.abs(theirs - exact).max() <= THEIRS, (name, flags)
        around = np.s_[y - 1 : y + h + 1, x - 1 : x + w + 1]
        s, d, m = (a[around].astype(float) for a in (src, dst, mask))
        ours = seamlessClone(src, dst, mask, p, compat.NORMAL_CLONE)[around]
        assert np.abs(ours - np.clip(reference.poisson(s, d, m / 255), 0, 255)).max() <= OURS, name


@FLOODS
@pytest.mark.large
@pytest.mark.parametrize("slope", [0.0, 0.25, 0.5, 1.0])
def test_both_agree_on_smooth_pairs(cv2: ModuleType, slope: float) -> None:
    """src is dst plus a texture amid the mask and a difference of colour of that slope, in levels a pixel.

    OpenCV takes the gradients of dst in four pixels along the border of its box (an erosion by
    three, and the fixed outermost ones), where the colours of the two go apart by four slopes.
    """
    y, x = np.mgrid[:140, :171]
    rng = np.random.default_rng(5)
    dst = np.stack([120 + 20 * np.sin(y / 40 + c) + 15 * np.cos(x / 50 - c) for c in range(3)], axis=2)
    window = np.clip((50 - np.hypot(y - 70, x - 85)) / 25, 0, 1)[..., None]
    difference = 20 + slope * 60 / np.sqrt(2) * np.sin(x / 60 + y / 60)[..., None]
    src = dst + difference + window * rng.normal(0, 10, dst.shape)
    src, dst = (np.rint(np.clip(a, 0, 255)).astype(np.uint8) for a in (src, dst))
    mask = np.zeros((140, 171), np.uint8)
    mask[10:130, 12:160] = 255
    p = (86, 70)
    ours = seamlessClone(src, dst, mask, p, compat.NORMAL_CLONE).astype(int)
    theirs = cv2.seamlessClone(src, dst, mask.copy(), p, cv2.NORMAL_CLONE)
    assert np.abs(ours - theirs).max() <= np.ceil(4 * slope + OURS + THEIRS)


#: The call in OpenCV's samples and in the tutorials that most code comes from.
CALL_FORMS = {
    "cloning_demo: colour mask, middle of dst, flag as a number": (
        lambda cv2, clone, s, d, m, p: clone(s, d, np.dstack([m, m, m]), p, 1),
        1,
    ),
    "cloning_demo, mixed": (lambda cv2, clone, s, d, m, p: clone(s, d, np.dstack([m, m, m]), p, 2), 2),
    "cloning_demo, monochrome": (lambda cv2, clone, s, d, m, p: clone(s, d, np.dstack([m, m, m]), p, 3), 3),
    "cloning_gui: a plane": (lambda cv2, clone, s, d, m, p: clone(s, d, m.copy(), p, cv2.NORMAL_CLONE), 1),
    "face swap: uint8 made of floats, keywords": (
        lambda cv2, clone, s, d, m, p: clone(
            np.uint8(s.astype(float)), d, mask=m.copy(), p=p, flags=cv2.MONOCHROME_TRANSFER
        ),
        3,
    ),
    "C++ order of results: an array to write into": (
        lambda cv2, clone, s, d, m, p: clone(s, d, m.copy(), p, cv2.NORMAL_CLONE, np.empty_like(d)),
        1,
    ),
}


@CLIPS
@FLOODS
@pytest.mark.large
@pytest.mark.parametrize("form", CALL_FORMS)
def test_opencvs_example_calls(cv2: ModuleType, data_dir: Path, form: str) -> None:
    """Nothing but the function's name changes. Deep in the mask both have the Laplacian of src.

    There they differ by a harmonic function, the equations' membranes. A Laplacian weighs errors by
    8 at most: ours 0.75 of a level, theirs half a level about its mean, and half in its rounded luma.
    """
    call, flags = CALL_FORMS[form]
    # The first form is tried on all photographs, each other one on one.
    at = list(CALL_FORMS).index(form)
    for name, src, dst, mask in photographs(data_dir)[slice(None) if at == 0 else slice(at, at + 1)]:
        x, y, w, h = inner_box(mask)
        p = (int(x + w // 2), int(y + h // 2))
        ours, theirs = (call(cv2, clone, src, dst, mask, p) for clone in (seamlessClone, cv2.seamlessClone))
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert np.array_equal(ours[closed(mask) == 0], dst[closed(mask) == 0])
        if flags == compat.MIXED_CLONE:
            continue  # other edges are chosen
        deep = ndimage.binary_erosion(mask == 255, np.ones((3, 3)), iterations=5)[..., None]
        unclipped = np.ones(ours.shape, bool)
        for a in (ours, theirs):
            unclipped &= ndimage.minimum_filter(a, (3, 3, 1)) > 0
            unclipped &= ndimage.maximum_filter(a, (3, 3, 1)) < 255
        cross = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[..., None]
        difference = np.abs(ndimage.convolve(ours.astype(int) - theirs, cross))
        assert difference[deep & unclipped].max() <= 8 * (OURS + 0.5 + 0.5 * (flags == 3)), name


@CLIPS
@FLOODS
@pytest.mark.parametrize("flags", [1, 2])
def test_the_tutorials_mask_of_all_ones(cv2: ModuleType, data_dir: Path, flags: int) -> None:
    """obj goes into the middle of im: mask = 255 * ones(obj.shape), center = half of im's size."""
    _, obj, im, _ = photographs(data_dir)[0]
    obj = obj[100:301, 150:350]
    mask = 255 * np.ones(obj.shape, obj.dtype)
    center = (im.shape[1] // 2, im.shape[0] // 2)
    ours = seamlessClone(obj, im, mask, center, flags)
    theirs = cv2.seamlessClone(obj, im, mask.copy(), center, flags)
    x, y = center[0] - 100, center[1] - 100
    outside = np.ones(im.shape[:2], bool)
    outside[y : y + 201, x : x + 200] = False
    assert np.array_equal(ours[outside], im[outside])
    assert np.array_equal(theirs[outside], im[outside])
    assert (ours[~outside] != im[~outside]).mean() > 0.9


# ---- where OpenCV 5 throws -----------------------------------------------------------------------


def rows(top: int, bottom: int) -> np.ndarray:
    mask = np.zeros((40, 50), np.uint8)
    mask[top:bottom, 9:31] = 255
    return mask


def columns(left: int, right: int) -> np.ndarray:
    mask = np.zeros((40, 50), np.uint8)
    mask[7:31, left:right] = 255
    return mask


OPENCV_ERRORS = {
    "one row": (rows(13, 14), (40, 35)),
    "two rows": (rows(13, 15), (40, 35)),
    "two rows at the top border": (rows(0, 2), (40, 35)),
    "three rows at the top border": (rows(0, 3), (40, 35)),
    "two rows at the bottom border": (rows(38, 40), (40, 35)),
    "three columns at the left border": (columns(0, 3), (40, 35)),
    "one pixel": (rows(13, 14) * (np.arange(50) == 20), (40, 35)),
    "left of dst in part": (rows(10, 30), (5, 35)),
    "below dst in part": (rows(10, 30), (40, 65)),
    "beyond a corner": (rows(10, 30), (0, 0)),
    "outside altogether": (rows(10, 30), (-200, 500)),
    "bool": (rows(10, 30) > 0, (40, 35)),
    "float32": (rows(10, 30).astype(np.float32) / 255, (40, 35)),
    "uint16": (rows(10, 30).astype(np.uint16) * 257, (40, 35)),
}


@pytest.mark.filterwarnings(
    "ignore::pyharmony.errors.ClippedWarning",
    "ignore::pyharmony.errors.FloodedWarning",
    "ignore::pyharmony.errors.UnchangedWarning",
)
@pytest.mark.parametrize("case", OPENCV_ERRORS)
@pytest.mark.parametrize("flags", [1, 2, 3])
def test_where_opencv_throws(cv2: ModuleType, pair: Any, case: str, flags: int) -> None:
    src, dst, _ = pair
    mask, p = OPENCV_ERRORS[case]
    with pytest.raises(cv2.error):
        cv2.seamlessClone(src, dst, mask.copy(), p, flags)
    at = corner(mask, p, False)
    expected = blends.poisson(
        src[..., ::-1], dst[..., ::-1], mask, at=at, gradients=("source", "mixed", "monochrome")[flags - 1]
    )[..., ::-1]
    result = seamlessClone(src, dst, mask, p, flags)
    assert np.array_equal(result, expected)
    assert (result != dst).any() == (case != "outside altogether")


@pytest.mark.house  # OpenCV reads beyond its arrays before it refuses them, which AddressSanitizer ends
def test_images_that_opencv_refuses(cv2: ModuleType, pair: Any) -> None:
    src, dst, mask = pair
    grey = seamlessClone(src[..., 1], dst[..., 1], mask, (37, 33), 1)
    with pytest.raises(cv2.error):
        cv2.seamlessClone(src[..., 1].copy(), dst[..., 1].copy(), mask.copy(), (37, 33), 1)
    whole = seamlessClone(src, dst, mask, (37, 33), 1)
    assert np.array_equal(grey, whole[..., 1])
    assert np.array_equal(seamlessClone(src[..., 1:2], dst[..., 1:2], mask, (37, 33), 1), whole[..., 1:2])
    with pytest.raises(cv2.error):  # src is larger
        cv2.seamlessClone(dst, src, np.full(dst.shape[:2], 255, np.uint8), (25, 20), 1)
    result = seamlessClone(dst, src, np.full(dst.shape[:2], 255, np.uint8), (25, 20), 1)
    assert np.array_equal(result[[0, -1]], src[[0, -1]])


def test_a_mask_on_the_border_only() -> None:
    """OpenCV drops the outermost pixels of a mask, and gives dst back."""
    rng = np.random.default_rng(4)
    src, dst = (rng.integers(0, 256, (*shape, 3), np.uint8) for shape in ((12, 15), (30, 40)))
    mask = np.zeros((12, 15), np.uint8)
    mask[0, 3:9] = 255
    result = seamlessClone(src, dst, mask, (20, 10), 1)
    assert np.array_equal(result, blends.poisson(src, dst, mask, at=(20 - 3 - 3, 10)))
    changed = (result != dst).any(axis=2)
    assert changed[10, 17:23].any()
    assert not np.delete(changed, 10, axis=0).any()


@pytest.mark.filterwarnings("ignore::pyharmony.errors.ClippedWarning", "ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.parametrize("flags", [1, 2, 3, 9])
def test_all_of_dst_but_its_outermost_pixels(cv2: ModuleType, flags: int) -> None:
    rng = np.random.default_rng(6)
    src, dst = (rng.integers(0, 256, (31, 40, 3), np.uint8) for _ in range(2))
    mask = np.full((31, 40), 255, np.uint8)
    framed = np.zeros_like(mask)
    framed[1:-1, 1:-1] = 255
    assert cv2.seamlessClone(src, dst, mask.copy(), (20, 15), flags).shape == dst.shape
    for given_mask in (mask, None):
        result = seamlessClone(src, dst, given_mask, (20, 15), flags)
        gradients = ("source", "mixed", "monochrome")[(flags & 7) - 1]
        expected = blends.poisson(src[..., ::-1], dst[..., ::-1], framed, at=(0, 0), gradients=gradients)
        assert np.array_equal(result[..., ::-1], expected)
    assert (mask == 255).all()
    tiny = np.full((1, 5, 3), 9, np.uint8)
    assert np.array_equal(seamlessClone(src, tiny, mask, (2, 0), flags), tiny)


def test_an_empty_mask_gives_a_copy(pair: Any) -> None:
    src, dst, mask = pair
    with pytest.warns(UnchangedWarning, match="mask is zero everywhere"):
        result = seamlessClone(src, dst, np.zeros_like(mask), (37, 33), 1)
    assert np.array_equal(result, dst)
    assert not np.may_share_memory(result, dst)


# ---- masks ------------------------------------------------------------------------------------


def test_forms_of_a_mask_are_alike(pair: Any) -> None:
    src, dst, mask = pair
    expected = seamlessClone(src, dst, mask, (37, 33), 1)
    forms = {
        "[H, W, 1]": mask[..., None],
        "three channels": np.dstack([mask] * 3),
        "BGRA, alpha without effect": np.dstack([mask] * 3 + [np.zeros_like(mask)]),
        "bool": mask > 0,
        "bool, three channels": np.dstack([mask > 0] * 3),
        "ones": mask // 255,
        "ones, three channels": np.dstack([mask // 255] * 3),
        "ones, uint16": (mask // 255).astype(np.uint16),
        "uint16": mask.astype(np.uint16) * 257,
        "float": mask / 255.0,
        "float, three channels": np.dstack([mask / 255.0] * 3),
        "a view of every other pixel": np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)[::2, ::2],
        "turned twice": mask[::-1, ::-1].copy()[::-1, ::-1],
    }
    for form, given_mask in forms.items():
        assert np.array_equal(seamlessClone(src, dst, given_mask, (37, 33), 1), expected), form


def test_levels_between_weigh_the_gradients(cv2: ModuleType) -> None:
    """128 of 255 takes half the gradients of src and half those of dst, in OpenCV too."""
    src, dst, mask = np.full((30, 30, 3), 90, np.uint8), np.full((60, 60, 3), 50, np.uint8), np.zeros((30, 30), "u1")
    src[12:18, 12:18] = 190  # the only gradients
    mask[2:28, 2:28] = 128
    for clone, error in ((seamlessClone, OURS), (cv2.seamlessClone, THEIRS)):
        result = clone(src, dst, mask.copy(), (30, 30), 1)[..., 0].astype(float)
        assert abs(result[30, 30] - (50 + 100 * 128 / 255)) <= error


@pytest.mark.filterwarnings("ignore::pyharmony.errors.MaskWarning")
def test_a_coloured_mask_counts_by_its_luma(pair: Any) -> None:
    src, dst, mask = pair
    coloured = np.dstack([mask, mask // 3, 0 * mask])
    luma = np.rint(coloured @ [0.114, 0.587, 0.299]).astype(np.uint8)
    expected = seamlessClone(src, dst, luma, (37, 33), 1)
    assert np.array_equal(seamlessClone(src, dst, coloured, (37, 33), 1), expected)
    any_of = seamlessClone(src, dst, np.dstack([mask > 0, 0 * mask > 0, 0 * mask > 0]), (37, 33), 1)
    assert np.array_equal(any_of, seamlessClone(src, dst, mask, (37, 33), 1))


@CLIPS
def test_inputs_are_never_changed(pair: Any) -> None:
    """They are not, although OpenCV 5.0 erodes and inverts the mask that it is given."""
    src, dst, mask = pair
    for given_mask in (mask, np.dstack([mask] * 3), mask // 255, np.full_like(mask, 255)):
        arguments = [a.copy() for a in (src, dst, given_mask)]
        for a in arguments:
            a.flags.writeable = False
        for flags in (1, 2, 3, 9, 10, 11):
            seamlessClone(*arguments, (37, 33), flags)
        for a, b in zip(arguments, (src, dst, given_mask), strict=True):
            assert np.array_equal(a, b)


# ---- kinds of images ---------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_every_dtype(pair: Any, dtype: str, flags: int) -> None:
    """The same image in any dtype gives the same, to the tolerance and rounding of both (in 8-bit levels)."""
    src, dst, mask = pair
    scale = {"uint8": 1, "uint16": 257}.get(dtype, 1 / 255)
    s, d = ((a * np.float64(scale)).astype(dtype) for a in (src, dst))
    result = seamlessClone(s, d, mask, (37, 33), flags)
    assert (result.dtype, result.shape) == (d.dtype, d.shape)
    exact = seamlessClone(src / 255.0, dst / 255.0, mask, (37, 33), flags) * 255
    if dtype[0] == "u":
        exact = np.clip(exact, 0, 255)
    largest = max(float(np.abs(exact).max()), 255.0)
    error = {"uint8": OURS, "uint16": 0.01, "float16": 0.025 + 8 * largest * 2.0**-11}.get(dtype, 0.03)
    if not (flags == compat.MIXED_CLONE and dtype == "float16"):  # rounding chooses other edges
        assert np.abs(result / scale - exact).max() <= error


def test_bgra(pair: Any) -> None:
    """The alpha of src multiplies the mask and lies over that of dst, in all kinds of cloning."""
    src, dst, mask = pair
    rng = np.random.default_rng(8)
    alpha_of_dst = rng.integers(1, 256, dst.shape[:2], np.uint8)  # at 0 dst is unknown
    opaque, clear = np.full(src.shape[:2], 255, np.uint8), mask
    for flags in (1, 2, 3):
        expected = seamlessClone(src, dst, mask, (37, 33), flags)
        result = seamlessClone(np.dstack([src, opaque]), np.dstack([dst, alpha_of_dst]), mask, (37, 33), flags)
        assert np.array_equal(result[..., :3], expected)
        x, y = corner(mask, (37, 33), False)
        inside = blends.placed_mask(src, dst, mask, at=(x, y)) / 255
        assert np.array_equal(result[..., 3], np.rint(255 * inside + (1 - inside) * alpha_of_dst).astype(np.uint8))
        cut = seamlessClone(np.dstack([src, clear]), dst, None, (37, 33), flags)
        at = corner(np.ones_like(mask), (37, 33), False)
        rgba = np.dstack([src[..., ::-1], clear])
        gradients = ("source", "mixed", "monochrome")[flags - 1]
        assert np.array_equal(cut[..., ::-1], blends.poisson(rgba, dst[..., ::-1], at=at, gradients=gradients))


def test_strides_do_not_matter(pair: Any) -> None:
    src, dst, mask = pair
    for flags in (1, 2, 3):
        expected = seamlessClone(src, dst, mask, (37, 33), flags)
        for turn in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1].copy()[::-1]):
            result = seamlessClone(turn(src), turn(dst), turn(mask), (37, 33), flags)
            assert np.array_equal(result, expected)
            assert result.flags.c_contiguous


# ---- the array to write into -------------------------------------------------------------------


@CLIPS
@pytest.mark.parametrize("flags", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_blend_is_written_and_returned(pair: Any, flags: int, channels: int) -> None:
    rng = np.random.default_rng(9)
    src, dst = (rng.integers(0, 256, (*a.shape[:2], channels), np.uint8) for a in pair[:2])
    mask = pair[2]
    expected = seamlessClone(src, dst, mask, (37, 33), flags)
    out = np.zeros_like(dst)
    assert seamlessClone(src, dst, mask, (37, 33), flags, out) is out
    assert np.array_equal(out, expected)
    spaced = np.zeros((70, 160, channels), np.uint8)
    seamlessClone(src, dst, mask, (37, 33), flags, blend=spaced[:, ::2])
    assert np.array_equal(spaced[:, ::2], expected)
    assert not spaced[:, 1::2].any()
    assert seamlessClone(src, dst, mask, (37, 33), flags, dst) is dst
    assert np.array_equal(dst, expected)


# ---- flags and mistakes --------------------------------------------------------------------------


def test_the_constants_are_opencvs(cv2: ModuleType) -> None:
    assert set(FLAGS) == set(compat.__all__) - {"seamlessClone"}
    for flag in FLAGS:
        assert getattr(compat, flag) == getattr(cv2, flag)


SRC, DST, MASK = np.zeros((8, 9, 3), np.uint8), np.zeros((20, 21, 3), np.uint8), np.full((8, 9), 255, np.uint8)
READ_ONLY = DST.copy()
READ_ONLY.flags.writeable = False

#: Arguments that differ from a right call, with the error and what its message says.
MISTAKES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "flags 0": ({"flags": 0}, ArgumentError, r"flags: 0, expected NORMAL_CLONE \(1\)"),
    "flags 4": ({"flags": 4}, ArgumentError, "flags: 4"),
    "flags 17": ({"flags": 17}, ArgumentError, "flags: 17"),
    "flags -1": ({"flags": -1}, ArgumentError, "flags: -1"),
    "flags as text": ({"flags": "mixed"}, DTypeError, "flags: str 'mixed'"),
    "flags 1.0": ({"flags": 1.0}, DTypeError, "flags: float"),
    "flags True": ({"flags": True}, DTypeError, "flags: bool"),
    "p half a pixel": ({"p": (4.5, 4)}, ArgumentError, r"p: \(4.5, 4\), expected \(x, y\)"),
    "p nan": ({"p": (float("nan"), 4)}, ArgumentError, "p: "),
    "p one number": ({"p": 4}, ArgumentError, "p: 4, expected"),
    "p three numbers": ({"p": (4, 4, 4)}, ArgumentError, "p: "),
    "p text": ({"p": ("4", 4)}, DTypeError, "p: "),
    "p bool": ({"p": (True, 4)}, DTypeError, "p: "),
    "src None (a file that imread did not find)": ({"src": None}, DTypeError, "src: NoneType"),
    "dst a list": ({"dst": [[1]]}, DTypeError, "dst: list"),
    "src two channels": ({"src": SRC[..., :2]}, ShapeError, r"src: shape \[8, 9, 2\]"),
    "a batch": ({"dst": DST[None]}, ShapeError, r"dst: shape \[1, 20, 21, 3\]"),
    "no pixels": ({"src": SRC[:0]}, ShapeError, "src: .*no pixels"),
    "src int32": ({"src": SRC.astype(np.int32), "dst": DST.astype(np.int32)}, DTypeError, "(src|dst): dtype int32"),
    "src bool": ({"src": SRC > 0, "dst": DST > 0}, DTypeError, "(src|dst): dtype bool"),
    "dtypes that differ": ({"src": SRC.astype(np.float32)}, DTypeError, "src: dtype float32 differs from dst uint8"),
    "colour into grey": ({"dst": DST[..., 0]}, ShapeError, "src: 3 channels, but dst has 1"),
    "mask of another size": ({"mask": MASK[:7]}, ShapeError, r"mask: shape \[7, 9\], expected \[8, 9\]"),
    "mask two channels": ({"mask": np.dstack([MASK] * 2)}, ShapeError, r"mask: shape \[8, 9, 2\]"),
    "mask int32": ({"mask": MASK.astype(np.int32)}, DTypeError, "mask: dtype int32"),
    "mask a list": ({"mask": [[255]]}, DTypeError, "mask: list"),
    "mask floats to 255": ({"mask": MASK.astype(np.float32)}, MaskError, "mask: values from 255 to 255"),
    "mask nan": ({"mask": np.full((8, 9), np.nan)}, MaskError, "mask: values"),
    "blend a list": ({"blend": []}, DTypeError, "blend: list"),
    "blend of another dtype": ({"blend": DST.astype(np.float32)}, DTypeError, "blend: dtype float32"),
    "blend of another shape": ({"blend": DST[1:].copy()}, ShapeError, r"blend: shape \[19, 21, 3\]"),
    "blend read-only": ({"blend": READ_ONLY}, ArgumentError, "blend: the array is read-only"),
    "blend over dst in part": ({"blend": DST[::-1]}, ArgumentError, "blend: shares memory with dst"),
    "blend over src": ({"src": DST[:8, :9], "dst": DST.copy(), "blend": DST}, ArgumentError, "blend: .*with src"),
    "NaN": (
        {"src": np.full((8, 9, 3), np.nan), "dst": np.zeros((20, 21, 3))},
        ArgumentError,
        r"src: nan at pixel \(y=0, x=0\)",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(case: str) -> None:
    changes, error, message = MISTAKES[case]
    arguments = {"src": SRC, "dst": DST, "mask": MASK, "p": (10, 10), "flags": 1, **changes}
    with pytest.raises(error, match=message):
        seamlessClone(**arguments)


# ---- any mask, anywhere --------------------------------------------------------------------------


@pytest.mark.filterwarnings(  # of noise, which a few pixels of a mask may clip or not change
    "ignore::pyharmony.errors.ClippedWarning",
    "ignore::pyharmony.errors.MaskWarning",
    "ignore::pyharmony.errors.UnchangedWarning",
)
@example((10, 3, 4, 5), (0, 0), "MIXED_CLONE", 0.5, 1)  # strips along rows and along columns cross
@given(
    st.tuples(*[st.integers(1, 14)] * 4),
    st.tuples(st.integers(-9, 22), st.integers(-9, 22)),
    st.sampled_from(sorted(FLAGS)),
    st.sampled_from([0.03, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_any_mask_anywhere(sizes: tuple[int, ...], p: tuple[int, int], flag: str, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    src, dst = (rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in (sizes[:2], sizes[2:]))
    mask = np.where(rng.random(sizes[:2]) < share, rng.choice([2, 128, 255]), 0).astype(np.uint8)
    result = seamlessClone(src, dst, mask, p, getattr(compat, flag))
    gradients, wide = FLAGS[flag]
    if wide or mask[1:-1, 1:-1].any():
        x, y = corner(mask, p, wide)
    elif mask.any():
        ys, xs = np.nonzero(mask)
        x, y = p[0] - (np.ptp(xs) + 1) // 2 - xs.min(), p[1] - (np.ptp(ys) + 1) // 2 - ys.min()
    else:
        x, y = p
    frame_mask = np.zeros((sizes[2] + 60, sizes[3] + 60), np.uint8)
    frame_mask[30 + y : 30 + y + sizes[0], 30 + x : 30 + x + sizes[1]] = mask
    frame_mask = frame_mask[30 : 30 + sizes[2], 30 : 30 + sizes[3]]
    assert np.array_equal(result[closed(frame_mask) == 0], dst[closed(frame_mask) == 0])
    if not (frame_mask > 0).all():
        expected = blends.poisson(src[..., ::-1], dst[..., ::-1], mask, at=(x, y), gradients=gradients)
        assert np.array_equal(result[..., ::-1], expected)
