"""Chapters as pairs of files: a source (.py) that people write, a notebook (.ipynb) with the outputs of running it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

__all__ = [
    "CHECKS",
    "INSTALLS",
    "STAMP",
    "Chapter",
    "chapters",
    "contents",
    "find_root",
    "parameters_cell",
    "problems",
    "source_hash",
]

INSTALLS = "install"  # the tag of the cell that fetches the library where it is missing
STAMP = "vaelib"  # the key of the stamp in a notebook's metadata
LARGEST = 3_000_000  # bytes of a notebook file
LARGEST_ALIVE = 4_500_000  # of one that holds explorers, with the weights of their networks
LONGEST = 25  # lines of a code cell


@dataclass(frozen=True)
class Chapter:
    """A chapter: the path of its source. Its notebook lies beside it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def notebook_path(self) -> Path:
        return self.path.with_suffix(".ipynb")

    @cached_property
    def source(self) -> NotebookNode:
        """The source as a notebook without outputs."""
        import jupytext  # who builds the site needs none

        return jupytext.read(self.path, fmt="py:percent")

    @cached_property
    def notebook(self) -> NotebookNode:
        """The notebook with its outputs."""
        return nbformat.read(self.notebook_path, as_version=4)


def find_root(start: Path) -> Path:
    """The book's folder: the nearest one at or above `start` that has a `_toc.yml`.

    Raises:
        FileNotFoundError: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "_toc.yml").exists():
            return folder
    raise FileNotFoundError(f"no book at or above {start}: no folder there has a _toc.yml")


def chapters(root: Path) -> list[Chapter]:
    """All chapters of `_toc.yml` that have a source, in reading order."""
    sources = [root / f"{name}.py" for name in contents(root)]
    return [Chapter(source) for source in sources if source.exists()]


def contents(root: Path) -> list[str]:
    """All entries of `_toc.yml`, as it names them, in reading order."""
    return list(_files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def _files(entry: Any) -> Iterator[str]:
    if isinstance(entry, list):
        for item in entry:
            yield from _files(item)
    elif isinstance(entry, dict):
        for key, value in entry.items():
            if key in ("root", "file"):
                yield value
            else:
                yield from _files(value)


def source_hash(notebook: NotebookNode) -> str:
    """SHA-256 over the code cells in order: what the outputs depend on. Prose may change without running anything.

    The cell that installs the library does not count: where the outputs were made, it did nothing.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells = [cell.source for cell in code if INSTALLS not in cell.metadata.get("tags", [])]
    return hashlib.sha256("\0".join(cells).encode()).hexdigest()


def parameters_cell(notebook: NotebookNode) -> NotebookNode | None:
    """The cell that papermill replaces values of."""
    return next((cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])), None)


def problems(chapter: Chapter) -> list[str]:
    """Everything that is wrong with a chapter's notebook, a line each; empty when it is fit to publish."""
    if not chapter.notebook_path.exists():
        return [f"{chapter.notebook_path.name} is missing: run `python -m vaelib.book execute {chapter.path}`"]
    return [f"{chapter.name}: {problem}" for check in CHECKS for problem in check(chapter)]


def paired(chapter: Chapter) -> Iterator[str]:
    """The notebook has the source's cells: text, order and the metadata that the page is built from."""
    source, notebook = (
        [(cell.cell_type, cell.source, _page_metadata(cell)) for cell in cells]
        for cells in (chapter.source.cells, chapter.notebook.cells)
    )
    if source != notebook:
        same = zip(source, notebook, strict=False)
        first = next((i for i, (a, b) in enumerate(same) if a != b), min(len(source), len(notebook)))
        yield f"source and notebook differ from cell {first + 1} on: run `jupytext --sync {chapter.path}`"


def _page_metadata(cell: NotebookNode) -> dict[str, Any]:
    return {key: cell.metadata[key] for key in ("tags", "mystnb") if cell.metadata.get(key)}


def fresh(chapter: Chapter) -> Iterator[str]:
    """The outputs are those of the code that stands in the source now."""
    if chapter.notebook.metadata.get(STAMP, {}).get("source_sha256") != source_hash(chapter.source):
        yield f"the code is newer than its outputs: run `python -m vaelib.book execute {chapter.path}`"


def clean(chapter: Chapter) -> Iterator[str]:
    """No output is an error or a warning, and nothing of papermill's is left."""
    if "papermill" in chapter.notebook.metadata:
        yield "papermill's metadata are in it"
    for number, cell in enumerate(chapter.notebook.cells, start=1):
        if "injected-parameters" in cell.metadata.get("tags", []):
            yield f"cell {number} holds parameters that papermill injected"
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"cell {number} ends in {output.ename}: {output.evalue}"
            if output.get("name") == "stderr":
                yield f"cell {number} prints to stderr: {output.text.strip()[:200]}"


def small(chapter: Chapter) -> Iterator[str]:
    """The file stays small enough for a repository and a phone."""
    size = chapter.notebook_path.stat().st_size
    limit = LARGEST_ALIVE if "widgets" in chapter.notebook.metadata else LARGEST
    if size > limit:
        yield f"the notebook has {size / 1e6:.1f} MB, more than {limit / 1e6:.1f}: save figures with fewer dots"


def short(chapter: Chapter) -> Iterator[str]:
    """A code cell is read in one breath; what is longer belongs in the library."""
    for number, cell in enumerate(chapter.notebook.cells, start=1):
        lines = len(cell.source.splitlines())
        if cell.cell_type == "code" and lines > LONGEST:
            yield f"cell {number} has {lines} lines, more than {LONGEST}: split it, or move it into vaelib"


def described(chapter: Chapter) -> Iterator[str]:
    """Whoever cannot see a picture can read what it shows."""
    for number, cell in enumerate(chapter.notebook.cells, start=1):
        shown = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        images = any(kind.startswith("image/") for kind in shown)
        hidden = {"remove-cell", "remove-output"} & set(cell.metadata.get("tags", []))
        if images and not hidden and not cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
            yield f"cell {number} shows a picture without an alternative text (mystnb: image: alt)"


def parameterised(chapter: Chapter) -> Iterator[str]:
    """The parameters cell comes first, and each line reads ``name: type = value  # meaning``."""
    cell = parameters_cell(chapter.source)
    if cell is None:
        if chapter.name[:1].isdigit():
            yield "no cell has the tag `parameters`"
        return
    if cell is not next(cell for cell in chapter.source.cells if cell.cell_type == "code"):
        yield "the parameters cell is not the first code cell"
    lines = cell.source.splitlines()
    for statement in ast.parse(cell.source).body:
        last = lines[(statement.end_lineno or 1) - 1]
        if not isinstance(statement, ast.AnnAssign) or "  # " not in last:
            yield f"a parameter is not written as `name: type = value  # meaning`: {last}"


def installable(chapter: Chapter) -> Iterator[str]:
    """Whoever opens the notebook alone, on Colab say, can run it."""
    if not any(INSTALLS in cell.metadata.get("tags", []) for cell in chapter.source.cells):
        yield f"no cell fetches a missing library: run `python -m vaelib.book install-cell {chapter.path}`"


CHECKS: tuple[Callable[[Chapter], Iterator[str]], ...] = (
    *(paired, fresh, clean, small, short),
    *(described, parameterised, installable),
)
