"""Runs networks on uint8 images, and computes scores by them, in the same way for users, evaluations and training."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..._arrays import Pixels
from ..._header import named
from ...errors import DeviceError, MaskError
from ...harmonization.networks import Care, answer_of, mean_change, scene_of
from ...networks import models
from ...networks.models import Model
from ...networks.models.style_encoder import reached_mask
from ..data import resize_sample

__all__ = ["HARMONY", "harmony", "levels", "loaded", "realism", "tensors_of"]


#: The networks that encode regions, whose codes are compared for the score.
HARMONY = ("bargainnet", "style_encoder")
#: The mean change by a network that harmonises, 1 for white, at which the score is 1/2.
_HALF = 8 / 255


def loaded(network: Any, device: str | None, *, whole: bool = False) -> Model:
    """Returns a model, or the one that `models.load` reads, for inference on a device; None: a GPU if there is one."""
    with named("network"):
        model = network if isinstance(network, Model) else models.load(network, whole=whole)
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device: torch finds no GPU")
    return model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def levels(x: Tensor, low: float) -> npt.NDArray[np.float32]:
    """Converts [N, C, H, W] in [low, 1] to [N, H, W, C] in levels of 0 to 255, neither rounded nor clipped."""
    out: npt.NDArray[np.float32] = ((x.float() - low) / (1 - low) * 255).permute(0, 2, 3, 1).cpu().numpy()
    return out


@torch.no_grad()
def realism(model: Model, image: Pixels, mask: Pixels | None) -> float:
    """Returns the score of a `realism_cnn` for an image [H, W, 3], with or without the mask [H, W] of its object."""
    sample = {"target": image} if mask is None else {"target": image, "mask": mask}
    small = resize_sample(sample, model.config.size)
    if mask is None:
        tensor, _ = tensors_of(model, [small["target"]], np.zeros(small["target"].shape[:2], np.uint8))
        return float(model(tensor))
    return float(model(*tensors_of(model, [small["target"]], small["mask"])))


@torch.no_grad()
def harmony(model: Any, image: Pixels, mask: Pixels) -> float:
    """Returns the score for an image [H, W, 3] with an object's mask [H, W], by a network of `HARMONY` or one that
    harmonises."""
    side = model.size
    if model.name not in HARMONY:
        scene = scene_of(image, mask, None, (side, side))
        for weight, name in ((scene.mask, "empty"), (1 - scene.mask, "full")):
            if not weight.any():
                raise MaskError(f"mask: {name} at {side} x {side} pixels")
        change = mean_change(scene, answer_of(model, scene, Care.UNGUARDED).map.apply(scene.image))
        return float(0.5 ** (change / _HALF))
    small = resize_sample({"target": image, "mask": mask}, side)
    tensor, inside = tensors_of(model, [small["target"]], small["mask"])
    for region, name in ((inside, "empty"), (1 - inside, "full")):
        if not reached_mask(region).any():
            raise MaskError(f"mask: {name} at {side} x {side} pixels, within the network's field of view")
    return float(model.harmony(tensor, inside))


def tensors_of(model: Model, images: list[Pixels], mask: Pixels) -> list[Tensor]:
    """Returns images [H, W, 3], converted to the model's range, and a mask [H, W], each as a batch of one."""
    device = next(model.parameters()).device
    tensors = [torch.tensor(np.ascontiguousarray(x), device=device).float() / 255 for x in (*images, mask)]
    return [x.permute(2, 0, 1)[None] * (1 - model.low) + model.low for x in tensors[:-1]] + [tensors[-1][None, None]]
