"""Do samples reach everything that the data show, as often, and without copying it?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelib.data.neighbours import nearest

__all__ = ["Covered", "Share", "copying", "coverage", "share"]


class Share(NamedTuple):
    """A share of cases, and its 95 % interval."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside the interval."""
        return self.low <= value <= self.high


def share(flags: ArrayLike) -> Share:
    """The share of True among independent cases (N,), with Wilson's interval (Wilson 1927)."""
    from scipy.stats import binomtest

    flags = np.asarray(flags, dtype=bool)
    if not flags.size:
        raise ValueError("a share of no cases has no value: give at least one")
    interval = binomtest(int(flags.sum()), flags.size).proportion_ci(0.95, method="wilson")
    return Share(float(flags.mean()), float(interval.low), float(interval.high))


class Covered(NamedTuple):
    """For each real image, (N,): whether a sample lies nearer than its k-th real neighbour; and how many do, where 1
    stands for as many as there would be if samples and real images had the same distribution.
    """

    covered: NDArray[np.bool_]
    density: NDArray[np.float64]


def coverage(real: ArrayLike, samples: ArrayLike, k: int = 5) -> Covered:
    """Coverage and density (Naeem et al. 2020, section 3) of each real image: (N, D), (M, D) -> Covered of (N,).

    The means of both over all images are the paper's figures. Samples of the data's own distribution, as many as there
    are real images, have a coverage of about 1 - 2^-k and a density of 1.

    Raises:
        ValueError: fewer than k + 1 real images.
    """
    from sklearn.neighbors import NearestNeighbors

    real, samples = np.asarray(real, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if not 1 <= k < len(real):
        raise ValueError(f"k={k}: expected a number from 1 to {len(real) - 1}, one less than there are real images")
    radii = NearestNeighbors(n_neighbors=k).fit(real).kneighbors()[0][:, -1]  # of each image the k-th other one
    inside = np.zeros(len(real))
    for start in range(0, len(samples), 4096):
        block = samples[start : start + 4096]
        squared = np.square(real).sum(1)[:, None] + np.square(block).sum(1) - 2 * real @ block.T
        inside += (squared < np.square(radii)[:, None]).sum(1)
    return Covered(inside > 0, inside * len(real) / (k * len(samples)))


def copying(samples: ArrayLike, train: ArrayLike, held_out: ArrayLike) -> float:
    """The chance that a sample lies nearer to the training images than a held-out image does; ties count half.

    One half: samples are as far from the training images as new images are. Near one: they are copies. It is the
    Mann-Whitney statistic of Meehan et al. 2020 (section 4), as a probability.
    """
    from scipy.stats import mannwhitneyu

    own, new = nearest(samples, train).squared_distance, nearest(held_out, train).squared_distance
    return float(mannwhitneyu(new, own).statistic / (len(own) * len(new)))
