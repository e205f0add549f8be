"""The cell that makes a chapter run where it was opened alone, as in Colab: it fetches the library."""

from __future__ import annotations

import re

import nbformat
from nbformat import NotebookNode

from vaelib.book.notebooks import INSTALLS, Chapter

__all__ = ["SOURCE", "add_install_cell"]

SOURCE = """\
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")"""
TAGS = ["remove-cell", INSTALLS]
FIRST_CODE = re.compile(r"^# %%(?! \[markdown\])(?!.*\"parameters\")", re.MULTILINE)


def add_install_cell(chapter: Chapter) -> bool:
    """Puts the cell before a chapter's first code below the parameters, in source and notebook; the outputs stay.

    Returns False where it is already.
    """
    if any(INSTALLS in cell.metadata.get("tags", []) for cell in chapter.source.cells):
        return False
    text = chapter.path.read_text(encoding="utf-8")
    cell = f'# %% tags=["{TAGS[0]}", "{TAGS[1]}"]\n{SOURCE}\n\n'
    chapter.path.write_text(FIRST_CODE.sub(lambda found: cell + found[0], text, count=1), encoding="utf-8")
    if chapter.notebook_path.exists():
        _add_to(chapter.notebook)
        nbformat.write(chapter.notebook, chapter.notebook_path)
    return True


def _add_to(notebook: NotebookNode) -> None:
    cell = nbformat.v4.new_code_cell(SOURCE, id=INSTALLS, metadata={"tags": TAGS})
    code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    first = next(number for number in code if "parameters" not in notebook.cells[number].metadata.get("tags", []))
    notebook.cells.insert(first, cell)
