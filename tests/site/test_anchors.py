"""A link into a page that holds explorers lands where it points to, though explorers start on the way."""

import pytest
from browser import watched
from bs4 import BeautifulSoup

pytestmark = pytest.mark.xdist_group("site")

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
    for (let there = 0, i = 0; there < 4 && i < 300; i++) {  // a busy machine takes a while
        there = Math.abs(off()) < 5 ? there + 1 : 0;
        await new Promise((done) => setTimeout(done, 50));
    }
    return off();
}"""


@pytest.fixture(scope="module")
def pages(site):
    """The pages with explorers, each of which has its picture."""
    found = [page for page in site[1].rglob("*.html") if 'class="vae-place"' in page.read_text(encoding="utf-8")]
    assert found, "no page holds an explorer with its picture: execute chapters/08_explore.py again"
    return found


def test_every_anchor_lands(browser, pages):
    """Within 5 pixels, by a click on an open page, and at either width by a deep link to a late one, which opens it.

    On a phone a third of them is tried.
    """
    with browser.new_context() as context:
        for page in pages:
            tab, faults = watched(context)
            text = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
            names = [section["id"] for section in text.select("article section[id]")]
            assert len(names) > 1
            for width, deep in ((1400, names[-1]), (390, names[len(names) // 2])):
                tab.set_viewport_size({"width": width, "height": 850})
                tab.goto("about:blank")
                tab.goto(f"{page.as_uri()}#{deep}", timeout=90_000)
                assert abs(tab.evaluate(LANDED, deep)) < 5, f"{page.stem}, {width}: a deep link to #{deep}"
                for name in names[:: 1 if width > 1000 else 3]:
                    tab.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
                    tab.evaluate("name => { location.hash = ''; location.hash = name; }", name)
                    assert abs(tab.evaluate(LANDED, name)) < 5, f"{page.stem}, {width}: a click on #{name}"
            assert faults == []
            tab.close()
