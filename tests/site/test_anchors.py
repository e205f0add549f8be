"""A link into a page that holds explorers lands where it points to, though explorers start on the way."""

import pytest
from browser import watched

pytestmark = pytest.mark.xdist_group("site")

OPEN = "async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }"
LANDED = """async (id) => {
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    const off = () => {
        const [page, one] = [document.documentElement, document.getElementById(id)];
        const kept = [getComputedStyle(page).scrollPaddingTop, getComputedStyle(one).scrollMarginTop];
        const wanted = kept.reduce((sum, length) => sum + (Number.parseFloat(length) || 0), 0);
        const off = one.getBoundingClientRect().top - wanted;
        const [first, last] = [scrollY === 0, scrollY + innerHeight >= page.scrollHeight - 2];
        return (first && off < 0) || (last && off > 0) ? 0 : off;
    };
    for (let there = 0, i = 0; there < 6 && i < 300; i++) {  // a busy machine takes a while
        there = Math.abs(off()) < 5 ? there + 1 : 0;
        await new Promise((done) => setTimeout(done, 50));
    }
    return off();
}"""
SECTIONS = "[...document.querySelectorAll('article section[id]')].map((section) => section.id)"


@pytest.fixture(scope="module")
def pages(site):
    """The pages with explorers, each of which has its picture."""
    found = [page for page in site[1].rglob("*.html") if 'class="vae-place"' in page.read_text(encoding="utf-8")]
    assert found, "no page holds an explorer with its picture: execute chapters/08_explore.py again"
    return found


@pytest.mark.parametrize("width", [1400, 390])
def test_every_anchor_lands(browser, pages, width):
    """Within 5 pixels, by a click on an open page, and by a deep link to some. On a phone a third of them is tried."""
    with browser.new_context(viewport={"width": width, "height": 850}) as context:
        for page in pages:
            tab, faults = watched(context)
            tab.goto(page.as_uri(), timeout=90_000)
            tab.evaluate(OPEN)
            names = tab.evaluate(SECTIONS)
            assert len(names) > 1
            for name in names[:: 1 if width > 1000 else 3]:
                tab.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
                tab.evaluate("name => { location.hash = ''; location.hash = name; }", name)
                assert abs(tab.evaluate(LANDED, name)) < 5, f"{page.stem}: a click on #{name}"
            for name in names[2::5]:
                tab.goto("about:blank")
                tab.goto(f"{page.as_uri()}#{name}", timeout=90_000)
                assert abs(tab.evaluate(LANDED, name)) < 5, f"{page.stem}: a deep link to #{name}"
            assert faults == []
            tab.close()
