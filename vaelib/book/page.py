"""What a chapter calls when it runs: its parameters are checked, and a page that is not the published one says so.

The published values stand in the source of the parameters cell, what papermill changed in the cell that it injects
below. Both are read from IPython's history of executed cells (`In`), so that a reader may run cells in any order.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from vaelib.config import ConfigError, unknown

__all__ = ["ParameterError", "banner", "parameters"]

PUBLISHED_DATA = ("mnist", "frey", "patches")  # the last: chapters/own_images.py
INJECTED = "# Parameters"  # the first line of the cell that papermill injects


class ParameterError(ConfigError):
    """A chapter was given an unknown parameter or a value that it cannot use. A notebook shows the one line alone."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def parameters(namespace: dict[str, Any], at_least: Mapping[str, float] | None = None) -> SimpleNamespace:
    """Checks a chapter's parameters: ``book.parameters(globals(), at_least={"epochs": 1})``.

    Parameters are the annotated names of the parameters cell (``epochs: int = 30  # passes over the data``).
    Values are brought to their annotated type where they mean the same (a list for a tuple), in `namespace` too.

    Args:
        namespace: The chapter's `globals()`.
        at_least: The smallest valid value of a parameter, or of each element of one that is a sequence.

    Returns:
        The parameters and their values.

    Raises:
        ParameterError: an unknown name, with the nearest valid one, or a value of the wrong type or size.
    """
    history = namespace.get("In", [])
    types = _annotations(namespace)
    declared, injected = _current(history)
    if declared:  # of all annotated names only those of the parameters cell
        types = {name: types[name] for name in declared}
    for name in injected:
        if name not in types:
            raise ParameterError(unknown("parameter", name, types))
    for name, annotation in types.items():
        namespace[name] = _checked(name, namespace[name], annotation, (at_least or {}).get(name))
    return SimpleNamespace(**{name: namespace[name] for name in types})


def banner(*datasets: Any) -> None:
    """Says at the top of a page how it differs from the published one; says nothing when it does not.

    It also leaves the hashes of the data in the notebook, from where `execute` takes them into the stamp.

    Args:
        datasets: Every `ImageData` that the chapter uses.
    """
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    notes = [*_data_notes(datasets), *_setting_notes(shell.user_ns["In"] if shell else [])]
    text = "\n".join(["> **This is not the published page.** Its text is about other data or settings.", ">", *notes])
    hashes = {f"{data.name}/{file}": digest for data in datasets for file, digest in data.sha256.items()}
    shown = {"text/markdown": text, "text/plain": text} if notes else {"text/plain": ""}
    display(shown, raw=True, metadata={"vaelib": {"data": hashes}})


def _data_notes(datasets: Iterable[Any]) -> list[str]:
    notes = []
    for data in datasets:
        if data.stand_in_for:
            notes.append(f"> - The data set `{data.name}` stands in for `{data.stand_in_for}`.")
        elif data.name not in PUBLISHED_DATA:
            notes.append(f"> - The data set `{data.name}` is your own.")
    return notes


def _setting_notes(history: Sequence[str]) -> list[str]:
    published = _literals(_published(history))
    declared, injected = _current(history)
    now = _literals({**declared, **injected})
    return [
        f"> - `{name}` is `{now[name]!r}`; the published page has `{published[name]!r}`."
        for name in published
        if name in now and json.dumps(now[name]) != json.dumps(published[name])
    ]


def _annotations(namespace: Mapping[str, Any]) -> dict[str, Any]:
    if "__annotations__" not in namespace and "__annotate__" in namespace:  # Python 3.14
        return namespace["__annotate__"](1)
    return dict(namespace.get("__annotations__", {}))


def _published(history: Sequence[str]) -> dict[str, ast.expr]:
    """The annotated names, with their values, of the first cell that has some: the parameters cell."""
    return next((found for source in history if (found := _declared(source))), {})


def _current(history: Sequence[str]) -> tuple[dict[str, ast.expr], dict[str, ast.expr]]:
    """The same of the parameters cell as it was last executed, and what papermill injected below it."""
    names = _published(history).keys()
    for i in reversed(range(len(history) if names else 0)):
        declared = _declared(history[i])
        if names <= declared.keys():
            below = history[i + 1] if i + 1 < len(history) else ""
            return declared, _assigned(below) if below.lstrip().startswith(INJECTED) else {}
    return {}, {}


def _declared(source: str) -> dict[str, ast.expr]:
    return {
        statement.target.id: statement.value
        for statement in _statements(source)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value
    }


def _assigned(source: str) -> dict[str, ast.expr]:
    return {
        target.id: statement.value
        for statement in _statements(source)
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:  # a cell that failed is in the history too
        return []


def _literals(values: Mapping[str, ast.expr]) -> dict[str, Any]:
    literals = {}
    for name, node in values.items():
        try:
            literals[name] = ast.literal_eval(node)
        except ValueError:  # not a literal: it cannot be compared
            continue
    return literals


def _checked(name: str, value: Any, annotation: Any, smallest: float | None) -> Any:
    """The value in its annotated type. Strict, as JSON is: True is no int; but a list may stand for a tuple."""
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
        checked = adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        expected = error.errors()[0]["msg"].removeprefix("Input should be ")
        raise ParameterError(f"parameter {name}={value!r} cannot be used: expected {expected}") from None
    except TypeError:
        raise ParameterError(f"parameter {name}={value!r} cannot be used: expected {annotation}") from None
    elements = checked if isinstance(checked, (list, tuple)) else [checked]
    if smallest is not None and any(element < smallest for element in elements):
        raise ParameterError(f"parameter {name}={value!r} cannot be used: expected at least {smallest}")
    return checked
