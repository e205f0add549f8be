"""The built site as one PDF, printed by the machine's Chromium: ``python -m vaebook.build.pdf``, or ``make pdf``."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vaebook.build.notebooks import contents, find_root

__all__ = ["BROWSERS", "READY", "find_browser", "join", "main", "printed"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MARGIN = "18mm"
FOOTER = """<div style="width: 100%; text-align: center; font-size: 8px">
    <span class="title"></span>, page <span class="pageNumber"></span></div>"""
READY = """async () => {
    for (const explorer of document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]')) {
        explorer.parentElement.scrollIntoView();  // it starts when the reader comes near
        for (let i = 0; i < 50 && !explorer.parentElement.querySelector(".vae[data-ready]"); i++)
            await new Promise((done) => setTimeout(done, 100));
    }
    scrollTo(0, 0);
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
}"""


def main() -> int:
    """Returns the exit status."""
    root = find_root(Path())
    pages = [root / "_build" / "html" / f"{name}.html" for name in contents(root)]
    browser = find_browser()
    if browser is None or not all(page.exists() for page in pages):
        print("needs the built site (make book) and Chromium (apt-get install chromium)", file=sys.stderr)
        return 1
    target = root / "_build" / "recreating-vae.pdf"
    target.write_bytes(join(list(printed(pages, browser))))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    return 0


def find_browser() -> str | None:
    """The path of a Chromium or Chrome on this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def printed(pages: Sequence[Path], browser: str) -> Iterator[tuple[str, bytes]]:
    """The title and the PDF of each page, on A4, without what wants a click."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        tab = running.new_page(color_scheme="light", viewport={"width": 900, "height": 1200})
        for page in pages:
            tab.goto(page.resolve().as_uri(), wait_until="load")
            tab.evaluate(READY)
            sheets = tab.pdf(
                format="A4",
                scale=0.8,
                print_background=True,
                margin={"top": MARGIN, "right": MARGIN, "bottom": MARGIN, "left": MARGIN},
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
            )
            yield tab.title().partition(" — ")[0], sheets
        running.close()


def join(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """One PDF of many, with an outline of their titles."""
    from pypdf import PdfWriter

    writer = PdfWriter()
    for title, sheets in parts:
        writer.append(io.BytesIO(sheets), outline_item=title, import_outline=False)
    writer.compress_identical_objects()
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
