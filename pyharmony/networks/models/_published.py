"""Reading of published weights, whose tensors have other names than ours."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import WeightsError
from ._blocks import Norm

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
#: The names of Chainer's arrays of convolutions and batch norms, and torch's names for them.
_CHAINER = {
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "avg_mean": "running_mean",
    "avg_var": "running_var",
    "N": "num_batches_tracked",
}
#: The prefix of the names of networks' arrays in a snapshot of Chainer's trainer.
_SNAPSHOT = "updater/model:"
#: The difference between the epsilon of Chainer's batch norm, 2e-5, and torch's, 1e-5.
_CHAINER_EPS = 1e-5
# Weights hardly compress: a file that unpacks to more than both limits together is refused.
_LARGEST_RATIO = 64  # the largest ratio of unpacked bytes to the file's bytes
_ACCEPTED_BYTES = 1 << 24  # the unpacked bytes that are always accepted


@dataclass(frozen=True)
class PublishedUNet:
    """A published U-Net; `state` uses the names of `_blocks.UNet`."""

    depth: int
    width: int
    in_channels: int
    out_channels: int
    norm: Norm
    gated: bool
    state: dict[str, Tensor]


def has_mask(channels: int) -> bool:
    """Returns whether a network with this number of input channels has a mask input."""
    if channels not in (3, 4):
        raise WeightsError(f"the network has {channels} input channels, expected 3, or 4 with a mask")
    return channels == 4


def rename(state: dict[str, Tensor], names: dict[str, str], norm: Norm) -> dict[str, Tensor]:
    """Renames the tensors of modules, from the keys of `names` to its values.

    Removes the unused statistics that instance norms of early torch saved.
    """
    tensors = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition(".")
        if norm != "batch" and leaf in _STATISTICS:
            continue
        if module not in names:
            raise WeightsError(f"{key!r} is not a tensor of the model")
        tensors[f"{names[module]}.{leaf}"] = value
    return tensors


def take(state: dict[str, Tensor], *starts: str) -> dict[str, Tensor]:
    """Removes the tensors whose names start with any of these from state and returns them."""
    return {key: state.pop(key) for key in [key for key in state if key.startswith(starts)]}


@dataclass(frozen=True)
class PublishedEncoder:
    """A published encoder of BargainNet; `state` uses the names of `style_encoder.RegionEncoder`."""

    width: int
    code: int
    norm: Norm
    state: dict[str, Tensor]


#: The prefixes of the names of tensors of BargainNet's encoder.
ENCODER = (*(f"conv{i}f." for i in range(1, 6)), *(f"norm{i}f." for i in range(2, 5)), "convs.")


def region_encoder(state: dict[str, Tensor]) -> PublishedEncoder:
    """Reads BargainNet's encoder: conv1f to conv5f, norm2f to norm4f if they are batch norms, and convs."""
    norm: Norm = "instance" if "conv2f.bias" in state else "batch"
    names = {f"conv{i + 1}f": f"convs.{i}" for i in range(5)} | {f"norm{i + 2}f": f"norms.{i}" for i in range(3)}
    tensors = rename(state, {**names, "convs": "last"}, norm)
    for published, own in (("conv1f", "convs.0"), ("convs", "last")):
        if f"{own}.weight" not in tensors:
            raise WeightsError(f"{published}.weight is missing in the encoder of BargainNet")
    return PublishedEncoder(tensors["convs.0.weight"].shape[0], tensors["last.weight"].shape[0], norm, tensors)


def read_npz(path: Path) -> dict[str, dict[str, Tensor]]:
    """Reads the arrays of a file of Chainer's `save_npz`, by its names; executes nothing in it.

    A snapshot of a trainer contains its networks under `updater/model:NAME/`, which are returned by NAME; optimizers
    and the state of the run are ignored. A file that is not a snapshot is one network, ''.
    """
    try:
        packed = path.read_bytes()  # of a file as many bytes would be allocated as a member claims
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            whole = sum(member.file_size for member in archive.infolist())
            if whole > _ACCEPTED_BYTES + _LARGEST_RATIO * len(packed):
                raise WeightsError(f"{path}: would unpack to {whole:,} bytes, too many for weights")
            networks: dict[str, dict[str, Tensor]] = {}
            snapshot = any(name.startswith(_SNAPSHOT) for name in archive.namelist())
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                if not snapshot:
                    networks.setdefault("", {})[name.lstrip("/")] = _tensor(archive.read(member), name, path)
                elif name.startswith(_SNAPSHOT):
                    network, _, inner = name.removeprefix(_SNAPSHOT).partition("/")
                    networks.setdefault(network, {})[inner] = _tensor(archive.read(member), name, path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not an .npz file, or damaged: {error}") from error
    if not networks:
        raise WeightsError(f"{path}: contains no array")
    return networks


def _tensor(data: bytes, name: str, path: Path) -> Tensor:
    """Returns the array in the bytes of an .npy file; `numpy.load` would allocate the shape that they claim first."""
    file = io.BytesIO(data)
    try:
        is_first = np.lib.format.read_magic(file) == (1, 0)
        header = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = header(file)
        value: Any = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if is_fortran else "C")
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
        # Chainer pickles a parameter that was never initialised.
        raise WeightsError(f"{path}: {name}: not a numeric array: {error}") from error
    if value.dtype.kind not in "fiu":
        raise WeightsError(f"{path}: {name}: {value.dtype}, expected a numeric array")
    return torch.from_numpy(np.array(value, value.dtype.newbyteorder("="), order="C"))


class PublishedLayer(NamedTuple):
    """A layer of a published network: its published name, and its tensors by torch's names."""

    name: str
    tensors: dict[str, Tensor]

    @property
    def is_norm(self) -> bool:
        return "running_mean" in self.tensors

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight; empty without a weight."""
        weight = self.tensors.get("weight")
        return () if weight is None else tuple(weight.shape)


def layers_of(state: dict[str, Tensor]) -> list[PublishedLayer]:
    """Returns the layers of a state in the order of the network; accepts names of Chainer or torch.

    Chainer's layers are sorted: 'encoder', 'bn', 'decoder', then a list without a name, each by number. A torch state
    dict has the layers in the order of construction.
    """
    chainer = any("/" in key for key in state)
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        name, _, leaf = key.rpartition("/" if chainer else ".")
        if chainer:
            value = value.double().add(_CHAINER_EPS).to(value.dtype) if leaf == "avg_var" else value
            leaf = _CHAINER.get(leaf, leaf)
        tensors.setdefault(name, {})[leaf] = value
    names = sorted(tensors, key=_place) if chainer else list(tensors)
    return [PublishedLayer(name, tensors[name]) for name in names]


def _place(name: str) -> tuple[int, int, str]:
    """Returns the sort key of a layer of Chainer."""
    part, _, index = name.rpartition("/")
    number = int(index) if index.isascii() and index.isdigit() else -1
    order = ("encoder", "bn", "decoder", "")
    place = order.index(part or name) if (part or name) in order else len(order)
    return (order.index(""), number, name) if not part and number >= 0 else (place, number, name)


def norm_by(state: dict[str, Tensor], conv: str, norm: str) -> Norm:
    """Returns the norm of a pix2pix network, detected from a convolution and the norm after it.

    Batch norm has weights. Convolutions followed by instance norm have a bias, and without a norm they have none.
    """
    if f"{norm}.weight" in state or f"{norm}.bias" in state:
        return "batch"
    return "instance" if f"{conv}.bias" in state else "none"


def patches(state: dict[str, Tensor]) -> tuple[Norm, int, int, dict[str, Tensor]]:
    """Reads pix2pix's patch discriminator, one sequence: its norm, width, number of layers, and state."""
    layers = 1
    while f"model.{3 * layers + 2}.weight" in state:
        layers += 1
    # The index of the last convolution is that of the last norm + 2.
    layers -= 1
    norm = norm_by(state, "model.2", "model.3")
    names = {"model.0": "convs.0", f"model.{3 * layers + 2}": "last"}
    for i in range(1, layers + 1):
        names |= {f"model.{3 * i - 1}": f"convs.{i}", f"model.{3 * i}": f"norms.{i - 1}"}
    return norm, state["model.0.weight"].shape[0], layers, rename(state, names, norm)


def unet(state: dict[str, Tensor]) -> PublishedUNet:
    """Reads the nested U-Net of pix2pix and of networks derived from it.

    Every level is a sequence `model` that contains the next inner level. Outermost: convolution 0, level 1, transposed
    convolution 3. Middle: convolution 1 and norm 2, level 3, transposed convolution 5 and norm 6. Innermost:
    convolution 1, transposed convolution 3, norm 4. A gate is the convolution 0 of `attention`, a sibling of the
    `model` of the level that it follows.
    """
    prefix, depth = "model.model.1", 1
    while any(key.startswith(f"{prefix}.model.3.model.") for key in state):
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
    tensors = rename(state, names, norm)
    for published, own in (("model.model.0", "down.0"), ("model.model.3", "last")):
        if f"{own}.weight" not in tensors:
            raise WeightsError(f"{published}.weight is missing in a U-Net of pix2pix")
    if depth < 5:
        raise WeightsError(f"a U-Net of {depth} levels, expected 5 or more as of pix2pix")
    first, last = tensors["down.0.weight"], tensors["last.weight"]
    return PublishedUNet(depth, first.shape[0], first.shape[1], last.shape[1], norm, gated, tensors)
