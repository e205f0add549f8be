"""What the browser tests of this folder share: one Chromium for a file, and the built site over HTTP."""

import pytest
from browser import chromium, served, watched


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served; a file of tests may have a page of its own instead."""
    with served(site[1]) as address:
        yield address


@pytest.fixture
def visitor(browser):
    """visitor(address, **settings): a tab there, in a context with these settings; nothing may go wrong on it."""
    contexts = []

    def visit(address, **settings):
        tab, faults = watched(context := browser.new_context(**settings))
        contexts.append((context, faults))
        tab.goto(address)
        return tab

    yield visit
    for context, faults in contexts:
        context.close()
        assert faults == []
