"""What the figures of a run are called, and with which sign they are shown. Needs no torch."""

import json
from typing import Any

__all__ = ["TITLES", "metrics_in", "signed"]

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
