"""Previews: a link carries the text of the term or the equation that it leads to."""

from vaebook.build.previews import previews, with_previews

GLOSSARY = """<dl><dt id="term-nat">nat<a class="headerlink" href="#term-nat">#</a></dt><dd><p>A unit:
<span class="math">\\(\\ln 2\\)</span> &lt; 1 &amp; "so"</p>
</dd><dt id="term-bit">bit</dt><dd><p>Another, see <a href="x">nat</a>.</p></dd></dl>"""
PAGE = """<div class="math notranslate nohighlight" id="equation-eq-a">
<span class="eqno">(3.9)<a class="headerlink" href="#equation-eq-a">#</a></span>\\[
a = b\\]</div>"""


def test_terms_and_equations_are_found_as_text():
    assert previews(GLOSSARY) == {"term-nat": 'A unit: \\(\\ln 2\\) < 1 & "so"', "term-bit": "Another, see nat."}
    assert previews(PAGE) == {"equation-eq-a": "\\[ a = b\\]"}


def test_links_carry_them_wherever_their_page_lies():
    known = {"chapters/glossary.html": {"term-nat": 'a "unit"'}, "chapters/a.html": {"equation-eq-a": "a"}}
    link = '<a class="reference internal" href="{}">'
    marked = '<a class="reference internal" href="{}" data-preview="{}">'
    for place, href, text in (
        ("chapters/a.html", "glossary.html#term-nat", "a &quot;unit&quot;"),
        ("index.html", "chapters/glossary.html#term-nat", "a &quot;unit&quot;"),
        ("chapters/deep/b.html", "../glossary.html#term-nat", "a &quot;unit&quot;"),
        ("chapters/a.html", "#equation-eq-a", "a"),
    ):
        assert with_previews(link.format(href), place, known) == marked.format(href, text)
    for other in ("glossary.html#term-none", "glossary.html", "#section"):
        assert with_previews(link.format(other), "chapters/a.html", known) == link.format(other)
