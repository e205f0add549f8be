"""The cell that fetches the library on Colab: in its place, without touching an output, and silent where it may be."""

import importlib.util
from types import SimpleNamespace

import IPython
import nbformat
import pytest

from vaelib.book.__main__ import main
from vaelib.book.install import SOURCE, add_install_cell
from vaelib.book.notebooks import INSTALLS, Chapter, installable, paired, source_hash

PARAMETERS = '# %% tags=["parameters"]\nepochs: int = 3  # passes over the data\n\n'
WORK = '# %% tags=["remove-cell"]\nimport vaelib\n\n# %%\nepochs + 1\n'


@pytest.fixture(params=[PARAMETERS, ""], ids=["parameters", "none"])
def chapter(request, tmp_path):
    """A chapter with an output, with and without parameters."""
    path = tmp_path / "01_tiny.py"
    path.write_text(f"# %% [markdown]\n# # Tiny\n\n{request.param}{WORK}")
    notebook = Chapter(path).source
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="4")]
    nbformat.write(notebook, path.with_suffix(".ipynb"))
    return Chapter(path)


def test_it_stands_above_the_first_import_and_changes_nothing_else(chapter):
    before = source_hash(chapter.source)
    assert "install-cell" in next(installable(chapter))
    assert add_install_cell(chapter)
    after = Chapter(chapter.path)
    assert list(installable(after)) == list(paired(after)) == []
    assert source_hash(after.source) == source_hash(after.notebook) == before
    code = [cell for cell in after.notebook.cells if cell.cell_type == "code"]
    assert [INSTALLS in cell.metadata.get("tags", []) for cell in code[-3:]] == [True, False, False]
    assert code[-1].outputs[0].text == "4"
    nbformat.validate(after.notebook)


def test_a_second_time_does_nothing(chapter, capsys):
    assert main(["install-cell", str(chapter.path)]) == 0
    assert main(["install-cell", str(chapter.path)]) == 0
    assert capsys.readouterr().out == "01_tiny\nevery chapter has its cell\n"
    assert chapter.path.read_text().count("find_spec(") == 1


@pytest.mark.parametrize("missing", [True, False])
def test_it_installs_only_where_the_library_is_missing(monkeypatch, missing):
    ran = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if missing else name)
    shell = SimpleNamespace(run_line_magic=lambda *line: ran.append(line))
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    exec(SOURCE, {})
    wanted = "install -q 'vaelib[train] @ git+https://github.com/recreating-vae/recreating-vae' anywidget"
    assert ran == ([("pip", wanted)] if missing else [])
