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

from vaelib.checkpoints import Checkpoint
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
    epochs, and brings back its best weights; see `fit` for losses that change their meaning.
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
    settled: int = 0,
    checkpoint: Checkpoint | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Minimises the mean of `loss` over `train` (N, D) by changing `model` in place; returns the history.

    The history has a row per epoch: epoch, samples_seen, and the mean of every figure that `loss` returns, as
    ``train_<figure>`` (averaged over the epoch's batches, while the weights moved) and as ``<name>_<figure>`` for each
    array of `held_out` (at the epoch's end, always with the same noise). Its ``attrs["seconds"]`` is the time taken.
    `patience` watches the first of `held_out`, once `settled` epochs are over: a loss whose weights still change, as in
    a KL warm-up, has no best epoch.

    The same seed, data and number of threads give the same bits, also when a killed training goes on from `checkpoint`.
    `progress` None shows a bar to people only: in terminals and live notebooks, not in logs.

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
    session = _Session(model, config, torch.Generator(device).manual_seed(seed), settled)
    if checkpoint and (saved := checkpoint.load()):
        session.restore(*saved)
    with bar(total=config.epochs, initial=len(session.rows), desc="training", unit="epoch", show=progress) as shown:
        while not session.over:
            start = time.perf_counter()
            row = _epoch(session, loss, train)
            for name, x in held_out.items():
                means = averages(model, loss, x, len(session.rows) + 1, seed=seed)
                row |= {f"{name}_{key}": value for key, value in means.items()}
            session.finish_epoch(row, len(train), time.perf_counter() - start)
            shown.set_postfix_str(" ".join(f"{key} {row[key]:.2f}" for key in row if key.endswith("_loss")))
            shown.update()
            if checkpoint and checkpoint.due() and not session.over:
                checkpoint.save(*session.state())
    if config.patience:
        model.load_state_dict(session.best)
    model.eval()
    return session.history()


def averages(
    model: nn.Module, loss: LossFunction, x: Tensor, epoch: float = 0.0, *, batch_size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """The mean over x (N, D) of every figure that `loss` returns, without training."""
    generator = torch.Generator(x.device).manual_seed(seed)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        recorded = _Means()
        for batch in x.split(batch_size):
            recorded.add(loss(batch, epoch, generator), len(batch))
    model.train(was_training)
    return recorded.means()


def _epoch(session: _Session, loss: LossFunction, train: Tensor) -> dict[str, float]:
    """One pass over the data in random order."""
    model, config, optimiser, epoch = session.model, session.config, session.optimiser, len(session.rows)
    weights = list(model.parameters())
    model.train()
    recorded = _Means()
    batches = math.ceil(len(train) / config.batch_size)
    for step, batch in enumerate(_shuffled(train, config.batch_size, session.generator)):
        progress = epoch + step / batches
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(config, progress)
        figures = loss(batch, progress, session.generator)
        mean_loss = figures["loss"].mean()
        if not math.isfinite(mean_loss.item()):
            raise session.failure(mean_loss.item(), epoch * batches + step)
        recorded.add(figures, len(batch))
        for weight in weights:  # as optimiser.zero_grad() does, in a tenth of the time
            weight.grad = None
        mean_loss.backward()
        if config.clip_norm:
            nn.utils.clip_grad_norm_(weights, config.clip_norm)
        optimiser.step()
    return {f"train_{key}": value for key, value in recorded.means().items()}


def _shuffled(x: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    for indices in torch.randperm(len(x), generator=generator, device=x.device).split(batch_size):
        yield x.index_select(0, indices)  # x[indices] in half the time


def _learning_rate(config: TrainingConfig, epoch: float) -> float:
    if config.schedule == "constant":
        return config.learning_rate
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))


def _optimiser(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimiser in FUSED and next(model.parameters()).device.type in ("cpu", "cuda"):
        settings["fused"] = True
    return OPTIMISERS[config.optimiser](model.parameters(), **settings)


class _Means:
    """Copies of figures per example, kept until their means are asked for: a step then waits for none of them."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def add(self, figures: Mapping[str, Tensor], examples: int) -> None:
        for key, value in figures.items():
            self.values.setdefault(key, []).append(value.detach().clone().expand(examples))

    def means(self) -> dict[str, float]:
        return {key: torch.cat(values).cpu().double().mean().item() for key, values in self.values.items()}


class _Session:
    """Everything that changes during training, so that it can be saved and taken up again."""

    def __init__(self, model: nn.Module, config: TrainingConfig, generator: torch.Generator, settled: int) -> None:
        self.model, self.config, self.generator, self.settled = model, config, generator, settled
        self.optimiser = _optimiser(model, config)
        self.rows: list[dict[str, float]] = []
        self.last = self.best = self._weights()  # of the last epoch, and of the best on held-out data
        self.best_loss, self.waited, self.seconds = math.inf, 0, 0.0

    def _weights(self) -> dict[str, Tensor]:
        return {key: value.clone() for key, value in self.model.state_dict().items()}

    @property
    def over(self) -> bool:
        patience = self.config.patience
        return len(self.rows) >= self.config.epochs or (patience is not None and self.waited >= patience)

    def finish_epoch(self, row: dict[str, float], examples: int, seconds: float) -> None:
        epoch = len(self.rows) + 1
        self.rows.append({"epoch": epoch, "samples_seen": epoch * examples, **row})
        self.last = self._weights()
        self.seconds += seconds
        if epoch <= self.settled:
            self.best = self.last
        elif self.config.patience:
            watched = next(value for key, value in row.items() if key.endswith("_loss") and key != "train_loss")
            self.waited += 1
            if watched < self.best_loss:
                self.best, self.best_loss, self.waited = self.last, watched, 0

    def history(self) -> pd.DataFrame:
        history = pd.DataFrame(self.rows)
        history.attrs["seconds"] = self.seconds
        return history

    def failure(self, loss: float, step: int) -> NonFiniteLossError:
        """Brings back the last good weights and says what happened."""
        self.model.load_state_dict(self.last)
        epoch = len(self.rows)
        return NonFiniteLossError(
            f"the loss became {loss} at step {step} (epoch {epoch + 1} of {self.config.epochs}); the model keeps its "
            f"weights of {f'the end of epoch {epoch}' if epoch else 'the start'}. Try a smaller learning_rate (now "
            f"{self.config.learning_rate:g}) or set clip_norm",
            self.model,
            self.history(),
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All of it as tensors, and as facts that JSON can hold."""
        tensors = {"generator": self.generator.get_state()}
        tensors |= {f"last/{key}": value for key, value in self.last.items()}
        tensors |= {f"best/{key}": value for key, value in self.best.items()} if self.config.patience else {}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{key}": value for key, value in moments.items()}
        facts = {"rows": self.rows, "best_loss": self.best_loss, "waited": self.waited, "seconds": self.seconds}
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """The opposite of `state`."""
        self.rows, self.seconds = facts["rows"], facts["seconds"]
        self.best_loss, self.waited = facts["best_loss"], facts["waited"]
        parts: dict[str, dict[str, Tensor]] = {"last": {}, "best": {}, "optimiser": {}}
        for key, value in tensors.items():
            part, _, rest = key.partition("/")
            if rest:
                parts[part][rest] = value
        self.model.load_state_dict(parts["last"])
        self.last, self.best = self._weights(), parts["best"]
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["optimiser"].items():
            index, _, name = key.partition("/")
            moments.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.generator.set_state(tensors["generator"])


def _check_data(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.dim() != 2 or not x.is_floating_point():
        what = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} data is {what}: expected a float tensor (images, pixels)")
    if not len(x):
        raise ValueError(f"{name} data is empty: it needs at least one image")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} data holds nan or infinite values: clean it first")
