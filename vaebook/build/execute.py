"""Turning a chapter's source into its published notebook: run it, stamp it, and only then replace the old one."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import time
from collections import Counter
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from PIL import Image

import vaelib
from vaebook.build.notebooks import STAMP, Chapter, find_root, source_hash

__all__ = ["COVER", "ChapterError", "cover", "execute", "lighten", "perform"]

COVER = Path("assets", "cover.png")  # the README's picture
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
PNG = "image/png"


class ChapterError(RuntimeError):
    """A chapter did not run to its end; says in which cell, why, and where the notebook up to there lies."""


def execute(chapter: Chapter) -> float:
    """Runs a chapter from its source in the book's folder and writes its notebook. Returns the seconds it took.

    The front page's figure becomes the README's picture.

    Raises:
        ChapterError: a cell failed; the chapter's notebook is as it was.
    """
    root, source = find_root(chapter.path.parent), with_steady_ids(chapter.source)
    unfinished = root / "_build" / "failed" / chapter.notebook_path.name
    started = time.perf_counter()
    notebook = perform(source, unfinished, root)
    seconds = time.perf_counter() - started
    _strip(notebook, source)
    lighten(notebook)
    notebook.metadata[STAMP] = _stamp(notebook, _take_data(notebook), seconds)
    ready = chapter.notebook_path.with_suffix(".ipynb.part")
    nbformat.write(notebook, ready)
    ready.replace(chapter.notebook_path)
    unfinished.unlink()
    if chapter.name == "index":
        (root / COVER).write_bytes(cover(notebook))
    return seconds


def perform(source: NotebookNode, output: Path, root: Path, parameters: dict[str, Any] | None = None) -> NotebookNode:
    """Runs a notebook in the folder `root`, with some parameters changed, and writes it to `output`.

    Raises:
        ChapterError: a cell failed; `output` holds the notebook up to there.
    """
    os.environ["TQDM_DISABLE"] = "1"  # a page has no progress bars
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel is this environment's Python, not the user's
    output.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(source, output)
    path = str(output).replace("{", "{{").replace("}", "}}")  # papermill takes paths for templates
    try:
        return papermill.execute_notebook(
            path, path, parameters, cwd=root, kernel_name=KERNEL["name"], progress_bar=False
        )
    except PapermillExecutionError as error:
        line = error.source.strip().splitlines()[0]
        why = f"cell [{error.exec_count}] `{line}` failed with {error.ename}: {error.evalue}"
    except (CellControlSignal, DeadKernelError) as error:
        why = f"{type(error).__name__}: {error}"
    raise ChapterError(f"{output.stem}: {why} (the notebook up to there: {output})")


def with_steady_ids(source: NotebookNode) -> NotebookNode:
    """The source with a kernel, and with cell ids that depend on its content only: running again changes no id."""
    source.metadata.setdefault("kernelspec", KERNEL)
    seen: Counter[str] = Counter()
    for cell in source.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        cell.id = f"{digest}-{seen[digest]}" if seen[digest] else digest
        seen[digest] += 1
    return source


def _strip(notebook: NotebookNode, source: NotebookNode) -> None:
    """Takes out what papermill added, and what `jupytext --sync` would: every cell has its source's metadata again."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("jupytext", {}).pop("text_representation", None)
    for cell, original in zip(notebook.cells, source.cells, strict=True):
        cell.metadata = original.metadata


def _take_data(notebook: NotebookNode) -> dict[str, str]:
    """Takes the data's hashes out of the output of `page.banner`, and the output too when it shows nothing."""
    data: dict[str, str] = {}
    for cell in notebook.cells:
        for output in list(cell.get("outputs", [])):
            noted = output.get("metadata", {}).pop(STAMP, None)
            data.update(noted["data"] if noted else {})
            if noted and not output.data["text/plain"]:
                cell.outputs.remove(output)
    return data


def _stamp(notebook: NotebookNode, data: dict[str, str], seconds: float) -> dict[str, Any]:
    return {
        "source_sha256": source_hash(notebook),
        "version": vaelib.__version__,
        "torch": next((found.version for found in distributions(name="torch")), None),
        "python": platform.python_version(),
        "data": data,
        "seconds": round(seconds, 1),
        "executed": datetime.now(timezone.utc).date().isoformat(),
    }


def lighten(notebook: NotebookNode) -> None:
    """Stores each figure with 256 colours, enough for lines, areas and grey images, where that makes it smaller."""
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


def cover(index: NotebookNode) -> bytes:
    """The PNG of the figure called "fig-result" in the notebook of the front page, byte for byte.

    Raises:
        LookupError: the notebook has no such figure.
    """
    for cell in index.cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == "fig-result":
            for output in cell.get("outputs", []):
                if PNG in output.get("data", {}):
                    return base64.b64decode(output.data[PNG])
    raise LookupError("the front page has no figure called 'fig-result'")
