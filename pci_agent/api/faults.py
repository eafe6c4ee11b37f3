"""
What a caller reads when something can't be served: nova's form, ``{"itemNotFound": {"code": 404, "message": …}}``.

The names never change once they are out: callers match on them.
"""

import logging
from typing import Any

import falcon
import orjson
from sqlalchemy.exc import SQLAlchemyError

from pci_agent.errors import Ambiguous, BadRequest, Conflicting, Faulted, HostSilent, NotFound, TooBig, Unserved

LOG = logging.getLogger(__name__)

_UNFORESEEN = "computeFault"
NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    411: "lengthRequired",
    413: "overLimit",
    500: _UNFORESEEN,
    503: "serviceUnavailable",
    504: "gatewayTimeout",
}
"""What a fault is called, by HTTP's code."""

_CODES: dict[type[Faulted], int] = {
    BadRequest: 400,
    NotFound: 404,
    Ambiguous: 409,
    Conflicting: 409,
    TooBig: 413,
    Unserved: 503,
    HostSilent: 504,
}


def sentence(text: str) -> str:
    """End a reason as a sentence ends."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def install(app: falcon.App[Any, Any]) -> None:
    """Make every error of the app a fault; the last one added is the first one asked."""
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unforeseen)
    app.add_error_handler(falcon.HTTPError, _refused)
    app.add_error_handler(SQLAlchemyError, _no_database)
    app.add_error_handler(Faulted, _faulted)


def _tell(response: falcon.Response, code: int, message: str, **more: object) -> None:
    response.status = code
    response.content_type = falcon.MEDIA_JSON
    response.data = orjson.dumps({NAMES.get(code, _UNFORESEEN): {"code": code, "message": message, **more}})


def _serialize(_request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    _tell(response, error.status_code, error.description or error.title or "It can't be served.")


def _refused(
    request: falcon.Request, response: falcon.Response, error: falcon.HTTPError, _parameters: dict[str, Any]
) -> None:
    message = error.description or error.title or ""
    if isinstance(error, falcon.HTTPRouteNotFound):
        message = f"There is nothing at {request.path}; the versions of this API are listed at /."
    elif isinstance(error, falcon.HTTPMethodNotAllowed):
        message = f"{request.method} is not allowed at {request.path}."
    response.set_headers(error.headers or {})
    _tell(response, error.status_code, message)


def _faulted(_request: falcon.Request, response: falcon.Response, error: Faulted, _parameters: dict[str, Any]) -> None:
    _tell(response, _CODES[type(error)], str(error), **error.more)


def _no_database(
    request: falcon.Request, response: falcon.Response, error: SQLAlchemyError, _parameters: dict[str, Any]
) -> None:
    LOG.error("%s %r: %s", request.method, request.path, error)
    _tell(response, 503, "The tracker's database can't be asked at the moment; try again.")


def _unforeseen(
    request: falcon.Request, response: falcon.Response, error: Exception, _parameters: dict[str, Any]
) -> None:
    LOG.error("%s %r", request.method, request.path, exc_info=error)
    _tell(response, 500, "Something went wrong here; the log of pci-api says what.")
