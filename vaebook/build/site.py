"""A Sphinx extension for the book's site: no page asks another host for anything, or carries what it does not use.

MathJax comes from the package sphinx-mathjax-offline; explorers run in `assets/widgets.js`, without any library.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util.logging import getLogger

from vaebook.build.frames import framed, is_words, whole_intervals

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

__all__ = ["mathjax", "setup", "tidy", "typeset"]

PACKAGE = "sphinx-mathjax-offline"
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")  # the tenth that a browser asks for
# What no page loads: source maps, translations, a second and a third copy of the icons.
UNUSED = ("**/*.map", "locales", "cover.png", "vendor/fontawesome/*/js", "vendor/fontawesome/*/webfonts/*.ttf")
MATHS, STOPS = r'<span class="math notranslate nohighlight">[^<]*</span>', r"[.,;:?!)\]’”]"
TIDY = (
    (re.compile(r'\s*<script src="[^"]*vendor/fontawesome/[^"]*\.js[^"]*"></script>'), ""),  # the icons again, 1.5 MB
    (re.compile(r'\s*<link rel="preload" as="font"[^>]*>'), ""),  # refused on pages opened as files
    (re.compile(r"<th></th>"), "<td></td>"),  # the empty corner of a pandas table heads nothing
    (re.compile(r"<thead>\s*<tr[^>]*>(\s*<th[^>]*><p></p></th>)+\s*</tr>\s*</thead>"), ""),  # nor do heads of nothing
    (re.compile(r"<td>(?=<p>\d{4}-\d\d-\d\d</p>)"), '<td class="unbroken">'),
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),  # the former is deprecated; its parent is a list
    (re.compile(r' id="(exercise|solution)-content"'), ""),  # every exercise had the same
    (re.compile(r"(Solution to)(<a [^>]*>) "), r"\1 \2"),  # a space is not underlined
    # No line begins with the full stop after a formula, or ends with the bracket before it.
    (re.compile(rf"\({MATHS}{STOPS}*|{MATHS}(?:[-’]\w+{STOPS}*|{STOPS}+)"), r'<span class="unbroken">\g<0></span>'),
)

# A name in code is not broken, nor is a short expression; in a table a long one is broken before a name.
CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
CODE = re.compile(r'<code class="(docutils literal notranslate)">((?:<span class="pre">[^<]*</span>\s*)+)</code>')
NAME, EXPRESSION = 24, 12  # letters
PATH = re.compile(r'<span class="pre">([^</]+(?:/[^</]+)+)</span>')  # is broken after a folder, not at a hyphen
OPTION = re.compile(r'<span class="pre">(--[^<]{1,22})</span>')  # is not parted from its dashes

# What stays as it was typed: code, maths, and what is no text. Printed output is text, and comes first.
PRINTED = r'<div class="output stream[^"]*">.*?</pre>'
TYPED = r'<(?P<tag>head|script|style|svg|pre|code)\b.*?</(?P=tag)>|<(?P<kind>span|div) class="math.*?</(?P=kind)>'
APART = re.compile(f"(?P<printed>{PRINTED})|{TYPED}", re.DOTALL)
NEGATIVE = re.compile(r"(?<=[>(\[\s])-(?=\d[^<>]*(?:<|\Z))")
LETTER = re.compile(r"(?<![\w-])(?:\w|[A-Z]{2})-[A-Za-z]\w+(?=[^<>]*(?:<|\Z))")  # t-SNE, VQ-VAE
SETTING = re.compile(r"(?<=\w=)[‘’]([\w-]+)’")
NEGATIVE_ZERO = re.compile(r"−(?=0(\.0+)?(?![\d.]))")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("config-inited", _choose_mathjax)
    app.connect("html-page-context", _offer_script, priority=502)  # after the theme's own buttons
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathjax() -> Path | None:
    """The folder of MathJax's files in its package; None where that is not installed."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(f"{PACKAGE}/static/mathjax")))
    except PackageNotFoundError:
        return None


def tidy(html: str) -> str:
    """A page without what is loaded in vain, is wrong for a screen reader, or breaks in the wrong place."""
    html = framed(html)
    for pattern, instead in TIDY:
        html = pattern.sub(instead, html)
    html = CELL.sub(_written, CODE.sub(_code, html))
    parts, end = [], 0
    for found in APART.finditer(html):
        parts += [typeset(html[end : found.start()]), _printed(found[0]) if found["printed"] else found[0]]
        end = found.end()
    return "".join([*parts, typeset(html[end:])])


def _written(found: re.Match[str]) -> str:
    cell = CODE.sub(lambda code: re.sub(r"(?<=[(.])(?=\w)", "<wbr>", code[0]), found[0])
    if not cell.startswith("<td><p>"):
        return cell
    if is_words(re.sub("<[^>]*>", " ", cell)):
        return cell.replace("<td>", '<td class="words">', 1)
    return cell if "<code" in cell or "math" in cell else whole_intervals(cell)


def _code(found: re.Match[str]) -> str:
    text = re.sub("<[^>]*>", "", found[2]).strip()
    if len(text) <= (EXPRESSION if " " in text else NAME):
        return found[0].replace(found[1], f"{found[1]} unbroken", 1)
    return PATH.sub(_path, OPTION.sub(r'<span class="pre unbroken">\1</span>', found[0]))


def _path(found: re.Match[str]) -> str:
    parts = re.findall("[^/]*/|[^/]+", found[1])
    wholes = (f'<span class="unbroken">{part}</span>' if len(part) <= NAME else part for part in parts)
    return f'<span class="pre">{"<wbr>".join(wholes)}</span>'


def typeset(html: str) -> str:
    """Text of a page with true minus signs, no zero below zero, loss='relativistic' to be copied, and t-SNE whole."""
    signed = NEGATIVE_ZERO.sub("", NEGATIVE.sub("−", html))
    return LETTER.sub(r'<span class="unbroken">\g<0></span>', SETTING.sub(r"'\1'", signed))


def _printed(output: str) -> str:
    """Printed text, which flows where it does not fit, unless it has columns."""
    columns = re.search(r"\S {2,}\S", output[output.index("<pre") :])
    return typeset(output if columns else output.replace('">', ' flowing">', 1))


def _choose_mathjax(app: Sphinx, config: Config) -> None:
    if mathjax():
        config.mathjax_path = f"mathjax/{MATHJAX[0]}"
    else:
        getLogger(__name__).info(f"{PACKAGE} is not installed: the pages load MathJax from a CDN")


def _offer_script(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Beside a chapter's notebook, its source can be downloaded."""
    script = Path(app.srcdir, f"{name}.py")
    groups = [group for group in context.get("header_buttons", []) if group.get("label") == "download-buttons"]
    if groups and script.exists():
        copy = Path(app.outdir, "_sources", f"{name}.py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(script, copy)
        button = {"type": "link", "url": f"{context['pathto']('_sources', 1)}/{name}.py", "text": ".py"}
        button |= {"icon": "fas fa-code", "tooltip": "Download script", "label": "download-script-button"}
        groups[0]["buttons"].insert(1, button)


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static, source = Path(app.outdir, "_static"), mathjax()
    for name in MATHJAX if source else ():
        here, there = source / name, static / "mathjax" / name  # type: ignore[operator]
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(here, there, dirs_exist_ok=True) if here.is_dir() else shutil.copyfile(here, there)
    for path in [path for pattern in UNUSED for path in static.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for page in Path(app.outdir).rglob("*.html"):
        page.write_text(tidy(page.read_text(encoding="utf-8")), encoding="utf-8")
