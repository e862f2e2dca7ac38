"""The segmentation methods by name, each with its requirements."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .. import _checks, _header, _install, _shipped
from .._arrays import Pixels
from .._public import former_field, naming_keywords
from ..errors import WeightsError
from ..typing import PathLike
from . import _classic, _clicks, _pose_network
from ._network import NetworkCutter, Prompts
from ._poses import Poses
from .layers import Layer
from .scores import Facts, Weights

_NO_WEIGHTS = "it needs the weights"


class Cutter(Protocol):
    """A segmentation method with an image that it has prepared."""

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        """Returns masks, the best first; `last` is the mask that new prompts correct."""


@naming_keywords
@dataclass(frozen=True)
class Method:
    """A segmentation method.

    Attributes:
        name: its name.
        summary: a description in one line.
        opened: a function that prepares an image [H, W, 3] of uint8 and returns its `Cutter`.
        needs: the modules that it imports, each with the extra that installs it.
        weights: the name of its weights; empty if it has none.
        detects_people: whether it detects people.
        scored: the weights by which the expected intersection over union is computed; None: scores are the network's.
    """

    name: str
    summary: str
    opened: Callable[[Pixels], Any]
    needs: tuple[tuple[str, str], ...] = ()
    weights: str = ""
    detects_people: bool = False
    scored: Weights | None = None
    people = former_field("people", "detects_people")

    @property
    def missing(self) -> str:
        """The reason why the method cannot run here, in a sentence; empty if it can."""
        for module, extra in self.needs:
            if importlib.util.find_spec(module) is None:
                return f"{module} is missing, {self.name} needs it: {_install.hint(extra)}"
        if self.weights and _shipped.named(self.weights) is None:
            why = _shipped.why_left_out(self.weights)
            return f"{_NO_WEIGHTS} {self.weights}" + (f": {why}" if why else ", which do not come with this pyharmony")
        return ""


@dataclass
class _Refined:
    """The network, followed by another method that refines its best mask."""

    first: NetworkCutter
    second: _classic.ClassicCutter

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        layers = self.first.cut(prompts, last)
        better = self.second.refined(prompts, layers[0])[0]
        return [better._replace(score=layers[0].score), *layers[1:]]


def trained(network: PathLike) -> Method:
    """Returns a method that uses weights of `clicks` trained by the user: `segment(image, method=trained(path))`.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file does not contain weights of `clicks`.
    """
    with _checks.opened(network, "network") as file:
        data = file.read()
    path = Path(network)
    with _header.named("network"):
        clicks = _clicks.parsed(data, str(path))
    summary = f"the network of clicks, by {path.name}"
    return Method(
        "trained", summary, lambda picture: NetworkCutter(clicks, picture), detects_people=bool(clicks.finder)
    )


def _featured(picture: Pixels) -> NetworkCutter:
    return NetworkCutter(_clicks.network(_FEATURED), picture, Poses(picture) if _pose_network.are_there() else None)


def _alone(weights: str) -> Callable[[Pixels], NetworkCutter]:
    return lambda picture: NetworkCutter(_clicks.network(weights), picture)


def _after(second: Callable[[Pixels], _classic.ClassicCutter]) -> Callable[[Pixels], Cutter]:
    return lambda picture: _Refined(_alone(_FEATURED)(picture), second(picture))


#: The result of `python benchmarks/mask_scores.py fit` for the weights `clicks-imagenet`.
_SCORED = Weights(-7.02, Facts(0.34, 1.03, 3.86, 2.86, 0.06, 0.26))

#: The name of the weights of the network whose features were trained together with it.
_WEIGHTS = "clicks"
#: The name of the weights of the network on features of ImageNet, and of its method.
_FEATURED = "clicks-imagenet"
#: The name of the method by the network on features of ImageNet without poses of people.
_CLICKS_WITHOUT_POSES = "clicks-imagenet-alone"
_SUMMARY = "the network of clicks on features pretrained on ImageNet"
#: The method 'auto': the best with one click on the validation photos.
DEFAULT = _FEATURED
#: The modules that GrabCut and the random walker need, and the extra that installs them.
_OPENCV, _SKIMAGE = ("cv2", "segment"), ("skimage", "segment")

#: The methods by name.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(_FEATURED, _SUMMARY, _featured, weights=_FEATURED, detects_people=True, scored=_SCORED),
        Method(
            _WEIGHTS, "the network of clicks, `pyharmony.networks.models.clicks`", _alone(_WEIGHTS), weights=_WEIGHTS
        ),
        Method("grabcut", "GrabCut, by OpenCV", _classic.grabcut, (_OPENCV,)),
        Method("random_walker", "the random walker, by scikit-image", _classic.random_walker, (_SKIMAGE,)),
        *(
            Method(f"{_FEATURED}+{name}", f"{text}, initialised by {_FEATURED}", _after(second), (module,), _FEATURED)
            for name, text, second, module in (
                ("grabcut", "GrabCut", _classic.grabcut, _OPENCV),
                ("random_walker", "the random walker", _classic.random_walker, _SKIMAGE),
            )
        ),
        Method(
            _CLICKS_WITHOUT_POSES,
            f"{_FEATURED} without poses of people",
            _alone(_FEATURED),
            weights=_FEATURED,
            detects_people=True,
            scored=_SCORED,
        ),
    )
}


def method_of(name: Any) -> Method:
    """Returns a method that can run here; 'auto' is the network of clicks on features of ImageNet.

    Where PYHARMONY_OPEN_DATA=1 leaves that one out, it is the other network of clicks.
    """
    if isinstance(name, Method):
        method = name
    else:
        known_name = _checks.one_of(name, "method", ("auto", *METHODS))
        default = _WEIGHTS if _shipped.why_left_out(DEFAULT) else DEFAULT
        method = METHODS[default if known_name == "auto" else known_name]
    if reason := method.missing:
        raise (WeightsError if reason.startswith(_NO_WEIGHTS) else ImportError)(f"method {method.name!r}: {reason}")
    return method
