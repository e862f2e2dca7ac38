"""GP-GAN's blend: its colours, the weights that it accepts, the search from noise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import blend
from pyharmony._images.region import Region
from pyharmony.blend import _gp_gan
from pyharmony.errors import ArgumentError, DTypeError, ShapeError, UnchangedWarning, WeightsError

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.nn import functional

from pyharmony.networks import models
from pyharmony.networks.models import gp_gan as model

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

RED = (0.9, 0.2, 0.1)
UNITS = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}


def narrow(seed: int = 0, **config: Any) -> models.Model:
    """Returns a small model whose random weights are large enough for its images to differ."""
    torch.manual_seed(seed)
    model = models.create("gp_gan", **{"width": 4, "bottleneck": 24, "critic_width": 4, "nz": 6} | config)
    with torch.no_grad():
        for name, parameter in model.generator.named_parameters():
            if "norm" not in name:
                parameter *= 8
    return model.eval()


def painter(colour: tuple[float, float, float], **config: Any) -> models.Model:
    """Returns a model that gives this colour whatever it sees, but for the outermost pixels."""
    model = narrow(**config)
    decoder = model.generator.decoder
    with torch.no_grad():
        decoder.norms[-1].weight.zero_()
        decoder.norms[-1].bias.fill_(1)
        # Four taps of each of the features, which are one, meet at a pixel.
        share = torch.atanh(2 * torch.tensor(colour) - 1) / (4 * decoder.last.in_channels)
        decoder.last.weight.copy_(share[None, :, None, None].expand_as(decoder.last.weight))
    return model


def case(dtype: str = "uint8", channels: int = 3, side: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a textured square, a ramp twice as wide, and a mask with a soft edge."""
    rng, unit = np.random.default_rng(3), UNITS[dtype]
    y, x = np.mgrid[: 2 * side, : 2 * side] / (2 * side)
    dst = np.stack([0.2 + 0.4 * x, 0.3 + 0.3 * y, 0.5 + 0 * x], -1)[..., :channels]
    src = 0.5 + 0.2 * (rng.random((side, side, channels)) - 0.5)
    r = np.hypot(*(np.mgrid[:side, :side] - side / 2)) / side
    mask = np.rint(255 * np.clip((0.4 - r) / 0.05, 0, 1)).astype(np.uint8)
    scaled = (np.rint(a * unit) if unit > 1 else a for a in (src, dst))
    return *(a.astype(dtype) for a in scaled), mask  # type: ignore[return-value]


# Colours


@pytest.mark.parametrize("side", [40, 90, 300])
@pytest.mark.parametrize("config", [{}, {"supervised": False}, {"size": 32}], ids=["blending", "noise", "32 pixels"])
def test_the_colours_are_those_of_the_network(side: int, config: dict[str, Any]) -> None:
    """A larger color_weight brings them nearer, far from the contour; at the contour they meet dst."""
    src, dst, mask = case("float32", side=side)
    middle = slice(side - 4, side + 4)
    errors = {}
    for weight in (0.1, 1.0, 1000.0):
        result = blend.gp_gan(
            src, dst, mask, at=(side // 2, side // 2), network=painter(RED, **config), color_weight=weight,
            n_iteration=2,
        )  # fmt: skip
        errors[weight] = np.abs(result[middle, middle].mean((0, 1)) - RED).max()
    # The network's image is RED to float32, its enlargement too; a thousandth is the share of the gradients.
    assert errors[1000.0] < 0.002
    assert errors[1000.0] <= errors[1.0] <= errors[0.1] + 1e-3
    assert errors[1.0] < 0.1


def test_texture_is_that_of_src() -> None:
    src, dst, mask = case("float64")
    result = blend.gp_gan(src, dst, mask, at=(45, 45), network=painter(RED))
    middle = slice(30, 60)
    fine = np.diff(result[45:-45, 45:-45][middle, middle], axis=0)
    expected = np.diff(src[middle, middle], axis=0)
    assert np.corrcoef(fine.ravel(), expected.ravel())[0, 1] > 0.9


def test_a_trained_network_keeps_what_it_has_learned() -> None:
    """Trained for a moment to give back flat images, it takes an object of one colour for what it is."""
    torch.manual_seed(0)
    learner = models.create("gp_gan", width=8, bottleneck=24, critic_width=4, skips=True)
    optimizer = torch.optim.Adam(learner.generator.parameters(), 5e-3, betas=(0.5, 0.9))
    learner.train()
    for _ in range(60):
        flat = (torch.rand(8, 3, 1, 1) * 1.8 - 0.9).expand(8, 3, 64, 64).contiguous()
        loss = functional.mse_loss(learner(flat), flat)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for colour in ((0.2, 0.6, 0.4), (0.7, 0.3, 0.5)):
        picture = np.broadcast_to(np.float32(colour), (64, 64, 3))
        assert np.abs(model.guess(learner.generator, picture) - picture).mean() < 0.1
        image = np.ascontiguousarray(np.broadcast_to(np.float32(colour), (100, 120, 3)))
        mask = np.zeros((100, 120), bool)
        mask[20:80, 20:100] = True
        result = blend.gp_gan(image, image, mask, network=learner, color_weight=10)
        assert np.abs(result - image).max() < 0.2
    assert learner.training, "the caller's network is as it was"


def test_the_network_sees_the_paste_in_its_surroundings() -> None:
    """It is a square twice as wide as the mask's box, moved to lie inside dst; all of dst where it is all solved."""
    whole = Region(0, 200, 0, 300)
    view = _gp_gan._view
    box, solved = Region(80, 120, 100, 160), Region(78, 122, 98, 162)
    assert view(box, solved, (200, 300), 64, whole=False) == Region(40, 160, 70, 190)
    assert view(Region(0, 40, 250, 300), Region(0, 42, 248, 300), (200, 300), 64, whole=False) == Region(
        0, 100, 200, 300
    )
    assert view(Region(90, 91, 90, 91), Region(88, 94, 88, 94), (200, 300), 64, whole=False) == Region(58, 122, 58, 122)
    assert view(Region(10, 190, 10, 290), whole, (200, 300), 64, whole=False) == whole
    assert view(box, solved, (200, 300), 64, whole=True) == whole


@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_network_sees(monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    """It sees copy and paste, mask and all, at its size; grey as three equal channels."""
    composites = []

    def look(_: Any, composite: np.ndarray) -> np.ndarray:
        composites.append(composite)
        return composite

    monkeypatch.setattr(model, "guess", look)
    src, dst, _ = case("uint8", channels, 200)
    src[:], dst[:] = 255, 51
    mask = np.zeros((200, 200), np.uint8)
    mask[50:150, 50:150], mask[50:150, 140:150] = 255, 51
    blend.gp_gan(src, dst, mask, at=(100, 100), network=narrow())
    (composite,) = composites
    assert composite.shape == (64, 64, 3)
    assert composite.dtype == np.float32
    np.testing.assert_allclose(composite[20:44, 20:40], 1, atol=1e-4)
    np.testing.assert_allclose(composite[:12], 0.2, atol=1e-4)
    np.testing.assert_allclose(composite[24:40, 45], 0.2 + 0.8 * 0.2, atol=0.08)
    assert np.array_equal(composite[..., 0], composite[..., 2])


@pytest.mark.parametrize("axis", [0, 1])
def test_resampling_is_that_of_keys(axis: int) -> None:
    """Constants and, away from the border, ramps are kept; one cell a pixel gives the image itself."""
    along = (slice(None), None, None) if axis == 0 else (None, slice(None), None)
    noise = np.random.default_rng(0).random((9, 9, 3)).astype(np.float32)
    np.testing.assert_array_equal(_gp_gan.resample(noise, axis, 0, 1, 9), noise)
    other = [1, 1, 1]
    other[1 - axis], other[2] = 5, 3
    line = np.arange(100, dtype=np.float32)[along] * np.ones(other, np.float32)
    for start, step, cells in ((0, 64 / 37, 37), (3.5, 0.25, 40), (0, 100 / 64, 64)):
        ones = _gp_gan.resample(np.ones_like(line), axis, start, step, cells)
        assert ones.shape[axis] == cells
        assert ones.flags.c_contiguous
        np.testing.assert_allclose(ones, 1, rtol=1e-6)
        centres = start + (np.arange(cells) + 0.5) * step - 0.5
        inner = (centres > 2 * max(step, 1)) & (centres < 99 - 2 * max(step, 1))
        resampled = _gp_gan.resample(line, axis, start, step, cells)
        resampled = resampled[:, 2, 1] if axis == 0 else resampled[2, :, 1]
        # Keys' kernel reproduces ramps when it enlarges; widened, nearly.
        np.testing.assert_allclose(resampled[inner], centres[inner], atol=1e-4 if step <= 1 else 0.1)


# Inputs and outputs


@pytest.mark.parametrize("dtype", UNITS)
def test_dtypes(dtype: str) -> None:
    """One case in five dtypes differs by their rounding, and by twice the solves' tolerances."""
    expected = blend.gp_gan(*case("float64"), at=(45, 45), network=narrow())
    result = blend.gp_gan(*case(dtype), at=(45, 45), network=narrow())
    assert result.dtype == np.dtype(dtype)
    # These are 0.25 levels of 255 in the finest level and in the one below, and half a level of rounding, in and out.
    assert np.abs(result / UNITS[dtype] - expected).max() < 2 / 255


def test_the_background_is_kept_bit_for_bit() -> None:
    src, dst, mask = case()
    outside = np.ones((180, 180), bool)
    outside[20:110, 30:120] = mask == 0
    result = blend.gp_gan(src, dst, mask, at=(30, 20), network=narrow())
    assert np.array_equal(result[outside], dst[outside])
    assert (result[~outside] != dst[~outside]).mean() > 0.5
    changed = blend.gp_gan(src, dst, mask, at=(30, 20), network=narrow(), preserve_background=False)
    assert (changed[outside] != dst[outside]).mean() > 0.1
    with pytest.warns(UnchangedWarning, match="mask is zero everywhere"):
        assert np.array_equal(blend.gp_gan(src, dst, mask * 0, at=(30, 20), network=narrow()), dst)


def test_alpha_of_both() -> None:
    src, dst, mask = case()
    alpha = np.random.default_rng(1).integers(1, 256, (180, 180, 1), np.uint8)  # at 0 dst is unknown
    cut = np.dstack([src, mask])
    result = blend.gp_gan(cut, np.dstack([dst, alpha]), at=(45, 45), network=narrow(), keep_alpha=True)
    assert np.array_equal(result[..., 3:], alpha)
    assert np.array_equal(result[..., :3], blend.gp_gan(cut, dst, at=(45, 45), network=narrow()))
    # Colours beyond the alpha of src are never seen, not even by the network.
    cut[mask == 0] = 0
    assert np.array_equal(result[..., :3], blend.gp_gan(cut, dst, at=(45, 45), network=narrow()))


def test_a_batch_is_its_items() -> None:
    src, dst, mask = case()
    options: dict[str, Any] = {"at": (45, 45), "network": narrow(supervised=False), "n_iteration": 5}
    one, other = (blend.gp_gan(s, dst, mask, **options) for s in (src, src[::-1]))
    both, infos = blend.gp_gan(
        np.stack([src, src[::-1]]), np.stack([dst, dst]), mask, return_info=True, **options
    )  # fmt: skip
    assert np.array_equal(both, np.stack([one, other]))
    assert [info.device for info in infos] == ["cpu", "cpu"]
    assert all(0 < info.max_error <= 0.25 and info.milliseconds > 0 and info.peak_bytes > 0 for info in infos)


def test_a_position_outside_and_a_part_of_a_pixel() -> None:
    src, dst, mask = case()
    with pytest.warns(UnchangedWarning, match="the object lies outside dst"):
        assert np.array_equal(blend.gp_gan(src, dst, mask, at=(500, 0), network=narrow()), dst)
    for at in ((-40, 150), (20.5, -30.25)):
        assert (blend.gp_gan(src, dst, mask, at=at, network=narrow()) != dst).any()


@pytest.mark.parametrize("config", [{}, {"supervised": False}], ids=["blending", "noise"])
def test_one_seed_one_result(config: dict[str, Any]) -> None:
    """The state of torch's own generator of random numbers does not matter, and is left alone."""
    results = []
    for own in (1, 2):
        net = narrow(**config)
        torch.manual_seed(own)
        before = torch.get_rng_state()
        results.append(blend.gp_gan(*case("float32"), at=(45, 45), network=net, seed=5, n_iteration=20))
        assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(*results)


# The search


def test_the_search_lowers_its_loss() -> None:
    generator = narrow(supervised=False).generator
    target = model.search(generator, np.full((64, 64, 3), 0.5, np.float32), n_iteration=1, seed=9).image
    searches = [model.search(generator, target, n_iteration=n, seed=1) for n in (1, 10, 100)]
    assert searches[0].first == searches[1].first == searches[2].first
    assert searches[0].first > searches[0].loss > searches[1].loss > searches[2].loss
    assert searches[2].loss < 0.05 * searches[2].first
    assert [f.iterations for f in searches[:2]] == [1, 10]
    assert searches[2].iterations <= 100
    again = model.search(generator, target, n_iteration=10, seed=1)
    assert np.array_equal(again.image, searches[1].image)
    assert not np.array_equal(model.search(generator, target, n_iteration=1, seed=2).image, searches[0].image)
    # The loss is that of the image, but for what clipping changes.
    assert abs(4 * np.square(searches[2].image - target).mean() - searches[2].loss) < 0.01


def test_the_search_works_where_gradients_are_off() -> None:
    net = narrow(supervised=False).train()
    with torch.no_grad():
        quiet = model.search(net.generator, np.zeros((64, 64, 3), np.float32), n_iteration=3)
    with torch.inference_mode():
        still = model.search(net.generator, np.zeros((64, 64, 3), np.float32), n_iteration=3)
    assert quiet.loss == still.loss < quiet.first
    assert all(p.grad is None for p in net.parameters())
    assert all(module.training for module in net.modules())


def test_the_network_has_its_own_dtype() -> None:
    """Images go to it in its dtype and come back in float32."""
    for config in ({}, {"supervised": False}):
        single = blend.gp_gan(*case("float32"), at=(45, 45), network=narrow(**config), n_iteration=3)
        double = blend.gp_gan(*case("float32"), at=(45, 45), network=narrow(**config).double(), n_iteration=3)
        assert double.dtype == np.float32
        # The images differ by float32's rounding, which three steps of a line search enlarge.
        np.testing.assert_allclose(single, double, atol=0.01)
        assert not np.array_equal(single, double)


# Weights


def test_weights_come_from_a_model_its_generator_or_a_file(tmp_path: Path) -> None:
    net = narrow()
    expected = blend.gp_gan(*case(), at=(45, 45), network=net)
    path = tmp_path / "weights.safetensors"
    models.save(net, path, part="generator")
    for weights in (net.generator, path, str(path), path.read_bytes()):
        assert np.array_equal(blend.gp_gan(*case(), at=(45, 45), network=weights), expected)


def test_weights_that_come_with_it_are_taken_by_their_name() -> None:
    expected = blend.gp_gan(*case(), at=(45, 45), network=models.load("gp-gan-small"))
    assert np.array_equal(blend.gp_gan(*case(), at=(45, 45), network="gp-gan-small"), expected)
    assert np.array_equal(blend.gp_gan(*case(), at=(45, 45)), expected)
    assert not np.array_equal(blend.gaussian_poisson(*case(), at=(45, 45)), expected)


def test_a_model_is_no_weights() -> None:
    for name in ("gp_gan", "gp-gan"):
        with pytest.raises(WeightsError, match=r"network: .*`pyharmony train --model gp_gan --data ROOT` trains"):
            blend.gp_gan(*case(), at=(45, 45), network=name)


@pytest.mark.parametrize("options", [{}, {"preserve_background": False, "color_weight": 2.0, "smooth_sigma": 0.5}])
def test_where_no_network_is_named_the_one_in_the_box_runs(options: dict[str, Any]) -> None:
    result, info = blend.gp_gan(*case(), at=(45, 45), return_info=True, **options)
    expected, its = blend.gp_gan(*case(), at=(45, 45), network="gp-gan-small", return_info=True, **options)
    assert np.array_equal(result, expected)
    assert (info.method, info.max_error) == (its.method, its.max_error)
    with pytest.raises(WeightsError, match="the blending generator, expected that from noise for supervised=False"):
        blend.gp_gan(*case(), at=(45, 45), supervised=False, **options)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    src, dst, mask = case()
    other = models.create("realism_cnn", size=32, widths=(8, 8, 16))
    path = tmp_path / "realism.safetensors"
    models.save(other, path)
    (tmp_path / "pickle.pth").write_bytes(b"PK\x03\x04")
    noise, blending = narrow(supervised=False), narrow()
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"network": other}, WeightsError, "network: a realism_cnn, expected a gp_gan"),
        ({"network": path}, WeightsError, "network: a realism_cnn, expected a gp_gan"),
        ({"network": tmp_path / "absent.safetensors"}, WeightsError, "there is no such file"),
        ({"network": tmp_path / "pickle.pth"}, WeightsError, "pickle"),
        ({"network": 3}, DTypeError, "network: int, expected a gp_gan"),
        ({"network": noise, "supervised": True}, WeightsError, "expected the blending one for supervised=True"),
        ({"network": blending, "supervised": False}, WeightsError, "expected that from noise for supervised=False"),
        ({"network": noise, "nz": 7}, WeightsError, "its noise has 6 values, expected nz=7"),
        ({"network": noise, "nz": 0}, ArgumentError, "nz: 0, expected a whole number of at least 1"),
        ({"network": noise, "n_iteration": 1.5}, DTypeError, "n_iteration: float 1.5"),
        ({"network": noise, "n_iteration": 0}, ArgumentError, "n_iteration: 0"),
        ({"network": noise, "seed": -1}, ArgumentError, "seed: -1"),
        ({"network": noise, "supervised": 1}, DTypeError, "supervised: 1, expected None, True or False"),
        ({"network": blending, "as_published": True}, ArgumentError, "True with as_published=True"),
        ({"network": blending, "sigma": 2}, ArgumentError, "sigma: 2"),
        ({"network": blending, "gradient_kernel": "x"}, ArgumentError, "gradient_kernel: 'x'"),
    ]
    for options, kind, says in cases:
        with pytest.raises(kind, match=says):
            blend.gp_gan(src, dst, mask, at=(45, 45), **options)
    with pytest.raises(ShapeError, match=r"composite: shape \[32, 64, 3\], expected \[64, 64, 3\]"):
        model.guess(blending.generator, np.zeros((32, 64, 3), np.float32))
    with torch.no_grad():
        blending.generator.decoder.last.weight.fill_(float("nan"))
    with pytest.raises(WeightsError, match="its image contains NaN or Inf"):
        blend.gp_gan(src, dst, mask, at=(45, 45), network=blending)


def test_pixels_that_only_the_network_reads_are_finite_too() -> None:
    src, dst, mask = case("float32")
    dst[20, 90] = np.nan
    blend.gaussian_poisson(src, dst, mask, at=(45, 45))
    with pytest.raises(ArgumentError, match=r"dst: nan at pixel \(y=20, x=90\)"):
        blend.gp_gan(src, dst, mask, at=(45, 45), network=narrow())


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\nimport numpy as np\nfrom pyharmony import blend\n"
        "a = np.zeros((9, 9, 3), np.uint8)\nblend.alpha(a, a)\n"
        "for options in ({}, {'network': 'a.safetensors'}):\n"
        "    try:\n        blend.gp_gan(a, a, **options)\n    except ImportError as error:\n        print(error)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    for line in process.stdout.splitlines():
        assert line.startswith(
            "blend.gp_gan runs a network; blend.gaussian_poisson blends without one. torch is missing"
        )
        assert ": pip install 'torch" in line
    assert len(process.stdout.splitlines()) == 2, process.stderr


# The command line


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from pyharmony.cli._app import app

    monkeypatch.chdir(tmp_path)
    src, dst, mask = case()
    for name, array in (("src", src), ("dst", dst), ("mask", mask)):
        Image.fromarray(array).save(f"{name}.png")
    models.save(narrow(), "blending.safetensors")
    models.save(narrow(supervised=False), "noise.safetensors")
    models.save(models.create("realism_cnn", size=32, widths=(8, 8, 16)), "other.safetensors")

    def run(options: str, code: int = 0) -> Any:
        command = f"blend src.png dst.png mask.png -o out.png --overwrite --at 45,45 --mode gp-gan {options}"
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == code, (result.stderr, result.exception)
        return result

    for options, arguments in (
        ("", {}),
        ("--network blending.safetensors", {"network": narrow()}),
        ("--network blending.safetensors --supervised --color-weight 3", {"network": narrow(), "color_weight": 3}),
        (
            "--network noise.safetensors --unsupervised --nz 6 --n-iteration 4 --seed 3",
            {"network": narrow(supervised=False), "n_iteration": 4, "seed": 3},
        ),
        (
            "--network blending.safetensors --no-preserve-background --as-published",
            {"network": narrow(), "preserve_background": False, "as_published": True},
        ),
    ):
        run(options)
        expected = blend.gp_gan(src, dst, mask, at=(45, 45), **arguments)
        assert np.array_equal(np.asarray(Image.open("out.png")), expected)
    assert '"network": "blending.safetensors"' in run("--network blending.safetensors --json").stdout
    assert np.array_equal(
        np.asarray(Image.open("out.png")), blend.gp_gan(src, dst, mask, at=(45, 45), network=narrow())
    )
    run("--supervised --network gp-gan-small")
    assert "and --unsupervised needs the one from noise" in run("--unsupervised", code=6).stderr
    assert "--network: a realism_cnn, expected a gp_gan" in run("--network other.safetensors", code=6).stderr
    assert "there is no such file" in run("--network absent.safetensors", code=6).stderr
    assert "--network: its noise has 6" in run("--network noise.safetensors --nz 5", code=6).stderr

    Path("list.csv").write_text(
        "src,dst,mask,out,at,mode,network,supervised,n-iteration,seed,nz\n"
        '"src.png",dst.png,mask.png,a.png,"45,45",gp-gan,noise.safetensors,no,4,3,6\n'
        '"src.png",dst.png,mask.png,b.png,"45,45",gp-gan,noise.safetensors,,4,3,\n'
        '"src.png",dst.png,mask.png,c.png,"45,45",gp-gan,gp-gan-small,,,,\n'
    )
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    result = CliRunner().invoke(app, ["blend", "--list", "../list.csv"])
    assert result.exit_code == 0, result.stderr
    expected = blend.gp_gan(
        src, dst, mask, at=(45, 45), network=tmp_path / "noise.safetensors", n_iteration=4, seed=3
    )  # fmt: skip
    for name in ("a", "b"):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"{name}.png")), expected)
    own = blend.gp_gan(src, dst, mask, at=(45, 45), network="gp-gan-small")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), own)
