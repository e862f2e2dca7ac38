"""Removal: textures and edges continue, nothing else changes, and what cannot be done is refused or warned of."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony._images.planes import grown
from pyharmony.edits import _texture
from pyharmony.errors import ArgumentError, MaskError, MaskWarning, PyHarmonyWarning, ShapeError, UnchangedWarning

pytestmark = pytest.mark.chains


def tiles(height: int = 150, width: int = 200) -> np.ndarray:
    """Returns a pattern of 16 by 20 pixels, repeated."""
    random = np.random.default_rng(3)
    pattern = random.integers(40, 220, (16, 20, 3), np.uint8)
    return np.tile(pattern, (height // 16 + 1, width // 20 + 1, 1))[:height, :width]


def disc(height: int = 150, width: int = 200, radius: int = 18, at: tuple[int, int] = (75, 100)) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.where(np.hypot(y - at[0], x - at[1]) < radius, 255, 0).astype(np.uint8)


def with_thing(scene: np.ndarray, mask: np.ndarray) -> np.ndarray:
    photo = scene.copy()
    photo[mask > 0] = np.array([250, 20, 30], scene.dtype) if scene.ndim == 3 else 250
    return photo


@pytest.mark.parametrize("at", [(75, 100), (0, 100), (75, 199), (149, 0)])
def test_a_pattern_continues_also_at_the_border(at: tuple[int, int]) -> None:
    scene, mask = tiles(), disc(at=at)
    result, info = pyharmony.remove(with_thing(scene, mask), mask, return_info=True)
    assert np.abs(result.astype(int) - scene)[mask > 0].mean() < 1
    assert (result == scene)[info.mask == 0].all() and (info.mask[mask > 0] == 255).all()
    assert info.share == pytest.approx((info.mask > 0).mean()) and info.method == "offsets"


def test_an_edge_and_a_line_continue() -> None:
    scene = np.full((160, 220, 3), 90, np.uint8)
    scene[80:] = 180
    scene[:, 108:112] = 20
    mask = disc(160, 220, 22, (80, 110))
    result = pyharmony.remove(with_thing(scene, mask), mask)
    assert np.abs(result.astype(int) - scene)[mask > 0].mean() < 2


def test_a_gradient_has_no_seam() -> None:
    y, x = np.mgrid[:200, :300]
    sky = 60 + 0.4 * y + 0.1 * x
    scene = np.dstack([sky, sky + 20, sky + 40]).astype(np.float32) / 255
    mask = disc(200, 300, 30, (90, 150))
    result = pyharmony.remove(with_thing(scene, mask), mask)
    assert np.abs(result - scene).max() < 4 / 255
    inside = grown(mask > 0, 8)
    steps = [np.abs(np.diff(result, axis=axis)) * 255 for axis in (0, 1)]
    assert max(steps[0][inside[1:]].max(), steps[1][inside[:, 1:]].max()) < 1.5


def test_texture_looks_like_what_is_around_it() -> None:
    """Its contrast stays, which a smooth filling loses."""
    random = np.random.default_rng(0)
    noise = random.normal(0, 1, (180, 240))
    for axis in (0, 1):
        noise = np.sum([np.roll(noise, shift, axis) for shift in range(3)], 0) / 3**0.5
    scene = np.clip(128 + 30 * noise, 0, 255)[..., None].repeat(3, 2).astype(np.uint8)
    mask = disc(180, 240, 25, (90, 120))
    result = pyharmony.remove(with_thing(scene, mask), mask)
    smooth = pyharmony.blend.inpaint(with_thing(scene, mask), mask)
    inside, rest = mask > 0, mask == 0
    assert result[inside].std() == pytest.approx(scene[rest].std(), rel=0.25)
    assert smooth[inside].std() < 0.5 * scene[rest].std()
    levels = np.histogram(result[inside], 16, (0, 256), density=True)[0]
    usual = np.histogram(scene[rest], 16, (0, 256), density=True)[0]
    assert np.abs(levels - usual).sum() * 16 < 0.4


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_every_dtype_and_layout(dtype: str, channels: int) -> None:
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    grey = (tiles(90, 120)[..., 1] / 255.0) * white
    scene = (grey if channels == 0 else np.repeat(grey[..., None], channels, 2)).astype(dtype)
    mask = disc(90, 120, 9, (45, 60))
    photo = scene.copy()
    photo[mask > 0] = white
    if channels == 4:
        scene[..., 3] = photo[..., 3] = white
        scene[:10, :, 3] = photo[:10, :, 3] = 0
    result, info = pyharmony.remove(photo, mask, return_info=True)
    assert result.dtype == scene.dtype and result.shape == scene.shape
    assert (result == photo)[info.mask == 0].all()
    error = np.abs(result.astype(float) - scene.astype(float))[mask > 0] / white * 255
    assert error.mean() < 1
    if channels == 4:
        assert (result[..., 3] == photo[..., 3]).all()


def test_a_thing_with_nothing_around_it() -> None:
    """Transparent pixels are neither copied nor filled."""
    scene, thing, island = tiles(), disc(radius=10), disc(radius=35)
    alpha = np.where((island > 0) & (thing == 0), 0, 255).astype(np.uint8)
    photo = np.dstack([with_thing(scene, thing), alpha])
    result, info = pyharmony.remove(photo, thing, grow=2, return_info=True)
    assert (result == photo)[info.mask == 0].all() and (info.mask > 0).sum() == (thing > 0).sum()
    colours = result[thing > 0][:, :3]
    assert colours.std() > 20 and (np.abs(colours.astype(int) - (250, 20, 30)).sum(1) > 60).all()


@pytest.mark.parametrize("is_empty", [True, False])
@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_nothing_is_taken_from_what_is_transparent(is_empty: bool) -> None:
    alpha = np.where(disc(radius=60) > 0, 0, 0 if is_empty else 255).astype(np.uint8)
    photo = np.dstack([tiles(), alpha])
    result, info = pyharmony.remove(photo, disc(radius=10), return_info=True)
    assert (result == photo).all() and info.method == "copy" and info.mask is None
    assert "transparent" in info.reason or "alpha" in info.reason


def test_a_faint_thing_goes_whole() -> None:
    thing = disc(radius=10)
    alpha = np.where(thing > 0, 20, 255).astype(np.uint8)
    _, info = pyharmony.remove(np.dstack([tiles(), alpha]), thing, grow=0, return_info=True)
    assert (info.mask == thing).all()


def test_values_whose_squares_are_not_finite_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"image: values above 1e\+12, expected"):
        pyharmony.remove(np.full((*disc().shape, 3), 1e36, np.float32), disc())


def test_tensors_and_files(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    scene, mask = tiles(), disc()
    photo = with_thing(scene, mask)
    expected = pyharmony.remove(photo, mask)
    tensor = pyharmony.remove(torch.from_numpy(photo).permute(2, 0, 1), torch.from_numpy(mask))
    assert (tensor.permute(1, 2, 0).numpy() == expected).all()
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    assert (np.asarray(pyharmony.remove(file.getvalue(), Image.fromarray(mask))) == expected).all()
    pyharmony.remove(Image.fromarray(photo), mask, out=tmp_path / "out.png")
    assert (np.asarray(Image.open(tmp_path / "out.png")) == expected).all()
    several = pyharmony.remove([photo, photo], [mask, mask])
    assert all((one == expected).all() for one in several)


def test_it_is_the_same_for_every_run_and_number_of_threads() -> None:
    random = np.random.default_rng(1)
    scene = random.integers(0, 255, (120, 160, 3), np.uint8)
    mask = disc(120, 160, 20, (60, 80))
    results = []
    before = pyharmony.get_num_threads()
    for count in (1, 2, 1):
        pyharmony.set_num_threads(count)
        results.append(pyharmony.remove(scene, mask))
    pyharmony.set_num_threads(before)
    assert all((one == results[0]).all() for one in results)


def test_several_things_at_once() -> None:
    scene = tiles()
    mask = np.maximum.reduce([disc(radius=8, at=(y, x)) for y in (35, 110) for x in (40, 100, 160)])
    result = pyharmony.remove(with_thing(scene, mask), mask)
    assert np.abs(result.astype(int) - scene)[mask > 0].mean() < 1
    specks = np.zeros((150, 200), np.uint8)
    specks[10::28, 10::28] = 255
    result, info = pyharmony.remove(with_thing(scene, specks), specks, return_info=True)
    assert np.abs(result.astype(int) - scene)[specks > 0].mean() < 1
    # Their number does not widen them, and many are filled together.
    assert (info.mask == 255).sum() <= (specks > 0).sum() * 81 and (result == scene)[info.mask == 0].all()
    with mock.patch("pyharmony.edits._texture._frequent", wraps=_texture._frequent) as searches:
        assert (pyharmony.remove(with_thing(scene, specks), specks) == result).all()
    assert searches.call_count < (specks > 0).sum() / 4


def test_the_mask_is_widened() -> None:
    scene, mask = tiles(), disc()
    photo = with_thing(scene, disc(radius=21))  # the mask is three pixels too narrow
    assert np.abs(pyharmony.remove(photo, mask, grow=4).astype(int) - scene).mean() < 0.5
    _, info = pyharmony.remove(photo, mask, grow=0, return_info=True)
    assert (info.mask == mask).all()
    soft = np.where(mask > 0, 255, 20).astype(np.uint8)  # what is fainter than a tenth is not taken away
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (pyharmony.remove(photo, soft, grow=0) == pyharmony.remove(photo, mask, grow=0)).all()


def test_what_cannot_be_filled_is_refused_or_warned_of() -> None:
    scene = tiles()
    everything = np.full(scene.shape[:2], 255, np.uint8)
    with pytest.raises(MaskError, match=r"mask: 100% of the image with its growth, expected at most 80%") as error:
        pyharmony.remove(scene, everything)
    assert error.value.code == "no-source"
    stripes = np.zeros((300, 400), np.uint8)
    stripes[:, ::2] = 255
    with pytest.raises(MaskError, match="leaves no coherent part") as error:
        pyharmony.remove(tiles(300, 400), stripes, grow=0)
    assert error.value.code == "no-source"
    with pytest.raises(MaskError, match="mask: None"):
        pyharmony.remove(scene, None)  # type: ignore[call-overload]
    for value in (-1, 1001, float("nan"), "wide"):
        wrong: Any = value
        with pytest.raises((ArgumentError, TypeError), match="grow"):
            pyharmony.remove(scene, disc(), grow=wrong)
    with pytest.raises(ArgumentError, match="image"):
        pyharmony.remove(np.full((60, 60), np.nan, np.float32), disc(60, 60, 5, (30, 30)))
    with pytest.raises(ArgumentError, match=r"at: .1,., expected .* the first pixel of mask in image"):
        pyharmony.remove(scene, disc(), at=(1,))  # type: ignore[call-overload]
    with pytest.raises(ShapeError, match="mask: a list of 1, expected 2, as many as image"):
        pyharmony.remove([scene, scene], [disc()])
    large = np.zeros(scene.shape[:2], np.uint8)
    large[20:130, 40:130] = 255
    with pytest.warns(PyHarmonyWarning, match="too much to look right") as record:
        pyharmony.remove(scene, large)
    assert [one.message.code for one in record] == ["large-hole"]  # type: ignore[union-attr]
    with pytest.warns(UnchangedWarning, match="nothing was taken away"):
        result = pyharmony.remove(scene, np.zeros(scene.shape[:2], np.uint8))
    assert (result == scene).all()
    with pytest.warns(UnchangedWarning, match="below 0.1 everywhere"), pytest.warns(MaskWarning):
        pyharmony.remove(scene, np.full(scene.shape[:2], 5, np.uint8))


def test_a_tiny_image_and_a_narrow_strip() -> None:
    for height, width in ((3, 3), (1, 40), (40, 2), (5, 60)):
        scene, mask = np.full((height, width), 77, np.uint8), np.zeros((height, width), np.uint8)
        mask[height // 2, width // 2] = 255
        assert (pyharmony.remove(with_thing(scene, mask), mask, grow=0) == 77).all()
    for count in (*range(1, 10), 12):  # rows or columns: a pattern continues in strips of any width
        scene, mask = tiles(count), np.zeros((count, 200), np.uint8)
        mask[:, 90:103] = 255
        assert (pyharmony.remove(with_thing(scene, mask), mask, grow=1) == scene).all()
        photo = with_thing(scene, mask).swapaxes(0, 1)
        assert (pyharmony.remove(photo, mask.T, grow=1) == scene.swapaxes(0, 1)).all()
