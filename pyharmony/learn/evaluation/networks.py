"""Networks as harmonisation methods for uint8 images, and as judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..._arrays import Pixels
from ...errors import ArgumentError, MaskError
from ...harmonization.networks import Care, answer_of, scene_of
from ...networks import models
from ...networks.models import Model
from ...networks.models.calls import reporting_single_values, with_batch_statistics
from ..data import resize_sample
from ..scoring.networks import HARMONY, harmony, levels, loaded, realism, tensors_of

__all__ = ["Harmonizer", "Verdict", "loaded"]


_JUDGES = ("bargainnet", "dovenet", "dovenet_lite", "pix2pix", "pix2pix_selfie", "realism_cnn", "style_encoder")


class Harmonizer:
    """A network as a method, see `pyharmony.learn.evaluation.harmonizer`."""

    def __init__(self, model: Model, batch_statistics: bool = False, size: int | None = None) -> None:
        if model.task != "harmonize":
            able = ", ".join(info.name for info in models.list("harmonize"))
            blends = "; training runs log how well it blends" if model.task == "blend" else ""
            raise ArgumentError(f"model: {model.name} does not harmonize{blends}; expected one of {able}")
        self.model, self.side = with_batch_statistics(model) if batch_statistics else model, size or model.size

    @torch.no_grad()
    def __call__(self, composite: Pixels, mask: Pixels) -> npt.NDArray[Any]:
        side = self.side
        if composite.shape[:2] != (side, side):
            scene = scene_of(composite, mask, None, (side, side))
            if not scene.mask.any():
                raise MaskError(f"mask: empty at {side} x {side} pixels")
            whole = composite.astype(np.float32) / np.float32(255)
            color_map = answer_of(self.model, scene, Care.UNGUARDED).map
            carried: npt.NDArray[Any] = color_map.apply(whole, mask) * np.float32(255)
            return carried
        small = resize_sample({"composite": composite, "mask": mask}, side)
        image, m = tensors_of(self.model, [small["composite"]], small["mask"])
        with reporting_single_values(self.model):
            return levels(self.model.predict(image, m), self.model.low)[0]


class Verdict:
    """A network as a judge, see `pyharmony.learn.evaluation.judge`."""

    def __init__(self, model: Model) -> None:
        if model.name not in _JUDGES:
            raise ArgumentError(f"model: {model.name} does not score images; expected one of {', '.join(_JUDGES)}")
        self.model = model
        self.side = model.size

    @torch.no_grad()
    def __call__(
        self, composite: Pixels, output: Pixels, mask: Pixels
    ) -> tuple[dict[str, float], npt.NDArray[np.float32] | None]:
        if self.model.name == "realism_cnn":
            return {"realism": realism(self.model, output, mask)}, None
        if self.model.name in HARMONY:
            return {"verification": harmony(self.model, output, mask)}, None
        small = resize_sample({"composite": composite, "target": output, "mask": mask}, self.side)
        before, after, m = tensors_of(self.model, [small["composite"], small["target"]], small["mask"])
        model: Any = self.model
        if model.name.startswith("pix2pix"):
            patches = model.discriminator(before, after, m) if model.takes_mask else model.discriminator(before, after)
            scores = {"realism": float(patches.mean())}
        else:
            judgement = model.discriminator(after, m)
            patches = judgement.realism
            scores = {"realism": float(patches.mean()), "verification": float(judgement.verification.mean())}
        return scores, torch.sigmoid(patches)[0, 0].cpu().numpy() if patches.ndim == 4 else None
