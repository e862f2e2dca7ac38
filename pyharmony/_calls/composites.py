"""The descriptions of segmentation, placement, composites, merging, shadows, reflections and super-resolution."""

from __future__ import annotations

from dataclasses import replace

from .images import BLEND
from .option import (
    COLOUR,
    CORNERS,
    CURVE,
    IMAGE,
    INDICES,
    LINE,
    POINT,
    POINTS,
    RECTANGLE,
    ROW_OR_LINE,
    Call,
    File,
    Group,
    Name,
    Option,
)

_KEEP_GPS = replace(BLEND.by_name["keep_gps"], argument=True, value=False)
#: The blends of a composite; the first is the default of 'auto'.
COMPOSITE_BLENDS = ("alpha", "gaussian-poisson", "poisson")
#: The modes of a subject over what is below it, those of layers; the first is the default.
LAYER_MODES = ("normal", "multiply", "screen", "overlay", "darken", "lighten", "soft-light")

SEGMENT = Call(
    command="segment",
    inputs={"image": "The image."},
    items={"image": True, "mask": False},
    suffix=".png",
    options=(
        Option("points", POINTS, "A click on the object, or several; repeatable.", many=True, argument=False),
        Option("beside", POINTS, "A click outside the object, or several; repeatable.", many=True, argument=False),
        Option("scribble", LINE, "A line over the object, as a list of points; repeatable.", many=True,
               argument=False),
        Option("scribble_beside", LINE, "A line outside the object; repeatable.", many=True, argument=False),
        Option("box", RECTANGLE, "A rectangle around the object."),
        Option("lasso", LINE, "A rough outline of the object, or, after other prompts, of a part to add; repeatable.",
               many=True, argument=False),
        Option("lasso_beside", LINE, "A rough outline of a part to remove; repeatable.", many=True, argument=False),
        Option("mask", IMAGE, "A coarse mask of the object."),
        Option("tolerance", float, "The largest distance of the contour from --mask and --lasso; 0: as they are.",
               "any from --mask, a share of its size from --lasso", low=0, unit="image"),
        Option("include", IMAGE, "A mask whose pixels are added to the object; repeatable.", many=True, argument=False),
        Option("exclude", IMAGE, "A mask whose pixels are removed from it; repeatable.", many=True, argument=False),
        Option("all_people", bool, "Segment every person; takes no prompt.", argument=False, value=False),
        Option("method", Name("segment"), "auto, or another method of docs/segment.md.", value="auto", argument=False),
    ),
    renamed={"people": "--all-people", "crop": "--crop-to-mask", "model": "--network"},
)  # fmt: skip

PLACE = Call(
    command="place",
    inputs={
        "subject": "The photo with the person or object.",
        "background": "The photo to place it in.",
    },
    options=(
        Option("mask", IMAGE, "The mask of the person or object.", "the alpha of SUBJECT"),
        Option("people", IMAGE, "The mask of a person in BACKGROUND; repeatable.", "detected", many=True),
        Option("heads", RECTANGLE, "The head of each of --people, in their order.", "detected", many=True,
               unit="background"),
        Option("faces", RECTANGLE, "A face in BACKGROUND that must stay visible; repeatable.", many=True, value=(),
               unit="background"),
        Option("other_people", IMAGE, "A mask of more people in BACKGROUND, not separated.", "detected"),
        Option("head", RECTANGLE, "The head of the subject.", "detected", unit="subject"),
        Option("person", bool, "Whether the subject is a person.", "detected", off="--no-person"),
        Option("cropped_sides", ("left", "top", "right", "bottom"),
               "A side at which the subject is cropped; repeatable.", "detected", many=True),
        Option("scale", float, "The factor of the subject's size, above 0, at most 1000.", "estimated",
               unit="background/subject"),
        Option("max_scale", float, "The largest factor, if --scale is not given.", "2.5, more in large photos",
               unit="background/subject"),
        Option("angle", float, "The rotation in degrees, clockwise.", "as upright as BACKGROUND", low=-180, high=180),
        Option("flip", bool, "Try the mirrored subject too.", value=False),
        Option("k", int, "The number of places.", value=5, low=1),
    ),
    renamed={
        "top": "-k", "thing": "--no-person", "cut": "--cropped-sides", "most": "--max-scale",
        "others": "--other-people", "roll": "--angle",
    },
)  # fmt: skip

SHADOW = Call(
    command="shadow",
    inputs={
        "image": "The image, with the object or without.",
        "mask": "The mask of the object, of the size of IMAGE.",
    },
    items={"image": True, "mask": True},
    options=(
        Option("azimuth", float, "The direction of the light, in degrees to the right of the viewing direction.",
               value=150.0, low=-360, high=360),
        Option("elevation", float, "The height of the light above the horizon, in degrees, to 85.", value=45.0),
        Option("tip", POINT, "The end of the shadow of the highest pixel, which replaces azimuth and elevation."),
        Option("softness", float, "The angular size of the light: 0.5 degrees for the sun, 30 for a window.",
               value=4.0, low=0, high=90),
        Option("strength", float, "How dark the shadow is.", "as other shadows on the ground", low=0, high=1),
        Option("tint", COLOUR, "Factors for red, green and blue in the shadow.", "as other shadows on the ground"),
        Option("under", float, "How dark the contact shadow under the object is.", value=1.0, low=0, high=1),
        Option("contact", ROW_OR_LINE, "Where the object touches the ground: a row, or two points of a line.",
               "its lowest pixels"),
        Option("horizon", float, "The row of the horizon.", "0.4 of the height, or above the contact"),
        Option("wall", ROW_OR_LINE, "Where a vertical wall behind the object meets the ground; as contact.", "no wall"),
        Option("depth", float, "The depth of the object: how much smaller its back appears than its front.",
               value=0.0, low=0, high=0.5),
    ),
)  # fmt: skip

REFLECTION = Call(
    command="reflection",
    inputs={"image": "The image with the object.", "mask": "The mask of the object, of the size of IMAGE."},
    options=(
        Option("strength", float, "The opacity of the reflection at the contact.", value=0.4, low=0, high=1),
        Option("fade", float, "The share of that opacity that is lost at the height of the object.", value=0.6,
               low=0, high=1),
        Option("blur", float, "The blur for each pixel of height: 0 for a mirror, 0.03 for a polished floor.",
               value=0.03, low=0, high=1),
        Option("contact", ROW_OR_LINE, "Where the object touches the ground: a row, or two points of a line.",
               "its lowest pixels"),
    ),
)  # fmt: skip


def _colours_of(part: str) -> tuple[Option, ...]:
    """Returns the options of a correction of colours by hand."""
    return (
        Option("exposure", float, f"The exposure of {part}, in stops.", value=0.0, low=-4, high=4),
        Option("temperature", float, "The shift of its light's temperature in mired, above 0 warmer.",
               value=0.0, low=-150, high=300),
        Option("contrast", float, "Its contrast: an S-curve about middle grey, below 0 a flatter one.",
               value=0.0, low=-1, high=1),
        Option("saturation", float, "The factor of its saturation; 0 is grey.", value=1.0, low=0, high=4),
        Option("curve", CURVE, f"Its tone curve: {CURVE.accepted}.", "none"),
    )  # fmt: skip


ADJUST = Call(
    command="adjust",
    inputs={},
    options=(
        *_colours_of("the subject"),
        Option("edge", float, "The pixels of the background by which its outline moves, above 0 outwards.",
               value=0.0, low=-50, high=50),
        Option("feather", float, "The width over which its edge becomes softer, in pixels of the background.",
               value=0.0, low=0, high=50),
    ),
)  # fmt: skip
ADJUST_BACKGROUND = Call(command="adjust-background", inputs={}, options=_colours_of("the background"))
ADJUST_RESULT = Call(command="adjust-result", inputs={}, options=_colours_of("the composite"))

SUPER_RESOLVE = Call(
    command="super-resolve",
    inputs={"image": "The image, or - for stdin."},
    items={"image": True},
    options=(
        Option("scale", int, "The factor of its width and height.", metavar="2|4", value=2),
        Option("method", Name("super-resolve"), "auto, srgan, lanczos or bicubic.", value="auto", argument=False),
        Option("tile", int, "The side of the tiles, in pixels of IMAGE.", metavar="PIXELS", value=256, low=16),
    ),
    renamed={"model": "--network"},
)

COMPOSE = Call(
    command="compose",
    inputs={
        "subjects": "Photos with a subject each, and the background.",
        "background": "The photo to put them into.",
    },
    items={"subject": True, "background": True, "mask": False},
    options=(
        Option("points", POINTS, "A click on the subject, or several.", each="points", on_page="stage"),
        Option("beside", POINTS, "A click on what does not belong to the subject, or several.", each="beside",
               on_page="stage"),
        Option("box", RECTANGLE, "A rectangle around the subject.", each="boxes", on_page="stage"),
        Option("mask", IMAGE, "The mask of the subject, of its photo's size.", "its alpha, or segmented",
               each="masks", on_page="load-mask"),
        Option("segment", Name("segment"), "The method of `pyharmony segment` for subjects and people.", value="auto",
               on_page="cutter"),
        Option("people", IMAGE, "The mask of a person in the background; repeatable.", "detected", many=True,
               on_page="people"),
        Option("at", POINT, "The position of the first pixel of the subject's photo.", "the best place",
               value="auto", auto=True, each="at", shared=True, on_page="stage"),
        Option("scale", float, "The factor of the subject's size, above 0, at most 1000.", value="auto", auto=True,
               each="scale", shared=True, on_page="place"),
        Option("angle", float, "The rotation in degrees, clockwise, -180 to 180.", value="auto", auto=True,
               each="angle", shared=True, on_page="place"),
        Option("flip", bool, "Mirror the subject; if the place is estimated, try both.", value=False,
               off="--no-flip", each="flip", shared=True, on_page="flip"),
        Option("behind", INDICES, "The people, by index, who occlude the subject.", value="auto", auto=True,
               none=True, each="behind", shared=True, on_page="behind"),
        Option("k", int, "The number of places to try: the result shows the best.", value=1, low=1, on_page="places"),
        Option("harmonize", Name("harmonize"), "The method of `pyharmony harmonize`.", value="auto", none=True,
               on_page="method"),
        Option("strength", float,
               "How much the subject is matched to the scene: 0 is a plain paste, without match or shadow; 1 is full.",
               value=1.0, low=0, high=2, on_page="strength"),
        Option("blend", COMPOSITE_BLENDS, "The blend.", value="auto", auto=True, in_recipe=True, neutral="alpha",
               on_page="blend"),
        Option("sharpness", float, "How much of the scene's blur the subject gets.", value=1.0, low=0, high=1,
               look=True, in_recipe=True, neutral=0, on_page="field"),
        Option("grain", float, "How much of the scene's grain the subject gets.", value=1.0, low=0, high=1,
               look=True, in_recipe=True, neutral=0, on_page="field"),
        Option("shadow", Group(SHADOW, auto=True), "A soft shadow; auto: if the ground under the subject is visible.",
               value="auto", in_recipe=True, on_page="shadow"),
        Option("reflection", Group(REFLECTION), "A reflection in water or on a polished floor.", value=False,
               look=True, in_recipe=True, on_page="field"),
        Option("adjust", Group(ADJUST, is_step=False), "Corrections by hand, after the match, whatever the strength.",
               each="adjust", shared=True, look=True, in_recipe=True, is_new=True, on_page="adjust"),
        Option("opacity", float, "The opacity of the subject, without its shadow.", value=1.0, low=0, high=1,
               each="opacity", shared=True, in_recipe=True, is_new=True, neutral=1.0, on_page="opacity"),
        Option("mode", LAYER_MODES, "How the subject's colours mix with those below it.", value="normal", each="mode",
               shared=True, in_recipe=True, is_new=True, neutral="normal", on_page="layer-mode"),
        Option("adjust_background", Group(ADJUST_BACKGROUND, is_step=False),
               "Corrections of the background, before subjects are matched to it.", look=True, on_page="adjust"),
        Option("adjust_result", Group(ADJUST_RESULT, is_step=False), "Corrections of the finished composite.",
               on_page="adjust"),
        Option("warp", CORNERS,
               "How far the corners of the photo move, clockwise from the upper left, in shares of width and height.",
               each="warp", shared=True, on_page="warp"),
        Option("upscale", ("srgan", "lanczos", "bicubic"), "How a subject is enlarged to more than 1.5 times its size.",
               value="auto", auto=True, none=True, on_page="field"),
        Option("seed", int, "The seed of the grain.", value=0, low=0, high=2**32, on_page="field"),
        Option("keep_alpha", bool, "Keep the background's alpha under the subject, which is invisible where that is 0.",
               value=False, on_page="field"),
        _KEEP_GPS,
    ),
    renamed={
        "top": "-k", "merge": "`pyharmony merge`", "azimuth": "--shadow-azimuth", "elevation": "--shadow-elevation",
        "tip": "--shadow-tip", "softness": "--shadow-softness", "base": "an option of `pyharmony merge`",
    },
)  # fmt: skip

_ANYWAY = Option("anyway", bool, "Write a result that is probably not usable too.", argument=False, value=False)
#: A composite that is written to a file.
COMPOSE_FILE = replace(COMPOSE, options=(*COMPOSE.options, _ANYWAY))

APPLY_EDIT = Call(
    command="apply-edit",
    inputs={"original": "The photograph.", "edited": "Its edit, as an AI model returned it."},
    items={"original": True, "edited": True, "mask": False},
    options=(
        Option("mask", IMAGE, "The part of ORIGINAL that may change.", "all of it"),
        Option("changes", INDICES, "The changes to apply, by their numbers from 0, the largest first.", "all of them",
               none=True),
        Option("align", bool, "Undo motion.", value=True, off="--no-align"),
        Option("colors", ("original", "edit"), "Undo the drift of colours, or give ORIGINAL those of EDITED.",
               value="original"),
        Option("frame", ("original", "edit"), "The frame of OUT; that of EDITED if it shows more, an outpainting.",
               value="original"),
        Option("sharpness", bool, "Give the changes the sharpness of ORIGINAL.", value=True, off="--no-sharpness"),
        Option("grain", bool, "Give the changes the grain of ORIGINAL.", value=True, off="--no-grain"),
        Option("upscale", ("lanczos", "srgan"), "How changes are enlarged to ORIGINAL; srgan adds details.",
               value="lanczos"),
        _KEEP_GPS,
    ),
)  # fmt: skip

REMOVE = Call(
    command="remove",
    inputs={"image": "The photograph."},
    options=(
        Option("mask", IMAGE, "The mask of the thing to take away, of the size of IMAGE."),
        *(SEGMENT.by_name[name] for name in ("points", "beside", "box", "lasso")),
        Option("grow", float, "The pixels by which the mask is widened.", "by the sizes of IMAGE and the thing", low=0,
               high=1000, unit="image"),
        _KEEP_GPS,
    ),
)  # fmt: skip

MERGE = Call(
    command="merge",
    inputs={"photos": "Photos of one scene."},
    options=(
        Option("base", File(words=("auto",)), "The photo to which people of the others are added.",
               metavar="auto|PHOTO", value="auto", argument=False),
        Option("people", IMAGE, "The mask of the people of a photo; once per photo.", "detected", many=True,
               argument=False),
        Option("align", bool, "Align the photos first.", value=True, off="--no-align"),
        _KEEP_GPS,
    ),
    renamed={"mask": "--people"},
)  # fmt: skip
#: A merged photo that is written to a file.
MERGE_FILE = replace(MERGE, options=(*MERGE.options, _ANYWAY))
