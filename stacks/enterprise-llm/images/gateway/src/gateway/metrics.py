"""What Prometheus is told. One process a container, so the numbers of a scrape are those of one replica."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        here = self.registry
        self.requests = Counter("gateway_requests", "Requests", ["method", "route", "status"], registry=here)
        self.seconds = Histogram(
            "gateway_request_seconds", "Time to the end of the answer", ["route"], buckets=SECONDS, registry=here
        )
        self.streams = Gauge("gateway_streams_open", "Answers under way", registry=here)
        self.first_token = Histogram(
            "gateway_first_token_seconds", "From the request to the first token", buckets=SECONDS, registry=here
        )
        self.tokens = Counter("gateway_tokens", "Tokens, as the model server counts", ["model", "kind"], registry=here)
        self.answers = Counter("gateway_answers", "Answers, by how they ended", ["finish"], registry=here)
        self.limits_shared = Gauge("gateway_limits_shared", "1 while limits are counted in Redis", registry=here)
        self.draining = Gauge("gateway_draining", "1 from SIGTERM on", registry=here)

    def text(self) -> bytes:
        return generate_latest(self.registry)
