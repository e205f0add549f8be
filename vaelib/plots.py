"""Figures: functions that take arrays and an `ax`, draw, and return the `ax`. None of them trains, loads or samples.

An `ax` of None makes a new figure, in which a pixel of an image takes a whole number of page pixels. Images are
(N, H, W), in colour (N, H, W, 3), or rows (N, D) with the `shape` of one; whole numbers are read as 0..255, floats as
0..1. Other shapes raise a ValueError of one line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import colors, layout_engine, lines, patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy.special import ndtri

from vaelib.config import pick

__all__ = ["CLASS_COLOURS", "COLOURS", "DATA_COLOURS", "INK", "PAPER", "STYLE_FILE", "band", "canvas", "image_grid",
    "latent_grid", "loss_curves", "manifold_grid", "scatter_latents", "use_style"]  # fmt: skip

Shape = tuple[int, ...]  # of an image: (H, W) or (H, W, 3)

STYLE_FILE = Path(__file__).parent / "vaelib.mplstyle"
PAPER, INK = "#FBFAF6", "#2B2B2B"
COLOURS = {"indigo": "#332288", "rose": "#CC6677", "teal": "#44AA99", "olive": "#999933",
           "wine": "#882255", "cyan": "#88CCEE", "green": "#117733", "purple": "#AA4499"}  # fmt: skip
"""Paul Tol's "muted" scheme in the order of the style's colour cycle; safe for colour-blind readers."""
DATA_COLOURS = {name: COLOURS[colour] for name, colour in
                [("mnist", "indigo"), ("frey", "rose"), ("digits", "teal"), ("toyfaces", "olive")]}  # fmt: skip
CLASS_COLOURS = (*COLOURS.values(), "#DDCC77", "#555555")  # ten, for ten classes

GAP = 1  # pixels of paper between two images
COLUMN_INCHES = 6.2  # what the images of a figure may take of a column 7 inches wide
LARGEST_ZOOM = 4  # page pixels per image pixel: small images stay small
TERMS = {"elbo": "ELBO", "reconstruction": "reconstruction term", "kl": "KL term"}
AGAINST = {"epoch": "epoch", "samples_seen": "training samples seen"}
PARTS: dict[str, Literal["-", "--"]] = {"test": "-", "train": "--"}


def use_style() -> None:
    """Makes every figure from here on look like the book's (`vaelib/vaelib.mplstyle`)."""
    plt.style.use(STYLE_FILE)


def canvas(images: Any, shape: Shape | None = None, columns: int = 10) -> np.ndarray:
    """Lays images out row by row from the upper left, one empty pixel between neighbours; the last row may be short.

    Returns (rows * (H + 1) - 1, columns * (W + 1) - 1) floats, with a last axis of 3 in colour; NaN where no image is.
    """
    tiles = _as_images(images, shape)
    n, height, width, *colour = tiles.shape
    columns = min(_count("columns", columns), n)
    rows = -(-n // columns)
    cells = np.full((rows * columns, height + GAP, width + GAP, *colour), np.nan)
    cells[:n, :height, :width] = tiles
    sheet = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    return sheet.reshape(rows * (height + GAP), columns * (width + GAP), *colour)[:-GAP, :-GAP]


def image_grid(images: Any, shape: Shape | None = None, columns: int = 10, ax: Axes | None = None) -> Axes:
    """Draws images on one canvas; black is 0 and white is 1 (or 255)."""
    return _show(canvas(images, shape, columns), ax)


def latent_grid(cells: int = 20) -> np.ndarray:
    """The points of the 2-D manifold, (cells^2, 2): row by row from the top, z_1 growing rightwards and z_2 upwards.

    Each is the centre of a cell that holds 1 / cells^2 of the prior N(0, I). Kingma & Welling 2013, Figure 4.
    """
    z = ndtri((np.arange(_count("cells", cells)) + 0.5) / cells)
    z1, z2 = np.meshgrid(z, z[::-1])
    return np.stack([z1.ravel(), z2.ravel()], axis=1)


def manifold_grid(decode: Callable[[Any], Any], shape: Shape, cells: int = 20, ax: Axes | None = None) -> Axes:
    """Draws what `decode`, from codes (N, 2) to images (N, D), makes of the points of `latent_grid(cells)`."""
    z = latent_grid(cells)
    images = _as_images(decode(z), shape)
    if len(images) != len(z):
        raise ValueError(f"decode must return one image for each of the {len(z)} codes, not {len(images)}")
    ax = _show(canvas(images, columns=cells), ax, left=0.6, bottom=0.5)
    marks = sorted({0, cells // 2, cells - 1} if cells % 2 else {0, cells // 4, cells - 1 - cells // 4, cells - 1})
    names = [f"{z[mark, 0]:.2f}".replace("-", "−") for mark in marks]
    height, width = shape[:2]
    ax.set_xticks([mark * (width + GAP) + width / 2 - 0.5 for mark in marks], names)
    ax.set_yticks([(cells - 1 - mark) * (height + GAP) + height / 2 - 0.5 for mark in marks], names)
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    return ax


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    return int(value)


def _as_images(images: Any, shape: Shape | None) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3) floats on the scale 0..1, or a ValueError of one line."""
    array = np.asarray(images)
    if array.ndim == 2 and shape is None:
        raise ValueError(f"images of shape {array.shape} are rows of pixels: give shape=(height, width)")
    if array.ndim == 2 and shape is not None:
        if len(shape) < 2 or array.shape[1] != math.prod(shape):
            raise ValueError(f"rows of {array.shape[1]} pixels cannot be images of shape {tuple(shape)}")
        array = array.reshape(-1, *shape)
    if array.ndim not in (3, 4) or array.shape[3:] not in ((), (3,)) or array.size == 0:
        expected = "(N, H, W), (N, H, W, 3) or (N, D)"
        raise ValueError(f"images must be {expected}, with something in them, not {array.shape}")
    if shape is not None and array.shape[1:] != tuple(shape):
        raise ValueError(f"images of shape {array.shape[1:]} do not have the shape {tuple(shape)} that was given")
    array = array.astype(float) / (255.0 if np.issubdtype(array.dtype, np.integer) else 1.0)
    if not np.isfinite(array).all():
        raise ValueError("images hold values that are not finite")
    return array


def _show(sheet: np.ndarray, ax: Axes | None, left: float = 0.0, bottom: float = 0.0) -> Axes:
    """Shows a canvas without resampling. A new figure is as wide as the column if it can be, with `left` and `bottom`
    inches for labels; its resolution is such that an image pixel takes a whole number of page pixels."""
    if ax is None:
        dpi, edge, size = plt.rcParams["figure.dpi"], 0.1, sheet.shape[:2]
        longest = min(COLUMN_INCHES, max(size) * LARGEST_ZOOM / dpi)
        zoom = np.ceil(longest * dpi / max(size))
        height, width = (pixels * longest / max(size) for pixels in size)
        page = (left + width + edge, bottom + height + edge)
        # layout="none" would not survive savefig
        fixed = layout_engine.PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True)
        figure = plt.figure(figsize=page, dpi=zoom * max(size) / longest, layout=fixed)
        ax = figure.add_axes((left / page[0], bottom / page[1], width / page[0], height / page[1]))
    if sheet.ndim == 3:
        sheet = np.where(np.isnan(sheet), colors.to_rgb(PAPER), sheet.clip(0, 1))
    grey = plt.get_cmap("gray").with_extremes(bad=PAPER)
    ax.imshow(sheet, cmap=grey, vmin=0, vmax=1, interpolation="none", aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


def band(
    x: Any, runs: Any, label: str | None = None, ax: Axes | None = None, colour: str | None = None, style: str = "-"
) -> Axes:
    """Draws the mean over seeds as a line, and from the smallest to the largest run as a band: x (N,), runs (S, N)."""
    x, runs = np.asarray(x), np.asarray(runs, dtype=float)
    if runs.ndim != 2 or x.ndim != 1 or runs.shape[1] != len(x) or runs.size == 0:
        raise ValueError(f"runs must be (seeds, {len(x) if x.ndim else 'N'}) for x {x.shape}, not {runs.shape}")
    ax = ax or plt.subplots()[1]
    (line,) = ax.plot(x, runs.mean(axis=0), style, color=colour, label=label)
    if len(runs) > 1:
        ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=line.get_color(), alpha=0.2, linewidth=0)
    return ax


def loss_curves(
    histories: Any,
    terms: Sequence[str] = ("elbo", "reconstruction", "kl"),
    against: str = "epoch",
    axes: Any = None,
    label: str | None = None,
    colour: str | None = None,
) -> np.ndarray:
    """Draws the terms of the ELBO during training, each in its own axes (len(terms),): train dashed, test solid.

    ELBO and reconstruction are log-likelihoods (higher is better), the KL is a cost; ELBO = reconstruction - KL.
    `histories` is a table (pandas or dict) or a list of them, one for each seed, with the columns `epoch`,
    `samples_seen` and, in nats per image, `train_<term>` and `test_<term>`. "samples_seen" makes a logarithmic axis, as
    in Kingma & Welling 2013, Figure 2. `label` names these runs; call again on the same `axes` to compare.
    """
    pick("axis", against, AGAINST)
    for term in terms:
        pick("term", term, TERMS)
    tables = list(histories) if isinstance(histories, list | tuple) else [histories]
    if not tables:
        raise ValueError("no history to draw")
    x, *others = (_column(table, against) for table in tables)
    if not all(np.array_equal(other, x) for other in others):
        raise ValueError(f"the histories of several seeds must share their {against!r} column")
    axes = np.atleast_1d(plt.subplots(1, len(terms), figsize=(7, 2.7))[1] if axes is None else axes)
    if len(axes) != len(terms):
        raise ValueError(f"{len(terms)} terms need {len(terms)} axes, not {len(axes)}")
    names = {"test": label or "test", "train": None if label else "train"}  # of named runs only the solid line has it
    for ax, term in zip(axes, terms, strict=True):
        line_colour = colour
        for part, style in PARTS.items():
            runs = np.stack([_column(table, f"{part}_{term}") for table in tables])
            band(x, runs, names[part], ax, line_colour, style)
            line_colour = ax.lines[-1].get_color()
        ax.set(xlabel=AGAINST[against], title=TERMS[term], xscale="log" if against == "samples_seen" else "linear")
    axes[0].set_ylabel("nats per image")
    handles, shown = axes[-1].get_legend_handles_labels()
    if "test" not in shown:
        handles += [lines.Line2D([], [], color=INK, linestyle=style, linewidth=1.2) for style in PARTS.values()]
        shown += list(PARTS)
    figure = axes[-1].get_figure(root=True)
    for earlier in figure.legends:
        earlier.remove()
    figure.legend(handles, shown, loc="outside lower center", ncols=len(shown))  # below all axes: it hides no curve
    return axes


def _column(table: Any, name: str) -> np.ndarray:
    return np.asarray(table[pick("column of a history", name, map(str, table))], dtype=float)


def scatter_latents(z2: Any, labels: Any = None, ax: Axes | None = None) -> Axes:
    """Draws codes (N, 2), coloured by labels (N,): a class (whole numbers, ten at most) or a quantity (floats).

    The name of a class is written where its points crowd, and away from other names.
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
        classes, which = np.unique(labels, return_inverse=True)
        ax.scatter(z[:, 0], z[:, 1], s=size, c=np.array(CLASS_COLOURS)[which], alpha=0.55)
        halo = [patheffects.withStroke(linewidth=3.5, foreground=PAPER)]
        for (x, y), name in zip(_name_places(z, which), classes, strict=True):
            ax.text(x, y, str(name), ha="center", va="center", fontsize=13, fontweight="bold", path_effects=halo)
    else:
        points = ax.scatter(z[:, 0], z[:, 1], s=size, c=labels, cmap="cividis", alpha=0.7)
        ax.figure.colorbar(points, ax=ax, shrink=0.8)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    return ax


def _name_places(z: np.ndarray, which: np.ndarray) -> np.ndarray:
    """For each class one of its points (N, 2): (K, 2). The densest, unless an earlier name stands there."""
    places = np.empty((0, 2))
    apart = np.ptp(z, axis=0).max() / 10
    for k in range(which.max() + 1):
        own = z[which == k]
        distances = np.linalg.norm(own[:, None] - own, axis=-1)
        crowd = np.sort(distances, axis=1)[:, : len(own) // 4 + 1].mean(axis=1)  # how far its nearest quarter is
        own = own[np.argsort(crowd)][: len(own) // 2 + 1]
        to_others = np.linalg.norm(own[:, None] - places, axis=-1).min(axis=1, initial=np.inf)
        free = to_others >= apart
        places = np.vstack([places, own[free.argmax() if free.any() else to_others.argmax()]])
    return places
