"""Explorers of a trained run that live on the page: in JupyterLab and, with no kernel behind them, on the built site.

>>> from vaebook import explorers
>>> pad = explorers.manifold_pad(run)  # doctest: +SKIP
>>> pad.z = [1.0, -0.5]  # doctest: +SKIP

Each carries the weights that it needs, rounded to 8 bits, and evaluates the networks in the page's own JavaScript: on
the book's models pixels, from 0 to 1, differ from torch's by less than 0.003 on average and by less than 0.1 anywhere.
Where no script runs, on paper for one, a picture of what it first shows stands in for it.
"""

from vaebook.explorers.dial import CollapseDial, collapse_dial
from vaebook.explorers.draw import Draw, draw
from vaebook.explorers.machine import Machine, machine
from vaebook.explorers.network import rounded
from vaebook.explorers.pair import Pair, pair
from vaebook.explorers.plane import ManifoldPad, manifold_pad
from vaebook.explorers.playground import Playground, playground
from vaebook.explorers.recording import Camera, Recording, moments, recording
from vaebook.explorers.sampler import Sampler, sampler
from vaebook.explorers.sliders import LatentSliders, latent_sliders

__all__ = ["Camera", "CollapseDial", "Draw", "LatentSliders", "Machine", "ManifoldPad", "Pair", "Playground"]
__all__ += ["Recording", "Sampler", "collapse_dial", "draw", "latent_sliders", "machine", "manifold_pad", "moments"]
__all__ += ["pair", "playground", "recording", "rounded", "sampler"]
