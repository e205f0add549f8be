"""The built site: no warning, a page for each entry, no broken link, no picture without words."""

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from vaebook.build import reader
from vaebook.build import site as extension
from vaebook.build.notebooks import REPOSITORY, contents

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTES = {"a": "href", "img": "src", "link": "href", "script": "src", "source": "src"}
HYPHEN = re.compile(r"(?<=[(\[\s])-\d|np\.(?:float|int)\d+\(|Estimate\(|tensor\(-?\d")
pytestmark = pytest.mark.xdist_group("site")


@cache
def parsed(page):
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page):
    return {tag["id"] for tag in parsed(page).find_all(id=True)}


def broken(page, address):
    """Whether an address on a page leads to a file or an anchor that the site does not have."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return True
    return bool(parts.fragment) and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target)


def test_builds_without_a_warning(site):
    ran, html = site
    if ran is None:
        pytest.skip("make book built it, which fails at a warning")
    assert ran.returncode == 0, ran.stdout[-5_000:] + ran.stderr[-5_000:]
    assert "WARNING" not in ran.stdout + ran.stderr
    assert (html / "index.html").exists()


def test_every_entry_has_a_page(site):
    assert [name for name in contents(ROOT) if not (site[1] / f"{name}.html").exists()] == []


def test_no_page_loads_anything_from_another_host(site):
    """Links may lead anywhere; what a page loads by itself may not. In the build's own words: no fallback to a CDN."""
    loads = [
        f"{page.name}: {tag}"
        for page in site[1].rglob("*.html")
        for tag in parsed(page).find_all(["img", "link", "script", "source"])
        if any("//" in tag.get(name, "").split("base64,")[0] for name in ("href", "src"))
        and tag.get("rel") != ["canonical"]
    ]
    assert loads == []
    assert site[0] is None or "CDN" not in site[0].stdout


def test_a_chapter_can_be_launched_downloaded_and_edited(site):
    page = parsed(site[1] / "chapters" / "03_training.html")
    links = [tag["href"] for tag in page.select("a.dropdown-item[href]")]
    assert {"../_sources/chapters/03_training.ipynb", "../_sources/chapters/03_training.py"} <= set(links)
    assert (site[1] / "_sources" / "chapters" / "03_training.py").exists()
    repository = REPOSITORY.removeprefix("https://github.com/")
    blob = f"{repository}/blob/main/chapters/03_training.ipynb"
    assert f"https://colab.research.google.com/github/{blob}" in links
    assert any(link.startswith(f"https://mybinder.org/v2/gh/{repository}/main") for link in links)
    assert any(link.endswith("/edit/main/chapters/03_training.py") for link in links)


def test_tables_have_no_empty_heads():
    empty = '<thead>\n<tr class="row-odd"><th class="head"><p></p></th>\n<th class="head"><p></p></th>\n</tr>\n</thead>'
    full = empty.replace("<p></p>", "<p>name</p>", 1)
    assert extension.tidy(f"<table>{empty}<tbody>") == "<table><tbody>"
    assert extension.tidy(full) == full
    assert extension.tidy("<tr><th></th><th>nats</th></tr>") == "<tr><td></td><th>nats</th></tr>"


def test_cells_say_what_they_hold():
    """A figure stays on its line, as does an interval with its unit and verdict; words get some room; code is whole."""
    frame = '<table border="1" class="dataframe"><tr><td>{}</td></tr></table>'
    for cell, kind in (("6.75 nats", "unbroken"), ("sharpness, share of that", "words")):
        wanted = frame.format(cell).replace("<td>", f'<td class="{kind}">')
        assert extension.tidy(frame.format(cell)) == wanted
    whole = '<span class="unbroken">{}</span>'
    ranged = ("(6.74 to 6.75)",), ("[−0.83, 0.82]", "nats: no"), ("(0.65 to 0.70): more",), ("[16.83, 23.30] nats",)
    for rest in (*ranged, ("± 0.01539",)):
        wanted = " ".join(["−0.30313", *map(whole.format, rest)])
        for table in (frame, "<td><p>{}</p></td>"):
            assert extension.tidy(table.format(" ".join(["−0.30313", *rest]))) == table.format(wanted)
    assert extension.tidy("<td><p>a name of an image</p></td>") == '<td class="words"><p>a name of an image</p></td>'
    code = '<td><code class="docutils literal notranslate"><span class="pre">{}</span></code></td>'
    assert 'notranslate unbroken"' in extension.tidy(code.format("model.likelihood"))
    assert "unbroken" not in extension.tidy(code.format("a" * 64))
    option = (
        '<code class="docutils literal notranslate"><span class="pre">vaelib</span> <span class="pre">{}</span></code>'
    )
    assert '<span class="pre unbroken">--data.name</span>' in extension.tidy(option.format("--data.name"))
    assert "unbroken" not in extension.tidy(option.format("a-word-with-hyphens"))
    parts = '<span class="unbroken">mnist/</span><wbr><span class="unbroken">t10k-images-idx3-ubyte</span>'
    assert parts in extension.tidy(code.format("mnist/t10k-images-idx3-ubyte"))
    cited = '<td><p><a title="Science, 268(5214):1158">1995</a> 1.2 {}</p></td>'
    assert extension.tidy(cited.format("(1.1 to 1.3)")) == cited.format(whole.format("(1.1 to 1.3)"))
    broken = code.format("explorers.<wbr>latent_sliders(<wbr>run)")
    assert extension.tidy(code.format("explorers.latent_sliders(run)")) == broken


def test_columns_of_a_table_of_figures():
    """The name of the index stands in the corner; a column with words in it is read from the left, its heading too."""
    head = "<tr><th>{}</th><th>test</th><th>effect</th></tr>"
    names = "<tr><th>claim</th><th></th><th></th></tr>"
    body = (
        "<tbody><tr><th>8b</th><td>{}</td><td>2</td></tr><tr><th>long name</th><td>a of b</td><td>3</td></tr></tbody>"
    )
    table = '<table border="1" class="dataframe"><thead>{}{}</thead>{}</table>'
    tidy = extension.tidy(table.format(head.format(""), names, body.format("edges of samples")))
    assert '<tr><th class="words">claim</th><th class="words">test</th><th>effect</th></tr></thead>' in tidy
    assert '<th class="short">8b</th><td class="words">edges of samples</td><td class="unbroken">2</td>' in tidy
    assert '<th>long name</th><td class="words">a of b</td><td class="unbroken">3</td>' in tidy
    named = extension.tidy(table.format(head.format("step"), names, body.format("edges")))
    assert named.count("<tr>") == 4 and "words" not in named
    assert '<td class="text unbroken">edges</td>' in named
    assert '<th class="text">test</th><th>effect</th>' in extension.tidy(
        table.format(head.format(""), "", body.format("edges"))
    )
    row = '<table border="1" class="dataframe"><tbody><tr><th>{}</th><td>{}</td></tr></tbody></table>'
    whole = extension.tidy(row.format("kingma-welling", "film, 2 latents") + row.format("trained with K = 20", "no"))
    assert '<th class="short">kingma-welling</th><td class="text unbroken">film, 2 latents</td>' in whole
    assert "<th>trained with K&nbsp;=&nbsp;20</th>" in whole
    ranges = extension.tidy(row.format("a", "6.755 (6.74 to 6.75) nats"))
    assert "words" not in extension.tidy(ranges), "a page of an earlier build"


def test_a_formula_keeps_its_full_stop():
    formula = '<span class="math notranslate nohighlight">\\(z\\)</span>'
    for text in (f"{formula}.", f"({formula}", f"{formula}-VAE,", f"{formula}’s"):
        assert extension.tidy(f"a {text} b") == f'a <span class="unbroken">{text}</span> b'
    assert extension.tidy(f"a {formula} b") == f"a {formula} b"


def test_settings_can_be_copied_and_solutions_refer_to_their_exercise():
    assert extension.tidy("<p>loss=’relativistic’, a reader’s</p>") == "<p>loss='relativistic', a reader’s</p>"
    title = '<p>Solution to<a href="#x"> Exercise 1</a></p><section id="exercise-content">'
    assert extension.tidy(title) == '<p>Solution to <a href="#x">Exercise 1</a></p><section>'


def test_a_letter_and_its_hyphen_stay_together():
    whole = '<a href="t-sne.html" title="t-SNE"><span class="unbroken">t-SNE</span></a> of well-known codes'
    assert extension.tidy('<a href="t-sne.html" title="t-SNE">t-SNE</a> of well-known codes') == whole
    assert extension.tidy("<p>a VQ-VAE</p>") == '<p>a <span class="unbroken">VQ-VAE</span></p>'


def test_mathjax_falls_back_to_a_cdn_in_one_line(monkeypatch):
    said, config = [], SimpleNamespace(mathjax_path="the default")
    monkeypatch.setattr(extension, "PACKAGE", "no-such-package")
    monkeypatch.setattr(extension, "getLogger", lambda name: SimpleNamespace(info=said.append))
    extension._choose_mathjax(None, config)
    assert config.mathjax_path == "the default"
    assert said == ["no-such-package is not installed: the pages load MathJax from a CDN"]


def test_every_internal_link_resolves(site):
    pages = sorted(page for page in site[1].rglob("*.html") if "_static" not in page.parts)
    found = [
        f"{page.name}: {tag[attribute]}"
        for page in pages
        for name, attribute in ATTRIBUTES.items()
        for tag in parsed(page).find_all(name, {attribute: True})
        if broken(page, tag[attribute])
    ]
    assert len(pages) > 3
    assert found == []


def test_a_page_that_stands_alone_refers_to_the_numbers_of_the_site(site):
    """See vaebook.build.reader: it counts equations and figures as the site does."""
    known = reader.targets(ROOT).values()
    shown = [one for one in known if one.anchor.startswith(("equation-", "fig-"))]
    wrong = []
    for target in shown:
        place = parsed(site[1] / f"{target.page}.html").find(id=target.anchor)
        number = place and place.select_one(".eqno, .caption-number")
        if not number or number.get_text().removesuffix("#").removesuffix("\uf0c1").strip() != target.words:
            wrong.append((target, number and number.get_text()))
    assert len(shown) > 100 and wrong == []
    assert [one for one in known if one.anchor and one.anchor not in anchors(site[1] / f"{one.page}.html")] == []


def test_every_picture_has_an_alternative_text(site):
    pages = [site[1] / f"{name}.html" for name in contents(ROOT)]
    pictures = [(page.name, picture) for page in pages for picture in parsed(page).select("article img")]
    assert [(page, str(picture)) for page, picture in pictures if not picture.get("alt") or "/" in picture["alt"]] == []


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("-133.9 (-134.2 to -133.1)", "−133.9 (−134.2 to −133.1)"),
        ("-0.00", "0.00"),
        ("0.01 (-0.00 to 0.02)", "0.01 (0.00 to 0.02)"),
        ("-0.003", "−0.003"),
        ("<em>−0.00 [-0.07, +0.06]<br />-0.0</em>", "<em>0.00 [−0.07, +0.06]<br />0.0</em>"),
        ('<a href="a -1.html">b</a> <code>-1</code>', '<a href="a -1.html">b</a> <code>-1</code>'),
        ('<a href="a -1.html">-1</a>', '<a href="a -1.html">−1</a>'),
        ("kingma-welling 2013-12", "kingma-welling 2013-12"),
    ],
)
def test_text_has_true_minus_signs(cell, expected):
    assert extension.tidy(f"<td>{cell}</td>").replace("\N{NO-BREAK SPACE}", " ") == f"<td>{expected}</td>"
    assert extension.tidy(f"<p>{cell}</p>") == f"<p>{expected}</p>"
    printed = '<div class="output stream highlight notranslate"><pre><span></span>means:\n{}\n</pre></div>'
    shown = extension.tidy(printed.format(cell)).replace(" flowing", "")
    assert "<code>" in cell or shown == printed.format(expected)
    for typed in ("<pre>{}</pre>", '<div class="output text_plain"><pre>{}</pre></div>', "<head>{}</head>"):
        assert extension.tidy(typed.format(cell)) == typed.format(cell), "code stays as it was typed"


def test_printed_sentences_flow_and_columns_do_not():
    printed = '<div class="output stream highlight notranslate"><pre><span></span>{}\n</pre></div>'
    assert 'notranslate flowing">' in extension.tidy(printed.format("a tongue: 1.22 (1.20 to 1.24)\nfalls"))
    assert "flowing" not in extension.tidy(printed.format("K =    1: signal 0.31\nK = 1000: signal 0.00"))


def test_maths_keeps_its_minus_signs():
    maths = r'<span class="math notranslate nohighlight">\(-1\)</span>'
    assert extension.tidy(f"<p>-1 {maths} -1</p>") == f"<p>−1 {maths} −1</p>"


def test_no_page_prints_a_hyphen_for_a_minus_or_a_raw_number(site):
    """But where Python shows a value: there it stays what can be copied."""
    found = []
    for name in contents(ROOT):
        article = BeautifulSoup((site[1] / f"{name}.html").read_text(encoding="utf-8"), "html.parser").find("article")
        code = [block for block in article.find_all("pre") if not block.find_parent(class_="stream")]
        for typed in [*code, *article.select("code, .math, script, style, dl.py")]:
            typed.decompose()
        text = article.get_text()
        found += [(name, text[one.start() - 30 : one.end() + 20]) for one in HYPHEN.finditer(text)]
    assert found == []
