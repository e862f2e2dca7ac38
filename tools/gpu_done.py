"""A pytest plugin for gpu_check.py: skips the items listed in the file $PYHARMONY_GPU_DONE, one per line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shown(item: pytest.Item) -> str:
    """Returns the item as pytest's lines name it: by its path from the folder where pytest was started."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    return "::".join([Path(path).as_posix(), *str(item.nodeid).split("::")[1:]])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = os.environ.get("PYHARMONY_GPU_DONE")
    passed = set(Path(path).read_text().splitlines()) if path else set()
    left_out = [item for item in items if shown(item) in passed]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
