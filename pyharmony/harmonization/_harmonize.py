"""Harmonisation of images by any method, and of sequences of frames."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import _checks, _device, _reprs
from .._images.call import DST_AS_SRC, Call, on_object
from .._images.frame import Frame, Infos, Job
from .._images.kinds import is_file
from .._images.sizes import fitted
from ..errors import (
    NO_REASON,
    ArgumentError,
    ConfidenceWarning,
    DTypeError,
    MaskError,
    PyHarmonyError,
    PyHarmonyWarning,
    Reason,
    ShapeError,
    UnchangedWarning,
)
from ..typing import Device, HarmonizeMethod, ImageLike, MaskLike, Network, OneOrMany, PathLike
from . import _colorgrid, _hints, _lalonde_efros, _statistics, _xue
from ._caps import capped
from ._guards import NO_BACKGROUND, OBJECT_SMALL, TRUSTED, Answer, Care, mean_change, region_confidence
from ._judged import hardened, with_close
from ._maps import IDENTITY, ColorMap, apply_into, image_of
from ._scene import Scene, scene_of
from .names import DEFAULT, METHODS, check_name

#: The methods without weights.
_METHODS_WITHOUT_WEIGHTS: dict[str, Callable[[Scene, bool], Answer]] = {
    "reinhard": _statistics.reinhard,
    "mkl": _statistics.mkl,
    "match_histogram": _statistics.match_histogram,
    "luminance_temperature": _statistics.luminance_temperature,
    "lalonde_efros": _lalonde_efros.lalonde_efros,
    "xue": _xue.xue,
}

#: The largest strength.
_MAX_STRENGTH = 2.0

#: Frames whose colour histograms have an intersection below this are of two shots.
_SAME_SHOT = 0.5
#: The number of levels of each channel in those histograms.
_LEVELS = 8
#: A reduction by the guard below this, in 8-bit levels, is not reported.
_MIN_REPORTED_LEVELS = 0.5


@dataclass(frozen=True, repr=False)
class HarmonizeInfo(_reprs.Line):
    """A record of the change that was made to an image.

    Attributes:
        method: the name of the method; 'copy' if the image was not changed.
        weights: the weights that were used: a name or path, or the name of a model; None without a network.
        confidence: the confidence of the estimate, 0 to 1.
        reason: why the confidence is low, or why nothing was changed, in a few words; else empty.
        map: the colour map that was applied, including strength; the identity if the image was not changed.
        device: where the network ran, 'cpu' or 'cuda'; 'cpu' without a network.
        milliseconds: the wall time of the item.
        peak_bytes: the peak of scratch memory, without the caller's arrays, the result and what torch allocates. The
            call that loads a network includes it.
        change: the size of the change: the mean under the mask, at the method's working size, of the
            largest change of a channel, in 8-bit levels (1/255 of white).
        asked: the same for the full change of the method, with strength, before the guard reduced it (for
            'xue', after its offsets were limited).

    Example:
        >>> from pyharmony import harmonize
        >>> image = np.random.default_rng(0).integers(0, 100, (32, 32, 3), np.uint8)
        >>> image[8:24, 8:24] += 30
        >>> mask = np.zeros((32, 32), np.uint8)
        >>> mask[8:24, 8:24] = 255
        >>> result, info = harmonize(image, mask, method="reinhard", guard=False, return_info=True)
        >>> info.method, info.weights, info.change <= info.asked
        ('reinhard', None, True)
    """

    method: str
    weights: str | None
    confidence: float
    reason: Reason
    map: ColorMap
    device: str
    milliseconds: float = 0.0
    peak_bytes: int = 0
    change: float = 0.0
    asked: float = 0.0

    @property
    def held_back(self) -> bool:
        """Whether the guard reduced the change by half a level or more."""
        return self.asked - self.change >= _MIN_REPORTED_LEVELS


@dataclass(frozen=True)
class _Method:
    """A method that is ready to run."""

    name: str
    weights: str | None
    device: str
    size: Callable[[tuple[int, int]], tuple[int, int]]  # returns the scene's size for an image [H, W]
    find: Callable[[Scene, Care], Answer]  # returns the result for a scene, with the care of the call
    background: bool  # whether the method needs pixels outside the mask
    closer: bool = False  # whether the method also uses a crop of the object


@on_object
def harmonize(
    call: Call,
    *,
    method: HarmonizeMethod | PathLike | Network = "auto",
    strength: float = 1.0,
    guard: bool = True,
    cautious: bool = False,
    source: OneOrMany[ImageLike | None] = None,
    source_mask: OneOrMany[MaskLike | None] = None,
    reference_mask: OneOrMany[MaskLike | None] = None,
    batch_statistics: bool = False,
) -> Any:
    """Gives an object the light and colour of its background, at the image's own size.

    Every method estimates a map of colours from a reduced image: an affine map with curves and a bilateral grid
    (`pyharmony.ops.color_grid`), or a table over the cube of colours. The map is applied to the image inside the mask:
    details are kept, and time and memory grow only with the image.

    Args:
        image: the composite, see `pyharmony.blend`: an array, a tensor, a PIL image, a path, the bytes of a file, an
            open file, a `pyharmony.io.Picture`, a batch, or a list of these. It has 1 (grey), 3 (RGB) or 4 (RGBA)
            channels. In a grey image only the luminance changes.
        mask: the mask of the object, of the image's size, soft; of any kind that `pyharmony.blend` accepts. The alpha
            of an RGBA image multiplies it, and is kept.
        at: (x, y), the position in the image of the first pixel of a mask of another size, such as that of a cut-out;
            the part outside the image is cropped. None: the mask has the image's size.
        method: one of

            * 'auto': the network whose weights come with pyharmony, `colorgrid`, which needs no torch.
            * a path of weights, the name of weights that come with pyharmony, or a model of
              `pyharmony.networks.models` that
              harmonizes. It runs at its own size; a map is fitted between its input and output inside the mask by least
              squares in float64. If a network returns a map itself, that map is used.
            * 'reinhard': matches mean and spread of lαβ to the background's (Reinhard et al. 2001).
            * 'mkl': matches mean and covariance of RGB, by the linear optimal transport (Pitié and Kokaram 2007).
            * 'match_histogram': matches the cumulative histogram of each channel.
            * 'luminance_temperature': matches luminance (smooth curve, Lee et al. 2016) and mean colour temperature.
            * 'lalonde_efros': moves 50 clusters of colours by the exact optimal transport to those of the background
              (Lalonde and Efros, *Using Color Compatibility for Assessing Image Realism*, 2007), damped with σ = 75.
            * 'xue': matches contrast, luminance, temperature and saturation (Xue, Agarwala, Dorsey, Rushmeier,
              *Understanding and Improving the Realism of Image Composites*, 2012), each by the offset that its high,
              low and mean values agree on best, in place of the paper's classifiers.

            Statistics of the background are weak evidence of the light on an object: see docs/harmonize.md before using
            one of the last six.
        strength: the factor of the change, 0 to 2; 0 gives a copy, above 1 exaggerates.
        guard: whether to leave the image unchanged if the estimate cannot be trusted, that is, if its confidence is
            below 0.25: object or background have few pixels, light does not explain the change, or no colour map
            explains a network's change. A network is run on several views of the image, its mirror image and slightly
            different masks among them; the mean of its results is applied, reduced the less they agree and the smaller
            it is, as calibrated for its weights. Transfers of statistics are limited: ratios of spreads to 1/1.5 to
            1.5, shifts of means, slopes of curves, and the mean change to 0.05 of white; highlights keep their hue. A
            change is reduced to the part that light explains, skin gets at most 1.5 times its chroma, and in a photo
            without colour the object loses its own. False: the change is applied as published, for an object that
            certainly does not match.
        cautious: whether a network's results have to agree better, for a pipeline that does not know whether anything
            was pasted: objects that match already are changed least. It has no effect on other methods.
        source: the original photo of the object, of any size and of any kind that image may be. The differences of
            exposure, white balance and contrast between its scene and that of image are added to the estimate of the
            method, whose weight is about a fifth then: a cut-out itself has little evidence of its light.
        source_mask: the mask of the object in source, of source's size: only pixels outside it are evidence of the
            light. None: all of source is.
        reference_mask: a mask, of the image's size, of an object in the image whose light the object should have, such
            as another face or the same cloth; the object is matched to it, too.
        batch_statistics: whether a network's batch norms use mean and variance of the image, not those
            from training; the published test commands of DoveNet, BargainNet and pix2pix do so.
        keep_gps, errors, out: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda': where the network of a file runs; None: the setting of `pyharmony.set_device`.
            A model runs on its device. The map is estimated and applied on the CPU: an array on a CUDA device is copied
            to the CPU, and the result back to the device.
        return_info: whether to return a HarmonizeInfo too, or one for each item of a batch or list.

    Returns:
        The image, in its own kind, layout, shape and dtype, or (image, info). Where the mask is zero it equals image,
        bit for bit. Integers are rounded half to even; floats beyond [0, 1] stay beyond. Without an object, or with a
        method of statistics without a background, it is a copy, with any guard.

    Raises:
        WeightsError: there are no such weights, or they are damaged.
        ImportError: another network than the default is requested, and torch is not installed.
        MaskError: mask is None; reference_mask is zero everywhere or inside mask; source_mask covers all of source.
        ArgumentError: method is unknown; source_mask is passed without source; strength is outside 0 to 2; the
            image or source contains NaN or infinities where its alpha is not zero; cautious is set without the guard,
            or batch_statistics for a method without batch norms.
        DeviceError: arrays are on two devices, or out is not where image is; or device cannot be used, and
            `pyharmony.set_device` was called with strict=True.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import harmonize
        >>> image = np.random.default_rng(0).integers(0, 100, (32, 32, 3), np.uint8)
        >>> image[8:24, 8:24] += 30
        >>> mask = np.zeros((32, 32), np.uint8)
        >>> mask[8:24, 8:24] = 255
        >>> result = harmonize(image, mask, method="reinhard", guard=False)
        >>> bool(result[mask > 0].mean() < image[mask > 0].mean())
        True
        >>> bool(np.array_equal(result[mask == 0], image[mask == 0]))
        True
    """
    of_each = _checks.flag(batch_statistics, "batch_statistics")
    amount, care = _strength(strength), _care(guard, cautious)
    _refuse_none(call.dst, call.mask)
    implementation = _method_of(method, call.device, of_each)
    step = _Harmonizer(implementation, amount, care)
    hints = _hints_given(source, source_mask, reference_mask)
    work = step.harmonize_hinted if hints else partial(Frame.each, blend=step.harmonize)
    # The caller's device is the network's; the map is applied on the CPU.
    return call.on_cpu().run(work, tell=step.warning_of, **hints)


def harmonize_frames(
    frames: Iterable[ImageLike],
    masks: Iterable[MaskLike],
    *,
    method: HarmonizeMethod | PathLike | Network = "auto",
    strength: float = 1.0,
    guard: bool = True,
    cautious: bool = False,
    source: ImageLike | None = None,
    source_mask: MaskLike | None = None,
    reference_mask: Iterable[MaskLike | None] | None = None,
    smoothing: float = 0.8,
    batch_statistics: bool = False,
    keep_gps: bool = False,
    device: Device | None = None,
    return_info: bool = False,
) -> Iterator[Any]:
    """Harmonizes the frames of a sequence, one after another, with a colour map that changes slowly.

    The map of a frame is smoothing times the map of the frame before plus (1 - smoothing) times the estimated map of
    this frame, to prevent flicker. It is reset at a cut, where two frames' histograms of colours (8 x 8 x 8) have less
    than half in common. A frame whose estimate is not trusted gets the map of the frame before.

    Args:
        frames, masks: equally many images and masks, of any kind that `harmonize` accepts except lists. They are read
            one at a time, so they may be generators.
        source, source_mask: see `harmonize`; one photograph for all frames.
        reference_mask: a mask for each frame, see `harmonize`; read one at a time.
        smoothing: the share of the map of the frame before, 0 (each frame by itself) to below 1.
        method, strength, guard, cautious, batch_statistics, keep_gps, device, return_info: see `harmonize`.
            `HarmonizeInfo.map` is the smoothed map.

    Yields:
        The result of `harmonize` for each frame.

    Raises:
        ShapeError: there are more frames than masks or references, or fewer; a frame is a batch.
        PyHarmonyError: see `harmonize`.

    Example:
        >>> from pyharmony.harmonization import harmonize_frames
        >>> frame = np.random.default_rng(0).integers(0, 100, (32, 32, 3), np.uint8)
        >>> frame[8:24, 8:24] += 30
        >>> mask = np.zeros((32, 32), np.uint8)
        >>> mask[8:24, 8:24] = 255
        >>> film = harmonize_frames([frame] * 3, [mask] * 3, method="reinhard", guard=False)
        >>> [result.shape for result in film]
        [(32, 32, 3), (32, 32, 3), (32, 32, 3)]
    """
    _checks.flags(keep_gps=keep_gps, return_info=return_info)
    amount, care = _strength(strength), _care(guard, cautious)
    below_one = np.nextafter(1.0, 0)
    keep = _checks.number(smoothing, "smoothing", high=below_one, accepts="a number of at least 0 and below 1")
    implementation = _method_of(method, device, _checks.flag(batch_statistics, "batch_statistics"))
    each = {"frames": frames, "masks": masks} | ({} if reference_mask is None else {"reference_mask": reference_mask})
    for name, value in each.items():
        if is_file(value) or not _checks.is_iterable(value):
            raise DTypeError(f"{name}: {type(value).__name__}, expected a sequence or generator of images")
    step = _Harmonizer(implementation, amount, care, _Memory(keep))
    every = {name: iter(value) for name, value in each.items()}
    return _frames(every, step, _hints_given(source, source_mask, None), keep_gps, return_info)


def _frames(
    every: dict[str, Iterator[Any]], step: _Harmonizer, hints: dict[str, Any], keep_gps: bool, info: bool
) -> Iterator[Any]:
    nothing = object()
    while True:
        items = {name: next(values, nothing) for name, values in every.items()}
        fewer = [name for name, value in items.items() if value is nothing]
        if len(fewer) == len(items):
            return
        if fewer:
            more = next(name for name in items if name not in fewer)
            raise ShapeError(f"{more}: more than {fewer[0]}, expected as many")
        image, mask, reference_mask = items["frames"], items["masks"], items.get("reference_mask")
        if isinstance(image, (list, tuple)):
            raise DTypeError(f"frames: an item is a {type(image).__name__}, expected an image")
        _refuse_none(image, mask)
        call = Call("harmonize_frames", DST_AS_SRC, image, mask, keep_gps=keep_gps, device="cpu", return_info=info)
        try:
            result = call.run(
                step.harmonize_hinted, tell=step.warning_of, **hints, **_hints_given(None, None, reference_mask)
            )
        except PyHarmonyError as error:
            plural = {"image": "frames", "mask": "masks"}.get(error.argument or "")
            raise error.within("", plural) if plural else error from None
        yield result
        # The source is read once; the sequence stores its scene.
        hints = {}


class _Memory:
    """The state of a sequence from frame to frame: the last map and histogram, and the scene of the source."""

    def __init__(self, keep: float) -> None:
        self.source: _hints.Source | None = None
        self._keep = keep
        self._map: ColorMap | None = None
        self._colors: np.ndarray[Any, Any] | None = None

    def detect_cut(self, scene: Scene) -> None:
        """Resets the map at a cut."""
        levels = np.minimum((scene.image * _LEVELS).astype(np.intp), _LEVELS - 1)
        codes = (levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2]
        colors = np.bincount(codes.reshape(-1), minlength=_LEVELS**3) / codes.size
        if self._colors is not None and np.minimum(colors, self._colors).sum() < _SAME_SHOT:
            self._map = None
        self._colors = colors

    def smoothed(self, color_map: ColorMap | None) -> ColorMap:
        """Returns the map of this frame; color_map is None if the estimate is not trusted."""
        if color_map is None:
            return IDENTITY if self._map is None else self._map
        self._map = color_map if self._map is None else color_map.mixed(self._map, self._keep)
        return self._map


@dataclass(frozen=True)
class _Harmonizer:
    """A method with the settings of a call; memory is that of a sequence of frames."""

    method: _Method
    strength: float
    care: Care
    memory: _Memory | None = None

    @property
    def guard(self) -> bool:
        return self.care is not Care.UNGUARDED

    def harmonize_hinted(
        self, frame: Frame, source: Any = None, source_mask: Any = None, reference_mask: Any = None
    ) -> Infos:
        """Harmonises the images of a frame with the hints of the caller."""
        if self.memory is not None and frame.batch:
            raise ShapeError("frames: an item is a batch, expected an image")
        hints = _hints.frame_hints(frame, source, source_mask, reference_mask)
        if self.memory is not None:
            self.memory.source = hints.sources[0] if self.memory.source is None else self.memory.source
            hints = dataclasses.replace(hints, sources=[self.memory.source])
        return frame.each(partial(self.harmonize, hints=hints))

    def harmonize(self, job: Job, hints: _hints.FrameHints | None = None) -> HarmonizeInfo:
        """Harmonises one image into its result and returns its info."""
        method, strength, memory = self.method, self.strength, self.memory
        holes = job.holes if job.holes is not None and job.holes.any() else None
        job.begin()
        scene: Scene | None = None
        if memory is not None or (strength > 0 and not job.bbox.empty):
            scene = scene_of(job.dst, job.mask, holes, method.size(job.shape))
        if memory is not None and scene is not None:
            memory.detect_cut(scene)
        if job.bbox.empty or strength == 0 or scene is None:
            # `Frame.each` reports why there is no object.
            trust = 0.0 if job.bbox.empty else 1.0
            return HarmonizeInfo("copy", method.weights, trust, NO_REASON, IDENTITY, method.device)
        if not scene.mask.any():
            answer = Answer(IDENTITY, 0.0, OBJECT_SMALL)
        elif method.background and not (scene.mask < 1).any():
            answer = Answer(IDENTITY, 0.0, NO_BACKGROUND)
        else:
            looked_at = with_close(scene, job.dst, job.mask, holes) if method.closer else scene
            answer = method.find(looked_at, self.care)
        trusted = answer.confidence >= TRUSTED if self.guard else answer.map is not IDENTITY
        applied = answer.map if trusted else IDENTITY
        full_map = answer.map if answer.full_map is None else answer.full_map
        if hints is not None and (not self.guard or region_confidence(scene)[0] >= TRUSTED):
            applied, full_map = self._hinted(job, scene, holes, hints, (applied, full_map))
        if memory is not None:
            applied = memory.smoothed(applied if trusted else None)
        if self.guard and region_confidence(scene)[0] >= TRUSTED:
            applied = capped(applied, scene)
        applied = applied.scaled(strength)

        def change_by(color_map: ColorMap) -> float:
            return 0.0 if color_map.is_identity else 255 * mean_change(scene, image_of(color_map, scene.image))

        change = change_by(applied)
        asked = change_by(full_map.scaled(strength)) if self.guard else change
        estimate = method.weights, answer.confidence, answer.reason
        if applied.is_identity:
            return HarmonizeInfo("copy", *estimate, IDENTITY, method.device, change=change, asked=asked)
        region = job.bbox
        place = region.x0, region.y0
        apply_into(applied, region.of(job.out), job.mask_of(region), region.of(job.out), place, job.shape)
        return HarmonizeInfo(method.name, *estimate, applied, method.device, change=change, asked=asked)

    @staticmethod
    def _hinted(
        job: Job, scene: Scene, holes: Any, frame_hints: _hints.FrameHints, maps: tuple[ColorMap, ColorMap]
    ) -> tuple[ColorMap, ColorMap]:
        """Returns two maps with the change from the hints of an item added."""
        size = (_hints.SCENE_SIDE, _hints.SCENE_SIDE)
        if not scene.mask.any() or not frame_hints.of_item(job.item):
            return maps
        hard = hardened(scene if scene.mask.shape == size else scene_of(job.dst, job.mask, holes, size))
        network, hints = _colorgrid.network(DEFAULT), frame_hints.hints(job.item, hard, holes)
        first, second = network.hinted(hard, maps, hints)
        return first, second

    def warning_of(self, info: HarmonizeInfo) -> PyHarmonyWarning | None:
        """Returns the warning for an info; its text has no figures, so that Python shows it once for a line of code."""
        if info.method == "copy" and info.reason:
            if not (self.guard and info.asked):
                return UnchangedWarning.because("nothing was harmonized: ", info.reason)
            before = "nothing was harmonized: the estimate is not trusted, "
            return UnchangedWarning.because(before, info.reason, hint="guard=False applies the change")
        if self.guard and info.held_back:
            hint = "info.change and info.asked have the amounts, guard=False applies all of it"
            return ConfidenceWarning("the guard reduced the change", code="held-back", hint=hint)
        if not self.guard and info.confidence < TRUSTED:
            before, hint = "the estimate has low confidence: ", "guard=True does not change such images"
            return ConfidenceWarning.because(before, info.reason, hint=hint)
        return None


def _method_of(method: Any, device: str | None, batch_statistics: bool) -> _Method:
    if device is not None:
        _checks.one_of(device, "device", _device.DEVICES)
    if isinstance(method, str) and method in _METHODS_WITHOUT_WEIGHTS:
        if batch_statistics:
            raise ArgumentError(f"batch_statistics: True, but {method!r} runs no network; expected False")
        find, size = _METHODS_WITHOUT_WEIGHTS[method], partial(fitted, longest=_statistics.STATISTICS_SIDE)
        return _Method(method, None, "cpu", size, lambda scene, care: find(scene, care is not Care.UNGUARDED), True)
    # Errors are raised before torch is imported; if the caller passes a network, torch is imported already.
    if isinstance(method, (str, os.PathLike)):
        check_name(method)
    elif sys.modules.get("torch") is None:
        raise _no_method(method)
    light = isinstance(method, str) and method in ("auto", DEFAULT)
    if light and batch_statistics:
        raise ArgumentError(f"batch_statistics: True, but {DEFAULT} has no batch norms; expected False")
    on_cuda = (_device.get_device() if device is None else device) == "cuda"
    if light and not on_cuda:
        return _in_numpy(method)
    try:
        from ..networks import models
        from . import networks
    except ImportError as error:
        if light:
            _device.only_on_cpu("the default without torch")
            return _in_numpy(method)
        others = ", ".join(map(repr, METHODS))
        raise ImportError(f"{error}; the methods {others} run without it") from error

    if not isinstance(method, (str, os.PathLike, models.Model)):
        raise _no_method(method)
    source = DEFAULT if isinstance(method, str) and method == "auto" else method
    model = networks.network(source, device, batch_statistics)
    side = model.size
    name = model.name if isinstance(source, models.Model) else os.fspath(source)
    return _Method(
        "auto" if isinstance(method, str) and method == "auto" else model.name,
        name,
        next(model.parameters()).device.type,
        lambda shape: (side, side),
        lambda scene, care: networks.answer_of(model, scene, care),
        False,
        getattr(model, "judge", None) is not None,
    )


def _in_numpy(name: str) -> _Method:
    """Returns the default, which needs no torch."""
    network = _colorgrid.network(DEFAULT)
    size = network.size, network.size
    return _Method(name, DEFAULT, "cpu", lambda shape: size, network.answer_of, False, network.closer)


def _no_method(method: Any) -> DTypeError:
    return DTypeError(
        f"method: {type(method).__name__}, expected one of {', '.join(map(repr, METHODS))}, the name or path of "
        "weights, or a model of pyharmony.networks.models"
    )


def _refuse_none(image: Any, mask: Any) -> None:
    masks = mask if isinstance(image, (list, tuple)) and isinstance(mask, (list, tuple)) else [mask]
    if any(one is None for one in masks):
        raise MaskError("mask: None, expected the mask of the object")


def _strength(x: Any) -> float:
    return _checks.number(x, "strength", high=_MAX_STRENGTH, accepts="a number from 0 to 2")


def _hints_given(source: Any, source_mask: Any, reference_mask: Any) -> dict[str, Any]:
    """Returns the hints that are not None, by name."""
    hints = {"source": source, "source_mask": source_mask, "reference_mask": reference_mask}
    return {name: value for name, value in hints.items() if value is not None}


def _care(guard: Any, cautious: Any) -> Care:
    guarded = _checks.flag(guard, "guard")
    if not _checks.flag(cautious, "cautious"):
        return Care.AGREED if guarded else Care.UNGUARDED
    if not guarded:
        text = "cautious: True with guard=False, which applies every change"
        raise ArgumentError(text, code="cautious-unguarded", hint="leave one of them out")
    return Care.CAUTIOUS
