"""The explorers in Python: what they tell their scripts, what can be set and read, and their JavaScript in node."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from explorers import BERNOULLI, GAUSSIAN, Wide, bright, encoded, one_of_each, own_state, store, trained
from torch import nn
from traitlets import TraitError

from vaelib import widgets
from vaelib.config import ConfigError
from vaelib.data import load
from vaelib.evaluation import kl_per_dim
from vaelib.likelihoods import make_likelihood
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import gaussian_kl
from vaelib.priors import StandardNormal
from vaelib.widgets.base import SCRIPTS, examples, likelihood_spec, module, run_data, style
from vaelib.widgets.draw import _width
from vaelib.widgets.network import decoder_layers, encoder_layers, pack

ROOT = Path(__file__).parents[1]
NAMES = ("manifold", "sliders", "draw", "dial", "sampler")
pytestmark = pytest.mark.xdist_group("widgets")


@pytest.fixture(scope="module")
def explorers(tmp_path_factory):
    with store(tmp_path_factory.mktemp("runs")):
        yield one_of_each()


def random_model(latents, hidden, likelihood, activation="silu", shape=(28, 28)):
    """A network of a real one's size."""
    torch.manual_seed(0)
    config = ModelConfig(latent_dim=latents, hidden=hidden, activation=activation, likelihood=likelihood)
    return VAE(config, shape).eval()


def decoded(name, model, seed=0):
    """A decoder packed, with codes and the images that torch makes of them."""
    z = torch.randn(8, model.config.latent_dim, generator=torch.Generator().manual_seed(seed))
    layers, weights = pack(decoder_layers(model))
    spec = {"name": name, "decoder": layers, "weights": encoded(weights), "likelihood": likelihood_spec(model)}
    return {
        **spec,
        "z": z.tolist(),
        "images": model.mean_image(z).tolist(),
        "rounded": widgets.rounded(model).mean_image(z).tolist(),
    }


@torch.no_grad()
def encoded_images(name, model, x):
    layers, weights = pack(encoder_layers(model))
    mean, log_var = model.encode(x)
    found = {"mean": mean, "sigma": torch.exp(0.5 * log_var), "kl": gaussian_kl(mean, log_var).sum(1), "x": x}
    return {"name": name, "encoder": layers, "weights": encoded(weights), **{k: v.tolist() for k, v in found.items()}}


@torch.no_grad()
def bound(name, explorer, model, x):
    """The terms of one image (1, D) from given noise, as torch has them."""
    noise = torch.randn(8, model.config.latent_dim, generator=torch.Generator().manual_seed(2))
    mean, log_var = model.encode(x)
    outputs = model.decode(mean + torch.exp(0.5 * log_var) * noise)
    terms = {
        "reconstruction": model.likelihood.log_prob(x, outputs).mean().item(),
        "kl": gaussian_kl(mean, log_var).sum().item(),
    }
    packed = {"encoder": encoded(explorer.encoder), "decoder": encoded(explorer.decoder)}
    return {"name": name, "spec": explorer.spec, **packed, "x": x[0].tolist(), "noise": noise.tolist(), **terms}


def judged(name, config):
    """One image under a likelihood, with torch's verdict."""
    model, draw = random_model(3, (10,), config, shape=(4, 5)), torch.Generator().manual_seed(1)
    x, outputs = torch.rand(20, generator=draw), torch.randn(20 * model.likelihood.heads, generator=draw)
    spec = {"name": name, "likelihood": {**likelihood_spec(model), **_width(model)}}
    nats = model.likelihood.log_prob(x, outputs).item()
    return {**spec, "x": x.tolist(), "outputs": outputs.tolist(), "nats": nats}


@pytest.fixture(scope="session")
def node():
    """Node's path. None on the machine skips the test; in CI it fails it."""
    found = shutil.which("node")
    if found is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("needs node: apt-get install nodejs")
    return found


@pytest.fixture(scope="module")
def fixture(explorers, tmp_path_factory):
    """What torch makes of fixed codes and images, in a file for tests/js."""
    runs = explorers[1]
    digits = torch.from_numpy(run_data(runs["draw"]).test[:20])
    per_pixel = GAUSSIAN.replace(sigma="per-pixel")
    content = {
        "decoders": [
            *(decoded(name, run.model) for name, run in runs.items()),
            decoded("new, 500-500", random_model(20, (500, 500), BERNOULLI)),
            decoded("tanh, identity mean", random_model(5, (30, 20), GAUSSIAN.replace(mean="identity"), "tanh")),
            decoded("elu, sigma per pixel", random_model(5, (40,), per_pixel, "elu", (9, 7))),
            decoded("relu", random_model(3, (41,), BERNOULLI, "relu", (5, 3))),
        ],
        "encoders": [encoded_images("digits", runs["draw"].model, digits)],
        "bounds": [bound(f"digit {i}", explorers[0]["draw"], runs["draw"].model, digits[[i]]) for i in range(5)],
        "likelihoods": [
            judged("bernoulli", BERNOULLI),
            judged("gaussian", GAUSSIAN),
            judged("fixed sigma", GAUSSIAN.replace(sigma="fixed", sigma_value=0.1)),
            judged("sigma per pixel", per_pixel),
            judged("identity mean", GAUSSIAN.replace(mean="identity")),
        ],
    }
    path = tmp_path_factory.mktemp("js") / "fixture.json"
    path.write_text(json.dumps(content))
    return path


def test_javascript_agrees_with_torch(fixture, node):
    files = sorted((ROOT / "tests" / "js").glob("*.test.mjs"))
    environment = {**os.environ, "WIDGETS_FIXTURE": str(fixture)}
    ran = subprocess.run([node, "--test", *files], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert int(re.search(r"^# pass (\d+)", ran.stdout, re.M).group(1)) > 25, ran.stdout
    print("\n".join(re.findall(r"^.*largest error.*$", ran.stdout, re.M)))


def test_javascript_passes_the_linter():
    biome = Path(sys.executable).with_name("biome")
    ran = subprocess.run([biome, "ci", SCRIPTS, ROOT / "tests" / "js"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", NAMES)
def test_module_stands_alone(name, node, tmp_path):
    """No import is left, and no name is there twice."""
    path = tmp_path / "module.mjs"
    path.write_text(module(name), encoding="utf-8")
    assert "import " not in re.sub(r"//.*|/\*.*?\*/", "", module(name), flags=re.DOTALL)
    ran = subprocess.run([node, "--check", path], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_weights_are_rounded_to_the_nearest_level():
    weights = torch.tensor([[1.27, -0.5, 0.004], [0.0, 0.0, 0.0]])
    layers, content = pack([(weights, torch.tensor([0.5, -1.0]), "tanh")])
    assert layers == [{"inputs": 3, "outputs": 2, "activation": "tanh"}]
    assert np.frombuffer(content[:8], "<f4").tolist() == [0.5, -1.0]
    assert np.frombuffer(content[8:16], "<f4")[0] == pytest.approx(0.01)
    assert np.frombuffer(content[16:], np.int8).tolist() == [127, -50, 0, 0, 0, 0, 0, 0]


def test_only_linear_layers_with_activations_are_packed():
    model = random_model(2, (4,), BERNOULLI)
    model.decoder.body = nn.Sequential(nn.Linear(2, 4), nn.Dropout())
    with pytest.raises(ConfigError, match="linear layers, each with an activation behind it, not Sequential"):
        decoder_layers(model)


def test_explorers_say_what_they_are(explorers):
    assert [repr(explorer) for explorer in explorers[0].values()] == [
        "<ManifoldPad: A latent plane of digits>",
        "<LatentSliders: 8 latents of digits>",
        "<Draw: Draw for a model of digits>",
        "<CollapseDial: Models of toyfaces that differ in sigma>",
        "<Sampler: Samples of a model of toyfaces>",
    ]
    for explorer in explorers[0].values():
        json.dumps(explorer.spec)
        assert explorer._css and explorer._esm.endswith("export default { render };\n")


def test_pad_carries_codes_and_classes(explorers):
    pad = explorers[0]["pad"]
    points = np.frombuffer(pad.points, "<f4").reshape(-1, 2)
    assert len(points) == len(pad.spec["members"]) == len(run_data(explorers[1]["pad"]).train)
    assert [group["name"] for group in pad.spec["groups"]] == [str(digit) for digit in range(10)]
    assert 3.5 <= pad.spec["limit"] <= 6
    pad.z = [1, -0.5]
    assert pad.get_state()["z"] == [1.0, -0.5]
    with pytest.raises(TraitError, match=r"z must be 2 finite numbers, not \[1.0\]"):
        pad.z = [1]


def test_pad_needs_a_plane(explorers):
    with pytest.raises(ConfigError, match="latent_dim=2, this one has 8: use latent_sliders"):
        widgets.manifold_pad(explorers[1]["draw"])


def test_sliders_are_sorted_by_kl(explorers):
    sliders, run = explorers[0]["sliders"], explorers[1]["sliders"]
    kl = kl_per_dim(run.model, torch.from_numpy(run_data(run).test))
    assert [sliders.spec["kl"][j] for j in sliders.spec["order"]] == sorted(kl.tolist(), reverse=True)
    assert len(sliders.images) == 10 * 64
    assert sliders.z == pytest.approx(sliders.spec["codes"][0])


def test_examples_are_one_of_each_class_or_those_that_were_chosen(explorers):
    prepared = run_data(explorers[1]["draw"])
    names = examples(prepared).names
    assert [name.split(", ")[1] for name in names] == [f"class {digit}" for digit in range(10)]
    chosen = examples(prepared, [3, 1])
    assert chosen.pixels == prepared.data.images[[3, 1]].tobytes()
    with pytest.raises(ConfigError, match="there is no image 1797 in 'digits', which has 1797"):
        widgets.draw(explorers[1]["draw"], images=[1797])
    assert len(examples(run_data(explorers[1]["sampler"])).names) == 10


def test_drawing_can_be_set_and_read(explorers):
    pad = explorers[0]["draw"]
    image = load("digits").images[5]
    pad.pixels = image / 255
    assert pad.image == image.tobytes()
    assert pad.pixels == pytest.approx(image / 255)
    with pytest.raises(ValueError, match=r"pixels must be an image of \(8, 8\) in \[0, 1\], not \(2, 2\)"):
        pad.pixels = np.zeros((2, 2))


def test_drawing_states_no_bound_that_it_cannot_compute(explorers):
    run = explorers[1]["draw"]
    levels = BERNOULLI.replace(name="discretised-gaussian")
    run.model.likelihood, before = make_likelihood(levels), run.model.likelihood
    run.model.config, config = run.model.config.replace(likelihood=levels), run.model.config
    with pytest.raises(ConfigError, match="unknown likelihood of an image to draw 'discretised-gaussian'"):
        widgets.draw(run)
    run.model.likelihood, run.model.config = before, config
    run.model.prior = nn.Identity()
    with pytest.raises(ConfigError, match="a standard normal prior, not to a Identity"):
        widgets.draw(run)
    run.model.prior = StandardNormal(8)


def test_dial_knows_its_stops(explorers, tmp_path):
    dial = explorers[0]["dial"]
    assert [stop["value"] for stop in dial.spec["runs"]] == [0.1, 0.3, 1.0]
    assert [stop["threshold"] for stop in dial.spec["runs"]] == pytest.approx([0.01, 0.09, 1.0])
    assert (dial.index, dial.value) == (1, 0.3)
    dial.index = 2
    assert dial.value == 1.0
    with pytest.raises(TraitError, match="index must be 0 to 2, not 3"):
        dial.index = 3
    assert len(dial.pictures) == 3 * 24 * dial.spec["shape"][0] * dial.spec["shape"][1]
    with store(tmp_path):
        runs = [trained(beta=beta, epochs=1) for beta in (1.0, 4.0)]
    by_beta = widgets.collapse_dial(runs)
    assert (by_beta.spec["dial"], by_beta.value) == ("β", 4.0)
    assert {stop["threshold"] for stop in by_beta.spec["runs"]} == {None}
    with pytest.raises(ConfigError, match="a run for each sigma or each beta"):
        widgets.collapse_dial([runs[0], runs[0]])
    with pytest.raises(ConfigError, match="two runs or more, all of the same data; got 1"):
        widgets.collapse_dial(runs[:1])


def test_sampler_counts_what_the_classifier_says(explorers):
    sampler, run = explorers[0]["sampler"], explorers[1]["sampler"]
    z = Wide().sample(300, torch.Generator().manual_seed(0))
    hits = bright(run.model.mean_image(z).numpy())
    sampler.drawn = 100
    assert sampler.counts["wider"] == hits[:100].sum()
    assert np.frombuffer(sampler.pool, "<f4").reshape(2, 300, 5)[1] == pytest.approx(z.numpy())
    assert sampler.spec["share"] == pytest.approx(bright(run_data(run).train).mean())
    with pytest.raises(TraitError, match="drawn must be 0 to 300, not 301"):
        sampler.drawn = 301
    with pytest.raises(ConfigError, match=r"prior 'narrow' draws z of shape \(300, 4\): expected \(300, 5\)"):
        widgets.sampler(run, {"narrow": StandardNormal(4)}, bright)
    with pytest.raises(ConfigError, match="sampler needs a prior or more"):
        widgets.sampler(run, {}, bright)


def test_state_holds_weights_of_one_byte(explorers):
    """Of a network of N weights, a page carries little more than N bytes before they are written in base64."""
    sliders, run = explorers[0]["sliders"], explorers[1]["sliders"]
    weights = sum(parameter.numel() for parameter in run.model.decoder.parameters())
    assert len(own_state(sliders)["weights"]) < 1.2 * weights


def stored_explorers():
    """The explorers in the chapter's notebook, as the page gets them."""
    notebook = nbformat.read(ROOT / "chapters" / "08_explore.ipynb", as_version=4)
    models = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    return [model for model in models if model["model_module"] == "anywidget"]


def test_chapter_holds_the_scripts_of_today():
    scripts = {module(name) for name in NAMES}
    assert {model["state"]["_esm"] for model in stored_explorers()} == scripts, "execute chapters/08_explore.py again"
    assert {model["state"]["_css"] for model in stored_explorers()} == {style()}, "execute chapters/08_explore.py again"


def test_chapter_keeps_to_its_budget():
    """At most 1.5 MB for an explorer, and 4.4 MB for all of them."""
    sizes = [len(json.dumps(model)) for model in stored_explorers()]
    assert len(sizes) >= 5
    assert max(sizes) < 1.5e6 and sum(sizes) < 4.4e6
