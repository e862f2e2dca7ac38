"""Methods by ONNX networks that the user supplies: a pair in the style of Segment Anything, or a saliency network.

Sources: Kirillov et al., "Segment Anything", ICCV 2023, whose decoder has fixed names for its inputs; Qin et al.,
"U²-Net", Pattern Recognition 2020, for salient object detection. Needs the extra `onnx`.
"""

from __future__ import annotations

import concurrent.futures
import errno
import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _checks, _install
from .._arrays import Float32, Pixels
from .._images.levels import shares_of
from .._images.sizes import resized
from ..errors import ArgumentError, FileError, WeightsError
from ..typing import PathLike
from . import _onnx_file
from ._clicks import sigmoid
from ._methods import Cutter, Method
from ._network import COUNT, Prompts, distinct
from .layers import Layer, by_scores, connected, sampled

#: The mean of colours in [0, 1] in ImageNet, which nearly all networks subtract.
_MEAN = (0.485, 0.456, 0.406)
#: The standard deviation of colours in [0, 1] in ImageNet, by which nearly all networks divide.
_STD = (0.229, 0.224, 0.225)
#: The side of an encoder's image if the file does not specify it, in pixels.
_DEFAULT_IMAGE_SIDE = 1024
#: The side of a decoder's mask input if the file does not specify it, in pixels.
_DEFAULT_MASK_SIDE = 256
#: The side of a saliency network's image if the file does not specify it, in pixels.
_SALIENT = 320
#: The inputs that a decoder must have.
_INPUTS = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input")
#: The label of a point that a decoder ignores.
_PADDING_LABEL = -1.0
#: The labels of the top left and the bottom right corner of a box.
_CORNERS = [2.0, 3.0]
#: The largest absolute logit of a mask input.
_MAX_MASK_LOGIT = 10.0
#: The largest side of an image or mask that a file may require, in pixels.
_MAX_FILE_SIDE = 4096
#: The largest number of masks that a decoder may return for a click.
_MASKS = 16
#: The time limit of a network for one image or click, in seconds: known networks take some seconds on one core.
_LIMIT = 300.0


def sam(encoder: PathLike, decoder: PathLike, *, limit: float = _LIMIT) -> Method:
    """Returns a method by a pair of networks like Segment Anything's: `segment(image, points=..., method=sam(a, b))`.

    The encoder runs once for each image, the decoder once for each click. An encoder takes [1, 3, S, S], normalised by
    the mean and deviation of ImageNet and padded with zeros, as SAM and MobileSAM do, or [H, W, 3] of 0 to 255 if it
    normalises by itself. The decoder is one by SAM's own export, with `image_embeddings`, `point_coords`,
    `point_labels`, `mask_input` and `has_mask_input`; it returns `iou_predictions` and `low_res_masks`.

    An ONNX file is a program, with loops: use files from trusted sources only. Files of external weights must be in
    its folder, and its size is at most 8 GiB with them.

    Args:
        encoder, decoder: the files, .onnx.
        limit: the seconds after which each of them is stopped, for one image or click.

    Raises:
        FileNotFoundError: there is no such file.
        ArgumentError: limit is not a number above 0.
        WeightsError: a file is not a network of that kind, or takes longer than limit. Raised at its first use, like
            the next one.
        ImportError: onnxruntime is not installed.
    """
    files = _file(encoder, "encoder"), _file(decoder, "decoder")
    open_cutter = _LazyNetworks(_Sam, files, _seconds(limit))
    return Method("sam", f"networks of {files[0].name} and {files[1].name}", open_cutter, _NEEDS)


def salient(
    network: PathLike, *, mean: Sequence[float] = _MEAN, std: Sequence[float] = _STD, limit: float = _LIMIT
) -> Method:
    """Returns a method by a network that segments salient objects, of which clicks select parts.

    The network takes [1, 3, S, S], and its first output is a plane [1, 1, S, S] of probabilities or logits, as with
    U²-Net, IS-Net and similar ones. Every mask is made of connected parts of that plane: further clicks add parts, and
    a click outside of all parts changes nothing.

    Args:
        network: the file, .onnx.
        mean, std: the normalisation of colours in [0, 1]: mean is subtracted, then they are divided by std.
        limit: see `sam`.

    Raises:
        ArgumentError: mean or std are not three numbers, std is not above 0, or limit is not a number above 0.
        FileNotFoundError, WeightsError, ImportError: see `sam`.
    """
    file = _file(network, "network")
    for name, values in (("mean", mean), ("std", std)):
        entries = _checks.several(values, name, "three numbers")
        numbers = [x for x in entries if isinstance(x, (int, float)) and np.isfinite(x) and (name == "mean" or x > 0)]
        if len(numbers) != 3 or len(entries) != 3:
            raise ArgumentError(f"{name}: {values!r}, expected three numbers{' above 0' if name == 'std' else ''}")
    make = functools.partial(_Salient, mean=tuple(mean), std=tuple(std))
    open_cutter = _LazyNetworks(make, (file,), _seconds(limit))
    return Method("salient", f"the network of {file.name}", open_cutter, _NEEDS)


_NEEDS = (("onnxruntime", "onnx"),)


def _file(path: PathLike, name: str) -> Path:
    file = _checks.path(path, name)
    if not file.is_file():
        raise FileError.of(errno.ENOENT, name, file, "a file")
    return file


def _seconds(limit: float) -> float:
    accepts = "a number of seconds above 0, at most 86400"
    seconds = _checks.number(limit, "limit", high=86_400, accepts=accepts)
    if not seconds:
        raise ArgumentError(f"limit: 0, expected {accepts}")
    return seconds


class _LazyNetworks:
    """A factory of cutters, which reads the files of their networks when the first image is opened."""

    def __init__(self, make: Callable[..., Cutter], files: tuple[Path, ...], limit: float) -> None:
        self._make, self._files, self._limit = make, files, limit
        self._networks: tuple[_OnnxNetwork, ...] = ()

    def __call__(self, picture: Pixels) -> Cutter:
        self._networks = self._networks or tuple(_OnnxNetwork(x, _session(x), self._limit) for x in self._files)
        return self._make(picture, *self._networks)


def _session(file: Path) -> Any:
    """Returns an inference session for a file, on the CPU."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ImportError(f"onnxruntime is missing, {file.name} needs it: {_install.hint('onnx')}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        _onnx_file.check(file)
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise WeightsError(f"{file}: not an ONNX network that runs here: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@dataclass(frozen=True)
class _OnnxNetwork:
    """The network of a file, whose inputs and outputs are checked, since the file is not trusted."""

    file: Path
    session: Any
    limit: float  # the time limit of a run, in seconds

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input by its name; 0 for a side that the file leaves open or that no image has."""
        return {
            x.name: tuple(side if isinstance(side, int) and 0 < side <= _MAX_FILE_SIDE else 0 for side in x.shape)
            for x in self.session.get_inputs()
        }

    def first_input(self) -> tuple[str, tuple[int, ...]]:
        """Returns the name and the shape of the first input."""
        if not self.inputs:
            raise self.wrong("takes no input", "expected an image")
        return next(iter(self.inputs.items()))

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the outputs by their names; a network that fails or takes longer than its limit is refused."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        # A network may contain endless loops, so it runs in another thread, which this one can stop.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.session.run, None, inputs, options)
            try:
                values = running.result(self.limit)
            except concurrent.futures.TimeoutError:
                options.terminate = True
                raise self.wrong(f"took longer than {self.limit:g} s", "it was stopped") from None
            except Exception as error:  # as above
                raise self.wrong("does not accept its inputs", _line(error)) from error
            except BaseException:
                options.terminate = True
                raise
        return dict(zip([x.name for x in self.session.get_outputs()], values, strict=True))

    def numbers(self, value: Any, name: str, axes: int, description: str) -> Float32:
        """Returns an output as finite float32, after its checks.

        axes: the number of its axes.
        description: its meaning and shape, for the message.
        """
        expected = f"expected {description}"
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            kind = value.dtype.name if isinstance(value, np.ndarray) else type(value).__name__
            raise self.wrong(f"gives {name} of {kind}", expected)
        if value.ndim != axes or not value.size or max(value.shape) > _MAX_FILE_SIDE:
            raise self.wrong(f"gives {name} of shape {list(value.shape)}", expected)
        array = value.astype(np.float32)
        if not np.isfinite(array).all():
            raise self.wrong(f"gives NaN or infinities in {name}", expected)
        return array

    def wrong(self, what: str, expected: str) -> WeightsError:
        """Returns the error about a network, with the name of its file."""
        return WeightsError(f"{self.file}: the network {what}; {expected}")


def _planes(image: Float32, mean: Sequence[float], std: Sequence[float]) -> Float32:
    """Returns an image [H, W, 3] of 0 to 255 as [1, 3, H, W], normalised."""
    scaled = (image / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


class _Sam:
    """An image with its embedding."""

    def __init__(self, picture: Pixels, encoder: _OnnxNetwork, decoder: _OnnxNetwork) -> None:
        self._decoder = decoder
        self._inputs = decoder.inputs
        if missing := [name for name in _INPUTS if name not in self._inputs]:
            raise decoder.wrong(f"has no input {', '.join(missing)}", "expected a decoder by SAM's own export")
        first, shape = encoder.first_input()
        as_planes = len(shape) == 4
        if not as_planes and len(shape) != 3:
            raise encoder.wrong(f"takes {len(shape)} axes", "expected an encoder of [1, 3, S, S] or [H, W, 3]")
        side = (shape[2] if as_planes else max(shape[:2])) or _DEFAULT_IMAGE_SIDE
        height, width = picture.shape[:2]
        self._factor = side / max(height, width)
        self._size = max(1, round(width * self._factor)), max(1, round(height * self._factor))
        small = resized(picture, self._size).astype(np.float32)
        if as_planes:
            planes = np.zeros((1, 3, side, side), np.float32)
            planes[:, :, : self._size[1], : self._size[0]] = _planes(small, _MEAN, _STD)
            small = planes
        outputs = encoder.run({first: small})
        name = next(iter(outputs), "nothing")
        encoder.numbers(outputs.get(name), name, 4, "an embedding [1, C, h, w]")
        self._embedding = outputs[name]
        # The square of the image, with its padding, that a mask input covers.
        self._square = (0, 0, round(side / self._factor), round(side / self._factor))
        self._whole = (0, 0, width, height)
        self._small = next(iter(self._inputs["mask_input"][-1:]), 0) or _DEFAULT_MASK_SIDE

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        places = [(x + 0.5, y + 0.5) for x, y in prompts.points]
        labels = [float(label) for label in prompts.labels]
        places += [(0.0, 0.0)] if prompts.box is None else [prompts.box[:2], prompts.box[2:]]
        labels += [_PADDING_LABEL] if prompts.box is None else _CORNERS
        size = (self._small, self._small)
        if last is None and prompts.mask is not None:
            last = Layer(self._whole, shares_of(resized(prompts.mask, size)), 0.0)
        mask = np.zeros((1, 1, *size), np.float32)
        if last is not None:
            shares = np.clip(sampled(last, self._square, size), 1e-4, 1 - 1e-4)
            mask[0, 0] = np.clip(np.log(shares / (1 - shares)), -_MAX_MASK_LOGIT, _MAX_MASK_LOGIT)
        inputs = {
            "image_embeddings": self._embedding,
            "point_coords": np.array([places], np.float32) * np.float32(self._factor),
            "point_labels": np.array([labels], np.float32),
            "mask_input": mask,
            "has_mask_input": np.array([float(last is not None)], np.float32),
            "orig_im_size": np.array([self._size[1], self._size[0]], np.float32),
        }
        outputs = self._decoder.run({name: x for name, x in inputs.items() if name in self._inputs})
        if not {"low_res_masks", "iou_predictions"} <= outputs.keys():
            raise self._decoder.wrong(f"gives {', '.join(outputs)}", "expected low_res_masks and iou_predictions")
        masks = self._decoder.numbers(outputs["low_res_masks"], "low_res_masks", 4, "masks [1, N, h, w]")[0]
        scores = self._decoder.numbers(outputs["iou_predictions"], "iou_predictions", 2, "scores [1, N]")[0]
        if len(masks) != len(scores) or len(masks) > _MASKS:
            counts = f"{len(masks)} masks and {len(scores)} scores"
            raise self._decoder.wrong(f"gives {counts}", f"expected as many of both, at most {_MASKS}")
        layers = []
        for logits, score in zip(masks, scores, strict=True):
            square = Layer(self._square, sigmoid(logits), 0.0)
            part_size = (max(1, round(logits.shape[1] * self._size[0] / max(self._size))),
                    max(1, round(logits.shape[0] * self._size[1] / max(self._size))))  # fmt: skip
            values = sampled(square, self._whole, part_size)
            layers.append(connected(Layer(self._whole, values, float(np.clip(score, 0, 1))), prompts.inside))
        return distinct(by_scores(layers))[:COUNT]


class _Salient:
    """An image with its saliency map."""

    def __init__(self, picture: Pixels, network: _OnnxNetwork, mean: Sequence[float], std: Sequence[float]) -> None:
        first, shape = network.first_input()
        if len(shape) != 4:
            raise network.wrong(f"takes {len(shape)} axes", "expected one of [1, 3, S, S]")
        height, width = picture.shape[:2]
        size = (shape[3] or shape[2] or _SALIENT, shape[2] or shape[3] or _SALIENT)
        outputs = network.run({first: _planes(resized(picture, size).astype(np.float32), mean, std)})
        name = next(iter(outputs), "nothing")
        plane = outputs.get(name)
        if isinstance(plane, np.ndarray):
            # All axes before the last two have one entry.
            plane = plane.reshape(plane.shape[-2:]) if plane.size == np.prod(plane.shape[-2:]) else plane
        plane = network.numbers(plane, name, 2, "one plane [1, 1, S, S]")
        if plane.min() < 0 or plane.max() > 1:
            plane = sigmoid(plane)
        self._layer = Layer((0, 0, width, height), plane, 0.0)

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        del last  # every mask comes from the same map
        layer = self._layer
        height, width = layer.values.shape
        if prompts.box is not None:
            inside = sampled(Layer(prompts.box, np.ones((2, 2), np.float32), 0.0), layer.box, (width, height))
            layer = layer._replace(values=layer.values * (inside > 0.5))
        # A click on nothing salient changes nothing; if all clicks are such, there is no mask.
        pixels = [(int(x), int(y), int(x) + 1, int(y) + 1) for x, y in prompts.inside]
        if pixels and all(sampled(layer, pixel, (1, 1))[0, 0] <= 0.5 for pixel in pixels):
            return []
        layer = connected(layer, prompts.inside)
        region = layer.values > 0.5
        return [layer._replace(score=float(layer.values[region].mean()))] if region.any() else []
