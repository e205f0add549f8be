"""Is the tongue out? A linear classifier of the film's frames, and how often it errs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelib.config import ConfigError
from vaelib.data import ImageData
from vaelib.data.neighbours import nearest
from vaelib.data.tongue import IN, tongue

__all__ = ["TongueDetector", "tongue_detector", "tongues"]


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
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    x, out = film.matrix(), tongue(film) != IN
    if not out.any():
        raise ConfigError(f"no image of {film.name!r} is known to show a tongue: use 'frey' or 'toyfaces'")
    model = LogisticRegression(C=10, max_iter=2000)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    said = cross_val_predict(model, x, out, cv=folds)
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
