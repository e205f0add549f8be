"""What a chapter calls when it runs: its parameters are checked, and a page that is not the published one says so.

The published values stand in the source of the parameters cell, what papermill changed in the cell that it injects
below. Both are read from IPython's history of executed cells (`In`), so that a reader may run cells in any order.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd
from pydantic import ConfigDict, TypeAdapter, ValidationError

from vaelib.config import ConfigError, unknown
from vaelib.data import DataConfig, DataError, ImageData
from vaelib.data import load as load_data

__all__ = ["ParameterError", "banner", "code", "load", "parameters"]

PUBLISHED_DATA = ("mnist", "frey", "boats")  # the last: chapters/own_images.py
INJECTED = "# Parameters"  # the first line of the cell that papermill injects


class ParameterError(ConfigError):
    """A chapter was given an unknown parameter or a value that it cannot use. A notebook shows the one line alone."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def parameters(
    namespace: dict[str, Any],
    at_least: Mapping[str, float] | None = None,
    choices: Mapping[str, Sequence[str]] | None = None,
) -> SimpleNamespace:
    """Checks a chapter's parameters: ``page.parameters(globals(), at_least={"epochs": 1})``.

    Parameters are the annotated names of the parameters cell (``epochs: int = 30  # passes over the data``).
    Values are brought to their annotated type where they mean the same (a list for a tuple), in `namespace` too.
    From here on the chapter's tables show their words in full.

    Args:
        namespace: The chapter's `globals()`.
        at_least: The smallest valid value of a parameter, or of each element of a sequence, which then needs one.
        choices: What a parameter, or each element of one that is a sequence, may be.

    Returns:
        The parameters and their values.

    Raises:
        ParameterError: an unknown name, with the nearest valid one, or a value of the wrong type or size.
    """
    if "__annotations__" not in namespace and "__annotate__" in namespace:  # Python 3.14
        types = namespace["__annotate__"](1)
    else:
        types = namespace.get("__annotations__", {})
    declared, injected = _current(namespace.get("In", []))
    types = {name: types[name] for name in declared or types}  # only those of the parameters cell
    for name in injected:
        if name not in types:
            raise ParameterError(unknown("parameter", name, types))
    for name, annotation in types.items():
        checked = _checked(name, namespace[name], annotation, (at_least or {}).get(name))
        for element in checked if isinstance(checked, (list, tuple)) else [checked]:
            if choices and name in choices and element not in choices[name]:
                raise ParameterError(unknown(name, element, choices[name]))
        namespace[name] = checked
    pd.set_option("display.max_colwidth", None, "display.max_rows", 200)
    return SimpleNamespace(**{name: namespace[name] for name in types})


def load(name: str | DataConfig, *, images: int = 3, labels: bool = False, grey: bool = False) -> ImageData:
    """The data set of that name, path or settings, if it has what a chapter needs: `images`, `labels`, `grey` pixels.

    Raises:
        ParameterError: there is none, it cannot be read, or it lacks something.
    """
    try:
        wanted = name if isinstance(name, DataConfig) else DataConfig(name=name)
        data = load_data(wanted.name, wanted.size, wanted.colour)
    except (ConfigError, DataError) as error:
        raise ParameterError(str(error)) from None
    found = f"the data set {wanted.name!r} has {len(data)} images of {'x'.join(map(str, data.shape))}"
    if len(data) < images:
        raise ParameterError(f"{found}: this page needs at least {images}")
    if labels and data.labels is None:
        raise ParameterError(f"{found} and no labels: this page needs some, such as those of 'digits'")
    if grey and len(data.shape) > 2:
        raise ParameterError(f"{found}, in colour: this page looks at grey ones; own_images.ipynb takes colour")
    return data


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


def code(text: Any) -> str:
    """The text as a code span of Markdown, on one line: whatever it holds, it stays text, and no markup or HTML."""
    line = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def _data_notes(datasets: Iterable[Any]) -> list[str]:
    notes = []
    for data in datasets:
        if data.stand_in_for:
            notes.append(f"> - The data set {code(data.name)} stands in for {code(data.stand_in_for)}.")
        elif data.name not in PUBLISHED_DATA:
            notes.append(f"> - The data set {code(data.name)} is your own.")
    return notes


def _setting_notes(history: Sequence[str]) -> list[str]:
    published = _literals(_published(history))
    declared, injected = _current(history)
    now = _literals({**declared, **injected})
    return [
        f"> - {code(name)} is {code(repr(now[name]))}; the published page has {code(repr(published[name]))}."
        for name in published
        if name in now and json.dumps(now[name]) != json.dumps(published[name])
    ]


def _published(history: Sequence[str]) -> dict[str, ast.expr]:
    """The annotated names, with their values, of the first cell that has some: the parameters cell."""
    return next((found for source in history if (found := _values(source, ast.AnnAssign))), {})


def _current(history: Sequence[str]) -> tuple[dict[str, ast.expr], dict[str, ast.expr]]:
    """The same of the parameters cell as it was last executed, and what papermill injected below it."""
    names = _published(history).keys()
    for i in reversed(range(len(history) if names else 0)):
        declared = _values(history[i], ast.AnnAssign)
        if names <= declared.keys():
            below = history[i + 1] if i + 1 < len(history) else ""
            return declared, _values(below, ast.Assign) if below.lstrip().startswith(INJECTED) else {}
    return {}, {}


def _values(source: str, kind: type[ast.AnnAssign] | type[ast.Assign]) -> dict[str, ast.expr]:
    """The names that a cell gives values to, in statements of that kind."""
    try:
        statements = [line for line in ast.parse(source).body if isinstance(line, kind) and line.value]
    except SyntaxError:  # a cell that failed is in the history too
        return {}
    bound = [(line.targets if isinstance(line, ast.Assign) else [line.target], line.value) for line in statements]
    return {
        target.id: value for targets, value in bound for target in targets if isinstance(target, ast.Name) and value
    }


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
    if smallest is not None and not elements:
        raise ParameterError(f"parameter {name}={value!r} cannot be used: expected one value or more")
    if smallest is not None and any(element < smallest for element in elements):
        raise ParameterError(f"parameter {name}={value!r} cannot be used: expected at least {smallest}")
    return checked
