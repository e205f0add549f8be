"""What helps a reader on the site: figures in the dark and on a phone, the search, cards that lead to explorers."""

import pytest
from browser import chromium, opened, served, watched
from playwright.sync_api import expect

from vaebook.experiments.claims import CLAIMS

PHONE = {"width": 390, "height": 844}
LUMINANCE = """figure => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const context = canvas.getContext("2d");
    context.drawImage(figure, 2, 2, 1, 1, 0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data[0];
}"""
pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(site):
    with served(site[1]) as address:
        yield address


@pytest.fixture
def visit(browser, address):
    """Opens a page of the site; nothing may go wrong on it."""
    contexts = []

    def open_page(name, **settings):
        tab, faults = watched(context := browser.new_context(**settings))
        contexts.append((context, faults))
        return opened(tab, f"{address}/{name}")

    yield open_page
    for context, faults in contexts:
        context.close()
        assert faults == []


def theme(tab, name):
    tab.evaluate("name => { document.documentElement.dataset.theme = name }", name)


@pytest.mark.parametrize("name", ["03_training", "04_sweeps", "05_collapse", "06_sampling", "07_scorecard"])
def test_no_figure_glares_in_the_dark(visit, name):
    """The card of each is dark there, and as it was on a light page and on paper."""
    tab = visit(f"chapters/{name}.html")
    figures = tab.locator(".bd-content figure img[src$='.png']")
    assert figures.count() > 0
    for scheme, dark in (("dark", True), ("light", False)):
        theme(tab, scheme)
        for figure in figures.all():
            figure.scroll_into_view_if_needed()
            figure.evaluate("figure => figure.decode()")
            assert (figure.evaluate(LUMINANCE) < 60) == dark, (scheme, figure.get_attribute("src"))
    theme(tab, "dark")
    tab.wait_for_load_state("networkidle")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.wait_for_load_state("networkidle")
    assert not any(figure.get_attribute("src").endswith(".dark.png") for figure in figures.all())


def test_a_figure_is_enlarged_on_a_phone_by_key_and_by_tap(visit):
    tab = visit("chapters/03_training.html", viewport=PHONE)
    button = tab.get_by_role("button", name="Enlarge this figure").first
    button.focus()
    tab.keyboard.press("Enter")
    large = tab.get_by_role("dialog", name="Enlarged figure")
    expect(large).to_be_visible()
    picture = large.locator("img")
    assert picture.bounding_box()["width"] > 600 and picture.get_attribute("alt")
    assert large.bounding_box()["width"] <= 390
    tab.keyboard.press("Escape")
    expect(large).to_have_count(0)
    expect(button).to_be_focused()
    tab.locator(".bd-content figure img").first.click()
    expect(large).to_be_visible()
    large.get_by_role("button", name="Close").click()
    expect(large).to_have_count(0)
    tab.set_viewport_size({"width": 1400, "height": 900})
    expect(button).to_be_hidden()


def test_the_scorecards_claims_are_not_cut_on_a_phone(visit):
    tab = visit("chapters/07_scorecard.html", viewport=PHONE)
    cells = tab.locator("table:has(td br) td:has(br)")
    assert cells.count() == len(CLAIMS)
    ends = cells.evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    assert max(ends) <= 390


def test_a_search_ranks_and_quotes_the_text(visit):
    tab = visit("search.html?q=posterior+collapse")
    results = tab.locator("ul.search li")
    expect(results.first.locator("p.context")).to_be_visible(timeout=15_000)
    tab.wait_for_timeout(1000)
    titles = [result.locator("a").first.inner_text() for result in results.all()]
    place = {name: next(i for i, title in enumerate(titles) if name in title) for name in ("Debugging", "How many")}
    assert place["Debugging"] < place["How many"]
    quoted = " ".join(results.locator("p.context").all_inner_texts())
    for chrome in (".ipynb", ".pdf", "Contents", "previous", "Print to PDF", "\\("):
        assert chrome not in quoted, chrome


def test_the_reference_has_no_alias_for_a_field(visit):
    assert "Alias for field number" not in visit("chapters/api.html").locator("article").inner_text()


@pytest.mark.parametrize(
    ("page", "label"),
    [("03_training", "explore-plane"), ("05_collapse", "explore-dial"), ("06_sampling", "explore-sampler")],
)
def test_a_card_leads_to_the_explorer(visit, page, label):
    tab = visit(f"chapters/{page}.html")
    card = tab.locator(".explorer-ticket")
    expect(card).to_have_count(1)
    picture = card.locator("img")
    assert picture.get_attribute("alt")
    theme(tab, "dark")
    picture.evaluate("picture => picture.decode()")
    assert picture.evaluate(LUMINANCE) < 60
    card.click()
    tab.wait_for_url(f"**/08_explore.html#{label}")
