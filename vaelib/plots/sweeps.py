"""Figures of a sweep over the number of latents: one colour, one place on a logarithmic axis, one row for each size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import NullLocator

from vaelib.plots.images import image_grid

__all__ = ["against_latents", "kl_profile", "named_rows", "size_colours"]


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
    style: str = "-",
) -> Axes:
    """Draws a figure against the number of latents: a dot for each seed, a line through their means.

    Args:
        figures: number of latents -> the figure of each seed, one or more; sizes may differ in their seeds.
    """
    sizes = sorted(figures)
    if not sizes or any(len(figures[size]) == 0 for size in sizes):
        raise ValueError(f"figures must hold one value or more for each size, not {dict(figures)!r}")
    ax = ax or plt.subplots()[1]
    (line,) = ax.plot(sizes, [np.mean(figures[size]) for size in sizes], style, color=colour, label=label)
    dots = [(size, value) for size in sizes for value in figures[size]]
    ax.plot(*zip(*dots, strict=True), "o", markersize=3, color=line.get_color(), alpha=0.7, markeredgewidth=0)
    drawn = {int(x) for curve in ax.lines for x in np.asarray(curve.get_xdata())}
    ax.set(xscale="log", xlabel="number of latents")
    ax.set_xticks(sorted(drawn), _apart(sorted(drawn)))
    ax.xaxis.set_minor_locator(NullLocator())
    return ax


def _apart(sizes: Sequence[int]) -> list[str]:
    """The names of sizes, without those that would touch the one before on a narrow logarithmic axis."""
    names, last = [], 0
    for size in sizes:
        names.append(str(size) if size >= 1.8 * last else "")
        last = size if names[-1] else last
    return names


def kl_profile(kl: Any, ax: Axes | None = None, label: str | None = None, colour: str | None = None) -> Axes:
    """Draws the KL of each latent dimension, (Z,) in nats, largest first; both axes are logarithmic."""
    values = np.sort(np.asarray(kl, dtype=float))[::-1]
    if values.ndim != 1 or not values.size or values.min() < 0:
        raise ValueError(f"kl must be (Z,) and nowhere negative, not {np.shape(kl)}")
    ax = ax or plt.subplots()[1]
    ax.plot(np.arange(1, len(values) + 1), values, "o-", markersize=2.5, color=colour, label=label)
    ax.set(xscale="log", yscale="log", xlabel="latents, by their KL", ylabel="KL (nats per image)")
    return ax


def named_rows(blocks: Mapping[str, Any], shape: tuple[int, int], columns: int = 14, ax: Axes | None = None) -> Axes:
    """Draws blocks of images (N, D) below one another, each named beside its middle; N fills whole rows."""
    for name, block in blocks.items():
        if len(block) % columns or not len(block):
            raise ValueError(f"{name!r} has {len(block)} images: they must fill whole rows of {columns}")
    ax = image_grid(np.concatenate([np.asarray(block) for block in blocks.values()]), shape, columns, ax)
    rows = np.array([len(block) // columns for block in blocks.values()])
    middles = (rows.cumsum() - rows / 2) * (shape[0] + 1) - 1
    ax.set_yticks(middles, list(blocks))
    return ax
