"""Reads words as they look: with letters of other alphabets in them that look like Latin ones."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_FOREIGN_WORD = re.compile(r"[^\W\d_]*[^\W\d_\x00-\x7f][^\W\d_]*")  # letters, one of them not of ASCII


def as_latin(text: str) -> str:
    """The text with each word in Latin letters that looks as if it were written in them: "Кіm" is "Kim".

    A word of which one letter looks like no Latin one stays as it is, as nearly all Russian and Greek words do.
    """
    return text if text.isascii() else _FOREIGN_WORD.sub(_looking, text)


def _looking(word: re.Match[str]) -> str:
    seen = word[0].translate(_lookalikes())
    return seen if seen.isascii() else word[0]


@cache
def _lookalikes() -> dict[int, str]:
    """Letter → the Latin one that it looks like (the file names its source and licence)."""
    lines = files("aggregator").joinpath("lookalikes.txt").read_text("utf-8").splitlines()
    return {ord(pair[0]): pair[1] for line in lines if not line.startswith("#") for pair in line.split()}
