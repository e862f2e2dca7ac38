"""A plugin of pytest for gpu_check.py: leaves out the items that the file $PYHARMONY_GPU_DONE names, one a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = os.environ.get("PYHARMONY_GPU_DONE")
    done = set(Path(path).read_text().splitlines()) if path else set()
    # As pytest shows it: from the folder where it was started.
    left_out = [item for item in items if config.cwd_relative_nodeid(item.nodeid) in done]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
