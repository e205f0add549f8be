"""The rare mode of Frey Faces: which frames show the tongue, and whether a picture does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from vaebook.experiments.pictures import nearest
from vaelib.config import ConfigError
from vaelib.data import FREY, ImageData

__all__ = [
    *("DOUBTFUL", "FIRST_READING", "IN", "OUT", "SECOND_READING", "TRANSITION", "Agreement", "TongueDetector"),
    *("agreement", "stretches", "tongue", "tongue_detector", "tongues"),
]

IN, TRANSITION, OUT = 0, 1, 2
FRAMES = 1965

Reading = dict[int, tuple[tuple[int, int], ...]]

FIRST_READING: Reading = {
    OUT: ((411, 436), (1089, 1101), (1766, 1786)),
    TRANSITION: ((409, 410), (437, 440), (1087, 1088), (1102, 1103), (1764, 1765), (1787, 1789)),
}
"""The frames in which he puts out his tongue: first and last, counted from 0, both included.

Labelled by eye, on every frame of the film, by one rule. Out: the tongue hangs over the middle of the lower lip, a
bright round shape with its shadow below. In transition: next to such frames, the tongue fills the open mouth and the
lower lip's edge still runs below it. Frames before in which the mouth only opens, dark inside, are neither.
"""

SECOND_READING: Reading = {
    OUT: ((411, 436), (1089, 1101), (1765, 1785)),
    TRANSITION: ((409, 410), (437, 440), (1087, 1088), (1102, 1103), (1764, 1764), (1786, 1789)),
}
"""By an independent second look, which could not be sure of the frames in `DOUBTFUL`. The book uses the first."""

DOUBTFUL = (409, 440, 1087, 1103, 1764, 1789)


class Agreement(NamedTuple):
    """How far two readings of the film agree: in which frames they differ, which were doubtful, and Cohen's kappa."""

    differing: tuple[int, ...]
    doubtful: tuple[int, ...]
    kappa: float


def agreement() -> Agreement:
    """That of the two readings of Frey Faces, over all frames; kappa is 1 where they agree in all (Cohen 1960)."""
    first, second = _labels(FIRST_READING), _labels(SECOND_READING)
    differing = tuple(np.flatnonzero(first != second).tolist())
    return Agreement(differing, DOUBTFUL, float(cohen_kappa_score(first, second)))


def tongue(data: ImageData) -> NDArray[np.int8]:
    """For each image IN, TRANSITION or OUT, (N,): `FIRST_READING` for "frey", the truth for "toyfaces".

    Images of which nobody knows count as IN.
    """
    if data.sha256 == FREY.sha256:
        return _labels(FIRST_READING)
    labels = np.full(len(data), IN, dtype=np.int8)
    if data.factors is not None and "tongue" in data.factors:
        labels[data.factors["tongue"] > 0] = TRANSITION
        labels[data.factors["tongue"] >= 1] = OUT
    return labels


def stretches(flags: ArrayLike) -> list[tuple[int, int]]:
    """First and last index, both included, of each stretch of True values: ``[0, 1, 1]`` -> ``[(1, 2)]``."""
    padded = np.concatenate([[False], np.asarray(flags, dtype=bool), [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(first), int(end) - 1) for first, end in zip(changes[0::2], changes[1::2], strict=True)]


@dataclass(frozen=True, eq=False)
class TongueDetector:
    """Says that the tongue is out where ``x @ weights + bias > 0``: weights (D,), for pixels in [0, 1].

    `missed` of the `shown` frames that show the tongue, and `false_alarms` of the other `frames` - `shown`, were
    judged wrongly by classifiers that had not seen them, in five-fold cross-validation with shuffled frames.
    """

    weights: NDArray[np.float32]
    bias: float
    frames: int
    shown: int
    missed: int
    false_alarms: int

    def __call__(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Whether the tongue is out: (N, D) -> (N,)."""
        return np.asarray(x) @ self.weights + self.bias > 0


def tongue_detector(film: ImageData) -> TongueDetector:
    """A logistic regression on the pixels, fitted to every frame; frames in transition count as out.

    Raises:
        ConfigError: nobody has said which images of this set show a tongue.
    """
    out = tongue(film) != IN
    if not out.any():
        raise ConfigError(f"no image of {film.name!r} is known to show a tongue: use 'frey' or 'toyfaces'")
    return _fitted(film.matrix().tobytes(), out.tobytes())


@lru_cache(maxsize=2)
def _fitted(pixels: bytes, labels: bytes) -> TongueDetector:
    """Once for each film: thousands of samples of many models are shown to it."""
    out = np.frombuffer(labels, np.bool_)
    x = np.frombuffer(pixels, np.float32).reshape(len(out), -1)
    model = LogisticRegression(C=10, max_iter=2000)
    said = cross_val_predict(model, x, out, cv=StratifiedKFold(5, shuffle=True, random_state=0))
    model.fit(x, out)
    return TongueDetector(
        weights=model.coef_[0].astype(np.float32),
        bias=float(model.intercept_[0]),
        frames=len(x),
        shown=int(out.sum()),
        missed=int((out & ~said).sum()),
        false_alarms=int((said & ~out).sum()),
    )


def tongues(pictures: ArrayLike, film: ImageData) -> NDArray[np.bool_]:
    """Which pictures (M, D) show the tongue, by two witnesses: the detector, and the label of the nearest frame. (M,).

    The detector alone would see tongues in pictures that are no faces at all.
    """
    pictures = np.asarray(pictures)
    out = tongue_detector(film)(pictures)
    if out.any():
        out[out] = (tongue(film) != IN)[nearest(pictures[out], film.matrix()).row]
    return out


def _labels(reading: Reading) -> NDArray[np.int8]:
    labels = np.full(FRAMES, IN, dtype=np.int8)
    for label, ranges in reading.items():
        for first, last in ranges:
            labels[first : last + 1] = label
    return labels
