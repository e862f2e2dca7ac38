"""`pyharmony models`: the networks and their files."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import RunError
from ..runs._jobs.failures import Code, as_failures, reading, writing
from ..runs._jobs.task import check_new
from ._command import Overwrite, argument, command, option, switch
from ._console import Console, table

app = typer.Typer(
    name="models",
    help="List the networks, and read, check and convert their weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Weights = Annotated[
    str, argument("FILE", "Weights that pyharmony wrote, .safetensors, or the name of weights that come with it.")
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
        str | None, option("TASK", "Only networks for harmonize, blend, realism, style or upscale.")
    ] = None,
) -> None:
    """List the networks, and the weights that come with pyharmony."""
    from .. import _catalogue, _shipped

    with as_failures(console.words()):
        networks = _catalogue.every(task)
    weights = [entry for entry in _shipped.every() if task in (None, entry.task)]
    records = [{k: getattr(info, k) for k in ("name", "task", "summary", "source")} for info in networks]
    left_out = [entry.name for entry in _shipped.left_out() if task in (None, entry.task)]
    console.result(
        status="ok", models=records, weights=[dataclasses.asdict(entry) for entry in weights], left_out=left_out
    )
    console.report(table([[info.name, info.task, info.summary] for info in networks]))
    if weights:
        data = {True: "", False: ", not all trained on open photographs"}
        rows = [[one.name, one.task, f"weights of {one.model}, {_size(one)}{data[one.open_data]}"] for one in weights]
        console.report("\n" + table(rows))
    if left_out:
        console.report(f"\n{_shipped.OPEN_DATA}=1 leaves out {', '.join(left_out)}")


@app.command("show")
@command("models.show")
def show(
    console: Console,
    name: Annotated[str, argument("NAME", "A network, or weights, of `pyharmony models list`.")],
    preset: Annotated[str | None, option("NAME", "One of its presets.  [default: as published]")] = None,
    layers: Annotated[
        bool, switch("--layers", "Show its layers too, the generator's if there are two networks.")
    ] = False,
) -> None:
    """Show a network's settings, presets and parameters, or the record of weights that come with pyharmony."""
    from .. import _catalogue, _shipped

    entry = _shipped.named(name)
    # A network of the same name is shown if an option for networks is given.
    if entry is not None and preset is None and not layers:
        _show_weights(console, entry)
        return
    if name not in {info.name for info in _catalogue.every()}:
        raise RunError(_unknown(name), Code.USAGE)
    info = _catalogue.entry_of(name)
    with as_failures(console.words()):
        variant = info.variant(preset)
    config, counts = variant.config, variant.parameters
    layer_rows = []
    if layers:
        from ..networks import models

        layer_rows = [layer._asdict() for layer in models.layers(models.outline(name, preset))]
    about = {k: getattr(info, k) for k in ("name", "task", "summary", "source", "presets")}
    about |= {"config": config, "parameters": counts, "converts": info.converts}
    console.result(status="ok", **about, **({"layers": layer_rows} if layers else {}))
    rows = [["network", f"{name}: {info.summary}"], ["source", info.source], ["parameters", _counts_text(counts)]]
    rows += [["settings" if i == 0 else "", f"{k} = {v!r}"] for i, (k, v) in enumerate(config.items())]
    rows += [["presets", ", ".join(info.presets) or "none"]]
    rows += [["published weights", "`convert` reads them" if info.converts else "not supported"]]
    console.report(table(rows))
    if layers:
        cells = [[x["name"], x["kind"], "x".join(map(str, x["output"])), f"{x['parameters']:,}"] for x in layer_rows]
        console.report("\n" + table([["layer", "kind", "output", "parameters"], *cells]))


def _unknown(name: str) -> str:
    """Returns a message that lists the accepted names."""
    from .. import _catalogue, _shipped

    if os.path.lexists(name):
        return f"NAME: {name} is a file; `pyharmony models verify {name}` shows its contents"
    if why := _shipped.why_left_out(name):
        return f"NAME: the weights {name}: {why}"
    networks, weights = [info.name for info in _catalogue.every()], [entry.name for entry in _shipped.every()]
    hint = _catalogue.hint(name, [*networks, *weights])
    there = f"networks are {', '.join(networks)}; weights {', '.join(weights)}"
    return f"NAME: no network or weights {name!r}{hint}; {there}"


def _show_weights(console: Console, entry: Any) -> None:
    console.result(status="ok", **dataclasses.asdict(entry), path=str(entry.path), card=entry.card)
    rows = [["weights", f"{entry.name}: {entry.summary}"], ["network", f"{entry.model}, {entry.task}"]]
    rows += [["file", f"{entry.path}, {_size(entry)}"], ["sha256", entry.sha256], ["licence", entry.licence]]
    rows += [["trained on", entry.trained_on]]
    rows += [["figures" if i == 0 else "", _figure(figure)] for i, figure in enumerate(entry.figures)]
    rows += [["made by" if i == 0 else "", command] for i, command in enumerate(entry.commands)]
    rows += [["notes", entry.notes]] if entry.notes else []
    console.report(table([*rows, ["more", entry.card]]))


@app.command("verify")
@command("models.verify")
def verify(
    console: Console,
    file: Annotated[
        str | None,
        argument(
            "[FILE]",
            "Weights that pyharmony wrote, .safetensors, or a name of `pyharmony models list`.  [default: all]",
        ),
    ] = None,
) -> None:
    """Check that a file of weights is undamaged, and show its contents.

    For weights that come with pyharmony the checksum is compared first.
    """
    from .. import _catalogue

    if file is not None:
        _catalogue.check_weights(file)
    import hashlib

    from ..networks import models

    own = {entry.name: entry for entry in models.weights()}
    if file is None:
        for entry in own.values():
            _check(entry)
        rows = [[entry.name, _size(entry), entry.sha256] for entry in own.values()]
        records = [{"name": entry.name, "path": str(entry.path), "sha256": entry.sha256} for entry in own.values()]
        console.result(status="ok", weights=records)
        console.report(table(rows) if rows else "no weights come with this pyharmony")
        return
    if file in own and not _is_model(own[file]):
        _check(own[file])
        console.result(status="ok", name=own[file].model, sha256=own[file].sha256)
        console.report(table([["network", own[file].model], ["sha256", own[file].sha256]]))
        return
    model = models.load(file)
    path = own[file].path if file in own else Path(file)
    with reading(str(path)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    config, calibration = dataclasses.asdict(model.config), dataclasses.asdict(model.calibration)
    counts = models.parameter_counts(model)
    about = {"config": config, "calibration": calibration, "parameters": counts}
    console.result(status="ok", name=model.name, **about, sha256=digest)
    rows = [["network", model.name], ["settings", _as_text(config)]]
    rows += [["calibration", _as_text(calibration)]] if model.calibration != type(model.calibration)() else []
    console.report(table([*rows, ["parameters", _counts_text(counts)], ["sha256", digest]]))


def _is_model(entry: Any) -> bool:
    """Returns whether weights are of a model of `pyharmony.networks.models`, not of a network without torch."""
    from .. import _catalogue

    return entry.model in {info.name for info in _catalogue.every()}


def _check(entry: Any) -> None:
    """Refuses damaged weights that come with pyharmony."""
    from .. import _shipped
    from ..networks import models

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
        Path, argument("PUBLISHED", "The published file, .pth, .npz or .safetensors, or TensorFlow's prefix.")
    ],
    name: Annotated[str, argument("NAME", "The network of the file.")],
    output: Annotated[Path, option("OUT", "The file to write, .safetensors.", "--output", "-o")],
    also: Annotated[list[Path] | None, option("FILE", "A further file with another of its networks.", "--also")] = None,
    half: Annotated[bool, switch("--half", "Write 16-bit floats: half the size.")] = False,
    setting: Annotated[
        list[str] | None, option("KEY=VALUE", "A setting that the file does not contain.", "--set")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert published weights to a file of pyharmony.

    The file is read as tensors; code that a pickle may contain is not run. Networks that it does not contain, usually
    the discriminator, are not written. If it is a file of another network than NAME, the error names it.
    """
    from .. import _catalogue

    check_new(output, overwrite)
    _catalogue.check_model({"name": name, **dict(_setting(text) for text in setting or [])})
    from ..networks import models

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
        raise RunError(f"--set {text}: expected KEY=VALUE", Code.USAGE)
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, {"True": True, "False": False}.get(value, value)


@app.command("export")
@command("models.export")
def export(
    console: Console,
    file: Weights,
    output: Annotated[Path, option("OUT", "The file to write, .onnx.", "--output", "-o")],
    size: Annotated[int | None, option("N", "Sides of its images.  [default: as published]", min=1)] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a network as ONNX, the generator if there are two."""
    from .. import _catalogue

    check_new(output, overwrite)
    _catalogue.check_weights(file)
    from ..networks import models

    model = models.load(file)
    with writing(str(output)):
        models.export(model, output, size=size)
    console.result(status="ok", name=model.name, output=str(output))
    console.note(f"{output}: {model.name}")
