"""What holds for every test, and the PostgreSQL server that several of them share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import postgres

# A property is judged by what it says, not by how busy the machine is: on two loaded cores a case that takes 10 ms
# alone was seen to take 300, above hypothesis' own limit of 200.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")


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
