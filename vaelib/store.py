"""Directories and checkpoints that are written whole or not at all, and read only if every byte is as it was written.

Needs no torch to be read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from vaelib.config import ConfigError, unknown

__all__ = ["FORMAT", "INTERRUPTED", "RUNS_DIR_VARIABLE", "BrokenRunError", "BusyError", "Checkpoint", "Directories"]
__all__ += ["StoreError", "runs_folder"]

FORMAT = 4
MANIFEST = "manifest.json"
RUNS_DIR_VARIABLE = "VAELIB_RUNS"
DIGEST = hashlib.sha256().digest_size
INTERRUPTED = threading.Event()
"""Set when training shall stop at its next checkpoint, which is then due at once."""


class StoreError(RuntimeError):
    """The run store cannot be read or written, or holds another run than was asked for."""


class BrokenRunError(StoreError):
    """What a run's directory holds is not what was written there."""


class BusyError(RuntimeError):
    """Another process is making what was asked for, and the caller did not want to wait."""


def runs_folder() -> Path:
    """Where runs are kept: the folder in VAELIB_RUNS, else one in the user's cache."""
    chosen = os.environ.get(RUNS_DIR_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("vaelib") / "runs"


class Directories:
    """The directories in a folder, and those that are begun: each is a name, and a checkpoint beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begun(self, path: Path) -> Path:
        """The file that holds the state of what is not finished yet."""
        return path.with_name(f".{path.name}.checkpoint")

    def names(self) -> list[str]:
        """Of all runs: finished, begun or damaged."""
        if not self.folder.is_dir():
            return []
        finished = {path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
        begun = {path.name[1:].removesuffix(".checkpoint") for path in self.folder.glob(".*.checkpoint")}
        return sorted(finished | begun)

    def find(self, text: str) -> Path:
        """The directory of the run with that name, or of the only one whose name has `text` in it.

        Raises:
            ConfigError: it is no name of a run, or that of several.
        """
        names = self.names()
        found = [text] if text in names else [name for name in names if text.strip() and text in name]
        if len(found) == 1:
            return self.folder / found[0]
        if found:
            more = f" and {len(found) - 10} more" if len(found) > 10 else ""
            raise ConfigError(f"{len(found)} runs have {text!r} in their name: {', '.join(found[:10])}{more}")
        near = unknown("run", text, names).partition(" valid:")[0].rstrip(":")
        raise ConfigError(f"{near} (vaelib runs list shows all in {self.folder})")

    def named(self, name: str) -> Path:
        """What may be deleted by that name, or by a part of it that no other has: an entry of this folder, no link.

        Raises:
            ConfigError: it is a path, however written, or no name of a run, or that of several.
        """
        if not name.strip() or Path(name).name != name or "\\" in name:
            raise ConfigError(f"{name!r} is not the name of a run: only runs in {self.folder} are deleted, by name")
        path = self.find(name)
        if path.is_symlink():
            raise ConfigError(f"{path.name} is a link to another folder: delete it there")
        return path

    def remove(self, name: str) -> None:
        """Deletes the run that is `named` so, its checkpoint, or both.

        Raises:
            ConfigError: it is no name of a run of this store. BusyError: a process is at work on it.
            StoreError: it could not be deleted, or only in part.
        """
        path = self.named(name)
        with self.exclusive(path, wait=False):
            try:
                if path.exists():
                    shutil.rmtree(path)
                self.begun(path).unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{path.name} was not deleted, or only in part ({error.strerror or error})") from None

    @contextmanager
    def exclusive(self, path: Path, wait: bool = True) -> Iterator[None]:
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

    def holds(self, path: Path, *, set_aside: bool = False) -> bool:
        """Whether the directory `path` is there and whole. What is damaged is, if asked, renamed, with a warning.

        Raises:
            StoreError: it cannot be read, which says nothing of what it holds.
        """
        if not path.exists():
            return False
        try:
            self.read(path)
        except BrokenRunError as error:
            if set_aside:
                aside = next(free for n in range(1, 10**6) if not (free := Path(f"{path}.broken-{n}")).exists())
                path.rename(aside)
                warnings.warn(f"{error}: now in {aside}, and made anew", stacklevel=3)
            return False
        return True

    def read(self, path: Path) -> dict[str, bytes]:
        """The files of the directory `path`, as they were written.

        Raises:
            BrokenRunError: names the file that is missing or damaged.
            StoreError: a file cannot be read, or another version of the store wrote it.
        """
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            written, digests = manifest["format"], dict(manifest["sha256"])
            files = {name: (path / name).read_bytes() for name in digests} if written == FORMAT else {}
        except (ValueError, LookupError, TypeError, FileNotFoundError, NotADirectoryError) as error:
            raise BrokenRunError(f"the run in {path} is incomplete or damaged ({error!r})") from None
        except OSError as error:
            raise StoreError(
                f"the run in {path} cannot be read ({error.strerror or error}): see to that first"
            ) from None
        if written != FORMAT:
            raise StoreError(f"{path} has format {written} of the run store, this version of vaelib reads {FORMAT}")
        for name, content in files.items():
            if hashlib.sha256(content).hexdigest() != digests[name]:
                raise BrokenRunError(f"the run in {path} is damaged: {name} is not as it was written")
        return files

    def write(self, path: Path, files: Mapping[str, bytes]) -> None:
        """Makes the directory `path` with `files` and a manifest of their SHA-256; it appears only when it is complete.

        Raises:
            StoreError: when the disk is full or the store read-only; nothing is left behind then.
        """
        draft = path.with_name(f".{path.name}.draft")
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        manifest = json.dumps({"format": FORMAT, "sha256": digests}, indent=2).encode()
        try:
            shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed here
            draft.mkdir(parents=True)
            for name, content in {**files, MANIFEST: manifest}.items():
                with open(draft / name, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            draft.rename(path)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if not path.exists():  # else locks do not work on this file system, and another process was first
                raise _store_error(path, error) from None


def _store_error(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write {path.name} to {path.parent} ({error.strerror or error}): make room there, or set "
        f"VAELIB_RUNS to a folder that can be written"
    )


class Checkpoint:
    """A training's state in the file at `path`: the SHA-256 of the rest, then what `torch.save` makes of it.

    Replaced whole, never edited; `due` every `interval` seconds. `made_by` is what else decides the bits of a run.
    """

    def __init__(self, path: Path, interval: float = 30.0, made_by: Mapping[str, Any] | None = None) -> None:
        import torch

        self.path, self.interval = path, interval
        self.made_by = {"torch": str(torch.__version__), "threads": torch.get_num_threads(), **(made_by or {})}
        self._saved = time.monotonic()

    def due(self) -> bool:
        return INTERRUPTED.is_set() or time.monotonic() - self._saved >= self.interval

    def save(self, state: Any) -> None:
        """Keeps tensors, numbers and texts, in lists and dictionaries. Where there is no room, training goes on."""
        import torch

        payload, draft = io.BytesIO(), self.path.with_name(self.path.name + ".part")
        torch.save((self.made_by, state), payload)
        self._saved = time.monotonic()
        try:
            draft.unlink(missing_ok=True)  # a link that was planted there is not followed
            with open(draft, "xb") as file:
                file.write(hashlib.sha256(payload.getbuffer()).digest())
                file.write(payload.getbuffer())
            os.replace(draft, self.path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            warnings.warn(f"no checkpoint could be saved ({error}): training goes on without", stacklevel=2)
        if INTERRUPTED.is_set():
            raise KeyboardInterrupt

    def load(self) -> Any:
        """What was saved last, or None if there is nothing that can be continued to the same bits."""
        import torch

        if not self.path.exists():
            return None
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise OSError(f"the checkpoint {self.path} cannot be read ({error}): see to it, or remove it") from None
        digest, payload = content[:DIGEST], content[DIGEST:]
        why = "is damaged"
        if payload[:2] == b"PK" and hashlib.sha256(payload).digest() == digest:  # else damaged, or of an old version
            made_by, state = torch.load(io.BytesIO(payload), "cpu", weights_only=True)
            if made_by == self.made_by:
                return state
            why = "was made with " + ", ".join(f"{key} {value}" for key, value in made_by.items())
        warnings.warn(f"the checkpoint {self.path} {why}: training starts afresh", stacklevel=2)
        return None

    def clear(self) -> None:
        with suppress(OSError):  # of a store that only lets us read: there it does no harm
            self.path.unlink(missing_ok=True)
