"""Writes docs/model-layers.md, the layers of every model.

python tools/model_layers.py
"""

from __future__ import annotations

from pathlib import Path

from pyharmony import models

PAGE = Path(__file__).resolve().parent.parent / "docs" / "model-layers.md"
HEAD = """# Layers of the models

The convolutions and dense layers of every model in its published form, in the order of its forward, for one sample;
of two networks the generator. `pyharmony models show NAME --layers` prints the same for any preset. Written by
`tools/model_layers.py`; what the models are, and where look-alikes differ, is in [Models](models.md).
"""
FORMS = {"gp_gan": ("unsupervised",), "pix2pix": ("unet_128", "resnet_9blocks"), "style_encoder": ("hsv",)}


def section(name: str, preset: str | None) -> str:
    """The table of one model."""
    model = models.outline(name, preset)
    sizes = " and ".join("x".join(map(str, x.shape[1:])) for x in model.example().values())
    rows = "\n".join(
        f"| `{layer.name}` | {layer.kind} | {'x'.join(map(str, layer.output))} | {layer.parameters:,} |"
        for layer in models.layers(model)
    )
    title = f"{name}, {preset}" if preset else name
    return f"\n## {title}\nFrom {sizes}.\n\n| layer | kind | output | parameters |\n|---|---|---|---|\n{rows}\n"


def page() -> str:
    """All of them."""
    return HEAD + "".join(
        section(info.name, preset) for info in models.list() for preset in (None, *FORMS.get(info.name, ()))
    )


def main() -> None:
    PAGE.write_text(page())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
