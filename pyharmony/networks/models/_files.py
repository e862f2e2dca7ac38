"""Weights in safetensors files that contain their configuration; pickles are not used.

A file contains one model, or only its generator. Its metadata has one entry, `pyharmony`, a JSON object with `format`
(1), `name`, `config`, `part` ('all' or 'generator'), and optionally `calibration`, statistics of the changes that the
weights make.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import logging
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ... import _catalogue, _checks, _install, _shipped, _temporary
from ..._header import FORMAT, Calibration, Header, Part, Source, header_of, named, shown
from ..._shipped import Weights
from ...errors import ArgumentError, FileError, PyHarmonyError, WeightsError
from ...typing import Task
from . import _bundle, _published, _registry
from ._ensemble import Ensemble
from ._outline import meta_model
from ._registry import Adversarial, Model
from .calls import evaluating

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".bin")


def _refuse_pickle(source: Source) -> None:
    if isinstance(source, bytes):
        start, suffix = source[:4], ""
    else:
        suffix = _checks.path(source, "source", "a path, bytes or the name of weights").suffix.lower()
        try:
            with _checks.opened(source, "source") as file:
                start = file.read(4)
        except FileNotFoundError:
            raise WeightsError(f"{shown(source)}: there is no such file") from None
        except FileError as error:
            raise WeightsError(f"{shown(source)}: cannot be read, {error.strerror}") from error
    if start.startswith(_PICKLES) or suffix in _PICKLE_SUFFIXES:
        raise WeightsError(
            f"{shown(source)}: a pickle, which may run arbitrary code when it is read; "
            "`pyharmony models convert` reads the published ones safely and writes safetensors"
        )


def read(source: Source) -> tuple[Header, Mapping[str, Tensor]]:
    """Reads the header and the tensors of a file, or of bundled weights."""
    shipped = _catalogue.weights_of(source)
    if shipped is not None:
        data = _shipped.read(shipped)
    else:
        _refuse_pickle(source)
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    header = header_of(data, source)
    try:
        return header, safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(f"{shown(source)}: damaged safetensors file: {error}") from error


def _some(items: Iterable[str]) -> str:
    names = sorted(items)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def check_state(module: nn.Module, state: Mapping[str, Tensor], what: str, whose: str) -> None:
    """Raises WeightsError if tensors are missing or unknown for the module, or have other shapes."""
    expected = module.state_dict()
    trouble = []
    if missing := expected.keys() - state.keys():
        trouble.append(f"{_some(missing)} missing")
    if unknown := state.keys() - expected.keys():
        trouble.append(f"{_some(unknown)} unknown")
    other = [
        f"{key} {list(state[key].shape)} for {list(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if expected[key].shape != state[key].shape
    ]
    if other:
        trouble.append(f"other shapes: {_some(other)}")
    if trouble:
        raise WeightsError(f"{what} does not fit {whose}: {'; '.join(trouble)}")


def _with_counters(state: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
    """Returns the tensors with missing counters of batch norms set to 0; they do not affect the outputs."""
    counters = {key: value for key, value in module.state_dict().items() if key.endswith(".num_batches_tracked")}
    if any(key in state for key in counters):
        return state
    return {**state, **{key: torch.zeros(value.shape, dtype=value.dtype) for key, value in counters.items()}}


def _in_model_dtypes(state: Mapping[str, Tensor], module: nn.Module, what: str) -> dict[str, Tensor]:
    """Returns the tensors in the module's dtypes: half precision saves space only in files."""
    expected = module.state_dict()
    tensors = {}
    for key, value in state.items():
        if value.is_complex():
            raise WeightsError(f"{what}: {key} is {value.dtype}, expected real numbers")
        tensors[key] = value.to(expected[key].dtype)
        # The sum is not finite if a value is not; since large finite values may overflow it, check all values then.
        doubtful = tensors[key].is_floating_point() and not math.isfinite(float(tensors[key].sum()))
        if doubtful and not bool(torch.isfinite(tensors[key]).all()):
            raise WeightsError(f"{what}: {key} contains NaN or Inf")
    return tensors


def _part_of(model: Model, part: Part) -> nn.Module:
    return model.generator if part == "generator" and isinstance(model, Adversarial) else model


_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def save(
    model: Model,
    path: str | os.PathLike[str],
    *,
    dtype: torch.dtype | Literal["float32", "float16", "bfloat16"] | None = None,
    part: Part = "all",
) -> None:
    """Saves a model as safetensors, including its configuration.

    Args:
        model: a model of `create`, `load` or `convert`.
        path: the file, ending in .safetensors; an existing file is replaced after the new one is complete.
        dtype: the dtype of the floating-point tensors, 'float16' or torch.float16 for half the size; None: unchanged.
        part: 'generator' omits the discriminator.

    Raises:
        ArgumentError: the suffix or dtype is not accepted, the model has no such part, or it is an `Ensemble`.
        WeightsError: a value is not finite, or too large for the dtype.
    """
    if isinstance(model, Ensemble):
        raise ArgumentError("model: an ensemble cannot be saved; save each of its members")
    target = Path(path)
    if target.suffix != ".safetensors":
        raise ArgumentError(f"path: {target.name!r}, expected a name ending in .safetensors")
    if isinstance(dtype, str):
        dtype = _DTYPES.get(dtype, dtype)
    if isinstance(dtype, str) or dtype is not None and dtype not in _DTYPES.values():
        raise ArgumentError(f"dtype: {dtype}, expected float32, float16 or bfloat16")
    _checks.one_of(part, "part", ("all", "generator"))
    if part == "generator" and not isinstance(model, Adversarial):
        raise ArgumentError(f"part: 'generator', but {model.name} is a single network")
    tensors = {}
    for key, value in _part_of(model, part).state_dict().items():
        tensor = value.detach().cpu().contiguous()
        if value.is_floating_point():
            tensor = tensor.to(dtype or value.dtype)
            if not bool(torch.isfinite(tensor).all()):
                raise WeightsError(f"{key}: NaN, Inf, or too large for {tensor.dtype}")
        tensors[key] = tensor
    entry = {"format": FORMAT, "name": model.name, "config": dataclasses.asdict(model.config), "part": part}
    if model.calibration != Calibration():
        entry["calibration"] = dataclasses.asdict(model.calibration)
    with _temporary.file(target) as unfinished:
        safetensors.torch.save_file(tensors, unfinished, {"pyharmony": json.dumps(entry, sort_keys=True)})


def weights(task: Task | None = None) -> list[Weights]:
    """Returns the bundled weights sorted by name, all or those of a task, as in `list`.

    `load` accepts their names. This does not read their files; `load` verifies their checksums.

    Raises:
        ArgumentError: the task is unknown.
        WeightsError: the manifest is missing or damaged.
    """
    _catalogue.check_task(task)
    return [entry for entry in _shipped.every() if task in (None, entry.task)]


@named("source")
def load(source: Source, *, model: Model | None = None, whole: bool = False) -> Model:
    """Loads a model saved by `save`, in evaluation mode and float32 on the CPU.

    Args:
        source: a path, the bytes of a file, or the name of bundled weights, see `weights`; write './name' for a file of
            such a name.
        model: a model to load the weights into instead of a new one; keeps its mode and device.
        whole: whether to refuse a file that contains only the generator.

    From such a file, a new model's discriminator is initialised as by `create`; that of `model` is unchanged.

    Raises:
        WeightsError: there is no such file, it is a pickle or damaged; its weights are of another model or have other
            shapes; it contains only the generator and whole is True; the checksum of bundled weights is wrong.
    """
    header, state = read(source)
    if whole and header.part == "generator":
        raise WeightsError(f"{shown(source)}: contains only the generator of {header.name}, expected all networks")
    if model is not None:
        if header.name != model.name:
            raise WeightsError(f"{shown(source)}: weights of {header.name}, expected weights of {model.name}")
        part = _part_of(model, header.part)
        state = _with_counters(state, part)
        check_state(part, state, f"{shown(source)}, {header.name},", f"the given {model.name}")
        part.load_state_dict(_in_model_dtypes(state, part, shown(source)))
        model.calibration = header.calibration
        return model
    if source == header.name and header.name not in {info.name for info in _catalogue.every()}:
        raise WeightsError(f"{source}: these weights run in NumPy; they have no torch model")
    if header.name not in {info.name for info in _registry.all_models()}:
        raise WeightsError(
            f"{shown(source)}: weights of {header.name!r}, which is no known network; register your own by "
            "models.register, on the command line by `pyharmony --module FILE.py`"
        )
    try:
        info = _registry.info_of(header.name)
        config = _registry.config_of(info, header.config)
        # Bundled weights are verified by their checksum.
        shipped = header.part == "generator" and _catalogue.weights_of(source) is not None
        network = info.make(config) if shipped else meta_model(info, config)
    except (ArgumentError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(f"{shown(source)}: {reason}") from error
    part = _part_of(network, header.part)
    state = _with_counters(state, part)
    check_state(part, state, shown(source), f"the {header.name} of its configuration")
    tensors = _in_model_dtypes(state, part, shown(source))
    if part is not network and not shipped:
        _check_rest(network.state_dict(), part.state_dict(), shown(source))
        network = info.make(config)
        part = _part_of(network, header.part)
    part.load_state_dict(tensors, assign=True)
    network.calibration = header.calibration
    return network.eval()


#: The bytes that the discriminator missing in a file may need, in addition to four times the bytes of its generator.
_REST = 256 << 20


def _check_rest(every: Mapping[str, Tensor], part: Mapping[str, Tensor], what: str) -> None:
    """Raises if the networks missing in the file are out of proportion to those it contains."""
    whole, size = (sum(x.numel() * x.element_size() for x in state.values()) for state in (every, part))
    rest = whole - size
    if rest > max(_REST, 4 * size):
        raise WeightsError(f"{what}: {size:,} bytes of a generator, but its configured discriminator has {rest:,}")


def _published_state(path: Path) -> dict[str, Any]:
    """Reads the tensors of all networks in a published file, by their names.

    Networks may be in (nested) dictionaries of the checkpoint with any names, such as 'state_dict', 'model',
    'model_state_dict', 'params_ema', 'generator', 'G' and 'D'. Other contents, such as optimizer states, are ignored.
    """
    return _merged(_networks_of(path), str(path))


def _merged(networks: Mapping[str, Mapping[str, Tensor]], source: str) -> dict[str, Any]:
    """Merges the tensors of networks, whose names must differ."""
    tensors: dict[str, Any] = {}
    for state in networks.values():
        if both := tensors.keys() & state.keys():
            names = ", ".join(networks)
            raise WeightsError(f"{source}: {names} are several networks with equal names, such as {min(both)!r}")
        tensors |= state
    return tensors


def _networks_in(checkpoint: Any, key: str = "") -> dict[str, dict[Any, Tensor]]:
    """Returns the dictionaries of tensors in a checkpoint, by their keys in it."""
    if not isinstance(checkpoint, dict) or not checkpoint:
        return {}
    if all(isinstance(value, Tensor) for value in checkpoint.values()):
        return {key: checkpoint}
    for first in ("state_dict", "model", "params_ema", "params"):
        if isinstance(checkpoint.get(first), dict) and (inner := _networks_in(checkpoint[first], first)):
            return inner
    # Optimizer states contain numbers and lists in addition to tensors, or dictionaries with integer keys.
    inner = {
        name: state for name, state in checkpoint.items() if isinstance(state, dict) and "param_groups" not in state
    }
    return {key: state for name, value in inner.items() for key, state in _networks_in(value, str(name)).items()}


def _networks_of(path: Path) -> dict[str, dict[str, Any]]:
    """Returns the tensors of each network of a published file, see `_published_state`."""
    if path.suffix == ".npz":
        return dict(_published.read_npz(path))
    if path.suffix in (".h5", ".hdf5", ".keras"):
        raise WeightsError(
            f"{path}: Keras files in HDF5 are not supported; use save_weights with a name without a suffix to write a "
            "supported checkpoint"
        )
    if (prefix := _bundle.prefix_of(path)) is not None:
        return {"": dict(_bundle.read(prefix))}
    if path.suffix == ".safetensors":
        try:
            # Read, not memory-mapped: if the file is truncated meanwhile, that raises an error instead of a signal.
            return {"": safetensors.torch.load(path.read_bytes())}
        except (safetensors.SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
            raise WeightsError(f"{path}: {error}") from error
    try:
        with open(path, "rb") as file:
            is_archive = file.read(4) == b"PK\3\4"
        # A text of an old pickle may claim any length: reading a file allocates that first, reading bytes does not.
        source = path if is_archive else io.BytesIO(path.read_bytes())
        checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # torch reads zip archives and old formats, and raises errors of many types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: contains other objects than tensors, or is damaged: {reason}") from error
    networks = _networks_in(checkpoint)
    if not networks:
        contents = ", ".join(map(str, checkpoint)) if isinstance(checkpoint, dict) else f"a {type(checkpoint).__name__}"
        raise WeightsError(f"{path}: contains {contents or 'nothing'}, expected dictionaries of tensors")
    for state in networks.values():
        for key, value in state.items():
            if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise WeightsError(f"{path}: {key} is not a plain tensor, or claims a larger size than its data")
    return {name: {_own_name(str(key)): value for key, value in state.items()} for name, state in networks.items()}


def _own_name(key: str) -> str:
    """Returns the name of a tensor without those of torch's wrappers, of compiled and of parallel modules."""
    return ".".join(part for part in key.split(".") if part != "_orig_mod").removeprefix("module.")


#: The largest number of names in front of those of a network, such as model.netG.
_MAX_WRAPPERS = 2
#: The largest number of networks of a file of which every two are tried together.
_MAX_PAIRED_NETWORKS = 12


def _unwrapped(networks: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """Yields the networks of a file, then those that the first names of their tensors tell apart, and so on.

    Those of a Lightning module, for example, are named model, or netG, netD and loss.
    """
    for _ in range(_MAX_WRAPPERS + 1):
        yield networks
        parts: dict[str, dict[str, Any]] = {}
        for name, state in networks.items():
            for key, value in state.items():
                first, _, rest = key.partition(".")
                if rest:
                    parts.setdefault(f"{name}.{first}", {})[_own_name(rest)] = value
        networks = parts


def _selections(files: Sequence[Mapping[str, Mapping[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Yields the tensors of all networks together, of every two, and of every one, if their names differ.

    Every file has a part in them.
    """
    networks = [(i, state) for i, of_file in enumerate(files) for state in of_file.values()]
    paired = [2] if len(networks) <= _MAX_PAIRED_NETWORKS else []
    for count in dict.fromkeys([len(networks), *paired, 1]):
        selections = []
        for group in itertools.combinations(networks, count):
            tensors = {key: value for _, state in group for key, value in state.items()}
            is_disjoint = len(tensors) == sum(len(state) for _, state in group)
            if tensors and is_disjoint and len({i for i, _ in group}) == len(files):
                selections.append(tensors)
        yield selections


def _selected(info: _registry.ModelInfo, files: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any] | str:
    """Returns the tensors of a model among the networks of files, or the reason why there are none or several.

    The reason is '' if the names are of no layout, wrapped or not.
    """
    reason = ""
    for variants in itertools.product(*(list(_unwrapped(networks)) for networks in files)):
        for selections in _selections(variants):
            reasons = [_misfit(info, tensors) for tensors in selections]
            if reasons.count(None) == 1:
                return selections[reasons.index(None)]
            if None in reasons:
                return "several networks fit"
            reason = reason or next((text for text in reasons if text and not _OTHER_NETWORK_REASONS.search(text)), "")
            if selections and all(own is each for own, each in zip(variants, files, strict=True)):
                break  # as they are, networks of different names belong together
    return reason


#: The reasons that the names are those of other networks altogether.
_OTHER_NETWORK_REASONS = re.compile(
    r"names of|expected layers|not among the weights|expected BargainNet|no published layout"
)

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@overload
def convert(path: Paths, name: str, *, return_networks: Literal[False] = False, **config: Any) -> Model: ...
@overload
def convert(
    path: Paths, name: str, *, return_networks: Literal[True], **config: Any
) -> tuple[Model, tuple[str, ...]]: ...
@named("path")
def convert(
    path: Paths, name: str, *, return_networks: bool = False, **config: Any
) -> Model | tuple[Model, tuple[str, ...]]:
    """Converts published weights (.pth, .npz, TensorFlow checkpoint or .safetensors) into one of our models.

    Supported are the nested U-Nets of pix2pix (`pix2pix`; with four channels, gated as in DoveNet or not,
    `attention_unet`), its residual generators and its discriminators, the generator and the encoder of BargainNet
    (`bargainnet`; the encoder alone `style_encoder`), U-Net 3+ with such an encoder (`bargainnet`) or alone
    (`unet3plus`), as in a system on HCOCO, both forms of PCT-Net (`pct_net`), both generators of GP-GAN and its critic
    (`gp_gan`), from Chainer (.npz) or a PyTorch port with the same order of layers, torchvision's VGG-16
    (`style_encoder`), and the generator of the SRGAN with numbered blocks (`srgan`).
    Networks published in separate files are passed together, as a sequence of paths. A checkpoint may contain them
    under names, such as 'state_dict', 'params_ema', or 'G' and 'D', together with optimizer states, and tensors may
    have names in front of their own, such as module, _orig_mod, model, or netG and netD of a Lightning module. For a
    TensorFlow checkpoint (GP-GAN's ports; DoveNet's, which is `dovenet_lite`) the path is its prefix or one of its
    files.

    Files are read with torch's `weights_only=True` or NumPy's `allow_pickle=False`: tensors, and no code. Settings that
    the tensors do not determine, such as a dropout rate, may be given. A network that is not in the file, usually the
    discriminator, is initialised as by `create`.

    Args:
        path: the file, or several.
        name: the name of the model.
        return_networks: whether to return the names of the converted networks, too.
        config: settings of the model.

    Returns:
        The model, in evaluation mode; `save` writes it. With `return_networks` also the names of the networks of an
        adversarial model that were converted, 'discriminator' and 'generator'.

    Raises:
        ArgumentError: there is no such model, or no published layout of it is supported.
        WeightsError: there is no such file, it contains other objects than tensors, or its tensors are of another
            model, which is named if it is known.
    """
    info = _registry.info_of(name)
    several = [path] if isinstance(path, str | os.PathLike) else _checks.several(path, "path", "a path, or several")
    paths = [_checks.path(one, "path") for one in several]
    published: dict[str, Any] = {}
    source = " and ".join(map(str, paths))
    if info.convert is None:
        convertible = ", ".join(i.name for i in _registry.all_models() if i.convert is not None)
        with contextlib.suppress(WeightsError):
            for one in paths:
                published |= _published_state(one)
        raise ArgumentError(
            f"name: no published layout of {name} is supported, only those of {convertible}" + _hint(published, source)
        )
    files = [_networks_of(one) for one in paths]
    selected = _selected(info, files)
    if isinstance(selected, dict):
        published = selected
    else:
        for one, networks_ in zip(paths, files, strict=True):
            tensors = _merged(networks_, str(one))
            if both := published.keys() & tensors.keys():
                raise WeightsError(f"{source}: both contain {_some(both)}")
            published |= tensors
        if selected:
            raise WeightsError(f"{source} does not fit {name}: {selected}{_hint(published, 'it', but=name)}")
    try:
        model_config, state = info.convert(dict(published))
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}{_hint(published, 'it', but=name)}") from error
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{source}: not the tensors of a {name}: {type(error).__name__}: {error}") from error
    if config:
        model_config = _registry.config_of(info, {**dataclasses.asdict(model_config), **config})
    outline = meta_model(info, model_config)
    expected = outline.state_dict()
    check_state(outline, {**expected, **state}, source, f"a {name} with its shapes")
    if lacking := _lacking(outline, state):
        raise WeightsError(f"{source} does not fit {name}: {_some(lacking)} missing")
    _check_rest(expected, state, source)
    model = info.make(model_config)
    model.load_state_dict({**model.state_dict(), **state})
    converted = {key.partition(".")[0] for key in state} if isinstance(outline, Adversarial) else set()
    return (model.eval(), tuple(sorted(converted))) if return_networks else model.eval()


def _misfit(info: _registry.ModelInfo, published: Mapping[str, Any]) -> str | None:
    """Returns the reason why tensors are not those of a model, by their names and shapes; None if they are."""
    if info.convert is None or not published:
        return "no published layout"
    try:
        config, state = info.convert(dict(published))
        model = meta_model(info, config)
        check_state(model, {**model.state_dict(), **state}, "it", "its shapes")
        if lacking := _lacking(model, state):
            return f"{_some(lacking)} missing"
    except (PyHarmonyError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
    return None


def _lacking(model: Model, state: Mapping[str, Any]) -> list[str]:
    """Returns the tensors that are missing in networks of which there are others.

    A network is converted completely or not at all: no tensor of it may keep its initial values.
    """
    networks = tuple({key.partition(".")[0] for key in state} if isinstance(model, Adversarial) else {""})
    keys = [key for key in model.state_dict() if key.startswith(networks) and key not in state]
    return [key for key in keys if not key.endswith("num_batches_tracked")]


def _hint(published: Mapping[str, Any], what: str, *, but: str = "") -> str:
    """Returns the end of a message that names the models fitting these tensors; '' if there are none."""
    names = [info.name for info in _registry.all_models() if info.name != but and _misfit(info, published) is None]
    return f"; {what} fits {' or '.join(names)}" if names else ""


def export(model: Model, path: str | os.PathLike[str], *, size: int | None = None) -> None:
    """Exports the forward pass of a model, or of a GAN's generator, as ONNX for images of one size.

    The batch size is dynamic. Inputs are named like the arguments of forward, the output is 'output'; several outputs
    are numbered. Needs the extra `onnx`.

    Args:
        model: a model of `create`, `load` or `convert`; it is traced in evaluation mode, its own mode is restored.
        path: the file, ending in .onnx.
        size: the side of the images; None: the size of the published model.

    Raises:
        DTypeError: model is not a model of ours.
        ArgumentError: model uses an operation without ONNX operator, which is named; or path
            does not end in .onnx.
        ShapeError: the model does not accept the size.
        ImportError: onnx or onnxscript is not installed.
    """
    target = Path(path)
    if target.suffix != ".onnx":
        raise ArgumentError(f"path: {target.name!r}, expected a name ending in .onnx")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is missing; export needs it: {_install.hint('onnx')}") from error
    parameter = next(model.parameters())
    inputs = {key: value.to(parameter.device, parameter.dtype) for key, value in model.example(size).items()}
    batch = torch.export.Dim("batch", min=1)
    with evaluating(model), torch.no_grad(), _quiet_exporter(), _temporary.file(target) as unfinished:
        result = model(**inputs)  # raises here if the model does not accept the size
        outputs = ["output"] if isinstance(result, Tensor) else [f"output_{i}" for i in range(len(result))]
        try:
            torch.onnx.export(
                model.generator if isinstance(model, Adversarial) else model,
                kwargs=inputs,
                f=unfinished,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes={key: {0: batch} for key in inputs},
                dynamo=True,
                verbose=False,
                external_data=False,
                # Runtimes optimise anyway, and the optimiser of onnxscript 0.7.2 changes the results of `colorgrid`.
                optimize=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ArgumentError(f"model: {model.name} cannot be exported to ONNX: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Returns the first line of the cause of an error of torch's exporter, without terminal colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences the messages of torch's exporter; its errors are still raised."""
    log = logging.getLogger("torch.onnx._internal.exporter")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
