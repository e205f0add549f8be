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
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vaelib.data.errors import DataError, MissingDataError
from vaelib.data.images import sha256_of

__all__ = ["CACHE_DIR_VARIABLE", "DATA_DIR_VARIABLE", "Source", "cache_dir", "held", "read"]

DATA_DIR_VARIABLE = "VAELIB_DATA"  # the user's own folder: read, never written
CACHE_DIR_VARIABLE = "VAELIB_CACHE"  # moves the cache away from the system's place for caches
ROUNDS = 3  # how often every mirror is asked
PAUSE = 1.0  # seconds before the second round; doubles with each
TIMEOUT = (5.0, 20.0)  # seconds to wait for a connection, and for the next bytes


@dataclass(frozen=True)
class Source:
    """A published data set: its files, and where the public can get them.

    Attributes:
        dataset: the data set's name, and that of its sub-folder.
        sha256: file name -> SHA-256 of its uncompressed content.
        mirrors: addresses with ``{name}`` in place of the file name, best first.
        instead: the bundled data set that does in its place.
    """

    dataset: str
    sha256: dict[str, str]
    mirrors: tuple[str, ...]
    instead: str

    def urls(self, name: str) -> list[str]:
        return [mirror.format(name=name) for mirror in self.mirrors]


def cache_dir() -> Path:
    """The folder that downloads are kept in: VAELIB_CACHE if set, else the system's place for caches."""
    import platformdirs

    setting = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(setting).expanduser() if setting else platformdirs.user_cache_path("vaelib", appauthor=False)


def held(source: Source, name: str) -> Path | None:
    """Where `read` would find one file of a data set without a download; not verified."""
    setting = os.environ.get(DATA_DIR_VARIABLE)
    own = [Path(setting).expanduser(), Path(setting).expanduser() / source.dataset] if setting else []
    return _find(name, *own, cache_dir() / source.dataset)


def read(source: Source, name: str) -> bytes:
    """The uncompressed, verified content of one file of a data set.

    Raises:
        DataError: the file in the user's own folder has the wrong content.
        MissingDataError: the file is nowhere and cannot be downloaded.
    """
    content = _from_own_folder(source, name)
    return _from_cache(source, name) if content is None else content


def _from_own_folder(source: Source, name: str) -> bytes | None:
    setting = os.environ.get(DATA_DIR_VARIABLE)
    if not setting:
        return None
    folder = Path(setting).expanduser()
    if not folder.is_dir():
        raise DataError(f"{DATA_DIR_VARIABLE}={setting} is not a folder: correct it, or unset it to use the cache")
    path = _find(name, folder, folder / source.dataset)
    try:
        return None if path is None else _verified(path, source, name)
    except DataError as error:
        advice = f"replace the file, or take it out of {DATA_DIR_VARIABLE} to have it fetched"
        raise DataError(f"{error}; {advice}") from None


def _from_cache(source: Source, name: str) -> bytes:
    import filelock

    folder = cache_dir() / source.dataset
    path = _find(name, folder)
    try:
        if path is not None:
            return _verified(path, source, name)
    except DataError:
        pass  # set aside below, by one process at a time
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{name}.lock"):
            return _cached_or_downloaded(folder, source, name)
    except OSError as error:
        advice = f"set {CACHE_DIR_VARIABLE} to a folder that can be written to"
        raise DataError(f"the cache {folder} cannot be used ({error}): {advice}") from None


def _cached_or_downloaded(folder: Path, source: Source, name: str) -> bytes:
    while path := _find(name, folder):
        try:
            return _verified(path, source, name)
        except DataError as error:
            bad = path.with_name(path.name + ".bad")
            os.replace(path, bad)
            warnings.warn(f"{error}; set aside as {bad.name}, fetching it again", stacklevel=2)
    content = _download(source, name)
    _write_whole(folder / name, content)
    return content


def _find(name: str, *folders: Path) -> Path | None:
    paths = (folder / file for folder in folders for file in (name, name + ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _verified(path: Path, source: Source, name: str) -> bytes:
    try:
        return _check(path.read_bytes(), source, name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{path} {error}") from None


def _check(content: bytes, source: Source, name: str) -> bytes:
    """The content uncompressed, if it is what was published; the DataError's text continues "<file> ..."."""
    if content[:2] == b"\x1f\x8b":  # told by its first bytes: some servers uncompress a .gz on the way
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"is a damaged gzip file ({error})") from None
    got, expected = sha256_of(content), source.sha256[name]
    if got != expected:
        other = next((file for file, known in source.sha256.items() if known == got), None)
        swapped = f" (that is {other})" if other else ""
        raise DataError(
            f"is not the published {name} of {source.dataset}: "
            f"SHA-256 {got[:12]}...{swapped}, expected {expected[:12]}..."
        )
    return content


def _download(source: Source, name: str) -> bytes:
    failures: dict[str, str] = {}
    for attempt in range(ROUNDS):
        time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
        for url in source.urls(name):
            try:
                return _check(_fetch(url, name), source, name)
            except (OSError, DataError) as error:
                failures[url] = _reason(error)
    raise MissingDataError(_how_to_get(source, name, failures))


def _fetch(url: str, name: str) -> bytes:
    import pooch
    from tqdm.auto import tqdm

    content = io.BytesIO()
    with tqdm(total=1, desc=name, unit="B", unit_scale=True, leave=False) as bar:  # pooch sets the total
        pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)(url, content, None)
    return content.getvalue()


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return f"what it sent {error}" if isinstance(error, DataError) else str(error)


def _how_to_get(source: Source, name: str, failures: dict[str, str]) -> str:
    tried = "; ".join(f"{urlsplit(url).hostname}: {reason}" for url, reason in failures.items())
    others = [other for other in source.sha256 if other != name]
    return "\n".join(
        [
            f"{source.dataset} needs the file {name}, which is not on this machine and could not be fetched ({tried})",
            f"  get it from:  {' or '.join(source.urls(name))}",
            f"  put it into:  {cache_dir() / source.dataset}, or a folder named by the environment variable "
            f"{DATA_DIR_VARIABLE} (.gz or not)" + (f", with {', '.join(others)}" if others else ""),
            f"  or use:       {source.instead!r}, which is bundled and needs no file",
        ]
    )


def _write_whole(path: Path, content: bytes) -> None:
    """Under its lock: a process killed half way leaves a .part file, which the next one overwrites."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
