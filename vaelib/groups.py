"""Which runs of a request are trained together, and how such a group gets into the store."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vaelib.config import ConfigError, flat
from vaelib.data import Prepared, prepare
from vaelib.members import NUMBERS, Member, fit_members, refusal
from vaelib.models import new_model
from vaelib.runs import RunConfig, Store, files_of, parts_of
from vaelib.training import NonFiniteLossError, TrainingConfig

__all__ = ["Group", "grouped", "suited", "train_group"]

Group = tuple[RunConfig, ...]
FREE = {"seed", "model.likelihood.sigma_value", *(f"objective.{name}" for name in NUMBERS)}
FREE |= {f"training.{name}" for name in TrainingConfig.model_fields if name not in ("batch_size", "device")}
TRIED = 8  # images


def grouped(configs: Iterable[RunConfig], together: int) -> list[Group]:
    """`configs`, each once and in order, in groups of one shape with at most `together` members.

    Runs of one shape differ in seed, sigma_value, beta, warm-up and training at most, and there not in batch size and
    device. Groups depend on the request alone, not on what the store holds: the same request gives the same bits.

    Raises:
        ConfigError: `together` cannot be used.
    """
    if together < 1:
        raise ConfigError(f"together={together}: expected 1 or more")
    groups: list[list[RunConfig]] = []
    open_groups: dict[str, list[RunConfig]] = {}
    for config in dict.fromkeys(configs):
        shape = repr({name: value for name, value in flat(config).items() if name not in FREE})
        if len(open_groups.get(shape, ())) in (0, together):
            groups.append([])
            open_groups[shape] = groups[-1]
        open_groups[shape].append(config)
    return [tuple(group) for group in groups]


def suited(groups: Iterable[Group]) -> list[Group]:
    """The groups that can be trained together, and the members of all others alone, with one warning."""
    found: list[Group] = []
    refused: dict[str, str] = {}
    for group in groups:
        pair = group[0], group[-1]
        why = None
        if len(group) > 1:
            prepared = prepare(group[0].data)
            why = refusal(partial(_members, pair, prepared), torch.from_numpy(prepared.train[:TRIED]))
        if why:
            refused[group[0].model.family] = why
        found += [(config,) for config in group] if why else [group]
    if refused:
        what = "; ".join(f"{family} ({why})" for family, why in refused.items())
        warnings.warn(f"not every family can be trained together; these runs are trained alone: {what}", stacklevel=3)
    return found


def train_group(
    configs: Group, *, progress: bool | None = None, checkpoint_seconds: float = 30.0, wait: bool = True
) -> list[Path | NonFiniteLossError]:
    """Trains runs of one shape together and stores those that are missing; says where each is, or why it failed.

    Runs that the store has are trained along, or the bits of the others would depend on which those are. A group that
    was killed goes on from its last checkpoint, to the same bits.

    Raises:
        BusyError: another process is at work on one of them, with `wait` False.
        ConfigError, DataError, StoreError: as of `runs.train`.
    """
    store = Store()
    paths = [store.path(config) for config in configs]
    digest = hashlib.sha256("\n".join(path.name for path in paths).encode()).hexdigest()[:16]
    checkpoint = store.checkpoint(store.folder / f"group-of-{len(paths)}-{digest}", checkpoint_seconds)
    found: list[Path | NonFiniteLossError] = list(paths)
    with ExitStack() as locks:
        for path in sorted(set(paths)):  # in one order: no two processes then wait for each other
            locks.enter_context(store.exclusive(path, wait))
        missing = [path for path in paths if not store.holds(path, set_aside=True)]
        if missing:
            prepared = prepare(configs[0].data)
            parts, *_ = (parts_of(config, prepared) for config in configs)  # of one data set; each sees to its patience
            members = _members(configs, prepared, parts["train"])
            held_out = {name: x for name, x in parts.items() if name != "train"}
            fit_members(members, parts["train"], held_out=held_out, checkpoint=checkpoint, progress=progress)
            made = {"together": len(configs)}
            for index, (config, path, member) in enumerate(zip(configs, paths, members, strict=True)):
                try:
                    if member.error:
                        raise member.error
                    if path in missing:
                        history = member.session.history()
                        store.write(path, files_of(config, prepared, member.model.cpu(), history, parts, made))
                except NonFiniteLossError as error:
                    found[index] = error
    checkpoint.clear()
    return found


def _members(configs: Sequence[RunConfig], prepared: Prepared, train: Tensor | None = None) -> list[Member]:
    models = [new_model(config.model, prepared.data.shape, config.seed) for config in configs]
    if train is not None:
        for model in models:
            model.start(train)
    binarise = configs[0].data.pixels == "dynamic"
    return [Member(m, c.objective, c.training, c.seed, binarise) for m, c in zip(models, configs, strict=True)]
