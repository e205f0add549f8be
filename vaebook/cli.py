"""The book's command line, ``vaebook --help``: its chapters, and training by its recipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vaelib import cli
from vaelib.cli import add, new_app, run_app
from vaelib.config import Config, ConfigError, amended, parse_axes, pick

__all__ = ["app", "main"]

app = new_app("vaebook", "Recreating Variational Autoencoders: its chapters, and training by its recipes.")
for _name, _help, *_examples in (
    ("execute", "Runs chapters in full and replaces their notebooks (all, unless named).", "chapters/01_data.py"),
    ("check", "Says what is wrong with the notebooks: unpaired, older than their code, errors, size.", ""),
    ("install-cell", "Gives chapters the cell that fetches this version of vaelib, as on Colab.", ""),
    (
        "run",
        "Runs chapters on other parameters and leaves one notebook for each combination; the book stays as it is.",
        "chapters/03_training.ipynb --grid latent_dim=2,5 seeds=1 --output out/ --html",
        "chapters/03_training.ipynb --quick --output out/ --html",
    ),
    ("train", "Trains one run by a recipe of the book, or loads it.", "--recipe report --data.name mnist --seed 1"),
    ("sweep", "Trains a grid of runs by a recipe of the book.", "--recipe modern --grid model.latent-dim=2,5,10,20"),
):
    add(app, _name, f"vaebook.cli:{_name.replace('-', '_')}", _help, *_examples)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``vaebook`` and returns its exit status; what goes wrong is one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] in (["train"], ["sweep"]):
        with suppress(ImportError):  # without torch: `run_app` says so
            from vaelib.cli import choose_family

            choose_family((), train, sweep)  # the recipes' own: "vae"
    return run_app(app, given)


def execute(*chapters: Path, jobs: int = 1, first: tuple[Path, ...] = ()) -> int:
    """
    Args:
        chapters: their .py files
        jobs: how many at once, which share the cores
        first: the long ones: they start first, in this order
    """
    from vaebook.build.execute import execute as task

    chosen = _chosen(chapters)
    order = [pick("chapter", path.stem, [chapter.name for chapter in chosen]) for path in first]
    chosen.sort(key=lambda chapter: order.index(chapter.name) if chapter.name in order else len(order))
    if jobs > 1:
        import joblib

        share = str(max(1, joblib.cpu_count() // jobs))
        os.environ.update(OMP_NUM_THREADS=share, LOKY_MAX_CPU_COUNT=share)  # heeded by torch, and by joblib
    return _each(task, chosen, [chapter.name for chapter in chosen], jobs)


def check(*chapters: Path) -> int:
    """
    Args:
        chapters: their .py files
    """
    from vaebook.build.notebooks import problems

    chosen = _chosen(chapters)
    found = [problem for chapter in chosen for problem in problems(chapter)]
    print("\n".join(found) or f"{len(chosen)} chapters are in order")
    return int(bool(found))


def install_cell(*chapters: Path) -> None:
    """
    Args:
        chapters: their .py files
    """
    from vaebook.build.notebooks import with_install_cell

    changed = [chapter.name for chapter in _chosen(chapters) if with_install_cell(chapter)]
    print("\n".join(changed) or "every chapter has its cell")


def run(
    *chapters: Path,
    output: Path,
    grid: list[str] | None = None,
    quick: bool = False,
    html: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
) -> int:
    """
    Args:
        chapters: their .ipynb or .py files
        output: the folder for the executed notebooks
        grid: parameters and their values: latent_dim=2,5 seeds=1
        quick: all other parameters such that a run takes about a minute, on the bundled data
        html: also make a web page of each notebook, as the book's are: NAME-html/index.html
        jobs: how many notebooks at once; each may train on all cores
        scheduler: the address of a dask scheduler whose workers do so instead; they must see the same folders
    """
    from vaebook.build.variants import execute_variant, variants

    if not chapters:
        raise ConfigError("run needs a chapter, such as chapters/03_training.ipynb")
    wanted = variants(chapters, parse_axes(grid or ()), output, short=quick, html=html)
    return _each(execute_variant, wanted, [str(variant.output) for variant in wanted], jobs, scheduler)


def train(*, recipe: str, config: Any = None, quiet: bool = False) -> None:
    """
    Args:
        recipe: report, kingma-welling or modern; made for faces where the data are; the options below change it
        quiet: show no progress
    """
    cli.train(config=_settled(recipe, config), quiet=quiet)


def sweep(
    *,
    recipe: str,
    grid: list[str],
    config: Any = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    together: int = 1,
) -> int:
    """
    Args:
        recipe: report, kingma-welling or modern; made for faces where the data are; the options below change it
        grid: settings and their values: model.latent-dim=2,5 seed=0,1,2
        jobs: how many runs at a time on this machine; by default one a core
        scheduler: the address of a dask scheduler whose workers train instead; they must see the store (VAELIB_RUNS)
        together: how many runs of one shape each process trains in one program; equal to separate ones but for rounding
    """
    chosen = _settled(recipe, config)
    return cli.sweep(grid=grid, config=chosen, jobs=jobs, scheduler=scheduler, together=together)


def _settled(recipe: Any, config: Any) -> Any:
    """The settings that were typed, on top of the recipe."""
    from vaebook.experiments.recipes import digits_recipe, faces_recipe

    make = faces_recipe if config.data.name in ("frey", "toyfaces") else digits_recipe
    return amended(make(recipe, config.data), _typed(config))


def _typed(config: Config) -> dict[str, Any]:
    """The settings that were typed, by their dotted names."""
    typed: dict[str, Any] = {}
    for name in config.model_fields_set:
        value = getattr(config, name)
        typed |= {f"{name}.{k}": v for k, v in _typed(value).items()} if isinstance(value, Config) else {name: value}
    return typed


def _chosen(paths: Sequence[Path]) -> list[Any]:
    from vaebook.build.notebooks import Chapter, chapters, find_root

    return [Chapter(path.with_suffix(".py").resolve()) for path in paths] or chapters(find_root(Path()))


def _each(
    task: Callable[[Any], float], items: Sequence[Any], names: Sequence[str], jobs: int, scheduler: str | None = None
) -> int:
    """Says of each item how many seconds its task took, or why it failed. Returns the exit status."""
    from vaelib.progress import bar
    from vaelib.sweeps import each

    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: expected 1 or more")
    failed = False
    with bar(total=len(items), unit="notebook") as shown:
        for index, result in each(task, items, jobs, scheduler):
            if isinstance(result, Exception):
                failed = True
                shown.write(str(result), sys.stderr)
            else:
                shown.write(f"{names[index]}: {result:.0f} s")
            shown.update()
    return int(failed)
