"""Prints hashes of the results of about 1,400 calls on the photographs of the documentation: JSON, one for each call.

    python tools/result_hashes.py --out before.json              # at one commit
    python tools/result_hashes.py --compare before.json          # at another: names results that differ; exit code 1
    python tools/result_hashes.py --compare before.json --only blend,place

For changes that must not change any result: run both on one machine, with the same versions of NumPy and torch.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import itertools
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import pyharmony
from pyharmony import augment, batch, blend, color, losses, metrics, models, nn, ops
from pyharmony.errors import PyHarmonyError

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT / "docs" / "images" / "photos"
DEMO = ROOT / "pyharmony" / "cli" / "images"
SCENES = ("street", "market", "camp", "jetty", "roofs", "desk")
#: Photographs of one person each, and a click on the person.
SUBJECTS = {"cowgirl": (294, 271), "coat": (128, 160), "astronaut": (220, 120)}
DTYPES = ("uint8", "uint16", "float32")

Call = Callable[[], Any]
Pixels = npt.NDArray[Any]


def digest(value: Any) -> bytes:
    """Returns bytes that are equal for equal results: arrays with dtypes and shapes, others by their text."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, Image.Image):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    if isinstance(value, dict):
        return b"{" + b",".join(str(key).encode() + b":" + digest(value[key]) for key in value) + b"}"
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(map(digest, value)) + b"]"
    if isinstance(value, bytes):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
        return b"(" + b",".join(digest(getattr(value, name)) for name in names) + b")"
    return repr(value).encode()


def hash_of(call: Call) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = digest(call())
        except PyHarmonyError as error:
            result = f"{type(error).__name__} {error.code}".encode()
    return hashlib.sha256(result).hexdigest()[:16]


def photo(name: str, width: int = 320) -> Pixels:
    folder = PHOTOS if (PHOTOS / f"{name}.jpg").exists() else DEMO
    image = np.asarray(pyharmony.load(next(folder.glob(f"{name}.*"))))
    step = max(1, round(image.shape[1] / width))
    return np.ascontiguousarray(image[::step, ::step, :3])


def as_dtype(image: Pixels, dtype: str) -> Pixels:
    if dtype.startswith("float"):
        return (image / 255).astype(dtype)
    return image.astype(dtype) * (257 if dtype == "uint16" else 1)


def blob(height: int, width: int, seed: int = 0) -> Pixels:
    """Returns a mask [height, width] of an uneven disc, 0 to 255, with a soft edge."""
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    radius = (0.32 + 0.08 * np.sin(3 * angle + seed)) * min(height, width)
    away = radius - np.hypot(y - height / 2, x - width / 2)
    return (np.clip(away / 3 + 0.5, 0, 1) * 255).astype(np.uint8)


def blob_on(image: Pixels, seed: int = 0) -> Pixels:
    return blob(image.shape[0], image.shape[1], seed)


def blends() -> Iterator[tuple[str, Call]]:
    options: dict[str, list[dict[str, Any]]] = {
        "alpha": [{}, {"feather": 4}, {"decontaminate": False}],
        "poisson": [{}, {"gradients": "mixed"}, {"contour": "full"}, {"color_weight": 0.05}],
        "gaussian_poisson": [{}, {"base": "copy-paste"}, {"color_weight": 0.3}, {"preserve_background": False}],
        "laplacian": [{}, {"levels": 3}],
    }
    src, dst = photo("cup", 120), photo("desk", 320)
    soft = blob_on(src)
    masks = {"soft": soft, "hard": soft > 127, "rectangle": None}
    spots = {"inside": (150, 90), "border": (10, 200), "beyond": (-40, 30)}
    for name, dtype, mask, spot in itertools.product(options, (*DTYPES, "float64"), masks, spots):
        for number, more in enumerate(options[name]):
            for channels in (1, 3) if number == 0 else (3,):
                images = [as_dtype(image[..., :channels], dtype) for image in (src, dst)]
                call = partial(getattr(blend, name), *images, masks[mask], at=spots[spot], **more)
                yield f"blend/{name}/{dtype}/{mask}/{spot}/{channels}/{number}", call
    edits = ("detail_boost", "illumination_change", "inpaint", "texture_flattening")
    for name, dtype, size in itertools.product(edits, DTYPES, (160, 320)):
        image = as_dtype(photo("market", size), dtype)
        yield f"blend/{name}/{dtype}/{size}", partial(getattr(blend, name), image, blob_on(image))
    methods = ("alpha", "poisson", "laplacian", "gaussian_poisson")
    items = [{"src": src, "mask": soft, "at": (20 + 40 * k, 60), "method": method} for k, method in enumerate(methods)]
    yield "blend/paste_many", partial(blend.paste_many, dst, items)
    yield "blend/placed_mask", partial(blend.placed_mask, src, dst, soft, at=(30, 40), scale=0.7)
    yield "blend/gp_gan", partial(blend.gp_gan, dst[:64, :64].copy(), dst[64:128, 64:128].copy(), blob(64, 64))
    tiles = partial(blend.gaussian_poisson_tiles, dst, dst[::-1].copy(), blob_on(dst), np.empty_like(dst), tile=96)
    yield "blend/gaussian_poisson_tiles", tiles


def colours() -> Iterator[tuple[str, Call]]:
    methods = ("fecker", "idt", "luminance_temperature", "match_histogram", "mkl", "reinhard", "xiao_ma")
    pairs = (("market", "street"), ("jetty", "camp"), ("desk", "roofs"))
    for name, dtype, pair in itertools.product(methods, DTYPES, pairs):
        image, reference = (as_dtype(photo(one, 160), dtype) for one in pair)
        yield f"color/{name}/{dtype}/{pair[0]}", partial(getattr(color, name), image, reference, blob_on(image))
    image = photo("market", 160)
    for seed in range(8):
        yield f"color/retouch/{seed}", partial(color.retouch, image, rng=np.random.default_rng(seed))
    for name in color.__all__:
        if "_to_" in name:
            yield f"color/{name}", partial(getattr(color, name), image[::4, ::4] / 255)
    yield "color/shift_temperature", partial(color.shift_temperature, image, 30)
    yield "color/brightness_contrast", partial(color.brightness_contrast, image, brightness=0.1, contrast=0.2)
    luts = [color.random_lut(1), color.random_lut(2)]
    yield "color/lut_mix", partial(color.lut_mix, image, luts, weights=[0.4, 0.6])


def matches() -> Iterator[tuple[str, Call]]:
    calls = ("match_grain", "match_sharpness", "shadow", "reflection", "harmony_score", "realism_score")
    for scene, dtype in itertools.product(SCENES, DTYPES):
        image = as_dtype(photo(scene, 240), dtype)
        mask = blob_on(image)
        for method in pyharmony.harmonization.METHODS:
            yield f"harmonize/{method}/{dtype}/{scene}", partial(pyharmony.harmonize, image, mask, method=method)
        for name in calls:
            yield f"{name}/{dtype}/{scene}", partial(getattr(pyharmony, name), image, mask)
    image = photo("street", 240)
    options: tuple[dict[str, Any], ...] = (
        {"tip": (30, 200)}, {"horizon": 40}, {"wall": 150.0}, {"softness": 12, "strength": 0.3}, {"depth": 0.2},
    )  # fmt: skip
    for number, more in enumerate(options):
        yield f"shadow/options/{number}", partial(pyharmony.shadow, image, blob_on(image), **more)
    for scale in (2, 4):
        yield f"super_resolve/{scale}", partial(pyharmony.super_resolve, image[:48, :48].copy(), scale)


def segments() -> Iterator[tuple[str, Call]]:
    for name in (*SCENES, *SUBJECTS):
        image = photo(name, 480)
        height, width = image.shape[:2]
        for number, spot in enumerate(((0.5, 0.5), (0.3, 0.6), (0.7, 0.6))):
            point = (int(width * spot[0]), int(height * spot[1]))
            yield f"segment/{name}/point/{number}", partial(pyharmony.segment, image, points=point)
        box = (width // 4, height // 4, width // 2, height // 2)
        yield f"segment/{name}/people", partial(pyharmony.segment, image, all_people=True)
        yield f"segment/{name}/box", partial(pyharmony.segment, image, box=box)
        yield f"segment/{name}/grabcut", partial(pyharmony.segment, image, box=box, method="grabcut")


def composites() -> Iterator[tuple[str, Call]]:
    options: tuple[dict[str, Any], ...] = (
        {}, {"at": (200, 150), "scale": 0.5, "shadow": True}, {"harmonize": "reinhard", "blend": "poisson"},
        {"at": (60, 90), "scale": 0.4, "reflection": True, "blend": "gaussian_poisson", "angle": 10.0},
        {"strength": 0.0, "seed": 3, "flip": True}, {"strength": 1.6, "behind": (), "upscale": None},
    )  # fmt: skip
    for name, scene in itertools.product(SUBJECTS, SCENES):
        subject, background, point = photo(name, 640), photo(scene, 480), SUBJECTS[name]

        def places(subject: Pixels = subject, background: Pixels = background, point: Any = point) -> Any:
            return pyharmony.place(subject, background, mask=pyharmony.segment(subject, points=point)[0], k=3)

        yield f"place/{name}/{scene}", places
        for number, more in enumerate(options):
            call = partial(pyharmony.compose, subject, background, points=point, **more)
            yield f"compose/{name}/{scene}/{number}", call
    subjects = [photo(name, 640) for name in SUBJECTS]
    together = partial(pyharmony.compose, subjects, points=list(SUBJECTS.values()), return_info=True)
    yield "compose/three", lambda: together(photo("street", 480))[0]
    yield "compose/recipe", lambda: json.dumps(together(photo("market", 480))[1].recipe, default=str)


def photographs() -> Iterator[tuple[str, Call]]:
    options: tuple[dict[str, Any], ...] = (
        {}, {"align": False}, {"colors": "edit"}, {"sharpness": False, "grain": False},
    )  # fmt: skip
    for scene in SCENES:
        image = photo(scene)
        height, width = image.shape[:2]
        person, friend = np.zeros((height, width), bool), np.zeros((height, width), bool)
        person[height // 3 : height // 2, 20:60], friend[height // 2 : -20, -80:-30] = True, True
        photos = [image.copy(), np.roll(image, (2, 3), (0, 1))]
        photos[1][person], photos[0][friend] = (220, 60, 40), (40, 60, 220)
        for base in (0, 1, "auto"):
            yield f"merge/{scene}/{base}", partial(pyharmony.merge, photos, base=base, people=[[friend], [person]])
        edit = np.clip(image * 1.05 + 4, 0, 255).astype(np.uint8)
        edit[60:110, 80:150] = (250, 30, 30)
        for dtype, (number, more) in itertools.product(DTYPES, enumerate(options)):
            call = partial(pyharmony.apply_edit, as_dtype(image, dtype), edit, **more)
            yield f"apply_edit/{scene}/{dtype}/{number}", call


def networks() -> Iterator[tuple[str, Call]]:
    import torch

    def parameters(name: str, preset: str | None) -> Any:
        torch.manual_seed(0)
        model = models.create(name, preset)
        return [dict(model.state_dict()), list(map(str, models.layers(model)))]

    def with_gradients(function: Callable[..., Any], *inputs: Any) -> Any:
        result = function(*inputs)
        (result[0] if isinstance(result, tuple) else result).square().sum().backward()
        return [result, [one.grad for one in inputs]]

    def tensor(*shape: int) -> Any:
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32)).requires_grad_()

    for info in models.list():
        for preset in (None, *info.presets):
            yield f"networks/{info.name}/{preset}", partial(parameters, info.name, preset)
    random = np.random.default_rng(0)
    for kernel, stride, channels in itertools.product((1, 3, 5), (1, 2), (3, 8)):
        x, weight = tensor(2, channels, 20, 24), tensor(6, channels, kernel, kernel)
        mask = torch.from_numpy((random.random((2, 1, 20, 24)) > 0.3).astype(np.float32))
        convolution = partial(ops.partial_conv2d, mask=mask, stride=stride)
        yield f"ops/partial_conv2d/{kernel}/{stride}/{channels}", partial(with_gradients, convolution, x, weight)
    torch.manual_seed(0)
    for layer in (nn.Conv2d(3, 8, 3), torch.nn.Linear(6, 4)):
        yield f"nn/spectral_norm/{type(layer).__name__}", partial(getattr, nn.spectral_norm(layer), "weight")
    for shape in ((2, 3, 16, 16), (1, 8, 33, 20)):
        for norm in (nn.InstanceNorm2d, nn.BatchNorm2d):
            yield f"nn/{norm.__name__}/{shape}", partial(with_gradients, norm(shape[1]), tensor(*shape))
    first, second = (torch.from_numpy(random.random((2, 3, 64, 64)).astype(np.float32)) for _ in range(2))
    region = torch.from_numpy(blob(64, 64)).float()[None, None].expand(2, 1, 64, 64) / 255
    for name in ("foreground_mse", "masked_l1", "masked_l2"):
        yield f"losses/{name}", partial(getattr(losses, name), first, second, region)
    for name in ("rgb_to_hls", "rgb_to_hsv", "gram", "total_variation"):
        yield f"losses/{name}", partial(getattr(losses, name), first)


def training_images() -> Iterator[tuple[str, Call]]:
    one, other = photo("market", 160)[:104], photo("street", 160)[:104]
    for name in ("mse", "psnr", "ssim"):
        yield f"metrics/{name}", partial(getattr(metrics, name), one, other)
        yield f"metrics/f{name}", partial(getattr(metrics, f"f{name}"), one, other, blob_on(one))
    photos = [photo(name, 160) for name in SCENES]
    donors = [augment.Donor(image, blob_on(image, seed), label=seed) for seed, image in enumerate(photos)]
    methods = ("alpha", "poisson", "gaussian_poisson", "random")
    for method, share, seed in itertools.product(methods, (0.0, 0.5), range(6)):
        paste = augment.CopyPaste(augment.Bank(donors), n=(1, 4), blend=method, harmonize_probability=share, seed=seed)
        yield f"augment/{method}/{share}/{seed}", partial(paste, photo("bricks"), boxes_xyxy=[], labels=[], index=3)


def files() -> Iterator[tuple[str, Call]]:
    def written(format: Any, dtype: str) -> Any:
        stream = io.BytesIO()
        pyharmony.save(as_dtype(photo("market", 160), dtype), stream, format=format)
        return [stream.getvalue(), pyharmony.load(io.BytesIO(stream.getvalue()))]

    for format, dtype in itertools.product(("png", "tiff", "jpeg", "webp", "bmp"), ("uint8", "uint16")):
        yield f"files/{format}/{dtype}", partial(written, format, dtype)
    for path in sorted(PHOTOS.glob("*.jpg")):
        yield f"files/load/{path.stem}", partial(pyharmony.load, path)


def batches() -> Iterator[tuple[str, Call]]:
    def outputs(operation: str, options: dict[str, Any]) -> Any:
        with tempfile.TemporaryDirectory() as name:
            images, masks, out = (Path(name) / part for part in ("images", "masks", "out"))
            for scene in SCENES[:3]:
                image = photo(scene, 160)
                for folder, pixels in ((images, image), (masks, blob_on(image))):
                    folder.mkdir(exist_ok=True)
                    pyharmony.save(pixels, folder / f"{scene}.png")
            batch.run(operation, images, out, options=options)
            return {path.name: pyharmony.load(path) for path in sorted(out.rglob("*.png"))}

    yield "batch/harmonize", partial(outputs, "harmonize", {})
    yield "batch/harmonize/reinhard", partial(outputs, "harmonize", {"method": "reinhard"})
    yield "batch/shadow", partial(outputs, "shadow", {})
    yield "batch/super-resolve", partial(outputs, "super-resolve", {})


KINDS = (
    blends, colours, matches, segments, composites, photographs, networks, training_images, files, batches,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the file to write; without it the hashes are printed")
    parser.add_argument("--compare", type=Path, help="a file that was written before")
    parser.add_argument("--only", default="", help="the beginnings of the names of calls, with commas between them")
    arguments = parser.parse_args()
    pyharmony.set_num_threads(1)
    starts = tuple(arguments.only.split(","))
    hashes = {name: hash_of(call) for kind in KINDS for name, call in kind() if name.startswith(starts)}
    if arguments.compare is None:
        text = json.dumps(hashes, indent=0) + "\n"
        arguments.out.write_text(text) if arguments.out else print(text, end="")
        return
    every: dict[str, str] = json.loads(arguments.compare.read_text())
    before = {name: value for name, value in every.items() if name.startswith(starts)}
    differing = [name for name in before if hashes.get(name) != before[name]]
    print(f"{len(before)} results, {len(differing)} differ or are gone", *differing, sep="\n")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
