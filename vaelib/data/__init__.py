"""Named data sets as verified arrays: MNIST, Frey Faces, two bundled stand-ins, and the user's own images.

>>> from vaelib import data
>>> digits = data.load("digits")
>>> digits
<ImageData digits: 1797 images of 8x8, with labels>
>>> digits.matrix(digits.split("random", seed=0).test).shape
(180, 64)

And the data of a run, a `DataConfig`: which set, cut how, with grey or binary pixels.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import filelock
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from vaelib.config import Config, ConfigError, unknown
from vaelib.data import own, toyfaces
from vaelib.data.images import (
    DataError,
    ImageData,
    MissingDataError,
    Plan,
    Split,
    binarise,
    parse_idx,
    random_and_time,
    sha256_of,
    tenths,
)

__all__ = ["CACHE_DIR_VARIABLE", "DATA_DIR_VARIABLE", "NAMES", "DataConfig", "DataError", "ImageData"]
__all__ += ["MissingDataError", "Plan", "Prepared", "Source", "Split", "binarise", "cache_dir", "held", "identity"]
__all__ += ["load", "prepare", "read"]

DATA_DIR_VARIABLE = "VAELIB_DATA"  # the user's own folder: read, never written
CACHE_DIR_VARIABLE = "VAELIB_CACHE"  # moves the cache away from the system's place for caches
ROUNDS = 3  # how often every mirror is asked
PAUSE = 1.0  # seconds before the second round; doubles with each
TIMEOUT = (5.0, 20.0)  # seconds to wait for a connection, and for the next bytes
LARGEST = 256 << 20  # bytes that a file is uncompressed to; the largest published one has 47 million


@dataclass(frozen=True)
class Source:
    """A published data set: its files, and where the public can get them."""

    dataset: str  # its name, and that of its sub-folder
    sha256: dict[str, str]  # file name -> SHA-256 of its uncompressed content
    mirrors: tuple[str, ...]  # addresses with {name} in place of the file name, best first
    instead: str  # the bundled data set that does in its place

    def urls(self, name: str) -> list[str]:
        return [mirror.format(name=name) for mirror in self.mirrors]


MNIST = Source(
    dataset="mnist",
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/{name}.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz",
    ),
    instead="digits",
)
FREY = Source(
    dataset="frey",
    sha256={"frey_rawface.mat": "265a83a23adb081755cd3de375509828e690324d1d60f076b8ecebc840d59c64"},
    mirrors=(
        "https://cs.nyu.edu/~roweis/data/{name}",
        "https://raw.githubusercontent.com/vilhess/projet_meth_ia/4935816fb0a32c05a7a4d54d5945a83f1f1bd5c0/dataset/{name}",
        "https://cs.nyu.edu/home/people/in_memoriam/roweis/data/{name}",
    ),
    instead="toyfaces",
)


def load_mnist() -> ImageData:
    """MNIST: 70,000 handwritten digits of 28x28 grey pixels (LeCun, Cortes and Burges, 1998).

    60,000 training images, of which the last 10,000 may serve as validation, then the 10,000 test images.
    """
    arrays = [parse_idx(io.BytesIO(read(MNIST, name)), name) for name in MNIST.sha256]
    plans = {
        "50000/10000/10000": Plan((50_000, 10_000, 10_000), shuffle=False),
        "60000/10000": Plan((60_000, 0, 10_000), shuffle=False),
    }
    images, labels = np.concatenate(arrays[0::2]), np.concatenate(arrays[1::2]).astype(np.int64)
    return ImageData("mnist", images, plans, labels=labels, sha256=dict(MNIST.sha256))


def load_frey() -> ImageData:
    """Frey Faces: 1,965 frames, in order, of a film of Brendan Frey's face (Roweis, Saul and Hinton, 2002); 28x20 grey.

    Neighbours are near-copies: "random" leaks them into the test part, "time" does not.
    """
    import scipy.io

    (name,) = FREY.sha256
    columns = scipy.io.loadmat(io.BytesIO(read(FREY, name)))["ff"]  # (560, N): a frame in each, row after row
    images = np.ascontiguousarray(columns.T).reshape(-1, toyfaces.HEIGHT, toyfaces.WIDTH)
    return ImageData("frey", images, random_and_time(toyfaces.SIZES), sha256=dict(FREY.sha256))


def load_digits() -> ImageData:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels: their 17 grey levels 0..16 spread over 0..255."""
    import sklearn.datasets

    bunch = sklearn.datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    plans, hashes = random_and_time(tenths(len(images))), {"images": sha256_of(images)}
    return ImageData("digits", images, plans, labels=bunch.target, stand_in_for="mnist", sha256=hashes)


LOADERS: dict[str, Callable[[], ImageData]]
LOADERS = {"mnist": load_mnist, "frey": load_frey, "digits": load_digits, "toyfaces": toyfaces.load}
NAMES = tuple(LOADERS)
PUBLISHED = {source.dataset: source for source in (MNIST, FREY)}


class DataConfig(Config):
    """Which data a run learns from.

    Attributes:
        name: a data set's name, or a path to the user's own images (see `load`).
        split: a name out of the data set's `splits`; by default its first.
        split_seed: the seed of the "random" split and of static binarisation.
        pixels: "grey", as they are; "static", binarised once, here; "dynamic", anew in each batch, by the training.
        size: "64x64", height x width: each image is resized to cover that, and cropped about its centre.
        colour: "auto": images that are in colour stay so; "grey" and "rgb" convert all.
    """

    name: str = Field(default="mnist", min_length=1)
    split: str | None = None
    split_seed: int = Field(default=0, ge=0)
    pixels: Literal["grey", "static", "dynamic"] = "grey"
    size: str | None = None
    colour: Literal["auto", "grey", "rgb"] = "auto"

    @field_validator("size", mode="before")
    @classmethod
    def _height_x_width(cls, size: Any) -> Any:
        if size is not None and not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}", str(size)):
            raise ValueError(f"size={size!r} of DataConfig cannot be used: expected height x width, such as '64x64'")
        return size


def load(name: str | os.PathLike[str], size: str | None = None, colour: str = "auto") -> ImageData:
    """A data set: "mnist", "frey", "digits", "toyfaces", or the path to the user's own images (see `own.EXPECTED`).

    A plain name is that of the set; ``./mnist`` is a folder. Named sets are kept in memory, so asking again costs
    nothing. For `size` and `colour` see `DataConfig`.

    Raises:
        ConfigError: no data set has that name and nothing lies at that path; or a setting that cannot be used.
        DataError: what was found cannot be used. MissingDataError: it is not here and cannot be downloaded.
    """
    name = os.path.abspath(name) if isinstance(name, os.PathLike) else name
    settings: dict[str, Any] = {"name": name, "size": size, "colour": colour}
    DataConfig(**settings)  # refuses what cannot be used
    shape = tuple(int(side) for side in size.split("x")) if size else None
    here = os.path.exists(path := Path(os.path.expanduser(name)))
    if name in LOADERS:
        if here:
            warnings.warn(f"{name!r} is the data set of that name; for what lies here, write './{name}'", stacklevel=2)
        return _named(name, shape, "rgb" if colour == "rgb" else "auto")  # "grey" is what they are
    if here:
        data = own.load(path, shape, colour)
        return replace(data, name=f"own-{data.name}") if data.name in LOADERS else data
    if path.suffix or "/" in name or os.sep in name:
        raise DataError(f"there is no file or folder {name!r}: expected {own.EXPECTED}")
    raise ConfigError(f"{unknown('data set', name, NAMES)}, or the path to {own.EXPECTED}")


@cache
def _named(name: str, size: own.Size, colour: str) -> ImageData:
    """A size and "rgb" change a named set, and with it the hash of what no file holds."""
    if not size and colour == "auto":
        return LOADERS[name]()
    data = _named(name, None, "auto")
    images = own.pictures_of(data.images, size, colour)
    return replace(data, images=images, sha256={"images": sha256_of(images)} if data.stand_in_for else data.sha256)


def identity(name: str | os.PathLike[str], size: str | None = None, colour: str = "auto") -> tuple[str, dict[str, str]]:
    """The title and the hashes of a data set, which name a run's data. A published set need not be read for them."""
    if name in PUBLISHED:
        return str(name), dict(PUBLISHED[str(name)].sha256)
    data = load(name, size, colour)
    return data.name, dict(data.sha256)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data ready for training: (n, D) float32 matrices in [0, 1], and the indices that their rows have in `data`."""

    data: ImageData
    train: NDArray[np.float32]
    validation: NDArray[np.float32]
    test: NDArray[np.float32]
    split: Split


def prepare(config: DataConfig) -> Prepared:
    """Loads, splits and scales the data. Statically binarised, an image has the same pixels whichever part it is in.

    Raises:
        ConfigError: unknown name of a data set or of a split. DataError: the data cannot be had or used.
    """
    data = load(config.name, config.size, config.colour)
    split = data.split(config.split, config.split_seed)
    if config.pixels == "static":
        binary = binarise(data.matrix(), config.split_seed)
        train, validation, test = (binary[part] for part in split)
    else:
        train, validation, test = (data.matrix(part) for part in split)
    return Prepared(data, train, validation, test, split)


def cache_dir() -> Path:
    """The folder that downloads are kept in: VAELIB_CACHE if set, else the system's place for caches."""
    import platformdirs

    setting = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(setting).expanduser() if setting else platformdirs.user_cache_path("vaelib", appauthor=False)


def held(source: Source, name: str) -> Path | None:
    """Where `read` would find one file of a data set without a download; not verified."""
    return _find(name, *_own_folders(source), cache_dir() / source.dataset)


def read(source: Source, name: str) -> bytes:
    """The uncompressed, verified content of one file of a data set.

    It is looked for in the folder that VAELIB_DATA names, then in the user's cache, then on the mirrors. Whatever is
    found is compressed or not, and is believed only when the SHA-256 of its uncompressed content is the published one.

    Raises:
        DataError: VAELIB_DATA is no folder, or the file in it has the wrong content.
        MissingDataError: the file is nowhere and cannot be downloaded.
    """
    if path := _find(name, *_own_folders(source)):
        try:
            return _verified(path.read_bytes(), source, name, path)
        except (OSError, DataError) as error:
            advice = f"replace the file, or take it out of {DATA_DIR_VARIABLE} to have it fetched"
            raise DataError(f"{error}; {advice}") from None
    folder = cache_dir() / source.dataset
    if content := _cached(folder, source, name):
        return content
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{name}.lock"):
            content = _cached(folder, source, name)  # by a process that was first
            if content is None:
                if path := _find(name, folder):
                    warnings.warn(f"{path} is not the published one: it is fetched again", stacklevel=2)
                content = _download(source, name)
                part = folder / f".{name}.part"  # one of a process that was killed is overwritten
                part.write_bytes(content)
                os.replace(part, folder / name)
            return content
    except OSError as error:
        advice = f"set {CACHE_DIR_VARIABLE} to a folder that can be written to"
        raise DataError(f"the cache {folder} cannot be used ({error}): {advice}") from None


def _cached(folder: Path, source: Source, name: str) -> bytes | None:
    """What the cache holds, if it is what was published: else it is fetched again, and then found first."""
    if path := _find(name, folder):
        with suppress(OSError, DataError):
            return _verified(path.read_bytes(), source, name, path)
    return None


def _own_folders(source: Source) -> list[Path]:
    setting = os.environ.get(DATA_DIR_VARIABLE)
    if not setting:
        return []
    folder = Path(os.path.expanduser(setting))
    if not folder.is_dir():
        raise DataError(f"{DATA_DIR_VARIABLE}={setting} is not a folder: correct it, or unset it to use the cache")
    return [folder, folder / source.dataset]


def _find(name: str, *folders: Path) -> Path | None:
    paths = (folder / file for folder in folders for file in (name, name + ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _verified(content: bytes, source: Source, name: str, origin: Path | str) -> bytes:
    """The content uncompressed, if it is what was published."""
    if content[:2] == b"\x1f\x8b":  # told by its first bytes: some servers uncompress a .gz on the way
        try:
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{origin} is a damaged gzip file ({error})") from None
    got, expected = sha256_of(content), source.sha256[name]
    if got != expected:
        other = next((f" (that is {file})" for file, known in source.sha256.items() if known == got), "")
        found = f"SHA-256 {got[:12]}...{other}, expected {expected[:12]}..."
        raise DataError(f"{origin} is not the published {name} of {source.dataset}: {found}")
    return content


def _download(source: Source, name: str) -> bytes:
    import pooch
    from tqdm.auto import tqdm

    failures: dict[str, str] = {}
    for attempt in range(ROUNDS):
        time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
        for url in source.urls(name):
            content = io.BytesIO()
            try:
                with tqdm(total=1, desc=name, unit="B", unit_scale=True, leave=False) as bar:  # pooch sets the total
                    pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)(url, content, None)
                return _verified(content.getvalue(), source, name, "what it sent")
            except (OSError, DataError) as error:
                status = getattr(getattr(error, "response", None), "status_code", type(error).__name__)
                failures[url] = f"{urlsplit(url).hostname}: {error if isinstance(error, DataError) else status}"
    others = ", ".join(other for other in source.sha256 if other != name)
    raise MissingDataError(
        f"{source.dataset} needs the file {name}, which is not on this machine and could not be fetched "
        f"({'; '.join(failures.values())})\n"
        f"  get it from:  {' or '.join(source.urls(name))}\n"
        f"  put it into:  {cache_dir() / source.dataset}, or a folder named by the environment variable "
        f"{DATA_DIR_VARIABLE} (.gz or not){others and f', with {others}'}\n"
        f"  or use:       {source.instead!r}, which is bundled and needs no file"
    )
