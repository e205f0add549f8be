"""What a diagnosis of any family looks like: a verdict, what was measured, and likely causes with something to try."""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

__all__ = ["Cause", "CauseName", "Report"]

OfCodes = Literal["scale", "KL weight", "dead units", "variance"]
OfTraining = Literal["optimiser", "schedule", "data", "unknown", "critic", "mode collapse"]
CauseName = Literal[OfCodes, OfTraining]


class Cause(NamedTuple):
    """A likely cause of trouble, the `evidence` for it, and what to try."""

    name: CauseName
    evidence: str
    remedy: str


class Report(ABC):
    """Shown as Markdown by a notebook, and as text by `print`, `repr` and everything else."""

    name: str
    causes: tuple[Cause, ...]

    @property
    @abstractmethod
    def verdict(self) -> str:
        """All of it in one line."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """What was measured, in words."""

    def __repr__(self) -> str:
        facts = self.facts()
        width = max(map(len, facts)) + 2
        lines = [f"{self.name}: {self.verdict}", *(f"  {key:<{width}}{value}" for key, value in facts.items())]
        for number, (cause, evidence, remedy) in enumerate(self.causes, start=1):
            lines += [f"  {number}. {cause}: {evidence}", f"     try: {remedy}"]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        lines = [f"**{_escaped(self.name)}: {self.verdict}**", "", "| | |", "| --- | --- |"]
        lines += [*(f"| {key} | {value} |" for key, value in self.facts().items()), ""]
        for number, (cause, evidence, remedy) in enumerate(self.causes, start=1):
            lines += [f"{number}. **{cause}**: {evidence}. *Try:* {remedy}."]
        return "\n".join(lines)


def _escaped(text: str) -> str:
    """A text as Markdown that shows it and does nothing: no HTML, no links, no emphasis, no mathematics."""
    return re.sub(r"([\\`*_~$|!()\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
