"""A reader's own run as a page: captions, citations and maths as in the book, and no set-up cells."""

import base64
import io

import nbformat
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from vaebook.build import reader
from vaebook.build.notebooks import find_root
from vaebook.build.reader import Target, led_to, linked, site_of
from vaebook.build.variants import quick, variants
from vaelib.config import ConfigError

CAPTION = {"mystnb": {"figure": {"name": "fig-mine", "caption": "My own run."}, "image": {"alt": "A grey square."}}}


@pytest.fixture
def notebook(tmp_path):
    """A finished run, as the command leaves it."""
    png = io.BytesIO()
    Image.new("L", (20, 20), 99).save(png, "png")
    shown = nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(png.getvalue()).decode()})
    text = "(mine)=\n# My run\n\nThe bound of {cite:p}`kingma2014` is $\\mathcal{L}$. Collapse is a {term}`collapse`."
    text += """

$$ 1 = 1
$$ (eq-own)

Mine: {eq}`eq-own`, {numref}`fig-mine`, {ref}`mine`. Theirs: {eq}`eq-elbo`, {numref}`fig-posterior`,
{ref}`the floor <data-floor>`, {doc}`04_sweeps`, [the data](01_data.ipynb), [](chapter-pixels),
[film](chapter-sampling). Of nobody: {ref}`words <no-such-label>`.

```{explorer} explore-dial
```"""
    cells = [
        nbformat.v4.new_markdown_cell(text),
        nbformat.v4.new_code_cell("import torch"),
        nbformat.v4.new_code_cell("1"),
    ]
    cells[1].metadata = {"tags": ["remove-cell"]}
    cells[2].metadata, cells[2].outputs = CAPTION, [shown]
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_readers_run_becomes_a_page_of_the_book(notebook, request):
    start = reader.render(notebook, find_root(request.path.parent))
    assert start == notebook.parent / "mine-html" / "index.html" and start.exists()
    page = BeautifulSoup((start.parent / "chapters" / "mine.html").read_text(encoding="utf-8"), "html.parser")
    text = page.find("article").get_text()
    assert "{cite:p}" not in text and "(mine)=" not in text and "{term}" not in text, "raw MyST"
    assert "Kingma" in text and "import torch" not in text
    assert "My own run." in page.find("figcaption").get_text()
    raw = [one for one in ("??", "{eq}", "{numref}", "{ref}", "{doc}", "no-such-label", "eq-elbo") if one in text]
    assert raw == [] and "Mine: (1), Fig. 1, My run." in text and "Of nobody: words." in text
    leads = {link.get_text(): link["href"].rpartition("/")[2] for link in page.select("article a.reference.external")}
    assert leads["(3.9)"] == "02_model.html#equation-eq-elbo" and leads["the floor"] == "01_data.html#data-floor"
    assert leads["Fig. 3.6"] == "02_model.html#fig-posterior" and leads["the data"] == "01_data.html"
    assert leads["film"] == "06_sampling.html#chapter-sampling" and "pixels.html#chapter-pixels" in leads.values()
    assert "04_sweeps.html" in leads.values() and "08_explore.html#explore-dial" in leads.values()
    assert page.find("link", href=lambda address: address and "book.css" in address)


def test_without_the_packages_it_says_what_to_install(notebook, monkeypatch, request):
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--html needs the packages that build pages: make book, or pip install"):
        reader.render(notebook, find_root(request.path.parent))


def test_quick_parameters_give_way_to_those_that_are_typed(tmp_path, request):
    chapter = find_root(request.path.parent) / "chapters" / "03_training.ipynb"
    found = quick(chapter)
    assert found["dataset"] == "digits" and found["seeds"] == 1
    (one,) = variants([chapter], {"seeds": [2]}, tmp_path, short=True, html=True)
    assert one.parameters == {**found, "seeds": 2} and one.html
    (plain,) = variants([chapter], {"seeds": [2]}, tmp_path)
    assert plain.parameters == {"seeds": 2} and not plain.html


def test_links_lead_to_the_site_where_it_was_built_and_else_to_the_published_one(tmp_path):
    (tmp_path / "_config.yml").write_text("html: {baseurl: https://example.org/book/}")
    assert site_of(tmp_path) == "https://example.org/book"
    (tmp_path / "_build" / "html").mkdir(parents=True)
    assert site_of(tmp_path) == (tmp_path / "_build" / "html").as_uri()
    page = '<link href="https://example.org/book/a.html"/><a class="x" href="https://example.org/book/a.html#b">'
    assert led_to("file:///b", page, "https://example.org/book") == page.replace(
        'x" href="https://example.org/book', 'x" href="file:///b'
    )
    known = {"eq-a": Target("chapters/a", "equation-eq-a", "(1.2)", "The chapter")}
    text = "As {eq}`eq-a` says, {eq}`eq-b` holds."
    found = linked(text, {"eq-b"}, known, "x")
    assert found == 'As [(1.2)](x/chapters/a.html#equation-eq-a "in: The chapter") says, {eq}`eq-b` holds.'
