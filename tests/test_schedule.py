"""The bells: what is called on time, and what the log says when it fails."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aggregator.errors import StoreError
from aggregator.schedule import ringing
from tests.daemons import eventually


@pytest.mark.parametrize(
    ("error", "traced"), [(StoreError("the database is locked"), False), (ValueError("a mistake"), True)]
)
def test_work_that_fails_is_told_once_and_called_again(
    caplog: pytest.LogCaptureFixture, error: Exception, traced: bool
) -> None:
    """In one line where the operator can mend it; with the place where it came from where only we can."""
    calls = list[None]()

    def work() -> None:
        calls.append(None)
        raise error

    with ringing("refresh", work, timedelta(seconds=0.05)):
        eventually(lambda: len(calls) >= 2)
    said = [record for record in caplog.records if str(error) in record.getMessage()]
    assert len(said) == len(caplog.records) == len(calls)
    assert {record.exc_info is not None for record in said} == {traced}
    assert said[0].getMessage() == f"a refresh failed and will be tried again: {type(error).__name__}: {error}"
