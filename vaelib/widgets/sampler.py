"""Sampler: one decoder under several priors, with a count of the rare mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
import traitlets
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.plots import COLOURS
from vaelib.runs import Run
from vaelib.widgets.base import Explorer, likelihood_spec, module, run_data, title
from vaelib.widgets.network import decoder_layers, pack

__all__ = ["Sampler", "sampler"]

DRAWS = 300

HELP = "The same decoder draws from each prior. The counters say how many of the pictures so far show the tongue; the \
mark on each bar is the share of the training images that do."


class Samples(Protocol):
    """A prior, as far as it is needed here."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...


class Sampler(Explorer):
    """See `sampler`."""

    _esm = module("sampler")
    weights = traitlets.Bytes().tag(sync=True)
    pool = traitlets.Bytes().tag(sync=True)
    drawn = traitlets.Int(0).tag(sync=True)

    @property
    def counts(self) -> dict[str, int]:
        """How many of the first `drawn` draws from each prior show the tongue."""
        return {prior["name"]: sum(prior["hits"][: self.drawn]) for prior in self.spec["priors"]}

    @traitlets.validate("drawn")
    def _fits(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] <= self.spec["draws"]:
            raise traitlets.TraitError(f"drawn must be 0 to {self.spec['draws']}, not {proposal['value']}")
        return proposal["value"]


def sampler(
    run: Run, priors: Mapping[str, Samples], tongue: Callable[[ArrayLike], NDArray[Any]], seed: int = 0
) -> Sampler:
    """Samples from each prior side by side, through the run's decoder. `drawn` says how many, `counts` how many hits.

    300 latents are drawn from each prior here and carried along; `tongue` judges torch's pictures of them: (N, D) ->
    (N,) of bool. The page draws the pictures with weights of 8 bits: on the book's models pixels, on a scale from 0
    to 1, differ from torch's by less than 0.003 on average and by less than 0.1 anywhere.

    Raises:
        ConfigError: no prior, or one over another number of latents than the run has.
    """
    if not priors:
        raise ConfigError("sampler needs a prior or more: sampler(run, {'prior': run.model.prior}, tongue)")
    prepared = run_data(run)
    share = float(tongue(prepared.train).mean())
    latents = run.config.model.latent_dim
    pools, columns = [], []
    for (name, prior), colour in zip(priors.items(), [*COLOURS.values()] * len(priors), strict=False):
        with torch.no_grad():
            z = prior.sample(DRAWS, torch.Generator().manual_seed(seed))
        if z.shape != (DRAWS, latents):
            raise ConfigError(f"prior {name!r} draws z of shape {tuple(z.shape)}: expected ({DRAWS}, {latents})")
        pools.append(z.float())
        hits = tongue(run.model.mean_image(z.float()).numpy())
        columns.append({"name": name, "colour": colour, "hits": hits.astype(int).tolist()})
    layers, weights = pack(decoder_layers(run.model))
    spec = {
        "title": f"Samples of a model of {title(prepared)}",
        "help": HELP,
        "note": f"{100 * share:.1f} % of the training images show the tongue.",
        "mode": "tongue out:",
        "shape": prepared.data.shape,
        "likelihood": likelihood_spec(run.model),
        "decoder": layers,
        "draws": DRAWS,
        "latents": latents,
        "share": share,
        "largest": 1.2 * max(share, *(sum(column["hits"]) / DRAWS for column in columns)) or 1.0,
        "priors": columns,
    }
    return Sampler(spec=spec, weights=weights, pool=torch.cat(pools).numpy().astype("<f4").tobytes())
