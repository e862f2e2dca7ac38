"""Networks of others that cut out, from ONNX files that the user has: a pair like Segment Anything's, or a salient one.

Sources: Kirillov et al., "Segment Anything", ICCV 2023, whose decoder has fixed names for its inputs; Qin et al.,
"U²-Net", Pattern Recognition 2020, for networks that find what stands out. Needs the extra `onnx`.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _checks, _install
from .._images.levels import shares_of
from .._images.sizes import resized
from ..errors import ArgumentError, WeightsError
from ..typing import PathLike
from . import _onnx_file
from ._clicks import sigmoid
from ._methods import Cutter, Method
from ._network import COUNT, Prompts, distinct
from .layers import Float32, Layer, Pixels, by_scores, connected, sampled

#: The mean of colours in [0, 1] in ImageNet, which nearly all networks subtract.
_MEAN = (0.485, 0.456, 0.406)
#: The standard deviation of colours in [0, 1] in ImageNet, by which nearly all networks divide.
_STD = (0.229, 0.224, 0.225)
#: The side of an encoder's image where the file does not say, in pixels.
_SIDE = 1024
#: The side of a decoder's mask input where the file does not say, in pixels.
_SMALL = 256
#: The side of the image of a network of what stands out, where the file does not say.
_SALIENT = 320
#: The inputs that a decoder must have.
_ASKED = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input")
#: The label of a point that means nothing to a decoder.
_NOTHING = -1.0
#: The label of the top left corner of a box.
_FIRST = 2.0
#: The label of the bottom right corner of a box.
_SECOND = 3.0
#: The largest absolute logit that a mask becomes.
_SURE = 10.0
#: The largest side of an image or mask that a file may ask for, in pixels.
_MOST = 4096
#: The most masks that a decoder may give for a click.
_MASKS = 16
#: The seconds that a network may take for one picture or click: those known take some seconds on one core.
_LIMIT = 300.0


def sam(encoder: PathLike, decoder: PathLike, *, limit: float = _LIMIT) -> Method:
    """Returns a method by a pair of networks like Segment Anything's: `segment(image, points=..., method=sam(a, b))`.

    The encoder sees the picture once; every click asks the decoder alone. An encoder takes [1, 3, S, S] scaled by the
    mean and deviation of ImageNet and filled up with zeros, as SAM and MobileSAM do, or [H, W, 3] of 0 to 255 where it
    does that itself. The decoder is one by SAM's own export, with `image_embeddings`, `point_coords`, `point_labels`,
    `mask_input` and `has_mask_input`; it gives `iou_predictions` and `low_res_masks`.

    An ONNX file is a program, with loops: take it from whom you trust. Weights beside it lie in its folder, and it has
    at most 8 GiB with them.

    Args:
        encoder, decoder: the files, .onnx.
        limit: the seconds that each of them may take for one picture or click, after which it is stopped.

    Raises:
        FileNotFoundError: there is no such file.
        ArgumentError: limit is not a number above 0.
        WeightsError: a file is no network of that kind, or takes longer than limit. Raised when it is first used, like
            the one that follows.
        ImportError: onnxruntime is not installed.
    """
    files = _file(encoder, "encoder"), _file(decoder, "decoder")
    open_cutter = _Opened(_open_sam, files, _seconds(limit))
    return Method("sam", f"networks of {files[0].name} and {files[1].name}", open_cutter, _NEEDS)


def salient(
    network: PathLike, *, mean: Sequence[float] = _MEAN, std: Sequence[float] = _STD, limit: float = _LIMIT
) -> Method:
    """Returns a method by a network that finds what stands out in a picture, of which a click chooses a part.

    It takes [1, 3, S, S] and gives a plane [1, 1, S, S] first, of probabilities or logits, as U²-Net, IS-Net and their
    kin do. Every answer is of that plane: further clicks add parts of it, and one where nothing stands out changes
    nothing.

    Args:
        network: the file, .onnx.
        mean, std: the colours in [0, 1] that it takes away, and by which it divides.
        limit: see `sam`.

    Raises:
        FileNotFoundError: there is no such file.
        ArgumentError: mean or std are not three numbers, std is not above 0, or limit is not a number above 0.
        WeightsError: the file is no network of that kind, or takes longer than limit. Raised when it is first used,
            like the one that follows.
        ImportError: onnxruntime is not installed.
    """
    file = _file(network, "network")
    for name, values in (("mean", mean), ("std", std)):
        entries = _checks.several(values, name, "three numbers")
        numbers = [x for x in entries if isinstance(x, (int, float)) and np.isfinite(x) and (name == "mean" or x > 0)]
        if len(numbers) != 3 or len(entries) != 3:
            raise ArgumentError(f"{name}: {values!r}, expected three numbers{' above 0' if name == 'std' else ''}")
    open_cutter = _Opened(functools.partial(_open_salient, mean=tuple(mean), std=tuple(std)), (file,), _seconds(limit))
    return Method("salient", f"the network of {file.name}", open_cutter, _NEEDS)


_NEEDS = (("onnxruntime", "onnx"),)


def _file(path: PathLike, name: str) -> Path:
    file = _checks.path(path, name)
    if not file.is_file():
        raise FileNotFoundError(f"{name}: {os.fspath(path)}: there is no such file")
    return file


def _seconds(limit: float) -> float:
    accepts = "a number of seconds above 0, at most 86400"
    seconds = _checks.number(limit, "limit", high=86_400, accepts=accepts)
    if not seconds:
        raise ArgumentError(f"limit: 0, expected {accepts}")
    return seconds


class _Opened:
    """Holds the networks of files, which are read when a picture is first opened."""

    def __init__(self, make: Callable[..., Cutter], files: tuple[Path, ...], limit: float) -> None:
        self._make, self._files, self._limit = make, files, limit
        self._networks: tuple[_OnnxNetwork, ...] = ()

    def __call__(self, picture: Pixels) -> Cutter:
        self._networks = self._networks or tuple(
            _OnnxNetwork(file, _session(file), self._limit) for file in self._files
        )
        return self._make(picture, *self._networks)


def _session(file: Path) -> Any:
    """Returns a file's network, ready to run on the CPU."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ImportError(f"onnxruntime is missing, {file.name} needs it: {_install.hint('onnx')}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        _onnx_file.check(file)
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no class of their own
        raise WeightsError(f"{file}: no ONNX network that runs here: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@dataclass(frozen=True)
class _OnnxNetwork:
    """The network of a file, whose inputs and outputs are checked, since they may be anything.

    Attributes:
        limit: the seconds that it may take.
    """

    file: Path
    session: Any
    limit: float

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input by its name; 0 where the file says none, or a side that no picture has."""
        return {
            x.name: tuple(side if isinstance(side, int) and 0 < side <= _MOST else 0 for side in x.shape)
            for x in self.session.get_inputs()
        }

    def first_input(self) -> tuple[str, tuple[int, ...]]:
        """Returns the name and the shape of the first input."""
        if not self.inputs:
            raise self.wrong("takes no input", "expected an image")
        return next(iter(self.inputs.items()))

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the outputs by their names.

        Raises:
            WeightsError: the network does not take the inputs, fails, or takes longer than its limit.
        """
        import onnxruntime

        options = onnxruntime.RunOptions()
        # A network may hold loops without an end, so it runs beside this thread, which can stop it.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.session.run, None, inputs, options)
            try:
                values = running.result(self.limit)
            except concurrent.futures.TimeoutError:
                options.terminate = True
                raise self.wrong(f"took longer than {self.limit:g} s", "it was stopped") from None
            except Exception as error:  # as above
                raise self.wrong("does not take what it is given", _line(error)) from error
            except BaseException:
                options.terminate = True
                raise
        return dict(zip([x.name for x in self.session.get_outputs()], values, strict=True))

    def numbers(self, value: Any, name: str, axes: int, says: str) -> Float32:
        """Returns an output as finite float32, after its checks.

        Args:
            name: the name of the output.
            axes: the number of its axes.
            says: what they are, for the message.
        """
        expected = f"expected {says}"
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            kind = value.dtype.name if isinstance(value, np.ndarray) else type(value).__name__
            raise self.wrong(f"gives {name} of {kind}", expected)
        if value.ndim != axes or not value.size or max(value.shape) > _MOST:
            raise self.wrong(f"gives {name} of shape {list(value.shape)}", expected)
        array = value.astype(np.float32)
        if not np.isfinite(array).all():
            raise self.wrong(f"gives NaN or infinities in {name}", expected)
        return array

    def wrong(self, what: str, expected: str) -> WeightsError:
        """Returns the error that says what the network of the file does."""
        return WeightsError(f"{self.file}: the network {what}; {expected}")


def _planes(image: Float32, mean: Sequence[float], std: Sequence[float]) -> Float32:
    """Returns an image [H, W, 3] of 0 to 255 as [1, 3, H, W], scaled."""
    scaled = (image / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


class _Sam:
    """One picture, whose embedding is kept."""

    def __init__(self, picture: Pixels, encoder: _OnnxNetwork, decoder: _OnnxNetwork) -> None:
        self._decoder = decoder
        self._inputs = decoder.inputs
        if missing := [name for name in _ASKED if name not in self._inputs]:
            raise decoder.wrong(f"has no input {', '.join(missing)}", "expected a decoder by SAM's own export")
        first, shape = encoder.first_input()
        as_planes = len(shape) == 4
        if not as_planes and len(shape) != 3:
            raise encoder.wrong(f"takes {len(shape)} axes", "expected an encoder of [1, 3, S, S] or [H, W, 3]")
        side = (shape[2] if as_planes else max(shape[:2])) or _SIDE
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
        # The part of the picture, with what fills it up, that a small mask covers.
        self._square = (0, 0, round(side / self._factor), round(side / self._factor))
        self._whole = (0, 0, width, height)
        self._small = next(iter(self._inputs["mask_input"][-1:]), 0) or _SMALL

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        places = [(x + 0.5, y + 0.5) for x, y in prompts.points]
        labels = [float(label) for label in prompts.labels]
        if prompts.box is not None:
            places += [prompts.box[:2], prompts.box[2:]]
            labels += [_FIRST, _SECOND]
        else:
            places.append((0.0, 0.0))
            labels.append(_NOTHING)
        size = (self._small, self._small)
        if last is None and prompts.mask is not None:
            last = Layer(self._whole, shares_of(resized(prompts.mask, size)), 0.0)
        mask = np.zeros((1, 1, *size), np.float32)
        if last is not None:
            shares = np.clip(sampled(last, self._square, size), 1e-4, 1 - 1e-4)
            mask[0, 0] = np.clip(np.log(shares / (1 - shares)), -_SURE, _SURE)
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


def _open_sam(picture: Pixels, encoder: _OnnxNetwork, decoder: _OnnxNetwork) -> Cutter:
    return _Sam(picture, encoder, decoder)


class _Salient:
    """One picture, of which it is known what stands out."""

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
            # Of the axes before the plane's own none has more than one entry.
            plane = plane.reshape(plane.shape[-2:]) if plane.size == np.prod(plane.shape[-2:]) else plane
        plane = network.numbers(plane, name, 2, "one plane [1, 1, S, S]")
        if plane.min() < 0 or plane.max() > 1:
            plane = sigmoid(plane)
        self._layer = Layer((0, 0, width, height), plane, 0.0)

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        del last  # every answer comes from the same plane
        layer = self._layer
        height, width = layer.values.shape
        if prompts.box is not None:
            inside = sampled(Layer(prompts.box, np.ones((2, 2), np.float32), 0.0), layer.box, (width, height))
            layer = layer._replace(values=layer.values * (inside > 0.5))
        # A click where nothing stands out changes nothing; where all clicks are such, there is no answer.
        pixels = [(int(x), int(y), int(x) + 1, int(y) + 1) for x, y in prompts.inside]
        if pixels and all(sampled(layer, pixel, (1, 1))[0, 0] <= 0.5 for pixel in pixels):
            return []
        layer = connected(layer, prompts.inside)
        region = layer.values > 0.5
        return [layer._replace(score=float(layer.values[region].mean()))] if region.any() else []


def _open_salient(picture: Pixels, network: _OnnxNetwork, mean: Sequence[float], std: Sequence[float]) -> Cutter:
    return _Salient(picture, network, mean, std)
