"""Data sets by name, and the user's own by path."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from vaelib.config import ConfigError, unknown
from vaelib.data import digits, frey, mnist, own, toyfaces
from vaelib.data.errors import DataError
from vaelib.data.images import ImageData

__all__ = ["NAMES", "load"]

LOADERS: dict[str, Callable[[], ImageData]] = {
    "mnist": mnist.load,
    "frey": frey.load,
    "digits": digits.load,
    "toyfaces": toyfaces.load,
}
NAMES = tuple(LOADERS)


def load(name: str | os.PathLike[str]) -> ImageData:
    """A data set: "mnist", "frey", "digits", "toyfaces", or the path to a folder of images or to an .npy or .npz file.

    Named sets are kept in memory for the life of the process, so asking again costs nothing.

    Raises:
        ConfigError: no data set has that name and nothing lies at that path.
        DataError: what was found cannot be used. MissingDataError: it is not here and cannot be downloaded.
    """
    if name in LOADERS:
        return load_named(str(name))
    path = Path(name).expanduser()
    if name != "" and path.exists():
        return own.load(path)
    if isinstance(name, os.PathLike) or path.suffix in own.SUFFIXES or os.sep in name or "/" in name:
        raise DataError(f"there is no file or folder {os.fspath(name)!r}: expected a folder of images, .npy or .npz")
    raise ConfigError(unknown("data set", name, NAMES) + ", or the path to a folder of images, an .npy or an .npz file")


@cache
def load_named(name: str) -> ImageData:
    return LOADERS[name]()
