"""What can be evaluated, and what can judge: methods without weights, and networks, which need torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import harmonization
from ..color.transfers import TRANSFERS
from ..errors import PyHarmonyWarning
from ..typing import Network, PathLike, TorchDevice

Picture = npt.NDArray[np.uint8]
Method = Callable[[Picture, Picture], npt.NDArray[Any]]
"""From a composite and its mask to a picture in levels of 0 to 255."""


Judge = Callable[[Picture, Picture, Picture], tuple[dict[str, float], npt.NDArray[np.float32] | None]]
"""From a composite, a picture made of it and the mask to scores by name, higher where it looks more real, and, where
parts are judged, their probabilities of being real, [h, w]; else None."""


def _to_background(transfer: Callable[..., Any]) -> Method:
    def method(composite: Picture, mask: Picture) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = transfer(composite, composite, mask, 255 - mask)
        return found

    return method


def _harmonized(name: str) -> Method:
    def method(composite: Picture, mask: Picture) -> npt.NDArray[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PyHarmonyWarning)  # what a guard holds back shows in the figures
            found: npt.NDArray[Any] = harmonization.harmonize(composite, mask, method=name)
        return found

    return method


#: The composite as it is, the methods of `pyharmony.harmonize`, guarded as they are there, and the other transfers of
#: the background's colours to the object, as published.
METHODS: Mapping[str, Method] = {
    "composite": lambda composite, mask: composite,
    **{name: _to_background(transfer) for name, transfer in TRANSFERS.items()},
    **{name: _harmonized(name) for name in harmonization.METHODS},
}


def harmonizer(
    source: Network | PathLike | bytes,
    *,
    device: TorchDevice | None = None,
    batch_statistics: bool = False,
    size: int | None = None,
) -> Method:
    """A network as a method. It runs at 256 x 256 pixels, or at the size that it was made for.

    At other sizes what it did there is carried over by a colour map, as `pyharmony.harmonize` does, unguarded.

    Args:
        source: a model of `pyharmony.models` that harmonizes, or what `pyharmony.models.load` takes.
        device: 'cpu' or 'cuda'; None: a GPU where there is one.
        batch_statistics: batch norms take mean and variance of each picture, in place of those that training has kept:
            so the published test commands of DoveNet, BargainNet and pix2pix run.
        size: sides of the pictures that it sees, in place of those that it was made for.

    Raises:
        ImportError: torch is missing.
        WeightsError: as `pyharmony.models.load`.
        ArgumentError: the model does something else, or has no batch norms and batch_statistics are asked for.
        DeviceError: there is no such device.

    Example:
        >>> from pyharmony import evaluation, models
        >>> method = evaluation.harmonizer(models.create("pct_net"), size=32)
        >>> callable(method)
        True
    """
    networks = _networks()
    return networks.Harmonizer(networks.loaded(source, device), batch_statistics, size)


def judge(source: Network | PathLike | bytes, *, device: TorchDevice | None = None) -> Judge:
    """A network as a judge of pictures.

    'dovenet' and 'dovenet_lite' give the score `realism` of the whole picture and `verification`, of object and
    background being of one domain; 'bargainnet' gives `verification` alone, 'realism_cnn' `realism` alone. 'pix2pix'
    and 'pix2pix_selfie' give `realism`, the mean of the patches. These two and 'dovenet_lite' judge parts. Scores are
    higher where a picture looks more real; those of two judges cannot be compared.

    Args:
        source: a model of `pyharmony.models`, or what `pyharmony.models.load` takes; with its discriminator.
        device: as `harmonizer`.

    Raises:
        ImportError, WeightsError, ArgumentError, DeviceError: as `harmonizer`; the file has the generator alone.

    Example:
        >>> from pyharmony import evaluation, models
        >>> judge = evaluation.judge(models.create("realism_cnn"))
        >>> callable(judge)
        True
    """
    networks = _networks()
    return networks.Verdict(networks.loaded(source, device, whole=True))


def _networks() -> Any:
    from .. import models  # noqa: F401, first: where torch is missing it says what to install
    from . import networks

    return networks


def enlarged(x: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """x [h, w, C] at [H, W, C], by a bilinear filter."""
    from PIL import Image

    height, width = size
    planes = (Image.fromarray(np.ascontiguousarray(x[..., c])) for c in range(x.shape[2]))
    return np.stack([np.asarray(p.resize((width, height), Image.Resampling.BILINEAR)) for p in planes], -1)
