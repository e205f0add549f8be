"""Tables for terminals: text to the left, numbers to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["table"]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each row below the names of all columns; what a row lacks is left empty, as is nan."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [[row.get(name, "") for row in rows] for name in names]
    cells = [[name, *map(_cell, column)] for name, column in zip(names, columns, strict=True)]
    for column, values in zip(cells, columns, strict=True):
        width = max(map(len, column))
        numbers = not any(isinstance(value, str) and value for value in values)
        column[:] = [cell.rjust(width) if numbers else cell.ljust(width) for cell in column]
    return "\n".join("  ".join(line).rstrip() for line in zip(*cells, strict=True))


def _cell(value: Any) -> str:
    if value != value:  # nan: pandas' way of saying that there is nothing
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
