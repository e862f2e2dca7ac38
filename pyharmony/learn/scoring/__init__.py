"""Scores of a single image: its realism, and the harmony of an object and its background.

Needs the extra `torch`.
"""

from __future__ import annotations

import functools
from typing import Any

from ... import _checks
from ..._images.levels import image_levels, mask_levels
from ..._public import publish
from ...errors import ArgumentError
from ...typing import ImageLike, MaskLike, Network, PathLike, TorchDevice

__all__ = ["harmony_score", "realism_score"]

_REALISM = "realism-small"  # the default weights of `realism_score`
_HARMONY = "colorgrid"  # the default weights of `harmony_score`


def realism_score(
    image: ImageLike,
    mask: MaskLike | None = None,
    *,
    network: Network | PathLike | bytes | None = None,
    device: TorchDevice | None = None,
) -> float:
    """Returns the probability that an image is a photo, and not a composite with an object of other colours.

    A small network was trained on photos and on composites of them, after Zhu et al., "Learning a Discriminative Model
    for the Perception of Realism in Composite Images", ICCV 2015. Its input is 64 x 64 pixels of 8 bits, resized
    without keeping the aspect ratio, so seams and fine detail do not count. It is a little better than chance: with
    the mask the area under the ROC curve is 0.54 to 0.66, without it hardly more than 0.5; see
    docs/models/realism_cnn.md. Use it to rank results for one composite, not to judge a single image. Half of its
    training images were photos: where composites are rarer, a score is too low for a probability.

    Args:
        image: an image of any kind: NumPy [H, W] or [H, W, C], torch [C, H, W] on the CPU, uint8, uint16 or floats with
            1.0 for white, which are clipped to [0, 1]; or a path, the bytes of a file, an open binary file, a PIL image
            or a `pyharmony.io.Picture`, which is converted to sRGB. Alpha is ignored.
        mask: the mask of the inserted object, if known: [H, W], bool, uint8 or uint16 scaled by its range, or floats in
            [0, 1]; or a file or `Picture`, like image. One half or more is inside. None: unknown, or none.
        network: a `realism_cnn`, or an argument of `pyharmony.networks.models.load`; None: the weights that
            come with pyharmony.
        device: 'cpu' or 'cuda'; None: a GPU if there is one.

    Returns:
        A number from 0 to 1; higher is more like a photo.

    Raises:
        DTypeError, ShapeError: image or mask has a dtype or shape that is not accepted, or they differ in size.
        MaskError: the mask has values outside of its range, or is empty at the network's size.
        ArgumentError: image contains NaN or infinities; network is not a `realism_cnn`.
        DecodeError: a file is not an image.
        WeightsError: the weights cannot be loaded, see `pyharmony.networks.models.load`.
        DeviceError: there is no such device.
        ImportError: torch is not installed.

    Example:
        >>> import pyharmony
        >>> image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        >>> 0 <= pyharmony.realism_score(image) <= 1
        True
    """
    levels = image_levels(image)
    inside = None if mask is None else mask_levels(mask, *levels.shape[:2])
    if device is not None:
        _checks.one_of(device, "device", ("cpu", "cuda"))
    from ...networks import models
    from . import networks

    model = _shipped(_REALISM, device) if network is None else networks.loaded(network, device)
    if model.name != "realism_cnn":
        able = ", ".join(info.name for info in models.list("realism"))
        raise ArgumentError(f"network: {model.name}, expected {able}")
    return networks.realism(model, levels, inside)


def harmony_score(
    image: ImageLike,
    mask: MaskLike,
    *,
    network: Network | PathLike | bytes | None = None,
    device: TorchDevice | None = None,
) -> float:
    """Returns a score of the harmony of an object and its background in colour and light.

    With a network that harmonises, such as the default, the score is 2^(-c / 8) for a mean change c of the object, in
    levels of 1/255: a harmonious object hardly changes. This score is our own. With an encoder of regions, the score is
    exp(-d |z_f - z_b|) for the codes of both, after Cong et al., "BargainNet: Background-Guided Domain Translation for
    Image Harmonization", ICME 2021, where d is 0.04212; the scale of codes differs between weights, and a
    `style_encoder` has d in its configuration as `decay`. The image is resized to a square of the network's size, so
    seams and fine detail do not count.

    Args:
        image: see `realism_score`.
        mask: the mask of the object, see `realism_score`. Values of at least one half are the object, all others the
            background.
        network: a model that harmonises, a `style_encoder` of kind 'code' or a `bargainnet`,
            or an argument of `pyharmony.networks.models.load`; None: `colorgrid`, which comes with pyharmony.
        device: 'cpu' or 'cuda'; None: a GPU if there is one.

    Returns:
        A number above 0 and up to 1; higher is more harmonious. A single score is of little use: compare those of
        several results for one composite, by the same weights.

    Raises:
        MaskError: the mask has values outside of its range, or is empty or full at the network's size.
        ArgumentError: image contains NaN or infinities; network is another model.
        DTypeError, ShapeError, DecodeError, WeightsError, DeviceError, ImportError: see `realism_score`.

    Example:
        >>> import pyharmony
        >>> image = np.full((64, 64, 3), 120, np.uint8)
        >>> mask = np.zeros((64, 64), np.uint8)
        >>> mask[16:48, 16:48] = 255
        >>> 0 <= pyharmony.harmony_score(image, mask) <= 1
        True
    """
    levels = image_levels(image)
    inside = mask_levels(mask, *levels.shape[:2])
    if device is not None:
        _checks.one_of(device, "device", ("cpu", "cuda"))
    from ...networks import models
    from . import networks

    model = _shipped(_HARMONY, device) if network is None else networks.loaded(network, device)
    able = {*networks.HARMONY, *(info.name for info in models.list("harmonize"))}
    if model.name not in able or getattr(model.config, "kind", "code") != "code":
        kind = "" if model.name not in able else f" of kind={model.config.kind!r}"
        names = ", ".join(sorted(able))
        raise ArgumentError(f"network: {model.name}{kind} cannot estimate harmony, expected {names}")
    return networks.harmony(model, levels, inside)


@functools.lru_cache(4)
def _shipped(name: str, device: str | None) -> Any:
    from ...networks import models  # noqa: F401, first: it reports a missing torch, with the command that installs it
    from . import networks

    return networks.loaded(name, device)


publish(globals())
