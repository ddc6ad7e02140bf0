"""Let the curator's decisions teach: keep the model that they make, renew it in steps, forget it when told to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from aggregator import learning
from aggregator.learning import ENOUGH, LET_STAND, Lesson, Model, signs
from aggregator.model import StoredItem
from aggregator.ports import Store
from aggregator.topics import Judge

_MODEL, _FORGOTTEN = "model", "model forgotten"  # settings of the store


def taught(store: Store, judge: Judge, scopes: Mapping[str, str]) -> Judge:
    """The judge with what the store's decisions have taught by now. `scopes`: source url → scope."""
    model, decisions = learned(store), decided(store)
    if len(decisions) < ENOUGH:
        return judge.taught(None)
    if model is None or model.is_due(judge.own_rules, len(decisions)):
        lessons = list(_lessons(store, judge.taught(None), decisions, scopes))
        model = learning.learn(lessons, judge.own_rules, len(decisions))
        store.put(_MODEL, learning.dump(model))
    return judge.taught(model)


def learned(store: Store) -> Model | None:
    """The model as it was last made; None: none yet, or none since it was forgotten."""
    return learning.load(store.get(_MODEL))


def decided(store: Store) -> dict[int, str]:
    """The decisions that count: key of the item → "keep" or "drop". Who changes their mind has decided anew."""
    forgotten = json.loads(store.get(_FORGOTTEN) or "{}")
    return {key: ruling for key, ruling in store.rulings().items() if forgotten.get(str(key)) != ruling}


def forget(store: Store) -> None:
    """Forget the model, and learn from later decisions only. The decisions themselves stand."""
    store.put(_FORGOTTEN, json.dumps(store.rulings()))
    store.put(_MODEL, "")


def _lessons(store: Store, judge: Judge, decisions: Mapping[int, str], scopes: Mapping[str, str]) -> Iterator[Lesson]:
    """What the curator decided on, then what was published and let stand."""
    ruled = [stored for key in decisions if (stored := store.item(key)) is not None]
    told = [member for story in store.stories(LET_STAND) for member in story.members]
    let_stand = [stored for stored in told if stored.ruling is None and not stored.seed]
    for stored in ruled + let_stand[:LET_STAND]:
        if stored.item.title or stored.item.summary:
            yield _lesson(stored, judge, scopes.get(stored.item.source, "general"))


def _lesson(stored: StoredItem, judge: Judge, scope: str) -> Lesson:
    verdict = judge.judge(stored.item, scope)
    return Lesson(
        signs=tuple(signs(stored.item, verdict.reasons)),
        odds=judge.odds(verdict.score),
        keep=stored.ruling != "drop",
        text=stored.item.title or stored.item.summary,
        decided=stored.ruling is not None,
    )
