"""The two forms that ComfyUI knows for a node, made of the description of each."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._calls import Name, Option
from ..errors import ArgumentError, DTypeError, PyHarmonyError, ShapeError
from ..runs._jobs.task import names_of
from ._nodes import NODES, Frame, Node

_CATEGORY = "pyharmony"
#: The bounds of a number that has none of its own; those of ComfyUI are 0 and 2048.
_UNBOUNDED = (-1e6, 1e6)


def _default(option: Option) -> Any:
    """Returns the default of an option; None: it is estimated, or there is none."""
    if option.value is not None or option.type is bool:
        return bool(option.off) if option.value is None else option.value
    try:
        return option.converted(option.default)
    except ValueError:
        return None


def _words(option: Option) -> list[str] | None:
    """Returns the words of an option that has a list of them, else None."""
    if isinstance(option.type, Name):
        return list(names_of(option.type))
    return list(option.type) if isinstance(option.type, tuple) else None


def widget(option: Option) -> tuple[Any, dict[str, Any]]:
    """Returns the type of an option's input, or its words, and the settings of its widget.

    Where a number is not a default, and for points and lines, it is a text as on the command line, empty if not set.
    """
    default, words = _default(option), _words(option)
    more: dict[str, Any] = {"tooltip": option.help.replace("; repeatable.", ".")}
    if words is not None:
        return words, {**more, "default": words[0] if default is None else default}
    if option.type is bool:
        return "BOOLEAN", {**more, "default": default}
    if option.type in (int, float) and isinstance(default, (int, float)):
        more |= {"default": option.type(default), "min": _UNBOUNDED[0] if option.low is None else option.low}
        more |= {"max": _UNBOUNDED[1] if option.high is None else option.high}
        if option.type is float:
            return "FLOAT", {**more, "step": 0.01, "round": False}
        return "INT", {**more, "control_after_generate": False}  # else ComfyUI draws another seed at each run
    return "STRING", {**more, "default": default if isinstance(default, str) else "", "placeholder": option.shown}


def _is_text(option: Option) -> bool:
    return widget(option)[0] == "STRING"


def _value(option: Option, value: Any) -> Any:
    """Returns the argument for an input's value; None: it is not set. ArgumentError: a text is not accepted."""
    if not _is_text(option):
        return value.replace("-", "_") if isinstance(option.type, tuple) else value
    text = str(value).strip()
    if not text:
        return None
    try:
        number = option.converted(text)
        option.check(number)
    except ValueError as error:
        raise ArgumentError(f"{option.name}: {text!r}, expected {error}") from None
    return option.gathered([number]) if option.many else number


def _arguments(node: Node, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a node that are set and apply to its mode, if that is in values."""
    arguments, mode = {}, values.get("mode")
    for option in node.options:
        if option.name in values and (mode is None or not option.modes or mode in option.modes):
            value = _value(option, values[option.name])
            if value is not None:
                arguments[option.name] = value
    return arguments


def _frames(node: Node, name: str, value: Any) -> Frame:
    """Returns the frames of an IMAGE, [N, H, W, C], or of a MASK, [N, H, W]."""
    is_mask = bool(node.images[name].of)
    shape = getattr(value, "shape", None)
    if shape is None:
        raise DTypeError(f"{name}: {type(value).__name__}, expected {'a MASK' if is_mask else 'an IMAGE'}")
    if len(shape) not in ((2, 3, 4) if is_mask else (4,)) or 0 in shape:
        raise ShapeError(f"{name}: shape {list(shape)}, expected {'[B, H, W]' if is_mask else '[B, H, W, C]'}")
    frames: Frame = value.detach().cpu().float().numpy()
    return frames.reshape(-1, *frames.shape[-2:]) if is_mask else frames


def _inputs(node: Node, inputs: Mapping[str, Any]) -> dict[str, Frame]:
    """Returns the frames of all images and masks that are connected."""
    frames = {name: _frames(node, name, inputs[name]) for name in node.images if inputs.get(name) is not None}
    for name, image in node.images.items():
        if image.clear and "mask" not in frames and frames[name].shape[3] == 4:
            pixels = frames[name]
            if (pixels[..., 3] < 1).any():
                frames["mask"] = 1 - pixels[..., 3]
            frames[name] = pixels[..., :3]
        if image.of and name in frames and image.of in frames:
            (height, width), size = frames[name].shape[1:], frames[image.of].shape[1:3]
            if (height, width) != size:
                hint = "LoadImage gives an empty mask of 64 x 64 for a file without alpha: paint one, or disconnect it"
                raise ShapeError(
                    f"{name}: {width} x {height} pixels, {image.of} has {size[1]} x {size[0]}",
                    code="sizes-differ", hint="" if frames[name].any() else hint,
                )  # fmt: skip
    return frames


def _count(frames: Mapping[str, Frame]) -> int:
    """Returns the number of frames: that of all inputs that have several."""
    counts = {name: len(value) for name, value in frames.items()}
    if len(set(counts.values()) - {1}) > 1:
        text = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ShapeError(f"the numbers of frames differ: {text}; expected equal numbers, or 1", code="counts-differ")
    return max(counts.values())


def _progress(count: int) -> Iterator[int]:
    """Yields the numbers of the frames; between them ComfyUI shows the progress, and may end the run."""
    utils = sys.modules.get("comfy.utils")
    bar = utils.ProgressBar(count) if utils is not None else None
    for number in range(count):
        yield number
        if bar is not None:
            bar.update(1)


def _text(texts: Sequence[str]) -> str:
    """Returns the texts of all frames, of several with their numbers."""
    return texts[0] if len(texts) == 1 else "\n".join(f"frame {i}\n{text}" for i, text in enumerate(texts))


def run(node: Node, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns the outputs of a node: images and masks have the type and device of its first image."""
    modes = {option.name: option.type[0] for option in node.options if option.name == "mode"}
    frames, arguments = _inputs(node, inputs), _arguments(node, {**modes, **inputs})
    rows, count = [], _count(frames)
    for number in _progress(count):
        one = {name: frames[name][number % len(frames[name])] if name in frames else None for name in node.images}
        try:
            rows.append(node.compute(**one, **arguments))
        except PyHarmonyError as error:
            raise (error.within(f"frame {number}: ") if count > 1 else error) from None
    first = inputs[next(iter(node.images))]
    return tuple(
        _text(column) if kind == "STRING" else first.new_tensor(np.stack(column))
        for kind, column in zip(node.outputs.values(), zip(*rows))
    )


class Classic:
    """A node in ComfyUI's classic form; each is a class below this one, with its `node`."""

    node: Node
    CATEGORY = _CATEGORY
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        """Returns the inputs, by name."""
        types: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}
        for name, image in cls.node.images.items():
            types["required" if image.required else "optional"][name] = (
                "MASK" if image.of else "IMAGE", {"tooltip": image.about},
            )  # fmt: skip
        types["optional"] |= {option.name: widget(option) for option in cls.node.options}
        return types

    def run(self, **inputs: Any) -> tuple[Any, ...]:
        """Returns the outputs."""
        return run(self.node, inputs)


def _validation(node: Node) -> Any:
    """Returns the function that checks a node's texts before a run: True, or what is wrong.

    Its signature names texts only: ComfyUI leaves inputs that are named there, such as numbers, unchecked.
    """

    def check(cls: type, /, **texts: Any) -> bool | str:
        try:
            _arguments(node, texts)
        except PyHarmonyError as error:
            return str(error)
        return True

    names = ["cls", *(option.name for option in node.options if _is_text(option))]
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for name in names]
    check.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return classmethod(check)


def _classic(node: Node) -> type[Classic]:
    members = {
        "node": node, "RETURN_TYPES": tuple(node.outputs.values()), "RETURN_NAMES": tuple(node.outputs),
        "DESCRIPTION": node.about, "VALIDATE_INPUTS": _validation(node), "__doc__": node.about, "__module__": __name__,
    }  # fmt: skip
    return type(node.id, (Classic,), members)


#: The nodes in ComfyUI's classic form, by the names that workflows have.
NODE_CLASS_MAPPINGS = {node.id: _classic(node) for node in NODES}
#: Their names in the menu.
NODE_DISPLAY_NAME_MAPPINGS = {node.id: f"{node.title} (pyharmony)" for node in NODES}


def _modern(io: Any, node: Node) -> type:
    """Returns a node in ComfyUI's newer form."""
    kinds = {
        "IMAGE": io.Image, "MASK": io.Mask, "BOOLEAN": io.Boolean, "INT": io.Int, "FLOAT": io.Float,
        "STRING": io.String,
    }  # fmt: skip

    def define_schema(cls: type, /) -> Any:
        types = NODE_CLASS_MAPPINGS[node.id].INPUT_TYPES()
        inputs = [
            kinds[kind].Input(name, optional=part == "optional", **more)
            if isinstance(kind, str)
            else io.Combo.Input(name, kind, optional=part == "optional", **more)
            for part in types
            for name, (kind, more) in types[part].items()
        ]
        return io.Schema(
            node.id, display_name=NODE_DISPLAY_NAME_MAPPINGS[node.id], category=_CATEGORY, description=node.about,
            inputs=inputs, outputs=[kinds[kind].Output(name) for name, kind in node.outputs.items()],
        )  # fmt: skip

    def execute(cls: type, /, **inputs: Any) -> Any:
        return io.NodeOutput(*run(node, inputs))

    members = {
        "define_schema": classmethod(define_schema), "execute": classmethod(execute),
        "validate_inputs": _validation(node), "__doc__": node.about, "__module__": __name__,
    }  # fmt: skip
    return type(node.id, (io.ComfyNode,), members)


async def comfy_entrypoint() -> Any:
    """Returns the extension with the nodes in ComfyUI's newer form; ComfyUI calls it.

    Example:
        >>> import asyncio
        >>> from pyharmony import comfyui
        >>> asyncio.iscoroutinefunction(comfyui.comfy_entrypoint)
        True
    """
    from comfy_api.latest import ComfyExtension, io

    class Extension(ComfyExtension):  # type: ignore[misc]
        async def get_node_list(self) -> list[type]:
            return [_modern(io, node) for node in NODES]

    return Extension()
