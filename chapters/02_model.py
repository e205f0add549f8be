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
# 7. How do nats become bits per pixel, and what is an honest number?

# %% tags=["parameters"]
dataset: str = "mnist"  # images for the model with one latent dimension and for Bernoulli pixels
faces: str = "auto"  # images for Gaussian pixels; "auto": frey beside mnist, toyfaces beside anything else
latent_dim: int = 10  # latent dimensions of the linear models
epochs: int = 10  # passes over `dataset` to train the model with one latent dimension
linear_epochs: int = 400  # passes over `faces` to train each linear VAE
draws: int = 8192  # draws of z in the comparison of gradient estimators
seed: int = 0  # of every random draw in this chapter

# %% tags=["remove-cell"]
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import Markdown
from torch.nn import functional as F

from vaelib import book, data, plots

settings = book.parameters(
    globals(),
    at_least={"latent_dim": 1, "epochs": 1, "linear_epochs": 1, "draws": 128, "seed": 0},
)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-input"]
book.banner(data.load(dataset), data.load(faces))

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
# The prior is a plain Gaussian; all knowledge of images sits in the decoder, a neural network with weights $\theta$ that
# turns $z$ into the parameters of a distribution over pixels. To see such a model whole we take the smallest one: **one**
# latent number. Its training is the subject of {doc}`03_training`; here we take it as it comes, trained on binary images
# (each grey pixel was replaced once by a coin toss).

# %%
from vaelib.models import ModelConfig
from vaelib.runs import RunConfig, train_or_load
from vaelib.training import TrainingConfig

run = train_or_load(
    RunConfig(
        data=data.DataConfig(name=dataset, pixels="static"),
        model=ModelConfig(latent_dim=1, hidden=(200,)),
        training=TrainingConfig(epochs=epochs),
        seed=seed,
    )
)
model = run.model.double()

# %% [markdown]
# Equation {eq}`eq-joint` is a recipe: draw $z$, decode it, draw pixels. Instead of drawing we walk along the latent axis
# in steps of equal probability.

# %% mystnb={"figure": {"name": "fig-axis", "caption": "Everything that a model with one latent number can draw: the decoder's mean image along the axis, from small z (upper left) to large z (lower right), in steps of equal prior probability. Neighbours are alike, because the decoder is continuous."}, "image": {"alt": "Two rows of ten images. From left to right one digit shape turns smoothly into another."}}
u = (torch.arange(20, dtype=torch.float64) + 0.5) / 20
z = torch.special.ndtri(u).unsqueeze(-1)  # (20, 1): the inverse of the Gaussian distribution function
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
# images are far below what a computer can store, hence logarithms throughout.

# %%
x = torch.from_numpy(data.prepare(run.config.data).test[:64]).double()  # (B, D), zeros and ones
z = torch.linspace(-8, 8, 4001, dtype=torch.float64).unsqueeze(-1)  # (G, 1)
dz = (z[1] - z[0]).item()
with torch.no_grad():
    outputs = model.decode(z)  # (G, D)
    log_p_x_given_z = torch.stack([model.likelihood.log_prob(image, outputs) for image in x])  # (B, G)
log_p_z = model.prior.log_prob(z)  # (G,)
log_evidence = torch.logsumexp(log_p_x_given_z + log_p_z, dim=1) + math.log(dz)  # (B,)

# %% tags=["remove-input"]
Markdown(
    f"The first test image has log p(x) = **{log_evidence[0]:.2f} nats**: a probability of about "
    f"10 to the power {log_evidence[0] / math.log(10):.0f}. That is small because there are 2 to the power {x.shape[1]} "
    f"binary images of this size; a fair coin for each pixel would give {-x.shape[1] * math.log(2):.1f} nats."
)

# %% [markdown]
# ## Why not simply add it up?
#
# Because a grid with 4,001 points per axis has $4001^Z$ points: with $Z = 20$ latent numbers, $10^{72}$ decodings for a
# single image. The next idea is to guess. Equation {eq}`eq-evidence` is an average over the prior, so draw $z_1, \dots,
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
    """The maximum-likelihood W (D, Z), b (D,) and sigma^2 of probabilistic PCA for images x (N, D)."""
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

# %%
# NBVAL_CHECK_OUTPUT
from sklearn.decomposition import PCA

x_faces = torch.from_numpy(data.prepare(data.DataConfig(name=faces)).train).double()  # (N, D)
W, b, sigma2 = ppca(x_faces, latent_dim)
theirs = PCA(latent_dim, svd_solver="full").fit(x_faces).score_samples(x_faces)
ours = ppca_log_evidence(x_faces, W, b, sigma2)
print("our evidence is scikit-learn's:", torch.allclose(ours, torch.from_numpy(theirs), rtol=1e-8))

# %% [markdown]
# Now guess the evidence of 16 faces from prior draws, for models with more and more latent dimensions, and compare with
# {eq}`eq-ppca`.


# %%
def guess_log_evidence(x, W, b, sigma2, z):
    """Equation (eq-naive) for the first 1, 2, ..., N draws of z (N, Z), nats: (B, D) -> (B, N)."""
    D = len(b)
    squared = torch.cat([torch.cdist(x, part @ W.T + b).square() for part in z.split(10_000)], dim=1)  # (B, N)
    log_p_x_given_z = -0.5 * (squared / sigma2 + D * torch.log(2 * math.pi * sigma2))
    return torch.logcumsumexp(log_p_x_given_z, dim=1) - torch.arange(1, len(z) + 1).log()


# %%
N = 100_000
shortfall = {}
for Z in sorted({1, 2, 5, latent_dim}):
    parameters = ppca(x_faces, Z)
    z = torch.randn(N, Z, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    truth = ppca_log_evidence(x_faces[:16], *parameters)
    shortfall[Z] = (truth[:, None] - guess_log_evidence(x_faces[:16], *parameters, z)).mean(0)  # (N,)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-naive", "caption": "Guessing from the prior. How many nats the estimate of the log-evidence falls short of the truth, against the number of prior draws, as a mean over 16 faces. With one latent dimension a thousand draws are enough; with each further dimension the guesses that matter become rarer."}, "image": {"alt": "Curves that fall with the number of draws. The one for a single latent dimension reaches zero, those for more dimensions end ever higher."}}
n = torch.logspace(0, math.log10(N), 60).long().unique()
fig, ax = plt.subplots()
for Z, gap in shortfall.items():
    ax.plot(n, gap[n - 1], label=f"Z = {Z}")
top = 3 * max(10, *(gap[-1].item() for gap in shortfall.values()))
ax.set(xscale="log", xlabel="draws from the prior", ylabel="shortfall (nats per image)", xlim=(1, N), ylim=(-1, top))
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
# The denominator is the integral that we could not do. That is all that "the posterior is intractable" means: to know the
# posterior is to know the evidence. Turned around, it says more: $\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z
# \mid x)$ for **every** $z$. Where the posterior is known, a single guess, even a bad one, gives the evidence without
# error. For probabilistic PCA it is known, a Gaussian as well, with $M = W^\top W + \sigma^2 I$:
#
# $$
# p(z \mid x) = \mathcal{N}\!\left(z;\; M^{-1} W^\top (x - b),\; \sigma^2 M^{-1}\right).
# $$ (eq-ppca-posterior)

# %%
M = W.T @ W + sigma2 * torch.eye(latent_dim)  # (Z, Z); diagonal, as the columns of W are orthogonal
mean = (x_faces - b) @ W @ torch.linalg.inv(M)  # (N, Z)
var = (sigma2 / M.diagonal()).expand_as(mean)  # (N, Z)

# %%
# NBVAL_CHECK_OUTPUT
from torch.distributions import Normal

z = torch.zeros_like(mean)  # any z will do
log_joint = Normal(z @ W.T + b, sigma2.sqrt()).log_prob(x_faces).sum(-1) + Normal(0, 1).log_prob(z).sum(-1)
log_posterior = Normal(mean, var.sqrt()).log_prob(z).sum(-1)
print("one guess gives the evidence:", torch.allclose(log_joint - log_posterior, ours))

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
# sums over the grid:

# %%
from vaelib.objectives import gaussian_log_prob

with torch.no_grad():
    mean_1d, log_var_1d = model.encode(x)  # (B, 1), (B, 1)
z = torch.linspace(-8, 8, 4001, dtype=torch.float64).unsqueeze(-1)
log_q = gaussian_log_prob(z, mean_1d[:, None], log_var_1d[:, None])  # (B, G)
log_joint = log_p_x_given_z + log_p_z
log_posterior = log_joint - log_evidence[:, None]

# %%
q = log_q.exp()
exact_elbo = (q * (log_joint - log_q)).sum(1) * dz  # (B,)
kl_to_posterior = (q * (log_q - log_posterior)).sum(1) * dz  # (B,)

# %% tags=["remove-input"]
ranks = [int(part * (len(x) - 1)) for part in (0.1, 0.5, 0.9, 1)]
shown = kl_to_posterior.argsort()[ranks]
columns = {
    "log p(x)": log_evidence,
    "ELBO": exact_elbo,
    "KL(q || posterior)": kl_to_posterior,
    "log p(x) − ELBO − KL": log_evidence - exact_elbo - kl_to_posterior,
}
table = pd.DataFrame({name: column[shown].numpy() for name, column in columns.items()})
table.index = pd.Index(["gap small (10 %)", "median", "large (90 %)", "largest"], name="test image")
table.style.format("{:.2f}").format("{:.0e}", subset=["log p(x) − ELBO − KL"])

# %%
# NBVAL_CHECK_OUTPUT
print("it adds up:", torch.allclose(log_evidence, exact_elbo + kl_to_posterior, rtol=1e-6))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-posterior", "caption": "The true posterior, by brute force, and the encoder's Gaussian for the four test images of the table. The gap between bound and evidence is the divergence of the dashed curve from the solid one. In the last row the encoder, which must answer for every image with one network, looks in the wrong place."}, "image": {"alt": "Four rows, each with a digit and two bell curves over z. In the upper rows solid and dashed curves nearly coincide; in the last one they lie apart."}}
fig, axes = plt.subplots(4, 2, figsize=(7, 5.2), width_ratios=(1, 7))
for i, (picture, ax) in zip(shown, axes, strict=True):
    plots.image_grid(x[i : i + 1].numpy(), model.image_shape, ax=picture)
    ax.plot(z, log_posterior[i].exp(), label="posterior p(z|x)")
    ax.plot(z, q[i], "--", label="encoder q(z|x)")
    spread = 5 * math.exp(0.5 * log_var_1d[i])
    ax.set(yticks=[], xlim=(z[log_posterior[i].argmax()].item(), mean_1d[i].item()))
    ax.set_xlim(min(ax.get_xlim()) - spread, max(ax.get_xlim()) + spread)
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
# Maximising $\mathcal{L}$ over $\theta$ and $\phi$ together therefore does two things at once: it raises the evidence, and
# it tightens the bound. One network that encodes every image (*amortised* inference) is what makes it cheap, and what
# leaves the odd image badly served {cite:p}`cremer2018`.
#
# :::{admonition} Which sign is this?
# :class: important
# - $\mathcal{L}$, `elbo`: higher is better, a **lower** bound on $\log p(x)$.
# - $-\mathcal{L}$, the loss: lower is better, an **upper** bound on $-\log p(x)$. It is not the negative log-likelihood.
# - `reconstruction` $= \mathbb{E}_q[\log p(x \mid z)]$: at most 0 for binary pixels. For Gaussian pixels it is a density
#   and may well be positive.
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
    """KL(N(mean, e^log_var) || N(0, 1)) of each dimension, nats: (B, Z), (B, Z) -> (B, Z)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


# %% [markdown]
# Against the definition, with more and more draws; the error of a Monte Carlo average should shrink like one over the
# square root of their number:

# %% tags=["hide-input"]
generator = torch.Generator().manual_seed(seed)
mu, log_s2 = torch.tensor([0.8]).double(), torch.tensor([-2.0]).double()
rows = []
for n in (100, 10_000, 1_000_000):
    z = mu + torch.exp(0.5 * log_s2) * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    sample = gaussian_log_prob(z, mu, log_s2) - gaussian_log_prob(z, torch.zeros(1), torch.zeros(1))
    rows.append((f"{n:,}", sample.mean().item(), sample.std().item() / n**0.5, gaussian_kl(mu, log_s2).item()))
table = pd.DataFrame(rows, columns=["draws", "Monte Carlo (nats)", "± standard error", "closed form (nats)"])
table.style.format(precision=4).hide(axis="index")

# %% [markdown]
# And against two other implementations, the second of which the rest of the book uses:

# %%
# NBVAL_CHECK_OUTPUT
from torch.distributions import kl_divergence

from vaelib import objectives

m, log_v = torch.linspace(-3, 3, 60).reshape(20, 3), torch.linspace(-4, 2, 60).reshape(20, 3)
reference = kl_divergence(Normal(m, torch.exp(0.5 * log_v)), Normal(0, 1))
print("equals torch.distributions:", torch.allclose(gaussian_kl(m, log_v), reference, atol=1e-6))
print("equals vaelib.objectives:", torch.equal(gaussian_kl(m, log_v), objectives.gaussian_kl(m, log_v)))

# %% [markdown]
# ## Gradients through a draw
#
# The reconstruction term of {eq}`eq-terms` is an average $\mathbb{E}_{q_\phi}[f(z)]$ with $f(z) = \log p_\theta(x \mid
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
    epsilon = torch.randn((samples, *mean.shape), generator=generator, dtype=mean.dtype)
    return mean + torch.exp(0.5 * log_var) * epsilon


# %%
# NBVAL_CHECK_OUTPUT
mine = reparameterise(m, log_v, 5, torch.Generator().manual_seed(1))
library = objectives.reparameterise(m, log_v, 5, torch.Generator().manual_seed(1))
print("equals vaelib.objectives:", torch.equal(mine, library))

# %% [markdown]
# Both are unbiased. The difference is their noise, and the linear model lets us measure it against the true gradient: for
# one face, take $q$ to be the exact posterior {eq}`eq-ppca-posterior` and differentiate with respect to its mean $\mu$.
# With $f(z) = \log \mathcal{N}(x; W z + b, \sigma^2 I)$ the exact answer is $W^\top (x - b - W \mu) / \sigma^2$.

# %%
x0, mu, s2 = x_faces[0], mean[0], var[0]  # a face (D,), the mean (Z,) and variance (Z,) of q


def f(z):
    return Normal(z @ W.T + b, sigma2.sqrt()).log_prob(x0).sum(-1)  # (S, Z) -> (S,)


exact = W.T @ (x0 - b - W @ mu) / sigma2  # (Z,)

# %% [markdown]
# One gradient per draw, three times: the reparameterised one by automatic differentiation, the score function's with
# $\nabla_\mu \log q = (z - \mu) / \sigma_q^2$, and the latter after subtracting a constant from $f$. A constant *baseline*
# changes no mean, as $\mathbb{E}_q[\nabla \log q] = 0$, and is the simplest of many ways to calm the score function
# {cite:p}`mohamed2020`.

# %%
generator = torch.Generator().manual_seed(seed)
mu_of_draw = mu.expand(draws, -1).clone().requires_grad_()  # a mean for each draw, to get a gradient for each
z = reparameterise(mu_of_draw, s2.log(), generator=generator)[0]  # (draws, Z)
(pathwise,) = torch.autograd.grad(f(z).sum(), mu_of_draw)  # (draws, Z)

# %%
z = z.detach()
score = f(z)[:, None] * (z - mu) / s2  # (draws, Z)
baseline = f(reparameterise(mu[None], s2.log()[None], 1000, generator)[:, 0]).mean()  # from draws of its own
score_with_baseline = (f(z) - baseline)[:, None] * (z - mu) / s2  # (draws, Z)

# %% tags=["hide-input"]
estimators = {
    "score function": score,
    "score function, with baseline": score_with_baseline,
    "reparameterised": pathwise,
}
rows = {}
for name, g in estimators.items():
    error = g.std(0) / draws**0.5
    rows[name] = {
        "variance of one draw": g.var(0).sum().item(),
        "ratio to reparameterised": (g.var(0).sum() / pathwise.var(0).sum()).item(),
        "largest error of the mean, in standard errors": ((g.mean(0) - exact) / error).abs().max().item(),
    }
table = pd.DataFrame(rows).T
table.style.format("{:.3g}")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-gradients", "caption": "Variance of three estimators of the same gradient (summed over its entries) against the number of draws that are averaged. All three fall like one over the number of draws, so the vertical distance is the number of draws that one reparameterised draw is worth."}, "image": {"alt": "Three parallel falling lines on logarithmic axes: the score function far above, the one with a baseline in between, the reparameterised one far below."}}
counts = [2**k for k in range(8)]
fig, ax = plt.subplots()
for name, g in estimators.items():
    averaged = [g[: draws // n * n].reshape(-1, n, latent_dim).mean(1).var(0).sum() for n in counts]
    ax.plot(counts, averaged, "o-", label=name)
ax.set(xscale="log", yscale="log", xlabel="draws averaged, $L$", ylabel="variance of the gradient")
ax.set_xticks(counts, counts)
ax.minorticks_off()
ax.legend()
plt.show()

# %% tags=["remove-input"]
plain, with_baseline = ((g.var(0).sum() / pathwise.var(0).sum()).item() for g in (score, score_with_baseline))
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
    """A draw of the evidence lower bound of each image, nats: (B, D) -> (B,)."""
    mean, log_var = model.encode(x)  # (B, Z), (B, Z)
    z = reparameterise(mean, log_var, samples, generator)  # (L, B, Z)
    reconstruction = model.likelihood.log_prob(x, model.decode(z)).mean(0)  # (B,)
    kl = gaussian_kl(mean, log_var).sum(-1)  # (B,)
    return reconstruction - kl


# %% [markdown]
# That is all there is to a VAE's objective. The library's version returns the two terms beside their difference, and can
# estimate the KL by Monte Carlo too:

# %%
# NBVAL_CHECK_OUTPUT
mine = elbo(model, x, 3, torch.Generator().manual_seed(1))
library = objectives.elbo(model, x, samples=3, generator=torch.Generator().manual_seed(1))
print("equals vaelib.objectives:", torch.equal(mine, library.elbo))
print("elbo = reconstruction - kl:", torch.equal(library.elbo, library.reconstruction - library.kl))

# %% [markdown]
# It is unbiased for every $L$: its mean must be the ELBO that we got from the grid. One thousand repeats for the first
# test image:

# %% tags=["hide-input"]
generator = torch.Generator().manual_seed(seed)
rows = []
for L in (1, 10, 100):
    with torch.no_grad():
        repeats = torch.stack([elbo(model, x[:1], L, generator)[0] for _ in range(1000)])
    rows.append(
        (L, repeats.mean().item(), repeats.std().item() / 1000**0.5, exact_elbo[0].item(), repeats.std().item())
    )
columns = ["draws L", "mean (nats)", "± standard error", "from the grid (nats)", "spread of one estimate (nats)"]
pd.DataFrame(rows, columns=columns).style.format(precision=3).hide(axis="index")

# %% [markdown]
# A subtlety for later. Sampling the KL as well ({cite:t}`kingma2014`, equation 6) sounds like needless noise, and
# early in training it is. But near the optimum the noise of the two terms cancels: with $q$ equal to the posterior,
# $\log p(x, z) - \log q(z \mid x) = \log p(x)$ is the same number for every draw, as we saw with probabilistic PCA
# {cite:p}`roeder2017`. For one face and $q$ the exact posterior:

# %%
z = reparameterise(mean[:1], var[:1].log(), 1000, torch.Generator().manual_seed(seed))[:, 0]  # (1000, Z)
log_q_z = Normal(mu, s2.sqrt()).log_prob(z).sum(-1)
sampled_kl = f(z) + Normal(0, 1).log_prob(z).sum(-1) - log_q_z
analytic_kl = f(z) - gaussian_kl(mean[:1], var[:1].log()).sum()

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
    """log p(x|z) of binary pixels in nats, from logits a: (B, D), (B, D) -> (B,)."""
    return (x * a - F.softplus(a)).sum(-1)


# %%
# NBVAL_CHECK_OUTPUT
from torch.distributions import Bernoulli

from vaelib import likelihoods

a = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double() * 3
reference = Bernoulli(logits=a).log_prob(x).sum(-1)
print("equals torch.distributions:", torch.allclose(bernoulli_log_prob(x, a), reference))
print("equals vaelib.likelihoods:", torch.allclose(bernoulli_log_prob(x, a), likelihoods.Bernoulli().log_prob(x, a)))

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
area = (2 * y - 1) / torch.logit(y)  # never evaluated at y = 1/2, where the limit is 1/2
grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
by_hand = torch.trapezoid(y[:, None] ** grid * (1 - y[:, None]) ** (1 - grid), grid)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-grey", "caption": "The Bernoulli expression is no density of grey pixels. Left: its value over the grey level x, for four decoder outputs y; none of these curves has area 1. Right: the area, by formula and by summing up, is at most one half."}, "image": {"alt": "Left: four exponential curves over the grey level between 0 and 1. Right: an arch over y that peaks at one half."}}
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9))
for level in (0.05, 0.3, 0.7, 0.95):
    left.plot(grid, level**grid * (1 - level) ** (1 - grid), label=f"y = {level}")
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

# %%
# NBVAL_CHECK_OUTPUT
from torch.distributions import ContinuousBernoulli

grey = torch.tensor(0.3, dtype=torch.float64)
y_lo = y[y < 0.49]  # torch uses a Taylor series near one half
ours_cb = bernoulli_log_prob(grey.expand(len(y_lo), 1), torch.logit(y_lo)[:, None]) - area[: len(y_lo)].log()
theirs_cb = ContinuousBernoulli(probs=y_lo).log_prob(grey)
print("equals torch.distributions:", torch.allclose(ours_cb, theirs_cb, atol=1e-6))

# %% [markdown]
# So is a book full of grey "ELBOs" meaningless? No, for a reason that is seldom stated. Equation {eq}`eq-bernoulli` is
# *linear in x*, so that its value at a grey image is its average over the binary images that one gets by tossing a coin
# with probability $x_i$ for each pixel:
#
# $$
# \log p(x \mid z)\big|_{x \text{ grey}} = \mathbb{E}_{b \sim \mathrm{Bernoulli}(x)}\!\left[\log p(b \mid z)\right]
# \quad\Longrightarrow\quad
# \mathcal{L}(x) \le \mathbb{E}_{b \sim \mathrm{Bernoulli}(x)}\!\left[\log p(b)\right].
# $$ (eq-grey)
#
# The ELBO of a grey image is a valid bound on the average log-probability of its binarisations, with an encoder that sees
# the grey original. It is *not* a bound on any log-density of the grey image itself, and must not be compared with numbers
# from binarised MNIST, where the encoder sees $b$, or with Gaussian ones.

# %%
x_grey = torch.from_numpy(data.prepare(data.DataConfig(name=dataset)).test[:64]).double()
coins = torch.bernoulli(x_grey.expand(2000, *x_grey.shape), generator=torch.Generator().manual_seed(seed))
tossed = torch.stack([bernoulli_log_prob(b_, a) for b_ in coins]).mean(0)  # (B,)
linear = bernoulli_log_prob(x_grey, a)  # (B,)

# %% tags=["remove-input"]
entropy = torch.special.entr(x_grey) + torch.special.entr(1 - x_grey)
Markdown(
    f"For the first test image and random logits: {linear[0]:.2f} nats at the grey image, {tossed[0]:.2f} as the average "
    "over 2,000 binarisations. \n\nGrey pixels also have a floor. Even a decoder that returns every pixel exactly, y = x, "
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
    return -0.5 * ((x - m).square() / sigma**2 + torch.log(2 * math.pi * sigma**2)).sum(-1)


# %%
# NBVAL_CHECK_OUTPUT
width = torch.tensor(0.2, dtype=torch.float64)
config = likelihoods.LikelihoodConfig(name="gaussian", mean="sigmoid", sigma="fixed", sigma_value=0.2)
gaussian = likelihoods.make_likelihood(config)
mine = gaussian_pixels_log_prob(x_grey, torch.sigmoid(a), width)
print("equals torch.distributions:", torch.allclose(mine, Normal(torch.sigmoid(a), width).log_prob(x_grey).sum(-1)))
print("equals vaelib.likelihoods:", torch.allclose(mine, gaussian.log_prob(x_grey, a), rtol=1e-5))

# %% [markdown]
# The last line passed the outputs through a sigmoid: $m = \mathrm{sigmoid}(a)$. {cite:t}`kingma2014` did the same for
# Frey Faces, "the means were constrained to the interval (0,1) using a sigmoidal activation function at the decoder
# output". What does it change? First, without it the mean may leave the range of pixels, where no image ever is. How
# often does that happen to the linear model, which has no sigmoid?

# %%
rebuilt = mean @ W.T + b  # (N, D): the mean image at the posterior's mean
imagined = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed), dtype=mean.dtype) @ W.T + b
outside = [((images < 0) | (images > 1)).double().mean().item() for images in (rebuilt, imagined)]

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

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-sigmoid", "caption": "The gradient of the loss with respect to one decoder output, for a pixel that is black (x = 0) and sigma = 1. Without a sigmoid it grows without bound; a Gaussian with sigmoid means forgives outputs that are badly wrong (far right); a Bernoulli does not. Lines are automatic differentiation of the library, dots the formulas."}, "image": {"alt": "Three curves over the decoder output from minus 8 to 8: a straight line, a small bump near 1, and a curve that rises from zero to one."}}
a_1 = torch.linspace(-8, 8, 161, dtype=torch.float64)[:, None].requires_grad_()
s = torch.sigmoid(a_1).detach()
choices = {
    "Gaussian, no sigmoid": ({"name": "gaussian", "mean": "identity"}, a_1.detach()),
    "Gaussian, sigmoid": ({"name": "gaussian", "mean": "sigmoid"}, s * s * (1 - s)),
    "Bernoulli": ({"name": "bernoulli"}, s),
}
fig, ax = plt.subplots(figsize=(7, 2.9))
for name, (choice, formula) in choices.items():
    config = likelihoods.LikelihoodConfig(**choice, sigma="fixed", sigma_value=1.0)
    likelihood = likelihoods.make_likelihood(config).double()
    (slope,) = torch.autograd.grad(-likelihood.log_prob(torch.zeros_like(a_1), a_1).sum(), a_1)
    (line,) = ax.plot(a_1.detach(), slope, label=name)
    ax.plot(a_1.detach()[::10], formula[::10], "o", color=line.get_color())
ax.set(xlabel="decoder's output $a$", ylabel=r"$-\partial \log p \, / \, \partial a$", ylim=(-1.5, 1.5))
ax.legend()
plt.show()

# %% [markdown]
# A sigmoid is thus sensible. The report goes further and credits it with curing blurred and collapsed Frey faces
# {cite:p}`report2025`. Before believing that, look at the other constant in {eq}`eq-gaussian`.

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
# the KL with it. (If the decoder says a $\sigma$ for each pixel, as in {cite:t}`kingma2014` on Frey Faces, the same
# argument holds pixel by pixel, and a pixel that is easy to predict can drag its own $\sigma$ towards zero.) Check it on the
# faces: the code is the exact posterior of the linear model, and the variance of the
# decoded draws is part of $S$.

# %%
D = x_faces.shape[1]
S = ((x_faces - rebuilt).square().sum(-1) + (var @ W.square().sum(0))).mean()  # per image
sigmas = torch.logspace(-2, 0.3, 400, dtype=torch.float64)
minus_reconstruction = S / (2 * sigmas**2) + D / 2 * torch.log(2 * math.pi * sigmas**2)
best = sigmas[minus_reconstruction.argmin()]

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-sigma", "caption": "The reconstruction term of the loss for one and the same set of reconstructed faces, against sigma. The minimum lies at the root of the mean squared error (dotted). At sigma = 1, plain squared error, the same reconstructions cost hundreds of nats more, and the KL term weighs hundreds of times more against them."}, "image": {"alt": "A curve that falls steeply, has its minimum near 0.06, and rises slowly towards sigma of 2."}}
fig, ax = plt.subplots(figsize=(7, 2.9))
ax.plot(sigmas, minus_reconstruction)
ax.axvline((S / D).sqrt(), linestyle=":", color=plots.INK)
ax.plot([1.0], [(S / 2 + D / 2 * math.log(2 * math.pi)).item()], "o", color=plots.COLOURS["rose"])
ax.annotate(
    r"$\sigma = 1$", (1, S / 2 + D / 2 * math.log(2 * math.pi)), xytext=(-8, 6), textcoords="offset points", ha="right"
)
ax.set(xscale="log", xlabel=r"$\sigma$", ylabel="$-$reconstruction (nats per image)")
ax.set_ylim(minus_reconstruction.min() - 150, minus_reconstruction.min() + 2500)
plt.show()

# %% tags=["remove-input"]
excess = (S / 2 + D / 2 * math.log(2 * math.pi) - minus_reconstruction.min()).item()
Markdown(
    f"Best σ on a grid: {best:.4f}; root of the mean squared error: **{(S / D).sqrt():.4f}**. At σ = 1 the same "
    f"reconstructions cost {excess:.0f} nats more, and one nat of KL weighs {(1 / (S / D)).item():.0f} times as much "
    "against the squared error."
)

# %% [markdown]
# ### Sum or mean over pixels?
#
# Code in the wild averages over pixels as often as it sums. The likelihood of an image is a *product* over pixels, so its
# logarithm is a **sum**; averaging divides the reconstruction by $D$ but not the KL:
#
# $$
# \underbrace{\frac{1}{D} \sum_i \ell_i + \mathrm{KL}}_{\text{mean over pixels}}
# = \frac{1}{D} \Bigl(\sum_i \ell_i + D \cdot \mathrm{KL}\Bigr).
# $$ (eq-mean)
#
# The mean over pixels is the sum with a KL weight of $\beta = D$ {cite:p}`higgins2017`. Common ways to write the loss,
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

# %%
# NBVAL_CHECK_OUTPUT
draw = torch.Generator().manual_seed(0)
target, output = (torch.rand(1, 560, generator=draw, dtype=torch.float64) for _ in range(2))
kl, w = torch.tensor(17.0), 0.01
in_the_wild = F.mse_loss(output, target) + w * kl  # the mean over pixels
sigma_squared = torch.tensor(w * 560 / 2)
derived = -gaussian_pixels_log_prob(target, output, sigma_squared.sqrt()) + kl
constant = 560 / 2 * torch.log(2 * math.pi * sigma_squared)
print("same loss, but for a factor and a constant:", torch.allclose(in_the_wild / w, derived - constant))

# %% [markdown]
# ## A VAE whose evidence is known
#
# Everything so far was checked piece by piece. Now the whole: take a VAE with a *linear* decoder, a *linear* encoder and a
# learned $\sigma$. Its evidence is that of probabilistic PCA, {eq}`eq-ppca`, its best possible value is
# {eq}`eq-ppca-ml`, and the true posterior {eq}`eq-ppca-posterior` is within the encoder's reach if the columns of $W$
# are orthogonal, for then $M$ is diagonal. So theory predicts that training ends
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
    """Expected squared error, and KL, of each image under a linear VAE, without sampling: two of (B,)."""
    W, b, _ = weights(model)
    mean, log_var = model.encode(x)
    squared = (x - mean @ W.T - b).square().sum(-1) + log_var.exp() @ W.square().sum(0)
    return squared, gaussian_kl(mean, log_var).sum(-1)


# %%
def linear_elbo(model, x):
    """The ELBO of a linear VAE in nats, without sampling: (B, D) -> (B,)."""
    squared, kl = linear_terms(model, x)
    _, b, sigma2 = weights(model)
    return -0.5 * (squared / sigma2 + len(b) * torch.log(2 * math.pi * sigma2)) - kl


# %% [markdown]
# First without training: put the known solution into a VAE by hand. We subtract the mean face, so that $b = 0$.

# %%
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE

centred = x_faces - x_faces.mean(0)


def linear_vae(sigma="shared", sigma_value=0.3):
    """A VAE of `latent_dim` dimensions with no hidden layer and Gaussian pixels without a sigmoid."""
    torch.manual_seed(seed)
    pixels = LikelihoodConfig(name="gaussian", mean="identity", sigma=sigma, sigma_value=sigma_value)
    return VAE(ModelConfig(latent_dim=latent_dim, hidden=(), likelihood=pixels), (D,)).double()


# %%
# NBVAL_CHECK_OUTPUT
by_hand = linear_vae("fixed", sigma2.sqrt().item())
with torch.no_grad():
    for parameter in by_hand.parameters():
        parameter.zero_()
    by_hand.decoder.outputs.weight.copy_(W)
    by_hand.encoder.mean.weight.copy_(torch.linalg.inv(M) @ W.T)
    by_hand.encoder.log_var.bias.copy_((sigma2 / M.diagonal()).log())
    gap = ppca_log_evidence(centred, *weights(by_hand)) - linear_elbo(by_hand, centred)
print("the ELBO of the exact posterior is the evidence:", gap.abs().max().item() < 1e-6)

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
        return {"loss": loss, "elbo": linear_elbo(model, x), "evidence": ppca_log_evidence(x, *weights(model))}

    return loss


# %%
recipe = TrainingConfig(learning_rate=0.01, schedule="cosine", batch_size=128, epochs=linear_epochs, device="cpu")
linear_model = linear_vae()
history = fit(linear_model, linear_loss(linear_model), centred, recipe, seed=seed, held_out={"all": centred})
best_evidence = PCA(latent_dim, svd_solver="full").fit(centred).score(centred)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-linear", "caption": "A linear VAE learns probabilistic PCA. Left: ELBO and exact evidence of the model during training, and the best evidence there is (scikit-learn's PCA.score). Right: the two gaps, on a logarithmic axis. Evidence minus ELBO is the encoder's error, the KL divergence to the true posterior; best minus evidence is the decoder's."}, "image": {"alt": "Left: two curves rise and meet a dotted line. Right: two falling curves on a logarithmic axis, from hundreds of nats to below one."}}
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
left.plot(history["epoch"], history["all_evidence"], label="evidence of the model")
left.plot(history["epoch"], history["all_elbo"], "--", label="ELBO")
left.axhline(best_evidence, linestyle=":", color=plots.INK, label="PCA.score")
left.set(xlabel="epoch", ylabel="nats per image", ylim=(best_evidence - 600, best_evidence + 60))
left.legend(loc="lower right")
right.plot(history["epoch"], best_evidence - history["all_evidence"], label="PCA.score − evidence")
right.plot(history["epoch"], history["all_evidence"] - history["all_elbo"], "--", label="evidence − ELBO")
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
# Both gaps close. A wrong sign or a lost factor in the objective, the estimator or the training loop would have shown here.

# %% [markdown]
# ## Which latent dimensions survive
#
# Linear theory also answers the question that we left open: what happens if $\sigma$ is *not* learned? Solve the linear VAE
# for a fixed $\sigma$, one principal direction at a time {cite:p}`lucas2019`. A direction whose data have variance
# $\lambda_j$ is kept if $\lambda_j > \sigma^2$, and is otherwise dropped: $w_j = 0$, and the encoder returns the prior. Its
# squared error $S_j$ and its KL, or *rate*, $R_j$ are
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

spectrum = torch.linalg.eigvalsh(torch.cov(x_faces.T)).flip(0)  # (D,)
eigenvalues, beyond = spectrum[:latent_dim], spectrum[latent_dim:].sum().item()  # with and without a latent dimension
found = []
for sigma in (1.0, 0.6, 0.42, 0.3):
    trained = linear_vae("fixed", sigma)
    fit(trained, linear_loss(trained), centred, recipe, seed=seed)
    with torch.no_grad():
        squared, kl = linear_terms(trained, centred)
    found.append((sigma, int(active_units(trained, centred).sum()), squared.mean().item(), kl.mean().item()))


# %%
def water_filling(sigma):
    """Squared error, and rate in nats, of the best linear code at this sigma, both summed over directions."""
    squared = eigenvalues.clamp(max=sigma**2).sum().item() + beyond
    return squared, 0.5 * (eigenvalues / sigma**2).log().clamp(min=0).sum().item()


# %% tags=["hide-input"]
rows = []
for sigma, active, squared, kl in found:
    predicted = int((eigenvalues > sigma**2).sum())
    rows.append((sigma, predicted, active, water_filling(sigma)[1], kl, water_filling(sigma)[0], squared))
columns = pd.MultiIndex.from_tuples(
    [
        ("σ", ""),
        *[(of, who) for of in ("dimensions in use", "KL (nats)", "squared error") for who in ("theory", "trained")],
    ]
)
pd.DataFrame(rows, columns=columns).style.format(precision=2).hide(axis="index")

# %% [markdown]
# With $\sigma = 1$, plain squared error, most of the latent dimensions are switched off *at the optimum*. That is posterior
# collapse, and no sigmoid is needed to explain it: the variance of a direction must exceed $\sigma^2$ to be worth its code.
# {numref}`fig-linear` needed no cure, as it learned $\sigma$. The diagnosis of real, non-linear VAEs on these data follows
# the same lines.

# %% [markdown]
# ## Reading the two terms as rate and distortion
#
# Equation {eq}`eq-water` is older than VAEs. In information theory it is *reverse water-filling*: the cheapest code for a
# Gaussian source at a given squared error {cite:p}`cover2006`. The correspondence is general
# {cite:p}`alemi2018`: the KL term is a **rate**, the nats that it takes to say which $z$ belongs to an image to someone
# who knows the prior; minus the reconstruction term is a **distortion**; $-\mathcal{L}$ is their sum, and $\sigma$ (or
# $\beta$) is the exchange rate. From {eq}`eq-balance`, the slope of the curve of best trades is
#
# $$
# \frac{\mathrm{d} S}{\mathrm{d} R} = -2 \beta \sigma^2 :
# $$ (eq-slope)
#
# a model with small $\sigma$ pays many nats of rate for a little less error.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-rate", "caption": "Rate and distortion of linear VAEs. The line is the theory for all sigma, the dots are the four trained models of the table, labelled with their sigma. Left end: nothing is encoded, every face is rebuilt as the mean face. Towards the right each halving of the error costs more nats."}, "image": {"alt": "A falling convex curve of squared error against rate, with four dots on it."}}
line = [water_filling(sigma) for sigma in torch.logspace(0.2, -0.8, 100, dtype=torch.float64).tolist()]
fig, ax = plt.subplots()
ax.plot([rate for _, rate in line], [squared for squared, _ in line], label="water-filling, theory")
ax.plot([kl for *_, kl in found], [squared for *_, squared, _ in found], "o", label="trained")
for sigma, _, squared, kl in found:
    ax.annotate(rf"$\sigma = {sigma}$", (kl, squared), xytext=(6, 5), textcoords="offset points")
ax.set(xlabel="rate: KL (nats per image)", ylabel="distortion: squared error per image", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# ## Bits per dimension, honestly
#
# A Gaussian density of pixels is measured in nats *relative to the unit of $x$*. It can be positive, it changes when pixels
# are scaled by 255, and, worst of all, it can be driven up without limit: images have 256 grey levels, so a model that
# puts narrower and narrower spikes on the levels gains $\log (1/\sigma)$ per pixel for ever. A **probability** of the
# levels has none of these faults. Integrate the density over each level's bin; with $F$ the Gaussian distribution function
# and level $k \in \{0, \dots, 255\}$,
#
# $$
# P(k \mid z) = F\!\left(\frac{k + \tfrac{1}{2}}{255}\right) - F\!\left(\frac{k - \tfrac{1}{2}}{255}\right),
# $$ (eq-discretised)
#
# where the lowest bin reaches down to $-\infty$ and the highest up to $+\infty$.


# %%
def level_probability(k, m, sigma):
    """P(k|z) of grey level k for a Gaussian of mean m and width sigma, the outer bins being open: (...) -> (...)."""
    upper = torch.where(k == 255, math.inf, (k + 0.5) / 255)
    lower = torch.where(k == 0, -math.inf, (k - 0.5) / 255)
    return torch.special.ndtr((upper - m) / sigma) - torch.special.ndtr((lower - m) / sigma)


# %%
# NBVAL_CHECK_OUTPUT
k = torch.arange(256, dtype=torch.float64)
P = level_probability(k, m=0.9, sigma=0.3)  # (256,): this Gaussian's upper tail leaves [0, 1]
config = LikelihoodConfig(name="discretised-gaussian", mean="identity", sigma="fixed", sigma_value=0.3)
library = likelihoods.make_likelihood(config).double().log_prob(k[:, None] / 255, torch.full((256, 1), 0.9).double())
print("sums to one:", torch.allclose(P.sum(), torch.tensor(1.0).double()))
print("equals vaelib.likelihoods:", torch.allclose(library, P.log(), rtol=1e-5))

# %% [markdown]
# Its negative logarithm to base 2, per pixel, is the number of bits that a compressor built on the model would need: **bits
# per dimension**. For a $\sigma$ much wider than a bin the two are related, because $P \approx p(x) \cdot \tfrac{1}{255}$:
#
# $$
# \text{bits per dimension} = -\frac{\log_2 P}{D} \;\approx\; -\frac{\log_2 p(x)}{D} + \log_2 255.
# $$ (eq-bits)
#
# To see them part, let a decoder memorise one face, $m = x$, and shrink $\sigma$:

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-bits", "caption": "Bits per dimension of a face that the decoder has memorised, against sigma. Down to a few grey levels, density and probability agree. Narrower than about half a grey level (dotted), the density promises fewer than zero bits, without limit; the probability of the levels cannot fall below zero."}, "image": {"alt": "Two curves that coincide for large sigma. One goes on falling below zero as sigma shrinks, the other levels off at zero."}}
levels = (x_faces[0] * 255).round()
widths = torch.logspace(-4, 0, 200, dtype=torch.float64)
log_density = torch.stack([gaussian_pixels_log_prob(levels / 255, levels / 255, width) for width in widths])
log_p = torch.stack([level_probability(levels, levels / 255, width).log().sum() for width in widths])
fig, ax = plt.subplots(figsize=(7, 2.9))
ax.plot(widths, objectives.bits_per_dim(log_density, D, density=True), label="density")
ax.plot(widths, objectives.bits_per_dim(log_p, D, density=False), "--", label="probability of levels")
ax.axvline(likelihoods.HALF_LEVEL, linestyle=":", color=plots.INK)
ax.set(xscale="log", xlabel=r"$\sigma$", ylabel="bits per dimension")
ax.legend()
plt.show()

# %% [markdown]
# This is why the library floors $\sigma$ at half a grey level, and why the book reports the discretised likelihood beside
# every density. (Adding uniform noise to the pixels is another remedy: the average log-density of the noisy pixels, with
# levels one unit apart, is a lower *bound* on the log-probability of the levels {cite:p}`theis2016`.) In the linear
# model $\sigma$ is many levels wide, and the conversion {eq}`eq-bits` is safe:

# %% tags=["remove-input"]
x_test = torch.from_numpy(data.prepare(data.DataConfig(name=faces)).test).double()
held_out = ppca_log_evidence(x_test, W, b, sigma2).mean()
Markdown(
    f"Probabilistic PCA with {latent_dim} dimensions, held-out faces ({len(x_test)} of them): log p(x) = "
    f"{held_out:.1f} nats = **{objectives.bits_per_dim(held_out, D, density=True):.2f} bits per dimension**. Uncompressed "
    "grey levels take 8."
)

# %% [markdown]
# ## What to remember
#
# - $\log p(x) = \mathcal{L}(x) + \mathrm{KL}(q \,\Vert\, p(z \mid x))$, exactly. The ELBO is a bound because the unknown term
#   cannot be negative.
# - The reparameterisation makes one draw per image enough; the KL to a Gaussian prior needs none.
# - Cross-entropy on grey pixels bounds the log-probability of *binarised* images, not a density of grey ones.
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

# %%
# NBVAL_CHECK_OUTPUT
mu_1, sigma_1, mu_2, sigma_2 = torch.tensor([0.3, 0.5, -1.0, 2.0])
by_formula = torch.log(sigma_2 / sigma_1) + (sigma_1**2 + (mu_1 - mu_2) ** 2) / (2 * sigma_2**2) - 0.5
print(torch.allclose(by_formula, kl_divergence(Normal(mu_1, sigma_1), Normal(mu_2, sigma_2))))

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
# images, and `kl` is summed over latent dimensions and averaged over images. Which $\sigma$ does this assume for
# $3 \times 64 \times 64$ images, and for images of $28 \times 20$ pixels? How many directions of our faces would a linear
# VAE keep with each?
# ```
#
# ```{solution-start} ex-weight
# :class: dropdown
# ```
#
# The last row of the table: $\sigma^2 = w D / 2$.

# %%
for name, pixels in {"3 x 64 x 64": 3 * 64 * 64, "28 x 20": 28 * 20}.items():
    sigma_w = math.sqrt(0.00025 * pixels / 2)
    print(f"{name}: sigma = {sigma_w:.3f}, directions of our faces kept: {int((spectrum > sigma_w**2).sum())}")

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
# the mean.

# %%
generator = torch.Generator().manual_seed(seed)
with torch.no_grad():
    for K in (1, 10, 100, 1000):
        bound = torch.cat([objectives.importance_weighted_bound(model, part, K, generator) for part in x.split(8)])
        gap = log_evidence - bound
        print(f"K = {K:4d}: bound {bound.mean():.2f}, gap {gap.mean():.2f}, median gap {gap.median():.4f} nats")

# %% [markdown]
# The typical gap vanishes quickly. The mean gap closes slowly: it is made by the few images whose posterior the encoder
# misses (the last row of {numref}`fig-posterior`), where even a thousand draws from $q$ never fall in the right place.
#
# ```{solution-end}
# ```
