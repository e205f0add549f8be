"""What ``import vaelib as vae`` gives: every name, light until a model is needed, and the lines its users write."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

import vaelib as vae

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", vae.__all__)
def test_every_public_name_is_there(name):
    assert getattr(vae, name) is not None and name in dir(vae)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(AttributeError, match=r"module 'vaelib' has no attribute 'vea'; it has: .*VAE.*train_all"):
        _ = vae.vea
    assert not hasattr(vae, "vea")


@pytest.mark.parametrize(
    "code",
    [
        "import vaelib as vae; vae.load('digits').matrix(); vae.prepare(vae.DataConfig(name='digits'))",
        "import vaelib as vae; vae.plots.use_style(); vae.grid(vae.DataConfig(), split_seed=[0, 1])",
        "import vaelib.cli",
    ],
    ids=["data", "plots", "command-line"],
)
def test_torch_waits_until_a_model_is_needed(code):
    check = "import sys; print(sorted(name for name in sys.modules if name in ('torch', 'vaebook')))"
    ran = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "[]\n", ran.stdout + ran.stderr


def test_the_librarys_lines_run_as_they_stand(store, capsys):
    """Those of the design, on bundled data, with a smaller model, fewer epochs and fewer samples."""
    film = vae.load("toyfaces")
    small = vae.TrainingConfig(epochs=1, device="cpu")
    config = vae.RunConfig(data=vae.DataConfig(name="toyfaces"), model=vae.VAEConfig(latent_dim=20, hidden=(30,)))
    config = config.replace(training=small)
    run = vae.train(config)
    assert run.config == config and vae.train(config).metrics == run.metrics
    runs = vae.train_all(vae.grid(config, seed=[0, 1, 2]), jobs=1)
    assert [run.config.seed for run in runs] == [0, 1, 2] and runs[0].path == run.path

    model = vae.VAE(config.model, film.shape)
    x = torch.from_numpy(vae.prepare(config.data).train[:200])
    ((_, loss),) = model.losses(config.objective)
    capsys.readouterr()
    vae.fit(model, loss, x, small, on_epoch=print)
    assert capsys.readouterr().out.startswith("{'epoch': 1, 'samples_seen': 200, 'train_loss':")

    terms = vae.elbo(model, x)
    assert terms.elbo.shape == (200,)
    assert vae.importance_weighted_bound(model, x, samples=64).mean() > terms.elbo.mean()
    estimate = vae.log_likelihood(model, x, samples=20)
    assert estimate.value.shape == estimate.standard_error.shape == (200,) and "20 draws" in estimate.kind
    assert {"elbo", "kl", "active_units"} <= set(vae.summary(model, x))

    codes, held_out = model.codes(x[:150]), model.codes(x[150:])
    prior = vae.fit_mixture(codes, held_out, components=(2,), fits=1).prior
    better = vae.with_prior(model, prior)
    assert better.prior is prior and isinstance(model.prior, vae.StandardNormal)
    assert vae.diagnose(run).causes is not None
    axes = vae.plots.image_grid(model.sample(100), film.shape)
    assert axes is not None
    plt.close("all")


def test_the_reference_shows_every_public_name_in_lines_that_run(store):
    page = (ROOT / "chapters" / "api.md").read_text(encoding="utf-8").split("\n## ")[1]
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert page.startswith("Every public name in use") and len(blocks) > 5
    names = [name for name in vae.__all__ if name not in (*vae._MODULES, "__version__")]
    assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []
    exec("".join(blocks), {})
