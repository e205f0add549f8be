"""A progress bar for people: in terminals and live notebooks, not in logs, and never where TQDM_DISABLE=1."""

from __future__ import annotations

import os
from typing import Any

from tqdm.auto import tqdm as notebook_bar
from tqdm.std import tqdm as terminal_bar

__all__ = ["bar"]


def bar(*args: Any, show: bool | None = None, **settings: Any) -> Any:
    """A tqdm bar that takes tqdm's arguments; `show` None leaves it to the place whether it is seen."""
    in_notebook = any(base.__module__ == "tqdm.notebook" for base in notebook_bar.__mro__)
    if show is None and os.environ.get("TQDM_DISABLE", "0") not in ("", "0"):
        show = False
    hide = not show if show is not None else (False if in_notebook else None)  # None: hidden unless a terminal
    return (notebook_bar if in_notebook else terminal_bar)(*args, disable=hide, leave=False, **settings)
