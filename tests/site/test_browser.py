"""Every page in a real browser, opened once: nothing missing, nothing broken, readable by everyone.

With PICTURES=1 a picture of each, light, dark and on a phone, is kept for a person to look at: _build/screenshots.
"""

import os
from importlib.resources import files
from pathlib import Path

import pytest
from browser import SETTLE, moved, opened, watched
from playwright.sync_api import expect

from vaebook.build.notebooks import contents

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "_build" / "screenshots"
PAGES = [*contents(ROOT), "genindex", "search"]
OF_EACH_KIND = ["chapters/index", "chapters/published", "chapters/own_images", "chapters/08_explore"]
OF_EACH_KIND += ["chapters/api", "search"]
DESKTOP, TABLET, PHONE = ({"width": width, "height": 900} for width in (1280, 768, 390))
LOOKS = {"light": ("light", DESKTOP), "dark": ("dark", DESKTOP), "phone": ("light", PHONE)}
TALLEST = 30_000  # pixels of a picture
# What axe-core says of markup that is not ours: the rule, what the element holds, and why it stays.
BASELINE = [("region", "logo__title", "the theme puts its logo's text outside of all landmarks")]
# The inside of equations, thousands of elements of which none is ours; entries of the reference, but for three.
MATHS = [["mjx-math"], ["mjx-assistive-mml"]]
MANY_OF_A_KIND = ":is(mjx-math, mjx-assistive-mml):not(th *), dl.py:nth-of-type(n + 4)"
# What reaches beyond the text that it stands in, and headings whose link has a line of its own.
BEYOND = """() => {
    const texts = "p, li, td, dd, dt, figcaption, h1, h2, h3, figure";
    const box = (one) => one.getBoundingClientRect();
    const far = (one) => box(one).right > box(one.closest(texts) ?? document.body).right + 2;
    const below = (link) => {
        const words = document.createRange();
        words.selectNodeContents(link.parentElement);
        words.setEndBefore(link);
        const end = Math.max(...[...words.getClientRects()].map(({ bottom }) => bottom));
        return box(link).height > 0 && box(link).top > end - 4;
    };
    const shown = (one) => one.checkVisibility() && !one.closest("pre, .vae, .vae-place, .preview");
    const all = (query) => [...document.querySelectorAll(query)].filter(shown);
    const beyond = all("article :is(mjx-container, img, code)").filter(far);
    const found = [...beyond, ...all(":is(h1, h2, h3) > .headerlink").filter(below)];
    return found.map((one) => one.getAttribute("src") ?? one.parentElement.textContent.slice(0, 60));
}"""
# What scrolls without a sign that there is more of it.
UNSAID = """() => {
    const boxes = document.querySelectorAll(
        "article :is(mjx-container, table, .pst-scrollable-table-container, pre, .output)"
    );
    const scrolls = (one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible";
    const silent = (one) => getComputedStyle(one).backgroundImage === "none";
    return [...boxes].filter((one) => scrolls(one) && silent(one)).map((one) => one.textContent.slice(0, 60));
}"""
pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module", params=PAGES)
def visit(request, browser, address):
    """A page of the site over HTTP, open in a tab, and what went wrong as it opened."""
    with browser.new_context(viewport=DESKTOP) as context:
        tab, faults = watched(context)
        yield request.param, opened(tab, f"{address}/{request.param}.html"), faults


def whole(tab, faults):
    """No failing request, no error, all maths typeset, all pictures there and described."""
    assert faults == []
    assert tab.locator(".math:not(:has(mjx-container)), mjx-merror").count() == 0
    broken = "images => images.filter(i => !i.naturalWidth || !i.hasAttribute('alt')).map(i => i.src)"
    assert tab.locator("img").evaluate_all(broken) == []


def test_page_is_whole(visit):
    _, tab, faults = visit
    whole(tab, faults)


def test_explorers_run_without_a_kernel(visit):
    _, tab, faults = visit
    for script in tab.locator('script[type="application/vnd.jupyter.widget-view+json"]').all():
        script.evaluate("script => script.parentElement.scrollIntoView()")  # each builds itself when it is near
        card = script.locator("..").locator(".vae[data-ready]")
        expect(card).to_have_count(1, timeout=60_000)
        if card.locator("input[type=range]").count():
            assert moved(tab, card)
    assert faults == []


def test_page_fits(visit):
    """No page scrolls sideways, whatever its width; what is wider scrolls in its own box, with a shadow at the edge."""
    name, tab, _ = visit
    for size in (DESKTOP, TABLET, PHONE):
        tab.set_viewport_size(size)
        tab.evaluate(SETTLE)
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"], size
        assert tab.evaluate(BEYOND) == [], size
        assert tab.evaluate(UNSAID) == [], size
    for look in LOOKS if os.environ.get("PICTURES") else ():
        take_picture(tab, name, look)


def test_page_is_accessible(visit):
    """Contrast, the dearest rule, hangs on colours, which are those of every page: it is asked of one of each kind.

    The last test of a page: it takes from it what is there a thousand times.
    """
    name, tab, _ = visit
    tab.evaluate("kind => document.querySelectorAll(kind).forEach((one) => one.remove())", MANY_OF_A_KIND)
    tab.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = []
    runs = {"light": "rules: {'color-contrast': {enabled: false}}"}
    if name in OF_EACH_KIND:
        runs = {"light": "", "dark": "runOnly: ['color-contrast']"}
    for scheme, rules in runs.items():
        tab.emulate_media(color_scheme=scheme)
        settings = f"{{resultTypes: ['violations'], {rules}}}"
        broken = tab.evaluate(f"axe.run({{exclude: {MATHS}}}, {settings})")["violations"]
        found += [(rule["id"], node["html"], node["target"], scheme) for rule in broken for node in rule["nodes"]]
    known = [one for one in found if any(one[0] == rule and part in one[1] for rule, part, _ in BASELINE)]
    assert [one for one in found if one not in known] == []


def take_picture(tab, name, look):
    scheme, size = LOOKS[look]
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size(size)
    tab.evaluate("scrollTo(0, 0)")
    height = min(tab.evaluate("document.documentElement.scrollHeight"), TALLEST)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    file = SCREENSHOTS / f"{Path(name).name}-{look}.jpeg"
    part = {"x": 0, "y": 0, "width": size["width"], "height": height}
    tab.screenshot(path=file, full_page=True, clip=part, type="jpeg", quality=80)


@pytest.mark.parametrize("name", ["chapters/08_explore", "search"])
def test_page_is_whole_without_a_server(browser, site, name):
    """All pages are made of the same parts, of which these have every kind: maths, figures, explorers, the search."""
    with browser.new_context(viewport=DESKTOP) as context:
        tab, faults = watched(context)
        whole(opened(tab, (site[1] / f"{name}.html").as_uri()), faults)
