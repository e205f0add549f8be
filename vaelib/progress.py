"""Progress, for whoever looks: a bar in terminals and live notebooks, else lines in the log of a notebook's run."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from tqdm.auto import tqdm as notebook_bar
from tqdm.std import tqdm as terminal_bar

__all__ = ["bar", "log", "unattended"]


def bar(*args: Any, show: bool | None = None, **settings: Any) -> Any:
    """A tqdm bar for people: by default in terminals and live notebooks, not in logs, never where TQDM_DISABLE=1.

    Nor in an `unattended` notebook, where the first frame of a bar would stay on the page for good.
    """
    in_notebook = any(base.__module__ == "tqdm.notebook" for base in notebook_bar.__mro__)
    if show is None and (os.environ.get("TQDM_DISABLE", "0") not in ("", "0") or unattended()):
        show = False
    hide = not show if show is not None else (False if in_notebook else None)  # None: hidden unless a terminal
    return (notebook_bar if in_notebook else terminal_bar)(*args, disable=hide, leave=False, **settings)


def log(line: str) -> None:
    """Says it on stderr to who ran an `unattended` notebook; no output of the notebook holds it. Elsewhere silent."""
    if unattended():
        with suppress(OSError):  # the kernel keeps the command's stderr as another file where it takes over its own
            os.write(getattr(sys.stderr, "_original_stdstream_copy", 2), f"{line}\n".encode())


def unattended() -> bool:
    """Whether a program, such as papermill, runs this as a notebook: nobody is there who could answer `input()`."""
    ipython = sys.modules.get("IPython")
    kernel: Any = getattr(ipython.get_ipython() if ipython else None, "kernel", None)
    parent = kernel.get_parent() if hasattr(kernel, "get_parent") else {}
    return not parent.get("content", {}).get("allow_stdin", True)
