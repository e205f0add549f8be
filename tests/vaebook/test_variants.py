"""A chapter on other parameters: which notebooks there will be, and that none replaces another."""

from pathlib import Path

import nbformat
import pytest

from vaebook.build.execute import ChapterError
from vaebook.build.variants import Variant, execute_variant, variants
from vaelib.config import ConfigError


def names(tiny, axes, folder, chapters=None):
    wanted = variants(chapters or [tiny.path], axes, folder)
    assert len({variant.output.name.casefold() for variant in wanted}) == len(wanted)
    assert all(len(variant.output.name.encode()) <= 255 and variant.output.parent == folder for variant in wanted)
    return [variant.output.name for variant in wanted]


def test_notebooks_are_named_after_the_chapter_and_the_values(tiny, folder):
    assert names(tiny, {"epochs": [1, 2], "dataset": ["digits"]}, folder) == [
        "tiny-epochs=1-dataset=digits.ipynb",
        "tiny-epochs=2-dataset=digits.ipynb",
    ]


@pytest.mark.parametrize(
    "values",
    [
        ["a b", "a_b", "a/b", "../b"],
        ["A", "a"],
        ["x" * 300, "x" * 300 + "y", "ä" * 300, "字" * 300],
        [1, "1", True, "True", 1.0],
        ["a{b}c", "{", "\n", "a.ipynb", ""],
        [(1, 2), [1, 2]],
    ],
    ids=["cleaned", "capitals", "long", "types", "signs", "brackets"],
)
def test_no_two_values_share_a_notebook(tiny, folder, values):
    assert len(names(tiny, {"dataset": values}, folder)) == len(values)


def test_a_name_depends_on_its_own_values_alone(tiny, folder):
    """So that a second command does not replace what a first one with other values left."""
    assert names(tiny, {"dataset": ["a b"]}, folder) != names(tiny, {"dataset": ["a/b"]}, folder)
    long = [names(tiny, {"dataset": [letter * 300]}, folder)[0] for letter in "xy"]
    assert names(tiny, {"dataset": ["x" * 300, "y" * 300]}, folder) == long


def test_the_same_twice_is_one_notebook(tiny, folder):
    assert len(names(tiny, {"epochs": [1, 1]}, folder, [tiny.path, tiny.path])) == 1


def test_chapters_of_one_name_do_not_share_a_notebook(tiny, folder):
    (folder / "more").mkdir()
    twin = folder / "more" / "tiny.py"
    twin.write_text(tiny.path.read_text())
    assert len(names(tiny, {"epochs": [1]}, folder, [tiny.path, twin])) == 2


def test_an_unknown_parameter_is_refused_and_so_is_a_missing_chapter(tiny, folder):
    with pytest.raises(ConfigError, match="unknown parameter of tiny 'epoch': did you mean 'epochs'"):
        variants([tiny.path], {"epoch": [1]}, folder)
    with pytest.raises(ConfigError, match=r"there is no chapter 'nope\.py'"):
        variants([Path("nope.py")], {"epochs": [1]}, folder)


def test_a_notebook_without_its_source_will_do(tiny, folder):
    alone = folder / "alone.ipynb"
    nbformat.write(tiny.source, alone)
    assert [variant.output.name for variant in variants([alone], {"epochs": [2]}, folder)] == ["alone-epochs=2.ipynb"]


def test_it_runs_with_its_values_in_a_folder_of_any_name(tiny, folder):
    (variant,) = variants([tiny.path], {"epochs": [5], "dataset": ["a b"]}, folder / "{out}")
    assert execute_variant(variant) > 0
    cells = nbformat.read(variant.output, as_version=4).cells
    banner = next(cell for cell in cells if "page.banner" in cell.source).outputs[0].data["text/markdown"]
    assert "`dataset` is `'a b'`" in banner and "`epochs` is `5`" in banner
    assert not tiny.notebook_path.exists() and not (folder / "_build").exists()


def test_a_failure_says_where_the_notebook_lies(tiny, folder):
    with pytest.raises(ChapterError, match=r"ParameterError: parameter epochs=0 .* up to there: .*out\.ipynb"):
        execute_variant(Variant(tiny.path, {"epochs": 0}, folder / "out.ipynb"))
    assert (folder / "out.ipynb").exists()
