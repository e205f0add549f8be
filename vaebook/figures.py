"""This book's own figures: spectra, what a factorial experiment found, and sweeps over the number of latents.

Like `vaelib.plots` they take figures and an `ax` (None makes a new one), draw, and return the `ax`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from matplotlib.typing import LineStyleType

from vaelib.config import pick
from vaelib.plots import COLOURS, INK, image_grid

__all__ = ["against_latents", "by_recipe", "main_effects", "named_rows", "size_colours", "spectrum"]


def spectrum(
    eigenvalues: Any, ax: Axes | None = None, label: str | None = None, levels: Mapping[str, float] | None = None
) -> Axes:
    """Draws eigenvalues, largest first, on a logarithmic axis; `levels` are named horizontal lines (say, a sigma^2)."""
    values = np.asarray(eigenvalues, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"eigenvalues must be (N,) finite numbers, not {values.shape}")
    ax = ax or plt.subplots()[1]
    values = np.sort(values)[::-1]
    positive = np.where(values > 0, values, np.nan)
    ax.plot(np.arange(1, len(values) + 1), positive, "o-", markersize=3, linewidth=1, label=label)
    for name, level in (levels or {}).items():
        ax.axhline(level, color=INK, linewidth=0.9, linestyle=":")
        ax.text(0.99, level, name, transform=ax.get_yaxis_transform(), ha="right", va="bottom")
    ax.set(yscale="log", xlabel="principal component", ylabel="eigenvalue (variance)")
    return ax


def main_effects(
    table: pd.DataFrame, factors: Sequence[str], response: str, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draws, for each factor, all runs at each of its levels as dots and their mean as a line; one axes a factor."""
    for name in [*factors, response]:
        pick("column", name, map(str, table))
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
        if len(means) * max(len(str(key)) for key in means.index) > 14:  # they do not fit side by side
            plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
        ax.set(title=name, xlim=(-0.5, len(means) - 0.5))
    axes[0].set_ylabel(response)
    return axes


def _in_order(column: pd.Series) -> pd.Categorical:
    return pd.Categorical(column, categories=column.drop_duplicates(), ordered=True)


def size_colours(sizes: Iterable[int]) -> dict[int, str]:
    """A colour for each number of latents, from dark (few) to light (many)."""
    ordered = sorted(set(sizes))
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.88, len(ordered)))
    return dict(zip(ordered, map(to_hex, shades), strict=True))


def against_latents(
    figures: Mapping[int, Sequence[float]],
    ax: Axes | None = None,
    label: str | None = None,
    colour: str | None = None,
    style: LineStyleType = "-",
) -> Axes:
    """Draws a figure against the number of latents: a dot for each seed, a line through their means.

    `figures` holds for each number of latents the figure of each seed, one or more; sizes may differ in their seeds.
    """
    sizes = sorted(figures)
    if not sizes or any(len(figures[size]) == 0 for size in sizes):
        raise ValueError(f"figures must hold one value or more for each size, not {dict(figures)!r}")
    ax = ax or plt.subplots()[1]
    (line,) = ax.plot(sizes, [np.mean(figures[size]) for size in sizes], style, color=colour, label=label)
    dots = [(size, value) for size in sizes for value in figures[size]]
    ax.plot(*zip(*dots, strict=True), "o", markersize=3, color=line.get_color(), alpha=0.7, markeredgewidth=0)
    drawn = sorted({int(x) for curve in ax.lines for x in np.asarray(curve.get_xdata())})
    ax.set(xscale="log", xlabel="number of latents")
    ax.set_xticks(drawn, _apart(drawn))
    ax.xaxis.set_minor_locator(NullLocator())
    return ax


def _apart(sizes: Sequence[int]) -> list[str]:
    """The names of sizes, without those that would touch the one before on a narrow logarithmic axis."""
    names, last = [], 0
    for size in sizes:
        names.append(str(size) if size >= 1.8 * last else "")
        last = size if names[-1] else last
    return names


def by_recipe(
    recipes: Sequence[str],
    shown: Mapping[str, Callable[[str, str], Mapping[int, Sequence[float]]]],
    kinds: Mapping[str, LineStyleType],
    rows: int = 1,
) -> list[Axes]:
    """Draws figures against the number of latents: a panel for each title in `shown`, a colour for each recipe.

    `shown[title](recipe, kind)` are the figures of `against_latents`, nothing where there are none. `kinds` are names
    with their line styles, of which one is solid. The key stands below all panels.
    """
    size = (7.2, 0.7 + 2.4 * rows)
    figure, grid = plt.subplots(rows, -(-len(shown) // rows), figsize=size, layout="constrained", squeeze=False)
    axes = list(grid.flat)
    for ax, (title, values) in zip(axes, shown.items(), strict=True):
        for (recipe, colour), (kind, style) in product(zip(recipes, COLOURS.values(), strict=False), kinds.items()):
            if found := values(recipe, kind):
                against_latents(found, ax, recipe if style == "-" else None, colour, style)
        ax.set_title(title)
    handles, names = axes[0].get_legend_handles_labels()
    handles += [Line2D([], [], color=INK, linestyle=style, linewidth=1.2) for style in kinds.values()]
    figure.legend(handles, [*names, *kinds], loc="outside lower center", ncols=len(handles))
    return axes


def named_rows(blocks: Mapping[str, Any], shape: tuple[int, ...], columns: int = 14, ax: Axes | None = None) -> Axes:
    """Draws blocks of images (N, D) below one another, each named beside its middle; N fills whole rows."""
    for name, block in blocks.items():
        if len(block) % columns or not len(block):
            raise ValueError(f"{name!r} has {len(block)} images: they must fill whole rows of {columns}")
    ax = image_grid(np.concatenate([np.asarray(block) for block in blocks.values()]), shape, columns, ax)
    rows = np.array([len(block) // columns for block in blocks.values()])
    middles = (rows.cumsum() - rows / 2) * (shape[0] + 1) - 1
    ax.set_yticks(middles, list(blocks))
    return ax
