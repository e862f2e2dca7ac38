"""Losses: functions of tensors, with their formulae. Needs the extra `torch`.

Images are [N, 3, H, W] in [-1, 1] unless a function documents another range, masks [N, 1, H, W] in [0, 1]. A loss is a
tensor [] and is finite for masks that are all zero or all one.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    from ... import _install

    raise ImportError(
        f"{error.name} is missing, pyharmony.networks.losses needs it: {_install.hint('torch')}"
    ) from error

from ..._checks import kinds as _kinds
from ..._public import publish
from ._adversarial import (
    Adversary,
    adversary,
    clip_parameters,
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
    vanilla_discriminator,
    vanilla_generator,
    wasserstein_discriminator,
    wasserstein_generator,
)
from ._codes import domain_similarity, domain_verification_discriminator, domain_verification_generator, triplet
from ._pixels import foreground_mse, masked_l1, masked_l2, total_variation
from ._spaces import hue_saturation, rgb_to_hls, rgb_to_hsv
from ._style import box_gram, feature_distance, gram, gram_distance, mask_pyramid, perceptual, style

__all__ = [
    "Adversary",
    "adversary",
    "box_gram",
    "clip_parameters",
    "domain_similarity",
    "domain_verification_discriminator",
    "domain_verification_generator",
    "feature_distance",
    "foreground_mse",
    "gradient_penalty",
    "gram",
    "gram_distance",
    "hinge_discriminator",
    "hinge_generator",
    "hue_saturation",
    "least_squares_discriminator",
    "least_squares_generator",
    "mask_pyramid",
    "masked_l1",
    "masked_l2",
    "perceptual",
    "rgb_to_hls",
    "rgb_to_hsv",
    "style",
    "total_variation",
    "triplet",
    "vanilla_discriminator",
    "vanilla_generator",
    "wasserstein_discriminator",
    "wasserstein_generator",
]

publish(globals(), _kinds)
