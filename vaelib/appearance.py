"""What can be said of pictures without a model: how much they differ, and how sharp they are.

Pictures are rows of pixels (N, D), as everywhere in `vaelib`. Each figure says most beside that of real pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["edge_energy", "effective_dimensions", "fine_detail", "variety"]


def variety(pictures: ArrayLike) -> float:
    """The mean squared distance between two different pictures, summed over pixels: (N, D) -> twice the total variance.

    Raises:
        ValueError: for fewer than two pictures.
    """
    return float(2 * _several(pictures).var(axis=0, ddof=1).sum())


def effective_dimensions(pictures: ArrayLike) -> float:
    """In how many directions pictures (N, D) differ: (sum l)^2 / sum l^2 over the eigenvalues l of their covariance.

    It is n where n directions share the variance equally, and 1 where one has it all (the "participation ratio").

    Raises:
        ValueError: for fewer than two pictures, or for pictures that are all the same.
    """
    rows = _several(pictures)
    rows = rows - rows.mean(axis=0)
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows  # the same eigenvalues but for zeros
    squares = np.square(gram).sum()
    if not squares:
        raise ValueError("the pictures are all the same: they differ in no direction")
    return float(np.trace(gram) ** 2 / squares)


def edge_energy(pictures: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    """How steep a picture is for its contrast: (N, D) -> (N,).

    The sum of squared differences between neighbours, right and below, over the sum of squared deviations from the
    picture's mean. Blur lowers it, noise raises it, contrast leaves it alone; a picture of one grey has 0.
    """
    images = _images(pictures, shape)
    steps = np.square(np.diff(images, axis=1)).sum((1, 2)) + np.square(np.diff(images, axis=2)).sum((1, 2))
    return _share(steps, np.square(images - images.mean((1, 2), keepdims=True)).sum((1, 2)))


def fine_detail(pictures: ArrayLike, shape: tuple[int, int], above: float = 0.25) -> NDArray[np.float64]:
    """The share of a picture's power at spatial frequencies over `above` cycles per pixel: (N, D) -> (N,).

    The mean grey is left out; the highest frequency along a row or a column is 0.5. A picture of one grey has 0.
    """
    images = _images(pictures, shape)
    power = np.square(np.abs(np.fft.fft2(images - images.mean((1, 2), keepdims=True))))
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    return _share(power[:, frequency > above].sum(1), power.sum((1, 2)))


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-12)


def _images(pictures: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    rows = np.asarray(pictures, dtype=float)
    if rows.ndim != 2 or not rows.size or rows.shape[1] != shape[0] * shape[1]:
        raise ValueError(f"pictures must be rows of {shape[0]} x {shape[1]} pixels, not {rows.shape}")
    return rows.reshape(-1, *shape)


def _several(pictures: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(pictures, dtype=float)
    if rows.ndim != 2 or len(rows) < 2 or not rows.size:
        raise ValueError(f"pictures must be two or more rows of pixels, not {rows.shape}")
    return rows
