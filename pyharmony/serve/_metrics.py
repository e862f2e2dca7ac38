"""The metrics of a running service, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one service; labels are names of the service, never text of clients."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "pyharmony_http_requests", "Answered requests.", ("method", "route", "status"), **options
        )
        self.request_seconds = Histogram(
            "pyharmony_http_request_seconds", "Seconds to answer a request.", ("route",), buckets=_SECONDS, **options
        )
        self.refusals = Counter("pyharmony_refusals", "Refused requests, by reason.", ("kind",), **options)
        self.jobs = Counter("pyharmony_jobs", "Ended jobs.", ("operation", "status"), **options)
        self.job_seconds = Histogram(
            "pyharmony_job_seconds", "Seconds that jobs ran.", ("operation",), buckets=_SECONDS, **options
        )
        self.wait_seconds = Histogram(
            "pyharmony_queue_seconds", "Seconds that jobs waited.", buckets=_SECONDS, **options
        )
        self.restarts = Counter("pyharmony_worker_restarts", "Restarts of workers.", ("reason",), **options)
        self.uploaded = Counter("pyharmony_uploaded_bytes", "Uploaded bytes.", **options)
        ProcessCollector(registry=self.registry)
        self._options = options

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """Adds a metric whose value is computed when it is read."""
        Gauge(f"pyharmony_{name}", about, **self._options).set_function(value)

    def text(self) -> bytes:
        return generate_latest(self.registry)
