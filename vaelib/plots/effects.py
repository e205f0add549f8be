"""Figures of a factorial experiment: every cell as a coloured square, and every factor's main effect."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from vaelib.config import pick
from vaelib.plots.style import COLOURS, INK, PAPER

__all__ = ["cell_map", "main_effects"]


def cell_map(
    table: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    response: str,
    ax: Axes | None = None,
    log: bool = False,
    digits: int = 1,
    colours: str = "cividis",
) -> Axes:
    """Draws the mean response of each combination of the row and the column factors, over all else, as a square.

    Levels stand in the order in which `table`, with one row for each run, has them first. Values too small for the
    colours, which start at 0, or on a logarithmic scale (`log`) at a thousandth of the largest, take the darkest one.
    """
    for name in [*rows, *columns, response]:
        pick("column", name, [str(column) for column in table])
    ordered = table.assign(**{name: _in_order(table[name]) for name in [*rows, *columns]})
    means = ordered.pivot_table(response, list(rows), list(columns), aggfunc="mean", observed=True)
    ax = ax or plt.subplots(figsize=(7.2, 0.3 * len(means) + 1.2))[1]
    values = means.to_numpy()
    lowest, highest = max(values.max() / 1000, 1e-6), values.max()
    scale: Normalize = LogNorm(lowest, highest, clip=True) if log else Normalize(0, highest, clip=True)
    image = ax.imshow(values, cmap=colours, norm=scale, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        bright = sum(image.cmap(scale(value))[:3]) > 1.5
        text = f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")
        ax.text(j, i, text, ha="center", va="center", fontsize=8, color=INK if bright else PAPER)
    ax.set_yticks(range(len(means)), [_title(key) for key in means.index])
    ax.set_xticks(range(values.shape[1]), [_title(key, "\n") for key in means.columns])
    ax.set(ylabel=", ".join(rows), xlabel=", ".join(columns), title=response)
    ax.tick_params(length=0)
    ax.grid(False)
    return ax


def main_effects(
    table: pd.DataFrame, factors: Sequence[str], response: str, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draws, for each factor, all runs at each of its levels as dots and their mean as a line; one axes a factor."""
    for name in [*factors, response]:
        pick("column", name, [str(column) for column in table])
    if axes is None:
        widths = [table[name].nunique() + 1 for name in factors]
        grid = plt.subplots(1, len(factors), figsize=(7.2, 3), sharey=True, width_ratios=widths)[1]
        axes = list(np.atleast_1d(grid))
    if len(axes) != len(factors):
        raise ValueError(f"{len(factors)} factors need {len(factors)} axes, not {len(axes)}")
    shake = np.random.default_rng(0).uniform(-0.2, 0.2, len(table))
    for ax, name in zip(axes, factors, strict=True):
        level = _in_order(table[name])
        ax.plot(level.codes + shake, table[response], "o", markersize=2.5, color=COLOURS["cyan"], alpha=0.7)
        means = table.groupby(level, observed=True)[response].mean()
        ax.plot(range(len(means)), means, "_-", markersize=14, color=COLOURS["indigo"])
        ax.set_xticks(range(len(means)), [str(key) for key in means.index])
        if max(len(str(key)) for key in means.index) > 5:
            plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
        ax.set(title=name, xlim=(-0.5, len(means) - 0.5))
    axes[0].set_ylabel(response)
    return axes


def _in_order(column: pd.Series) -> pd.Categorical:
    return pd.Categorical(column, categories=column.drop_duplicates(), ordered=True)


def _title(key: object, between: str = ", ") -> str:
    return between.join(map(str, key)) if isinstance(key, tuple) else str(key)
