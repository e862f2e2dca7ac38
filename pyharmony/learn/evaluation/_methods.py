"""The methods to evaluate, with and without networks, and networks as judges. Networks need torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _checks, harmonization
from ..._arrays import Pixels
from ...color.transfers import TRANSFERS
from ...errors import PyHarmonyWarning
from ...typing import Network, PathLike, TorchDevice

Method = Callable[[Pixels, Pixels], npt.NDArray[Any]]
"""A function of a composite and its mask that returns an image in levels of 0 to 255."""


Judge = Callable[[Pixels, Pixels, Pixels], tuple[dict[str, float], npt.NDArray[np.float32] | None]]
"""A function of a composite, a result and the mask. It returns scores by name, higher for more realistic images, and
the probabilities [h, w] that its parts are real; None if it does not score parts."""


def _to_background(transfer: Callable[..., Any]) -> Method:
    def method(composite: Pixels, mask: Pixels) -> npt.NDArray[Any]:
        output: npt.NDArray[Any] = transfer(composite, composite, mask, 255 - mask)
        return output

    return method


def _harmonized(name: str) -> Method:
    def method(composite: Pixels, mask: Pixels) -> npt.NDArray[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PyHarmonyWarning)  # the metrics show the effect of guards
            output: npt.NDArray[Any] = harmonization.harmonize(composite, mask, method=name)
        return output

    return method


#: The methods by name: the unchanged composite, the methods of `pyharmony.harmonize`, guarded as there, and the other
#: transfers of the background's colours to the object, as published.
METHODS: Mapping[str, Method] = {
    "composite": lambda composite, mask: composite,
    **{name: _to_background(transfer) for name, transfer in TRANSFERS.items()},
    **{name: _harmonized(name) for name in harmonization.METHODS},
}


@_checks.kinds
def harmonizer(
    network: Network | PathLike | bytes,
    *,
    device: TorchDevice | None = None,
    batch_statistics: bool = False,
    size: int | None = None,
) -> Method:
    """Returns a network as a method, which runs at 256 x 256 pixels or at its model's size.

    At other sizes its change is transferred by a colour map, as in `pyharmony.harmonize`, but unguarded.

    Args:
        network: a harmonisation model, or any source for `pyharmony.networks.models.load`.
        device: 'cpu' or 'cuda'; None: a CUDA device if available.
        batch_statistics: whether batch norms use mean and variance of each image instead of the running ones; the
            published test commands of DoveNet, BargainNet and pix2pix do so.
        size: the side of the network's input, instead of its model's size.

    Raises:
        ImportError: torch is missing.
        WeightsError: see `pyharmony.networks.models.load`.
        ArgumentError: the model has another task, or has no batch norms and batch_statistics is True.
        DeviceError: there is no such device.

    Example:
        >>> from pyharmony import evaluation, models
        >>> method = evaluation.harmonizer(models.create("pct_net"), size=32)
        >>> callable(method)
        True
    """
    if device is not None:
        _checks.one_of(device, "device", ("cpu", "cuda"))
    networks = _networks()
    return networks.Harmonizer(networks.loaded(network, device), batch_statistics, size)


@_checks.kinds
def judge(network: Network | PathLike | bytes, *, device: TorchDevice | None = None) -> Judge:
    """Returns a network as a judge of images.

    'dovenet' and 'dovenet_lite' return two scores: `realism` of the whole image, and `verification` that object and
    background are of one domain; 'bargainnet' only `verification`, 'realism_cnn' only `realism`. 'pix2pix' and
    'pix2pix_selfie' return `realism`, the mean over patches. These two and 'dovenet_lite' score parts. Scores are
    higher for more realistic images; the scores of different judges are not comparable.

    Args:
        network: a model, or any source for `pyharmony.networks.models.load`; including its discriminator.
        device: see `harmonizer`.

    Raises:
        ImportError, WeightsError, ArgumentError, DeviceError: see `harmonizer`; the file has only the generator.

    Example:
        >>> from pyharmony import evaluation, models
        >>> judge = evaluation.judge(models.create("realism_cnn"))
        >>> callable(judge)
        True
    """
    if device is not None:
        _checks.one_of(device, "device", ("cpu", "cuda"))
    networks = _networks()
    return networks.Verdict(networks.loaded(network, device, whole=True))


def _networks() -> Any:
    from ...networks import models  # noqa: F401, first: if torch is missing its error says what to install
    from . import networks

    return networks


def enlarged(x: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Returns x [h, w, C] enlarged to [*size, C] by a bilinear filter."""
    from PIL import Image

    planes = (Image.fromarray(np.ascontiguousarray(x[..., c])) for c in range(x.shape[2]))
    return np.stack([np.asarray(p.resize(size[::-1], Image.Resampling.BILINEAR)) for p in planes], -1)
