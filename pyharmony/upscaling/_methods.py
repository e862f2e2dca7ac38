"""The upscaling methods by name, each with its requirements."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _checks, _shipped
from .._header import named
from ..errors import ArgumentError, WeightsError
from ..typing import PathLike
from . import _generator
from ._tiles import Pass, resampled

_WEIGHTS = "srgan-light"


@dataclass(frozen=True)
class Method:
    """An upscaling method.

    Attributes:
        name: its name.
        summary: a description in one line.
        passes: a function that returns the enlargements in turn for a scale of 2 or 4.
        weights: the name of its weights; empty if it has none.

    Example:
        >>> from pyharmony import upscaling
        >>> upscaling.METHODS["lanczos"].missing
        ''
    """

    name: str
    summary: str
    passes: Callable[[int], tuple[Pass, ...]]
    weights: str = ""

    @property
    def missing(self) -> str:
        """The reason why the method cannot run here, in a sentence; empty if it can."""
        if self.weights and _shipped.named(self.weights) is None:
            return f"it needs the weights {self.weights}, which do not come with this pyharmony"
        return ""


def trained(network: PathLike) -> Method:
    """Returns a method that uses weights of `srgan` trained by the user: `super_resolve(image, method=trained(path))`.

    Args:
        network: the path of a file by ``pyharmony train srgan`` or `pyharmony.networks.models.save`, of any settings.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file does not contain weights of `srgan`.

    Example:
        >>> from pyharmony import upscaling
        >>> method = upscaling.trained("run/best.safetensors")  # where `pyharmony train srgan-light -o run` was run
        Traceback (most recent call last):
        pyharmony.errors.FileNotFoundError: network: run/best.safetensors: no such file or directory, ...
    """
    with _checks.opened(network, "network") as file, named("network"):
        generator = _generator.parsed(file.read(), os.fspath(network))
    path = Path(network)
    return Method("trained", f"the generator of srgan, by {path.name}", lambda scale: _passes(generator, scale))


def _passes(generator: _generator.Generator, scale: int) -> tuple[Pass, ...]:
    if generator.scale > scale:
        raise ArgumentError(f"scale: {scale}, expected {generator.scale}, the factor of the method's network")
    return (generator.as_pass,) * (1 if generator.scale == scale else 2)


def _shipped_passes(scale: int) -> tuple[Pass, ...]:
    return _passes(_generator.network(_WEIGHTS), scale)


def _interpolation(kernel: str, reach: int) -> Callable[[int], tuple[Pass, ...]]:
    return lambda scale: (Pass(scale, reach, lambda values: resampled(values, scale, kernel)),)


#: The methods by name.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("srgan", "the generator of a small SRGAN, `pyharmony.networks.models.srgan`", _shipped_passes, _WEIGHTS),
        Method("lanczos", "Lanczos interpolation over three pixels, by Pillow", _interpolation("LANCZOS", 3)),
        Method("bicubic", "bicubic interpolation, by Pillow", _interpolation("BICUBIC", 2)),
    )
}


def method_of(name: Any) -> Method:
    """Returns a method that can run here; 'auto' is the generator of SRGAN."""
    if isinstance(name, Method):
        method = name
    else:
        known_name = _checks.one_of(name, "method", ("auto", *METHODS))
        method = METHODS["srgan" if known_name == "auto" else known_name]
    if reason := method.missing:
        raise WeightsError(f"method {method.name!r}: {reason}; 'lanczos' and 'bicubic' need none")
    return method
