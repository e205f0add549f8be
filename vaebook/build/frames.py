"""The tables of pandas on the site: one row of headings, text from the left, figures and intervals on one line."""

from __future__ import annotations

import re
from itertools import count

__all__ = ["framed", "is_words", "whole_intervals"]

FRAME = re.compile(r'<table [^>]*class="dataframe.*?</table>', re.DOTALL)
ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
CELL = re.compile(r"<(th|td)\b([^>]*)>(.*?)</\1>", re.DOTALL)
# An interval and what is said of it: "(0.65 to 0.70): more" is one thing, "[−0.83, 0.82] nats" too; "nats: no" stays
# together as well.
INTERVAL = re.compile(r"((?:[(\[][−-]?\d[^()\[\]]*[)\]]|± [\d.]+)(?:: \w+| [a-z]+(?![\w:]))?)( [a-z]+: \w+)?")
TEXT = re.compile(r"[A-Za-z]")  # what does not begin with a figure is read from the left
EQUALS = re.compile(r"(?<!\w)(\w{1,2}) = (?=[\d.−-])|(?<= =) (?=[\d.−-])")  # no line ends with "K ="
WORDS = re.compile(r"(?:[A-Za-z]{2,}\W+){2,}[A-Za-z]{2,}")  # three words or more are words
FIGURE, SHORT = 16, 8  # letters: a figure with its unit, a name without a space; a name of a row that needs no room


def framed(html: str) -> str:
    """A page whose tables of pandas say of each cell what it holds: `words`, `unbroken`, or a `short` name."""
    return FRAME.sub(_table, html)


def is_words(text: str) -> bool:
    """Whether a cell holds words rather than a figure."""
    return bool(WORDS.search(text))


def whole_intervals(text: str) -> str:
    """A cell or a part of it, in HTML, whose intervals stay on one line."""
    if "unbroken" in text:
        return text
    parts = re.split("(<[^>]*>)", text)
    parts[::2] = [INTERVAL.sub(_whole, part) for part in parts[::2]]
    return "".join(parts)


def _plain(text: str) -> str:
    """The words of a cell: a page that Sphinx did not write anew has been here before."""
    return re.sub("<[^>]*>", "", text).strip()


def _whole(found: re.Match[str]) -> str:
    whole = '<span class="unbroken">{}</span>'
    return whole.format(found[1]) + (f" {whole.format(found[2].strip())}" if found[2] else "")


def _equals(found: re.Match[str]) -> str:
    return f"{found[1]}&nbsp;=&nbsp;" if found[1] else "&nbsp;"


def _table(found: re.Match[str]) -> str:
    head, mark, body = found[0].rpartition("<tbody>")
    rows = [[_plain(text) for tag, _, text in CELL.findall(row) if tag == "td"] for row in ROW.findall(body)]
    size = max(map(len, rows), default=0)
    columns = [[row[place] for row in rows if len(row) > place and row[place]] for place in range(size)]
    kinds = [
        "words" if any(map(is_words, column)) else "text" if column and all(map(TEXT.match, column)) else ""
        for column in columns
    ]
    return _headings(head, kinds) + mark + ROW.sub(lambda row: _row(row[0], kinds), body)


def _headings(head: str, kinds: list[str]) -> str:
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
        column = at - size + len(kinds)
        kind = "words" if at < len(names) else kinds[column] if column >= 0 and text.strip() else ""
        text = EQUALS.sub(_equals, text)
        return f'<th class="{kind}"{cell[2]}>{text}</th>' if kind else f"<th{cell[2]}>{text}</th>"

    return head.replace(rows[-1], CELL.sub(heading, rows[-1]))


def _row(row: str, kinds: list[str]) -> str:
    place = count()

    def cell(found: re.Match[str]) -> str:
        tag, attributes, text = found.groups()
        name = _plain(text)
        if tag == "th":
            fits = len(name) <= SHORT or (len(name) <= FIGURE and " " not in name)
            kind, text = "short" if fits else "", EQUALS.sub(_equals, text)
        else:
            fits, column = 0 < len(name) <= FIGURE, kinds[next(place)]
            kinds_of = (column if name else "", "unbroken" if fits and column != "words" else "")
            kind = " ".join(filter(None, kinds_of))
            text = text if kind else whole_intervals(text)
        return f'<{tag} class="{kind}"{attributes}>{text}</{tag}>' if kind else f"<{tag}{attributes}>{text}</{tag}>"

    return CELL.sub(cell, row)
