"""The chapters: each pair in order, and each chapter run in a real kernel on the bundled stand-ins in seconds."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from papermill.exceptions import PapermillExecutionError

from vaebook.build.execute import COVER, cover
from vaebook.build.notebooks import CHECKS, chapters, parameters_cell, tagged

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = chapters(ROOT)
WITH_PARAMETERS = [chapter for chapter in CHAPTERS if parameters_cell(chapter.source)]
QUICK = yaml.safe_load((ROOT / "chapters" / "quick.yaml").read_text(encoding="utf-8"))


def named(chapter):
    return chapter.name


def declared(chapter):
    return papermill.inspect_notebook(chapter.notebook_path)


def quick(chapter):
    """The quick parameters that a chapter has."""
    values = {**QUICK["all"], **QUICK.get(chapter.name, {})}
    return {name: value for name, value in values.items() if name in declared(chapter)}


def checked(cell):
    """Whether nbval compares a cell's output with the published one."""
    return "# NBVAL_CHECK_OUTPUT" in cell.source or tagged(cell, "nbval-check-output")


@pytest.fixture(autouse=True)
def _a_run_store_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # runs of a second need no processes of their own
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory):
    """One run store for all chapters, as a reader has: what two of them train is trained once."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("chapter", WITH_PARAMETERS, ids=named)
def test_runs_on_quick_parameters(chapter, tmp_path, shared_store):
    """nbval also compares the outputs of marked cells with the published ones."""
    prepared = tmp_path / chapter.notebook_path.name
    papermill.execute_notebook(chapter.notebook_path, prepared, quick(chapter), prepare_only=True, progress_bar=False)
    pytest_alone = [sys.executable, "-m", "pytest", "-p", "nbval.plugin", "--rootdir", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"VAELIB_RUNS": str(shared_store), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others cost seconds
    ran = subprocess.run(
        [*pytest_alone, "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300", str(prepared)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-10_000:] + ran.stderr[-2_000:]


@pytest.mark.parametrize("chapter", WITH_PARAMETERS, ids=named)
def test_checks_its_parameters_before_it_reads_or_trains(chapter):
    """In the cell of imports, which comes next. What a wrong one looks like to a reader, see below."""
    code = [cell.source for cell in chapter.source.cells if cell.cell_type == "code"]
    parameters = next(index for index, source in enumerate(code) if source == parameters_cell(chapter.source).source)
    assert "page.parameters(" in code[parameters + 2] and "page.load(" not in code[parameters + 1]


@pytest.mark.parametrize("chapter", WITH_PARAMETERS, ids=named)
def test_reads_no_data_before_it_knows_that_they_are_there(chapter):
    """`page.load` says in one line what is wrong with a name; all else shows the library's frames."""
    code = "\n".join(cell.source for cell in chapter.source.cells if cell.cell_type == "code")
    before, found, _ = code.partition("page.load(")
    assert found and not re.search(r"(?<![\w.])(?:vae\.|data\.)?(?:load|prepare|train|train_all|sweep)\(", before)


@pytest.mark.parametrize("chapter", [one for one in WITH_PARAMETERS if one.name == "03_training"], ids=named)
def test_refuses_an_unknown_parameter(chapter, tmp_path):
    with pytest.raises(PapermillExecutionError) as caught:
        papermill.execute_notebook(
            chapter.notebook_path, tmp_path / "out.ipynb", {"datset": "digits"}, cwd=ROOT, progress_bar=False
        )
    assert caught.value.evalue.startswith("unknown parameter 'datset': did you mean 'dataset'?")
    assert len(caught.value.traceback) == 1


@pytest.mark.parametrize("chapter", CHAPTERS, ids=named)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_is_in_order(chapter, check):
    assert list(check(chapter)) == []


def test_every_chapter_is_in_the_table_of_contents():
    assert sorted(chapter.path for chapter in CHAPTERS) == sorted((ROOT / "chapters").glob("*.py"))
    assert {path.stem for path in (ROOT / "chapters").glob("*.ipynb")} == {chapter.name for chapter in CHAPTERS}


def test_every_numbered_chapter_checks_some_output():
    for chapter in WITH_PARAMETERS:
        cells = [cell for cell in chapter.notebook.cells if checked(cell)]
        assert cells or not chapter.name[0].isdigit(), f"{chapter.name} marks no deterministic cell"
        assert all(cell.outputs for cell in cells), f"{chapter.name} has a marked cell without an output"


@pytest.mark.parametrize("chapter", WITH_PARAMETERS, ids=named)
def test_papermill_knows_every_parameter(chapter):
    """`papermill --help-notebook` and `vaebook run` see what `page.parameters` checks."""
    statements = ast.parse(parameters_cell(chapter.source).source).body
    assert list(declared(chapter)) == [statement.target.id for statement in statements]
    assert all(one["help"] and one["inferred_type_name"] != "None" for one in declared(chapter).values())


def test_every_quick_parameter_is_one_of_a_chapter():
    every = {name for chapter in WITH_PARAMETERS for name in declared(chapter)}
    assert set(QUICK["all"]) <= every
    for chapter in WITH_PARAMETERS:
        assert set(QUICK.get(chapter.name, {})) <= set(declared(chapter))
    assert set(QUICK) - {"all"} <= {chapter.name for chapter in WITH_PARAMETERS}


def test_the_readmes_picture_is_the_front_pages():
    index = next(chapter for chapter in CHAPTERS if chapter.name == "index")
    assert (ROOT / COVER).read_bytes() == cover(index.notebook)


def printed(chapter):
    """All that a chapter's outputs say."""
    outputs = [output for cell in chapter.notebook.cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") for output in outputs]
    texts += [output.data.get("text/plain", "") for output in outputs if "data" in output]
    return "\n".join(texts).replace("-", "−")


def test_the_readmes_numbers_are_those_that_its_commands_print():
    rows = re.findall(
        r"^\| (.+) \| (.+) \| `make chapters CHAPTERS=(.+)` \|$", (ROOT / "README.md").read_text("utf-8"), re.M
    )
    assert len(rows) > 5
    for what, value, path in rows:
        chapter = next(chapter for chapter in CHAPTERS if chapter.path == ROOT / path)
        wanted = value.removesuffix(" nats").replace("-", "−")
        assert wanted in printed(chapter), f"{path} does not print {value} ({what})"


def test_notebooks_are_valid():
    for chapter in CHAPTERS:
        nbformat.validate(chapter.notebook)
