"""A reader's own run as a web page, as the book's own: captions, equations, citations, no set-up cells.

References to other chapters become links to the book, with the book's numbers.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from vaebook.build.execute import ChapterError
from vaebook.build.notebooks import Chapter, contents
from vaelib.config import ConfigError

__all__ = ["Target", "labels", "linked", "relink", "render", "settings", "site_of", "targets"]

BESIDE = ("references.md", "glossary.md")  # what citations and terms lead to
BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")  # of pages that others can see

ROLE = re.compile(r"\{(doc|ref|numref|eq)\}`(?:([^`<]+?)\s*<([^`>]+)>|([^`]+))`")
LINK = re.compile(r"\]\((?:\./)?([\w-]+)\.(?:ipynb|md)(#[\w-]+)?\)")
NAMED = re.compile(r"\[([^\]]*)\]\(#?([\w-]+)\)")
TICKET = re.compile(r"^```\{explorer\} *([\w-]+)\n```", re.MULTILINE)
EQUATION = re.compile(r"^\$\$ \(([\w-]+)\)", re.MULTILINE)
SECTION = re.compile(r"^\(([\w-]+)\)=\n+#+ +(.+)", re.MULTILINE)
EXERCISE = re.compile(r"^```+\{(?:exercise|solution)[^}]*\}[^\n]*\n(?:[^`]*\n)?:label: ([\w-]+)", re.MULTILINE)
TITLE = re.compile(r"^# +(.+)", re.MULTILINE)


def render(notebook: Path, root: Path) -> Path:
    """Builds the page of an executed notebook beside it, in NAME-html/, and returns the file to open.

    `root` is the book's folder. References to other chapters lead to the book's site (see `site_of`).

    Raises:
        ConfigError: the packages that build pages are not installed.
        ChapterError: the page could not be built; says why.
    """
    if find_spec("jupyter_book") is None:
        raise ConfigError('--html needs the packages that build pages: make book, or pip install --editable ".[book]"')
    name, target = notebook.stem, notebook.with_name(f"{notebook.stem}-html")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "chapters").mkdir()
        shutil.copytree(root / "assets", project / "assets")
        shutil.copy(root / "chapters" / "references.bib", project / "chapters")
        _write_pages(notebook, root, project / "chapters")
        toc: dict[str, Any] = {"format": "jb-book", "root": f"chapters/{name}"}
        toc["chapters"] = [{"file": f"chapters/{Path(file).stem}"} for file in BESIDE]
        for file, content in (("_toc.yml", toc), ("_config.yml", settings(root))):
            (project / file).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
        command += [str(project), "--quiet"]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=project)
        built = project / "_build" / "html"
        if not (built / "chapters" / f"{name}.html").exists():
            raise ChapterError(f"{notebook}: no page could be built of it: {(ran.stderr or ran.stdout)[-500:]}")
        for page in (built / "chapters").glob("*.html"):
            text = page.read_text(encoding="utf-8")
            page.write_text(led_to(site_of(root), text, published(root)), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(built, target)
    return target / "index.html"


def _write_pages(notebook: Path, root: Path, folder: Path) -> None:
    """The notebook and the pages that come with it, none of which refers to what is not there."""
    known, site, beside = targets(root), published(root), {Path(file).stem for file in BESIDE}
    page = nbformat.read(notebook, as_version=4)
    relink(page, beside, known, site)
    nbformat.write(page, folder / notebook.name)
    for file in BESIDE:
        text = (root / "chapters" / file).read_text(encoding="utf-8")
        (folder / file).write_text(linked(text, beside | labels(text), known, site), encoding="utf-8")


def settings(root: Path) -> dict[str, Any]:
    """The book's `_config.yml`, without what only its published pages have."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config.pop("launch_buttons", None)
    config["html"] |= dict.fromkeys(BUTTONS, False)
    return config


# References to other chapters


@dataclass(frozen=True)
class Target:
    """What a label stands for in the book: a page's path without suffix, an anchor there, and the words of a link."""

    page: str
    anchor: str
    words: str
    title: str  # of the page


def targets(root: Path) -> dict[str, Target]:
    """All that can be referred to: by label, and each page by the end of its path. Numbers are those of the site.

    The site counts chapters through, and within each the labelled equations and the figures; those of pages without
    a number it counts through.
    """
    numbered, found = _numbered(root), dict[str, Target]()
    counts = Counter[tuple[str, str]]()

    def number(kind: str, chapter: str) -> str:
        counts[kind, chapter] += 1
        return f"{chapter}{counts[kind, chapter]}"

    for path in contents(root):
        name, cells = path.rpartition("/")[2], _cells(root / path)
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        title = next(iter(TITLE.findall(text)), name)
        chapter = f"{numbered.index(path) + 1}." if path in numbered else ""
        found[name] = Target(path, "", title, title)
        for label, heading in SECTION.findall(text):
            found[label] = Target(path, label, heading, title)
        for label in EQUATION.findall(text):
            found[label] = Target(path, f"equation-{label}", f"({number('equation', chapter)})", title)
        for label in filter(None, map(_figure, cells)):
            found[label] = Target(path, label, f"Fig. {number('figure', chapter)}", title)
    return found


def labels(text: str) -> set[str]:
    """The labels that a text of MyST sets."""
    return {*EQUATION.findall(text), *(label for label, _ in SECTION.findall(text)), *EXERCISE.findall(text)}


def linked(text: str, own: set[str], known: Mapping[str, Target], site: str) -> str:
    """The text with links to the book in place of its references to what is not among the labels and pages `own`.

    A label that the book does not know either becomes the words that stood with it, or itself.
    """

    def link(words: str, label: str) -> str:
        target = known.get(label)
        if target is None:
            return words or label
        anchor = f"#{target.anchor}" if target.anchor else ""
        about = f' "in: {target.title}"' if target.anchor and "$" not in target.title else ""
        return f"[{words or target.words}]({site}/{target.page}.html{anchor}{about})"

    def role(found: re.Match[str]) -> str:
        label = found[3] or found[4]
        return found[0] if label in own else link((found[2] or "").replace("%s", ""), label)

    def named(found: re.Match[str]) -> str:
        return found[0] if found[2] in own or found[2] not in known else link(found[1], found[2])

    def path(found: re.Match[str]) -> str:
        target = known.get(found[1])
        return found[0] if found[1] in own or not target else f"]({site}/{target.page}.html{found[2] or ''})"

    text = TICKET.sub(lambda found: f"Try it in the book: {link('', found[1])}.", text)
    return NAMED.sub(named, LINK.sub(path, ROLE.sub(role, text)))


def relink(notebook: NotebookNode, beside: set[str], known: Mapping[str, Target], site: str) -> None:
    """Does so in the text, captions and Markdown outputs of a notebook; `beside` are pages that it comes with."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    own = beside | labels(text) | set(filter(None, map(_figure, notebook.cells)))
    for holder, key in _texts(notebook):
        holder[key] = linked(holder[key], own, known, site)


def published(root: Path) -> str:
    """The address of the book's site on the web."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return str(config["html"]["baseurl"]).rstrip("/")


def site_of(root: Path) -> str:
    """The address of the book's site: where it was built there, and otherwise where it is published."""
    built = root / "_build" / "html"
    return built.absolute().as_uri() if built.is_dir() else published(root)


def led_to(site: str, page: str, published: str) -> str:
    """The page with its links to the published site leading to `site`: Markdown itself takes no link to a file."""
    return re.sub(rf'(<a [^>]*href="){re.escape(published)}(?=/)', rf"\1{site}", page)


def _texts(notebook: NotebookNode) -> Iterator[tuple[dict[str, str], str]]:
    """Where text of MyST stands."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell, "source"
        elif "caption" in (figure := cell.metadata.get("mystnb", {}).get("figure", {})):
            yield figure, "caption"
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                yield output["data"], "text/markdown"


def _figure(cell: NotebookNode) -> str | None:
    return cell.metadata.get("mystnb", {}).get("figure", {}).get("name")


def _cells(path: Path) -> list[NotebookNode]:
    """The cells of a page, which is a chapter or a text."""
    text = path.with_suffix(".md")
    if text.exists():
        return [NotebookNode(cell_type="markdown", source=text.read_text(encoding="utf-8"), metadata=NotebookNode())]
    return list(Chapter(path.with_suffix(".py")).notebook.cells)


def _numbered(root: Path) -> list[str]:
    """The pages whose chapters have a number, in order."""
    parts = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    return [chapter["file"] for part in parts if part.get("numbered") for chapter in part["chapters"]]
