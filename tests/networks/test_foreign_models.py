"""A stranger's file of weights takes time and memory in proportion to what it holds, or is refused in our errors."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.foreign import confined
from tests.published_networks import saved_bundle

torch = pytest.importorskip("torch", reason="torch is not installed")
safetensors_torch = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")

from pyharmony import errors
from pyharmony.learn.training import _config, steps
from pyharmony.networks import models

pytestmark = pytest.mark.networks


def described(name: str, config: dict[str, Any], part: str = "all", tensors: dict[str, Any] | None = None) -> bytes:
    """Returns a file of these tensors, by default none, that says that it is this model."""
    entry = {"format": 1, "name": name, "config": config, "part": part}
    data: bytes = safetensors_torch.save(tensors or {}, {"pyharmony": json.dumps(entry)})
    return data


BOMBS = [
    ("dovenet", {"width": 700}), ("dovenet", {"width": 1200}), ("dovenet", {"discriminator_width": 100_000}),
    ("dovenet", {"width": 10**9}), ("dovenet", {"size": 2**60}), ("dovenet", {"size": 2**4000}),
    ("gp_gan", {"bottleneck": 100_000}), ("gp_gan", {"bottleneck": 10**6, "width": 10**6}), ("gp_gan", {"nz": 2**70}),
    ("srgan", {"blocks": 100_000}), ("srgan", {"blocks": 256}), ("attention_unet", {"depth": 100_000}),
    ("attention_unet", {"depth": 256}), ("pix2pix_selfie", {"depth": 10**5}), ("pct_net", {"layers": 10**6}),
    ("pct_net", {"encoder": "vit", "layers": 256, "token_width": 10**6, "hidden": 10**6}),
    ("colorgrid", {"stages": 10**9}), ("colorgrid", {"reach": [1.0] * 10**5}), ("colorgrid", {"drawn": [10**9] * 3}),
    ("realism_cnn", {"widths": [8] * 10**5}), ("realism_cnn", {"widths": [10**6] * 8}),
    ("dovenet_lite", {"discriminator_widths": [8] * 10**5}), ("dovenet_lite", {"width": 10**6}),
    ("bargainnet", {"width": 10**6}), ("unet3plus", {"branch": 10**6}), ("style_encoder", {"width": 10**6}),
    ("pix2pix", {"width": 10**6, "generator": "resnet_9blocks"}), ("pix2pix", {"dropout": "0.5"}),
]  # fmt: skip

LOAD = """
import base64, json, sys, time
from pyharmony import errors, models
before = time.process_time()
peak = peak_memory()
for line in open(sys.argv[1]):
    data = base64.b64decode(line)
    began = time.process_time()
    try:
        models.load(data)
        print("loaded", data[:200])
    except errors.WeightsError:
        pass
    spent = time.process_time() - began
    if spent > 10:
        print("slow", spent, data[:200])
grown = peak_memory() - peak
if grown > 400 << 10:
    print("large", grown)
"""


def test_a_description_without_its_tensors_costs_nothing(tmp_path: Path) -> None:
    """All take less than 10 s of CPU time a file and 400 MB, where a gigabyte and minutes were asked for."""
    import base64

    every = [described(name, config, part) for name, config in BOMBS for part in ("all", "generator")]
    (tmp_path / "files").write_text("".join(base64.b64encode(data).decode() + "\n" for data in every))
    assert confined(LOAD, tmp_path / "files", seconds=200, megabytes=4096) == ""


def test_a_discriminator_is_in_proportion_to_the_generator() -> None:
    """The generator is whole and small; what the file does not hold would take 12 GB."""
    small = models.create("pix2pix", width=2, discriminator_width=2)
    state = small.generator.state_dict()
    sound = models.load(described("pix2pix", {"width": 2, "discriminator_width": 64}, "generator", state))
    assert all(torch.equal(x, state[key]) for key, x in sound.generator.state_dict().items())
    with pytest.raises(errors.WeightsError, match=r"but its configured discriminator has \d+,\d+,\d+,\d+"):
        models.load(described("pix2pix", {"width": 2, "discriminator_width": 2000}, "generator", state))


def nested(depth: int) -> bytes:
    text = b'{"a":' * depth + b"1" + b"}" * depth
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        nested(100_000),
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        described("dovenet", {"width": {"a": 1}}),
        described("dovenet", {"width": None}),
        described("dovenet", {"width": [[]]}),
        described("dovenet", {"norm": ["instance"]}),
        described("style_encoder", {"decay": math.nan}),
        described("colorgrid", {"reach": ["a"]}),
        described("colorgrid", {"drawn": 5}),
        safetensors_torch.save({}, {"pyharmony": "[" * 100_000}),
        safetensors_torch.save({}, {"pyharmony": '{"format": 1, "name": [], "config": {}, "part": "all"}'}),
        safetensors_torch.save({}, {"pyharmony": '{"format": 1, "name": "dovenet", "config": {}, "part": []}'}),
    ],
)
def test_a_damaged_description_is_refused(data: bytes) -> None:
    with pytest.raises(errors.WeightsError):
        models.load(data)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused_by_load_as_by_save(tmp_path: Path, value: float) -> None:
    model = models.create("style_encoder", width=2, code=2)
    state = {key: x.clone() for key, x in model.state_dict().items()}
    key = next(key for key in state if key.endswith("weight"))
    state[key].view(-1)[-1] = value
    data = described("style_encoder", {"width": 2, "code": 2}, tensors=state)
    for target in (None, model):
        with pytest.raises(errors.WeightsError, match=f"{key} contains NaN or Inf"):
            models.load(data, model=target)
    model.load_state_dict(state)
    with pytest.raises(errors.WeightsError, match=key):
        models.save(model, tmp_path / "a.safetensors")


def test_large_weights_whose_sum_is_infinite_are_read() -> None:
    model = models.create("style_encoder", width=2, code=2)
    state = {key: x.clone() for key, x in model.state_dict().items()}
    key = next(key for key in state if key.endswith("weight"))
    state[key].view(-1)[:3] = 3e38
    loaded = models.load(described("style_encoder", {"width": 2, "code": 2}, tensors=state))
    assert torch.equal(loaded.state_dict()[key], state[key])


def test_a_value_that_is_finite_in_the_file_alone_is_refused() -> None:
    model = models.create("style_encoder", width=2, code=2)
    state = {key: x.double() if x.is_floating_point() else x for key, x in model.state_dict().items()}
    key = next(key for key in state if key.endswith("weight"))
    state[key].view(-1)[0] = 1e300
    with pytest.raises(errors.WeightsError, match="NaN or Inf"):
        models.load(described("style_encoder", {"width": 2, "code": 2}, tensors=state))
    state[key] = state[key].to(torch.complex64)
    with pytest.raises(errors.WeightsError, match="expected real numbers"):
        models.load(described("style_encoder", {"width": 2, "code": 2}, tensors=state))


@pytest.mark.parametrize("part", ["all", "generator"])
def test_sound_files_are_read_as_before(tmp_path: Path, part: Any) -> None:
    """Tensors that the file does not hold are as `create` makes them, from the same random numbers."""
    model = models.create("pix2pix", width=2, discriminator_width=2)
    models.save(model, tmp_path / "a.safetensors", part=part)
    torch.manual_seed(3)
    expected = models.create("pix2pix", width=2, discriminator_width=2)
    (expected if part == "all" else expected.generator).load_state_dict(
        (model if part == "all" else model.generator).state_dict()
    )
    torch.manual_seed(3)
    loaded = models.load(tmp_path / "a.safetensors")
    assert all(torch.equal(x, expected.state_dict()[key]) for key, x in loaded.state_dict().items())
    assert not any(x.is_meta for x in loaded.state_dict().values())


# Published weights


def test_damaged_published_files_are_refused(tmp_path: Path) -> None:
    """They are cut off, have turned bits, or are other pickles; whatever torch stumbles on is our error."""
    source = models.create("pix2pix", width=2, discriminator_width=2).generator.state_dict()
    torch.save({f"model.{key}": x for key, x in source.items()}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    torch.save(dict(source), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    old = (tmp_path / "old.pth").read_bytes()
    random = torch.Generator().manual_seed(0)
    cases = [whole[: len(whole) * i // 9] for i in range(9)] + [old[: len(old) * i // 9] for i in range(9)]
    for data in (whole, old):
        for _ in range(60):
            changed = bytearray(data)
            for at in torch.randint(min(len(data), 1500), (4,), generator=random).tolist():
                changed[at] = int(torch.randint(256, (1,), generator=random))
            cases.append(bytes(changed))
    for data in cases:
        (tmp_path / "x.pth").write_bytes(data)
        with pytest.raises(errors.WeightsError):
            models.convert(tmp_path / "x.pth", "pix2pix")


def test_a_published_tensor_that_says_it_is_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    torch.save({"model.0.weight": torch.zeros(1).expand(10**6, 3, 4, 4)}, tmp_path / "x.pth")
    with pytest.raises(errors.WeightsError, match="claims a larger size than its data"):
        models.convert(tmp_path / "x.pth", "pix2pix")


CLAIM = """
import sys
from pathlib import Path
from pyharmony import errors, models
peak = peak_memory()
for path in sorted(Path(sys.argv[1]).iterdir()):
    if path.suffix == ".data-00000-of-00001":
        continue
    for read in (models.load, lambda path: models.convert(path, "pix2pix")):
        try:
            read(path)
            print("read", path.name)
        except errors.WeightsError as error:
            if "llocat" in str(error) or "memory" in str(error):
                print(path.name, error)
grown = peak_memory() - peak
if grown > 300 << 10:
    print("large", grown)
"""


def test_a_tensor_whose_shape_is_beyond_its_bytes_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """Headers of a few bytes claim 17 GB and more, and the process may have four."""
    side, some = 1 << 16, torch.zeros(4, 4)
    for name, shape, end in (
        ("beyond", [side, side], 4 * side**2),
        ("short", [side, side], 64),
        ("over", [side] * 4, 64),
    ):
        table = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
        table["__metadata__"] = {"pyharmony": json.dumps({"format": 1, "name": "pix2pix", "config": {}, "part": "all"})}
        text = json.dumps(table).encode()
        (tmp_path / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (side, side)})
    for name, method in (("stored", zipfile.ZIP_STORED), ("packed", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w", method) as archive:
            archive.writestr("a.npy", header.getvalue() + bytes(64))
        packed = bytearray((tmp_path / f"{name}.npz").read_bytes())
        struct.pack_into("<I", packed, packed.index(b"PK\1\2") + 20, 0x7FFFFFFF)  # the packed size of the member
        (tmp_path / f"{name}-size.npz").write_bytes(packed)
    torch.save({"a": some}, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, count in (("storage.pth", b"\x8a\x05" + (side**2).to_bytes(5, "little")), ("shape.pth", b"K\x10")):
        pickle = next(key for key in members if key.endswith("data.pkl"))
        changed = members[pickle].replace(b"K\x10", count, 1)
        changed = changed.replace(b"K\x04K\x04\x86", b"J\0\0\1\0J\0\0\1\0\x86")
        assert changed != members[pickle]
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for key, data in {**members, pickle: changed}.items():
                archive.writestr(key, data)
    (tmp_path / "x.pth").unlink()
    old = io.BytesIO()
    torch.save({"a": some}, old, _use_new_zipfile_serialization=False)
    (tmp_path / "text.pth").write_bytes(old.getvalue().replace(b"X\x01\0\0\0a", b"X\xff\xff\xff\xffa", 1))
    assert (tmp_path / "text.pth").read_bytes() != old.getvalue()
    saved_bundle(tmp_path / "bundle", {"a": np.zeros((4, 4), np.float32)})
    index = (tmp_path / "bundle.index").read_bytes()
    (tmp_path / "bundle.index").write_bytes(index.replace(b"\x12\x02\x08\x04" * 2, b"\x12\x02\x08\x7f" * 2))
    assert index != (tmp_path / "bundle.index").read_bytes()
    assert confined(CLAIM, tmp_path, seconds=60, megabytes=4096) == ""


def test_the_header_of_an_array_is_no_expression(tmp_path: Path) -> None:
    for text in (b"{'descr': (", b"{'descr': '<f4'", b"(" * 9000, b"\xff", b"{**{}}", b"{'a': 1, b'a': 2}"):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(text) + 1) + text + b"\n" + bytes(8))
        with pytest.raises(errors.WeightsError, match="a: not a numeric array"):
            models.convert(tmp_path / "a.npz", "pix2pix")


# Configurations of training


@pytest.mark.parametrize("preset", [[], {}, 5, [1]])
def test_a_preset_is_a_name(preset: Any) -> None:
    with pytest.raises(errors.DTypeError, match="preset"):
        models.create("pix2pix", preset)
    with pytest.raises(errors.DTypeError, match="preset"):
        steps.create(models.create("pix2pix", width=2, discriminator_width=2), preset)


def test_a_share_is_a_number() -> None:
    with pytest.raises(errors.ArgumentError, match=r"dropout: 'half', expected 0 <= dropout < 1"):
        models.create("pix2pix", dropout="half")


def test_deep_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(errors.ArgumentError, match="invalid TOML"):
        _config.read_toml(tmp_path / "a.toml")
    with pytest.raises(errors.ArgumentError, match=r"run\.batch"):
        _config.config_of(_config.with_changes({"model": {"name": "pix2pix"}}, ["run.batch=" + "[" * 100_000]))


def test_a_damaged_checkpoint_is_refused_whatever_it_says(tmp_path: Path) -> None:
    from pyharmony.learn.training import _checkpoint

    model = models.create("style_encoder", width=2, code=2)
    path = _checkpoint.write(tmp_path, 1, _checkpoint.Checkpoint(model, None, {"a": torch.zeros(2)}, {}, {}), 2)
    state = json.loads((path / "state.json").read_text())
    for change in (
        {"optimizers": {"__tensor__": "nothing"}}, {"optimizers": {"__items__": [1]}}, {"optimizers": {}},
        {"facts": 5}, {"files": 5}, {"files": {"\0": ""}}, {"format": 9},
    ):  # fmt: skip
        (path / "state.json").write_text(json.dumps({**state, **change}))
        with pytest.raises(errors.WeightsError):
            _checkpoint.read(path)
    (path / "state.json").write_text("[" * 100_000)
    with pytest.raises(errors.WeightsError):
        _checkpoint.read(path)
    assert _checkpoint.newest(tmp_path) is None
