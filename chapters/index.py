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
# # Recreating Variational Autoencoders
#
# A variational autoencoder learns, from pictures alone, to describe each picture by a few numbers and to draw new ones
# from numbers that nobody has used before. This book builds one from its equations, trains it on handwritten digits and
# on the frames of a small film, and tests what is said about it.
#
# It began with a report, *Recreating Variational Autoencoders* {cite:p}`report2025`, which re-implemented
# {cite:t}`kingma2014` and met two riddles on Frey Faces, a film of one man's face. The model **collapsed** into a
# single average face. And its samples **never stuck out their tongue**, although the man in the film does. We start
# from the same recipe, reproduce what the report saw, and look for the causes with measurements instead of anecdotes.

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey", "toyfaces", a path; "auto": fits dataset
epochs: int = 0  # passes over the data; 0: each recipe's own number

# %% tags=["remove-cell", "install"]
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae@v0.2.0"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")

# %% tags=["remove-cell"]
import matplotlib.pyplot as plt
import numpy as np
import torch

from vaebook import page
from vaebook.experiments.recipes import digits_recipe, faces_recipe
from vaebook.experiments.sampling import repaired
from vaebook.experiments.tongue import tongues
from vaebook.tables import final_table
from vaelib import plots
from vaelib.data import DataConfig, load
from vaelib.likelihoods import LikelihoodConfig
from vaelib.sweeps import train_all

page.parameters(globals(), at_least={"epochs": 0})
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-input"]
page.banner(page.load(dataset, grey=True), page.load(faces, grey=True))

# %% tags=["remove-cell"]
digits_data = DataConfig(
    name=dataset, split="60000/10000" if dataset == "mnist" else None
)
film = DataConfig(name=faces, split="random")
shared = LikelihoodConfig(name="gaussian", sigma="shared")
digits, collapsed, healthy, modern = train_all(
    [
        digits_recipe("modern", digits_data, epochs=epochs or None),
        faces_recipe("report", film, epochs=epochs or None),
        faces_recipe("report", film, epochs=epochs or None, likelihood=shared),
        faces_recipe("modern", film, epochs=epochs or None),
    ]
)
frames = load(faces).split("random").test[::17][:11]
x = torch.from_numpy(load(faces).matrix(frames))
drawn = 2000  # faces from each of two priors

# %% [markdown]
# ## What came of it, in one picture

# %% tags=["remove-cell"]
made = digits.model.sample(48, torch.Generator().manual_seed(1)).numpy()
models = {
    "sigma = 1": collapsed.model,
    "sigma from 0.3": healthy.model,
    "modern recipe": modern.model,
}
rows = {name: model.reconstruct(x) for name, model in models.items()}
rows = {"held-out frames": x} | rows
priors = {
    "drawn, N(0, I)": modern.model,
    "drawn, fitted prior": repaired(modern, "mixture"),
}
for name, model in priors.items():
    made_faces = model.sample(drawn, torch.Generator().manual_seed(0))
    out = torch.from_numpy(tongues(made_faces, load(faces)))
    label = f"{name}:\n{out.sum()} of {drawn:,}\ntongues out"
    rows[label] = torch.cat([made_faces[out], made_faces[~out]])[: len(x)]

# %% mystnb={"figure": {"name": "fig-result", "caption": "Above: new digits, drawn by a VAE whose codes have 20 numbers (latents). Then frames of the film that no model was trained on, and what three models make of them. With a fixed sigma of 1 the report's recipe draws one average face for all. Let sigma start at 0.3 and be learned, change nothing else, and some of the expressions are back. The modern recipe learns sigma too. The last two rows are new faces by the modern recipe's model, those with the tongue out first, from 2,000 draws of each of two priors. From N(0, I) no tongue is out. From a prior that was fitted to the codes of the training frames about as many are out as in the film."}, "image": {"alt": "Three rows of generated handwritten digits. Below them six rows of a man's face. First the data, then three rows of reconstructions: one blurred average face throughout; blurred but differing expressions; faces that follow the data closely. Last, a row of generated faces without a tongue, and a row in which all stick it out."}} tags=["hide-input"]
height, width = load(faces).shape
faces_of_all = np.concatenate([images.numpy() for images in rows.values()])
ratios = (3 / 16, len(rows) * (height + 1) / (len(x) * (width + 1)))
_, (above, below) = plt.subplots(2, 1, figsize=(7.2, 6.1), height_ratios=ratios)
plots.image_grid(made, load(dataset).shape, columns=16, ax=above)
above.set_yticks([1.5 * (load(dataset).shape[0] + 1)], ["drawn digits"])
plots.image_grid(faces_of_all, (height, width), columns=len(x), ax=below)
middles = [row * (height + 1) + height / 2 for row in range(len(rows))]
below.set_yticks(middles, list(rows))
plt.show()

# %% tags=["hide-input"]
final_table(
    {
        "digits: modern recipe": [digits],
        "film: report's recipe, sigma = 1": [collapsed],
        "film: report's recipe, sigma from 0.3": [healthy],
        "film: modern recipe": [modern],
    },
    ("elbo", "kl", "squared_error", "active_units"),
)

# %% [markdown]
# Test figures of the models in the picture, one training each. −ELBO is the loss, and the KL is what the codes cost in
# it; lower is better for −ELBO and squared error. Active units are latents that carry something. For the film, −ELBO
# bounds a negative log-*density*, which may lie below zero. {doc}`03_training` explains each column, with several
# seeds.
#
# ## What did we find?
#
# - **The collapse is decided by sigma**, the width of the {term}`decoder`'s Gaussian. The sigmoid that the report
#   credits lowers the error, but the codes still tell nothing. The report gives no sigma; we assume 1, which makes the
#   loss half the plain squared error. At that price hardly any direction of the film is worth a {term}`latent`, and a
#   line of algebra says so before any training. By another reading of the loss the {term}`code` is in use:
#   {doc}`05_collapse`.
# - **The tongue is missing because the {term}`prior` does not ask for it**, at least by the modern recipe, whose
#   decoder can draw it. A mixture of Gaussians that is fitted to the codes brings it back, less surely where the split
#   is by time: {doc}`06_sampling`.
# - **No one number of latents is best.** On the digits, by the modern recipe, 50 latents do as well as 20. By the report's own recipe 10 do
#   better than 20, and 50 blur, as it says: {doc}`04_sweeps`.
# - **Kingma and Welling's own figures come back** by their own protocol. Their method also beats {term}`wake-sleep`,
#   its rival then, in all three comparisons: {doc}`original`.
# - **What the report planned to try helps in part.** All models are judged alike. A plain VAE captures the tongue in
#   every training, once a mixture, fitted in seconds to its codes, replaces its prior.
#   {term}`Flow matching <flow matching>` does it, too, and a VQ-VAE narrowly. A VampPrior (a mixture of the codes
#   of learned pictures) and categorical codes come close. A {term}`flow` as prior or as posterior, a second level of
#   latents and a {term}`GAN` do not, though all of them cover more of the film than the plain VAE does: {doc}`15_contest`.
# - Nineteen claims of the report and four of Kingma and Welling are quoted and tested, and their verdicts computed:
#   {doc}`07_scorecard`.
#
# ## What is in it?
#
# | chapter | the question it answers |
# | --- | --- |
# | {doc}`01_data` | What do the pictures look like, what are grey pixels, and where is the tongue? |
# | {doc}`build` | What is a VAE? Build one from linear layers, train it on the page, and watch it draw. |
# | {doc}`02_model` | Where does the ELBO come from, and what does every symbol do in code? |
# | {doc}`pixels` | What do the decoder's outputs mean, and which latents are worth their price? |
# | {doc}`03_training` | What happens when the bound is maximised, by three recipes, on both data sets? |
# | {doc}`original` | Do Kingma and Welling's own figures come back? |
# | {doc}`04_sweeps` | How many latents are enough, and what do the others do? |
# | {doc}`05_collapse` | Why does a model draw one average face, could one have known, and what cures it? |
# | {doc}`06_sampling` | Why does the tongue never appear, and what brings it back? |
# | {doc}`published` | How good are our models beside published ones? |
# | {doc}`07_scorecard` | Which of the report's claims hold? |
# | {doc}`08_explore` | How does a VAE respond? Drag, draw and sample, here in the page. |
#
# The report ends with a plan: "to explore and reimplement hierarchical VAEs, normalizing flows, GANs or discrete latent
# models". Seven more chapters begin with that. Six make one change each to the model that you built, and the last
# compares the results:
#
# | chapter | the question it answers |
# | --- | --- |
# | {doc}`09_bounds` | Does a tighter bound train a better model? |
# | {doc}`10_flows` | Is it better to bend the posterior, or the prior? |
# | {doc}`11_hierarchies` | What can two levels of latents do that one cannot? |
# | {doc}`12_discrete` | What if a code is made of symbols, and who says how probable a code is? |
# | {doc}`13_adversaries` | Can one learn to draw from a critic alone, without a likelihood and without an encoder? |
# | {doc}`14_transport` | Can one learn to move noise to where the codes are? |
# | {doc}`15_contest` | Which family captures the tongue, and why was it missing? |
#
# Behind them stand pages on your own images ({doc}`own_images`), on sweeps over many machines ({doc}`cluster`), on the
# questions that everybody asks ({doc}`questions`), a {doc}`glossary` and the library's reference ({doc}`api`).
#
# ## Who is it for?
#
# For anyone who knows a little Python, a little probability (what a density and an expectation are) and a little
# calculus. No earlier contact with neural networks is needed beyond "a function with many weights that can be
# adjusted". Students can read it front to back, and have built a VAE by the end of the second chapter. Teachers will
# find exercises with solutions. Practitioners can go straight to the table of expected losses in {doc}`03_training`, or
# import the library, `vaelib`, into their own work.
#
# ## How do I read it?
#
# Each chapter puts an equation next to the few lines of code that compute it, with the same symbols, and then checks one
# against the other. Code that only draws is folded away; click to open it. All logarithms are natural and all
# likelihoods are in *nats* unless a line says *bits*.
#
# A number in this book was printed by the code beside it, in a full run on the real data sets, whose checksums are
# verified. The seeds are stated, and the text was written after the number. Published figures of others carry a
# citation, or say that they come from public code. Only the minutes at the top of each chapter are rough guides, from two
# cores of ours; the {doc}`colophon` has the seconds of each page's last execution.
#
# ## How do I run it?
#
# ```bash
# git clone https://github.com/recreating-vae/recreating-vae && cd recreating-vae
# make book       # build these pages from the executed notebooks: no data, no torch
# make test       # set everything up and run all tests
# make chapters   # run all chapters on the real data (hours: some 250 models)
# ```
#
# Every chapter has its settings in one cell at its top and can be run again with yours. With no data at hand, two
# bundled sets stand in: scikit-learn's digits of 8 by 8 pixels for MNIST, and drawn *toy faces* for the film. The page
# then says so. With `--html` your run becomes a page like this one: open `index.html` in the folder that ends in
# `-html`.
#
# ```bash
# # on bundled data, in about a minute
# vaebook run chapters/03_training.ipynb --quick --html --output out/
# # with settings of your own
# vaebook run chapters/03_training.ipynb --html \
#     --grid latent_dim=5 epochs=2 --output out/
# ```
#
# ## How do I use the library?
#
# ```python
# import vaelib as vae
#
# data, training = vae.DataConfig(name="digits"), vae.TrainingConfig(epochs=20)
# config = vae.RunConfig(data=data, training=training)
# run = vae.train(config)  # from the store, or trained and put there
# run.model.sample(10)  # (10, 64): ten new images
# ```
