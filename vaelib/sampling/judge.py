"""All figures that judge what a model draws, in one record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vaelib.appearance import variety
from vaelib.data import Prepared
from vaelib.data.neighbours import nearest
from vaelib.data.tongue import IN, tongue
from vaelib.sampling.measures import copying, coverage
from vaelib.sampling.tongue import tongues

__all__ = ["Judgement", "judge"]


class Judgement(NamedTuple):
    """What pictures are worth beside the frames of a film; shares and chances go from 0 to 1.

    `tongue` is the share of pictures that show it (see `tongues`). "on_tongue" and "on_test" are means over the frames
    that do and over test frames. `variety` is the mean squared distance between two pictures over that between two
    frames. `distance` is the median squared distance of a picture to the nearest frame that the model or its prior has
    seen, in training or validation, `distance_to_test` that to the nearest test frame; `copying`, as explained there,
    compares with the frames that were seen.
    """

    tongue: float
    coverage: float
    coverage_on_tongue: float
    coverage_on_test: float
    density: float
    density_on_tongue: float
    variety: float
    distance: float
    distance_to_test: float
    copying: float


def judge(pictures: ArrayLike, prepared: Prepared) -> Judgement:
    """Judges pictures (M, D): tongues are counted in all, all else takes the first, as many as the film has frames.

    Raises:
        ConfigError: nobody has said which images of this set show a tongue.
    """
    film, test = prepared.data, prepared.split.test
    seen = np.concatenate([prepared.train, prepared.validation])
    pictures, frames, out = np.asarray(pictures), film.matrix(), tongue(film) != IN
    some = pictures[: len(film)]
    covered, density = coverage(frames, some)
    return Judgement(
        tongue=float(tongues(pictures, film).mean()),
        coverage=float(covered.mean()),
        coverage_on_tongue=float(covered[out].mean()),
        coverage_on_test=float(covered[test].mean()),
        density=float(density.mean()),
        density_on_tongue=float(density[out].mean()),
        variety=variety(some) / variety(frames),
        distance=float(np.median(nearest(some, seen).squared_distance)),
        distance_to_test=float(np.median(nearest(some, frames[test]).squared_distance)),
        copying=copying(some, seen, frames[test]),
    )
