"""The types of arguments and results, for annotations; importing them loads no package except NumPy.

A function that accepts any image returns the same type: an array for an array, a tensor for a tensor, a PIL image for a
PIL image. For a file it returns a PIL image if the file has 8 bits, and a NumPy array if it has more; for a type
checker this is `PILImage | Any`, a PIL image that `isinstance` may narrow to another type.

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
    # These names are for annotations that are read at run time: Pillow is loaded with the first image.
    class PILImage(Protocol):
        """A `PIL.Image.Image`."""

    class Picture(Protocol):
        """A `pyharmony.io.Picture`."""


__all__ = [
    "Array",
    "ArrayT",
    "Chroma",
    "CompositeBlend",
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
    "ImageT",
    "LayerMode",
    "MaskLike",
    "Network",
    "OneOrMany",
    "OutLike",
    "PILImage",
    "PartialConvMethod",
    "PathLike",
    "Picture",
    "Position",
    "Positions",
    "Quality",
    "ReadableFile",
    "Rng",
    "SegmentMethod",
    "Skip",
    "SlicedArray",
    "SlicedT",
    "SolveMethod",
    "SpectralNormOrder",
    "SpectralNormUpdate",
    "SynthesisMethod",
    "Task",
    "Tensor",
    "TorchDevice",
    "UpscaleMethod",
    "Wrap",
    "WritableFile",
]

# Strings that arguments accept

Device = Literal["auto", "cpu", "cuda"]
"""The device of a call; 'auto': a CUDA device if its kernels load, else the CPU."""

TorchDevice = Literal["cpu", "cuda"]
"""The device on which torch runs a network."""

Errors = Literal["raise", "return"]
"""The handling of an error for one image of a list: it is raised, or returned in place of the result."""

Wrap = Literal["x", "y", "xy"]
"""The axes of an image whose opposite borders touch: 'x' of a panorama of 360 degrees, 'xy' of a tile of a texture."""

Skip = Literal["raise", "skip"]
"""The handling of a sample that cannot be read: its error is raised, or the sample is omitted."""

Gradients = Literal["source", "mixed", "average", "monochrome"]
"""The images whose gradients a Poisson blend uses."""

Contour = Literal["half", "full"]
"""The share of the guidance that a difference across a hard contour gets: half, or all of it, as in the paper."""

GradientKernel = Literal["normal", "sobel", "scharr", "prewitt", "roberts"]
"""The filter of derivatives."""

SolveMethod = Literal["auto", "chebyshev", "dct", "multigrid"]
"""The method that solves the Gaussian-Poisson equation."""

HarmonizeMethod = Literal[
    "auto", "reinhard", "mkl", "match_histogram", "luminance_temperature", "lalonde_efros", "xue"
]  # fmt: skip
"""The named methods of `pyharmony.harmonize`, which also accepts names and paths of weights."""

SegmentMethod = Literal[
    "auto", "clicks-imagenet", "clicks", "grabcut", "random_walker", "clicks-imagenet+grabcut",
    "clicks-imagenet+random_walker", "clicks-imagenet-alone",
]  # fmt: skip
"""The methods of `pyharmony.segment` by name."""

UpscaleMethod = Literal["auto", "srgan", "lanczos", "bicubic"]
"""The methods of `pyharmony.super_resolve` by name."""

CompositeBlend = Literal["auto", "alpha", "gaussian_poisson", "poisson"]
"""The blends of `pyharmony.compose`."""

LayerMode = Literal["normal", "multiply", "screen", "overlay", "darken", "lighten", "soft_light"]
"""The modes in which a layer's colours mix with those below it, of W3C's Compositing and Blending Level 1."""

Chroma = Literal["transport", "temperature"]
"""The treatment of chroma by `pyharmony.color.luminance_temperature`."""

ImageFormat = Literal["jpeg", "jpg", "png", "webp", "tiff", "tif", "bmp", "avif", "jxl"]
"""The formats that are written."""

Quality: TypeAlias = int | Literal["original"]
"""The quality of JPEG, WebP, AVIF, JPEG XL, 1 to 100; 'original' for a JPEG with what is unchanged of another one."""

DataKind = Literal["shards", "iharmony4", "manifest", "tar", "tfrecord", "triples", "photos", "coco", "scenes"]
"""The layout of a data set."""

SynthesisMethod = Literal[
    "reinhard", "xiao_ma", "fecker", "idt", "mkl", "luminance_temperature", "match_histogram",
    "lut_mix", "retouch", "brightness_contrast", "temperature",
]  # fmt: skip
"""The way in which `pyharmony.learn.data.Synthesis` makes composites of photos."""

Task = Literal["harmonize", "blend", "realism", "segment", "style", "upscale"]
"""The purpose of a network of `pyharmony.networks.models`."""

PartialConvMethod = Literal["auto", "rows", "dense"]
"""The windows that layers with a `pyharmony.ops.MaskPlan` compute: by their share, those with a known pixel, or all."""

SpectralNormOrder = Literal["legacy", "parametrization"]
"""The spectral normalisation of torch that is reproduced bit for bit."""

SpectralNormUpdate = Literal["step", "forward"]
"""The time at which `pyharmony.networks.nn.SpectralNormGroup` iterates."""

# Arrays and images


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
    """An array that is read and written by slices, such as numpy.memmap and the arrays of h5py and zarr."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...


class Network(Protocol):
    """A `torch.nn.Module`, such as a model of `pyharmony.networks.models`."""

    def parameters(self, recurse: bool = ...) -> Iterator[Any]: ...


Array: TypeAlias = npt.NDArray[Any] | Tensor | CudaArray
"""A `numpy.ndarray`, a `torch.Tensor` or an array on a CUDA device."""

PathLike: TypeAlias = str | os.PathLike[str]
"""A path to a file or folder."""

FileLike: TypeAlias = PathLike | bytes | bytearray | memoryview | ReadableFile
"""A file: its path, its bytes, or an open binary file."""

AnyT = TypeVar("AnyT")

if TYPE_CHECKING:
    _AnyT_co = TypeVar("_AnyT_co", covariant=True)

    class _Named(Protocol[_AnyT_co]):
        """A type without instances. mypy shows an alias that contains itself by name, and others with all members."""

        def _never(self) -> _AnyT_co: ...

    ImageLike: TypeAlias = Array | PILImage | Picture | FileLike | "_Named[ImageLike]"
    MaskLike: TypeAlias = Array | PILImage | Picture | FileLike | "_Named[MaskLike]"
    OutLike: TypeAlias = Array | PathLike | WritableFile | "_Named[OutLike]"
else:
    ImageLike: TypeAlias = Array | PILImage | Picture | FileLike
    """An image: an array, a PIL image, a `pyharmony.io.Picture` or a file."""

    MaskLike: TypeAlias = ImageLike
    """A mask: an array [H, W] of bool, integers scaled by their range or floats in [0, 1], or a grey image."""

    OutLike: TypeAlias = Array | PathLike | WritableFile
    """The destination of a result: an array like dst, a path, or an open binary file."""

Position: TypeAlias = tuple[float, float]
"""A position (x, y) in pixels, to the right and down."""

Positions: TypeAlias = Sequence[Position] | Array
"""A position for each item of a batch [B, 2]; or a single one as an array [2]."""

if TYPE_CHECKING:
    Rng: TypeAlias = int | np.random.Generator
    """A `numpy.random.Generator`, which is advanced, or an integer that seeds a new one."""
else:

    def __getattr__(name: str) -> Any:
        if name == "Rng":  # NumPy loads its generators at their first use
            return int | np.random.Generator
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


OneOrMany: TypeAlias = AnyT | Sequence[AnyT]
"""One value, or a list or tuple with one for each image."""

# Types of arguments whose result has the same type

ArrayT = TypeVar("ArrayT", bound=Array)
"""An array, tensor or CUDA array, whose type the result has."""

ImageT = TypeVar("ImageT", bound=Array | PILImage | Picture)
"""An image in memory, whose type the result has."""

FileT = TypeVar("FileT", bound=FileLike)
OutT = TypeVar("OutT", bound=OutLike)
SlicedT = TypeVar("SlicedT", bound=SlicedArray)
"""An array that is read and written in parts, whose type the result has."""
