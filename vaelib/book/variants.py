"""A chapter on other parameters than the published ones: an executed notebook for each combination of values."""

from __future__ import annotations

import ast
import itertools
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellControlSignal, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from vaelib.book.execute import KERNEL, ChapterError
from vaelib.book.notebooks import Chapter, find_root, parameters_cell
from vaelib.config import ConfigError, pick

__all__ = ["Variant", "execute_variant", "variants"]


@dataclass(frozen=True)
class Variant:
    """A chapter, the parameters that it shall have, and where its notebook goes."""

    chapter: Path
    parameters: dict[str, Any]
    output: Path


def variants(chapter: Path, axes: Mapping[str, Sequence[Any]], output: Path) -> list[Variant]:
    """Every combination of the values on the axes, each an annotated name of the chapter's parameters cell.

    Raises:
        ConfigError: the chapter is not there, or has no such parameter (the nearest one is named).
    """
    source = _source(chapter)
    cell = parameters_cell(source)
    statements = ast.parse(cell.source).body if cell else []
    names = [ast.unparse(line.target) for line in statements if isinstance(line, ast.AnnAssign)]
    for name in axes:
        pick(f"parameter of {chapter.stem}", name, names)
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [Variant(chapter.absolute(), chosen, output.absolute() / _name(chapter, chosen)) for chosen in combinations]


def execute_variant(variant: Variant) -> float:
    """Runs the chapter with these parameters, in the book's folder; returns the seconds it took.

    Raises:
        ChapterError: a cell failed; the notebook up to there lies where the whole one would.
    """
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel is this environment's Python, not the user's
    os.environ["TQDM_DISABLE"] = "1"
    variant.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "given.ipynb")
        nbformat.write(_source(variant.chapter), given)
        started = time.perf_counter()
        try:
            papermill.execute_notebook(
                given,
                variant.output,
                variant.parameters,
                cwd=find_root(variant.chapter.parent),
                kernel_name="python3",
                progress_bar=False,
            )
        except PapermillExecutionError as error:
            raise ChapterError(f"{variant.output}: cell [{error.exec_count}]: {error.ename}: {error.evalue}") from None
        except (CellControlSignal, DeadKernelError) as error:
            raise ChapterError(f"{variant.output}: {type(error).__name__}: {error}") from None
    return time.perf_counter() - started


def _source(chapter: Path) -> nbformat.NotebookNode:
    """The chapter, with a kernel: from its source where that lies beside it, as notebooks may be older."""
    source = Chapter(chapter.with_suffix(".py"))
    if not source.path.exists() and not chapter.exists():
        raise ConfigError(f"there is no chapter {str(chapter)!r}")
    notebook = source.source if source.path.exists() else nbformat.read(chapter, as_version=4)
    notebook.metadata.setdefault("kernelspec", KERNEL)
    return notebook


def _name(chapter: Path, parameters: Mapping[str, Any]) -> str:
    values = (re.sub(r"[^\w.=+-]+", "_", f"{name}={value}") for name, value in parameters.items())
    return "-".join([chapter.stem, *values]) + ".ipynb"
