"""Composes subjects of some photos into another photo."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from .. import _arrays, _checks, _reprs, io
from .._arrays import NumpyArray, Rectangle
from .._calls import COMPOSE
from .._cuda import is_device_array
from .._images.call import DST_AS_SRC, Call
from .._images.cutouts import cutout_alpha
from .._images.frame import Frame, Infos, Job, as_images, lay_over_alpha
from .._images.kinds import as_delivered, picture_of
from .._images.levels import image_levels, in_dtype, in_levels, picture_levels
from .._images.region import Region, as_float, bounding_box
from .._images.sizes import fitted, resized
from .._images.threads import beside, in_threads
from .._public import former_field, naming_keywords
from .._verdict import place_facts, told, verdict_of
from .._version import __version__
from .._warnings import quiet, warn
from ..color import retouch
from ..errors import (
    NO_REASON,
    ArgumentError,
    DTypeError,
    FileError,
    PyHarmonyError,
    PyHarmonyWarning,
    Reason,
    ShapeError,
)
from ..harmonization.names import DEFAULT
from ..io import Layer, Picture, merged_of
from ..io.files import read_reduced
from ..io.provenance import add_history
from ..io.shown import WithInfo, page, png
from ..placement import Placement
from ..placement import contact_sheet as placement_sheet
from ..reference.luma import LUMA
from ..segmentation import METHODS as CUTTERS
from ..segmentation import Masks, Method
from ..segmentation.surroundings import surroundings_of
from ..typing import (
    CompositeBlend,
    HarmonizeMethod,
    ImageLike,
    LayerMode,
    MaskLike,
    OneOrMany,
    OutLike,
    PathLike,
    Position,
    SegmentMethod,
    UpscaleMethod,
)
from . import _plan
from ._adjust import retouching_of
from ._arguments import check_out, check_people, check_result, settings_of
from ._plan import MIN_DETECTION_SIDE, People, Photo
from ._recipe import CORRECTIONS, SCHEMA, check_mask, check_mode, digest, mask_over, read_recipe
from ._render import draw, in_grey, layers_of, within
from ._subject import PlacedSubject
from ._weights import changed, enlarges, sha256_of
from .subjects import Front, Names, Number, Spot, Subject, adjustment, photos_of, subjects_of
from .warping import largest_growth

#: The default share of the grain of the surroundings that a subject gets.
_GRAIN = 1.0
#: The default share of their blur that it gets.
_SHARPNESS = 1.0
#: The resolution of the reduced photos from which a preview is drawn, relative to the preview's.
_PREVIEW_OVERSAMPLING = 1.5


@dataclass(frozen=True, repr=False)
class Composed(_reprs.Line):
    """A subject of a composite.

    Attributes:
        mask: its visible part in the result, [H, W] uint8.
        box: the rectangle (x, y, width, height) in which it was drawn.
        x, y, scale, angle, flip: its position, as in `pyharmony.placement.Placement`.
        colours: [h, w, 3] of the result's dtype, the drawn colours in that rectangle.
        alpha: [h, w] likewise, its alpha.
        shadow: the shadow as a layer of blend mode multiply, [H, W, 3] uint8, white where there is none; None without
            a shadow.
        reflection: the reflection as a layer of blend mode normal, [H, W, 4] of the result's dtype; None without one.
        reasons: notes about its segmentation, placement and matching, in a few words each.
        seconds: the duration of each step.
        places: its best placements, with their scores and the people in front; the first was used. Empty if a position
            or a recipe was passed.
        mask_score: the expected intersection over union of its mask and the object, 0 to 1, as in
            `pyharmony.segmentation.Masks`; None if the mask was passed.
        confidence: the confidence of `harmonize`, 0 to 1; None if colours were not changed.
        warnings: those of the reasons on which the user should act, with a hint; `compose` warns of them.
        light: what the light of both photos added to `harmonize`: `stops`, `red` and `blue`, log2 relative to
            green, and the `evidence`, 'scenes' or 'faces and scenes'; None if nothing.
        usable: how likely a stranger finds no fault in it, 0 to 1, if a mask or a position that was passed is right;
            None if both were, or a recipe.
        doubts: what speaks against that, with hints, the weightiest first.

    Example:
        >>> import pyharmony
        >>> subject = np.zeros((30, 20, 4), np.uint8)
        >>> subject[5:25, 5:15] = 255
        >>> background = np.full((60, 80, 3), 128, np.uint8)
        >>> _, info = pyharmony.compose(subject, background, at=(10, 20), shadow=False, return_info=True)
        >>> info.subjects[0].mask[30, 20], info.subjects[0].shadow is None
        (np.uint8(255), True)
    """

    mask: NumpyArray
    box: tuple[int, int, int, int]
    x: float
    y: float
    scale: float
    angle: float
    flip: bool
    colours: NumpyArray
    alpha: NumpyArray
    shadow: NumpyArray | None
    reflection: NumpyArray | None
    reasons: tuple[Reason, ...]
    seconds: Mapping[str, float] = field(repr=False)
    places: tuple[Placement, ...] = ()
    mask_score: float | None = None
    confidence: float | None = None
    warnings: tuple[Reason, ...] = ()
    light: Mapping[str, Any] | None = field(default=None, repr=False)
    usable: float | None = None
    doubts: tuple[Reason, ...] = field(default=(), repr=False)

    @property
    def placement(self) -> Placement | None:
        """The placement that was used; None if a position or a recipe was passed."""
        return self.places[0] if self.places else None

    def _repr_png_(self) -> bytes:
        """Returns the drawn subject with transparency, as a PNG for a notebook."""
        return png(np.concatenate([self.colours, self.alpha[..., None]], 2))


@naming_keywords
@dataclass(frozen=True, repr=False)
class ComposeInfo(_reprs.Line):
    """A record of a composite.

    Attributes:
        subjects: the subjects, in the order in which they were drawn.
        recipe: all decisions, as JSON: `compose(subjects, background, recipe=recipe)` returns the same pixels.
        seconds: the duration of each step for all subjects together, and 'all'.
        alternatives: the recipes of the next best placements, the best first, if `k` is above 1.

    Example:
        >>> import pyharmony
        >>> subject = np.zeros((30, 20, 4), np.uint8)
        >>> subject[5:25, 5:15] = 255
        >>> background = np.full((60, 80, 3), 128, np.uint8)
        >>> result, info = pyharmony.compose(subject, background, at=(10, 20), return_info=True)
        >>> info.subjects[0].box, info.recipe["subjects"][0]["blend"]
        ((13, 23, 14, 24), 'alpha')
    """

    subjects: tuple[Composed, ...]
    recipe: Mapping[str, Any]
    seconds: Mapping[str, float]
    _background: NumpyArray
    _drawings: tuple[PlacedSubject, ...]
    alternatives: tuple[Mapping[str, Any], ...] = ()
    others = former_field("others", "alternatives")

    @property
    def usable(self) -> float | None:
        """How likely no subject has a fault that a stranger sees, 0 to 1; None if nothing is known of it."""
        likelihoods = [one.usable for one in self.subjects if one.usable is not None]
        return math.prod(likelihoods) if likelihoods else None

    @property
    def doubts(self) -> tuple[Reason, ...]:
        """The doubts of each subject, which speak against that, with hints, the weightiest first."""
        return tuple(doubt for one in self.subjects for doubt in one.doubts)

    @property
    def verdict(self) -> Reason:
        """The verdict in words, with what would help: its code is 'not-usable' or 'doubtful'; empty if usable."""
        return told(self.usable, self.doubts)

    @property
    def layers(self) -> list[Layer]:
        """The layers of the composite, from the bottom to the top, for `pyharmony.io.write_layers`.

        They are the background, and for each subject its shadow, which multiplies, and the subject. With
        `adjust_result` the corrected composite lies over them, and hides them; without it the others are as before the
        correction. Merged they are the composite, bit for bit, unless the background is partly transparent.

        Raises:
            ArgumentError: the composite has floats, which layers cannot store.
        """
        if self._background.dtype.kind != "u":
            kind = self._background.dtype.name
            raise ArgumentError(f"background: {kind}, layers hold 8 or 16 bits; expected uint8 or uint16")
        part = _region_of(self.recipe, self._background.shape)
        drawings, below = [within(one, part) for one in self._drawings], part.of(self._background)
        is_grey = below.shape[2] == 1
        below = np.repeat(below, 3, 2) if is_grey else below
        layers, size = layers_of(below, drawings, part), part.shape[::-1]
        parameters = retouching_of(self.recipe.get("adjust_result"))
        if parameters is None:
            return layers
        merged = merged_of(layers, size)
        # The colours are drawn over an opaque background, whose alpha they then get.
        has_alpha = below.shape[2] == 4
        colours = merged_of(layers_of(below[..., :3], drawings, part), size) if has_alpha else merged
        adjusted, _ = retouch(colours[..., :3].copy(), parameters=parameters)
        adjusted = in_grey(adjusted) if is_grey else adjusted
        below_it = [replace(layer, visible=not has_alpha) for layer in layers]
        return [*below_it, Layer("adjusted", np.concatenate([adjusted, merged[..., 3:]], 2))]

    def _repr_html_(self) -> str:
        """Returns the drawn subjects, with a line about each, as HTML for a notebook."""
        lines = [f"{one.box}: {'; '.join(one.reasons) or 'no reasons'}" for one in self.subjects]
        return page("\n".join([repr(self), *lines]), *(one._repr_png_() for one in self.subjects))


def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject],
    background: ImageLike,
    *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    beside: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None,
    masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto",
    people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto",
    scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto",
    flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto",
    k: int = 1,
    harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0,
    blend: CompositeBlend = "auto",
    sharpness: float = _SHARPNESS,
    grain: float = _GRAIN,
    shadow: Literal["auto"] | bool | Mapping[str, object] = "auto",
    reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, object] | None] = None,
    opacity: OneOrMany[float] = 1.0,
    mode: OneOrMany[LayerMode] = "normal",
    adjust_background: Mapping[str, object] | None = None,
    adjust_result: Mapping[str, object] | None = None,
    warp: Sequence[Position] | None = None,
    upscale: UpscaleMethod | None = "auto",
    seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None,
    side: int | None = None,
    keep_alpha: bool = False,
    keep_gps: bool = False,
    out: OutLike | None = None,
    return_info: bool = False,
) -> Any:
    """Composes people or objects of some photos into another photo: segments, places, matches and blends them.

    Each subject is segmented (`pyharmony.segment`) and placed among the background's people (`pyharmony.place`). It
    gets their light and colour (`pyharmony.harmonize`, with the subject's own photo and the nearest faces as
    references), their sharpness and grain (`pyharmony.match_sharpness`, `pyharmony.match_grain`), and a shadow
    (`pyharmony.shadow`) if the ground under it is visible. People of the background who are nearer occlude it.
    Everything that is passed is not estimated.

    Args:
        subjects: a photo with a person or an object, see `pyharmony.segment`, that points, boxes … below tell more of;
            or a list of photos and of `pyharmony.composition.Subject`, each a photo with values of its own. Several may
            have the same photo. Its alpha, if any, is the mask, 0 where it is faint around the object; one that is
            above 0 nearly everywhere, as in screenshots, cuts nothing out and is ignored, with a warning. It should not
            be cropped: if its border crops a person, the background's border has to crop them too.
        background: the photo in which they are placed. An array [H, W] or [H, W, C], a tensor, a path, the bytes of a
            file, an open file, a PIL image or a `pyharmony.io.Picture`; the result has its kind, depth and colours.
        points: a click (x, y) on the subject, or several [(x, y), …]. Without points, box and mask a large, sharp
            person apart from others is selected, or else the object in the middle.
        beside: a click (x, y) on what does not belong to the subject, or several; with points, a box or a mask.
        boxes: a rectangle (x, y, width, height) around the subject.
        masks: a mask of the subject, of its photo's size.
        segment: a method of `pyharmony.segment`, for prompts and, if it can, for detecting people.
        people: the people of the background: the result of `pyharmony.segment` with all_people=True, or a mask of each;
            None: they are detected.
        at: 'auto', the best placement; or (x, y), the position of the first pixel of the subject's photo in the
            background before the rotation; or a `pyharmony.placement.Placement`. Of several photos one for all, as the
            next five.
        scale: the factor by which the subject is enlarged; 'auto': that of the placement, 1 if `at` is a position.
        angle: the rotation in degrees clockwise; 'auto': that of the placement, 0 if `at` is a position.
        flip: whether it may be mirrored, and if `at` is a position, whether it is.
        behind: the numbers of the people who are in front of it; 'auto': those of the placement, none if `at` is a
            position.
        k: the largest number of placements of one subject: the composite is of the best, and `ComposeInfo.alternatives`
            are the recipes of the next ones, of which there may be fewer.
        harmonize: a method of `pyharmony.harmonize`; None: colours do not change.
        strength: how far the subject is matched to the scene, 0 to 2: the change of colours, and below 1 a factor of
            sharpness and grain. 0 is a plain paste, without matching, shadow or soft edge, whatever the other options
            but `adjust`.
        blend: 'alpha', the default of 'auto', with clean edges; 'gaussian_poisson', on the harmonised image;
            'poisson'.
        sharpness, grain: the share of the blur and of the grain of the surroundings that the subject gets, 0 to 1.
        shadow: 'auto': a shadow if the ground under the subject is visible; True or False; or arguments of
            `pyharmony.shadow`, such as {'tip': (x, y), 'softness': 1}. The direction of the light is not estimated:
            without azimuth, elevation and tip the light is high and soft, {'elevation': 80, 'softness': 60, 'strength':
            0.45}, and the shadow lies under the subject.
        reflection: True: the ground reflects the subject, for water and polished floors; or arguments of
            `pyharmony.reflection`, such as {'strength': 0.3, 'blur': 0}.
        adjust: corrections by hand after the match, whatever the strength: {'exposure': stops, 'temperature': mired,
            above 0 warmer, 'contrast': -1 to 1, 'saturation': a factor, 'edge': pixels of the background by which the
            outline moves, above 0 outwards, 'feather': pixels over which the edge becomes softer, 'curve': points of
            a tone curve of all three channels in sRGB, [(x, y), …], each 0 to 1}, or some of them; see
            `pyharmony.color.Retouching`.
        opacity: the opacity of the subject, 0 to 1; its shadow and its reflection have a strength of their own.
        mode: how its colours mix with those below it, a blend of `pyharmony.io.Layer`; only 'normal' with a gradient-
            domain blend.
        adjust_background: such corrections, without edge and feather, of the background: subjects are placed in the
            corrected one and matched to it.
        adjust_result: such corrections of the finished composite. `ComposeInfo.layers` has them as a layer on top.
        warp: how far the corners of the photo move, upper left, upper right, lower right and lower left: ((dx, dy), …)
            in shares of its width and height, each at most 10. It is the perspective of a plane, a homography (Hartley
            and Zisserman, Multiple View Geometry, 2004, section 4.1), before scale, rotation and mirroring; the corners
            have to stay convex. Pixels are resampled once.
        upscale: a method of `pyharmony.super_resolve` for subjects with a scale above 1.5; None: they are interpolated.
        seed: the seed of the grain.
        recipe: the decisions of an earlier call, `ComposeInfo.recipe` or a JSON file of it, to which 'crop', [x, y,
            width, height] in pixels of the background, may be added: the part to return. Of the other arguments only
            subjects, background, side, keep_alpha, keep_gps, out and return_info are used.
        side: the longer side in pixels of a preview, which is drawn from reduced photos; None: full size.
        keep_alpha: whether a background's alpha stays as it is under the subjects, which are invisible where it is 0;
            else they are laid over it.
        keep_gps: whether the location where the background was taken stays in its metadata.
        out: an array like background, a path or an open binary file; None: a new image.
        return_info: whether to return a ComposeInfo too.

    Returns:
        The composite, in background's kind, shape and dtype, or (composite, info).

    Raises:
        ArgumentError: no object was found at the prompts; an argument has a value that is not accepted; the recipe is
            for other photos.
        MaskError: a mask is empty.
        ShapeError, DTypeError, DecodeError, WeightsError: see `pyharmony.segment`.

    Example:
        >>> import pyharmony
        >>> subject = np.zeros((30, 20, 4), np.uint8)
        >>> subject[5:25, 5:15] = (200, 100, 50, 255)
        >>> background = np.full((60, 80, 3), 128, np.uint8)
        >>> result = pyharmony.compose(subject, background, at=(10, 20), harmonize=None, shadow=False)
        >>> result[30, 20].tolist(), result[0, 0].tolist()
        ([200, 100, 50], [128, 128, 128])
    """
    start = time.perf_counter()
    _checks.flags(keep_alpha=keep_alpha, keep_gps=keep_gps, return_info=return_info)
    # All checks of arguments come before any file is read.
    check_out(out)
    if side is not None:
        _checks.whole(side, "side", low=16)
    each: dict[str, Any] = {
        "points": points,
        "beside": beside,
        "box": boxes,
        "mask": masks,
        "at": at,
        "scale": scale,
        "angle": angle,
        "flip": flip,
    }
    each |= {"behind": behind, "adjust": adjust, "opacity": opacity, "mode": mode, "warp": warp}
    described, names = subjects_of(subjects, each)
    corrections = {
        name: adjustment(value, name, COMPOSE.by_name[name].type.call)
        for name, value in zip(CORRECTIONS, (adjust_background, adjust_result), strict=True)
    }
    values = {"blend": blend, "sharpness": sharpness, "grain": grain, "shadow": shadow, "reflection": reflection}
    settings = settings_of(harmonize, strength, {**values, "upscale": upscale})
    request = _Request(described, names, segment, people, settings, seed, k, corrections)
    request.check(has_recipe=recipe is not None)
    old_recipe = None if recipe is None else read_recipe(recipe)
    whole, target, photos, scene = _read_images(request, background, old_recipe, side, keep_gps)
    check_result(out, whole if isinstance(whole, Picture) else Picture(target), background)
    seconds = {"read": time.perf_counter() - start}
    if old_recipe is None:
        plan, findings, others = _plan_of(request, photos, scene, target, seconds)
    else:
        plan, others = old_recipe, []
        _fits(plan, photos, scene, target)
        findings = _changes(plan)
    # Arrays and open files have no checksum of a file; the metadata mark the composite all the same.
    sums = [photo.file for photo in (*photos, scene) if photo.file is not None]
    ratio = 1.0
    if side is not None and side < max(scene.size):
        whole, target, photos = _reduced(whole, target, scene, photos, plan, side / max(scene.size))
        ratio = max(target.shape[:2]) / max(scene.size)
    to_file = out is not None and not (_arrays.is_array(out) or is_device_array(out))
    if to_file and not isinstance(whole, Picture):
        whole = Picture(target)
    if isinstance(whole, Picture):
        whole = replace(whole, xmp=add_history(whole.xmp, sums))
    # Everything is drawn from the recipe, so that the recipe reproduces it.
    infos: list[ComposeInfo] = []

    def work(frame: Frame) -> Infos:
        for job in frame.jobs():
            drawings, below = _draw_into(job, plan, photos, ratio, keep_alpha)
            infos.append(_info_of(drawings, plan, findings, below, seconds, start, others))
        results: Any = infos
        return results

    device = None if is_device_array(whole) else "cpu"
    is_cropped = bool(plan.get("crop"))
    if is_cropped and out is not None and not to_file:
        raise ArgumentError("out: an array, and the recipe has a crop; expected a file, or None")
    call = Call("compose", DST_AS_SRC, whole, keep_gps=keep_gps, out=None if is_cropped else out, device=device)
    with quiet(_checks.RangeFault):  # the scene's range has been told
        result = call.run(work, tell=lambda info: None)
    if is_cropped:
        result = _cropped(result, plan)
        if to_file:
            io.write(result, cast(Any, out))
            result = out
    for number, one in zip(plan["order"], infos[0].subjects, strict=True):
        for reason in one.warnings:
            warn(PyHarmonyWarning.because(names[number].owner, reason))
    if infos[0].verdict.code == "not-usable":
        warn(PyHarmonyWarning.because("", infos[0].verdict))
    if not _arrays.is_array(background) and isinstance(result, Picture) and not isinstance(background, Picture):
        result = as_delivered(result)
    return WithInfo((result, infos[0])) if return_info else result


def _region_of(recipe: Mapping[str, Any], shape: tuple[int, ...]) -> Region:
    """Returns the part of a composite [h, w, …], which may be reduced, that a recipe crops it to; else all of it."""
    if not recipe.get("crop"):
        return Region.whole(shape)
    ratio = max(shape[:2]) / max(recipe["size"])
    x, y, wide, high = (round(value * ratio) for value in recipe["crop"])
    x, y = min(x, shape[1] - 1), min(y, shape[0] - 1)
    return Region(y, min(y + max(1, high), shape[0]), x, min(x + max(1, wide), shape[1]))


def _cropped(image: Any, recipe: Mapping[str, Any]) -> Any:
    """Returns the part of a composite of any kind that a recipe crops it to."""
    if isinstance(image, Picture):
        part = _region_of(recipe, image.pixels.shape)
        return replace(image, pixels=np.ascontiguousarray(part.of(image.pixels)))
    if _arrays.is_torch(image):
        part = _region_of(recipe, tuple(image.shape[-2:]))
        return image[..., part.y0 : part.y1, part.x0 : part.x1]
    part = _region_of(recipe, image.shape)
    return image[part.y0 : part.y1, part.x0 : part.x1]


def _read_images(
    request: _Request, background: Any, recipe: Mapping[str, Any] | None, side: int | None, keep_gps: bool
) -> tuple[Any, NumpyArray, list[Photo], Photo]:
    """Returns the background, an array or a Picture, its pixels [H, W, C], the photos, and it as one of them."""
    images = [one.photo for one in request.subjects]
    names = [name.photo for name in request.names]
    least = None if side is None else max(int(side), MIN_DETECTION_SIDE)

    def read_file(image: tuple[Any, str, str | None]) -> _ReadFile | None:
        one, name, file = image
        is_path = isinstance(one, (str, os.PathLike))
        return _read(one, name, least, file, keep_gps and name == "background") if is_path else None

    # Files are decoded in parallel; of the other arguments several may be the same object.
    files = [_file_of(recipe, i) for i in (None, *range(len(images)))]
    first, *reads = in_threads(read_file, list(zip((background, *images), ("background", *names), files, strict=True)))
    whole = first.picture if first else background
    if _arrays.is_array(whole):
        target, *others = as_images(whole, "background")
        if others:
            raise ShapeError("background: a batch, expected one image; call compose for each")
    else:
        whole = picture_of(whole, "background", keep_gps=keep_gps)
        target = whole.pixels
    like = whole if isinstance(whole, Picture) else Picture(target)
    photos = [
        _photo(one, like, name) if read is None else _with_file(_photo(read.picture, like, name), read)
        for one, read, name in zip(images, reads, names, strict=True)
    ]
    return whole, target, photos, _scene(target) if first is None else _with_file(_scene(target), first, True)


def _changes(recipe: Mapping[str, Any]) -> list[Findings]:
    """Returns the differences between the weights here and those of a recipe, in the order of the photos."""
    findings = []
    for number in range(len(recipe["order"])):
        reasons = changed(recipe["subjects"][recipe["order"].index(number)])
        findings.append(Findings(reasons, [Reason(one.code, f"{one}: check the result") for one in reasons]))
    return findings


def _draw_into(
    job: Job, recipe: Mapping[str, Any], photos: Sequence[Photo], ratio: float, keep_alpha: bool
) -> tuple[list[PlacedSubject], NumpyArray]:
    """Draws a recipe into the image of a job; returns the subjects and the background."""
    is_grey = job.dst.shape[2] == 1
    below = np.repeat(job.dst, 3, 2) if is_grey else job.dst
    background, result = (retouching_of(recipe.get(name)) for name in CORRECTIONS)
    if background is not None:
        below, _ = retouch(np.ascontiguousarray(below), parameters=background)
        below = in_grey(below) if is_grey and below.dtype.kind == "u" else below
    if job.dst_alpha is not None:
        below = np.dstack([below, job.dst_alpha])
    if job.in_place:
        below = below.copy()
    pixels = job.start()
    # A grey background is drawn in three equal channels.
    canvas = np.repeat(pixels, 3, 2) if is_grey else pixels
    if background is not None:
        canvas[...] = below[..., :3]
    drawings = draw(canvas, below[..., :3], recipe, [photos[i] for i in recipe["order"]], ratio, is_grey)
    if result is not None:
        canvas[...], _ = retouch(canvas, parameters=result)
    if canvas is not pixels:
        grey = canvas.astype(np.float64) @ LUMA
        pixels[..., 0] = np.rint(grey) if pixels.dtype.kind == "u" else grey
    if job.out_alpha is not None and not keep_alpha:
        for one in drawings:
            part = one.region.of(job.out_alpha)
            lay_over_alpha(one.alpha if one.opacity == 1 else as_float(one.alpha) * one.opacity, part, part)
    return drawings, below[..., :1] if is_grey else below


def contact_sheet(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: ImageLike, info: ComposeInfo
) -> NumpyArray:
    """Returns an image [H, W, 3] uint8 of every subject pasted at each of its placements, with the terms of the scores.

    Args:
        subjects, background: those of `compose`.
        info: the info that `compose` returned.

    Raises:
        ArgumentError: there are no placements.

    Example:
        >>> import pyharmony
        >>> from pyharmony import composition
        >>> subject, background = np.zeros((30, 20, 4), np.uint8), np.full((60, 80, 3), 128, np.uint8)
        >>> subject[5:, 5:15] = 255  # cropped at the bottom
        >>> _, info = pyharmony.compose(subject, background, people=[], k=2, upscale=None, return_info=True)
        >>> composition.contact_sheet(subject, background, info).shape[2]
        3
    """
    if not isinstance(info, ComposeInfo):
        raise DTypeError(f"info: {type(info).__name__}, expected the ComposeInfo of a call")
    images = photos_of(subjects)
    if len(images) != len(info.subjects):
        raise ArgumentError(f"subjects: {len(images)}, expected the {len(info.subjects)} of info")
    sheets = []
    for number in range(len(images)):
        at = info.recipe["order"].index(number)
        entry, one = info.recipe["subjects"][at], info.subjects[at]
        if not one.places:
            continue
        mask = None
        if entry["mask"] is not None:
            name, size = f"subjects[{number}]", (entry["size"][0], entry["size"][1])
            levels = _photo(images[number], Picture(np.zeros((1, 1, 3), np.uint8)), name).levels
            mask = mask_over(entry["mask"], f"{name}.mask", size, levels)
        try:
            sheets.append(placement_sheet(images[number], background, one.places, mask=mask))
        except PyHarmonyError as error:
            raise error.within("", f"subjects[{number}]") if error.argument in ("subject", "mask") else error from None
    if not sheets:
        text = "info: no placements, expected at='auto' or a Placement for a subject"
        raise ArgumentError(text, code="no-place-sought")
    wide = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(sheet, ((0, 0), (0, wide - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets]
    return np.concatenate(padded)


def _photo(image: Any, like: Picture, name: str) -> Photo:
    """Returns a photo in the colours and dtype of another image."""
    if _arrays.is_array(image):
        arrays = as_images(image, name)
        if len(arrays) != 1:
            raise ShapeError(f"{name}: a batch, expected one image; pass a list")
        picture = Picture(arrays[0], profile=like.profile)
    else:
        picture = picture_of(image, name)
    _checks.warn_of_range(picture.pixels, name)
    alpha, has_alpha = None, picture.pixels.shape[2] == 4
    if has_alpha and (own := cutout_alpha(picture.pixels[..., 3], name)) is not None:
        alpha = np.ascontiguousarray(in_dtype(own, like.pixels.dtype))
    colours = Picture(np.ascontiguousarray(picture.pixels[..., :3]), picture.profile)
    levels = picture_levels(colours, name)
    pixels = io.convert(colours, like, name).pixels[..., :3]
    pixels = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    return Photo(pixels, levels, alpha, is_opaque=has_alpha and alpha is None)


@dataclass(frozen=True)
class _ReadFile:
    """A file that was read."""

    picture: Picture  # its image, which is reduced for a preview
    whole: tuple[int, int] | None  # its full size if it is reduced; else None
    file: str | None  # its SHA-256
    preview: Picture | None = None  # the reduced image in which a preview detects objects, if it differs from picture


def _read(path: Any, name: str, least: int | None, file: str | None, keep_gps: bool) -> _ReadFile:
    """Returns the image of a file.

    least: the longer side that a preview needs; None: all pixels.
    file: the SHA-256 in a recipe; a file with another one is read at full size. Empty without a recipe.
    """
    try:
        checksum = sha256_of(path, name)
    except FileError:
        # Reading the image reports the error.
        checksum = None
    if least is not None and file in ("", checksum):
        picture, whole = read_reduced(path, name, least, keep_gps=keep_gps)
    else:
        picture, whole = picture_of(path, name, keep_gps=keep_gps, takes_nodata=True), None
    if file != "" or max(picture.pixels.shape[:2]) < 2 * MIN_DETECTION_SIDE:
        return _ReadFile(picture, whole, checksum)
    # Without a preview, objects are detected in the same pixels as with one.
    preview, size = read_reduced(path, name, MIN_DETECTION_SIDE, keep_gps=keep_gps)
    return _ReadFile(picture, whole, checksum, preview if size else None)


def _file_of(recipe: Mapping[str, Any] | None, number: int | None) -> str | None:
    """Returns the SHA-256 of a subject's file in a recipe, or of the background's for None; empty without a recipe."""
    if recipe is None:
        return ""
    if number is None:
        return recipe["background_file"]
    order = recipe["order"]
    return recipe["subjects"][order.index(number)]["file"] if number in order else None


def _with_file(photo: Photo, read: _ReadFile, is_background: bool = False) -> Photo:
    """Returns a photo with the fields of its file."""
    preview, levels = read.preview, None
    if preview is not None and is_background:
        levels = _scene(preview.pixels).levels
    elif preview is not None:
        levels = picture_levels(Picture(np.ascontiguousarray(preview.pixels[..., :3]), preview.profile), "subjects")
    return replace(photo, whole=read.whole, file=read.file, preview=levels)


def _scene(target: NumpyArray) -> Photo:
    """Returns the background [H, W, C] as a photo."""
    pixels = np.ascontiguousarray(target[..., :3])
    return Photo(pixels, image_levels(pixels, "background"), None)


@dataclass
class Findings:
    """The results for a subject that are not in its recipe: reasons, warnings, placements, score and verdict."""

    reasons: list[Reason]
    warnings: list[Reason]
    places: list[Placement] = field(default_factory=list)
    mask_score: float | None = None
    usable: float | None = None
    doubts: tuple[Reason, ...] = ()


class _Request(NamedTuple):
    """The checked arguments of a call from which a recipe is made."""

    subjects: list[Subject]
    names: list[Names]  # those of the arguments of each
    method: str | Method  # that of segmentation
    people: Any
    settings: dict[str, Any]  # those of matching and blending, as in the recipe
    seed: int
    k: int
    corrections: dict[str, dict[str, Any] | None]  # those of the whole image, as in the recipe

    def check(self, has_recipe: bool) -> None:
        """Rejects arguments that are not accepted; with a recipe fewer of them are used."""
        if not isinstance(self.method, Method):
            _checks.one_of(self.method, "segment", ("auto", *CUTTERS))
        _checks.whole(self.k, "k", low=1)
        _checks.whole(self.seed, "seed")
        is_searched = len(self.subjects) == 1 and isinstance(self.subjects[0].at, str)
        if self.k > 1 and not has_recipe and not is_searched:
            text = f"k: {self.k}, expected 1 for several subjects, and if `at` is a position or a Placement"
            raise ArgumentError(text, code="one-place")
        check_people(self.people)
        for one, name in zip(self.subjects, self.names, strict=True):
            check_mode(one.mode, self.settings["blend"], name("mode"))


def _plan_of(
    request: _Request, photos: list[Photo], scene: Photo, target: NumpyArray, seconds: dict[str, float]
) -> tuple[dict[str, Any], list[Findings], list[dict[str, Any]]]:
    """Returns the recipe of a composite, the findings of each subject, and the recipes of the next best placements."""
    subjects, method, settings = request.subjects, request.method, request.settings
    if (parameters := retouching_of(request.corrections["adjust_background"])) is not None:
        levels, preview = scene.levels, scene.preview
        preview = None if preview is None else retouch(preview, parameters=parameters)[0]
        scene = replace(scene, levels=retouch(levels, parameters=parameters)[0], preview=preview)
    people = People(scene, method, request.people)
    width, height = scene.size
    entries: list[dict[str, Any]] = []
    findings: list[Findings] = []
    others: list[dict[str, Any]] = []
    nearness = []
    # People are detected only if a placement or a depth order depends on them.
    among_people = any(isinstance(one.at, str) or not isinstance(one.behind, str) for one in subjects)

    def search() -> str | None:
        start = time.perf_counter()
        if among_people:
            _ = people.crowd
        seconds["people"] = time.perf_counter() - start
        return None if scene.whole else digest(target)

    # The people of the background are detected in parallel with the first segmentation.
    with beside(search) as searched:
        start = time.perf_counter()
        first = _plan.cut_out(photos[0], subjects[0], method, request.names[0])
        seconds["cut"] = time.perf_counter() - start
        background_digest = searched()
    for i, (photo, one, name) in enumerate(zip(photos, subjects, request.names, strict=True)):
        is_searched = isinstance(one.at, str)
        start = time.perf_counter()
        cut = _plan.cut_out(photo, one, method, name) if i else first
        seconds["cut"] += time.perf_counter() - start
        start = time.perf_counter()
        if settings["shadow"] == "auto" or is_searched:
            cut = _plan.with_person(photo, cut)
        spots, places = _plan.decide(photo, cut, one, people, name, int(request.k))
        # The fields that do not depend on the placement.
        same: dict[str, Any] = {"size": list(photo.size), "digest": None if photo.whole else digest(photo.levels)}
        same |= {"file": photo.file, "mask": _plan.mask_entry(photo, cut), **_plan.ends(photo, cut), **settings}
        same |= {"adjust": one.adjust, "opacity": one.opacity, "mode": one.mode}
        same["warp"] = None if one.warp is None else [list(shift) for shift in one.warp]
        seconds["place"] = seconds.get("place", 0.0) + time.perf_counter() - start
        uses_people = request.people is not None or is_searched
        heads, pixels = people.crowd.heads if uses_people else [], _plan.pixels_of(photo, cut)
        is_default = settings["harmonize"] is not None and settings["harmonize"]["method"] == DEFAULT
        light = _plan.light_between(photo, cut, people, heads) if is_default else None
        entry, *next_best = drawn = [_entry(same, spot, heads, pixels, light) for spot in spots]
        entries.append(entry)
        others += next_best
        doubt = places[0].reason if is_searched else NO_REASON
        reasons = [reason for reason in (cut.reason, doubt) if reason]
        small = resized(people.small, fitted(people.size, _SURROUNDINGS_SIDE))
        has_auto_shadow, is_above = settings["shadow"] == "auto", False
        around = surroundings_of(small) if has_auto_shadow or is_searched else None
        if around is not None and has_auto_shadow:
            # The first place is the last, whose answer stays.
            for each in reversed(drawn):
                if is_above := around.is_above_ground(*_plan.lower_end(cut, each, people.whole)):
                    each["shadow"] = None
        warnings = [
            reason.within("", reason.hint or (_ANOTHER_PLACE if reason is doubt else _plan.SAY_WHO))
            for reason in reasons
        ]
        size = NO_REASON
        if is_searched and isinstance(one.scale, str) and (size := _plan.unlike_others(cut, entry, heads)):
            reasons, warnings = [*reasons, size], [*warnings, size.within("", _OTHER_SIZE)]
        reasons += [_IN_THE_AIR] if is_above else []
        facts: dict[str, float] = {}
        if is_searched and around is not None:
            below = around.water_and_sky_at(*_plan.lower_end(cut, entry, people.whole))
            facts = place_facts(size or doubt, entry["cropped_sides"], len(places[0].behind), below)
        verdict = verdict_of(_plan.facts_of(cut, facts), size or doubt)
        findings.append(Findings(reasons, warnings, places, cut.score, *verdict))
        if len(photos) > 1:
            placed_mask, head = _plan.mask_in_background(entry, cut.mask, (width, height))
            nearness.append(float(max(0, bounding_box(placed_mask).y1 - 1)))
            if among_people:
                people.add(placed_mask, head)
    # A lower subject is nearer, and drawn later.
    order = sorted(range(len(entries)), key=lambda i: nearness[i] if nearness else 0.0)
    recipe = {
        "schema": SCHEMA, "version": __version__, "size": [width, height], "background": background_digest,
        "background_file": scene.file, "seed": int(request.seed), "order": order,
        "subjects": [entries[i] for i in order],
        **{name: correction for name, correction in request.corrections.items() if correction},
    }  # fmt: skip
    return recipe, findings, [{**recipe, "subjects": [other]} for other in others]


#: Hints for a doubtful size or place.
_OTHER_SIZE = Reason("another-size", "pass another scale")
#: The longer side of the background in which the ground is looked for.
_SURROUNDINGS_SIDE = 256
_IN_THE_AIR = Reason("no-ground-below", "no shadow: it is in the sky or on water")
_ANOTHER_PLACE = Reason("another-place", "pass another position, or a larger k for more placements")


def _entry(
    same: Mapping[str, Any],
    spot: Mapping[str, Any],
    heads: Sequence[Rectangle],
    pixels: float,
    light: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Returns the recipe entry of a subject, from the fields that do not depend on the placement, and one placement.

    pixels: the number of pixels of its photo that the subject covers.
    """
    entry = {**same, **spot}
    method, entry["upscale"] = same["upscale"], None
    if method is not None and (times := _plan.enlarged(float(entry["scale"]), pixels)):
        entry["upscale"] = {"method": method, "scale": times, "weights": enlarges(method)}
    if entry["harmonize"] is not None and heads:
        like = _plan.nearest_heads(heads, entry["x"], entry["y"])
        entry["harmonize"] = {**entry["harmonize"], "reference_heads": like}
    if light is not None:
        entry["harmonize"] = {**entry["harmonize"], "light": light}
    return entry


def _fits(recipe: Mapping[str, Any], photos: list[Photo], scene: Photo, target: NumpyArray) -> None:
    """Rejects a recipe for other photos."""
    order = recipe["order"]
    if len(order) != len(photos):
        raise ArgumentError(f"recipe: {len(order)} subjects, but {len(photos)} photos were passed, expected as many")
    width, height = scene.size
    images = [(recipe["background"], recipe["background_file"], scene, target, "background")]
    images += [
        (entry["digest"], entry["file"], photos[number], photos[number].levels, f"subjects[{number}]")
        for entry, number in zip(recipe["subjects"], order, strict=True)
    ]

    def is_same(one: tuple[str | None, str | None, Photo, NumpyArray, str]) -> bool:
        expected, file, photo, pixels, _ = one
        return (file is not None and file == photo.file) or (expected is not None and expected == digest(pixels))

    for (digest_then, _, _, _, name), same in zip(images, in_threads(is_same, images), strict=True):
        if not same:
            # A preview identifies files by their bytes alone.
            by_file = "; it was made by a preview of a file, expected that file" if digest_then is None else ""
            raise ArgumentError(f"recipe: {name} differs from the one that it was made with{by_file}")
    if recipe["size"] != [width, height]:
        raise ArgumentError("recipe: background differs from the one that it was made with")
    for entry, number in zip(recipe["subjects"], order, strict=True):
        if entry["size"] != list(photos[number].size):
            size = photos[number].size
            raise ArgumentError(f"recipe: subjects[{number}].size: {entry['size']!r}, expected {size}")
        if entry["mask"] is not None:
            check_mask(entry["mask"], f"subjects[{number}].mask", photos[number].size)
        elif photos[number].alpha is None:
            raise ArgumentError(f"recipe: subjects[{number}] has no alpha, expected one, since the recipe has no mask")
        if entry["cover"] is not None:
            check_mask(entry["cover"], f"subjects[{number}].cover", (width, height))


def _reduced(
    whole: Any, target: NumpyArray, scene: Photo, photos: list[Photo], recipe: Mapping[str, Any], ratio: float
) -> tuple[Any, NumpyArray, list[Photo]]:
    """Returns the background, its pixels and the photos at the size of a preview."""

    def small(pixels: NumpyArray, factor: float, of: Photo) -> NumpyArray:
        wide, high = (max(1, round(v * factor)) for v in of.size)
        size = min(wide, pixels.shape[1]), min(high, pixels.shape[0])
        if np.may_share_memory(pixels, of.levels) and pixels.shape == of.levels.shape and size[0] <= of.small.shape[1]:
            pixels = of.small
        return resized(pixels, size)

    scales = {number: float(entry["scale"]) for entry, number in zip(recipe["subjects"], recipe["order"])}
    for entry, number in zip(recipe["subjects"], recipe["order"], strict=True):
        scales[number] *= largest_growth(entry["warp"], entry["size"])

    def reduced(photo: Photo, factor: float) -> Photo:
        alpha = None
        if photo.alpha is not None:
            alpha = np.ascontiguousarray(small(photo.alpha[..., None], factor, photo)[..., 0])
        pixels = small(photo.pixels, factor, photo)
        # The pixels and levels of photos in the background's colours are the same array.
        same = photo.pixels.dtype == np.uint8 and np.shares_memory(photo.pixels, photo.levels)
        return Photo(pixels, pixels if same else small(photo.levels, factor, photo), alpha)

    tasks: list[Callable[[], Any]] = [functools.partial(small, target, ratio, scene)]
    for number, photo in enumerate(photos):
        tasks.append(functools.partial(reduced, photo, min(1.0, ratio * scales[number] * _PREVIEW_OVERSAMPLING)))
    small_pixels, *small_photos = in_threads(lambda task: task(), tasks)
    if isinstance(whole, Picture):
        return replace(whole, pixels=small_pixels), small_pixels, small_photos
    return small_pixels if len(whole.shape) == 3 else small_pixels[..., 0], small_pixels, small_photos


def _over_all(layer: tuple[NumpyArray, Region] | None, shape: tuple[int, ...], beyond: int) -> NumpyArray | None:
    """Returns a layer over a region as one over the whole image, with a value beyond the region."""
    if layer is None:
        return None
    whole = np.full((*shape[:2], layer[0].shape[2]), beyond, layer[0].dtype)
    layer[1].of(whole)[...] = layer[0]
    return whole


def _info_of(
    drawings: list[PlacedSubject], recipe: Mapping[str, Any], findings: list[Findings], below: NumpyArray,
    seconds: dict[str, float], start: float, others: list[dict[str, Any]],
) -> ComposeInfo:  # fmt: skip
    """Returns the record of a composite."""
    every, shape, times = [], below.shape, dict(seconds)
    for subject, entry, number in zip(drawings, recipe["subjects"], recipe["order"], strict=True):
        mask = np.zeros(shape[:2], np.uint8)
        region = subject.region
        # Alpha of less than half a level counts as 1.
        np.maximum(in_levels(subject.alpha), subject.alpha > 0, out=region.of(mask))
        layer, mirrored = (
            _over_all(part, shape, fill) for part, fill in ((subject.shadow, 255), (subject.reflection, 0))
        )
        for key, value in subject.seconds.items():
            times[key] = times.get(key, 0.0) + value
        every.append(Composed(
            mask, (region.x0, region.y0, region.shape[1], region.shape[0]), float(entry["x"]), float(entry["y"]),
            float(entry["scale"]), float(entry["angle"]), bool(entry["flip"]), subject.colours, subject.alpha, layer,
            mirrored, tuple(findings[number].reasons + subject.reasons), dict(subject.seconds),
            tuple(findings[number].places), findings[number].mask_score,
            None if subject.harmonized is None else float(subject.harmonized.confidence),
            (*findings[number].warnings, *subject.warnings), None if subject.light is None else subject.light._asdict(),
            findings[number].usable, findings[number].doubts,
        ))  # fmt: skip
    times["all"] = time.perf_counter() - start
    rounded = {key: round(value, 4) for key, value in times.items()}
    return ComposeInfo(tuple(every), recipe, rounded, below, tuple(drawings), tuple(others))
