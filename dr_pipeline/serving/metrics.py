"""What the server counts, in Prometheus's format. No name, no address, nothing of a photograph."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from dr_pipeline import __version__
from dr_pipeline.schema import Status

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one server.

    Args:
        bundle_id: The bundle that scores.
        workers: Processes that score.
        accepted: Called for the number of photographs that wait or are scored.
        held_bytes: Called for the bytes of all photographs in memory, those that arrive included.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(
        self, bundle_id: str, *, workers: int, accepted: Callable[[], int], held_bytes: Callable[[], int]
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "dr_pipeline_requests", "Answers by path and status code.", ("path", "code"), registry=registry
        )
        self.rows = Counter("dr_pipeline_rows", "Rows by their status.", ("status",), registry=registry)
        for status in Status:
            self.rows.labels(status.value)
        self.seconds = Histogram(
            "dr_pipeline_request_seconds",
            "From a photograph's first byte to its row.",
            buckets=_SECONDS,
            registry=registry,
        )
        Gauge("dr_pipeline_accepted", "Photographs that wait or are scored.", registry=registry).set_function(accepted)
        Gauge("dr_pipeline_held_bytes", "Of all photographs in memory.", registry=registry).set_function(held_bytes)
        Gauge("dr_pipeline_workers", "Processes that score.", registry=registry).set(workers)
        Info("dr_pipeline_bundle", "The bundle that scores.", registry=registry).info(
            {"bundle_id": bundle_id, "version": __version__}
        )
        ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def rows_by_status(self) -> dict[str, int]:
        """The number of rows of each status."""
        return {
            sample.labels["status"]: int(sample.value)
            for metric in self.rows.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }
