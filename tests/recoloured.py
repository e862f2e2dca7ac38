"""Pairs to train on: photographs of the shared data, and the same with the object's colours changed."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor


class Pairs(NamedTuple):
    """Photographs and their composites.

    Attributes:
        composite, target: [N, 3, size, size] in [-1, 1], float32; equal where the mask is 0.
        mask: [N, 1, size, size], zeros and ones.
    """

    composite: Tensor
    mask: Tensor
    target: Tensor

    def batch(self, *names: str, count: int = 4, start: int = 0) -> dict[str, Tensor]:
        """Returns `count` of the pairs from start on, round and round; without names everything, by its name."""
        index = (torch.arange(count) + start) % len(self.target)
        return {name: getattr(self, name)[index] for name in names or self._fields}

    def in_unit_range(self) -> Pairs:
        """Returns the pairs with images in [0, 1]."""
        return Pairs((self.composite + 1) / 2, self.mask, (self.target + 1) / 2)


def recolour(picture: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Changes colours by a gamma, a gain and a shift for each channel, clipped: image [H, W, 3] in [0, 1]."""
    gamma = np.exp2(rng.uniform(-1, 1))
    gain, shift = rng.uniform(0.3, 1.3, 3), rng.uniform(-0.3, 0.3, 3)
    return np.clip(picture**gamma * gain + shift, 0, 1).astype(np.float32)


@functools.lru_cache(maxsize=8)
def pairs(data_dir: Path, size: int = 64, count: int = 16, seed: int = 0) -> Pairs:
    """Returns the first photographs of `pairs_open` for training whose object takes 10 to 60 % of them, made square.

    Args:
        data_dir: the fixture.
        size: the sides of the images.
        count: the number of pairs.
        seed: the seed of the colours.
    """
    folder = data_dir / "pairs_open"
    entries = json.loads((folder / "manifest.json").read_text())["entries"]
    photos = {entry["pair"]: entry["file"] for entry in entries if entry["role"] == "photo"}
    masks = [entry for entry in entries if entry["role"] == "mask" and entry["split"] == "train"]
    masks = [entry for entry in masks if 0.1 <= entry["mask_fraction"] <= 0.6][:count]
    assert len(masks) == count
    rng = np.random.default_rng(seed)
    triples = []
    for entry in masks:
        photo = Image.open(folder / photos[entry["pair"]])
        photo.draft("RGB", (2 * size, 2 * size))
        picture = np.asarray(photo.convert("RGB").resize((size, size), Image.Resampling.BOX), np.float32) / 255
        mask = Image.open(folder / entry["file"]).convert("L").resize((size, size), Image.Resampling.BOX)
        inside = (np.asarray(mask) >= 128)[..., None].astype(np.float32)
        triples.append((np.where(inside > 0, recolour(picture, rng), picture) * 2 - 1, inside, picture * 2 - 1))
    return Pairs(*(torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).contiguous() for x in zip(*triples, strict=True)))
