"""`pyharmony models`: the networks and their files."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .._jobs.failures import Code, Failure, reading, spoken, writing
from .._jobs.task import check_new
from ._command import Overwrite, command
from ._console import Console, table

app = typer.Typer(
    name="models",
    help="List the networks, and read, check and convert their weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Weights = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="Weights that pyharmony wrote, .safetensors, or the name of some it comes with."
    ),
]


def _counts_text(counts: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items() if name != "all")
    return f"{counts['all']:,}" + (f" ({parts})" if parts else "")


def _size(weights: Any) -> str:
    return f"{weights.bytes / 1e6:.1f} MB"


def _figure(figure: Any) -> str:
    between = "" if figure.low is None else f" ({_plain(figure.low)} to {_plain(figure.high)})"
    before = "" if figure.before is None else f", before {_plain(figure.before)}"
    return f"{figure.measure} {_plain(figure.value)}{between}{before}: {figure.data}, {figure.images:,} images"


def _plain(value: float) -> str:
    """Formats a value with two decimals, and none from a hundred on: a mean over some images is not more precise."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


@app.command("list")
@command("models.list")
def list_models(
    console: Console,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only those for harmonize, blend, realism, style or upscale.")
    ] = None,
) -> None:
    """List the networks, and the weights that come with pyharmony."""
    from .. import _catalogue, _shipped

    with spoken(console.words()):
        networks = _catalogue.every(task)
    weights = [entry for entry in _shipped.every() if task in (None, entry.task)]
    if console.as_json:
        rows = [{k: getattr(info, k) for k in ("name", "task", "summary", "source")} for info in networks]
        console.result(status="ok", models=rows, weights=[dataclasses.asdict(entry) for entry in weights])
        return
    console.say(table([[info.name, info.task, info.summary] for info in networks]))
    if weights:
        rows_ = [[entry.name, entry.task, f"weights of {entry.model}, {_size(entry)}"] for entry in weights]
        console.say("\n" + table(rows_))


@app.command("show")
@command("models.show")
def show(
    console: Console,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A network, or weights, of `pyharmony models list`.")],
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of its presets.  [default: as published]")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show its layers too, the generator's where there are two.")
    ] = False,
) -> None:
    """Show a network's settings, presets and parameters, or what is known of weights that come with pyharmony."""
    from .. import _catalogue, _shipped

    entry = _shipped.named(name)
    # A network of the same name is shown if an option that only networks have is given.
    if entry is not None and preset is None and not layers:
        _show_weights(console, entry)
        return
    if name not in {info.name for info in _catalogue.every()}:
        raise Failure(_unknown(name), Code.USAGE)
    info = _catalogue.entry_of(name)
    with spoken(console.words()):
        variant = info.variant(preset)
    config, counts = variant.config, variant.parameters
    layer_rows = []
    if layers:
        from .. import models

        layer_rows = [layer._asdict() for layer in models.layers(models.outline(name, preset))]
    if console.as_json:
        about = {k: getattr(info, k) for k in ("name", "task", "summary", "source", "presets")}
        about |= {"config": config, "parameters": counts, "converts": info.converts}
        console.result(status="ok", **about, **({"layers": layer_rows} if layers else {}))
        return
    rows = [["network", f"{name}: {info.summary}"], ["source", info.source], ["parameters", _counts_text(counts)]]
    rows += [["settings" if i == 0 else "", f"{k} = {v!r}"] for i, (k, v) in enumerate(config.items())]
    rows += [["presets", ", ".join(info.presets) or "none"]]
    rows += [["published weights", "`convert` reads them" if info.converts else "no layout is known"]]
    console.say(table(rows))
    if layers:
        cells = [[x["name"], x["kind"], "x".join(map(str, x["output"])), f"{x['parameters']:,}"] for x in layer_rows]
        console.say("\n" + table([["layer", "kind", "output", "parameters"], *cells]))


def _unknown(name: str) -> str:
    """Returns a message that names what there is instead of an unknown name."""
    from .. import _catalogue, _shipped

    if os.path.lexists(name):
        return f"NAME: {name} is a file; `pyharmony models verify {name}` shows what it holds"
    networks, weights = [info.name for info in _catalogue.every()], [entry.name for entry in _shipped.every()]
    hint = _catalogue.hint(name, [*networks, *weights])
    there = f"networks are {', '.join(networks)}; weights {', '.join(weights)}"
    return f"NAME: there is no network and no weights called {name}{hint}; {there}"


def _show_weights(console: Console, entry: Any) -> None:
    if console.as_json:
        console.result(status="ok", **dataclasses.asdict(entry), path=str(entry.path), card=entry.card)
        return
    rows = [["weights", f"{entry.name}: {entry.summary}"], ["network", f"{entry.model}, {entry.task}"]]
    rows += [["file", f"{entry.path}, {_size(entry)}"], ["sha256", entry.sha256], ["licence", entry.licence]]
    rows += [["trained on", entry.trained_on]]
    rows += [["figures" if i == 0 else "", _figure(figure)] for i, figure in enumerate(entry.figures)]
    rows += [["made by" if i == 0 else "", command] for i, command in enumerate(entry.commands)]
    rows += [["notes", entry.notes]] if entry.notes else []
    console.say(table([*rows, ["more", entry.card]]))


@app.command("verify")
@command("models.verify")
def verify(
    console: Console,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="Weights that pyharmony wrote, .safetensors, or the name of its own.  [default: all of its own]",
        ),
    ] = None,
) -> None:
    """Check that a file of weights is whole, and show what it holds.

    Of weights that come with pyharmony the checksum is compared first.
    """
    from .. import _catalogue

    if file is not None:
        _catalogue.check_weights(file)
    import hashlib

    from .. import models

    own = {entry.name: entry for entry in models.weights()}
    if file is None:
        for entry in own.values():
            _check(entry)
        rows = [[entry.name, _size(entry), entry.sha256] for entry in own.values()]
        if console.as_json:
            records = [{"name": entry.name, "path": str(entry.path), "sha256": entry.sha256} for entry in own.values()]
            console.result(status="ok", weights=records)
        else:
            console.say(table(rows) if rows else "no weights come with this pyharmony")
        return
    if file in own and not _is_model(own[file]):
        _check(own[file])
        if console.as_json:
            console.result(status="ok", name=own[file].model, sha256=own[file].sha256)
        else:
            console.say(table([["network", own[file].model], ["sha256", own[file].sha256]]))
        return
    model = models.load(file)
    path = own[file].path if file in own else Path(file)
    with reading(str(path)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    config, calibration = dataclasses.asdict(model.config), dataclasses.asdict(model.calibration)
    counts = models.parameter_counts(model)
    if console.as_json:
        about = {"config": config, "calibration": calibration, "parameters": counts}
        console.result(status="ok", name=model.name, **about, sha256=digest)
        return
    rows = [["network", model.name], ["settings", _as_text(config)]]
    rows += [["calibration", _as_text(calibration)]] if model.calibration != type(model.calibration)() else []
    console.say(table([*rows, ["parameters", _counts_text(counts)], ["sha256", digest]]))


def _is_model(entry: Any) -> bool:
    """Returns whether weights are of a model of `pyharmony.models`, and not of networks that have no torch module."""
    from .. import _catalogue

    return entry.model in {info.name for info in _catalogue.every()}


def _check(entry: Any) -> None:
    """Refuses weights that come with pyharmony and are damaged."""
    from .. import _shipped, models

    if _is_model(entry):
        models.load(entry.name)
    else:
        _shipped.read(entry)


def _as_text(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value!r}" for key, value in values.items())


@app.command("convert")
@command("models.convert")
def convert(
    console: Console,
    published: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLISHED", help="The published file, .pth, .npz or .safetensors, or TensorFlow's prefix."
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The network that it holds.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write, .safetensors.")],
    also: Annotated[
        list[Path] | None, typer.Option("--also", metavar="FILE", help="A further file, of another of its networks.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Write 16-bit floats: half the size.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting that the file does not tell.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn published weights into a file of pyharmony's.

    The published file is read as tensors; code that a pickle may hold is not run. What it does not hold, a
    discriminator as a rule, is not written. Where it is another network's than NAME, it is said whose.
    """
    from .. import _catalogue

    check_new(output, overwrite)
    _catalogue.check_model({"name": name, **dict(_setting(text) for text in setting or [])})
    from .. import models

    settings = dict(_setting(text) for text in setting or [])
    paths = [published, *(also or [])]
    model, networks = models.convert(paths, name, return_networks=True, **settings)
    part: Any = "generator" if isinstance(model, models.Adversarial) and "discriminator" not in networks else "all"
    with writing(str(output)):
        models.save(model, output, dtype="float16" if half else None, part=part)
    counts = models.parameter_counts(model)
    console.result(
        status="ok", name=model.name, config=dataclasses.asdict(model.config), parameters=counts, output=str(output)
    )
    console.note(f"{output}: {model.name}, {counts.get('generator', counts['all']):,} parameters")


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Failure(f"--set {text}: expected KEY=VALUE", Code.USAGE)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, {"True": True, "False": False}.get(value, value)


@app.command("export")
@command("models.export")
def export(
    console: Console,
    file: Weights,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write, .onnx.")],
    size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Sides of its images.  [default: as published]")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a network as ONNX, the generator where there are two."""
    from .. import _catalogue

    check_new(output, overwrite)
    _catalogue.check_weights(file)
    from .. import models

    model = models.load(file)
    with writing(str(output)):
        models.export(model, output, size=size)
    console.result(status="ok", name=model.name, output=str(output))
    console.note(f"{output}: {model.name}")
