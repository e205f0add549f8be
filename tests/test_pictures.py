"""Figures are stored small, and look as they did."""

import base64
import io

import nbformat
import numpy as np
from PIL import Image

from vaelib.book.pictures import lighten


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
