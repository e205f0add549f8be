"""A Sphinx extension: a link to a term or an equation carries what it leads to, and `assets/book.js` shows it there.

Citations carry theirs already, as a title (sphinxcontrib-bibtex). Nothing is fetched, so pages opened as files have it.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["previews", "setup", "with_previews"]

TERM = re.compile(r'<dt id="(term-[^"]+)">.*?</dt><dd>(.*?)</dd>', re.S)
EQUATION = re.compile(r'<div class="math[^"]*" id="(equation-[^"]+)">\s*<span class="eqno">.*?</span>(.*?)</div>', re.S)
LINK = re.compile(r'<a class="reference internal" href="([^"#]*)#((?:term|equation)-[^"]+)"')
TAG = re.compile(r"<[^>]+>")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def previews(page: str) -> dict[str, str]:
    """Of a page of HTML the text of each term and each numbered equation, by its anchor; maths is LaTeX."""
    found = [*TERM.findall(page), *EQUATION.findall(page)]
    return {anchor: " ".join(html.unescape(TAG.sub("", text)).split()) for anchor, text in found}


def with_previews(page: str, place: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """The page that lies at `place` with a ``data-preview`` in each link to one of the `known`, by page and anchor."""

    def mark(link: re.Match[str]) -> str:
        path, anchor = link.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), path)) if path else place
        text = known.get(target, {}).get(anchor)
        return f'{link[0]} data-preview="{html.escape(text)}"' if text else link[0]

    return LINK.sub(mark, page)


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    pages = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}
    known = {place: previews(page) for place, page in pages.items()}
    for place, page in pages.items():
        marked = with_previews(page, place, known)
        if marked != page:
            (folder / place).write_text(marked, encoding="utf-8")
