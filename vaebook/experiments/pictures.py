"""What can be said of pictures without a model: how varied and how sharp they are, how near to others, what they miss.

Pictures are rows of pixels in [0, 1], (N, D), as everywhere in `vaelib`; distances are squared and summed over pixels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.stats import binomtest, mannwhitneyu
from sklearn.metrics import pairwise_distances_argmin, pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

__all__ = [
    *("Covered", "Nearest", "Proportion", "best_match", "copying", "coverage", "edge_energy"),
    *("gif", "largest_step", "nearest", "nearest_in_film", "proportion", "sharpness", "variety", "walk"),
]

Rows = NDArray[np.float64]
Shape = tuple[int, ...]  # of one picture: (H, W), or (H, W, 3) in colour

GREYS = 32  # of a moving picture: so few that the file stays small, so many that the eye sees no steps


def variety(pictures: ArrayLike) -> float:
    """The mean squared distance between two different pictures: (N, D) -> twice the total variance.

    Raises:
        ValueError: for fewer than two pictures.
    """
    return float(2 * _rows(pictures, least=2).var(axis=0, ddof=1).sum())


def edge_energy(pictures: ArrayLike, shape: Shape) -> Rows:
    """How steep a picture is for its contrast: (N, D) -> (N,).

    The sum of squared differences between neighbours, right and below, over the sum of squared deviations from the
    picture's mean. Blur lowers it, noise raises it, contrast leaves it alone; a picture of one grey has 0.
    """
    images = _images(pictures, shape)
    every = tuple(range(1, images.ndim))
    steps = np.square(np.diff(images, axis=1)).sum(every) + np.square(np.diff(images, axis=2)).sum(every)
    return _ratio(steps, np.square(images - images.mean((1, 2), keepdims=True)).sum(every))


def sharpness(made: ArrayLike, real: ArrayLike, shape: Shape) -> float:
    """The mean `edge_energy` of pictures (N, D), as a share of that of real ones."""
    return float(edge_energy(made, shape).mean() / edge_energy(real, shape).mean())


class Nearest(NamedTuple):
    """For each query its nearest reference: its row (int64), and the squared distance to it (float64)."""

    row: NDArray[np.int64]
    squared_distance: Rows


def nearest(queries: ArrayLike, references: ArrayLike) -> Nearest:
    """The nearest row of `references` (M, D) to each row of `queries` (N, D)."""
    queries, references = _rows(queries), _rows(references)
    row = pairwise_distances_argmin(queries, references)
    return Nearest(row, np.square(queries - references[row]).sum(axis=1))


def nearest_in_film(frames: ArrayLike, gap: int = 1) -> Rows:
    """Squared distance of each frame (N, D) to its nearest frame at least `gap` frames away in the film: (N,)."""
    frames = _rows(frames)
    if not 1 <= gap <= len(frames) // 2:
        raise ValueError(f"gap must be from 1 to half of the {len(frames)} frames, not {gap!r}")

    def nearest_apart(distances: Rows, start: int) -> NDArray[np.int64]:
        apart = np.abs(np.arange(start, start + len(distances))[:, None] - np.arange(len(frames)))
        return np.where(apart >= gap, distances, np.inf).argmin(axis=1)

    row = np.concatenate(list(pairwise_distances_chunked(frames, metric="sqeuclidean", reduce_func=nearest_apart)))
    return np.square(frames - frames[row]).sum(axis=1)


def best_match(images: ArrayLike, templates: ArrayLike, corner: tuple[int, int], reach: tuple[int, int]) -> Rows:
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


class Proportion(NamedTuple):
    """A share of cases, and its 95 % interval."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside the interval."""
        return self.low <= value <= self.high


def proportion(flags: ArrayLike) -> Proportion:
    """The share of True among independent cases (N,), with Wilson's interval (Wilson 1927)."""
    flags = np.asarray(flags, dtype=bool)
    if not flags.size:
        raise ValueError("a share of no cases has no value: give at least one")
    interval = binomtest(int(flags.sum()), flags.size).proportion_ci(0.95, method="wilson")
    return Proportion(float(flags.mean()), float(interval.low), float(interval.high))


class Covered(NamedTuple):
    """For each real image, (N,): whether a sample lies nearer than its k-th real neighbour; and how many do, where 1
    stands for as many as there would be if samples and real images had the same distribution.
    """

    covered: NDArray[np.bool_]
    density: Rows


def coverage(real: ArrayLike, samples: ArrayLike, k: int = 5) -> Covered:
    """Coverage and density (Naeem et al. 2020, section 3) of each real image: (N, D), (M, D) -> Covered of (N,).

    The means of both over all images are the paper's figures. Samples of the data's own distribution, as many as there
    are real images, have a coverage of about 1 - 2^-k and a density of 1; the real images themselves have just that.

    Raises:
        ValueError: fewer than k + 1 real images.
    """
    real, samples = np.asarray(real, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if not 1 <= k < len(real):
        raise ValueError(f"k={k}: expected a number from 1 to {len(real) - 1}, one less than there are real images")
    kth = NearestNeighbors(n_neighbors=k).fit(real).kneighbors(return_distance=False)[:, -1]  # of each the k-th other
    radii = np.square(real - real[kth]).sum(1)[:, None]
    inside, lengths = np.zeros(len(real)), np.square(real).sum(1)[:, None]
    for start in range(0, len(samples), 4096):
        block = samples[start : start + 4096]
        squared = lengths + np.square(block).sum(1) - 2 * real @ block.T
        image, sample = np.nonzero(np.abs(squared - radii) < 1e-9 * (1 + lengths))  # rounding must not part equals
        squared[image, sample] = np.square(real[image] - block[sample]).sum(1)
        inside += (squared < radii).sum(1)
    return Covered(inside > 0, inside * len(real) / (k * len(samples)))


def copying(samples: ArrayLike, train: ArrayLike, held_out: ArrayLike) -> float:
    """The chance that a sample lies nearer to the training images than a held-out image does; ties count half.

    One half: samples are as far from the training images as new images are. Near one: they are copies. It is the
    Mann-Whitney statistic of Meehan et al. 2020 (section 4), as a probability.
    """
    own, new = nearest(samples, train).squared_distance, nearest(held_out, train).squared_distance
    return float(mannwhitneyu(new, own).statistic / (len(own) * len(new)))


def walk(stations: Tensor, steps: int, *, closed: bool = False, pause: int = 0) -> Tensor:
    """Straight lines from each code to the next, in `steps` steps each: (K, ..., Z) -> (T, ..., Z).

    Steps are small near the stations and largest half-way; each station is held for `pause` more. The walk ends at the
    last station, or when `closed` one step before the first.

    Raises:
        ValueError: fewer than two stations, or no steps.
    """
    if len(stations) < 2 or steps < 1:
        raise ValueError(f"a walk needs two stations and a step or more, not {len(stations)} and {steps}")
    ends = torch.cat([stations, stations[:1]]) if closed else stations
    way = torch.cat([torch.zeros(pause), 0.5 - 0.5 * torch.cos(torch.pi * torch.arange(steps) / steps)])
    codes = [torch.lerp(start, end, t.item()) for start, end in pairwise(ends) for t in way]
    return torch.stack(codes if closed else [*codes, ends[-1]])


def largest_step(pictures: ArrayLike) -> float:
    """How smoothly pictures change along walks, (W, T + 1, D): the largest of T steps over the mean step, 1 or more.

    The mean over walks: 1 if all steps of a walk are as large, T if the picture jumps once. A step is the distance
    between neighbouring pictures. Walks on which nothing changes are left out.

    Raises:
        ValueError: nothing changes on any walk.
    """
    steps = np.linalg.norm(np.diff(np.asarray(pictures, dtype=np.float64), axis=1), axis=-1)
    steps = steps[steps.max(axis=1) > 0]
    if not len(steps):
        raise ValueError("the pictures of each walk are all the same: they take no step")
    return float((steps.max(axis=1) / steps.mean(axis=1)).mean())


def gif(sheets: Iterable[ArrayLike], milliseconds: int = 100, paper: float = 1.0) -> bytes:
    """A GIF that repeats for ever, one picture for each sheet (H, W) of greys in [0, 1]; NaN becomes `paper`."""
    palette = np.repeat(np.rint(np.linspace(0, 255, GREYS)).astype(np.uint8), 3).tobytes()
    pictures = []
    for sheet in sheets:
        greys = np.nan_to_num(np.asarray(sheet), nan=paper).clip(0, 1)
        pictures.append(Image.fromarray(np.rint(greys * (GREYS - 1)).astype(np.uint8)))
        pictures[-1].putpalette(palette)
    file = io.BytesIO()
    first, *others = pictures
    first.save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
    return file.getvalue()


def _ratio(part: Rows, whole: Rows) -> Rows:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-12)


def _standardised(patches: Rows) -> Rows:
    """Each (h, w) patch as a row of mean 0 and length 1; a patch of one grey becomes zeros."""
    count, height, width = patches.shape
    rows = patches.reshape(count, height * width)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-9)


def _images(pictures: ArrayLike, shape: Shape) -> Rows:
    rows = _rows(pictures)
    if rows.shape[1] != math.prod(shape):
        raise ValueError(f"pictures must be rows of {' x '.join(map(str, shape))} pixels, not {rows.shape}")
    return rows.reshape(-1, *shape)


def _rows(pictures: ArrayLike, least: int = 1) -> Rows:
    rows = np.asarray(pictures, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < least or not rows.size:
        raise ValueError(f"pictures must be {least} or more rows of pixels (N, D), not {rows.shape}")
    return rows
