"""A chapter on other parameters than the published ones: an executed notebook for each combination of values."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

from vaebook.build.execute import KERNEL, perform
from vaebook.build.notebooks import Chapter, find_root
from vaebook.build.reader import render
from vaelib.config import ConfigError, pick

__all__ = ["Variant", "execute_variant", "quick", "variants"]

LONGEST = 120  # bytes of a readable name


@dataclass(frozen=True)
class Variant:
    """A chapter, the parameters that it shall have, and where its notebook goes."""

    chapter: Path
    parameters: dict[str, Any]
    output: Path
    html: bool = False


def variants(
    chapters: Sequence[Path],
    axes: Mapping[str, Sequence[Any]],
    output: Path,
    *,
    short: bool = False,
    html: bool = False,
) -> list[Variant]:
    """One notebook in `output` for each chapter and combination of values on the axes, which are its parameters.

    Notebooks are named after the chapter and the values. Where that is too long, is not plain text, or is the same for
    two, eight digits of their SHA-256 are added, so that none replaces another. With `short` all other parameters are
    the `quick` ones; with `html` each notebook becomes a page, too.

    Raises:
        ConfigError: a chapter is not there, or has no such parameter (the nearest one is named).
    """
    for chapter in chapters:
        known = papermill.inspect_notebook(_source(chapter))
        for name in axes:
            pick(f"parameter of {chapter.stem}", name, known)
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    wanted = [(chapter.absolute(), chosen) for chapter in chapters for chosen in combinations]
    texts = ["-".join([path.stem, *(f"{name}={value}" for name, value in chosen.items())]) for path, chosen in wanted]
    times = Counter(text.casefold() for text in texts)  # for file systems that know no capitals
    found = {}
    for text, (path, chosen) in zip(texts, wanted, strict=True):
        name = re.sub(r"[^\w.=+-]+", "_", text).encode()[:LONGEST].decode(errors="ignore")
        if name != text or times[text.casefold()] > 1:
            name += "-" + hashlib.sha256(repr((str(path), chosen)).encode()).hexdigest()[:8]
        found[name] = Variant(path, (quick(path) if short else {}) | chosen, output.absolute() / f"{name}.ipynb", html)
    return list(found.values())


def execute_variant(variant: Variant) -> float:
    """Runs the chapter with these parameters, in the book's folder; returns the seconds it took, its page included.

    Raises:
        ChapterError: a cell failed; the notebook up to there lies where the whole one would.
    """
    started = time.perf_counter()
    root = find_root(variant.chapter.parent)
    perform(_source(variant.chapter), variant.output, root, variant.parameters)
    if variant.html:
        render(variant.output, root)
    return time.perf_counter() - started


def quick(chapter: Path) -> dict[str, Any]:
    """Parameters that run a chapter in about a minute, on the bundled data (chapters/quick.yaml)."""
    table = yaml.safe_load((find_root(chapter.parent) / "chapters" / "quick.yaml").read_text(encoding="utf-8"))
    known = papermill.inspect_notebook(_source(chapter))
    return {name: value for name, value in table["all"].items() if name in known} | table.get(chapter.stem, {})


def _source(path: Path) -> nbformat.NotebookNode:
    """The chapter, with a kernel: from its source where that lies beside it, as notebooks may be older."""
    chapter = Chapter(path.with_suffix(".py"))
    if not chapter.path.exists() and not path.exists():
        raise ConfigError(f"there is no chapter {str(path)!r}")
    notebook = chapter.source if chapter.path.exists() else chapter.notebook
    notebook.metadata.setdefault("kernelspec", KERNEL)
    return notebook
