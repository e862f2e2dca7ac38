"""A data set of one photo, for other rooms, which synthesise from one at a time."""

from __future__ import annotations

from typing import Any

from . import _files
from ._dataset import Dataset, Sample

__all__ = ["SinglePhoto"]


class SinglePhoto(Dataset):
    """A photo and the mask of its object, from paths, open files or Pictures.

    size: the width and height of the photo, if its Picture is reduced; None: it is whole.
    """

    def __init__(self, name: str, image: Any, mask: Any, size: tuple[int, int] | None = None) -> None:
        self.names = [name]
        self._sources = {"image": image, "mask": mask}
        self._sizes = {} if size is None else {"image": size}

    def _load(self, index: int) -> Sample:
        return _files.sample(self.names[index], self._sources, sizes=self._sizes)
