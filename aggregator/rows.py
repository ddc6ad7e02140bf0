"""Values of the domain as rows of the store's tables, and back.

A little longer than a module should be, so that the way of each value into its row and back stand side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from struct import unpack
from typing import Any

from aggregator.boilerplate import SHARED
from aggregator.health import came
from aggregator.model import (
    Changed,
    Decision,
    Enclosure,
    Evidence,
    Failed,
    Fingerprints,
    Item,
    Judged,
    Known,
    Past,
    Plan,
    Reason,
    Rhythm,
    Rights,
    Source,
    StoredItem,
    Subscription,
    Validators,
    Verdict,
    Visit,
    Withholding,
)
from aggregator.pace import adopted
from aggregator.schema import item, memory, rhythm, story

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1) // _MICROSECOND
LARGEST = 2**63 - 1  # of all numbers that a database takes
BEYOND_TIME = LARGEST  # later than any moment

# Sentences counted per source. An agency's stock sentences return with nearly every item, so they outlast the flow
# of news through a memory of the last few hundred items; ten times as many cost 4 ms at each visit with news.
SENTENCES = 2_000


def micros(moment: datetime | None) -> int | None:
    """Microseconds since 1970."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def moment(number: int | None) -> datetime | None:
    return None if number is None else _EPOCH + timedelta(microseconds=number)


def instant(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def span(length: timedelta | None) -> int | None:
    """Microseconds in a length of time."""
    return None if length is None else length // _MICROSECOND


def length(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(microseconds=number)


def key_hash(key: str) -> int:
    """A key as 64 bits, signed.

    Among 15,000,000 keys the odds that any two collide are 1 in 160,000, and then a story is looked at in vain.
    """
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def pack_keys(keys: Iterable[str]) -> bytes:
    return b"".join(number.to_bytes(8, "big", signed=True) for number in sorted(set(map(key_hash, keys))))


def unpack_keys(packed: bytes) -> tuple[int, ...]:
    return unpack(f">{len(packed) // 8}q", packed)


def pack(fingerprints: frozenset[bytes]) -> bytes | None:
    """Fingerprints of one length, 1 to 255 bytes, in one string: the length, then each; None: there are none."""
    if not fingerprints:
        return None
    lengths = {len(one) for one in fingerprints}
    if len(lengths) > 1:
        raise ValueError(f"the fingerprints of one document have one length, not {sorted(lengths)}")
    return bytes(lengths) + b"".join(sorted(fingerprints))


def unpack_fingerprints(packed: bytes | None) -> Set[bytes]:
    return Fingerprints(packed[1:], packed[0]) if packed else frozenset()


def source_row(source: Source, enabled: bool, position: int) -> dict[str, Any]:
    return {
        "url": source.url,
        "position": position,
        "enabled": enabled,
        "name": source.name,
        "language": source.language,
        "scope": source.scope,
        "priority": source.priority,
        "interval": span(source.interval),
        "rights": None if source.rights == Rights() else json.dumps(asdict(source.rights), ensure_ascii=False),
    }


def rights_of(text: str) -> Rights:
    """What the column of a source says of its rights."""
    return Rights(**json.loads(text))


def source_of(row: Any) -> Source:
    """A listed source; without its request headers, which are not stored."""
    return Source(row.url, row.name, row.language, row.scope, row.priority, length(row.interval))


# The columns that make a Known, in the order in which known_of takes them.
KNOWN = (
    *(rhythm.c.etag, rhythm.c.last_modified, rhythm.c.address, rhythm.c.distrust),
    *(memory.c.body, memory.c.head, memory.c.entries, memory.c.boilerplate),
)


def known_of(row: Sequence[Any]) -> Known:
    """What a row of the columns KNOWN says; by position, since by name it takes twice as long, for every source."""
    etag, last_modified, address, distrust, body, head, entries, boilerplate = row
    return Known(
        Validators(etag, last_modified),
        body,
        head,
        unpack_fingerprints(entries),
        frozenset(json.loads(boilerplate)) if boilerplate else frozenset(),
        address,
        distrust,
    )


# The columns that make a Rhythm, in the order in which rhythm_of takes them.
RHYTHM = (
    *(rhythm.c.interval, rhythm.c.failures, rhythm.c.failing_since, rhythm.c.last_visit, rhythm.c.last_success),
    *(rhythm.c.last_new, rhythm.c.moved_to, rhythm.c.moved_since, rhythm.c.moved_count, rhythm.c.last_unconditional),
    *(rhythm.c.distrust, rhythm.c.status, rhythm.c.ttl, rhythm.c.skip_hours, rhythm.c.skip_days),
    *(rhythm.c.last_kept, rhythm.c.by_push, rhythm.c.found, rhythm.c.fresh_for),
)


def rhythm_of(row: Sequence[Any]) -> Rhythm:
    """The rhythm of a row of the columns RHYTHM; by position, like known_of."""
    interval, failures, failing_since, last_visit, last_success, last_new, moved_to, moved_since, moved_count = row[:9]
    last_unconditional, distrust, status, ttl, skip_hours, skip_days, last_kept, by_push, found, fresh_for = row[9:]
    return Rhythm(
        length(interval),
        failures,
        moment(failing_since),
        moment(last_visit),
        moment(last_success),
        moment(last_new),
        moved_to,
        moment(moved_since),
        moved_count,
        moment(last_unconditional),
        distrust,
        status,
        length(ttl),
        frozenset(_tuple(skip_hours)),
        frozenset(_tuple(skip_days)),
        moment(last_kept),
        by_push,
        found,
        length(fresh_for),
    )


def rhythm_row(plan: Plan) -> dict[str, Any]:
    planned = plan.rhythm
    return {
        "due": micros(plan.due),
        "why": plan.why,
        "interval": span(planned.interval),
        "failures": planned.failures,
        "failing_since": micros(planned.failing_since),
        "last_visit": micros(planned.last_visit),
        "last_success": micros(planned.last_success),
        "last_new": micros(planned.last_new),
        "moved_to": planned.moved_to,
        "moved_since": micros(planned.moved_since),
        "moved_count": planned.moved_count,
        "last_unconditional": micros(planned.last_unconditional),
        "distrust": planned.distrust,
        "status": planned.status,
        "ttl": span(planned.ttl),
        "skip_hours": _json(sorted(planned.skip_hours)),
        "skip_days": _json(sorted(planned.skip_days)),
        "address": adopted(planned),
        "last_kept": micros(planned.last_kept),
        "by_push": planned.by_push,
        "found": planned.found,
        "fresh_for": span(planned.fresh_for),
    }


def visit_row(visit: Visit, plan: Plan) -> dict[str, Any]:
    """What a visit leaves in the table rhythm; a failure that brought no validators leaves those known before."""
    retry_after = visit.freshness.retry_after
    kept = isinstance(visit.outcome, Failed) and visit.validators == Validators()
    validators = {} if kept else {"etag": visit.validators.etag, "last_modified": visit.validators.last_modified}
    return {
        "held_until": None if retry_after is None else micros(visit.finished + retry_after),
        "leased_until": None,
        **validators,
        "failure": visit.outcome.message if isinstance(visit.outcome, Failed) else "",
        "came": came(visit),
        **rhythm_row(plan),
    }


def past_row(past: Past) -> dict[str, Any]:
    return {
        "source": past.source,
        "at": micros(past.at),
        "took": span(past.took),
        "outcome": past.outcome,
        "said": past.said,
        "new": past.new,
        "kept": past.kept,
        "due": micros(past.due),
        "why": past.why,
    }


def past_of(row: Any) -> Past:
    took = timedelta(microseconds=row.took)
    at, due = instant(row.at), instant(row.due)
    return Past(row.source, at, took, row.outcome, row.said, row.new, row.kept, due, row.why)


def subscription_row(one: Subscription) -> dict[str, Any]:
    return {
        "token": one.token,
        "source": one.source,
        "hub": one.hub,
        "topic": one.topic,
        "signing": one.secret,
        "asked": micros(one.asked),
        "tries": one.tries,
        "until": micros(one.until),
        "leaving": one.leaving,
    }


def subscription_of(row: Any) -> Subscription:
    asked, until = instant(row.asked), moment(row.until)
    return Subscription(row.token, row.source, row.hub, row.topic, row.signing, asked, row.tries, until, row.leaving)


def memory_row(visit: Visit, changed: Changed) -> dict[str, Any]:
    return {
        "body": visit.body,
        "head": visit.head,
        "entries": pack(changed.entries),
        "warning": " ".join(changed.problems),
        "title": changed.head.title,
        "site": changed.head.link,
    }


def add_counts(counts: str | None, sentences: Mapping[int, int]) -> tuple[str, str | None]:
    """A source's sentence counts with a visit's added, and the boilerplate that follows from them, both as JSON.

    The least recently seen are forgotten first, within a visit those that fewest items hold.
    """
    known = dict(json.loads(counts)) if counts else {}
    for sentence, times in sorted(sentences.items(), key=lambda pair: pair[1]):
        known[sentence] = known.pop(sentence, 0) + times
    kept = list(known.items())[-SENTENCES:]
    shared = [sentence for sentence, times in kept if times >= SHARED]
    return json.dumps(kept, separators=(",", ":")), json.dumps(shared, separators=(",", ":")) if shared else None


def item_row(judged: Judged, keys: Iterable[str]) -> dict[str, Any]:
    """All columns of an item that come from its source and its verdict."""
    entry, verdict = judged.item, judged.verdict
    return {
        "source": entry.source,
        "id": entry.id,
        "published": micros(entry.published),
        "decision": verdict.decision.value,
        "score": verdict.score,
        "link": entry.link,
        "updated": micros(entry.updated),
        "language": entry.language,
        "publisher": entry.publisher,
        "fingerprint": entry.fingerprint,
        "rules": verdict.rules,
        "hashes": pack_keys(keys),
        "title": entry.title,
        "reasons": _json([[one.field, one.concept, one.text, one.weight] for one in verdict.reasons]),
        "authors": _json(entry.authors),
        "categories": _json(entry.categories),
        "enclosures": _json([[one.url, one.type, one.length] for one in entry.enclosures]),
        "image": entry.image,
        "stock": _json(entry.stock),
        "summary": entry.summary,
        "body": entry.body,
        "retained": True,
    }


def withholding_row(withholding: Withholding) -> dict[str, Any]:
    return {
        "withdrawn": withholding.withdrawn,
        "held": _json(sorted(withholding.held)),
        "released": _json(sorted(withholding.released)),
    }


def withholding_of(row: Any) -> Withholding:
    return Withholding(row.withdrawn, frozenset(_tuple(row.held)), frozenset(_tuple(row.released)))


def evidence_json(evidence: Evidence | None) -> str | None:
    return _json([evidence.kind, evidence.other, evidence.strength, evidence.details]) if evidence else None


# The columns that make a StoredItem, in the order in which stored_of takes them; the last is its story's id.
STORED = (
    *(item.c.source, item.c.id, item.c.link, item.c.title, item.c.summary, item.c.body, item.c.published),
    *(item.c.updated, item.c.language, item.c.authors, item.c.categories, item.c.enclosures, item.c.publisher),
    *(item.c.fingerprint, item.c.decision, item.c.score, item.c.reasons, item.c.rules),
    *(item.c.key, item.c.first_seen, item.c.evidence, item.c.ruling, item.c.seed, item.c.retained, item.c.image),
    item.c.stock,
    story.c.id.label("story_id"),
)


def stored_of(row: Sequence[Any]) -> StoredItem:
    """The item of a row of the columns STORED; by position, since by name it takes twice as long."""
    source, id, link, title, summary, body, published, updated, language = row[:9]
    authors, categories, enclosures, publisher, fingerprint, decision, score, reasons, rules = row[9:18]
    key, first_seen, evidence, ruling, seed, retained, image, stock, story = row[18:]
    return StoredItem(
        key,
        Item(
            source,
            id,
            link,
            title,
            summary,
            body,
            moment(published),
            moment(updated),
            language,
            _tuple(authors),
            _tuple(categories),
            tuple(Enclosure(*one) for one in _tuple(enclosures)),
            publisher,
            fingerprint,
            image,
            _tuple(stock),
        ),
        Verdict(Decision(decision), score, _reasons(reasons), rules),
        instant(first_seen),
        story,
        _evidence(evidence),
        ruling,
        seed,
        retained,
    )


@lru_cache(maxsize=10_000)
def _reasons(text: str | None) -> tuple[Reason, ...]:
    """Kept, since few sets of reasons make up most verdicts."""
    return tuple(Reason(*one) for one in _tuple(text))


def _evidence(text: str | None) -> Evidence | None:
    if text is None:
        return None
    kind, other, strength, details = json.loads(text)
    return Evidence(kind, other, strength, tuple(details))


def _json(values: Sequence[object]) -> str | None:
    """JSON text; None where there is nothing to write, which is the usual case and costs nothing to read."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) if values else None


def _tuple(text: str | None) -> tuple[Any, ...]:
    return tuple(json.loads(text)) if text else ()
