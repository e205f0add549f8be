"""The figures of a sweep draw every seed where it belongs, and name every size."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vaelib import plots


@pytest.fixture(autouse=True)
def _style():
    with plt.rc_context():
        plots.use_style()
        yield
        plt.close("all")


def test_against_latents_draws_means_and_seeds_and_names_the_sizes():
    ax = plots.against_latents({20: [5.0], 2: [1.0, 3.0]}, label="modern")
    line, dots = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), [[2, 2], [20, 5]])
    np.testing.assert_array_equal(dots.get_xydata(), [[2, 1], [2, 3], [20, 5]])
    assert line.get_color() == dots.get_color() and line.get_label() == "modern"
    assert ax.get_xscale() == "log" and [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "20"]
    plots.against_latents({3: [1.0], 5: [1.0]}, ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "", "5", "20"]  # 3 has a tick alone


def test_kl_profile_is_sorted():
    ax = plots.kl_profile([0.1, 3.0, 0.5], colour=plots.INK)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 3], [2, 0.5], [3, 0.1]])


def test_size_colours_darken_with_fewer_latents():
    shades = plots.size_colours([20, 2, 5, 20])
    light = [sum(to_rgb(colour)) for colour in shades.values()]
    assert list(shades) == [2, 5, 20] and light == sorted(light)


def test_named_rows_names_the_middle_of_each_block():
    ax = plots.named_rows({"data": np.zeros((2, 12)), "samples": np.ones((4, 12))}, (4, 3), columns=2)
    sheet = ax.get_images()[0].get_array()
    assert sheet.shape == (14, 7) and sheet[:4, :3].max() == 0 and sheet[5:9, :3].min() == 1
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["data", "samples"]
    np.testing.assert_allclose(ax.get_yticks(), [1.5, 9])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.against_latents({}), "one value or more for each size"),
        (lambda: plots.against_latents({2: []}), "one value or more for each size"),
        (lambda: plots.kl_profile([-0.1]), "nowhere negative"),
        (lambda: plots.kl_profile([[0.1]]), r"must be \(Z,\)"),
        (lambda: plots.named_rows({"data": np.zeros((3, 4))}, (2, 2), columns=2), "'data' has 3 images"),
    ],
)
def test_wrong_input_raises_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
