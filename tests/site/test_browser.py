"""Every page in a real browser: nothing missing, nothing broken, readable by everyone. Pictures of each are kept."""

from importlib.resources import files
from pathlib import Path

import pytest
from browser import moved, opened, watched

from vaebook.build.notebooks import contents

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "_build" / "screenshots"
PAGES = [*contents(ROOT), "genindex", "search"]
OF_EACH_KIND = ["chapters/index", "chapters/02_model", "chapters/08_explore", "chapters/api", "search"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = {"light": ("light", DESKTOP), "dark": ("dark", DESKTOP), "phone": ("light", PHONE)}
TALLEST = 30_000  # pixels of a picture
# What axe-core says of markup that is not ours: the rule, what the element holds, and why it stays.
BASELINE = [("region", "logo__title", "the theme puts its logo's text outside of all landmarks")]
MATHJAX = [["mjx-math"], ["mjx-assistive-mml"]]  # inside of an equation: thousands of elements, none of them ours
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
    cards = tab.locator(".vae[data-ready]")
    views = tab.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    from playwright.sync_api import expect

    for place in tab.locator('script[type="application/vnd.jupyter.widget-view+json"]').all():
        place.evaluate("script => script.parentElement.scrollIntoView()")  # each builds itself when it is near
        tab.wait_for_timeout(500)
    expect(cards).to_have_count(views, timeout=60_000)
    with_sliders = [card for card in cards.all() if card.locator("input[type=range]").count()]
    assert [card.get_attribute("aria-label") for card in with_sliders if not moved(tab, card)] == []
    assert faults == []


def test_page_is_accessible(visit):
    """In the dark only colours change, and they are those of every page: it is looked at on one of each kind."""
    name, tab, _ = visit
    tab.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = []
    for scheme, rules in {"light": "", "dark": ", runOnly: ['color-contrast']"}.items():
        if scheme == "dark" and name not in (*OF_EACH_KIND, "chapters/05_collapse"):
            continue
        tab.emulate_media(color_scheme=scheme)
        settings = f"{{resultTypes: ['violations']{rules}}}"
        broken = tab.evaluate(f"axe.run({{exclude: {MATHJAX}}}, {settings})")["violations"]
        found += [(rule["id"], node["html"], node["target"], scheme) for rule in broken for node in rule["nodes"]]
    known = [one for one in found if any(one[0] == rule and part in one[1] for rule, part, _ in BASELINE)]
    assert [one for one in found if one not in known] == []


@pytest.mark.parametrize("look", LOOKS)
def test_page_fits_and_has_its_picture_taken(visit, look):
    """No page scrolls sideways. The pictures are for a person to look at: _build/screenshots."""
    name, tab, _ = visit
    scheme, size = LOOKS[look]
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size(size)
    tab.evaluate("scrollTo(0, 0)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    height = min(tab.evaluate("document.documentElement.scrollHeight"), TALLEST)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    file = SCREENSHOTS / f"{Path(name).name}-{look}.jpeg"
    part = {"x": 0, "y": 0, "width": size["width"], "height": height}
    tab.screenshot(path=file, full_page=True, clip=part, type="jpeg", quality=80)


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_page_is_whole_without_a_server(browser, site, name):
    """One of each kind: all are made of the same parts."""
    with browser.new_context(viewport=DESKTOP) as context:
        tab, faults = watched(context)
        whole(opened(tab, (site[1] / f"{name}.html").as_uri()), faults)
