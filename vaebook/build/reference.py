"""A Sphinx extension for the reference: signatures as the source has them, and docstrings that Sphinx does not misread.

Where a page lists modules by ``automodule`` alone, it shows the names of each, which lead to their entries, above the
entries, which are folded (the directive ``{reference} NAME``): such a page is as short as its names.

The packages are imported with torch and other heavy packages mocked, so that the site builds without them.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import scipy.stats  # noqa: F401  before torch is mocked: it asks of what it meets whether it is a tensor of torch
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import desc, desc_signature
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["Module", "docstring", "folded", "setup", "signature", "skipped"]

LITERAL = re.compile(r"(``.*?``|`[^`\n]*`)")
MISREAD = re.compile(r"\||(?<![\w*])\*\*?(?=\w)(?![^*]*[^\s*]\*)")  # substitutions, and emphasis that nothing ends
FOLDED = """\
:::{{dropdown}} `{name}` in full
```{{eval-rst}}
.. automodule:: {name}
```
:::"""
LISTED = re.compile(r"^```\{eval-rst\}\n((?:\.\. automodule:: \S+\n)+)```$", re.MULTILINE)
QUOTED = re.compile(r"(?<=: )'([^']*)'")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("reference", Module)
    app.connect("source-read", lambda app, name, source: source.__setitem__(0, folded(source[0])))
    app.connect("autodoc-process-signature", lambda app, kind, name, thing, *_: signature(kind, thing))
    app.connect("autodoc-process-docstring", lambda app, kind, name, thing, options, lines: docstring(lines))
    app.connect("autodoc-skip-member", lambda app, kind, name, thing, *_: skipped(thing))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def folded(text: str) -> str:
    """A text of MyST with the directive ``{reference}`` for each module that it lists."""
    return LISTED.sub(lambda found: re.sub(r"\.\. automodule:: (\S+)\n", r"```{reference} \1\n```\n\n", found[1]), text)


class Module(SphinxDirective):
    """``{reference} NAME``: see the module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        entries = nodes.container()
        text = FOLDED.format(name=self.arguments[0]).splitlines()
        self.state.nested_parse(StringList(text, self.env.docname), self.content_offset, entries)
        names = nodes.paragraph(classes=["reference-names"])
        for found in entries.findall(desc_signature):
            if not _inner(found):
                anchor = found["ids"][0]
                name = nodes.literal("", anchor.rpartition(".")[2])
                names += [nodes.reference("", "", name, internal=True, refid=anchor), nodes.Text(" ")]
        return [names, *entries.children]


def _inner(found: nodes.Node) -> bool:
    """Whether it is the signature of a method or a field of a class."""
    return isinstance(found.parent.parent.parent, desc)


def signature(kind: str, thing: Any) -> tuple[str, str | None] | None:
    """Parameters with annotations as written, and what is returned; of a class only names and defaults."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):  # not callable, or written in C: Sphinx's own guess will do
        return None
    parameters = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    if kind in ("class", "exception"):
        return f"({', '.join(map(_field, parameters))})", None
    returned = found.return_annotation
    shown = found.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return QUOTED.sub(r"\1", str(shown)), returned if isinstance(returned, str) else None


def skipped(thing: Any) -> bool | None:
    """True for a field of a named tuple, whose class says what it is; None leaves the decision to Sphinx."""
    return True if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") else None


def _field(parameter: inspect.Parameter) -> str:
    """The name and, where there is one, the default of a class's field."""
    if parameter.default is parameter.empty:
        return str(parameter.replace(annotation=parameter.empty))
    plain = isinstance(parameter.default, (bool, int, float, str, tuple, type(None)))
    return f"{parameter.name}={parameter.default!r}" if plain else f"{parameter.name}=..."


def docstring(lines: list[str]) -> None:
    """Escapes the bars of p(x|z) and the star of *arguments, which reStructuredText takes for markup; in place."""
    for number, line in enumerate(lines):
        parts = LITERAL.split(line)
        parts[::2] = [MISREAD.sub(lambda found: re.sub(r"(.)", r"\\\1", found[0]), part) for part in parts[::2]]
        lines[number] = "".join(parts)
