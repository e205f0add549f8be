"""What the figures of a factorial experiment show is what the table holds."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from vaelib import plots
from vaelib.config import ConfigError


@pytest.fixture
def table():
    rows = [
        {"a": a, "b": b, "c": c, "y": 10 * c + (a == "yes") + 0.5 * seed}
        for a, b, c, seed in itertools.product(("yes", "no"), ("q", "p"), (2, 10), (0, 1))
    ]
    return pd.DataFrame(rows)


def test_a_map_shows_the_mean_of_each_cell_in_the_tables_order(table):
    ax = plots.cell_map(table, ["a", "b"], ["c"], "y", digits=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["yes, q", "yes, p", "no, q", "no, p"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "10"]
    np.testing.assert_allclose(ax.images[0].get_array()[[0, 2], 0], [21.25, 20.25])
    assert ax.texts[0].get_text() == "21.25"
    plt.close("all")


def test_a_logarithmic_map_takes_zeros(table):
    ax = plots.cell_map(table.assign(y=table["y"] * (table["a"] == "yes")), ["a"], ["b", "c"], "y", log=True)
    assert ax.get_xticklabels()[0].get_text() == "q\n2"
    plt.close("all")


def test_main_effects_show_every_run_and_the_means(table):
    left, right = plots.main_effects(table, ["a", "c"], "y")
    dots, means = left.lines
    assert len(dots.get_xdata()) == len(table)
    np.testing.assert_allclose(means.get_ydata(), [61.25, 60.25])
    assert [label.get_text() for label in right.get_xticklabels()] == ["2", "10"]
    plt.close("all")


def test_what_does_not_fit_is_refused(table):
    with pytest.raises(ConfigError, match="unknown column 'z'"):
        plots.cell_map(table, ["a"], ["b"], "z")
    with pytest.raises(ConfigError, match="unknown column 'd'"):
        plots.main_effects(table, ["d"], "y")
    with pytest.raises(ValueError, match="2 factors need 2 axes, not 1"):
        plots.main_effects(table, ["a", "b"], "y", plt.subplots(1, 1, squeeze=False)[1][0])
    plt.close("all")
