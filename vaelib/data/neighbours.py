"""How near images are to one another: squared distances summed over pixels, with pixels in [0, 1]."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Nearest", "best_match", "nearest", "nearest_in_film"]

BLOCK = 1024  # rows of distances that are in memory at once


class Nearest(NamedTuple):
    """For each query its nearest reference: its row (int64), and the squared distance to it (float64)."""

    row: NDArray[np.int64]
    squared_distance: NDArray[np.float64]


def nearest(queries: ArrayLike, references: ArrayLike) -> Nearest:
    """The nearest row of `references` (M, D) to each row of `queries` (N, D); the first of equals."""
    queries, references = _rows(queries), _rows(references)
    row = np.concatenate([distances.argmin(axis=1) for _, distances in _distances(queries, references)])
    return Nearest(row, np.square(queries - references[row]).sum(axis=1))


def nearest_in_film(frames: ArrayLike, gap: int = 1) -> NDArray[np.float64]:
    """Squared distance of each frame (N, D) to its nearest frame at least `gap` frames away in the film: (N,)."""
    frames = _rows(frames)
    if not 1 <= gap <= len(frames) // 2:
        raise ValueError(f"gap must be from 1 to half of the {len(frames)} frames, not {gap!r}")
    row = []
    for start, distances in _distances(frames, frames):
        apart = np.abs(np.arange(start, start + len(distances))[:, None] - np.arange(len(frames)))
        row.append(np.where(apart >= gap, distances, np.inf).argmin(axis=1))
    return np.square(frames - frames[np.concatenate(row)]).sum(axis=1)


def best_match(images: ArrayLike, templates: ArrayLike, corner: tuple[int, int], reach: tuple[int, int]) -> Any:
    """How well small templates are found in images, near the place where they were cut out.

    Args:
        images: (N, H, W).
        templates: (T, h, w), cut out of such images with their upper left pixel at `corner` = (row, column).
        reach: how many rows and columns a template may be moved, either way; what would leave the image is left out.

    Returns:
        (N, T): the highest correlation of a template with what lies below it, from -1 to 1.
    """
    images, templates = np.asarray(images, dtype=float), np.asarray(templates, dtype=float)
    (_, height, width), (count, h, w) = images.shape, templates.shape
    patterns = _standardised(templates)
    best = np.full((len(images), count), -1.0)
    for row in range(max(0, corner[0] - reach[0]), min(height - h, corner[0] + reach[0]) + 1):
        for column in range(max(0, corner[1] - reach[1]), min(width - w, corner[1] + reach[1]) + 1):
            patch = _standardised(images[:, row : row + h, column : column + w])
            np.maximum(best, patch @ patterns.T, out=best)
    return best


def _standardised(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each (h, w) patch as a row of mean 0 and length 1; a patch of one grey becomes zeros."""
    count, height, width = patches.shape
    rows = patches.reshape(count, height * width)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-9)


def _rows(images: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(images, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"images must be rows of pixels (N, D), with something in them, not {rows.shape}")
    return rows


def _distances(queries: NDArray[np.float64], references: NDArray[np.float64]) -> Any:
    """Blocks of squared distances, each with the row that it begins at; exact but for rounding."""
    lengths = np.square(references).sum(axis=1)
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        yield start, np.square(block).sum(axis=1)[:, None] + lengths - 2 * block @ references.T
