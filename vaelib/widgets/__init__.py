"""Explorers of a trained run that live on the page: in JupyterLab and, with no kernel behind them, on the built site.

>>> from vaelib import widgets
>>> pad = widgets.manifold_pad(run)  # doctest: +SKIP
>>> pad.z = [1.0, -0.5]  # doctest: +SKIP

Each carries the weights that it needs, rounded to 8 bits, and evaluates the networks in the page's own JavaScript.
"""

from vaelib.widgets.dial import CollapseDial, collapse_dial
from vaelib.widgets.draw import Draw, draw
from vaelib.widgets.manifold import ManifoldPad, manifold_pad
from vaelib.widgets.network import rounded
from vaelib.widgets.sampler import Sampler, sampler
from vaelib.widgets.sliders import LatentSliders, latent_sliders

__all__ = [
    "CollapseDial",
    "Draw",
    "LatentSliders",
    "ManifoldPad",
    "Sampler",
    "collapse_dial",
    "draw",
    "latent_sliders",
    "manifold_pad",
    "rounded",
    "sampler",
]
