"""The tables of pandas on the site: one row of headings, words from the left, figures and intervals on one line."""

from __future__ import annotations

import re
from itertools import count

__all__ = ["framed", "is_words"]

FRAME = re.compile(r'<table [^>]*class="dataframe.*?</table>', re.DOTALL)
ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
CELL = re.compile(r"<(th|td)\b([^>]*)>(.*?)</\1>", re.DOTALL)
INTERVAL = re.compile(r"[(\[][−-]?\d[^()\[\]]*[)\]]|± [\d.]+")
WORDS = re.compile(r"(?:[A-Za-z]{2,}\W+){2,}[A-Za-z]{2,}")  # three words or more are words
FIGURE, SHORT = 16, 8  # letters: a figure with its unit, and the name of a row that needs no room


def framed(html: str) -> str:
    """A page whose tables of pandas say of each cell what it holds: `words`, `unbroken`, or a `short` name."""
    return FRAME.sub(_table, html)


def is_words(text: str) -> bool:
    """Whether a cell holds words rather than a figure."""
    return bool(WORDS.search(text))


def _table(found: re.Match[str]) -> str:
    head, mark, body = found[0].rpartition("<tbody>")
    rows = [[text for tag, _, text in CELL.findall(row) if tag == "td"] for row in ROW.findall(body)]
    wordy = {place for row in rows for place, text in enumerate(row) if is_words(text)}
    columns = max(map(len, rows), default=0)
    return _headings(head, wordy, columns) + mark + ROW.sub(lambda row: _row(row[0], wordy), body)


def _headings(head: str, wordy: set[int], columns: int) -> str:
    """The names of the index stand in the corner, and in no row of their own."""
    rows = ROW.findall(head)
    texts = [[text.strip() for _, _, text in CELL.findall(row)] for row in rows]
    names = list(filter(None, texts[-1])) if len(rows) > 1 and len(texts[-1]) == len(texts[-2]) else []
    if not names or any(texts[-1][len(names) :]) or any(texts[-2][: len(names)]):
        names = []
    else:
        head = head.replace(rows.pop(), "")
    if not rows:
        return head
    size, place = len(CELL.findall(rows[-1])), count()

    def heading(cell: re.Match[str]) -> str:
        at = next(place)
        text = names[at] if at < len(names) else cell[3]
        return f'<th class="words"{cell[2]}>{text}</th>' if at < len(names) or at - size + columns in wordy else cell[0]

    return head.replace(rows[-1], CELL.sub(heading, rows[-1]))


def _row(row: str, wordy: set[int]) -> str:
    place = count()

    def cell(found: re.Match[str]) -> str:
        tag, attributes, text = found.groups()
        if tag == "th":
            kind = "short" if len(text.strip()) <= SHORT else ""
        else:
            fits = 0 < len(text.strip()) <= FIGURE
            kind = "words" if next(place) in wordy and text.strip() else "unbroken" if fits else ""
            text = text if kind else INTERVAL.sub(r'<span class="unbroken">\g<0></span>', text)
        return f'<{tag} class="{kind}"{attributes}>{text}</{tag}>' if kind else f"<{tag}{attributes}>{text}</{tag}>"

    return CELL.sub(cell, row)
