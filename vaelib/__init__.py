"""vaelib: variational autoencoders to read, to run and to trust. Write ``import vaelib as vae``.

From the bottom up, each module building on those before it:

    config         settings: frozen, typed, refused in one clear line; grids of them
    data           images: named sets, a user's own, splits
    likelihoods    p(x|z)              posteriors   q(z|x)              priors   p(z)
    objectives     the ELBO and its relatives, one figure per image, in nats
    models         what every family of models offers (models.base), and one file a family: vae, hierarchical, vq,
                   categorical, gan
    linear         what theory says before any training
    training       fit: any model, any loss
    evaluation     log p(x), errors, active units
    transport      a prior that moves noise to codes: flow matching
    runs           a training as files in a store; train        sweeps   many of them, on all cores or a cluster
    diagnosis      why latents lie idle or a GAN fails, and what to try     evidence  what is measured for it
    plots          arrays in, axes out                  cli  the command `vaelib`

A new prior goes into `priors`, a new likelihood into `likelihoods`, a new family into a file of its own in `models`.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_PLACES = {
    "data": "DataConfig DataError ImageData load prepare",
    "config": "Config ConfigError grid",
    "likelihoods": "LikelihoodConfig",
    "priors": "Mixture StandardNormal Tempered fit_mixture with_prior",
    "objectives": "Terms elbo importance_weighted_bound",
    "models": "VAE LatentVariableModel ObjectiveConfig VAEConfig register GAN GANConfig GANObjective "
    "HierarchicalConfig HierarchicalObjective HierarchicalVAE VQ VQConfig Categorical CategoricalConfig "
    "CategoricalObjective",
    "training": "TrainingConfig fit",
    "evaluation": "Estimate log_likelihood summary",
    "transport": "FlowMatching fit_flow_matching",
    "runs": "Run RunConfig Store train",
    "sweeps": "sweep train_all",
    "diagnosis": "diagnose diagnose_model",
}
_MODULES: tuple[str, ...] = ("config", "data", "diagnosis", "evaluation", "likelihoods", "linear", "models")
_MODULES += ("objectives", "plots", "posteriors", "priors", "runs", "sweeps", "training", "transport")
_NAMES = {name: module for module, names in _PLACES.items() for name in names.split()}

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    """Imports what is asked for: torch waits until a model is."""
    if name in _NAMES:
        return getattr(import_module(f"vaelib.{_NAMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"vaelib.{name}")
    raise AttributeError(f"module 'vaelib' has no attribute {name!r}; it has: {', '.join(sorted(__all__))}")


def __dir__() -> list[str]:
    return sorted(__all__)
