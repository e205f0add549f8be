"""The claims that the scorecard judges, in the words of those who made them; the list is claims.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from vaebook.experiments.scorecard import Claim

__all__ = ["CLAIMS"]

with open(Path(__file__).with_name("claims.csv"), newline="", encoding="utf-8") as _file:
    CLAIMS = {row.pop("number"): Claim(**row) for row in csv.DictReader(_file)}
"""By the number that this book gives them: 1 to 16 and 8b are the report's, A to D are Kingma and Welling's."""
