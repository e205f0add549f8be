"""The claims, in their sense: those of the report by subject, then those of Kingma and Welling 2013, section 5."""

from __future__ import annotations

from vaelib.scorecard.card import Claim

__all__ = ["KINGMA_WELLING", "REPORT"]

REPORT = {
    "1": Claim("Few latents restrict diversity.", "{numref}`fig-sweeps-variety`"),
    "2": Claim(
        "More latents add variability but may blur, through a mismatch of prior and posterior.",
        "{numref}`fig-sweeps-sharpness`, {numref}`fig-sweeps-mismatch`",
    ),
    "3": Claim("Learned pixel variances blur more.", "{numref}`fig-collapse-per-pixel`"),
    "4": Claim("The sigmoid on the mean is what makes Frey reconstructions sharp.", "{numref}`fig-collapse-faces`"),
    "5": Claim("Without it pixels are unstable and gradients poor.", "{doc}`05_collapse`"),
    "6": Claim("The sigmoid before a Gaussian mean is crucial for continuous data.", "{numref}`fig-collapse-effects`"),
    "7": Claim("More latents, less reconstruction error but more blur.", "{numref}`fig-sweeps-sharpness`"),
    "8": Claim(
        "At every setting more latents give a lower reconstruction loss and a higher KL.", "{numref}`fig-sweeps-bound`"
    ),
    "9": Claim("That trend persists throughout training.", "{numref}`fig-sweeps-curves`"),
    "10": Claim("The bound is best at 20 latents and degrades beyond.", "{numref}`fig-sweeps-bound`"),
    "11": Claim(
        "Reconstructions are blurrier at 20 although the bound is best: it does not follow perceived quality.",
        "{numref}`fig-sweeps-sharpness`",
    ),
    "12": Claim("MNIST reconstructions are sharp and faithful to the digit.", "{doc}`03_training`"),
    "13": Claim("They are stable across seeds and hyperparameters.", "{doc}`03_training`"),
    "14": Claim(
        "MNIST samples from the prior are varied and change smoothly.",
        "{numref}`fig-training-digits-samples`, {numref}`fig-training-manifold-digits`",
    ),
    "15": Claim("t-SNE of the codes shows well-separated clusters by class.", "{numref}`fig-sweeps-tsne`"),
    "16": Claim(
        "MNIST converges faster than Frey, and to a lower variational bound.",
        "{doc}`04_sweeps`",
        depends_on="the unit of time and the recipe",
    ),
    "17": Claim(
        "Frey samples show very little variation, even when sampled widely.",
        "{numref}`fig-sampling-prior`",
        depends_on="the recipe",
    ),
    "18": Claim("The tongue-out frames never appear.", "{numref}`fig-sampling-shares`"),
    "19": Claim("The same holds for other public implementations.", "{doc}`06_sampling`"),
    "20": Claim(
        "Frey converges more slowly, with a higher reconstruction term.",
        "{doc}`04_sweeps`",
    ),
    "21": Claim(
        "Small, correlated data make the model average, unless regularised.",
        "{doc}`05_collapse`",
        depends_on="sigma and the recipe",
    ),
    "22": Claim("Gaussian decoders under-represent small modes.", "{doc}`06_sampling`", depends_on="the prior"),
    "23": Claim(
        "In the collapse, posterior means and log-variances are near 0 and the KL vanishes.",
        "{numref}`fig-collapse-symptoms`",
    ),
    "24": Claim(
        "Sigmoid, less capacity and fewer latents cure it; the KL is then stable and not zero.",
        "{numref}`fig-collapse-remedies`",
    ),
    "25": Claim(
        "Frey is more prone to collapse because it needs no large latent space.", "{numref}`fig-collapse-sigma`"
    ),
    "26": Claim("The cures restore the use of the latents, but not the missing modes.", "{doc}`05_collapse`"),
}
"""By the numbers that the book gives them."""

KINGMA_WELLING = {
    "A": Claim("Superfluous latents do not overfit.", "{numref}`fig-sweeps-samples`", depends_on="the data"),
    "B": Claim(
        "The algorithm converges faster than wake-sleep, and to a better solution, in all experiments.",
        "{ref}`scorecard-wake-sleep`",
    ),
    "C": Claim(
        "Monte Carlo EM is as good on small data but not efficient on all of MNIST; AEVB is.",
        untested="The book has no Monte Carlo EM. Training by AEVB on all of MNIST takes minutes on one core.",
    ),
    "D": Claim(
        "Latents of two dimensions show a smooth manifold of the data.",
        "{numref}`fig-sweeps-manifold-digits`, {numref}`fig-sweeps-manifold-faces`",
    ),
}
"""Of Kingma and Welling 2013, section 5 with its figures."""
