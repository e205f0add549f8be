"""vaelib.book: parameters, the banner, and executing a tiny book of its own in real kernels."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from vaelib import book
from vaelib.book import __main__ as command
from vaelib.book import page
from vaelib.book.__main__ import main
from vaelib.book.execute import KERNEL, ChapterError, execute
from vaelib.book.notebooks import CHECKS, STAMP, Chapter, chapters, find_root, problems, source_hash
from vaelib.config import ConfigError

ROOT = Path(__file__).parents[1]
PARAMETERS = """dataset: str = "mnist"  # which images
epochs: int = 3  # passes over the data
hidden: tuple[int, ...] = (8, 4)  # units per layer"""

CHAPTER = f"""# %% [markdown]
# # A tiny chapter

# %% tags=["parameters"]
{PARAMETERS.replace("mnist", "digits")}

# %% tags=["remove-cell"]
import sys
from types import SimpleNamespace

from vaelib import book

settings = book.parameters(globals(), at_least={{"epochs": 1}})

# %% tags=["remove-input"]
images = SimpleNamespace(name="mnist", stand_in_for=None, sha256={{"train-images": "ba89"}})
book.banner(images)

# %%
# NBVAL_CHECK_OUTPUT
epochs + 1

# %% tags=["remove-output"]
sys.executable

# %% tags=["remove-cell", "install"]
# Here the library would be fetched.
"""


def session(injected="", **values):
    """A namespace as IPython leaves it after the parameters cell and the one that papermill injects, if it does."""
    history = ["", PARAMETERS, *([f"# Parameters\n{injected}\n"] if injected else []), "from vaelib import book"]
    namespace = {"In": history}
    for source in history[1:-1]:
        exec(source, namespace)
    return {**namespace, **values}


@pytest.fixture
def folder(tmp_path):
    """A book of one chapter, set up as this one is."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: chapters/tiny\n")
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "tiny.py").write_text(CHAPTER)
    return tmp_path


@pytest.fixture
def tiny(folder):
    return Chapter(folder / "chapters" / "tiny.py")


def test_parameters_are_returned_and_may_be_changed():
    settings = book.parameters(session("epochs = 5\nhidden = [16]"), at_least={"epochs": 1, "hidden": 1})
    assert settings == SimpleNamespace(dataset="mnist", epochs=5, hidden=(16,))


def test_parameters_need_no_notebook():
    namespace = {}
    exec(PARAMETERS, namespace)
    assert book.parameters(namespace).epochs == 3
    types = namespace.pop("__annotations__")
    assert book.parameters({**namespace, "__annotate__": lambda _: types}).epochs == 3  # as Python 3.14 keeps them


@pytest.mark.parametrize(
    ("injected", "message"),
    [
        ("epoch = 5", r"unknown parameter 'epoch': did you mean 'epochs'\? valid: dataset, epochs, hidden"),
        ('epochs = "abc"', "parameter epochs='abc' cannot be used: expected a valid integer"),
        ("epochs = True", "parameter epochs=True cannot be used: expected a valid integer"),
        ("epochs = 2.5", r"parameter epochs=2\.5 cannot be used: expected a valid integer"),
        ("epochs = float('nan')", "parameter epochs=nan cannot be used: expected a valid integer"),
        ("epochs = 0", "parameter epochs=0 cannot be used: expected at least 1"),
        ("hidden = [8, 0]", r"parameter hidden=\[8, 0\] cannot be used: expected at least 1"),
        ('hidden = ["8"]', r"parameter hidden=\['8'\] cannot be used: expected a valid integer"),
        ("dataset = None", "parameter dataset=None cannot be used: expected a valid string"),
        ("dataset = {1}.pop", "parameter dataset=.* cannot be used: expected <class 'str'>"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(injected, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        book.parameters(session(injected), at_least={"epochs": 1, "hidden": 1})


def test_cells_may_run_again_in_any_order():
    namespace = session()
    namespace["In"] += ["other: int = 3\ntotal = 7", "1 +", "from vaelib import book"]
    exec("other: int = 3\ntotal = 7", namespace)
    assert book.parameters(namespace) == SimpleNamespace(dataset="mnist", epochs=3, hidden=(8, 4))


def test_only_changed_settings_are_noted():
    history = session('epochs = 5\nhidden = [8, 4]\ndataset = "digits"')["In"]
    notes = page._setting_notes(history)
    assert notes == [
        "> - `dataset` is `'digits'`; the published page has `'mnist'`.",
        "> - `epochs` is `5`; the published page has `3`.",
    ]
    edited = [*session()["In"], PARAMETERS.replace("3", "4")]
    assert page._setting_notes(edited) == ["> - `epochs` is `4`; the published page has `3`."]
    assert page._setting_notes(session()["In"]) == []


def test_stand_ins_and_own_data_are_noted():
    data = [
        SimpleNamespace(name="digits", stand_in_for="mnist"),
        SimpleNamespace(name="frey", stand_in_for=None),
        SimpleNamespace(name="holiday", stand_in_for=None),
    ]
    assert page._data_notes(data) == [
        "> - The data set `digits` stands in for `mnist`.",
        "> - The data set `holiday` is your own.",
    ]


def test_execution_stamps_and_leaves_nothing_of_papermill(tiny, folder):
    execute(tiny)
    written = nbformat.read(tiny.notebook_path, as_version=4)
    nbformat.validate(written)
    stamp = written.metadata[STAMP]
    assert stamp["data"] == {"mnist/train-images": "ba89"}
    assert stamp["source_sha256"] == source_hash(tiny.source)
    assert set(stamp) == {"source_sha256", "version", "torch", "python", "data", "seconds", "executed"}
    assert "papermill" not in json.dumps(written)
    assert {key for cell in written.cells for key in cell.metadata} == {"tags"}
    banner, checked, python = written.cells[3:6]
    assert banner.outputs == []
    assert checked.outputs[0].data["text/plain"] == "4"
    assert python.outputs[0].data["text/plain"] == repr(sys.executable), "the kernel is another Python"
    assert problems(tiny) == []
    assert [path.name for path in (folder / "chapters").iterdir() if path.suffix == ".part"] == []


def test_prose_is_synced_without_running_and_code_is_not(tiny, capsys):
    execute(tiny)
    stamp = dict(tiny.notebook.metadata[STAMP])
    sync = [sys.executable, "-m", "jupytext", "--sync", str(tiny.path)]
    tiny.path.write_text(CHAPTER.replace("A tiny chapter", "A small chapter"))
    assert "jupytext --sync" in "".join(problems(Chapter(tiny.path)))
    subprocess.run(sync, check=True, capture_output=True)
    synced = Chapter(tiny.path)
    assert problems(synced) == []
    assert synced.notebook.metadata[STAMP] == stamp
    assert synced.notebook.metadata.kernelspec == KERNEL
    assert synced.notebook.cells[4].outputs[0].data["text/plain"] == "4"
    assert [cell.id for cell in synced.notebook.cells[1:]] == [cell.id for cell in tiny.notebook.cells[1:]]
    assert STAMP not in tiny.path.read_text().replace("from vaelib import book", "")

    tiny.path.write_text(CHAPTER.replace("epochs + 1", "epochs + 2"))
    subprocess.run(sync, check=True, capture_output=True)
    assert "newer than its outputs" in "".join(problems(Chapter(tiny.path)))
    assert main(["check", str(tiny.path)]) == 1
    assert "newer than its outputs" in capsys.readouterr().out


def test_chapters_at_once_share_the_cores(tiny, folder, monkeypatch):
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    share = max(1, joblib.cpu_count() // 2)
    twin = Chapter(folder / "chapters" / "twin.py")
    code = "import joblib, os; joblib.cpu_count(), os.environ['OMP_NUM_THREADS']"
    for chapter in (tiny, twin):
        chapter.path.write_text(CHAPTER.replace("epochs + 1", code))
    execute_two = [sys.executable, "-m", "vaelib.book", "execute", "--jobs", "2", str(tiny.path), str(twin.path)]
    subprocess.run(execute_two, check=True, capture_output=True)
    for chapter in (tiny, twin):
        assert chapter.notebook.cells[4].outputs[0].data["text/plain"] == repr((share, str(share)))


def test_a_wrong_number_of_chapters_at_once_is_refused(tiny, capsys):
    with pytest.raises(SystemExit):
        main(["execute", "--jobs", "0", str(tiny.path)])
    assert "--jobs 0: expected 1 or more" in capsys.readouterr().err


def test_the_long_chapters_start_first_and_all_share_the_cores(tiny, folder, monkeypatch, capsys):
    twin, begun = Chapter(tiny.path.with_name("twin.py")), []

    class Pool:  # runs at once what it is given, in this process
        def __init__(self, *_, **__): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        map = staticmethod(map)

    def note(chapter, cores):
        begun.append((chapter.name, cores))
        return 0

    monkeypatch.setattr(command, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(command, "attempt", note)
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    both = [str(tiny.path), str(twin.path)]
    assert main(["execute", *both, "--jobs", "2", "--first", both[1]]) == 0
    assert begun == [("twin", 2), ("tiny", 2)] and os.environ["OMP_NUM_THREADS"] == "2"
    with pytest.raises(SystemExit):
        main(["execute", *both, "--jobs", "2", "--first", "nowhere.py"])
    assert "--first nowhere.py: expected one of tiny, twin" in capsys.readouterr().err


def test_a_failed_chapter_keeps_its_notebook(tiny, folder):
    tiny.notebook_path.write_text("as it was")
    tiny.path.write_text(CHAPTER.replace("epochs + 1", "1 / 0  # oh"))
    with pytest.raises(ChapterError, match=r"tiny: cell \[4\] .* failed with ZeroDivisionError: division by zero"):
        execute(Chapter(tiny.path))
    assert tiny.notebook_path.read_text() == "as it was"
    assert (folder / "_build" / "failed" / "tiny.ipynb").exists()


def test_papermill_runs_a_chapter_on_own_settings(tiny, folder):
    nbformat.write(nbformat.from_dict({**tiny.source, "metadata": {"kernelspec": KERNEL}}), tiny.notebook_path)
    out = folder / "out.ipynb"
    papermill.execute_notebook(tiny.notebook_path, out, {"epochs": 5}, kernel_name="python3", progress_bar=False)
    banner = nbformat.read(out, as_version=4).cells[4].outputs[0]
    assert "This is not the published page" in banner.data["text/markdown"]
    assert "`epochs` is `5`; the published page has `3`" in banner.data["text/markdown"]
    with pytest.raises(PapermillExecutionError) as caught:
        papermill.execute_notebook(tiny.notebook_path, out, {"epoch": 5}, kernel_name="python3", progress_bar=False)
    assert caught.value.traceback == [
        "ParameterError: unknown parameter 'epoch': did you mean 'epochs'? valid: dataset, epochs, hidden"
    ]


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
    yield "26 lines"
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
    parameterised = next(check for check in CHECKS if check.__name__ == "parameterised")
    assert list(parameterised(Chapter(path))) == [
        "the parameters cell is not the first code cell",
        "a parameter is not written as `name: type = value  # meaning`: epochs = 3",
        "a parameter is not written as `name: type = value  # meaning`: z: int = 2",
    ]
    path.write_text("# %% [markdown]\n# # No parameters\n")
    assert list(parameterised(Chapter(path))) == ["no cell has the tag `parameters`"]


def test_missing_notebook_and_missing_book(tiny, tmp_path_factory):
    assert "is missing: run `python -m vaelib.book execute" in problems(tiny)[0]
    assert [chapter.path for chapter in chapters(find_root(tiny.path.parent))] == [tiny.path]
    with pytest.raises(FileNotFoundError, match="no folder there has a _toc"):
        find_root(tmp_path_factory.mktemp("nowhere"))
