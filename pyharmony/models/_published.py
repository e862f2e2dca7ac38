"""Weights under the names that published code gave them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..errors import WeightsError
from ._blocks import Norm

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class PublishedUNet:
    """A U-Net that was read, `state` with the names of `_blocks.UNet`."""

    depth: int
    width: int
    in_channels: int
    out_channels: int
    norm: Norm
    gated: bool
    state: dict[str, Tensor]


def has_mask(channels: int) -> bool:
    """Whether a network of so many input channels takes a mask beside the picture."""
    if channels not in (3, 4):
        raise WeightsError(f"the network takes {channels} channels, expected 3, or 4 with a mask")
    return channels == 4


def rename(state: dict[str, Tensor], names: dict[str, str], norm: Norm) -> dict[str, Tensor]:
    """The tensors of the modules `names`, from the old name of a module to the new one.

    Instance norms of early torch kept statistics that nothing reads; they are left out.

    Raises:
        WeightsError: a tensor belongs to no module of the list.
    """
    found = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition(".")
        if norm != "batch" and leaf in _STATISTICS:
            continue
        if module not in names:
            raise WeightsError(f"{key!r} has no place in the model")
        found[f"{names[module]}.{leaf}"] = value
    return found


def take(state: dict[str, Tensor], *starts: str) -> dict[str, Tensor]:
    """Moves the tensors whose names start with one of these out of state."""
    return {key: state.pop(key) for key in [key for key in state if key.startswith(starts)]}


def region_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Reads BargainNet's encoder: conv1f to conv5f, norm2f to norm4f and convs."""
    names = {f"conv{i + 1}f": f"convs.{i}" for i in range(5)} | {f"norm{i + 2}f": f"norms.{i}" for i in range(3)}
    found = rename(state, {**names, "convs": "last"}, "batch")
    if "convs.0.weight" not in found or "last.weight" not in found:
        raise WeightsError("the file holds no whole encoder of BargainNet")
    return found


def norm_by(state: dict[str, Tensor], conv: str, norm: str) -> Norm:
    """Which norm a network of pix2pix has, by a convolution and the place of the norm behind it.

    Batch norm has weights; beside instance norm convolutions have a bias, without a norm they have none.
    """
    if f"{norm}.weight" in state:
        return "batch"
    return "instance" if f"{conv}.bias" in state else "none"


def patches(state: dict[str, Tensor]) -> tuple[Norm, int, int, dict[str, Tensor]]:
    """Reads pix2pix's discriminator of patches, one sequence: its norm, width, number of layers, and state."""
    layers = 1
    while f"model.{3 * layers + 2}.weight" in state:
        layers += 1
    # The last convolution is two places behind the last norm.
    layers -= 1
    norm = norm_by(state, "model.2", "model.3")
    names = {"model.0": "convs.0", f"model.{3 * layers + 2}": "last"}
    for i in range(1, layers + 1):
        names |= {f"model.{3 * i - 1}": f"convs.{i}", f"model.{3 * i}": f"norms.{i - 1}"}
    return norm, state["model.0.weight"].shape[0], layers, rename(state, names, norm)


def unet(state: dict[str, Tensor]) -> PublishedUNet:
    """Reads the nested U-Net of pix2pix and of what was built on it.

    Every level is a sequence `model` that holds the level within it. Outermost: convolution 0, level 1, transposed
    convolution 3. Middle: convolution 1 and norm 2, level 3, transposed convolution 5 and norm 6. Innermost:
    convolution 1, transposed convolution 3, norm 4. A gate is the convolution 0 of `attention` beside the `model`
    of the level that it closes.
    """
    prefix, depth = "model.model.1", 1
    while f"{prefix}.model.3.model.1.weight" in state:
        prefix, depth = f"{prefix}.model.3", depth + 1
    depth += 1
    names, inner = {"model.model.0": "down.0", "model.model.3": "last"}, "model.model.1"
    gated = False
    for i in range(1, depth):
        up = depth - 1 - i
        names[f"{inner}.model.1"] = f"down.{i}"
        if i == depth - 1:
            names |= {f"{inner}.model.3": f"up.{up}", f"{inner}.model.4": f"up_norm.{up}"}
        else:
            names[f"{inner}.model.2"] = f"down_norm.{i - 1}"
            names |= {f"{inner}.model.5": f"up.{up}", f"{inner}.model.6": f"up_norm.{up}"}
        if f"{inner}.attention.0.weight" in state:
            gated = True
            names[f"{inner}.attention.0"] = f"gates.{i - 1}"
        inner = f"{inner}.model.3"
    norm = norm_by(state, "model.model.1.model.1", "model.model.1.model.2")
    found = rename(state, names, norm)
    if depth < 5 or "down.0.weight" not in found or "last.weight" not in found:
        raise WeightsError("the file holds no whole U-Net of pix2pix")
    first, last = found["down.0.weight"], found["last.weight"]
    return PublishedUNet(depth, first.shape[0], first.shape[1], last.shape[1], norm, gated, found)
