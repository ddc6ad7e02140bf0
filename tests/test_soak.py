"""A short form of what `make soak` does for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import fuzz
from tests.soak.crashes import crash
from tests.soak.targets import TARGETS
from tests.soak.year import months


def test_a_kill_at_any_moment_costs_nothing() -> None:
    """Database and files stay whole, no item is lost or told twice, no id and no place changes."""
    assert crash(kills=15, seed=2).total() >= 15  # a step that imports may be the last and kill two


def test_a_month_of_sources_that_change_tells_nothing_again() -> None:
    """Ids and order stay, what was dropped stays away, whatever a source does to its feed."""
    assert len(list(months(sources=12, days=30, seed=3))) == 1


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_found_and_began_with_breaks_no_law(name: str) -> None:
    """The kept inputs of each target."""
    for file in fuzz.kept(name):
        TARGETS[name](file.read_bytes())


def fragile(data: bytes) -> None:
    """A target whose law is soon broken."""
    assert not data


def test_fuzzing_looks_and_finds(tmp_path: Path) -> None:
    """A second of it passes a sound part, and names the input that breaks a fragile one."""
    pytest.importorskip("atheris", reason="atheris is not installed: only what it found before was tried")
    assert "runs" in fuzz.look("config", "tests.soak.targets:configuring", 1, tmp_path)
    with pytest.raises(fuzz.Broken, match=r"Test unit written to .*config-crash-"):
        fuzz.look("config", "tests.test_soak:fragile", 1, tmp_path)
