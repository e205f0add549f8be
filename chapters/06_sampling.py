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
# (chapter-sampling)=
# # The missing tongue
#
# In three short runs of the Frey film the man puts out his tongue. The report that we re-create could not make its models
# draw that: its random faces "look almost the same" and the tongue frames "never appear" {cite:p}`report2025`. It blamed
# small data and Gaussian decoders, and found the same in other implementations.
#
# This chapter finds the tongue. First it measures what is missing, so that "never" becomes a number with an interval. Then
# it asks who is to blame: the {term}`decoder`, the data or the {term}`prior`. The answer suggests a repair that takes seconds and changes
# no weight of the model. And because a model that copies its training frames would pass most of these tests, we check for
# that, too.

# %% tags=["parameters"]
dataset: str = "frey"  # a film whose tongues are known, or "toyfaces"
sizes: list[int] = [2, 5, 10, 20]  # numbers of latents to compare
seeds: int = 5  # how often each model is trained, at most
epochs: int = 0  # passes over the film; 0: each recipe's own number
repairs: list[str] = ["narrow", "wide", "mixture", "flow"]  # to compare
components: list[int] = [5, 10, 20, 40, 80, 160]  # sizes in one figure
coder_latents: int = 40  # latents of the model that is judged in bits
draws: int = 1000  # of z, to estimate the likelihood of an image

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
import pandas as pd
import torch
from IPython.display import Image, Markdown

from vaebook import page
from vaebook.experiments.sampling import REPAIRS
from vaebook.figures import named_rows
from vaebook.tables import mean_and_range
from vaelib import plots
from vaelib.data import DataConfig

least = {"sizes": 1, "seeds": 1, "epochs": 0, "components": 1}
least |= {"coder_latents": 1, "draws": 2}
page.parameters(globals(), at_least=least, choices={"repairs": REPAIRS})
if len(set(components)) < 2:
    raise page.ParameterError(
        f"components={components}: a figure compares two sizes or more"
    )
plots.use_style()

# %% tags=["remove-input"]
film = page.load(dataset, images=140, grey=True)
page.banner(film)

# %% [markdown]
# ## How do we know a tongue when we see one?
#
# We looked at all frames, one by one, and noted those that show the tongue ({ref}`chapter-data` says by which rule). Frames
# in transition, with the tongue on its way, count as showing it in this chapter, for the detector and in all shares. To count
# tongues among thousands of samples we need a machine that looks: a logistic regression on the pixels, fitted to all frames.

# %%
from vaebook.experiments.pictures import proportion
from vaebook.experiments.tongue import IN, OUT, tongue, tongue_detector, tongues

detector = tongue_detector(film)
shown = tongue(film) != IN
in_film = proportion(shown)


# %% mystnb={"figure": {"name": "fig-sampling-tongues", "caption": "Frames that show the tongue, from all runs of it, and, last, what the detector looks at: its weights, as a picture (bright pixels speak for a tongue where it is white, dark ones where it is black)."}, "image": {"alt": "Rows of faces with the tongue out, from separate stretches of the film, and a picture of weights that is brightest and darkest about the mouth, and dark at the nose."}} tags=["hide-input"]
def picture_of(weights):
    return 0.5 + 0.5 * weights / np.abs(weights).max()


out = np.flatnonzero(shown)
examples = film.matrix(out[:: max(1, len(out) // 27)][:27])
looks = np.concatenate([examples, picture_of(detector.weights)[None]])
plots.image_grid(looks, film.shape, 14)
plt.show()

# %% tags=["hide-input"]
Markdown(
    f"The tongue shows in {detector.shown} of {detector.frames} frames: "
    f"{100 * in_film.value:.1f} %, with a 95 % interval of "
    f"{100 * in_film.low:.1f} to {100 * in_film.high:.1f} % (Wilson's, as if "
    "the frames were independent draws). Without the frames in transition it "
    f"would be {100 * np.mean(tongue(film) == OUT):.1f} %. In five-fold "
    f"cross-validation the detector misses {detector.missed} of the "
    f"{detector.shown} and cries tongue at {detector.false_alarms} of the "
    "others."
)

# %% [markdown]
# That error flatters: neighbours of each {term}`held-out <held out>` frame were among the fitted ones. It is the right error for our
# purpose: samples of a good model of this film are mixtures of what this film shows. For another film, another face, the
# detector is worthless; and so it is for pictures that are no faces. In the samples of one model below, hardly any of which looks
# like a frame, it sees nearly as many tongues as in the film. So we ask for two witnesses: a picture shows the tongue if the
# detector says so *and* the frame nearest to it shows one (`vaebook.experiments.tongue.tongues`).
#
# ## What do the models draw?
#
# We take the modern recipe of {doc}`03_training` with several numbers of latents, and for comparison the other recipes with 20
# latents, the report's also with a sigma that is learned from 0.3 on. All are trained on 1,565 frames drawn at random; 200
# others choose the size of a mixture and when to stop, below, and 200 test.

# %%
from vaebook.experiments.recipes import faces_recipe, seeds_of, train_groups
from vaelib.likelihoods import LikelihoodConfig

by_chance = DataConfig(name=dataset, split="random")
length = {"epochs": epochs or None}
few = min(seeds, 3)


def modern(latent_dim, data=by_chance, **settings):
    settings = {"latent_dim": latent_dim, **length, **settings}
    return faces_recipe("modern", data, **settings)


# %%
by_size = train_groups(
    {z: seeds_of(modern(z), seeds if z >= 10 else few) for z in sizes}
)
largest = max(sizes)
narrower = LikelihoodConfig(name="gaussian", sigma_value=0.3)
others = {
    "report": faces_recipe("report", by_chance, **length),
    "report, sigma from 0.3": faces_recipe(
        "report", by_chance, likelihood=narrower, **length
    ),
    "kingma-welling": faces_recipe("kingma-welling", by_chance, **length),
}
others = train_groups({n: seeds_of(c, seeds) for n, c in others.items()})


# %% mystnb={"figure": {"name": "fig-sampling-prior", "caption": "Faces drawn with z from the prior N(0, I), seed 0, two rows for each model. The report's recipe draws one face, and the original recipe mostly noise. The modern recipe with few latents draws clean faces of little variety; with many latents they vary more, and some fall apart. Look for a tongue."}, "image": {"alt": "Rows of generated faces, two for each model. Those of the report's recipe are all the same, those of the original recipe noisy; those of the modern recipe vary, and with many latents some are distorted."}} tags=["hide-input"]
def drawn(model, count=28, seed=1):
    return model.sample(count, torch.Generator().manual_seed(seed)).numpy()


blocks = {name: drawn(runs[0].model) for name, runs in others.items()}
blocks |= {f"modern, z = {z}": drawn(r[0].model) for z, r in by_size.items()}
named_rows(blocks, film.shape)
plt.show()

# %% [markdown]
# ## What is missing, in numbers?
#
# Four figures say how good a set of samples is. Each is of 1,965 samples, as many as there are frames; tongues are counted
# in 20,000.
#
# - **tongue out**: the share of samples that show the tongue, by both witnesses.
# - **coverage** {cite:p}`naeem2020`: the share of frames that have a sample nearer than their fifth-nearest other frame.
#   Samples drawn from the very distribution of the frames would cover about 97 % of them ($1 - 2^{-5}$). The second column
#   counts only the frames that show the tongue.
# - **density** {cite:p}`naeem2020`: how many samples fall that near to a frame, over how many frames do. Below 1,
#   many samples lie where there are no frames. Above 1, samples crowd where frames are close together. A model that
#   draws only the film's most common faces has a high density. So have smooth copies, which lie nearer to many frames
#   than these do to one another.
# - **variety**: the mean squared distance between two samples, over that between two frames.

# %%
from vaebook.experiments.sampling import judge_runs, judgement_table


def judged(runs, repair="none"):
    """What each run draws, a row for each."""
    return pd.DataFrame(judge_runs([(run, repair) for run in runs]))


groups = {name: (runs, "none") for name, runs in others.items()}
groups |= {f"modern, z = {z}": (runs, "none") for z, runs in by_size.items()}
judgement_table(groups)

# %% tags=["hide-input"]
every = [run for runs in by_size.values() for run in runs]
shares = {z: judged(runs)["tongue"] for z, runs in by_size.items()}
counts = [20_000 * value for values in shares.values() for value in values]
Markdown(
    f"In brackets: the range over seeds. Of the {len(every)} modern models, "
    f"{sum(c < 0.5 for c in counts)} draw no tongue at all in 20,000 "
    f"samples, and the one that draws most draws {max(counts):.0f}, where "
    f"the film's share would be {20_000 * in_film.value:.0f}. Even that one is "
    f"{'below' if max(counts) / 20_000 < in_film.low else 'not below'} the "
    "interval of the film's share."
)

# %% [markdown]
# None in 20,000 is not never. Wilson's interval says how rare it may still be:

# %% tags=["nbval-check-output"]
never = proportion(np.zeros(20_000))
f"{100 * never.low:.3f} to {100 * never.high:.3f} %"

# %% [markdown]
# So the report saw right: the tongue is all but absent, in its models and in ours. Others have too little of it, too:

# %% tags=["hide-input"]
from vaebook.experiments.claims import PUBLISHED_MODELS

public = PUBLISHED_MODELS if dataset == "frey" else {}
of_public = [
    f"with {z} latents in {100 * model.tongues:.1f} % of samples (coverage "
    f"{model.coverage:.2f})"
    for z, model in public.items()
]
Markdown(
    "By the published weights of a widely used re-implementation the tongue "
    "shows, judged by the label of the nearest frame alone, "
    f"{', '.join(of_public)}."
    if public
    else "No published weights belong to these data."
)

# %% [markdown]
# Too little variety, as the report says. Its own recipe, which has collapsed ({doc}`03_training`), has next to none.
# The modern one has from a quarter of the film's with two latents to three fifths with twenty. With ten or more
# latents there is another fault: many samples lie away from the frames, as their low density says.
#
# ## Does it help to sample more widely?
#
# The report tried. `Tempered` draws from $\mathcal{N}(0, T^2 I)$:

# %%
from vaebook.experiments.sampling import repaired

wider = {
    f"z = {z}, T = {temperature}": (runs[:few], repair)
    for z, runs in by_size.items()
    for temperature, repair in ((0.7, "narrow"), (1, "none"), (1.5, "wide"))
    if repair == "none" or repair in repairs
}
judgement_table(wider)


# %% tags=["hide-input"]
def change(repair, field):
    """How a figure changes on average over those runs of large models."""
    large = [z for z in sizes if z >= min(10, largest)]
    runs = [run for z in large for run in by_size[z][:few]]
    now, then = judged(runs, repair)[field], judged(runs)[field]
    return f"from {then.mean():.2f} to {now.mean():.2f}"


wide_tongues = {
    z: judged(r[:few], "wide")["tongue"].max() for z, r in by_size.items()
}
at_most = max(wide_tongues, key=wide_tongues.get)
Markdown(
    f"With {min(10, largest)} latents or more, drawing at $T = 1.5$ changes "
    f"the variety {change('wide', 'variety')} and the coverage "
    f"{change('wide', 'coverage')}. The largest share of tongues of any model "
    f"at $T = 1.5$, one with {at_most} latents, is "
    f"{100 * wide_tongues[at_most]:.1f} %. At $T = 0.7$, again with "
    f"{min(10, largest)} latents or more, the density changes "
    f"{change('narrow', 'density')} and the coverage "
    f"{change('narrow', 'coverage')}."
)

# %% [markdown]
# With two or five latents, wider draws reach more of the film; with five they cover two frames in three. With more latents they do vary more, but what they
# vary in is not the film: in many dimensions almost all directions lead away from the faces. At none of these temperatures does the
# tongue come near the film's share.
#
# ## Is the decoder to blame?
#
# The report suspected that VAEs, "particularly with Gaussian decoders, tend to under-represent small or isolated modes". If the
# decoder is the reason, it should not be able to draw a tongue when asked for one. We can ask: encode each frame, decode the code,
# judge the pictures like samples.

# %%
asked = {
    f"modern, z = {z}": (runs, "reconstructions") for z, runs in by_size.items()
}
judgement_table(asked)

# %% tags=["hide-input"]
can = judged(by_size[largest], "reconstructions")
never = judged(by_size[largest])
Markdown(
    f"With {largest} latents the reconstructions cover "
    f"{100 * can['coverage'].mean():.1f} % of all frames and "
    f"{100 * can['coverage_on_tongue'].mean():.1f} % of the tongue frames; "
    "samples of the same decoder cover "
    f"{100 * never['coverage'].mean():.1f} % and "
    f"{100 * never['coverage_on_tongue'].mean():.1f} %."
)

# %% [markdown]
# The decoder draws whatever expression it is asked for, held-out frames of this random split included, if it has latents
# enough. (Two are too few for this film: there even reconstructions leave most frames uncovered.) A Gaussian decoder can draw
# the rare mode. And would another kind of decoder be a remedy? The same network with Bernoulli pixels:

# %%
bernoulli = modern(largest, likelihood=LikelihoodConfig(name="bernoulli"))
crossed = train_groups({"Bernoulli": seeds_of(bernoulli, few)})["Bernoulli"]
judgement_table(
    {
        "Gaussian": (by_size[largest][:few], "none"),
        "Bernoulli": (crossed, "none"),
        "Bernoulli, reconstructions": (crossed, "reconstructions"),
    }
)

# %% [markdown]
# In part. Its samples keep nearer to the film: they cover half of the frames where those of the Gaussian decoder
# cover a fifth. They show the tongue many times as often, though still at a small part of the film's share. But asked
# for the tongue frames, it draws fewer tongues than the Gaussian decoder does. Cross-entropy is the more forgiving
# likelihood: a {term}`nat` spent on a code gains less with it. So its {term}`codes <code>` are allowed fewer, which
# keeps them nearer to the prior and leaves its faces less variety.

# %% tags=["hide-input"]
spent = {
    name: mean_and_range([run.metrics["test"]["kl"] for run in runs], 1)
    for name, runs in (
        ("Gaussian", by_size[largest][:few]),
        ("Bernoulli", crossed),
    )
}
Markdown(
    "Nats that a code of a held-out frame costs: "
    f"{spent['Gaussian']} with the Gaussian decoder, {spent['Bernoulli']} with "
    "Bernoulli pixels."
)

# %% [markdown]
# How good are the Gaussian decoder's reconstructions of frames that it was not trained on? Here is their squared
# error, beside that of as many principal components of the training frames. The public checkpoints have a random
# split of their own, so their column is a hint only:

# %%
from sklearn.decomposition import PCA

from vaelib.data import prepare

parts = prepare(by_chance)


def error_of_components(count):
    pca = PCA(count).fit(parts.train)
    back = pca.inverse_transform(pca.transform(parts.test))
    return np.square(back - parts.test).sum(1).mean()


# %%
errors = {
    z: {
        "modern recipe": mean_and_range(
            [run.metrics["test"]["squared_error"] for run in runs]
        ),
        "principal components": f"{error_of_components(z):.2f}",
    }
    for z, runs in by_size.items()
}
for z in errors.keys() & public.keys():
    errors[z]["public checkpoint"] = f"{public[z].squared_error:.2f}"
table = pd.DataFrame.from_dict(errors, orient="index").fillna("")
table.rename_axis("latents")

# %% [markdown]
# With five latents or more the modern recipe leaves less than half of what as many principal components leave.
#
# ## Then who is?
#
# A sample is $\text{decoder}(z)$ with $z$ from the prior. The decoder has only ever seen codes of real frames, draws from
# $q(z|x)$. All of them together make up the *aggregate posterior*
#
# $$
# q(z) = \frac{1}{N} \sum_{n=1}^{N} q(z | x_n),
# $$ (eq-aggregate)
#
# and nothing says that it must equal the prior. The ELBO's KL term pulls each $q(z|x_n)$ towards $p(z)$; averaged over the
# frames, it is the sum of two things {cite:p}`hoffman2016`,
#
# $$
# \frac{1}{N} \sum_n \mathrm{KL}(q(z|x_n) \,\|\, p(z))
#   = \underbrace{I(n; z)}_{\text{at most } \log N} + \mathrm{KL}(q(z) \,\|\, p(z)),
# $$ (eq-surgery)
#
# what a code tells about which frame it came from, and how far the {term}`aggregate posterior` is from the prior. A code can tell
# no more than which of the $N$ frames it was, $\log N$ nats. All that the KL term has beyond that is the distance of these codes from the prior. In code, with
# one draw of $z$ for each frame:

# %%
from vaebook.experiments.sampling import mismatch
from vaelib.evaluation import encode
from vaelib.posteriors import gaussian_log_prob, reparameterise

run = by_size[largest][0]
x = torch.from_numpy(film.matrix(film.split("random").train))
mean, log_var = encode(run.model, x)  # (N, Z)
z = reparameterise(mean, log_var, 1, torch.Generator().manual_seed(0))[0]
log_own = gaussian_log_prob(z, mean, log_var)  # log q(z|x_n)
log_all = gaussian_log_prob(z[:, None], mean, log_var)  # (N, N)
log_q = torch.logsumexp(log_all, 1) - np.log(len(x))
log_p = run.model.prior.log_prob(z)
(log_own - log_q).mean().item(), (log_q - log_p).mean().item()

# %% [markdown]
# The library's `mismatch` does the same for all sizes:


# %%
def split_kl(repair="none", data=x):
    rows = {}
    for z, runs in by_size.items():
        parts = [mismatch(repaired(run, repair), data) for run in runs]
        kl, information, marginal = zip(*parts, strict=True)
        rows[f"z = {z}"] = {
            "KL (nats)": mean_and_range(kl, 1),
            "information": mean_and_range(information, 1),
            "KL(q(z) ‖ p(z))": mean_and_range(marginal, 1),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


split_kl()

# %% tags=["hide-input"]
worst = [mismatch(run.model, x) for run in by_size[largest]]
gap = np.mean([part.marginal_kl for part in worst])
known = np.mean([part.information for part in worst])
Markdown(
    f"$\\log N$ is {np.log(len(x)):.2f}. With {largest} latents a code tells "
    f"{known:.2f} nats about its frame, which is to say that no two frames "
    f"share one; the other {gap:.1f} nats are mismatch."
)

# %% [markdown]
# A caution: this $q(z)$ consists of one narrow Gaussian for each training frame. Any smooth density, the best one included, falls short of it, so not all of the
# mismatch is the prior's fault. How much of it a better prior can mend is told by codes of *other* frames; {numref}`fig-sampling-components` will show it.


# %% [markdown]
# Here is what that looks like. Twenty dimensions do not fit on a page; the two directions in which the codes vary most do.


# %% tags=["hide-input"]
def plane_of(codes):
    """Projection of codes (N, Z) on their two main directions."""
    centre = codes.mean(0)
    basis = torch.linalg.svd(codes - centre, full_matrices=False).Vh[:2]
    return lambda z: ((z - centre) @ basis.T).numpy()


def draw_codes(ax, priors, onto):
    train = film.split("random").train
    points, rose = onto(mean), plots.COLOURS["rose"]
    for prior in priors:
        draws = onto(prior.sample(len(mean), torch.Generator().manual_seed(0)))
        ax.plot(*draws.T, "x", color="#999999", ms=3, zorder=0)
    ax.scatter(*points.T, s=5, c=train, cmap="viridis", zorder=1)
    ax.plot(*points[shown[train]].T, "o", color=rose, ms=4, zorder=2)
    ax.set(xlabel="first component", ylabel="second component")


# %% mystnb={"figure": {"name": "fig-sampling-codes", "caption": "Codes of the training frames (dots, shaded by their place in the film; tongue frames in rose) and draws from the prior (grey crosses), in the plane of the codes' first two principal components, for the largest model, seed 0; to the right, how far from the origin both lie. Draws from the prior lie in a round cloud, at nearly the same distance from the origin; codes are spread unevenly and reach nearly twice as far."}, "image": {"alt": "Left: a round cloud of grey crosses; coloured dots lie crowded in a part of it and scattered far outside, with clumps of rose dots. Right: a narrow histogram for the prior and a wide one, with a long tail, for the codes."}} tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4))
onto = plane_of(mean)
draw_codes(left, [run.model.prior], onto)
prior_draws = run.model.prior.sample(2000, torch.Generator().manual_seed(0))
settings = {"bins": 40, "density": True, "alpha": 0.6}
right.hist(
    prior_draws.norm(dim=1).numpy(), color="#999999", label="prior", **settings
)
right.hist(
    mean.norm(dim=1).numpy(),
    color=plots.COLOURS["indigo"],
    label="codes",
    **settings,
)
right.set(xlabel="distance from the origin", ylabel="density")
right.legend()
plt.show()

# %% [markdown]
# ## How do we repair the prior?
#
# The model is trained; its encoder and decoder are good. All that is wrong is where we draw $z$. So let us draw it where
# the codes are: fit a density to them, and call it the prior. This is "ex-post density estimation" {cite:p}`ghosh2020`. The
# simplest density that can follow crowds and clumps is a mixture of Gaussians, fitted by expectation-maximisation (EM) to draws
# from $q(z)$:

# %%
from sklearn.mixture import GaussianMixture

from vaelib.evaluation import aggregate_posterior
from vaelib.priors import Mixture, with_prior

codes = aggregate_posterior(run.model, x, draws=2)
fit = GaussianMixture(min(40, len(x) // 20), random_state=0, reg_covar=0.02)
fit.fit(codes.double().numpy())
factors = np.linalg.cholesky(fit.covariances_)
mixed = with_prior(run.model, Mixture(fit.weights_, fit.means_, factors))
pictures = mixed.sample(20_000, torch.Generator().manual_seed(0)).numpy()
proportion(tongues(pictures, film))

# %% [markdown]
# That is the missing tongue: a share of samples, with its interval, where the same decoder had drawn next to none. It took
# seconds, and no weight of the model has changed. A `Mixture` has the interface of every prior (`log_prob`, `sample`, `kl`),
# so the repaired model is a model like any other, with an ELBO and a likelihood.
#
# How many components? Few cannot follow the clumps, many learn each code by heart. The 200 validation frames decide:
# the better a density, the likelier their codes. One mixture alone soon grows too sure of itself; the average of
# twenty, each from another start, does so less, and `fit_mixture` makes that average. It takes the largest mixture
# that is no worse on validation codes than the best, by one standard error. Once the size is chosen, it fits a
# mixture of this size to all codes, those of the validation frames among them. The test frames have no part in it.

# %%
from vaebook.experiments.sampling import mixture_of

scores = {
    fits: mixture_of(run, components, fits=fits).scores for fits in (1, 20)
}


# %% mystnb={"figure": {"name": "fig-sampling-components", "caption": "Mean log-density of validation codes under mixtures with more and more components, for the largest model, seed 0; one mixture, and the average of twenty. Under N(0, I) it is the dotted line."}, "image": {"alt": "Two curves of nats against the number of components on a logarithmic axis. Both rise, peak and fall; the average of twenty is higher everywhere and falls less."}} tags=["hide-input"]
held_out = torch.from_numpy(film.matrix(film.split("random").validation))
held_out_codes = aggregate_posterior(run.model, held_out)
reference = run.model.prior.log_prob(held_out_codes).mean().item()
_, ax = plt.subplots(figsize=(5, 3.2))
for fits, found in scores.items():
    ax.plot(
        found.keys(),
        found.values(),
        "o-",
        label="one mixture" if fits == 1 else "average of twenty",
    )
ax.axhline(reference, color=plots.INK, linestyle=":", label="N(0, I)")
top = max(max(found.values()) for found in scores.values())
ax.set(
    xscale="log",
    xlabel="components",
    ylabel="nats per code",
    ylim=(min(reference, top - 12) - 2, top + 2),
)
ax.set_xticks(components, [str(k) for k in components])
ax.minorticks_off()
ax.legend()
plt.show()

# %% tags=["hide-input"]
Markdown(
    f"Under N(0, I) the codes of validation frames have {reference:.1f} nats "
    f"each, under the best of these averages {top:.1f}: of the mismatch above, "
    f"at least {round(top, 1) - round(reference, 1):.1f} nats can be mended."
)

# %% [markdown]
# ## Which repair works, and what does it cost?
#
# Four other priors stand behind the same interface. Two are `Tempered`. A *flow* bends $\mathcal{N}(0, I)$ by
# invertible networks: neural splines {cite:p}`durkan2019`, from the library zuko. They are trained by gradients on
# codes of the training frames, drawn anew in each step. The validation frames only say when to stop, whereas the
# mixture is at last fitted to theirs, too. The *VampPrior* {cite:p}`tomczak2018` is learned together with the model:
# a mixture of the posteriors of 100 learned images, `VAEConfig(prior=VampConfig(pseudo_inputs=100))`. Its KL has no
# closed form, so the objective needs `kl="monte-carlo"`.

# %%
from vaelib.models import ObjectiveConfig
from vaelib.priors import VampConfig

base = modern(largest)
vamp_model = base.model.replace(
    prior=VampConfig(pseudo_inputs=100)
)
by_sampling = ObjectiveConfig(kl="monte-carlo")
vamp = base.replace(model=vamp_model, objective=by_sampling)
vamps = train_groups({"VampPrior": seeds_of(vamp, few)})["VampPrior"]

# %%
NAMES = {
    "none": "N(0, I)",
    "narrow": "N(0, 0.7² I)",
    "wide": "N(0, 1.5² I)",
    "flow": "flow",
    "mixture": "mixture",
}
compared = {
    NAMES[r]: (by_size[largest][:few], r)
    for r in NAMES
    if r in ("none", "mixture", *repairs)
}
compared["VampPrior, learned with the model"] = (vamps, "none")
compared["(reconstructions)"] = (by_size[largest][:few], "reconstructions")
table = judgement_table(compared)
table

# %% tags=["hide-input"]
from vaebook.experiments.sampling import fit_seconds

training = np.mean([r.environment["seconds"] for r in by_size[largest]])
extra = np.mean([r.environment["seconds"] for r in vamps])
fitting = {r: fit_seconds(run, r) for r in ("mixture", "flow") if r in repairs}
Markdown(
    f"What they cost, with {largest} latents, on one core of the machine that "
    f"made this page: training the model took {training:.0f} seconds a run, or "
    f"{extra:.0f} with the VampPrior. Fitting took "
    + " and ".join(f"{v:.0f} with the {r}" for r, v in fitting.items())
    + " (mixtures of 20, 40 and 80 components, twenty of each, and twenty of "
    "the chosen size on all codes)."
)


# %% mystnb={"figure": {"name": "fig-sampling-repairs", "caption": "Faces drawn by one decoder, seed 0, from N(0, I), the flow and the mixture, and, last, by the model that learned its VampPrior, seed 0; two rows each. Those of the mixture look like the film's frames. (28 frames of the film hold one tongue on average; {numref}`fig-sampling-nearest` shows more.)"}, "image": {"alt": "Rows of generated faces for each prior. Those from N(0, I) are partly distorted; those from the mixture look like frames of the film."}} tags=["hide-input"]
shown_repairs = [
    r for r in ("none", "flow", "mixture") if r in ("none", "mixture", *repairs)
]
blocks = {NAMES[r]: drawn(repaired(run, r), seed=2) for r in shown_repairs}
blocks |= {"VampPrior": drawn(vamps[0].model, seed=2)}
named_rows(blocks, film.shape)
plt.show()

# %% [markdown]
# ## Is the tongue really back?
#
# One seed proves little. Here are all models, repaired by a mixture whose size their validation frames chose:

# %%
judgement_table({f"z = {z}": (runs, "mixture") for z, runs in by_size.items()})


# %% tags=["hide-input"]
def mark_shares(ax, repair, shift, colour):
    """One mark for each run, in a column for each number of latents."""
    for i, runs in enumerate(by_size.values()):
        found = 100 * judged(runs, repair)["tongue"]
        at = i + shift + 0.02 * (np.arange(len(found)) - len(found) / 2)
        label = NAMES[repair] if i == 0 else None
        ax.plot(at, found, "o", color=plots.COLOURS[colour], ms=4, label=label)


# %% mystnb={"figure": {"name": "fig-sampling-shares", "caption": "Share of samples that show the tongue, one mark for each trained model: with N(0, I), and repaired with a mixture. The band is the 95 % interval about the film's own share."}, "image": {"alt": "For each number of latents a group of marks near zero and another that lies below a horizontal band for two latents, at its edge for five, and inside it for ten and twenty."}} tags=["hide-input"]
_, ax = plt.subplots(figsize=(5, 3.2))
band = {"color": plots.COLOURS["teal"]}
ax.axhspan(100 * in_film.low, 100 * in_film.high, alpha=0.2, lw=0, **band)
ax.axhline(100 * in_film.value, linewidth=1, **band)
mark_shares(ax, "none", -0.12, "rose")
mark_shares(ax, "mixture", 0.12, "indigo")
ax.set_xticks(range(len(by_size)), [str(z) for z in by_size])
ax.set(xlabel="number of latents", ylabel="tongue out (% of samples)")
ax.set_ylim(bottom=-0.1)
ax.legend(loc="center right")
plt.show()


# %% tags=["hide-input"]
def verdict(z):
    found = judged(by_size[z], "mixture")
    inside = sum(in_film.holds(value) for value in found["tongue"])
    below = sum(value < in_film.value for value in found["tongue"])
    chosen = [mixture_of(run).components for run in by_size[z]]
    return (
        f"- **{z} latents**: the share lies inside the film's interval for "
        f"{inside} of {len(found)} seeds, and below the film's share for {below}; "
        f"coverage is {mean_and_range(list(found['coverage']), 3)}, on tongue frames "
        f"{mean_and_range(list(found['coverage_on_tongue']), 3)}. Components of each "
        f"mixture, chosen among 20, 40 and 80: {', '.join(map(str, chosen))}."
    )


Markdown("\n".join(map(verdict, sizes)))

# %% [markdown]
# With ten or twenty latents the missing mode is back, in every seed. It is still a little rarer than in the film, in
# all of them. A mixture smooths what it fits, and what it takes from a small clump it gives to the space around it.
# With two latents the decoder itself is the limit. Asked for all frames, it drew tongues in 1.5 % (1.0 to 2.4) of its
# reconstructions, above, and samples from the mixture show as many.
#
# Draw from three of the priors yourself, side by side, and watch their counters.
#
# ```{explorer} explore-sampler
# ```

# %% [markdown]
# ## Did it only learn the frames by heart?
#
# A "model" that hands out training frames has perfect coverage. So we make three checks. First, we judge against
# *held-out* frames: those that nothing but the test has seen. Second, the squared distance of a sample (the median)
# to the nearest frame that was *seen*, in training or by the mixture, which knows the validation frames, too. Beside
# it stands that of a held-out frame, which is what really new pictures have. Last comes the distance of a sample to
# the nearest held-out frame. Third, *copying*: the chance that a sample lies nearer to the frames that were seen than
# a held-out frame does, a Mann-Whitney statistic {cite:p}`meehan2020`. One half means as new as new frames; more
# means copies. As a yardstick, the aggregate posterior itself: its samples are training codes plus the little noise
# of $q(z|x)$, so they are all but reconstructions of training frames.


# %%
from vaebook.experiments.sampling import judge


def heart(run):
    """Samples of q(z): reconstructions of training frames, drawn at random."""
    codes = aggregate_posterior(run.model, torch.from_numpy(parts.train), 2)
    order = torch.randperm(
        len(codes), generator=torch.Generator().manual_seed(0)
    )
    return judge(run.model.mean_image(codes[order]).numpy(), parts)


# %%
figures = ["coverage", "coverage_on_test"]
figures += ["distance", "distance_to_test", "copying"]
copies = judgement_table(
    {
        f"z = {z}, {NAMES[repair]}": (runs, repair)
        for z, runs in by_size.items()
        for repair in ("none", "mixture")
    },
    figures,
)
by_heart = heart(run)
cells = [f"{getattr(by_heart, figure):.2f}" for figure in figures]
copies.loc[f"z = {largest}, aggregate posterior"] = [*cells, 1]
copies

# %% tags=["hide-input"]
from vaebook.experiments.pictures import nearest

known = np.concatenate([parts.train, parts.validation])
new = np.median(nearest(parts.test, known).squared_distance)
Markdown(
    "For comparison: the median held-out frame lies at a squared distance of "
    f"{new:.2f} from the nearest frame that was seen. (There are "
    f"{len(known)} of these and {len(parts.test)} held-out ones, so the nearest "
    "of the latter tends to be farther away.)"
)


# %% mystnb={"figure": {"name": "fig-sampling-nearest", "caption": "Samples of the repaired model that show the tongue (above), each over the nearest frame that was seen (below): the largest model, seed 0. Some differ in pose or expression, some hardly at all."}, "image": {"alt": "Two rows of faces with the tongue out. Those below resemble those above closely, some in all but the grain."}} tags=["hide-input"]
many = drawn(repaired(run, "mixture"), 2000, seed=3)
with_tongue = many[tongues(many, film)]
found = with_tongue[:14] if len(with_tongue) else many[:14]
neighbours = known[nearest(found, known).row]
pairs = {"sample": found, "nearest": neighbours}
named_rows(pairs, film.shape, len(found))
plt.show()

# %% tags=["hide-input"]
test_tongues = parts.test[shown[film.split("random").test]]
apart = {
    name: np.median(nearest(pictures, known).squared_distance)
    for name, pictures in (("s", with_tongue), ("f", test_tongues))
    if len(pictures)
}
Markdown(
    f"Of the {len(with_tongue)} samples among {len(many)} that show the tongue, "
    f"the median lies at a squared distance of {apart.get('s', np.nan):.2f} from "
    f"the nearest frame that was seen; of the {len(test_tongues)} held-out "
    f"frames that show it, at {apart.get('f', np.nan):.2f}."
)

# %% [markdown]
# Not by heart, then. With five latents or more, samples of the mixture cover nearly as many of the held-out frames as
# of all frames. Their copying stays below one half, far from that of the yardstick. Single samples do come close to a
# frame that was seen.

# %% [markdown]
# ## And on frames unlike those it was trained on?
#
# The random split flatters: a held-out frame has near-copies of itself among the training frames. The split by time trains
# on the beginning of the film and tests on its last 200 frames, among them the last run of the tongue but for its first frame.
# Can a model draw expressions that it has never seen?

# %%
by_time = DataConfig(name=dataset, split="time")
later = seeds_of(modern(largest, by_time), few)
timed = {largest: train_groups({"by time": later})["by time"]}
figures = ("tongue", "coverage", "coverage_on_tongue", "coverage_on_test")
judgement_table(
    {
        f"{NAMES.get(repair, repair)}": (runs, repair)
        for z, runs in timed.items()
        for repair in ("none", "mixture", "reconstructions")
    },
    (*figures, "copying"),
)

# %% tags=["hide-input"]
late, late_asked = (
    judged(timed[largest], repair)
    for repair in ("mixture", "reconstructions")
)
earlier = film.split("time")
seen_share = proportion(shown[np.concatenate([earlier.train, earlier.validation])])
Markdown(
    "Of the frames of this split that the model or the mixture has seen "
    f"{100 * seen_share.value:.1f} % show the tongue (95 % interval "
    f"{100 * seen_share.low:.1f} to {100 * seen_share.high:.1f} %), and of the "
    "repaired samples "
    f"{mean_and_range(list(100 * late['tongue']), 1)} %. They cover "
    f"{mean_and_range(list(100 * late['coverage_on_test']), 1)} % of the unseen end of "
    "the film. Asked for these very frames, the decoder covers "
    f"{mean_and_range(list(100 * late_asked['coverage_on_test']), 1)} %, with a "
    "squared error of "
    f"{mean_and_range([r.metrics['test']['squared_error'] for r in timed[largest]])} "
    "for each."
)

# %% [markdown]
# An honest word, then. A repaired prior gives back what the model was shown, the rare mode somewhat too seldom. It
# invents little. Expressions that came only after the frames it has seen are mostly not among its samples. Yet the
# decoder could draw a good part of them if it were given the right codes. By this split's own measure samples are
# also nearer to the frames that were seen than the held-out frames are, since those lie in another part of the space.
# What a new expression costs is frames that show it.
#
# ## What does the better prior do for the likelihood?
#
# The repaired model has an ELBO and a likelihood, and both should gain. For a comparison with published figures we
# need a probability of grey levels {eq}`eq-discretised` and a model made for that game. It is the modern recipe with
# 40 latents and the discretised logistic, whose scale the decoder states for each pixel of each image. The KL weight
# grows to 1 over the first quarter of 800 epochs, so that latents come into use before they cost their full price. We
# keep the weights of that epoch after the first quarter that was best on the validation frames. Training stops when a
# hundred epochs in a row have brought no better one.

# %%
logistic = LikelihoodConfig(
    name="discretised-logistic", sigma="per-pixel", sigma_value=0.1
)
wide_base = modern(coder_latents, likelihood=logistic, epochs=epochs or 800)
compressor = wide_base.replace(
    objective=ObjectiveConfig(warmup_epochs=(epochs or 800) / 4),
    training=wide_base.training.replace(patience=(epochs or 800) // 8 or 1),
)

# %%
from vaebook.experiments.sampling import bits_of_runs

coders = train_groups({"coder": seeds_of(compressor, few)})["coder"]


def priced(ways):
    """Bits for each coder and each (repair, refine) of ways."""
    return bits_of_runs([(run, *way) for way in ways for run in coders], draws)


def bit_row(repair, refine):
    found = priced([(repair, refine)])
    return {
        "−ELBO": mean_and_range([f.bound for f in found], 3),
        "−log p(x)": mean_and_range([f.nll for f in found], 3),
        "Monte Carlo error": f"{max(f.error for f in found):.4f}",
        "seeds": len(found),
    }


# %% [markdown]
# One more thing stands between a model and its bound on held-out frames: the encoder. It names a Gaussian $q(z|x)$ at a
# glance, and on frames that it was not trained on its guess is hasty. The bound holds for *any* $q$. So, with decoder and
# prior as they are, we may fit mean and variance of $q$ to each test frame by climbing its ELBO for 100 steps. What that
# gains is the *amortisation gap* {cite:p}`cremer2018`.

# %%
ways = {
    f"{NAMES[repair]}, {how}": (repair, steps)
    for repair in ("none", "mixture")
    for how, steps in (("encoder's q", 0), ("refined q", 100))
}
priced(ways.values())  # all at once: the cores share them
pd.DataFrame.from_dict(
    {name: bit_row(*way) for name, way in ways.items()}, orient="index"
)

# %% [markdown]
# Bits per dimension of the 200 test frames, with $\log p(x)$ by importance sampling from the same $q$. Published
# figures are on random splits of the same sizes and with the encoder's $q$. The −ELBO is 4.53 for a VAE without flow,
# 4.45 with Sylvester flows {cite:p}`vandenberg2018` and 4.39 with FFJORD {cite:p}`grathwohl2019`. The −log p(x) is
# 4.64 for a multi-layer perceptron and 4.54 for the same with a VampPrior {cite:p}`tomczak2018`. Our mixture has been
# fitted to the codes of the validation frames as well, once these had chosen its size; the published priors were
# learned from the training frames alone. Which frames fall into the test part matters, too: ours are those of
# `split_seed=0`.


# %% tags=["hide-input"]
def mean_bits(repair, refine, field):
    found = [getattr(f, field) for f in priced([(repair, refine)])]
    return round(np.mean(found), 3)  # as the table shows it


alone = mean_bits("none", 0, "bound")
mended = mean_bits("mixture", 0, "bound")
refined = mean_bits("mixture", 100, "bound")
short = mean_bits("mixture", 0, "nll") - refined
Markdown(
    f"The better prior gains {alone - mended:.3f} bits per dimension of the "
    f"bound, the better $q$ another {mended - refined:.3f}. With the encoder's $q$, "
    f"importance sampling from {draws} draws puts −log p(x) "
    f"{abs(short):.3f} bits {'above' if short > 0 else 'below'} the refined "
    "bound"
    + (
        ", which could not be if it had converged: it had not. Nor does the "
        "Monte Carlo error in the table warn of that: it comes from the spread "
        "of the weights, and is too small where a few draws carry them all. An "
        "estimate of the likelihood is only as good as the $q$ that it draws "
        "from."
        if short > 0
        else "."
    )
)

# %% [markdown]
# ## What lies between two expressions?
#
# A walk in latent space: start at the code of one frame, end at that of another, decode what lies between. Below, four
# typical frames (those nearest to the four centres that k-means finds among the codes) walk to a tongue.

# %%
from sklearn.cluster import KMeans

from vaebook.experiments.pictures import walk

centres = KMeans(4, n_init=1, random_state=0).fit(mean.numpy())
typical = mean[nearest(centres.cluster_centers_, mean.numpy()).row]
train_out = shown[film.split("random").train]
tongue_codes = mean[torch.from_numpy(train_out)]
target = tongue_codes[len(tongue_codes) // 4]
walks = [walk(torch.stack([code, target]), 13) for code in typical]


# %% mystnb={"figure": {"name": "fig-sampling-walks", "caption": "Straight lines in latent space from four typical expressions (left) to a tongue (right), decoded at 14 places; largest model, seed 0."}, "image": {"alt": "Four rows of faces, each from another expression at the left to the same face with its tongue out at the right, changing gradually."}} tags=["hide-input"]
decoded = [run.model.mean_image(codes).numpy() for codes in walks]
plots.image_grid(np.concatenate(decoded), film.shape, 14)
plt.show()

# %% [markdown]
# The pictures on the way look like faces. Are they the faces that one would see on the way? The film knows: take two frames
# some way apart, decode the middle of their codes, and compare with the frame that was in the middle. The rival needs no
# model: it averages the two frames pixel by pixel. Test frames are the middles, so none of them was trained on.


# %%
def middles(gap):
    """Squared error of both guesses for test frames whose film has frames `gap` before and after."""
    every = torch.from_numpy(film.matrix())
    test = film.split("random").test
    test = test[(test >= gap) & (test < len(film) - gap)]
    before, after, truth = every[test - gap], every[test + gap], every[test]
    ends = [encode(run.model, frames)[0] for frames in (before, after)]
    guess = run.model.mean_image((ends[0] + ends[1]) / 2)
    errors = {"codes": guess - truth, "pixels": (before + after) / 2 - truth}
    return {name: e.square().sum(1).mean().item() for name, e in errors.items()}


between = pd.DataFrame({2 * gap: middles(gap) for gap in (1, 2, 4, 8, 16, 32)})
between.round(2).rename_axis(columns="frames apart", index="averaging")


# %% tags=["hide-input"]
wins = between.columns[between.loc["codes"] < between.loc["pixels"]]
Markdown(
    "Averaging codes beats averaging pixels where frames are "
    f"{', '.join(map(str, wins)) or 'none of these distances'} apart."
)

# %% [markdown]
# The margin is small, and this is one model. Half-way along a straight line between codes the face is guessed hardly
# better than by the average of two pictures. From frames 64 apart it is guessed worse than by the average of the
# whole film (6.47, {doc}`03_training`). Far from its ends a line may leave the places where codes lie, as the pale
# face half-way in the third row of {numref}`fig-sampling-walks` suggests.
#
# ## What does the film look like from inside?
#
# {numref}`fig-sampling-film` joins the codes of all frames in their order, beside draws from the prior and from the mixture.


# %% mystnb={"figure": {"name": "fig-sampling-film", "caption": "The film as a path through latent space (line; colour is time, tongue frames in rose), in the plane of its first two principal components; largest model, seed 0. Grey: draws from the prior N(0, I) (left) and from the mixture (right). The mixture draws where the film has been."}, "image": {"alt": "Two panels with the same tangled path. Left, grey crosses fill a round cloud, which the path leaves far to the left and upwards and hardly enters at the lower right; right, grey crosses lie where the path is."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7, 3.5), sharex=True, sharey=True)
path = onto(encode(run.model, torch.from_numpy(film.matrix()))[0])
for ax, repair in zip(axes, ("none", "mixture"), strict=True):
    prior = repaired(run, repair).prior
    draws = onto(prior.sample(len(path), torch.Generator().manual_seed(0)))
    ax.plot(*draws.T, "x", color="#999999", ms=3, zorder=0)
    ax.plot(*path.T, color=plots.INK, linewidth=0.3, zorder=1)
    ax.scatter(*path.T, s=4, c=np.arange(len(path)), cmap="viridis", zorder=2)
    ax.plot(*path[shown].T, "o", color=plots.COLOURS["rose"], ms=3, zorder=3)
    ax.set(title=NAMES[repair], xlabel="first component")
axes[0].set_ylabel("second component")
plt.show()

# %% [markdown]
# And this is what it looks like to be drawn by the two priors. The same decoder, twelve faces each, that walk from one draw
# to the next:


# %% mystnb={"figure": {"name": "fig-sampling-dreams", "caption": "Twelve walks between draws from N(0, I) (left) and twelve between draws from the mixture (right), by the same decoder. Count the tongues."}, "image": {"alt": "An animation of two groups of twelve faces that change all the time. Some of those to the left blur and distort, most of those to the right look like the film; now and then one puts out its tongue.", "width": "640px"}} tags=["hide-input"]
from vaebook.experiments.pictures import gif


def dream(model, faces=12, stations=8, steps=5, pause=2):
    codes = model.prior.sample(
        faces * stations, torch.Generator().manual_seed(5)
    )
    way = walk(codes.view(stations, faces, -1), steps, closed=True, pause=pause)
    pictures = model.mean_image(way).numpy()
    return [plots.canvas(moment, film.shape, 4) for moment in pictures]


left, right = dream(run.model), dream(repaired(run, "mixture"))
between_them = np.full((len(left[0]), 6), np.nan)
sheets = [
    np.hstack([a, between_them, b]) for a, b in zip(left, right, strict=True)
]
Image(data=gif(sheets, 120), format="gif")

# %% [markdown]
# ## What have we learned?
#
# The report's observation holds: with $z$ drawn from $\mathcal{N}(0, I)$ the tongue is all but missing. Drawing more
# widely brings little of it back: at $T = 1.5$ it shows in 0.3 to 0.8 % of samples. With ten or more latents the
# price is samples away from the film. Its explanations do not hold for the modern recipe. The data are few and
# correlated. Still a plain multi-layer perceptron with ten latents or more, without any regulariser but the KL, draws
# the expressions of the film when asked for them, the rare one included. Of frames from a part of the film that it
# never saw, it draws seven in ten. Bernoulli pixels bring samples nearer to the film, but hardly the tongue (0.3 %).
# (The report's own recipe has collapsed: {doc}`03_training`.) What is wrong is the question that we ask the decoder.
# With a mixture fitted to the codes in place of $\mathcal{N}(0, I)$, in seconds, the tongue comes back with ten or
# more latents, within the interval of its share of the film. Of the priors that we tried the mixture comes nearest to
# the film, by share and coverage together. The VampPrior, learned with the model, is second. The flow, in the one
# setting that we tried, brings back a fifth of the tongues. What the repair hardly gives is what the frames that it
# has seen did not show.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-sampling-vampire
#
# A mixture with one component for each training frame, $q(z|x_n)$, is the aggregate posterior itself. Why not use that as
# the prior? What would its coverage, its copying and its held-out likelihood be?
# ```
#
# ```{solution} ex-sampling-vampire
# :class: dropdown
#
# On the training frames nothing beats it: it *is* the density of their codes. Its samples are reconstructions of training
# frames with a little noise, so coverage is nearly perfect and copying is far above one half (the last row of the table of
# copying). Held-out codes lie between the narrow components, where its density is almost nothing, so expect a held-out likelihood
# far below that of the mixture that validation frames chose. `gaussian_log_prob` and a `logsumexp`, as in the cell on {eq}`eq-aggregate`, tell by how much.
# ```
#
# ```{exercise}
# :label: ex-sampling-split
#
# How much do bits per dimension depend on the split? Train the coder on the splits with `split_seed` 1 and 2.
# ```
#
# ```{solution} ex-sampling-split
# :class: dropdown
#
# `compressor.replace(data=DataConfig(name="frey", split="random", split_seed=1))` gives the configuration; `train`
# the run, and `bits_of_runs([(run, "none", 0)])` its figures. Hold the differences beside those between the published methods: a comparison across papers that do
# not share the split says no more than they allow.
# ```
#
# ```{exercise}
# :label: ex-sampling-witnesses
#
# How often do the two witnesses disagree? Count, in samples of the original recipe and in samples of the repaired model,
# what the detector alone calls a tongue.
# ```
#
# ```{solution-start} ex-sampling-witnesses
# :class: dropdown
# ```

# %%
suspects = {
    "kingma-welling": others["kingma-welling"][0].model,
    "mixture": repaired(run, "mixture"),
}
pictures = {name: drawn(model, 5000) for name, model in suspects.items()}


def near_tongue(some):
    return shown[nearest(some, film.matrix()).row]


pd.DataFrame.from_dict(
    {
        name: {
            "detector alone (%)": 100 * detector(some).mean(),
            "nearest frame alone (%)": 100 * near_tongue(some).mean(),
            "both (%)": 100 * tongues(some, film).mean(),
        }
        for name, some in pictures.items()
    },
    orient="index",
).round(2)

# %% [markdown]
# Where samples are faces, each confirms nearly all that the other says. Where they are not, the detector's word is worth nothing: a linear classifier has
# no notion of a picture that is neither.
#
# ```{solution-end}
# ```
