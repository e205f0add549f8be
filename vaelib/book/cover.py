"""The README's picture: the figure of the book's front page, byte for byte."""

from __future__ import annotations

import base64
from pathlib import Path

from vaelib.book.notebooks import Chapter

__all__ = ["COVER", "cover"]

COVER = Path("assets", "cover.png")
FIGURE = "fig-result"


def cover(index: Chapter) -> bytes:
    """The PNG of the figure called "fig-result" in the notebook of the front page.

    Raises:
        LookupError: the notebook has no such figure.
    """
    for cell in index.notebook.cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == FIGURE:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    raise LookupError(f"{index.notebook_path} has no figure called {FIGURE!r}")
