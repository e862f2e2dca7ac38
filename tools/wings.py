"""Names the wings of the tests that a change can reach, by what the package imports: `make test WING=reached`.

    python tools/wings.py           # of what differs from the commit before, and is not committed
    python tools/wings.py BASE      # of what differs from a commit
    python tools/wings.py --others  # the other wings

A wing is a folder of tests/ and has the tests of some rooms. It is reached if one of these rooms is changed or imports
a module that is. Those that stand on everything, by names that no import shows, are reached by every change of the
package; a change of the kernels, of the build or of what all tests share reaches all of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: The rooms whose tests a wing has.
ROOMS = {
    "ops": ("ops", "reference", "networks.nn"),
    "images": ("io", "_images", "blend"),  # what masks of files do in blends
    "blend": ("blend", "color", "compat"),
    "compositor": (
        "composition", "edits", "harmonization", "matching", "merging", "placement", "segmentation", "shadows",
        "upscaling",
    ),
    "networks": ("networks",),
    "learn": ("learn",),
}  # fmt: skip
#: The wings that call whatever the package describes.
ABOVE = ("runs", "serve", "cli", "house")
WINGS = (*ROOMS, *ABOVE)
#: What only the tests of the house read.
OF_THE_HOUSE = ("docs/", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "tools/",
                "examples/")  # fmt: skip


def changed_files(base: str) -> list[str]:
    """Returns the files that differ from a commit, those that git does not know yet included."""
    commands = (["git", "diff", "--name-only", base], ["git", "ls-files", "--others", "--exclude-standard"])
    texts = (subprocess.run(one, cwd=ROOT, check=True, capture_output=True, text=True).stdout for one in commands)
    return sorted({line for text in texts for line in text.splitlines()})


def rooms_above(modules: Iterable[str]) -> set[str]:
    """Returns the modules that import one of these, over others too, without the package's name."""
    import grimp  # which import-linter uses

    graph = grimp.build_graph("pyharmony", exclude_type_checking_imports=True)
    present = [module for module in modules if module in graph.modules]
    above = set(present).union(*(graph.find_downstream_modules(module) for module in present))
    return {module.partition(".")[2] for module in above}


def reached_wings(files: Iterable[str]) -> set[str]:
    """Returns the wings that a change of these files can reach."""
    modules: set[str] = set()
    wings = {"house"}
    for file in files:
        parts = file.split("/")
        if file.endswith(".py") and parts[0] == "pyharmony":
            modules.add(".".join(parts)[: -len(".py")].removesuffix(".__init__"))
        elif parts[0] == "pyharmony":  # data, templates, the page
            modules.add(".".join(parts[:2]))
            wings.update(ABOVE)
        elif parts[0] == "tests" and parts[1] in WINGS:
            wings.add(parts[1])
        elif not file.startswith((*OF_THE_HOUSE, "benchmarks/")):
            return set(WINGS)
    if modules:
        above = rooms_above(modules)
        wings.update(ABOVE)
        for wing, rooms in ROOMS.items():
            if any(module == room or module.startswith(f"{room}.") for module in above for room in rooms):
                wings.add(wing)
    return wings


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", default="HEAD~1")
    parser.add_argument("--others", action="store_true")
    arguments = parser.parse_args()
    try:
        reached = reached_wings(changed_files(arguments.base))
    except subprocess.CalledProcessError as error:  # without a history nothing is known of the change
        print(error.stderr.strip(), file=sys.stderr)
        reached = set(WINGS)
    print(*(wing for wing in WINGS if (wing in reached) != arguments.others))
