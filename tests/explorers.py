"""What the tests of the explorers share: small runs, one explorer of each kind, and a page without Jupyter."""

import base64
import json
import os
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from vaebook import explorers as made
from vaebook.build import stills
from vaelib.data import DataConfig
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import ObjectiveConfig, VAEConfig
from vaelib.priors import StandardNormal, Tempered
from vaelib.runs import RunConfig, data_of, train
from vaelib.training import TrainingConfig

HOST = Path(__file__).resolve().parents[1] / "assets" / "widgets.js"
STYLE = "\n".join(style.read_text(encoding="utf-8") for style in stills.STYLES)

BERNOULLI = LikelihoodConfig(name="bernoulli")
GAUSSIAN = LikelihoodConfig(name="gaussian")

PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Explorers</title>
<style>body {{ margin: 12px auto; font-family: sans-serif; max-width: 44rem; padding: 0 12px }} {style}</style>
<body><main><h1>Explorers</h1><nav>{links}</nav>{sections}</main>
<script type="application/vnd.jupyter.widget-state+json">{state}</script><script>{host}</script></body></html>"""
LINK = """<p><a href="#at-{name}">to {name}</a></p>"""
SECTION = """<h2 id="at-{name}">{name}</h2><p>{text}</p><div id="{name}">{place}</div><p>{text}</p>"""
TEXT = "A paragraph between two explorers. " * 20


@contextmanager
def store(folder):
    """A run store of one's own."""
    with mock.patch.dict(os.environ, {"VAELIB_RUNS": str(folder)}):
        yield


def trained(data="digits", latents=2, likelihood=BERNOULLI, hidden=(64, 64), activation="silu", beta=1.0, epochs=15):
    """A run on bundled images; well below a second."""
    config = RunConfig(
        data=DataConfig(name=data, split="random"),
        model=VAEConfig(latent_dim=latents, hidden=hidden, activation=activation, likelihood=likelihood),
        objective=ObjectiveConfig(beta=beta),
        training=TrainingConfig(epochs=epochs, learning_rate=3e-3, optimiser="adam", batch_size=100, device="cpu"),
    )
    return train(config, progress=False)


class Wide:
    """A prior twice as wide as the standard normal."""

    def sample(self, n, generator=None):
        return 2 * torch.randn(n, 5, generator=generator)


def bright(x):
    """A stand-in for a detector of tongues: images that are brighter than most."""
    return np.asarray(x).mean(-1) > 0.5


def one_of_each():
    """The eight explorers on small runs, by name, and the runs of those that decode."""
    plane, digits = trained(latents=2), trained(latents=8)
    faces = trained("toyfaces", 5, GAUSSIAN, hidden=(64,))
    priors = {"prior": StandardNormal(5), "wider": Wide(), "cooler": Tempered(5, 0.7)}
    widths = [GAUSSIAN.replace(sigma="fixed", sigma_value=value) for value in (1.0, 0.3, 0.1)]
    stops = [trained("toyfaces", 5, width, hidden=(32,), activation="tanh", epochs=3) for width in widths]
    camera = made.Camera(data_of(plane), torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    for step, run in ((0, trained(epochs=1)), (10, trained(epochs=2)), (200, plane)):
        camera.take(run.model, step)
    explorers = {
        "pad": made.manifold_pad(plane),
        "machine": made.machine(plane),
        "sliders": made.latent_sliders(digits),
        "draw": made.draw(digits),
        "dial": made.collapse_dial(stops),
        "sampler": made.sampler(faces, priors, bright),
        "recording": made.recording(camera, {"a line": -30.0}),
        "pair": made.pair({"awake": plane, "asleep": trained(beta=20.0, hidden=(16,), epochs=3)}),
    }
    return explorers, {"pad": plane, "machine": plane, "sliders": digits, "draw": digits, "sampler": faces}


def own_state(explorer):
    """What the explorer tells its script: its own traits, without those of ipywidgets and anywidget."""
    names = [
        name for name in explorer.keys if not name.startswith("_") and name not in ("layout", "tabbable", "tooltip")
    ]
    return {name: explorer.get_state()[name] for name in names}


def page(explorers, awake=True):
    """A page with these explorers in it, as the site has them, which stands alone: their pictures, state and host.

    With `awake` False it lacks the script that starts them.
    """
    models, sections = {}, []
    for name, explorer in explorers.items():
        state = own_state(explorer)
        buffers = [
            {"path": [key], "encoding": "base64", "data": encoded(state.pop(key))}
            for key, value in list(state.items())
            if isinstance(value, bytes | memoryview)
        ]
        models[name] = {"state": state | {"_esm": explorer._esm}, "buffers": buffers}
        place = stills.place(explorer.spec, encoded(explorer.still()), {"model_id": name})
        sections.append(SECTION.format(name=name, text=TEXT, place=place))
    return PAGE.format(
        style=STYLE,
        host=HOST.read_text(encoding="utf-8") if awake else "",
        links="".join(LINK.format(name=name) for name in explorers),
        sections="".join(sections),
        state=json.dumps({"state": models}).replace("</", "<\\/"),
    )


def encoded(content):
    return base64.b64encode(bytes(content)).decode()
