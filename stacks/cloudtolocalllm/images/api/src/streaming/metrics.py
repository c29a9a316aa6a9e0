"""What Prometheus is told. One replica tells of the sessions that it follows, so that sums over replicas are true."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
MINUTES = tuple(60 * n for n in (1, 5, 10, 30, 60, 120, 240, 480, 1440))


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        here = self.registry
        self.requests = Counter("streaming_requests", "Requests", ["method", "route", "status"], registry=here)
        self.seconds = Histogram(
            "streaming_request_seconds", "Time to the end of the answer", ["route"], buckets=SECONDS, registry=here
        )
        self.live = Gauge("streaming_sessions_live", "Sessions that there are", registry=here)
        self.desktops = Gauge("streaming_desktops", "Sessions with their desktop connected", registry=here)
        self.created = Counter("streaming_sessions_created", "Sessions that began", registry=here)
        self.ended = Counter("streaming_sessions_ended", "Sessions that ended, by why", ["reason"], registry=here)
        self.lasted = Histogram("streaming_session_seconds", "How long they lasted", buckets=MINUTES, registry=here)
        self.bytes = Counter("streaming_bytes", "Bytes, as the proxies count", ["direction"], registry=here)
        self.create_seconds = Histogram(
            "streaming_create_seconds", "From the request to a session that answers", buckets=SECONDS, registry=here
        )
        self.manager_errors = Counter(
            "streaming_manager_errors", "What the user-manager did not do", ["call", "kind"], registry=here
        )
        self.follows = Gauge("streaming_follows", "1 in the replica that follows the sessions", registry=here)
        self.draining = Gauge("streaming_draining", "1 from SIGTERM on", registry=here)

    def text(self) -> bytes:
        return generate_latest(self.registry)
