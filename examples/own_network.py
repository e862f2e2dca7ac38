"""A network of one's own: trained, measured and written as ONNX by pyharmony's commands, see docs/own-network.md."""

from dataclasses import dataclass

import torch
from torch import nn

from pyharmony.learn.training import steps
from pyharmony.networks import losses, models


@dataclass(frozen=True)
class TintConfig:
    width: int = 16


class Tint(models.Model):
    name = "tint"
    low = 0.0  # images in [0, 1]

    def __init__(self, config):
        super().__init__(config)
        self.layers = nn.Sequential(
            nn.Conv2d(4, config.width, 5, padding=2), nn.SiLU(), nn.Conv2d(config.width, 3, 5, padding=2)
        )

    def forward(self, composite, mask):
        return composite + mask * self.layers(torch.cat([composite, mask], 1))


models.register(Tint, TintConfig, task="harmonize", summary="two convolutions")


@steps.register("tint")
class TintStep(steps.Step):
    settings_type = steps.AdamSettings

    def run(self, batch):
        with self.autocast():
            output = self.model(batch["composite"], batch["mask"])
        error = losses.foreground_mse(output.float(), batch["target"], batch["mask"])
        self.update("model", error)
        return {"error": error}


recipe = {
    "model": {"name": "tint", "width": 24},
    "step": {"lr": 2e-3},
    "data": {"size": 64, "validation": 0.25},
    "schedule": {"epochs": 4},
    "run": {"batch": 8},
}
