"""A short form of what `make soak` does for long."""

from __future__ import annotations

from tests.soak.crashes import crash
from tests.soak.year import months


def test_a_kill_at_any_moment_costs_nothing() -> None:
    """Database and files stay whole, no item is lost or told twice, no id and no place changes."""
    assert crash(kills=15, seed=2).total() == 15


def test_a_month_of_sources_that_change_tells_nothing_again() -> None:
    """Ids and order stay, what was dropped stays away, whatever a source does to its feed."""
    assert len(list(months(sources=12, days=30, seed=3))) == 1
