"""The explorers in Python: what they tell their scripts, what can be set and read, and their JavaScript in node."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from explorers import BERNOULLI, GAUSSIAN, Wide, bright, encoded, one_of_each, own_state, store, trained
from PIL import Image
from torch import nn
from traitlets import TraitError

import vaebook.explorers as made
from vaebook.build.stills import PNG, STATE, VIEW, first_below, with_stills
from vaebook.explorers.base import SCRIPTS, Explorer, examples
from vaebook.explorers.network import decoder_spec, encoder_layers, pack
from vaelib.config import ConfigError
from vaelib.data import load
from vaelib.evaluation import encode, kl_per_dim
from vaelib.likelihoods import make_likelihood
from vaelib.models import VAE, VAEConfig
from vaelib.posteriors import gaussian_kl
from vaelib.priors import StandardNormal, Tempered
from vaelib.runs import data_of

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("widgets")


@pytest.fixture(scope="module")
def explorers(tmp_path_factory):
    with store(tmp_path_factory.mktemp("runs")):
        yield one_of_each()


def random_model(latents, hidden, likelihood, activation="silu", shape=(28, 28)):
    """A network of a real one's size."""
    torch.manual_seed(0)
    config = VAEConfig(latent_dim=latents, hidden=hidden, activation=activation, likelihood=likelihood)
    return VAE(config, shape).eval()


def decoded(name, model, seed=0):
    """A decoder packed, with codes and the images that torch makes of them."""
    z = torch.randn(8, model.config.latent_dim, generator=torch.Generator().manual_seed(seed))
    spec, weights = decoder_spec(model)
    return {
        **spec,
        "name": name,
        "weights": encoded(weights),
        "z": z.tolist(),
        "images": model.mean_image(z).tolist(),
        "rounded": made.rounded(model).mean_image(z).tolist(),
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
    spec = {"name": name, "likelihood": decoder_spec(model)[0]["likelihood"]}
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
    digits = torch.from_numpy(data_of(runs["draw"]).test[:20])
    per_pixel = GAUSSIAN.replace(sigma="per-pixel")
    content = {
        "decoders": [
            *(decoded(name, run.model) for name, run in runs.items()),
            decoded("new, 500-500", random_model(20, (500, 500), BERNOULLI)),
            decoded("tanh, identity mean", random_model(5, (30, 20), GAUSSIAN.replace(mean="identity"), "tanh")),
            decoded("relu, sigma per pixel", random_model(5, (40,), per_pixel, "relu", (9, 7))),
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
    environment = {**os.environ, "EXPLORERS_FIXTURE": str(fixture)}
    ran = subprocess.run([node, "--test", *files], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert int(re.search(r"^# pass (\d+)", ran.stdout, re.M).group(1)) > 30, ran.stdout
    print("\n".join(re.findall(r"^.*largest error.*$", ran.stdout, re.M)))


def test_javascript_passes_the_linter():
    biome = Path(sys.executable).with_name("biome")
    places = [SCRIPTS, ROOT / "tests" / "js", ROOT / "assets", ROOT / "biome.json"]
    ran = subprocess.run([biome, "ci", *places], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.js")))
def test_bundle_is_made_of_the_sources(name):
    """Its first line names the sources and their hash; what the sources import is among them."""
    head = (SCRIPTS / f"{name}.js").read_text(encoding="utf-8").partition("\n")[0]
    *names, _, digest = head.removeprefix("// ").replace(",", "").split()
    sources = [(SCRIPTS / source).read_bytes() for source in names]
    assert hashlib.sha256(b"".join(sources)).hexdigest() == digest, f"sh {SCRIPTS}/bundle.sh {name}"
    imported = re.findall(r'from "\./(.*?)";', b"".join(sources).decode())
    assert {f"{name}.mjs", *imported} == set(names)


def test_bundle_stands_alone(node, tmp_path):
    """It is a module that imports nothing, and whose default export draws."""
    path = tmp_path / "bundle.mjs"
    path.write_text(Explorer._esm, encoding="utf-8")
    program = f"import bundle from {json.dumps(path.as_uri())}; process.stdout.write(typeof bundle.render)"
    ran = subprocess.run([node, "--input-type=module", "-e", program], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("function", "")


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
        decoder_spec(model)


def test_explorers_say_what_they_are(explorers):
    assert [repr(explorer) for explorer in explorers[0].values()] == [
        "<ManifoldPad: A latent plane of digits>",
        "<Machine: A VAE of digits at work>",
        "<LatentSliders: 8 latents of digits>",
        "<Draw: Draw for a model of digits>",
        "<CollapseDial: Models of toyfaces that differ in sigma>",
        "<Sampler: Samples of a model of toyfaces>",
        "<Recording: A training on digits, moment by moment>",
        "<Pair: Two models of digits, one z>",
    ]
    for explorer in explorers[0].values():
        json.dumps(explorer.spec)
        assert explorer._css and explorer._esm


def test_output_holds_a_picture(explorers):
    """For GitHub, for JupyterLab without the extension, for paper: beside the view stands a PNG that is not blank."""
    for explorer in explorers[0].values():
        data, _ = explorer._repr_mimebundle_()
        assert set(data) == {"text/plain", VIEW, PNG}
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[PNG]))).convert("L"))
        assert picture.shape[1] <= 900 and picture.std() > 20, explorer
        assert len(data[PNG]) < 150_000, explorer


def test_picture_shows_what_the_explorer_shows_now(explorers):
    states = (("pad", "z", [1.0, 1.0]), ("dial", "index", 0), ("sampler", "drawn", 7))
    for name, trait, value in (*states, ("recording", "index", 2), ("pair", "z", [1.0, 1.0])):
        explorer = explorers[0][name]
        before, earlier = explorer.still(), getattr(explorer, trait)
        setattr(explorer, trait, value)
        assert explorer.still() != before, name
        setattr(explorer, trait, earlier)
        assert explorer.still() == before, name


def test_site_gets_picture_words_and_view_of_an_explorer(explorers):
    pad = explorers[0]["pad"]
    view = {"model_id": "one", "version_major": 2, "version_minor": 0}
    shown = {"data": {VIEW: view, PNG: "\n".join([encoded(pad.still()), ""]), "text/plain": repr(pad)}}
    other = {"data": {VIEW: {"model_id": "two"}}}
    notebook = {
        "cells": [{"source": "text"}, {"outputs": [shown, other, {"text": "printed"}]}],
        "metadata": {"widgets": {STATE: {"state": {"one": {"state": {"spec": pad.spec}}}}}},
    }
    html = with_stills(notebook)["cells"][1]["outputs"][0]["data"]
    assert set(html) == {"text/html"}
    for part in (pad.spec["title"], pad.spec["still"], pad.spec["layout"], json.dumps(view), encoded(pad.still())):
        assert part in html["text/html"]
    assert other["data"] == {VIEW: {"model_id": "two"}}, "what has no picture stays as it is"


def test_a_card_takes_the_first_explorer_below_a_label(explorers):
    def output(number, data):
        return {"data": {VIEW: {"model_id": number}, **data}}

    cells = [
        {"cell_type": "code", "source": "", "outputs": [output("one", {PNG: "first"})]},
        {"cell_type": "markdown", "source": ["# A title\n", "(here)=\n", "## Here"]},
        {"cell_type": "code", "source": "", "outputs": [output("one", {}), output("two", {PNG: "sec\nond\n"})]},
    ]
    models = {name: {"state": {"spec": {"title": name}}} for name in ("one", "two")}
    notebook = {"cells": cells, "metadata": {"widgets": {STATE: {"state": models}}}}
    assert first_below(notebook, "here") == ({"title": "two"}, "second")
    with pytest.raises(LookupError, match="nowhere"):
        first_below(notebook, "nowhere")


def test_colour_images_have_three_values_a_pixel(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "colours"
    folder.mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 255, (6, 5, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    with store(tmp_path / "runs"):
        run = trained(str(folder), 2, GAUSSIAN, hidden=(8,), epochs=1)
        every = [made.latent_sliders(run), made.manifold_pad(run), made.draw(run), made.machine(run)]
    for explorer in every:
        assert tuple(explorer.spec["shape"]) == (6, 5, 3)
        assert explorer.spec["likelihood"]["pixels"] == 90
        assert Image.open(io.BytesIO(explorer.still())).size[0] > 500
    assert every[2].pixels.shape == (6, 5, 3)


def test_pad_carries_codes_and_classes(explorers):
    pad = explorers[0]["pad"]
    points = np.frombuffer(pad.points, "<f4").reshape(-1, 2)
    assert len(points) == len(pad.spec["members"]) == len(data_of(explorers[1]["pad"]).train)
    assert [group["name"] for group in pad.spec["groups"]] == [str(digit) for digit in range(10)]
    assert 3.5 <= pad.spec["limit"] <= 6
    pad.z = [1, -0.5]
    assert pad.get_state()["z"] == [1.0, -0.5]
    with pytest.raises(TraitError, match=r"z must be 2 finite numbers, not \[1.0\]"):
        pad.z = [1]


def test_pad_needs_a_plane(explorers):
    with pytest.raises(ConfigError, match="latent_dim=2, this one has 8: use latent_sliders"):
        made.manifold_pad(explorers[1]["draw"])


def test_pad_brings_training_images_and_what_a_test_image_has(explorers):
    """Each sixth point has its image; the yardstick is the median distance of test images to the nearest of them."""
    pad, run = explorers[0]["pad"], explorers[1]["pad"]
    prepared = data_of(run)
    kept = np.frombuffer(pad.thumbnails, np.uint8).reshape(len(pad.spec["memory"]["names"]), -1) / 255
    places = [int(name.removeprefix("training image ")) for name in pad.spec["memory"]["names"]]
    assert kept == pytest.approx(prepared.data.matrix(places), abs=1 / 255)
    means = encode(run.model, torch.from_numpy(prepared.data.matrix(places)))[0]
    assert np.frombuffer(pad.points, "<f4").reshape(-1, 2)[:: pad.spec["every"]] == pytest.approx(
        means.numpy(), abs=1e-5
    )
    differences = prepared.test[:1000, None] - prepared.data.matrix(places)[None]
    nearest = np.sqrt((differences**2).mean(-1)).min(1)
    assert pad.spec["memory"]["usual"] == pytest.approx(np.median(nearest), abs=1e-3)


def test_machine_is_a_pad_a_plane_and_noise(explorers):
    machine = explorers[0]["machine"]
    assert machine.points == explorers[0]["pad"].points and machine.spec["groups"] == explorers[0]["pad"].spec["groups"]
    before = machine.still()
    machine.epsilon = [-2.0, 2.0]
    assert machine.still() != before
    machine.epsilon = [1.0, -1.0]
    with pytest.raises(ConfigError, match="latent_dim=2, this one has 8: use latent_sliders"):
        made.machine(explorers[1]["draw"])


def test_the_page_gets_bytes_deflated(explorers):
    pad = explorers[0]["pad"]
    assert zlib.decompress(own_state(pad)["weights"]) == pad.weights
    assert len(own_state(pad)["weights"]) < len(pad.weights)


def test_sliders_are_sorted_by_kl(explorers):
    sliders, run = explorers[0]["sliders"], explorers[1]["sliders"]
    kl = kl_per_dim(run.model, torch.from_numpy(data_of(run).test))
    assert [sliders.spec["kl"][j] for j in sliders.spec["order"]] == sorted(kl.tolist(), reverse=True)
    assert len(sliders.images) == 10 * 64
    assert sliders.z == pytest.approx(sliders.spec["codes"][0])


def test_examples_are_one_of_each_class_or_those_that_were_chosen(explorers):
    prepared = data_of(explorers[1]["draw"])
    names = examples(prepared)[1]
    assert [name.split(", ")[1] for name in names] == [f"class {digit}" for digit in range(10)]
    assert np.array_equal(examples(prepared, [3, 1])[0], prepared.data.matrix([3, 1]))
    with pytest.raises(ConfigError, match="there is no image 1797 in 'digits', which has 1797"):
        made.draw(explorers[1]["draw"], images=[1797])
    assert len(examples(data_of(explorers[1]["sampler"]))[1]) == 10


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
        made.draw(run)
    run.model.likelihood, run.model.config = before, config
    run.model.prior = Tempered(8, 0.7)
    with pytest.raises(ConfigError, match="a standard normal prior, not to a Tempered"):
        made.draw(run)
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
    by_beta = made.collapse_dial(runs)
    assert (by_beta.spec["dial"], by_beta.value) == ("β", 4.0)
    assert {stop["threshold"] for stop in by_beta.spec["runs"]} == {None}
    with pytest.raises(ConfigError, match="a run for each sigma or each beta"):
        made.collapse_dial([runs[0], runs[0]])
    with pytest.raises(ConfigError, match="two runs or more, all of the same data; got 1"):
        made.collapse_dial(runs[:1])


def test_sampler_counts_what_the_classifier_says(explorers):
    sampler, run = explorers[0]["sampler"], explorers[1]["sampler"]
    z = Wide().sample(300, torch.Generator().manual_seed(0))
    hits = bright(run.model.mean_image(z).numpy())
    sampler.drawn = 100
    assert sampler.counts["wider"] == hits[:100].sum()
    assert np.frombuffer(sampler.pool, "<f4").reshape(3, 300, 5)[1] == pytest.approx(z.numpy())
    assert sampler.spec["share"] == pytest.approx(bright(data_of(run).train).mean())
    with pytest.raises(TraitError, match="drawn must be 0 to 300, not 301"):
        sampler.drawn = 301
    with pytest.raises(ConfigError, match=r"prior 'narrow' draws z of shape \(300, 4\): expected \(300, 5\)"):
        made.sampler(run, {"narrow": StandardNormal(4)}, bright)
    with pytest.raises(ConfigError, match="sampler needs a prior or more"):
        made.sampler(run, {}, bright)


def test_recording_has_more_moments_early():
    steps = made.moments(2000)
    assert steps[:12] == [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30] and steps[-3:] == [1000, 1500, 2000]
    assert made.moments(7) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert len(made.moments(100_000)) < 50


def test_camera_sees_the_bound_and_disturbs_no_training(explorers):
    run = explorers[1]["pad"]
    camera = made.Camera(data_of(run), torch.zeros(8, 2))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    camera.take(run.model, 5)
    assert torch.equal(torch.rand(1), expected), "it leaves the global generator alone"
    (moment,) = camera.moments
    assert moment["step"] == 5 and moment["elbo"] == pytest.approx(moment["reconstruction"] - moment["kl"], abs=1e-3)
    assert moment["kl"] == pytest.approx(kl_per_dim(run.model, camera.x).sum().item(), abs=1e-3)
    with pytest.raises(ConfigError, match="two moments or more; the camera took 1"):
        made.recording(camera)
    camera.take(run.model, 6)
    recording = made.recording(camera)
    pictures = np.frombuffer(recording.pictures, np.uint8).reshape(2, 16, 64) / 255
    assert pictures[0, :8] == pytest.approx(run.model.reconstruct(camera.x[:8]).numpy(), abs=1 / 255)
    assert np.ptp(pictures[1, 8:], axis=0).max() == 0, "samples of z = 0"
    assert (recording.index, recording.step) == (1, 6)
    with pytest.raises(TraitError, match="index must be 0 to 1, not 2"):
        recording.index = 2


def test_pair_carries_the_codes_and_decoders_of_both(explorers, tmp_path):
    pair, pad = explorers[0]["pair"], explorers[0]["pad"]
    groups = np.array(pair.spec["members"])
    points = np.frombuffer(pair.points, "<f4").reshape(len(groups), 2)
    assert np.array_equal(points[groups == 0], np.frombuffer(pad.points, "<f4").reshape(-1, 2)[::4])
    assert np.abs(points[groups == 1]).max() < np.abs(points[groups == 0]).max()
    assert np.linalg.norm(pair.z) == pytest.approx(np.linalg.norm(points[groups == 0], axis=1).max())
    assert pair.weights.startswith(pad.weights) and len(pair.weights) > len(pad.weights)
    kl = [run.metrics["test"]["kl"] for run in pair.runs.values()]
    assert [one["kl"] for one in pair.spec["models"]] == kl and kl[0] > kl[1]
    with pytest.raises(TraitError, match="z must be 2 finite numbers"):
        pair.z = [1]
    with pytest.raises(ConfigError, match="two runs of the same data; got 1"):
        made.pair({"one": explorers[1]["pad"]})
    with pytest.raises(ConfigError, match="latent_dim=2, this one has 8"):
        made.pair({"two": explorers[1]["pad"], "eight": explorers[1]["draw"]})


def test_state_holds_weights_of_one_byte(explorers):
    """Of a network of N weights, a page carries little more than N bytes before they are written in base64."""
    sliders, run = explorers[0]["sliders"], explorers[1]["sliders"]
    weights = sum(parameter.numel() for parameter in run.model.decoder.parameters())
    assert len(own_state(sliders)["weights"]) < 1.2 * weights


def stored_explorers(chapter="08_explore"):
    """The explorers in the chapter's notebook, as the page gets them."""
    notebook = nbformat.read(ROOT / "chapters" / f"{chapter}.ipynb", as_version=4)
    models = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    return [model for model in models if model["model_module"] == "anywidget"]


@pytest.mark.parametrize("chapter", ["03_training", "05_collapse", "08_explore", "own_images"])
def test_chapter_holds_the_script_of_today(chapter):
    today = {(kind._esm, kind._css) for kind in (Explorer, made.Playground)}
    stored = [model["state"] for model in stored_explorers(chapter)]
    assert stored and {(state["_esm"], state["_css"]) for state in stored} <= today, "execute the chapter again"


def test_chapter_holds_the_picture_of_each_explorer():
    notebook = nbformat.read(ROOT / "chapters" / "08_explore.ipynb", as_version=4)
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [PNG in data for data in outputs if VIEW in data] == [True] * len(stored_explorers())


def test_chapter_keeps_to_its_budget():
    """At most 1.5 MB for an explorer, and 4.4 MB for all of them."""
    sizes = [len(json.dumps(model)) for model in stored_explorers()]
    assert len(sizes) >= 5
    assert max(sizes) < 1.5e6 and sum(sizes) < 4.4e6
