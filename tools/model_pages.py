"""Writes what docs/conf.py adds to the pages of docs/models: weights, parameters, training, layers and their figures.

Layers and figures come from a forward of each network: layers from hooks, connections from the gradient graph.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import torch
from torch import Tensor, nn

from pyharmony.learn.training.steps import _step
from pyharmony.networks import models
from pyharmony.networks.models._outline import LAYERS, kind_of

ROOT = Path(__file__).resolve().parent.parent
PAGES, IMAGES = ROOT / "docs" / "models", ROOT / "build" / "models"
#: Presets with other layers.
FORMS = {
    "gp_gan": ("unsupervised",),
    "pct_net": ("vit",),
    "pix2pix": ("unet_128", "resnet_9blocks"),
    "style_encoder": ("hsv",),
}
#: Networks that read the values of their masks: they are run with memory for weights.
RUN = ("dovenet", "dovenet_lite")
INPUT = -1


class Node(NamedTuple):
    """A layer in the order of the forward; `sources` are the layers, or INPUT, that are its inputs."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    sources: tuple[int, ...]


def trace(net: nn.Module, inputs: dict[str, Tensor]) -> list[Node]:
    """Returns the layers of a forward, in the order of its calls."""
    nodes: list[Node] = []
    numbers: dict[Any, int] = {}
    images = [value for name, value in inputs.items() if name != "mask"]
    leaves = {id(value.requires_grad_()) for value in images}

    def sources_of(x: Tensor) -> tuple[int, ...]:
        if x.grad_fn is None:
            return (INPUT,)
        sources, visited, todo = set(), set(), [x.grad_fn]
        while todo:
            function = todo.pop()
            if function in numbers:
                sources.add(numbers[function])
            elif function not in visited:
                visited.add(function)
                if id(getattr(function, "variable", None)) in leaves:
                    sources.add(INPUT)
                todo += [following for following, _ in function.next_functions if following is not None]
        return tuple(sorted(sources))

    def note(name: str, module: nn.Module, arguments: Any, result: Any) -> None:
        result = result if isinstance(result, Tensor) else result[0]
        count = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        nodes.append(Node(name, kind_of(module), tuple(result.shape[1:]), count, sources_of(arguments[0])))
        numbers[result.grad_fn] = len(nodes) - 1

    hooks = [
        module.register_forward_hook(lambda m, i, r, name=name: note(name, m, i, r))
        for name, module in net.named_modules()
        if isinstance(module, LAYERS)
    ]
    try:
        net(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return nodes


class Network(NamedTuple):
    """One network of a model: its title, its inputs, its layers."""

    title: str
    takes: str
    nodes: list[Node]


def networks(name: str, preset: str | None) -> Iterator[Network]:
    """Yields the generator, or the only one, and the discriminator."""
    model = models.outline(name, preset)
    device = torch.device("meta")
    example = {key: value.to(device) for key, value in model.example().items()}
    adversarial = isinstance(model, models.Adversarial)
    main: nn.Module = model.generator if isinstance(model, models.Adversarial) else model
    form = f", {preset}" if preset else ""
    yield Network(("generator" if adversarial else name) + form, sizes(example), trace(main, example))
    if not adversarial or preset:
        return
    with torch.no_grad():
        output = main(**example)
    accepted = inspect.signature(model.discriminator.forward).parameters
    inputs = {"output": output, "image": next(iter(example.values())) if "output" in accepted else output}
    inputs |= {key: example[key] for key in ("mask",) if key in example}
    inputs = {key: value.detach() for key, value in inputs.items() if key in accepted}
    critic: nn.Module = model.discriminator
    if name in RUN:
        critic = models.create(name, preset).discriminator
        inputs = {key: torch.rand(1, *value.shape[1:]) for key, value in inputs.items()}
    yield Network("discriminator", sizes(inputs), trace(critic, inputs))


def sizes(inputs: dict[str, Tensor]) -> str:
    return " and ".join(f"`{name}` {'×'.join(map(str, value.shape[1:]))}" for name, value in inputs.items())


COLOURS = {"convolution": "#9dc3e6", "transposed": "#f4b183", "partial": "#a9d18e", "dense": "#d9d9d9"}
LEFT_MARGIN, TOP_MARGIN, COLUMN_WIDTH, BOX_WIDTH, STACK_HEIGHT = 38, 26, 31, 20, 58


def colour_of(kind: str) -> str:
    return kind.split()[0]


def channels_of(node: Node) -> int:
    """Returns the number of channels: the first of an image [C, H, W], the last of a row of features [P, C]."""
    return node.output[0 if len(node.output) == 3 else -1]


def figure(network: Network) -> str:
    """Returns the layers as boxes: columns by their inputs' depth, rows by the side of their output."""
    nodes = network.nodes
    depth: list[int] = []
    for node in nodes:
        depth.append(1 + max((depth[s] if s != INPUT else -1 for s in node.sources), default=-1))
    side = [node.output[-1] if len(node.output) == 3 else 1 for node in nodes]
    rows = sorted(set(side), reverse=True)
    place = Counter[tuple[int, int]]()
    stack = []
    for column, s in zip(depth, side, strict=True):
        stack.append(place[column, s])
        place[column, s] += 1
    tops, y = {}, TOP_MARGIN
    for row in rows:
        tops[row] = y
        y += STACK_HEIGHT * max(count for (_, s), count in place.items() if s == row)
    width, height = LEFT_MARGIN + COLUMN_WIDTH * (max(depth) + 1) + 8, y + 26

    def box(i: int) -> tuple[float, float, float]:
        """Returns x, the middle y, and the height."""
        tall = 20 + 2.6 * math.log2(max(channels_of(nodes[i]), 1))
        return (
            LEFT_MARGIN + COLUMN_WIDTH * depth[i],
            tops[side[i]] + STACK_HEIGHT * (stack[i] + 0.5),
            min(tall, STACK_HEIGHT - 6),
        )

    width = max(width, 430)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="9">',
        f"<title>{escape(network.title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        '<text x="4" y="12" fill="#555">pixels a side; in the boxes: channels</text>',
    ]
    for row in rows:
        parts.append(f'<path d="M{LEFT_MARGIN - 4} {tops[row]}H{width}" stroke="#eee"/>')
        parts.append(f'<text x="4" y="{tops[row] + STACK_HEIGHT // 2 + 3}" fill="#555">{row}</text>')
    for i, node in enumerate(nodes):
        x, middle, _ = box(i)
        for source in node.sources:
            if source == INPUT:
                parts.append(f'<path d="M{x - 8} {middle:g}H{x}" stroke="#c00" stroke-width="2"/>')
                continue
            sx, sy, tall = box(source)
            if sy == middle and depth[i] - depth[source] > 1:
                rise = sy - tall / 2
                start = f"M{sx + BOX_WIDTH / 2:g} {rise:g}"
                path = f"{start}C{sx + BOX_WIDTH} {rise - 16:g} {x - 6} {rise - 16:g} {x} {middle:g}"
            else:
                path = f"M{sx + BOX_WIDTH} {sy:g}C{(sx + BOX_WIDTH + x) // 2} {sy:g} {x - 12} {sy:g} {x} {middle:g}"
            parts.append(f'<path d="{path}" fill="none" stroke="#888"/>')
    for i, node in enumerate(nodes):
        x, middle, tall = box(i)
        parts.append(
            f'<rect x="{x}" y="{middle - tall / 2:.1f}" width="{BOX_WIDTH}" height="{tall:.1f}" '
            f'fill="{COLOURS[colour_of(node.kind)]}" stroke="#555">'
            f"<title>{escape(node.name)}: {node.kind}</title></rect>"
        )
        parts.append(
            f'<text transform="translate({x + BOX_WIDTH / 2 + 3:g} {middle:g})rotate(-90)" '
            f'text-anchor="middle">{channels_of(node)}</text>'
        )
    x = LEFT_MARGIN
    for kind in COLOURS:
        if any(colour_of(node.kind) == kind for node in nodes):
            name = {"convolution": "convolution", "dense": "dense"}.get(kind, f"{kind} convolution")
            parts.append(
                f'<rect x="{x}" y="{height - 16}" width="10" height="10" fill="{COLOURS[kind]}" stroke="#555"/>'
            )
            parts.append(f'<text x="{x + 14}" y="{height - 8}">{name}</text>')
            x += 28 + 5 * len(name)
    parts.append(f'<path d="M{x} {height - 11}h10" stroke="#c00" stroke-width="2"/>')
    parts.append(f'<text x="{x + 14}" y="{height - 8}">the input</text></svg>')
    return "\n".join(parts) + "\n"


def counts(name: str) -> str:
    """Returns the parameters of every form."""
    info = next(info for info in models.list() if info.name == name)
    rows, parts = [], ("generator", "discriminator", "encoder")
    for preset in (None, *info.presets):
        model = models.outline(name, preset)
        modules_of_model = [getattr(model, part, None) for part in parts]
        rows.append([preset or "as published", model, *modules_of_model])
    columns = [i for i, part in enumerate(parts) if any(row[2 + i] is not None for row in rows)]
    columns = columns if len(columns) > 1 else []
    head = ["form", "parameters", *(parts[i] for i in columns)]

    def shown(module: nn.Module | None) -> str:
        return "" if module is None else f"{sum(p.numel() for p in module.parameters()):,}"

    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for label, *modules in rows:
        cells = [
            label if label == "as published" else f"`{label}`",
            *map(shown, [modules[0], *(modules[1 + i] for i in columns)]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def training(name: str) -> str:
    """Returns the settings of the model's step, and its presets."""
    step = _step._steps[name]
    rows = []
    for field in dataclasses.fields(step.settings_type):
        changed = [
            f"`{preset}`: {values[field.name]!r}" for preset, values in step.presets.items() if field.name in values
        ]
        rows.append(f"| `{field.name}` | {field.default!r} | {', '.join(changed)} |")
    table = "\n".join(rows)
    link = f"[`{step.__name__}`](../training.md#the-step-of-each-network)"
    return f"The settings of {link}:\n\n| setting | default | presets |\n|---|---|---|\n{table}\n"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def card(weights: models.Weights) -> str:
    """Returns the section about bundled weights."""
    rows = [
        *(
            [("load", f'`models.load("{weights.name}")`')]
            if weights.model in {info.name for info in models.list()}
            else []
        ),
        ("file", f"`pyharmony/networks/models/_weights/{weights.file}`, {weights.bytes / 1e6:.1f} MB, float16 on disk"),
        ("SHA-256", f"`{weights.sha256}`"),
        ("licence", weights.licence),
        ("trained on", weights.trained_on),
    ]
    text = textwrap.fill(f"{weights.summary}. {weights.notes}".rstrip(), 120, break_on_hyphens=False)
    lines = [f"## Weights: `{weights.name}`", text, "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    if weights.figures:
        lines += [
            "",
            "The images are not public, so this table cannot be reproduced.",
            "",
            "| images | number | metric | baseline | with these weights | 95 % interval |",
            f"|{'---|' * 6}",
        ]
    for f in weights.figures:
        between = "" if f.low is None else f"{number(f.low)} to {number(f.high)}"
        lines.append(f"| {f.data} | {f.images:,} | {f.measure} | {number(f.before)} | {number(f.value)} | {between} |")
    if weights.commands:
        lines += ["", "Commands:", "```sh", *weights.commands, "```"]
    return "\n".join(lines) + "\n"


def part(name: str) -> tuple[str, dict[str, str]]:
    """Returns what is added to the page of a model, and its figures by file name."""
    sections, figures = [card(weights) for weights in models.weights() if weights.model == name], {}
    if name not in {info.name for info in models.list()}:
        return "\n".join(sections), {}
    sections += [f"## Parameters\n{counts(name)}\n", f"## Training\n{training(name)}"]
    for preset in (None, *FORMS.get(name, ())):
        for network in networks(name, preset):
            file = "-".join(
                [name, *([preset] if preset else []), *(["discriminator"] * (network.title == "discriminator"))]
            )
            figures[f"{file}.svg"] = figure(network)
            rows = "\n".join(
                f"| `{node.name}` | {node.kind} | {'×'.join(map(str, node.output))} | {node.parameters:,} |"
                for node in network.nodes
            )
            sections.append(
                f"## Layers: {network.title}\nFrom {network.takes}.\n\n"
                f"![{network.title}](../../build/models/{file}.svg)\n\n"
                f"| layer | kind | output | parameters |\n|---|---|---|---|\n{rows}\n"
            )
    return "\n".join(sections), figures


def reference(name: str) -> str:
    """Returns what is added to the page of a model, in Markdown; its figures are written to the folder of builds."""
    text, figures = part(name)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for file, drawing in figures.items():
        (IMAGES / file).write_text(drawing)
    return f"\n{text}"
