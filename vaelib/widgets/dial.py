"""Collapse dial: runs that differ in sigma, or in beta, on one dial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.ticker import MaxNLocator

from vaelib.config import ConfigError
from vaelib.data import Prepared
from vaelib.diagnosis import directions_in_use
from vaelib.evaluation import kl_per_dim
from vaelib.likelihoods import Gaussian
from vaelib.linear import eigenvalues
from vaelib.runs import Run
from vaelib.widgets.base import Explorer, as_bytes, module, run_data, title

__all__ = ["CollapseDial", "collapse_dial"]

COLUMNS, SAMPLE_ROWS = 8, 2

HELP = "Turn the dial and watch the latents go. Each stop is a model of its own, trained with that {dial} and nothing \
else changed."
CAPTIONS = {
    "spectrum": "variance of the data along each principal component; those above the line pay for a latent",
    "kl": "KL of each latent in nats, largest first",
    "pictures": "test images, their reconstructions, and samples from the prior",
}


class CollapseDial(Explorer):
    """See `collapse_dial`."""

    _esm = module("dial")
    originals = traitlets.Bytes().tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)

    @property
    def value(self) -> float:
        """The sigma or beta that the dial shows."""
        return self.spec["runs"][self.index]["value"]

    @traitlets.validate("index")
    def _fits(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(self.spec["runs"]):
            raise traitlets.TraitError(f"index must be 0 to {len(self.spec['runs']) - 1}, not {proposal['value']}")
        return proposal["value"]


def collapse_dial(runs: Sequence[Run]) -> CollapseDial:
    """A dial over runs of the same data that differ in sigma, or in beta. `index` is the stop, `value` what it sets.

    Each stop shows, on test images, in how many directions the posterior means vary, the KL in nats and that of each
    latent, reconstructions and samples; and on the training images the spectrum with the line at beta sigma^2, above
    which a direction pays for its latent (exactly so in a linear VAE, see `vaelib.linear`). All of it is stored, the
    pictures in 256 grey levels: the page computes nothing.

    Raises:
        ConfigError: fewer than two runs, other data, or none of sigma and beta differs.
    """
    dial, values = _dial(runs)
    order = np.argsort(values, kind="stable")
    runs, values = [runs[i] for i in order], [values[i] for i in order]
    prepared = run_data(runs[0])
    test = torch.from_numpy(prepared.test)
    chosen = test[np.linspace(0, len(test) - 1, COLUMNS).astype(int)]
    stops = [_stop(run, value, test) for run, value in zip(runs, values, strict=True)]
    spec = {
        "title": f"Models of {title(prepared)} that differ in {dial}",
        "help": HELP.format(dial=dial),
        "captions": CAPTIONS,
        "shape": prepared.data.shape,
        "sheet": {"columns": COLUMNS, "rows": 2 + SAMPLE_ROWS},
        "dial": {"sigma": "σ", "beta": "β"}[dial],
        "threshold": "σ²" if dial == "sigma" else "βσ²",
        "runs": stops,
        **_axes(prepared, stops),
    }
    originals, pictures = as_bytes(chosen), b"".join(_pictures(run, chosen) for run in runs)
    return CollapseDial(spec=spec, originals=originals, pictures=pictures, index=len(runs) // 2)


def _dial(runs: Sequence[Run]) -> tuple[str, list[float]]:
    """What the runs differ in, and its values."""
    if len(runs) < 2 or len({run.config.data for run in runs}) > 1:
        raise ConfigError(f"collapse_dial needs two runs or more, all of the same data; got {len(runs)}")
    widths = [run.config.model.likelihood.sigma_value for run in runs]
    weights = [run.config.objective.beta for run in runs]
    for name, values in (("sigma", widths), ("beta", weights)):
        if len(set(values)) == len(runs):
            return name, values
    raise ConfigError(f"collapse_dial needs a run for each sigma or each beta; got sigmas {widths}, betas {weights}")


def _stop(run: Run, value: float, test: torch.Tensor) -> dict[str, Any]:
    return {
        "value": value,
        "directions": directions_in_use(run.model, test),
        "kl": kl_per_dim(run.model, test).tolist(),
        "error": run.metrics["test"]["squared_error"],
        "threshold": _threshold(run),
    }


def _threshold(run: Run) -> float | None:
    """beta sigma^2, where all pixels share one sigma."""
    likelihood = run.model.likelihood
    if not isinstance(likelihood, Gaussian) or likelihood.heads > 1:
        return None
    return run.config.objective.beta * likelihood.sigma(torch.zeros(1)).item() ** 2


def _axes(prepared: Prepared, stops: list[dict[str, Any]]) -> dict[str, Any]:
    """The spectrum of the training images, and axes that hold the values of all stops."""
    values = eigenvalues(prepared.train)[: max(20, len(stops[0]["kl"]))]
    values = values[values > 0]
    lines = [stop["threshold"] for stop in stops if stop["threshold"]]
    largest = max(max(stop["kl"]) for stop in stops)
    marks = [mark for mark in MaxNLocator(3).tick_values(0, largest) if 0 <= mark <= largest]
    return {
        "eigenvalues": values.tolist(),
        "range": [min([*values, *lines]) / 1.6, max([*values, *lines]) * 1.6],
        "largestKl": largest,
        "klMarks": marks,
    }


def _pictures(run: Run, x: torch.Tensor) -> bytes:
    """Reconstructions of x, and samples from the same z for every run."""
    samples = run.model.sample(COLUMNS * SAMPLE_ROWS, torch.Generator().manual_seed(0))
    return as_bytes(torch.cat([run.model.reconstruct(x), samples]))
