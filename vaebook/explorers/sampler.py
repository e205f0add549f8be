"""Sampler: one decoder under several priors, with a count of the rare mode."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vaebook.explorers.base import Explorer, card, packed
from vaebook.explorers.network import decoder_spec
from vaelib.config import ConfigError
from vaelib.plots import CLASS_COLOURS, image_grid
from vaelib.runs import Run, data_of

__all__ = ["Sampler", "sampler"]

DRAWS = 300
IN_VIEW = 14


class Sampler(Explorer):
    """See `sampler`."""

    weights, pool = packed(), packed()
    drawn = traitlets.Int(0).tag(sync=True)
    inches, last = 2.6, DRAWS

    @property
    def counts(self) -> dict[str, int]:
        """How many of the first `drawn` draws from each prior show the tongue."""
        return {prior["name"]: sum(prior["hits"][: self.drawn]) for prior in self.spec["priors"]}

    def draw_on(self, figure: Figure) -> None:
        pools = torch.tensor(np.frombuffer(self.pool, "<f4").reshape(-1, DRAWS, self.spec["decoder"][0]["inputs"]))
        axes = figure.subplots(1, len(pools), squeeze=False)[0]
        for ax, pool, (name, count) in zip(axes, pools, self.counts.items(), strict=True):
            pictures = self.run.model.mean_image(pool[: min(self.drawn, IN_VIEW) or IN_VIEW])
            found = f"{name}\ntongue out: {count} of {self.drawn}" if self.drawn else name
            image_grid(pictures, self.spec["shape"], 5, ax).set_title(found)


def sampler(run: Run, priors: Mapping[str, Any], tongue: Callable[[ArrayLike], NDArray[Any]], seed: int = 0) -> Sampler:
    """Samples from each prior side by side, through the run's decoder. `drawn` says how many, `counts` how many hits.

    A prior has `sample(n, generator)` -> (n, Z). 300 latents are drawn from each here and carried along; `tongue`
    judges torch's pictures of them: (N, D) -> (N,) of bool.

    Raises:
        ConfigError: no prior, or one over another number of latents than the run has.
    """
    if not priors:
        raise ConfigError("sampler needs a prior or more: sampler(run, {'prior': run.model.prior}, tongue)")
    prepared, latents = data_of(run), run.config.model.latent_dim
    share = float(tongue(prepared.train).mean())
    pools, columns = [], []
    for i, (name, prior) in enumerate(priors.items()):
        z = prior.sample(DRAWS, torch.Generator().manual_seed(seed)).detach().float()
        if z.shape != (DRAWS, latents):
            raise ConfigError(f"prior {name!r} draws z of shape {tuple(z.shape)}: expected ({DRAWS}, {latents})")
        hits = tongue(run.model.mean_image(z).numpy()).astype(int)
        columns.append({"name": name, "colour": CLASS_COLOURS[i % 8], "hits": hits.tolist()})
        pools.append(z)
    decoder, weights = decoder_spec(run.model)
    width = {"columns": len(columns), "narrow": len(columns) if len(columns) <= 3 else 2}
    spec = {**card("sampler", prepared, width), **decoder, "draws": DRAWS, "share": share, "priors": columns}
    return Sampler(run=run, spec=spec, weights=weights, pool=torch.cat(pools).numpy().astype("<f4").tobytes())
