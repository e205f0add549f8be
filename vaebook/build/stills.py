"""A Sphinx extension: where an explorer will run, its still picture stands first, and for good where no script runs.

A notebook holds an explorer's view and its picture as two forms of one output, of which a page would show the first.
Here both come into the page, with the explorer's style, which keeps the height free that it will have.

On other pages the directive ``{explorer} LABEL`` shows the picture of the first explorer below that label of
chapters/08_explore, as a card that leads to it.
"""

from __future__ import annotations

import base64
import html
import io
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from PIL import Image
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective

from vaebook.build.dark import darkened
from vaebook.build.notebooks import EXPLORERS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["Ticket", "first_below", "place", "setup", "with_stills"]

STYLES = sorted((Path(__file__).parents[1] / "explorers" / "js").glob("*.css"))
STATE, VIEW = (f"application/vnd.jupyter.widget-{kind}+json" for kind in ("state", "view"))
PNG = "image/png"


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("config-inited", lambda app, config: config.html_static_path.extend(map(str, STYLES)))
    app.connect("source-read", _read)
    app.add_directive("explorer", Ticket)
    for style in STYLES:
        app.add_css_file(style.name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Ticket(SphinxDirective):
    """``{explorer} LABEL``: see the module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path, label = Path(self.env.srcdir, EXPLORERS), self.arguments[0]
        self.env.note_dependency(EXPLORERS)
        try:
            spec, png = first_below(json.loads(path.read_text(encoding="utf-8")), label)
        except (OSError, LookupError) as error:
            raise self.error(f"there is no explorer with a picture below ({label})= in {EXPLORERS} ({error})") from None
        link = pending_xref("", reftype="ref", refdomain="std", reftarget=label, refexplicit=True, refwarn=True)
        link["refdoc"] = self.env.docname
        link += nodes.inline("", f"Try it: {spec['title']}")
        light, dark = (f"data:{PNG};base64,{one}" for one in (png, _twin(png)))
        picture = f'<img alt="{html.escape(spec["still"])}" src="{light}" data-dark="{dark}">'
        below = nodes.raw("", picture, format="html")
        return [nodes.container("", nodes.paragraph("", "", link), below, classes=["explorer-ticket"])]


def _twin(png: str) -> str:
    """The picture for the dark."""
    content = io.BytesIO()
    darkened(Image.open(io.BytesIO(base64.b64decode(png)))).save(content, "png", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


def first_below(notebook: dict[str, Any], label: str) -> tuple[dict[str, Any], str]:
    """Spec and picture (PNG, base64) of the first explorer below a label.

    Raises:
        LookupError: there is none.
    """
    models = notebook["metadata"]["widgets"][STATE]["state"]
    below = False
    for cell in notebook["cells"]:
        below |= cell["cell_type"] == "markdown" and f"({label})=" in "".join(cell["source"])
        for data in (output.get("data", {}) for output in cell.get("outputs", []) if below):
            if VIEW in data and PNG in data:
                return models[data[VIEW]["model_id"]]["state"]["spec"], "".join(data[PNG]).replace("\n", "")
    raise LookupError(label)


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    if VIEW in source[0] and app.env.doc2path(name).endswith(".ipynb"):
        source[0] = json.dumps(with_stills(json.loads(source[0])))


def with_stills(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook, with HTML in place of each output that is an explorer and has a picture."""
    models = notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        data = output.get("data", {})
        if VIEW in data and PNG in data:
            spec = models[data[VIEW]["model_id"]]["state"]["spec"]
            output["data"] = {"text/html": place(spec, "".join(data[PNG]).replace("\n", ""), data[VIEW])}
    return notebook


def place(spec: dict[str, Any], png: str, view: dict[str, Any]) -> str:
    """The HTML of an explorer's place: a card with its picture (PNG, base64), which needs no script, and its view."""
    kind, title, words, still, layout = (html.escape(spec[key]) for key in ("kind", "title", "help", "still", "layout"))
    width, height = struct.unpack(">II", base64.b64decode(png)[16:24])
    return f"""<div class="vae-place">
<section class="vae vae-still" data-kind="{kind}" style="{layout}" aria-label="{title}">
<p class="vae-title">{title}</p>
<p class="vae-help">{words}</p>
<div class="vae-body"><img alt="{still}" width="{width}" height="{height}" src="data:{PNG};base64,{png}"></div>
<p class="vae-caption">{still}</p>
</section>
<script type="{VIEW}">{json.dumps(view)}</script>
</div>"""
