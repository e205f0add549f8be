"""Chapters as pairs of files: a source (.py) that people write, a notebook (.ipynb) with the outputs of running it."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

import vaelib

__all__ = ["CHECKS", "INSTALL", "REPOSITORY", "STAMP", "Chapter", "chapters", "contents", "find_root"]
__all__ += ["parameters_cell", "problems", "source_hash", "tagged", "with_install_cell"]

REPOSITORY = "https://github.com/recreating-vae/recreating-vae"
INSTALLS = "install"  # the tag of the cell that fetches the library where it is missing, as on Colab
INSTALL = f"""\
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+{REPOSITORY}@v{vaelib.__version__}"
    wanted = f"'vaelib[train] @ {{source}}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {{wanted}}")"""
HEAD = f'# %% tags=["remove-cell", "{INSTALLS}"]'
INSTALL_CELL = re.compile(rf'^# %%[^\n]*"{INSTALLS}"[^\n]*\n.*?(?=\n+# %%|\s*\Z)', re.MULTILINE | re.DOTALL)
FIRST_CODE = re.compile(r"^(?=# %%(?! \[markdown\])(?!.*\"parameters\"))", re.MULTILINE)
VIEW = "application/vnd.jupyter.widget-view+json"
EXPLORERS = "chapters/08_explore.ipynb"  # the pictures in cards of explorers are from there
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

    def files(entry: Any) -> Iterator[str]:
        for key, value in entry.items() if isinstance(entry, dict) else enumerate(entry):
            if key in ("root", "file"):
                yield value
            elif isinstance(value, (dict, list)):
                yield from files(value)

    return list(files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def tagged(cell: NotebookNode, tag: str) -> bool:
    """Whether a cell has that tag."""
    return tag in cell.metadata.get("tags", [])


def parameters_cell(notebook: NotebookNode) -> NotebookNode | None:
    """The cell that papermill replaces values of."""
    return next((cell for cell in notebook.cells if tagged(cell, "parameters")), None)


def source_hash(notebook: NotebookNode) -> str:
    """SHA-256 over the code cells in order: what the outputs depend on. Prose may change without running anything.

    Neither do import statements count: a name that moves to another module changes no output. Nor does the cell that
    installs the library: where the outputs were made, it did nothing.
    """
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code" and not tagged(cell, INSTALLS)]
    return hashlib.sha256("\0".join(filter(None, map(_without_imports, code))).encode()).hexdigest()


def _without_imports(source: str) -> str:
    """The source without its import statements, and what stands between them and the next one; magics keep all."""
    try:
        found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    except SyntaxError:
        return source
    lines, text = source.encode().splitlines(keepends=True), source.encode()  # ast counts bytes
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
        end = sum(map(len, lines[: (node.end_lineno or 1) - 1])) + (node.end_col_offset or 0)
        text = text[:start] + re.sub(rb"\A[ \t]*(;|#[^\n]*)?\s*", b"", text[end:])
    return text.decode().strip()


def with_install_cell(chapter: Chapter) -> bool:
    """Gives a chapter the cell INSTALL, before its first code below the parameters, in source and notebook.

    A cell of another version is renewed; the outputs stay. Returns False where it was there already.
    """
    before = chapter.path.read_text(encoding="utf-8")
    cell = f"{HEAD}\n{INSTALL}"
    if INSTALL_CELL.search(before):
        after = INSTALL_CELL.sub(lambda _: cell, before)
    else:
        after = FIRST_CODE.sub(lambda _: f"{cell}\n\n", before, count=1)
    chapter.path.write_text(after, encoding="utf-8")
    if after != before and chapter.notebook_path.exists():
        cells = chapter.notebook.cells
        old = [number for number, cell in enumerate(cells) if tagged(cell, INSTALLS)]
        code = [number for number, cell in enumerate(cells) if cell.cell_type == "code"]
        place = [*old, *(number for number in code if not tagged(cells[number], "parameters"))][0]
        metadata = {"tags": ["remove-cell", INSTALLS]}
        cells[place : place + len(old)] = [nbformat.v4.new_code_cell(INSTALL, id=INSTALLS, metadata=metadata)]
        nbformat.write(chapter.notebook, chapter.notebook_path)
    return after != before


def problems(chapter: Chapter) -> list[str]:
    """Everything that is wrong with a chapter's notebook, a line each; empty when it is fit to publish."""
    if not chapter.notebook_path.exists():
        return [f"{chapter.notebook_path.name} is missing: run `vaebook execute {chapter.path}`"]
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
        yield f"the code is newer than its outputs: run `vaebook execute {chapter.path}`"


def clean(chapter: Chapter) -> Iterator[str]:
    """No output is an error or a warning, and nothing of papermill's is left."""
    if "papermill" in chapter.notebook.metadata:
        yield "papermill's metadata are in it"
    for number, cell in enumerate(chapter.notebook.cells, start=1):
        if tagged(cell, "injected-parameters"):
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
    """A code cell is read in one breath."""
    for number, cell in enumerate(chapter.notebook.cells, start=1):
        lines = len(cell.source.splitlines())
        if cell.cell_type == "code" and lines > LONGEST:
            yield f"cell {number} has {lines} lines, over {LONGEST}: split it; experiments go to vaebook.experiments"


def described(chapter: Chapter) -> Iterator[str]:
    """Whoever cannot see a picture can read what it shows."""
    for number, cell in enumerate(chapter.notebook.cells, start=1):
        pictures = [output.get("data", {}) for output in cell.get("outputs", [])]
        shown = {kind for data in pictures if VIEW not in data for kind in data}  # an explorer brings its own words
        images = any(kind.startswith("image/") for kind in shown)
        hidden = tagged(cell, "remove-cell") or tagged(cell, "remove-output")
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
    """Whoever opens the notebook alone, on Colab say, can run it, on this version of the library."""
    if [cell.source for cell in chapter.source.cells if tagged(cell, INSTALLS)] != [INSTALL]:
        yield f"no cell fetches vaelib {vaelib.__version__}, as on Colab: run `vaebook install-cell {chapter.path}`"


CHECKS: tuple[Callable[[Chapter], Iterator[str]], ...] = (
    *(paired, fresh, clean, small, short),
    *(described, parameterised, installable),
)
