"""Writes pyharmony/networks/models/_catalogue.json, the information about networks that is available without torch.

python tools/model_catalogue.py
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pyharmony import _catalogue
from pyharmony.networks import models


def variant(name: str, preset: str | None) -> dict[str, Any]:
    model = models.outline(name, preset)
    return {"config": dataclasses.asdict(model.config), "parameters": models.parameter_counts(model)}


def catalogue() -> str:
    """Returns the text of the file: one network per line."""
    entries = []
    for info in models.list():
        about = {key: getattr(info, key) for key in ("name", "task", "summary", "source", "presets")}
        variants = {preset or "": variant(info.name, preset) for preset in (None, *info.presets)}
        entries.append({**about, "converts": info.convert is not None, "variants": variants})
    return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in entries) + "\n]\n"


if __name__ == "__main__":
    _catalogue.FILE.write_text(catalogue(), "utf-8")
    print(f"wrote {_catalogue.FILE}")
