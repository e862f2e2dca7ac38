"""The rules of the house: the imports that are allowed, the contents of the sources, the cost of an import."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import pyharmony
import pyharmony.blend
from pyharmony import _rooms
from pyharmony.cli import _facts

from .. import skips
from ..shared import ROOT, dotted, image_stays, load_script, nodes_of, tree_of

pytestmark = pytest.mark.house

PACKAGE = ROOT / "pyharmony"
CSRC = ROOT / "csrc"

HEAVY = ("torch", "cupy", "cv2", "scipy", "PIL", "matplotlib", "skimage")
#: The packages that may import torch at all; the others recognise a tensor by its type.
TORCH_ROOMS = ("networks", "learn/training")
#: The rooms of rooms.
WINGS = ("learn", "networks", "runs")
#: The endings of files that may import it elsewhere, and are imported inside functions: for tensors, and for networks.
TORCH_FILES = ("_torch.py", "networks.py")


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def native_files() -> Iterator[Path]:
    for path in sorted(CSRC.rglob("*")):
        if path.suffix in (".h", ".cpp", ".cu", ".cuh") and "third_party" not in path.parts:
            yield path


def run_python(code: str, **environment: str) -> str:
    """Runs code in a fresh process, away from the repository; returns what it prints."""
    process = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


# Imports


def test_imports_point_one_way() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_torch_is_imported_in_its_rooms_only() -> None:
    for path in python_files("pyharmony"):
        room = path.relative_to(PACKAGE).as_posix()
        if path.name.endswith(TORCH_FILES):
            continue
        for node in nodes_of(path):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            if any(name.partition(".")[0] == "torch" for name in names):
                assert room.startswith(TORCH_ROOMS), f"{path}:{node.lineno} imports torch"


#: The largest number of pairs of a module and a private name that it imports from another room.
MAX_PRIVATE_NAMES = 8
#: The rooms that stand on each other, from the errors to the command line.
MOST_FLOORS = 14


def package_modules() -> dict[str, Path]:
    modules = {}
    for path in python_files("pyharmony"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def imported_names(module: str, path: Path) -> Iterator[tuple[str, str]]:
    """Yields the package's names that a module imports, inside functions too: the source, and the name or ''."""
    for_types = {
        id(inner)
        for node in nodes_of(path)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in nodes_of(path):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("pyharmony"))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.split(".")[0] == "pyharmony":
                yield from ((source, alias.name) for alias in node.names)


def imports_of_modules() -> dict[str, set[str]]:
    """Returns the package's other modules that each module imports, inside functions too."""
    modules = package_modules()
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        targets = {f"{a}.{b}" if f"{a}.{b}" in modules else a for a, b in imported_names(module, path)}
        graph[module] = (targets & modules.keys()) - {module}
    return graph


def without_circles(graph: dict[str, set[str]]) -> tuple[int, dict[str, set[str]]]:
    """Takes the floors of a graph away, from the ground; returns their number, and what is left: circles, and above."""
    floors = 0
    while ground := {one for one, below in graph.items() if not below}:
        graph = {one: below - ground for one, below in graph.items() if one not in ground}
        floors += 1
    return floors, graph


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Modules stand on each other in one direction, imports inside functions included."""
    assert without_circles(imports_of_modules())[1] == {}


def test_the_house_is_not_too_high() -> None:
    """A room is on the floor above the highest of the rooms that it imports."""
    rooms: dict[str, set[str]] = {}
    for module, targets in imports_of_modules().items():
        name = ".".join(room_and_rest(module)[0])
        rooms.setdefault(name, set()).update(".".join(room_and_rest(target)[0]) for target in targets)
    floors, circles = without_circles({name: below - {name} for name, below in rooms.items()})
    assert circles == {} and floors <= MOST_FLOORS


def room_and_rest(name: str) -> tuple[list[str], list[str]]:
    """Returns the parts of a module's or a function's name that are its room, in a wing or not, and those below."""
    parts = name.split(".")
    end = 3 if set(parts[1:2]) & set(WINGS) else 2
    return parts[:end], parts[end:]


def names_of_other_rooms() -> set[tuple[str, str, str]]:
    """Returns what modules take from other rooms, by imports or as attributes: the module, the source and the name."""
    modules = package_modules()
    names: set[tuple[str, str, str]] = set()
    for module, path in modules.items():
        renamed = {alias.name: alias.asname for node in nodes_of(path) if isinstance(node, ast.ImportFrom)
                   for alias in node.names if alias.asname}  # fmt: skip
        aliases: dict[str, str] = {}
        for source, name in imported_names(module, path):
            target = f"{source}.{name}".rstrip(".")
            if target in modules:
                aliases[renamed.get(name, name)] = target
            if name:
                names.add((module, source, name))
        for node in nodes_of(path):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                names.add((module, aliases[node.value.id], node.attr))
    return {one for one in names if room_and_rest(one[0])[0] != room_and_rest(f"{one[1]}.{one[2]}")[0]}


def test_rooms_import_few_private_names_of_each_other() -> None:
    private = {
        (module, f"{source}.{name}")
        for module, source, name in names_of_other_rooms()
        if any(re.match("_(?!_)", part) for part in room_and_rest(f"{source}.{name}")[1])
    }
    assert len(private) <= MAX_PRIVATE_NAMES, "\n".join(f"{module}: {target}" for module, target in sorted(private))


@pytest.mark.parametrize("former_first", [True, False])
def test_rooms_that_moved_have_their_former_names_too(former_first: bool) -> None:
    lines = ["import sys"]
    for room in sorted(_rooms.PLACES):
        names = former, current = f"pyharmony.{room}", _rooms.current(f"pyharmony.{room}")
        lines += [f"import {', '.join(names if former_first else names[::-1])}"]
        lines += [f"assert {former} is {current} is sys.modules[{former!r}]"]
        if inner := {"models": "dovenet", "training": "steps", "server": "settings"}.get(room):
            lines += [f"import {former}.{inner} as a, {current}.{inner} as b"]
            lines += ["assert a is b and a.__spec__.name == b.__name__"]
    run_python("\n".join(lines))


def listed(path: Path) -> set[str]:
    """Returns the names in the `__all__` of a module."""
    for node in nodes_of(path):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return {text.value for text in ast.walk(node) if isinstance(text, ast.Constant)}
    return set()


def test_rooms_take_only_what_other_rooms_list() -> None:
    """A name of another room is in the `__all__` of its module. Rooms with an underscore serve the whole package."""
    modules = package_modules()
    lists = {module: listed(path) for module, path in modules.items()}
    unlisted = {
        (module, f"{source}.{name}")
        for module, source, name in names_of_other_rooms()
        if not re.search(r"\._", f"{source}.{name}") and f"{source}.{name}" not in modules
        if source in modules and name not in lists[source]
    }
    assert not unlisted, "\n".join(f"{module}: {target}" for module, target in sorted(unlisted))


def functions_of(path: Path) -> dict[str, int]:
    """Returns the functions of a module by their qualified names, with their first lines; a class is its __init__."""
    lines: dict[str, int] = {}

    def add(node: ast.AST, prefix: str) -> None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.FunctionDef | ast.ClassDef):
                name = prefix + inner.name
                if isinstance(inner, ast.FunctionDef):
                    line = min([inner.lineno, *(each.lineno for each in inner.decorator_list)])
                    lines[name.removesuffix(".__init__")] = line
                add(inner, f"{name}.")
            else:
                add(inner, prefix)

    add(tree_of(path), "")
    return lines


def chain_of(heading: str) -> tuple[int, list[tuple[str, int, str]]]:
    """Returns the number that a chain of docs/architecture.md is said to have, and its functions: file, line, name."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    match = re.search(rf"^`{heading}`, (\d+) functions.*?\n\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert match, heading
    count, table = match.groups()
    chain = []
    for row in table.splitlines()[2:]:
        file, functions = row.replace("`", "").split("|")[1].strip(), row.split("|")[2]
        lines = functions_of(PACKAGE / file)
        for name in re.findall(r"`([^`]+)`", functions):
            assert name in lines, f"{file} has no function {name}"
            chain.append((file, lines[name], name))
    return int(count), chain


def visits(call: Callable[[], object]) -> tuple[list[tuple[str, int, Any]], list[list[tuple[str, int]]]]:
    """Runs a call; returns the functions of the package that it visits and the stacks on which kernels are called.

    A visit has the file, the line and the first array among the arguments, or else the first argument. What is below
    `image_of` is left out: by it harmonize measures a map on a small image.
    """
    frames: dict[int, Any] = {}
    calls: list[tuple[str, int, Any]] = []
    stacks: list[list[tuple[str, int]]] = []

    def of_package(frame: FrameType) -> bool:
        code = frame.f_code
        if code.co_filename == f"{PACKAGE}{os.sep}_public.py":
            return False  # around each public function, it only answers unknown keywords
        return code.co_filename.startswith(f"{PACKAGE}{os.sep}") and code.co_name not in ("<listcomp>", "<genexpr>")

    def place_of(frame: FrameType) -> tuple[str, int]:
        return Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix(), frame.f_code.co_firstlineno

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        native = event == "c_call" and str(getattr(arg, "__module__", "")).startswith("pyharmony")
        if not native and (event != "call" or not of_package(frame) or id(frame) in frames):
            return  # a generator is come back to, and counted once
        stack: list[FrameType] = []
        above: FrameType | None = frame
        while above is not None:
            stack += [above] if of_package(above) else []
            above = above.f_back
        if "image_of" in [each.f_code.co_name for each in stack]:
            return
        if native:
            stacks.append([place_of(each) for each in reversed(stack)])
            return
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = [frame.f_locals[name] for name in names if name in frame.f_locals]
        subject = next((x for x in values if isinstance(x, np.ndarray)), values[0] if values else None)
        frames[id(frame)] = frame, subject  # what is kept has an address of its own
        key: Any = id(subject)
        if isinstance(subject, np.ndarray):
            key = subject.__array_interface__["data"][0], subject.shape, subject.dtype.name
        calls.append((*place_of(frame), key))

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls, stacks


@pytest.mark.parametrize(("name", "most"), [("blend.gaussian_poisson", 25), ("harmonize", 15)])
def test_the_chains_of_the_architecture_page_are_those_that_run(name: str, most: int) -> None:
    count, chain = chain_of(name)
    assert count == len(chain) <= most
    rng = np.random.default_rng(0)
    src, dst = (rng.integers(0, 256, (100, 110, 3), np.uint8) for _ in range(2))
    mask = np.zeros((100, 110), np.uint8)
    mask[10:90, 10:95] = 255

    def call() -> object:
        if name == "harmonize":
            return pyharmony.harmonize(dst, mask, method="mkl", guard=False)
        return pyharmony.blend.gaussian_poisson(src, dst, mask, return_info=True)  # one native call has no chain

    call()  # what is imported when it is first used is not of the chain
    gc.collect()  # nor is the end of a generator that an earlier test left
    calls, stacks = visits(call)
    functions = {(file, line): function for file, line, function in chain}
    visits_of_chain = [visit for visit in calls if visit[:2] in functions]
    order = dict.fromkeys(visit[:2] for visit in visits_of_chain)
    assert [(file, functions[file, line]) for file, line in order] == [(file, function) for file, _, function in chain]
    assert [
        (functions[visit[:2]], visit[2]) for visit in set(visits_of_chain) if visits_of_chain.count(visit) > 1
    ] == []
    assert stacks
    for stack in stacks:
        places = [place in functions for place in stack]
        assert all(places[: len(places) - places[::-1].index(True)]), stack


def image_visits(call: Callable[[], object], shapes: set[tuple[int, ...]]) -> list[tuple[str, int, str, str]]:
    """Runs a call; returns the functions of rooms that take its images at their own sizes, in order.

    Each has its file, its first line, its room, and the room that it was called from. Packages that serve every room
    (`_images`, `ops`, `io` and single modules) are passed through.
    """
    calls: list[tuple[str, int, str, str]] = []

    def room_of(frame: FrameType | None) -> str:
        while frame is not None:
            path = frame.f_code.co_filename
            if path.startswith(f"{PACKAGE}{os.sep}"):
                first, *rest = Path(path).relative_to(PACKAGE).parts
                if rest and not first.startswith("_") and first not in ("ops", "io"):
                    return first
            frame = frame.f_back
        return ""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(f"{PACKAGE}{os.sep}") or code.co_name[0] == "<":
            return
        file = Path(code.co_filename).relative_to(PACKAGE)
        room = file.parts[0]
        if len(file.parts) == 1 or room.startswith("_") or room in ("ops", "io"):
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = [frame.f_locals[name] for name in names if name in frame.f_locals]
        if any(isinstance(x, np.ndarray) and x.shape in shapes for x in values):
            calls.append((file.as_posix(), code.co_firstlineno, room, room_of(frame.f_back)))

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


def scene_of_composites() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a photo with an object, a background, and the object's mask."""
    photo, background = (np.full((*shape, 3), 120, np.uint8) for shape in ((200, 260), (240, 320)))
    mask = np.zeros((200, 260), np.uint8)
    mask[60:150, 90:150] = 255
    photo[mask > 0] = (220, 60, 40)
    background[120:] = np.arange(320)[None, :, None] // 2
    return photo, background, mask


@pytest.mark.chains
@pytest.mark.parametrize(("name", "most"), [("segment", 15), ("place", 25), ("compose", 40)])
@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_the_chains_of_composites_are_those_that_run(name: str, most: int) -> None:
    count, chain = chain_of(name)
    assert count == len(chain) <= most
    photo, background, mask = scene_of_composites()

    def call() -> object:
        if name == "segment":
            return pyharmony.segment(photo, points=(120, 100))
        if name == "place":
            return pyharmony.place(photo, background, mask=mask, people=[], person=False)
        return pyharmony.compose(photo, background, masks=mask, people=[], harmonize="mkl")

    threads = pyharmony.get_num_threads()
    pyharmony.set_num_threads(1)  # what other threads do is not seen
    try:
        call()
        visits = image_visits(call, {photo.shape, background.shape})
    finally:
        pyharmony.set_num_threads(threads)
    # The chain of harmonize is a table of its own.
    own = [visit for visit in visits if visit[2] == visit[3] != "harmonization" or visit[2] != visit[3]]
    names = {(file, line): function for file, line, function in chain}
    functions = dict.fromkeys(visit[:2] for visit in own)
    assert [(file, names.get((file, line), line)) for file, line in functions] == [(file, f) for file, _, f in chain]
    entries = Counter(room for _, _, room, caller in visits if room != caller)
    assert max(entries.values()) == 1, entries


@pytest.mark.chains
@pytest.mark.parametrize(("name", "most"), [("place", 70), ("compose", 250)])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_an_image_is_opened_once_and_passed_on_by_few_calls(name: str, most: int, times: int) -> None:
    """An image of the call is an argument of so few calls of the package's functions, those for all rooms included."""
    photo, background, mask = (image.repeat(times, 0).repeat(times, 1) for image in scene_of_composites())

    def call() -> object:
        if name == "place":
            return pyharmony.place(photo, background, mask=mask)
        return pyharmony.compose(photo, background, masks=mask, people=[], harmonize="mkl")

    stays = image_stays(call, {photo.shape, background.shape})
    assert most // 2 < stays.total() <= most, stays.most_common()


def test_native_rooms_include_downwards() -> None:
    order = ["core", "device", "ops", "bindings"]
    for path in native_files():
        room, *rest = path.relative_to(CSRC).parts
        for target in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.MULTILINE):
            target_room, *target_rest = target.split("/")
            if room in order and target_room in order:
                assert order.index(target_room) <= order.index(room), f"{path} includes {target}"
            its_own = room in ("emulator", "device") or path.name.startswith("emulator")
            assert target_room != "emulator" or its_own, f"{path} includes {target}"
            if room == target_room == "ops" and rest[0] != target_rest[0]:
                # Another op is used through its declarations, never through its device code or sources.
                assert target.endswith(".h"), f"{path} includes {target}"


def test_only_the_emulator_compiles_the_emulator() -> None:
    """No list of sources of the package's module names it, and one header of the others includes it."""
    before = (ROOT / "CMakeLists.txt").read_text().partition("if(HM_EMULATOR AND")[0]
    assert "csrc/emulator" not in before and "emulator_controls" not in before
    includes = [
        path.relative_to(CSRC).as_posix() for path in native_files() if '#include "emulator/' in path.read_text()
    ]
    assert [name for name in includes if not re.match(r"emulator/|bindings/emulator", name)] == ["device/launch.h"]
    guarded = (CSRC / "device/launch.h").read_text().partition("#elif defined(HM_EMULATOR)")[2].partition("#else")[0]
    assert '#include "emulator/emulator.h"' in guarded
    assert not list(PACKAGE.glob("_emulator*"))


ROW_INPUTS = {"blend": ("src", "dst", "mask"), "harmonize": ("image", "mask")}


@pytest.mark.chains
@pytest.mark.parametrize("operation", ROW_INPUTS)
@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_row_of_a_run_passes_through_eighty_functions_at_most(operation: str, tmp_path: Path) -> None:
    """The functions of `runs` that a row calls, and those of other rooms that take its images at their own size."""
    from pyharmony.runs.batch._sources import Item
    from pyharmony.runs.batch._worker import Order
    from pyharmony.runs.batch.operations import Settings, operation_of

    pixels = np.random.default_rng(0).integers(40, 200, (120, 160, 3), np.uint8)
    mask = np.zeros((120, 160), np.uint8)
    mask[30:90, 40:120] = 255
    inputs = {name: str(tmp_path / f"{name}.png") for name in ROW_INPUTS[operation]}
    for name, path in inputs.items():
        pyharmony.save(mask if name == "mask" else pixels, path)
    options = {"method": "mkl"} if operation == "harmonize" else {}
    threads, device = pyharmony.get_num_threads(), pyharmony.get_device()
    runner = operation_of(Settings(operation, str(tmp_path / "out"), options=options))

    def run(number: int) -> None:
        order = Order(number, Item("row", inputs, {}, f"{number}.png"), replaces=False)
        work = runner.decode(order)
        runner.compute(order, work)
        runner.encode(order, work)

    called = set[tuple[str, int]]()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name[0] != "<" and code.co_filename.startswith(str(PACKAGE / "runs")):
            called.add((Path(code.co_filename).relative_to(PACKAGE).as_posix(), code.co_firstlineno))

    try:
        run(0)
        images = image_visits(lambda: run(1), {pixels.shape, mask.shape, (*mask.shape, 1)})
        sys.setprofile(profile)
        run(2)
    finally:
        sys.setprofile(None)
        pyharmony.set_num_threads(threads)
        pyharmony.set_device(device)
    functions = called | {visit[:2] for visit in images}
    assert 20 < len(functions) <= 80, sorted(functions)


def test_pybind11_stays_in_the_bindings() -> None:
    for path in native_files():
        if path.relative_to(CSRC).parts[0] != "bindings":
            assert "pybind11" not in path.read_text(), path


#: The modules that a program may import without torch, OpenCV and the like.
LIGHT = ("pyharmony", *(f"pyharmony.{name}" for name in pyharmony._SUBPACKAGES if name not in pyharmony._OF_TORCH))


def test_imports_are_light() -> None:
    loaded = run_python("".join(f"import {module}\n" for module in LIGHT) + "import sys; print(*sys.modules)").split()
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_networks_do_not_import_torchs_compiler() -> None:
    modules = "".join(f"import pyharmony.{module}\n" for module in pyharmony._OF_TORCH)
    assert "torch._dynamo" not in run_python(f"{modules}import sys; print(*sys.modules)").split()


def test_import_works_where_the_heavy_packages_are_absent() -> None:
    absent = "; ".join(f"sys.modules[{name!r}] = None" for name in HEAVY)
    run_python(f"import sys; {absent}; import {', '.join(LIGHT)}")


# Names


def test_an_op_has_its_six_places() -> None:
    for folder in sorted(path for path in (CSRC / "ops").glob("*") if path.is_dir()):
        op = folder.name
        places = (
            f"csrc/ops/{op}/{op}.h",
            f"csrc/bindings/{op}.cpp",
            f"pyharmony/ops/{op}.py",
            f"pyharmony/reference/{op}.py",
            f"tests/ops/test_{op}.py",
            f"benchmarks/ops/bench_{op}.py",
            f"docs/{op}.md",
        )
        missing = [place for place in places if not (ROOT / place).exists()]
        assert not missing, f"{op} lacks {', '.join(missing)}"


def test_a_room_has_its_pages() -> None:
    """A row of the architecture's table names the room, and the Python reference has its page."""
    lines = (ROOT / "docs" / "architecture.md").read_text().splitlines()
    rooms = "".join(line.split("|")[1] for line in lines if line.startswith("| `"))
    reference = (ROOT / "docs" / "api.md").read_text()
    for name in pyharmony._SUBPACKAGES:
        assert re.search(rf"[`/]{name}(\.py)?`", rooms), f"docs/architecture.md has no row for {name}"
        assert f"(api/{name}.md)" in reference, f"docs/api.md has no row for {name}"
        assert (ROOT / "docs" / "api" / f"{name}.md").is_file(), f"docs/api/{name}.md is missing"


def public_packages() -> list[str]:
    folders = [path.parent for path in python_files("pyharmony") if path.name == "__init__.py"]
    if importlib.util.find_spec("torch") is None:
        folders = [folder for folder in folders if folder.name not in TORCH_ROOMS]
    return [".".join(folder.relative_to(ROOT).parts) for folder in folders]


def test_no_module_has_the_name_of_a_public_callable_beside_it() -> None:
    """A lazy import would replace the function by the module. ops, blend and nn import eagerly, so their names stay."""
    for name in public_packages():
        if name in ("pyharmony.ops", "pyharmony.blend", "pyharmony.networks.nn"):
            continue
        package = importlib.import_module(name)
        for public in getattr(package, "__all__", ()):
            if callable(getattr(package, public)):
                folder = ROOT / name.replace(".", "/")
                assert not (folder / f"{public}.py").exists(), f"{name}.{public}"
                assert not (folder / public).is_dir(), f"{name}.{public}"


# Sources


def test_nothing_unsafe_is_called() -> None:
    banned = {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "os.system", "marshal.loads", "__import__"}
    for path in python_files("pyharmony", "examples", "benchmarks", "tools"):
        for node in nodes_of(path):
            if not isinstance(node, ast.Call):
                continue
            name, where = dotted(node.func), f"{path}:{node.lineno}"
            safe = ("weights_only", "allow_pickle", "shell")
            arguments = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg in safe}
            assert name not in banned, f"{where} calls {name}"
            assert name != "torch.load" or arguments.get("weights_only") == "True", f"{where}: weights_only=True"
            assert name not in ("np.load", "numpy.load") or arguments.get("allow_pickle", "False") == "False", where
            assert arguments.get("shell", "False") == "False", f"{where} runs a shell"


def test_the_library_prints_nothing() -> None:
    for path in python_files("pyharmony"):
        if path.relative_to(PACKAGE).parts[0] == "cli":
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Call):
                assert dotted(node.func) not in ("print", "sys.stdout.write"), f"{path}:{node.lineno}"
    for path in native_files():
        assert not re.search(r"\bprintf\s*\(|std::cout|std::cerr", path.read_text()), path


def test_sources_hold_no_paths_of_a_machine_and_nothing_left_to_do() -> None:
    folders = ("pyharmony", "csrc", "tests", "benchmarks", "examples", "docs", "tools")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.iterdir())
    suffixes = {".py", ".pyi", ".h", ".cpp", ".cu", ".cuh", ".md", ".toml", ".txt", ".sh", ".json"}
    banned = re.compile(r"\b(TO[D]O|FIX[M]E)\b|/(home|root|Users|work)/")
    for path in paths:
        if path.is_file() and "third_party" not in path.parts and (path.suffix in suffixes or path.name == "Makefile"):
            match = banned.search(path.read_text())
            assert not match, f"{path} holds {match.group()!r}"


def test_the_profile_says_how_many_cases_a_property_has() -> None:
    """A number in a test would hold in `make test-full` too."""
    for path in python_files("tests"):
        if path.name not in ("conftest.py", Path(__file__).name):
            assert "max_examples" not in path.read_text(), path


def test_every_direct_dependency_is_pinned() -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    required = importlib.metadata.requires("pyharmony-blend") or []
    names = {re.match(r"[A-Za-z0-9._-]+", line).group().lower().replace("_", "-") for line in required}
    assert names - {"pyharmony-blend"} <= pinned


def test_actions_are_named_by_commit() -> None:
    """A tag may be moved to other code."""
    uses = re.findall(r"uses: *(\S+)", "".join(path.read_text() for path in (ROOT / ".github").rglob("*.yml")))
    assert uses and [one for one in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", one)] == []


# Build


@pytest.mark.parametrize("level", ["baseline", "avx2", "avx512"])
def test_a_kernel_copy_shows_its_own_namespace_only(level: str) -> None:
    """An inline function compiled for AVX-512 must never be the one that the rest of the module calls."""
    objects = sorted((ROOT / "build").glob(f"cmake-*/simd_{level}.o"))
    if not objects:
        pytest.skip("no object files of a build in this folder")
    for path in objects:
        listing = subprocess.run(
            ["nm", "--defined-only", "--extern-only", "--format=posix", str(path)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        symbols = [line.split()[0] for line in listing.splitlines()]
        assert symbols, path
        assert [name for name in symbols if f"simd_{level}" not in name] == []


def tools_in(folder: Path, *names: str) -> None:
    folder.mkdir()
    for name in names:
        program = sys.executable if name == "python3" else shutil.which(name)
        assert program, name
        (folder / name).symlink_to(program)


def check_tools(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "check_tools.sh")], env={"PATH": str(folder)}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("missing", "package"),
    [("python3", "python3"), ("g++", "g++"), ("ld", "binutils"), ("objcopy", "binutils")],
)
def test_a_missing_program_is_named_with_its_package(tmp_path: Path, missing: str, package: str) -> None:
    tools_in(tmp_path / "bin", *({"python3", "g++", "as", "ld", "objcopy"} - {missing}))
    process = check_tools(tmp_path / "bin")
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
    assert "apt-get install" in process.stderr
    assert package in process.stderr


@pytest.mark.parametrize(
    ("part", "says"),
    [("version_info", "3.10 is needed"), ("ensurepip", "python3-venv"), ("Python.h", "python3-dev")],
)
def test_a_python_that_lacks_a_part_is_named(tmp_path: Path, part: str, says: str) -> None:
    tools_in(tmp_path / "bin", "g++", "as", "ld", "objcopy")
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\ncase "$2" in *{part}*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    process = check_tools(tmp_path / "bin")
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
    assert says in process.stderr


def test_nothing_missing_says_nothing(tmp_path: Path) -> None:
    tools_in(tmp_path / "bin", "python3", "g++", "as", "ld", "objcopy")
    process = check_tools(tmp_path / "bin")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def reasons_of(path: Path) -> Iterator[ast.expr | None]:
    """Yields the reason of each skip that a file of tests asks for; None: one that pytest makes up."""
    for node in nodes_of(path):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in ("pytest.skip", "pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.xfail"):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            first = node.args[0] if name in ("pytest.skip", "pytest.xfail") and node.args else None
            yield keywords.get("reason", first)


def test_every_reason_for_a_skip_is_one_that_a_run_may_have() -> None:
    """A text that a machine with another CPU or other packages gives would fail its run alone."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for reason in reasons_of(path):
            where = f"{path.name}:{getattr(reason, 'lineno', '')}"
            assert reason is not None, f"{path.name}: a skip without a reason"
            texts = [reason.body, reason.orelse] if isinstance(reason, ast.IfExp) else [reason]
            for text in texts:
                if isinstance(text, ast.Constant):
                    test = f"{path.relative_to(ROOT)}::test"
                    is_expected = skips.expected(test if path.name != "conftest.py" else "tests/*::test", text.value)
                    assert is_expected, f"{where}: {text.value!r} is not in tests/skips.py"
                else:
                    function = ast.unparse(text.func) if isinstance(text, ast.Call) else ast.unparse(text)
                    assert function in ("skips.not_installed", "skips.not_available"), f"{where}: {ast.unparse(text)}"


def test_reasons_that_are_computed_are_expected() -> None:
    for module in skips.PACKAGES:
        assert skips.expected("tests/test_x.py::test_y", skips.not_installed(module))
    for level in ("avx2", "avx512"):
        assert skips.expected("tests/test_x.py::test_y[avx2]", skips.not_available(level))
    assert not skips.expected("tests/test_x.py::test_y", skips.not_available("baseline"))
    assert not skips.expected("tests/test_x.py::test_y", "there is one CUDA device")


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_instruction_sets_above_the_limit_are_not_available(level: str) -> None:
    """A run with PYHARMONY_SIMD is one of a CPU that lacks what is above it, whoever asks for more."""
    if level not in _facts.simd_levels():
        pytest.skip(skips.not_available(level))
    code = """
import json, pyharmony
from pyharmony._native import native
from pyharmony.cli import _facts

refused = {}
for name in ("baseline", "avx2", "avx512"):
    try:
        native.set_simd_level(name)
    except ValueError as error:
        refused[name] = str(error)
native.set_simd_level("baseline")
print(json.dumps([_facts.simd_levels(), refused]))
"""
    levels, refusals = json.loads(run_python(code, PYHARMONY_SIMD=level))
    all_levels = list(skips.INSTRUCTION_SETS)
    lower, higher = all_levels[: all_levels.index(level) + 1], all_levels[all_levels.index(level) + 1 :]
    assert levels == lower
    assert list(refusals) == higher
    for name, message in refusals.items():
        assert message == f"simd: '{name}' is not available here, the best is '{level}', by PYHARMONY_SIMD"


def test_the_skips_of_a_cpu_without_an_instruction_set_are_expected() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/ops/test_color_stats.py",
         "-k", "instruction_set"],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYHARMONY_SIMD": "baseline", "PYHARMONY_CHECK_SKIPS": "1"},
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    assert "avx2 is not available on this processor" in process.stdout


@pytest.mark.full
@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_a_command_runs_as_on_an_older_cpu(level: str) -> None:
    if level not in _facts.simd_levels():
        pytest.skip(skips.not_available(level))
    code = """
import importlib.util
import numpy._core._multiarray_umath as numpy_features
import pyharmony

higher = [name for name in numpy_features.__cpu_dispatch__ if "AVX512" in name or "V4" in name]
assert not any(numpy_features.__cpu_features__[name] for name in higher), numpy_features.__cpu_features__
if importlib.util.find_spec("torch"):
    import torch
    from pyharmony import models
    from pyharmony.learn.training import steps

    assert torch.backends.cpu.get_cpu_capability() == {"baseline": "DEFAULT", "avx2": "AVX2"}[pyharmony.simd_level()]
    assert steps.create(models.create("pix2pix", "small"), dtype="auto").settings.dtype == "float32"
print(pyharmony.simd_level())
"""
    process = subprocess.run(
        ["sh", "tools/as_cpu.sh", level, sys.executable, sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (process.returncode, process.stdout) == (0, f"{level}\n"), process.stderr


def run_in_forks(folder: Path, runs: list[tuple[str, list[str]]]) -> tuple[list[int], list[str]]:
    """Runs pytest with this conftest on tests/test_it.py, by its text and arguments; returns statuses and output.

    One process imports, and forks for each run.
    """
    tests = folder / "tests"
    tests.mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tests)
    addopts = "--import-mode=importlib -m 'not full and not slow'"
    markers = "full\n  slow\n  covering(strength)"
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = {addopts}\nmarkers = {markers}\n")
    (tests / "skips.py").write_text(
        (ROOT / "tests" / "skips.py").read_text() + 'EXPECTED += [("*test_it.py::test_a*", "known reason")]\n'
    )
    code = """
import hypothesis, json, os, pytest, pyharmony, sys

statuses = []
for number, (text, words) in enumerate(json.loads(sys.argv[1])):
    if child := os.fork():
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        continue
    os.dup2(os.open(f"told{number}", os.O_WRONLY | os.O_CREAT), 1)
    open("tests/test_it.py", "w").write(text)
    os.environ["PYHARMONY_CHECK_SKIPS"] = words.pop(0)
    status = pytest.main(["-q", "-p", "no:cacheprovider", *words])
    sys.stdout.flush()
    os._exit(status)
print(statuses)
"""
    process = subprocess.run(
        [sys.executable, "-B", "-c", code, json.dumps(runs)], cwd=folder, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout), [(folder / f"told{i}").read_text() for i in range(len(runs))]


def test_a_skip_that_is_not_expected_fails_the_run(tmp_path: Path) -> None:
    case = "import pytest\n\n@pytest.mark.parametrize('x', [1])\ndef test_a(x): pytest.skip({reason!r})\n"
    runs = [("known reason", "1"), ("a new reason", "0"), ("a new reason", "1")]
    statuses, output = run_in_forks(
        tmp_path, [(case.format(reason=reason), [check, "tests"]) for reason, check in runs]
    )
    assert statuses == [0, 0, 1]
    assert "test_it.py::test_a[1] | a new reason" in output[2]


def test_long_forms_are_collected_where_they_are_asked_for(tmp_path: Path) -> None:
    text = """
import pytest

@pytest.mark.full
def test_long(): pass

@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.full)])
def test_case(x): pass

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.full)])
def test_long_cases(x): pass

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.covering(1)
@pytest.mark.parametrize("y", [3, 4])
@pytest.mark.parametrize("x", [1, 2])
def test_values(x, y): pass

@pytest.mark.parametrize("y, z", [(3, 5), (4, 6)])
@pytest.mark.parametrize("x", [1, 2])
@pytest.mark.parametrize("w", [7, 8])
def test_pairs(w, x, y, z): pass
"""
    short = ["test_case[1]", "test_values[1-3]", "test_values[2-4]"]
    short += ["test_pairs[7-1-3-5]", "test_pairs[7-2-4-6]", "test_pairs[8-1-4-6]", "test_pairs[8-2-3-5]"]
    long = ["test_long", "test_case[2]", "test_long_cases[1]", "test_values[1-4]", "test_values[2-3]"]
    long += ["test_pairs[7-1-4-6]", "test_pairs[7-2-3-5]", "test_pairs[8-1-3-5]", "test_pairs[8-2-4-6]"]
    file = "tests/test_it.py"
    forms = (
        (["tests"], short), (["-m", "full", "tests"], long), (["-m", "slow", "tests"], ["test_slow"]),
        (["-m", "", "tests"], [*short, *long, "test_slow"]),
        (["-m", "", f"{file}::test_case"], ["test_case[1]", "test_case[2]"]),
        (["-m", "full", f"{file}::test_long"], ["test_long"]),
    )  # fmt: skip
    runs = [(text, ["0", "--collect-only", *words]) for words, _ in forms]
    statuses, output = run_in_forks(tmp_path, runs)
    assert statuses == [0] * len(runs), output
    collected = [re.findall(r"^tests/test_it.py::(\S+)$", one, re.M) for one in output]
    assert [sorted(names) for names in collected] == [sorted(names) for _, names in forms]
    assert "deselected" in output[0]  # of a test whose cases are all long, one stays until then


#: What a message outside the command line may say of flags: a whole command, in backticks or of another program.
COMMANDS = re.compile(r"`pyharmony [^`]*`|pip install [^`]*|`pyharmony [^`]*$|^ ?--data ROOT`")


def test_the_library_does_not_speak_in_flags() -> None:
    """A Python caller has arguments; flags are the command line's, which words its messages by code."""
    flag = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    lines = []
    for path in sorted((ROOT / "pyharmony").rglob("*.py")):
        room = path.relative_to(ROOT / "pyharmony").parts[0]
        if room in ("cli", "_calls"):  # descriptions of calls are what flags are made of
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines += [(path.name, line) for line in node.value.splitlines() if flag.search(COMMANDS.sub("", line))]
    assert not lines


def test_sizes_are_within_their_budget() -> None:
    above = load_script("tools/budget.py").above()
    assert not above, "\n".join([*above, "see tools/budget.py"])
