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
# (chapter-model)=
# # The model, derived
#
# A variational autoencoder rests on one inequality and one change of variables. This chapter derives both from
# first-year probability, and turns each equation into a few lines of code with the same symbols. Then it checks the code
# against an answer that is known in another way: a closed form, an integral done by brute force, or a model whose exact
# likelihood statisticians have known for decades.
#
# We ask, in this order:
#
# 1. What is the probability of an image, and why can nobody simply compute it?
# 2. What is the ELBO, and how far below the truth does it lie?
# 3. How does one take the gradient of an average over random draws?
# 4. What do the decoder's outputs mean, and what if pixels are grey?
# 5. Who decides how much the KL term weighs? (Nobody, if $\sigma$ is chosen well.)
# 6. Is the result right? A VAE that must reach a known optimum.
# 7. How do {term}`nats <nat>` become bits per pixel, and what is an honest number?

# %% tags=["parameters"]
dataset: str = "mnist"  # images for Bernoulli pixels
faces: str = "auto"  # for Gaussian pixels: frey with mnist, else toyfaces
latent_dim: int = 10  # latent dimensions of the linear models
epochs: int = 10  # passes over `dataset`, to train one latent dimension
linear_epochs: int = 400  # passes over `faces`, to train each linear VAE
draws: int = 8192  # draws of z to compare gradient estimators
seed: int = 0  # of every random draw in this chapter

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
import pandas as pd
import torch
from IPython.display import Markdown
from torch.nn import functional as F

import vaelib as vae
from vaebook import page
from vaelib import data, plots

settings = page.parameters(
    globals(),
    at_least={
        "latent_dim": 1,
        "epochs": 1,
        "linear_epochs": 1,
        "draws": 256,
        "seed": 0,
    },
)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-cell"]
face_images = page.load(faces, grey=True)
most = min(len(face_images.split().train), face_images.images[0].size) - 1
if latent_dim > most:
    raise page.ParameterError(
        f"parameter latent_dim={latent_dim} cannot be used: expected at most {most}, "
        f"fewer than the pixels and the training images of {face_images.name}"
    )

# %% tags=["remove-input"]
page.banner(page.load(dataset, grey=True), face_images)

# %% [markdown]
# ## Notation
#
# Images are vectors: $D$ pixels between 0 (black) and 1 (white). Code and equations share their names.
#
# | symbol | in code | shape | meaning |
# | --- | --- | --- | --- |
# | $x$ | `x` | `(B, D)` | a batch of $B$ images |
# | $z$ | `z` | `(S, B, Z)` | latent variables: $Z$ numbers per image, $S$ draws of them |
# | $p(z)$ | `model.prior` | | prior: how latents are distributed before an image is seen |
# | $p_\theta(x \mid z)$ | `model.likelihood` | | likelihood of an image, given the decoder's outputs for $z$ |
# | $q_\phi(z \mid x)$ | `mean`, `log_var` | `(B, Z)` | approximate posterior, $\mathcal{N}(\mu, \sigma_q^2)$ from the encoder |
# | $\log p_\theta(x)$ | `log_evidence` | `(B,)` | evidence: log-probability of an image |
# | $\mathcal{L}(x)$ | `elbo` | `(B,)` | evidence lower bound |
# | $\mathrm{KL}(q \,\Vert\, p)$ | `kl` | `(B,)` | Kullback-Leibler divergence, never negative |
# | $\theta$, $\phi$ | | | weights of the decoder, and of the encoder |
#
# Logarithms are natural, so information comes in **nats**: one nat is $1 / \ln 2 \approx 1.44$ bits. Everything is **per
# image and summed over its pixels**, unless a sentence says otherwise. An average over $q$ is written $\mathbb{E}_q$.

# %% [markdown]
# ## An image and its hidden cause
#
# Suppose that each image was made in two steps. Nature first draws a few numbers $z$ that we never see (which digit, how
# slanted, how bold), then draws the pixels $x$ given $z$:
#
# $$
# p_\theta(x, z) = p(z) \, p_\theta(x \mid z), \qquad p(z) = \mathcal{N}(z; 0, I).
# $$ (eq-joint)
#
# The {term}`prior` is a plain Gaussian; all knowledge of images sits in the decoder, a neural network with weights $\theta$ that
# turns $z$ into the parameters of a distribution over pixels. To see such a model whole we take the smallest one: **one**
# {term}`latent` number. Its training is the subject of {doc}`03_training`; here we take it as it comes, trained on binary images
# (each grey pixel was replaced once by a coin toss).

# %%
from vaelib.models import VAEConfig
from vaelib.runs import RunConfig
from vaelib.training import TrainingConfig

run = vae.train(
    RunConfig(
        data=data.DataConfig(name=dataset, pixels="static"),
        model=VAEConfig(latent_dim=1, hidden=(200,)),
        training=TrainingConfig(epochs=epochs),
        seed=seed,
    )
)
model = run.model.double()

# %% [markdown]
# Equation {eq}`eq-joint` is a recipe: draw $z$, decode it, draw pixels. Instead of drawing we walk along the latent axis
# in steps of equal probability.

# %% mystnb={"figure": {"caption": "What a model with one latent number draws: the decoder's mean image along the axis, from small z (upper left) to large z (lower right), in steps of equal prior probability; one draw in twenty lies further out than the first or the last picture. Neighbours are alike, because the decoder is continuous.", "name": "fig-axis"}, "image": {"alt": "Two rows of ten images. From left to right one digit shape turns smoothly into another."}}
u = (torch.arange(20, dtype=torch.float64) + 0.5) / 20  # probability below z
z = torch.special.ndtri(u).unsqueeze(-1)  # (20, 1): inverse Gaussian CDF
plots.image_grid(model.mean_image(z), model.image_shape)
plt.show()

# %% [markdown]
# How probable is a given image $x$ under this model? Any $z$ may have caused it, so we add up all of them, each with its
# prior weight. This is the **evidence**, or marginal likelihood:
#
# $$
# p_\theta(x) = \int p_\theta(x \mid z) \, p(z) \, \mathrm{d}z.
# $$ (eq-evidence)
#
# Learning means: choose $\theta$ so that the images we have are probable, that is, maximise the average of
# $\log p_\theta(x)$. With one latent number the integral is a sum over a fine grid, as in school. Probabilities of whole
# images are too small for the 32-bit numbers that networks use, and those of larger images for any, hence logarithms throughout.

# %%
x = torch.from_numpy(data.prepare(run.config.data).test[:64]).double()  # (B, D)
z_grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]  # (G, 1)
dz = (z_grid[1] - z_grid[0]).item()

# %%
with torch.no_grad():
    outputs = model.decode(z_grid)  # (G, D)
per_image = [model.likelihood.log_prob(image, outputs) for image in x]
log_p_x_given_z = torch.stack(per_image)  # (B, G)
log_p_z = model.prior.log_prob(z_grid)  # (G,)
log_joint = log_p_x_given_z + log_p_z  # (B, G)
log_evidence = torch.logsumexp(log_joint, dim=1) + math.log(dz)  # (B,)

# %% tags=["remove-input"]
Markdown(
    f"The first test image has log p(x) = **{log_evidence[0]:.2f} nats**: a probability of about "
    f"10 to the power {log_evidence[0] / math.log(10):.0f}. That is small because there are 2 to the power {x.shape[1]} "
    f"binary images of this size; a fair coin for each pixel would give {-x.shape[1] * math.log(2):.1f} nats."
)

# %% [markdown]
# ## Why not simply add it up?
#
# Because a grid with 4,001 points per axis has $4001^Z$ points: with $Z = 20$ latent numbers, $10^{72}$ decodings. The next idea is to guess. Equation {eq}`eq-evidence` is an average over the prior, so draw $z_1, \dots,
# z_N$ from $p(z)$ and take
#
# $$
# p_\theta(x) \approx \frac{1}{N} \sum_{n=1}^{N} p_\theta(x \mid z_n), \qquad z_n \sim p(z).
# $$ (eq-naive)
#
# To judge a guess one needs the truth, for many latent dimensions. There is one famous model that has it. In
# **probabilistic PCA** {cite:p}`tipping1999` the decoder is linear and the noise Gaussian,
# $p(x \mid z) = \mathcal{N}(x; W z + b, \sigma^2 I)$, and sums of Gaussians are Gaussian:
#
# $$
# p(x) = \mathcal{N}\!\left(x;\; b,\; W W^\top + \sigma^2 I\right).
# $$ (eq-ppca)
#
# Its maximum-likelihood solution is known too. With eigenvalues $\lambda_1 \ge \lambda_2 \ge \dots$ of the pixels'
# covariance and their eigenvectors $u_j$,
#
# $$
# b = \bar{x}, \qquad \sigma^2 = \frac{1}{D - Z} \sum_{j > Z} \lambda_j, \qquad
# W = \left[\sqrt{\lambda_1 - \sigma^2} \, u_1, \;\dots,\; \sqrt{\lambda_Z - \sigma^2} \, u_Z\right].
# $$ (eq-ppca-ml)


# %%
def ppca(x, latent_dim):
    """W (D, Z), b (D,) and sigma^2 of the best probabilistic PCA of x."""
    eigenvalues, u = torch.linalg.eigh(torch.cov(x.T))  # ascending
    eigenvalues, u = eigenvalues.flip(0), u.flip(1)
    sigma2 = eigenvalues[latent_dim:].mean()
    W = u[:, :latent_dim] * (eigenvalues[:latent_dim] - sigma2).sqrt()
    return W, x.mean(0), sigma2


# %%
from torch.distributions import LowRankMultivariateNormal


def ppca_log_evidence(x, W, b, sigma2):
    """log N(x; b, W W^T + sigma^2 I) in nats: (N, D) -> (N,)."""
    return LowRankMultivariateNormal(b, W, sigma2.expand(len(b))).log_prob(x)


# %% [markdown]
# Our faces serve as data. Somebody else's implementation of the same model must agree with these two functions:
#
# ```{margin}
# scikit-learn and `torch.cov` both divide by $N - 1$; maximum likelihood would divide by $N$. With this many images the
# difference in log-evidence is far below the digits shown here.
# ```

# %% tags=["nbval-check-output"]
from sklearn.decomposition import PCA

prepared = data.prepare(data.DataConfig(name=faces))
x_faces = torch.from_numpy(prepared.train).double()  # (N, D)
W, b, sigma2 = ppca(x_faces, latent_dim)
ours = ppca_log_evidence(x_faces, W, b, sigma2)
theirs = PCA(latent_dim, svd_solver="full").fit(x_faces).score_samples(x_faces)
print("equals scikit-learn:", torch.allclose(ours, torch.from_numpy(theirs)))

# %% [markdown]
# Now guess the {term}`evidence` of 16 faces from prior draws, for models with more and more latent dimensions, and compare with
# {eq}`eq-ppca`.


# %%
def guess_log_evidence(x, W, b, sigma2, z):
    """The estimate from the first 1, 2, ... draws in z, nats: -> (B, N)."""
    means = (part @ W.T + b for part in z.split(10_000))  # (10000, D) at a time
    squared = torch.cat([torch.cdist(x, m).square() for m in means], dim=1)
    log_norm = len(b) * torch.log(2 * math.pi * sigma2)
    log_p_x_given_z = -0.5 * (squared / sigma2 + log_norm)  # (B, N)
    counts = torch.arange(1, len(z) + 1)
    return torch.logcumsumexp(log_p_x_given_z, dim=1) - counts.log()


# %%
N, some = 100_000, x_faces[:16]
generator = torch.Generator().manual_seed(seed)
shortfall = {}
for Z in sorted({1, 2, 5, latent_dim}):
    fitted = ppca(x_faces, Z)
    z = torch.randn(N, Z, generator=generator, dtype=torch.float64)
    truth = ppca_log_evidence(some, *fitted).unsqueeze(1)  # (16, 1)
    guess = guess_log_evidence(some, *fitted, z)  # (16, N)
    shortfall[Z] = (truth - guess).mean(0)  # (N,)

# %% mystnb={"figure": {"caption": "Guessing from the prior. How many nats the estimate of the log-evidence falls short of the truth, against the number of prior draws, as a mean over 16 faces. With one latent dimension a thousand draws are enough; with each further dimension the guesses that matter become rarer. (A lucky early draw may overshoot.)", "name": "fig-naive"}, "image": {"alt": "Curves that fall with the number of draws. Those for one and two latent dimensions reach zero, that for five nearly, that for ten ends far above."}} tags=["hide-input"]
n = torch.logspace(0, math.log10(N), 60).long().unique()
fig, ax = plt.subplots()
for Z, gap in shortfall.items():
    ax.plot(n, gap[n - 1], label=f"Z = {Z}")
top = 3 * max(10, *(gap[-1].item() for gap in shortfall.values()))
ax.set(xlabel="draws from the prior", ylabel="shortfall (nats per image)")
ax.set(xscale="log", xlim=(1, N), ylim=(-1, top))
ax.legend()
plt.show()

# %% tags=["remove-input"]
Markdown(
    f"After {N:,} draws the model with {latent_dim} latent dimensions still lacks "
    f"**{shortfall[latent_dim][-1]:.0f} nats** per face, on average; the one with a single dimension lacks "
    f"{shortfall[1][-1]:.3f}."
)

# %% [markdown]
# Almost all draws decode to a face that is nothing like $x$ and contribute nothing. The draws that would matter are those
# of the **posterior**, the latents that may have caused this very image. Bayes' rule gives it:
#
# $$
# p_\theta(z \mid x) = \frac{p_\theta(x \mid z) \, p(z)}{p_\theta(x)}.
# $$ (eq-bayes)
#
# The denominator is the integral that we could not do. That is all that "the {term}`posterior` is intractable" means: to know the
# posterior is to know the evidence. Turned around, it says more: $\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z
# \mid x)$ for **every** $z$. Where the posterior is known, a single guess, even a bad one, gives the evidence without
# error. For probabilistic PCA it is known, a Gaussian as well, with $M = W^\top W + \sigma^2 I$:
#
# $$
# p(z \mid x) = \mathcal{N}\!\left(z;\; M^{-1} W^\top (x - b),\; \sigma^2 M^{-1}\right).
# $$ (eq-ppca-posterior)

# %%
M = W.T @ W + sigma2 * torch.eye(latent_dim)  # (Z, Z)
M_inverse = torch.linalg.inv(M)  # diagonal, as W's columns are orthogonal
mean = (x_faces - b) @ W @ M_inverse  # (N, Z)
var = (sigma2 * M_inverse.diagonal()).expand_as(mean)  # (N, Z)

# %% tags=["nbval-check-output"]
from torch.distributions import Normal

z = torch.zeros_like(mean)  # any z will do
likelihood = Normal(z @ W.T + b, sigma2.sqrt()).log_prob(x_faces).sum(-1)
prior = Normal(0, 1).log_prob(z).sum(-1)
posterior = Normal(mean, var.sqrt()).log_prob(z).sum(-1)
one_guess = likelihood + prior - posterior
print("one guess gives the evidence:", torch.allclose(one_guess, ours))

# %% [markdown]
# ## A bound
#
# For a neural decoder the posterior is out of reach, so we take a stand-in: a distribution $q_\phi(z \mid x)$ of a simple
# kind, computed from the image by a second network, the **encoder**. The clever part is what can be said *exactly* in
# spite of the stand-in. As $\log p_\theta(x)$ does not depend on $z$, its average over any $q$ is itself. Use Bayes' rule
# {eq}`eq-bayes` and multiply and divide by $q$:
#
# $$
# \log p_\theta(x)
# = \mathbb{E}_{q}\!\left[\log \frac{p_\theta(x, z)}{p_\theta(z \mid x)}\right]
# = \underbrace{\mathbb{E}_{q}\!\left[\log \frac{p_\theta(x, z)}{q_\phi(z \mid x)}\right]}_{\mathcal{L}(x)}
# + \underbrace{\mathbb{E}_{q}\!\left[\log \frac{q_\phi(z \mid x)}{p_\theta(z \mid x)}\right]}_{
# \mathrm{KL}(q_\phi(z \mid x) \,\Vert\, p_\theta(z \mid x)) \;\ge\; 0}.
# $$ (eq-decomposition)
#
# The second term is a Kullback-Leibler divergence. It is never negative, and zero only if $q$ is the posterior: by
# Jensen's inequality, $-\mathbb{E}_q[\log (p / q)] \ge -\log \mathbb{E}_q[p / q] = -\log 1 = 0$. So the first term is a
# lower bound on the evidence: the **evidence lower bound**, or ELBO,
#
# $$
# \mathcal{L}(x) = \mathbb{E}_{q_\phi(z \mid x)}\!\left[\log p_\theta(x, z) - \log q_\phi(z \mid x)\right]
# \;\le\; \log p_\theta(x).
# $$ (eq-elbo)
#
# It contains nothing that we cannot compute. Splitting $\log p_\theta(x, z) = \log p_\theta(x \mid z) + \log p(z)$ gives
# the form in which it is usually trained:
#
# $$
# \mathcal{L}(x) = \underbrace{\mathbb{E}_{q_\phi(z \mid x)}\!\left[\log p_\theta(x \mid z)\right]}_{\text{reconstruction}}
# \;-\; \underbrace{\mathrm{KL}(q_\phi(z \mid x) \,\Vert\, p(z))}_{\text{cost of the code}}.
# $$ (eq-terms)
#
# :::{admonition} Two different divergences
# :class: note
# The KL in {eq}`eq-terms` is to the *prior*, is part of the bound and is printed by every VAE. The KL in
# {eq}`eq-decomposition` is to the true *posterior*, is the distance between bound and evidence, and is normally unknown.
# :::
#
# With one latent number nothing is unknown, and {eq}`eq-decomposition` must add up to the last digit. All three terms are
# sums over the grid. (In code this is an identity, as the posterior is computed from the evidence: what it shows is that the
# grid holds all of $q$. The independent check of the ELBO follows, by sampling.)

# %%
from vaelib.posteriors import gaussian_log_prob

with torch.no_grad():
    mean_1d, log_var_1d = model.encode(x)  # (B, 1), (B, 1)
log_q = gaussian_log_prob(z_grid, mean_1d[:, None], log_var_1d[:, None])
log_posterior = log_joint - log_evidence[:, None]  # (B, G)

# %%
q = log_q.exp()
exact_elbo = (q * (log_joint - log_q)).sum(1) * dz  # (B,)
kl_to_posterior = (q * (log_q - log_posterior)).sum(1) * dz  # (B,)

# %% tags=["remove-input"]
ranks = [int(part * (len(x) - 1)) for part in (0.1, 0.5, 0.9, 1)]
shown = kl_to_posterior.argsort()[ranks]
columns = {
    "ELBO": [f"{value:.2f}" for value in exact_elbo[shown]],
    "+ KL to posterior": [f"{value:.2f}" for value in kl_to_posterior[shown]],
    "log p(x)": [f"{value:.2f}" for value in log_evidence[shown]],
    "difference": [
        f"{value:.0e}"
        for value in (log_evidence - exact_elbo - kl_to_posterior)[shown]
    ],
}
pd.DataFrame(
    columns, index=["gap at 10 %", "median gap", "gap at 90 %", "largest gap"]
)

# %% tags=["nbval-check-output"]
print("it adds up:", torch.allclose(exact_elbo + kl_to_posterior, log_evidence))

# %% mystnb={"figure": {"caption": "The true posterior, by brute force, and the encoder's Gaussian for the four test images of the table. The gap between bound and evidence is the divergence of the dashed curve from the solid one. In the last row the encoder, which must answer for every image with one network, looks in the wrong place.", "name": "fig-posterior"}, "image": {"alt": "Four rows, each with a digit and two bell curves over z. In the first two rows the curves largely overlap, in the third they are shifted by about two widths, in the last they do not touch."}} tags=["hide-input"]
fig, axes = plt.subplots(4, 2, figsize=(7, 5.2), width_ratios=(1, 7))
for i, (picture, ax) in zip(shown, axes, strict=True):
    plots.image_grid(x[i : i + 1].numpy(), model.image_shape, ax=picture)
    ax.plot(z_grid, log_posterior[i].exp(), label="posterior p(z|x)")
    ax.plot(z_grid, q[i], "--", label="encoder q(z|x)")
    peaks = sorted(
        [z_grid[log_posterior[i].argmax()].item(), mean_1d[i].item()]
    )
    around = 5 * math.exp(0.5 * log_var_1d[i])
    ax.set(yticks=[], xlim=(peaks[0] - around, peaks[1] + around))
    ax.set_title(f"gap {kl_to_posterior[i]:.2f} nats", fontsize=9)
axes[0, 1].legend(loc="upper right")
axes[-1, 1].set_xlabel("$z$")
plt.show()

# %% tags=["remove-input"]
Markdown(
    f"Over the first {len(x)} test images the evidence is {log_evidence.mean():.2f} nats on average and the ELBO "
    f"{exact_elbo.mean():.2f}: a gap of {kl_to_posterior.mean():.2f} nats, with a median of {kl_to_posterior.median():.2f} "
    f"and a largest value of {kl_to_posterior.max():.1f}."
)

# %% [markdown]
# A higher $\mathcal{L}$ therefore means a higher evidence, a tighter bound, or both: $\phi$ can only tighten the bound,
# $\theta$ moves both. (While the evidence climbs the bound may get looser for a time, as {numref}`fig-linear` will show.) One network that encodes every image (*amortised* inference) is what makes it cheap, and what
# leaves the odd image badly served {cite:p}`cremer2018`.
#
# :::{admonition} Which sign is this?
# :class: important
# - $\mathcal{L}$, `elbo`: higher is better, a **lower** bound on $\log p(x)$.
# - $-\mathcal{L}$, the loss: lower is better, an **upper** bound on $-\log p(x)$. It is not the negative log-likelihood.
# - `reconstruction` $= \mathbb{E}_q[\log p(x \mid z)]$: at most 0 for binary pixels. For Gaussian pixels it is an average
#   log-density and may well be positive.
# - `kl`: never negative, and always *subtracted* from the reconstruction.
# :::

# %% [markdown]
# ## The KL term in closed form
#
# The encoder answers with a mean $\mu_j$ and a variance $\sigma_j^2$ for each latent dimension. With both $q$ and $p(z)$
# Gaussian and independent over dimensions, the KL term of {eq}`eq-terms` needs no sampling. For one dimension,
#
# $$
# \mathbb{E}_q[\log q(z) - \log p(z)]
# = \mathbb{E}_q\!\left[-\tfrac{1}{2} \log \sigma^2 - \frac{(z - \mu)^2}{2 \sigma^2} + \frac{z^2}{2}\right],
# $$
#
# where the two terms $\tfrac{1}{2} \log 2\pi$ have cancelled. By the definition of the variance $\mathbb{E}_q[(z -
# \mu)^2] = \sigma^2$ and $\mathbb{E}_q[z^2] = \mu^2 + \sigma^2$, so that in all dimensions together
#
# $$
# \mathrm{KL}\!\left(\mathcal{N}(\mu, \sigma^2) \,\Vert\, \mathcal{N}(0, I)\right)
# = \frac{1}{2} \sum_{j=1}^{Z} \left(\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2\right).
# $$ (eq-kl)
#
# Networks output any real number and a variance must be positive, so the encoder's second output is read as
# $\log \sigma_j^2$.


# %%
def gaussian_kl(mean, log_var):
    """KL(N(mean, e^log_var) || N(0, 1)) of each dimension, nats: -> (B, Z)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


# %% [markdown]
# Against the definition, with more and more draws; the error of a Monte Carlo average should shrink like one over the
# square root of their number:

# %% tags=["hide-input"]
generator = torch.Generator().manual_seed(seed)
mu, log_s2, zero = torch.tensor([[0.8], [-2.0], [0.0]], dtype=torch.float64)
rows = {}
for n in (100, 10_000, 1_000_000):
    epsilon = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    z = mu + torch.exp(0.5 * log_s2) * epsilon
    sample = gaussian_log_prob(z, mu, log_s2) - gaussian_log_prob(z, zero, zero)
    rows[f"{n:,} draws"] = {
        "Monte Carlo (nats)": f"{sample.mean():.4f}",
        "± standard error": f"{sample.std() / n**0.5:.4f}",
        "closed form (nats)": f"{gaussian_kl(mu, log_s2).item():.4f}",
    }
pd.DataFrame.from_dict(rows, orient="index")

# %% [markdown]
# And against two other implementations, the second of which the rest of the book uses:

# %% tags=["nbval-check-output"]
from torch.distributions import kl_divergence

from vaelib import objectives, posteriors

m = torch.linspace(-3, 3, 60).reshape(20, 3)
log_v = torch.linspace(-4, 2, 60).reshape(20, 3)
mine = gaussian_kl(m, log_v)
theirs = kl_divergence(Normal(m, torch.exp(0.5 * log_v)), Normal(0, 1))
print("equals torch.distributions:", torch.allclose(mine, theirs, atol=1e-6))
library = posteriors.gaussian_kl(m, log_v)
print("equals vaelib.posteriors:", torch.equal(mine, library))

# %% [markdown]
# ## Gradients through a draw
#
# The {term}`reconstruction term` of {eq}`eq-terms` is an average $\mathbb{E}_{q_\phi}[f(z)]$ with $f(z) = \log p_\theta(x \mid
# z)$. Its gradient in $\theta$ is easy: average the gradients. Its gradient in $\phi$ is not, because $\phi$ decides
# *where the draws fall*. There are two ways out.
#
# **The score function** (also called REINFORCE {cite:p}`williams1992`). Differentiate under the integral, and use
# $\nabla q = q \, \nabla \log q$:
#
# $$
# \nabla_\phi \, \mathbb{E}_{q_\phi}[f(z)] = \int f(z) \, \nabla_\phi q_\phi(z) \, \mathrm{d}z
# = \mathbb{E}_{q_\phi}\!\left[f(z) \, \nabla_\phi \log q_\phi(z)\right].
# $$ (eq-score)
#
# It asks nothing of $f$ but its value: move towards draws that did well. **The reparameterisation**
# {cite:p}`kingma2014,rezende2014` moves the randomness out of the way. A draw from
# $\mathcal{N}(\mu, \sigma^2)$ is a standard draw, shifted and scaled,
#
# $$
# z = \mu + \sigma \odot \epsilon, \qquad \epsilon \sim \mathcal{N}(0, I),
# $$ (eq-reparameterisation)
#
# and the distribution of $\epsilon$ does not depend on $\phi$. The gradient may then simply go inside:
#
# $$
# \nabla_\phi \, \mathbb{E}_{q_\phi}[f(z)]
# = \mathbb{E}_{\epsilon}\!\left[\nabla_\phi f\!\left(\mu_\phi + \sigma_\phi \odot \epsilon\right)\right].
# $$ (eq-pathwise)


# %%
def reparameterise(mean, log_var, samples=1, generator=None):
    """z = mean + sigma * epsilon: (B, Z), (B, Z) -> (samples, B, Z)."""
    shape = (samples, *mean.shape)
    epsilon = torch.randn(shape, generator=generator, dtype=mean.dtype)
    return mean + torch.exp(0.5 * log_var) * epsilon


# %% tags=["nbval-check-output"]
mine = reparameterise(m, log_v, 5, generator.manual_seed(1))
library = posteriors.reparameterise(m, log_v, 5, generator.manual_seed(1))
print("equals vaelib.posteriors:", torch.equal(mine, library))

# %% [markdown]
# Both are unbiased. The difference is their noise. The linear model lets us measure it against the true gradient. For
# one face, take $q$ to be the exact posterior {eq}`eq-ppca-posterior`, and differentiate with respect to its mean
# $\mu$. With $f(z) = \log \mathcal{N}(x; W z + b, \sigma^2 I)$ the exact answer is $W^\top (x - b - W \mu) /
# \sigma^2$.

# %%
x0 = x_faces[0]  # (D,)
mu, s2 = mean[0], var[0]  # the mean and the variance of q, (Z,)
exact = W.T @ (x0 - b - W @ mu) / sigma2  # (Z,)


def f(z):
    """log p(x0|z) in nats: (S, Z) -> (S,)."""
    return Normal(z @ W.T + b, sigma2.sqrt()).log_prob(x0).sum(-1)


# %% [markdown]
# We take one gradient per draw, three times: the reparameterised one by automatic differentiation, the score function's with
# $\nabla_\mu \log q = (z - \mu) / \sigma_q^2$, and the latter after subtracting a constant from $f$. A constant *baseline*
# changes no mean, as $\mathbb{E}_q[\nabla \log q] = 0$, and is the simplest of many ways to calm the score function
# {cite:p}`mohamed2020`.

# %%
generator = torch.Generator().manual_seed(seed)
mu_of_draw = mu.repeat(draws, 1).requires_grad_()  # one for each draw
z = reparameterise(mu_of_draw, s2.log(), generator=generator)[0]  # (draws, Z)
(pathwise,) = torch.autograd.grad(f(z).sum(), mu_of_draw)  # (draws, Z)

# %%
z = z.detach()
score = f(z)[:, None] * (z - mu) / s2  # (draws, Z)
others = reparameterise(mu, s2.log(), 1000, generator)  # (1000, Z)
baseline = f(others).mean()
score_with_baseline = (f(z) - baseline)[:, None] * (z - mu) / s2  # (draws, Z)

# %% tags=["hide-input"]
estimators = {
    "score function": score,
    "score function, with baseline": score_with_baseline,
    "reparameterised": pathwise,
}
rows = {}
for name, g in estimators.items():
    variance = g.var(0).sum()
    off = (g.mean(0) - exact).abs() / (g.std(0) / draws**0.5)
    rows[name] = {
        "variance of one draw": f"{variance:,.0f}",
        "ratio": f"{variance / pathwise.var(0).sum():,.1f}",
        "worst error (standard errors)": f"{off.max():.1f}",
    }
pd.DataFrame.from_dict(rows, orient="index")

# %% mystnb={"figure": {"caption": "Variance of three estimators of the same gradient (summed over its entries) against the number of draws that are averaged. All three fall like one over the number of draws, so the vertical distance is the number of draws that one reparameterised draw is worth.", "name": "fig-gradients"}, "image": {"alt": "Three parallel falling lines on logarithmic axes: the score function far above, the one with a baseline far below it, the reparameterised one a little lower still."}} tags=["hide-input"]
counts = [2**k for k in range(8)]
fig, ax = plt.subplots()
for name, g in estimators.items():
    averages = [
        g[: draws // L * L].reshape(-1, L, latent_dim).mean(1) for L in counts
    ]
    ax.plot(
        counts, [average.var(0).sum() for average in averages], "o-", label=name
    )
ax.set(xlabel="draws averaged, $L$", ylabel="variance of the gradient")
ax.set(xscale="log", yscale="log")
ax.set_xticks(counts, counts)
ax.minorticks_off()
ax.legend()
plt.show()

# %% tags=["remove-input"]
plain, with_baseline = (
    (g.var(0).sum() / pathwise.var(0).sum()).item()
    for g in (score, score_with_baseline)
)
Markdown(
    f"One reparameterised draw is worth about **{float(f'{plain:.1g}'):,.0f}** draws of the plain score function, and "
    f"**{with_baseline:.1f}** of the one with a baseline. Most of the plain estimator's noise is "
    f"the sheer size of f, here {f(z).mean():.0f} nats on average, which the baseline removes; the rest is what it does "
    "not know of the slope of f. A single reparameterised draw per image, L = 1, is enough to train a VAE."
)

# %% [markdown]
# The score function knows only *how good* a draw was; the reparameterised gradient also knows in which direction it would
# have been better, because it differentiates the decoder. The price: $z$ must be continuous and $f$ differentiable.

# %% [markdown]
# ## The estimator
#
# Equations {eq}`eq-terms`, {eq}`eq-kl` and {eq}`eq-reparameterisation` together are the estimator that trains most VAEs
# ({cite:t}`kingma2014`, equation 7):
#
# $$
# \mathcal{L}(x) \approx \frac{1}{L} \sum_{l=1}^{L} \log p_\theta(x \mid z_l)
# - \mathrm{KL}(q_\phi(z \mid x) \,\Vert\, p(z)), \qquad z_l = \mu + \sigma \odot \epsilon_l.
# $$ (eq-estimator)


# %%
def elbo(model, x, samples=1, generator=None):
    """A draw of the evidence lower bound of each image, nats: -> (B,)."""
    mean, log_var = model.encode(x)  # (B, Z), (B, Z)
    z = reparameterise(mean, log_var, samples, generator)  # (L, B, Z)
    log_p_x_given_z = model.likelihood.log_prob(x, model.decode(z))  # (L, B)
    reconstruction = log_p_x_given_z.mean(0)  # (B,)
    kl = gaussian_kl(mean, log_var).sum(-1)  # (B,)
    return reconstruction - kl


# %% [markdown]
# That is all there is to a VAE's objective. The library's version returns the two terms beside their difference, and can
# estimate the KL by Monte Carlo too:

# %% tags=["nbval-check-output"]
mine = elbo(model, x, 3, generator.manual_seed(1))
terms = objectives.elbo(model, x, samples=3, generator=generator.manual_seed(1))
print("equals vaelib.objectives:", torch.equal(mine, terms.elbo))
print("adds up:", torch.equal(terms.elbo, terms.reconstruction - terms.kl))

# %% [markdown]
# It is unbiased for every $L$: its mean must be the ELBO that we got from the grid. One thousand repeats for the first
# test image:

# %% tags=["hide-input"]
generator = torch.Generator().manual_seed(seed)
rows = {}
for L in (1, 10, 100):
    with torch.no_grad():
        repeats = [elbo(model, x[:1], L, generator)[0] for _ in range(1000)]
    repeats = torch.stack(repeats)
    rows[f"L = {L}"] = {
        "mean of 1,000 (nats)": f"{repeats.mean():.3f}",
        "± standard error": f"{repeats.std() / 1000**0.5:.3f}",
        "from the grid (nats)": f"{exact_elbo[0]:.3f}",
        "spread of one (nats)": f"{repeats.std():.3f}",
    }
pd.DataFrame.from_dict(rows, orient="index")

# %% [markdown]
# A subtlety for later. Sampling the KL as well ({cite:t}`kingma2014`, equation 6) sounds like needless noise, and
# far from the optimum it may be. But near the optimum the noise of the two terms cancels: with $q$ equal to the posterior,
# $\log p(x, z) - \log q(z \mid x) = \log p(x)$ is the same number for every draw, as we saw with probabilistic PCA
# {cite:p}`roeder2017`. For one face and $q$ the exact posterior:

# %%
z = reparameterise(mu, s2.log(), 1000, generator)  # (1000, Z)
log_prior = Normal(0, 1).log_prob(z).sum(-1)
log_q_z = Normal(mu, s2.sqrt()).log_prob(z).sum(-1)
sampled_kl = f(z) - (log_q_z - log_prior)  # (1000,)
analytic_kl = f(z) - gaussian_kl(mu, s2.log()).sum()  # (1000,)

# %% tags=["remove-input"]
Markdown(
    f"Standard deviation over 1,000 draws: **{analytic_kl.std():.2f} nats** with the KL in closed form, "
    f"**{sampled_kl.std():.0e} nats** with the KL sampled; both average to the evidence, {ours[0]:.2f} nats "
    f"({analytic_kl.mean():.2f} and {sampled_kl.mean():.2f})."
)

# %% [markdown]
# ## What the decoder's outputs mean: Bernoulli pixels
#
# The decoder returns one real number $a_i$ per pixel, and the **likelihood** says how to read it. If pixels are black or
# white, each can be a coin that shows white with probability $y_i = \mathrm{sigmoid}(a_i) = 1 / (1 + e^{-a_i})$:
#
# $$
# \log p(x \mid z) = \sum_{i=1}^{D} x_i \log y_i + (1 - x_i) \log (1 - y_i)
# = \sum_{i=1}^{D} x_i a_i - \log\!\left(1 + e^{a_i}\right).
# $$ (eq-bernoulli)
#
# The second form never takes the logarithm of a probability that was rounded to zero. Its negative is what libraries call
# binary cross-entropy.


# %%
def bernoulli_log_prob(x, a):
    """log p(x|z) of binary pixels in nats: (B, D), logits (B, D) -> (B,)."""
    return (x * a - F.softplus(a)).sum(-1)


# %% tags=["nbval-check-output"]
from torch.distributions import Bernoulli

from vaelib import likelihoods

a = 3 * torch.randn(x.shape, generator=generator.manual_seed(0)).double()
mine = bernoulli_log_prob(x, a)
theirs = Bernoulli(logits=a).log_prob(x).sum(-1)
print("equals torch.distributions:", torch.allclose(mine, theirs))
library = likelihoods.Bernoulli().log_prob(x, a)
print("equals vaelib.likelihoods:", torch.allclose(mine, library))

# %% [markdown]
# ### Is cross-entropy on grey pixels a likelihood?
#
# MNIST's pixels are grey, and most code, the report's included, puts them straight into {eq}`eq-bernoulli`. That runs, and
# trains well. But a density over $x \in [0, 1]$ must have area 1, and this one has not:
#
# $$
# \int_0^1 y^x (1 - y)^{1 - x} \, \mathrm{d}x = \frac{2 y - 1}{\log y - \log (1 - y)} \;\le\; \frac{1}{2}.
# $$ (eq-area)

# %%
y = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
area = (2 * y - 1) / torch.logit(y)  # the limit at y = 1/2 is 1/2
grey = torch.linspace(0, 1, 2001, dtype=torch.float64)
curve = y[:, None] ** grey * (1 - y[:, None]) ** (1 - grey)  # (500, 2001)
by_hand = torch.trapezoid(curve, grey)

# %% mystnb={"figure": {"caption": "The Bernoulli expression is no density of grey pixels. Left: its value over the grey level x, for four decoder outputs y; none of these curves has area 1. Right: the area, by formula and by summing up, is at most one half.", "name": "fig-grey"}, "image": {"alt": "Left: four exponential curves over the grey level between 0 and 1. Right: an arch over y that peaks at one half."}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9))
for level in (0.05, 0.3, 0.7, 0.95):
    left.plot(
        grey, level**grey * (1 - level) ** (1 - grey), label=f"y = {level}"
    )
left.set(xlabel="grey level $x$", ylabel="$y^x (1-y)^{1-x}$", ylim=(0, 1))
left.legend()
right.plot(y, area, label="formula")
right.plot(y[::25], by_hand[::25], "o", label="summed up")
right.set(xlabel="decoder's output $y$", ylabel="area", ylim=(0, 1))
right.legend(loc="upper right")
plt.show()

# %% [markdown]
# Dividing by the area gives a proper density on $[0, 1]$, the **continuous Bernoulli** of
# {cite:t}`loaiza2019`:

# %% tags=["nbval-check-output"]
from torch.distributions import ContinuousBernoulli

level, y_low = torch.tensor([0.3], dtype=torch.float64), y[y < 0.49]
logits = torch.logit(y_low)[:, None]
mine = bernoulli_log_prob(level, logits) - area[y < 0.49].log()
theirs = ContinuousBernoulli(probs=y_low).log_prob(level)
print("equals torch.distributions:", torch.allclose(mine, theirs, atol=1e-6))

# %% [markdown]
# So is a book full of grey "ELBOs" meaningless? No, for a reason that is seldom stated. Equation {eq}`eq-bernoulli` is
# *linear in x*, so that its value at a grey image is its average over the binary images that one gets by tossing a coin
# with probability $x_i$ for each pixel:
#
# $$
# \sum_i x_i \log y_i + (1 - x_i) \log(1 - y_i)
# = \mathbb{E}_{b \sim \mathrm{Bernoulli}(x)}\!\left[\log p(b \mid z)\right].
# $$ (eq-grey)
#
# Put this into {eq}`eq-terms`. For each binary image $b$, the same $q_\phi(z \mid x)$ gives a lower bound on $\log p(b)$;
# their average is the ELBO of the grey image:
#
# $$
# \mathcal{L}(x) \;\le\; \mathbb{E}_{b \sim \mathrm{Bernoulli}(x)}\!\left[\log p(b)\right].
# $$ (eq-grey-bound)
#
# The ELBO of a grey image is a valid bound on the average log-probability of its binarisations, with an encoder that sees
# the grey original. It is not the ELBO of any density of grey images. (With the continuous Bernoulli of the same decoder it
# bounds the log-density, but lies at least $D \log 2$ nats too low, by {eq}`eq-area`.) It must not be compared with numbers from binarised
# MNIST, where the encoder sees $b$, or with Gaussian ones.

# %%
prepared_grey = data.prepare(data.DataConfig(name=dataset))
x_grey = torch.from_numpy(prepared_grey.test[:64]).double()  # (B, D)
tosses = (torch.bernoulli(x_grey, generator=generator) for _ in range(2000))
tossed = torch.stack([bernoulli_log_prob(binary, a) for binary in tosses])
linear = bernoulli_log_prob(x_grey, a)  # (B,)

# %% tags=["remove-input"]
entropy = torch.special.entr(x_grey) + torch.special.entr(1 - x_grey)
Markdown(
    f"For the first test image and random logits: {linear[0]:.2f} nats at the grey image, {tossed.mean(0)[0]:.2f} ± "
    f"{tossed.std(0)[0] / 2000**0.5:.2f} as the average over 2,000 binarisations.\n\nGrey pixels also have a floor. Even a decoder that returns every pixel exactly, y = x, "
    f"pays the entropy of the coins: **{entropy.sum(-1).mean():.1f} nats** per image, averaged over the first {len(x)} "
    "test images. A loss on grey images never gets near zero, and only the excess over this floor can be learned."
)

# %% [markdown]
# ## Gaussian pixels, and why a sigmoid on the mean
#
# For grey pixels the textbook likelihood is a Gaussian around the decoder's mean image $m$, with a standard deviation
# $\sigma$ (not to be confused with the encoder's):
#
# $$
# \log p(x \mid z) = -\frac{1}{2} \sum_{i=1}^{D} \left[\frac{(x_i - m_i)^2}{\sigma^2} + \log 2 \pi \sigma^2\right].
# $$ (eq-gaussian)


# %%
def gaussian_pixels_log_prob(x, m, sigma):
    """log p(x|z) of Gaussian pixels in nats: (B, D), (B, D), () -> (B,)."""
    squared = (x - m).square() / sigma**2
    return -0.5 * (squared + torch.log(2 * math.pi * sigma**2)).sum(-1)


# %% tags=["nbval-check-output"]
from vaelib.likelihoods import LikelihoodConfig, make_likelihood

m, width = torch.sigmoid(a), torch.tensor(0.2, dtype=torch.float64)
mine = gaussian_pixels_log_prob(x_grey, m, width)
theirs = Normal(m, width).log_prob(x_grey).sum(-1)
print("equals torch.distributions:", torch.allclose(mine, theirs))
config = LikelihoodConfig(
    name="gaussian", mean="sigmoid", sigma="fixed", sigma_value=0.2
)
library = make_likelihood(config).log_prob(x_grey, a)
print("equals vaelib.likelihoods:", torch.allclose(mine, library, rtol=1e-5))

# %% [markdown]
# Here the decoder's outputs went through a sigmoid: $m = \mathrm{sigmoid}(a)$. {cite:t}`kingma2014` did the same for
# Frey Faces, "the means were constrained to the interval (0,1) using a sigmoidal activation function at the decoder
# output". What does it change? First, without it the mean may leave the range of pixels, where no image ever is. How
# often does that happen to the linear model, which has no sigmoid?

# %%
rebuilt = mean @ W.T + b  # (N, D): the mean image at the posterior's mean
z = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
imagined = z @ W.T + b  # (N, D): the same for draws from the prior
outside = [(m != m.clamp(0, 1)).double().mean() for m in (rebuilt, imagined)]

# %% tags=["remove-input"]
Markdown(
    f"Of the pixels that probabilistic PCA rebuilds, {outside[0]:.2%} lie outside [0, 1], and {outside[1]:.2%} of those "
    "that it imagines from the prior: a true reason for a sigmoid, and on these data a small one."
)

# %% [markdown]
# Second, it changes the gradient that reaches the decoder's last layer. By the chain rule, for one pixel,
#
# $$
# -\frac{\partial \log p}{\partial a} =
# \begin{cases}
# (a - x) / \sigma^2 & \text{Gaussian, } m = a, \\
# (y - x) \, y (1 - y) / \sigma^2 & \text{Gaussian, } m = y = \mathrm{sigmoid}(a), \\
# y - x & \text{Bernoulli, } y = \mathrm{sigmoid}(a).
# \end{cases}
# $$ (eq-output-gradients)
#
# The sigmoid bounds the gradient, and makes it vanish where the output is saturated, rightly or wrongly. Bernoulli's
# keeps pulling.

# %% mystnb={"figure": {"caption": "The gradient of the loss with respect to one decoder output, for a pixel that is black (x = 0) and sigma = 1. Without a sigmoid it grows without bound; a Gaussian with sigmoid means forgives outputs that are badly wrong (far right); a Bernoulli does not. Lines are automatic differentiation of the library, dots the formulas.", "name": "fig-sigmoid"}, "image": {"alt": "Three curves over the decoder output from minus 8 to 8: a straight line, a small bump near 1, and a curve that rises from zero to one."}} tags=["hide-input"]
a_1 = torch.linspace(-8, 8, 161, dtype=torch.float64)[:, None].requires_grad_()
s = torch.sigmoid(a_1).detach()
choices = {
    "Gaussian, no sigmoid": (
        {"name": "gaussian", "mean": "identity"},
        a_1.detach(),
    ),
    "Gaussian, sigmoid": (
        {"name": "gaussian", "mean": "sigmoid"},
        s * s * (1 - s),
    ),
    "Bernoulli": ({"name": "bernoulli"}, s),
}
fig, ax = plt.subplots(figsize=(7, 2.9))
for name, (choice, formula) in choices.items():
    config = LikelihoodConfig(**choice, sigma="fixed", sigma_value=1.0)
    likelihood = make_likelihood(config).double()
    loss = -likelihood.log_prob(torch.zeros_like(a_1), a_1)
    (slope,) = torch.autograd.grad(loss.sum(), a_1)
    (line,) = ax.plot(a_1.detach(), slope, label=name)
    ax.plot(a_1.detach()[::10], formula[::10], "o", color=line.get_color())
ax.set(xlabel="decoder's output $a$", ylim=(-1.5, 1.5))
ax.set_ylabel(r"$-\partial \log p \, / \, \partial a$")
ax.legend()
plt.show()

# %% [markdown]
# A sigmoid is thus sensible. The report goes further and credits it with curing blurred and collapsed Frey faces
# {cite:p}`report2025` (together with a smaller model and fewer latents, where it speaks of posterior collapse). Before believing that, look at the constant in {eq}`eq-gaussian`, $\sigma$.

# %% [markdown]
# ## What sigma does to the balance of the two terms
#
# Write $S = \mathbb{E}_q \lVert x - m \rVert^2$ for the expected squared error, summed over pixels. With one $\sigma$ for
# all pixels the loss is
#
# $$
# -\mathcal{L} = \frac{S}{2 \sigma^2} + \frac{D}{2} \log 2 \pi \sigma^2 + \mathrm{KL}.
# $$ (eq-balance)
#
# For fixed $\sigma$ the middle term is a constant. Multiply by $2 \sigma^2$: we minimise $S + 2 \sigma^2 \, \mathrm{KL}$. So
# $\sigma$ **is** the weight of the KL term. "Plain" squared error is not free of a choice; it chose $\sigma$ silently.
# What is $\sigma$ if nobody chooses? Minimise {eq}`eq-balance` over it:
#
# $$
# \frac{\partial (-\mathcal{L})}{\partial \sigma^2} = -\frac{S}{2 \sigma^4} + \frac{D}{2 \sigma^2} = 0
# \quad\Longrightarrow\quad \sigma^2 = \frac{S}{D},
# $$ (eq-optimal-sigma)
#
# the mean squared error itself {cite:p}`rybkin2021`. As errors shrink in training so does $\sigma$, and the weight of
# the KL with it. (The decoder may state a $\sigma$ for each pixel, as in {cite:t}`kingma2014` on Frey Faces. Then the
# same argument holds pixel by pixel: one that is easy to predict can drag its own $\sigma$ towards zero.) Check it on
# the faces: the code is the exact posterior of the linear model, and the variance of the decoded draws is part of
# $S$.

# %%
D = x_faces.shape[1]
S = ((x_faces - rebuilt).square().sum(-1) + var @ W.square().sum(0)).mean()
sigmas = torch.logspace(-2, 0.3, 400, dtype=torch.float64)
log_norm = D * torch.log(2 * math.pi * sigmas**2)
loss = 0.5 * (S / sigmas**2 + log_norm)  # without the KL
best = sigmas[loss.argmin()]

# %% mystnb={"figure": {"caption": "The reconstruction term of the loss for one and the same set of reconstructed faces, against sigma. The minimum lies at the root of the mean squared error (dotted). At sigma = 1, half the plain squared error, the same reconstructions cost over a thousand nats more, and the KL term weighs hundreds of times more against them.", "name": "fig-sigma"}, "image": {"alt": "A curve that falls steeply, has its minimum near 0.06, and rises slowly towards sigma of 2."}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7, 2.9))
ax.plot(sigmas, loss)
ax.axvline((S / D).sqrt(), linestyle=":", color=plots.INK)
at_one = (S / 2 + D / 2 * math.log(2 * math.pi)).item()
ax.plot([1.0], [at_one], "o", color=plots.COLOURS["rose"])
ax.text(0.9, at_one + 50, r"$\sigma = 1$", ha="right")
ax.set(xlabel=r"$\sigma$", ylabel="$-$reconstruction (nats per image)")
ax.set(xscale="log", ylim=(loss.min() - 150, loss.min() + 2500))
plt.show()

# %% tags=["remove-input"]
excess = at_one - loss.min().item()
Markdown(
    f"Best σ on a grid: {best:.4f}; root of the mean squared error: **{(S / D).sqrt():.4f}**. At σ = 1 the same "
    f"reconstructions cost {excess:.0f} nats more, and one nat of KL weighs {(1 / (S / D)).item():.0f} times as much "
    "against the squared error."
)

# %% [markdown]
# ### Sum or mean over pixels?
#
# Code in the wild averages over pixels as often as it sums. The likelihood of an image is a *product* over pixels, so its
# logarithm is a **sum**; averaging divides the reconstruction by $D$ but not the KL. With $\ell_i = -\log p(x_i \mid z)$:
#
# $$
# \underbrace{\frac{1}{D} \sum_i \ell_i + \mathrm{KL}}_{\text{mean over pixels}}
# = \frac{1}{D} \Bigl(\sum_i \ell_i + D \cdot \mathrm{KL}\Bigr).
# $$ (eq-mean)
#
# The mean over pixels is the sum with a KL weight of $\beta = D$, in the terms of the $\beta$-VAE
# {cite:p}`higgins2017`. Common ways to write the loss,
# and what they silently assume:
#
# | loss of one image | same minimum as $-\mathcal{L}$ with |
# | --- | --- |
# | sum of binary cross-entropies + KL | Bernoulli pixels, $\beta = 1$ |
# | mean of binary cross-entropies + KL | Bernoulli pixels, $\beta = D$ |
# | half the sum of squared errors + KL | Gaussian pixels, $\sigma = 1$ |
# | sum of squared errors + KL | Gaussian pixels, $\sigma^2 = 1/2$ |
# | mean of squared errors + KL | Gaussian pixels, $\sigma^2 = D/2$ |
# | mean of squared errors + $w \cdot$ KL | Gaussian pixels, $\sigma^2 = w D / 2$ |
#
# The last row with the framework's own functions, on random numbers:

# %% tags=["nbval-check-output"]
generator.manual_seed(0)
target, output = torch.rand(2, 1, 560, generator=generator).double()
kl, w = 17.0, 0.01
in_the_wild = F.mse_loss(output, target) + w * kl  # the mean over pixels
s2_implied = torch.tensor(w * 560 / 2)
derived = -gaussian_pixels_log_prob(target, output, s2_implied.sqrt()) + kl
constant = 560 / 2 * torch.log(2 * math.pi * s2_implied)
same = torch.allclose(in_the_wild / w, derived - constant)
print("the same, but for a factor and a constant:", same)

# %% [markdown]
# ## A VAE whose evidence is known
#
# Everything so far was checked piece by piece. Now the whole: take a VAE with a *linear* decoder, a *linear* encoder
# and a learned $\sigma$. Its evidence is that of probabilistic PCA, {eq}`eq-ppca`, and its best possible value is
# {eq}`eq-ppca-ml`. The true posterior {eq}`eq-ppca-posterior` is within the encoder's reach if the columns of $W$ are
# orthogonal, for then $M$ is diagonal. So theory predicts that training ends
#
# 1. with an ELBO that *equals* the model's evidence (the gap of {eq}`eq-decomposition` closes), and
# 2. with an evidence that equals scikit-learn's `PCA.score`, although nobody told it to do PCA
#    {cite:p}`lucas2019`.
#
# With a linear decoder even the expectation in {eq}`eq-terms` has a closed form, as
# $\mathbb{E}_q \lVert x - W z - b \rVert^2 = \lVert x - W \mu - b \rVert^2 + \sum_j \sigma_j^2 \lVert w_j \rVert^2$, with
# $w_j$ the columns of $W$.


# %%
def weights(model):
    """W (D, Z), b (D,) and sigma^2 of a linear VAE."""
    layer = model.decoder.outputs
    return layer.weight, layer.bias, model.likelihood.sigma(layer.bias) ** 2


def linear_terms(model, x):
    """Expected squared error, and KL, of each image: (B, D) -> (B,), (B,)."""
    W, b, _ = weights(model)
    mean, log_var = model.encode(x)
    squared = (x - mean @ W.T - b).square().sum(-1)
    squared = squared + log_var.exp() @ W.square().sum(0)
    return squared, gaussian_kl(mean, log_var).sum(-1)


# %%
def linear_elbo(model, x):
    """The ELBO of a linear VAE in nats, without sampling: (B, D) -> (B,)."""
    squared, kl = linear_terms(model, x)
    _, b, sigma2 = weights(model)
    log_norm = len(b) * torch.log(2 * math.pi * sigma2)
    return -0.5 * (squared / sigma2 + log_norm) - kl


# %% [markdown]
# First without training: put the known solution into a VAE by hand. We subtract the mean face, so that $b = 0$.

# %%
from vaelib.models import VAE

centred = x_faces - x_faces.mean(0)


def linear_vae(sigma="shared", sigma_value=0.3):
    """A VAE with no hidden layer, and Gaussian pixels without a sigmoid."""
    torch.manual_seed(seed)
    pixels = LikelihoodConfig(
        name="gaussian", mean="identity", sigma=sigma, sigma_value=sigma_value
    )
    config = VAEConfig(latent_dim=latent_dim, hidden=(), likelihood=pixels)
    return VAE(config, (D,)).double()


# %% tags=["nbval-check-output"]
solved = linear_vae("fixed", sigma2.sqrt().item())
with torch.no_grad():
    for parameter in solved.parameters():
        parameter.zero_()
    solved.decoder.outputs.weight.copy_(W)
    solved.encoder.mean.weight.copy_(M_inverse @ W.T)
    solved.encoder.log_var.bias.copy_(var[0].log())
    evidence = ppca_log_evidence(centred, *weights(solved))
    same = torch.allclose(linear_elbo(solved, centred), evidence)
print("with the exact posterior, the ELBO is the evidence:", same)

# %% [markdown]
# Now from random weights, by stochastic gradients with one draw per image, as any VAE. The training loop is the
# library's; our loss function reports the exact terms whenever it is evaluated rather than trained.


# %%
from vaelib.training import fit


def linear_loss(model):
    def loss(x, epoch, generator):
        loss = -elbo(model, x, generator=generator)
        if model.training:
            return {"loss": loss}
        evidence = ppca_log_evidence(x, *weights(model))
        return {
            "loss": loss,
            "elbo": linear_elbo(model, x),
            "evidence": evidence,
        }

    return loss


# %%
recipe = TrainingConfig(
    learning_rate=0.01,
    schedule="cosine",
    batch_size=128,
    epochs=linear_epochs,
    device="cpu",
)
linear_model = linear_vae()
loss = linear_loss(linear_model)
watched = {"all": centred}  # evaluated after each epoch
history = fit(linear_model, loss, centred, recipe, seed=seed, held_out=watched)
best_evidence = PCA(latent_dim, svd_solver="full").fit(centred).score(centred)

# %% mystnb={"figure": {"caption": "A linear VAE learns probabilistic PCA. Left: ELBO and exact evidence of the model during training, and the best evidence there is (scikit-learn's PCA.score). Right: the two gaps, on a logarithmic axis. Evidence minus ELBO is the encoder's error, the KL divergence to the true posterior; best minus evidence is the decoder's.", "name": "fig-linear"}, "image": {"alt": "Left: two curves rise and meet a dotted line. Right: on a logarithmic axis one curve falls from hundreds of nats to below one; the other drops at once, rises again and then falls with it."}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
epoch, evidence, bound = (
    history[name] for name in ("epoch", "all_evidence", "all_elbo")
)
left.plot(epoch, evidence, label="evidence of the model")
left.plot(epoch, bound, "--", label="ELBO")
left.axhline(best_evidence, linestyle=":", color=plots.INK, label="PCA.score")
left.set(xlabel="epoch", ylabel="nats per image")
left.set_ylim(best_evidence - 600, best_evidence + 60)
left.legend(loc="lower right")
right.plot(epoch, best_evidence - evidence, label="PCA.score − evidence")
right.plot(epoch, evidence - bound, "--", label="evidence − ELBO")
right.set(xlabel="epoch", ylabel="nats per image", yscale="log")
right.legend()
plt.show()

# %% tags=["remove-input"]
last = history.iloc[-1]
Markdown(
    f"After {linear_epochs} epochs: PCA.score **{best_evidence:.2f}**, evidence of the VAE **{last['all_evidence']:.2f}**, "
    f"ELBO **{last['all_elbo']:.2f}** nats per image. The gap between evidence and ELBO is "
    f"{last['all_evidence'] - last['all_elbo']:.3f} nats, the evidence is {best_evidence - last['all_evidence']:.3f} nats "
    f"below the best. Learned σ: {weights(linear_model)[2].sqrt().item():.4f}; of probabilistic PCA: {sigma2.sqrt():.4f}."
)

# %% [markdown]
# Both gaps all but close. A wrong sign, or a factor lost in one of the two terms, would have shown here.

# %% [markdown]
# ## Which latent dimensions survive
#
# Linear theory also answers the question that we left open: what happens if $\sigma$ is *not* learned? Take one principal
# direction, in which the data have variance $\lambda$, with one latent number of decoder weight $w$. Its evidence is that of
# a Gaussian of variance $w^2 + \sigma^2$. It is best when this variance is the data's, $w^2 = \lambda - \sigma^2$, which
# has a solution only if $\lambda > \sigma^2$. Otherwise the best weight is $w = 0$: the latent number is ignored, its
# posterior is the prior, its KL is zero {cite:p}`lucas2019`.
#
# For a direction that is kept, {eq}`eq-ppca-posterior` reads $\mu = (w / \lambda) \, x$ and $\sigma_q^2 = \sigma^2 / \lambda$.
# The error has two parts, what the mean misses and what the noise of $z$ adds, and they sum up neatly:
# $\lambda (1 - w^2 / \lambda)^2 + w^2 \sigma^2 / \lambda = \sigma^2$. In {eq}`eq-kl` the average of $\mu^2$ is
# $w^2 / \lambda = 1 - \sigma^2 / \lambda$, so that all but the logarithm cancels. The squared error $S_j$ and the KL, or
# *rate*, $R_j$ of direction $j$ are therefore
#
# $$
# S_j = \min(\lambda_j, \sigma^2), \qquad R_j = \max\!\left(0, \tfrac{1}{2} \log \frac{\lambda_j}{\sigma^2}\right)
# \text{ nats}.
# $$ (eq-water)
#
# With a KL weight of $\beta$, put $\beta \sigma^2$ in place of $\sigma^2$: only the product counts. We train linear VAEs with
# several fixed $\sigma$ and count the dimensions that they use.

# %%
from vaelib.evaluation import active_units

found = []
for sigma in (1.0, 0.6, 0.42, 0.3):
    trained = linear_vae("fixed", sigma)
    fit(trained, linear_loss(trained), centred, recipe, seed=seed)
    with torch.no_grad():
        squared, kl = linear_terms(trained, centred)
    active = int(active_units(trained, centred).sum())
    found.append((sigma, active, squared.mean().item(), kl.mean().item()))

# %%
spectrum = torch.linalg.eigvalsh(torch.cov(x_faces.T)).flip(0)  # (D,)
kept, beyond = spectrum[:latent_dim], spectrum[latent_dim:].sum()


def water_filling(sigma):
    """Squared error, and rate in nats, of the best linear VAE at this sigma."""
    squared = kept.clamp(max=sigma**2).sum() + beyond
    rate = 0.5 * torch.log(kept / sigma**2).clamp(min=0).sum()
    return squared.item(), rate.item()


# %% tags=["hide-input"]
rows = {}
for sigma, active, squared, kl in found:
    best_squared, best_rate = water_filling(sigma)
    rows[f"σ = {sigma:.2f}"] = {
        ("dimensions in use", "theory"): int((kept > sigma**2).sum()),
        ("dimensions in use", "trained"): active,
        ("KL (nats)", "theory"): f"{best_rate:.2f}",
        ("KL (nats)", "trained"): f"{kl:.2f}",
        ("squared error", "theory"): f"{best_squared:.2f}",
        ("squared error", "trained"): f"{squared:.2f}",
    }
pd.DataFrame(rows).T

# %% [markdown]
# With $\sigma = 1$, half the plain squared error, most of the latent dimensions are switched off *at the optimum*. That is posterior
# collapse, and no sigmoid is needed to explain it: the variance of a direction must exceed $\sigma^2$ to be worth its code.
# The model of {numref}`fig-linear` needed no cure, as it learned $\sigma$. The diagnosis of real, non-linear VAEs on these data follows
# the same lines.

# %% [markdown]
# ## Reading the two terms as rate and distortion
#
# Equation {eq}`eq-water` is older than VAEs. In information theory it is *reverse water-filling*: the cheapest code
# for a Gaussian source at a given squared error {cite:p}`cover2006`. The correspondence is general
# {cite:p}`alemi2018`. The KL term is a **rate**: the nats that it takes to tell someone who knows the prior which $z$
# belongs to an image. The reconstruction term with its sign changed is a **distortion**. Their sum is $-\mathcal{L}$,
# and $\sigma$ (or $\beta$) is the exchange rate. From {eq}`eq-balance`, the slope of the curve of best trades is
#
# $$
# \frac{\mathrm{d} S}{\mathrm{d} R} = -2 \beta \sigma^2 :
# $$ (eq-slope)
#
# a model with small $\sigma$ pays many nats of rate for a little less error.

# %% mystnb={"figure": {"caption": "Rate and distortion of linear VAEs. The line is the theory for all sigma, the dots are the four trained models of the table, labelled with their sigma. Left end: nothing is encoded, every face is rebuilt as the mean face. Towards the right each further nat buys less.", "name": "fig-rate"}, "image": {"alt": "A falling convex curve of squared error against rate, with four dots on it."}} tags=["hide-input"]
squared, rate = zip(
    *map(water_filling, torch.logspace(0.2, -0.8, 100).tolist()), strict=True
)
fig, ax = plt.subplots()
ax.plot(rate, squared, label="water-filling, theory")
ax.plot(
    [kl for *_, kl in found],
    [error for *_, error, _ in found],
    "o",
    label="trained",
)
for sigma, _, error, kl in found:
    ax.text(kl + 0.15, error + 0.1, rf"$\sigma = {sigma}$")
ax.set(
    xlabel="rate: KL (nats per image)",
    ylabel="distortion: squared error per image",
)
ax.set_ylim(0, None)
ax.legend()
plt.show()

# %% [markdown]
# ## Bits per dimension, honestly
#
# A Gaussian log-density of pixels is measured in nats *relative to the unit of $x$*. It can be positive, and it
# changes when pixels are scaled by 255. Worst of all, it can be driven up without limit: images have only 256 grey
# levels, and a model may put narrower and narrower spikes on them. It gains $\log (1/\sigma)$ per pixel for ever. A
# **probability** of the levels has none of these faults. Integrate the density over each level's bin; with $F$ the
# Gaussian distribution function and level $k \in \{0, \dots, 255\}$,
#
# $$
# P(k \mid z) = F\!\left(\frac{k + \tfrac{1}{2}}{255}\right) - F\!\left(\frac{k - \tfrac{1}{2}}{255}\right),
# $$ (eq-discretised)
#
# where the lowest bin reaches down to $-\infty$ and the highest up to $+\infty$.


# %%
def level_probability(k, m, sigma):
    """P(k|z) of grey level k, with F the Gaussian of mean m and width sigma."""
    F = torch.special.ndtr
    upper = torch.where(k == 255, math.inf, (k + 0.5) / 255)
    lower = torch.where(k == 0, -math.inf, (k - 0.5) / 255)
    return F((upper - m) / sigma) - F((lower - m) / sigma)


# %% tags=["nbval-check-output"]
k = torch.arange(256, dtype=torch.float64)
m = torch.full((256, 1), 0.9, dtype=torch.float64)
P = level_probability(k, m[:, 0], sigma=0.3)  # (256,), one tail beyond white
print("sums to one:", abs(P.sum().item() - 1) < 1e-12)
config = LikelihoodConfig(
    name="discretised-gaussian", mean="identity", sigma="fixed", sigma_value=0.3
)
library = make_likelihood(config).double().log_prob(k[:, None] / 255, m)
print("equals vaelib.likelihoods:", torch.allclose(library, P.log(), rtol=1e-5))

# %% [markdown]
# Multiplied over the pixels and averaged over $z$, this is the probability $P(x)$ of a whole image. Its negative logarithm to
# base 2, divided by the number of pixels $D$, is the number of bits per pixel that a compressor built on the model would need:
# **bits per dimension**. For a $\sigma$ much wider than a bin density and probability are related, $P(x) \approx p(x) \cdot 255^{-D}$:
#
# $$
# \text{bits per dimension} = -\frac{\log_2 P(x)}{D} \;\approx\; -\frac{\log_2 p(x)}{D} + \log_2 255.
# $$ (eq-bits)
#
# To see them part, let a decoder memorise one face, $m = x$, and shrink $\sigma$:

# %% mystnb={"figure": {"caption": "Bits per dimension of a face that the decoder has memorised, against sigma. Down to a few grey levels, density and probability agree. Narrower than about half a grey level (dotted), the density promises fewer than zero bits, without limit; the probability of the levels cannot fall below zero.", "name": "fig-bits"}, "image": {"alt": "Two curves that coincide for large sigma. One goes on falling below zero as sigma shrinks, the other levels off at zero."}} tags=["hide-input"]
levels = (x_faces[0] * 255).round()
widths = torch.logspace(-4, 0, 200, dtype=torch.float64)
face = levels / 255
density = torch.stack(
    [gaussian_pixels_log_prob(face, face, width) for width in widths]
)
levels_p = torch.stack(
    [level_probability(levels, face, width) for width in widths]
)
bits = objectives.bits_per_dim(density, D, density=True)
honest_bits = objectives.bits_per_dim(levels_p.log().sum(-1), D, density=False)
fig, ax = plt.subplots(figsize=(7, 2.9))
ax.plot(widths, bits, label="density")
ax.plot(widths, honest_bits, "--", label="probability of levels")
ax.axvline(likelihoods.HALF_LEVEL, linestyle=":", color=plots.INK)
ax.set(xscale="log", xlabel=r"$\sigma$", ylabel="bits per dimension")
ax.legend()
plt.show()

# %% [markdown]
# This is why the library floors $\sigma$ at half a grey level, and why {doc}`03_training` reports the discretised likelihood
# beside its densities. (Adding uniform noise to the pixels is another remedy: the average log-density of the noisy pixels, with
# levels one unit apart, is a lower *bound* on the log-probability of the levels {cite:p}`theis2016`.) In the linear
# model $\sigma$ is many levels wide, and the conversion {eq}`eq-bits` is safe:

# %% tags=["remove-input"]
x_test = torch.from_numpy(prepared.test).double()
held_out = ppca_log_evidence(x_test, W, b, sigma2).mean()
Markdown(
    f"Probabilistic PCA with {latent_dim} dimensions, held-out faces ({len(x_test)} of them, drawn at random): log p(x) = "
    f"{held_out:.1f} nats = **{objectives.bits_per_dim(held_out, D, density=True):.2f} bits per dimension**. Uncompressed "
    "grey levels take 8."
)

# %% [markdown]
# ## What to remember
#
# - $\log p(x) = \mathcal{L}(x) + \mathrm{KL}(q \,\Vert\, p(z \mid x))$, exactly. The ELBO is a bound because the unknown term
#   cannot be negative.
# - The {term}`reparameterisation` makes one draw per image enough; the KL to a Gaussian prior needs none.
# - Cross-entropy on grey pixels is minus the log-probability of *binarised* images, on average. It belongs to no density of grey
#   ones.
# - For Gaussian pixels $\sigma$ is the weight between the terms. Its best value is the root of the mean squared error;
#   $\sigma = 1$ and means over pixels are strong and silent choices, and can switch latent dimensions off.
# - Sum over pixels, average over images, say nats or bits, and say whether a number is a bound.

# %% [markdown]
# ## Exercises
#
# ```{exercise} Two Gaussians
# :label: ex-two-gaussians
#
# Generalise {eq}`eq-kl` to $\mathrm{KL}(\mathcal{N}(\mu_1, \sigma_1^2) \,\Vert\, \mathcal{N}(\mu_2, \sigma_2^2))$ in one
# dimension, and check it against `torch.distributions`.
# ```
#
# ```{solution-start} ex-two-gaussians
# :class: dropdown
# ```
#
# The same three steps, with $\mathbb{E}_{q}[(z - \mu_2)^2] = \sigma_1^2 + (\mu_1 - \mu_2)^2$, give
# $\log \frac{\sigma_2}{\sigma_1} + \frac{\sigma_1^2 + (\mu_1 - \mu_2)^2}{2 \sigma_2^2} - \frac{1}{2}$.

# %% tags=["nbval-check-output"]
mu_1, sigma_1, mu_2, sigma_2 = torch.tensor([0.3, 0.5, -1.0, 2.0])
apart = (sigma_1**2 + (mu_1 - mu_2) ** 2) / (2 * sigma_2**2)
mine = torch.log(sigma_2 / sigma_1) + apart - 0.5
theirs = kl_divergence(Normal(mu_1, sigma_1), Normal(mu_2, sigma_2))
print("equals torch.distributions:", torch.allclose(mine, theirs))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The gradient for the variance
# :label: ex-log-variance
#
# For a single dimension, write down both estimators of $\partial \, \mathbb{E}_q[f(z)] / \partial s$ with
# $s = \log \sigma^2$. Which one needs $f'$?
# ```
#
# ```{solution} ex-log-variance
# :class: dropdown
#
# Reparameterised: $z = \mu + e^{s/2} \epsilon$, so $\partial z / \partial s = \tfrac{1}{2} \sigma \epsilon$ and the estimator
# is $\tfrac{1}{2} f'(z) \, \sigma \epsilon$. Score function: $\log q = -\tfrac{1}{2} s - \tfrac{1}{2} (z - \mu)^2 e^{-s} + c$,
# so it is $f(z) \cdot \tfrac{1}{2} \left((z - \mu)^2 / \sigma^2 - 1\right)$. Only the first needs $f'$.
# ```
#
# ```{exercise} Grey floor
# :label: ex-floor
#
# What is the smallest value that the sum of binary cross-entropies can take for an image whose pixels are all $1/2$? And
# what does the continuous Bernoulli say of the same image with $y = 1/2$?
# ```
#
# ```{solution} ex-floor
# :class: dropdown
#
# At $y = x = 1/2$ each pixel costs $\log 2$, so $D \log 2$ nats (543.4 for $28 \times 28$ pixels): the entropy of fair
# coins. The continuous Bernoulli divides by the area, $1/2$, and gets $\log p = -D \log 2 + D \log 2 = 0$: with $y = 1/2$ it
# is the uniform density on $[0, 1]$.
# ```
#
# ```{exercise} A weight found in public code
# :label: ex-weight
#
# A popular implementation trains with `mse_loss(output, x) + 0.00025 * kl`, where `mse_loss` averages over pixels and
# images, and `kl` is summed over latent dimensions and averaged over images. Which $\sigma$ does this assume for $3
# \times 64 \times 64$ images, and for images of $28 \times 20$ pixels? Suppose that someone copies either $\sigma$
# into a model of our $28 \times 20$ faces: how many of their directions would a linear VAE keep?
# ```
#
# ```{solution-start} ex-weight
# :class: dropdown
# ```
#
# The last row of the table: $\sigma^2 = w D / 2$.

# %%
for pixels in (3 * 64 * 64, 28 * 20):
    variance = 0.00025 * pixels / 2
    number = int((spectrum > variance).sum())
    print(f"D = {pixels}: sigma = {variance**0.5:.3f}, {number} kept")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A tighter bound
# :label: ex-iwae
#
# Average $K$ importance weights *inside* the logarithm: $\mathcal{L}_K = \mathbb{E}\left[\log \frac{1}{K} \sum_k
# p(x, z_k) / q(z_k \mid x)\right]$ {cite:p}`burda2016`. Show that $\mathcal{L}_1 = \mathcal{L}$ and
# $\mathcal{L}_K \le \log p(x)$, and watch it close in on the evidence of the model with one latent number.
# ```
#
# ```{solution-start} ex-iwae
# :class: dropdown
# ```
#
# $K = 1$ is {eq}`eq-elbo`. The average weight is an unbiased estimate of $p(x)$, since $\mathbb{E}_q[p(x, z) / q(z \mid x)] =
# \int p(x, z) \, \mathrm{d}z$; the logarithm is concave, so by Jensen's inequality the mean of the log lies below the log of
# the mean. The gap $\log p(x) - \mathcal{L}_K$, in nats, over the same 64 test images, from one estimate for each (so the row
# $K = 1$ differs by chance from the exact gap further up):

# %%
bound = objectives.importance_weighted_bound
generator = torch.Generator().manual_seed(seed)
with torch.no_grad():
    for K in (1, 10, 100, 1000):
        parts = [bound(model, part, K, generator) for part in x.split(8)]
        gap = log_evidence - torch.cat(parts)  # (B,)
        mean_gap, median_gap = gap.mean(), gap.median()
        print(f"K = {K:4d}: mean {mean_gap:.2f}, median {median_gap:.4f}")

# %% [markdown]
# The typical gap vanishes quickly. The mean gap closes slowly: it is made by the few images whose posterior the encoder
# misses (the last row of {numref}`fig-posterior`), where even a thousand draws from $q$ never fall in the right place.
#
# ```{solution-end}
# ```
