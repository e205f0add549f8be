"""The built site: no warning, a page for each entry, no broken link, no picture without words."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from vaelib.book.notebooks import contents

ROOT = Path(__file__).parents[1]
ATTRIBUTES = {"a": "href", "img": "src", "link": "href", "script": "src", "source": "src"}
pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A build from nothing but the committed book: no library, no data."""
    folder = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder)
    for name in ("assets", "chapters"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    jupyter_book = shutil.which("jupyter-book", path=Path(sys.executable).parent)
    ran = subprocess.run(
        [jupyter_book, "build", str(folder), "-W", "-n", "--keep-going"], capture_output=True, text=True
    )
    return ran, folder / "_build" / "html"


@cache
def parsed(page):
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page):
    return {tag["id"] for tag in parsed(page).find_all(id=True)}


def broken(page, address):
    """Whether an address on a page leads to a file or an anchor that the site does not have."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return True
    return bool(parts.fragment) and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target)


def test_builds_without_a_warning(build):
    ran, html = build
    assert ran.returncode == 0, ran.stdout[-5_000:] + ran.stderr[-5_000:]
    assert "WARNING" not in ran.stdout + ran.stderr
    assert (html / "index.html").exists()


def test_every_entry_has_a_page(build):
    assert [name for name in contents(ROOT) if not (build[1] / f"{name}.html").exists()] == []


def test_every_internal_link_resolves(build):
    pages = sorted(page for page in build[1].rglob("*.html") if "_static" not in page.parts)
    found = [
        f"{page.name}: {tag[attribute]}"
        for page in pages
        for name, attribute in ATTRIBUTES.items()
        for tag in parsed(page).find_all(name, {attribute: True})
        if broken(page, tag[attribute])
    ]
    assert len(pages) > 3
    assert found == []


def test_every_picture_has_an_alternative_text(build):
    pages = [build[1] / f"{name}.html" for name in contents(ROOT)]
    pictures = [(page.name, picture) for page in pages for picture in parsed(page).select("article img")]
    assert [(page, str(picture)) for page, picture in pictures if not picture.get("alt") or "/" in picture["alt"]] == []
