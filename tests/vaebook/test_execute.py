"""Executing a tiny book of its own in real kernels; its figures are stored small, and look as they did."""

import base64
import io
import json
import subprocess
import sys

import nbformat
import numpy as np
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from vaebook.build.execute import KERNEL, ChapterError, cover, execute, lighten
from vaebook.build.notebooks import STAMP, Chapter, problems, source_hash


def edit(chapter, old, new):
    """Changes the chapter's source; gives it as it is then."""
    text = chapter.path.read_text()
    assert old in text
    chapter.path.write_text(text.replace(old, new))
    return Chapter(chapter.path)


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
    assert sorted(path.name for path in (folder / "chapters").iterdir()) == ["tiny.ipynb", "tiny.py"]
    assert list((folder / "_build" / "failed").iterdir()) == []


def test_prose_and_imports_are_synced_without_running_and_code_is_not(tiny):
    execute(tiny)
    stamp = dict(tiny.notebook.metadata[STAMP])
    sync = [sys.executable, "-m", "jupytext", "--sync", str(tiny.path)]
    assert "jupytext --sync" in "".join(problems(edit(tiny, "A tiny chapter", "A small chapter")))
    subprocess.run(sync, check=True, capture_output=True)
    synced = Chapter(tiny.path)
    assert problems(synced) == []
    assert synced.notebook.metadata[STAMP] == stamp
    assert synced.notebook.metadata.kernelspec == KERNEL
    assert synced.notebook.cells[4].outputs[0].data["text/plain"] == "4"
    assert [cell.id for cell in synced.notebook.cells[1:]] == [cell.id for cell in tiny.notebook.cells[1:]]
    assert "source_sha256" not in tiny.path.read_text()

    edit(tiny, "import sys\n", "import os\nimport sys\n")
    subprocess.run(sync, check=True, capture_output=True)
    assert problems(Chapter(tiny.path)) == []

    edit(tiny, "epochs + 1", "epochs + 2")
    subprocess.run(sync, check=True, capture_output=True)
    assert "newer than its outputs" in "".join(problems(Chapter(tiny.path)))


def test_a_failed_chapter_keeps_its_notebook(tiny, folder):
    tiny.notebook_path.write_text("as it was")
    with pytest.raises(ChapterError, match=r"tiny: cell \[4\] .* failed with ZeroDivisionError: division by zero"):
        execute(edit(tiny, "epochs + 1", "1 / 0  # oh"))
    assert tiny.notebook_path.read_text() == "as it was"
    assert "ZeroDivisionError" in (folder / "_build" / "failed" / "tiny.ipynb").read_text()


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


def notebook(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", dpi=(144, 144))
    data = {"image/png": base64.b64encode(file.getvalue()).decode()}
    output = nbformat.v4.new_output("display_data", data=data)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])])


def picture(notebook):
    return Image.open(io.BytesIO(base64.b64decode(notebook.cells[0].outputs[0].data["image/png"])))


def test_a_grey_image_keeps_every_pixel_and_its_resolution():
    grey = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8).repeat(3, axis=2)
    book = notebook(grey)
    before = len(book.cells[0].outputs[0].data["image/png"])
    lighten(book)
    assert np.array_equal(np.asarray(picture(book).convert("RGB")), grey)
    assert [round(dpi) for dpi in picture(book).info["dpi"]] == [144, 144]
    assert len(book.cells[0].outputs[0].data["image/png"]) < before / 2


def test_many_colours_move_by_little():
    ramp = np.stack(np.meshgrid(np.arange(0, 256, 2), np.arange(0, 256, 2)), -1).astype(np.uint8)
    colours = np.concatenate([ramp, np.full((*ramp.shape[:2], 1), 128, np.uint8)], -1)
    book = notebook(colours)
    lighten(book)
    assert np.abs(np.asarray(picture(book).convert("RGB")).astype(int) - colours).mean() < 8


def test_a_picture_that_would_not_shrink_stays_as_it_is():
    book = notebook(np.zeros((1, 1, 3), np.uint8))
    before = book.cells[0].outputs[0].data["image/png"]
    lighten(book)
    assert book.cells[0].outputs[0].data["image/png"] == before


def test_the_front_page_has_the_readmes_picture():
    book = notebook(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(LookupError, match="no figure called 'fig-result'"):
        cover(book)
    book.cells[0].metadata["mystnb"] = {"figure": {"name": "fig-result"}}
    assert cover(book) == base64.b64decode(book.cells[0].outputs[0].data["image/png"])
