"""Contact sheets of the shared blending pairs: every blend side by side, to be looked at at 1:1.

    python examples/sheets.py [--out artifacts/sheets]

Reads `blending/` of the shared data, which `$PYHARMONY_DATA` points to (default ../shared/data beside the repository).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from demo import BLENDS, Pixels, paste, sheet
from PIL import Image

ROOT = Path(__file__).parent.parent
MARGIN = 60


def load(file: Path, mode: str) -> Pixels:
    return np.asarray(Image.open(file).convert(mode))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/sheets"), help="default: %(default)s")
    out: Path = parser.parse_args().out
    data = Path(os.environ.get("PYHARMONY_DATA", ROOT.parent / "shared" / "data")) / "blending"
    if not data.is_dir():
        raise SystemExit(f"{data}: shared data not found; set PYHARMONY_DATA to its folder")
    out.mkdir(parents=True, exist_ok=True)
    for folder in sorted(p for p in data.iterdir() if (p / "mask.png").exists()):
        src, dst = load(folder / "src.jpg", "RGB"), load(folder / "dst.jpg", "RGB")
        mask = load(folder / "mask.png", "L")
        y, x = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        view = np.s_[max(0, y[0] - MARGIN) : y[-1] + MARGIN, max(0, x[0] - MARGIN) : x[-1] + MARGIN]
        row = [("pasted", paste(src, dst, mask, (0, 0))[view])]
        row += [(name, call(src, dst, mask)[view]) for name, call in BLENDS.items()]
        file = out / f"{folder.name}.png"
        sheet([row[:4], row[4:]]).save(file)
        print(f"{file}: {dst.shape[1]} x {dst.shape[0]}")


if __name__ == "__main__":
    main()
