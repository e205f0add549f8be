"""The figures as text."""

from __future__ import annotations

from typing import Any

__all__ = ["table"]

BUSY = 0.1  # cores in use by others


def table(figures: dict[str, Any]) -> str:
    """All that was measured, a block for each kind."""
    machine = figures["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['instructions']}; torch {machine['torch']}, "
        f"{machine['threads']} threads; vaelib {machine['vaelib']}, pythae {machine['pythae']}"
    ]
    if any(busy > BUSY for busy in _find("other_cores", figures)):
        lines.append("The machine was busy with other work meanwhile: do not trust the rows with a *.")
    blocks = {"training": _training, "likelihood": _likelihood, "sweep": _sweep, "members": _members, "import": _import}
    for kind, block in blocks.items():
        if kind in figures:
            lines += ["", *block(figures[kind])]
    return "\n".join(lines)


def _training(works: dict[str, Any]) -> list[str]:
    heads = ("images/s", "epoch s", "first s", "peak MB", "of limit", "x pythae", "x plain")
    lines = [f"{'training':<18}" + "".join(f"{head:>10}" for head in heads)]
    for work, contenders in works.items():
        for name, row in contenders.items():
            cells = [f"{row['images_per_s']:.0f}", f"{row['epoch_s']:.3f}", f"{row['first_epoch_s']:.3f}"]
            cells.append(f"{row['peak_memory_mb']:.0f}")
            cells += [_ratio(row, contenders.get(other)) for other in ("limit", "pythae", "plain")]
            end = f"  {row['data']} data{_mark(row)}"
            lines.append(f"{work:<8}{name:<10}" + "".join(f"{cell:>10}" for cell in cells) + end)
    return lines


def _ratio(row: dict[str, Any], other: dict[str, Any] | None) -> str:
    return f"{row['images_per_s'] / other['images_per_s']:.2f}" if other else ""


def _likelihood(figures: dict[str, Any]) -> list[str]:
    ours, limit = (figures[name]["images_samples_per_s"] for name in ("vaelib", "limit"))
    added = figures["vaelib"]["peak_memory_mb"] - figures["vaelib"]["memory_before_mb"]
    return [
        f"likelihood ({figures['images']} images, {figures['samples']} samples, {figures['data']} data): {ours:.0f} "
        f"images * samples/s, limit {limit:.0f}, {ours / limit:.2f} of it; {added:.0f} MB above the model"
        + _mark(figures)
    ]


def _sweep(figures: dict[str, Any]) -> list[str]:
    return [
        f"sweep of {row['runs']} runs of {row['epochs']} epochs, jobs={row['jobs']}: "
        f"{row['runs_per_minute']:.1f} runs per minute"
        for row in figures.values()
    ]


def _members(figures: dict[str, Any]) -> list[str]:
    lines = [f"members: ms of the processor for a model and step, median of {figures['steps']} steps{_mark(figures)}"]
    for shape, row in figures["ms"].items():
        together = [f"{count}: {ms:.2f} ({row['1'] / ms:.2f}x)" for count, ms in row.items() if count != "1"]
        lines.append(f"{shape:<20} alone {row['1']:.2f}; together " + ", ".join(together))
    return lines


def _import(figures: dict[str, Any]) -> list[str]:
    return [f"import: torch {figures['torch_s']:.2f} s, vaelib.training {figures['vaelib_beyond_torch_s']:.2f} s more"]


def _mark(row: dict[str, Any]) -> str:
    return f" * {row['other_cores']:.1f} cores used by others" if row["other_cores"] > BUSY else ""


def _find(key: str, figures: dict[str, Any]) -> list[Any]:
    """What stands under `key`, however deep."""
    deeper = [value for inner in figures.values() if isinstance(inner, dict) for value in _find(key, inner)]
    return deeper + ([figures[key]] if key in figures else [])
