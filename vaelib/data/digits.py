"""scikit-learn's 1,797 handwritten digits of 8x8 pixels: bundled with it, so always there. Stands in for MNIST."""

from __future__ import annotations

import numpy as np

from vaelib.data.images import ImageData, random_and_time, sha256_of, tenths

__all__ = ["load"]


def load() -> ImageData:
    """The digits with their 17 grey levels 0..16 spread over 0..255, and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return ImageData(
        name="digits",
        images=images,
        labels=bunch.target.astype(np.int64),
        plans=random_and_time(tenths(len(images))),
        stand_in_for="mnist",
        sha256={"images": sha256_of(images)},
    )
