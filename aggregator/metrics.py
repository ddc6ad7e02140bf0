"""How all is doing, as figures for Prometheus and whatever else reads its text format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from aggregator.health import Overview, State, state
from aggregator.model import SourceHealth

if TYPE_CHECKING:
    from prometheus_client.core import Metric

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what Prometheus calls the format that `metrics` writes


def metrics(overview: Overview, version: str) -> str:
    """The overview, and what this process takes, in Prometheus' text format 0.0.4.

    Names follow https://prometheus.io/docs/practices/naming/. A source is told by its name; seven lines for each. What
    is not known has no line: a source that was never read has no time of its last success.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.process_collector import ProcessCollector
    from prometheus_client.registry import Collector

    class Figures(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from _of_all(overview, version)
            yield from _of_each(overview)

    registry = CollectorRegistry()
    registry.register(Figures())
    ProcessCollector(registry=registry)
    return generate_latest(registry).decode()


def _of_all(overview: Overview, version: str) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    yield InfoMetricFamily("aggregator_build", "The program.", {"version": version})
    by_state = GaugeMetricFamily("aggregator_sources", "Sources by state.", labels=["state"])
    for one in State:
        by_state.add_metric([one], overview.counts[one])
    yield by_state
    seen, kept = (sum(getattr(one, name) for one in overview.sources) for name in ("seen", "kept"))
    yield GaugeMetricFamily("aggregator_items", "Items seen.", seen)
    yield GaugeMetricFamily("aggregator_items_kept", "Items that belong to the subject.", kept)
    succeeded = [one.last_success.timestamp() for one in overview.sources if one.last_success]
    yield GaugeMetricFamily(
        "aggregator_last_success_timestamp_seconds",
        "When a source was last read without a failure.",
        max(succeeded, default=0),
    )
    yield GaugeMetricFamily(
        "aggregator_late_seconds",
        "How long the source that has waited longest has been due.",
        overview.late.total_seconds(),
    )


def _of_each(overview: Overview) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    states = GaugeMetricFamily("aggregator_source_state", "1: how the source is.", labels=["source", "state"])
    for one in overview.sources:
        states.add_metric([one.source.name, state(one, overview.now)], 1)
    yield states
    for name, help, figure in _FIGURES:
        family = GaugeMetricFamily(f"aggregator_source_{name}", help, labels=["source"])
        for one in overview.sources:
            if (value := figure(one)) is not None:
                family.add_metric([one.source.name], value)
        yield family


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time else None


_FIGURES: tuple[tuple[str, str, Callable[[SourceHealth], float | None]], ...] = (
    ("last_visit_timestamp_seconds", "When the source was last visited.", lambda one: _seconds(one.last_visit)),
    ("last_success_timestamp_seconds", "When it was last read.", lambda one: _seconds(one.last_success)),
    ("last_new_timestamp_seconds", "When it last brought something new.", lambda one: _seconds(one.last_new)),
    ("failures", "Visits that failed, in a row.", lambda one: one.failures),
    ("items", "Items seen of it.", lambda one: one.seen),
    ("items_kept", "Items of it that belong to the subject.", lambda one: one.kept),
)
