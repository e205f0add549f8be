"""Lines, bands and points: training histories, spread over seeds, spectra and latent planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.patheffects as effects
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vaelib.config import pick
from vaelib.plots.style import CLASS_COLOURS, COLOURS, INK, PAPER

__all__ = ["loss_curves", "scatter_latents", "spectrum", "spread"]

TERMS = {"elbo": "ELBO", "reconstruction": "reconstruction term", "kl": "KL term"}
AGAINST = {"epoch": "epoch", "samples_seen": "training samples seen"}
PARTS: dict[str, Literal["-", "--"]] = {"test": "-", "train": "--"}


def spread(
    x: Any,
    runs_by_seed: Any,
    label: str | None = None,
    ax: Axes | None = None,
    colour: str | None = None,
    style: str = "-",
) -> Axes:
    """Draws the mean over seeds as a line, and from the smallest to the largest run as a band.

    Args:
        x: (N,), the same for every run.
        runs_by_seed: (S, N), one row for each seed. One seed has no band.
    """
    x, runs = np.asarray(x), np.asarray(runs_by_seed, dtype=float)
    if runs.ndim != 2 or x.ndim != 1 or runs.shape[1] != len(x) or runs.size == 0:
        raise ValueError(f"runs_by_seed must be (seeds, {len(x) if x.ndim else 'N'}) for x {x.shape}, not {runs.shape}")
    ax = ax or plt.subplots()[1]
    (line,) = ax.plot(x, runs.mean(axis=0), style, color=colour, label=label)
    if len(runs) > 1:
        ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=line.get_color(), alpha=0.2, linewidth=0)
    return ax


def loss_curves(
    histories: Any,
    terms: Sequence[str] = ("elbo", "reconstruction", "kl"),
    against: str = "epoch",
    axes: Axes | Sequence[Axes] | np.ndarray | None = None,
    label: str | None = None,
    colour: str | None = None,
) -> np.ndarray:
    """Draws the terms of the ELBO during training, each in its own axes: train dashed, test solid.

    The signs are those of the bound: ELBO and reconstruction are log-likelihoods (higher is better), the KL is a
    positive cost, and ELBO = reconstruction - KL.

    Args:
        histories: one history or a list of them, one for each seed: tables (pandas or dict) with the columns `epoch`,
            `samples_seen` and, for each term, `train_<term>` and `test_<term>`, in nats per image.
        terms: which of "elbo", "reconstruction" and "kl".
        against: "epoch", or "samples_seen" on a logarithmic axis as in Kingma & Welling (2013), Figure 2.
        axes: one for each term; None makes a new figure.
        label: the name of these runs in the legend; call again on the same axes to compare.

    Returns:
        the axes, shape (len(terms),).
    """
    pick("axis", against, AGAINST)
    for term in terms:
        pick("term", term, TERMS)
    tables = list(histories) if isinstance(histories, list | tuple) else [histories]
    x = _same_rows(tables, against)
    axes = np.atleast_1d(plt.subplots(1, len(terms), figsize=(7, 2.7))[1] if axes is None else axes)  # type: ignore[arg-type]
    if len(axes) != len(terms):
        raise ValueError(f"{len(terms)} terms need {len(terms)} axes, not {len(axes)}")
    for ax, term in zip(axes, terms, strict=True):
        line_colour = colour
        for part, style in PARTS.items():
            runs = np.stack([_column(table, f"{part}_{term}") for table in tables])
            spread(x, runs, _name(part, label), ax, line_colour, style)
            line_colour = ax.lines[-1].get_color()
        ax.set(xlabel=AGAINST[against], title=TERMS[term], xscale="log" if against == "samples_seen" else "linear")
    axes[0].set_ylabel("nats per image")
    _legend(axes[-1])
    return axes


def spectrum(
    eigenvalues: Any, ax: Axes | None = None, label: str | None = None, levels: dict[str, float] | None = None
) -> Axes:
    """Draws eigenvalues, largest first, on a logarithmic axis; `levels` are named horizontal lines (say, a sigma^2)."""
    values = np.asarray(eigenvalues, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"eigenvalues must be (N,) finite numbers, not {values.shape}")
    ax = ax or plt.subplots()[1]
    values = np.sort(values)[::-1]
    ax.plot(
        np.arange(1, len(values) + 1),
        np.where(values > 0, values, np.nan),
        "o-",
        markersize=3,
        linewidth=1,
        label=label,
    )
    for name, level in (levels or {}).items():
        ax.axhline(level, color=INK, linewidth=0.9, linestyle=":")
        ax.text(0.99, level, name, transform=ax.get_yaxis_transform(), ha="right", va="bottom")
    ax.set(yscale="log", xlabel="principal component", ylabel="eigenvalue (variance)")
    return ax


def scatter_latents(z2: Any, labels: Any = None, ax: Axes | None = None) -> Axes:
    """Draws codes in the plane, coloured by class (whole numbers, at most ten of them) or by a quantity (floats).

    Args:
        z2: (N, 2).
        labels: (N,) or None. Classes are also written at the median of their points.
    """
    z = np.asarray(z2, dtype=float)
    if z.ndim != 2 or z.shape[1] != 2:
        raise ValueError(f"latents must be (N, 2), not {z.shape}")
    if labels is not None and np.shape(labels) != (len(z),):
        raise ValueError(f"labels must be ({len(z)},), one for each point, not {np.shape(labels)}")
    ax = ax or plt.subplots(figsize=(5, 5))[1]
    size = float(np.clip(9000 / max(len(z), 1), 2.5, 16))
    if labels is None:
        ax.scatter(z[:, 0], z[:, 1], s=size, color=COLOURS["indigo"], alpha=0.5)
    elif np.issubdtype(np.asarray(labels).dtype, np.integer) and len(np.unique(labels)) <= len(CLASS_COLOURS):
        _scatter_classes(z, np.asarray(labels), ax, size)
    else:
        points = ax.scatter(z[:, 0], z[:, 1], s=size, c=labels, cmap="cividis", alpha=0.7)
        ax.figure.colorbar(points, ax=ax, shrink=0.8)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    return ax


def _scatter_classes(z: np.ndarray, labels: np.ndarray, ax: Axes, size: float) -> None:
    classes = np.unique(labels)
    colours = np.array(CLASS_COLOURS)[np.searchsorted(classes, labels)]
    ax.scatter(z[:, 0], z[:, 1], s=size, c=colours, alpha=0.55)
    halo = [effects.withStroke(linewidth=3.5, foreground=PAPER)]
    for name in classes:
        x, y = np.median(z[labels == name], axis=0)
        ax.text(x, y, str(name), ha="center", va="center", fontsize=13, fontweight="bold", path_effects=halo)


def _column(table: Any, name: str) -> np.ndarray:
    pick("column of a history", name, [str(column) for column in table])
    return np.asarray(table[name], dtype=float)


def _same_rows(tables: list[Any], against: str) -> np.ndarray:
    if not tables:
        raise ValueError("no history to draw")
    x = _column(tables[0], against)
    for table in tables[1:]:
        if not np.array_equal(_column(table, against), x):
            raise ValueError(f"the histories of several seeds must share their {against!r} column")
    return x


def _name(part: str, label: str | None) -> str | None:
    """What a line is called in the legend: the part, or, when runs have a name, that name on the solid line."""
    return part if label is None else label if part == "test" else None


def _legend(ax: Axes) -> None:
    """Below all axes, where it hides no curve."""
    handles, names = ax.get_legend_handles_labels()
    if "test" not in names:
        handles += [Line2D([], [], color=INK, linestyle=style, linewidth=1.2) for style in PARTS.values()]
        names += list(PARTS)
    figure = ax.get_figure(root=True)
    assert figure is not None
    for earlier in figure.legends:
        earlier.remove()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
