"""The user's own images, by path: a folder of image files, sub-folders as classes, or one file that holds them all."""

from __future__ import annotations

import math
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vaelib.data.images import (
    EXPECTED,
    DataError,
    Found,
    ImageData,
    Plan,
    arrays_in,
    describe,
    in_unit_range,
    random_and_time,
    sha256_of,
    tenths,
    within,
)

__all__ = ["load", "pictures_of", "title"]

DEPTHS = (8, 10, 12, 14, 16)  # bits of 16 that cameras fill
COMPOSED = ("MPO", "PSD")  # formats whose further frames are previews and layers, not images

Size = tuple[int, ...] | None  # height and width that each image is to have


def load(path: Path, size: Size = None, colour: str = "auto") -> ImageData:
    """Images from a folder, in natural order of the file names (2.png before 10.png), or from one file.

    Args:
        path: see `EXPECTED`. A file's frames or pages are so many images; sub-folders name their images' class.
        size: resizes each image to cover that height and width, then crops it about its centre.
        colour: "rgb"; "grey" (ITU-R 601 luma); "auto": in colour if any image is. See-through is laid on white.

    Raises:
        DataError: nothing usable is there, an image cannot be read, sizes differ, or an array has the wrong type,
            shape or range; and, before it is read, what would take more than `images.LIMIT` bytes.
    """
    path = path.resolve()
    classes: list[str] = []
    try:
        if path.is_dir():
            files, numbers, classes = _folder(path)
            images, labels = _read_files(path, files, numbers, size, colour)
        elif _is_image(path):
            images, labels = _read_files(path, [path], None, size, colour)
        elif path.is_file():
            images, labels = _read_arrays(path, size, colour)
        else:
            raise DataError(f"{path} is neither a folder nor a regular file: expected {EXPECTED}")
        if len(images) < 3:
            raise DataError(f"{path} holds {len(images)} image(s): train, validation and test parts need at least 3")
    except (OSError, DataError) as error:
        found = error if isinstance(error, DataError) else f"{path} cannot be read: {error.strerror or error}"
        raise DataError(" ".join(str(found).splitlines())) from None  # one line, whatever the file is called
    images, sizes = _bright(images, path), tenths(len(images))
    plans = {"random": Plan(sizes, True)} if classes else random_and_time(sizes)  # classes come one after another
    hashes = {"images": sha256_of(images)} | ({} if labels is None else {"labels": sha256_of(labels)})
    return ImageData(title(path), images, plans, labels=labels, sha256=hashes, classes=tuple(classes))


def title(path: Path) -> str:
    """What a path's images are called: letters, digits and ``_.+-`` of its name, so that any file can be named so."""
    name = path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
    return re.sub(r"[^\w.+-]+", "-", unicodedata.normalize("NFC", name)).strip(".-")[:60] or "images"


def picture(image: Any, size: Size = None, colour: str = "auto") -> NDArray[np.uint8]:
    """A Pillow image of 8 bits a channel as (H, W), or (H, W, 3) if colours are asked for or, in "auto", differ."""
    if "transparency" in image.info or "A" in image.getbands():
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    if colour != "auto":
        image = image.convert("L" if colour == "grey" else "RGB")
    pixels = np.asarray(ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS) if size else image)
    return pixels[..., 0] if colour == "auto" and pixels.ndim == 3 and (pixels == pixels[..., :1]).all() else pixels


def pictures_of(pixels: NDArray[np.uint8], size: Size = None, colour: str = "auto") -> NDArray[np.uint8]:
    """The `picture` of each image in (N, H, W) or (N, H, W, C): where they keep their size, of one that is N*H high."""
    if size:
        return _stack([picture(Image.fromarray(one), size, colour) for one in pixels])
    tall = picture(Image.fromarray(pixels.reshape(-1, *pixels.shape[2:])), None, colour)
    return tall.reshape(len(pixels), -1, *tall.shape[1:])


def _stack(pictures: list[NDArray[Any]]) -> NDArray[np.uint8]:
    """(N, H, W), or (N, H, W, 3) if any of them is in colour."""
    axes = max(pixels.ndim for pixels in pictures)
    return np.stack([p if p.ndim == axes else np.repeat(p[..., None], 3, axis=-1) for p in pictures])


def _bright(images: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """Images whose pixels are all 0 or 1 of 255 become black and white; other dark ones are remarked upon."""
    if (most := int(images.max())) < 32:
        read = f"{most} of 255, so they are {'read as black and white' if most == 1 else 'nearly black'}"
        advice = "spread the pixels over 0 to 255 if that is wrong"
        warnings.warn(f"images in {path}: the brightest pixel of all is {read}: {advice}", stacklevel=4)
    return images * np.uint8(255) if most == 1 else images


def _depth(most: int, path: Path) -> int:
    """How many of 16 bits are in use, if `most` is the brightest pixel of all."""
    depth = next(bits for bits in DEPTHS if most < 1 << bits)
    if depth < 16:
        read = f"read as {depth}-bit ones, {2**depth - 1} being white: spread them over 0 to 65535 if that is wrong"
        warnings.warn(f"{path}: 16-bit pixels that reach no more than {most} are {read}", stacklevel=5)
    return depth


def _eight_bits(values: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    return np.rint(values / ((2**depth - 1) / 255)).astype(np.uint8)


# Image files


def _is_image(file: Path) -> bool:
    return file.is_file() and Image.registered_extensions().get(file.suffix.lower()) in Image.OPEN


def _folder(folder: Path) -> tuple[list[Path], NDArray[Any] | None, list[str]]:
    """Image files, and if they lie in sub-folders the number of each one's folder, and the folders' names."""
    files, others = _contents(folder)
    inside = {entry: _contents(entry) for entry in others if entry.is_dir()} if not files else {}
    classes = {entry: images for entry, (images, _) in inside.items() if images}
    numbers = np.repeat(np.arange(len(classes)), [len(images) for images in classes.values()]) if classes else None
    files += [file for images in classes.values() for file in images]
    others = [e for e in others if e not in classes] + [e for _, rest in inside.values() for e in rest]
    if not files:
        kinds = Counter("folder(s)" if e.is_dir() else e.suffix.lower() or "without a suffix" for e in others)
        holds = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4)) or "nothing"
        advice = "convert images to .png; load a data file (.npy, IDX, ...) by its own path"
        raise DataError(f"{folder} holds no image files, nor do its sub-folders, but {holds}: {advice}")
    if others:
        names = ", ".join(str(entry.relative_to(folder)) for entry in others[:3])
        names += f" and {len(others) - 3} more" if len(others) > 3 else ""
        warnings.warn(f"{folder}: left out {names}, which are not image files", stacklevel=4)
    return files, numbers, [entry.name for entry in classes]


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The image files in a folder and its other entries, hidden ones left out, sorted with numbers by their value."""

    def key(entry: Path) -> Any:
        parts = re.split(r"(\d+)", entry.name)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], entry.name

    entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=key)
    images = {entry for entry in entries if _is_image(entry)}
    return [entry for entry in entries if entry in images], [entry for entry in entries if entry not in images]


def _read_files(path: Path, files: list[Path], numbers: NDArray[Any] | None, size: Size, colour: str) -> Found:
    """Headers first: sizes that differ and sets that are too large are refused before any pixel is decoded."""
    sizes, counts = zip(*(_measure(file) for file in files), strict=True)
    if not size:
        _one_size(path, files, sizes)
    within(sum(counts) * math.prod(size or sizes[0]) * (1 if colour == "grey" else 3), path)
    frames: list[NDArray[Any]] = []
    for file in files:
        frames += (np.asarray(f) if f.mode == "I;16" else picture(f, size, colour) for f in _frames(file))
    if wide := [number for number, frame in enumerate(frames) if frame.dtype == np.uint16]:
        depth = _depth(max(int(frames[number].max()) for number in wide), path)
        for number in wide:
            frames[number] = picture(Image.fromarray(_eight_bits(frames[number], depth)), size, colour)
    owners = [file for file, count in zip(files, counts, strict=True) for _ in range(count)]
    _one_size(path, owners, [frame.shape[:2] for frame in frames])
    return _stack(frames), None if numbers is None else np.repeat(numbers, counts)


def _one_size(path: Path, files: list[Path], sizes: Sequence[tuple[int, ...]]) -> None:
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            found = "{} is {}x{} and {} is {}x{} (height x width)".format(files[0].name, *sizes[0], file.name, *size)
            raise DataError(f"images of mixed sizes in {path}: {found}: resize them all, as size='64x64' does")


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, int]]:
    """A Pillow image, not decoded yet, and how many it is."""
    try:
        with Image.open(file) as image:
            yield image, 1 if image.format in COMPOSED else getattr(image, "n_frames", 1)
    except DataError:
        raise
    except Exception as error:  # Pillow raises whatever its decoders meet in a damaged file
        raise DataError(f"{file} cannot be read as an image: {error}") from None


def _measure(file: Path) -> tuple[tuple[int, int], int]:
    """Height and width of a file's images when upright, and how many they are."""
    with _opened(file) as (image, count):
        at_hand = image.format != "PNG" or "exif" in image.info  # else, Pillow would decode the pixels to look for it
        on_its_side = at_hand and image.getexif().get(0x0112, 1) >= 5
        return image.size if on_its_side else image.size[::-1], count


def _frames(file: Path) -> Iterator[Any]:
    """Each image in a file, upright: with 8 bits a channel, or of mode I;16 with transparent pixels made white."""
    with _opened(file) as (opened, count):
        for number in range(count):
            opened.seek(number)
            image = ImageOps.exif_transpose(opened)
            if image.mode == "F" or (image.mode == "I" and opened.format not in ("PPM", "PNG")):
                raise DataError(f"{file} has 32-bit pixels, whose range nobody knows: save it with 8 or 16 bits")
            if image.mode.startswith("I"):
                grey = np.asarray(image).astype(np.uint16)
                grey = 65535 - grey if getattr(opened, "tag_v2", {}).get(262) == 0 else grey  # TIFF: white is 0
                image = Image.fromarray(np.where(grey == image.info.get("transparency", -1), np.uint16(65535), grey))
            yield image


# Arrays in files


def _read_arrays(path: Path, size: Size, colour: str) -> Found:
    try:
        images, labels = arrays_in(path)
    except DataError:
        raise
    except Exception as error:  # the readers raise whatever they meet in a damaged file
        hint = " (arrays of Python objects are never unpickled)" if re.search("pickle|object", str(error)) else ""
        raise DataError(f"{path} cannot be read: {error or type(error).__name__}{hint}") from None
    images = _channels_last(images, path)
    within(len(images) * math.prod(size or images.shape[1:3]) * (3 if colour == "rgb" else 1), path)
    pixels = _bytes(images, path)
    if labels is not None:
        whole = labels.dtype.kind in "iub" or (labels.dtype.kind == "f" and bool((labels % 1 == 0).all()))
        if not whole or labels.shape not in ((len(pixels),), (len(pixels), 1)):
            raise DataError(f"labels in {path}: got {describe(labels)}, expected integers of shape ({len(pixels)},)")
        labels = labels.reshape(-1).astype(np.int64)
    return pictures_of(pixels, size, colour), labels


def _channels_last(images: NDArray[Any], path: Path) -> NDArray[Any]:
    """(N, H, W), or (N, H, W, C) with 3 or 4 channels from that, (N, C, H, W) or one channel; nothing is guessed."""
    got = f"images in {path}: got {describe(images)}"
    if not images.size:
        raise DataError(f"{got}, which is empty")
    within(images.nbytes, path)
    coloured = [size in (3, 4) for size in images.shape]
    if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
        return images[..., 0] if images.shape[3] == 1 else images[:, 0]
    if images.ndim == 4 and coloured[1] != coloured[3]:
        return images if coloured[3] else np.moveaxis(images, 1, -1)
    if images.ndim == 3 and not coloured[2]:
        return images
    one = "; is it one image? grey ones 3 or 4 pixels wide need an axis more, (N, H, W, 1)" if images.ndim == 3 else ""
    raise DataError(f"{got}, expected shape (N, H, W), or (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels{one}")


def _bytes(images: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """uint8 from booleans, floats in [0, 1] or whole numbers in 0 to 255 (or 65535), or one line that says why not."""
    got, kind = f"images in {path}: got {describe(images)}", images.dtype.kind
    if kind not in "biuf":
        raise DataError(f"{got}, expected uint8 in 0 to 255, or floats in [0, 1]")
    if not np.isfinite(images).all():
        raise DataError(f"{got}, with values that are not finite numbers: clean or drop those images")
    if kind == "b" or (kind == "f" and in_unit_range(images)):
        return np.rint(np.multiply(images, 255, dtype=np.float32)).astype(np.uint8)
    least, most = images.min(), images.max()
    if least < 0 or most >= 1 << 16 or (kind == "f" and (images % 1 != 0).any()):
        expected = "expected floats in [0, 1], or whole numbers in 0 to 255 (or to 65535): rescale them"
        raise DataError(f"{got} in {least!s} to {most!s}, {expected}")
    return images.astype(np.uint8) if most < 256 else _eight_bits(images, _depth(int(most), path))
