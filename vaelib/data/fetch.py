"""The files of the published data sets: where to look, how to fetch, and the proof that the content is right.

The look-up order is the folder that the environment variable VAELIB_DATA names, then the user's cache, then a download
from the first public mirror that answers. Whatever is found is compressed or not, and is believed only when the
SHA-256 of its uncompressed content is the published one.
"""

from __future__ import annotations

import gzip
import io
import os
import time
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vaelib.data.images import DataError, MissingDataError, sha256_of

__all__ = ["CACHE_DIR_VARIABLE", "DATA_DIR_VARIABLE", "Source", "cache_dir", "held", "read"]

DATA_DIR_VARIABLE = "VAELIB_DATA"  # the user's own folder: read, never written
CACHE_DIR_VARIABLE = "VAELIB_CACHE"  # moves the cache away from the system's place for caches
ROUNDS = 3  # how often every mirror is asked
PAUSE = 1.0  # seconds before the second round; doubles with each
TIMEOUT = (5.0, 20.0)  # seconds to wait for a connection, and for the next bytes
LIMIT = 256 << 20  # bytes that a file is uncompressed to; the largest published one has 47 million


@dataclass(frozen=True)
class Source:
    """A published data set: its files, and where the public can get them."""

    dataset: str  # its name, and that of its sub-folder
    sha256: dict[str, str]  # file name -> SHA-256 of its uncompressed content
    mirrors: tuple[str, ...]  # addresses with {name} in place of the file name, best first
    instead: str  # the bundled data set that does in its place

    def urls(self, name: str) -> list[str]:
        return [mirror.format(name=name) for mirror in self.mirrors]


def cache_dir() -> Path:
    """The folder that downloads are kept in: VAELIB_CACHE if set, else the system's place for caches."""
    import platformdirs

    setting = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(os.path.expanduser(setting)) if setting else platformdirs.user_cache_path("vaelib", appauthor=False)


def held(source: Source, name: str) -> Path | None:
    """Where `read` would find one file of a data set without a download; not verified."""
    return _find(name, *_own_folders(source), cache_dir() / source.dataset)


def read(source: Source, name: str) -> bytes:
    """The uncompressed, verified content of one file of a data set.

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
    if path := _find(name, folder):
        with suppress(OSError, DataError):  # seen to below, by one process at a time
            return _verified(path.read_bytes(), source, name, path)
    return _read_alone(folder, source, name)


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
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LIMIT)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{origin} is a damaged gzip file ({error})") from None
    got, expected = sha256_of(content), source.sha256[name]
    if got != expected:
        other = next((f" (that is {file})" for file, known in source.sha256.items() if known == got), "")
        found = f"SHA-256 {got[:12]}...{other}, expected {expected[:12]}..."
        raise DataError(f"{origin} is not the published {name} of {source.dataset}: {found}")
    return content


def _read_alone(folder: Path, source: Source, name: str) -> bytes:
    """From the cache, or from a mirror into the cache, written whole; other processes wait."""
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{name}.lock"):
            while path := _find(name, folder):
                try:
                    return _verified(path.read_bytes(), source, name, path)
                except DataError as error:
                    bad = path.with_name(path.name + ".bad")
                    os.replace(path, bad)
                    warnings.warn(f"{error}; set aside as {bad.name}, fetching it again", stacklevel=2)
            content = _download(source, name)
            part = folder / f".{name}.part"  # one of a process that was killed is overwritten
            part.write_bytes(content)
            os.replace(part, folder / name)
            return content
    except OSError as error:
        advice = f"set {CACHE_DIR_VARIABLE} to a folder that can be written to"
        raise DataError(f"the cache {folder} cannot be used ({error}): {advice}") from None


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
