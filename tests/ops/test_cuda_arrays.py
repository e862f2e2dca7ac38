"""Arrays in the memory of a device, which is the emulator: how they come in, where results go, what is refused."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from pyharmony import _cuda, _native
from pyharmony.errors import DeviceError, DTypeError, OutOfMemory

from ..cuda_arrays import Interface


class DLPackOnly:
    """An array of a library that has DLPack alone."""

    def __init__(self, array: _cuda.DeviceArray) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        return self.array.__dlpack__(stream=stream)


@pytest.fixture(autouse=True)
def on_emulator(emulator_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "device_module", lambda: emulator_module)


IMAGE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


@pytest.mark.parametrize(
    "array", [IMAGE, IMAGE[::-1], IMAGE[:, ::2], np.moveaxis(IMAGE, -1, 0), IMAGE[1:4, 2:5, 1:]], ids=range(5)
)
def test_an_interface_is_taken_without_a_copy(array: np.ndarray[Any, Any]) -> None:
    description = _cuda.describe(Interface(array), "src")
    assert (description.pointer, description.shape, description.dtype) == (array.ctypes.data, array.shape, array.dtype)
    assert description.strides == tuple(s // array.itemsize for s in array.strides)
    assert (description.ndim, description.size, description.nbytes) == (array.ndim, array.size, array.nbytes)


def test_the_stream_of_an_interface_is_the_one_that_kernels_use() -> None:
    place = _cuda.place_of({"dst": Interface(IMAGE, stream=2)}, None)
    assert place is not None and (place.stream, place.kind, place.name) == (2, "other", "cuda:0")


def test_a_call_describes_an_array_once() -> None:
    with _cuda.place_of({"dst": (array := Interface(IMAGE))}, None) as place:
        assert place.describe(array, "dst") is place.take(array, "dst")
    assert place.describe(array, "dst") is not place.describe(array, "dst")


def test_dlpack_goes_out_and_comes_in_without_a_copy() -> None:
    image = IMAGE[::-1]
    owner = Interface(image)
    alive = weakref.ref(owner)
    other = DLPackOnly(_cuda.describe(owner, "src"))
    assert _cuda.is_device_array(other)
    second = _cuda.describe(other, "src")
    assert (second.pointer, second.shape, second.strides) == (image.ctypes.data, image.shape, image.strides)
    assert second.dtype == np.uint8
    del owner, other
    gc.collect()
    assert alive() is not None  # the import holds it
    del second
    gc.collect()
    assert alive() is None


def test_a_capsule_that_nobody_takes_lets_go() -> None:
    owner = Interface(IMAGE)
    alive = weakref.ref(owner)
    capsule = _cuda.describe(owner, "src").__dlpack__()
    del owner
    gc.collect()
    assert alive() is not None
    del capsule
    gc.collect()
    assert alive() is None


def test_a_result_of_no_library_has_both_protocols() -> None:
    place = _cuda.place_of({"dst": Interface(IMAGE)}, None)
    assert place is not None
    result, view = place.empty((2, 3), np.dtype(np.float32))
    assert result is view and result.__cuda_array_interface__["shape"] == (2, 3)
    again = _cuda.describe(Interface(IMAGE), "x"), _cuda.describe(result, "x")
    assert again[1] is result
    assert repr(result) == "DeviceArray(shape=[2, 3], dtype=float32, device='cuda:0')"


def test_numpy_goes_there_and_back() -> None:
    place = _cuda.place_of({"dst": IMAGE}, "cuda")
    assert place is not None and place.kind == "host" and place.required
    for array in (IMAGE, IMAGE[::-1, ::2], np.zeros((3, 2), np.float16)):
        assert np.array_equal(place.fetch(place.take(array, "src")), array)
    assert _cuda.place_of({"dst": IMAGE}, "cpu") is None


def test_what_is_no_array_of_a_device() -> None:
    for x in (IMAGE, "path", b"", 1.0, None, [1], np.float32(2)):
        assert not _cuda.is_device_array(x)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (Interface(IMAGE, mask=IMAGE), "src: a masked array"),
        (Interface(np.zeros(16, np.uint8)[1:9].view(np.float32)), "src: not aligned to its 4-byte items"),
        (Interface(np.zeros(4, np.int64)), "src: dtype int64 is not supported"),
        (Interface(np.zeros(8, np.float32), shape=(3,), strides=(5,)), r"src: strides \(5,\) are not multiples"),
    ],
    ids=["masked", "misaligned", "int64", "strides"],
)
def test_what_cannot_be_taken_is_refused(array: Any, message: str) -> None:
    with pytest.raises(DTypeError, match=message):
        _cuda.describe(array, "src").view("src")


def test_arrays_in_different_places_are_refused() -> None:
    here = _cuda.describe(Interface(IMAGE), "dst")
    there = here.reshaped(here.shape, here.strides)
    there.device = 1
    with pytest.raises(DeviceError, match="src: on cuda:1, but dst is on cuda:0; move one of them"):
        _cuda.place_of({"dst": here, "src": there}, None)
    with pytest.raises(DeviceError, match="mask: on the CPU, but dst is on cuda:0"):
        _cuda.place_of({"dst": here, "mask": IMAGE}, None)
    with pytest.raises(DeviceError, match="device: 'cpu', but dst is on a CUDA device"):
        _cuda.place_of({"dst": here}, "cpu")


def test_memory_that_runs_out_is_named_and_the_next_call_works() -> None:
    place = _cuda.place_of({"dst": Interface(IMAGE)}, None)
    assert place is not None
    with pytest.raises(OutOfMemory, match=rf"out of memory on the device: {1 << 60} bytes"):
        place.scratch(1 << 60)
    assert place.scratch(1 << 10).nbytes == 1 << 10


def test_without_a_device_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "device_module", lambda: None)
    monkeypatch.setattr(_native, "cuda_status", lambda: "no driver")
    with pytest.raises(DeviceError, match="dst: on a CUDA device, which cannot be used: no driver"):
        _cuda.place_of({"dst": Interface(IMAGE)}, None)


def test_a_gpu_that_nothing_was_compiled_for_is_named(emulator_module: Any) -> None:
    failure = "kernel: no kernel image is available for execution on the device"
    words = f"^poisson: {failure}; capability 9.0, and this build has emulator; see"
    with pytest.raises(DeviceError, match=words), _cuda.failures("poisson"):
        raise emulator_module.DeviceFailure(failure)
    with pytest.raises(DeviceError, match=r"^poisson: an illegal address$"), _cuda.failures("poisson"):
        raise emulator_module.DeviceFailure("an illegal address")
