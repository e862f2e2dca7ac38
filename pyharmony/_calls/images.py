"""The descriptions of blends, edits and harmonisation."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _shipped
from .option import IMAGE, POINT, Call, File, Name, Option, flag


@dataclass(frozen=True)
class Style:
    """The style in which messages name options and inputs: as flags and capitals, or as the fields of a request."""

    flags: bool

    def option(self, name: str, value: str | bool | None = None) -> str:
        """Returns an option, or one with a value: '--mode poisson', '--no-guard'; 'mode poisson', 'guard false'."""
        if isinstance(value, str):
            return f"{self.option(name)} {value}"
        if self.flags:
            return f"--no-{flag(name)[2:]}" if value is False else flag(name)
        return name if value is None else f"{name} {str(value).lower()}"

    def input(self, name: str) -> str:
        """Returns the name of an input image."""
        return name.upper() if self.flags else name


#: On the command line, and in requests to the service.
FLAGS, FIELDS = Style(True), Style(False)


def harmonize_methods() -> list[str]:
    """Returns the names of all methods of harmonisation: functions, and weights that come with pyharmony."""
    return [*_METHODS, *(entry.name for entry in _shipped.every() if entry.task == "harmonize")]


#: The options of `pyharmony harmonize` that are images.
HINTS = ("source", "source_mask", "reference_mask")

# A copy from `pyharmony.typing`, which loads NumPy: the help of the command line does not.
_METHODS = ("auto", "reinhard", "mkl", "match_histogram", "luminance_temperature", "lalonde_efros", "xue")
_GRADIENTS = ("source", "mixed", "average", "monochrome")
_CONTOURS = ("half", "full")
_KERNELS = ("normal", "sobel", "scharr", "prewitt", "roberts")
#: The blends, the default first: why they refuse arrays on a CUDA device; empty: kernels run there.
BLENDS = {
    "gaussian-poisson": "",
    "poisson": "",
    "gp-gan": "the input of its network is pasted and resampled on the CPU",
    "laplacian": "the number of bands depends on the values of every level of the mask",
    "alpha": "with torch or CuPy it is one line, `mask * src + (1 - mask) * dst`",
}
_MODES = tuple(BLENDS)
#: Those without a network: the methods of `paste_many` and `CopyPaste`, the modes of the node of ComfyUI.
NETLESS = tuple(mode for mode in BLENDS if mode != "gp-gan")
_EDITS = ("texture-flattening", "illumination-change", "detail-boost", "inpaint")
_GAUSSIAN, _SOLVED = ("gaussian-poisson", "gp-gan"), ("gaussian-poisson", "poisson", "gp-gan")

_COLOR_WEIGHT_SCALE = Option(
    "color_weight_scale", float, "The value of white in the map of --color-weight.", "1",
    metavar="F", low=0, argument=False,
)  # fmt: skip
_TOLERANCE = "by depth, 0.25 at 8 bits"
_WRAP = Option(
    "wrap", ("x", "y", "xy"), "Opposite borders touch: x of a panorama of 360 degrees, xy of a tile of a texture."
)
QUALITY = Option(
    "quality", int,
    "The quality of JPEG, WebP, AVIF and JPEG XL; original: what is unchanged of a JPEG stays as it is.", "95",
    metavar="1..100|original", low=1, high=100, word="original", argument=False,
)  # fmt: skip
_FILE_OPTIONS = (
    Option(
        "format", Name("format"), "The format of OUT: jpeg, png, webp, tiff, bmp, avif, jxl.", "by its suffix",
        metavar="NAME", argument=False,
    ),
    QUALITY,
    Option("keep_gps", bool, "Keep the GPS position in the metadata.", argument=False),
)  # fmt: skip

BLEND = Call(
    command="blend",
    inputs={
        "src": "The source image; its alpha multiplies the mask.",
        "dst": "The destination image, whose kind the result has.",
        "mask": "A grey image of SRC's size, white inside, hard or soft.",
    },
    items={"src": True, "dst": True, "mask": False},
    primary="dst",
    modes=_MODES,
    options=(
        Option("mode", _MODES, "The blend.", f"{_MODES[0]}; alpha with --harmonize", argument=False),
        Option(
            "at", POINT, "The position of SRC's first pixel in DST, may be fractional or negative; none: equal sizes.",
            metavar="X,Y", unit="dst",
        ),
        Option(
            "scale", float, "The factor of SRC's size; its first pixel stays at X,Y.", "1", metavar="F", low=0,
            neutral=1.0, unit="dst/src",
        ),
        Option(
            "dst_valid", IMAGE,
            "A grey image of DST's size, black where DST is unknown, such as erased; alpha 0 is unknown too.",
            metavar="FILE",
        ),
        Option("gradients", _GRADIENTS, "the image whose gradients are used.", "source", ("poisson",)),
        Option(
            "contour", _CONTOURS, "how much of SRC's gradients is used across a hard contour of MASK.", "half",
            ("gaussian-poisson", "poisson"),
        ),
        Option(
            "color_weight", File(number=True),
            "how much colours are kept, 0 to 1e6; a number, or a grey image of DST's size, black 0 and white 1.",
            "0 for poisson, else 1", _SOLVED, "W|MAP",
        ),
        _COLOR_WEIGHT_SCALE,
        Option("sigma", float, "Gaussian of the colours, 0 to 0.8 pixels.", "0.5", _GAUSSIAN, "S", 0),
        Option("smooth_sigma", float, "smoothing before each halving, to 16 pixels.", "1", _GAUSSIAN, "S", 0),
        Option("gradient_kernel", _KERNELS, "the gradient filter.", "normal", _GAUSSIAN),
        Option(
            "base", File(words=("membrane", "copy-paste")),
            "the colours to keep; IMAGE has DST's size.", "membrane", ("gaussian-poisson",),
            "membrane|copy-paste|IMAGE",
        ),
        Option(
            "preserve_background", bool, "do not change pixels outside the mask.", "preserve-background", _GAUSSIAN,
            off="--no-preserve-background",
        ),
        Option("as_published", bool, "compute as GP-GAN's code does; needs --no-preserve-background.", modes=_GAUSSIAN),
        Option(
            "network", File("weights"), "the network's weights, .safetensors.",
            f"{_shipped.GENERATOR}, which come with pyharmony", ("gp-gan",), "FILE",
        ),
        Option(
            "supervised", bool,
            "whether the network computes the colours from the paste, or from optimised noise.", "that of FILE",
            ("gp-gan",), off="--unsupervised",
        ),
        Option("nz", int, "the length of the noise vector.", "that of FILE", ("gp-gan",), "N", 1),
        Option("n_iteration", int, "the maximal number of iterations.", "1000", ("gp-gan",), "N", 1),
        Option("seed", int, "the seed of the first noise vector.", "0", ("gp-gan",), "N", 0),
        Option("feather", float, "the width of a ramp inside the contour.", "0", ("alpha",), "PIXELS", 0, unit="dst"),
        Option("levels", int, "the number of levels of the pyramid.", "by size", ("laplacian",), "N", 0, 16),
        Option("tolerance", float, "the largest error, in 8-bit levels.", _TOLERANCE, _SOLVED, "T", 1e-9),
        Option(
            "decontaminate", bool, "Remove SRC's old background from its edge colours.", "decontaminate",
            off="--no-decontaminate",
        ),
        Option("keep_alpha", bool, "Keep DST's alpha under the object, which is invisible where that is 0."),
        _WRAP,
        Option(
            "harmonize", Name("harmonize"),
            "Harmonise the blended object with its surroundings, by this method of `pyharmony harmonize`.",
            none=True, argument=False, was_flag=True,
        ),
        Option("method", Name("harmonize"), "The former name of harmonize.", argument=False, replaced_by="harmonize"),
        Option(
            "strength", float, "--harmonize: how much colours change.", "1",
            metavar="0..2", low=0, high=2, argument=False,
        ),
        Option("guard", bool, "--harmonize: reduce uncertain changes.", "guard", off="--no-guard", argument=False),
        Option("cautious", bool, "--harmonize: reduce all changes except of clear mismatches.", argument=False),
        Option(
            "save_mask", File("output"), "Write the mask at DST's size too, as input for `harmonize`.",
            metavar="FILE", argument=False,
        ),
        *_FILE_OPTIONS,
    ),
    renamed={"generator": "--network", "reference": "--as-published"},
)  # fmt: skip
EDIT = Call(
    command="edit",
    inputs={"image": "The image.", "mask": "A grey image of its size, white in the region to edit; none: all."},
    items={"image": True, "mask": False},
    modes=_EDITS,
    options=(
        Option("mode", _EDITS, "The edit; required, since each changes the image in another way.", argument=False),
        Option("low", float, "edges continue down to this gradient.", "4", ("texture-flattening",), "G", 0),
        Option("high", float, "edges have at least this gradient.", "6", ("texture-flattening",), "G", 0),
        Option(
            "alpha", float, "the gradient that is kept, relative to the mean.", "0.2", ("illumination-change",), "A"
        ),
        Option("beta", float, "the strength of the evening out.", "0.4", ("illumination-change",), "B", 0, 2),
        Option("gain", float, "the factor of details.", "1.5", ("detail-boost",), "F", 0),
        Option(
            "color_weight", File(number=True), "how much colours are kept; a number or a grey image of IMAGE's size.",
            "0.05", ("detail-boost",), "W|MAP",
        ),
        _COLOR_WEIGHT_SCALE,
        Option("tolerance", float, "The largest error, in 8-bit levels.", _TOLERANCE, metavar="T", low=1e-9),
        _WRAP,
        *_FILE_OPTIONS,
    ),
)  # fmt: skip
HARMONIZE = Call(
    command="harmonize",
    inputs={
        "image": "The image with the object in it, or a folder of them.",
        "mask": "A grey image of its size, white on the object; for a folder, a folder.",
    },
    items={"image": True, "mask": True},
    modes=_METHODS,
    options=(
        Option(
            "at", POINT, "The position of the first pixel of a smaller MASK in IMAGE; none: equal sizes.",
            metavar="X,Y", unit="image",
        ),
        Option(
            "method", Name("harmonize"), f"{', '.join(_METHODS)}, or weights that come with pyharmony.", _METHODS[0],
            metavar="NAME", argument=False,
        ),
        Option(
            "network", File("weights"), "Replaces --method: the weights of a network that harmonizes.",
            metavar="FILE", argument=False,
        ),
        Option("strength", float, "How much colours change.", "1", metavar="0..2", low=0, high=2),
        Option(
            "guard", bool,
            "Leave an image unchanged if the estimate cannot be trusted, and reduce changes of which a network is not "
            "confident.",
            "guard", off="--no-guard",
        ),
        Option(
            "cautious", bool,
            "Reduce all changes except of clear mismatches, if the object may not be pasted at all.",
        ),
        Option("source", IMAGE, "The original photo of the object.", metavar="FILE"),
        Option("source_mask", IMAGE, "A grey image of its size, white on the object; none: all of it.", metavar="FILE"),
        Option(
            "reference_mask", IMAGE,
            "A grey image of IMAGE's size, white on a region whose light the object should have.", metavar="FILE",
        ),
        Option(
            "batch_statistics", bool,
            "With a network: batch norms use the statistics of the image, as in published tests.",
        ),
        Option("upscale", ("2", "4"), "Enlarge OUT by this factor, as `pyharmony super-resolve` does.", argument=False),
        *_FILE_OPTIONS,
    ),
    renamed={"model": "--network", "reference": "--reference-mask"},
    chooser="method",
    phase="harmonize",
)  # fmt: skip
