"""`pyharmony.apply_edit`: what was changed is found, drift is undone, and every other pixel stays, bit for bit.

Edits are simulated, so that the truth is known: an object is pasted into a drawn scene, then the whole picture drifts
as by an editing model. `benchmarks/edits.py` measures photographs.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import edits
from pyharmony._images.planes import gaussian
from pyharmony.edits._register import register, searched, starts_of
from pyharmony.edits._tone import fit_tone
from pyharmony.errors import ArgumentError, DTypeError, PyHarmonyWarning, ShapeError, UnchangedWarning
from pyharmony.io import Picture, convert, read, write
from pyharmony.ops.warp import warp

from ..images.test_io import matrix_profile
from ..shared import ROOT

pytestmark = pytest.mark.chains

Pixels = Any


@functools.cache
def scene(seed: int = 0, height: int = 300, width: int = 400) -> Pixels:
    """Returns a picture with edges, textures and flat parts, [H, W, 3] uint8, which nobody may write to."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    picture = np.stack([120 + 50 * np.sin(x / 90 + c) + 30 * np.cos(y / 70 - c) for c in range(3)], 2)
    for _ in range(60):
        cx, cy, rx, ry = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 40), rng.uniform(4, 30)
        inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
        texture = 12 * np.sin(x * rng.uniform(0.2, 1.2) + y * rng.uniform(0.2, 1.2))
        picture[inside] = rng.uniform(30, 220, 3) + texture[inside][:, None]
    picture += rng.normal(0, 1.5, picture.shape)
    levels = np.rint(np.clip(gaussian(picture.astype(np.float32), 0.5), 0, 255)).astype(np.uint8)
    levels.flags.writeable = False
    return levels


def drift(picture: Pixels, seed: int = 0, strength: float = 1.0) -> Pixels:
    """Returns a picture with the drift of an editing model: tone, tint, light, blur and noise."""
    rng = np.random.default_rng(seed + 100)
    values = (picture / 255.0) ** np.exp(rng.normal(0, 0.06 * strength, 3))
    values *= 1 + rng.normal(0, 0.03 * strength, 3)
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    values *= (1 + rng.normal(0, 0.02 * strength) * x + rng.normal(0, 0.02 * strength) * y)[..., None]
    values = gaussian(values.astype(np.float32), 0.6) + rng.normal(0, 0.005, values.shape)
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


@dataclass(frozen=True)
class Case:
    """A photograph, its edit, and the truth."""

    photo: Pixels
    edit: Pixels
    truth: Pixels
    object: Pixels  # bool [H, W]

    def iou(self, mask: Pixels) -> float:
        return float((mask & self.object).sum() / (mask | self.object).sum())


def case(seed: int = 0, matrix: Any = None) -> Case:
    """Returns an edit of a scene, moved by a matrix if there is one."""
    photo, other = scene(seed), scene(seed + 50)
    y, x = np.mgrid[:300, :400]
    inside = ((x - 230) / 60) ** 2 + ((y - 160) / 45) ** 2 < 1
    truth = np.where(inside[..., None], 255 - other // 2, photo)
    whole = truth if matrix is None else np.rint(np.clip(warp(truth, matrix, (400, 300)), 0, 255)).astype(np.uint8)
    return Case(photo, drift(whole, seed), truth, inside)


def psnr(first: Pixels, second: Pixels, where: Pixels) -> float:
    errors = np.square(first.astype(np.float64) - second)[where]
    return float(10 * np.log10(255**2 / errors.mean()))


MOTION = np.array([[1.008, 0.004, -4.3], [-0.004, 1.008, 2.6], [0, 0, 1.0]])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_moved", [False, True])
def test_the_change_is_found_and_drawn_and_all_else_stays(seed: int, is_moved: bool) -> None:
    one = case(seed, np.linalg.inv(MOTION) if is_moved else None)
    result, info = pyharmony.apply_edit(one.photo, one.edit, return_info=True)
    np.testing.assert_array_equal(result[info.mask == 0], one.photo[info.mask == 0])
    assert len(info.changes) == 1
    assert info.changes[0].applied
    assert one.iou(info.mask > 127) > 0.85
    assert (info.mask[one.object] / 255).mean() > 0.99
    inner = one.object & (gaussian(one.object.astype(np.float32), 2) > 0.98)
    assert psnr(result, one.truth, inner) > 30
    assert psnr(result, one.truth, inner) > psnr(one.edit, one.truth, inner) + 3
    x, y, width, height = info.changes[0].box
    assert (abs(np.array([x, y, x + width, y + height]) - [170, 115, 291, 206]) <= 5).all()
    if is_moved:
        corners = np.array([(0, 0, 1), (399, 0, 1), (0, 299, 1), (399, 299, 1.0)]).T
        expected, matrix = MOTION @ corners, info.matrix @ corners
        assert np.abs(expected[:2] / expected[2] - matrix[:2] / matrix[2]).max() < 0.2
        assert info.motion > 3
    else:
        assert info.motion == 0
        np.testing.assert_array_equal(info.matrix, np.eye(3))


def test_a_soft_shadow_comes_with_the_object() -> None:
    one = case(1)
    y, x = np.mgrid[:300, :400]
    shade = 1 - 0.4 * gaussian((((x - 250) / 90) ** 2 + ((y - 205) / 14) ** 2 < 1).astype(np.float32), 5)
    truth = np.where(one.object[..., None], one.truth, one.photo * shade[..., None]).astype(np.uint8)
    result, info = pyharmony.apply_edit(one.photo, drift(truth, 1), return_info=True)
    dark = (shade < 0.8) & ~one.object
    assert (info.mask[dark] > 127).mean() > 0.95
    loss = (one.photo.astype(float) - result)[dark].sum() / (one.photo.astype(float) - truth)[dark].sum()
    assert 0.9 < loss < 1.1


def test_changes_are_told_apart_and_numbered_and_some_can_be_left_out() -> None:
    photo = scene(3)
    truth = photo.copy()
    truth[40:90, 60:140], truth[200:230, 300:340] = (250, 30, 30), (30, 40, 250)
    edit = drift(truth, 3)
    _, info = pyharmony.apply_edit(photo, edit, return_info=True)
    assert len(info.changes) == 2
    assert info.changes[0].share > info.changes[1].share
    result, second = pyharmony.apply_edit(photo, edit, changes=[1], return_info=True)
    assert [change.applied for change in second.changes] == [False, True]
    np.testing.assert_array_equal(result[:150], photo[:150])
    assert psnr(result, truth, np.s_[205:225, 305:335]) > 28
    with pytest.raises(ArgumentError, match=r"changes\[1\]: 2, expected a number from 0 to 1"):
        pyharmony.apply_edit(photo, edit, changes=[0, 2])
    with pytest.warns(UnchangedWarning, match="no change was asked for"):
        np.testing.assert_array_equal(pyharmony.apply_edit(photo, edit, changes=[]), photo)


def test_a_mask_limits_the_change() -> None:
    one = case(2)
    left = np.zeros(one.object.shape, np.uint8)
    left[:, :230] = 255
    result, info = pyharmony.apply_edit(one.photo, one.edit, left, return_info=True)
    np.testing.assert_array_equal(result[:, 230:], one.photo[:, 230:])
    assert (info.mask[one.object & (left > 0)] > 127).all()
    away = np.zeros(one.object.shape, np.uint8)
    away[:40] = 255
    with pytest.warns(UnchangedWarning, match="no change that was asked for lies in the mask"):
        pyharmony.apply_edit(one.photo, one.edit, away)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_small_edit_goes_into_a_large_photograph(factor: int) -> None:
    one = case(4)
    size = (400 * factor, 300 * factor)
    large = [
        np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in (one.photo, one.truth)
    ]
    result, info = pyharmony.apply_edit(large[0], one.edit, return_info=True)
    assert result.shape == large[0].shape
    np.testing.assert_array_equal(result[info.mask == 0], large[0][info.mask == 0])
    inner = np.kron(gaussian(one.object.astype(np.float32), 2) > 0.98, np.ones((factor, factor))).astype(bool)
    assert psnr(result, large[1], inner) > 30


def test_a_small_edit_can_be_enlarged_by_the_network() -> None:
    one = case(4)
    large = [
        np.asarray(Image.fromarray(x).resize((800, 600), Image.Resampling.BICUBIC)) for x in (one.photo, one.truth)
    ]
    results = [pyharmony.apply_edit(large[0], one.edit, upscale=way, return_info=True) for way in ("lanczos", "srgan")]
    masks = [info.mask for _, info in results]
    np.testing.assert_array_equal(*masks)
    (plain, _), (detailed, _) = results
    np.testing.assert_array_equal(detailed[masks[0] == 0], large[0][masks[0] == 0])
    inner = np.kron(gaussian(one.object.astype(np.float32), 2) > 0.98, np.ones((2, 2))).astype(bool)
    assert psnr(detailed, large[1], inner) > 26
    assert not np.array_equal(plain, detailed)
    # Bands of rows meet without a seam.
    step = np.abs(detailed[255:257].astype(float)[0] - detailed[256])[inner[256]].mean()
    near = np.mean([np.abs(detailed[y].astype(float) - detailed[y + 1])[inner[y]].mean() for y in (250, 252, 260)])
    assert step < 1.5 * near + 1


@pytest.mark.parametrize("way", ["stretched", "margins", "crop", "turned", "larger"])
def test_other_sizes_margins_and_crops_are_registered(way: str) -> None:
    one = case(5)
    image = Image.fromarray(one.truth)
    resample = Image.Resampling.BICUBIC
    if way == "stretched":
        whole = image.resize((460, 300), resample)
    elif way == "margins":
        whole = Image.new("RGB", (512, 384), (90, 90, 90))
        whole.paste(image.resize((480, 360), resample), (16, 12))
    elif way == "crop":
        whole = image.crop((30, 20, 380, 290)).resize((420, 324), resample)
    elif way == "turned":
        whole = image.rotate(3, resample)
    else:
        whole = image.resize((700, 525), resample)
    result, info = pyharmony.apply_edit(one.photo, drift(np.asarray(whole), 5), return_info=True)
    np.testing.assert_array_equal(result[info.mask == 0], one.photo[info.mask == 0])
    assert one.iou(info.mask > 127) > 0.8
    inner = gaussian(one.object.astype(np.float32), 2) > 0.98
    assert psnr(result, one.truth, inner) > 27


def test_a_far_smaller_picture_inside_an_edit_is_searched_for() -> None:
    photo = scene(6)
    small = Image.fromarray(photo).resize((240, 180), Image.Resampling.BICUBIC)
    whole = Image.fromarray(scene(61, 400, 560))
    whole.paste(small, (200, 150))
    edit = np.asarray(whole)
    start = searched(photo, edit)
    registration = register(photo, edit, [start])
    assert registration.agreement > 0.6
    assert register(photo, edit, starts_of((400, 300), (400, 300), (560, 400))).agreement < 0.2
    with pytest.warns(PyHarmonyWarning, match="beyond"):
        assert pyharmony.apply_edit(photo, edit).shape == photo.shape


@pytest.mark.parametrize(
    "kind",
    ["float32", "float64", "uint16", "grey", "alpha", "torch", "PIL", "Picture"],
)
def test_kinds_of_images(kind: str) -> None:
    one = case(0)
    expected, info = pyharmony.apply_edit(one.photo, one.edit, return_info=True)
    photo: Any = one.photo
    if kind == "PIL":
        result = pyharmony.apply_edit(Image.fromarray(photo), Image.fromarray(one.edit))
        assert isinstance(result, Image.Image)
        np.testing.assert_array_equal(np.asarray(result), expected)
    elif kind == "Picture":
        result = pyharmony.apply_edit(Picture(photo), one.edit)
        np.testing.assert_array_equal(result.pixels, expected)
        assert b"compositeWithTrainedAlgorithmicMedia" in result.xmp
    elif kind == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        result = pyharmony.apply_edit(
            torch.from_numpy(photo.copy()).permute(2, 0, 1), torch.from_numpy(one.edit).permute(2, 0, 1)
        )
        np.testing.assert_array_equal(result.permute(1, 2, 0).numpy(), expected)
    elif kind == "alpha":
        alpha = np.random.default_rng(0).integers(1, 256, photo.shape[:2]).astype(np.uint8)
        result = pyharmony.apply_edit(np.dstack([photo, alpha]), one.edit)
        np.testing.assert_array_equal(result, np.dstack([expected, alpha]))
    elif kind == "grey":
        grey = photo[..., 1]
        result, info_of_kind = pyharmony.apply_edit(grey, one.edit[..., 1], return_info=True)
        assert result.shape == grey.shape
        np.testing.assert_array_equal(result[info_of_kind.mask == 0], grey[info_of_kind.mask == 0])
        assert one.iou(info_of_kind.mask > 127) > 0.8
    else:
        unit = 65535 if kind == "uint16" else 1
        deep = (photo / 255.0 * unit).astype(kind)
        result, info_of_kind = pyharmony.apply_edit(deep, one.edit, return_info=True)
        assert result.dtype == deep.dtype
        np.testing.assert_array_equal(result[info_of_kind.mask == 0], deep[info_of_kind.mask == 0])
        assert np.abs(result.astype(float) / unit * 255 - expected).max() < 12
        assert one.iou(info_of_kind.mask > 127) > 0.85


def test_files_keep_their_metadata_and_are_marked(tmp_path: Path) -> None:
    one = case(0)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.fromarray(one.photo).save(tmp_path / "photo.png", exif=exif)
    Image.fromarray(one.edit).save(tmp_path / "edit.png")
    pyharmony.apply_edit(tmp_path / "photo.png", tmp_path / "edit.png", out=tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.getexif()[0x010F] == "Maker"
        assert "compositeWithTrainedAlgorithmicMedia" in str(image.info)
        np.testing.assert_array_equal(np.asarray(image), pyharmony.apply_edit(one.photo, one.edit))


def test_a_photograph_of_16_bits_keeps_its_depth_and_profile(tmp_path: Path) -> None:
    """The edit came back as sRGB in 8 bits; it is converted to the photograph's colours, not the other way."""
    profile = matrix_profile("Adobe RGB")
    wide = Picture(scene(15).astype(np.uint16) * 257, profile)
    write(wide, tmp_path / "photo.png")
    plain = convert(wide, Picture(np.zeros((1, 1, 3), np.uint8)), "photo").pixels
    plain = plain.copy()
    plain[110:170, 150:240] = (200, 60, 60)
    Image.fromarray(drift(plain, 15)).save(tmp_path / "edit.png")
    pyharmony.apply_edit(tmp_path / "photo.png", tmp_path / "edit.png", out=tmp_path / "out.png")
    result, photo = read(tmp_path / "out.png"), read(tmp_path / "photo.png")
    assert result.pixels.dtype == np.uint16
    assert result.profile == photo.profile == profile
    changed = (result.pixels != photo.pixels).any(2)
    assert not changed[:100].any()
    assert not changed[180:].any()
    assert changed[112:168, 152:238].mean() > 0.99
    levels = convert(result, Picture(np.zeros((1, 1, 3), np.uint8)), "result").pixels
    assert np.abs(levels[115:165, 155:235].astype(int) - (200, 60, 60)).mean() < 8


def test_edits_of_one_photograph_one_after_the_other() -> None:
    photo = scene(7)
    first, second = photo.copy(), photo.copy()
    first[40:100, 60:140], second[180:240, 250:330] = (250, 40, 40), (40, 60, 250)
    result, infos = pyharmony.apply_edit(photo, [drift(first, 1), drift(second, 2)], return_info=True)
    assert [len(info.changes) for info in infos] == [1, 1]
    assert psnr(result, first, np.s_[45:95, 65:135]) > 28
    assert psnr(result, second, np.s_[185:235, 255:325]) > 28


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_frames_of_a_batch_have_one_set_of_decisions(kind: str) -> None:
    """The object moves, the drift is that of the whole batch: what the first frame decides holds for all."""
    photos = np.stack([np.roll(scene(13), 3 * i, 1) for i in range(3)])
    truths = photos.copy()
    for i, truth in enumerate(truths):
        truth[100:160, 120 + 30 * i : 200 + 30 * i] = (240, 60, 40)
    edits_of_frames = np.stack([drift(truth, 5) for truth in truths])
    if kind == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        tensors = [torch.from_numpy(batch).permute(0, 3, 1, 2) for batch in (photos, edits_of_frames)]
        result, infos = pyharmony.apply_edit(*tensors, return_info=True)
        result = result.permute(0, 2, 3, 1).numpy()
    else:
        result, infos = pyharmony.apply_edit(photos, edits_of_frames, return_info=True)
    assert len(infos) == 3
    for photo, truth, frame, info in zip(photos, truths, result, infos, strict=True):
        np.testing.assert_array_equal(frame[info.mask == 0], photo[info.mask == 0])
        np.testing.assert_array_equal(info.matrix, infos[0].matrix)
        assert (info.mask[105:155][(truth != photo).all(2)[105:155]] > 127).mean() > 0.99
        assert psnr(frame, truth, (truth != photo).all(2)) > 28
    alone = pyharmony.apply_edit(photos[0], edits_of_frames[0])
    np.testing.assert_array_equal(result[0], alone)


def test_an_edit_at_the_border_does_not_bleed() -> None:
    photo = scene(8)
    truth = photo.copy()
    truth[120:, 300:] = (240, 220, 40)
    result, info = pyharmony.apply_edit(photo, drift(truth, 8), return_info=True)
    np.testing.assert_array_equal(result[info.mask == 0], photo[info.mask == 0])
    assert psnr(result, truth, np.s_[126:, 306:]) > 30
    assert (info.mask[:110] == 0).all()
    assert (info.mask[:, :290] == 0).all()


def test_colours_of_the_edit_can_be_taken() -> None:
    photo = scene(9)
    truth = photo.copy()
    truth[100:160, 150:230] = (40, 220, 60)
    warm = np.rint(np.clip((truth / 255.0) ** 1.1 * [255, 215, 170], 0, 255)).astype(np.uint8)
    with pytest.warns(PyHarmonyWarning, match="colours of the whole picture differ") as warnings:
        undone = pyharmony.apply_edit(photo, warm)
    assert {warning.message.code for warning in warnings} == {"recolored"}
    np.testing.assert_array_equal(undone[:80], photo[:80])
    result = pyharmony.apply_edit(photo, warm, colors="edit")
    assert psnr(result, warm, np.s_[:, :]) > 34


def test_grain_and_sharpness_can_be_left() -> None:
    one = case(0)
    grainy = np.clip(one.photo + np.random.default_rng(1).normal(0, 6, one.photo.shape), 0, 255).astype(np.uint8)
    results = [pyharmony.apply_edit(grainy, one.edit, grain=grain) for grain in (True, False)]
    inner = gaussian(one.object.astype(np.float32), 2) > 0.98

    def noise(image: Pixels) -> float:
        fine = image[..., 1].astype(np.float32)
        return float((fine - gaussian(fine, 1))[inner].std())

    assert noise(results[0]) > noise(results[1]) + 1
    sharp = [pyharmony.apply_edit(one.photo, one.edit, sharpness=sharpness) for sharpness in (True, False)]
    assert psnr(sharp[0], one.truth, inner) > psnr(sharp[1], one.truth, inner)


def test_what_an_edits_alpha_leaves_clear_is_unchanged() -> None:
    photo = scene(2)
    truth = photo.copy()
    truth[40:90, 60:140], truth[200:230, 300:340] = (250, 30, 30), (30, 40, 250)
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:, 200:] = 0
    result = pyharmony.apply_edit(photo, np.dstack([drift(truth, 2), alpha]))
    np.testing.assert_array_equal(result[:, 200:], photo[:, 200:])
    assert psnr(result, truth, np.s_[45:85, 65:135]) > 28
    with pytest.raises(ArgumentError, match="edited: its alpha is below one half everywhere"):
        pyharmony.apply_edit(photo, np.dstack([truth, alpha * 0]))


@pytest.mark.parametrize("kind", ["array", "alpha", "grey", "uint16", "Picture", "file"])
def test_an_outpainting_is_around_its_photograph(kind: str, tmp_path: Path) -> None:
    """The photograph is on its own pixels, and what is beyond is near the truth, without a seam."""
    whole = scene(12, 360, 480)
    photo: Any = np.ascontiguousarray(whole[40:330, 50:430])
    edit = drift(np.asarray(Image.fromarray(whole).resize((408, 306), Image.Resampling.BICUBIC)), 12)
    with pytest.warns(UnchangedWarning, match="of the edit lies beyond it; frame='edit'") as warnings:
        assert pyharmony.apply_edit(photo, edit).shape == photo.shape
    assert [warning.message.code for warning in warnings] == ["outpainted"]
    if kind == "alpha":
        photo = np.dstack([photo, np.full(photo.shape[:2], 128, np.uint8)])
    elif kind == "grey":
        photo, edit, whole = photo[..., 1], edit[..., 1], whole[..., 1:2]
    elif kind == "uint16":
        photo = photo.astype(np.uint16) * 257
    original: Any = Picture(photo, dpi=(72.0, 72.0)) if kind == "Picture" else photo
    if kind == "file":
        Image.fromarray(photo).save(tmp_path / "photo.png")
        result = pyharmony.apply_edit(tmp_path / "photo.png", edit, frame="edit", out=tmp_path / "out.png")
        pixels = np.asarray(Image.open(result))
    else:
        result, info = pyharmony.apply_edit(original, edit, frame="edit", return_info=True)
        pixels = result.pixels if kind == "Picture" else result
        assert info.mask.shape == pixels.shape[:2] == (360, 480)
        assert info.at == (50, 40)
        corner = info.matrix @ (50, 40, 1)
        assert np.abs(corner[:2] / corner[2] - (50.5 * 0.85 - 0.5, 40.5 * 0.85 - 0.5)).max() < 0.2
    np.testing.assert_array_equal(pixels[40:330, 50:430], photo)
    levels = pixels / (257 if kind == "uint16" else 1)
    if kind == "alpha":
        assert (pixels[:40, :, 3] == 255).all()
        levels = levels[..., :3]
    beyond = np.ones((360, 480), bool)
    beyond[40:330, 50:430] = False
    assert psnr(levels.reshape(whole.shape), whole, beyond) > 26
    # At the border the step is that of the scene.
    steps = [np.abs(x.reshape(whole.shape).astype(float)[40] - x.reshape(whole.shape)[39]) for x in (levels, whole)]
    assert steps[0].mean() < 1.5 * steps[1].mean() + 2


def test_the_frame_of_an_edit_is_for_one_edit_and_no_array() -> None:
    one = case(0)
    with pytest.raises(ArgumentError, match="frame: 'edit' for several edits"):
        pyharmony.apply_edit(one.photo, [one.edit, one.edit], frame="edit")
    with pytest.raises(ArgumentError, match="out: an array"):
        pyharmony.apply_edit(one.photo, one.edit, frame="edit", out=one.photo.copy())
    with pytest.raises(ArgumentError, match="colors: 'edit' with frame='edit'"):
        pyharmony.apply_edit(one.photo, one.edit, frame="edit", colors="edit")
    # An edit that does not show more has the photograph's frame.
    assert pyharmony.apply_edit(one.photo, one.edit, frame="edit").shape == one.photo.shape


@pytest.mark.parametrize("kind", ["same", "drift", "blurred"])
def test_nothing_changed_is_said(kind: str) -> None:
    photo = scene(10)
    edit = {"same": photo, "drift": drift(photo, 1), "blurred": gaussian(photo.astype(np.float32), 1).astype(np.uint8)}[
        kind
    ]
    with pytest.warns(UnchangedWarning, match="edited: nothing was applied: nothing was changed on purpose"):
        result, info = pyharmony.apply_edit(photo, edit, return_info=True)
    np.testing.assert_array_equal(result, photo)
    assert info.reason.code == "nothing-changed"
    assert not info.changes


def test_an_enlargement_and_an_enhancement_are_told_apart() -> None:
    photo = scene(11)
    larger = np.asarray(Image.fromarray(photo).resize((800, 600), Image.Resampling.BICUBIC))
    fine = photo - gaussian(photo.astype(np.float32), 1.5)
    for edit, code in ((larger, "enlarged"), (np.clip(photo + fine, 0, 255).astype(np.uint8), "enhanced")):
        with pytest.warns(UnchangedWarning):
            _, info = pyharmony.apply_edit(photo, edit, return_info=True)
        assert info.reason.code == code


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in (1, 2))])
def test_other_pictures_and_restyles_are_refused(seed: int) -> None:
    photo = scene(seed)
    posters = photo // 64 * 64 + 32
    noise = np.random.default_rng(seed).normal(0, 25, (38, 50, 3)).repeat(8, 0).repeat(8, 1)[:300, :400]
    painted = np.clip(gaussian(posters.astype(np.float32), 2) + noise, 0, 255).astype(np.uint8)
    for picture in (scene(seed + 20), photo[:, ::-1], 255 - photo, painted):
        with pytest.raises(ArgumentError) as error:
            pyharmony.apply_edit(photo, picture)
        assert error.value.argument == "edited"
        assert error.value.code in ("other-picture", "everything-changed", "relit")
        assert error.value.hint
    # A mask says what shall change, whatever else did.
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[100:200, 100:200] = 255
    result = pyharmony.apply_edit(photo, np.where(mask[..., None] > 0, scene(30), drift(photo, 2)), mask)
    np.testing.assert_array_equal(result[mask == 0], photo[mask == 0])


def test_a_mask_takes_a_part_of_a_restyle_as_it_is() -> None:
    """Where all pixels differ, drift and blur cannot be told from the edit, so neither is undone."""
    photo = scene(14)
    strokes = np.random.default_rng(0).uniform(0.6, 1.4, (25, 34, 3)).repeat(12, 0).repeat(12, 1)[:300, :400]
    restyle = np.clip(photo * strokes, 0, 255).astype(np.uint8)
    with pytest.raises(ArgumentError, match="all of the picture was changed") as error:
        pyharmony.apply_edit(photo, restyle)
    assert error.value.code == "everything-changed"
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[120:180, 150:260] = 255
    with pytest.warns(PyHarmonyWarning, match="unevenly: within the mask they stay those of the edit"):
        result, info = pyharmony.apply_edit(photo, restyle, mask, grain=False, return_info=True)
    np.testing.assert_array_equal(result, np.where(mask[..., None] > 0, restyle, photo))
    np.testing.assert_array_equal(info.mask, mask)


def test_motion_and_colours_are_those_of_what_a_mask_excludes() -> None:
    """Three quarters of the picture are another one; the rest says how it moved, and which light it is in."""
    photo, other = scene(14), scene(15)
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[:, 90:] = 255
    expected = np.where(mask[..., None] > 0, other, photo)
    edit = np.rint(np.roll(expected, (2, 3), (0, 1)) * 0.75 + 10).astype(np.uint8)
    with pytest.raises(ArgumentError):
        pyharmony.apply_edit(photo, edit)
    with pytest.warns(PyHarmonyWarning, match="which was undone"):
        result, info = pyharmony.apply_edit(photo, edit, mask, grain=False, return_info=True)
    assert abs(info.motion - np.hypot(2, 3)) < 0.2
    np.testing.assert_array_equal(result[:, :90], photo[:, :90])
    assert np.abs(result[10:-10, 100:-10].astype(float) - expected[10:-10, 100:-10]).mean() < 4


@pytest.mark.parametrize("offset", [(20, 10, 3), (40, 20, 5), (20, 20, 20), (5, 20, 40)])
@pytest.mark.parametrize("name", ["astronaut.jpg", "rocket.jpg", "coffee.jpg"])
def test_faded_colours_are_no_change(name: str, offset: tuple[int, int, int]) -> None:
    """Less contrast and lifted blacks, which few pixels of some photographs are near to."""
    photo = np.asarray(Image.open(Path(pyharmony.__file__).parent / "cli" / "images" / name).convert("RGB"))[
        ::2, ::2
    ].copy()
    edit = np.rint(photo * 0.82 + np.array(offset)).clip(0, 255).astype(np.uint8)
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        assert (pyharmony.apply_edit(photo, edit) == photo).all()
    assert any("nothing was applied" in str(one.message) for one in messages)


def test_a_grey_edit_of_a_coloured_original_warns() -> None:
    root = ROOT
    photo = np.asarray(Image.open(root / "pyharmony/cli/images/desk.jpg"))
    edit = Image.open(root / "pyharmony/cli/images/desk_edit.jpg").convert("L").convert("RGB")
    with pytest.warns(PyHarmonyWarning, match="it is grey, and so are its changes"):
        pyharmony.apply_edit(photo, np.asarray(edit))


def test_a_change_outside_of_the_mask_is_not_applied() -> None:
    one = case(0)
    with pytest.warns(UnchangedWarning, match="no change that was asked for lies in the mask"):
        _, info = pyharmony.apply_edit(one.photo, one.edit, np.zeros(one.photo.shape[:2], np.uint8), return_info=True)
    assert info.changes and not any(change.applied for change in info.changes)


def test_the_tone_is_that_of_the_drift() -> None:
    photo = scene(12)
    values = (photo / 255.0) ** [0.9, 1.1, 1.0] * [1.05, 0.95, 1.02]
    edit = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    tone = fit_tone(photo, edit, np.ones(photo.shape[:2], bool))
    clipped = (edit >= 250).any(2) | (edit <= 5).any(2)
    assert np.abs(tone.apply(edit) - photo)[~clipped].mean() < 0.8


def test_bits_do_not_depend_on_threads(threads: int) -> None:
    one = case(0)
    result = pyharmony.apply_edit(one.photo, one.edit)
    before = pyharmony.get_num_threads()
    try:
        pyharmony.set_num_threads(1)
        np.testing.assert_array_equal(pyharmony.apply_edit(one.photo, one.edit), result)
    finally:
        pyharmony.set_num_threads(before)


def one_change(photo: np.ndarray) -> np.ndarray:
    edit = photo.copy()
    edit[40:100, 60:140] = (250, 30, 30)
    return edit


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"original": np.zeros((300, 9, 3), np.uint8)}, ShapeError, "original: 9 x 300 pixels, expected at least 24"),
        ({"edited": np.zeros((9, 300, 3), np.uint8)}, ShapeError, "edited: 300 x 9 pixels, expected at least 24"),
        ({"edited": []}, ArgumentError, "edited: an empty list"),
        ({"original": np.full((30, 40, 3), np.nan)}, ArgumentError, "original: nan"),
        ({"edited": np.full((30, 40, 3), np.inf)}, ArgumentError, "edited: inf"),
        ({"original": np.zeros((2, 30, 40, 3), np.uint8)}, ShapeError, "edited: .300, 400, 3., expected a batch of 2"),
        ({"edited": np.zeros((2, 30, 40, 3), np.uint8)}, ShapeError, "edited: shape .* a batch"),
        ({"mask": np.zeros((30, 30), np.uint8)}, ShapeError, "mask: "),
        ({"colors": "both"}, ArgumentError, "colors: 'both'"),
        ({"edited": [scene(0), scene(0)], "changes": [0]}, ArgumentError, "changes: numbers for several edits"),
        ({"align": 3}, Exception, "align: 3"),
        ({"changes": [9]}, ArgumentError, r"changes\[0\]: 9, expected none: nothing was changed"),
        ({"edited": one_change(scene(0)), "changes": [9]}, ArgumentError, r"\[0\]: 9, expected 0: there is one change"),
    ],
)
def test_bad_input(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"original": scene(0), "edited": scene(0)}
    with pytest.raises(error, match=message):
        pyharmony.apply_edit(**{**good, **arguments})


def test_what_is_said_of_the_original_has_its_name_and_is_said_once() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    photo = scene(0)
    tensor = torch.from_numpy(photo / 255).permute(2, 0, 1).requires_grad_()
    for original, edited in ((tensor, tensor.detach()), (tensor[None], tensor.detach()[None])):
        with pytest.warns(PyHarmonyWarning) as records:
            pyharmony.apply_edit(original, edited)
        (text,) = (str(one.message) for one in records if "gradients" in str(one.message))
        assert text.startswith("original: ") and text.endswith("pass original.detach()")
    with pytest.warns(PyHarmonyWarning) as records:
        pyharmony.apply_edit(photo * 1.0, photo * 1.0)
    texts = [str(one.message) for one in records if "1 is white" in str(one.message)]
    assert [text.partition(" ")[0] for text in texts] == ["original:", "edited:"]
    with pytest.raises(DTypeError, match=r"original: a tensor on meta.*use original\.cpu\(\)"):
        pyharmony.apply_edit(tensor.detach().to("meta"), photo)


def test_out_is_written_and_may_be_the_original() -> None:
    one = case(0)
    expected = pyharmony.apply_edit(one.photo, one.edit)
    out = np.empty_like(one.photo)
    assert edits.apply_edit(one.photo, one.edit, out=out) is out
    np.testing.assert_array_equal(out, expected)
    photo = one.photo.copy()
    pyharmony.apply_edit(photo, one.edit, out=photo)
    np.testing.assert_array_equal(photo, expected)
    with pytest.raises(ArgumentError, match="out: shares memory with edited"):
        pyharmony.apply_edit(one.photo, one.edit, out=one.edit)
