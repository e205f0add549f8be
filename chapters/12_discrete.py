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
# (chapter-discrete)=
# # Codes made of symbols
#
# Can the code of a picture be a word, made of a few symbols, and what is that good for? It can. The encoder looks up
# the nearest vector of a table, or rounds, and its gradient is copied straight through the step. What one gains is a
# {term}`prior` that can be learned after training: which letter follows which, or *spelling*. It lowers the bound of
# a VQ-VAE of digits by more than nine {term}`nats <nat>`, and nearly trebles how often faces show the tongue, without
# copying. A plain mixture on the codes of a Gaussian VAE draws as many tongues, though.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can turn an encoder's output into symbols and still train through them. You can say which bound on
#   $\log p(x)$ such a model has, and which number is none. You can choose a {term}`prior` over codes and say what it buys.
# - **You need** {ref}`chapter-build`, for the model that we change, and {ref}`chapter-sampling`, for the tongue.
# - **Time.** Half an hour to read. All the code runs in about six minutes on one core of ours.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "frey"  # a film whose tongues are known, or "toyfaces"
train_images: int = 20_000  # digits to learn from, at most
epochs: int = 5  # passes over them
face_epochs: int = 40  # passes over the film
seeds: int = 3  # how often each model is trained
draws: int = 10_000  # faces that are judged

# %% tags=["remove-cell", "install"]
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae@v0.2.0"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")

# %% tags=["remove-cell"]
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import vaelib as vae
from vaebook import page
from vaebook.experiments.recipes import faces_recipe, seeds_of, train_groups
from vaebook.figures import named_rows
from vaebook.tables import mean_and_range
from vaelib import plots

at_least = {
    "train_images": 500,
    "epochs": 1,
    "face_epochs": 1,
    "seeds": 1,
    "draws": 100,
}
page.parameters(globals(), at_least=at_least)
plots.use_style()

# %% tags=["remove-input"]
digits = page.load(dataset, images=600, grey=True)
film = page.load(faces, images=600, grey=True)
page.banner(digits, film)

# %% [markdown]
# ## Why would a code be made of symbols?
#
# Much of what we want to say of a picture is a choice: which digit it is, or whether the tongue is out. A Gaussian
# {term}`code` has to lay choices out along a line, with something half-way between them. A code of symbols need not.
# It is a short word of $G$ letters from an alphabet of $K$. One can count how often each word occurs, and learn to
# spell new ones as one learns a language. Van den Oord and others {cite:p}`vandenoord2017` made this the VQ-VAE: a
# *vector-quantised* VAE.
#
# ## How do numbers become a symbol?
#
# By looking for the nearest neighbour. The {term}`codebook` holds $K$ vectors $e_1, \dots, e_K$. The encoder returns a vector
# $z_e$, and its symbol is the number of the nearest one:
#
# $$
# k(x) = \operatorname{argmin}_k \lVert z_e(x) - e_k \rVert, \qquad z_q(x) = e_{k(x)}.
# $$ (eq-discrete-nearest)


# %%
def quantise(z_e, codebook):  # (B, d), (K, d)
    k = torch.cdist(z_e, codebook).argmin(-1)  # (B,)
    return k, codebook[k]


# %%
generator = torch.Generator().manual_seed(0)
z_e = torch.randn(400, 2, generator=generator)  # an encoder's outputs
codebook = torch.randn(8, 2, generator=generator)
k, z_q = quantise(z_e, codebook)

# %% mystnb={"figure": {"name": "fig-discrete-cells", "caption": "Four hundred outputs of an encoder with two numbers (dots), and a codebook of eight vectors (stars). A dot has the colour of its star, the nearest one: that is its symbol. The decoder gets the star and not the dot."}, "image": {"alt": "A scatter plot of a round cloud of dots, which falls into eight regions of different colours and markers, each with a star in it."}} tags=["hide-input"]
_, ax = plt.subplots(figsize=(4.6, 4.2))
for symbol in range(8):
    (dots,) = ax.plot(*z_e[k == symbol].T, ".", ms=4, alpha=0.6)
    star = {"ms": 15, "mec": plots.INK, "color": dots.get_color()}
    ax.plot(*codebook[symbol], "*", **star)
ax.set(xlabel="first number", ylabel="second number", aspect="equal")
plt.show()

# %% [markdown]
# With $G$ such vectors side by side, each with a codebook of its own, there are $K^G$ words. The encoder chooses one of
# them, and nothing is random any more.
#
# ## How does a gradient pass?
#
# It is copied. The argmin is flat nearly everywhere, so its gradient is zero. The {term}`straight-through` estimator {cite:p}`bengio2013`
# passes the vector $z_q$ on, and pretends on the way back that it was $z_e$:
#
# $$
# z = z_e + \operatorname{sg}(z_q - z_e).
# $$ (eq-discrete-straight)
#
# The operator $\operatorname{sg}$ stops gradients: what stands inside counts as a constant. In torch it is `detach`.


# %%
def straight_through(z_e, z_q):
    return z_e + (z_q - z_e).detach()


# %% tags=["nbval-check-output"]
z_e = torch.tensor([[0.2, 0.9]], requires_grad=True)
_, z_q = quantise(z_e.detach(), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
z = straight_through(z_e, z_q)
(gradient,) = torch.autograd.grad((z**2).sum(), z_e)
print(z.tolist(), gradient.tolist())

# %% [markdown]
# The value is that of the codebook's vector, and the gradient $2z$ has arrived at $z_e$ as if nothing had happened.
# It is a biased gradient. It is good while $z_e$ is near $z_q$, so the encoder pays a *commitment* $\beta \lVert
# z_e - \operatorname{sg}(z_q) \rVert^2$ for straying. The codebook follows the encoder: each vector is the running
# average of the outputs whose nearest it was.
#
# ## What changes in the VAE that we built?
#
# Three lines of {eq}`eq-build-elbo`. The draw becomes a look-up, the KL becomes the *rate*, the price of a symbol,
# and there is the commitment. Here is the whole loss, for one symbol a picture and a prior that holds all $K$ to be
# equally likely:


# %%
def vq_loss(encoder, decoder, codebook, log_p_x_given_z, x):
    z_e = encoder(x)
    _, z_q = quantise(z_e, codebook)
    z = straight_through(z_e, z_q)
    reconstruction = log_p_x_given_z(x, decoder(z))
    rate = math.log(len(codebook))  # -log p(k), nats
    commitment = 0.25 * ((z_e - z_q) ** 2).sum(-1)
    return rate - reconstruction + commitment


# %% [markdown]
# `vaelib` has the same as the family "vq". We check one against the other on an untrained model:

# %%
one = vae.models.VectorsConfig(groups=1, codes=32, code_dim=8)
config = vae.models.VQConfig(hidden=(100,), quantiser=one)
model = vae.models.new_model(config, digits.shape)
x = torch.from_numpy(digits.matrix(np.arange(500)))
model.start(x)  # k-means in the encoder's outputs fills the codebook

# %% tags=["nbval-check-output"]
((_, loss),) = model.eval().losses(model.Objective())
parts = model.encode, model.decode, model.quantiser.codebook[0]
ours = vq_loss(*parts, model.likelihood.log_prob, x)
theirs = loss(x, 0, None)["loss"]
print("the same loss:", torch.allclose(ours, theirs, rtol=1e-4))

# %% [markdown]
# ## What is the bound?
#
# A picture may come from any word: $p(x) = \sum_z p(z)\, p(x \mid z)$. All terms of that sum are positive, so each of them is at
# most the whole. Take the term of the picture's own word:
#
# $$
# -\log p(x) \;\le\; \underbrace{-\log p(x \mid z_q(x))}_{\text{reconstruction}} \; \underbrace{-\log p(z_q(x))}_{\text{rate}}.
# $$ (eq-discrete-bound)
#
# That is an honest upper bound on $-\log p(x)$, in {term}`nats <nat>`, for any encoder. It is the $-$ELBO as well: $q(z \mid x)$
# puts all its probability on one word, and its {term}`KL` from the prior is then the rate. It holds if $p(x \mid z)$ and
# $p(z)$ are normalised. The commitment is a help in training and no part of it.
#
# Nothing in {eq}`eq-discrete-bound` says which prior. Any $p(z)$ that sums to one gives a bound, also one that is fitted when
# the model is finished. We compare three:
#
# - **uniform**: all words alike, a rate of $G \log K$.
# - **unigram**: the letters' own frequencies among the training pictures, $p(z) = \prod_g p(z_g)$.
# - **autoregressive**: each letter given those before it, $p(z) = \prod_g p(z_g \mid z_1, \dots, z_{g-1})$. One network with masked
#   weights gives all factors at once: MADE {cite:p}`germain2015`.
#
# ## Who are the rivals?
#
# **FSQ**, finite scalar quantisation {cite:p}`mentzer2024`, has no codebook. It squashes each number with a tanh and
# rounds it to one of $L$ levels. Rounding is the whole layer:


# %%
def round_to_levels(z_e, L):
    steps = (L - 1) * (torch.tanh(z_e) + 1) / 2  # from 0 to L - 1
    symbol = steps.round()
    return symbol, straight_through(steps, symbol)


# %% [markdown]
# **Gumbel-softmax** {cite:p}`jang2017,maddison2017` keeps chance. Here $q(z_g \mid x)$ is a distribution over the $K$
# symbols, and the KL is a true price that training lowers. A draw from it passes no gradient, so training takes a relaxed
# one: a softmax with noise $\gamma$ from a Gumbel distribution, at a temperature $\tau$.
#
# $$
# y = \operatorname{softmax}\!\left((\log q + \gamma) / \tau\right).
# $$ (eq-discrete-gumbel)


# %%
def relaxed_draw(log_q, tau, generator=None):
    uniform = torch.rand(log_q.shape, generator=generator)
    gumbel = -torch.log(-torch.log(uniform))
    return torch.softmax((log_q + gumbel) / tau, -1)


# %%
log_q = torch.tensor([0.6, 0.3, 0.1]).log()
for tau in (5.0, 1.0, 0.1):
    y = relaxed_draw(log_q, tau, torch.Generator().manual_seed(1))
    print(f"tau = {tau}: {[round(v, 2) for v in y.tolist()]}")

# %% [markdown]
# Warm draws are a mixture of symbols, cold ones nearly one symbol. **Here lies a trap.** A mixture can tell the decoder things
# that no symbol can. Put into the ELBO together with the KL between symbols, a relaxed draw gives a number that bounds
# nothing. A model for two pixels shows it. Each of its two symbols paints one pixel white and the other black:

# %%
tiny = vae.models.CategoricalConfig(groups=1, codes=2, hidden=())
trap = vae.models.new_model(tiny, (2,))
with torch.no_grad():
    for weight in trap.parameters():
        weight.zero_()
    weights = torch.tensor([[9.0, -9.0], [-9.0, 9.0]])
    trap.decoder[-1].weight.copy_(weights)

# %% tags=["nbval-check-output"]
both_white, noise = torch.ones(1, 2), torch.Generator().manual_seed(0)
log_p = [-9 + math.log(0.5)] * 2  # log p(z) p(x|z) of either symbol
relaxed = trap.relaxed_terms(both_white, 5.0, noise)["elbo"].item()
hard = trap.terms(both_white, noise)["elbo"].item()
print(f"exact log p(x): {np.logaddexp(*log_p):.2f}")
print(f"ELBO with a hard draw: {hard:.2f}; with a relaxed one: {relaxed:.2f}")

# %% [markdown]
# The relaxed number lies above the truth, so it cannot be a lower bound of it. `vaelib` trains with relaxed draws, and
# reports hard ones alone.
#
# ## Which of them codes digits best?
#
# VQ, once its words have a learned prior, and after a very short training. First the rules. All three get networks of about the same size, the same epochs and the same step. Pixels are drawn anew from their
# grey levels in each batch. {cite:t}`burda2016` train 3,280 epochs with this {term}`binarisation`; the line above the table says how few
# ours are. We call a difference real if it is above two nats *and* the ranges over seeds do not touch.

# %%
from vaelib.models import (
    CategoricalConfig,
    RoundedConfig,
    VectorsConfig,
    VQConfig,
)

families = {
    "VQ": VQConfig(
        hidden=(300, 300), quantiser=VectorsConfig(groups=16, codes=64)
    ),
    "FSQ": VQConfig(
        hidden=(300, 300), quantiser=RoundedConfig(levels=(8,) * 8)
    ),
    "Gumbel": CategoricalConfig(hidden=(270, 270), groups=20, codes=10),
}

# %%
parts = vae.prepare(vae.DataConfig(name=dataset, pixels="dynamic"))
x = torch.from_numpy(parts.train[:train_images])  # grey
settings = vae.TrainingConfig(epochs=epochs, schedule="cosine", device="cpu")
cooling = {"anneal_epochs": epochs}  # tau falls from 1 to 0.5


# %%
def trained(config, seed):
    model = vae.models.new_model(config, digits.shape, seed)
    own = cooling if config.family == "categorical" else {}
    losses = model.losses(model.Objective(**own), binarise=True)
    model.start(x)
    history = vae.fit(model, losses, x, settings, seed=seed)
    return model, history.attrs["seconds"]


# %%
runs = {
    name: [trained(config, seed) for seed in range(seeds)]
    for name, config in families.items()
}


# %%
def words(config):
    entries = vae.models.new_model(config, digits.shape).prior.entries
    return f"{len(entries)} x {entries[0]}", sum(map(math.log2, entries))


# %%
def size(model):
    return sum(weight.numel() for weight in model.parameters())


pd.DataFrame(
    {
        name: {
            "letters x alphabet": words(families[name])[0],
            "bits a word": round(words(families[name])[1]),
            "weights": f"{size(group[0][0]):,}",
            "seconds": round(group[0][1]),
        }
        for name, group in runs.items()
    }
).T

# %% [markdown]
# Now the priors. We collect the words of the training pictures, count, and train a small MADE on them. It starts at the
# counts, and stops when held-out words no longer gain.

# %%
from vaelib.models.code_priors import AutoregressiveCodes, UnigramCodes


def words_of(model, x, seed=0):
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        parts = [model.indices(part, noise) for part in x.split(1000)]
    return torch.cat(parts)  # (N, G)


# %%
def unigram(entries, words):
    prior = UnigramCodes(entries)
    prior.start(words)  # counts, and one more of each symbol
    return prior


# %%
def autoregressive(entries, words, held_out, passes, dropout, seed):
    torch.manual_seed(seed)
    prior = AutoregressiveCodes(entries, hidden=(256,), dropout=dropout)
    prior.start(words)
    patient = vae.TrainingConfig(epochs=passes, patience=10)
    held_out = {"validation": held_out.float()}
    words = words.float()
    vae.fit(prior, prior.loss, words, patient, seed=seed, held_out=held_out)
    return prior


# %%
binary, x_valid, x_test = (
    torch.from_numpy(vae.data.binarise(part[:train_images], seed=0))
    for part in (parts.train, parts.validation, parts.test)
)


# %%
def with_priors(model, seed):
    words, held_out = (words_of(model, part) for part in (binary, x_valid))
    entries = model.prior.entries
    learned = autoregressive(entries, words, held_out, epochs, 0.1, seed)
    priors = {"uniform": model.prior, "unigram": unigram(entries, words)}
    priors["autoregressive"] = learned
    return {n: vae.with_prior(model, prior) for n, prior in priors.items()}


# %%
models = {
    name: [with_priors(model, seed) for seed, (model, _) in enumerate(group)]
    for name, group in runs.items()
}

# %% [markdown]
# The bound, {eq}`eq-discrete-bound`, on the test digits; for Gumbel the ELBO with hard draws. Lower is better.


# %%
def terms(model, seed=0):
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        found = [model.terms(part, noise) for part in x_test.split(1000)]
    mean = {key: torch.cat([f[key] for f in found]).mean() for key in found[0]}
    return {key: value.item() for key, value in mean.items()}


# %%
scores = {
    (name, prior): [terms(one[prior]) for one in group]
    for name, group in models.items()
    for prior in ("uniform", "unigram", "autoregressive")
}

# %%
table = {
    key: {
        "−ELBO (nats)": mean_and_range([-s["elbo"] for s in found], 1),
        "−reconstruction": mean_and_range(
            [-s["reconstruction"] for s in found], 1
        ),
        "rate": mean_and_range([s["kl"] for s in found], 1),
    }
    for key, found in scores.items()
}
print(f"{epochs} epochs of {len(x):,} digits, {seeds} seeds: mean (range)")
pd.DataFrame(table).T

# %% [markdown]
# Three things stand in this table.
#
# - **The prior matters as much as the model.** With uniform words, VQ and FSQ are not to be told apart: their ranges touch. Spelling
#   lowers the bound of VQ by more than nine nats, that of Gumbel by six, and that of FSQ by two, with ranges that overlap.
# - **Counting letters hardly helps.** The unigram gains less than our two nats everywhere. What is to be learned lies in which
#   letters go together.
# - **With spelling VQ is ahead**, then FSQ, then Gumbel. By our rule all three differences are real, though the ranges
#   of FSQ and Gumbel nearly meet.
#
# They also spend differently. VQ rebuilds best and pays most for its words. FSQ and Gumbel buy short words and
# rebuild worse. Only Gumbel's encoder knew the price, since the KL is a part of its loss. It is also the slowest to
# learn here; a likely reason, which we have not tested, is that relaxed draws are noisy. So this is the order after a
# very short training, and not a law. Nor is it the order of the drawings below: FSQ, with half as many letters as VQ,
# draws the digits that are easiest to read.
#
# **And published figures?** One can be set beside Gumbel-softmax, with care. [The code of its
# author](https://github.com/ericjang/gumbel-softmax) prints an $-$ELBO of 99 to 109 nats for single batches between its steps 5,000 and 45,000.
# Ours is 142.9 with the same uniform prior, after some 800 steps. It differs in more than length: its digits are grey, it has 30 letters where we have 20,
# and it takes training batches with relaxed draws, so that it is no bound. {doc}`published` trains its model of 30 letters for 18,000 steps, and
# shows what that last point is worth.
#
# The table of {cite:t}`jang2017` itself we could not read; we know its protocol only: 20 letters of 10, as here, a learned
# prior, and a bound of 1,000 draws. For MADE {cite:p}`germain2015` the published figures are those of a model of
# pixels, which our prior over words is not.

# %% mystnb={"figure": {"name": "fig-discrete-digits", "caption": "Digits drawn by each model, seed 0, under each prior in turn; only the prior changes between the three rows of a model. VQ draws hard strokes that rarely join under uniform and unigram priors, and more often under the autoregressive one. FSQ and Gumbel draw soft digits, the clearest in the autoregressive rows."}, "image": {"alt": "Nine rows of small pictures in three groups. The VQ rows show bright broken strokes, some of which form digits in the autoregressive row. The FSQ and Gumbel rows show soft digits, of which those in the autoregressive rows are easiest to read."}} tags=["hide-input"]
rows = {
    f"{name}, {prior}": model.sample(
        14, torch.Generator().manual_seed(3)
    ).numpy()
    for name, group in models.items()
    for prior, model in group[0].items()
}
named_rows(rows, digits.shape, 14)
plt.show()

# %% [markdown]
# ## Is the codebook used?
#
# Only if unused vectors get another chance. A vector that is nobody's nearest is never
# moved, and so stays nobody's nearest. We train on the film with one codebook of 512 vectors, and leave out first one
# help, then the other, then both:
#
# - **data**: the encoder's outputs are scaled to deviation one, and k-means in them gives the first vectors. Without it, both start
#   at random.
# - **revival**: a vector whose use falls below a tenth of its even share moves to an output of the batch.
#
# The figure is the {term}`perplexity` of the use over recent batches: the number of vectors that would give the same entropy if all were
# used alike. At best it is 512.

# %%
grey = vae.DataConfig(name=faces, split="random")
gaussian = vae.LikelihoodConfig(name="gaussian", sigma="optimal")
passes = vae.TrainingConfig(
    epochs=face_epochs, batch_size=64, schedule="cosine"
)


# %%
def of_faces(quantiser, seed=0):
    model = VQConfig(hidden=(300,), likelihood=gaussian, quantiser=quantiser)
    return vae.RunConfig(data=grey, model=model, training=passes)


# %%
large = VectorsConfig(groups=1, codes=512, code_dim=16)
helps = {
    "data, revival": large,
    "data alone": large.replace(revive=0),
    "revival alone": large.replace(init="random"),
    "neither": large.replace(init="random", revive=0),
}
of_use = train_groups(
    {n: seeds_of(of_faces(q), seeds) for n, q in helps.items()}
)

# %% mystnb={"figure": {"name": "fig-discrete-use", "caption": "How much of its codebook a VQ-VAE of the film uses while it trains: the perplexity of a codebook of 512 vectors. Lines are means over seeds, bands their range. Higher means that more vectors are in use. A start from the data is lost within a few epochs; revival, from the tenth epoch on, brings the vectors back."}, "image": {"alt": "Four lines of perplexity against epochs, with narrow bands. The two with revival end high, near four hundred; the two without it end low, near fifty, also the one that started from the data."}} tags=["hide-input"]
_, ax = plt.subplots(figsize=(7, 3.4))
styles = ["-", "--", "-.", ":"]
for (name, group), style in zip(of_use.items(), styles, strict=True):
    use = np.stack([run.history["train_perplexity"] for run in group])
    epoch = group[0].history["epoch"]
    (line,) = ax.plot(epoch, use.mean(0), style, label=name)
    ax.fill_between(
        epoch, use.min(0), use.max(0), color=line.get_color(), alpha=0.2
    )
ax.set(xlabel="epoch", ylabel="perplexity (vectors)", ylim=(0, 512))
ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
plt.show()

# %%
pd.DataFrame(
    {
        name: {
            "perplexity": mean_and_range(
                [r.history["train_perplexity"].iloc[-1] for r in group], 1
            ),
            "held-out squared error": mean_and_range(
                [r.metrics["test"]["squared_error"] for r in group]
            ),
            "bits/dim, uniform prior": mean_and_range(
                [r.metrics["test"]["bits_per_dim"] for r in group]
            ),
        }
        for name, group in of_use.items()
    }
).T

# %% [markdown]
# Revival decides. With it, some four hundred vectors are in use, however they started; without it, some fifty. (It
# first acts after nine epochs: the running average starts even, and forgets only within a few epochs.) We had
# expected more of k-means. It does fill the codebook, but the encoder then moves on, and leaves most vectors behind.
# The price of dead vectors is a larger error on held-out frames, and a higher −ELBO although the rate is the same.
#
# ## Does a learned word show the tongue?
#
# In part, and no better than a mixture on Gaussian codes does. The question of {ref}`chapter-sampling`, put to codes of symbols. We take the codebook from above, four codebooks of
# 64 vectors, and FSQ with ten numbers of five levels. A MADE with dropout 0.5 learns the words of the last two.
# Beside them stands that chapter's remedy: a mixture of 40 components on the codes of a Gaussian VAE, which is
# trained for as many epochs as they are.

# %%
shapes = {
    "VQ 4 x 64": VectorsConfig(groups=4, codes=64),
    "FSQ 10 x 5": RoundedConfig(levels=(5,) * 10),
}
coders = train_groups(
    {n: seeds_of(of_faces(q), seeds) for n, q in shapes.items()}
)
coders = {"VQ 1 x 512": of_use["data, revival"], **coders}

# %%
usual = faces_recipe("modern", grey, epochs=face_epochs, likelihood=gaussian)
baseline = train_groups({"VAE": seeds_of(usual, seeds)})["VAE"]

# %%
frames = vae.prepare(grey)
train, valid = map(torch.from_numpy, (frames.train, frames.validation))


# %%
def spelled(run, prior):
    words, held_out = (words_of(run.model, part) for part in (train, valid))
    entries = run.model.prior.entries
    if prior == "unigram":
        return vae.with_prior(run.model, unigram(entries, words))
    passes, seed = 4 * face_epochs, run.config.seed  # at most
    learned = autoregressive(entries, words, held_out, passes, 0.5, seed)
    return vae.with_prior(run.model, learned)


# %%
from vaebook.experiments.sampling import TITLES, judge, repaired


def judged(model, seed):
    pictures = model.sample(draws, torch.Generator().manual_seed(seed))
    return judge(pictures.numpy(), frames)._asdict()


# %%
few = min(40, len(train) // 10)  # components of the mixture
writers = {("VAE", "mixture"): [repaired(run, few) for run in baseline]}
for name, group in coders.items():
    for prior in ("unigram", "autoregressive")[: 1 if "1 x" in name else 2]:
        writers[name, prior] = [spelled(run, prior) for run in group]

# %%
verdicts = {
    key: pd.DataFrame([judged(model, seed) for seed, model in enumerate(group)])
    for key, group in writers.items()
}

# %%
shown = ["tongue", "coverage", "coverage_on_tongue", "density", "copying"]
rows = {
    key: {
        TITLES[f]: mean_and_range(
            list((100 if f == "tongue" else 1) * found[f])
        )
        for f in shown
    }
    for key, found in verdicts.items()
}
pd.DataFrame(rows).T

# %% [markdown]
# The tongue shows in 3.8 % of the frames of the film ({ref}`chapter-sampling`). Copying is the chance that a sample
# lies nearer to the training frames than a held-out frame does: one half is as new as new frames, near one means
# copies. As for the digits, we call a difference real if the ranges over seeds do not touch. (We carried that rule
# over after we had seen this table.)
#
# - **Spelling finds the tongue, in part.** With four codebooks it shows nearly three times as often as with unigrams,
#   and nine frames in ten are covered in place of three. FSQ gains too, but there the ranges of the shares touch.
#   Neither reaches the film's share.
# - **It does not copy.** Both lie well below one half.
# - **One large codebook does.** It shows the tongue most often and covers most, and its samples lie nearer to the
#   training frames than held-out frames do. Its 512 words are so many prototypes.
# - **The mixture is no worse.** Its share of tongues touches that of the four codebooks, at about the same coverage
#   and copying. It needs no symbols and no network.

# %% mystnb={"figure": {"name": "fig-discrete-faces", "caption": "Faces drawn by each model of the table, seed 0. Four codebooks with a unigram prior put features together that do not belong to one face; spelled words do so less. FSQ draws smooth faces, one large codebook grainy ones."}, "image": {"alt": "Six rows of fourteen faces. Those of the mixture and of FSQ are smooth. Those of one codebook of 512 show many smiles. In the row of four codebooks with a unigram prior several faces are noisy or torn; with the autoregressive prior fewer are."}} tags=["hide-input"]
rows = {
    ", ".join(key): group[0]
    .sample(14, torch.Generator().manual_seed(5))
    .numpy()
    for key, group in writers.items()
}
named_rows(rows, film.shape, 14)
plt.show()

# %% [markdown]
# And the bound? Here it is in {term}`bits per dimension` of held-out frames, with the Gaussian made a probability of
# 256 grey levels.

# %%
rows = {}
test = torch.from_numpy(frames.test)
for (name, prior), group in writers.items():
    if prior != "mixture":
        bits = [vae.summary(model, test)["bits_per_dim"] for model in group]
        rows[name, prior] = {"−ELBO (bits/dim)": mean_and_range(bits)}
pd.DataFrame(rows).T

# %% [markdown]
# Spelling gains about a hundredth of a bit, less than the seeds differ. For four codebooks the same step took
# coverage from a third to nine tenths. A bound in bits cannot see what is rare; that is why this book judges samples
# as well.
#
# ## What to remember
#
# - A discrete code is a word. The nearest vector of a codebook, or rounding, chooses its letters; the gradient is copied
#   straight through.
# - $-\log p(x \mid z_q(x)) - \log p(z_q(x))$ bounds $-\log p(x)$ for every normalised prior. Say which prior.
# - Relaxed draws are for training. A bound is taken with hard ones.
# - The prior over words decides what is drawn. Learn it after training, and ask whether the samples are copies.
# - Dead vectors must be revived. A good start alone does not keep them alive.
#
# ## Exercises
#
# ```{exercise} How loose is the bound?
# :label: ex-discrete-exact
#
# A model with 32 words allows the exact sum. Train the `model` from above (one symbol, 32 vectors) on digits for one pass. How far is
# {eq}`eq-discrete-bound` from $-\log p(x)$, on average?
# ```
#
# ```{solution-start} ex-discrete-exact
# :class: dropdown
# ```

# %%
vae.fit(
    model, model.losses(model.Objective()), binary, vae.TrainingConfig(epochs=1)
)
some, every = x_test[:500], torch.arange(32)[:, None]  # all words
with torch.no_grad():
    logits = model.decode(model.vectors(every))  # (32, D)
    log_p = model.likelihood.log_prob(some[:, None], logits)  # (500, 32)
    exact = torch.logsumexp(log_p + model.prior.log_prob(every), -1)
    bound = model.terms(some)["elbo"]
print(f"exact {-exact.mean():.2f}, bound {-bound.mean():.2f} nats")

# %% [markdown]
# The gap is about two nats here. With one symbol a picture, a few words explain a digit nearly as well as its own. It can never be negative.
#
# ```{solution-end}
# ```
#
# ```{exercise} Counts that start at zero
# :label: ex-discrete-zero
#
# Many programs keep a running count $N$ and a running sum $m$ for each vector, both from zero, and take $m / N$ as the vector. What
# happens to a vector that no picture has chosen so far? Try it with $N \leftarrow 0.99 N + 0.01 n$.
# ```
#
# ```{solution-start} ex-discrete-zero
# :class: dropdown
# ```

# %% tags=["nbval-check-output"]
for start in (0.0, 1.0):
    count, total = torch.tensor(start), start * torch.tensor([3.0, 4.0])
    count, total = 0.99 * count, 0.99 * total  # a batch without it
    print(f"from {start:.0f}:", (total / count).tolist())

# %% [markdown]
# From zero it is zero by zero, not a number, and a small constant below the line puts it at the origin instead. From one, with $m = e$, it stays where
# it was. `vaelib` starts the counts at an even share.
#
# ```{solution-end}
# ```
#
# ```{exercise} A number that depends on the batch
# :label: ex-discrete-perplexity
#
# The perplexity of a codebook is often reported for single batches. Compute it for the words of 50, 500 and 5,000 training digits under the
# first VQ model. Why does it grow?
# ```
#
# ```{solution-start} ex-discrete-perplexity
# :class: dropdown
# ```


# %%
def perplexity(symbols):
    share = symbols.bincount() / len(symbols)
    return torch.special.entr(share).sum().exp().item()


letters = words_of(runs["VQ"][0][0], binary)[:, 0]
for count in (50, 500, 5000):
    print(f"{count} digits: {perplexity(letters[:count]):.1f}")

# %% [markdown]
# Fifty digits can use fifty vectors at most, and rare ones are missed. The entropy of a small sample is too low on average. Compare
# perplexities only if they come from the same number of pictures.
#
# ```{solution-end}
# ```
