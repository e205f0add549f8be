"""Executes and checks the book's chapters: ``python -m vaelib.book execute chapters/03_training.py``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from vaelib.book.execute import attempt
from vaelib.book.install import add_install_cell
from vaelib.book.notebooks import Chapter, chapters, find_root, problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 when every chapter ran, or has no problem."""
    parser = argparse.ArgumentParser(prog="python -m vaelib.book", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("execute", help="run chapters and write their stamped notebooks")
    check = commands.add_parser("check", help="say what is wrong with the notebooks: unpaired, stale, errors, size")
    install = commands.add_parser("install-cell", help="give chapters the cell that fetches the library, as on Colab")
    run.add_argument(
        "--jobs", type=int, default=1, help="how many chapters run at once and share the cores (default: 1)"
    )
    run.add_argument(
        "--first", type=Path, nargs="+", default=[], help="the long chapters: they start first, in this order"
    )
    for command in (run, check, install):
        command.add_argument("chapters", nargs="*", type=Path, help="their .py files (default: all in _toc.yml)")
    options = parser.parse_args(arguments)
    chosen = [Chapter(path.with_suffix(".py").resolve()) for path in options.chapters] or chapters(find_root(Path()))
    if options.command == "install-cell":
        print(
            "\n".join(chapter.name for chapter in chosen if add_install_cell(chapter)) or "every chapter has its cell"
        )
        return 0
    if options.command == "check":
        return _check(chosen)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: expected 1 or more")
    names = [chapter.name for chapter in chosen]
    for path in options.first:
        if path.stem not in names:
            parser.error(f"--first {path}: expected one of {', '.join(names)}")
    first = [path.stem for path in options.first]
    chosen.sort(key=lambda chapter: first.index(chapter.name) if chapter.name in first else len(first))
    return _execute(chosen, options.jobs)


def _check(chosen: Sequence[Chapter]) -> int:
    found = [problem for chapter in chosen for problem in problems(chapter)]
    print("\n".join(found) or f"{len(chosen)} chapters are in order")
    return bool(found)


def _execute(chosen: Sequence[Chapter], jobs: int) -> int:
    """Runs the chapters, `jobs` at once, which share the cores."""
    if jobs == 1:
        return max(map(attempt, chosen), default=0)
    import joblib

    cores = joblib.cpu_count()
    share = max(1, cores // jobs)
    os.environ["OMP_NUM_THREADS"] = str(share)  # torch and BLAS heed it
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return max(pool.map(partial(attempt, cores=share), chosen), default=0)


if __name__ == "__main__":
    raise SystemExit(main())
