"""The playground: its gradients, Adam and theory against torch and vaelib, and what it tells the page."""

import io
import json
import os
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from traitlets import TraitError

from vaebook.explorers.playground import playground
from vaelib.config import ConfigError
from vaelib.data import ImageData
from vaelib.linear import eigenvalues, predict
from vaelib.posteriors import gaussian_kl

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "as it begins": ({"pixels": 64, "hidden": 64, "latents": 4}, {"sigma": 0.3, "beta": 1.0}),
    "one latent, narrow": ({"pixels": 9, "hidden": 5, "latents": 1}, {"sigma": 0.05, "beta": 0.1}),
    "eight latents, wide": ({"pixels": 64, "hidden": 64, "latents": 8}, {"sigma": 2.0, "beta": 10.0}),
}
STEP_SIZE = 0.003


@pytest.fixture(scope="module")
def made():
    return playground()


def forward(shape, parameters, x, noise):
    """The network of js/vae.mjs in torch: the decoder's mean, and mean and log-variance of q(z|x)."""
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = parameters
    mean, log_var = (torch.tanh(x @ w1 + b1) @ w2 + b2).split(shape["latents"], 1)
    z = mean + torch.exp(0.5 * log_var) * noise
    return torch.tanh(z @ w3 + b3) @ w4 + b4, mean, log_var


def steps(name, shape, settings):
    """Terms and gradient of one batch, and the weights after three steps of torch's Adam on it; float64 throughout."""
    draw = torch.Generator().manual_seed(0)
    pixels, hidden, latents = shape.values()
    sizes = ((pixels, hidden), (hidden, 2 * latents), (latents, hidden), (hidden, pixels))
    layers = [[torch.randn(i, o, generator=draw) / i**0.5, 0.1 * torch.randn(o, generator=draw)] for i, o in sizes]
    parameters = [[part.double().requires_grad_() for part in layer] for layer in layers]
    flat = [part for layer in parameters for part in layer]
    start = torch.cat([part.detach().flatten() for part in flat])
    x, noise = torch.rand(32, pixels, generator=draw), torch.randn(32, latents, generator=draw)

    def objective():
        centre, mean, log_var = forward(shape, parameters, x.double(), noise.double())
        reconstruction = torch.distributions.Normal(centre, settings["sigma"]).log_prob(x.double()).sum(1).mean()
        kl = gaussian_kl(mean, log_var).mean(0)
        return -(reconstruction - settings["beta"] * kl.sum()), reconstruction, kl

    loss, reconstruction, kl = objective()
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, flat)])
    optimiser = torch.optim.Adam(flat, lr=STEP_SIZE, betas=(0.9, 0.99))
    for _ in range(3):
        optimiser.zero_grad()
        objective()[0].backward()
        optimiser.step()
    found = {"weights": start, "x": x.flatten(), "noise": noise.flatten(), "gradient": gradient, "kl": kl}
    found["after"] = torch.cat([part.detach().flatten() for part in flat])
    numbers = {key: value.tolist() for key, value in found.items()}
    settings = {**settings, "step_size": STEP_SIZE}
    return {"name": name, "shape": shape, "settings": settings, "reconstruction": reconstruction.item(), **numbers}


def predictions(spectrum):
    """What vaelib says of linear models with these settings."""
    for latents, sigma, beta in ((4, 0.3, 1.0), (8, 0.5, 1.0), (8, 0.3, 5.0), (2, 2.0, 1.0)):
        found = predict(spectrum, latents, sigma, beta)
        settings = {"latents": latents, "sigma": sigma, "beta": beta}
        yield {"settings": settings, "active": found.active, "kl_per_dim": found.kl_per_dim.tolist()}


@pytest.fixture(scope="module")
def fixture(made, tmp_path_factory):
    codes = np.random.default_rng(0).standard_normal((50, 5)) * [1, 0.5, 0.1, 0.01, 2]
    content = {
        "steps": [steps(name, *case) for name, case in CASES.items()],
        "predictions": list(predictions(made.spec["eigenvalues"])),
        "covariance": {"codes": codes.tolist(), "spectrum": eigenvalues(codes).tolist()},
        "images": list(made.images),
        "examples": made.spec["examples"],
        "eigenvalues": made.spec["eigenvalues"],
    }
    path = tmp_path_factory.mktemp("js") / "playground.json"
    path.write_text(json.dumps(content))
    return path


def test_javascript_agrees_with_torch_and_learns(fixture):
    node = shutil.which("node")
    if node is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("needs node: apt-get install nodejs")
    environment = {**os.environ, "PLAYGROUND_FIXTURE": str(fixture)}
    file = ROOT / "tests" / "js" / "playground.test.mjs"
    ran = subprocess.run([node, "--test", file], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout[-5000:]
    counts = {name: int(count) for name, count in re.findall(r"^# (pass|skipped) (\d+)", ran.stdout, re.M)}
    assert counts == {"pass": 14, "skipped": 0}, ran.stdout
    print("\n".join(re.findall(r"^.*largest .*$", ran.stdout, re.M)))


def test_it_carries_images_of_each_class_and_their_spectrum(made):
    spec, images = made.spec, np.frombuffer(made.images, np.uint8).reshape(512, 64)
    assert spec["shape"] == (8, 8) and made.megabytes < 0.1
    assert spec["eigenvalues"] == pytest.approx(np.linalg.eigvalsh(np.cov(images.T / 255, ddof=0))[::-1], abs=1e-9)
    assert [spec["members"][image] for image in spec["examples"]] == list(range(10))
    assert np.bincount(spec["members"]).min() > 25
    json.dumps(spec)


def test_its_settings_are_where_the_controls_begin_and_keep_within_them(made):
    mine = playground(latents=2, sigma=0.1, seed=3)
    assert (mine.latents, mine.sigma, mine.beta, mine.step_size, mine.seed) == (2, 0.1, 1.0, 0.003, 3)
    mine.sigma = 2
    with pytest.raises(TraitError, match="'sigma' trait of a Playground instance should not be greater than 2"):
        mine.sigma = 3
    with pytest.raises(TraitError, match="'latents'"):
        playground(latents=9)


def test_larger_images_are_averaged_in_blocks():
    faces = playground("toyfaces")
    assert faces.spec["shape"] == (14, 10) and len(faces.spec["groups"]) == 1 and faces.spec["examples"][-1] == 9
    assert len(faces.images) == 512 * 140


@pytest.mark.parametrize(("shape", "message"), [((17, 19), "17x19 cannot be averaged"), ((8, 8, 3), "grey images")])
def test_images_that_it_cannot_carry_are_refused(monkeypatch, shape, message):
    images = ImageData("mine", np.zeros((600, *shape), np.uint8), {})
    monkeypatch.setattr(import_module("vaebook.explorers.playground"), "load", lambda name: images)
    with pytest.raises(ConfigError, match=message):
        playground("mine")


def test_its_still_picture_shows_a_trained_model():
    with Image.open(io.BytesIO(playground(latents=1).still())) as picture:
        assert picture.width <= 900 and np.asarray(picture.convert("L")).std() > 20
