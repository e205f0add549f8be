"""Collapse dial: runs that differ in sigma, or in beta, on one dial."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from vaebook.explorers.base import Explorer, as_bytes, card, packed
from vaebook.figures import spectrum
from vaelib.config import ConfigError
from vaelib.evaluation import directions_in_use, kl_per_dim
from vaelib.linear import eigenvalues
from vaelib.plots import image_grid
from vaelib.runs import Run, data_of

__all__ = ["CollapseDial", "collapse_dial"]

COLUMNS, ROWS = 8, 4  # of pictures: data, reconstructions, and two rows of samples
SAMPLES = 2 * COLUMNS


class CollapseDial(Explorer):
    """See `collapse_dial`."""

    originals, pictures = packed(), packed()
    index = traitlets.Int(0).tag(sync=True)
    last = property(lambda self: len(self.spec["runs"]) - 1)

    @property
    def value(self) -> float:
        """The sigma or beta that the dial shows."""
        return self.spec["runs"][self.index]["value"]

    def draw_on(self, figure: Figure) -> None:
        stop = self.spec["runs"][self.index]
        axes = figure.subplot_mosaic([["spectrum", "sheet"], ["kl", "sheet"]], height_ratios=(1.4, 1))
        levels = {self.spec["threshold"]: stop["threshold"]} if stop["threshold"] else {}
        spectrum(self.spec["eigenvalues"], axes["spectrum"], levels=levels)
        axes["kl"].bar(range(1, 1 + len(stop["kl"])), sorted(stop["kl"], reverse=True))
        axes["kl"].set(xlabel="latent", ylabel="KL (nats)", ylim=(0, max(max(one["kl"]) for one in self.spec["runs"])))
        stored = np.frombuffer(self.pictures, np.uint8).reshape(len(self.spec["runs"]), -1)[self.index]
        images = np.concatenate([np.frombuffer(self.originals, np.uint8), stored]).reshape(ROWS * COLUMNS, -1)
        title = f"{self.spec['dial']} = {stop['value']:g}: {stop['directions']} of {len(stop['kl'])} directions in use"
        image_grid(images, self.spec["shape"], COLUMNS, axes["sheet"]).set_title(title)


def collapse_dial(runs: Sequence[Run]) -> CollapseDial:
    """A dial over runs of the same data that differ in sigma, or in beta. `index` is the stop, `value` what it sets.

    Each stop shows, on test images, in how many directions the posterior means vary, the KL in nats and that of each
    latent, reconstructions and samples; and on the training images the spectrum with the line at beta sigma^2, above
    which a direction pays for its latent (exactly so in a linear VAE, see `vaelib.linear`). All of it is stored, the
    pictures in 256 grey levels: the page computes nothing.

    Raises:
        ConfigError: fewer than two runs, other data, or none of sigma and beta differs.
    """
    dial, settings = _dial(runs)
    order = np.argsort(settings, kind="stable")
    runs, settings = [runs[i] for i in order], [settings[i] for i in order]
    prepared = data_of(runs[0])
    test = torch.from_numpy(prepared.test)
    chosen = test[np.linspace(0, len(test) - 1, COLUMNS).astype(int)]
    stops = [_stop(run, value, test) for run, value in zip(runs, settings, strict=True)]
    values = eigenvalues(prepared.train)[: max(20, len(stops[0]["kl"]))]
    values = values[values > 0]
    height, width = prepared.data.shape[:2]
    ratio = round((ROWS * (height + 1) + 2) / (COLUMNS * (width + 1) - 1), 3)
    spec = {
        **card("dial", prepared, {"sheet": ratio}, dial=dial),
        "sheet": {"columns": COLUMNS, "rows": ROWS},
        "dial": {"sigma": "σ", "beta": "β"}[dial],
        "threshold": "σ²" if dial == "sigma" else "βσ²",
        "runs": stops,
        "eigenvalues": values.tolist(),
    }
    pictures = []
    for run in runs:  # samples from the same z for all
        pictures += [run.model.reconstruct(chosen), run.model.sample(SAMPLES, torch.Generator().manual_seed(0))]
    stored = {"originals": as_bytes(chosen), "pictures": as_bytes(torch.cat(pictures))}
    return CollapseDial(spec=spec, index=len(runs) // 2, **stored)


def _dial(runs: Sequence[Run]) -> tuple[str, list[float]]:
    """What the runs differ in, and its values."""
    if len(runs) < 2 or len({run.config.data for run in runs}) > 1:
        raise ConfigError(f"collapse_dial needs two runs or more, all of the same data; got {len(runs)}")
    sigmas = [run.config.model.likelihood.sigma_value for run in runs]
    betas = [run.config.objective.beta for run in runs]
    for name, values in (("sigma", sigmas), ("beta", betas)):
        if len(set(values)) == len(runs):
            return name, values
    raise ConfigError(f"collapse_dial needs a run for each sigma or each beta; got {sigmas=}, {betas=}")


def _stop(run: Run, value: float, test: torch.Tensor) -> dict[str, Any]:
    """What the dial says of one run; its threshold is beta sigma^2, where all pixels share one sigma."""
    likelihood = run.model.likelihood
    variance = likelihood.variance(torch.zeros(likelihood.heads * run.model.pixels))
    return {
        "value": value,
        "directions": directions_in_use(run.model, test),
        "kl": kl_per_dim(run.model, test).tolist(),
        "error": run.metrics["test"]["squared_error"],
        "threshold": None if variance.dim() else run.config.objective.beta * variance.item(),
    }
