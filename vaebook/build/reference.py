"""A Sphinx extension for the reference: signatures as the source has them, and docstrings that Sphinx does not misread.

The packages are imported with torch and other heavy packages mocked, so that the site builds without them.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["docstring", "setup", "signature", "skipped"]

LITERAL = re.compile(r"(``.*?``|`[^`\n]*`)")
MISREAD = re.compile(r"\||(?<![\w*])\*\*?(?=\w)(?![^*]*[^\s*]\*)")  # substitutions, and emphasis that nothing ends
QUOTED = re.compile(r"(?<=: )'([^']*)'")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-signature", lambda app, kind, name, thing, *_: signature(kind, thing))
    app.connect("autodoc-process-docstring", lambda app, kind, name, thing, options, lines: docstring(lines))
    app.connect("autodoc-skip-member", lambda app, kind, name, thing, *_: skipped(thing))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


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
