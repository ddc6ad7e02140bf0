"""Ring the bells: call the flow on time until told to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aggregator.errors import AggregatorError

if TYPE_CHECKING:
    from apscheduler.events import JobEvent

log = logging.getLogger(__name__)


@contextmanager
def ringing(called: str, work: Callable[[], object], every: timedelta) -> Iterator[None]:
    """Call `work` at once and then at this interval, in a thread of its own, never twice at a time.

    `called`: the work's name in the log. A call that comes late is made late, several that were missed are made as one,
    and a call that fails is logged and does not stop the bells. Leaving the block waits for a call under way.
    """
    from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED
    from apscheduler.schedulers.background import BackgroundScheduler

    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # the listener below says it in our words
    scheduler = BackgroundScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    scheduler.add_listener(_complain, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    scheduler.add_job(work, "interval", seconds=every.total_seconds(), next_run_time=datetime.now(UTC), id=called)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=True)


def _complain(event: JobEvent) -> None:
    error = getattr(event, "exception", None)
    if error is None:
        log.error("a %s was missed; the next one makes up for it", event.job_id)
    else:
        fault = None if isinstance(error, AggregatorError) else error  # where it came from matters to who mends it
        said = type(error).__name__
        log.error("a %s failed and will be tried again: %s: %s", event.job_id, said, error, exc_info=fault)
