# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# (chapter-adversaries)=
# # Adversaries
#
# Can a network learn to draw when nobody tells it how probable its drawings are? Yes: a second network, the
# {term}`critic`, learns to tell drawings from data, and the first one learns to fool it. On this page you write that
# game in a dozen lines, watch its first form fail, and learn why each term of the modern form is there. Then one judge
# compares it with the VAE, on digits and on faces. With networks and minutes as few as ours the game loses: a VAE with a
# repaired {term}`prior` draws better, in less time, and it also gives a likelihood and codes.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can write a {term}`GAN` from its equation. You can say what the best critic knows, why the first game
#   starves its generator, and what the relativistic loss and its two penalties are for. You can read a table that judges
#   samples of any model.
# - **You need** the encoder and the decoder of {ref}`chapter-build`, and the idea of a repaired prior from
#   {ref}`chapter-sampling`.
# - **Time.** Half an hour to read. All the code runs in about a quarter of an hour.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # labelled digits: "mnist" or "digits"
faces: str = "frey"  # a film whose tongues are known, or "toyfaces"
rounds: int = 800  # of each small game at the start
epochs: int = 2  # passes over the digits, for each GAN
vae_epochs: int = 4  # and for each VAE
face_epochs: int = 40  # passes over the film, for each GAN
gammas: list[float] = [0.1, 1.0, 10.0]  # weights of the penalties
components: int = 40  # of the mixture that repairs the VAE's prior
seeds: int = 3  # of everything that is compared

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
from IPython.display import Image

import vaelib as vae
from vaebook import page
from vaebook.figures import named_rows
from vaebook.tables import mean_and_range
from vaelib import plots

names = ("rounds", "epochs", "vae_epochs", "face_epochs", "components", "seeds")
page.parameters(globals(), at_least={**dict.fromkeys(names, 1), "gammas": 1e-3})
plots.use_style()

# %% tags=["remove-input"]
film = page.load(faces, images=140, grey=True)
page.banner(page.load(dataset, images=200, labels=True, grey=True), film)

# %% [markdown]
# ## What is the game?
#
# Two players. The *generator* $G$ turns noise $z$ into a picture; it is the {term}`decoder` of a VAE, with a sigmoid
# behind it. The *critic* $D$ looks at a picture and says how sure it is that the picture is data. It answers with a
# logit $a$, and its probability is $D(x) = \mathrm{sigmoid}(a(x))$. Both are one {term}`encoder` and one decoder from
# {ref}`chapter-build`, cut to size:

# %%
import torch
from torch import nn
from torch.nn import functional as F

digits = vae.prepare(vae.DataConfig(name=dataset))
x, shape = torch.from_numpy(digits.train), digits.data.shape
D, H, Z = x.shape[1], 128, 20


# %%
def two_layers(inputs, outputs):
    first, second = nn.Linear(inputs, H), nn.Linear(H, outputs)
    return nn.Sequential(first, nn.ReLU(), second)


def players(seed):
    torch.manual_seed(seed)
    generator = nn.Sequential(two_layers(Z, D), nn.Sigmoid())
    return generator, two_layers(D, 1)  # G: z to pixels; a: pixels to a logit


# %% [markdown]
# The critic wants to be right about both kinds of pictures. Its score is the log-probability of right answers, and the
# generator wants that score to be low {cite:p}`goodfellow2014`:
#
# $$
# \min_G \max_D \; V(D, G) = \mathbb{E}_{x \sim \text{data}}[\log D(x)] + \mathbb{E}_{z}[\log (1 - D(G(z)))].
# $$ (eq-adversaries-value)
#
# There is no $\log p(x)$ in it, and no encoder from a picture to its code. In code, with logits:


# %%
def value(real, fake):  # logits of B pictures each, (B, 1)
    return F.logsigmoid(real) + F.logsigmoid(-fake)  # V, nats


def minimax(fake):
    return F.logsigmoid(-fake)  # the part of V that the generator moves


# %% [markdown]
# The players take turns. In its turn each changes its own weights only. That is why the critic sees `fake.detach()`: no
# gradient shall reach the generator from there. `betas=(0.0, 0.99)` takes Adam's momentum away: gradients of some rounds
# ago answer an opponent who has moved on. We also note down what the critic thinks of the drawings.


# %%
def step(optimiser, loss):
    optimiser.zero_grad()
    loss.mean().backward()
    optimiser.step()


def adam(network):
    return torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99))


def play(wish, seed):
    generator, critic = players(seed)
    turns = adam(critic), adam(generator)
    believed = []
    for _ in range(rounds):
        real = x[torch.randint(len(x), (64,))]
        fake = generator(torch.randn(64, Z))
        step(turns[0], -value(critic(real), critic(fake.detach())))
        step(turns[1], wish(critic(fake)))
        believed.append(torch.sigmoid(critic(fake)).mean().item())
    return generator, believed


# %% [markdown]
# ## What does the best critic know?
#
# The ratio of two densities. Let $p$ be the density of the data and $q$ that of the drawings. For each picture $x$ the
# critic maximises $p \log D + q \log (1 - D)$. Setting the derivative to zero gives
#
# $$
# D^*(x) = \frac{p(x)}{p(x) + q(x)}, \qquad a^*(x) = \log \frac{p(x)}{q(x)}.
# $$ (eq-adversaries-best)
#
# So the logit of the best critic is the log-ratio that the generator lacks. Put $D^*$ into {eq}`eq-adversaries-value`,
# and with $m = \frac{1}{2}(p + q)$ the value becomes
#
# $$
# V(D^*, G) = \mathrm{KL}(p \,\Vert\, m) + \mathrm{KL}(q \,\Vert\, m) - 2 \log 2 = 2\,\mathrm{JS}(p, q) - 2 \log 2.
# $$ (eq-adversaries-js)
#
# JS is the *Jensen–Shannon divergence*: zero if $p = q$, and never above $\log 2$. Four pictures are enough to check it:

# %% tags=["nbval-check-output"]
p = torch.tensor([0.1, 0.2, 0.3, 0.4])
q = torch.tensor([0.4, 0.4, 0.1, 0.1])
best = torch.log(p / q)  # the best critic's logits
v = p @ F.logsigmoid(best) + q @ F.logsigmoid(-best)
m = (p + q) / 2
js = (p @ torch.log(p / m) + q @ torch.log(q / m)) / 2
print(f"V {v:.4f} nats, 2 JS - 2 log 2 = {2 * js - 2 * math.log(2):.4f}")

# %% [markdown]
# Against a perfect critic the generator therefore minimises a true distance between distributions. But look at the
# limit: where $p$ and $q$ do not overlap, JS is $\log 2$, however far apart they are. A distance that is the same
# everywhere points nowhere.
#
# ## Why does the first game fail?
#
# Because the critic is soon right. The generator's gradient passes through the logit $a$ of its own drawing, and
#
# $$
# \frac{\partial}{\partial a} \log (1 - \mathrm{sigmoid}(a)) = -\,\mathrm{sigmoid}(a).
# $$ (eq-adversaries-vanishing)
#
# The surer the critic is that a drawing is none of the data, the less the generator learns from it.
# {cite:t}`goodfellow2014` propose another wish for the generator: minimise $-\log D(G(z))$. It has the same optimum, but its derivative is
# $-(1 - \mathrm{sigmoid}(a))$, which is largest where the critic is sure. This is the *non-saturating* game.


# %%
def non_saturating(fake):
    return -F.logsigmoid(fake)


games = {"minimax": minimax, "non-saturating": non_saturating}
played = {
    name: [play(wish, seed) for seed in range(seeds)]
    for name, wish in games.items()
}


# %% [markdown]
# To see what became of them we need a judge. Ours is a small classifier that has learned to read the training digits
# (`vaebook.experiments.digits_judge`). First it tells which digits a set of drawings holds.

# %%
from vaebook.experiments.digits_judge import (
    digits_floor,
    digits_table,
    judge_digits,
    reader_of,
)

accuracy = reader_of(digits).accuracy.item()
print(f"{100 * accuracy:.1f} % of the test digits are read rightly")


# %%
def drawings(generator, count, seed=1):
    z = torch.randn(count, Z, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return generator(z)  # (count, D)


count = len(digits.test)
judged = {
    name: [judge_digits(drawings(one, count), digits) for one, _ in games]
    for name, games in played.items()
}


# %% mystnb={"figure": {"name": "fig-adversaries-first", "caption": "TODO"}, "image": {"alt": "TODO"}} tags=["hide-input"]
colours = {"minimax": "rose", "non-saturating": "indigo"}
_, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3))
for name, found in judged.items():
    for (_, believed), one in zip(played[name], found, strict=True):
        line = {"color": plots.COLOURS[colours[name]], "linewidth": 1}
        line["label"] = name if one is found[0] else None
        left.plot(pd.Series(believed).rolling(25, min_periods=1).mean(), **line)
        right.plot(one.classes, "o-", markersize=3, **line)
right.axhline(0.1, color=plots.INK, linestyle=":", linewidth=0.9)
left.set(xlabel="round", ylabel="sigmoid(a) of drawings", yscale="log")
right.set(xlabel="digit", ylabel="share of drawings", ylim=(0, None))
right.set_xticks(range(len(one.classes)))
left.legend(fontsize=8)
plt.show()

# %% mystnb={"figure": {"name": "fig-adversaries-first-drawings", "caption": "TODO"}, "image": {"alt": "TODO"}} tags=["hide-input"]
blocks = {
    f"{name}, seed {seed}": drawings(generator, 14)
    for name, games in played.items()
    for seed, (generator, _) in enumerate(games)
}
named_rows(blocks, shape)
plt.show()

# %%
for name, found in judged.items():
    beliefs = [np.mean(believed[-100:]) for _, believed in played[name]]
    print(f"{name}: drawings are data with {mean_and_range(beliefs, 3)}")
    gaps = [one.class_gap for one in found]
    print(f"{'':{len(name)}}  class gap {mean_and_range(gaps)}")

# %% [markdown]
# TODO discuss.
#
# ## What do the modern terms add?
#
# Three things, each against one fault {cite:p}`huang2024`.
#
# **Pairs.** The critic of {eq}`eq-adversaries-value` judges each picture alone. A *relativistic* critic
# {cite:p}`jolicoeur2019` judges a pair: how much more does this picture look like data than that drawing?
#
# $$
# \mathcal{L}_D = \mathbb{E}\left[\log\left(1 + e^{a(G(z)) - a(x)}\right)\right], \qquad
# \mathcal{L}_G = \mathbb{E}\left[\log\left(1 + e^{a(x) - a(G(z))}\right)\right].
# $$ (eq-adversaries-pairs)
#
# A drawing now has to beat a real picture, so leaving some of the data out costs the generator something: each real
# picture is somebody's opponent. And neither loss can be lowered by moving all logits up or down together.


# %%
def relativistic(real, fake):
    return F.softplus(fake - real), F.softplus(real - fake)  # L_D, L_G


# %% [markdown]
# **Two penalties.** Without them the game need not settle, not even in the smallest case {cite:p}`mescheder2018`. Let
# all data be the number 0, all drawings the number $\theta$, and let the critic be a line, $a(x) = \psi x$. At the
# right answer, $\theta = 0$ and $\psi = 0$, nobody has a reason to move. But near it the players' gradients run in a
# circle. A penalty on the critic's slope pulls the circle inwards:
#
# $$
# R_1 = \mathbb{E}\left[|\nabla a(x)|^2\right], \qquad R_2 = \mathbb{E}\left[|\nabla a(G(z))|^2\right], \qquad
# \mathcal{L}_D + \tfrac{\gamma}{2} (R_1 + R_2).
# $$ (eq-adversaries-penalties)
#
# For the line, both slopes are $\psi$, so the penalty is $\gamma \psi^2$.


# %%
def circle(gamma, rounds=400, rate=0.1):
    path = [(1.0, 0.0)]  # theta, psi
    for _ in range(rounds):
        theta, psi = path[-1]
        wrong = 1 / (1 + math.exp(-psi * theta))  # dL_D / da(G(z))
        down = wrong * theta + 2 * gamma * psi  # dL_D / dpsi
        up = (1 - wrong) * psi  # -dL_G / dtheta
        path.append((theta + rate * up, psi - rate * down))
    return np.array(path)


# %% tags=["nbval-check-output"]
for gamma in (0, 0.1, 1):
    distance = np.hypot(*circle(gamma)[-1])
    print(f"gamma {gamma}: from 1 to {distance:.3f} from the right answer")

# %% mystnb={"figure": {"name": "fig-adversaries-circle", "caption": "The smallest game, 400 rounds from the dot. The cross is the right answer. Without a penalty the players circle it at a distance. With a small penalty they spiral into it, and with a larger one they walk there nearly straight."}, "image": {"alt": "A plot of psi against theta. One curve winds round the centre several times, about half a unit away from it. A second spirals into the centre, and a third leads there without a turn."}} tags=["hide-input"]
_, ax = plt.subplots(figsize=(4.2, 3.6))
for gamma, colour in ((0, "rose"), (0.1, "teal"), (1, "indigo")):
    style = {"color": plots.COLOURS[colour], "linewidth": 1.2}
    ax.plot(*circle(gamma).T, label=f"gamma {gamma}", **style)
ax.plot(1, 0, "o", color=plots.INK)
ax.plot(0, 0, "+", color=plots.INK, markersize=10)
ax.set(xlabel="theta (the drawing)", ylabel="psi (the critic's slope)")
ax.set_aspect("equal")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Why two? $R_1$ holds the critic flat where the data are, and $R_2$ where the drawings are. Early in training these are
# different places, and a critic that is steep at the drawings throws the generator about.
#
# In code a penalty is a gradient of a gradient, which is the expensive part of the whole game:


# %%
def steepness(critic, x):  # (B, D) -> |grad a|^2 (B,)
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return slope.square().sum(-1)


def critic_loss(critic, real, fake, gamma):
    loss, _ = relativistic(critic(real), critic(fake))
    penalty = steepness(critic, real) + steepness(critic, fake)
    return loss + gamma / 2 * penalty  # (B,)


# %% [markdown]
# **A good start.** This one is ours, and no part of the paper's loss. `vaelib` lets the generator's last layer start
# from principal components of the data, so that its first drawings have the right mean and the right variances. The
# critic sees these components too, each scaled to variance 1, and nothing else. So $\gamma$ has no scale of its own: the
# slopes of the penalties are those by what the critic sees.
#
# In `vaelib` a GAN is a family like any other. Its `losses` are two pairs of weights and loss, and `fit` lets them take
# turns:

# %%
config = vae.GANConfig(latent_dim=Z, hidden=(H,), activation="relu")
gan = vae.GAN(config, shape)
gan.start(x)  # principal components
critic_turn, generator_turn = gan.losses(vae.GANObjective(gamma=2.0))

# %% tags=["nbval-check-output"]
weights, loss = critic_turn
theirs = loss(x[:64], 0.0, torch.Generator().manual_seed(1))["loss"]
fake = gan.sample(64, torch.Generator().manual_seed(1))
see, judge_seen = gan.critic.see, gan.critic.judge
ours = critic_loss(judge_seen, see(x[:64]), see(fake), gamma=2.0)
assert torch.allclose(ours, theirs, rtol=1e-4)
print("the same loss for every picture")

# %% [markdown]
# ## How good are its digits?
#
# We train {eq}`eq-adversaries-penalties` on the digits with several weights $\gamma$, since nobody knows the right one
# beforehand. Beside them stand VAEs whose decoder has the same layers as the
# generator, with two priors: the $\mathcal{N}(0, I)$ that they were trained with, and a mixture fitted to
# the {term}`codes <code>` of 10,000 training digits afterwards.

# %%
data, layers = vae.DataConfig(name=dataset), (256, 256)
most = min(100, D)  # components
calm = {"optimiser": "adam-no-momentum", "learning_rate": 2e-3}


def trained(model, epochs, seed, objective, **settings):
    training = vae.TrainingConfig(epochs=epochs, schedule="cosine", **settings)
    run = vae.RunConfig(data=data, model=model, objective=objective)
    return vae.train(run.replace(training=training, seed=seed))


# %%
game = vae.GANConfig(latent_dim=Z, hidden=layers, components=most)
gans = {
    gamma: [
        trained(game, epochs, seed, {"gamma": gamma}, **calm)
        for seed in range(seeds)
    ]
    for gamma in gammas
}

# %%
plain = vae.VAEConfig(latent_dim=Z, hidden=layers, activation="silu")
vaes = [trained(plain, vae_epochs, seed, {}) for seed in range(seeds)]


# %%
def with_mixture(model):
    codes = vae.evaluation.aggregate_posterior(model, x[:10_000])
    halves = codes.chunk(2)  # with one size there is nothing to choose
    found = vae.fit_mixture(*halves, (components,), fits=1)
    return vae.with_prior(model, found.prior)


# %% [markdown]
# The judge compares as many drawings as there are test digits with these, in the features of its last hidden layer.
#
# - **Fréchet**: the squared distance between the Gaussians that fit both {cite:p}`heusel2017`.
# - **KID**: the squared distance between both in a kernel of degree three {cite:p}`binkowski2018`. It has no bias, and is
#   near zero for samples of one distribution.
# - **class gap**: the share of drawings that would have to be another digit, for all shares to be right.
# - **density** and **coverage** {cite:p}`naeem2020`, as in {ref}`chapter-sampling`.
#
# The **floor** judges training digits, drawn at random, as if a model had made them. Before we look: we call one model
# better than another only if every seed of it has the smaller Fréchet distance and the means differ by a factor of 1.5
# or more.


# %%
def judgements(models):
    chance = torch.Generator().manual_seed(1)
    return [judge_digits(m.sample(count, chance), digits) for m in models]


# %%
repaired = [with_mixture(run.model) for run in vaes]
groups = {"floor": [digits_floor(digits, seed) for seed in range(seeds)]}
groups["VAE, N(0, I)"] = judgements([run.model for run in vaes])
groups["VAE, mixture"] = judgements(repaired)
for gamma, runs in gans.items():
    groups[f"GAN, gamma {gamma:g}"] = judgements([run.model for run in runs])
digits_table(groups)

# %%
timed = {f"GAN, gamma {gamma:g}": runs for gamma, runs in gans.items()}
for name, runs in {"VAE": vaes, **timed}.items():
    seconds = [run.environment["seconds"] for run in runs]
    print(f"{name}: {mean_and_range(seconds, 0)} seconds of training")


# %% mystnb={"figure": {"name": "fig-adversaries-digits", "caption": "TODO"}, "image": {"alt": "TODO"}} tags=["hide-input"]
def rows_of(model, count=28):
    return model.sample(count, torch.Generator().manual_seed(3)).numpy()


blocks = {"VAE, N(0, I)": rows_of(vaes[0].model)}
blocks["VAE, mixture"] = rows_of(repaired[0])
blocks |= {f"GAN, gamma {g:g}": rows_of(r[0].model) for g, r in gans.items()}
named_rows(blocks, shape)
plt.show()


# %%
def frechets(name):
    return [one.frechet for one in groups[name]]


def better(one, other):  # by the margin that we said beforehand
    a, b = frechets(one), frechets(other)
    return max(a) < min(b) and 1.5 * np.mean(a) < np.mean(b)


# %%
of_gans = [name for name in groups if name.startswith("GAN")]
best = min(of_gans, key=lambda name: np.mean(frechets(name)))
for prior in ("VAE, N(0, I)", "VAE, mixture"):
    print(f"{best} better than {prior}: {better(best, prior)}")
    print(f"{prior} better than {best}: {better(prior, best)}")

# %% [markdown]
# TODO discuss
#
# ## And its faces?
#
# Now Frey Faces, with the judge of {ref}`chapter-sampling`: 10,000 drawings, tongues by two witnesses, coverage, density
# and copying. We keep what the first model draws from the same 28 codes after every few epochs.

# %%
from vaebook.experiments.sampling import judge
from vaelib.models import new_model

frames = vae.prepare(vae.DataConfig(name=faces, split="random"))
x_film = torch.from_numpy(frames.train)

# %%
z = torch.randn(28, Z, generator=torch.Generator().manual_seed(4))
face_game = vae.GANConfig(latent_dim=Z, hidden=layers, components=100)
face_training = vae.TrainingConfig(
    epochs=face_epochs, batch_size=64, schedule="cosine", **calm
)


# %%
def rows(gan):
    with torch.no_grad():
        return gan.generate(z).numpy()  # (28, D)


# %%
def face_gan(seed, album):
    gan = new_model(face_game, film.shape, seed)
    gan.start(x_film)
    settings = {"seed": seed, "on_epoch": lambda _: album.append(rows(gan))}
    losses = gan.losses(vae.GANObjective())
    history = vae.fit(gan, losses, x_film, face_training, **settings)
    return gan, history.attrs["seconds"]


# %%
albums = [[] for _ in range(seeds)]
face_gans = [face_gan(seed, albums[seed]) for seed in range(seeds)]

# %%
chance = torch.Generator().manual_seed(0)
found = pd.DataFrame(
    [judge(gan.sample(10_000, chance), frames) for gan, _ in face_gans]
).assign(tongue=lambda found: 100 * found["tongue"])
found["seconds"] = [seconds for _, seconds in face_gans]
found.agg(lambda column: mean_and_range(list(column)))

# %% [markdown]
# TODO discuss

# %% mystnb={"figure": {"name": "fig-adversaries-film", "caption": "TODO"}, "image": {"alt": "TODO"}} tags=["hide-input"]
from vaebook.experiments.pictures import gif

every = max(1, face_epochs // 30)
sheets = [plots.canvas(some, film.shape, 14) for some in albums[0][::every]]
Image(data=gif([*sheets, *sheets[-1:] * 8], 150), format="gif")

# %% [markdown]
# ## What to remember
#
# - A GAN learns from a critic. It needs no likelihood, and it gives none: no $\log p(x)$, no codes, no rebuilt pictures.
# - The best critic's logit is $\log p(x) - \log q(x)$, and against it the generator lowers the Jensen–Shannon divergence.
#   Where data and drawings do not overlap, that divergence is flat.
# - Non-saturating: turn the generator's wish round, so that it learns most where the critic is surest.
# - Relativistic, with two penalties: pairs against drawings that leave data out, and flat slopes against going in
#   circles. The weight $\gamma$ has to be searched.
# - A loss of a game says nothing of how good the drawings are. Judge the drawings.
#
# ## Exercises
#
# ```{exercise} Two Gaussians
# :label: ex-adversaries-gaussians
#
# Let the data be $\mathcal{N}(0, 1)$ and the drawings $\mathcal{N}(\mu, 1)$, in one dimension. What is the logit of the
# best critic? How steep is it, and what does the generator learn from it in the minimax game when $\mu$ is large?
# ```
#
# ```{solution} ex-adversaries-gaussians
# :class: dropdown
#
# By {eq}`eq-adversaries-best`, $a^*(x) = \frac{1}{2}(x - \mu)^2 - \frac{1}{2} x^2 = \frac{1}{2}\mu^2 - \mu x$: a line of
# slope $-\mu$. A typical drawing lies at $x = \mu$, where $a^* = -\frac{1}{2}\mu^2$. By {eq}`eq-adversaries-vanishing` the
# minimax gradient there is $\mu\,\mathrm{sigmoid}(-\frac{1}{2}\mu^2)$. It falls faster than exponentially in $\mu$: the further away the
# drawings are, the less they are told. The non-saturating gradient is close to $\mu$ instead.
# ```
#
# ```{exercise} One penalty
# :label: ex-adversaries-one-penalty
#
# In the smallest game, replace the critic's line by $a(x) = \psi x^2$, and keep the data at 0. What are $R_1$ and $R_2$
# now? Which of them can calm the game?
# ```
#
# ```{solution} ex-adversaries-one-penalty
# :class: dropdown
#
# The slope is $2 \psi x$. At the data, $x = 0$, it is zero whatever $\psi$ is, so $R_1 = 0$ and does nothing. At the
# drawing, $R_2 = 4 \psi^2 \theta^2$, which pulls $\psi$ towards zero as long as $\theta$ is not there. A critic can be flat at the
# data and steep at the drawings; only the second penalty sees that.
# ```
#
# ```{exercise} A game that has ended
# :label: ex-adversaries-dead
#
# Spoil a game: play minimax without penalties and with steps of 0.05, for a few epochs on 5,000 digits. What does
# `vae.diagnose_model` say? What do the losses say?
# ```
#
# ```{solution-start} ex-adversaries-dead
# :class: dropdown
# ```

# %%
spoilt = vae.GAN(config, shape)
spoilt.start(x)
old_game = vae.GANObjective(loss="minimax", gamma=0)
large = vae.TrainingConfig(epochs=3, learning_rate=0.05)
history = vae.fit(spoilt, spoilt.losses(old_game), x[:5000], large, seed=0)
print(history[["epoch", "train_loss", "train_real", "train_fake"]].round(1))

# %%
vae.diagnose_model(spoilt, x[:5000], objective=old_game)

# %% [markdown]
# TODO
#
# ```{solution-end}
# ```
