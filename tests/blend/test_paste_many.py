"""Objects pasted by one native call: the bits of the general way, and of one blend after another."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyharmony
from pyharmony import blend
from pyharmony._images import region
from pyharmony._warnings import quiet
from pyharmony.blend import _gaussian_poisson as gaussian_poisson_module
from pyharmony.blend import _paste, _paste_many
from pyharmony.blend import _poisson as poisson_module
from pyharmony.errors import (
    ArgumentError,
    DTypeError,
    FloodedWarning,
    MaskError,
    PyHarmonyError,
    PyHarmonyWarning,
    ShapeError,
    UnchangedWarning,
)

from ..shared import DTYPES, FLOODS, to_dtype

MASKS = ("bool", *DTYPES)
GRADIENTS = ("source", "mixed", "average", "monochrome")
KINDS = ("none", "disk", "soft", "full", "holes", "noise", "pixel")


def image(rng: np.random.Generator, height: int, width: int, channels: int, dtype: str) -> np.ndarray:
    """Returns a smooth image with some noise, [H, W] for no channels."""
    y, x = np.linspace(0, 3, height)[:, None, None], np.linspace(0, 4, width)[None, :, None]
    phase = 6 * rng.random(max(channels, 1))
    values = 0.5 + 0.3 * np.sin(y + phase) * np.cos(x + phase) + 0.05 * rng.standard_normal((height, width, 1))
    values = to_dtype(values.clip(0, 1), dtype)
    return values if channels else values[..., 0]


def mask_of(rng: np.random.Generator, height: int, width: int, kind: str, dtype: str) -> np.ndarray | None:
    if kind == "none":
        return None
    radius = np.hypot(np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None])
    values = {
        "disk": (radius < 0.8) * 1.0,
        "soft": ((0.95 - radius) / 0.3).clip(0, 1),
        "full": np.ones_like(radius),
        "holes": (radius < 0.9) * (rng.random(radius.shape) > 0.05),
        "noise": rng.random(radius.shape) * (rng.random(radius.shape) > 0.3),
        "pixel": np.zeros_like(radius),
    }[kind]
    values[height // 2, width // 2] = 1
    return values > 0 if dtype == "bool" else to_dtype(values, dtype)


def laid_out(rng: np.random.Generator, array: np.ndarray | None) -> np.ndarray | None:
    """Returns an array of equal values whose memory may have another layout."""
    if array is None:
        return None
    layout = rng.integers(4)
    if layout == 1:
        return np.asfortranarray(array)
    if layout == 2:
        wide = np.zeros((2 * array.shape[0], *array.shape[1:]), array.dtype)[::-2]
        wide[...] = array
        return wide
    if layout == 3:  # not aligned
        memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        memory[...] = array
        return memory
    return array


def said(call: Any, *arguments: Any, **options: Any) -> tuple[Any, list[tuple[type, str]]]:
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        result = call(*arguments, **options)
    return result, [(one.category, str(one.message)) for one in records]


def bits(x: np.ndarray) -> tuple[Any, ...]:
    return x.dtype, x.shape, x.strides, x.tobytes()


@pytest.fixture
def pasted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of items that each native call pasted."""
    counts: list[int] = []

    def counting(*arguments: Any) -> Any:
        reports = _paste.paste(*arguments)
        counts.append(len(reports))
        return reports

    monkeypatch.setattr(_paste_many, "paste", counting)
    return counts


def in_the_general_way(patch: pytest.MonkeyPatch) -> None:
    for module in (poisson_module, gaussian_poisson_module):
        patch.setattr(module, "in_one_call", lambda *_: None)


def options_of(rng: np.random.Generator, method: str) -> dict[str, Any]:
    if method == "poisson":
        return {
            "gradients": str(rng.choice(GRADIENTS)),
            "contour": str(rng.choice(["half", "full"])),
            "color_weight": float(rng.choice([0, 0, 0.01, 1])),
        }
    # The levels of an object of up to 70 pixels are few: with a smaller coarsest one there are more.
    return {
        "color_weight": float(rng.choice([0.01, 0.2, 0.5, 1, 1, 1, 4, 100])),
        "sigma": float(rng.choice([0.5, 0.5, 0, 0.8])),
        "smooth_sigma": float(rng.choice([1, 0, 2])),
    }


def one_case(seed: int, method: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns arguments of a blend: images of any kind, at any place, inside dst or partly outside."""
    rng = np.random.default_rng(seed)
    dtype, channels = str(rng.choice(DTYPES)), int(rng.choice([0, 1, 3]))
    height, width, high, wide = (int(n) for n in rng.integers((1, 1, 12, 12), (70, 70, 100, 100)))
    src, dst = image(rng, height, width, channels, dtype), image(rng, high, wide, channels, dtype)
    mask = mask_of(rng, height, width, str(rng.choice(KINDS)), str(rng.choice(MASKS)))
    at = int(rng.integers(-width // 2, wide)), int(rng.integers(-height // 2, high))
    if rng.random() < 0.1:
        dst[: high // 2] = dst.flat[0]
    if np.dtype(dtype).kind == "f" and rng.random() < 0.1:
        (src if rng.random() < 0.5 else dst).flat[0] = np.nan
    options = {"at": at, "tolerance": rng.choice([None, 1.0]), **options_of(rng, method)}
    return (laid_out(rng, src), laid_out(rng, dst), laid_out(rng, mask)), options


@given(
    seed=st.integers(0, 1 << 20),
    method=st.sampled_from(["poisson", "gaussian_poisson"]),
    coarsest=st.sampled_from([64, 64, 17, 4]),
)
def test_one_call_has_the_bits_the_warnings_and_the_errors_of_the_general_way(
    seed: int, method: str, coarsest: int
) -> None:
    (src, dst, mask), options = one_case(seed, method)
    before = [None if x is None else x.tobytes() for x in (src, dst, mask)]

    def outcome(out: np.ndarray | None) -> Any:
        try:
            result, messages = said(getattr(blend, method), src, dst, mask, out=out, **options)
        except PyHarmonyError as error:
            return type(error), str(error)
        assert out is None or result is out
        return bits(result), messages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region, "COARSEST_SIDE", coarsest)
        fast = outcome(None), outcome(np.zeros_like(dst))
        in_the_general_way(patch)
        assert outcome(None) == fast[0]
    assert fast[1] == fast[0] or dst.strides != np.zeros_like(dst).strides
    assert before == [None if x is None else x.tobytes() for x in (src, dst, mask)]


def test_results_do_not_depend_on_threads(threads: int) -> None:
    rng = np.random.default_rng(3)
    src, dst = image(rng, 180, 200, 3, "uint8"), image(rng, 300, 320, 3, "uint8")
    item = {"src": src, "mask": mask_of(rng, 180, 200, "soft", "uint8"), "at": (40, 50)}
    items = [item, {**item, "at": (100, 90)}, {**item, "at": (60, 20), "method": "gaussian_poisson"}]
    result = blend.paste_many(dst, items)
    pyharmony.set_num_threads(1)
    np.testing.assert_array_equal(blend.paste_many(dst, items), result)


def test_every_instruction_set_pastes_alike(simd: str) -> None:
    rng = np.random.default_rng(4)
    src, dst = image(rng, 60, 50, 3, "uint8"), image(rng, 100, 120, 3, "uint8")
    result = blend.paste_many(dst, [{"src": src, "mask": mask_of(rng, 60, 50, "disk", "bool"), "at": (20, 30)}])
    with pytest.MonkeyPatch.context() as patch:
        in_the_general_way(patch)
        rng = np.random.default_rng(4)
        src, dst = image(rng, 60, 50, 3, "uint8"), image(rng, 100, 120, 3, "uint8")
        mask = mask_of(rng, 60, 50, "disk", "bool")
        np.testing.assert_array_equal(blend.poisson(src, dst, mask, at=(20, 30)), result)


def items_of(rng: np.random.Generator, dst: np.ndarray, count: int) -> list[dict[str, Any]]:
    channels = dst.shape[2] if dst.ndim == 3 else 0
    items: list[dict[str, Any]] = []
    for _ in range(count):
        height, width = (int(n) for n in rng.integers(4, 60, 2))
        kind = str(rng.choice([*KINDS, "soft", "disk"]))
        item: dict[str, Any] = {
            "src": image(rng, height, width, channels, dst.dtype.name),
            "mask": mask_of(rng, height, width, kind, str(rng.choice(MASKS))),
            "at": (int(rng.integers(-9, dst.shape[1])), int(rng.integers(-9, dst.shape[0]))),
        }
        choice = rng.random()
        if choice < 0.15:
            item["method"] = "gaussian_poisson"
        elif choice < 0.3:
            item |= {"method": "alpha"} | ({} if rng.random() < 0.7 else {"feather": 2.0})
        elif choice < 0.4:
            item["at"] = item["at"][0] + 0.5, item["at"][1]
        else:
            item |= {"gradients": str(rng.choice(GRADIENTS)), "color_weight": float(rng.choice([0, 0.1]))}
        if rng.random() < 0.3:
            item["box_xyxy"] = 1, 0, width, height - 1
        items.append(item)
    return items


def one_by_one(dst: np.ndarray, items: list[dict[str, Any]]) -> tuple[np.ndarray, list[tuple[type, str]]]:
    """Returns the result of one blend after another, and the warnings with the index of their item."""
    result, messages = dst.copy(order="K"), []
    for i, item in enumerate(items):
        options = dict(item)
        src, mask, at, box = (options.pop(key, None) for key in ("src", "mask", "at", "box_xyxy"))
        if box is not None:
            x0, y0, x1, y1 = box
            src, mask = src[y0:y1, x0:x1], None if mask is None else mask[y0:y1, x0:x1]
        call = getattr(blend, options.pop("method", "poisson"))
        result, texts = said(call, src, result, mask, at=at, **options)
        messages += [(kind, f"items[{i}]: {text}") for kind, text in texts]
    return result, messages


@given(seed=st.integers(0, 1 << 20), count=st.integers(0, 5), dtype=st.sampled_from(DTYPES))
def test_many_have_the_bits_and_the_warnings_of_one_after_another(seed: int, count: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    dst = image(rng, 70, 80, int(rng.choice([0, 1, 3])), dtype)
    items = items_of(rng, dst, count)
    before = dst.tobytes()
    expected, expected_messages = one_by_one(dst, items)
    result, messages = said(blend.paste_many, dst, items)
    np.testing.assert_array_equal(result, expected)
    assert messages == expected_messages
    assert dst.tobytes() == before
    assert not np.shares_memory(result, dst)
    assert said(blend.paste_many, dst, items, out=dst)[0] is dst
    np.testing.assert_array_equal(dst, expected)


def plain_item(**more: Any) -> dict[str, Any]:
    return {"src": np.full((8, 8, 3), 90, np.uint8), "at": (4, 4), **more}


PHOTO = image(np.random.default_rng(0), 40, 48, 3, "uint8")


def test_objects_by_poisson_gaussian_poisson_and_alpha_take_one_native_call(pasted: list[int]) -> None:
    items = [plain_item(), plain_item(at=(20, 20), method="gaussian_poisson"), plain_item(box_xyxy=(1, 1, 7, 7))]
    items += [plain_item(at=(21, 22), method="alpha"), plain_item(at=(-3, 30), method="alpha", feather=0)]
    blend.paste_many(PHOTO, items)
    assert pasted == [5]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_alpha_in_the_native_call_has_the_bits_of_alpha(dtype: str, kind: str, pasted: list[int]) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        dst = image(rng, 50, 60, int(rng.choice([0, 1, 3])), dtype)
        src = image(rng, 30, 40, dst.shape[2] if dst.ndim == 3 else 0, dtype)
        mask = mask_of(rng, 30, 40, kind, str(rng.choice(MASKS)))
        at = int(rng.integers(-45, 65)), int(rng.integers(-35, 55))
        item = {"src": src, "mask": mask, "at": at, "method": "alpha"}
        expected, expected_messages = said(blend.alpha, src, dst, mask, at=at)
        result, messages = said(blend.paste_many, dst, [item])
        np.testing.assert_array_equal(result, expected)
        assert [(each, text.removeprefix("items[0]: ")) for each, text in messages] == expected_messages
    assert sum(pasted) > 2 or kind == "pixel"


def test_alpha_of_views_has_the_bits_of_contiguous_arrays(pasted: list[int]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (34, 46, 4), np.uint8)
    whole = rng.integers(0, 256, (34, 46, 3), np.uint8)
    for columns in (slice(None), slice(None, None, -1), slice(2, 41, 2), slice(40, None, -3), slice(7, 8)):
        for rows in (slice(None), slice(None, None, -1)):
            views = [pixels[rows, columns, :3], pixels[rows, columns, 1:], whole[rows, columns]]
            for src in [*views, views[0][..., 1], views[1][..., ::-1]]:
                photo = rng.integers(0, 256, (60, 70, *src.shape[2:]), np.uint8)
                mask = pixels[rows, columns, 3]
                item = {"mask": mask, "at": (int(rng.integers(-9, 60)), 12), "method": "alpha"}
                expected = blend.alpha(np.ascontiguousarray(src), photo, np.ascontiguousarray(mask), at=item["at"])
                np.testing.assert_array_equal(blend.paste_many(photo, [{**item, "src": src}]), expected)
    assert sum(pasted) == 50


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_alpha_of_floats_that_are_not_finite(value: float, pasted: list[int]) -> None:
    src, mask = np.full((8, 8, 3), 0.5, np.float32), np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    photo = np.zeros((20, 20, 3), np.float32)
    for where, is_refused in (((0, 0), False), ((3, 3), True)):
        broken = src.copy()
        broken[where] = value
        item = {"src": broken, "mask": mask, "at": (4, 4), "method": "alpha"}
        if is_refused:
            with pytest.raises(ArgumentError, match=r"items\[0\]: src: (nan|inf) at pixel"):
                blend.paste_many(photo, [item])
        else:
            np.testing.assert_array_equal(blend.paste_many(photo, [item])[6:10, 6:10], 0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"color_weight": 0.001},  # Chebyshev's iteration is not the fastest
        {"gradient_kernel": "sobel"},
        {"contour": "full"},
        {"base": "copy-paste"},
        {"preserve_background": False},
        {"color_weight": np.ones((40, 48), np.float32)},
        {"tolerance": 1e-9},
    ],
)
def test_options_that_need_more_go_the_general_way(pasted: list[int], options: dict[str, Any]) -> None:
    items = [plain_item(), plain_item(at=(20, 20), method="gaussian_poisson", **options)]
    result, messages = said(blend.paste_many, PHOTO, items)
    assert pasted == [1]
    with pytest.MonkeyPatch.context() as patch:
        in_the_general_way(patch)
        expected, expected_messages = one_by_one(PHOTO, items)
    np.testing.assert_array_equal(result, expected)
    assert messages == expected_messages


def test_an_object_that_needs_more_does_not_end_the_call(pasted: list[int]) -> None:
    rgba = np.full((8, 8, 4), 255, np.uint8)
    items = [plain_item(), plain_item(src=rgba, at=(30, 20)), plain_item(at=(9, 9)), plain_item(method="laplacian")]
    result, messages = said(blend.paste_many, PHOTO, items)
    expected, _ = one_by_one(PHOTO, items)
    np.testing.assert_array_equal(result, expected)
    assert pasted == [1, 1]
    assert messages == []


@FLOODS
def test_at_may_be_left_out_for_a_box_of_an_image_of_equal_size() -> None:
    src = PHOTO[::-1].copy()
    box = 10, 5, 30, 25
    expected = blend.poisson(src[5:25, 10:30], PHOTO, at=(10, 5))
    np.testing.assert_array_equal(blend.paste_many(PHOTO, [{"src": src, "box_xyxy": box}]), expected)
    with pytest.warns(DeprecationWarning, match="box: corners x0, y0, x1, y1 are called box_xyxy now"):
        np.testing.assert_array_equal(blend.paste_many(PHOTO, [{"src": src, "box": box, "box_xyxy": None}]), expected)
    with pytest.raises(ArgumentError, match=r"^items\[0\]: box: passed beside box_xyxy, its new name"):
        blend.paste_many(PHOTO, [{"src": src, "box": box, "box_xyxy": box}])
    with pytest.raises(ShapeError, match=r"^items\[0\]: src: 8 x 8 pixels and dst 48 x 40 .*pass at="):
        blend.paste_many(PHOTO, [{"src": src[:8, :8], "box_xyxy": (0, 0, 4, 4)}])


def test_what_a_batch_of_photos_shares_is_not_changed_by_threads() -> None:
    items = [plain_item(at=(x, 10)) for x in (2, 12, 22)]
    expected = blend.paste_many(PHOTO, items)
    results: list[np.ndarray] = []
    workers = [threading.Thread(target=lambda: results.append(blend.paste_many(PHOTO, items))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_an_empty_list_gives_a_copy() -> None:
    result = blend.paste_many(PHOTO, [])
    np.testing.assert_array_equal(result, PHOTO)
    assert not np.shares_memory(result, PHOTO)


def test_warnings_name_the_item() -> None:
    _, messages = said(blend.paste_many, PHOTO, [plain_item(), plain_item(at=(200, 200))])
    assert [kind for kind, _ in messages] == [UnchangedWarning]
    assert messages[0][1].startswith("items[1]: nothing was blended: the object lies outside dst (48 x 40)")
    columns = np.arange(96)[None, :, None]
    sides = np.broadcast_to(np.where(columns < 48, 20, 230), (96, 96, 3)).astype(np.uint8)
    disk = np.hypot(*(np.mgrid[:96, :96] - 47.5)) < 36
    ball = np.broadcast_to(np.arange(100, 196)[:, None, None], (96, 96, 3)).astype(np.uint8)
    _, messages = said(blend.paste_many, sides, [{"src": ball, "mask": disk}])
    assert [kind for kind, _ in messages] == [FloodedWarning]
    assert messages[0][1].startswith("items[0]: the difference between src and dst varies")


WRONG = [
    ({"at": (0, 0)}, ArgumentError, r"items\[1\]: without the key 'src'"),
    (3, DTypeError, r"items\[1\]: int, expected a mapping with the key 'src'"),
    (plain_item(gain=2), ArgumentError, r"items\[1\]: key 'gain', expected one of 'src', .*'tolerance'"),
    (plain_item(method="alpha", gradients="mixed"), ArgumentError, r"items\[1\]: key 'gradients', .*options of alpha"),
    (plain_item(method="copy"), ArgumentError, r"items\[1\]: method: 'copy', expected one of 'gaussian_poisson', "),
    (plain_item(method=["poisson"]), ArgumentError, r"items\[1\]: method: \['poisson'\], expected one of "),
    (plain_item(box_xyxy=(9, 0, 12, 4)), ArgumentError, r"items\[1\]: box_xyxy: \(9, 0, 12, 4\) is outside of an"),
    (plain_item(box_xyxy=(4, 4, 2, 6)), ArgumentError, r"items\[1\]: box_xyxy: \(4, 4, 2, 6\), expected x0 < x1"),
    (plain_item(box_xyxy=(0, 0, 0.5, 1)), ArgumentError, r"items\[1\]: box_xyxy: \(0, 0, 0.5, 1\), shares of the"),
    (plain_item(box=(0, 0, 4)), ArgumentError, r"items\[1\]: box: \(0, 0, 4\), expected"),
    (plain_item(box=(0, 0.5, 4, 4)), ArgumentError, r"items\[1\]: box: "),
    (plain_item(box=3), ArgumentError, r"items\[1\]: box: 3, expected"),
    (plain_item(src="ball.png", box=(0, 0, 4, 4)), DTypeError, r"items\[1\]: box: src and mask are str and NoneType"),
    (plain_item(mask=np.ones((4, 8), bool), box=(0, 0, 4, 4)), ShapeError, r"items\[1\]: mask: shape \[4, 8\]"),
    (plain_item(src=np.zeros((8, 8, 2), np.uint8)), ShapeError, r"items\[1\]: src: shape \[8, 8, 2\]"),
    (plain_item(src=np.zeros((8, 8), np.uint8)), ShapeError, r"items\[1\]: src: 1 channels, but dst has 3"),
    (plain_item(src=np.zeros((8, 8, 3))), DTypeError, r"items\[1\]: src: dtype float64 differs from dst uint8"),
    (plain_item(mask=np.ones((8, 7), bool)), ShapeError, r"items\[1\]: mask: shape \[8, 7\], expected \[8, 8\]"),
    (plain_item(mask=np.ones((8, 8), np.uint8)), MaskError, r"items\[1\]: mask: uint8 with largest value 1"),
    (plain_item(at=(np.nan, 0)), ArgumentError, r"items\[1\]: at: "),
    (plain_item(at="ab"), DTypeError, r"items\[1\]: at: 'ab'"),
    (plain_item(at=None), ShapeError, r"items\[1\]: src: 8 x 8 pixels and dst 48 x 40"),
    (plain_item(gradients="none"), ArgumentError, r"items\[1\]: gradients: 'none'"),
    (plain_item(contour="none"), ArgumentError, r"items\[1\]: contour: 'none'"),
    (plain_item(tolerance=-1), ArgumentError, r"items\[1\]: tolerance: -1"),
    (plain_item(color_weight=-1), ArgumentError, r"items\[1\]: color_weight: -1"),
]


@pytest.mark.filterwarnings("ignore:box. corners x0, y0, x1, y1 are called box_xyxy now:DeprecationWarning")
@pytest.mark.parametrize(("item", "kind", "message"), WRONG, ids=[pattern for _, _, pattern in WRONG])
def test_errors_name_the_item_and_the_argument(item: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=f"^{message}"):
        blend.paste_many(PHOTO, [plain_item(), item])


def test_a_box_that_is_partly_outside_is_clipped_and_told() -> None:
    with pytest.warns(
        PyHarmonyWarning, match=r"^items\[0\]: box_xyxy: \(-3, 0, 12, 4\) is partly outside of an image of 8 x 8"
    ):
        result = blend.paste_many(PHOTO, [plain_item(box_xyxy=(-3, 0, 12, 4))])
    np.testing.assert_array_equal(result, blend.paste_many(PHOTO, [plain_item(box_xyxy=(0.0, 0, 8, np.int64(4)))]))


def test_keys_and_boxes_are_checked_before_the_first_object_is_pasted() -> None:
    dst = PHOTO.copy()
    for wrong in (plain_item(gain=2), plain_item(box_xyxy=(99, 0, 120, 4))):
        with pytest.raises(ArgumentError, match=r"^items\[1\]"):
            blend.paste_many(dst, [plain_item(), wrong], out=dst)
    np.testing.assert_array_equal(dst, PHOTO)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(DTypeError, match=r"^dst: list, expected a numpy.ndarray"):
        blend.paste_many([[1]], [])  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"^dst: shape \[2, 40, 48, 3\], a batch, expected one image"):
        blend.paste_many(np.stack([PHOTO, PHOTO]), [])
    with pytest.raises(DTypeError, match=r"^items: one mapping, expected a list of mappings"):
        blend.paste_many(PHOTO, plain_item())  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match=r"^items: int, expected a list of mappings"):
        blend.paste_many(PHOTO, 3)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match=r"^out: list, expected None or a numpy.ndarray like dst"):
        blend.paste_many(PHOTO, [], out=[])  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"^out: shape"):
        blend.paste_many(PHOTO, [], out=PHOTO[:3].copy())
    read_only = PHOTO.copy()
    read_only.flags.writeable = False
    with pytest.raises(ArgumentError, match=r"^out: the array is read-only"):
        blend.paste_many(PHOTO, [], out=read_only)
    dst = PHOTO.copy()
    with pytest.raises(ArgumentError, match=r"^out: shares memory with dst"):
        blend.paste_many(dst[:, :-1], [], out=dst[:, 1:])
    with pytest.raises(ArgumentError, match=r"^items\[0\]: out: shares memory with src"):
        blend.paste_many(dst, [{"src": dst[:8, :8], "at": (20, 20)}], out=dst)
    np.testing.assert_array_equal(dst, PHOTO)


@pytest.mark.parametrize("method", ["poisson", "gaussian_poisson"])
def test_suppressed_warnings_cost_no_test_of_the_result(method: str) -> None:
    """`augment` suppresses them: the pixels are the same, and native code says that no item is flooded."""
    rng = np.random.default_rng(3)
    src, dst = (image(rng, 60, 60, 3, "uint8") for _ in range(2))
    dst = np.where(np.arange(60)[:, None] < 30, dst // 8, 255 - dst // 8).astype(np.uint8)
    mask = np.zeros((60, 60), np.uint8)
    mask[8:52, 9:50] = 255
    item = _paste.native_item(method, src, dst, mask, None, {})
    assert item is not None
    visible, unseen = np.empty_like(dst), np.empty_like(dst)
    (report,) = _paste.paste(dst, visible, [item])
    with quiet(PyHarmonyWarning), warnings.catch_warnings():
        warnings.simplefilter("error")
        (other,) = _paste.paste(dst, unseen, [item])
        _paste.tell(other, item, dst)
    np.testing.assert_array_equal(visible, unseen)
    assert report[1] > 0 == other[1]
    assert report[:1] == other[:1]


@FLOODS
def test_a_call_for_the_cpu_looks_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker process must not: a query initialises CUDA."""
    rng = np.random.default_rng(3)
    src, dst = (image(rng, 40, 50, 3, "uint8") for _ in range(2))
    mask = np.zeros((40, 50), np.uint8)
    mask[8:30, 9:40] = 255
    items = [{"src": src, "mask": mask, "method": method} for method in ("poisson", "alpha", "laplacian")]
    expected = blend.paste_many(dst, items)
    monkeypatch.setattr(pyharmony._native, "has_cuda", lambda: pytest.fail("asked for CUDA"))
    assert (blend.paste_many(dst, items, device="cpu") == expected).all()
    with pytest.raises(ArgumentError, match="device: 'gpu', expected one of"):
        blend.paste_many(dst, items, device="gpu")  # type: ignore[arg-type]
