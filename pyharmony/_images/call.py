"""Calls on images of any kind: arrays, files, PIL images, Pictures, and lists of them.

`Call.run` iterates over the items of a call. For each item it opens the files, converts the images over dst to dst's
colours, runs the function on a `Frame` of arrays, and delivers the result in dst's kind. `on_two_images`,
`on_one_image` and `on_object` create the public functions, whose shared arguments they define.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import numbers
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import numpy as np

from .. import _checks, _cuda, _device
from .._arrays import VALUE_RANGE, NumpyArray, dtype_of, is_array, is_pil, is_torch, masked_kind, to_numpy
from .._warnings import warn
from ..errors import (
    ArgumentError,
    ClippedWarning,
    DeviceError,
    DTypeError,
    MaskError,
    OutOfMemory,
    PyHarmonyError,
    PyHarmonyWarning,
    Reason,
    ShapeError,
    UnchangedWarning,
)
from ..io import Picture, check_target, convert
from ..io.masks import known_of, mask_of
from ..io.provenance import composite_of
from ..io.shown import WithInfo
from ..typing import Device, Errors, ImageLike, MaskLike, OneOrMany, OutLike, Position, Positions, Wrap
from . import wrap as periodic
from .frame import Frame, Infos, StepFrame, as_images, at_of_items, scale_of
from .kinds import as_out, in_float32, in_kind_of, is_file, picture_of, warn_of_gradients
from .places import PLACES
from .programs import repeated

#: The src of a call that edits one image: that image is dst, and is called image in messages.
DST_AS_SRC = object()

#: A function that works on a `Frame`, and on the call's further images by name; it returns an info for each item.
Work = Callable[..., Infos]
#: A function that returns the warning for an item's info, or None.
Tell = Callable[[Any], PyHarmonyWarning | None]


#: The nearest op with gradients, by function.
_DIFFERENTIABLE = {
    **dict.fromkeys(("gaussian_poisson", "gp_gan"), "gaussian_poisson"),
    **dict.fromkeys(("alpha", "laplacian", "poisson", "texture_flattening", "illumination_change"), "poisson"),
    **dict.fromkeys(("detail_boost", "inpaint"), "poisson"),
}

#: The share of clipped values from which on a call warns, and the remedies by function.
_CLIPPED = 0.05
_CLIPS_LESS = {
    "gaussian_poisson": Reason("hold-base", "base='copy-paste' with a color_weight near 1 clips less"),
    "poisson": Reason("hold-colours", "a larger color_weight clips less"),
    "detail_boost": Reason("less-gain", "a smaller gain clips less"),
}
_UNCLIPPED = "images of floats are not clipped"


def solved(what: str, function: str = "") -> Tell:
    """Returns a `Tell` that warns if a result is a copy, with the reason, or if much of it was clipped.

    function: the name of the function that computed it.
    """

    def tell(info: Any) -> PyHarmonyWarning | None:
        if info.reason:
            return UnchangedWarning.because(f"nothing was {what}: ", info.reason)
        return clipped_warning(info.clipped, what, function)

    return tell


def clipped_warning(clipped: float, what: str, function: str) -> ClippedWarning | None:
    """Returns the warning that a share of the values was clipped, if it is large; see `solved`."""
    if not clipped >= _CLIPPED:
        return None
    share = f"{clipped:.0%} of the values that were {what} are darker than black or brighter than white"
    remedy = _CLIPS_LESS.get(function)
    hint = Reason(remedy.code if remedy else "", f"{remedy}, and {_UNCLIPPED}" if remedy else _UNCLIPPED)
    return ClippedWarning(f"{share}, and were clipped", hint=hint)


def unchanged(before: str) -> Tell:
    """Returns a `Tell` that warns if an info has a reason, because the result is a copy; before precedes the reason."""
    return lambda info: UnchangedWarning.because(before, info.reason) if info.reason else None


@dataclass(frozen=True)
class Item:
    """One image of a call, as passed by the caller."""

    src: Any  # the source, or DST_AS_SRC
    dst: Any
    mask: Any
    at: Any
    scale: Any
    out: Any
    beside: dict[str, Any]  # further images, by name: 'base', 'color_weight' as an image, and the hints of `harmonize`
    dst_valid: Any = None

    @property
    def name(self) -> str:
        """The name of dst in messages."""
        return "image" if self.src is DST_AS_SRC else "dst"

    @property
    def images(self) -> dict[str, Any]:
        """The input images, by the name of their argument."""
        source = {} if self.src is DST_AS_SRC else {"src": self.src}
        return {self.name: self.dst, "mask": self.mask, "dst_valid": self.dst_valid, **source, **self.beside}

    def of(self, images: dict[str, Any], out: Any) -> Item:
        """Returns this item with other `images` and another out."""
        beside = dict(images)
        src, dst, mask, valid = (beside.pop(name, DST_AS_SRC) for name in ("src", self.name, "mask", "dst_valid"))
        return dataclasses.replace(self, src=src, dst=dst, mask=mask, dst_valid=valid, out=out, beside=beside)

    @property
    def to_file(self) -> bool:
        """Whether the result is written to a file."""
        return self.out is not None and not is_array(self.out) and not _cuda.is_device_array(self.out)


@dataclass(frozen=True)
class Call:
    """One call of a public function on images, with the arguments that these functions share; see `pyharmony.blend`."""

    function: str  # the name of the public function, as in `PLACES`
    src: Any  # the source, or DST_AS_SRC
    dst: Any
    mask: Any = None
    at: Any = None
    scale: Any = 1.0
    decontaminate: bool = False
    keep_gps: bool = False
    device: str | None = None
    errors: str = "raise"
    out: Any = None
    return_info: bool = False
    dst_valid: Any = None
    composes: bool = False  # whether the result is a composite of src and dst
    keep_alpha: bool = False
    wrap: str | None = None

    def __post_init__(self) -> None:
        if self.wrap is not None:
            _checks.one_of(self.wrap, "wrap", get_args(Wrap))
        names = ("decontaminate", "keep_gps", "return_info", "keep_alpha")
        _checks.flags(**{name: getattr(self, name) for name in names})
        if self.device is not None:
            _device.checked(self.device, "device")

    def on_cpu(self) -> Call:
        """Returns this call for the CPU, to which arrays on a device are copied."""
        return dataclasses.replace(self, device="cpu")

    def each(self, blend: Callable[[Any], Any], tell: Tell) -> Any:
        """Runs a blend of `Frame.each` on the object of the mask in each image, on the CPU."""
        if self.mask is None:
            raise MaskError("mask: None, expected the mask of the object")
        return self.on_cpu().run(functools.partial(Frame.each, blend=blend), tell=tell)

    def run(self, work: Work, *, tell: Tell | None = None, **beside: Any) -> Any:
        """Opens the images of each item, runs `work` on a `Frame` of them, and delivers the result.

        work: is called with a Frame and, by name, the values of beside.
        tell: returns the warning for an item's info; None: that of `solved`, for a blend.
        beside: further arguments that are images: 'base', 'color_weight' as an image, and the hints of `harmonize`.
        """
        place = _cuda.place_of({}, self.device)
        if place is not None and PLACES[self.function].way != "there":
            if self.device == "cuda":
                _device.only_on_cpu("this blend")
            place = None
        _checks.one_of(self.errors, "errors", ("raise", "return"))
        tell = tell or solved("blended", self.function)
        whole = Item(self.src, self.dst, self.mask, self.at, self.scale, self.out, beside, self.dst_valid)
        warn_of_gradients(_singly(whole), _DIFFERENTIABLE.get(self.function, ""))
        if not isinstance(self.dst, (list, tuple)):
            singles = {"src": self.src, "mask": self.mask, "scale": self.scale, "dst_valid": self.dst_valid, **beside}
            for name, value in singles.items():
                if isinstance(value, (list, tuple)):
                    raise DTypeError(
                        f"{name}: a {type(value).__name__}, expected one image; or pass {whole.name} as a list too"
                    )
            result, infos = self._way(whole)(whole, work, place)
            _warn_of(tell, infos, whole)
            return WithInfo((result, infos)) if self.return_info else result

        results: list[Any] = []
        all_infos: list[Any] = []
        for i, item in enumerate(_items(whole)):
            try:
                result, info = self._way(item)(item, work, place)
                _warn_of(tell, info, item, f"{item.name}[{i}]: ")
            except (PyHarmonyError, OSError) as error:
                if self.errors == "raise":
                    raise
                result, info = error, None
            results.append(result)
            all_infos.append(info)
        every = tuple(results) if isinstance(self.dst, tuple) else results
        return (every, all_infos) if self.return_info else every

    def _way(self, item: Item) -> Callable[[Item, Work, _cuda.Place | None], tuple[Any, Any]]:
        """Returns the method that runs an item: `answer`, or `_in_float32` if a tensor has the dtype bfloat16."""
        every = (*item.images.values(), item.out)
        return self.answer if all(in_float32(x) is x for x in every) else self._in_float32

    def _in_float32(self, item: Item, work: Work, place: _cuda.Place | None) -> tuple[Any, Any]:
        """Runs `answer` on float32 copies of tensors of bfloat16, which NumPy and the kernels lack."""
        own, out = item.name, item.out
        dtypes = {name: dtype_of(x) for name, x in {**item.images, "out": out}.items() if is_array(x)}
        for name in ("src", "base", "source", "out"):
            if own in dtypes and dtypes.get(name, dtypes[own]) != dtypes[own]:
                raise DTypeError(f"{name}: dtype {dtypes[name]}, expected that of {own}, {dtypes[own]}")
        images = {name: in_float32(x) for name, x in item.images.items()}
        in_float = item.of(images, None if dtypes.get(own) == "bfloat16" and is_array(out) else out)
        result, info = self.answer(in_float, work, place)
        if dtypes.get(own) != "bfloat16" or item.to_file:
            return result, info
        if out is None:
            return result.to(item.dst.dtype), info
        _checks.same_shape(out, "out", result, own)
        return out.copy_(result), info

    def answer(self, item: Item, work: Work, place: _cuda.Place | None) -> tuple[Any, Any]:
        """Opens, converts, computes and delivers one item; returns the result and its info."""
        if any(_cuda.is_device_array(x) for x in (*item.images.values(), item.out)):
            return self._of_device_arrays(item, work)
        # `compose` reads its background before, and warns of pixels without data by the background's name.
        opened = open_item(item, keep_gps=bool(self.keep_gps), takes_nodata=self.function == "compose")
        try:
            frame = Frame(
                opened.source,
                opened.target,
                opened.mask,
                item.at,
                None if item.to_file else item.out,
                scale=item.scale,
                decontaminate=bool(self.decontaminate),
                dst_valid=opened.dst_valid,
                place=place,
                keep_alpha=bool(self.keep_alpha),
                measures=bool(self.return_info),
            )
            beside = opened.beside
            infos = work(frame, **beside) if self.wrap is None else periodic.run(frame, work, self.wrap, beside)
        except MemoryError as error:
            if isinstance(error, PyHarmonyError):
                raise
            size = f"{list(opened.target.shape)} of {opened.target.dtype}"
            raise OutOfMemory(f"{item.name}: out of memory while blending into {size}") from error
        # A copy of dst is not a composite.
        composite = self.composes and not infos[0].reason
        return deliver(item, opened, frame.result, composite=composite), infos if frame.batch else infos[0]

    def _of_device_arrays(self, item: Item, work: Work) -> tuple[Any, Any]:
        """Blends arrays on a device in the way of `PLACES` for the function."""
        from .device import DeviceFrame, has_alpha

        own, (way, why) = item.name, PLACES[self.function]
        if way == "there" and (
            item.dst_valid is not None
            or self.wrap is not None
            or (_cuda.is_device_array(item.dst) and has_alpha(item.dst, self.keep_alpha))
        ):
            # The kernels assume that every pixel of dst is known, that its alpha stays, and that borders are apart.
            way = "copied"
        if way == "copied":
            return self._through_cpu(item, work)
        if way == "refused":
            raise DeviceError(f"{own}: on a CUDA device, where {self.function} does not run: {why}; pass {own}.cpu()")
        if self.device == "cpu":
            raise DeviceError(f"device: 'cpu', but {own} is on a CUDA device; move it, or leave device None")
        if scale_of(item.scale) != 1:
            raise ArgumentError(
                f"scale: {item.scale!r} resamples src, which is for arrays on the CPU; expected 1, or resize src"
            )
        arrays = {name: x for name, x in item.beside.items() if not isinstance(x, (str, numbers.Real))}
        frame = DeviceFrame(item.src, item.dst, item.mask, item.at, item.out, arrays)
        with frame.place:
            infos = work(frame, **item.beside)
        return frame.result, infos if frame.batch or not infos else infos[0]

    def _through_cpu(self, item: Item, work: Work) -> tuple[Any, Any]:
        """Works on CPU copies of arrays on a device; the result is copied to dst's device, unless out is a file."""
        own = item.name
        every = {**item.images, "out": item.out}
        on_device = {name: x for name, x in every.items() if x is not None and _cuda.is_device_array(x)}
        place = _cuda.place_of(on_device, None)
        assert place is not None  # noqa: S101  # some images are on a device
        if item.out is not None and not item.to_file and (own in on_device) != ("out" in on_device):
            names = (place.name, "the CPU") if own in on_device else ("the CPU", place.name)
            raise DeviceError(f"out: on {names[1]}, but {own} is on {names[0]}; move one of them")
        if "out" in on_device:
            like, out = _cuda.describe(item.dst, own), _cuda.describe(item.out, "out")
            _checks.same_dtype(out, "out", like, own)
            _checks.same_shape(out, "out", like, own)

        def fetched(x: Any, name: str) -> Any:
            if name not in on_device:
                return x
            host = place.fetch(place.take(x, name))
            return sys.modules["torch"].from_numpy(host) if is_torch(x) else host

        copies = {name: fetched(x, name) for name, x in item.images.items()}
        result, info = self.answer(item.of(copies, None if "out" in on_device else item.out), work, None)
        if own in on_device and not item.to_file:
            result = place.put(result.numpy() if is_torch(result) else result, item.out)
        return result, info


@dataclass(frozen=True)
class Step(Call):
    """A call on an array that another call has opened, such as each step of `compose`.

    dst is an array [H, W, C] of 1 or 3 channels, mask an array [h, w], `at` whole numbers, and out an array like dst;
    none of them is opened or checked again. The result is in out, and no warning is emitted.
    """

    def on_cpu(self) -> Call:
        return self

    def run(self, work: Work, *, tell: Tell | None = None, **beside: Any) -> Any:
        """Runs `work` on a frame of the arrays and returns the info."""
        return work(StepFrame(self.dst, self.mask, self.at, self.out), **beside)[0]


def as_step(
    function: Callable[..., Any], image: NumpyArray, mask: NumpyArray, at: tuple[int, int], out: NumpyArray,
    **options: Any,
) -> Any:  # fmt: skip
    """Runs a public function of `on_object` as a step of another call, see `Step`, and returns its info.

    options: the function's own arguments, which are checked as in any call.
    """
    own = inspect.unwrap(function)
    return own(Step(own.__name__, DST_AS_SRC, image, mask, at, out=out), **options)


@dataclass
class OpenItem:
    """An item as arrays."""

    picture: Picture | None  # the `Picture` of dst, whose profile and metadata the result gets; None if dst is an array
    #: source, target, mask, beside, dst_valid: arrays for a `Frame`, in dst's colours; source is None if the target is
    #: edited.
    source: Any
    target: Any
    mask: Any
    beside: dict[str, Any]
    dst_valid: Any = None
    #: Whether a grey target was given three equal channels, because a grey image cannot store the source's alpha.
    widened: bool = False


def open_item(item: Item, *, keep_gps: bool, takes_nodata: bool = False) -> OpenItem:
    """Opens the files of an item, converts its images to dst's profile, depth and channels, and checks `out`."""

    def opened(x: Any, name: str, is_known: bool = False) -> Picture:
        return picture_of(x, name, keep_gps=keep_gps, takes_nodata=is_known)

    own, dst = item.name, item.dst
    picture = None if is_array(dst) else opened(dst, own, takes_nodata or item.src is not DST_AS_SRC)

    def in_colours(x: Any, name: str) -> Any:
        if is_array(x):
            return x
        return convert(opened(x, name), picture or Picture(as_images(dst, own)[0]), name).pixels

    def as_mask(x: Any, name: str) -> Any:
        return x if x is None or is_array(x) else mask_of(opened(x, name, True), name)

    source = None if item.src is DST_AS_SRC else in_colours(item.src, "src")
    mask, valid = as_mask(item.mask, "mask"), as_mask(item.dst_valid, "dst_valid")
    beside = dict(item.beside)
    base, weight = beside.get("base"), beside.get("color_weight")
    if base is not None and not (isinstance(base, str) and base == "copy-paste"):
        beside["base"] = in_colours(base, "base")
    if beside.get("source") is not None:
        beside["source"] = in_colours(beside["source"], "source")
    beside |= {name: as_mask(beside[name], name) for name in ("source_mask", "reference_mask") if name in beside}
    if is_file(weight) or is_pil(weight) or isinstance(weight, Picture):
        values = mask_of(opened(weight, "color_weight", True), "color_weight")
        beside["color_weight"] = values / np.float32(VALUE_RANGE[values.dtype.name])
    valid_in_file = None if picture is None or item.src is DST_AS_SRC else known_of(picture)
    if isinstance(dst, masked_kind()) and item.src is not DST_AS_SRC:
        valid_in_file, dst = _unmasked(dst)
    if valid_in_file is not None:
        if not valid_in_file.any():
            raise MaskError(f"{own}: every pixel is masked or has the nodata value of its file, expected a known one")
        valid = valid_in_file if valid is None else np.where(valid_in_file, to_numpy(valid, "dst_valid"), 0)
    result = OpenItem(picture, source, dst if picture is None else picture.pixels, mask, beside, valid)
    _widen(result)
    _check_out(item, result)
    return result


def _unmasked(dst: Any) -> tuple[NumpyArray | None, NumpyArray]:
    """Returns which pixels of a masked array have a value in every channel, None if all have, and the values."""
    masked = np.ma.getmaskarray(dst)
    known = np.logical_not(masked if dst.ndim == 2 else masked.any(-1))
    return (None if known.all() else known), dst.data


def _widen(opened: OpenItem) -> None:
    """Gives a grey target three equal channels if the source has alpha."""
    picture, source = opened.picture, opened.source
    has_alpha = source is not None and source.ndim > 2 and source.shape[-1] == 4
    opened.widened = has_alpha and picture is not None and picture.pixels.shape[2] == 1
    if opened.widened:
        opened.target = np.broadcast_to(opened.target, (*opened.target.shape[:2], 3))
        if is_array(opened.beside.get("base")):
            opened.beside["base"] = np.broadcast_to(opened.beside["base"], opened.target.shape)


def _check_out(item: Item, opened: OpenItem) -> None:
    """Refuses an `out` that cannot store the result, before the computation."""
    out, own = item.out, item.name
    if item.to_file:
        expected = f"expected an array like {own}, a path or an open binary file"
        if not (is_file(out) or hasattr(out, "write")):
            raise DTypeError(f"out: {type(out).__name__}, {expected}")
        if isinstance(out, (bytes, bytearray, memoryview)):
            raise DTypeError(f"out: bytes, {expected}")
        with as_out():
            check_target(opened.picture or Picture(as_images(item.dst, own)[0]), out)
    elif opened.widened and out is not None:
        raise ArgumentError("out: an array, expected None for a source with alpha over a grey image")


def deliver(item: Item, opened: OpenItem, result: Any, *, composite: bool = False) -> Any:
    """Returns the result in dst's kind, or writes it to out.

    composite: whether the result contains src, which is recorded in its metadata.
    """
    picture = opened.picture
    if opened.widened:
        result = result[..., :1]
    if item.to_file:
        images = as_images(result, item.name)
        if len(images) != 1:
            raise ShapeError(f"out: one file for a batch of {len(images)}; pass {item.name} and out as lists")
        result = images[0]
    elif picture is None or is_array(item.out):
        if isinstance(item.dst, masked_kind()) and item.out is None:
            # What is as it was is as unknown as it was; NaN differs from itself.
            now, before = result, item.dst.data
            same = (now == before) | ((now != now) & (before != before))
            return np.ma.array(now, mask=np.ma.getmaskarray(item.dst) & same)
        return result
    image = Picture(result) if picture is None else dataclasses.replace(picture, pixels=result)
    if picture is not None and picture.description.size == picture.pixels.shape[1::-1]:
        image = dataclasses.replace(image, description=picture.description.scaled(*result.shape[1::-1]))
    image = composite_of(image, (item.dst, item.src)) if composite else image
    return in_kind_of(item.dst, result, image, item.out if item.to_file else None)


#: The shared arguments that follow a function's own.
_TRAILING_ARGUMENTS = ("decontaminate", "keep_alpha", "wrap", "keep_gps", "device", "errors", "out", "return_info")


def on_two_images(function: Callable[..., Any]) -> Callable[..., Any]:
    """Creates a public function that places a source over a destination, from one with a `Call` and its own arguments.

    The public function has the arguments that all such functions share, which are defined here once, with its own
    between them.
    """

    def public(
        src: OneOrMany[ImageLike],
        dst: OneOrMany[ImageLike],
        mask: OneOrMany[MaskLike | None] = None,
        *,
        at: OneOrMany[Position | None] | Positions = None,
        scale: OneOrMany[float] = 1.0,
        dst_valid: OneOrMany[MaskLike | None] = None,
        decontaminate: bool = True,
        keep_alpha: bool = False,
        wrap: Wrap | None = None,
        keep_gps: bool = False,
        device: Device | None = None,
        errors: Errors = "raise",
        out: OneOrMany[OutLike | None] = None,
        return_info: bool = False,
        **own: Any,
    ) -> Any:
        shared = (decontaminate, keep_gps, device, errors, out, return_info, dst_valid, True, keep_alpha, wrap)
        if return_info is False and device is dst_valid is None and _cuda.is_device_array(dst):
            images = {"src": src, "dst": dst, "mask": mask, "out": out, "at": at, "scale": scale}
            settings = {"decontaminate": decontaminate, "keep_alpha": keep_alpha, "wrap": wrap, "keep_gps": keep_gps}
            call = functools.partial(Call, function.__name__, src, dst, mask, at, scale, *shared)
            arguments = {**images, **settings, "errors": errors, **own}
            return repeated(function.__name__, arguments, lambda: function(call(), **own))
        return function(Call(function.__name__, src, dst, mask, at, scale, *shared), **own)

    return _with_own(public, function)


def on_one_image(function: Callable[..., Any]) -> Callable[..., Any]:
    """Creates a public function on one image, as `on_two_images` does; the mask is one of its own arguments."""

    def public(
        image: OneOrMany[ImageLike],
        *masks: Any,
        keep_gps: bool = False,
        device: Device | None = None,
        errors: Errors = "raise",
        out: OneOrMany[OutLike | None] = None,
        return_info: bool = False,
        **own: Any,
    ) -> Any:
        call = Call(
            function.__name__, DST_AS_SRC, image, None, None, 1.0, False, keep_gps, device, errors, out, return_info
        )
        return function(call, *masks, **own)

    return _with_own(public, function)


def on_object(function: Callable[..., Any]) -> Callable[..., Any]:
    """Creates a public function on an object in an image, as `on_one_image` does; `at` is the position of its mask."""

    def public(
        image: OneOrMany[ImageLike],
        mask: OneOrMany[MaskLike],
        *,
        at: OneOrMany[Position | None] | Positions = None,
        keep_gps: bool = False,
        device: Device | None = None,
        errors: Errors = "raise",
        out: OneOrMany[OutLike | None] = None,
        return_info: bool = False,
        **own: Any,
    ) -> Any:
        call = Call(
            function.__name__, DST_AS_SRC, image, mask, at, 1.0, False, keep_gps, device, errors, out, return_info
        )
        return function(call, **own)

    return _with_own(public, function)


def _with_own(public: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a public function the name and the documentation of another, and a signature with its own arguments."""
    every = inspect.signature(public).parameters.values()
    shared = [p for p in every if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    own = list(inspect.signature(function).parameters.values())[1:]
    first, last = ([p for p in shared if (p.name in _TRAILING_ARGUMENTS) == behind] for behind in (False, True))
    signature = inspect.Signature([*first, *own, *last], return_annotation="Any")
    hints = {**get_type_hints(public), **get_type_hints(function)}
    functools.update_wrapper(public, function)
    public.__signature__ = signature  # type: ignore[attr-defined]
    public.__annotations__ = {name: hints[name] for name in (*signature.parameters, "return")}
    return public


def _singly(whole: Item) -> dict[str, Any]:
    """Returns the images of a call by the name of their argument, with those of lists one by one."""
    images: dict[str, Any] = {}
    for name, value in whole.images.items():
        images |= (
            {f"{name}[{i}]": x for i, x in enumerate(value)} if isinstance(value, (list, tuple)) else {name: value}
        )
    return images


def _items(whole: Item) -> list[Item]:
    """Returns the items of a call whose dst is a list: other lists are split by item, any other value is shared."""
    count = len(whole.dst)

    def spread(x: Any, name: str) -> Sequence[Any]:
        if not isinstance(x, (list, tuple)):
            return [x] * count
        if len(x) != count:
            raise ShapeError(f"{name}: a list of {len(x)}, expected {count}, as many as {whole.name}")
        return x

    out, several = whole.out, at_of_items(whole.at)
    columns = {name: spread(getattr(whole, name), name) for name in ("src", "mask", "dst_valid")}
    columns |= {"dst": whole.dst, "at": [whole.at] * count if several is None else spread(several, "at")}
    if out is not None and not isinstance(out, (list, tuple)):
        raise DTypeError(f"out: {type(out).__name__}, expected None or a list of {count}, as many as {whole.name}")
    columns |= {"out": spread(out, "out"), "scale": spread(whole.scale, "scale")}
    beside = {name: spread(value, name) for name, value in whole.beside.items()}
    return [
        Item(
            **{name: values[i] for name, values in columns.items()},
            beside={name: values[i] for name, values in beside.items()},
        )
        for i in range(count)
    ]


def _warn_of(tell: Tell, info: Any, item: Item, where: str = "") -> None:
    """Emits the warnings for an info, or for the infos of a batch."""
    infos = info if isinstance(info, list) else [info]
    for number, each in enumerate(infos):
        if found := tell(each):
            # Without return_info, a blend on a device returns the infos of copies only, without the items' numbers.
            numbered = isinstance(info, list) and len(infos) == _count(item.dst)
            which = f"item {number} of the batch: " if numbered else ""
            warn(found.within(f"{where}{which}"))


def _count(batch: Any) -> int:
    """Returns the number of images in an array [N, H, W, C]."""
    return _cuda.describe(batch, "dst").shape[0] if _cuda.is_device_array(batch) else len(batch)
