"""The training loop: knows data, a loss and an optimiser, nothing of VAEs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelib.config import Config
from vaelib.progress import bar

__all__ = ["NonFiniteLossError", "TrainingConfig", "averages", "fit", "pick_device"]

# Adam's moments decay into denormal numbers, on which a CPU is many times slower. The flag must be set before torch
# starts its threads, hence here and not in `fit`.
torch.set_flush_denormal(True)

LossFunction = Callable[[Tensor, float, "torch.Generator | None"], Mapping[str, Tensor]]
"""(batch, epoch, generator) -> figures per example, (B,) or (), with "loss" among them, which is minimised."""

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
FUSED = {"adagrad", "adam", "adamw", "sgd"}  # torch updates all parameters of these in one pass


class TrainingConfig(Config):
    """How a loss is minimised.

    `weight_decay` is torch's: an L2 term in the gradient (decoupled for "adamw"). "cosine" lowers the step to zero
    along half a cosine over all `epochs`. `patience` stops a run whose held-out loss has not improved for so many
    epochs, and brings back its best weights.
    """

    optimiser: Literal["adagrad", "adam", "adamw", "nadam", "radam", "rmsprop", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    batch_size: PositiveInt = 128
    epochs: PositiveInt = 30
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    patience: PositiveInt | None = None
    device: str = "auto"


class NonFiniteLossError(RuntimeError):
    """The loss became nan or infinite. `model` holds its last good weights, `history` what was recorded before."""

    def __init__(self, message: str, model: nn.Module, history: pd.DataFrame) -> None:
        super().__init__(message)
        self.model, self.history = model, history

    def __reduce__(self) -> tuple[Any, ...]:  # so that it reaches the parent when a worker process raises it
        return type(self), (str(self), self.model, self.history)


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        ValueError: when the device is unknown or not on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={name!r} cannot be used here ({str(error).splitlines()[0]}): use 'auto' or 'cpu'"
        ) from None


def fit(
    model: nn.Module,
    loss: LossFunction,
    train: Tensor,
    config: TrainingConfig,
    *,
    seed: int = 0,
    held_out: Mapping[str, Tensor] | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Minimises the mean of `loss` over `train` (N, D) by changing `model` in place; returns the history.

    The history has a row per epoch: epoch, samples_seen, seconds, and the mean of every figure that `loss` returns, as
    ``train_<figure>`` (averaged over the epoch's batches, while the weights moved) and as ``<name>_<figure>`` for each
    array of `held_out` (at the epoch's end, always with the same noise). `patience` watches the first of `held_out`.

    The same seed, data and number of threads give the same bits. `progress` None shows a bar to people only: in
    terminals and live notebooks, not in logs, and never where TQDM_DISABLE=1.

    Raises:
        ValueError: for data that is empty, not float (N, D) or not finite.
        NonFiniteLossError: at the first loss that is nan or infinite.
    """
    held_out = dict(held_out or {})
    for name, x in {"train": train, **held_out}.items():
        _check_data(name, x)
    if config.patience and not held_out:
        raise ValueError(
            f"patience={config.patience} needs held-out data to watch: pass held_out={{'validation': ...}}"
        )
    device = pick_device(config.device)
    model.to(device)
    train = train.to(device)
    held_out = {name: x.to(device) for name, x in held_out.items()}
    generator = torch.Generator(device).manual_seed(seed)
    optimiser = _optimiser(model, config)
    watch = _Watch(model, config.patience)
    rows: list[dict[str, float]] = []
    start = time.perf_counter()
    with bar(total=config.epochs, desc="training", unit="epoch", show=progress) as shown:
        for epoch in range(config.epochs):
            try:
                row = _epoch(model, loss, train, config, optimiser, epoch, generator)
            except _NonFinite as found:
                watch.restore_last()
                raise NonFiniteLossError(_explain(found, epoch, config), model, pd.DataFrame(rows)) from None
            for name, x in held_out.items():
                row |= {f"{name}_{key}": value for key, value in averages(model, loss, x, epoch + 1, seed=seed).items()}
            seconds = time.perf_counter() - start
            rows.append({"epoch": epoch + 1, "samples_seen": (epoch + 1) * len(train), "seconds": seconds, **row})
            shown.set_postfix_str(" ".join(f"{key} {row[key]:.2f}" for key in row if key.endswith("_loss")))
            shown.update()
            if watch.is_over(row[f"{next(iter(held_out))}_loss"] if config.patience else None):
                break
    if config.patience:
        watch.restore_best()
    model.eval()
    return pd.DataFrame(rows)


def averages(
    model: nn.Module, loss: LossFunction, x: Tensor, epoch: float = 0.0, *, batch_size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """The mean over x (N, D) of every figure that `loss` returns, without training."""
    generator = torch.Generator(x.device).manual_seed(seed)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        sums = _Sums()
        for batch in x.split(batch_size):
            sums.add(loss(batch, epoch, generator), len(batch))
    model.train(was_training)
    return sums.means()


def _epoch(
    model: nn.Module,
    loss: LossFunction,
    train: Tensor,
    config: TrainingConfig,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """One pass over the data in random order."""
    model.train()
    sums = _Sums()
    batches = math.ceil(len(train) / config.batch_size)
    for step, batch in enumerate(_shuffled(train, config.batch_size, generator)):
        progress = epoch + step / batches
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(config, progress)
        figures = loss(batch, progress, generator)
        mean_loss = figures["loss"].mean()
        if not math.isfinite(mean_loss.item()):
            raise _NonFinite(epoch * batches + step, mean_loss.item())
        optimiser.zero_grad()
        mean_loss.backward()
        if config.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        sums.add(figures, len(batch))
    return {f"train_{key}": value for key, value in sums.means().items()}


def _shuffled(x: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    for indices in torch.randperm(len(x), generator=generator, device=x.device).split(batch_size):
        yield x[indices]


def _learning_rate(config: TrainingConfig, epoch: float) -> float:
    if config.schedule == "constant":
        return config.learning_rate
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))


def _optimiser(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimiser in FUSED and next(model.parameters()).device.type in ("cpu", "cuda"):
        settings["fused"] = True
    return OPTIMISERS[config.optimiser](model.parameters(), **settings)


class _Sums:
    """Running sums of figures per example."""

    def __init__(self) -> None:
        self.total: dict[str, Tensor] = {}
        self.count = 0

    def add(self, figures: Mapping[str, Tensor], examples: int) -> None:
        for key, value in figures.items():
            value = value.detach().mean().to("cpu", torch.float64) * examples
            self.total[key] = self.total[key] + value if key in self.total else value
        self.count += examples

    def means(self) -> dict[str, float]:
        return {key: value.item() / self.count for key, value in self.total.items()}


class _Watch:
    """Remembers the last weights that gave a finite loss, and the best ones."""

    def __init__(self, model: nn.Module, patience: int | None) -> None:
        self.model, self.patience = model, patience
        self.last = self.best = self._copy()
        self.best_loss, self.waited = math.inf, 0

    def _copy(self) -> dict[str, Tensor]:
        return {key: value.clone() for key, value in self.model.state_dict().items()}

    def is_over(self, held_out_loss: float | None) -> bool:
        self.last = self._copy()
        if self.patience is None or held_out_loss is None:
            return False
        if held_out_loss < self.best_loss:
            self.best, self.best_loss, self.waited = self.last, held_out_loss, 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore_last(self) -> None:
        self.model.load_state_dict(self.last)

    def restore_best(self) -> None:
        self.model.load_state_dict(self.best)


class _NonFinite(Exception):
    def __init__(self, step: int, value: float) -> None:
        self.step, self.value = step, value


def _explain(found: _NonFinite, epoch: int, config: TrainingConfig) -> str:
    kept = f"the end of epoch {epoch}" if epoch else "the start"
    return (
        f"the loss became {found.value} at step {found.step} (epoch {epoch + 1} of {config.epochs}); the model keeps "
        f"its weights of {kept}. Try a smaller learning_rate (now {config.learning_rate:g}) or set clip_norm"
    )


def _check_data(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.dim() != 2 or not x.is_floating_point():
        what = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} data is {what}: expected a float tensor (images, pixels)")
    if not len(x):
        raise ValueError(f"{name} data is empty: it needs at least one image")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} data holds nan or infinite values: clean it first")
