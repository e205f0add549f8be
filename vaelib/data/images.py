"""Images as every data set hands them over: uint8 arrays with named splits, and pixels in [0, 1] from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelib.config import pick

__all__ = ["DataError", "ImageData", "MissingDataError", "Plan", "Split", "binarise", "random_and_time", "sha256_of"]

ROUNDING = 1e-6  # how far sums of float32 may go astray


class DataError(ValueError):
    """Data that cannot be used: wrong content, shape, type or range."""


class MissingDataError(DataError):
    """A data set's file is neither on this machine nor to be downloaded; says where to get it and where to put it."""


class Split(NamedTuple):
    """Indices of the three parts: int64, sorted, disjoint, together all images. `validation` may be empty."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


class Plan(NamedTuple):
    """How a split is made: sizes of train, validation and test, cut from the file order or from a seeded shuffle."""

    sizes: tuple[int, int, int]
    shuffle: bool


@dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    """A set of images, all of one size, grey or in colour.

    Attributes:
        name: "mnist", "frey", "digits", "toyfaces", or a title made from the user's own path (see `own.title`).
        images: (N, H, W) or, red, green and blue, (N, H, W, 3) uint8; read-only, C-contiguous.
        plans: name of each split -> how it is made, the default first.
        labels: (N,) int64, or None.
        classes: what the labels 0, 1, ... stand for, or ().
        stand_in_for: the real data set that this one replaces where that cannot be had, or None.
        sha256: file name (or "images", "labels" where no file was published) -> SHA-256 of the uncompressed bytes.
        factors: name -> (N,) float64, the truth that the images were drawn from, or None.

    Raises:
        DataError: the arrays do not fit one another.
    """

    name: str
    images: NDArray[np.uint8]
    plans: dict[str, Plan]
    labels: NDArray[np.int64] | None = None
    stand_in_for: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    factors: dict[str, NDArray[np.float64]] | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        images, labels, count = self.images, self.labels, len(self.images)
        if images.dtype != np.uint8 or images.shape[3:] not in ((), (3,)) or images.ndim < 3 or not images.size:
            expected = "uint8 of shape (N, H, W) or (N, H, W, 3)"
            raise DataError(f"images of {self.name}: got {describe(images)}, expected {expected}")
        if labels is not None and np.shape(labels) != (count,):
            got = f"got shape {np.shape(labels)}, expected {(count,)}"
            raise DataError(f"labels of {self.name}: {got}, one for each image")
        for name, plan in self.plans.items():
            if sum(plan.sizes) != count:
                raise DataError(f"split {name!r} of {self.name}: {sum(plan.sizes)} indices for {count} images")
        object.__setattr__(self, "images", np.ascontiguousarray(images).view())
        object.__setattr__(self, "labels", None if labels is None else np.array(labels, np.int64))
        for array in (self.images, self.labels, *(self.factors or {}).values()):
            if array is not None:
                array.setflags(write=False)

    def __repr__(self) -> str:
        size = "{}x{}".format(*self.shape) + (" in colour" if len(self.shape) == 3 else "")
        labels = "with" if self.labels is not None else "no"
        return f"<ImageData {self.name}: {len(self)} images of {size}, {labels} labels>"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image: (H, W) if grey, (H, W, 3) if in colour."""
        return self.images.shape[1:]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, the default first."""
        return tuple(self.plans)

    def split(self, name: str | None = None, seed: int = 0) -> Split:
        """Indices of the named split (the default one for None). `seed` matters to "random" only.

        Raises:
            ConfigError: the data set has no split of that name; names the nearest.
        """
        plan = self.plans[pick(f"split of {self.name}", self.splits[0] if name is None else name, self.splits)]
        order = np.random.default_rng(seed).permutation(len(self)) if plan.shuffle else np.arange(len(self))
        parts = np.split(order.astype(np.int64), np.cumsum(plan.sizes[:2]))
        return Split(*(np.sort(part) for part in parts))

    def matrix(self, indices: ArrayLike | None = None) -> NDArray[np.float32]:
        """The images (or those at `indices`, or of a mask) as rows: (n, D) float32 in [0, 1], pixel / 255.

        D = H*W, or 3*H*W in colour: pixel after pixel, each its red, green and blue.
        """
        chosen = self.images
        if indices is not None:
            chosen = chosen[np.atleast_1d(np.asarray(indices, None if np.size(indices) else np.int64))]
        return np.divide(chosen.reshape(len(chosen), self.images[0].size), np.float32(255), dtype=np.float32)


def random_and_time(sizes: tuple[int, int, int]) -> dict[str, Plan]:
    """The two splits of data in file order: "random", a seeded shuffle, and "time", contiguous blocks."""
    return {"random": Plan(sizes, shuffle=True), "time": Plan(sizes, shuffle=False)}


def tenths(count: int) -> tuple[int, int, int]:
    """80, 10 and 10 % of `count` images, at least one in each part (from three images on)."""
    held_out = max(1, round(count / 10))
    return count - 2 * held_out, held_out, held_out


def binarise(x: ArrayLike, seed: int) -> NDArray[np.float32]:
    """Static binarisation: one Bernoulli draw per value, x -> float32 in {0, 1} of the same shape.

    The value is the probability of 1. Draws follow the pixels in C order from ``numpy.random.default_rng(seed)``.

    Raises:
        DataError: a value lies outside [0, 1], by more than rounding makes, or is not a number.
    """
    x = np.asarray(x)
    if x.size and not in_unit_range(x):
        raise DataError(f"binarise needs values in [0, 1], got {x.min()!s} to {x.max()!s}: divide by 255?")
    draws = np.random.default_rng(seed).random(x.shape, dtype=np.float32)
    np.less(draws, x, out=draws)
    return draws


def in_unit_range(values: NDArray[Any]) -> bool:
    """Whether all values lie in [0, 1]; a millionth beyond counts as rounding of float32. NaN does not."""
    return bool(values.min() >= -ROUNDING and values.max() <= 1 + ROUNDING)


def sha256_of(content: bytes | NDArray[Any]) -> str:
    """SHA-256 in hexadecimal of bytes, or of an array's bytes in C order."""
    return hashlib.sha256(content if isinstance(content, bytes) else np.ascontiguousarray(content).data).hexdigest()


def describe(array: NDArray[Any]) -> str:
    """An array in words, for error messages: ``float64 of shape (3, 8)``."""
    return f"{array.dtype} of shape {array.shape}"
