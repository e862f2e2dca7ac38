"""The types of arguments and results, to annotate with; importing them loads nothing but NumPy.

A function that takes any image gives one of the same type: an array for an array, a tensor for a tensor, a PIL image
for a PIL image. Of a file it gives a PIL image where the file has 8 bits, and a NumPy array where it has more; for a
type checker this is `PILImage | Any`, a PIL image that `isinstance` may find to be something else.

Example:
    >>> from pyharmony import blend
    >>> from pyharmony.typing import Gradients, ImageLike, PILImage
    >>> def pasted(sticker: ImageLike, photo: PILImage, gradients: Gradients = "mixed") -> PILImage:
    ...     return blend.poisson(sticker, photo, at=(40, 30), gradients=gradients)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from .io import Picture
else:
    # Names for annotations that are looked at while the program runs: Pillow is loaded with the first picture.
    class PILImage(Protocol):
        """A `PIL.Image.Image`."""

    class Picture(Protocol):
        """A `pyharmony.io.Picture`."""


__all__ = [
    "Array",
    "Chroma",
    "Contour",
    "CudaArray",
    "DataKind",
    "Device",
    "Errors",
    "FileLike",
    "GradientKernel",
    "Gradients",
    "HarmonizeMethod",
    "ImageFormat",
    "ImageLike",
    "MaskLike",
    "Network",
    "OneOrMany",
    "OutLike",
    "PILImage",
    "PathLike",
    "Picture",
    "Position",
    "ReadableFile",
    "Rng",
    "Skip",
    "SlicedArray",
    "SolveMethod",
    "SpectralNormOrder",
    "SpectralNormUpdate",
    "SynthesisMethod",
    "Task",
    "Tensor",
    "TorchDevice",
    "WritableFile",
]

# Words

Device = Literal["auto", "cpu", "cuda"]
"""Where a call runs; 'auto': on a CUDA device where its kernels load, else on the processor."""

TorchDevice = Literal["cpu", "cuda"]
"""Where torch runs a network."""

Errors = Literal["raise", "return"]
"""What becomes of the error of one image of a list: it is raised, or stands in the place of the result."""

Skip = Literal["raise", "skip"]
"""What becomes of a sample that cannot be read: its error is raised, or it is left out."""

Gradients = Literal["source", "mixed", "average", "monochrome"]
"""Whose gradients a Poisson blend keeps."""

Contour = Literal["half", "full"]
"""How much of the guidance a difference across a hard contour takes: half of it, or all of it as in the paper."""

GradientKernel = Literal["normal", "sobel", "scharr", "prewitt", "roberts"]
"""What derivatives are taken with."""

SolveMethod = Literal["auto", "chebyshev", "dct", "multigrid"]
"""How the Gaussian-Poisson equation is solved."""

HarmonizeMethod = Literal[
    "auto", "reinhard", "mkl", "match_histogram", "luminance_temperature", "lalonde_efros", "xue"
]  # fmt: skip
"""The methods of `pyharmony.harmonize` that have names of their own; it takes names and paths of weights besides."""

Chroma = Literal["transport", "temperature"]
"""What `pyharmony.color.luminance_temperature` does to chroma."""

ImageFormat = Literal["jpeg", "jpg", "png", "webp", "tiff", "tif", "bmp", "avif"]
"""The formats that are written."""

DataKind = Literal["shards", "iharmony4", "manifest", "tar", "tfrecord", "triples", "photos", "coco", "scenes"]
"""How a data set is laid out."""

SynthesisMethod = Literal[
    "reinhard", "xiao_ma", "fecker", "idt", "mkl", "luminance_temperature", "match_histogram",
    "lut_mix", "retouch", "brightness_contrast", "temperature",
]  # fmt: skip
"""How `pyharmony.data.Synthesis` makes composites of photographs."""

Task = Literal["harmonize", "blend", "realism", "style", "upscale"]
"""What a network of `pyharmony.models` is for."""

SpectralNormOrder = Literal["legacy", "parametrization"]
"""Which of torch's two spectral normalisations is followed to the last bit."""

SpectralNormUpdate = Literal["step", "forward"]
"""When `pyharmony.nn.SpectralNormGroup` iterates."""

# Arrays and pictures


class Tensor(Protocol):
    """A `torch.Tensor`."""

    @property
    def requires_grad(self) -> bool: ...

    def data_ptr(self) -> int: ...


class CudaArray(Protocol):
    """An array in the memory of a CUDA device, such as a `cupy.ndarray`."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


class ReadableFile(Protocol):
    """An open binary file to read."""

    def read(self, size: int = ..., /) -> bytes: ...


class WritableFile(Protocol):
    """An open binary file to write."""

    def write(self, data: Any, /) -> Any: ...


class SlicedArray(Protocol):
    """An array that is read and written by slices, such as numpy.memmap and those of h5py and zarr."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...


class Network(Protocol):
    """A `torch.nn.Module`, such as `pyharmony.models` makes."""

    def parameters(self, recurse: bool = ...) -> Iterator[Any]: ...


Array: TypeAlias = npt.NDArray[Any] | Tensor | CudaArray
"""A `numpy.ndarray`, a `torch.Tensor` or an array on a CUDA device."""

PathLike: TypeAlias = str | os.PathLike[str]
"""A path."""

FileLike: TypeAlias = PathLike | bytes | bytearray | memoryview | ReadableFile
"""A file: its path, its bytes, or open and binary."""

ImageLike: TypeAlias = Array | PILImage | Picture | FileLike
"""An image: an array, a PIL image, a `pyharmony.io.Picture` or a file."""

MaskLike: TypeAlias = ImageLike
"""A mask: an array [H, W] of bool, integers scaled by their range or floats in [0, 1], or a grey picture."""

OutLike: TypeAlias = Array | PathLike | WritableFile
"""Where a result goes: an array like the destination, a path, or an open binary file."""

Position: TypeAlias = tuple[float, float]
"""(x, y) in pixels: to the right and down."""

Rng: TypeAlias = int | np.random.Generator
"""A `numpy.random.Generator`, which is advanced, or a whole number to make one of."""

AnyT = TypeVar("AnyT")
OneOrMany: TypeAlias = AnyT | Sequence[AnyT]
"""One of something, or a list or tuple of them: as many as there are images."""

# In, and out as the same type

ArrayT = TypeVar("ArrayT", bound=Array)
ImageT = TypeVar("ImageT", bound=Array | PILImage | Picture)
FileT = TypeVar("FileT", bound=FileLike)
OutT = TypeVar("OutT", bound=OutLike)
SlicedT = TypeVar("SlicedT", bound=SlicedArray)
