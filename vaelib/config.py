"""One way to describe a thing by its settings: frozen, typed, and rejected in one clear line when wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Config", "ConfigError", "explain", "pick", "unknown"]


class ConfigError(ValueError):
    """A setting has an unknown name or a value that cannot be used."""


class Config(BaseModel):
    """Base of all configurations: a frozen record that refuses unknown names and values of the wrong type.

    Raises:
        ConfigError: names the setting, its value, what was expected and the nearest valid name.
    """

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
    if problem["type"] == "literal_error":
        options = problem["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return unknown(f"{setting} of {owner}", problem["input"], options)
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    expected = problem["msg"].removeprefix("Input should be ")
    return f"{setting}={problem['input']!r} of {owner} cannot be used: expected {expected}"
