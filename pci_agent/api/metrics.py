"""
``/metrics``: what Prometheus reads. Its names and labels never change once they are out.

Counts of the fleet are read from the database at each scrape, so every process tells the same; counts of calls and
answers are this process's since its start. No label has values without bound: what isn't known is ``other``.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import falcon
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from pci_agent.api.routes import Parts
from pci_agent.model.device import DevType
from pci_agent.model.state import Status

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_STATUSES = frozenset(map(str, Status))
_TYPES = frozenset(map(str, DevType))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)


class Metrics:
    """
    Everything that this process measures; as a falcon middleware it times requests too.

    Args:
        parts: what is measured
    """

    def __init__(self, parts: Parts) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Fleet(parts))
        self._latency = Histogram(
            "pci_api_request_seconds",
            "How long requests took, by route and status code.",
            ("route", "code"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Tell it all."""
        response.content_type = _TEXT
        response.data = generate_latest(self._registry)

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Note when a request came."""
        request.context.came = time.perf_counter()

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: object, _served: bool
    ) -> None:
        """Note how long it took."""
        route = getattr(request.context, "route", "other")
        code = str(response.status_code)
        self._latency.labels(route, code).observe(time.perf_counter() - request.context.came)


class _Fleet(Collector):
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        yield from self._of_database()
        yield from self._of_process()

    def _of_database(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("pci_database_up", "1 where the database can be asked.")
        try:
            counts = self._parts.store.lists.counts()
        except SQLAlchemyError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        hosts = GaugeMetricFamily("pci_hosts", "Hosts, by whether they were heard of lately.", labels=("state",))
        for state, count in counts.hosts.items():
            hosts.add_metric((state,), count)
        yield hosts
        bounded: Counter[tuple[str, str]] = Counter()
        for (status, dev_type), count in counts.devices.items():
            bounded[_known(status, _STATUSES), _known(dev_type, _TYPES)] += count
        devices = GaugeMetricFamily("pci_devices", "Devices, by status and type.", labels=("status", "dev_type"))
        for labels, count in sorted(bounded.items()):
            devices.add_metric(labels, count)
        yield devices
        yield GaugeMetricFamily("pci_pending_frees", "Frees that agents haven't answered yet.", counts.pending_frees)

    def _of_process(self) -> Iterator[Metric]:
        parts = self._parts
        if parts.messages is not None:
            for kind in ("report", "heartbeat"):
                told = {words[1:]: count for words, count in parts.messages.copy().items() if words[0] == kind}
                yield _counter(f"pci_{kind}s", f"Agents' {kind}s, by what was answered.", ("outcome",), told)
        given = parts.allocations.answered
        yield _counter("pci_allocations", "What was asked for instances.", ("verb", "verdict"), given.copy())
        made = parts.agents.made.copy()
        yield _counter("pci_rpc_calls", "Calls to agents.", ("verb",), {(verb,): made[verb] for verb in made})
        failed = {(verb,): parts.agents.failed[verb] for verb in made}
        yield _counter("pci_rpc_failures", "Calls to agents that had no answer.", ("verb",), failed)


def _counter(name: str, what: str, labels: tuple[str, ...], counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, f"{what} Since this process started.", labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family


def _known(value: str, known: frozenset[str]) -> str:
    return value if value in known else "other"
