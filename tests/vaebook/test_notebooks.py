"""Chapters and their notebooks: what is checked, what makes outputs stale, and the cell that fetches the library."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import IPython
import nbformat
import pytest
import yaml

import vaelib
from vaebook.build.notebooks import (
    CHECKS,
    INSTALL,
    REPOSITORY,
    Chapter,
    chapters,
    contents,
    find_root,
    installable,
    paired,
    parameterised,
    problems,
    source_hash,
    tagged,
    with_install_cell,
)

ROOT = Path(__file__).resolve().parents[2]
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
    assert with_install_cell(chapter)
    after = Chapter(chapter.path)
    assert list(installable(after)) == list(paired(after)) == []
    assert source_hash(after.source) == source_hash(after.notebook) == before
    code = [cell for cell in after.notebook.cells if cell.cell_type == "code"]
    assert [tagged(cell, "install") for cell in code[-3:]] == [True, False, False]
    assert code[-1].outputs[0].text == "4"
    nbformat.validate(after.notebook)


def test_a_second_time_does_nothing(chapter):
    assert with_install_cell(chapter)
    before = chapter.path.read_bytes(), chapter.notebook_path.read_bytes()
    assert not with_install_cell(Chapter(chapter.path))
    assert (chapter.path.read_bytes(), chapter.notebook_path.read_bytes()) == before
    assert chapter.path.read_text().count("find_spec(") == 1


def test_the_cell_of_another_version_is_renewed(chapter):
    assert with_install_cell(chapter)
    for path in (chapter.path, chapter.notebook_path):
        path.write_text(path.read_text().replace(f"@v{vaelib.__version__}", ""))
    old = Chapter(chapter.path)
    assert f"no cell fetches vaelib {vaelib.__version__}" in next(installable(old)) and list(paired(old)) == []
    assert with_install_cell(old)
    new = Chapter(chapter.path)
    assert list(installable(new)) == list(paired(new)) == []
    assert len([cell for cell in new.notebook.cells if tagged(cell, "install")]) == 1
    assert new.notebook.cells[-1].outputs[0].text == "4"


def test_the_repository_is_named_as_in_the_books_settings():
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    assert config["repository"]["url"] == REPOSITORY
    assert config["sphinx"]["config"]["html_context"]["edit_page_url_template"].startswith(f"{REPOSITORY}/edit/")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["repository-code"] == REPOSITORY


@pytest.mark.parametrize("missing", [True, False])
def test_it_installs_only_where_the_library_is_missing(monkeypatch, missing):
    ran = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if missing else name)
    shell = SimpleNamespace(run_line_magic=lambda *line: ran.append(line))
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    exec(INSTALL, {})
    wanted = f"install -q 'vaelib[train] @ git+{REPOSITORY}@v{vaelib.__version__}' anywidget"
    assert ran == ([("pip", wanted)] if missing else [])


def broken(notebook):
    """A notebook with one fault after another, and a word of the problem that it must give."""
    code = notebook.cells[4]
    picture = nbformat.v4.new_output("display_data", {"image/png": "aGk="})
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
    warning = nbformat.v4.new_output("stream", name="stderr", text="UserWarning")
    for outputs, word in (([picture], "alternative text"), ([error], "ValueError"), ([warning], "stderr")):
        code.outputs = outputs
        yield word
    code.outputs = [nbformat.v4.new_output("stream", name="stdout", text="x" * 3_000_001)]
    yield "3.0 MB"
    code.outputs = []
    code.source = "\n".join(["x = 1"] * 26)
    yield "26 lines, over 25: split it; experiments go to vaebook.experiments"
    notebook.metadata["papermill"] = {}
    yield "papermill"
    notebook.cells[1].metadata["tags"] = ["injected-parameters"]
    yield "injected"


def test_every_check_finds_its_fault(tiny):
    nbformat.write(tiny.source, tiny.notebook_path)
    notebook = nbformat.read(tiny.notebook_path, as_version=4)
    for word in broken(notebook):
        nbformat.write(notebook, tiny.notebook_path)
        found = [problem for check in CHECKS for problem in check(Chapter(tiny.path))]
        assert any(word in problem for problem in found), (word, found)


def test_parameters_must_be_typed_and_explained(folder):
    path = folder / "chapters" / "01_bad.py"
    cell = "epochs = 3\nseeds: int = 2  # how many\nz: int = 2\n"
    path.write_text(f'# %%\nimport sys\n\n# %% tags=["parameters"]\n{cell}')
    assert list(parameterised(Chapter(path))) == [
        "the parameters cell is not the first code cell",
        "a parameter is not written as `name: type = value  # meaning`: epochs = 3",
        "a parameter is not written as `name: type = value  # meaning`: z: int = 2",
    ]
    path.write_text("# %% [markdown]\n# # No parameters\n")
    assert list(parameterised(Chapter(path))) == ["no cell has the tag `parameters`"]


def test_missing_notebook_and_missing_book(tiny, tmp_path_factory):
    assert "is missing: run `vaebook execute" in problems(tiny)[0]
    assert [chapter.path for chapter in chapters(find_root(tiny.path.parent))] == [tiny.path]
    with pytest.raises(FileNotFoundError, match="no folder there has a _toc"):
        find_root(tmp_path_factory.mktemp("nowhere"))


HASHED = """import os

from vaelib import plots
import numpy as np; x = 1

def draw():
    from vaelib.plots import image_grid  # where it is needed
    return "import this"

plots.use_style()"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from vaelib import plots", "from vaebook import plots"),
        ("import os\n\n", ""),
        ("import os\n\n", "import os\nfrom vaebook import (\n    page,\n    tables,\n)\n\n"),
        ("import numpy as np; ", ""),
        ("    from vaelib.plots import image_grid  # where it is needed\n", ""),
        ("vaelib.plots import image_grid", "vaebook.figures import image_grid"),
    ],
    ids=["module", "dropped", "added", "same-line", "inner-dropped", "inner-module"],
)
def test_imports_make_no_outputs_stale(old, new):
    assert old in HASHED and hashed(HASHED.replace(old, new)) == hashed(HASHED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = 1", "x = 2"),
        ('"import this"', '"import that"'),
        ("use_style()", "use_style();"),
        ("def draw", "def drawn"),
    ],
    ids=["value", "text", "semicolon", "name"],
)
def test_other_code_makes_outputs_stale(old, new):
    assert old in HASHED and hashed(HASHED.replace(old, new)) != hashed(HASHED)


def test_magics_are_text_and_cells_of_imports_alone_count_for_nothing():
    assert hashed("%matplotlib inline\nimport os") != hashed("%matplotlib inline\nimport sys")
    assert hashed("x = 'é'; import os\ny = 2") == hashed("x = 'é'; y = 2") == hashed("import os", "x = 'é'; y = 2")
    assert hashed("x = 1", "y = 2") != hashed("x = 1\ny = 2")


def hashed(*cells):
    return source_hash(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells))))


def test_the_table_of_contents_is_read_in_order(tmp_path):
    parts = "parts:\n  - chapters:\n      - {file: b, sections: [{file: c}]}\n  - chapters: [{file: d}]\n"
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: a\n{parts}")
    assert contents(tmp_path) == ["a", "b", "c", "d"]
