# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# (chapter-explore)=
# # Play with the latent space
#
# Figures show what an author chose to show. This page lets you choose. It holds seven *explorers*, of six kinds:
# trained models that you can drag, draw on and sample from, here in the page. There is nothing to install. All but the
# dial, whose pictures are stored, carry their network's weights, and your browser does the arithmetic.
#
# All of them work with a mouse, with a finger and with the keyboard (Tab goes from control to control, arrow keys move).
# The page's address holds what you have set, a drawing included: "Copy link" takes it along, and whoever opens the link sees it.
# Each section says what to try and what to look for. At the end are exercises, with solutions.
#
# Three more stand where the argument needs them: a training to scrub through ({doc}`03_training`), a VAE that your browser trains,
# and one $z$ in two decoders (both in {doc}`05_collapse`).

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey" or "toyfaces"; "auto": fits dataset
epochs: int = 0  # passes over the data; 0: each section's own number

# %% tags=["remove-cell", "install"]
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae@v0.2.0"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")

# %% tags=["remove-cell"]
import numpy as np
import torch
from IPython.display import Markdown

from vaebook import page
from vaelib.data import DataConfig

page.parameters(globals(), at_least={"epochs": 0})
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"

# %% tags=["remove-input"]
images, film = page.load(dataset, grey=True), page.load(faces, grey=True)
page.banner(images, film)

# %% [markdown]
# ## Which models are these?
#
# Those of {doc}`03_training`, by its modern recipe, with seed 0: one with two {term}`latents <latent>` and one with
# twenty for each data set. Two smaller networks are trained as well, because they bring encoder and {term}`decoder`,
# and the page should load fast. The drawing pad has layers of 256 units and not 500. The picture of a whole VAE has two
# latents, and a single layer of 64 units each way. (The dial has six models of its own.)

# %%
from vaebook.experiments.recipes import (
    digits_recipe,
    faces_recipe,
    train_groups,
)

split = "60000/10000" if dataset == "mnist" else None
digits_data = DataConfig(name=dataset, split=split)
film_data = DataConfig(name=faces, split="random")

# %% tags=["hide-input"]
ours = {"epochs": epochs or None}
pad_recipe = digits_recipe("modern", digits_data, **ours)
light = pad_recipe.model.replace(hidden=(256, 256))
lightest = light.replace(latent_dim=2, hidden=(64,))
configs = {
    "plane of digits": digits_recipe(
        "modern", digits_data, latent_dim=2, **ours
    ),
    "plane of faces": faces_recipe("modern", film_data, latent_dim=2, **ours),
    "digits": digits_recipe("modern", digits_data, **ours),
    "faces": faces_recipe("modern", film_data, **ours),
    "pad": pad_recipe.replace(model=light),
    "machine": pad_recipe.replace(model=lightest),
}

# %%
from vaebook.tables import final_table

runs = train_groups({name: [config] for name, config in configs.items()})
final_table(runs)

# %% [markdown]
# (explore-machine)=
# ## How does one image pass through a VAE?
#
# Here is a whole VAE, with the number behind each symbol. Draw a digit on the left. The encoder answers with a mean $\mu$ and a
# standard deviation $\sigma$ for each of two latents: together they are $q(z|x)$, the ellipse on the plane. A draw
# $z = \mu + \sigma \epsilon$, the cross, goes to the decoder, which makes the picture on the right. The lines of code are those of
# {doc}`build`, with their values; point at one, and its part of the picture lights up.

# %%
from vaebook import explorers

machine = explorers.machine(runs["machine"][0])
machine

# %% [markdown]
# - Draw a 1 and watch where its ellipse lands. Then draw on, stroke by stroke, until it is a 4. When does the ellipse jump?
# - Draw something that is no digit at all. Its code lies among the others, too. Which number tells you that something
#   is wrong?
# - Move $\epsilon_1$ and $\epsilon_2$. The draw moves within the ellipse. How much does the picture change while the image $x$ stays
#   the same? That is how sure the encoder is.
#
# (explore-plane)=
# ## What lies between two digits?
#
# With two latents the whole latent space is a plane. Drag over it. The dots are the {term}`codes <code>` of training images: the means
# of $q(z|x)$. The picture is what the decoder makes of *your* point, where there may be no dot at all.

# %%
pad = explorers.manifold_pad(runs["plane of digits"][0])
pad

# %% [markdown]
# - Go slowly from one class to its neighbour. Is there a border, or does one digit melt into the other?
# - Press the buttons of the classes one by one. Which have a region of their own, which share one?
# - Leave the dashed circles. Hardly any draw from the {term}`prior` falls outside the third (the line below the picture
#   says how many), but some codes do. Compare the picture where there are dots with the picture where there are none:
#   there the decoder was never trained.
#
# **Memorised or invented?** Beside the decoder's picture stands the training image that it is most like, with their distance:
# the root of the mean squared difference of their pixels. The page carries a few hundred training images, not all of them, so
# a closer one may exist. For a fair comparison, the line below says how far a *test* image is from the nearest of the same few.
#
# - Find pictures that are closer to a training image than a test image is. A decoder's mean is smooth, and so is often close.
#   Is any so close that you would call it a copy?
# - Press "Images for dots": the images stand where their codes lie. Put point A on one and point B on another, then walk. Where
#   along the way is the picture far from every training image?
#
# The film has no classes, so all its dots have one colour. Find out what the directions mean:

# %%
face_pad = explorers.manifold_pad(runs["plane of faces"][0])
face_pad

# %% [markdown]
# (A few codes lie beyond its edge.)
#
# - Where does he look to the left, where to the right? Where does he smile?
# - Is there a tongue anywhere?
#
# (explore-sliders)=
# ## What does each of twenty latents do?
#
# Nobody can look at a space of twenty dimensions, but one can change one latent at a time. The explorer sorts the
# latents by the nats that they carry: the mean of $\mathrm{KL}(q(z_j|x) \,\|\, p(z_j))$ over the test images. A latent
# of which the encoder makes no use is *inactive*: its {term}`posterior` is the prior for every image, and the decoder
# has learned to ignore it.

# %%
sliders = explorers.latent_sliders(runs["digits"][0])
sliders

# %% [markdown]
# - Move the first slider to its ends, then the last. Which changes more?
# - Do the latents have meanings, like slant or width, one each? Or does every slider change a little of everything?
# - Draw random samples until you have seen twenty. How many would you take for a digit that somebody wrote? Is one of them
#   closer to a training image than a test image is?
# - Choose two digits and walk. The half-way picture is the decoder's; is it a digit?
#
# (explore-draw)=
# ## What does the encoder make of my handwriting?
#
# Draw a digit. On the way to the encoder it is scaled and centred, as MNIST's digits were: "what it sees" is the input
# $x$. Beside it stands the reconstruction, below six draws from $q(z|x)$, decoded. The chart has a column for each latent,
# the most informative one first: a dot at the mean $\mu_j$ and a bar from $\mu_j - \sigma_j$ to $\mu_j + \sigma_j$.

# %%
drawing = explorers.draw(runs["pad"][0])
drawing

# %% [markdown]
# - Watch the bars: short ones belong to latents that the encoder is sure of. A bar that just covers the shaded band around
#   zero says nothing about your image.
# - The numbers are the two terms of the ELBO, equation {eq}`eq-elbo`, of your drawing (the first is an average over eight
#   draws of $z$). Which of them gets worse when you draw something that is not a digit?
# - Draw a digit and cross it out. Does the reconstruction keep the stroke?
#
# (explore-dial)=
# ## When do latents collapse?
#
# A latent costs nats and must earn them back in the reconstruction term. How much it can earn depends on $\sigma$, the
# standard deviation of the decoder's pixels. By theory, a linear model keeps a direction of the data if the data vary along
# it by more than $\beta \sigma^2$. Here are six models of the film that differ in nothing but $\sigma$:

# %%
from vaelib.likelihoods import LikelihoodConfig

SIGMAS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)


def with_sigma(sigma):
    fixed = LikelihoodConfig(name="gaussian", sigma="fixed", sigma_value=sigma)
    config = faces_recipe(
        "modern", film_data, epochs=epochs or 120, likelihood=fixed
    )
    return config.replace(model=config.model.replace(hidden=(200,)))


# %%
by_sigma = train_groups({sigma: [with_sigma(sigma)] for sigma in SIGMAS})
dial = explorers.collapse_dial([run for (run,) in by_sigma.values()])
dial

# %% [markdown]
# - Turn the dial up to 1. What is left of the faces?
# - Compare "directions in use" (in how many directions the posterior means vary) with the number of dots "above the
#   line" (what theory says of a linear model). Where do they differ?
# - Turn it down to 0.05. The reconstructions get better. Do the samples?

# %% tags=["hide-input"]
stops = {stop["value"]: stop for stop in dial.spec["runs"]}
low, high = stops[min(stops)], stops[max(stops)]
Markdown(
    f"At $\\sigma = {high['value']:g}$ the model spends "
    f"{sum(high['kl']):.1f} nats on a frame and has "
    f"{high['directions']} of {len(high['kl'])} directions in use; at "
    f"$\\sigma = {low['value']:g}$ it spends {sum(low['kl']):.1f} nats and "
    f"uses {low['directions']}. {{doc}}`03_training` has the report's own "
    "collapse."
)

# %% [markdown]
# (explore-sampler)=
# ## Does the tongue come out?
#
# The report's models never drew the man with his tongue out {cite:p}`report2025`. Is that the decoder's fault, or that
# of the prior, which gives it the wrong $z$? Below, one decoder draws from three distributions of $z$. The first is the
# prior $\mathcal{N}(0, I)$ that the model was trained with. The second is *cooler*, which means narrower: a standard
# deviation of 0.7 in place of 1. The third is a mixture of Gaussians that was fitted to the codes of the training
# frames after training. A classifier of tongues looks at every picture.

# %%
from vaebook.experiments.sampling import mixture_of
from vaebook.experiments.tongue import tongue_detector
from vaelib.data import prepare
from vaelib.priors import Tempered

(film_run,) = runs["faces"]
size = min(40, len(prepare(film_data).train) // 20)
mixture = mixture_of(film_run, components=(size,))

# %%
priors = {
    "prior": film_run.model.prior,
    "cooler prior": Tempered(film_run.config.model.latent_dim, 0.7),
    "mixture": mixture.prior,
}
tongue = tongue_detector(film)
sampler = explorers.sampler(film_run, priors, tongue)
sampler.drawn = 14  # as many as are in view
sampler

# %% tags=["hide-input"]
hits = {prior["name"]: sum(prior["hits"]) for prior in sampler.spec["priors"]}
counts = ", ".join(f"{count} from the {name}" for name, count in hits.items())
Markdown(
    f"If you run it to its end, after {sampler.spec['draws']} draws each, "
    f"you will have seen this many tongues: {counts}. With the tongue's share "
    f"among the training frames it would be "
    f"{sampler.spec['share'] * sampler.spec['draws']:.0f}. The classifier is "
    f"a linear one; on frames that it had not seen it missed {tongue.missed} "
    f"of {tongue.shown} tongues and raised {tongue.false_alarms} false alarms "
    f"on the other {tongue.frames - tongue.shown}."
)

# %% [markdown]
# - Compare the pictures, not the counters alone: the classifier knows little but the tongues of this film
#   ({doc}`06_sampling`). Which prior draws faces that you would take for frames of the film?
# - The first two columns use the same random numbers, so you see what cooling does, picture by picture. Are the cooler
#   faces better, worse, more alike?
#
# ## How do I get this for my own model?
#
# In JupyterLab, an explorer needs little more than a run, and it talks to Python both ways: set `z` and the picture moves, drag
# the point and read `z` back. "Copy z" copies it as Python writes it; "Copy link" leads whoever follows it to what you see.
# The plane of digits on this page starts where this cell has put it:

# %% tags=["nbval-check-output"]
pad.z = [0.5, -1.0]
pad.z

# %% [markdown]
# | explorer | what it needs | what Python can set and read |
# | --- | --- | --- |
# | `explorers.machine(run)` | a run with two latents, Bernoulli or Gaussian pixels | `pixels`, `epsilon`; to read: `mean`, `sigma`, `z`, `reconstruction`, `kl` |
# | `explorers.manifold_pad(run)` | a run with two latents | `z` |
# | `explorers.latent_sliders(run)` | any run | `z` |
# | `explorers.draw(run)` | a run with Bernoulli or Gaussian pixels | `pixels`; to read: `mean`, `sigma`, `reconstruction`, `kl` |
# | `explorers.collapse_dial(runs)` | runs that differ in sigma, or in beta | `index`; to read: `value` |
# | `explorers.sampler(run, priors, tongue)` | anything with a `sample(n, generator)` | `drawn`; to read: `counts` |
# | `explorers.recording(camera)` | a camera that watched a training ({doc}`03_training`) | `index`; to read: `step` |
# | `explorers.pair(runs)` | two runs of the same data, with two latents each | `z` |
# | `explorers.playground(data)` | grey images | `sigma`, `beta`, `latents`, `step_size`, `seed` |
#
# How exact are they? The weights are rounded to 8 bits, one scale for each unit, which makes them four times smaller. A
# test of this book runs the same JavaScript in node, beside torch. `explorers.rounded` gives the rounded model in torch, so that
# you can see what the rounding costs:


# %% tags=["hide-input"]
def cost_of_rounding(run):
    z = run.model.prior.sample(1000, torch.Generator().manual_seed(0))
    exact, shown = run.model, explorers.rounded(run.model)
    return (exact.mean_image(z) - shown.mean_image(z)).abs()


costs = {name: cost_of_rounding(run) for name, (run,) in runs.items()}
average = max(cost.mean().item() for cost in costs.values())
largest = max(cost.max().item() for cost in costs.values())
Markdown(
    "For 1,000 draws from the prior, no model's pixels are off by more than "
    f"{average:.4f} on average, on the scale from black (0) to white (1); the "
    f"largest difference of a single pixel is {largest:.2f}."
)

# %% tags=["hide-input"]
cards = [machine, pad, face_pad, sliders, drawing, dial, sampler]
sizes = [card.megabytes for card in cards]
Markdown(
    f"The {len(sizes)} explorers add {sum(sizes):.1f} MB to this page, the "
    f"largest {max(sizes):.1f} MB."
)

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-explore-between
#
# In {ref}`the plane <explore-plane>`, find a point inside the first circle whose picture is no digit. Why does a model that
# was trained on digits alone draw it?
# ```
#
# ```{solution} ex-explore-between
# :class: dropdown
#
# You find such points wherever two regions of unlike digits touch. A decoder is continuous: on the way from one region to
# the other its picture must pass through everything in between. The prior has no gaps either, and the KL term
# pulls all codes together until the regions touch. A sharp border would need large weights, and every $z$ near the border
# would be a risk: the reconstruction term is an average over draws from $q(z|x)$, and those of one class would fall on the
# other's side.
# ```
#
# ```{exercise}
# :label: ex-explore-odd
#
# Which of these does the model of {ref}`the drawing pad <explore-draw>` like least: test images as they are, the same
# mirrored top to bottom, shifted by a fifth of their width, or with black and white exchanged? Guess the order of their ELBOs
# first, and say which term will do most of the damage.
# ```
#
# ```{solution-start} ex-explore-odd
# :class: dropdown
# ```

# %%
import pandas as pd

from vaelib.objectives import elbo

test = torch.from_numpy(prepare(digits_data).test)
square = test.reshape(-1, *images.shape)
shift = images.shape[1] // 5
inputs = {
    "as they are": test,
    "mirrored": square.flip(1).flatten(1),
    "shifted": square.roll(shift, 2).flatten(1),
    "black and white exchanged": 1 - test,
}


# %%
def mean_terms(x):
    seed = torch.Generator().manual_seed(0)
    with torch.no_grad():
        terms = elbo(runs["pad"][0].model, x, generator=seed)
    return {name: term.mean().item() for name, term in terms._asdict().items()}


table = pd.DataFrame({name: mean_terms(x) for name, x in inputs.items()}).T
table.round(1)

# %% [markdown]
# All in nats per image, averaged over the test set. The reconstruction term does most of the damage: the decoder can
# only draw what it has learned. But look at the KL, too: an encoder that meets what it never saw may answer with a code
# that is far from the origin, or very narrow, or both. It was never trained to say that it does not know.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-explore-threshold
#
# From the spectrum in {ref}`the collapse dial <explore-dial>` read off the largest $\sigma$ at which a linear model with
# $\beta = 1$ would still use one latent, and the one at which it would use five.
# ```
#
# ```{solution-start} ex-explore-threshold
# :class: dropdown
#
# A direction pays if $\lambda_j > \sigma^2$, so the answer is $\sqrt{\lambda_1}$ and $\sqrt{\lambda_5}$:
# ```

# %%
spectrum = np.array(dial.spec["eigenvalues"])
np.sqrt(spectrum[[0, 4]]).round(2)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-explore-count
#
# {ref}`The sampler <explore-sampler>` has drawn $n$ pictures from a prior and not a single tongue. How large must $n$ be
# before you may say, with 95 % confidence, that this prior shows the tongue less often than the training frames do?
# ```
#
# ```{solution-start} ex-explore-count
# :class: dropdown
#
# If a picture showed the tongue with $s$, the share among the training frames, as its probability, then $n$ independent
# draws would miss it with probability $(1 - s)^n$. This falls below 5 % when $n > \log 0.05 / \log (1 - s)$:
# ```

# %%
share = sampler.spec["share"]
int(np.ceil(np.log(0.05) / np.log(1 - share)))

# %% [markdown]
# Run the explorer that far before you judge. Look also at the pictures that the classifier has marked: it was fitted to
# frames of the film, and a smeared mouth may mislead it.
#
# ```{solution-end}
# ```
