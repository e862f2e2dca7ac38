"""Calls that a type checker has to accept, and the types that it has to find; nothing here is run."""

# Users may check as strictly as mypy can; the settings of the package leave these two out.
# mypy: disallow-any-generics, warn-return-any

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from typing_extensions import assert_type

import pyharmony
from pyharmony import blend, color, compat, harmonization, ops, segmentation
from pyharmony.composition import ComposeInfo, Subject
from pyharmony.harmonization import HarmonizeInfo
from pyharmony.io import Picture
from pyharmony.learn import data, metrics
from pyharmony.merging import MergeInfo
from pyharmony.networks import models
from pyharmony.ops import SolveInfo
from pyharmony.typing import FileLike, Gradients, HarmonizeMethod, ImageLike, MaskLike, Position

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def each_kind_gives_its_own(
    photo: Pixels, mask: npt.NDArray[np.bool_], picture: Image.Image, tensor: torch.Tensor
) -> None:
    assert_type(blend.poisson(photo, photo, mask), Pixels)
    assert_type(blend.gaussian_poisson("sticker.png", photo, mask, base="copy-paste"), Pixels)
    assert_type(blend.alpha(photo, picture, at=(3, 4.5)), Image.Image)
    assert_type(blend.laplacian(tensor, tensor, tensor), torch.Tensor)
    assert_type(blend.gp_gan(photo, Picture(photo), network="gp-gan-small"), Picture)
    assert_type(blend.poisson("sticker.png", Path("photo.jpg"), at=(0, 0)), Image.Image | Any)
    assert_type(blend.poisson(b"", "photo.jpg").size, tuple[int, int] | Any)
    assert_type(blend.inpaint(photo, mask), Pixels)
    assert_type(blend.detail_boost(picture), Image.Image)
    assert_type(blend.illumination_change("photo.jpg"), Image.Image | Any)
    assert_type(pyharmony.harmonize(photo, mask), Pixels)
    assert_type(pyharmony.harmonize(tensor, mask, method="reinhard"), torch.Tensor)
    assert_type(pyharmony.harmonize("photo.jpg", "mask.png"), Image.Image | Any)
    assert_type(pyharmony.load("photo.jpg"), Image.Image | Any)
    pyharmony.save(photo, "photo.png", like="before.jpg", format="png")
    with open("photo.jpg", "rb") as source, open("out.png", "wb") as target:
        pyharmony.save(pyharmony.load(source), target)


def infos_come_with_the_result(photo: Pixels, mask: Pixels, picture: Image.Image, wants_info: bool) -> None:
    assert_type(blend.poisson(picture, "photo.jpg", return_info=True), tuple[Image.Image | Any, SolveInfo])
    blended, info = blend.poisson(photo, photo, mask, return_info=True)
    assert_type(blended, Pixels)
    assert_type(info.max_error, float | Any)
    harmonized, harmonize_info = pyharmony.harmonize(picture, mask, return_info=True)
    assert_type(harmonized, Image.Image)
    assert_type(harmonize_info.confidence, float | Any)
    assert_type(pyharmony.harmonize("photo.jpg", mask, return_info=True)[1], HarmonizeInfo)
    assert_type(blend.poisson(photo, photo, mask, return_info=wants_info), Any)
    assert_type(ops.poisson(photo, photo, mask), Pixels)
    assert_type(ops.poisson(photo, photo, mask, return_info=True)[0], Pixels)
    assert_type(ops.PoissonSolver(mask).solve(photo, photo), Pixels)
    assert_type(ops.PoissonSolver(mask).sequence().solve(photo, photo, return_info=True)[0], Pixels)


def composites_are_of_the_kind_of_their_background(
    photo: Pixels, picture: Image.Image, tensor: torch.Tensor, masks: list[Pixels]
) -> None:
    assert_type(pyharmony.compose("friend.jpg", photo), Pixels)
    assert_type(pyharmony.compose([Subject(photo, points=(1, 2)), "friend.jpg"], picture), Image.Image)
    assert_type(pyharmony.compose(picture, tensor, people=masks, blend="poisson", upscale=None), torch.Tensor)
    assert_type(pyharmony.compose("friend.jpg", "group.jpg", segment="grabcut"), Image.Image | Any)
    assert_type(pyharmony.compose("friend.jpg", photo, return_info=True), tuple[Pixels, ComposeInfo])
    assert_type(pyharmony.compose("friend.jpg", "group.jpg", out="card.jpg"), str)
    assert_type(pyharmony.compose(photo, photo, harmonize="own.safetensors", out=photo, return_info=True)[0], Pixels)
    assert_type(pyharmony.merge([photo, photo]), Pixels)
    assert_type(pyharmony.merge(["a.jpg", "b.jpg"], return_info=True), tuple[Image.Image | Any, MergeInfo])


def out_is_the_result(photo: Pixels, mask: Pixels, floats: Floats) -> None:
    assert_type(blend.poisson(photo, photo, mask, out=photo), Pixels)
    assert_type(blend.poisson("sticker.png", "photo.jpg", out="card.jpg"), str)
    assert_type(blend.poisson("sticker.png", "photo.jpg", out=Path("card.jpg")), Path)
    assert_type(blend.poisson(photo, photo, mask, out=photo, return_info=True), Any)
    assert_type(blend.gaussian_poisson_tiles(photo, photo, mask, photo), Pixels)
    assert_type(ops.gaussian_poisson_tiles(photo, photo, mask, floats, photo, return_info=True)[1], SolveInfo)


def lists_give_lists(photos: list[Pixels], mask: Pixels, pictures: list[Image.Image], paths: list[Path]) -> None:
    assert_type(blend.poisson("sticker.png", photos, mask, at=(1, 2)), list[Pixels])
    assert_type(blend.poisson(pictures, pictures, [None, mask], at=[(1, 2), None]), list[Image.Image])
    assert_type(blend.poisson("sticker.png", paths), list[Image.Image | Any])
    assert_type(blend.poisson("sticker.png", photos, return_info=True), Any)
    assert_type(blend.poisson("sticker.png", photos, mask, errors="return"), Any)
    assert_type(blend.poisson("sticker.png", tuple(photos), mask), Any)
    assert_type(blend.poisson("sticker.png", paths, out=["a.png", "b.png"]), Any)
    assert_type(harmonization.harmonize_frames(photos, [mask, mask]), Iterator[Pixels])
    assert_type(harmonization.harmonize_frames(iter(paths), [mask]), Iterator[Image.Image | Any])
    harmonized, info = next(harmonization.harmonize_frames(photos, [mask, mask], return_info=True))
    assert_type(harmonized, Pixels)
    assert_type(info, HarmonizeInfo)


def arrays_keep_their_type(photo: Pixels, floats: Floats, tensor: torch.Tensor, weight: torch.nn.Parameter) -> None:
    assert_type(color.reinhard(photo, photo), Pixels)
    assert_type(color.mkl(tensor, tensor), torch.Tensor)
    assert_type(color.mkl("photo.jpg", photo), Image.Image | Any)
    assert_type(color.retouch("photo.jpg", rng=0), tuple[Image.Image | Any, color.Retouching])
    assert_type(segmentation.cutout(tensor, photo), torch.Tensor)
    assert_type(segmentation.cutout("photo.jpg", photo), Image.Image | Any)
    assert_type(blend.poisson(photo, photo, at=floats), Pixels)
    assert_type(blend.poisson(photo, photo, at=[(1, 2), (3, 4)]), Pixels)
    assert_type(metrics.psnr("a.png", photo), float)
    pyharmony.segment(tensor, points=[(3, 4), (5, 6)], labels=[1, 0])
    pyharmony.segment("photo.jpg", points=(3, 4))
    assert_type(color.retouch(floats, rng=np.random.default_rng(0))[0], Floats)
    assert_type(compat.seamlessClone(photo, photo, None, (10, 20), compat.NORMAL_CLONE), Pixels)
    assert_type(ops.color_map(photo, [ops.Log(), ops.Exp()]), Pixels)
    assert_type(ops.instance_norm(tensor), torch.Tensor)
    assert_type(ops.partial_conv2d(tensor, weight)[0], torch.Tensor)
    assert_type(ops.spectral_norm([floats], [floats], [floats], normalized=True), tuple[Floats, list[Floats]])
    assert_type(metrics.evaluate(photo, photo, photo), dict[str, float])
    assert_type(harmonization.ColorMap().apply(photo), Pixels)
    assert_type(harmonization.ColorMap().apply("photo.jpg"), Image.Image | Any)


def names_annotate(
    image: ImageLike, mask: MaskLike, at: Position, gradients: Gradients, method: HarmonizeMethod, file: FileLike
) -> Any:
    blend.poisson(image, "photo.jpg", mask, at=at, gradients=gradients)
    pyharmony.harmonize("photo.jpg", mask, method=method)
    pyharmony.harmonize("photo.jpg", mask, method=models.load("colorgrid"))
    pyharmony.harmonize("photo.jpg", mask, method="weights.safetensors")
    pyharmony.harmonize(image, mask, source="other.jpg", source_mask=mask, reference_mask=mask, cautious=True)
    pyharmony.harmonize([image, image], mask, source=["other.jpg", None], reference_mask=[None, mask])
    blend.gp_gan(image, "photo.jpg", network=models.create("gp_gan"))
    pyharmony.realism_score(image, mask, device="cpu")
    pyharmony.load(file)
    data.open_dataset("photos", "photos")
    data.Synthesis(data.Photos("photos"), {"reinhard": 1.0, "mkl": 2.0})
    models.weights("harmonize")
    pyharmony.set_device("auto")
    return blend.poisson(image, image, mask)
