"""Images on a canvas: grids, reconstructions under their originals, and the 2-D manifold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.ticker import FixedLocator
from scipy.special import ndtri

from vaelib.plots.style import PAPER

__all__ = ["canvas", "image_grid", "latent_grid", "manifold_grid", "reconstructions"]

GAP = 1  # pixels of paper between two images
COLUMN_INCHES = 6.2  # what the images of a figure may take of the book's column, 7 inches wide
LARGEST_ZOOM = 4  # page pixels per image pixel: small images stay small


def canvas(images: Any, shape: tuple[int, int] | None = None, columns: int = 10) -> np.ndarray:
    """Lays images out row by row, from the upper left, with one empty pixel between neighbours.

    Args:
        images: (N, H, W), or (N, D) together with `shape` = (H, W); whole numbers are read as 0..255, floats as 0..1.
        columns: images in a row; the last row may be incomplete.

    Returns:
        (rows * (H + 1) - 1, columns * (W + 1) - 1) floats; NaN where there is no image.
    """
    tiles = _as_images(images, shape)
    if not isinstance(columns, int | np.integer) or columns < 1:
        raise ValueError(f"columns must be a whole number of at least 1, not {columns!r}")
    (n, height, width), columns = tiles.shape, min(int(columns), len(tiles))
    rows = -(-n // columns)
    sheet = np.full((rows, height + GAP, columns, width + GAP), np.nan)
    for i, tile in enumerate(tiles):
        sheet[i // columns, :height, i % columns, :width] = tile
    return sheet.reshape(rows * (height + GAP), columns * (width + GAP))[:-GAP, :-GAP]


def image_grid(images: Any, shape: tuple[int, int] | None = None, columns: int = 10, ax: Axes | None = None) -> Axes:
    """Draws images (N, H, W), or (N, D) with their `shape`, on one canvas; black is 0 and white is 1 (or 255)."""
    return _show(canvas(images, shape, columns), ax)


def reconstructions(
    originals: Any, reconstructed: Any, shape: tuple[int, int] | None = None, ax: Axes | None = None
) -> Axes:
    """Draws the originals in one row and what a model made of them in the row below; both (N, H, W) or (N, D)."""
    above, below = _as_images(originals, shape), _as_images(reconstructed, shape)
    if above.shape != below.shape:
        raise ValueError(f"originals {above.shape} and reconstructed {below.shape} must have the same shape")
    n, height, _ = above.shape
    ax = _show(canvas(np.concatenate([above, below]), columns=n), ax, left=1.1)
    ax.set_yticks([height / 2 - 0.5, height * 1.5 + GAP - 0.5], ["data", "reconstruction"])
    return ax


def latent_grid(cells: int = 20) -> np.ndarray:
    """The points of the 2-D manifold: a regular grid in the unit square through the inverse Gaussian CDF.

    Each point is the centre, in probability, of a cell that holds 1 / cells^2 of the prior N(0, I). After Kingma &
    Welling (2013), Figure 4.

    Returns:
        (cells * cells, 2): row by row from the top, z_1 growing to the right and z_2 upwards.
    """
    if not isinstance(cells, int | np.integer) or cells < 1:
        raise ValueError(f"cells must be a whole number of at least 1, not {cells!r}")
    z = ndtri((np.arange(cells) + 0.5) / cells)
    z1, z2 = np.meshgrid(z, z[::-1])
    return np.stack([z1.ravel(), z2.ravel()], axis=1)


def manifold_grid(
    decode: Callable[[np.ndarray], Any], shape: tuple[int, int], cells: int = 20, ax: Axes | None = None
) -> Axes:
    """Draws what a decoder makes of each point of `latent_grid(cells)`: the plane that a 2-D model has learned.

    Args:
        decode: from codes (cells * cells, 2) to images (cells * cells, D).
        shape: (H, W) of an image, with H * W = D.
    """
    z = latent_grid(cells)
    images = _as_images(decode(z), shape)
    if len(images) != len(z):
        raise ValueError(f"decode must return one image for each of the {len(z)} codes, not {len(images)}")
    ax = _show(canvas(images, columns=cells), ax, left=0.6, bottom=0.5)
    marks = sorted({0, cells // 2, cells - 1} if cells % 2 else {0, cells // 4, cells - 1 - cells // 4, cells - 1})
    names = [f"{z[mark, 0]:.2f}".replace("-", "−") for mark in marks]
    height, width = shape
    ax.set_xticks([mark * (width + GAP) + width / 2 - 0.5 for mark in marks], names)
    ax.set_yticks([(cells - 1 - mark) * (height + GAP) + height / 2 - 0.5 for mark in marks], names)
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    return ax


def _as_images(images: Any, shape: tuple[int, int] | None) -> np.ndarray:
    """(N, H, W) floats on the scale 0..1, or a ValueError of one line."""
    array = np.asarray(images)
    if array.ndim == 2 and shape is None:
        raise ValueError(f"images of shape {array.shape} are rows of pixels: give shape=(height, width)")
    if array.ndim == 2 and shape is not None:
        if len(shape) != 2 or array.shape[1] != shape[0] * shape[1]:
            raise ValueError(f"rows of {array.shape[1]} pixels cannot be images of shape {tuple(shape)}")
        array = array.reshape(-1, *shape)
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"images must be (N, H, W) or (N, D), with something in them, not {array.shape}")
    if shape is not None and array.shape[1:] != tuple(shape):
        raise ValueError(f"images of shape {array.shape[1:]} do not have the shape {tuple(shape)} that was given")
    scale = 255.0 if np.issubdtype(array.dtype, np.integer) else 1.0
    array = array.astype(float) / scale
    if not np.isfinite(array).all():
        raise ValueError("images hold values that are not finite")
    return array


def _show(sheet: np.ndarray, ax: Axes | None, left: float = 0.0, bottom: float = 0.0) -> Axes:
    """Shows a canvas without resampling; `left` and `bottom` are inches kept for labels on a new figure."""
    ax = ax or _axes_for(sheet.shape, left, bottom)
    colours = mpl.colormaps["gray"].with_extremes(bad=PAPER)
    ax.imshow(sheet, cmap=colours, vmin=0, vmax=1, interpolation="none", aspect="equal")
    ax.xaxis.set_major_locator(FixedLocator([]))
    ax.yaxis.set_major_locator(FixedLocator([]))
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


def _axes_for(size: tuple[int, ...], left: float, bottom: float) -> Axes:
    """New axes for a canvas of `size` (height, width): as wide as the column if it can be, with the figure's
    resolution chosen such that an image pixel takes a whole number of page pixels.
    """
    dpi, edge = plt.rcParams["figure.dpi"], 0.1
    longest = min(COLUMN_INCHES, max(size) * LARGEST_ZOOM / dpi)
    zoom = np.ceil(longest * dpi / max(size))
    height, width = (pixels * longest / max(size) for pixels in size)
    page = (left + width + edge, bottom + height + edge)
    fixed = PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True)  # "none" would not survive savefig
    figure = plt.figure(figsize=page, dpi=zoom * max(size) / longest, layout=fixed)
    return figure.add_axes((left / page[0], bottom / page[1], width / page[0], height / page[1]))
