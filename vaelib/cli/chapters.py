"""``vaelib chapters``: the published notebooks, and the same chapters on other parameters."""

from __future__ import annotations

import sys
from pathlib import Path

from vaelib.book import __main__ as published
from vaelib.book.variants import execute_variant, variants
from vaelib.config import ConfigError
from vaelib.engine import each
from vaelib.grid import parse_axes
from vaelib.progress import bar


def execute(*chapters: Path, jobs: int = 1) -> int:
    """
    Parameters
    ----------
    chapters
        their .py files
    jobs
        how many at once, which share the cores
    """
    return published.main(["execute", f"--jobs={jobs}", *map(str, chapters)])


def check(*chapters: Path) -> int:
    """
    Parameters
    ----------
    chapters
        their .py files
    """
    return published.main(["check", *map(str, chapters)])


def run(*chapters: Path, grid: list[str], output: Path, jobs: int = 1, scheduler: str | None = None) -> int:
    """
    Parameters
    ----------
    chapters
        their .ipynb or .py files
    grid
        parameters and their values: latent_dim=2,5 seeds=1
    output
        the folder for the executed notebooks
    jobs
        how many notebooks at once; each may train on all cores
    scheduler
        the address of a dask scheduler whose workers run the notebooks instead; they must see the same folders
    """
    if not chapters:
        raise ConfigError("chapters run needs a chapter, such as chapters/03_training.ipynb")
    axes = parse_axes(grid)
    wanted = [variant for chapter in chapters for variant in variants(chapter, axes, output)]
    failed = 0
    with bar(total=len(wanted), desc="notebooks", unit="notebook") as shown:
        for index, result in each(execute_variant, wanted, jobs, scheduler):
            failure = isinstance(result, Exception)
            failed += failure
            shown.write(
                str(result) if failure else f"{wanted[index].output}: {result:.0f} s", sys.stderr if failure else None
            )
            shown.update()
    return int(bool(failed))
