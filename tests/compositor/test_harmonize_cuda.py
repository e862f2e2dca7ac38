"""harmonize of arrays on a device, which is the emulator here, has the CPU's bits, in the device's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyharmony as ph
from pyharmony import _native, errors, harmonization
from pyharmony._cuda import DeviceArray

from ..cuda_arrays import Interface, fetched
from ..shared import GUARDED

pytestmark = GUARDED

Image = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def device(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "device_module", lambda: emulator)


def composite(dtype: str = "uint8", channels: int = 3, height: int = 40, width: int = 52) -> tuple[Image, Image]:
    rng = np.random.default_rng(channels)
    y, x = np.mgrid[:height, :width] / height
    image = 0.4 + 0.3 * np.sin(3 * x + 2 * y)[..., None] * np.array([1.0, 0.8, 0.5, 0.0])[:channels]
    image += 0.05 * rng.standard_normal(image.shape)
    mask = np.clip(2 - 5 * np.hypot(y - 0.5, x - 0.6), 0, 1)
    image[mask > 0] *= 0.6
    if channels == 4:
        image[..., 3] = np.where(x < 1.2, 1.0, 0.5)
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    image = image.clip(0, 1) * scale
    return (image.round() if scale > 1 else image).astype(dtype), (mask * 255).round().astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_it_is_that_of_the_processor(dtype: str, channels: int) -> None:
    image, mask = composite(dtype, channels)
    expected, info = ph.harmonize(image, mask, method="mkl", return_info=True)
    assert info.method == "mkl" and (expected != image).any()
    result, same = ph.harmonize(Interface(image), Interface(mask), method="mkl", return_info=True)
    assert isinstance(result, DeviceArray) and result.dtype == image.dtype
    assert np.array_equal(fetched(result), expected)
    assert (same.method, same.confidence, same.device) == (info.method, info.confidence, "cpu")
    assert np.array_equal(fetched(ph.harmonize(Interface(image), mask, method="mkl")), expected)
    assert np.array_equal(ph.harmonize(image, Interface(mask), method="mkl"), expected)


def test_any_strides_batches_lists_and_frames() -> None:
    image, mask = composite()
    expected = ph.harmonize(image, mask, method="reinhard")
    wide, high = np.zeros((40, 104, 3), np.uint8), np.zeros((80, 52), np.uint8)
    wide[:, ::2], high[::2] = image, mask
    flipped = np.ascontiguousarray(image[::-1])[::-1]
    for image_ in (wide[:, ::2], flipped):
        result = ph.harmonize(Interface(image_), Interface(high[::2]), method="reinhard")
        assert np.array_equal(fetched(result), expected)
    images, masks = np.stack([image, image[:, ::-1]]), np.stack([mask, mask[:, ::-1]])
    expected_batch = ph.harmonize(images, masks, method="reinhard")
    assert np.array_equal(fetched(ph.harmonize(Interface(images), Interface(masks), method="reinhard")), expected_batch)
    several = ph.harmonize([Interface(image), images[1]], [Interface(mask), masks[1]], method="reinhard")
    assert np.array_equal(fetched(several[0]), expected) and np.array_equal(several[1], expected_batch[1])
    frames = harmonization.harmonize_frames([Interface(image)] * 2, [Interface(mask)] * 2, method="reinhard")
    assert all(np.array_equal(fetched(frame), expected) for frame in frames)


def test_hints_may_lie_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = composite()
    hints_of_calls: list[Any] = []

    def hinted(self: Any, scene: Any, maps: Any, hints: Any) -> Any:
        hints_of_calls.append((*hints.source, hints.reference))
        return list(maps)

    monkeypatch.setattr(harmonization._colorgrid.Network, "hinted", hinted)
    hints = {"source": image[::-1].copy(), "source_mask": mask[::-1].copy(), "reference_mask": 255 - mask}
    expected = ph.harmonize(image, mask, method="mkl", **hints)
    on_device = {name: Interface(array) for name, array in hints.items()}
    assert np.array_equal(fetched(ph.harmonize(Interface(image), Interface(mask), method="mkl", **on_device)), expected)
    assert np.array_equal(ph.harmonize(image, mask, method="mkl", **on_device), expected)
    for other in hints_of_calls[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(other, hints_of_calls[0], strict=True))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_the_result_goes_where_it_is_wanted(dtype: str, tmp_path: Any) -> None:
    image, mask = composite(dtype)
    expected = ph.harmonize(image, mask, method="mkl")
    for out in (np.zeros_like(image), np.zeros((40, 60, 3), dtype)[:, :52], np.zeros((40, 52, 6), dtype)[..., ::2]):
        into = Interface(out)
        if dtype == "float64" and not out.flags.c_contiguous:
            with pytest.raises(errors.DTypeError, match=r"^out: float64 and not contiguous"):
                ph.harmonize(Interface(image), Interface(mask), method="mkl", out=into)
            continue
        assert ph.harmonize(Interface(image), Interface(mask), method="mkl", out=into) is into
        assert np.array_equal(out, expected)
    if dtype == "uint8":
        ph.harmonize(Interface(image), Interface(mask), method="mkl", out=tmp_path / "made.png")
        with (tmp_path / "open.png").open("wb") as file:
            ph.harmonize(Interface(image), Interface(mask), method="mkl", out=file)
        for name in ("made.png", "open.png"):
            assert np.array_equal(np.asarray(ph.io.read(tmp_path / name).pixels), expected)


def test_what_is_refused() -> None:
    image, mask = composite()
    with pytest.raises(errors.DeviceError, match=r"^out: on the CPU, but image is on cuda:0"):
        ph.harmonize(Interface(image), Interface(mask), method="mkl", out=np.zeros_like(image))
    with pytest.raises(errors.DeviceError, match=r"^out: on cuda:0, but image is on the CPU"):
        ph.harmonize(image, mask, method="mkl", out=Interface(np.zeros_like(image)))
    with pytest.raises(errors.ShapeError, match=r"^out: "):
        ph.harmonize(Interface(image), Interface(mask), method="mkl", out=Interface(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(errors.DTypeError, match=r"^out: "):
        ph.harmonize(Interface(image), Interface(mask), method="mkl", out=Interface(np.zeros(image.shape, np.float32)))
    nan = np.full(image.shape, np.nan, np.float32)
    with pytest.raises(errors.ArgumentError, match=r"^image: "):
        ph.harmonize(Interface(nan), Interface(mask), method="mkl")
