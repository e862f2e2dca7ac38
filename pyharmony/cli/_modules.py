"""Python files of the user, which register their own networks."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..runs._jobs.failures import Code, reading

#: The files of `pyharmony --module`, which are run when a command begins.
_files: list[Path] = []


def name(path: Path) -> None:
    """Adds a file to those that run before the command."""
    _files.append(path)


def run_named() -> None:
    """Runs the files of `name`."""
    while _files:
        run(_files.pop(0), "--module: ")


def run(path: Path, before: str = "") -> Any:
    """Runs a Python file, once per process; returns it as a module.

    before: the text before the messages of failures: there is no such file, or the error that it raises.
    """
    with reading(f"{before}{path}"):
        source = path.resolve(strict=True)
        source.open("rb").close()
    digest = hashlib.sha256(str(source).encode()).hexdigest()[:8]
    module_name = f"_pyharmony_module_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, source)
    if spec is None or spec.loader is None:
        raise RunError(f"{before}{path}: expected a Python file, .py", Code.USAGE)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module.
    sys.modules[module_name] = module
    # It may import files in its folder, as a script may.
    sys.path.insert(0, str(source.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise RunError(f"{before}{path}: {_cause(error, source)}", Code.INPUT) from error
    finally:
        sys.path.remove(str(source.parent))
    return module


def _cause(error: Exception, source: Path) -> str:
    """Returns the message of an error, with the line of the file that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(source)]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")


def tables(config: str) -> dict[str, Any] | None:
    """Returns the tables of a configuration from FILE.py or FILE.py:NAME, or None if config has neither form.

    NAME, 'recipe' by default, is a dictionary of tables, or a function that returns one; else it is a failure.
    """
    path, _, key = config.partition(":") if ".py:" in config else (config, "", "")
    if not path.endswith(".py"):
        return None
    module, key = run(Path(path)), key or "recipe"
    if not hasattr(module, key):
        raise RunError(f"CONFIG: {path} does not define {key!r}, expected a dictionary of tables", Code.USAGE)
    recipe = getattr(module, key)
    if callable(recipe):
        try:
            recipe = recipe()
        except Exception as error:
            cause = _cause(error, Path(path).resolve())
            raise RunError(f"CONFIG: {key}() of {path}: {cause}", Code.INPUT) from error
    if not isinstance(recipe, dict):
        kind = type(recipe).__name__
        raise RunError(f"CONFIG: {key} of {path} is a {kind}, expected a dictionary of tables", Code.USAGE)
    return {table: dict(values) if isinstance(values, dict) else values for table, values in recipe.items()}
