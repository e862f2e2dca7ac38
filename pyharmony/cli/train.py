"""`pyharmony train`: trains a network on a data set."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._catalogue import hint
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failures, reading, reading_or_writing
from . import _modules
from ._command import TorchDevice, argument, command, option, switch
from ._console import Console, table
from ._sources import DataRoot

if TYPE_CHECKING:
    from ..learn.training import Plan, Progress

#: The seconds between two log lines if there is no terminal.
_LOG_SECONDS = 10.0


@command("train", verbose=True)
def train(
    console: Console,
    config: Annotated[
        str | None,
        argument(
            "[CONFIG]", "A TOML file, the name of a recipe (see --recipes), or FILE.py:NAME, tables in a Python file."
        ),
    ] = None,
    model: Annotated[str | None, option("NAME", "A network of `pyharmony models list`.")] = None,
    data: DataRoot = None,
    settings: Annotated[
        list[str] | None, option("TABLE.KEY=VALUE", "A setting, such as run.batch=8; repeatable.", "--set")
    ] = None,
    output: Annotated[Path | None, option("DIR", "The run's folder.  [default: runs/NAME]", "--output", "-o")] = None,
    resume: Annotated[str | None, option("auto|DIR", "Continue from the newest checkpoint, or from this one.")] = None,
    device: TorchDevice = None,
    dry_run: Annotated[
        bool, switch("--dry-run", "Run a few steps, report how long the run would take, write nothing.")
    ] = False,
    recipes: Annotated[bool, switch("--recipes", "List the recipes and exit.")] = False,
) -> None:
    """Train a network.

    DIR gets best.safetensors and last.safetensors, checkpoints, log.jsonl and TensorBoard's files. Ctrl-C ends the
    current step and saves; --resume auto continues from there with the same result. Several processes are started with
    `torchrun -m pyharmony train ...`.
    """
    from ..learn import training as library

    if recipes:
        summaries = library.recipes()
        console.result(status="ok", recipes=summaries)
        console.report(table([[name, about] for name, about in summaries.items()]))
        return
    tables: dict[str, Any] = {}
    if config is not None:
        recipes_, own_tables = library.recipes(), _modules.tables(config)
        if own_tables is not None:
            tables = own_tables
        elif config in recipes_:
            tables = library.recipe(config)
        elif not (os.path.lexists(config) or Path(config).suffix or os.sep in config):
            names = ", ".join(recipes_)
            suggestion = hint(config, recipes_)
            raise RunError(f"CONFIG: no recipe or file {config}{suggestion}; recipes are {names}", Code.USAGE)
        else:
            with reading(config):
                tables = library.read_toml(config)
    elif model is None:
        raise RunError("CONFIG: missing; expected a TOML file, a recipe, or --model NAME", Code.USAGE)
    if model is not None:
        tables.setdefault("model", {})["name"] = model
    if data is not None:
        tables.setdefault("data", {})["root"] = str(data)
    if not tables.get("schedule") and not any(s.startswith("schedule.") for s in settings or []):
        tables["schedule"] = {"epochs": 100}
    with as_failures(console.words({"changes": "--set"})):
        changed = library.with_changes(tables, settings or [])
    settled = library.config_of(changed)
    place: Any = device
    words = console.words(_NAMES, texts=_TEXTS, hints=_HINTS)
    if dry_run:
        if resume is not None:
            raise RunError("--dry-run: cannot be used with --resume; it measures a whole run", Code.USAGE)
        with as_failures(words):
            planned = library.plan(settled, device=place)
        console.result(status="ok", **vars(planned))
        console.report(table(_rows(str(settled.model["name"]), planned)))
        return
    folder = output or Path("runs") / str(settled.model["name"])
    with _progress(console) as tell, reading_or_writing(folder, folder), as_failures(words):
        result = library.train(settled, folder, resume=resume, device=place, on_progress=tell)
    if int(os.environ.get("RANK", "0")):
        return
    figures = {"figures": result.figures, "best": result.best, "skipped": result.skipped, "short": result.short}
    figures |= {"replaced": result.replaced, "dtype": result.dtype, "stopped_early": result.stopped_early}
    figures["bad"] = list(result.bad)
    best = str(folder / "best.safetensors")
    if result.interrupted:
        note = f"saved at step {result.steps}; --resume auto continues from there"
        console.result(status="interrupted", folder=str(folder), steps=result.steps, **figures)
        console.note(f"{folder}: {note}")
        raise typer.Exit(Code.INTERRUPTED)
    console.result(status="ok", folder=str(folder), weights=best, steps=result.steps, **figures)
    console.note(_summary(best, result))
    if "tensorboard" in settled.run.loggers:
        console.note(f"figures and images of the run: tensorboard --logdir {folder / 'tensorboard'}")


def _rows(name: str, plan: Plan) -> list[list[str]]:
    """Returns the report of --dry-run."""
    networks = ", ".join(f"{network} {count:,}" for network, count in plan.parameters.items() if network != "model")
    minutes, seconds = divmod(round(plan.seconds), 60)
    return [
        ["data", f"{plan.training:,} samples to train on, {plan.validation:,} for validation"],
        ["network", f"{name}, {sum(plan.parameters.values()):,} parameters" + (f": {networks}" if networks else "")],
        ["steps", f"{plan.steps_per_epoch:,} an epoch, {plan.steps:,} in all"],
        ["speed", f"{plan.rate:.3g} images/s in {plan.dtype} on {plan.device}, in {plan.measured} steps"],
        ["time", f"{minutes // 60}:{minutes % 60:02}:{seconds:02} hours, without evaluations"],
    ]


#: The figures of a run in the order of their report, each with its form.
_FIGURES = {"psnr": "PSNR {:.2f} dB", "fmse": "fMSE {:.1f}", "auc": "area under the curve {:.3f}", "iou": "IoU {:.3f}"}


def _summary(best: str, result: Any) -> str:
    """Returns a report for people on a finished run."""
    minutes, seconds = divmod(round(result.seconds), 60)
    head = f"{best}: {result.steps:,} steps in {minutes}:{seconds:02} minutes"
    if result.stopped_early:
        head += ", stopped early"
    figures = [form.format(result.best[name]) for name, form in _FIGURES.items() if name in result.best]
    if "gain" in result.best:
        gain = result.best["gain"]
        figures.insert(1, f"{abs(gain):.2f} dB {'beyond' if gain >= 0 else 'short of'} the composite")
    if "mse" in result.best and "fmse" not in result.best:
        figures.append(f"MSE {result.best['mse']:.4g}")
    if "color_error" in result.best:
        figures.append(f"seam {result.best['seam_error']:.2f} and colour {result.best['color_error']:.2f} levels")
    if not figures:
        return head
    return f"{head}; on the validation images {', '.join(figures)}, best at step {result.best['step']:,.0f}"


#: The names of arguments of `pyharmony.learn.training.train`, and of functions that it calls, if they differ.
_NAMES = {"out": "--output", "path": "--data", "data.root": "--data ROOT"}
_TEXTS = {
    "no-checkpoint": "{start} is not a checkpoint folder, expected auto or {accepted}",
    "no-data": "missing, expected a folder of data",
}
_HINTS = {
    "holds-a-run": "--resume auto continues it, or pass another folder",
    "unknown-kind": "pass --set data.kind=NAME, one of {kinds}",
    "not-finite": "a smaller step.lr, or --set step.dtype=float32, may help",
}


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Shows a bar on a terminal, otherwise a line every ten seconds."""
    if console.plain:
        last = [-math.inf]

        def line(progress: Progress) -> None:
            if progress.seconds - last[0] >= _LOG_SECONDS or progress.count == progress.total:
                last[0] = progress.seconds
                console.note(_words(progress), step=progress.count, **progress.losses)

        yield line
        return
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(BarColumn(), TextColumn("{task.description}"), console=RichConsole(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def update(progress: Progress) -> None:
            bar.update(task, completed=100 * progress.share, description=_words(progress))

        yield update


def _words(progress: Progress) -> str:
    parts = [f"step {progress.count}" + (f" of {progress.total}" if progress.total else "")]
    parts.append(f"epoch {progress.epoch + 1}")
    if progress.rate:
        parts.append(f"{progress.rate:.3g} images/s")
    if progress.left is not None:
        minutes, seconds = divmod(round(progress.left), 60)
        parts.append(f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left")
    parts += [f"{name} {value:.4g}" for name, value in progress.losses.items()]
    return ", ".join(parts)
