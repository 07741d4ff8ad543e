"""The counts as a page that Prometheus reads: names, types and labels are all in `FAMILIES`.

Trust: gateway [net]. Input: our own counts. The library is loaded when the first page is asked for.
Format: prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from corral import __version__
from corral.telemetry.metrics import STAGES, Metrics
from corral.telemetry.tally import Spread, Tally

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE: Final = b"text/plain; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Family:
    """One family of samples.

    Attributes:
        name: as on the page; of a counter without its `_total`.
        labels: names of its labels.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


FAMILIES: Final = (
    Family("corral_build_info", "gauge", ("version",), "Always 1"),
    Family("corral_requests", "counter", ("route", "code"), "Requests that were answered"),
    Family("corral_requests_running", "gauge", (), "Requests that hold a place now"),
    Family("corral_requests_waiting", "gauge", (), "Requests that wait for a place now"),
    Family("corral_queue_wait_seconds", "histogram", ("stage",), "How long requests waited"),
    Family("corral_first_event_seconds", "histogram", (), "Arrival to first piece of a stream"),
    Family("corral_event_gap_seconds", "histogram", (), "Between two writes of a stream"),
    Family("corral_request_seconds", "histogram", (), "Place taken to usage settled"),
    Family("corral_tokens", "counter", ("kind",), "Tokens that were settled"),
    Family("corral_connections", "gauge", (), "Connections that are open now"),
    Family("corral_connections_rejected", "counter", ("reason",), "Ended without an answer"),
    Family("corral_workers", "gauge", ("state",), "Engine workers by state"),
    Family("corral_worker_starts", "counter", (), "Engine workers that were asked for"),
    Family("corral_worker_load_seconds", "histogram", (), "Asked for until sealed and ready"),
    Family("corral_worker_crashes", "counter", ("code",), "Engine workers that failed"),
    Family("corral_worker_unloads", "counter", ("reason",), "Engine workers that were unloaded"),
    Family("corral_quarantines", "counter", (), "Pairs of tenant and model put into quarantine"),
    Family(
        "corral_sanitation_findings",
        "counter",
        ("kind", "handling", "mode"),
        "What policies saw in requests and answers",
    ),
    Family("corral_sanitation_seconds", "histogram", (), "A request's texts on their way in"),
    Family("corral_worker_memory_bytes", "gauge", ("kind",), "Resident memory of all jails"),
    Family("corral_worker_memory_largest_bytes", "gauge", (), "Of the largest engine worker"),
    Family("corral_gateway_cpu_seconds", "counter", (), "Processor time of the gateway"),
    Family("corral_usage_healthy", "gauge", (), "1 while usage can be recorded"),
    Family("corral_usage_dropped_rows", "counter", (), "Usage rows that were lost"),
    Family("corral_traces_dropped", "counter", ("reason",), "Traces that were not written"),
    Family("corral_degraded_wall", "gauge", ("wall",), "1 for each wall that is missing by leave"),
)
STATES: Final = ("idle", "starting", "ready", "stopping", "backing_off", "quarantined")
KINDS: Final = ("engine", "scan", "guard", "media", "fetch", "gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is looked at when a page is asked for.

    Attributes:
        workers: how many engine workers are in which of `STATES`.
        memory: (kind, resident bytes) of each live jail; None if the launcher did not say.
        degraded: walls that are missing by the operator's leave.
        traces_dropped: by reason; empty where none are made.
    """

    workers: Mapping[str, int]
    memory: tuple[tuple[str, int], ...] | None
    usage_healthy: bool
    usage_dropped: int
    degraded: tuple[str, ...]
    traces_dropped: Mapping[str, int] = field(default_factory=dict)


def load_library() -> None:
    """Load what writes pages, which takes about 0.1 s; a second time does nothing."""
    import prometheus_client  # noqa: F401


def render_page(metrics: Metrics, facts: Facts) -> bytes:
    """Return the page."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(metrics, facts))
    return generate_latest(registry)


_Sample = tuple[tuple[str, ...], float | Spread]


class _Samples:
    """The families of one page, as `prometheus_client` wants them."""

    def __init__(self, metrics: Metrics, facts: Facts) -> None:
        self._metrics = metrics
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        """Yield every family, in the order of `FAMILIES`."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        samples = self._samples()
        for family in FAMILIES:
            found: Metric
            if family.kind == "histogram":
                found = spread = HistogramMetricFamily(
                    family.name, family.meaning, labels=family.labels
                )
                for values, one in samples[family.name]:
                    if isinstance(one, Spread):
                        spread.add_metric(values, buckets=one.buckets(), sum_value=one.sum_s)
            else:
                make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                found = plain = make(family.name, family.meaning, labels=family.labels)
                for values, one in samples[family.name]:
                    if not isinstance(one, Spread):
                        plain.add_metric(values, one)
            yield found

    def _samples(self) -> dict[str, Iterable[_Sample]]:
        metrics, facts = self._metrics, self._facts
        memory = facts.memory or ()
        largest = max((size for kind, size in memory if kind == "engine"), default=0)
        return {
            "corral_build_info": [((__version__,), 1)],
            "corral_requests": _counts(metrics.requests),
            "corral_requests_running": _one(metrics.running),
            "corral_requests_waiting": _one(metrics.waiting),
            "corral_queue_wait_seconds": [((stage,), metrics.queue[stage]) for stage in STAGES],
            "corral_first_event_seconds": _one(metrics.first_event),
            "corral_event_gap_seconds": _one(metrics.event_gap),
            "corral_request_seconds": _one(metrics.duration),
            "corral_tokens": _counts(metrics.tokens),
            "corral_connections": _one(metrics.connections),
            "corral_connections_rejected": _counts(metrics.rejected),
            "corral_workers": [((state,), facts.workers.get(state, 0)) for state in STATES],
            "corral_worker_starts": _one(metrics.worker_starts),
            "corral_worker_load_seconds": _one(metrics.worker_load),
            "corral_worker_crashes": _counts(metrics.worker_crashes),
            "corral_worker_unloads": _counts(metrics.worker_unloads),
            "corral_quarantines": _one(metrics.quarantines),
            "corral_sanitation_findings": _counts(metrics.findings),
            "corral_sanitation_seconds": _one(metrics.sanitation),
            "corral_worker_memory_bytes": [
                ((kind,), sum(size for one, size in memory if one == kind))
                for kind in (KINDS if facts.memory is not None else ())
            ],
            "corral_worker_memory_largest_bytes": _one(largest) if facts.memory is not None else [],
            "corral_gateway_cpu_seconds": _one(time.process_time()),
            "corral_usage_healthy": _one(int(facts.usage_healthy)),
            "corral_usage_dropped_rows": _one(facts.usage_dropped),
            "corral_traces_dropped": [
                ((reason,), count) for reason, count in facts.traces_dropped.items()
            ],
            "corral_degraded_wall": [((wall,), 1) for wall in facts.degraded],
        }


def _one(value: float | Spread) -> list[_Sample]:
    return [((), value)]


def _counts(tally: Tally) -> Iterable[_Sample]:
    return tally.items()
