"""Runs the notebooks of examples/ and writes their outputs into them, with small images.

    python tools/notebook_outputs.py

They are then visible without running a notebook; tests/house/test_notebooks.py compares them with a run.
"""

from __future__ import annotations

import base64
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
#: The longer side of an image, and its quality as a JPEG.
_IMAGE_SIDE, _QUALITY = 300, 80


def executed(path: Path, work: Path) -> Any:
    """Returns a notebook after a run in a folder."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    client = nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": work}})
    client.execute()
    return book


def picture_of(data: dict[str, Any]) -> Image.Image | None:
    """Returns the image of an output, reduced to the stored size, on white."""
    kind = next((kind for kind in ("image/png", "image/jpeg") if kind in data), None)
    if kind is None:
        return None
    image = Image.open(io.BytesIO(base64.b64decode(data[kind]))).convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image)
    page.thumbnail((_IMAGE_SIDE, _IMAGE_SIDE))
    return page.convert("RGB")


def text_of(text: str) -> str:
    """Returns the text without what differs from run to run: addresses of objects."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", text)


def reduced(outputs: list[Any]) -> list[Any]:
    """Returns the outputs of a cell as they are stored: its texts, and its images as small JPEGs."""
    shortened = []
    for output in outputs:
        if output.output_type == "stream":
            # A printed text may come in parts.
            if shortened and shortened[-1].get("name") == output.name:
                shortened[-1].text += output.text
                continue
            shortened.append(nbformat.v4.new_output("stream", name=output.name, text=output.text))
            continue
        data = {"text/plain": text_of(output.data["text/plain"])}
        picture = picture_of(output.data)
        if picture is not None:
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=_QUALITY)
            data["image/jpeg"] = base64.b64encode(stream.getvalue()).decode()
        count = output.get("execution_count")
        shortened.append(nbformat.v4.new_output("execute_result", data, execution_count=count))
    return shortened


def main() -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as work:
            book = executed(path, Path(work))
        for cell in book.cells:
            cell.metadata = {}
            if cell.cell_type == "code":
                cell.outputs = reduced(cell.outputs)
        book.metadata = {key: book.metadata[key] for key in ("kernelspec",)} | {"language_info": {"name": "python"}}
        path.write_text(nbformat.writes(book) + "\n", "utf-8")
        print(f"wrote {path}, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
