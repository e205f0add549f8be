"""What people are told of a run: how far it is, and what its figures are called. Needs no torch.

Progress is a bar in terminals and live notebooks, else lines in the log of a notebook's run.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

from tqdm.auto import tqdm

__all__ = ["TITLES", "bar", "log", "metrics_in", "signed", "unattended"]

TITLES = {
    "elbo": "−ELBO (nats)",
    "bits_per_dim": "−ELBO (bits/dim)",
    "reconstruction": "−reconstruction (nats)",
    "kl": "KL (nats)",
    **{f"kl_{level}": f"KL of level {level} (nats)" for level in range(1, 10)},  # of a hierarchy
    "squared_error": "squared error",
    "active_units": "active units",
}
"""What the figures of `evaluation.summary` are called in a table; see `signed`."""


def bar(*args: Any, show: bool | None = None, **settings: Any) -> Any:
    """A tqdm bar for people: by default in terminals and live notebooks, not in logs, never where TQDM_DISABLE=1.

    Nor in an `unattended` notebook, where the first frame of a bar would stay on the page for good.
    """
    off = os.environ.get("TQDM_DISABLE", "0") not in ("", "0") or unattended()
    hide = (off or None) if show is None else not show  # None: hidden unless in a terminal or a notebook
    return tqdm(*args, disable=hide, leave=False, **settings)


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


def signed(name: str, value: float) -> float:
    """A figure as tables show it: the ELBO and the reconstruction change their sign, so that less is better."""
    return -value if name in ("elbo", "reconstruction") else value


def metrics_in(content: bytes) -> dict[str, Any]:
    """What the file metrics.json of a run says. Raises ValueError: it holds no figures of a run."""
    metrics = json.loads(content)
    kinds = {part: type(value) for part, value in metrics.items()} if isinstance(metrics, dict) else {}
    if kinds.pop("epochs", None) is not int or set(kinds.values()) != {dict}:
        raise ValueError("metrics.json holds no figures of a run")
    return metrics
