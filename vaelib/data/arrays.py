"""Files that hold a whole set of images: NumPy's, IDX files, tables of pixels (.csv, .amat), MATLAB's .mat."""

from __future__ import annotations

import gzip
import math
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaelib.data.images import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXPECTED", "LIMIT", "Found", "arrays_in", "parse_idx", "within"]

LIMIT = 4 << 30  # bytes that a set may take in memory
EXPECTED = "a folder of images or of such folders, a stack of images (.tif, .gif), .npy, .npz, .mat, .csv, .amat or IDX"
LABELS = ("label", "labels", "class", "target")  # what a column of a table may be called
NUMBERS = r"double|single|logical|u?int\d+"  # types of a .mat

Found = tuple[NDArray[Any], NDArray[Any] | None]  # images and labels


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


# Tables of pixels


def _table(path: Path) -> Found:
    """Images from a text of numbers, one a row; a column more than an image has pixels is that of the labels."""
    import pandas as pd

    within(4 * path.stat().st_size, path)  # a digit and a comma become eight bytes
    separator = r"\s+" if path.suffix.lower() == ".amat" else ","
    with open(path) as file:
        first = re.split(separator, file.readline().strip())
    words = [word for word in first if word]
    numbered = words == [str(number) for number in range(len(words))]  # as pandas names columns
    named = numbered or not all(_is_number(word) for word in first)
    table = pd.read_csv(path, sep=separator, header=0 if named else None)
    at = _label_column(table, path)
    if at is None:
        return _shaped(table.to_numpy(), path, "row"), None
    images = _shaped(table.drop(columns=table.columns[at]).to_numpy(), path, f"row, labels in column {at + 1}")
    return images, table.iloc[:, at].to_numpy()


def _is_number(word: str) -> bool:
    try:
        float(word.strip('" ') or "nan")
    except ValueError:
        return False
    return True


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
