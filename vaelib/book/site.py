"""A Sphinx extension for the book's site: no page asks another host for anything, or carries what it does not use.

MathJax comes from the package sphinx-mathjax-offline, the pages' only large script; explorers run in `assets/widgets.js`.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util.logging import getLogger

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["setup"]

PACKAGE = "sphinx-mathjax-offline"
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")
UNUSED = ("**/*.map", "locales", "cover.png", "vendor/fontawesome/*/js", "vendor/fontawesome/*/webfonts/*.ttf")
ICON_SCRIPT = re.compile(r'\s*<script src="[^"]*vendor/fontawesome/[^"]*\.js[^"]*"></script>')


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("config-inited", _choose_mathjax)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathjax() -> Path | None:
    """The folder of MathJax's files in its package; None where that is not installed."""
    try:
        folder = Path(str(distribution(PACKAGE).locate_file(f"{PACKAGE}/static/mathjax")))
    except PackageNotFoundError:
        return None
    return folder if folder.is_dir() else None


def _choose_mathjax(app: Sphinx, config: Config) -> None:
    if mathjax():
        config.mathjax_path = f"mathjax/{MATHJAX[0]}"
    else:
        getLogger(__name__).info(f"{PACKAGE} is not installed: the pages load MathJax from a CDN")


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        static = Path(app.outdir, "_static")
        copy_mathjax(static / "mathjax")
        trim(static)
        for page in Path(app.outdir).rglob("*.html"):
            page.write_text(ICON_SCRIPT.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")


def copy_mathjax(target: Path) -> None:
    """Copies the tenth of MathJax that a browser asks for: the program, its fonts, and TeX extensions on demand."""
    source = mathjax()
    for name in MATHJAX if source else ():
        here, there = source / name, target / name  # type: ignore[operator]
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(here, there, dirs_exist_ok=True) if here.is_dir() else shutil.copyfile(here, there)


def trim(static: Path) -> None:
    """Removes what no page loads: source maps, translations, and a second copy of the icons as a script of 1.5 MB."""
    for pattern in UNUSED:
        for path in static.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
