"""The book as a PDF: pages printed by the browser and joined, with an outline."""

import io
import os

import pytest

from vaebook.build.pdf import find_browser, join, printed

pytestmark = pytest.mark.xdist_group("site")


def test_pages_are_printed_and_joined(site):
    browser = find_browser()
    if browser is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("needs Chromium: apt-get install chromium, or Chrome")
    from pypdf import PdfReader

    pages = [site[1] / "chapters" / f"{name}.html" for name in ("glossary", "references")]
    book = PdfReader(io.BytesIO(join(list(printed(pages, browser)))))
    assert [part.title for part in book.outline] == ["Glossary", "References"]
    text = " ".join(page.extract_text() for page in book.pages)
    assert "active unit" in text and "Kingma" in text
    assert "Search" not in text, "what wants a click is not printed"
