"""A Sphinx extension: where an explorer will run, its still picture stands first, and for good where no script runs.

A notebook holds an explorer's view and its picture as two forms of one output, of which a page would show the first.
Here both come into the page, with the explorer's style, which keeps the height free that it will have.
"""

from __future__ import annotations

import base64
import html
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["place", "setup", "with_stills"]

STYLES = sorted((Path(__file__).parents[1] / "explorers" / "js").glob("*.css"))
STATE, VIEW = (f"application/vnd.jupyter.widget-{kind}+json" for kind in ("state", "view"))
PNG = "image/png"


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("config-inited", lambda app, config: config.html_static_path.extend(map(str, STYLES)))
    app.connect("source-read", _read)
    for style in STYLES:
        app.add_css_file(style.name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


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
