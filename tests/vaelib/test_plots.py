"""The figures draw what they are given: tiles where they belong, lines with the data, codes of the inverse CDF."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from scipy.spatial.distance import pdist
from scipy.stats import norm

from vaelib import plots

pytestmark = pytest.mark.usefixtures("style")


def random_images(n, height, width, seed=0):
    return np.random.default_rng(seed).random((n, height, width))


def history(seed=0, epochs=6):
    draws = np.random.default_rng(seed)
    table = {"epoch": np.arange(1, epochs + 1), "samples_seen": np.arange(1, epochs + 1) * 500}
    for part in ("train", "test"):
        for term in ("elbo", "reconstruction", "kl"):
            table[f"{part}_{term}"] = draws.normal(size=epochs)
    return pd.DataFrame(table)


# ----------------------------------------------------------------------------------------------------------- images


@given(n=st.integers(1, 23), height=st.integers(1, 5), width=st.integers(1, 5), columns=st.integers(1, 8))
def test_canvas_puts_each_image_in_its_cell_and_paper_everywhere_else(n, height, width, columns):
    images = random_images(n, height, width)
    sheet = plots.canvas(images, columns=columns)
    across = min(columns, n)
    assert sheet.shape == (-(-n // across) * (height + 1) - 1, across * (width + 1) - 1)
    for i, image in enumerate(images):
        top, left = i // across * (height + 1), i % across * (width + 1)
        np.testing.assert_array_equal(sheet[top : top + height, left : left + width], image)
    assert np.isfinite(sheet).sum() == images.size


def test_canvas_of_rows_bytes_and_images_is_the_same():
    bytes_ = np.random.default_rng(0).integers(0, 256, (7, 4, 3), dtype=np.uint8)
    expected = plots.canvas(bytes_ / 255)
    np.testing.assert_array_equal(plots.canvas(bytes_), expected)
    np.testing.assert_array_equal(plots.canvas(bytes_.reshape(7, 12) / 255, shape=(4, 3)), expected)


def test_a_canvas_in_colour_has_paper_too():
    images = np.random.default_rng(0).random((3, 4, 2, 3))
    sheet = plots.canvas(images, columns=2)
    assert sheet.shape == (9, 5, 3)
    np.testing.assert_array_equal(sheet[5:9, 0:2], images[2])
    np.testing.assert_array_equal(sheet, plots.canvas(images.reshape(3, 24), (4, 2, 3), columns=2))
    for channel in range(3):
        np.testing.assert_array_equal(sheet[..., channel], plots.canvas(images[..., channel], columns=2))


def test_a_grid_in_colour_shows_its_colours_on_paper():
    red = np.zeros((3, 4, 4, 3))
    red[..., 0] = 1.2  # beyond the range, as a linear decoder may be: drawn as 1
    shown = plots.image_grid(red, columns=2).get_images()[0].get_array()
    np.testing.assert_array_equal(shown[0, 0], [1, 0, 0])
    np.testing.assert_allclose(shown[4, 0], to_rgb(plots.PAPER))
    np.testing.assert_allclose(shown[-1, -1], to_rgb(plots.PAPER))


def test_image_grid_shows_the_canvas_without_resampling_on_a_fixed_grey_scale():
    images = random_images(12, 6, 4)
    (picture,) = plots.image_grid(images, columns=5).get_images()
    np.testing.assert_array_equal(picture.get_array().filled(np.nan), plots.canvas(images, columns=5))
    assert picture.get_interpolation() == "none"
    assert picture.get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("n", "size", "columns"),
    [(10, (28, 28), 10), (42, (28, 20), 14), (400, (28, 20), 20)],
    ids=["a row of digits", "three rows of faces", "twenty rows of faces"],
)
def test_a_new_figure_gives_every_image_pixel_the_same_whole_number_of_page_pixels(n, size, columns):
    tiles = np.indices((n, *size)).sum(axis=0) % 2  # a chessboard shows any uneven step
    ax = plots.image_grid(tiles * 255, columns=columns)
    ax.figure.canvas.draw()
    box = ax.get_window_extent()
    height, width = plots.canvas(tiles, columns=columns).shape
    zoom = box.width / width
    assert zoom == pytest.approx(round(zoom), abs=1e-6) and zoom >= 1
    assert box.height / height == pytest.approx(zoom)


def test_manifolds_may_be_in_colour():
    rows = np.random.default_rng(0).random((5, 24))
    ax = plots.manifold_grid(lambda z: rows[:4], (4, 2, 3), cells=2)
    assert ax.get_images()[0].get_array().shape == (9, 5, 3)


def test_latent_grid_is_the_inverse_gaussian_cdf_of_a_regular_grid_with_z2_upwards():
    z = plots.latent_grid(4).reshape(4, 4, 2)
    expected = norm.ppf([0.125, 0.375, 0.625, 0.875])
    for row in z:
        np.testing.assert_allclose(row[:, 0], expected)
    for column in z.transpose(1, 0, 2):
        np.testing.assert_allclose(column[:, 1], expected[::-1])


@given(cells=st.integers(1, 30))
def test_latent_grid_is_symmetric_and_finite(cells):
    z = plots.latent_grid(cells)
    assert z.shape == (cells**2, 2) and np.isfinite(z).all()
    np.testing.assert_allclose(z, -z[::-1], atol=1e-12)


def test_manifold_grid_decodes_each_code_into_its_cell():
    def decode(z):  # a 2 x 3 image that holds its own code: CDF of z_1 above, of z_2 below
        return np.repeat(norm.cdf(z), 3, axis=1)

    ax = plots.manifold_grid(decode, (2, 3), cells=5)
    sheet = ax.get_images()[0].get_array()
    assert sheet.shape == (14, 19)
    np.testing.assert_allclose(sheet[0::3, 0], norm.cdf(norm.ppf(0.1)))  # the left column has the smallest z_1
    np.testing.assert_allclose(sheet[1::3, 0], [0.9, 0.7, 0.5, 0.3, 0.1])  # the top row has the largest z_2
    assert ax.get_xlabel() == "$z_1$" and ax.get_ylabel() == "$z_2$"
    ticks = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks(), strict=True))
    assert ticks["1.28"] < ticks["0.00"] < ticks["−1.28"]  # an image's rows count downwards


WRONG = {
    "rows without a shape": (lambda: plots.image_grid(np.zeros((3, 6))), r"give shape=\(height, width\)"),
    "rows of another shape": (
        lambda: plots.image_grid(np.zeros((3, 6)), shape=(2, 2)),
        r"rows of 6 pixels cannot be images of shape \(2, 2\)",
    ),
    "images of another shape": (
        lambda: plots.image_grid(np.zeros((3, 2, 3)), shape=(3, 2)),
        r"do not have the shape \(3, 2\)",
    ),
    "no images": (lambda: plots.image_grid(np.zeros((0, 2, 2))), "with something in them"),
    "one row": (lambda: plots.image_grid(np.zeros(4)), r"not \(4,\)"),
    "four channels": (lambda: plots.image_grid(np.zeros((2, 4, 4, 4))), r"\(N, H, W, 3\) or \(N, D\)"),
    "grey for colour": (
        lambda: plots.image_grid(np.zeros((2, 4, 4)), shape=(4, 4, 3)),
        r"do not have the shape \(4, 4, 3\)",
    ),
    "rows for colour": (
        lambda: plots.image_grid(np.zeros((2, 4)), shape=(2, 2, 3)),
        r"cannot be images of shape \(2, 2, 3\)",
    ),
    "not a number": (lambda: plots.image_grid(np.full((1, 2, 2), np.nan)), "not finite"),
    "no columns": (lambda: plots.image_grid(np.zeros((1, 2, 2)), columns=0), "columns must be"),
    "too few decoded": (
        lambda: plots.manifold_grid(lambda z: z[:5], (1, 2), cells=3),
        "one image for each of the 9 codes, not 5",
    ),
    "decoded of another shape": (lambda: plots.manifold_grid(lambda z: z, (2, 2)), "rows of 2 pixels cannot be"),
    "no cells": (lambda: plots.latent_grid(0), "cells must be"),
    "runs too long": (lambda: plots.band(np.arange(3), np.zeros((2, 4))), r"must be \(seeds, 3\)"),
    "runs of one dimension": (lambda: plots.band(np.arange(3), np.zeros(3)), r"not \(3,\)"),
    "latents of three dimensions": (lambda: plots.scatter_latents(np.zeros((5, 3))), r"must be \(N, 2\), not \(5, 3\)"),
    "too few labels": (lambda: plots.scatter_latents(np.zeros((5, 2)), np.zeros(4)), r"labels must be \(5,\)"),
    "no history": (lambda: plots.loss_curves([]), "no history"),
    "unknown term": (lambda: plots.loss_curves(history(), terms=("elbos",)), "did you mean 'elbo'"),
    "unknown axis": (lambda: plots.loss_curves(history(), against="epochs"), "did you mean 'epoch'"),
    "missing column": (
        lambda: plots.loss_curves(history().drop(columns="test_kl")),
        "unknown column of a history 'test_kl'",
    ),
    "histories of other lengths": (
        lambda: plots.loss_curves([history(), history(epochs=5)]),
        "share their 'epoch' column",
    ),
    "too few axes": (
        lambda: plots.loss_curves(history(), axes=plt.figure().add_subplot()),
        "3 terms need 3 axes, not 1",
    ),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_raises_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# ----------------------------------------------------------------------------------------------------------- curves


def test_band_draws_the_mean_and_a_band_from_the_smallest_to_the_largest():
    runs = np.array([[1.0, 2, 3], [3, 2, 7], [2, 5, 2]])
    ax = plots.band([10, 20, 30], runs, label="three seeds")
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [10, 20, 30])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), runs.mean(axis=0))
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices}
    assert corners >= {(10, 1), (20, 2), (30, 2), (10, 3), (20, 5), (30, 7)}


def test_band_of_one_seed_has_no_band():
    assert not plots.band([1, 2], [[3.0, 4.0]]).collections


@pytest.mark.parametrize("against", ["epoch", "samples_seen"])
def test_loss_curves_draw_train_dashed_and_test_solid_with_units(against):
    seeds = [history(seed) for seed in range(3)]
    axes = plots.loss_curves(seeds, against=against)
    assert len(axes) == 3 and axes[0].get_ylabel() == "nats per image"
    for ax, term in zip(axes, ("elbo", "reconstruction", "kl"), strict=True):
        by_style = {line.get_linestyle(): line for line in ax.lines}
        for style, part in {"--": "train", "-": "test"}.items():
            mean = np.mean([table[f"{part}_{term}"] for table in seeds], axis=0)
            np.testing.assert_allclose(by_style[style].get_ydata(), mean)
            np.testing.assert_array_equal(by_style[style].get_xdata(), seeds[0][against])
        assert len({line.get_color() for line in ax.lines}) == 1
        assert ax.get_xscale() == ("log" if against == "samples_seen" else "linear")


def test_loss_curves_compares_two_recipes_on_the_same_axes():
    first = plots.loss_curves(history(0), terms=("elbo",), label="Adam")
    ax = plots.loss_curves(history(1), terms=("elbo",), axes=first[0], label="Adagrad")[0]
    assert ax is first[0] and len(ax.lines) == 4
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == ["Adam", "Adagrad", "test", "train"]
    assert ax.lines[0].get_color() != ax.lines[2].get_color()


def test_scatter_latents_keeps_the_points_and_names_each_class_where_it_is_dense():
    draws = np.random.default_rng(0)
    island, other = draws.normal(size=(40, 2)), np.add(draws.normal(size=(20, 2)), [30, 0])
    z, labels = np.concatenate([island, other, np.add(draws.normal(size=(60, 2)), [15, 0])]), np.repeat([4, 7], 60)
    ax = plots.scatter_latents(z, labels)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), z)
    assert [text.get_text() for text in ax.texts] == ["4", "7"]
    (x4, _), (x7, _) = (text.get_position() for text in ax.texts)
    assert abs(x4) < 3 and abs(x7 - 15) < 3  # the median of class 4 would lie nearer to its gap


def test_names_of_classes_in_one_place_stand_apart():
    z = np.random.default_rng(0).normal(size=(300, 2))
    ax = plots.scatter_latents(z, np.arange(300) % 3)
    places = np.array([text.get_position() for text in ax.texts])
    assert pdist(places).min() >= np.ptp(z, axis=0).max() / 10


def test_scatter_latents_of_a_quantity_has_a_colour_bar():
    z = np.random.default_rng(0).normal(size=(60, 2))
    ax = plots.scatter_latents(z, np.linspace(0, 1, 60))
    np.testing.assert_allclose(ax.collections[0].get_array(), np.linspace(0, 1, 60))
    assert len(ax.figure.axes) == 2


def test_functions_draw_on_the_axes_they_are_given():
    _, ax = plt.subplots()
    assert plots.image_grid(random_images(4, 3, 3), ax=ax) is ax
    assert plots.band([1, 2], [[1, 2]], ax=ax) is ax
    assert plots.scatter_latents(np.zeros((3, 2)), ax=ax) is ax
    assert len(plt.get_fignums()) == 1


# ------------------------------------------------------------------------------------------------------------ style


def test_style_is_an_opaque_card_with_named_colours():
    assert to_rgb(plt.rcParams["figure.facecolor"]) == to_rgb(plots.PAPER)
    assert not plt.rcParams["savefig.transparent"]
    cycle = [to_rgb(entry["color"]) for entry in plt.rcParams["axes.prop_cycle"]]
    assert cycle == [to_rgb(colour) for colour in plots.COLOURS.values()]
    assert len(set(plots.CLASS_COLOURS)) == 10


def test_a_saved_grid_keeps_its_layout_and_warns_of_nothing(tmp_path, recwarn):
    ax = plots.image_grid(random_images(4, 8, 8), columns=2)
    ax.figure.savefig(tmp_path / "grid.png")
    pixels = (plt.imread(tmp_path / "grid.png")[..., :3] * 255).round()
    assert not recwarn.list
    assert (pixels[0, 0] == [0xFB, 0xFA, 0xF6]).all()
