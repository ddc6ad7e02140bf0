"""What holds for every test, and the browser and the servers that several of them share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import postgres
from tests.daemons import free_port
from tests.lab import Lab
from tests.receivers import Hook, Sink, hook, sink
from tests.site import Site, serving

# A property is judged by what it says, not by how busy the machine is: on two loaded cores a case that takes 10 ms
# alone was seen to take 300, above hypothesis' own limit of 200.
# The same cases each time, so that what turns red is what was changed; `make soak` looks for others.
settings.register_profile("calm", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "2000")))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "calm"))

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of sources."""
    with serving() as site:
        yield site


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A server that answers as it is told to, and keeps each request."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def receiver() -> Iterator[Hook]:
    """A webhook."""
    with hook() as taken:
        yield taken


@pytest.fixture
def mails() -> Iterator[Sink]:
    """A mail server."""
    with sink(free_port()) as taken:
        yield taken


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One server for the whole run, started when the first test asks for it."""
    try:
        with postgres.serving() as server:
            yield server
    except postgres.NoServer as reason:
        pytest.skip(str(reason))


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    """The address of an empty database of PostgreSQL."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for a module's tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (Debian: chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()
