"""Which frames of a film show the tongue: the rare mode that the report could not make its models draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelib.data import frey
from vaelib.data.images import ImageData

__all__ = ["IN", "OUT", "TRANSITION", "runs", "tongue"]

IN, TRANSITION, OUT = 0, 1, 2


def tongue(data: ImageData) -> NDArray[np.int8]:
    """For each image IN, TRANSITION or OUT, (N,): labels by eye for "frey" (see `frey.TONGUE_OUT`), the truth for
    "toyfaces". Images of which nobody knows count as IN.
    """
    labels = np.full(len(data), IN, dtype=np.int8)
    if data.sha256 == frey.SOURCE.sha256:
        for label, ranges in ((TRANSITION, frey.TONGUE_TRANSITION), (OUT, frey.TONGUE_OUT)):
            for first, last in ranges:
                labels[first : last + 1] = label
    elif data.factors is not None and "tongue" in data.factors:
        labels[data.factors["tongue"] > 0] = TRANSITION
        labels[data.factors["tongue"] >= 1] = OUT
    return labels


def runs(flags: ArrayLike) -> list[tuple[int, int]]:
    """First and last index, both included, of each run of neighbouring True values: ``[0, 1, 1]`` -> ``[(1, 2)]``."""
    padded = np.concatenate([[False], np.asarray(flags, dtype=bool), [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(first), int(end) - 1) for first, end in zip(changes[0::2], changes[1::2], strict=True)]
