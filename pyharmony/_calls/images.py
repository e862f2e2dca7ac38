"""The descriptions of blends, edits and harmonisation."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _shipped
from .option import Call, Option, flag


@dataclass(frozen=True)
class Style:
    """How messages write options and inputs: as flags and capitals, or as the fields of a request."""

    flags: bool

    def option(self, name: str, value: str | bool | None = None) -> str:
        """Returns an option, or one with a value: '--mode poisson', '--no-guard'; 'mode poisson', 'guard false'."""
        if isinstance(value, str):
            return f"{self.option(name)} {value}"
        if self.flags:
            return f"--no-{flag(name)[2:]}" if value is False else flag(name)
        return name if value is None else f"{name} {str(value).lower()}"

    def input(self, name: str) -> str:
        """Returns an image that is taken in."""
        return name.upper() if self.flags else name


#: On the command line, and in requests to the service.
FLAGS, FIELDS = Style(True), Style(False)


@dataclass(frozen=True)
class Kind(Call):
    """A call on one image that a list may hold in each of its rows; the last of its inputs is the mask.

    Attributes:
        primary: the input that the result is like.
        modes: functions of `pyharmony.blend`, or methods of `pyharmony.harmonize`; the default comes first.
        chooser: the option that chooses the mode.
        phase: what the computation is called in figures.
    """

    primary: str
    modes: tuple[str, ...]
    chooser: str = "mode"
    phase: str = "solve"

    @property
    def harmonizes(self) -> bool:
        return self.chooser == "method"

    @property
    def needed(self) -> tuple[str, ...]:
        """The inputs that must be given: blends and edits can do without a mask."""
        names = tuple(self.inputs)
        return names if self.harmonizes else names[:-1]


def harmonize_methods() -> list[str]:
    """Returns the names of everything that harmonizes: methods, and weights that come with pyharmony."""
    return [*_METHODS, *(entry.name for entry in _shipped.every() if entry.task == "harmonize")]


#: The options of `pyharmony harmonize` that are images.
HINTS = ("source", "source_mask", "reference")

# This copies `pyharmony.typing`, which loads NumPy: the help of the command line does without it.
_METHODS = ("auto", "reinhard", "mkl", "match_histogram", "luminance_temperature", "lalonde_efros", "xue")
_GRADIENTS = ("source", "mixed", "average", "monochrome")
_CONTOURS = ("half", "full")
_KERNELS = ("normal", "sobel", "scharr", "prewitt", "roberts")
_BLENDS = ("gaussian-poisson", "poisson", "gp-gan", "laplacian", "alpha")
_EDITS = ("texture-flattening", "illumination-change", "detail-boost", "inpaint")
_GAUSSIAN, _SOLVED = ("gaussian-poisson", "gp-gan"), ("gaussian-poisson", "poisson", "gp-gan")

_COLOR_WEIGHT_SCALE = Option(
    "color_weight_scale", float, "The value of white in the map of --color-weight.", "1",
    metavar="F", low=0, argument=False,
)  # fmt: skip
_TOLERANCE = "by depth, 0.25 at 8 bits"
_FILE_OPTIONS = (
    Option(
        "format", str, "The format of OUT: jpeg, png, webp, tiff, bmp, avif.", "by its name",
        metavar="NAME", argument=False,
    ),
    Option(
        "quality", int, "The quality of JPEG, WebP and AVIF.", "95",
        metavar="1..100", low=1, high=100, argument=False,
    ),
    Option("keep_gps", bool, "Keep in the metadata where the image was taken.", argument=False),
)  # fmt: skip

BLEND = Kind(
    command="blend",
    inputs={
        "src": "The image to put in; its alpha multiplies the mask.",
        "dst": "The image that it goes into, whose kind the result has.",
        "mask": "A grey image of SRC's size, white inside, soft at will.",
    },
    primary="dst",
    modes=_BLENDS,
    options=(
        Option("mode", _BLENDS, "The blend.", f"{_BLENDS[0]}; alpha with --harmonize", argument=False),
        Option(
            "at", str, "Where SRC's first pixel lands in DST, fractions and negative numbers too; none: equal sizes.",
            metavar="X,Y",
        ),
        Option("scale", float, "The factor of SRC's size; its first pixel stays at X,Y.", "1", metavar="F", low=0),
        Option(
            "dst_valid", str,
            "A grey image of DST's size, black where DST is unknown, as if something was erased; so is an alpha of 0.",
            metavar="FILE",
        ),
        Option("gradients", _GRADIENTS, "the image whose edges count.", "source", ("poisson",)),
        Option(
            "contour", _CONTOURS, "how much of SRC's edges counts across a hard contour of MASK.", "half",
            ("gaussian-poisson", "poisson"),
        ),
        Option(
            "color_weight", str,
            "how far colours are kept, 0 to 1e6; a number, or a grey image of DST's size, black 0 and white 1.",
            "0 for poisson, else 1", _SOLVED, "W|MAP",
        ),
        _COLOR_WEIGHT_SCALE,
        Option("sigma", float, "Gaussian of the colours, 0 to 0.8 pixels.", "0.5", _GAUSSIAN, "S", 0),
        Option("smooth_sigma", float, "smoothing before each halving, to 16 pixels.", "1", _GAUSSIAN, "S", 0),
        Option("gradient_kernel", _KERNELS, "how edges are taken.", "normal", _GAUSSIAN),
        Option(
            "base", str, "the colours to keep; IMAGE has DST's size.", "membrane", ("gaussian-poisson",),
            "membrane|copy-paste|IMAGE",
        ),
        Option(
            "preserve_background", bool, "leave what is outside the mask as it is.", "preserve-background", _GAUSSIAN,
            off="--no-preserve-background",
        ),
        Option("reference", bool, "as GP-GAN's code; needs --no-preserve-background.", modes=_GAUSSIAN),
        Option(
            "generator", str, "the network's weights, .safetensors.",
            f"{_shipped.GENERATOR}, which come with pyharmony", ("gp-gan",), "FILE",
        ),
        Option(
            "supervised", bool,
            "the network makes the colours of the paste, or of noise that is searched for.", "what FILE holds",
            ("gp-gan",), off="--unsupervised",
        ),
        Option("nz", int, "length of the noise.", "that of FILE", ("gp-gan",), "N", 1),
        Option("n_iteration", int, "the most iterations of the search.", "1000", ("gp-gan",), "N", 1),
        Option("seed", int, "where the search starts.", "0", ("gp-gan",), "N", 0),
        Option("feather", float, "the width of a ramp inside the contour.", "0", ("alpha",), "PIXELS", 0),
        Option("levels", int, "how often to halve.", "by size", ("laplacian",), "N", 0, 16),
        Option("tolerance", float, "the largest error, in 8-bit levels.", _TOLERANCE, _SOLVED, "T", 1e-9),
        Option(
            "decontaminate", bool, "Free the edge colours of SRC from its own background.", "decontaminate",
            off="--no-decontaminate",
        ),
        Option(
            "harmonize", bool, "Give what was put in the light and colour of its surroundings, afterwards.",
            argument=False,
        ),
        Option("method", str, "--harmonize: by which method of it.", "auto", metavar="NAME", argument=False),
        Option(
            "strength", float, "--harmonize: how far colours go.", "1",
            metavar="0..2", low=0, high=2, argument=False,
        ),
        Option(
            "guard", bool, "--harmonize: make little of what is not sure.", "guard", off="--no-guard", argument=False
        ),
        Option(
            "cautious", bool, "--harmonize: make little of all but what surely does not fit.", argument=False
        ),
        Option(
            "save_mask", str, "Write the mask at DST's size too, as `harmonize` takes it.",
            metavar="FILE", argument=False,
        ),
        *_FILE_OPTIONS,
    ),
)  # fmt: skip
EDIT = Kind(
    command="edit",
    inputs={"image": "The image.", "mask": "A grey image of its size, white where to work; none: all."},
    primary="image",
    modes=_EDITS,
    options=(
        Option("mode", _EDITS, "What to do.", _EDITS[0], argument=False),
        Option("low", float, "an edge goes on to this gradient.", "4", ("texture-flattening",), "G", 0),
        Option("high", float, "an edge has this gradient.", "6", ("texture-flattening",), "G", 0),
        Option(
            "alpha", float, "the gradient that stays, over the mean.", "0.2", ("illumination-change",), "A"
        ),
        Option("beta", float, "how far to even out.", "0.4", ("illumination-change",), "B", 0, 2),
        Option("gain", float, "the factor of details.", "1.5", ("detail-boost",), "F", 0),
        Option(
            "color_weight", str, "how far colours are kept; a number or a grey image of IMAGE's size.", "0.05",
            ("detail-boost",), "W|MAP",
        ),
        _COLOR_WEIGHT_SCALE,
        Option("tolerance", float, "The largest error, in 8-bit levels.", _TOLERANCE, metavar="T", low=1e-9),
        *_FILE_OPTIONS,
    ),
)  # fmt: skip
HARMONIZE = Kind(
    command="harmonize",
    inputs={
        "image": "The image with the object in it, or a folder of them.",
        "mask": "A grey image of its size, white on the object; of a folder, a folder.",
    },
    primary="image",
    modes=_METHODS,
    options=(
        Option(
            "at", str, "Where the first pixel of a MASK of its own size lies in IMAGE; none: equal sizes.",
            metavar="X,Y",
        ),
        Option(
            "method", str, f"{', '.join(_METHODS)}, or weights that come with pyharmony.", _METHODS[0],
            metavar="NAME", argument=False,
        ),
        Option(
            "model", str, "In place of --method: the weights of a network that harmonizes.",
            metavar="FILE", argument=False,
        ),
        Option("strength", float, "How far colours go.", "1", metavar="0..2", low=0, high=2),
        Option(
            "guard", bool,
            "Leave an image as it is where the answer cannot be trusted, and make little of what a network is not "
            "sure of.",
            "guard", off="--no-guard",
        ),
        Option(
            "cautious", bool,
            "Make little of all but what surely does not fit, where nobody knows whether anything was pasted.",
        ),
        Option("source", str, "The photograph that the object was cut from.", metavar="FILE"),
        Option(
            "source_mask", str, "A grey image of its size, white where the object is in it; none: all of it counts.",
            metavar="FILE",
        ),
        Option(
            "reference", str, "A grey image of IMAGE's size, white on what the object should be lit like.",
            metavar="FILE",
        ),
        Option(
            "batch_statistics", bool,
            "With a network: batch norms take the statistics of the image, as published tests run.",
        ),
        Option(
            "upscale", ("2", "4"), "Make OUT so many times as large, with detail, as `pyharmony super-resolve` does.",
            argument=False,
        ),
        *_FILE_OPTIONS,
    ),
    chooser="method",
    phase="harmonize",
)  # fmt: skip
