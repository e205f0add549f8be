"""Directories that are written whole or not at all, and read only when every byte is as it was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

__all__ = ["BrokenRunError", "BusyError", "StoreError", "exclusive", "once", "read", "set_aside", "write"]

T = TypeVar("T")

FORMAT = 3
MANIFEST = "manifest.json"


class StoreError(RuntimeError):
    """The run store cannot be written to."""


class BrokenRunError(RuntimeError):
    """A run's directory cannot be read, is damaged, or was made by another version of the store."""


class BusyError(RuntimeError):
    """Another process is making what was asked for, and the caller did not want to wait."""


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Lets one process at a time work on `path`; the others wait. The lock of a process that died is void.

    Raises:
        BusyError: another process is at work on it, with `wait` False.
        StoreError: when the store is read-only or full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire(blocking=wait)
    except Timeout:
        raise BusyError(f"another process is making {path}") from None
    except OSError as error:
        raise _store_error(path, error) from None
    try:
        yield
    finally:
        lock.release()


def once(path: Path, load: Callable[[Path], T], work: Callable[[], None], wait: bool = True) -> T:
    """What `load` finds in `path`; if there is nothing, one process does the `work` that writes it, the others wait.

    A damaged directory is set aside, with a warning, and made anew.

    Raises:
        BusyError: another process is making it, with `wait` False.
        StoreError: when the store cannot be written to.
    """
    if path.exists():
        with suppress(BrokenRunError):
            return load(path)
    with exclusive(path, wait):
        if path.exists():  # finished by another process meanwhile, or broken
            try:
                return load(path)
            except BrokenRunError as error:
                warnings.warn(f"{error}: now in {set_aside(path)}, and made anew", stacklevel=3)
        work()
    return load(path)


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Makes the directory `path` with `files` and a manifest of their SHA-256; it appears only when it is complete.

    Raises:
        StoreError: when the disk is full or the store read-only; nothing is left behind then.
    """
    draft = path.with_name(f".{path.name}.draft")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = json.dumps({"format": FORMAT, "sha256": digests}, indent=2).encode()
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed here
        draft.mkdir()
        for name, content in {**files, MANIFEST: manifest}.items():
            with open(draft / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        draft.rename(path)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        if path.exists():  # locks do not work on this file system, and another process was first
            return
        raise _store_error(path, error) from None


def read(path: Path) -> dict[str, bytes]:
    """The files of the directory `path`, as they were written.

    Raises:
        BrokenRunError: names the file that is missing or damaged.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise BrokenRunError(
                f"{path} was written in format {manifest['format']} of the run store, this version reads {FORMAT}: "
                "train the run again, or read it with the version that made it"
            )
        files = {name: (path / name).read_bytes() for name in manifest["sha256"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenRunError(f"the run in {path} is incomplete or damaged ({error!r})") from None
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest["sha256"][name]:
            raise BrokenRunError(f"the run in {path} is damaged: {name} is not as it was written")
    return files


def set_aside(path: Path) -> Path:
    """Renames a broken directory, so that it neither serves nor is lost; returns its new place."""
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _store_error(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write the run {path.name} to {path.parent} ({error.strerror or error}): make room there, or set "
        "VAELIB_RUNS to a folder that can be written"
    )
