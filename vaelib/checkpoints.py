"""A training's state in one file, so that a killed run can be taken up where it was."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

import vaelib

__all__ = ["INTERRUPTED", "Checkpoint"]

INTERRUPTED = threading.Event()
"""Set when training shall stop at its next checkpoint, which is then due at once."""

DIGEST = hashlib.sha256().digest_size


class Checkpoint:
    """The file at `path`: the SHA-256 of the rest, then tensors and facts as safetensors. Replaced whole, never edited.

    It is `due` every `interval` seconds.
    """

    def __init__(self, path: Path, interval: float = 30.0) -> None:
        self.path, self.interval = path, interval
        self._saved = time.monotonic()

    def due(self) -> bool:
        return INTERRUPTED.is_set() or time.monotonic() - self._saved >= self.interval

    def save(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        facts = {"facts": facts, "made_by": _made_by()}
        own = {key: value.detach().clone().contiguous() for key, value in tensors.items()}  # safetensors shares nothing
        payload = save(own, {"json": json.dumps(facts)})
        draft = self.path.with_name(self.path.name + ".part")
        draft.write_bytes(hashlib.sha256(payload).digest() + payload)
        os.replace(draft, self.path)
        self._saved = time.monotonic()
        if INTERRUPTED.is_set():
            raise KeyboardInterrupt

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved last, or None if there is nothing that can be continued to the same bits."""
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        digest, payload = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(payload).digest() != digest:
            warnings.warn(f"the checkpoint {self.path} is damaged: training starts afresh", stacklevel=2)
            return None
        length = int.from_bytes(payload[:8], "little")
        header = json.loads(json.loads(payload[8 : 8 + length])["__metadata__"]["json"])
        if header["made_by"] != _made_by():
            made_by = ", ".join(f"{key} {value}" for key, value in header["made_by"].items())
            warnings.warn(f"the checkpoint {self.path} was made with {made_by}: training starts afresh", stacklevel=2)
            return None
        return load(payload), header["facts"]

    def clear(self) -> None:
        with suppress(OSError):  # of a store that only lets us read: there it does no harm
            self.path.unlink(missing_ok=True)


def _made_by() -> dict[str, Any]:
    """What else decides the bits of a run."""
    return {"vaelib": vaelib.__version__, "torch": torch.__version__, "threads": torch.get_num_threads()}
