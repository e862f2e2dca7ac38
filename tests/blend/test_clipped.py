"""The share of a result that is clipped where integers are stored: `SolveInfo.clipped`, and the warning from 5 %."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Any

import numpy as np
import pytest

from pyharmony import _native, blend, ops
from pyharmony.errors import ClippedWarning

from ..shared import CLIPS, FLOODS

pytestmark = [CLIPS, FLOODS]

RANGE = {"uint8": 255, "uint16": 65535}
GAUSSIAN: list[dict[str, Any]] = [
    {"method": "chebyshev", "preserve_background": True},
    {"method": "chebyshev", "preserve_background": False},
    {"method": "chebyshev", "tolerance": 1e-5, "preserve_background": True},  # refined in float64
    {"method": "multigrid", "preserve_background": True, "color_weight": 0.01},
    {"method": "multigrid", "preserve_background": False},
    {"method": "dct", "color_weight": 0.1},
    {"gradient_kernel": "sobel", "preserve_background": True},
]


def scene(dtype: str, shape: tuple[int, ...] = (37, 53, 3)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns src, dst and a mask with holes; src's bars are as strong as can be, and dst is bright, so much clips."""
    rng = np.random.default_rng(5)
    bars = np.broadcast_to((np.arange(shape[1]) % 12 < 6)[:, None], shape)
    src = (bars * 0.9 + 0.1 * rng.random(shape)) * RANGE[dtype]
    dst = (0.7 + 0.3 * rng.random(shape)) * RANGE[dtype]
    mask = rng.random(shape[:2]) < 0.97
    mask[:5], mask[-5:] = False, False
    mask[:, :5], mask[:, -5:] = False, False
    return src.astype(dtype), dst.astype(dtype), mask


def expected(exact: np.ndarray, inside: np.ndarray, white: int) -> tuple[float, float]:
    """Returns the share of values inside that rounding puts beyond 0 and white, and of those near the bounds."""
    x = exact[inside] * white
    near = np.minimum(np.abs(x + 0.5), np.abs(x - white - 0.5)) < 0.26 * white / 255
    rounded = np.rint(x)
    return ((rounded < 0) | (rounded > white)).mean(), near.mean()


@pytest.mark.parametrize("dtype", RANGE)
@pytest.mark.parametrize("prove", [False, True])
def test_ops_count_what_they_store(simd: str, dtype: str, prove: bool) -> None:
    src, dst, mask = scene(dtype)
    floats = src / RANGE[dtype], dst / RANGE[dtype]
    calls: list[tuple[Any, dict[str, Any]]] = [(ops.poisson, {}), (ops.poisson, {"color_weight": 0.2})]
    calls += [(lambda s, d, m, **k: ops.gaussian_poisson(s, d, m, d, **k), options) for options in GAUSSIAN]
    for call, options in calls:
        whole = call is not ops.poisson and not options.get("preserve_background", False)
        inside = np.ones_like(mask) if whole else mask
        share, near = expected(call(*floats, mask, **options), inside, RANGE[dtype])
        for flip in (1, -1):
            flipped = [a[:, ::flip] for a in (src, dst, mask)]
            result, info = call(*flipped, return_info=True, **options)
            values = result[:, ::flip][inside]
            assert share > 0.01 and abs(info.clipped - share) <= near, options
            assert info.clipped <= ((values == 0) | (values == RANGE[dtype])).mean()
        assert call(*floats, mask, return_info=True, **options)[1].clipped == 0
    assert ops.poisson(dst, dst, mask, return_info=True)[1].clipped == 0


@pytest.mark.parametrize("name", ["poisson", "gaussian_poisson", "laplacian"])
@pytest.mark.parametrize("dtype", RANGE)
def test_blends_tell_and_warn_from_a_twentieth_on(name: str, dtype: str) -> None:
    src, dst, mask = scene(dtype, (90, 110, 3))
    call = getattr(blend, name)
    share, near = expected(call(src / RANGE[dtype], dst / RANGE[dtype], mask), mask, RANGE[dtype])
    for scale in (1, 4):  # a quarter of the contrast about grey clips less
        weak = [(a // scale + (RANGE[dtype] + 1) * (scale - 1) // (2 * scale)).astype(dtype) for a in (src, dst)]
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            _, info = call(*weak, mask, return_info=True)
        assert scale > 1 or abs(info.clipped - share) <= near + 0.01
        messages = [str(one.message) for one in records if one.category is ClippedWarning]
        assert len(messages) == (info.clipped >= 0.05)
        assert not messages or messages[0].startswith(f"{info.clipped:.0%} of the values that were blended")
        assert not messages or "images of floats are not clipped" in messages[0]
        assert type(info.clipped) is float
    assert info.clipped < 0.05
    assert share > 0.05 or name == "laplacian"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("poisson", {"color_weight": 1.0}, "a larger color_weight clips less, and "),
        ("gaussian_poisson", {"base": "copy-paste"}, "base='copy-paste' with a color_weight near 1 clips less, and "),
    ],
)
def test_what_the_warning_advises_clips_less(name: str, options: dict[str, Any], message: str) -> None:
    src, dst, mask = scene("uint8", (90, 110, 3))
    call = getattr(blend, name)
    with pytest.warns(ClippedWarning, match=re.escape(message)):
        _, before = call(src, dst, mask, return_info=True)
    assert call(src, dst, mask, return_info=True, **options)[1].clipped < before.clipped / 4


def test_tiles_and_batches_and_lists_tell_the_same() -> None:
    src, dst, mask = scene("uint8", (90, 110, 3))
    _, info = blend.gaussian_poisson(src, dst, mask, return_info=True)
    out = np.zeros_like(dst)
    with pytest.warns(ClippedWarning):
        _, tiled = blend.gaussian_poisson_tiles(src, dst, mask, out, tile=32, return_info=True)
    assert tiled.clipped == info.clipped > 0.05
    _, infos = blend.gaussian_poisson(np.stack([src, dst]), np.stack([dst, dst]), mask, return_info=True)
    assert [one.clipped for one in infos] == [info.clipped, 0]
    with pytest.warns(ClippedWarning, match=r"^dst\[0\]: "):
        blend.gaussian_poisson([src, dst], [dst, dst], mask)


def test_devices_do_not_count(emulator_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "device_module", lambda: emulator_module)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ClippedWarning)
        for call in (blend.poisson, blend.gaussian_poisson):
            _, info = call(*scene("uint8"), device="cuda", return_info=True)
            assert info.device != "cpu" and np.isnan(info.clipped)


@pytest.mark.parametrize("dtype", RANGE)
def test_edits_tell(dtype: str) -> None:
    _, image, mask = scene(dtype, (60, 70, 3))
    holes = np.dstack([image, np.full((60, 70), RANGE[dtype], dtype)])
    holes[20:25, 30:35, 3] = 0
    calls: list[tuple[Any, dict[str, Any]]] = [
        (blend.detail_boost, {"gain": 3.0}),
        (blend.illumination_change, {"alpha": 3.0, "beta": 0.2}),
    ]
    for (call, options), pixels in itertools.product(calls, (image, holes)):
        result, info = call(pixels, mask, return_info=True, **options)
        share, near = expected(call(pixels / RANGE[dtype], mask, **options)[..., :3], mask, RANGE[dtype])
        assert share > 0 and abs(info.clipped - share) <= near + 0.01, call
    assert blend.inpaint(image, mask, return_info=True)[1].clipped == 0
