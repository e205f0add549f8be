"""Turning a chapter's source into its published notebook: run it, stamp it, and only then replace the old one."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

import vaelib
from vaelib.book.cover import COVER, cover
from vaelib.book.notebooks import STAMP, Chapter, find_root, source_hash
from vaelib.book.pictures import lighten

__all__ = ["ChapterError", "attempt", "execute"]

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class ChapterError(RuntimeError):
    """A chapter did not run to its end; says in which cell, why, and where the failed notebook lies."""


def execute(chapter: Chapter) -> float:
    """Runs a chapter from its source in the book's folder and writes its notebook. Returns the seconds it took.

    Raises:
        ChapterError: a cell failed; the chapter's notebook is as it was.
    """
    root = find_root(chapter.path.parent)
    source = _prepared(chapter.source)
    os.environ["TQDM_DISABLE"] = "1"  # a published page has no progress bars
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel is this environment's Python, not the user's
    with tempfile.TemporaryDirectory() as folder:
        given, ran = Path(folder, "given.ipynb"), Path(folder, chapter.notebook_path.name)
        nbformat.write(source, given)
        started = time.perf_counter()
        try:
            papermill.execute_notebook(given, ran, cwd=root, kernel_name="python3", progress_bar=False)
        except (PapermillExecutionError, CellControlSignal, DeadKernelError) as error:
            raise ChapterError(_failure(chapter, error, ran, root)) from None
        seconds = time.perf_counter() - started
        notebook = nbformat.read(ran, as_version=4)
    _strip(notebook, source)
    lighten(notebook)
    notebook.metadata[STAMP] = _stamp(notebook, _take_data(notebook), seconds)
    _replace(chapter.notebook_path, notebook)
    return seconds


def attempt(chapter: Chapter, cores: int | None = None) -> int:
    """Executes a chapter, whose runs may use so many `cores` (default: all), and says how that went.

    The book's cover is drawn from the index. Returns the exit status.
    """
    if cores is not None:
        os.environ["LOKY_MAX_CPU_COUNT"] = str(cores)  # joblib heeds it
    print(f"{chapter.name}: running", flush=True)
    try:
        print(f"{chapter.name}: {execute(chapter):.0f} s", flush=True)
        if chapter.name == "index":
            (find_root(chapter.path.parent) / COVER).write_bytes(cover(Chapter(chapter.path)))
    except ChapterError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


def _prepared(source: NotebookNode) -> NotebookNode:
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
    """Takes the data's hashes out of the output of `book.banner`, and the output too when it shows nothing."""
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
        "torch": _version("torch"),
        "python": platform.python_version(),
        "data": data,
        "seconds": round(seconds, 1),
        "executed": datetime.now(timezone.utc).date().isoformat(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _failure(chapter: Chapter, error: Exception, ran: Path, root: Path) -> str:
    kept = root / "_build" / "failed" / ran.name
    if ran.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ran, kept)
    if not isinstance(error, PapermillExecutionError):
        return f"{chapter.name}: {type(error).__name__}: {error}\nThe notebook up to there: {kept}"
    line = error.source.strip().splitlines()[0]
    return f"{chapter.name}: cell [{error.exec_count}] `{line}` failed with {error.ename}: {error.evalue}\n" + (
        f"The notebook up to there: {kept}"
    )


def _replace(path: Path, notebook: NotebookNode) -> None:
    """Writes the whole file or nothing."""
    unfinished = path.with_suffix(".ipynb.part")
    nbformat.write(notebook, unfinished)
    os.replace(unfinished, path)
