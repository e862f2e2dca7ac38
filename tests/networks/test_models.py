"""The networks: their sizes, what they refuse, the places where look-alikes differ, and their files."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import json
import math
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pyharmony.errors import ArgumentError, DTypeError, PyHarmonyWarning, ShapeError, WeightsError

torch = pytest.importorskip("torch", reason="torch is not installed")

import safetensors.torch
from torch import Tensor, nn
from torch.nn import functional

from pyharmony._header import Calibration
from pyharmony.networks import models
from pyharmony.networks.models import _blocks, _published
from pyharmony.networks.models._partial import PartialConv2d
from pyharmony.networks.models._registry import info_of

from ..published_networks import (
    ChainerGpGan,
    NestedUNet,
    PublishedBargainNet,
    PublishedEncoder,
    PublishedPctCnn,
    PublishedPctVit,
    PublishedUNet3Plus,
    lived_in,
    nested_resnet,
    patch_discriminator,
    pixel_discriminator,
    saved_bundle,
    saved_npz,
    snapshot_of,
    transformed,
)
from ..shared import load_script

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

COLORGRID = {
    "view": 32, "size": 32, "point_width": 8, "hidden": 16, "reach": (1.0, 3.0),
    "drawn": (16, 24, 24), "seen": (64, 96, 48),
}  # fmt: skip

#: A narrow model of each kind, which the tests run.
NARROW_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "attention_unet": ("attention_unet", {"width": 2}),
    "attention_unet, residual": ("attention_unet", {"width": 2, "depth": 6, "residual": True}),
    "bargainnet": ("bargainnet", {"width": 2, "encoder_width": 4}),
    "bargainnet, unet3plus": ("bargainnet", {"preset": "unet3plus", "width": 2, "encoder_width": 4}),
    "clicks": ("clicks", {"size": 64, "widths": (4, 4, 6, 6, 8), "depths": (1, 1, 1, 1, 1), "heads": 2}),
    "colorgrid": ("colorgrid", COLORGRID),
    "colorgrid, one look": ("colorgrid", COLORGRID | {"stages": 1}),
    "colorgrid, heads": ("colorgrid", COLORGRID | {"heads": 2, "recall": True, "nearness": True}),
    "dovenet_lite": ("dovenet_lite", {"width": 4, "discriminator_widths": (4, 6, 8, 8, 8, 8), "head_width": 8}),
    "gp_gan": ("gp_gan", {"width": 4, "bottleneck": 24, "critic_width": 4}),
    "gp_gan, skips": ("gp_gan", {"width": 4, "bottleneck": 24, "critic_width": 4, "skips": True}),
    "gp_gan, noise": ("gp_gan", {"supervised": False, "width": 4, "critic_width": 4, "nz": 7}),
    "pct_net": ("pct_net", {"size": 16, "width": 4}),
    "pct_net, vit": (
        "pct_net",
        {"encoder": "vit", "size": 16, "token_width": 8, "layers": 2, "hidden": 8},
    ),
    "pix2pix": ("pix2pix", {"mask": True, "width": 2, "discriminator_width": 2}),
    "pix2pix, no mask": ("pix2pix", {"width": 2, "discriminator_width": 2, "norm": "instance"}),
    "pix2pix, 128": ("pix2pix", {"generator": "unet_128", "width": 2, "discriminator_width": 2}),
    "pix2pix, resnet": ("pix2pix", {"generator": "resnet_9blocks", "width": 2, "discriminator_width": 2}),
    "pix2pix, pixels": (
        "pix2pix",
        {
            "generator": "unet_32",
            "mask": True,
            "norm": "none",
            "discriminator": "pixel",
            "width": 2,
            "discriminator_width": 2,
        },
    ),
    "pix2pix_selfie": ("pix2pix_selfie", {"width": 2, "discriminator_width": 2}),
    "pix2pix_selfie, patches": (
        "pix2pix_selfie",
        {"width": 2, "depth": 5, "discriminator": "patches", "discriminator_width": 2, "residual": True},
    ),
    "realism_cnn": ("realism_cnn", {"size": 32, "widths": (8, 8, 16)}),
    "realism_cnn, regions": ("realism_cnn", {"size": 32, "widths": (8, 8, 16), "regions": 6}),
    "srgan": ("srgan", {"width": 8, "blocks": 2, "discriminator_width": 4}),
    "srgan, x2": ("srgan", {"scale": 2, "width": 8, "blocks": 1, "discriminator_width": 4}),
    "srgan, light": (
        "srgan",
        {
            "scale": 2,
            "width": 8,
            "blocks": 1,
            "discriminator_width": 4,
            "norm": False,
            "direct": True,
            "residual": True,
        },
    ),
    "style_encoder": ("style_encoder", {"width": 4}),
    "style_encoder, instance": ("style_encoder", {"width": 4, "norm": "instance"}),
    "style_encoder, hsv": ("style_encoder", {"kind": "features", "space": "hsv", "width": 4}),
    "unet3plus": ("unet3plus", {"width": 2, "branch": 2}),
    "unet3plus, code": ("unet3plus", {"width": 2, "branch": 2, "norm": "instance", "bounded": False, "code": 5}),
    "unet3plus, residual": ("unet3plus", {"width": 2, "branch": 2, "residual": True}),
}


#: Those for tests of what every model does alike: variants of the same layers are in the long form.
DISTINCT_MODELS = [
    pytest.param(case, marks=pytest.mark.full)
    if case.partition(", ")[2] in ("residual", "unet3plus", "one look", "128", "no mask", "patches", "regions", "x2")
    or case in ("gp_gan, skips", "style_encoder, instance", "unet3plus, code")
    else case
    for case in NARROW_MODELS
]


def narrow(case: str, seed: int = 0) -> models.Model:
    torch.manual_seed(seed)
    name, config = NARROW_MODELS[case]
    return models.create(name, **config)


#: Sizes smaller than the published ones, where a model takes them.
SMALL_SIZES = {"dovenet_lite": 64, "pix2pix_selfie": 128, "srgan": 16, "style_encoder": 64, "unet3plus": 32}


def example(model: models.Model, seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    size = 64 if getattr(model.config, "generator", "") == "resnet_9blocks" else SMALL_SIZES.get(model.name)
    return model.example(size)


def tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(name: str, preset: str | None = None, **config: Any) -> models.Model:
    """Returns the model without its numbers: shapes cost nothing, at any width."""
    return models.outline(name, preset, **config)


def meta(*shape: int) -> Tensor:
    return torch.zeros(shape, device="meta")


def sizes_of(module: nn.Module, kinds: tuple[type, ...], *inputs: Tensor) -> list[tuple[int, int]]:
    """Returns the channels and height of the outputs of the layers of these kinds, in the order of the calls."""
    sizes: list[tuple[int, int]] = []

    def note(_module: nn.Module, _inputs: Any, result: Any) -> None:
        result = result if isinstance(result, Tensor) else result[0]
        sizes.append((result.shape[1], result.shape[2]))

    hooks = [m.register_forward_hook(note) for m in module.modules() if isinstance(m, kinds)]
    module(*inputs)
    for hook in hooks:
        hook.remove()
    return sizes


CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


# Sizes


@pytest.mark.parametrize(
    ("name", "preset", "config", "counts"),
    [
        ("pix2pix", None, {}, (54_413_955, 2_768_705)),
        ("pix2pix", "harmonize", {}, (54_414_979, 2_769_729)),
        ("pix2pix", "unet_128", {}, (41_828_995, 2_768_705)),
        ("pix2pix", "resnet_9blocks", {}, (11_378_179, 2_767_809)),
        ("pix2pix", "resnet_6blocks", {}, (7_837_699, 2_767_809)),
        ("pix2pix", "pixel", {}, (54_413_955, 9_024)),
        ("pix2pix", None, {"discriminator": "n_layers", "discriminator_layers": 1}, (54_413_955, 139_585)),
        ("pix2pix_selfie", None, {}, (42_134_339, 4_760_129)),
        ("pix2pix_selfie", "narrow_blocks", {}, (42_134_339, 2_433_665)),
        ("pix2pix_selfie", None, {"discriminator_norm": "batch"}, (42_134_339, 4_763_855)),
        ("pix2pix_selfie", "patches", {}, (42_134_339, 2_767_809 + 1024)),
        ("gp_gan", None, {}, (71_058_880, 2_765_568)),
        ("gp_gan", "paper", {}, (71_058_880, 2_765_568)),
        ("gp_gan", "unsupervised", {}, (3_576_704, 2_765_568)),
        ("gp_gan", "small", {}, (5_576_512, 694_656)),
        ("dovenet_lite", None, {}, (31_903_335, 396_802)),
        ("srgan", "x4", {}, (734_092, 5_213_569)),
        ("srgan", "x2", {}, (586_379, 5_213_569)),
        ("attention_unet", None, {}, (54_759_939,)),
        ("attention_unet", None, {"norm": "instance"}, (54_755_587,)),
        ("attention_unet", None, {"gates": False}, (54_414_979,)),
        ("attention_unet", None, {"gates": False, "depth": 7}, (41_828_995 + 1024,)),
        ("bargainnet", None, {}, (54_776_324 + 3_919_376,)),
        ("bargainnet", "unet3plus", {}, (26_974_275 + 3_919_376,)),
        ("bargainnet", None, {"depth": 7}, (54_776_324 - 12_584_960 + 3_919_376,)),
        ("style_encoder", "rgb", {}, (3_919_376,)),
        ("style_encoder", "hsv", {}, (1_735_488,)),
        # The published count has one head.
        ("unet3plus", None, {"deep_supervision": False}, (26_971_587,)),
        ("unet3plus", None, {}, (26_997_516,)),
        ("unet3plus", None, {"deep_supervision": False, "norm": "instance", "code": 16}, (26_974_275,)),
        ("unet3plus", "base_32", {"deep_supervision": False}, (11_179_459,)),
        ("unet3plus", "base_32", {}, (11_205_388,)),
        ("realism_cnn", None, {}, (1_192_177,)),
        ("colorgrid", None, {}, (313_084,)),
        # The published counts are 2.19 and 4.81 million.
        ("pct_net", None, {}, (2_185_637,)),
        ("pct_net", "vit", {}, (4_809_896,)),
    ],
)
def test_parameters(name: str, preset: str | None, config: dict[str, Any], counts: tuple[int, ...]) -> None:
    """The numbers of the generator's parameters and of the discriminator's, or of the only network's."""
    model = on_meta(name, preset, **config)
    networks = [model.generator, model.discriminator] if isinstance(model, models.Adversarial) else [model]
    assert tuple(map(parameters, networks)) == counts


#: Models, their settings, the sides of their images, and channels and height of each convolution's output.
LAYER_SIZES: list[tuple[str, dict[str, Any], tuple[int, int], list[tuple[int, int]]]] = [
    # E1 to E8 come first, then U1 to U8, with a gate after each of U5 to U7.
    ("attention_unet", {}, (256, 256), [
        (64, 128), (128, 64), (256, 32), (512, 16), (512, 8), (512, 4), (512, 2), (512, 1),
        (512, 2), (512, 4), (512, 8), (512, 16), (256, 32), (512, 32), (128, 64), (256, 64), (64, 128), (128, 128),
        (3, 256),
    ]),
    ("pix2pix_selfie", {}, (256, 256), [
        (64, 256), (64, 256), (64, 128), (128, 64), (256, 32), (512, 16), (512, 8), (512, 4), (512, 2),
        (512, 4), (512, 8), (512, 16), (256, 32), (128, 64), (64, 128), (64, 256), (64, 256), (3, 256),
    ]),
    ("pix2pix_selfie", {"depth": 4}, (64, 64), [
        (64, 64), (64, 64), (64, 32), (128, 16), (256, 8), (512, 4),
        (256, 8), (128, 16), (64, 32), (64, 64), (64, 64), (3, 64),
    ]),
    ("gp_gan", {}, (64, 64), [
        (64, 32), (128, 16), (256, 8), (512, 4), (4000, 1), (512, 4), (256, 8), (128, 16), (64, 32), (3, 64),
    ]),
    ("unet3plus", {}, (256, 256), [
        *((64 * 2**i, 256 >> i) for i in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)),
        *(size for i in (3, 2, 1, 0) for size in [(64, 256 >> i)] * 5 + [(320, 256 >> i)]),
        (3, 256),
    ]),
    ("style_encoder", {}, (256, 256), [(64, 127), (128, 63), (256, 31), (512, 15), (512, 7), (16, 1)]),
    ("pct_net", {}, (300, 200), [
        *[(32, 256)] * 2, *[(64, 128)] * 2, *[(128, 64)] * 2, *[(256, 32)] * 2,
        *[(128, 64)] * 3, *[(64, 128)] * 3, (32, 256), (32, 256), (64, 256), *[(32, 256)] * 2, (1, 256), (12, 256),
    ]),
    ("pct_net", {"encoder": "vit"}, (256, 256), [(256, 64), (12, 256), (12, 256)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "config", "sides", "sizes"), LAYER_SIZES)
def test_sizes_of_layers(
    name: str, config: dict[str, Any], sides: tuple[int, int], sizes: list[tuple[int, int]]
) -> None:
    model = on_meta(name, **config)
    net = model.generator if isinstance(model, models.Adversarial) else model
    masks = [] if name == "gp_gan" else [meta(2, 1, *sides)]
    assert sizes_of(net, CONVOLUTIONS, meta(2, 3, *sides), *masks) == sizes


def test_inputs_of_the_selfie_models_decoder() -> None:
    generator: Any = on_meta("pix2pix_selfie").generator
    inputs = [m.weight.shape[0 if isinstance(m, nn.ConvTranspose2d) else 1] for m in generator.up]
    assert inputs == [512, 1024, 1024, 1024, 512, 256, 128, 128]
    assert generator.last.weight.shape[1] == 128


@pytest.mark.parametrize(("size", "patches"), [(256, 30), (128, 14), (70, 6)])
def test_the_patches_of_pix2pix(size: int, patches: int) -> None:
    model = on_meta("pix2pix")
    assert isinstance(model, models.Adversarial)
    pictures = meta(1, 3, size, size)
    assert model.discriminator(pictures, pictures).shape == (1, 1, patches, patches)


def test_a_patch_has_seventy_pixels() -> None:
    """A score in the middle depends on that many."""
    net = narrow("pix2pix, no mask").eval().discriminator.net  # type: ignore[union-attr,operator]
    for i in range(len(net.norms)):
        net.norms[i] = nn.Identity()  # a norm would spread the dependence over the image
    x = torch.rand(1, 6, 128, 128, requires_grad=True)
    net(x)[0, 0, 7, 7].backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_maps_of_the_selfie_discriminator() -> None:
    model = on_meta("pix2pix_selfie")
    assert isinstance(model, models.Adversarial)
    pictures = meta(1, 3, 256, 256)
    assert model.discriminator(pictures, pictures, meta(1, 1, 256, 256)).shape == (1, 1, 16, 16)
    patches = on_meta("pix2pix_selfie", "patches")
    assert isinstance(patches, models.Adversarial)
    assert patches.discriminator(pictures, pictures, meta(1, 1, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize("case", ["attention_unet, residual", "pix2pix_selfie, patches", "unet3plus, residual"])
def test_a_residual_changes_the_picture_inside_the_mask(case: str) -> None:
    """It gives x + 2 m tanh(z), clipped, z the output of the network without it before its tanh; 0 leaves the image."""
    model = narrow(case).eval()
    name, config = NARROW_MODELS[case]
    plain = models.create(name, **{**config, "residual": False}).eval()
    plain.load_state_dict(model.state_dict())
    picture, mask = model.example(64).values()
    with torch.no_grad():
        output, change = model(picture, mask), plain(picture, mask)
        assert torch.equal(output, (picture + mask * (2 * change)).clamp(-1, 1))
        assert torch.equal(output[mask.expand_as(output) == 0], picture[mask.expand_as(output) == 0])
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(model(picture, mask), picture)
    if isinstance(model, models.unet3plus.UNet3Plus):
        assert all(torch.equal(output, picture) for output in model.deep(picture, mask))
    # An image in bfloat16 has few levels: the change is added in float32.
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(picture, mask), picture)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_gp_gan_of_any_power_of_two(size: int) -> None:
    model = on_meta("gp_gan", size=size, width=8, bottleneck=16, critic_width=8)
    assert isinstance(model, models.Adversarial)
    pictures = meta(2, 3, size, size)
    assert model(pictures).shape == pictures.shape
    assert model.discriminator(pictures).shape == ()
    encoder = sizes_of(model.generator, (nn.Conv2d,), pictures)
    assert encoder == [(8 * 2**i, size // 2 ** (i + 1)) for i in range(size.bit_length() - 3)] + [(16, 1)]


def test_which_layers_have_a_bias() -> None:
    assert not [n for n, _ in on_meta("gp_gan").named_parameters() if n.endswith("bias") and "norm" not in n]
    encoder: Any = on_meta("style_encoder")
    assert [m.bias is not None for m in encoder.net.convs] == [True, False, False, False, False]
    assert encoder(meta(3, 3, 63, 63), meta(3, 1, 63, 63)).shape == (3, 16)


def test_unet3plus_returns_four_images_for_deep_supervision() -> None:
    images = on_meta("unet3plus").deep(meta(1, 3, 256, 256), meta(1, 1, 256, 256))  # type: ignore[operator]
    assert [tuple(image.shape) for image in images] == [(1, 3, 256, 256)] * 4


def test_layers_of_the_lite_model() -> None:
    model = on_meta("dovenet_lite")
    assert isinstance(model, models.Adversarial)
    picture, mask = meta(1, 3, 224, 224), meta(1, 1, 224, 224)
    assert model(picture, mask).shape == picture.shape
    up = [m[0][0].weight.shape[1] for m in model.generator.up]
    assert up == [1024 + 512, 512 + 256, 256 + 128, 128 + 64]
    assert [m.theta.weight.shape[0] for m in model.generator.attention] == [256, 128, 64, 32]
    model = models.create("dovenet_lite", width=4)
    assert isinstance(model, models.Adversarial)
    picture, mask = torch.zeros(1, 3, 224, 224), torch.ones(1, 1, 224, 224)
    sizes = [(24, 112), (48, 56), (64, 28), (64, 14), (128, 7), (128, 4)]
    assert sizes_of(model.discriminator, (PartialConv2d,), picture, mask) == sizes * 3
    scores = model.discriminator(picture, mask)
    assert [tuple(s.shape) for s in scores] == [(1, 1, 4, 4)] * 2


def test_layers_of_the_extractor() -> None:
    maps = on_meta("style_encoder", "hsv")(meta(1, 3, 64, 48), meta(1, 1, 64, 48))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 64, 48), (128, 32, 24), (256, 16, 12)]


@pytest.mark.parametrize("case", DISTINCT_MODELS)
def test_layers_are_told_without_numbers(case: str) -> None:
    name, config = NARROW_MODELS[case]
    layers = models.layers(models.outline(name, **config))
    model = narrow(case)
    net = model.generator if isinstance(model, models.Adversarial) else model
    there = {k for k, m in net.named_modules() if isinstance(m, (*CONVOLUTIONS, nn.Linear))}
    if name == "unet3plus":
        there -= {f"heads.{i}" for i in (1, 2, 3)}  # `deep` calls them
    assert {layer.name for layer in layers} == there
    assert all(layer.parameters > 0 and layer.output for layer in layers)


#: The weights that have no torch module.
IN_NUMPY = ("light", "pose", "scale")


@pytest.fixture(scope="module")
def pages() -> Any:
    return load_script("tools/model_pages.py")


@pytest.mark.parametrize("name", [*(info.name for info in models.list()), *IN_NUMPY])
def test_the_page_of_a_model_says_what_it_is(pages: Any, name: str) -> None:
    """The site adds weights, settings and layers to what is written by hand, and a figure of every table of layers."""
    text, (added, figures) = (pages.PAGES / f"{name}.md").read_text(), pages.part(name)
    assert f"`{name}`" in text.splitlines()[0]
    assert set(re.findall(r"/models/([\w-]+\.svg)\)", added)) == set(figures)
    assert added.count("## Layers: ") == len(figures) > 0 or name in IN_NUMPY
    assert all(drawing.startswith("<svg ") and drawing.endswith("</svg>\n") for drawing in figures.values())
    text += added
    of_its_own = "## Weights: " if any(w.model == name for w in models.weights()) else "no weights come with it"
    for part in ("**Source.**", "**What differs from look-alikes.**", of_its_own):
        assert part in " ".join(text.split()), part


def test_every_page_is_of_a_model(pages: Any) -> None:
    names = {info.name for info in models.list()}
    assert {page.stem for page in pages.PAGES.glob("*.md")} == names | {weights.model for weights in models.weights()}


def test_what_feeds_a_layer_is_read_from_the_graph(pages: Any) -> None:
    """The decoder's first layer sees the innermost one, the last sees its neighbour and the first skip."""
    (network, _) = pages.networks("pix2pix", None)
    nodes = {node.name: node for node in network.nodes}
    sources = {name: {network.nodes[i].name for i in node.sources if i >= 0} for name, node in nodes.items()}
    assert nodes["net.down.0"].sources == (pages.INPUT,)
    assert sources["net.up.0"] == {"net.down.7"}
    assert sources["net.up.1"] == {"net.down.6", "net.up.0"}
    assert sources["net.last"] == {"net.down.0", "net.up.6"}
    assert sum(node.parameters for node in nodes.values()) == 54_413_955 - parameters_of_norms(network)


def parameters_of_norms(network: Any) -> int:
    """Returns the number of scales and shifts, one a channel of every norm of the U-Net: all layers but three."""
    without = {"net.down.0", "net.down.7", "net.last"}
    return sum(2 * node.output[0] for node in network.nodes if node.name not in without)


@pytest.mark.parametrize("scale", [2, 4])
def test_srgan_enlarges(scale: int) -> None:
    assert on_meta("srgan", scale=scale)(meta(2, 3, 13, 9)).shape == (2, 3, 13 * scale, 9 * scale)


# The published nesting, written here as it is described


@pytest.mark.covering(1)
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("depth", [5, 6, 7, 8, 9])
def test_published_unets_of_pix2pix_convert(tmp_path: Path, norm: str, depth: int) -> None:
    torch.manual_seed(0)
    published = lived_in(NestedUNet(3, 4, depth, norm, gates=False))
    torch.save(published.state_dict(), tmp_path / "latest_net_G.pth")
    model = models.convert(tmp_path / "latest_net_G.pth", "pix2pix")
    config = model.config
    assert (config.generator, config.norm, config.width, config.mask) == (f"unet_{2**depth}", norm, 4, False)
    x = torch.rand(1, 3, 2**depth, 2**depth) * 2 - 1
    models.save(model, tmp_path / "ours.safetensors")
    assert torch.equal(models.load(tmp_path / "ours.safetensors")(x), model(x))
    # Norms sum in an order of their own, hence float64, where a wrong place still shows.
    torch.testing.assert_close(model.double()(x.double()), published.double()(x.double()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_skip_is_what_the_leaky_relu_left_and_comes_first(norm: _blocks.Norm) -> None:
    """The published leaky ReLU writes in place; a gate sees the difference."""
    torch.manual_seed(0)
    published = lived_in(NestedUNet(4, 4, 8, norm, gates=True))
    read = _published.unet(published.state_dict())
    assert (read.depth, read.width, read.in_channels, read.gated, read.norm) == (8, 4, 4, True, norm)
    ours = _blocks.UNet(4, 3, 4, 8, norm, gates=True).eval()
    ours.load_state_dict(read.state)
    x = torch.rand(1, 4, 256, 256) * 2 - 1
    torch.testing.assert_close(ours(x), published(x.clone()), rtol=0, atol=1e-6)
    skips: list[Tensor] = []
    ours.gates["0"].register_forward_pre_hook(lambda _m, inputs: skips.append(inputs[0]))
    ours(x)
    torch.testing.assert_close(skips[0][:, :4], functional.leaky_relu(ours.down[0](x), 0.2))


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("blocks", [6, 9])
def test_published_residual_generators_convert(tmp_path: Path, norm: str, blocks: int, dropout: bool) -> None:
    torch.manual_seed(0)
    sequence = lived_in(nested_resnet(4, 4, norm, dropout, blocks))
    state = {f"module.model.{key}": value for key, value in sequence.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    model = models.convert(tmp_path / "a.pth", "pix2pix")
    assert (model.config.mask, model.config.dropout) == (True, 0.5 if dropout else 0.0)
    x, mask = (v.double() for v in (torch.rand(1, 3, 32, 40) * 2 - 1, torch.ones(1, 1, 32, 40)))
    # Norms sum in an order of their own, hence float64, where a wrong place still shows.
    expected = sequence.double()(torch.cat([x, mask], 1))
    torch.testing.assert_close(model.double()(x, mask), expected, rtol=0, atol=1e-12)


@functools.cache
def published_states() -> dict[str, dict[str, Tensor]]:
    """Returns the tensors of a published U-Net and of a residual generator, by their names."""
    torch.manual_seed(0)
    residual = lived_in(nested_resnet(4, 4, "batch", False, 6)).state_dict()
    nested = lived_in(NestedUNet(3, 4, 5, "batch", gates=False)).state_dict()
    return {"unet": nested, "resnet": {f"model.{key}": value for key, value in residual.items()}}


LIGHTNING = {"epoch": 3, "pytorch-lightning_version": "2.5", "optimizer_states": [{"state": {}}]}
#: The contents of a file by those of its generator.
CONTENTS: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
    "bare": lambda state: state,
    "of lightning": lambda state: {"state_dict": state, **LIGHTNING},
    "averaged": lambda state: {"params": {"other": torch.zeros(1)}, "params_ema": state},
    "with a loss": lambda state: {
        "state_dict": {**state, "loss.vgg.features.0.weight": torch.zeros(4, 3, 3, 3), "temperature": torch.ones(1)},
        **LIGHTNING,
    },
    "with a discriminator": lambda state: {
        "state_dict": state
        | {f"netD.net.{key}": value for key, value in pixel_discriminator(6, 4, "batch").state_dict().items()}
    },
}


@pytest.mark.parametrize("kind", ["unet", "resnet"])
@pytest.mark.parametrize("contents", CONTENTS)
@pytest.mark.parametrize(
    "prefix",
    ["netG.", "model.", "generator.", "net.", "model.netG.", "netG.module.", "netG._orig_mod.", "gan.generator.",
     "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."],
)  # fmt: skip
@pytest.mark.covering(1)
def test_wrapped_weights_convert(kind: str, contents: str, prefix: str, tmp_path: Path) -> None:
    if contents.startswith("with") and prefix.startswith(("module", "_orig")):
        return  # a wrapper of all the networks in the file
    state = published_states()[kind]
    torch.save(CONTENTS[contents]({prefix + key: value for key, value in state.items()}), tmp_path / "a.ckpt")
    model, networks = models.convert(tmp_path / "a.ckpt", "pix2pix", return_networks=True)
    torch.save(state, tmp_path / "plain.pth")
    expected = models.convert(tmp_path / "plain.pth", "pix2pix")
    assert "generator" in networks and model.config.generator == expected.config.generator
    for key, value in expected.generator.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(model.generator.state_dict()[key], value), key  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["unet", "resnet"])
@pytest.mark.parametrize("prefix", ["", "netG.", "module.", "model.netG."])
def test_a_missing_or_superfluous_tensor_is_named(kind: str, prefix: str, tmp_path: Path) -> None:
    state = published_states()[kind]
    first, second = ("model.model.0", "model.model.1.model.1") if kind == "unet" else ("model.1", "model.2")
    for key, text in ((f"{first}.weight", f"{first}.weight is missing"), (f"{second}.weight", "missing"),
                      (list(state)[-1], "generator.net.last.bias missing")):  # fmt: skip
        torch.save({prefix + k: value for k, value in state.items() if k != key}, tmp_path / "a.pth")
        with pytest.raises(WeightsError, match=f"does not fit pix2pix: .*{text}"):
            models.convert(tmp_path / "a.pth", "pix2pix")
    for key in ("model.extra.weight", "model.model.9.bias" if kind == "unet" else "model.3.weight"):
        torch.save({prefix + k: v for k, v in {**state, key: torch.zeros(3)}.items()}, tmp_path / "a.pth")
        with pytest.raises(WeightsError, match=f"{key}.* is not a tensor of the model"):
            models.convert(tmp_path / "a.pth", "pix2pix")


@pytest.mark.covering(1)
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, "pixel"])
def test_published_discriminators_convert_with_their_generator(tmp_path: Path, kind: Any, norm: str) -> None:
    """Those of any number of layers do, and that of pixels, whose sequence is called `net`."""
    torch.manual_seed(0)
    pixel = kind == "pixel"
    judge = lived_in(pixel_discriminator(6, 4, norm) if pixel else patch_discriminator(6, 4, kind, norm))
    name = "net" if pixel else "model"
    torch.save({f"{name}.{key}": value for key, value in judge.state_dict().items()}, tmp_path / "D.pth")
    torch.save(NestedUNet(3, 2, 8, norm, gates=False).state_dict(), tmp_path / "G.pth")
    model = models.convert([tmp_path / "G.pth", tmp_path / "D.pth"], "pix2pix")
    discriminator = model.config.discriminator, model.config.discriminator_layers
    assert discriminator == (("pixel", 3) if pixel else ("basic", 3) if kind == 3 else ("n_layers", kind))
    x, y = torch.rand(2, 1, 3, 128, 160)
    expected = judge(torch.cat([x, y], 1))
    assert expected.shape[2:] == ((128, 160) if pixel else (128 // 2**kind - 2, 160 // 2**kind - 2))
    torch.testing.assert_close(model.discriminator(x, y), expected, rtol=0, atol=1e-6)  # type: ignore[union-attr,operator]
    models.save(model, tmp_path / "ours.safetensors")
    assert torch.equal(models.load(tmp_path / "ours.safetensors").discriminator(x, y), model.discriminator(x, y))  # type: ignore[union-attr,operator]
    other = "batch" if norm == "instance" else "instance"
    torch.save(NestedUNet(3, 2, 8, other, gates=False).state_dict(), tmp_path / "G.pth")
    with pytest.raises(WeightsError, match="norm and a generator with"):
        models.convert([tmp_path / "G.pth", tmp_path / "D.pth"], "pix2pix")
    with pytest.raises(WeightsError, match=r"G\.pth: both contain "):
        models.convert([tmp_path / "G.pth", tmp_path / "G.pth"], "pix2pix")


def test_a_residual_generator_converts_with_a_discriminator_of_pixels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sequence, judge = (
        lived_in(nested_resnet(3, 2, "instance", True, 6)),
        lived_in(pixel_discriminator(6, 4, "instance")),
    )
    torch.save({f"model.{key}": value for key, value in sequence.state_dict().items()}, tmp_path / "G.pth")
    torch.save({f"net.{key}": value for key, value in judge.state_dict().items()}, tmp_path / "D.pth")
    config = models.convert([tmp_path / "G.pth", tmp_path / "D.pth"], "pix2pix").config
    assert (config.generator, config.discriminator, config.dropout) == ("resnet_6blocks", "pixel", 0.5)
    state = {f"model.{key}": value for key, value in sequence.state_dict().items() if not key.startswith("15.")}
    torch.save(state, tmp_path / "G.pth")
    with pytest.raises(WeightsError, match=r"G\.pth does not fit pix2pix: the file has 5 residual blocks"):
        models.convert(tmp_path / "G.pth", "pix2pix")


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_published_generator_of_dovenet_converts(tmp_path: Path, norm: str) -> None:
    torch.manual_seed(0)
    published = lived_in(NestedUNet(4, 2, 8, norm, gates=True))
    torch.save(published.state_dict(), tmp_path / "G.pth")
    model = models.convert(tmp_path / "G.pth", "attention_unet")
    assert (model.config.norm, model.config.gates) == (norm, True)
    inputs = example(model)
    expected = published(torch.cat([*inputs.values()], 1))
    torch.testing.assert_close(model(**inputs), expected, rtol=0, atol=1e-6)


def test_the_published_networks_of_bargainnet_convert(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder, unet = lived_in(PublishedEncoder(4)), lived_in(NestedUNet(20, 2, 8, "batch", gates=True))
    torch.save(encoder.state_dict(), tmp_path / "E.pth")
    torch.save({**unet.state_dict(), "weight": torch.tensor([0.3])}, tmp_path / "G.pth")
    image, ones = torch.rand(1, 3, 256, 256) * 2 - 1, torch.ones(1, 1, 256, 256)
    code = encoder(image, ones).flatten(1)
    # There are at most 4608 products a sum, in another order, through five layers.
    close: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(models.convert(tmp_path / "E.pth", "style_encoder")(image, ones), code, **close)
    model = models.convert([tmp_path / "G.pth", tmp_path / "E.pth"], "bargainnet")
    tiled = (code * 0.3)[:, :, None, None].expand(-1, -1, 256, 256)
    expected = unet(torch.cat([image, 1 - ones, tiled], 1))
    torch.testing.assert_close(model(image, 1 - ones), expected, **close)
    with pytest.raises(WeightsError, match="BargainNet's encoder is not among the weights"):
        models.convert(tmp_path / "G.pth", "bargainnet")
    with pytest.raises(WeightsError, match="BargainNet's generator is not among the weights"):
        models.convert(tmp_path / "E.pth", "bargainnet")


@pytest.mark.parametrize("wrapped", [False, True])
def test_bargainnet_with_an_encoder_of_instance_norms_converts(tmp_path: Path, wrapped: bool) -> None:
    """A system on HCOCO published bare states (UnetRGB.pth) and checkpoints with an optimizer (HSLGen.pt)."""
    torch.manual_seed(0)
    generator, encoder = lived_in(PublishedBargainNet(2)), lived_in(PublishedEncoder(4, "instance"))
    generator.weight.data.fill_(0.3)
    states: dict[str, Any] = {"UnetRGB": generator.published(), "StyleDiscRGB": encoder.state_dict()}
    assert len(states["StyleDiscRGB"]) == 12
    for name, state in states.items():
        whole = {"epoch": 7, "model_state_dict": state, "optimizer_state_dict": {"state": {}, "param_groups": []}}
        torch.save(whole if wrapped else state, tmp_path / f"{name}.pth")
    model = models.convert([tmp_path / "UnetRGB.pth", tmp_path / "StyleDiscRGB.pth"], "bargainnet").double()
    alone = models.convert(tmp_path / "StyleDiscRGB.pth", "style_encoder").double()
    assert (model.config.encoder_norm, model.config.norm, alone.config.norm) == ("instance", "batch", "instance")
    inputs = {name: x.double() for name, x in example(model).items()}
    with torch.no_grad():
        code = encoder.double()(inputs["composite"], 1 - inputs["mask"])
        expected = generator.double()(*inputs.values(), code)
        assert float(code.abs().max()) > 1e-2
        close: dict[str, Any] = {"rtol": 0, "atol": 1e-6}
        torch.testing.assert_close(alone(inputs["composite"], 1 - inputs["mask"]), code.flatten(1), **close)
        torch.testing.assert_close(model(**inputs), expected, **close)
    models.save(model.float(), tmp_path / "ours.safetensors")
    assert models.load(tmp_path / "ours.safetensors").config == model.config


def test_the_published_unet3plus_converts_with_its_encoder_and_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator, encoder = PublishedUNet3Plus(2), lived_in(PublishedEncoder(4))
    states = {"Unet3RGB": generator.state_dict(), "StyleDisc3RGB": encoder.state_dict()}
    assert len(states["Unet3RGB"]) == 70
    for name, state in states.items():
        torch.save(state, tmp_path / f"{name}.pth")
    files = [tmp_path / f"{name}.pth" for name in states]
    model, alone = models.convert(files, "bargainnet").double(), models.convert(files[0], "unet3plus").double()
    assert (model.config.generator, model.config.norm, model.config.encoder_norm) == ("unet3plus", "instance", "batch")
    assert (alone.config.width, alone.config.branch, alone.config.code) == (2, 2, 16)
    inputs = {name: x.double() for name, x in model.example(80).items()}
    composite, mask = inputs.values()
    with torch.no_grad():
        code = encoder.double()(composite, 1 - mask)
        expected = generator.double()(torch.cat([composite, mask, code.expand(-1, -1, 80, 80)], 1))
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(model(composite, mask), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(alone(composite, mask, code.flatten(1)), expected, rtol=0, atol=1e-6)
    models.save(model.float(), tmp_path / "ours.safetensors")
    assert models.load(tmp_path / "ours.safetensors").config == model.config
    with pytest.raises(ArgumentError, match="code: missing, this unet3plus needs one of 16 numbers; a bargainnet"):
        alone.predict(composite, mask)
    with pytest.raises(WeightsError, match=r"encoder is not among .*; it fits un"):
        models.convert(files[0], "bargainnet")
    torch.save(PublishedUNet3Plus(2, 4).state_dict(), tmp_path / "four.pth")
    assert models.convert(tmp_path / "four.pth", "unet3plus").config.code == 0
    with pytest.raises(WeightsError, match="a U-Net 3\\+ for codes of length 0, but the encoder's have 16"):
        models.convert([tmp_path / "four.pth", files[1]], "bargainnet")
    torch.save({**states["Unet3RGB"], "outconv2.bias": torch.zeros(3)}, files[0])
    with pytest.raises(WeightsError, match=r"'outconv2\.bias' is not a tensor of the model"):
        models.convert(files[0], "unet3plus")


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("kind", ["blending", "noise"])
def test_the_published_generators_of_gp_gan_convert(tmp_path: Path, kind: str, size: int) -> None:
    """Chainer's batch norms add 2e-5 to a variance where torch's add 1e-5; the image in float64 is the same."""
    published = ChainerGpGan(kind, 4, 24, size)
    saved_npz(tmp_path / "blending_gan.npz", published.arrays)
    model: Any = models.convert(tmp_path / "blending_gan.npz", "gp_gan")
    config = model.config
    assert (config.supervised, config.size, config.width, config.slope) == (kind == "blending", size, 4, 0.2)
    assert (config.bottleneck if kind == "blending" else config.nz) == 24
    models.save(model, tmp_path / "ours.safetensors", part="generator")
    model = models.load(tmp_path / "ours.safetensors").double()
    torch.manual_seed(0)
    x = (torch.rand(2, 3, size, size) * 2 - 1 if kind == "blending" else torch.randn(2, 24)).double()
    with torch.no_grad():
        # A variance is rounded to float32 once more: 6e-8 of it, in each of the norms.
        torch.testing.assert_close(model(x), published(x), rtol=0, atol=2e-6)
        published.eps = 1e-5
        assert float((model(x) - published(x)).abs().max()) > 1e-3


@pytest.mark.parametrize("critic_first", [False, True])
def test_the_published_critic_of_gp_gan_converts_with_its_generator(tmp_path: Path, critic_first: bool) -> None:
    generator, critic = ChainerGpGan("blending", 4, 24), ChainerGpGan("critic", 2, 0, seed=1)
    saved_npz(tmp_path / "g_epoch_25.npz", generator.arrays)
    saved_npz(tmp_path / "d_epoch_25.npz", critic.arrays)
    files = [tmp_path / "g_epoch_25.npz", tmp_path / "d_epoch_25.npz"]
    model: Any = models.convert(files[::-1] if critic_first else files, "gp_gan")
    assert model.config.critic_width == 2
    x = torch.rand(3, 3, 64, 64).double() * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model.double().discriminator.scores(x), critic(x), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model(x), generator(x), rtol=0, atol=2e-6)
    with pytest.raises(WeightsError, match="only the critic is among the weights; expected a generator"):
        models.convert(files[1], "gp_gan")


@pytest.mark.parametrize("names", ["{}.main.{}", "{}_{}"])
def test_ports_of_gp_gan_to_pytorch_convert_by_the_order_of_their_layers(tmp_path: Path, names: str) -> None:
    published = ChainerGpGan("blending", 4, 24)
    published.eps, published.slope = 1e-5, 0.01
    state = published.as_torch(names)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "G.pth")
    model = models.convert(tmp_path / "G.pth", "gp_gan", slope=0.01)
    x = torch.rand(2, 3, 64, 64).double() * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model.double()(x), published(x), rtol=0, atol=1e-12)


def test_a_checkpoint_of_the_port_of_gp_gan_goes_in_whole(tmp_path: Path) -> None:
    """Its training saves both networks and their optimizers; its leaky ReLUs have torch's slope."""
    generator, critic = ChainerGpGan("blending", 4, 24), ChainerGpGan("critic", 2, 0, seed=1)
    for published in (generator, critic):
        published.eps, published.slope = 1e-5, 0.01
    weight = nn.Parameter(torch.zeros(3))
    adam = torch.optim.Adam([weight])
    weight.sum().backward()
    adam.step()
    parts = {"G": generator.as_torch("{}.net.{}"), "D": {f"net.{k}": v for k, v in critic.as_torch("{}.{}").items()}}
    optimizers = {"optim_G": adam.state_dict(), "optim_D": adam.state_dict()}
    torch.save({"epoch": 3, "iteration": 40, **parts, **optimizers}, tmp_path / "last.pth.tar")
    model: Any
    model, networks = models.convert(tmp_path / "last.pth.tar", "gp_gan", return_networks=True)
    assert (model.config.slope, model.config.critic_width, networks) == (0.01, 2, ("discriminator", "generator"))
    x = torch.rand(2, 3, 64, 64).double() * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model.double()(x), generator(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(model.discriminator.scores(x), critic(x), rtol=1e-9, atol=1e-12)
    assert models.convert(tmp_path / "last.pth.tar", "gp_gan", slope=0.2).config.slope == 0.2


@pytest.mark.parametrize(
    "wrapped", [("model_state_dict",), ("generator",), ("G",), ("nets", "G"), ("state_dict",), ("model",)]
)
def test_a_checkpoint_may_hold_its_networks_under_names(tmp_path: Path, wrapped: tuple[str, ...]) -> None:
    unet = NestedUNet(3, 2, 8, "batch", gates=False)
    state: dict[str, Any] = unet.state_dict()
    for name in reversed(wrapped):
        state = {"epoch": 3, name: state, "loss": 0.5}
    torch.save(state, tmp_path / "a.pth")
    torch.save(unet.state_dict(), tmp_path / "bare.pth")
    one, other = (models.convert(tmp_path / name, "pix2pix").state_dict() for name in ("a.pth", "bare.pth"))
    keys = [key for key in one if key.startswith("generator.")]
    assert keys and all(torch.equal(one[key], other[key]) for key in keys)


def test_networks_in_snapshots_of_chainers_trainer_convert(tmp_path: Path) -> None:
    generator, critic = ChainerGpGan("blending", 4, 24), ChainerGpGan("critic", 2, 0, seed=1)
    saved_npz(tmp_path / "snapshot_epoch_25.npz", snapshot_of(main=generator, D=critic))
    model, networks = models.convert(tmp_path / "snapshot_epoch_25.npz", "gp_gan", return_networks=True)
    assert networks == ("discriminator", "generator")
    saved_npz(tmp_path / "g_epoch_25.npz", generator.arrays)
    saved_npz(tmp_path / "d_epoch_25.npz", critic.arrays)
    apart = models.convert([tmp_path / "g_epoch_25.npz", tmp_path / "d_epoch_25.npz"], "gp_gan")
    assert model.config == apart.config
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), apart.state_dict().values(), strict=True))
    x = torch.rand(2, 3, 64, 64).double() * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model.double()(x), generator(x), rtol=0, atol=2e-6)
    # The generator from noise and the critic have equal names: the generator is taken.
    noise = ChainerGpGan("noise", 4, 24)
    saved_npz(tmp_path / "snapshot_epoch_3.npz", snapshot_of(main=noise, D=critic))
    model, networks = models.convert(tmp_path / "snapshot_epoch_3.npz", "gp_gan", return_networks=True)
    assert networks == ("generator",)
    z = torch.randn(2, 24).double()
    with torch.no_grad():
        torch.testing.assert_close(model.double()(z), noise(z), rtol=0, atol=2e-6)


def test_of_networks_with_equal_names_the_one_that_fits_is_taken(tmp_path: Path) -> None:
    unet, other = NestedUNet(3, 2, 8, "batch", gates=False).state_dict(), {"model.model.0.weight": torch.zeros(2)}
    torch.save({"G": unet, "D": other}, tmp_path / "a.pth")
    model = models.convert(tmp_path / "a.pth", "pix2pix")
    assert torch.equal(next(iter(model.generator.state_dict().values())), next(iter(unet.values())))  # type: ignore[operator,union-attr]
    torch.save({"G": unet, "averaged": unet}, tmp_path / "b.pth")
    with pytest.raises(
        WeightsError, match=r"b\.pth: G, averaged are several networks with equal names, such as 'model"
    ):
        models.convert(tmp_path / "b.pth", "pix2pix")


#: The names of a port of GP-GAN to TensorFlow for those of Chainer, and of the tensors of a norm.
TENSORFLOW = {"gamma": "gamma", "beta": "beta", "avg_mean": "moving_mean", "avg_var": "moving_variance"}


def of_tensorflow(arrays: dict[str, Any], *, critic: bool = False) -> dict[str, Any]:
    """Returns Chainer's arrays of GP-GAN as its ports to TensorFlow name and lay them out."""
    variables: dict[str, Any] = {}
    convolutions = {"encoder": 0, "decoder": 0, "": 0}
    for key in sorted(arrays, key=lambda key: [int(x) if x.isdigit() else -1 for x in key.split("/")]):
        *place, leaf = key.split("/")
        part = place[0] if place[0] in ("encoder", "decoder") else ""
        scope = "discriminator" if critic else f"generator/{part}"
        if leaf == "W":
            convolutions[part] += 1
            number = convolutions[part]
            name = f"dconv_{number}/dconv_{number}/kernel" if part == "decoder" else f"conv_{number}/W"
            variables[f"{scope}/{name}"] = np.ascontiguousarray(arrays[key].transpose(2, 3, 1, 0))
        elif leaf in TENSORFLOW:
            norm = "generator/bn_last" if place == ["bn"] else f"{scope}/bn_{convolutions[part]}"
            variables[f"{norm}/{TENSORFLOW[leaf]}"] = arrays[key]
    return variables


def test_a_checkpoint_of_gp_gan_in_tensorflow_goes_in(tmp_path: Path) -> None:
    generator, critic = ChainerGpGan("blending", 4, 24), ChainerGpGan("critic", 2, 0, seed=1)
    arrays = of_tensorflow(dict(generator.arrays)) | of_tensorflow(dict(critic.arrays), critic=True)
    optimizer = {f"{name}/Adam": value for name, value in arrays.items() if name.endswith("/W")}
    counters = {"global_step": np.int32(4600), "beta1_power": np.float32(0.5)}
    prefix = tmp_path / "GP-GAN.ckpt-46005003"
    saved_bundle(prefix, {**arrays, **optimizer, **counters}, {"_text": b"\x08\x07"})
    x = torch.rand(2, 3, 64, 64).double() * 2 - 1
    for path in (prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00001"):
        model: Any
        model, networks = models.convert(path, "gp_gan", return_networks=True)
        assert (model.config.slope, model.config.critic_width, len(networks)) == (0.2, 2, 2)
        with torch.no_grad():
            torch.testing.assert_close(model.double()(x), generator(x), rtol=0, atol=2e-6)
            torch.testing.assert_close(model.discriminator.scores(x), critic(x), rtol=1e-5, atol=1e-6)


def test_the_generator_of_dovenet_in_tensorflow_goes_in(tmp_path: Path) -> None:
    ours = lived_in(narrow("dovenet_lite"))
    layers = [m for m in ours.generator.modules() if isinstance(m, nn.Conv2d)]  # type: ignore[union-attr]
    levels = {name: m for name, m in ours.generator.named_modules() if isinstance(m, nn.Conv2d)}  # type: ignore[union-attr]
    assert len(layers) == 31
    order = [f"down.{level}.{i}.0" for level in range(5) for i in range(2)]
    for level in range(4):
        order += [f"attention.{level}.{part}" for part in ("theta", "phi", "psi")] + [
            f"up.{level}.{i}.0" for i in range(2)
        ]
    arrays: dict[str, Any] = {}
    for number, name in enumerate([*order, "last"]):
        weight, bias = (value.detach().numpy() for value in (levels[name].weight, levels[name].bias))
        start = f"layer_with_weights-{number}"
        arrays[f"{start}/kernel/.ATTRIBUTES/VARIABLE_VALUE"] = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
        arrays[f"{start}/bias/.ATTRIBUTES/VARIABLE_VALUE"] = bias
    saved_bundle(tmp_path / "gen", arrays, {"_CHECKPOINTABLE_OBJECT_GRAPH": b"\x08\x07"})
    model = models.convert(tmp_path / "gen", "dovenet_lite")
    for key, value in model.generator.state_dict().items():  # type: ignore[operator,union-attr]
        assert torch.equal(value, ours.generator.state_dict()[key]), key  # type: ignore[operator,union-attr]
    del arrays["layer_with_weights-30/kernel/.ATTRIBUTES/VARIABLE_VALUE"]
    saved_bundle(tmp_path / "less", arrays)
    with pytest.raises(
        WeightsError, match=r"gen\.h5: Keras files in HDF5 are not supported; use save_weights with a name"
    ):
        models.convert(tmp_path / "gen.h5", "dovenet_lite")
    with pytest.raises(WeightsError, match="not a TensorFlow generator of DoveNet: 30 layers, expected 31 of Keras"):
        models.convert(tmp_path / "less", "dovenet_lite")


def test_a_damaged_checkpoint_of_tensorflow_is_refused(tmp_path: Path) -> None:
    prefix = tmp_path / "x.ckpt-1"
    saved_bundle(prefix, {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((), np.int64)})
    index, data_ = (Path(f"{prefix}{end}") for end in (".index", ".data-00000-of-00001"))
    whole, tensors_ = index.read_bytes(), data_.read_bytes()

    def refused() -> str:
        with pytest.raises(WeightsError) as error:
            models.convert(prefix, "gp_gan")
        return str(error.value)

    assert "not a generator of GP-GAN" in refused()  # it is read
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        index.write_bytes(bytes(changed[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.3 else changed))
        assert str(tmp_path) in refused()
    index.write_bytes(whole)
    data_.write_bytes(tensors_[:-4])
    assert "does not match its shape" in refused()
    data_.unlink()
    assert f"{data_}: there is no such file" in refused()
    index.write_bytes(whole[:-8] + bytes(8))
    assert "not a TensorFlow checkpoint, or damaged: wrong footer" in refused()


class NumberedSrgan(nn.Module):
    """The generator of a public SRGAN, written from its description."""

    def __init__(self, width: int, blocks: int, doublings: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = blocks
        self.block1 = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        for number in range(blocks):
            part = nn.Module()
            part.conv1, part.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
            part.bn1, part.bn2, part.prelu = nn.BatchNorm2d(width), nn.BatchNorm2d(width), nn.PReLU()
            self.add_module(f"block{number + 2}", part)
        self.add_module(f"block{blocks + 2}", nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU()))
        last: list[nn.Module] = []
        for _ in range(doublings):
            part = nn.Module()
            part.conv, part.prelu = nn.Conv2d(width, 4 * width, 3, padding=1), nn.PReLU()
            last.append(part)
        self.add_module(f"block{blocks + 3}", nn.ModuleList([*last, nn.Conv2d(width, 3, 9, padding=4)]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first = x = self.block1(image)
        for number in range(self.blocks):
            part: Any = getattr(self, f"block{number + 2}")
            x = x + part.bn2(part.conv2(part.prelu(part.bn1(part.conv1(x)))))
        x = getattr(self, f"block{self.blocks + 2}")(x) + first
        *steps, close = getattr(self, f"block{self.blocks + 3}")
        for step in steps:
            x = step.prelu(nn.functional.pixel_shuffle(step.conv(x), 2))
        return (torch.tanh(close(x)) + 1) / 2


@pytest.mark.parametrize(("blocks", "scale"), [(5, 4), (1, 2)])
def test_the_published_generator_of_srgan_converts(tmp_path: Path, blocks: int, scale: int) -> None:
    published = lived_in(NumberedSrgan(6, blocks, scale // 2)).eval()
    state = {"epoch": 4, "state_dict": published.state_dict(), "optim_dict": {"state": {}, "param_groups": []}}
    torch.save(state, tmp_path / "best_g.pth.tar")
    model = models.convert(tmp_path / "best_g.pth.tar", "srgan")
    assert (model.config.blocks, model.config.width, model.config.scale) == (blocks, 6, scale)
    image = torch.rand(2, 3, 12, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(image), published(image), rtol=0, atol=1e-6)
    torch.save({"block1.0.weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"not a generator of SRGAN: expected layers block1\.0"):
        models.convert(tmp_path / "a.pth", "srgan")


def test_what_gp_gan_cannot_place_is_named(tmp_path: Path) -> None:
    arrays = ChainerGpGan("blending", 4, 24).arrays

    def refused(changes: dict[str, Any], without: str = "") -> str:
        rest = {key: value for key, value in arrays.items() if not without or not key.startswith(without)}
        saved_npz(tmp_path / "g.npz", {**rest, **changes})
        with pytest.raises(WeightsError) as error:
            models.convert(tmp_path / "g.npz", "gp_gan")
        assert "g.npz" in str(error.value)
        return str(error.value)

    assert "generator.decoder.norms.0.weight missing" in refused({}, "decoder/1/gamma")
    assert "'bn' is at the position of generator.bottleneck_norm, a norm" in refused({}, "bn/avg_mean")
    assert "'decoder/3' is at the position of generator.decoder.norms.0, a norm" in refused({}, "decoder/1/")
    assert "'bn' is at the position of generator.decoder.first, a convolution" in refused({}, "encoder/")
    assert "'encoder/0' has a bias" in refused({"encoder/0/b": np.zeros(4, np.float32)})
    assert "its last layer 'head/0' returns no image" in refused({"head/0/W": np.zeros((4, 8, 4, 4), np.float32)})
    assert "'more' is unknown" in refused({"more/W": np.zeros(3, np.float32)})
    assert "widths 5 and 4; gp_gan has one width for both" in refused(
        {"encoder/0/W": np.zeros((5, 3, 4, 4), np.float32)}
    )
    assert "other shapes" in refused({"bn/gamma": np.ones(23, np.float32)})
    assert "encoder/0/W: <U1, expected a numeric array" in refused({"encoder/0/W": np.array(["x"])})


def test_files_of_arrays_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.npz"

    def refused() -> str:
        with pytest.raises(WeightsError) as error:
            models.convert(path, "gp_gan")
        return str(error.value)

    assert "there is no such file" in refused()
    for data in (b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)):
        path.write_bytes(data)
        assert "g.npz: " in refused()
    saved_npz(path, ChainerGpGan("noise", 2, 3, 16).arrays)
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert "damaged" in refused()
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    assert "g.npz" in refused()
    saved_npz(path, {"0/W": np.array([Payload(tmp_path / "ran")], dtype=object)})
    assert "0/W: not a numeric array" in refused()
    assert not (tmp_path / "ran").exists()
    saved_npz(path, {"0/W": np.zeros(1 << 23)})
    assert path.stat().st_size < 1 << 17
    assert "would unpack to 67,108," in refused()


def test_the_model_that_a_file_is_of_is_named(tmp_path: Path) -> None:
    """The error names it where another was asked for, with or without a published layout."""
    files = {
        "gated.pth": (NestedUNet(4, 2, 8, "batch", gates=True), "attention_unet"),
        "plain.pth": (NestedUNet(4, 2, 8, "instance", gates=False), "attention_unet or pix2pix"),
        "E.pth": (PublishedEncoder(4), "style_encoder"),
        "pct.pth": (PublishedPctCnn(4), "pct_net"),
    }
    for name, (network, model) in files.items():
        torch.save(network.state_dict(), tmp_path / name)
        with pytest.raises(ArgumentError, match=f"of dovenet is supported, .*{name} fits {model}$"):
            models.convert(tmp_path / name, "dovenet")
    saved_npz(tmp_path / "g.npz", ChainerGpGan("noise", 2, 3, 16).arrays)
    with pytest.raises(WeightsError, match=r"g\.npz: .*; it fits gp_gan$"):
        models.convert(tmp_path / "g.npz", "pix2pix")
    with pytest.raises(WeightsError, match=r"layout of pix2pix; it fits style_encoder$"):
        models.convert(tmp_path / "E.pth", "pix2pix")
    with pytest.raises(ArgumentError, match=r"of dovenet is supported, only those of [a-z2_, 0-9]*$"):
        models.convert(tmp_path / "none.pth", "dovenet")


def test_statistics_that_early_torch_kept_for_instance_norms_are_left_out() -> None:
    state = NestedUNet(3, 2, 7, "instance", gates=False).state_dict()
    extra = {"model.model.1.model.2.running_mean": torch.zeros(4), "model.model.1.model.2.running_var": torch.ones(4)}
    assert _published.unet({**state, **extra}).state.keys() == _published.unet(state).state.keys()


def test_vgg_16_becomes_the_extractor(tmp_path: Path) -> None:
    widths = {0: (3, 4), 2: (4, 4), 5: (4, 8), 7: (8, 8), 10: (8, 16), 12: (16, 16), 14: (16, 16)}
    torch.manual_seed(0)
    layers = {i: nn.Conv2d(a, b, 3, padding=1) for i, (a, b) in widths.items()}
    state = {f"features.{i}.{k}": v for i, layer in layers.items() for k, v in layer.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg16.pth")
    model = models.convert(tmp_path / "vgg16.pth", "style_encoder", space="rgb")
    models.save(model, tmp_path / "vgg16.safetensors")
    model = models.load(tmp_path / "vgg16.safetensors")
    assert model.extractor == "vgg16"
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    x = ((image + 1) / 2 - torch.tensor(model.mean)[:, None, None]) / torch.tensor(model.std)[:, None, None]  # type: ignore[arg-type]
    # A partial convolution of all is a convolution where the window does not touch the border.
    first = torch.relu(layers[2](torch.relu(layers[0](x))))
    features = model(image, torch.ones(1, 1, 32, 32))[0]
    torch.testing.assert_close(features[..., 2:-2, 2:-2], first[..., 2:-2, 2:-2], rtol=1e-5, atol=1e-5)


# colorgrid


COLORGRIDS = ("colorgrid", "colorgrid, one look", "colorgrid, heads")


def moved(case: str, seed: int = 0) -> Any:
    """Returns a narrow colorgrid whose last layers are not zero."""
    model: Any = narrow(case, seed)
    torch.manual_seed(seed + 1)
    torch.nn.init.normal_(model.experts[0].last.weight, std=0.05)
    return model.eval()


@pytest.mark.parametrize("case", COLORGRIDS)
def test_a_new_colorgrid_changes_nothing(case: str) -> None:
    model = narrow(case).eval()
    picture, mask = model.example().values()
    torch.testing.assert_close(model(picture, mask), picture, rtol=0, atol=1e-6)
    maps = model.maps(picture, mask)  # type: ignore[operator]
    assert torch.equal(maps.affine, torch.eye(3, 4).expand(2, 3, 4))
    assert not maps.curves.any()


@pytest.mark.parametrize("case", COLORGRIDS)
def test_a_colorgrid_keeps_the_background_and_maps_the_object(case: str) -> None:
    model = moved(case)
    picture, mask = model.example(48).values()
    output = model(picture, mask)
    outside = (mask == 0).expand_as(picture)
    assert torch.equal(output[outside], picture[outside])
    assert (output - picture)[~outside].abs().mean() > 1e-3
    assert output.min() >= 0 and output.max() <= 1
    again = model(picture, mask)
    assert torch.equal(output, again)


def test_the_maps_of_a_colorgrid_in_float64() -> None:
    """The map at single pixels is that of its definition in NumPy."""
    maps = moved("colorgrid").double().maps(*(x.double() for x in narrow("colorgrid").example().values()))
    pixels = np.random.default_rng(0).random((2, 50, 3))
    output = maps.apply(torch.from_numpy(pixels)).detach().numpy()
    affine, curves = maps.affine.detach().numpy(), maps.curves.detach().numpy()
    knots = np.linspace(0, 1, curves.shape[-1])
    for n, p in itertools.product(range(2), range(50)):
        x = pixels[n, p]
        expected = affine[n, :, :3] @ x + affine[n, :, 3]
        expected += [sum(np.interp(x[c], knots, curves[n, o, c]) for c in range(3)) for o in range(3)]
        np.testing.assert_allclose(output[n, p], expected, rtol=1e-9, atol=1e-9)


def test_the_second_look_of_a_colorgrid_is_at_what_the_first_map_made() -> None:
    """The map of a look is the map before it and a change, which depends on the mapped colours."""
    model = moved("colorgrid")
    picture, mask = model.example().values()
    first, second = model.stage_maps(picture, mask)
    mapped = picture + mask * (first.apply(picture.flatten(2).mT).mT.reshape(picture.shape) - picture)
    assert not torch.equal(first.affine, second.affine)
    other = model.stage_maps(mapped.clamp(0, 1), mask)[0]
    assert not torch.allclose(second.affine - first.affine, first.affine - torch.eye(3, 4), atol=1e-4)
    assert torch.isfinite(other.affine).all()


def test_what_a_colorgrid_sees_of_the_contour() -> None:
    """Rows show a square's own colour inside, the other colour outside, and lie at its edge."""
    model = narrow("colorgrid").eval()
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    picture = torch.where(mask > 0, torch.tensor([0.9, 0.2, 0.1])[:, None, None], torch.full((3, 1, 1), 0.3))
    within, beyond, rest = model._inputs(picture, mask).rows  # type: ignore[operator,union-attr]
    assert within.shape == (1, 48, 2, 3) and rest.shape == (1, 48, 10)
    far = 1  # three pixels from the contour
    torch.testing.assert_close(within[0, :, far], torch.tensor([0.9, 0.2, 0.1]).expand(48, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(beyond[0, :, far], torch.full((48, 3), 0.3), rtol=0, atol=1e-6)
    place = rest[0, :, 7:9] * 31
    edge = torch.minimum((place - 7.5).abs(), (place - 23.5).abs()).amin(1)
    assert edge.max() <= 1.5  # in rows and columns; the contour is blurred


def test_a_colorgrid_sees_a_larger_picture_as_its_mean() -> None:
    model = moved("colorgrid")
    picture, mask = model.example(32).values()
    large = [x.repeat_interleave(3, 2).repeat_interleave(3, 3) for x in (picture, mask)]
    for a, b in zip(model.maps(picture, mask), model.maps(*large)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_what_a_colorgrid_draws_in_training_goes_by_the_seed() -> None:
    model = moved("colorgrid").train()
    affines, example = [], model.example().values()
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        affines.append(model.maps(*example).affine)
    assert torch.equal(affines[0], affines[1]) and not torch.equal(affines[0], affines[2])


@pytest.mark.parametrize("fill", [0.0, 1.0, 0.3])
def test_a_colorgrid_without_object_or_background(fill: float) -> None:
    model = moved("colorgrid")
    picture, mask = model.example().values()
    output = model(picture, torch.full_like(mask, fill))
    assert torch.isfinite(output).all()
    assert fill or torch.equal(output, picture)


# pct_net

PCT_NETS = ("pct_net", "pct_net, vit")


def changing(case: str) -> Any:
    """Returns a narrow pct_net whose maps are not the identity."""
    model = narrow(case).eval()
    torch.manual_seed(3)
    torch.nn.init.normal_(model.last.weight, std=0.3)  # type: ignore[union-attr,arg-type]
    torch.nn.init.normal_(model.last.bias, std=0.05)  # type: ignore[union-attr,arg-type]
    return model


def test_which_blocks_of_pct_net_have_norms() -> None:
    norms = [name for name, m in on_meta("pct_net").named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert {name.split(".")[1] for name in norms} == {"down", "merge", "separate"}
    assert {name[9] for name in norms if name.startswith("net.down")} == {"2", "3"}  # from the third block on
    assert len(on_meta("pct_net", "vit").net.layers) == 9  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("case", PCT_NETS)
@pytest.mark.parametrize("size", [(16, 16), (8, 9), (37, 50)])
def test_a_new_pct_net_changes_nothing_at_any_size(case: str, size: tuple[int, int]) -> None:
    model = narrow(case).eval()
    picture, mask = torch.rand(2, 3, *size), torch.rand(2, 1, *size)
    assert torch.equal(model(picture, mask), picture)


@pytest.mark.parametrize("case", PCT_NETS)
def test_the_maps_of_a_pct_net_are_enlarged_by_the_bicubic_filter(case: str) -> None:
    """The definition in NumPy agrees: Keys' kernel of a = -0.75, borders continued, images corner on corner."""
    model = changing(case).double()
    picture, mask = torch.rand(1, 3, 24, 40).double(), (torch.rand(1, 1, 24, 40) > 0.4).double()
    maps = model.transforms(picture, mask).shared[0].detach().numpy()
    assert np.abs(maps).max() > 0.05

    def enlarge(size: int) -> np.ndarray[Any, Any]:
        matrix = np.zeros((size, 16))
        for row, place in enumerate((np.arange(size) + 0.5) * 16 / size - 0.5):
            for column in range(math.floor(place) - 1, math.floor(place) + 3):
                t = abs(place - column)
                near, far = 1.25 * t**3 - 2.25 * t**2 + 1, -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
                matrix[row, min(max(column, 0), 15)] += near if t <= 1 else far
        return matrix

    whole = np.einsum("yr,crs,xs->cyx", enlarge(24), maps, enlarge(40)).reshape(3, 4, 24, 40)
    x, m = picture[0].numpy(), mask[0].numpy()
    mapped = (x + np.einsum("ocyx,cyx->oyx", whole[:, :3], x) + whole[:, 3]).clip(0, 1)
    output = model(picture, mask)[0].detach().numpy()
    np.testing.assert_allclose(output, mapped if case == "pct_net" else x + m * (mapped - x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", PCT_NETS)
def test_what_keeps_the_background_of_a_pct_net(case: str) -> None:
    """The attention keeps it in the convolutional form, the mask in the other."""
    model = changing(case)
    inputs = model.example()
    picture, outside = inputs["composite"], (inputs["mask"] == 0).expand_as(inputs["composite"])
    output = model(**inputs).detach()
    assert float((output - picture)[~outside].abs().mean()) > 1e-3
    if case == "pct_net":
        attention = model.transforms(**inputs).attention.detach()
        assert float(attention.min()) > 0 and float(attention.max()) < 1
        assert not torch.equal(output[outside], picture[outside])
        with torch.no_grad():
            model.net.attention.weight.zero_()
            model.net.attention.bias.fill_(-50)
        assert torch.equal(model(**inputs), picture)
    else:
        assert model.transforms(**inputs).attention is None
        assert torch.equal(output[outside], picture[outside])


def test_the_mask_decides_between_the_gates_of_the_attention() -> None:
    """Deep inside the object only its own two branches count, far outside the background's, beyond the border none."""
    torch.manual_seed(0)
    layer = models.pct_net.SeparatedAttention(4).eval()
    x, mask = torch.rand(1, 4, 16, 20), torch.zeros(1, 1, 16, 20)
    mask[..., :10] = 1
    output = layer(x, mask)
    inside, outside = layer.learn(layer.foreground(x)) + layer.both(x), layer.background(x)
    torch.testing.assert_close(output[..., 3:-3, 3:7], inside[..., 3:-3, 3:7])
    torch.testing.assert_close(output[..., 13:], outside[..., 13:])
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    share = float(weights[:4].sum() / weights.sum())  # of the object, at its last column and at the border
    for place in ((..., slice(3, -3), 9), (..., slice(3, -3), 0), (..., 0, slice(3, 7))):
        torch.testing.assert_close(output[place], share * inside[place] + (1 - share) * outside[place])


def test_the_layer_of_the_transformer_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours = models.pct_net.TransformerLayer(8, 2, 12)
    theirs = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, activation="gelu", batch_first=True)
    names = {
        "self_attn.in_proj_": "qkv.", "self_attn.out_proj.": "project.", "linear1.": "inner.", "linear2.": "outer.",
        "norm1.": "norm1.", "norm2.": "norm2.",
    }  # fmt: skip
    state = {f"{a}{kind}": ours.state_dict()[f"{b}{kind}"] for a, b in names.items() for kind in ("weight", "bias")}
    theirs.load_state_dict(state)
    x = torch.randn(2, 10, 8)
    torch.testing.assert_close(ours(x), theirs(x))


def published_pct_net(form: str) -> Any:
    """Returns a model as initialised by its authors, its blur noise, its norms used; its map is near to none."""
    torch.manual_seed(0)
    if form == "cnn":
        published = PublishedPctCnn(4)
        published.begin()
    else:
        published = PublishedPctVit(width=8, layers=2, hidden=12)
    with torch.no_grad():
        mean, std = (published.mean, published.std) if form == "cnn" else (torch.zeros(3), torch.ones(3))
        published.get_params.weight.mul_(0.1)
        published.get_params.bias.copy_(torch.cat([std.flatten().diag().flatten(), mean.flatten()]))
        published.get_params.bias.add_(0.1 * torch.randn(12))
    return lived_in(published)


@pytest.mark.parametrize("form", ["cnn", "vit"])
def test_published_weights_of_pct_net_convert(tmp_path: Path, form: str) -> None:
    """The published map, the attention and, where nothing is clamped, the image are met to 1e-6."""
    published = published_pct_net(form)
    torch.save(published.state_dict(), tmp_path / "PCTNet.pth")
    model: Any = models.convert(tmp_path / "PCTNet.pth", "pct_net", size=32)
    assert (model.config.encoder, model.config.size) == (form, 32)
    models.save(model, tmp_path / "ours.safetensors")
    model = models.load(tmp_path / "ours.safetensors")
    picture, mask = torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    mask[:, :, :20, 5:] = 1  # it touches the border
    with torch.no_grad():
        params, attention = published.maps(picture, mask)
        transforms = model.transforms(picture, mask)
    mean, std = (published.mean, published.std) if form == "cnn" else (torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    expected = transformed((picture - mean) / std, params)
    maps = transforms.change.reshape(2, 3, 4, 32, 32)
    result = picture + torch.einsum("noihw,nihw->nohw", maps[:, :, :3], picture) + maps[:, :, 3]
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
    if form == "cnn":
        torch.testing.assert_close(transforms.attention, attention, rtol=0, atol=1e-6)
    calm = ((expected >= 0) & (expected <= 1)).all(1, keepdim=True).expand_as(picture)
    assert 0.05 < float(calm.float().mean()) < 1
    with torch.no_grad():
        torch.testing.assert_close(model(picture, mask)[calm], published(picture, mask)[calm], rtol=0, atol=1e-6)


def test_what_pct_net_cannot_place_is_named(tmp_path: Path) -> None:
    def refused(state: dict[str, Tensor]) -> str:
        torch.save(state, tmp_path / "P.pth")
        with pytest.raises(WeightsError) as error:
            models.convert(tmp_path / "P.pth", "pct_net")
        return str(error.value)

    for form in ("cnn", "vit"):
        state = published_pct_net(form).state_dict()
        some = "decoder.up_blocks.1.convs.block.0.block.1.running_var" if form == "cnn" else "encoder.dec.0.bias"
        ours = "net.merge.1.0.1.running_var" if form == "cnn" else "net.up.bias"
        assert f"{ours} missing" in refused({k: v for k, v in state.items() if k != some})
        assert "'encoder.more.weight' is not a tensor of the model" in refused(
            {**state, "encoder.more.weight": torch.zeros(1)}
        )
        assert "no output of twelve channels" in refused({**state, "get_params.weight": torch.zeros(9, 4, 1, 1)})
    state = published_pct_net("cnn").state_dict()
    blur = "decoder.up_blocks.2.attention.mask_blurring.weight"
    assert "net.separate.blur missing" in refused({k: v for k, v in state.items() if k != blur})


def test_a_new_pct_net_begins_as_published() -> None:
    """Weights deviate by 2 / sqrt(in + out) if convolved or dense; the Gaussian stays one, and the last layer is 0."""
    torch.manual_seed(0)
    model: Any = models.create("pct_net")
    for name, module in model.net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 5000:
            fans = (module.weight.shape[0] + module.weight.shape[1]) * math.prod(module.weight.shape[2:])
            assert float(module.weight.detach().std()) == pytest.approx(2 / math.sqrt(fans), rel=0.05), name
    assert float(model.net.separate.blur.sum()) == pytest.approx(1)
    assert not model.last.weight.any() and not model.last.bias.any()


def test_the_transformer_drops_in_training_alone() -> None:
    torch.manual_seed(0)
    layer = models.pct_net.TransformerLayer(8, 2, 12, 0.1)
    theirs = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, activation="gelu", batch_first=True)
    theirs.load_state_dict(
        {
            f"{a}{kind}": layer.state_dict()[f"{b}{kind}"]
            for a, b in {
                "self_attn.in_proj_": "qkv.", "self_attn.out_proj.": "project.", "linear1.": "inner.",
                "linear2.": "outer.", "norm1.": "norm1.", "norm2.": "norm2.",
            }.items()
            for kind in ("weight", "bias")
        }
    )  # fmt: skip
    # Every item of a batch is a draw of its own.
    x = torch.randn(1, 5, 8).expand(4000, -1, -1)
    ours, others = layer(x).detach(), theirs(x).detach()
    # The mean of 4000 draws is within 5 / sqrt(4000) of the deviation, each of the two.
    apart = (ours.mean(0) - others.mean(0)).abs()
    assert bool((apart <= 5 * math.sqrt(2 / 4000) * others.std(0) + 1e-6).all())
    torch.testing.assert_close(ours.std(0), others.std(0), rtol=0.15, atol=1e-3)
    assert float(ours.std(0).mean()) > 0.01
    layer.eval()
    assert torch.equal(layer(x), layer(x))


# Refusals


SIZES = {
    "attention_unet": (200, 256), "attention_unet, residual": (64, 96), "bargainnet": (256, 257),
    "bargainnet, unet3plus": (80, 72),
    "colorgrid": (40, 31), "dovenet_lite": (224, 225), "gp_gan": (64, 32), "pct_net": (7, 40), "pix2pix": (128, 128),
    "pix2pix, 128": (192, 128), "pix2pix, resnet": (30, 32), "pix2pix, pixels": (48, 32), "pix2pix_selfie": (64, 64),
    "pix2pix_selfie, patches": (48, 64),
    "realism_cnn": (64, 64), "style_encoder": (62, 80), "style_encoder, hsv": (30, 32), "unet3plus": (24, 32),
    "unet3plus, residual": (32, 40), "unet3plus, code": (24, 32),
}  # fmt: skip


@pytest.mark.parametrize("case", SIZES)
def test_sizes_that_do_not_divide_are_refused(case: str) -> None:
    model = narrow(case)
    height, width = SIZES[case]
    channels = {"mask": 1}
    inputs = [torch.zeros(1, channels.get(key, 3), height, width) for key in model.example()]
    with pytest.raises(ShapeError, match=rf"(composite|image): {height}x{width} pixels, expected"):
        model(*inputs)


MASKED = [
    case for case in NARROW_MODELS
    if case not in ("gp_gan", "gp_gan, skips", "gp_gan, noise", "clicks", "pix2pix, no mask", "pix2pix, 128",
                    "pix2pix, resnet") and "srgan" not in case
]  # fmt: skip


@pytest.mark.parametrize("case", MASKED)
def test_masks_that_are_none_are_refused(case: str) -> None:
    model = narrow(case)
    inputs = example(model)
    picture, mask, *rest = inputs.values()
    for bad, message in ((mask * 255, "0 to 255"), (mask - 0.5, "-0.5 to 0.5"), (mask * float("nan"), "nan")):
        with pytest.raises(ArgumentError, match=f"mask: values {message}"):
            model(picture, bad, *rest)
    with pytest.raises(ShapeError, match=r"mask: shape \[2, 3,"):
        model(picture, mask.expand(-1, 3, -1, -1), *rest)


@pytest.mark.parametrize("case", [case for case in NARROW_MODELS if case != "gp_gan, noise"])
def test_what_is_no_picture_is_refused(case: str) -> None:
    model = narrow(case)
    picture, *rest = example(model).values()
    with pytest.raises(ShapeError, match=r"(composite|image): shape \[3, "):
        model(picture[0], *rest)
    with pytest.raises(ArgumentError, match=r"dtype torch.uint8, expected a float type"):
        model(picture.to(torch.uint8), *rest)


def test_pix2pix_takes_a_mask_where_it_was_made_for_one() -> None:
    picture, mask = torch.zeros(1, 3, 128, 128), torch.zeros(1, 1, 128, 128)
    with pytest.raises(ArgumentError, match="mask: not accepted, this model was created with mask=False"):
        narrow("pix2pix, 128")(picture, mask)
    with pytest.raises(ArgumentError, match="mask: missing"):
        narrow("pix2pix_selfie").eval()(picture)


def test_discriminators_refuse_what_does_not_fit() -> None:
    model = narrow("pix2pix, no mask")
    assert isinstance(model, models.Adversarial)
    with pytest.raises(ShapeError, match="output: shape"):
        model.discriminator(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 32))
    with pytest.raises(ShapeError, match="image: 16x64 pixels, expected 32 or more"):
        model.discriminator(torch.zeros(1, 3, 16, 64), torch.zeros(1, 3, 16, 64))
    patches = models.create("pix2pix_selfie", "patches", width=2, depth=2, discriminator_width=2)
    assert isinstance(patches, models.Adversarial)
    with pytest.raises(ShapeError, match="image: 28x32 pixels, expected 32 or more"):
        patches.discriminator(torch.zeros(1, 3, 28, 32), torch.zeros(1, 3, 28, 32), torch.zeros(1, 1, 28, 32))
    with pytest.raises(ShapeError, match=r"z: shape \[2, 8\], expected \[N, 7\]"):
        narrow("gp_gan, noise")(torch.zeros(2, 8))
    with pytest.raises(ShapeError, match=r"code: shape \[1, 16\], expected \[2, 16\]"):
        narrow("bargainnet")(torch.zeros(2, 3, 256, 256), torch.zeros(2, 1, 256, 256), torch.zeros(1, 16))


@pytest.mark.parametrize(
    ("case", "size"),
    [("gp_gan", 64), ("pix2pix_selfie", 128), ("unet3plus", 16), ("realism_cnn", 8), ("dovenet_lite", 64)],
)
def test_a_sample_that_leaves_its_norm_one_value_is_refused_in_training(case: str, size: int) -> None:
    model = narrow(case) if case != "realism_cnn" else models.create("realism_cnn", size=8, widths=(4, 4, 4))
    call = model.discriminator if isinstance(model, models.Adversarial) and case == "dovenet_lite" else model
    inputs = [value[:1] for value in model.example(size).values()]
    with pytest.raises(ShapeError, match=f"one sample of {size}x{size} pixels leaves a batch norm one value"):
        call(*inputs)
    model.eval()
    call(*inputs)


def test_what_an_instance_norm_would_make_zero_is_refused() -> None:
    model = models.create("pix2pix_selfie", norm="instance", width=2, discriminator_width=2).eval()
    with pytest.raises(ShapeError, match="image: 128x128 pixels, which an instance norm maps to 0"):
        model(**model.example(128))
    assert model(torch.zeros(1, 3, 128, 256), torch.zeros(1, 1, 128, 256)).shape == (1, 3, 128, 256)
    model = models.create("pix2pix_selfie", norm="instance", width=2, depth=4, discriminator_width=2).eval()
    with pytest.raises(ShapeError, match="image: 16x16 pixels, which an instance norm maps to 0"):
        model(**model.example(16))


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("pix2pix", {"width": 0}, "width: 0, expected a whole number of at least 1"),
        ("pix2pix", {"width": 16.0}, "width: 16.0"),
        ("pix2pix", {"width": True}, "width: True"),
        ("pix2pix", {"generator": "unet"}, "generator: 'unet', expected one of 'unet_32', 'unet_64'"),
        ("pix2pix", {"mask": 1}, "mask: 1, expected True or False"),
        ("pix2pix", {"dropout": 1.0}, "dropout: 1.0"),
        ("pix2pix", {"widht": 16}, "widht: pix2pix has no such setting; did you mean 'width'"),
        ("pix2pix_selfie", {"discriminator_norm": "group"}, "discriminator_norm: 'group'"),
        (
            "pix2pix_selfie",
            {"discriminator": "wide"},
            "discriminator: 'wide', expected one of 'wide_residual', 'patches'",
        ),
        ("pix2pix", {"norm": "layer"}, "norm: 'layer', expected one of 'batch', 'instance', 'none'"),
        (
            "pix2pix",
            {"discriminator": "patches"},
            "discriminator: 'patches', expected one of 'basic', 'n_layers', 'pixel'",
        ),
        ("pix2pix", {"discriminator_layers": 4}, "discriminator_layers: 4, not used by discriminator='basic'"),
        ("pix2pix", {"discriminator": "n_layers", "discriminator_layers": 0}, "discriminator_layers: 0"),
        ("pix2pix_selfie", {"depth": 0}, "depth: 0, expected a whole number of at least 1"),
        ("pix2pix_selfie", {"residual": 1}, "residual: 1, expected True or False"),
        ("attention_unet", {"depth": 4}, "depth: 4, expected a whole number of at least 5"),
        ("attention_unet", {"residual": "no"}, "residual: 'no'"),
        ("unet3plus", {"residual": None}, "residual: None"),
        ("gp_gan", {"size": 100}, "size: 100, expected 8, 16, 32, 64"),
        ("gp_gan", {"slope": -0.1}, "slope: -0.1"),
        ("dovenet_lite", {"width": 3}, "width: 3"),
        ("dovenet_lite", {"discriminator_widths": (8,)}, "discriminator_widths: "),
        ("realism_cnn", {"widths": (8, 0)}, r"widths\[1\]: 0"),
        ("realism_cnn", {"size": 4}, "size: 4"),
        ("realism_cnn", {"regions": -1}, "regions: -1"),
        ("srgan", {"scale": 3}, "scale: 3, expected one of 2, 4"),
        ("style_encoder", {"space": "lab"}, "space: 'lab'"),
        ("style_encoder", {"kind": "codes"}, "kind: 'codes'"),
        ("style_encoder", {"norm": "none"}, "norm: 'none', expected one of 'batch', 'instance'"),
        ("style_encoder", {"norm": "instance", "kind": "features"}, "norm: 'instance', with kind='features'"),
        ("bargainnet", {"encoder_norm": "none"}, "encoder_norm: 'none'"),
        ("bargainnet", {"generator": "resnet"}, "generator: 'resnet', expected one of 'unet', 'unet3plus'"),
        ("bargainnet", {"space": "lab"}, "space: 'lab', expected one of 'rgb', 'hsv', 'hls'"),
        ("bargainnet", {"depth": 4}, "depth: 4, expected a whole number of at least 5"),
        ("unet3plus", {"norm": "none"}, "norm: 'none'"),
        ("unet3plus", {"slope": 1.0}, "slope: 1.0"),
        ("unet3plus", {"bounded": 1}, "bounded: 1, expected True or False"),
        ("unet3plus", {"code": -1}, "code: -1, expected a whole number of at least 0"),
        ("unet3plus", {"deep_supervision": "yes"}, "deep_supervision: 'yes'"),
        ("colorgrid", {"view": 8}, "view: 8, expected a whole number of at least 16"),
        ("colorgrid", {"view": 40}, "view: 40, expected a multiple of 16"),
        ("colorgrid", {"size": 64}, "size: 64, expected a whole number of at least 256"),
        ("colorgrid", {"knots": 1}, "knots: 1"),
        ("colorgrid", {"drawn": (8, 8)}, r"drawn: \(8, 8\), expected 3 numbers"),
        ("colorgrid", {"seen": (8, 8, 0)}, r"seen\[2\]: 0, expected a whole number of at least 1"),
        ("colorgrid", {"reach": ()}, r"reach: \(\), expected one or more numbers above 0"),
        ("colorgrid", {"reach": (1.0, -1.0)}, "reach: "),
        ("colorgrid", {"stages": 0}, "stages: 0"),
        ("colorgrid", {"heads": 3}, "heads: 3, expected a divisor of point_width, 64"),
        ("colorgrid", {"dropout": 1.0}, "dropout: 1.0"),
        ("pct_net", {"encoder": "unet"}, "encoder: 'unet', expected one of 'cnn', 'vit'"),
        ("pct_net", {"size": 100}, "size: 100, expected a multiple of 8"),
        ("pct_net", {"size": 8}, "size: 8, expected a whole number of at least 16"),
        ("pct_net", {"encoder": "vit", "size": 30}, "size: 30, expected a multiple of 4"),
        ("pct_net", {"width": 0}, "width: 0"),
        ("pct_net", {"heads": 3}, "token_width: 256, expected a multiple of heads, 3"),
        ("pct_net", {"patch": 2.0}, "patch: 2.0"),
    ],
)
def test_settings_are_checked(name: str, config: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        models.create(name, **config)


def test_names_are_checked() -> None:
    with pytest.raises(ArgumentError, match="'pix2pixx' is no model; did you mean 'pix2pix'"):
        models.create("pix2pixx")
    with pytest.raises(ArgumentError, match="preset: 'tiny', pix2pix has harmonize, "):
        models.create("pix2pix", "tiny")
    with pytest.raises(ArgumentError, match="task: 'harmonise', expected one of 'harmonize'"):
        models.list("harmonise")


def test_the_list() -> None:
    names = [info.name for info in models.list()]
    assert names == sorted(names)
    assert {name for name, _ in NARROW_MODELS.values()} <= set(names)
    assert [info.name for info in models.list("upscale")] == ["srgan"]
    for info in models.list():
        assert info.summary and info.source
        for preset in (None, *info.presets):
            assert on_meta(info.name, preset).config == info.config(**info.presets.get(preset or "", {}))
        with pytest.raises(dataclasses.FrozenInstanceError):
            info.config().width = 3


# Behaviour


@pytest.mark.parametrize("case", DISTINCT_MODELS)
def test_one_seed_gives_one_model_and_one_step(case: str) -> None:
    def step() -> list[Tensor]:
        model = narrow(case)
        inputs = example(model)
        result = tensors(model(**inputs))
        if not result[0].requires_grad:  # an extractor is not trained
            return result
        sum(r.square().mean() for r in result).backward()  # type: ignore[union-attr]
        return [*result, *(p.grad for p in model.parameters() if p.grad is not None)]

    first, second = step(), step()
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert all(bool(torch.isfinite(t).all()) for t in first)


@pytest.mark.parametrize("case", DISTINCT_MODELS)
def test_inference_repeats_and_survives_a_file(tmp_path: Path, case: str) -> None:
    """A sample stands alone; `predict`, and the model read from a file, return the same."""
    model = narrow(case).eval()
    inputs = example(model)
    results = tensors(model(**inputs))
    assert all(torch.equal(a, b) for a, b in zip(results, tensors(model(**inputs))))
    for a, b in zip(results, tensors(model(**{key: value[:1] for key, value in inputs.items()}))):
        # Convolutions of another batch may add in another order.
        torch.testing.assert_close(a[:1], b, rtol=1e-4, atol=1e-4)
    info = next(info for info in models.list() if info.name == model.name)
    assert model.task == info.task and model.size >= 8
    if set(inputs) <= {"composite", "image", "mask"}:
        image = inputs.get("composite", inputs.get("image"))
        assert model.takes_mask == ("mask" in inputs)
        mask = inputs.get("mask", torch.zeros_like(image[:, :1]))
        assert all(torch.equal(a, b) for a, b in zip(tensors(model.predict(image, mask)), results))
    models.save(model, tmp_path / "weights.safetensors")
    copied = models.load(tmp_path / "weights.safetensors")
    assert (type(copied), copied.config, copied.name) == (type(model), model.config, model.name)
    assert not copied.training and not [p for p in copied.parameters() if p.is_meta]
    assert [p.requires_grad for p in copied.parameters()] == [p.requires_grad for p in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(tensors(copied(**inputs)), results))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.covering(1)
@pytest.mark.parametrize("case", MASKED)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_masks_of_nothing_and_of_all_are_finite(case: str, value: float) -> None:
    model = narrow(case)
    inputs = example(model)
    inputs["mask"] = torch.full_like(inputs["mask"], value)
    picture = next(iter(inputs.values())).requires_grad_()
    result = tensors(model(**inputs))
    sum(r.square().sum() for r in result).backward()  # type: ignore[union-attr]
    assert all(bool(torch.isfinite(r).all()) for r in result)
    assert picture.grad is not None and bool(torch.isfinite(picture.grad).all())
    if case == "dovenet_lite":
        scores = model.discriminator(picture, inputs["mask"])  # type: ignore[union-attr,operator]
        assert all(bool(torch.isfinite(s).all()) for s in scores)


def judged(model: models.Adversarial, output: Tensor, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Returns the discriminator's scores of the generator's output."""
    if model.name == "dovenet_lite":
        return list(model.discriminator(output, inputs["mask"]))
    if model.name.startswith("pix2pix"):
        return [model.discriminator(inputs["image"], output, inputs.get("mask"))]
    return [model.discriminator(output)]


@pytest.mark.parametrize(
    "case",
    [
        case
        for case, (name, _) in NARROW_MODELS.items()
        if issubclass(cast(type, info_of(name).make), models.Adversarial)
    ],
)
def test_the_discriminator_teaches_every_weight_of_the_generator(case: str) -> None:
    model = narrow(case)
    assert isinstance(model, models.Adversarial)
    inputs = example(model)
    scores = judged(model, model(**inputs), inputs)
    sum(s.square().mean() for s in scores).backward()  # type: ignore[union-attr]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


STOCHASTIC = ["attention_unet", "bargainnet", "pix2pix", "pix2pix, resnet", "pix2pix_selfie"]


@pytest.mark.parametrize("case", STOCHASTIC)
def test_dropout_at_inference_only_where_it_is_asked_for(case: str) -> None:
    model = narrow(case).eval()
    inputs = example(model)
    assert torch.equal(model(**inputs), model(**inputs))
    torch.manual_seed(3)
    noisy = model(**inputs, stochastic=True)
    assert not torch.equal(noisy, model(**inputs))
    assert not torch.equal(noisy, model(**inputs, stochastic=True))
    torch.manual_seed(3)
    assert torch.equal(noisy, model(**inputs, stochastic=True))


@pytest.mark.parametrize(("generator", "levels"), [("unet_256", 3), ("unet_128", 2)])
def test_which_levels_drop(monkeypatch: pytest.MonkeyPatch, generator: str, levels: int) -> None:
    sizes: list[int] = []
    plain = _blocks.norm_dropout

    def note(norm: nn.Module, x: Tensor, p: float, active: bool) -> Tensor:
        sizes.extend([x.shape[2]] if active and p else [])
        return plain(norm, x, p, active)

    monkeypatch.setattr(_blocks, "norm_dropout", note)
    models.create("pix2pix", generator=generator, width=2)(torch.zeros(1, 3, 256, 256))
    first = 4 if generator == "unet_256" else 8
    assert sizes == [first << i for i in range(levels)]


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = models.create("gp_gan", width=16, bottleneck=64, critic_width=16)
    for m in model.modules():
        if isinstance(m, CONVOLUTIONS) and m.weight.numel() > 5000:
            # The spread of n normal numbers is off by 1 / sqrt(2 n), of which five are allowed.
            tolerance = 0.02 * 5 / (2 * m.weight.numel()) ** 0.5
            assert abs(float(m.weight.detach().std()) - 0.02) < tolerance
        elif isinstance(m, nn.BatchNorm2d) and m.num_features >= 64:
            assert abs(float(m.weight.detach().mean()) - 1) < 0.02 * 5 / m.num_features**0.5
            assert float(m.bias.detach().abs().max()) == 0


def test_the_critic_gives_the_mean_of_the_batch() -> None:
    model = narrow("gp_gan").eval()
    critic = model.discriminator
    pictures = torch.rand(3, 3, 64, 64)
    assert critic(pictures).shape == ()  # type: ignore[operator]
    torch.testing.assert_close(critic(pictures), critic.scores(pictures).mean())  # type: ignore[operator,union-attr]


def test_the_lite_model_is_linear_at_its_end() -> None:
    model = narrow("dovenet_lite")
    with torch.no_grad():
        model.generator.last.bias.fill_(7.0)  # type: ignore[union-attr]
    inputs = example(model)
    assert float(model(**inputs).detach().min()) > 3


def test_a_partial_convolution_of_all_is_a_convolution_inside() -> None:
    """It is not divided by the number of channels; at the border the padding counts as hidden."""
    torch.manual_seed(0)
    conv = PartialConv2d(3, 5, 3, padding=1)
    x, mask = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    y, coverage = conv(x, mask)
    plain = functional.conv2d(x, conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(y[..., 1:-1, 1:-1], plain[..., 1:-1, 1:-1])
    bias = conv.bias[:, None]
    torch.testing.assert_close(y[0, :, 0, 1:-1], (plain[0, :, 0, 1:-1] - bias) * 9 / 6 + bias)
    assert bool((coverage == 1).all())


def test_a_traced_partial_convolution_is_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    conv = PartialConv2d(3, 5, 3, 2, 1)
    x, mask = torch.rand(2, 3, 9, 11), (torch.rand(2, 1, 9, 11) > 0.7).float()
    expected = conv(x, mask, negative_slope=0.1)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    for a, b in zip(conv(x, mask, negative_slope=0.1), expected):
        # There are 27 products of float32 in another order, times a ratio of up to 9.
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_plans_of_a_mask_serve_every_picture() -> None:
    model = narrow("dovenet_lite").eval()
    assert isinstance(model, models.Adversarial)
    inputs = example(model)
    judge = model.discriminator
    plans = judge.plans(inputs["mask"])  # type: ignore[operator]
    for picture in (inputs["composite"], inputs["composite"].flip(0)):
        for a, b in zip(judge(picture, plans), judge(picture, inputs["mask"])):
            assert torch.equal(a, b)


@pytest.mark.parametrize("case", ["style_encoder", "style_encoder, hsv", "bargainnet"])
def test_what_the_mask_hides_changes_nothing(case: str) -> None:
    model = narrow(case).eval()
    net = model.encoder if case == "bargainnet" else model
    inputs = {
        "image": torch.rand(2, 3, 256, 256) * 2 - 1,
        "mask": models.create("unet3plus", "small").example()["mask"],
    }
    other = inputs["image"] * inputs["mask"] + (1 - inputs["mask"]) * 0.3
    for a, b in zip(tensors(net(**inputs)), tensors(net(other, inputs["mask"]))):  # type: ignore[operator]
        if case == "style_encoder, hsv":  # a map beside the mask is 0 with its bias, what it shows is the same
            visible = functional.adaptive_max_pool2d(inputs["mask"], a.shape[2:]) > 0
            a, b = a * visible, b * visible
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_bargainnet_takes_the_code_of_the_background() -> None:
    model = narrow("bargainnet").eval()
    inputs = example(model)
    code = model.encoder(inputs["composite"], 1 - inputs["mask"])  # type: ignore[operator]
    assert torch.equal(model(**inputs), model(**inputs, code=code))
    assert not torch.equal(model(**inputs), model(**inputs, code=code + 1))


def test_the_scale_of_a_code_has_a_floor() -> None:
    model = narrow("bargainnet").eval()
    inputs = {**example(model), "code": torch.full((2, 16), 50.0)}
    results = []
    for scale in (-1.0, 0.001):
        with torch.no_grad():
            model.generator.scale.fill_(scale)  # type: ignore[union-attr]
        results.append(model(**inputs))
    assert torch.equal(*results)
    fresh = models.create("bargainnet", width=1, encoder_width=1)
    assert float(fresh.generator.scale.detach()) == pytest.approx(0.1)  # type: ignore[union-attr]


def test_the_mean_of_a_code_counts_holes_unless_it_is_masked() -> None:
    torch.manual_seed(0)
    published = models.create("style_encoder", width=4).eval()
    masked = models.create("style_encoder", width=4, masked_pool=True).eval()
    masked.load_state_dict(published.state_dict())
    image, mask = torch.rand(1, 3, 127, 127), torch.zeros(1, 1, 127, 127)
    mask[..., :32] = 1
    full = torch.ones_like(mask)
    torch.testing.assert_close(published(image, full), masked(image, full))
    assert not torch.allclose(published(image, mask), masked(image, mask), atol=1e-6)


def test_harmony_is_one_for_codes_that_agree() -> None:
    model = narrow("bargainnet").eval()
    inputs = example(model)
    codes = [model.encoder(inputs["composite"], m) for m in (inputs["mask"], 1 - inputs["mask"])]  # type: ignore[operator]
    expected = torch.exp(-0.04212 * (codes[0] - codes[1]).square().sum(1).sqrt())
    torch.testing.assert_close(model.harmony(*inputs.values()), expected)  # type: ignore[operator]
    with torch.no_grad():
        model.encoder.last.weight.zero_()  # type: ignore[union-attr]
    assert torch.equal(model.harmony(*inputs.values()), torch.ones(2))  # type: ignore[operator]


def test_the_extractor_says_what_it_is_and_is_always_the_same() -> None:
    one, other = narrow("style_encoder, hsv", 0), narrow("style_encoder, hsv", 1)
    assert one.extractor == "random"
    assert narrow("style_encoder").extractor == "trained"
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))
    assert not any(p.requires_grad for p in one.parameters())
    weight = one.net.convs[2].weight.flatten(1).double()  # type: ignore[union-attr,operator,index]
    product = weight @ weight.T
    torch.testing.assert_close(product, 2 * torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "gram"), [("style_encoder", False), ("style_encoder, hsv", False), ("style_encoder, hsv", True)]
)
def test_the_distance_of_styles(case: str, gram: bool) -> None:
    model = narrow(case).eval()
    inputs = example(model)
    image, mask = inputs["image"], inputs["mask"]
    assert float(model.distance(image, image, mask, gram=gram).detach()) == 0  # type: ignore[operator]
    output = image.flip(0).requires_grad_()
    target = image.clone().requires_grad_()
    distance = model.distance(output, target, mask, gram=gram)  # type: ignore[operator]
    distance.backward()
    assert float(distance.detach()) > 0
    assert target.grad is None and output.grad is not None and bool(torch.isfinite(output.grad).all())


def test_a_code_has_no_gram_matrix() -> None:
    model = narrow("style_encoder")
    inputs = example(model)
    with pytest.raises(ArgumentError, match="a code has no Gram matrix"):
        model.distance(inputs["image"], inputs["image"], inputs["mask"], gram=True)  # type: ignore[operator]


def test_an_ensemble_is_the_mean_of_its_members(tmp_path: Path) -> None:
    """Members have ranges of their own; the ensemble's is [-1, 1]."""
    members = [narrow("attention_unet").eval(), narrow("unet3plus").eval(), models.create("pct_net", width=4).eval()]
    assert [member.low for member in members] == [-1, -1, 0]
    both = models.Ensemble(members)
    inputs = example(members[0])
    with torch.no_grad():
        outputs = [member(**inputs) for member in members[:2]]
        outputs.append(members[2]((inputs["composite"] + 1) / 2, inputs["mask"]) * 2 - 1)
        torch.testing.assert_close(both(**inputs), torch.stack(outputs).mean(0), rtol=0, atol=1e-6)
    assert (both.task, both.size, both.low, both.takes_mask) == ("harmonize", 256, -1, True)
    with pytest.raises(ArgumentError, match="an ensemble cannot be saved"):
        models.save(both, tmp_path / "both.safetensors")
    for wrong, says in (
        (members[:1], "members: 1, expected two or more"),
        ([members[0], narrow("realism_cnn")], r"members\[1\]: realism_cnn is not a harmonisation model"),
        ([members[0], narrow("colorgrid")], "members: sizes 32 and 256, expected the same size"),
    ):
        with pytest.raises(ArgumentError, match=says):
            models.Ensemble(wrong)
    with pytest.raises(DTypeError, match=r"members\[0\]: Conv2d, expected a Model"):
        models.Ensemble([nn.Conv2d(1, 1, 1), members[0]])  # type: ignore[list-item]


def test_deep_supervision_starts_with_the_picture() -> None:
    model = narrow("unet3plus").eval()
    inputs = example(model)
    pictures = model.deep(**inputs)  # type: ignore[operator]
    assert torch.equal(pictures[0], model(**inputs))
    assert all(float(p.detach().abs().max()) <= 1 for p in pictures)


@pytest.mark.parametrize("case", ["realism_cnn", "realism_cnn, regions"])
def test_realism_is_a_share_and_needs_no_mask(case: str) -> None:
    model = narrow(case).eval()
    inputs = example(model)
    scores = model(**inputs)
    assert scores.shape == (2,) and bool(((scores >= 0) & (scores <= 1)).all())
    assert torch.equal(model(inputs["image"]), model(inputs["image"], torch.zeros_like(inputs["mask"])))
    torch.testing.assert_close(torch.sigmoid(model.logits(**inputs)), scores)  # type: ignore[operator]


def test_regions_are_means_and_deviations_on_both_sides_of_a_mask() -> None:
    from pyharmony.networks.models.realism_cnn import statistics

    x = torch.rand(3, 5, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask = torch.zeros(3, 1, 16, 16, dtype=torch.float64)
    mask[0, :, 4:8, 2:] = 1
    mask[1] = 1
    table = statistics(x, mask).reshape(3, 2, 2, 5)  # by image, inside or outside, mean or deviation
    inside = x[0, :, 2:4, 1:].flatten(1)
    outside = torch.cat([x[0, :, :2].flatten(1), x[0, :, 4:].flatten(1), x[0, :, 2:4, 0]], 1)
    for side, values in enumerate((inside, outside)):
        assert torch.allclose(table[0, side, 0], values.mean(1))
        assert torch.allclose(table[0, side, 1], values.std(1, correction=0).log())
    # With nothing on one side, both are those of the whole.
    for i in (1, 2):
        for side in (0, 1):
            assert torch.allclose(table[i, side, 0], x[i].mean((1, 2)))
            assert torch.allclose(table[i, side, 1], x[i].flatten(1).std(1, correction=0).log())


def test_regions_see_the_mask_at_once() -> None:
    model = narrow("realism_cnn, regions").eval()
    inputs = example(model)
    convolutions = copy.deepcopy(model)
    with torch.no_grad():
        convolutions.region_score.weight.zero_()  # type: ignore[union-attr]
    # The convolutions begin with a score that is the same for all.
    assert torch.equal(convolutions(**inputs), convolutions(inputs["image"]))
    assert not torch.equal(model(**inputs), model(inputs["image"]))


def test_srgan_stays_in_range() -> None:
    model = narrow("srgan")
    with torch.no_grad():
        model.generator.last.weight.mul_(100)  # type: ignore[union-attr]
    result = model(**example(model)).detach()
    assert float(result.min()) >= 0 and float(result.max()) <= 1
    assert [type(m).__name__ for m in model.generator.close] == ["Conv2d", "PReLU"]  # type: ignore[union-attr]


# Residual generators

RESIDUAL: dict[str, tuple[str, dict[str, Any]]] = {
    "dovenet": ("dovenet", {"size": 32, "width": 2, "discriminator_width": 2, "norm": "batch"}),
    "pix2pix": ("pix2pix", {"generator": "resnet_9blocks", "mask": True, "width": 2, "discriminator_width": 2}),
    "pix2pix, no mask": ("pix2pix", {"generator": "unet_128", "width": 2, "discriminator_width": 2}),
}


@pytest.mark.parametrize("case", RESIDUAL)
def test_a_residual_generator_adds_to_its_picture(case: str) -> None:
    """At first it adds nothing; then it adds its network's output inside the mask, cut to [-1, 1]."""
    name, config = RESIDUAL[case]
    torch.manual_seed(0)
    model = models.create(name, **config, residual=True).eval()
    picture, *mask = model.example(None if case == "pix2pix, no mask" else 32).values()
    assert torch.equal(model(picture, *mask), picture)
    net: Any = model.generator.unet if name == "dovenet" else model.generator.net  # type: ignore[union-attr]
    torch.nn.init.normal_(net.last.weight, 0, 20)
    torch.nn.init.uniform_(net.last.bias, 2.1, 3)
    with torch.no_grad():
        inputs = models._blocks.with_statistics(picture, *mask) if mask else picture
        change = net(inputs)
    assert float(change.abs().max()) > 2
    maps = change.permute(0, 2, 3, 1).reshape(-1, 3, 4)
    colours = picture.permute(0, 2, 3, 1).reshape(-1, 3, 1)
    expected = (maps @ torch.cat([colours, torch.ones_like(colours[:, :1])], 1)).reshape(2, *picture.shape[2:], 3)
    expected = expected.permute(0, 3, 1, 2) * (mask[0] if mask else 1)
    torch.testing.assert_close(model(picture, *mask), (picture + expected).clamp(-1, 1), rtol=1e-5, atol=1e-5)
    if mask:
        assert torch.equal(model(picture, torch.zeros_like(mask[0])), picture)


def test_the_statistics_that_a_residual_generator_sees() -> None:
    """They are mean and deviation of each channel inside and outside, everywhere; finite where there is no inside."""
    torch.manual_seed(0)
    picture, mask = torch.rand(2, 3, 8, 8) * 2 - 1, torch.zeros(2, 1, 8, 8)
    mask[0, :, 2:5, 3:7] = 1
    planes = models._blocks.with_statistics(picture, mask)
    assert planes.shape == (2, 16, 8, 8)
    assert torch.equal(planes[:, :4], torch.cat([picture, mask], 1))
    inside = mask[0, 0] > 0
    for first, where in ((4, inside), (10, ~inside)):
        colours = picture[0, :, where]
        expected = torch.cat([colours.mean(1), colours.var(1, correction=0).add(1e-6).sqrt()])
        torch.testing.assert_close(planes[0, first : first + 6], expected[:, None, None].expand(6, 8, 8))
    assert bool(torch.isfinite(planes[1]).all())


def test_the_published_generators_are_not_residual() -> None:
    for name in ("dovenet", "pix2pix"):
        assert models.outline(name).config.residual is False


@pytest.mark.parametrize(("size", "levels"), [(32, 5), (64, 6), (128, 7), (256, 8)])
def test_a_dovenet_of_another_size(size: int, levels: int) -> None:
    """A generator that ends at one pixel works, and a discriminator that does."""
    model = models.create("dovenet", size=size, width=2, discriminator_width=2)
    generator, discriminator = model.generator.unet, model.discriminator  # type: ignore[union-attr]
    assert generator.depth == levels
    inputs = model.example()
    assert inputs["composite"].shape == (2, 3, size, size)
    assert model(**inputs).shape == (2, 3, size, size)
    sizes = sizes_of(discriminator.whole, (models.dovenet.PartialConv2d,), inputs["composite"])
    assert [side for _, side in sizes] == [size // 2**i - 1 for i in range(1, levels - 1)] + [1]
    assert [score.shape for score in discriminator(*inputs.values())] == [(2,), (2,)]
    other = torch.zeros(1, 3, 2 * size, 2 * size)
    with pytest.raises(ShapeError, match=f"expected {size}x{size}"):
        discriminator(other, other[:, :1])


def test_sizes_that_a_dovenet_refuses() -> None:
    for size, says in ((16, "size: 16, expected 32 or a larger power of two"), (100, "size: 100, expected 8, 16")):
        with pytest.raises(ArgumentError, match=says):
            models.create("dovenet", size=size)


# Files


def test_the_header_holds_what_is_known_of_the_weights(tmp_path: Path) -> None:
    path, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    model = models.create("colorgrid", "small").eval()
    assert model.calibration == Calibration() == models.load(_saved(model, path)).calibration
    model.calibration = Calibration(doubt=2.0, caution=8.0, boost=1.25, noise=1.5)
    read = models.load(_saved(model, path))
    assert (read.calibration, read.config) == (model.calibration, model.config)
    assert models.load(path, model=models.create("colorgrid", "small")).calibration == model.calibration
    with safetensors.safe_open(path, "pt") as file:
        entry = json.loads(file.metadata()["pyharmony"])
    assert entry["calibration"] == {"doubt": 2.0, "caution": 8.0, "boost": 1.25, "noise": 1.5}
    del entry["calibration"]
    # The calibration of an older guard, as an entry or among the settings, is told and not used.
    for more in (
        {"calibration": {"doubtful": 8.0, "sure": 30.0}},
        {"config": {**entry["config"], "doubtful": 8.0, "sure": 0.0}},
    ):
        safetensors.torch.save_file(model.state_dict(), old, {"pyharmony": json.dumps({**entry, **more})})
        with pytest.warns(PyHarmonyWarning, match=r"old\.safetensors: calibrated by doubtful and sure .* ignored"):
            read = models.load(old)
        assert (read.calibration, read.config) == (Calibration(), model.config)
    for wrong in ({"doubt": -1}, {"caution": "much"}, {"boost": math.inf}, {"other": 1.0}, [1]):
        safetensors.torch.save_file(
            model.state_dict(), old, {"pyharmony": json.dumps({**entry, "config": {}, "calibration": wrong})}
        )
        with pytest.raises(WeightsError, match="calibration"):
            models.load(old)


def _saved(model: models.Model, path: Path) -> Path:
    models.save(model, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_for_files(tmp_path: Path, dtype: torch.dtype) -> None:
    model = narrow("unet3plus").eval()
    models.save(model, tmp_path / "full.safetensors")
    models.save(model, tmp_path / "half.safetensors", dtype=dtype)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    read = models.load(tmp_path / "half.safetensors")
    assert {t.dtype for t in read.state_dict().values()} == {torch.float32, torch.int64}
    for key, value in read.state_dict().items():
        expected = model.state_dict()[key]
        assert torch.equal(value, expected.to(dtype).float() if expected.is_floating_point() else expected)


def test_a_generator_alone(tmp_path: Path) -> None:
    model = narrow("gp_gan").eval()
    inputs = example(model)
    path = tmp_path / "g.safetensors"
    models.save(model, path, part="generator")
    assert torch.equal(models.load(path)(**inputs), model(**inputs))
    assert path.stat().st_size < 0.9 * sum(4 * t.numel() for t in model.state_dict().values())
    other = narrow("gp_gan", seed=9).eval()
    before = {key: value.clone() for key, value in other.discriminator.state_dict().items()}  # type: ignore[union-attr]
    assert models.load(path, model=other) is other
    assert torch.equal(other(**inputs), model(**inputs))
    assert all(torch.equal(before[k], v) for k, v in other.discriminator.state_dict().items())  # type: ignore[union-attr]
    with pytest.raises(ArgumentError, match="part: 'generator', but unet3plus is a single network"):
        models.save(narrow("unet3plus"), path, part="generator")


def test_bytes_are_read_as_a_file_is(tmp_path: Path) -> None:
    model = narrow("realism_cnn").eval()
    models.save(model, tmp_path / "a.safetensors")
    inputs = example(model)
    assert torch.equal(models.load((tmp_path / "a.safetensors").read_bytes())(**inputs), model(**inputs))


class Payload:
    """A pickle that runs code: here it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("kind", ["zip", "pickle"])
def test_pickles_are_refused_and_not_run(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"weights{suffix}"
    if kind == "zip":
        torch.save({"a": Payload(tmp_path / "ran")}, path)
    else:
        path.write_bytes(pickle.dumps({"a": Payload(tmp_path / "ran")}, protocol=2))
    for source in (path, path.read_bytes()):
        with pytest.raises(WeightsError, match=r"a pickle, .* `pyharmony models convert`"):
            models.load(source)
    if suffix != ".safetensors":
        with pytest.raises(WeightsError, match="contains other objects than tensors"):
            models.convert(path, "pix2pix")
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    models.save(narrow("realism_cnn"), path)
    with pytest.raises(WeightsError, match="weights of realism_cnn, expected weights of unet3plus"):
        models.load(path, model=narrow("unet3plus"))
    wider = models.create("realism_cnn", size=32, widths=(8, 8, 24))
    before = [p.clone() for p in wider.parameters()]
    with pytest.raises(
        WeightsError, match=r"realism_cnn, does not fit the given realism_cnn: other shapes: .*\[1, 32\] for"
    ):
        models.load(path, model=wider)
    assert all(torch.equal(a, b) for a, b in zip(before, wider.parameters()))


def rewritten(path: Path, drop: str = "", **changes: Any) -> Path:
    """Writes the file with another description, or without a tensor."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["pyharmony"])
    state = safetensors.torch.load(data)
    state.pop(drop, None)
    other = path.with_name("other.safetensors")
    safetensors.torch.save_file(state, other, {"pyharmony": json.dumps({**entry, **changes})})
    return other


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format 2, this version reads format 1"),
        ({"name": "resnet"}, "weights of 'resnet', which is no known network"),
        ({"name": "unet3plus"}, "unet3plus has no such setting"),
        ({"name": 3}, "a damaged description"),
        ({"part": "encoder"}, "a damaged description"),
        ({"config": {"size": 0}}, "size: 0"),
        ({"config": {"widths": [8, 8, 24]}}, "does not fit the realism_cnn of its configuration: other shapes"),
        ({"config": {"widths": [8, 8]}}, "unknown"),
        ({"config": {"widths": 8}}, "widths: 8"),
        ({"drop": "score.bias"}, "score.bias missing"),
    ],
)
def test_files_that_were_changed_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = tmp_path / "a.safetensors"
    models.save(narrow("realism_cnn"), path)
    with pytest.raises(WeightsError, match=says):
        models.load(rewritten(path, **changes))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 7, b"\xff" * 64, (50).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]",
     (9).to_bytes(8, "little") + b"not json!"],
)  # fmt: skip
def test_damaged_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    for source in (data, tmp_path / "a.safetensors"):
        with pytest.raises(WeightsError, match="damaged"):
            models.load(source)


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    models.save(narrow("realism_cnn"), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="damaged safetensors file"):
        models.load(path)


def test_weights_without_a_configuration_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="without the configuration of a model"):
        models.load(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no such file"):
        models.load(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="there is no such file"):
        models.convert(tmp_path / "none.pth", "pix2pix")
    with pytest.raises(WeightsError, match="cannot be read"):
        models.load(tmp_path)
    for name in ("gp_gan", "gp-gan"):
        with pytest.raises(
            WeightsError,
            match=r"under this name, only 'gp-gan-small'; `pyharmony train --model gp_gan --data ROOT`",
        ):
            models.load(name)


def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    model = narrow("realism_cnn")
    path = tmp_path / "a.safetensors"
    models.save(model, path)
    before = path.read_bytes()
    with torch.no_grad():
        model.score.bias.fill_(70000)  # type: ignore[union-attr]
    with pytest.raises(WeightsError, match=r"score.bias: .* too large for torch.float16"):
        models.save(model, path, dtype=torch.float16)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    with pytest.raises(ArgumentError, match=r"ending in .safetensors"):
        models.save(model, tmp_path / "a.pth")
    for dtype in (torch.int8, "int8"):
        with pytest.raises(ArgumentError, match=r"dtype: (torch\.)?int8, expected float32"):
            models.save(model, path, dtype=dtype)
    with pytest.raises(DTypeError, match="model: Linear"):
        models.save(nn.Linear(1, 1), path)  # type: ignore[arg-type]


def test_published_files_of_something_else_are_refused(tmp_path: Path) -> None:
    def offered(value: Any, name: str = "pix2pix") -> str:
        torch.save(value, tmp_path / "a.pth")
        with pytest.raises(WeightsError) as error:
            models.convert(tmp_path / "a.pth", name)
        assert "a.pth" in str(error.value)
        return str(error.value)

    assert "contains a list, expected dictionaries of tensors" in offered([torch.zeros(1)])
    assert "contains epoch, optim, expected dictionaries of tensors" in offered({"epoch": 3, "optim": {"state": {}}})
    assert "any published layout" in offered({"a.weight": torch.zeros(1)})
    assert "VGG-16" in offered({"a.weight": torch.zeros(1)}, "style_encoder")
    whole = NestedUNet(3, 2, 8, "batch", gates=False).state_dict()
    assert "running_var missing" in offered(
        {k: v for k, v in whole.items() if k != "model.model.1.model.2.running_var"}
    )
    assert "'extra.weight' is not a tensor of the model" in offered({**whole, "extra.weight": torch.zeros(1)})
    assert "other shapes" in offered({**whole, "model.model.1.model.1.weight": torch.zeros(1)})
    assert "gated, is not of pix2pix" in offered(NestedUNet(3, 2, 8, "batch", gates=True).state_dict())
    assert "has 5 input channels" in offered(NestedUNet(5, 2, 8, "batch", gates=False).state_dict())
    with pytest.raises(
        ArgumentError,
        match="no published layout of realism_cnn is supported, only those of attention_unet, bargainnet, dovenet",
    ):
        models.convert(tmp_path / "a.pth", "realism_cnn")


def test_torch_is_named_where_it_is_missing() -> None:
    code = "import sys; sys.modules['torch'] = None; import pyharmony; pyharmony.{}.create"
    for package in ("models", "losses"):
        process = subprocess.run([sys.executable, "-c", code.format(package)], capture_output=True, text=True)
        assert process.returncode == 1
        assert f"torch is missing, pyharmony.networks.{package} needs it: pip install 'torch" in process.stderr


# ONNX

#: The one with a layer that is composed anew for ONNX.
QUICK_EXPORTS = ("style_encoder",)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in QUICK_EXPORTS else pytest.mark.full) for case in NARROW_MODELS]
)
def test_onnx_gives_what_torch_gives(tmp_path: Path, case: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model = lived_in(narrow(case))
    model.train()
    path = tmp_path / "model.onnx"
    size = next(iter(example(model).values())).shape[-1]
    models.export(model, path, size=None if case == "gp_gan, noise" else size)
    assert model.training
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    model.eval()
    session = runtime.InferenceSession(path)
    for count in (1, 3):
        inputs = {key: torch.cat([value, value])[:count] for key, value in example(model, 4).items()}
        assert [i.name for i in session.get_inputs()] == list(inputs)
        assert session.get_outputs()[0].name in ("output", "output_0")
        with torch.no_grad():
            expected = tensors(model(**inputs))
        outputs = session.run(None, {key: value.numpy() for key, value in inputs.items()})
        assert len(outputs) == len(expected)
        for a, b in zip(outputs, expected):
            torch.testing.assert_close(torch.from_numpy(a), b, rtol=1e-4, atol=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("case", PCT_NETS)
def test_onnx_of_a_pct_net_for_pictures_of_another_size(tmp_path: Path, case: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model, path = changing(case), tmp_path / "model.onnx"
    models.export(model, path, size=40)
    inputs = model.example(40)
    (output,) = runtime.InferenceSession(path).run(None, {key: value.numpy() for key, value in inputs.items()})
    torch.testing.assert_close(torch.from_numpy(output), model(**inputs).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", [weights.name for weights in models.weights() if weights.model not in IN_NUMPY])
def test_onnx_of_the_weights_that_come_along(tmp_path: Path, name: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model, path = models.load(name), tmp_path / "model.onnx"
    torch.manual_seed(0)
    inputs = model.example()
    models.export(model, path)
    outputs = runtime.InferenceSession(path).run(None, {key: value.numpy() for key, value in inputs.items()})
    with torch.no_grad():
        expected = tensors(model(**inputs))
    for a, b in zip(outputs, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(a), b, rtol=1e-4, atol=1e-4)


def test_the_exporters_reason_comes_without_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model = narrow("realism_cnn")
    monkeypatch.setattr(type(model), "forward", lambda self, image, mask=None: torch.searchsorted(image, image))
    says = r"model: realism_cnn cannot be exported to ONNX: .*aten\.searchsorted"
    with pytest.raises(ArgumentError, match=says) as error:
        models.export(model, tmp_path / "a.onnx", size=32)
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="composite: 250x250 pixels"):
        models.export(narrow("attention_unet"), tmp_path / "a.onnx", size=250)
    with pytest.raises(ArgumentError, match=r"ending in .onnx"):
        models.export(narrow("realism_cnn"), tmp_path / "a.bin")
    with pytest.raises(DTypeError, match="model: Linear"):
        models.export(nn.Linear(1, 1), tmp_path / "a.onnx")  # type: ignore[arg-type]
