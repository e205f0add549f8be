"""Images as every data set hands them over, uint8 arrays with named splits; and files that hold arrays of images.

Such files are NumPy's, IDX files, tables of pixels (.csv, .amat) and MATLAB's .mat.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelib.config import pick

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXPECTED", "DataError", "ImageData", "MissingDataError", "Plan", "Split", "arrays_in", "binarise"]
__all__ += ["parse_idx", "random_and_time", "sha256_of", "within"]

LIMIT = 4 << 30  # bytes that a set may take in memory
EXPECTED = "a folder of images or of such folders, a stack of images (.tif, .gif), .npy, .npz, .mat, .csv, .amat or IDX"
LABELS = ("label", "labels", "class", "target")  # what a column of a table may be called
NUMBERS = r"double|single|logical|u?int\d+"  # types of a .mat
ROUNDING = 1e-6  # how far sums of float32 may go astray

Found = tuple[NDArray[Any], NDArray[Any] | None]  # images and labels


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


# Files of arrays


def arrays_in(path: Path) -> Found:
    """The images that a file holds, of any type and number of axes, and its labels.

    Raises:
        DataError: which images are meant is not certain, or the file promises more than `LIMIT` bytes.
        Exception: whatever the readers meet in a damaged file.
    """
    readers = {".npy": _numpy, ".npz": _numpy, ".csv": _table, ".amat": _table, ".mat": _matrix}
    return readers.get(path.suffix.lower(), _idx)(path)


def within(size: int, name: Any) -> None:
    """Refuses what would take more than `LIMIT` bytes."""
    if size > LIMIT:
        raise DataError(f"{name} would take {size:,} bytes, more than {LIMIT:,}: use fewer images, or smaller ones")


def _numpy(path: Path) -> Found:
    """An array, of which only the header is read yet, or an archive's "images" (or only array) and "labels"."""
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded, None
    with loaded:
        names = [name for name in loaded.files if name != "labels"]
        if "images" not in names and len(names) != 1:
            expected = "one array, or one called 'images', beside 'labels'"
            raise DataError(f"{path} must hold {expected}; it holds: {', '.join(names) or 'none'}")
        within(sum(entry.file_size for entry in loaded.zip.infolist()), path)
        return loaded["images" if "images" in names else names[0]], loaded.get("labels")


def _idx(path: Path) -> Found:
    """Images from an IDX file, packed or not, and labels from the one beside it, if they are named as MNIST's are."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    arrays: list[Any] = []
    for each in (path, beside) if beside != path and beside.is_file() else (path,):
        with open(each, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            arrays.append(parse_idx(gzip.GzipFile(fileobj=file) if packed else file, str(each)))
    return arrays[0], arrays[1] if len(arrays) == 2 else None


def parse_idx(file: Any, name: str) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes: two zero bytes, type 8, rank, then each size as a big-endian int32.

    Raises:
        DataError: the header or the length is not that of such a file, or the header promises more than `LIMIT` bytes.
    """
    head = file.read(4)
    sizes = file.read(4 * head[3]) if head[:3] == b"\x00\x00\x08" and len(head) == 4 else b""
    if not sizes or len(sizes) < 4 * head[3]:
        raise DataError(f"{name} is not an IDX file of unsigned bytes (it begins {head.hex(' ')}): expected {EXPECTED}")
    shape = [int(size) for size in np.frombuffer(sizes, ">u4")]
    within(size := math.prod(shape), name)
    content = file.read(size + 1)
    if len(content) != size:
        holds = "more" if len(content) > size else len(content)
        raise DataError(f"{name} promises {' x '.join(map(str, shape))} = {size} bytes and holds {holds}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _table(path: Path) -> Found:
    """Images from a text of numbers, one a row; a column more than an image has pixels is that of the labels."""
    import pandas as pd

    within(4 * path.stat().st_size, path)  # a digit and a comma become eight bytes
    separator = r"\s+" if path.suffix.lower() == ".amat" else ","
    first = pd.read_csv(path, sep=separator, header=None, nrows=1).iloc[0].dropna()
    numbered = first.tolist() == list(range(len(first)))  # as pandas names columns
    named = numbered or bool(pd.to_numeric(first, errors="coerce").isna().any())
    table = pd.read_csv(path, sep=separator, header=0 if named else None)
    at = _label_column(table, path)
    if at is None:
        return _shaped(table.to_numpy(), path, "row"), None
    images = _shaped(table.drop(columns=table.columns[at]).to_numpy(), path, f"row, labels in column {at + 1}")
    return images, table.iloc[:, at].to_numpy()


def _label_column(table: pd.DataFrame, path: Path) -> int | None:
    """The column that is called so, or that is over: the last of an .amat, an end of a .csv that looks like labels."""
    called = [at for at, name in enumerate(table) if str(name).strip().lower() in LABELS]
    last = table.shape[1] - 1
    if called or _shape(last, path) is None or _shape(last + 1, path):
        return called[0] if called else None
    if (table.iloc[:, 0].to_numpy() == np.arange(len(table))).all():
        raise DataError(f"{path}: its first column counts the rows: leave it out, as pandas does with index=False")
    ends = [last] if path.suffix.lower() == ".amat" else [at for at in (0, last) if _like_labels(table.iloc[:, at])]
    if len(ends) != 1:
        advice = "tell which column has the labels by a header line that calls it 'label'"
        raise DataError(f"{path} has rows of {last + 1} numbers, one more than an image has pixels: {advice}")
    return ends[0]


def _like_labels(column: pd.Series[Any]) -> bool:
    """Whole numbers, of which some differ and some do not: not one corner of all images."""
    return column.dtype.kind in "iuf" and bool((column % 1 == 0).all()) and 1 < column.nunique() < len(column)


def _matrix(path: Path) -> Found:
    """The "images" of a MATLAB file, or its only matrix, and its "labels": each row, or each column, is an image."""
    import scipy.io

    sizes = {name: size for name, size, kind in scipy.io.whosmat(path) if re.fullmatch(NUMBERS, kind)}
    names = [name for name, size in sizes.items() if name == "images" or (len(size) == 2 and min(size) > 1)]
    name = "images" if "images" in names else names[0] if len(names) == 1 else None
    if name is None:
        holds = ", ".join(sizes) or "none"
        raise DataError(f"{path} must hold one matrix of numbers, or one called 'images'; of numbers it holds: {holds}")
    within(8 * math.prod(sizes[name]), path)
    found = scipy.io.loadmat(path, variable_names=[name, "labels"])
    images, labels = found[name], found["labels"].reshape(-1) if "labels" in found else None
    if images.ndim != 2:
        return images, labels
    fitting = [axis for axis, pixels in enumerate(images.shape) if _shape(pixels, path)]
    if len(fitting) == 2:
        advice = f"name the height and width in the file's name, as in {path.stem}-28x20.mat"
        raise DataError(f"{path}: an image may be a row or a column of {images.shape[0]} x {images.shape[1]}: {advice}")
    return _shaped(images.T, path, "column") if fitting == [0] else _shaped(images, path, "row"), labels


def _shape(pixels: int, path: Path) -> tuple[int, int] | None:
    """Height and width of an image of so many pixels: what the file's name says (faces-28x20.csv), else a square."""
    said = [(int(height), int(width)) for height, width in re.findall(r"(\d+)x(\d+)", path.stem)]
    side = math.isqrt(pixels)
    square = [(side, side)] if side**2 == pixels and side > 1 else []
    return next((shape for shape in said or square if math.prod(shape) == pixels), None)


def _shaped(rows: NDArray[Any], path: Path, each: str) -> NDArray[Any]:
    """(N, H, W) from (N, D), with a word on how it was read."""
    count, pixels = rows.shape
    shape = _shape(pixels, path)
    if shape is None:
        advice = f"name the height and width in the file's name, as in {path.stem}-28x20{path.suffix}"
        raise DataError(f"{path}: {pixels} numbers a row are no square image: {advice}, or save an .npy of (N, H, W)")
    height, width = shape
    warnings.warn(f"{path}: read as {count} images of {height}x{width}, each a {each}", stacklevel=7)
    return rows.reshape(count, height, width)
