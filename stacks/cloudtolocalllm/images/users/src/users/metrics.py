"""What Prometheus is told. Figures of a proxy end with its session; the manager's own begin anew with its process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .proxies import Counters

if TYPE_CHECKING:
    from .sessions import Live, Sessions

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DURATIONS = (60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)


class Metrics:
    def __init__(self) -> None:
        here = self.registry = CollectorRegistry()
        ProcessCollector(registry=here)
        self.requests = Counter("users_requests", "Requests", ["method", "route", "status"], registry=here)
        self.started = Counter("users_sessions_started", "Sessions begun", registry=here)
        self.ended = Counter("users_sessions_ended", "Sessions ended, by why", ["reason"], registry=here)
        self.durations = Histogram(
            "users_session_seconds", "How long ended sessions lasted", buckets=DURATIONS, registry=here
        )
        self.volume = Counter("users_session_bytes", "Carried by ended sessions", ["direction"], registry=here)
        self.start_seconds = Histogram(
            "users_start_seconds", "From the request for a new session to its proxy's first answer",
            buckets=SECONDS, registry=here,
        )  # fmt: skip
        self.health = Counter(
            "users_health_checks", "Proxies asked how they are: ok, error, or nginx could not be reached",
            ["result"], registry=here,
        )  # fmt: skip
        self.restarts = Counter(
            "users_restarts", "Containers started again: they had stopped, or did not answer", ["why"], registry=here
        )
        self.docker_seconds = Histogram(
            "users_docker_seconds", "Calls of Docker", ["call"], buckets=SECONDS, registry=here
        )
        self.docker_errors = Counter("users_docker_errors", "Calls of Docker that failed", ["call"], registry=here)
        for result in ("ok", "error", "nginx"):
            self.health.labels(result)

    def docker(self, call: str, fine: bool, seconds: float) -> None:
        self.docker_seconds.labels(call).observe(seconds)
        if not fine:
            self.docker_errors.labels(call).inc()

    def over(self, reason: str, seconds: float, counters: Counters | None) -> None:
        self.ended.labels(reason).inc()
        self.durations.observe(max(0.0, seconds))
        if counters is not None:
            self.volume.labels("in").inc(counters.bytes_in)
            self.volume.labels("out").inc(counters.bytes_out)

    def of(self, sessions: Sessions) -> None:
        """Where the proxies' figures are taken from at each scrape."""
        self.registry.register(PerProxy(sessions))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class PerProxy(Collector):
    """As last seen: a scrape asks nobody."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def collect(self) -> Iterator[Metric]:
        live = list(self._sessions.live.values())
        spares = len(self._sessions.stock.spares)
        yield GaugeMetricFamily("users_spares", "Sessions begun ahead of time, that nobody has yet", value=spares)
        yield GaugeMetricFamily("users_sessions", "Sessions there are", value=len(live))
        yield GaugeMetricFamily(
            "users_sessions_healthy", "Sessions whose proxy answered when last asked",
            value=sum(one.counters is not None and not one.failures for one in live),
        )  # fmt: skip
        yield self._usage(live, "cpu_seconds", "Processor time since the container's start", "cpu", counter=True)
        yield self._usage(live, "memory_bytes", "Memory of the container", "memory", counter=False)
        yield self._usage(live, "received_bytes", "Received by the container", "received", counter=True)
        yield self._usage(live, "sent_bytes", "Sent by the container", "sent", counter=True)
        yield self._told(live, "requests", "Requests carried", "requests", counter=True)
        yield self._told(live, "errors", "Requests that failed", "errors", counter=True)
        yield self._told(live, "in_bytes", "From the user's clients to the desktop", "bytes_in", counter=True)
        yield self._told(live, "out_bytes", "From the desktop to the user's clients", "bytes_out", counter=True)
        yield self._told(live, "clients", "Connected clients", "clients", counter=False)
        yield self._told(live, "desktop", "1 while the desktop is connected", "desktop", counter=False)
        yield self._told(live, "streams", "Streams under way", "streams", counter=False)
        yield self._told(live, "resident_bytes", "Resident memory of the process", "resident_bytes", counter=False)
        latency = GaugeMetricFamily(
            "users_proxy_latency_seconds", "Added to a chunk by the proxy", labels=["proxy", "quantile"]
        )
        for one in live:
            for quantile, ms in _latency(one.counters):
                latency.add_metric([one.session.name, quantile], ms / 1000)
        yield latency

    def _usage(self, live: list[Live], name: str, about: str, field: str, *, counter: bool) -> Metric:
        values = [(one.session.name, float(getattr(one.usage, field))) for one in live if one.usage is not None]
        return family(name, about, values, counter=counter)

    def _told(self, live: list[Live], name: str, about: str, field: str, *, counter: bool) -> Metric:
        values = [(one.session.name, float(getattr(one.counters, field))) for one in live if one.counters is not None]
        return family(name, about, values, counter=counter)


def family(name: str, about: str, values: list[tuple[str, float]], *, counter: bool) -> Metric:
    kind = CounterMetricFamily if counter else GaugeMetricFamily
    made = kind(f"users_proxy_{name}", about, labels=["proxy"])
    for proxy, value in values:
        made.add_metric([proxy], value)
    return made


def _latency(counters: Counters | None) -> list[tuple[str, float]]:
    if counters is None:
        return []
    given = (("0.5", counters.latency_ms.p50), ("0.95", counters.latency_ms.p95))
    return [(quantile, ms) for quantile, ms in given if ms is not None]
