"""What the tests of the explorers share: small runs, one explorer of each kind, and a page that needs no Jupyter."""

import base64
import json
import os
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch

from vaelib import widgets
from vaelib.data import DataConfig
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import ModelConfig
from vaelib.objectives import ObjectiveConfig
from vaelib.priors import StandardNormal
from vaelib.runs import RunConfig, train_or_load
from vaelib.training import TrainingConfig
from vaelib.widgets.base import style

BERNOULLI = LikelihoodConfig(name="bernoulli")
GAUSSIAN = LikelihoodConfig(name="gaussian")

PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Explorers</title>
<style>body {{ margin: 12px; font-family: sans-serif; max-width: 44rem }} {style}</style>
<body><main><h1>Explorers</h1>{places}</main><script type="module">
const stored = {stored};
const view = (text) => new DataView(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
class Model {{
  constructor(state) {{ Object.assign(this, {{ state, listeners: [] }}); }}
  get(name) {{ return this.state[name]; }}
  set(name, value) {{
    this.state[name] = value;
    for (const [event, act] of this.listeners) if (event === `change:${{name}}`) act();
  }}
  on(event, act) {{ this.listeners.push([event, act]); }}
  off() {{}}
  save_changes() {{}}
}}
window.models = {{}};
for (const [name, {{ script, state }}] of Object.entries(stored)) {{
  for (const key in state) if (state[key]?.base64 !== undefined) state[key] = view(state[key].base64);
  const source = new Blob([script], {{ type: "text/javascript" }});
  const module = await import(URL.createObjectURL(source));
  models[name] = new Model(state);
  module.default.render({{ model: models[name], el: document.getElementById(name) }});
}}
document.body.dataset.ready = "true";
</script></body></html>"""


@contextmanager
def store(folder):
    """A run store of one's own."""
    with mock.patch.dict(os.environ, {"VAELIB_RUNS": str(folder)}):
        yield


def trained(data="digits", latents=2, likelihood=BERNOULLI, hidden=(64, 64), activation="silu", beta=1.0, epochs=15):
    """A run on bundled images; well below a second."""
    config = RunConfig(
        data=DataConfig(name=data, split="random"),
        model=ModelConfig(latent_dim=latents, hidden=hidden, activation=activation, likelihood=likelihood),
        objective=ObjectiveConfig(beta=beta),
        training=TrainingConfig(epochs=epochs, learning_rate=3e-3, optimiser="adam", batch_size=100, device="cpu"),
    )
    return train_or_load(config, progress=False)


class Wide:
    """A prior twice as wide as the standard normal."""

    def sample(self, n, generator=None):
        return 2 * torch.randn(n, 5, generator=generator)


def bright(x):
    """A stand-in for a detector of tongues: images that are brighter than most."""
    return np.asarray(x).mean(-1) > 0.5


def one_of_each():
    """The five explorers on small runs, by name, and the runs of those that decode."""
    plane, digits = trained(latents=2), trained(latents=8)
    faces = trained("toyfaces", 5, GAUSSIAN, hidden=(64,))
    widths = [GAUSSIAN.replace(sigma="fixed", sigma_value=value) for value in (1.0, 0.3, 0.1)]
    stops = [trained("toyfaces", 5, width, hidden=(32,), activation="tanh", epochs=3) for width in widths]
    explorers = {
        "pad": widgets.manifold_pad(plane),
        "sliders": widgets.latent_sliders(digits),
        "draw": widgets.draw(digits),
        "dial": widgets.collapse_dial(stops),
        "sampler": widgets.sampler(faces, {"prior": StandardNormal(5), "wider": Wide()}, bright),
    }
    return explorers, {"pad": plane, "sliders": digits, "draw": digits, "sampler": faces}


def own_state(explorer):
    """What the explorer tells its script: its own traits, without those of ipywidgets and anywidget."""
    names = [
        name for name in explorer.keys if not name.startswith("_") and name not in ("layout", "tabbable", "tooltip")
    ]
    return {name: explorer.get_state()[name] for name in names}


def page(explorers):
    """A page with these explorers in it, which stands alone; `models` on it holds their traits."""
    stored = {}
    for name, explorer in explorers.items():
        state = {
            key: {"base64": encoded(value)} if isinstance(value, bytes | memoryview) else value
            for key, value in own_state(explorer).items()
        }
        stored[name] = {"script": explorer._esm, "state": state}
    places = "".join(f'<div id="{name}"></div>' for name in explorers)
    return PAGE.format(style=style(), places=places, stored=json.dumps(stored))


def encoded(content):
    return base64.b64encode(bytes(content)).decode()
