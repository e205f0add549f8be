"""What the browser tests share: a Chromium, a server for the built site, and a page's errors as it opens."""

import os
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vaebook.build.pdf import READY, find_browser

SETTLE = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"  # it is drawn
PATIENCE = 120  # seconds: a busy machine takes a while
OWN = ("file:", "data:", "blob:", "http://127.0.0.1:", "ws://127.0.0.1:")  # the machine's own addresses


@contextmanager
def chromium():
    """A headless Chromium. None on the machine skips the test; in CI it fails it."""
    found = find_browser()
    if found is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("needs Chromium: apt-get install chromium, or Chrome")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served(folder: Path):
    """The folder over HTTP; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def given_up(request) -> bool:
    """Whether the page itself no longer wanted what it had asked for, such as a picture of the other theme."""
    return request.failure == "net::ERR_ABORTED"


def watched(context):
    """A new page, and the list of what goes wrong on it from now on; no other host can be reached."""
    context.set_default_timeout(1000 * PATIENCE)
    page, faults = context.new_page(), []
    page.on("console", lambda said: faults.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("requestfailed", lambda request: None if given_up(request) else faults.append(f"failed: {request.url}"))
    page.on("response", lambda got: faults.append(f"{got.status}: {got.url}") if got.status >= 400 else None)
    page.route(lambda address: not address.startswith(OWN), lambda route: route.abort())
    return page, faults


def opened(page, address: str):
    """Opens an address and waits until its maths is typeset, its pictures are there and its explorers run."""
    page.goto(address, wait_until="load")
    page.evaluate(READY)
    return page


def eventually(page, found, otherwise="it never came"):
    """What `found()` returns, asked again and again until that is true: a test waits for a state, never for a time."""
    until = time.monotonic() + PATIENCE
    while not (state := found()):
        if time.monotonic() > until:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        page.wait_for_timeout(50)
    return state


def moved(page, card) -> bool:
    """Whether the first slider of an explorer, moved by keyboard, changes one of its pictures."""
    pictures, content = card.locator("canvas"), "all => all.map((one) => one.toDataURL())"
    before = pictures.evaluate_all(content)
    card.locator("input[type=range]").first.focus()
    page.keyboard.press("End")
    return before != [] and eventually(
        page, lambda: pictures.evaluate_all(content) != before, f"{card.get_attribute('aria-label')}: nothing moved"
    )
