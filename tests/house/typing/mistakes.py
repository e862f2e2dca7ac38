"""Calls that a type checker has to refuse, each on a line of its own that says so; nothing here is run."""

# Users may check as strictly as mypy can; the settings of the package leave these two out.
# mypy: disallow-any-generics, warn-return-any

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

import pyharmony
from pyharmony import blend, color, compat, ops, segmentation
from pyharmony.learn import data, metrics
from pyharmony.networks import models

Pixels = npt.NDArray[np.uint8]


def places_and_words(photo: Pixels, mask: Pixels, picture: Image.Image) -> None:
    blend.poisson(photo, photo, mask, at="86,180")  # wrong
    blend.alpha(photo, photo, mask, at=(86, 180, 0))  # wrong
    blend.laplacian("sticker.png", "photo.jpg", at=86)  # wrong
    blend.poisson(photo, photo, mask, gradients="mix")  # wrong
    blend.poisson("sticker.png", "photo.jpg", gradients="mix")  # wrong
    blend.poisson(photo, photo, mask, gradient="mixed")  # wrong
    blend.gaussian_poisson(photo, photo, mask, gradient_kernel="canny")  # wrong
    blend.gaussian_poisson(photo, photo, mask, device="gpu")  # wrong
    blend.texture_flattening(picture, mask, errors="ignore")  # wrong
    blend.detail_boost(photo, mask, tolerance="0.1")  # wrong
    ops.gaussian_poisson(photo, photo, mask, photo, method="jacobi")  # wrong
    ops.PoissonSolver(mask).solve(photo, photo, gradients="mix")  # wrong
    color.luminance_temperature(photo, photo, mask, chroma="hue")  # wrong
    data.open_dataset("photos", "zip")  # wrong
    data.write_shards(data.Photos("photos"), "shards", errors="ignore")  # wrong
    data.Synthesis(data.Photos("photos"), ["reinhart"])  # wrong
    models.list("compose")  # wrong
    pyharmony.set_device("gpu")  # wrong
    pyharmony.compose(photo, photo, blend="mix")  # wrong
    pyharmony.compose(photo, photo, harmonize=3)  # wrong
    pyharmony.compose(photo, photo, at=86)  # wrong
    pyharmony.merge([photo, photo], base="first")  # wrong
    pyharmony.realism_score(photo, device="auto")  # wrong


def images(photo: Pixels, mask: Pixels, picture: Image.Image) -> None:
    pyharmony.save("photo.png", photo)  # wrong
    pyharmony.save(photo, "photo.heic", format="heic")  # wrong
    pyharmony.load(photo)  # wrong
    pyharmony.harmonize(photo)  # wrong
    pyharmony.harmonize(photo, mask, method=3)  # wrong
    blend.poisson(3, photo, mask)  # wrong
    blend.poisson(photo, photo, mask, out=3)  # wrong
    blend.inpaint(photo)  # wrong
    blend.inpaint(picture, None)  # wrong
    color.reinhard(3, photo)  # wrong
    metrics.psnr(3, picture)  # wrong
    pyharmony.segment(photo, point=(3, 4))  # wrong
    pyharmony.segment(photo, points="3,4")  # wrong
    compat.seamlessClone(picture, photo, mask, (10, 20), compat.NORMAL_CLONE)  # wrong
    ops.poisson("sticker.png", "photo.jpg", mask)  # wrong


def results(photo: Pixels, mask: Pixels, picture: Image.Image) -> None:
    text: str = blend.alpha(photo, photo, mask)  # wrong
    blend.poisson(picture, photo, mask).save("photo.png")  # wrong
    blend.poisson(photo, picture, mask).shape  # wrong
    blend.poisson("sticker.png", "photo.jpg").shape  # wrong
    blend.poisson(photo, photo, mask, return_info=True).shape  # wrong
    blend.poisson(photo, photo, mask, return_info=True)[1].max_eror  # wrong
    blend.poisson("sticker.png", ["photo.jpg"])[0].shape  # wrong
    blend.laplacian("sticker.png", photo, out="photo.jpg").shape  # wrong
    color.mkl("photo.jpg", photo).shape  # wrong
    segmentation.cutout(photo, mask).save("photo.png")  # wrong
    pyharmony.harmonize(photo, mask).save("photo.png")  # wrong
    pyharmony.harmonize(picture, mask, return_info=True)[1].confident  # wrong
    pyharmony.load("photo.jpg").shape  # wrong
    ops.poisson(photo, photo, mask, return_info=True).shape  # wrong
    ops.PoissonSolver(mask).solve(photo, photo).save("photo.png")  # wrong
    color.mkl(photo, photo).save("photo.png")  # wrong
    pyharmony.compose(photo, photo).save("photo.png")  # wrong
    pyharmony.compose(photo, picture, return_info=True)[1].subject  # wrong
    pyharmony.merge([photo, photo]).save("photo.png")  # wrong
    print(text)
