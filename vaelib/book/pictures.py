"""Figures as a page should carry them: 256 colours are enough for lines, areas and grey images, at half the bytes."""

from __future__ import annotations

import base64
import io

from nbformat import NotebookNode
from PIL import Image

__all__ = ["lighten"]

PNG = "image/png"


def lighten(notebook: NotebookNode) -> None:
    """Stores each figure of the notebook with a palette of 256 colours, where that makes it smaller."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if PNG in output.get("data", {}):
                output.data[PNG] = _with_palette(output.data[PNG])


def _with_palette(encoded: str) -> str:
    png = base64.b64decode(encoded)
    image = Image.open(io.BytesIO(png))
    resolution = {"dpi": image.info["dpi"]} if "dpi" in image.info else {}
    reduced = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    smaller = io.BytesIO()
    reduced.save(smaller, "PNG", optimize=True, **resolution)
    return base64.b64encode(smaller.getvalue()).decode() + "\n" if smaller.tell() < len(png) else encoded
