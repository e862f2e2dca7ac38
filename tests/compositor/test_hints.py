"""Hints of `pyharmony.harmonize`: the photograph that an object was cut from, and what it should be lit like."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pyharmony as ph
from pyharmony import errors
from pyharmony.harmonization import METHODS, ColorMap, _colorgrid, _hints
from pyharmony.harmonization._maps import lattice
from pyharmony.io import Picture

from ..shared import GUARDED, pixels
from .test_harmonize import composite

pytestmark = [pytest.mark.networks, GUARDED]

METHODS_WITHOUT_WEIGHTS = tuple(name for name in METHODS if name != "auto")
NO_CURVES = np.zeros((3, 3, 4))


class Asked:
    """The network in place of the default's own: a hint adds a fifth of its mean to every colour."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ColorMap, _hints.Hints]] = []

    def __call__(self, scene: Any, color_map: ColorMap, hints: _hints.Hints) -> ColorMap:
        self.calls.append((scene, color_map, hints))
        affine = np.zeros((3, 4))
        every = [None if hints.source is None else hints.source.colors, hints.reference]
        affine[:, 3] = sum(0.2 * colors.mean(0) for colors in every if colors is not None)
        return color_map.plus(affine, NO_CURVES)

    @property
    def last(self) -> _hints.Hints:
        return self.calls[-1][2]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Asked:
    recorder = Asked()
    monkeypatch.setattr(
        _colorgrid.Network, "hinted", lambda self, scene, maps, hints: [recorder(scene, of, hints) for of in maps]
    )
    return recorder


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return composite()


def photograph(height: int = 90, width: int = 70) -> tuple[np.ndarray, np.ndarray]:
    """Returns a dark blue photograph with a white object in it, and the object's mask."""
    image = np.full((height, width, 3), (20, 30, 60), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[30:60, 20:50] = 255
    image[mask > 0] = 255
    return image, mask


def below(mask: np.ndarray) -> np.ndarray:
    """Returns a mask of a band of the image that lies outside of the object."""
    strip = np.zeros_like(mask)
    strip[-12:] = 255
    assert not (mask[-12:] > 0).any()
    return strip


# What a network is told


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_what_the_hints_say_on_top(method: str, pair: Any, recorder: Asked) -> None:
    image, mask = pair
    source, inside = photograph()
    # What hints add does not depend on the method: guard and strength are tried with two of them.
    for options in ({"guard": False}, {"strength": 0.5}, {}) if method in ("auto", "mkl") else ({},):
        plain, info = ph.harmonize(image, mask, method=method, return_info=True, **options)
        result, hinted_info = ph.harmonize(
            image, mask, method=method, source=source, source_mask=inside, return_info=True, **options
        )
        assert hinted_info.method == method and (result[mask == 0] == image[mask == 0]).all()
        change = 0.2 * np.array([20, 30, 60]) / 255 * options.get("strength", 1.0)
        colors = np.full((2, 2, 3), 0.4)
        difference = hinted_info.map.apply(colors) - info.map.apply(colors)
        assert np.abs(difference - change).max() < 1e-3
        assert hinted_info.change > 0 and hinted_info.asked > 0 and (result != plain).any()
    scene, _, hints = recorder.calls[-1]
    assert scene.image.shape == (256, 256, 3) and set(np.unique(scene.mask)) == {0, 1}
    assert hints.reference is None


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_a_method_that_is_not_trusted_leaves_the_hints_alone(pair: Any, recorder: Asked) -> None:
    image, mask = pair
    far = image.copy()
    far[mask > 0] = far[mask > 0] // 12
    far[mask == 0] = 255
    plain, before = ph.harmonize(far, mask, method="reinhard", return_info=True)
    assert before.method == "copy" and (plain == far).all()
    result, info = ph.harmonize(far, mask, method="reinhard", source=photograph()[0], return_info=True)
    (_, first, hints), (_, second, _) = recorder.calls
    assert first.is_identity and not second.is_identity
    assert info.method == "reinhard" and info.confidence < 0.25
    change = info.map.apply(far / 255)[mask == 255] * 255 - far[mask == 255]
    assert np.abs(change - 0.2 * 255 * hints.source.colors.mean(0)).max() < 1
    assert (result[mask == 255] > far[mask == 255]).all()


def test_colours_are_of_what_lies_outside_of_the_object(pair: Any, recorder: Asked) -> None:
    image, mask = pair
    source, inside = photograph()
    ph.harmonize(image, mask, method="mkl", source=source, source_mask=inside)
    source_scene = recorder.last.source
    assert source_scene is not None and source_scene.image.shape == (256, 256, 3)
    share = 1 - inside.astype(bool).mean()
    assert 0.9 * share < source_scene.where.mean() < share
    assert np.abs(source_scene.image[source_scene.where] * 255 - [20, 30, 60]).max() < 0.01
    colors = source_scene.colors
    assert colors.dtype == np.float32 and colors.shape == (1024, 3)
    assert np.abs(np.median(colors, 0) * 255 - [20, 30, 60]).max() < 0.01 and (colors > 0.9).all(1).sum() == 0
    ph.harmonize(image, mask, method="mkl", source=source)
    share = (recorder.last.source.colors > 0.5).all(1).mean()
    assert share == pytest.approx(inside.astype(bool).mean(), abs=0.03)
    # Transparent pixels have no colour.
    rgba = np.concatenate([source, np.full((90, 70, 1), 255, np.uint8)], -1)
    rgba[:20], rgba[-20:] = (250, 0, 250, 0), (250, 0, 250, 0)
    ph.harmonize(image, mask, method="mkl", source=rgba, source_mask=inside)
    assert np.abs(recorder.last.source.colors * 255 - [20, 30, 60]).max() < 1.5
    grey = np.full((40, 50), 51, np.uint8)
    ph.harmonize(image, mask, method="mkl", source=grey)
    assert np.allclose(recorder.last.source.colors, 0.2)
    few = np.zeros((90, 70), np.uint8)
    few[:, 3:] = 255
    ph.harmonize(image, mask, method="mkl", source=source, source_mask=few)
    assert len(recorder.last.source.colors) == 1024
    few[:, 1:] = 255
    ph.harmonize(image, mask, method="mkl", source=source, source_mask=few)
    assert 256 <= len(recorder.last.source.colors) < 1024


def test_colours_of_the_reference_are_those_under_it(pair: Any, recorder: Asked) -> None:
    image, mask = (x.copy() for x in pair)
    band = below(mask)
    image[-12:] = (10, 200, 30)
    for reference in (band, band > 0, band.astype(np.float32) / 255, np.maximum(band, mask)):
        ph.harmonize(image, mask, method="mkl", reference_mask=reference)
        source, reference_colors = recorder.last
        assert source is None and reference_colors is not None
        assert np.abs(np.median(reference_colors, 0) * 255 - [10, 200, 30]).max() < 0.5
    # A reference that is smaller than a pixel of the scene tells, too.
    large = np.zeros((1200, 1600, 3), np.uint8) + np.uint8(90)
    large_mask = np.zeros((1200, 1600), np.uint8)
    large_mask[300:900, 400:1000] = 255
    dot = np.zeros_like(large_mask)
    dot[100:102, 100:102] = 255
    large[100:108, 96:108] = (200, 60, 60)
    ph.harmonize(large, large_mask, method="mkl", reference_mask=dot)
    assert len(recorder.last.reference) <= 4 and recorder.last.reference[0, 0] > 0.5
    both = {"source": photograph()[0], "reference_mask": band}
    ph.harmonize(image, mask, method="mkl", **both)
    assert all(x is not None for x in recorder.last)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_without_an_object_nobody_is_asked(pair: Any, recorder: Asked) -> None:
    image, mask = pair
    dot = np.zeros_like(mask)
    dot[50, 60] = 255
    for object_mask, options in ((np.zeros_like(mask), {}), (dot, {}), (mask, {"strength": 0})):
        result = ph.harmonize(image, object_mask, method="mkl", source=photograph()[0], **options)
        assert (result == image).all()
    assert not recorder.calls
    same = ph.harmonize(image, mask, method="mkl", source=None, source_mask=None, reference_mask=None)
    assert (same == ph.harmonize(image, mask, method="mkl")).all() and not recorder.calls


# Kinds of images


def encoded(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_hints_are_images_of_any_kind(pair: Any, recorder: Asked, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image, mask = pair
    (source, inside), reference = photograph(), below(mask)
    expected = ph.harmonize(image, mask, method="mkl", source=source, source_mask=inside, reference_mask=reference)
    options = {"source": source, "source_mask": inside, "reference_mask": reference}
    for name, array in options.items():
        (tmp_path / f"{name}.png").write_bytes(encoded(array))
    for of in (
        lambda name: tmp_path / f"{name}.png",
        lambda name: Image.fromarray(options[name]),
        lambda name: encoded(options[name]),
        lambda name: Picture(options[name] if options[name].ndim == 3 else options[name][..., None]),
        lambda name: torch.from_numpy(
            options[name] if options[name].ndim == 2 else options[name].transpose(2, 0, 1).copy()
        ),
    ):
        hints = {name: of(name) for name in options}
        assert (ph.harmonize(image, mask, method="mkl", **hints) == expected).all()
        result = ph.harmonize(Image.fromarray(image), mask, method="mkl", **hints)
        assert (np.asarray(result) == expected).all()
    options = {"source": source.astype(np.float32) / 255, "source_mask": inside > 0, "reference_mask": reference}
    floats = ph.harmonize(image, mask, method="mkl", **options)
    assert np.abs(floats.astype(int) - expected).max() <= 1


def test_lists_and_batches_have_one_hint_for_all_or_each_its_own(pair: Any, recorder: Asked) -> None:
    image, mask = pair
    (source, inside), reference = photograph(), below(mask)
    bright = 255 - source
    alone = [
        ph.harmonize(image, mask, method="mkl", source=s, source_mask=inside, reference_mask=reference)
        for s in (source, bright)
    ]
    none = ph.harmonize(image, mask, method="mkl")
    same = ph.harmonize([image] * 2, mask, method="mkl", source=source, source_mask=inside, reference_mask=reference)
    assert all((results == alone[0]).all() for results in same)
    each = ph.harmonize(
        [image] * 3, mask, method="mkl", source=[source, bright, None], source_mask=[inside, inside, None],
        reference_mask=[reference, reference, None],
    )  # fmt: skip
    assert all((a == b).all() for a, b in zip(each, [*alone, none], strict=True))
    batch = np.stack([image] * 2)
    results = ph.harmonize(batch, mask, method="mkl", source=source, source_mask=inside, reference_mask=reference)
    assert (results == alone[0]).all()
    results = ph.harmonize(
        batch, mask, method="mkl", source=np.stack([source, bright]), source_mask=inside, reference_mask=reference
    )
    assert all((a == b).all() for a, b in zip(results, alone, strict=True))
    with pytest.raises(errors.ShapeError, match="source: a list of 3, expected 2"):
        ph.harmonize([image] * 2, mask, method="mkl", source=[source] * 3)
    with pytest.raises(errors.DTypeError, match="source: a list, expected one image"):
        ph.harmonize(image, mask, method="mkl", source=[source])
    for images, many in ((image, 2), (batch, 3)):
        with pytest.raises(errors.ShapeError, match=f"source: a batch of {many} for"):
            ph.harmonize(images, mask, method="mkl", source=np.stack([source] * many))


def test_errors_name_the_hint(pair: Any, recorder: Asked) -> None:
    image, mask = pair
    source, inside = photograph()
    bad = source.astype(np.float32) / 255
    bad[3, 4, 1] = np.nan
    for options, kind, says in (
        ({"source_mask": inside}, errors.ArgumentError, "source_mask: passed without source"),
        ({"source": source, "source_mask": inside[:-1]}, errors.ShapeError, r"source_mask: shape \[89, 70\]"),
        ({"source": source, "source_mask": np.full_like(inside, 255)}, errors.MaskError, "source_mask: covers all"),
        ({"source": source > 3}, errors.DTypeError, "source: dtype bool"),
        ({"source": 3}, errors.DTypeError, "source: int, expected"),
        ({"source": bad}, errors.ArgumentError, r"source: nan at pixel \(y=3, x=4\), channel 1"),
        ({"reference_mask": inside}, errors.ShapeError, r"reference_mask: shape \[90, 70\]"),
        ({"reference_mask": np.zeros_like(mask)}, errors.MaskError, "reference_mask: zero everywhere"),
        ({"reference_mask": mask}, errors.MaskError, "reference_mask: inside mask"),
        ({"reference_mask": mask.astype(float)}, errors.MaskError, "reference_mask: values from"),
    ):
        with pytest.raises(kind, match=says):
            ph.harmonize(image, mask, method="mkl", **options)
    own = np.zeros_like(image)
    with pytest.raises(errors.ArgumentError, match="out: shares memory with source"):
        ph.harmonize(image, mask, method="mkl", source=own[:], out=own)


# Sequences


def test_a_sequence_reads_its_source_once_and_a_reference_for_each_frame(
    pair: Any, recorder: Asked, tmp_path: Path
) -> None:
    image, mask = pair
    source, inside = photograph()
    path = tmp_path / "source.png"
    path.write_bytes(encoded(source))
    expected = ph.harmonize(image, mask, method="mkl", source=source, source_mask=inside, reference_mask=below(mask))
    frames = ph.harmonization.harmonize_frames(
        [image] * 3, [mask] * 3, method="mkl", source=path, source_mask=inside, reference_mask=iter([below(mask)] * 3)
    )
    assert (next(frames) == expected).all()
    path.unlink()
    assert all((frame == expected).all() for frame in frames)
    plain = ph.harmonization.harmonize_frames([image] * 2, [mask] * 2, method="mkl", reference_mask=[below(mask), None])
    assert [hints.reference is None for hints in (next(plain) is None or recorder.last, recorder.last)] == [
        False,
        False,
    ]
    assert len(list(plain)) == 1
    with pytest.raises(errors.ShapeError, match="frames: more than reference_mask"):
        list(ph.harmonization.harmonize_frames([image] * 2, [mask] * 2, method="mkl", reference_mask=[below(mask)]))
    with pytest.raises(errors.ShapeError, match="reference_mask: more than frames"):
        list(ph.harmonization.harmonize_frames([image], [mask], method="mkl", reference_mask=[below(mask)] * 2))
    with pytest.raises(errors.DTypeError, match="reference_mask: str, expected a sequence"):
        ph.harmonization.harmonize_frames([image], [mask], method="mkl", reference_mask="mask.png")
    with pytest.raises(errors.ArgumentError, match="source_mask: passed without source"):
        list(ph.harmonization.harmonize_frames([image], [mask], method="mkl", source_mask=inside))


# The command line


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: Any) -> Iterator[None]:
    image, mask = pair
    source, inside = photograph()
    files = {"paste": image, "cover": mask, "photo": source, "inside": inside, "like": below(mask)}
    for name, array in files.items():
        (tmp_path / f"{name}.png").write_bytes(encoded(array))
    monkeypatch.chdir(tmp_path)
    threads = ph.get_num_threads()
    yield
    ph.set_num_threads(threads)
    ph.set_device("auto")


def call(words: str, code: int = 0) -> Any:
    from pyharmony.cli._app import app

    result = CliRunner().invoke(app, ["harmonize", *words.split()])
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


@pytest.mark.usefixtures("_folder")
def test_the_command_line_takes_hints(recorder: Asked) -> None:
    hints = {"source": "photo.png", "source_mask": "inside.png", "reference_mask": "like.png"}
    expected = np.asarray(ph.harmonize("paste.png", "cover.png", method="mkl", **hints))
    plain = np.asarray(ph.harmonize("paste.png", "cover.png", method="mkl"))
    words = "--source photo.png --source-mask inside.png --reference-mask like.png"
    report = json.loads(call(f"paste.png cover.png --method mkl {words} -o out.png --json").stdout)
    assert (pixels("out.png") == expected).all() and (expected != plain).any()
    assert report["source"]["path"] == "photo.png" and report["source"]["width"] == 70
    Path("lists").mkdir()
    Path("lists/rows.csv").write_text(
        "image,mask,out,source,source_mask,reference_mask\n"
        "../paste.png,../cover.png,a.png,../photo.png,../inside.png,../like.png\n"
        "../paste.png,../cover.png,b.png,,,\n"
    )
    call("--list lists/rows.csv --method mkl")
    assert (pixels("lists/a.png") == expected).all() and (pixels("lists/b.png") == plain).all()
    Path("in").mkdir()
    for name, old in (("a", "paste"), ("a_mask", "cover")):
        Path(f"in/{name}.png").write_bytes(Path(f"{old}.png").read_bytes())
    call(f"in --method mkl {words} -o made")
    assert (pixels("made/a.png") == expected).all()
    for words, code, says in (
        ("--source none.png", 3, "source (none.png): no such file"),
        ("--source-mask inside.png", 3, "source_mask (inside.png): passed without source"),
        (
            "--source photo.png --source-mask cover.png",
            3,
            "source_mask (cover.png): 160 x 120 pixels, expected 70 x 90",
        ),
        ("--reference-mask cover.png", 3, "reference_mask (cover.png): inside"),
    ):
        result = call(f"paste.png cover.png --method mkl {words} -o no.png", code=code)
        assert says in result.stderr and not Path("no.png").exists(), result.stderr


# Maps


def test_a_change_is_added_to_a_map_of_any_form() -> None:
    random = np.random.default_rng(0)
    affine, curves = random.normal(0, 0.02, (3, 4)), random.normal(0, 0.02, (3, 3, 5))
    colors = random.uniform(0.25, 0.75, (16, 16, 3))
    difference = ColorMap(affine=np.eye(3, 4) + affine, curves=curves).apply(colors) - colors
    others = {
        "affine": np.eye(3, 4) + random.normal(0, 0.03, (3, 4)),
        "curves": random.normal(0, 0.03, (3, 3, 8)),
        "grid": random.normal(0, 0.02, (3, 3, 2, 3, 4)),
    }
    for names in ((), ("affine",), ("curves",), ("grid",), tuple(others)):
        one = ColorMap(**{name: others[name] for name in names})
        combined = one.plus(affine, curves)
        assert np.abs(combined.apply(colors) - one.apply(colors) - difference).max() < 1e-9, names
        assert combined.curves is not None and combined.curves.shape[2] == (29 if "curves" in names else 5)
    table = ColorMap(table=(lattice(33) ** 1.1).reshape(33, 33, 33, 3))
    combined = table.plus(affine, np.zeros((3, 3, 2)))
    linear = colors @ affine[:, :3].T + affine[:, 3]
    assert np.abs(combined.apply(colors) - table.apply(colors) - linear).max() < 1e-6
    by_table = table.plus(affine, curves)
    at = lattice(33).reshape(33, 33, 33, 3)[4:20:5, 4:20:5, 4:20:5].reshape(-1, 1, 3)
    expected = ColorMap(affine=np.eye(3, 4) + affine, curves=curves).apply(at) - at + table.apply(at)
    assert np.abs(by_table.apply(at) - expected).max() < 1e-6
    far = table.plus(np.full((3, 4), 0.4), NO_CURVES)
    assert far.table.max() == 1 and table.table.max() == 1 and far.table.min() >= 0
    zeros = ColorMap().plus(np.zeros((3, 4)), NO_CURVES)
    assert zeros.is_identity


# The default's own network


def test_the_default_follows_the_light_of_the_source() -> None:
    """One composite becomes lighter if its object comes from a darker scene, darker if from a lighter one."""
    random = np.random.default_rng(4)
    y, x = np.mgrid[:160, :200]
    scene = np.stack([110 + 40 * np.sin(x / 30), 105 + 30 * np.cos(y / 25), 95 + 20 * np.sin((x + y) / 40)], -1)
    scene = scene + random.normal(0, 12, scene.shape)
    inside = np.hypot(y - 80, x - 100) < 45
    mask = np.where(inside, np.uint8(255), np.uint8(0))
    object_ = np.array([120, 100, 80]) + random.normal(0, 15, scene.shape)
    image = np.where(inside[..., None], object_, scene).clip(0, 255).astype(np.uint8)
    plain = ph.harmonize(image, mask, guard=False)[inside].mean()
    luma = []
    for factor in (0.6, 1.0, 1.4):
        source = (np.where(inside[..., None], object_, scene[:, ::-1]) * factor).clip(0, 255).astype(np.uint8)
        luma.append(ph.harmonize(image, mask, guard=False, source=source, source_mask=mask)[inside].mean())
    assert luma[0] > plain + 3 and abs(luma[1] - plain) < 2 and luma[2] < plain - 3


def test_the_default_knows_of_a_reference(pair: Any) -> None:
    image, mask = pair
    plain = ph.harmonize(image, mask)
    result, info = ph.harmonize(image, mask, reference_mask=below(mask), return_info=True)
    assert info.method == "auto" and (result[mask == 0] == image[mask == 0]).all() and (result != plain).any()
