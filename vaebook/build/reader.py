"""A reader's own run as a web page, as the book's own: captions, equations, citations, no set-up cells."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import yaml

from vaebook.build.elsewhere import labels, linked, relink, site_of, targets
from vaebook.build.execute import ChapterError
from vaelib.config import ConfigError

__all__ = ["render", "settings"]

BESIDE = ("references.md", "glossary.md")  # what citations and terms lead to
BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")  # of pages that others can see


def render(notebook: Path, root: Path) -> Path:
    """Builds the page of an executed notebook beside it, in NAME-html/, and returns the file to open.

    `root` is the book's folder. References to other chapters lead to the book's site (see `elsewhere.site_of`).

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
        contents: dict[str, Any] = {"format": "jb-book", "root": f"chapters/{name}"}
        contents["chapters"] = [{"file": f"chapters/{Path(file).stem}"} for file in BESIDE]
        for file, content in (("_toc.yml", contents), ("_config.yml", settings(root))):
            (project / file).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
        command += [str(project), "--quiet"]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=project)
        built = project / "_build" / "html"
        if not (built / "chapters" / f"{name}.html").exists():
            raise ChapterError(f"{notebook}: no page could be built of it: {(ran.stderr or ran.stdout)[-500:]}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(built, target)
    return target / "index.html"


def _write_pages(notebook: Path, root: Path, folder: Path) -> None:
    """The notebook and the pages that come with it, none of which refers to what is not there."""
    known, site, beside = targets(root), site_of(root), {Path(file).stem for file in BESIDE}
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
