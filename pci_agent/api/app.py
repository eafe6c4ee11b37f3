"""
Puts the API together: every route of the table, in every version.

Two versions serve the same resources with different views. Without authentication yet, so it may only be
bound to 127.0.0.1; see serving.py.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import falcon
import falcon.media
import orjson

from pci_agent.api import faults
from pci_agent.api.call import Call
from pci_agent.api.health import Health
from pci_agent.api.metrics import Metrics
from pci_agent.api.routes import Parts, Route, routes
from pci_agent.api.versions import VERSIONS, OneVersion, Versions
from pci_agent.api.view import View


def application(parts: Parts) -> falcon.App[Any, Any]:
    """Assemble the WSGI application."""
    app = monitoring(parts)
    app.add_route("/", Versions())
    table = sorted(routes(parts), key=_path)
    for version in VERSIONS:
        app.add_route(f"/{version.name}", OneVersion(version))
        for path, at_it in groupby(table, key=_path):
            app.add_route(f"{version.prefix}{path}", _Resource(at_it, version.view))
    return app


def monitoring(parts: Parts) -> falcon.App[Any, Any]:
    """Assemble what those who watch over a process ask it, and no more."""
    metrics = Metrics(parts)
    app: falcon.App[Any, Any] = falcon.App(middleware=[metrics])
    app.req_options.strip_url_path_trailing_slash = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = falcon.media.JSONHandler(dumps=orjson.dumps)
    faults.install(app)
    app.add_route("/healthcheck", Health(parts.store))
    app.add_route("/metrics", metrics)
    return app


def _path(route: Route) -> str:
    return route.path


class _Resource:
    """All that is served at one path: a responder for each method, where falcon looks for it."""

    def __init__(self, at_it: Any, view: View) -> None:
        for route in at_it:
            setattr(self, f"on_{route.method.lower()}", _responder(route, view))


def _responder(route: Route, view: View) -> Callable[..., None]:
    """Give what falcon calls. Whether the caller may is to be asked here, by the route's name."""

    def respond(request: falcon.Request, response: falcon.Response, **path: str) -> None:
        request.context.route = route.name
        if route.method != "GET":
            _refuse_other_sites(request)
        response.media = route.answer(Call(request, response, view, path))

    return respond


def _refuse_other_sites(request: falcon.Request) -> None:
    """Refuse what a page of another site sends by its reader's browser, which may reach where that site may not."""
    origin = request.get_header("Origin")
    if origin is not None and urlsplit(origin).netloc != request.netloc:
        what = f"This was sent by a page of {origin}, and changes are taken from pages of {request.netloc} alone."
        raise falcon.HTTPForbidden(description=what)
