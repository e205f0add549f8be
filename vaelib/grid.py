"""Every combination of some settings, told by their dotted names: ``grid(base, seed=[0, 1])``."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from vaelib.config import Config, ConfigError, unknown

__all__ = ["amended", "differing", "flat", "grid", "parse_axes"]

C = TypeVar("C", bound=Config)
WORDS = {"true": True, "false": False, "null": None, "none": None}


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
    return [
        amended(base, dict(zip(axes, combination, strict=True))) for combination in itertools.product(*axes.values())
    ]


def amended(config: C, changes: Mapping[str, Any]) -> C:
    """A checked copy with settings changed, by their dotted names; those of one part are checked together.

    Raises:
        ConfigError: no setting has that name (the nearest one is named), or a value cannot be used.
    """
    names = _names(config)
    for name in changes:
        if name not in names:
            raise ConfigError(unknown("setting", name, names))
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if rest:
            inner.setdefault(head, {})[rest] = value
        else:
            own[head] = value
    config = config.replace(**own)
    return config.replace(**{head: amended(getattr(config, head), part) for head, part in inner.items()})


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
