"""Makes the training data of the bundled presets, and adds trained weights to the package.

    python tools/presets.py composites PHOTOS... --split train -o train
    python tools/presets.py composites PHOTOS... --split val --per-photo 6 -o val
    python tools/presets.py pastes PHOTOS... --split train -o train
    pyharmony evaluate --data TRIPLES --split test --network run/best.safetensors --json > test.json
    python tools/presets.py average first/last.safetensors second/last.safetensors --part judge=0.4 -o mean.safetensors
    python tools/presets.py ship run/best.safetensors dovenet-small about.json --evaluation "triples, test=test.json"
    python tools/presets.py seams BLENDING... --generator gp-gan-small

PHOTOS are folders with a manifest.json, as `learn.data.Manifest` reads them, or with images and masks. The outputs
are shards for `pyharmony train`; the card of each preset lists the commands that made it. about.json has the fields of
`pyharmony.networks.models.Weights` that the file does not determine; `ship` writes rounded weights and their entry.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pyharmony import color
from pyharmony.learn import data

#: The methods that change an object's colours, and their shares: the transfers of the harmonisation benchmarks first.
METHODS = {
    "reinhard": 2, "xiao_ma": 2, "fecker": 2, "idt": 2, "mkl": 1, "match_histogram": 1, "luminance_temperature": 1,
    "retouch": 3, "lut_mix": 4, "temperature": 1, "brightness_contrast": 1,
}  # fmt: skip


class Memory(data.Dataset):
    """Samples that are stored in memory."""

    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self.samples, self.names = samples, [sample["name"] for sample in samples]

    def _load(self, index: int) -> dict[str, Any]:
        return dict(self.samples[index])


def photos(roots: list[Path], split: str, size: int, masked: bool) -> list[dict[str, Any]]:
    """Returns the photographs of a split at size x size pixels; those without a mask only if `masked` is False."""
    samples = []
    for root in roots:
        if (root / "manifest.json").is_file():
            every = data.Manifest(root, split)
            masks = ["mask" in entries for entries in every.entries]
        else:
            every, masks = data.Photos(root), None
        for index, name in enumerate(every.names):
            if masked and masks is not None and not masks[index]:
                continue
            sample = every[index]
            roles = {role: sample[role] for role in ("image", "mask") if role in sample}
            try:
                samples.append({**data.resize_sample(roles, size), "name": f"{root.name}/{name}"})
            except Exception as error:  # an object that vanishes at this size
                print(f"{name}: {error}", file=sys.stderr)
    return samples


def composites(arguments: argparse.Namespace) -> None:
    """Makes composites from photographs by recolouring their objects."""
    photographs = photos(arguments.photos, arguments.split, arguments.size, masked=True)
    random = np.random.default_rng((arguments.seed, len(photographs)))
    lit = [
        {**sample, "image": _lit(sample["image"], random), "name": f"{sample['name']}_light{k}"}
        for k in range(arguments.lights) for sample in photographs
    ]  # fmt: skip
    recolored = data.Synthesis(Memory(photographs + lit), METHODS, per_photo=arguments.per_photo, seed=arguments.seed)
    data.write_shards(recolored, arguments.output, arguments.size, errors="skip")
    print(f"{arguments.output}: {len(photographs)} photographs, {len(recolored)} composites")


def _pasted(sample: dict[str, Any], size: int, random: np.random.Generator) -> dict[str, Any]:
    """Returns two crops of one photograph with different colours, with a part of one of them pasted into the other."""
    image = sample["image"]
    side = int(random.integers(size, min(image.shape[:2]) + 1))
    top, left = (int(random.integers(n - side + 1)) for n in image.shape[:2])
    crop = Image.fromarray(image[top : top + side, left : left + side])
    crop = np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))
    crop = np.ascontiguousarray(crop[:, ::-1] if random.integers(2) else crop)
    pair = {role: _lit(crop, random) if random.random() < share else crop for role, share in (("src", 1), ("dst", 0.5))}
    shape = "square" if random.random() < 0.4 else "free"
    part = data.PairComposites(
        Memory([{"name": "pair", **pair}]), load_size=size, crop_size=size, mask=shape,
        ratio=float(random.uniform(0.35, 0.6)), seed=int(random.integers(2**31)),
    )  # fmt: skip
    return part[0]


def _lit(picture: Any, random: np.random.Generator) -> Any:
    """Returns the image in another light."""
    whole = np.full(picture.shape[:2], 255, np.uint8)
    kind = int(random.integers(4))
    if kind == 0:
        luts = [color.random_lut(random) for _ in range(4)]
        return color.lut_mix(picture, luts, whole, weights=random.dirichlet(np.ones(4)))
    if kind == 1:
        return color.shift_temperature(picture, float(random.choice([-1, 1]) * random.uniform(25, 100)), whole)
    if kind == 2:
        lift, gain = float(random.uniform(-0.2, 0.2)), float(random.uniform(-0.4, 0.6))
        return color.brightness_contrast(picture, whole, brightness=lift, contrast=gain)
    return color.retouch(picture, whole, rng=random)[0]


class Pastes(data.Dataset):
    def __init__(self, memory: Memory, per_photo: int, size: int, seed: int) -> None:
        self.memory, self.per, self.size, self.seed = memory, per_photo, size, seed
        self.names = [f"{name}_{k}" for name in memory.names for k in range(per_photo)]

    def _load(self, index: int) -> dict[str, Any]:
        random = np.random.default_rng((self.seed, index))
        return {**_pasted(self.memory[index // self.per], self.size, random), "name": self.names[index]}


def pastes(arguments: argparse.Namespace) -> None:
    """Makes recoloured parts of photographs, pasted at their original position: the training data of GP-GAN."""
    memory = Memory(photos(arguments.photos, arguments.split, 2 * arguments.size, masked=False))
    dataset = Pastes(memory, arguments.per_photo, arguments.size, arguments.seed)
    data.write_shards(dataset, arguments.output, arguments.size, errors="skip")
    print(f"{arguments.output}: {len(memory)} photographs, {len(dataset)} pastes")


def figures_of(text: str) -> list[dict[str, Any]]:
    """Returns the results in LABEL=FILE, where FILE is the output of `pyharmony evaluate --json` for one network."""
    label, _, file = text.rpartition("=")
    report = json.loads(Path(file).read_text("utf-8"))
    every = {summary["method"]: summary for summary in report["summaries"] if summary["group"] == "all"}
    before = every.pop("composite")
    (summary,) = every.values()
    common = {"data": label, "images": summary["count"]}
    figures = []
    for key, name in (("psnr", "PSNR"), ("fmse", "fMSE")):
        value, gain = summary["means"][key], summary["gains"][key]
        value_before = before["means"][key]["mean"]
        figures.append({**common, "measure": name, "value": value["mean"], "before": value_before} | ends(value))
        figures.append({**common, "measure": f"{name}, mean change", "value": gain["mean"]} | ends(gain))
    return figures


def ends(interval: dict[str, float]) -> dict[str, float]:
    return {"low": interval["low"], "high": interval["high"]}


def weaken(model: Any, strength: float) -> None:
    """Scales down the change by a residual generator, which is too strong if little is to be changed."""
    if not getattr(model.config, "residual", False):
        raise SystemExit(f"--strength: {model.name} is not residual")
    last = (model.generator.unet if model.name == "dovenet" else model.generator.net).last
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.mul_(strength)


def round_weights(model: Any) -> None:
    """Rounds weights to the 8 significant bits of bfloat16: the other bits of float16 would be a sixth of the wheel."""
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.copy_(value.bfloat16())


def average(arguments: argparse.Namespace) -> None:
    """Writes the weighted mean of two runs of one network, one of which started from the weights of the other."""
    from pyharmony.networks import models

    parts = {name: float(share) for name, _, share in (text.partition("=") for text in arguments.part)}
    first, second = (models.load(path) for path in (arguments.first, arguments.second))
    for start in parts:
        if not any(name.startswith(start) for name, _ in first.named_parameters()):
            raise SystemExit(f"--part: {start}, which begins the name of no parameter of {first.name}")
    # Weights of an input that only the first has count as 0 in the second.
    mean = models.create(first.name, **vars(first.config))
    mean.start_from(second)
    other = first.state_dict()
    with torch.no_grad():
        for name, value in mean.state_dict().items():
            if value.is_floating_point():
                shares = [share for start, share in parts.items() if name.startswith(start)]
                value.lerp_(other[name], shares[0] if shares else arguments.share)
    models.save(mean, arguments.output)


def packed(content: bytes) -> bytes:
    """Returns a file of weights in fewer bytes, with the same weights.

    The counters of norms, which affect no output, are removed, and the smallest tensors come first: the offsets of the
    others then have fewer digits.
    """
    from pyharmony._header import table_of

    table, values = table_of(content, content), content[8 + int.from_bytes(content[:8], "little") :]
    metadata = table.pop("__metadata__")
    parts = {
        key: values[slice(*entry["data_offsets"])]
        for key, entry in table.items()
        if not key.endswith(".num_batches_tracked")
    }
    header_table: dict[str, Any] = {"__metadata__": metadata}
    order, end = sorted(parts, key=lambda key: (len(parts[key]), key)), 0
    for key in order:
        start, end = end, end + len(parts[key])
        header_table[key] = {**table[key], "data_offsets": [start, end]}
    header = json.dumps(header_table, separators=(",", ":")).encode()
    # Tensors begin at a multiple of 8 bytes.
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + b"".join(parts[key] for key in order)


def ship(arguments: argparse.Namespace) -> None:
    """Writes weights and their entry in the manifest."""
    from pyharmony import _shipped
    from pyharmony.networks import models

    about = json.loads(arguments.about.read_text("utf-8"))
    about["figures"] = about.get("figures", []) + [f for text in arguments.evaluation for f in figures_of(text)]
    model = models.load(arguments.weights)
    if arguments.strength != 1:
        weaken(model, arguments.strength)
    round_weights(model)
    file = f"{arguments.name}.safetensors"
    path = _shipped.FOLDER / file
    part = "generator" if isinstance(model, models.Adversarial) else "all"
    models.save(model, path, dtype="float16", part=part)
    path.chmod(0o644)  # safetensors makes the file readable only for its user, and a wheel preserves that
    content = packed(path.read_bytes())
    path.write_bytes(content)
    task = next(info.task for info in models.list() if info.name == model.name)
    digest = hashlib.sha256(content).hexdigest()
    entry = {"name": arguments.name, "model": model.name, "task": task, "file": file, "bytes": len(content)}
    entry |= {"sha256": digest, **about}
    _shipped.Weights(**entry)  # fields that about.json lacks are an error before the manifest is written
    others = [dataclasses.asdict(one) for one in _shipped.manifest() if one.name != arguments.name]
    table = {"format": 1, "weights": sorted([*others, entry], key=lambda one: one["name"])}
    (_shipped.FOLDER / "manifest.json").write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", "utf-8")
    _shipped.read(next(one for one in _shipped.manifest() if one.name == arguments.name))
    print(f"{path}: {len(content):,} bytes")


def seams(arguments: argparse.Namespace) -> None:
    """Prints a table of blends with the membrane and with a network as their base.

    A cell has the seam error, and the change of the object's mean colour from src, in 8-bit levels.
    """
    from pyharmony import blend
    from pyharmony.learn import metrics
    from pyharmony.networks.models.gp_gan import generator_of

    net = generator_of(arguments.generator)
    blends = {
        "alpha": blend.alpha,
        "gaussian_poisson, membrane": blend.gaussian_poisson,
        "gp_gan": lambda *images: blend.gp_gan(*images, network=net),
        "gaussian_poisson, membrane, whole": lambda *images: blend.gaussian_poisson(*images, preserve_background=False),
        "gp_gan, whole": lambda *images: blend.gp_gan(*images, network=net, preserve_background=False),
    }
    print("| pair |" + "".join(f" {name} |" for name in blends) + f"\n|{'---|' * (len(blends) + 1)}")

    def row(name: str, figures: Any) -> str:
        return f"| {name} |" + "".join(f" {seam:.2f}, {colour:.1f} |" for seam, colour in figures)

    rows = []
    for root in arguments.roots:
        for sample in data.Manifest(root, roles=("src", "dst", "mask")):
            src, dst, mask = sample["src"], sample["dst"], sample["mask"]
            inside = mask >= 128
            pictures = [call(src, dst, mask) for call in blends.values()]
            colours = [np.abs(picture[inside].mean(0) - src[inside].mean(0)).mean() for picture in pictures]
            rows.append([(metrics.seam_error(p, src, dst, mask), c) for p, c in zip(pictures, colours)])
            print(row(sample["name"], rows[-1]))
            if arguments.pictures is not None:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                pasted = np.where(inside[..., None], src, dst)
                sheet = np.concatenate([pasted, *pictures], 1)
                Image.fromarray(sheet).save(arguments.pictures / f"{sample['name']}.jpg")
    print(row("mean", np.mean(rows, 0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run, size, per_photo in ((composites, 144, 24), (pastes, 64, 12)):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.add_argument("photos", nargs="+", type=Path)
        command.add_argument("--split", default="train")
        command.add_argument("--size", type=int, default=size)
        command.add_argument("--per-photo", type=int, default=per_photo)
        command.add_argument("--seed", type=int, default=0)
        if run is composites:
            command.add_argument("--lights", type=int, default=0, help="other lights that each photograph is put in")
        command.add_argument("-o", "--output", type=Path, required=True)
        command.set_defaults(run=run)
    command = commands.add_parser("average", help=average.__doc__)
    command.add_argument("first", type=Path)
    command.add_argument("second", type=Path)
    command.add_argument("--share", type=float, default=0.5, help="of the first; default: %(default)s")
    command.add_argument("--part", action="append", default=[], metavar="START=SHARE", help="of names that begin so")
    command.add_argument("-o", "--output", type=Path, required=True)
    command.set_defaults(run=average)
    command = commands.add_parser("ship", help=ship.__doc__)
    command.add_argument("weights", type=Path)
    command.add_argument("name")
    command.add_argument("about", type=Path)
    command.add_argument("--strength", type=float, default=1.0, help="of what a residual generator adds")
    command.add_argument("--evaluation", action="append", default=[], metavar="LABEL=FILE")
    command.set_defaults(run=ship)
    command = commands.add_parser("seams", help=seams.__doc__)
    command.add_argument("roots", nargs="+", type=Path)
    command.add_argument("--generator", default="gp-gan-small")
    command.add_argument("--pictures", type=Path, help="a folder for sheets")
    command.set_defaults(run=seams)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
