"""A thing described by its settings: frozen, typed, refused in one clear line when wrong; and grids of such things."""

from __future__ import annotations

import ast
import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Config", "ConfigError", "amended", "differing", "explain", "flat", "grid", "parse_axes", "pick", "unknown"]

C = TypeVar("C", bound="Config")
WORDS = {"true": True, "false": False, "null": None, "none": None}


class ConfigError(ValueError):
    """A setting has an unknown name or a value that cannot be used."""


class Config(BaseModel):
    """Base of all configurations: a frozen record that refuses unknown names and values of the wrong type.

    Raises:
        ConfigError: names the setting, its value, what was expected and the nearest valid name.
    """

    kind: ClassVar[str | None] = None  # the field that says which of several kinds of settings these are
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False, validate_default=True)

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(explain(error, type(self).__name__, type(self).model_fields)) from None

    def replace(self, **changes: Any) -> Any:
        """A checked copy with some settings changed: ``config.replace(latent_dim=5)``."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


def pick(kind: str, name: Any, options: Iterable[str]) -> str:
    """Returns `name` if it is one of `options`, else raises a ConfigError that names the nearest one."""
    options = list(options)
    if name in options:
        return name
    raise ConfigError(unknown(kind, name, options))


def unknown(kind: str, name: Any, options: Iterable[str]) -> str:
    """The sentence for a name that does not exist: ``unknown data set 'mnits': did you mean 'mnist'? ...``."""
    options = [str(option) for option in options]
    near = difflib.get_close_matches(str(name), options, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}valid: {', '.join(sorted(options))}"


def explain(error: ValidationError, owner: str, names: Iterable[str]) -> str:
    """One line for all that pydantic found wrong."""
    return "; ".join(_explain_one(problem, owner, names) for problem in error.errors())


def _explain_one(problem: Any, owner: str, names: Iterable[str]) -> str:
    setting = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return unknown(f"setting of {owner}", setting, names)
    if problem["type"] == "missing":
        return f"{owner} needs a value for {setting!r}"
    if problem["type"] in ("literal_error", "union_tag_invalid"):
        options = problem["ctx"].get("expected") or problem["ctx"]["expected_tags"]
        found = problem["ctx"].get("tag", problem["input"])
        return unknown(f"{setting} of {owner}", found, options.replace(" or ", ", ").replace("'", "").split(", "))
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    expected = problem["msg"].removeprefix("Input should be ")
    return f"{setting}={problem['input']!r} of {owner} cannot be used: expected {expected}"


def grid(base: C, **axes: Sequence[Any]) -> list[C]:
    """All combinations of the values on the axes, the last axis fastest; an axis is a setting's dotted name.

    >>> from vaelib.data import DataConfig
    >>> [config.split_seed for config in grid(DataConfig(), split_seed=[0, 1])]
    [0, 1]

    Names with a dot go in a dictionary: ``grid(base, **{"model.latent_dim": [2, 5], "seed": [0, 1, 2]})``.

    Raises:
        ConfigError: no setting has that name (the nearest one is named), or a value cannot be used.
    """
    for name, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Iterable) or not list(values):
            raise ConfigError(f"{name}={values!r}: an axis of a grid is a list of one value or more")
    return [amended(base, dict(zip(axes, chosen, strict=True))) for chosen in itertools.product(*axes.values())]


def amended(config: C, changes: Mapping[str, Any]) -> C:
    """A checked copy with settings changed, by their dotted names; those of one part are checked together.

    Raises:
        ConfigError: no setting has that name (the nearest one is named), or a value cannot be used.
    """
    changed = _changed(config, changes)
    names = _names(changed)
    for name in changes:
        if name not in names:
            raise ConfigError(unknown("setting", name, names))
    return changed


def _changed(config: C, changes: Mapping[str, Any]) -> C:
    """The same, where names that do not exist change nothing."""
    inner: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        head, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(head, {})[rest] = value
    for head, part in inner.items():  # a new kind first: it decides which settings there are
        kind = getattr(getattr(config, head, None), "kind", None)
        if kind in part and part[kind] != getattr(getattr(config, head), kind):
            config = config.replace(**{head: {kind: part[kind]}})
    config = config.replace(**{name: changes[name] for name in type(config).model_fields if name in changes})
    parts = {head: getattr(config, head) for head in inner if isinstance(getattr(config, head, None), Config)}
    return config.replace(**{head: _changed(part, inner[head]) for head, part in parts.items()})


def flat(config: Config) -> dict[str, Any]:
    """All settings by their dotted names: ``{"model.latent_dim": 20, ...}``."""
    settings: dict[str, Any] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        inner = flat(value) if isinstance(value, Config) else None
        settings |= {name: value} if inner is None else {f"{name}.{key}": item for key, item in inner.items()}
    return settings


def differing(configs: Iterable[Config]) -> list[str]:
    """The dotted names of the settings that are not the same in all of `configs`."""
    tables = [flat(config) for config in configs]
    names = dict.fromkeys(name for table in tables for name in table)
    return [name for name in names if any(table.get(name) != tables[0].get(name) for table in tables)]


def parse_axes(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Axes as they are typed: ``["seed=0,1", "model.hidden=[500,500],[400]"]``; names may have "-" for "_".

    Raises:
        ConfigError: a text is not ``name=value,value`` or names an axis again.
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not (name and equals and values.strip()):
            raise ConfigError(f"{text!r} is no axis of a grid: write name=value,value")
        if name in axes:
            raise ConfigError(f"the grid has the axis {name!r} twice")
        axes[name] = [_value(part.strip()) for part in re.split(r",(?![^\[\(]*[\]\)])", values)]
    return axes


def _value(text: str) -> Any:
    try:
        return WORDS[text.lower()] if text.lower() in WORDS else ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a word
        return text


def _names(config: Config) -> list[str]:
    """What may be changed: single settings, and parts as a whole."""
    leaves = [name.split(".") for name in flat(config)]
    return list(dict.fromkeys(".".join(path[:depth]) for path in leaves for depth in range(1, len(path) + 1)))
