"""Runs networks on uint8 images in the same way for evaluations and within training."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import models
from ..data import resize_sample
from ..errors import ArgumentError, DeviceError, MaskError
from ..harmonization.networks import Care, answer_of, mean_change, scene_of
from ..models import Model
from ..models.calls import told_of_single_values, with_batch_statistics
from ..models.style_encoder import reached

Picture = npt.NDArray[np.uint8]

_JUDGES = ("bargainnet", "dovenet", "dovenet_lite", "pix2pix", "pix2pix_selfie", "realism_cnn", "style_encoder")
#: The networks that code regions, and so say how well object and background agree.
HARMONY = ("bargainnet", "style_encoder")
#: The mean change by a network that harmonises, 1 for white, at which the score is 1/2.
_HALF = 8 / 255


def loaded(source: Any, device: str | None, *, whole: bool = False) -> Model:
    model = source if isinstance(source, Model) else models.load(source, whole=whole)
    if device not in (None, "cpu", "cuda"):
        raise ArgumentError(f"device: {device!r}, expected 'cpu' or 'cuda'")
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device: torch finds no GPU")
    return model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def levels(x: Tensor, low: float) -> npt.NDArray[np.float32]:
    """Converts [N, C, H, W] in [low, 1] to [N, H, W, C] in levels of 0 to 255, neither rounded nor clipped."""
    out: npt.NDArray[np.float32] = ((x.float() - low) / (1 - low) * 255).permute(0, 2, 3, 1).cpu().numpy()
    return out


@torch.no_grad()
def realism(model: Model, image: Picture, mask: Picture | None) -> float:
    """Returns the score of a `realism_cnn` for an image [H, W, 3], with or without the mask [H, W] of its object."""
    sample = {"target": image} if mask is None else {"target": image, "mask": mask}
    small = resize_sample(sample, model.config.size)
    if mask is None:
        tensor, _ = _tensors(model, [small["target"]], np.zeros(small["target"].shape[:2], np.uint8))
        return float(model(tensor))
    return float(model(*_tensors(model, [small["target"]], small["mask"])))


@torch.no_grad()
def harmony(model: Any, image: Picture, mask: Picture) -> float:
    """Returns the score for an image [H, W, 3] with an object's mask [H, W], by a network of `HARMONY` or one that
    harmonises."""
    side = model.size
    if model.name not in HARMONY:
        scene = scene_of(image, mask, None, (side, side))
        for weight, name in ((scene.mask, "empty"), (1 - scene.mask, "full")):
            if not weight.any():
                raise MaskError(f"mask: {name} at {side} x {side} pixels")
        change = mean_change(scene, answer_of(model, scene, Care.ALL).map.apply(scene.image))
        return float(0.5 ** (change / _HALF))
    small = resize_sample({"target": image, "mask": mask}, side)
    tensor, inside = _tensors(model, [small["target"]], small["mask"])
    for region, name in ((inside, "empty"), (1 - inside, "full")):
        if not reached(region).any():
            raise MaskError(f"mask: {name} at {side} x {side} pixels, as far as the network sees")
    return float(model.harmony(tensor, inside))


def _tensors(model: Model, images: list[Picture], mask: Picture) -> list[Tensor]:
    """Returns images [H, W, 3], converted to the model's range, and a mask [H, W], each as a batch of one."""
    device = next(model.parameters()).device
    tensors = [torch.tensor(np.ascontiguousarray(x), device=device).float() / 255 for x in (*images, mask)]
    return [x.permute(2, 0, 1)[None] * (1 - model.low) + model.low for x in tensors[:-1]] + [tensors[-1][None, None]]


class Harmonizer:
    """A network as a method, see `pyharmony.evaluation.harmonizer`."""

    def __init__(self, model: Model, batch_statistics: bool = False, size: int | None = None) -> None:
        if model.task != "harmonize":
            able = ", ".join(info.name for info in models.list("harmonize"))
            blends = "; a run that trains it logs how well it blends" if model.task == "blend" else ""
            raise ArgumentError(f"model: {model.name} does not harmonize{blends}; expected one of {able}")
        self.model, self.side = with_batch_statistics(model) if batch_statistics else model, size or model.size

    @torch.no_grad()
    def __call__(self, composite: Picture, mask: Picture) -> npt.NDArray[Any]:
        side = self.side
        if composite.shape[:2] != (side, side):
            scene = scene_of(composite, mask, None, (side, side))
            if not scene.mask.any():
                raise MaskError(f"mask: empty at {side} x {side} pixels")
            whole = composite.astype(np.float32) / np.float32(255)
            carried: npt.NDArray[Any] = answer_of(self.model, scene, Care.ALL).map.apply(whole, mask) * np.float32(255)
            return carried
        small = resize_sample({"composite": composite, "mask": mask}, side)
        image, m = _tensors(self.model, [small["composite"]], small["mask"])
        with told_of_single_values(self.model):
            return levels(self.model.predict(image, m), self.model.low)[0]


class Verdict:
    """A network as a judge, see `pyharmony.evaluation.judge`."""

    def __init__(self, model: Model) -> None:
        if model.name not in _JUDGES:
            raise ArgumentError(f"model: {model.name} judges no images; expected one of {', '.join(_JUDGES)}")
        self.model = model
        self.side = model.size

    @torch.no_grad()
    def __call__(
        self, composite: Picture, output: Picture, mask: Picture
    ) -> tuple[dict[str, float], npt.NDArray[np.float32] | None]:
        if self.model.name == "realism_cnn":
            return {"realism": realism(self.model, output, mask)}, None
        if self.model.name in HARMONY:
            return {"verification": harmony(self.model, output, mask)}, None
        small = resize_sample({"composite": composite, "target": output, "mask": mask}, self.side)
        before, after, m = _tensors(self.model, [small["composite"], small["target"]], small["mask"])
        model: Any = self.model
        if model.name.startswith("pix2pix"):
            patches = model.discriminator(before, after, m) if model.takes_mask else model.discriminator(before, after)
            scores = {"realism": float(patches.mean())}
        else:
            judgement = model.discriminator(after, m)
            patches = judgement.realism
            scores = {"realism": float(patches.mean()), "verification": float(judgement.verification.mean())}
        return scores, torch.sigmoid(patches)[0, 0].cpu().numpy() if patches.ndim == 4 else None
