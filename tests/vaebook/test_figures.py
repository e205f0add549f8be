"""The book's own figures show what they are given: every seed and every cell where it belongs, every size by name."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from vaebook import figures
from vaelib.config import ConfigError

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture
def table():
    rows = [
        {"a": a, "b": b, "c": c, "y": 10 * c + (a == "yes") + 0.5 * seed}
        for a, b, c, seed in itertools.product(("yes", "no"), ("q", "p"), (2, 10), (0, 1))
    ]
    return pd.DataFrame(rows)


def test_spectrum_is_sorted_logarithmic_and_names_its_levels():
    ax = figures.spectrum([1.0, 3.0, 0.0, 2.0], levels={"noise": 0.5})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, 2, 1, np.nan])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 2, 3, 4])
    assert ax.get_yscale() == "log" and ax.texts[0].get_text() == "noise"
    assert ax.lines[1].get_ydata()[0] == 0.5


def test_main_effects_show_every_run_and_the_means(table):
    left, right = figures.main_effects(table, ["a", "c"], "y")
    dots, means = left.lines
    assert len(dots.get_xdata()) == len(table)
    np.testing.assert_allclose(means.get_ydata(), [61.25, 60.25])
    assert [label.get_text() for label in right.get_xticklabels()] == ["2", "10"]


def test_what_does_not_fit_is_refused(table):
    with pytest.raises(ConfigError, match="unknown column 'd'"):
        figures.main_effects(table, ["d"], "y")
    with pytest.raises(ValueError, match="2 factors need 2 axes, not 1"):
        figures.main_effects(table, ["a", "b"], "y", plt.subplots(1, 1, squeeze=False)[1][0])


def test_named_rows_may_be_in_colour():
    blocks = {"data": np.zeros((2, 36)), "samples": np.ones((2, 36))}
    ax = figures.named_rows(blocks, (4, 3, 3), columns=2)
    assert ax.get_images()[0].get_array().shape == (9, 7, 3)
    np.testing.assert_allclose(ax.get_yticks(), [1.5, 6.5])


def test_against_latents_draws_means_and_seeds_and_names_the_sizes():
    ax = figures.against_latents({20: [5.0], 2: [1.0, 3.0]}, label="modern")
    line, dots = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), [[2, 2], [20, 5]])
    np.testing.assert_array_equal(dots.get_xydata(), [[2, 1], [2, 3], [20, 5]])
    assert line.get_color() == dots.get_color() and line.get_label() == "modern"
    assert ax.get_xscale() == "log" and [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "20"]
    figures.against_latents({3: [1.0], 5: [1.0]}, ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "", "5", "20"]  # 3 has a tick alone


def test_by_recipe_has_a_colour_for_each_recipe_a_style_for_each_kind_and_one_key():
    figures_of = {("a", "test"): {2: [1.0], 20: [3.0]}, ("b", "test"): {2: [5.0]}, ("b", "train"): {2: [6.0]}}
    shown = {"bound": lambda recipe, kind: figures_of.get((recipe, kind), {})}
    (ax,) = figures.by_recipe(["a", "b"], shown, {"test": "-", "train": "--"})
    lines = [line for line in ax.lines if line.get_linestyle() in ("-", "--")]
    assert [line.get_ydata().tolist() for line in lines] == [[1, 3], [5], [6]]
    assert lines[1].get_color() == lines[2].get_color() != lines[0].get_color()
    assert ax.get_title(loc="left") == "bound"
    (key,) = ax.figure.legends
    assert [text.get_text() for text in key.get_texts()] == ["a", "b", "test", "train"]


def test_size_colours_darken_with_fewer_latents():
    shades = figures.size_colours([20, 2, 5, 20])
    light = [sum(to_rgb(colour)) for colour in shades.values()]
    assert list(shades) == [2, 5, 20] and light == sorted(light)


def test_named_rows_names_the_middle_of_each_block():
    ax = figures.named_rows({"data": np.zeros((2, 12)), "samples": np.ones((4, 12))}, (4, 3), columns=2)
    sheet = ax.get_images()[0].get_array()
    assert sheet.shape == (14, 7) and sheet[:4, :3].max() == 0 and sheet[5:9, :3].min() == 1
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["data", "samples"]
    np.testing.assert_allclose(ax.get_yticks(), [1.5, 9])


WRONG = {
    "no sizes": (lambda: figures.against_latents({}), "one value or more for each size"),
    "a size without figures": (lambda: figures.against_latents({2: []}), "one value or more for each size"),
    "a short row": (lambda: figures.named_rows({"data": np.zeros((3, 4))}, (2, 2), columns=2), "'data' has 3 images"),
    "eigenvalues of two dimensions": (lambda: figures.spectrum(np.zeros((2, 2))), r"must be \(N,\)"),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_raises_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
