"""
``/openapi.json``: what is served here, for programs that read it, made of the routes and of the models they use.

Nothing is described a second time: what a route reads it is given as a model, a handler's docstring is its summary, and
what an answer holds its version's models say. Only names in paths are told here, for no model reads them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from inspect import getdoc
from typing import Any

import falcon
import orjson

from pci_agent import __version__
from pci_agent.api import answers
from pci_agent.api.allocations import UUID
from pci_agent.api.answers import FAULTS, Answered
from pci_agent.api.faults import NAMES
from pci_agent.api.routes import Route
from pci_agent.api.schemas import Schema, parameters, reference, schemas
from pci_agent.api.versions import VERSIONS, Version

_JSON = "application/json"
_TEXT = "text/plain"
_TOKEN = "X-Auth-Token"  # noqa: S105 - the header's name
_SECURITY: list[Schema] = [{"token": []}, {}]  # none where [api] auth_strategy is noauth
_METRICS = "/metrics"
_OF_ANY = (400, 401, 403, 500, 503)
_NOTHING_THERE, _TOO_BIG = 404, 413
_PART = re.compile(r"{(\w+)}")

_NAME = {"type": "string", "minLength": 1, "pattern": r"^[^/\u0000]+$"}
_PATHS: dict[str, tuple[str, Schema]] = {
    "tenant_id": ("Any word: all tenants see the same.", _NAME),
    "pci_device_id": ("An id, a uuid, a device name such as pci_0000_04_10_0, or an address.", _NAME),
    "hypervisor_hostname": ("A host's name or id.", _NAME),
    "instance_uuid": ("An instance's uuid.", {**_NAME, "maxLength": 36}),
    "server_id": ("An instance's uuid.", _NAME),
}
_PUT = {"instance_uuid": ("An instance's uuid.", {"type": "string", "pattern": f"^{UUID}$"})}
_WHEN = {
    200: "As asked.",
    202: "Written down: a running domain still has a device, which is freed when it lets go.",
    400: "A parameter or a field isn't known, or can't be used; the message names it.",
    401: "There is no token, or it isn't valid.",
    403: "Who the token is of may not do that, or another site's page asks for it.",
    404: "Nothing has that id or name.",
    409: "Several hosts have a device of that name, or devices aren't to be had.",
    413: "The body is too big.",
    500: "A defect; the log says more.",
    503: "The database can't be asked, or an agent has just been started anew: try again.",
    504: "A host doesn't answer; the message says whether anything may have changed.",
}


def document(table: Sequence[Route], versions: Iterable[Version] = VERSIONS) -> Schema:
    """Describe every route in every version, and what is served without one, as OpenAPI 3.1."""
    paths: dict[str, Schema] = _public()
    models: list[type[Any]] = [*FAULTS.values(), answers.VersionsAnswer, answers.VersionAnswer, answers.HealthAnswer]
    for version in versions:
        for route in table:
            at_it = paths.setdefault(f"{version.prefix}{route.path}", {})
            at_it[route.method.lower()] = _operation(route, version)
            models += [version.answers[route.name], *([route.body] if route.body else [])]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pci-agent",
            "version": __version__,
            "description": "PCI and SR-IOV devices of a fleet of hypervisors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(models),
            "responses": {NAMES[code]: _told(code, kind) for code, kind in FAULTS.items() if code in _WHEN},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": _TOKEN, "description": "Of keystone."}
            },
        },
    }


def faults_of(route: Route, version: Version) -> list[int]:
    """List the codes of all faults that a route may answer with."""
    named = [_NOTHING_THERE] if _PART.search(f"{version.prefix}{route.path}") else []
    return sorted({*_OF_ANY, *named, *route.faults, *([_TOO_BIG] if route.body else [])})


def summary(route: Route) -> str:
    """Say in a line what a route does."""
    return (getdoc(route.answer) or route.name).partition("\n")[0].rstrip(".")


def _operation(route: Route, version: Version) -> Schema:
    answer = version.answers[route.name]
    made: Schema = {
        "operationId": re.sub(r"\W", "_", f"{version.name}_{route.name}"),
        "summary": summary(route),
        "tags": [route.name.partition(":")[0]],
        "parameters": [*_in_path(route.method, f"{version.prefix}{route.path}"), *parameters(route.query)],
        "responses": {
            **{str(code): _told(code, answer) for code in route.codes},
            **_may_fail(faults_of(route, version)),
        },
        "security": _SECURITY,
    }
    if route.body is not None:
        needed = any(field.is_required() for field in route.body.model_fields.values())
        made["requestBody"] = {"required": needed, "content": {_JSON: {"schema": reference(route.body)}}}
    return made


def _in_path(method: str, path: str) -> Iterator[Schema]:
    for name in _PART.findall(path):
        words, schema = (_PUT if method == "PUT" and name in _PUT else _PATHS)[name]
        yield {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def _told(code: int, kind: type[Answered]) -> Schema:
    return {"description": _WHEN[code], "content": {_JSON: {"schema": reference(kind)}}}


def _may_fail(codes: Iterable[int]) -> dict[str, Schema]:
    return {str(code): {"$ref": f"#/components/responses/{NAMES[code]}"} for code in codes}


def _public() -> dict[str, Schema]:
    """Describe what is served without a version; but for the metrics, without a token too."""
    described = {
        "/": ("List the versions of this API", _told(200, answers.VersionsAnswer)),
        **{
            f"/{version.name}": (f"Describe version {version.name[1:]}", _told(200, answers.VersionAnswer))
            for version in VERSIONS
        },
        "/healthcheck": ("Tell whether this process can serve", _told(200, answers.HealthAnswer)),
        _METRICS: ("Tell what Prometheus reads", {"description": _WHEN[200], "content": {_TEXT: {}}}),
        "/openapi.json": ("Describe all that is served", {"description": _WHEN[200], "content": {_JSON: {}}}),
    }
    return {path: {"get": _public_operation(path, *each)} for path, each in described.items()}


def _public_operation(path: str, words: str, answer: Schema) -> Schema:
    faults = {"/healthcheck": (500, 503), _METRICS: (401, 403, 500, 503)}.get(path, (500,))
    return {
        "operationId": re.sub(r"\W", "_", path.strip("/")) or "versions",
        "summary": words,
        "tags": ["public"],
        "responses": {"200": answer, **_may_fail(faults)},
        "security": _SECURITY if path == _METRICS else [],
    }


class Described:
    """
    Describes what is served; the text is made when it is asked for first.

    Args:
        table: every route of one version
    """

    def __init__(self, table: Sequence[Route]) -> None:
        self._table = table

    @cached_property
    def _text(self) -> bytes:
        return orjson.dumps(document(self._table))

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Give the description."""
        response.content_type = _JSON
        response.data = self._text
