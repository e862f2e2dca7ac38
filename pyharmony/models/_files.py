"""Weights in files: safetensors with the configuration inside, and no pickle.

A file holds one model, or its generator alone. Its metadata has one entry, `pyharmony`, a JSON object with `format`
(1), `name`, `config`, `part` ('all' or 'generator'), and `calibration` where something is known of the changes that the
weights make.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from torch.overrides import TorchFunctionMode

from .. import _catalogue, _checks, _install, _shipped, _temporary
from .._header import FORMAT, Calibration, Header, Part, Source, header_of, shown
from .._shipped import Weights
from ..errors import ArgumentError, PyHarmonyError, WeightsError
from ..typing import Task
from . import _bundle, _published, _registry
from ._ensemble import Ensemble
from ._registry import Adversarial, Model
from .calls import evaluating

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".bin")


def _refuse_pickle(source: Source) -> None:
    if isinstance(source, bytes):
        start, suffix = source[:4], ""
    else:
        suffix = Path(source).suffix.lower()
        try:
            with open(source, "rb") as file:
                start = file.read(4)
        except FileNotFoundError:
            raise WeightsError(f"{shown(source)}: there is no such file") from None
        except OSError as error:
            raise WeightsError(f"{shown(source)}: cannot be read, {error.strerror}") from error
    if start.startswith(_PICKLES) or suffix in _PICKLE_SUFFIXES:
        raise WeightsError(
            f"{shown(source)}: a pickle, which may run any code when it is read; "
            "`pyharmony models convert` reads the published ones safely and writes safetensors"
        )


def read(source: Source) -> tuple[Header, Mapping[str, Tensor]]:
    """Reads the description and the tensors of a file, or of weights that come with pyharmony."""
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
        raise WeightsError(f"{shown(source)}: a damaged safetensors file: {error}") from error


def _some(items: Iterable[str]) -> str:
    names = sorted(items)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def check_state(module: nn.Module, state: Mapping[str, Tensor], what: str, whose: str) -> None:
    """Raises WeightsError where the tensors are not those of the module: missing, unknown, or of another shape."""
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


def _counted(state: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
    """Returns the tensors with the counters of norms at 0 where a file has none, since no answer depends on them."""
    counters = {key: value for key, value in module.state_dict().items() if key.endswith(".num_batches_tracked")}
    if any(key in state for key in counters):
        return state
    return {**state, **{key: torch.zeros(value.shape, dtype=value.dtype) for key, value in counters.items()}}


def _as_stored(state: Mapping[str, Tensor], module: nn.Module, what: str) -> dict[str, Tensor]:
    """Returns the tensors in the dtypes of the module: half precision saves space in files, not in the model."""
    expected = module.state_dict()
    tensors = {}
    for key, value in state.items():
        if value.is_complex():
            raise WeightsError(f"{what}: {key} is {value.dtype}, expected real numbers")
        tensors[key] = value.to(expected[key].dtype)
        # A sum is NaN or infinite if a value is; large finite values may give it too, so that all are checked then.
        doubtful = tensors[key].is_floating_point() and not math.isfinite(float(tensors[key].sum()))
        if doubtful and not bool(torch.isfinite(tensors[key]).all()):
            raise WeightsError(f"{what}: {key} holds NaN or Inf")
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
    """Writes a model as safetensors, its configuration inside.

    Args:
        model: a model made by `create`, `load` or `convert`.
        path: the file, ending in .safetensors; an existing file is replaced when the new one is complete.
        dtype: the dtype of the floating-point tensors, 'float16' or torch.float16 for half the size; None: as they are.
        part: 'generator' leaves the discriminator out.

    Raises:
        ArgumentError: the suffix or dtype is another one, or the model does not have the part, or is an `Ensemble`.
        WeightsError: a value is not finite, or too large for the dtype.
    """
    if not isinstance(model, Model):
        raise ArgumentError(f"model: {type(model).__name__}, expected a model made by pyharmony.models")
    if isinstance(model, Ensemble):
        raise ArgumentError("model: an ensemble has no file of its own; save each of its members")
    target = Path(path)
    if target.suffix != ".safetensors":
        raise ArgumentError(f"path: {target.name!r}, expected a name that ends in .safetensors")
    if isinstance(dtype, str):
        dtype = _DTYPES.get(dtype, dtype)
    if isinstance(dtype, str) or dtype is not None and dtype not in _DTYPES.values():
        raise ArgumentError(f"dtype: {dtype}, expected float32, float16 or bfloat16")
    _checks.one_of(part, "part", ("all", "generator"))
    if part == "generator" and not isinstance(model, Adversarial):
        raise ArgumentError(f"part: {model.name} is one network, it has no 'generator' apart")
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
    """Returns the weights that come with pyharmony by name, or those of a task, as in `list`.

    `load` takes their names. Their files are not read here: `load` does that, and compares the checksum first.

    Raises:
        ArgumentError: there is no such task.
        WeightsError: the list of them is missing or damaged.
    """
    _catalogue.check_task(task)
    return [entry for entry in _shipped.every() if task in (None, entry.task)]


def load(source: Source, *, model: Model | None = None, whole: bool = False) -> Model:
    """Reads a model from a file of `save`, in evaluation mode and float32 on the CPU.

    Args:
        source: a path, the bytes of a file, or the name of weights that come with pyharmony, one of `weights`; write
            './name' for a file of such a name.
        model: a model to be filled in place of a new one; its mode and device stay.
        whole: whether to refuse a file that has the generator alone.

    A file with the generator alone gives a model whose discriminator is as `create` makes it, or as it is in `model`.

    Raises:
        WeightsError: there is no such file, or it is a pickle or damaged; its weights are of another model or of other
            shapes; it has the generator alone, and whole is True; the checksum of pyharmony's own weights is wrong.
    """
    _checks.flags(whole=whole)
    header, state = read(source)
    if whole and header.part == "generator":
        raise WeightsError(f"{shown(source)}: the generator of {header.name} alone; its discriminator is needed too")
    if model is not None:
        if header.name != model.name:
            raise WeightsError(f"{shown(source)}: weights of {header.name}, the model is {model.name}")
        part = _part_of(model, header.part)
        state = _counted(state, part)
        check_state(part, state, f"{shown(source)}, {header.name},", f"the {model.name} that is to be filled")
        part.load_state_dict(_as_stored(state, part, shown(source)))
        model.calibration = header.calibration
        return model
    if source == header.name and header.name not in {info.name for info in _catalogue.every()}:
        raise WeightsError(f"{source}: these weights run in NumPy, within pyharmony.segment; they have no model")
    if header.name not in {info.name for info in _registry.all_models()}:
        raise WeightsError(
            f"{shown(source)}: weights of {header.name!r}, and no network of this name is known; models.register makes "
            "one of your own known, on the command line `pyharmony --module FILE.py`"
        )
    try:
        info = _registry.info_of(header.name)
        config = _registry.config_of(info, header.config)
        # Weights that come with pyharmony are recognised by their checksum.
        shipped = header.part == "generator" and _catalogue.weights_of(source) is not None
        network = info.make(config) if shipped else _outlined(info, config)
    except (ArgumentError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(f"{shown(source)}: {reason}") from error
    part = _part_of(network, header.part)
    state = _counted(state, part)
    check_state(part, state, shown(source), f"the {header.name} of its configuration")
    tensors = _as_stored(state, part, shown(source))
    if part is not network and not shipped:
        _check_rest(network.state_dict(), part.state_dict(), shown(source))
        network = info.make(config)
        part = _part_of(network, header.part)
    part.load_state_dict(tensors, assign=True)
    network.calibration = header.calibration
    return network.eval()


class _Unfilled(TorchFunctionMode):
    """A mode that skips the writing of constructors into tensors without memory, which is slow in torch."""

    FILLS = ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "fill_", "zero_")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self.FILLS:
            x = args[0] if args else kwargs.get("tensor")
            if isinstance(x, Tensor) and x.is_meta:
                return x
        return func(*args, **kwargs)


def _outlined(info: _registry.ModelInfo, config: Any) -> Model:
    """Makes the model of a configuration without memory for its tensors."""
    with torch.device("meta"), _Unfilled():
        return info.make(config)


#: The bytes of a discriminator that a file without it may ask for, beyond four times the bytes of its generator.
_REST = 256 << 20


def _check_rest(every: Mapping[str, Tensor], part: Mapping[str, Tensor], what: str) -> None:
    """Refuses a configuration whose networks missing from the file are out of proportion to the one it holds."""
    whole, size = (sum(x.numel() * x.element_size() for x in state.values()) for state in (every, part))
    rest = whole - size
    if rest > max(_REST, 4 * size):
        raise WeightsError(f"{what}: {size:,} bytes of a generator whose configuration has a discriminator of {rest:,}")


def _published_state(path: Path) -> dict[str, Any]:
    """Reads the tensors of the networks of a published file, by their names.

    A checkpoint may hold them in dictionaries, of one network or several, with whatever names: 'state_dict', 'model',
    'model_state_dict', 'generator', 'G' and 'D'. What else it holds, such as the state of an optimizer, is left out.
    """
    return _joined(_networks_of(path), str(path))


def _joined(networks: Mapping[str, Mapping[str, Tensor]], source: str) -> dict[str, Any]:
    """Returns the tensors of networks whose names are others in each."""
    tensors: dict[str, Any] = {}
    for state in networks.values():
        if both := tensors.keys() & state.keys():
            names = ", ".join(networks)
            raise WeightsError(f"{source}: {names} are several networks with equal names, such as {min(both)!r}")
        tensors |= state
    return tensors


def _networks_in(checkpoint: Any, key: str = "") -> dict[str, dict[Any, Tensor]]:
    """Returns the dictionaries of tensors in a checkpoint, by the names under which they lie."""
    if not isinstance(checkpoint, dict) or not checkpoint:
        return {}
    if all(isinstance(value, Tensor) for value in checkpoint.values()):
        return {key: checkpoint}
    for first in ("state_dict", "model"):
        if isinstance(checkpoint.get(first), dict) and (inner := _networks_in(checkpoint[first], first)):
            return inner
    # The state of an optimizer holds numbers and lists beside tensors, or dictionaries by number.
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
            f"{path}: files of Keras in HDF5 are not read; save_weights with a name without a suffix writes a "
            "checkpoint that is"
        )
    if (prefix := _bundle.prefix_of(path)) is not None:
        return {"": dict(_bundle.read(prefix))}
    if path.suffix == ".safetensors":
        try:
            # The file is read and not mapped: if it is cut off meanwhile, that is an error and not a signal.
            return {"": safetensors.torch.load(path.read_bytes())}
        except (safetensors.SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
            raise WeightsError(f"{path}: {error}") from error
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file") from None
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # torch reads zip archives and old formats, and raises all kinds of errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not only tensors, or damaged: {reason}") from error
    networks = _networks_in(checkpoint)
    if not networks:
        contents = ", ".join(map(str, checkpoint)) if isinstance(checkpoint, dict) else f"a {type(checkpoint).__name__}"
        raise WeightsError(f"{path}: expected dictionaries of tensors; it holds {contents or 'nothing'}")
    for state in networks.values():
        for key, value in state.items():
            if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise WeightsError(f"{path}: {key} is no plain tensor, or says that it is larger than what it holds")
    return {
        name: {str(key).removeprefix("module."): value for key, value in state.items()}
        for name, state in networks.items()
    }


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@overload
def convert(path: Paths, name: str, *, return_networks: Literal[False] = False, **config: Any) -> Model: ...
@overload
def convert(
    path: Paths, name: str, *, return_networks: Literal[True], **config: Any
) -> tuple[Model, tuple[str, ...]]: ...
def convert(
    path: Paths, name: str, *, return_networks: bool = False, **config: Any
) -> Model | tuple[Model, tuple[str, ...]]:
    """Reads published weights (.pth, .npz, TensorFlow's, or .safetensors by their names) into one of our models.

    The known files are the nested U-Nets of pix2pix (`pix2pix`; with four channels, gated like DoveNet's or not,
    `attention_unet`), its residual generators and its discriminators, the generator and the encoder of BargainNet
    (`bargainnet`; the encoder alone `style_encoder`), U-Net 3+ with such an encoder (`bargainnet`) or alone
    (`unet3plus`), as a system on HCOCO has them, both forms of PCT-Net (`pct_net`), both generators of GP-GAN and
    its critic (`gp_gan`), as Chainer keeps them (.npz) or a port to PyTorch whose layers are in the same order, the
    VGG-16 of torchvision (`style_encoder`), and the generator of the SRGAN whose blocks are numbered (`srgan`).
    Networks that were published in separate files are given together, as a sequence of paths. A checkpoint may hold
    them under names, such as 'state_dict', 'model_state_dict', or 'G' and 'D', and the state of optimizers beside them.
    Of a checkpoint of TensorFlow (GP-GAN's ports; DoveNet's, which is `dovenet_lite`) the path is its prefix, or one of
    its files.

    The file is read with torch's `weights_only=True` or NumPy's `allow_pickle=False`: tensors, and no code. Settings
    that the tensors do not tell, such as a share of dropout, may be given. A network that the file does not hold,
    usually the discriminator, is as `create` makes it.

    Args:
        path: the file, or several.
        name: the model that they hold.
        return_networks: whether to return the names of the networks that were read, too.
        config: settings of the model.

    Returns:
        The model, in evaluation mode; `save` writes it. With `return_networks` also the names of the networks of an
        adversarial model that were read, 'discriminator' and 'generator'.

    Raises:
        ArgumentError: there is no such model, or no published layout of it is known.
        WeightsError: there is no such file, it holds more than tensors, or its tensors are of another model, which is
            named if it is known.
    """
    _checks.flags(return_networks=return_networks)
    info = _registry.info_of(name)
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(one) for one in path]
    published: dict[str, Any] = {}
    source = " and ".join(map(str, paths))
    if info.convert is None:
        convertible = ", ".join(i.name for i in _registry.all_models() if i.convert is not None)
        with contextlib.suppress(WeightsError):
            for one in paths:
                published |= _published_state(one)
        raise ArgumentError(
            f"name: no published layout of {name} is known; known are those of {convertible}" + _hint(published, source)
        )
    if len(paths) == 1:
        networks_ = _networks_of(paths[0])
        try:
            published = _joined(networks_, source)
        except WeightsError:
            # Two networks may have equal names, a pair of U-Nets say: the one that fits is taken.
            fitting = [state for state in networks_.values() if _fits(info, state)]
            if len(fitting) != 1:
                raise
            published = fitting[0]
    else:
        for one in paths:
            tensors = _published_state(one)
            if both := published.keys() & tensors.keys():
                raise WeightsError(f"{source}: both hold {_some(both)}")
            published |= tensors
    try:
        model_config, state = info.convert(dict(published))
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}{_hint(published, 'it', but=name)}") from error
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{source}: not the tensors of a {name}: {type(error).__name__}: {error}") from error
    if config:
        model_config = _registry.config_of(info, {**dataclasses.asdict(model_config), **config})
    outline = _outlined(info, model_config)
    expected = outline.state_dict()
    check_state(outline, {**expected, **state}, source, f"the {name} of its shapes")
    # A network is read completely or not at all: within one, no tensor may be left as it was made.
    networks = {key.partition(".")[0] for key in state} if isinstance(outline, Adversarial) else {""}
    left = [key for key in expected if key.startswith(tuple(networks)) and key not in state]
    left = [key for key in left if not key.endswith("num_batches_tracked")]
    if left:
        raise WeightsError(f"{source} does not fit {name}: {_some(left)} missing")
    _check_rest(expected, state, source)
    model = info.make(model_config)
    model.load_state_dict({**model.state_dict(), **state})
    return (model.eval(), tuple(sorted(networks - {""}))) if return_networks else model.eval()


def _fits(info: _registry.ModelInfo, published: Mapping[str, Any]) -> bool:
    """Whether tensors are those of a model, by names and shapes."""
    if info.convert is None or not published:
        return False
    with contextlib.suppress(PyHarmonyError, LookupError, ValueError, TypeError, AttributeError, RuntimeError):
        config, state = info.convert(dict(published))
        with torch.device("meta"):
            model = info.make(config)
        check_state(model, {**model.state_dict(), **state}, "", "")
        return True
    return False


def _hint(published: Mapping[str, Any], what: str, *, but: str = "") -> str:
    """Names the models that these tensors fit, by names and shapes, as the end of a message; '' if there are none."""
    names = [info.name for info in _registry.all_models() if info.name != but and _fits(info, published)]
    return f"; {what} holds what `convert` reads as {' or '.join(names)}" if names else ""


def export(model: Model, path: str | os.PathLike[str], *, size: int | None = None) -> None:
    """Writes the model's forward pass, or a GAN's generator, as ONNX for any number of samples of one size.

    Inputs have the names of the arguments of forward, the output is 'output'; several outputs are numbered. This needs
    the extra `onnx`.

    Args:
        model: a model made by `create`, `load` or `convert`; it is traced in evaluation mode and left in its own.
        path: the file, ending in .onnx.
        size: the side of the images; None: the size that the model was published with.

    Raises:
        ArgumentError: model is not a model of ours, or does something that ONNX has no operator for, which is named; or
            path does not end in .onnx.
        ShapeError: the model does not take the size.
        ImportError: onnx or onnxscript is not installed.
    """
    if not isinstance(model, Model):
        raise ArgumentError(f"model: {type(model).__name__}, expected a model made by pyharmony.models")
    target = Path(path)
    if target.suffix != ".onnx":
        raise ArgumentError(f"path: {target.name!r}, expected a name that ends in .onnx")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is missing, export needs it: {_install.hint('onnx')}") from error
    parameter = next(model.parameters())
    inputs = {key: value.to(parameter.device, parameter.dtype) for key, value in model.example(size).items()}
    batch = torch.export.Dim("batch", min=1)
    with evaluating(model), torch.no_grad(), _quiet_exporter(), _temporary.file(target) as unfinished:
        result = model(**inputs)  # a size that the model refuses raises here
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
                # A runtime optimizes by itself, and onnxscript 0.7.2 changes what `colorgrid` computes.
                optimize=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ArgumentError(f"model: {model.name} cannot be written as ONNX: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Returns the first line of what an error of torch's exporter was caused by, without the colours of a terminal."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences the messages of torch's exporter; its errors are raised."""
    log = logging.getLogger("torch.onnx._internal.exporter")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
