"""What was found out about a run, kept beside it in the run store: each is computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor

import vaelib
from vaelib import store
from vaelib.runs import Run, store_directory

__all__ = ["Finding", "is_remembered", "remembered"]

FOLDER = ".sampling"  # inside the run store


class Finding(NamedTuple):
    """Figures that JSON can hold, and tensors."""

    figures: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = {}


def remembered(function: Callable[..., Finding], run: Run, *arguments: Any, wait: bool = True) -> Finding:
    """`function(run, *arguments)`, out of the run store if it is there; forgotten when any code of vaelib changes.

    Labels, likelihoods, refinement: too much goes into a judgement to say which change leaves it as it was.

    Raises:
        BusyError: another process is finding it out, with `wait` False.
    """
    path = _path(function, run, arguments)
    return store.once(path, _load, lambda: store.write(path, _files(function(run, *arguments))), wait)


def is_remembered(function: Callable[..., Finding], run: Run, *arguments: Any) -> bool:
    """Whether `remembered` has no work to do."""
    return _path(function, run, arguments).exists()


def _path(function: Callable[..., Finding], run: Run, arguments: tuple[Any, ...]) -> Path:
    asked = hashlib.sha256(json.dumps(arguments).encode()).hexdigest()[:16]
    return store_directory() / FOLDER / _code() / f"{run.path.name}{function.__name__}-{asked}"


def _files(finding: Finding) -> dict[str, bytes]:
    tensors = {name: tensor.contiguous() for name, tensor in finding.tensors.items()}
    figures = json.dumps(finding.figures, indent=2).encode()
    return {"figures.json": figures, "tensors.safetensors": safetensors.torch.save(tensors)}


def _load(path: Path) -> Finding:
    files = store.read(path)
    return Finding(json.loads(files["figures.json"]), safetensors.torch.load(files["tensors.safetensors"]))


@cache
def _code() -> str:
    """A hash of the library's source."""
    sources = sorted(Path(vaelib.__path__[0]).rglob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
