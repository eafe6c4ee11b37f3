"""
Puts the API together: every route of the table, in every version.

Two versions serve the same resources with different views. With keystone whoever isn't known is let in to the public
paths alone, and each route is for those whom its rule lets; without it everybody may do everything. See access.py.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import falcon
import falcon.media
import orjson

from pci_agent.api import faults, page, session
from pci_agent.api.access import EVERYBODY, METRICS, Authentication, Caller, Identity, refuse_other_sites
from pci_agent.api.call import Call, Lengths, Nothing, read_body
from pci_agent.api.heads import Heads
from pci_agent.api.health import Health
from pci_agent.api.metrics import Metrics
from pci_agent.api.openapi import Described
from pci_agent.api.requestids import RequestIds
from pci_agent.api.routes import Parts, Route, routes
from pci_agent.api.versions import VERSIONS, OneVersion, Versions
from pci_agent.api.view import View


def application(parts: Parts, identity: Identity | None = None, metrics: Metrics | None = None) -> falcon.App[Any, Any]:
    """Assemble the WSGI application; without *identity* nobody is asked who they are."""
    app = monitoring(parts, metrics, identity)
    app.add_route("/", Versions())
    app.add_route("/ui/session", session.Nobody() if identity is None else session.Somebody(identity))
    page.install(app)
    caller_of = _nobody_asked if identity is None else _caller_of
    table = sorted(routes(parts), key=_path)
    app.add_route("/openapi.json", Described(table))
    for version in VERSIONS:
        app.add_route(f"/{version.name}", OneVersion(version))
        for path, at_it in groupby(table, key=_path):
            app.add_route(f"{version.prefix}{path}", _Resource(at_it, version.view, caller_of))
    return app


def monitoring(parts: Parts, metrics: Metrics | None = None, identity: Identity | None = None) -> falcon.App[Any, Any]:
    """Assemble what those who watch over a process ask it, and no more; with *metrics* that others count in too."""
    metrics = metrics or Metrics(parts)
    guards = [] if identity is None else [Authentication(identity)]
    app: falcon.App[Any, Any] = falcon.App(middleware=[metrics, Heads(), RequestIds(), Lengths(), *guards])
    app.req_options.strip_url_path_trailing_slash = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = falcon.media.JSONHandler(dumps=orjson.dumps)
    faults.install(app)
    app.add_route("/healthcheck", Health(parts.store))
    app.add_route("/metrics", metrics if identity is None else _Ruled(metrics))
    return app


_CallerOf = Callable[[falcon.Request], Caller]


def _path(route: Route) -> str:
    return route.path


class _Resource:
    """All that is served at one path: a responder for each method, where falcon looks for it."""

    def __init__(self, at_it: Any, view: View, caller_of: _CallerOf) -> None:
        for route in at_it:
            setattr(self, f"on_{route.method.lower()}", _responder(route, view, caller_of))


def _responder(route: Route, view: View, caller_of: _CallerOf) -> Callable[..., None]:
    """Give what falcon calls. Of a route that serves owners the handler asks whether the caller may, thing by thing."""

    def respond(request: falcon.Request, response: falcon.Response, **path: str) -> None:
        request.context.route = route.name
        caller = caller_of(request)
        if not route.for_owners:
            caller.must(route.name)
        if route.method != "GET":
            refuse_other_sites(request)
            if route.body is None:
                read_body(request, Nothing)
        response.media = route.answer(Call(request, response, view, path, caller))

    return respond


def _nobody_asked(_request: falcon.Request) -> Caller:
    return EVERYBODY


def _caller_of(request: falcon.Request) -> Caller:
    caller: Caller = request.context.caller
    return caller


class _Ruled:
    """The metrics, for whom their rule lets."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Tell it all."""
        _caller_of(request).must(METRICS)
        self._metrics.on_get(request, response)
