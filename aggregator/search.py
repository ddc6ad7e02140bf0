"""Read what a person looks for, and texts in the form in which it is looked for: the same words, whatever the script.

A text becomes a row of tokens. Scripts that part words with spaces give a token a word. The others, and Hangul and
Arabic, whose words carry particles and articles, give overlapping pairs of characters and the last character of a run
by itself: 탈북민 is 탈북, 북민, 민. A run of two or more characters is then a phrase of its pairs, and a single one the
beginning of a token: any part of a run is found, and an index of tokens is all that it takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aggregator.errors import QueryError
from aggregator.model import StoredStory
from aggregator.words import comparable

LONGEST_QUERY = 300  # characters: a long headline pasted in is 200
MOST_TERMS = 20  # in a query; each costs a look into the index
LONGEST_TEXT = 16_000  # tokens of one text that are looked in; PostgreSQL counts positions no further than 16,383
_LONGEST_TOKEN = 64  # characters; no word is longer, but what is pasted in may be
BREAK = "¶"  # the token between two fields: no phrase reaches over it, and no query can hold it

_MARKS = "\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u0980-\u0dff"  # of Indic words, which go on over them
_RUNNING = (
    "\u0600-\u06ff\u0750-\u077f\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3041-\u30ff"
    "\u3130-\u318f\u31f0-\u31ff\u3400-\u9fff\ua960-\ua97f\uac00-\ud7ff\U00020000-\U0003ffff"
)
_VOWELS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ecd\u102b-\u103e\u17b4-\u17d3"  # Thai, Lao, Burmese, Khmer
_PIECES = re.compile(
    rf"(?P<run>(?:(?=[{_RUNNING}])[^\W_]|[{_VOWELS}])+)|(?P<word>(?:(?![{_RUNNING}])[^\W_]|[{_MARKS}])+)"
)
_WISH = re.compile(r'(?P<none>-?)(?:"(?P<phrase>[^"]*)"?|(?P<words>[^\s"]+))')


@dataclass(frozen=True, slots=True)
class Term:
    """Tokens that stand side by side; `open`: the last may go on, as "defect" does in "defectors"."""

    tokens: tuple[str, ...]
    open: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What a text holds, all of it, and what it does not."""

    all: tuple[Term, ...]
    none: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: a text fits where one of the choices does."""

    choices: tuple[Choice, ...]


def parse(text: str) -> Query:
    """The query that a person wrote; QueryError says in words what keeps it from being one.

    Words all have to occur, in any order, and may go on. "Words in quotation marks" stand side by side, as they are.
    A word after "-" must not occur. OR, in capitals, parts what may stand for one another. All else is punctuation.
    """
    if len(text) > LONGEST_QUERY:
        raise QueryError(f"That is too long to look for: {len(text):,} characters; {LONGEST_QUERY} are read.")
    choices = tuple(filter(None, (_choice(part) for part in re.split(r"(?:^|(?<=\s))OR(?=\s|$)", text))))
    if not choices:
        raise QueryError("There is no word to look for: a letter or a digit is needed that is not after a minus sign.")
    if sum(len(choice.all) + len(choice.none) for choice in choices) > MOST_TERMS:
        raise QueryError(f"Those are too many words to look for; {MOST_TERMS} are read.")
    return Query(choices)


def _choice(text: str) -> Choice | None:
    wanted: list[Term] = []
    unwanted: list[Term] = []
    for wish in _WISH.finditer(comparable(text)):
        term = _term(wish["words"] or wish["phrase"] or "", quoted=wish["words"] is None)
        if term is not None:
            (unwanted if wish["none"] else wanted).append(term)
    return Choice(tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(unwanted))) if wanted else None


def _term(text: str, *, quoted: bool) -> Term | None:
    pieces = list(_pieces(text))
    tokens = [token for running, piece in pieces for token in _tokens(running, piece)]
    if not tokens:
        return None
    running, last = pieces[-1]
    if running and len(last) > 1:
        tokens.pop()  # the last character by itself would say that the run ends there
    return Term(tuple(tokens), open=running or not quoted)


def document(texts: Iterable[str]) -> str:
    """Texts that are looked in together, as tokens with spaces between."""
    tokens: list[str] = []
    for text in texts:
        tokens += tokens_of(text)
        tokens.append(BREAK)
        if len(tokens) > LONGEST_TEXT:
            break
    return " ".join(tokens[:LONGEST_TEXT])


def document_of(story: StoredStory, names: Mapping[str, str]) -> str:
    """What a story is looked in as: what all its members say. `names` of sources by their urls."""
    items = [one.item for one in sorted(story.members, key=lambda one: one.key)]
    texts = (text for one in items for text in (one.title, one.summary, one.publisher, names.get(one.source)) if text)
    return document(dict.fromkeys(texts))


def tokens_of(text: str) -> list[str]:
    """The tokens of one text, in order."""
    return [token for running, piece in _pieces(comparable(text)) for token in _tokens(running, piece)]


def fits(query: Query, document: str) -> bool:
    """Whether a document is what is looked for: what every index of documents must say, too."""
    tokens = document.split(" ")
    return any(
        all(_holds(tokens, term) for term in choice.all) and not any(_holds(tokens, term) for term in choice.none)
        for choice in query.choices
    )


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Words and runs of a comparable text: whether it is a run, and what it is."""
    for found in _PIECES.finditer(text):
        yield found["run"] is not None, found[0]


def _tokens(running: bool, piece: str) -> list[str]:
    if not running:
        return [piece[:_LONGEST_TOKEN]]
    return [piece[start : start + 2] for start in range(len(piece))]


def _holds(tokens: Sequence[str], term: Term) -> bool:
    *first, last = term.tokens
    for start in range(len(tokens) - len(first)):
        if tokens[start : start + len(first)] == first:
            there = tokens[start + len(first)]
            if there == last or (term.open and there.startswith(last)):
                return True
    return False
