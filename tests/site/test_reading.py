"""What helps a reader on the site: figures in the dark and on a phone, the search, cards that lead to explorers."""

import re
from itertools import pairwise

import pytest
from browser import eventually
from PIL import Image
from playwright.sync_api import expect

from vaebook.build.pdf import READY
from vaebook.experiments.claims import CLAIMS

PHONE = {"width": 390, "height": 844}
LUMINANCE = """figure => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const context = canvas.getContext("2d");
    context.drawImage(figure, 2, 2, 1, 1, 0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data[0];
}"""
pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture
def visit(visitor, address):
    """Opens a page of the site, and waits until it is whole."""

    def visit(name, **settings):
        tab = visitor(f"{address}/{name}", **settings)
        tab.evaluate(READY)
        return tab

    return visit


def theme(tab, name):
    tab.evaluate("name => { document.documentElement.dataset.theme = name }", name)


def test_every_figure_on_paper_has_a_dark_twin(site):
    """On every page; of all that stand on paper the upper left corner is dark there."""
    twins = {}
    for page in (site[1] / "chapters").glob("*.html"):
        found = re.findall(
            r'src="\.\./(_images/\w+\.(?:png|gif))"( data-dark="\.\./([^"]+)")?', page.read_text(encoding="utf-8")
        )
        twins |= {source: twin for source, _, twin in found}
    assert len(twins) > 50
    for source, twin in twins.items():
        corners = [Image.open(site[1] / one).convert("L").getpixel((2, 2)) for one in (source, twin) if one]
        assert corners[-1] < 60, (source, twin)


def test_no_figure_glares_in_the_dark(visit):
    """The card of each is dark there, and as it was on a light page and on paper."""
    tab = visit("chapters/03_training.html")
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


def test_captions_are_as_bold_as_the_text(visit):
    tab = visit("chapters/03_training.html")
    weights = "all => all.map((one) => Number(getComputedStyle(one).fontWeight))"
    found = tab.locator("article figcaption .caption-text").evaluate_all(weights)
    assert len(found) > 5 and min(found) >= 400


def test_a_search_ranks_and_quotes_the_text(visit):
    tab = visit("search.html?q=posterior+collapse")
    results = tab.locator("ul.search li")
    expect(results.first.locator("p.context")).to_be_visible(timeout=15_000)
    expect(tab.locator("#search-results .search-summary")).to_contain_text("found", timeout=30_000)
    eventually(tab, lambda: results.locator("p.context").count() == results.count(), "not all results are quoted")
    titles = [result.locator("a").first.inner_text() for result in results.all()]
    place = {name: next(i for i, title in enumerate(titles) if name in title) for name in ("Debugging", "How many")}
    assert place["Debugging"] < place["How many"]
    assert len(set(titles)) == len(titles), "a page is found once"
    quoted = " ".join(results.locator("p.context").all_inner_texts())
    for chrome in (".ipynb", ".pdf", "Contents", "previous", "Print to PDF", "\\", "collapseTraining"):
        assert chrome not in quoted, chrome
    box = tab.locator(".bd-search-container .bd-search input")
    room = box.evaluate("one => one.getBoundingClientRect().left + parseFloat(getComputedStyle(one).paddingLeft)")
    seen = box.locator("xpath=../i").bounding_box()
    assert seen["x"] + seen["width"] <= room, "the sign lies over the words"


def test_a_link_to_a_term_or_an_equation_shows_what_it_leads_to(visit):
    """On hover and by keyboard; the pointer may move onto it, Escape takes it away. Nothing is fetched for it."""
    tab = visit("chapters/03_training.html")
    bubble = tab.get_by_role("tooltip")
    link = tab.locator("article a[data-preview][href*='#term-epoch']").first
    link.scroll_into_view_if_needed()
    link.hover()
    expect(bubble).to_be_visible()
    entry = visit("chapters/glossary.html").locator("dt#term-epoch + dd")
    assert bubble.inner_text().split()[:6] == entry.inner_text().split()[:6]
    bubble.hover()
    tab.wait_for_timeout(600)
    expect(bubble).to_be_visible()
    tab.keyboard.press("Escape")
    expect(bubble).to_have_count(0)
    equation = tab.locator("article a[data-preview][href*='#equation-eq-elbo']").first
    tab.locator("article a").first.focus()
    tab.keyboard.press("Tab")
    equation.focus()
    expect(bubble.locator("mjx-container")).to_have_count(1)
    expect(equation).to_have_attribute("aria-describedby", "preview")
    box = bubble.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= tab.viewport_size["width"]
    cited = tab.locator("article a.reference.internal[href*='references.html#']").first
    assert len(cited.get_attribute("title")) > 40, "a citation says what it is of itself"


def test_the_index_has_even_columns_without_gaps(visit):
    """On a tablet two, on a phone one: the next entry stands where the last one ends."""
    tab = visit("genindex.html", viewport={"width": 768, "height": 900})
    boxes = """table => [...table.querySelectorAll("td > ul > li")].map((one) => {
        const rows = [...one.getClientRects()];
        return { left: rows[0].left, top: rows[0].top, bottom: rows.at(-1).bottom };
    })"""
    for width, most in ((768, 2), (390, 1)):
        tab.set_viewport_size({"width": width, "height": 900})
        for table in tab.locator("table.indextable").all():
            entries = table.evaluate(boxes)
            columns = {
                left: [one for one in entries if one["left"] == left] for left in {one["left"] for one in entries}
            }
            assert len(columns) <= most, width
            gaps = [b["top"] - a["bottom"] for group in columns.values() for a, b in pairwise(group)]
            assert max(gaps, default=0) < 4, width
            ends = [max(one["bottom"] for one in group) for group in columns.values()]
            assert max(ends) - min(ends) < 120, width


def test_an_explorer_has_the_same_box_in_both_schemes(visit):
    tab = visit("chapters/05_collapse.html", viewport={"width": 768, "height": 900})
    box = "all => all.map((one) => [one.getBoundingClientRect().left, one.getBoundingClientRect().width])"
    found = {}
    for scheme in ("light", "dark"):
        theme(tab, scheme)
        found[scheme] = tab.locator(".vae-place").evaluate_all(box)
    assert found["light"] and found["light"] == found["dark"]


def test_a_figure_and_its_number_stay_on_one_line(visit):
    tab = visit("chapters/01_data.html", viewport=PHONE)
    lines = tab.locator("article a .std-numref").evaluate_all("all => all.map((one) => one.getClientRects().length)")
    assert lines and set(lines) == {1}


def test_the_reference_has_no_alias_for_a_field(visit):
    assert "Alias for field number" not in visit("chapters/api.html").locator("article").text_content()


def test_the_reference_is_as_short_as_its_names_and_a_link_opens_an_entry(visit):
    tab = visit("chapters/api.html")
    assert tab.evaluate("document.documentElement.scrollHeight") < 20_000
    entry = tab.locator('[id="vaelib.priors.fit_mixture"]')
    expect(entry).to_be_hidden()
    tab.locator(".reference-names").get_by_role("link", name="fit_mixture", exact=True).click()
    expect(entry).to_be_visible()
    expect(entry).to_be_in_viewport()
    deep = visit("chapters/api.html#vaelib.models.vae.VAE")
    expect(deep.locator('[id="vaelib.models.vae.VAE"]')).to_be_visible()
    deep.evaluate("location.hash = '#vaelib.store.Directories'")
    expect(deep.locator('[id="vaelib.store.Directories"]')).to_be_in_viewport()
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("details:has(dl.py):not([open])").count() == 0


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
