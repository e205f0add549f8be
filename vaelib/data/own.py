"""The user's own images: a folder of image files, or an .npy or .npz array. Any size, made grey."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaelib.data.errors import DataError
from vaelib.data.images import ImageData, describe, random_and_time, sha256_of, tenths

__all__ = ["SUFFIXES", "load", "to_grey"]

SUFFIXES = (".npy", ".npz")


def load(path: Path) -> ImageData:
    """Images from a folder (in natural order of the file names: 2.png before 10.png) or from an array file.

    Raises:
        DataError: nothing usable is there, an image cannot be read, sizes differ, or an array has the wrong type,
            shape or range.
    """
    path = path.resolve()
    if not path.is_dir() and path.suffix not in SUFFIXES:
        raise DataError(f"{path} is neither a folder of images nor an .npy or .npz file")
    images, labels = (read_folder(path), None) if path.is_dir() else read_arrays(path)
    if len(images) < 3:
        raise DataError(f"{path} holds {len(images)} image(s): a train, a validation and a test part need at least 3")
    hashes = {"images": sha256_of(images)} | ({} if labels is None else {"labels": sha256_of(labels)})
    plans = random_and_time(tenths(len(images)))
    return ImageData(path.stem, images, plans, labels=labels, sha256=hashes)


def read_folder(folder: Path) -> NDArray[np.uint8]:
    """(N, H, W) from the image files that lie directly in a folder; hidden files are skipped, others are reported."""
    from PIL import Image

    entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=_natural)
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in suffixes]
    if not files:
        raise DataError(f"{folder} holds no image files directly in it: put them there (.png, .jpg, .tif, ...)")
    if skipped := [entry.name for entry in entries if entry not in set(files)]:
        names = ", ".join(skipped[:3]) + (f" and {len(skipped) - 3} more" if len(skipped) > 3 else "")
        warnings.warn(f"{folder}: left out {names}, which are not image files", stacklevel=4)
    images = [to_grey(_read_image(file)) for file in files]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"images of mixed sizes in {folder}: {files[0].name} is {_size(images[0])} and {file.name} is "
                f"{_size(image)} (height x width): crop or resize them all to one size"
            )
    return np.stack(images)


def read_arrays(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Images and labels (or None) from an .npy file, or from an .npz file's "images" (or only array) and "labels"."""
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = dict(loaded.items()) if isinstance(loaded, np.lib.npyio.NpzFile) else {"images": loaded}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        hint = " (arrays of Python objects are never unpickled)" if "pickle" in str(error) else ""
        raise DataError(f"{path} cannot be read as NumPy arrays: {error}{hint}") from None
    labels = arrays.pop("labels", None)
    if "images" not in arrays and len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise DataError(f"{path} must hold one array, or one called 'images', beside 'labels'; it holds: {names}")
    images = _checked_images(arrays["images"] if "images" in arrays else arrays.popitem()[1], path)
    return to_grey(images), None if labels is None else _checked_labels(labels, len(images), path)


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(..., H, W, C) -> (..., H, W): grey as it is (C = 1), or the ITU-R 601 luma of RGB (3) or RGBA on white (4)."""
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    grey = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16  # the weights 0.299, 0.587, 0.114 in 1/65536
    if pixels.shape[-1] == 4:
        alpha = pixels[..., 3].astype(np.uint32)
        grey = (grey * alpha + 255 * (255 - alpha) + 127) // 255
    return grey.astype(np.uint8)


def _read_image(file: Path) -> NDArray[np.uint8]:
    """(H, W, C) with 1, 3 or 4 channels, turned upright; the first frame of an animation."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode in ("I", "F"):
                raise DataError(f"{file} has 32-bit pixels, whose range nobody knows: save it with 8 or 16 bits")
            if image.mode.startswith("I;16"):
                return np.rint(np.asarray(image)[..., None] / 257).astype(np.uint8)
            see_through = "transparency" in image.info or "A" in image.getbands()
            mode = "RGBA" if see_through else "L" if image.mode in ("1", "L") else "RGB"
            pixels = np.asarray(image.convert(mode))
    except DataError:
        raise
    except Exception as error:  # Pillow raises whatever its decoders meet in a damaged file
        raise DataError(f"{file} cannot be read as an image: {error}") from None
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _checked_images(images: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """(N, H, W, C) uint8 from what an array file holds, or one line that says why not."""
    got = f"images in {path}: got {describe(images)}"
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3, 4)):
        raise DataError(f"{got}, expected shape (N, H, W), or (N, H, W, C) with 1, 3 or 4 channels")
    if not images.size:
        raise DataError(f"{got}, which is empty")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise DataError(f"{got}, with values that are not finite numbers: clean or drop those images")
        if images.min() < 0 or images.max() > 1:
            raise DataError(
                f"{got} in {images.min():.4g} to {images.max():.4g}, expected floats in [0, 1]: rescale them, "
                "or store 0 to 255 as uint8"
            )
        images = np.rint(np.multiply(images, 255, dtype=np.float32)).astype(np.uint8)
    if images.dtype != np.uint8:
        raise DataError(f"{got}, expected uint8 in 0 to 255, or floats in [0, 1]")
    return images if images.ndim == 4 else images[..., None]


def _checked_labels(labels: NDArray[Any], count: int, path: Path) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise DataError(f"labels in {path}: got {describe(labels)}, expected integers of shape ({count},)")
    return labels.astype(np.int64)


def _natural(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts numbers in names by their value."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], file.name


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
